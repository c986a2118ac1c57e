"""Logs and metrics of a REST API as unchanged clients see them, right after the requests."""

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lamington.testing import RunningEngine

HOUR = timedelta(hours=1)
DEFINITION = {
    "swagger": "2.0",
    "info": {"title": "observed", "version": "1"},
    "paths": {
        "/pets/{id}": {
            "get": {
                "responses": {"200": {"description": "ok"}},
                "x-amazon-apigateway-integration": {
                    "type": "mock",
                    "requestTemplates": {"application/json": '{"statusCode": 200}'},
                    "responses": {
                        "default": {
                            "statusCode": "200",
                            "responseTemplates": {
                                "application/json": '{"id": "$input.params(\'id\')"}'
                            },
                        }
                    },
                },
            }
        }
    },
}


@pytest.fixture(scope="module")
def api_id(live_engine: RunningEngine) -> str:
    """An API with every kind of log and metric turned on."""
    client = live_engine.client("apigateway")
    made = client.import_rest_api(body=json.dumps(DEFINITION).encode())
    client.create_deployment(restApiId=made["id"], stageName="dev")
    account = live_engine.scope.account_id
    group = f"arn:aws:logs:{live_engine.scope.region}:{account}:log-group:/apis/observed"
    client.update_stage(
        restApiId=made["id"],
        stageName="dev",
        patchOperations=[
            {"op": "replace", "path": f"/accessLogSettings/{name}", "value": value}
            for name, value in (
                ("destinationArn", group),
                ("format", '{"id":"$context.requestId","status":$context.status}'),
            )
        ]
        + [
            {"op": "replace", "path": f"/*/*/{name}", "value": value}
            for name, value in (
                ("logging/loglevel", "INFO"),
                ("logging/dataTrace", "true"),
                ("metrics/enabled", "true"),
            )
        ],
    )
    return str(made["id"])


def call(engine: RunningEngine, api_id: str, path: str) -> tuple[int, str]:
    """The status and the request id of an answer."""
    url = f"{engine.endpoint_url}/_aws/execute-api/{api_id}/dev{path}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.headers["x-amzn-RequestId"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["x-amzn-RequestId"]


def messages(engine: RunningEngine, group: str, request_id: str) -> list[str]:
    found = engine.client("logs").filter_log_events(
        logGroupName=group, filterPattern=f'"{request_id}"'
    )
    return [event["message"] for event in found["events"]]


def test_access_log_is_read_right_after_the_request(
    live_engine: RunningEngine, api_id: str
) -> None:
    status, request_id = call(live_engine, api_id, "/pets/7")
    assert status == 200
    (line,) = messages(live_engine, "/apis/observed", request_id)
    assert json.loads(line) == {"id": request_id, "status": 200}


def test_execution_log_tells_the_request(live_engine: RunningEngine, api_id: str) -> None:
    _, request_id = call(live_engine, api_id, "/pets/7")
    group = f"API-Gateway-Execution-Logs_{api_id}/dev"
    lines = messages(live_engine, group, request_id)
    assert f"({request_id}) HTTP Method: GET, Resource Path: /pets/7" in lines
    body = f'({request_id}) Method response body after transformations: {{"id": "7"}}'
    assert body in lines
    streams = live_engine.client("logs").describe_log_streams(logGroupName=group)["logStreams"]
    assert [len(stream["logStreamName"]) for stream in streams] == [32]


def test_metrics_are_read_right_after_the_requests(live_engine: RunningEngine, api_id: str) -> None:
    call(live_engine, api_id, "/pets/7")
    call(live_engine, api_id, "/nowhere")
    cloudwatch = live_engine.client("cloudwatch")
    now = datetime.now(UTC)
    span: dict[str, Any] = {"StartTime": now - HOUR, "EndTime": now + HOUR}
    stage = [{"Name": "ApiName", "Value": "observed"}, {"Name": "Stage", "Value": "dev"}]
    method = [
        *stage,
        {"Name": "Method", "Value": "GET"},
        {"Name": "Resource", "Value": "/pets/{id}"},
    ]

    def sums(name: str, dimensions: list[dict[str, str]]) -> float:
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/ApiGateway",
            MetricName=name,
            Dimensions=dimensions,
            Period=86_400,
            Statistics=["Sum"],
            **span,
        )
        return float(sum(point["Sum"] for point in found["Datapoints"]))

    assert sums("Count", stage) == sums("Count", method) + sums("4XXError", stage)
    assert sums("4XXError", stage) >= 1
    assert sums("5XXError", stage) == 0
    latency = {
        "Metric": {
            "Namespace": "AWS/ApiGateway",
            "MetricName": "Latency",
            "Dimensions": stage,
        },
        "Period": 86_400,
        "Stat": "p90",
    }
    data = cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "latency", "MetricStat": latency}], **span
    )
    assert data["MetricDataResults"][0]["Values"][0] > 0
    listed = cloudwatch.list_metrics(Namespace="AWS/ApiGateway", Dimensions=stage)
    assert {"Count", "Latency", "IntegrationLatency"} <= {
        metric["MetricName"] for metric in listed["Metrics"]
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format", "$context.status", "must include either $context.requestId"),
        ("format", "$context.requestId\nx", "must be single line"),
        ("destinationArn", "nothing", "Invalid ARN"),
    ],
)
def test_access_log_that_cannot_be_is_refused(
    live_engine: RunningEngine, api_id: str, name: str, value: str, message: str
) -> None:
    with pytest.raises(ClientError) as refused:
        live_engine.client("apigateway").update_stage(
            restApiId=api_id,
            stageName="dev",
            patchOperations=[
                {"op": "replace", "path": f"/accessLogSettings/{name}", "value": value}
            ],
        )
    error = refused.value.response["Error"]
    assert error["Code"] == "BadRequestException"
    assert message in error["Message"]


def test_method_that_is_tested_has_the_same_log(live_engine: RunningEngine, api_id: str) -> None:
    client = live_engine.client("apigateway")
    resources = client.get_resources(restApiId=api_id)["items"]
    resource_id = next(each["id"] for each in resources if each["path"] == "/pets/{id}")
    ran = client.test_invoke_method(
        restApiId=api_id,
        resourceId=resource_id,
        httpMethod="GET",
        pathWithQueryString="/pets/7?a=1",
    )
    lines = [line.partition(" : ")[2] for line in ran["log"].splitlines()]
    assert "Method request query string: {a=1}" in lines
    assert lines[-1] == "Method completed with status: 200"
    assert not [line for line in lines if "Usage Plan" in line]
