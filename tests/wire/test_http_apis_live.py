"""HTTP APIs of a live engine: made with boto3, called over HTTP, with real functions behind."""

import http.client
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fakes_functions import archive
from lamington.core.http import Headers
from lamington.testing import Answer, RunningEngine

HANDLER = """
import json

def handler(event, context):
    if event.get("type") == "REQUEST":
        return {"isAuthorized": event["identitySource"] == ["let me in"], "context": {"who": "me"}}
    path = event.get("rawPath") or event["path"]
    if path.endswith("/cookies"):
        return {"statusCode": 201, "cookies": ["a=1", "b=2"], "body": "made"}
    if path.endswith("/fails"):
        raise ValueError("no")
    return event
"""


class _Echo(BaseHTTPRequestHandler):
    """Answers what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        answer = {
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode(),
        }
        content = json.dumps(answer).encode()
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Endpoint", "1")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST

    def log_message(self, format: str, *arguments: Any) -> None:
        return


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class HttpApi:
    """An HTTP API of a live engine."""

    def __init__(self, engine: RunningEngine, name: str, **members: Any) -> None:
        self.client = engine.client("apigatewayv2")
        self._functions = engine.client("lambda")
        self._host = engine.endpoint_url.removeprefix("http://")
        self.api_id = self.client.create_api(Name=name, ProtocolType="HTTP", **members)["ApiId"]
        self.client.create_stage(ApiId=self.api_id, StageName="$default", AutoDeploy=True)

    @property
    def port(self) -> str:
        return self._host.rpartition(":")[2]

    def function(self, name: str) -> str:
        """The ARN of a new function that this API may call."""
        made = self._functions.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Handler="app.handler",
            Role="arn:aws:iam::123456789012:role/r",
            Code={"ZipFile": archive(HANDLER)},
        )
        self._functions.add_permission(
            FunctionName=name,
            StatementId="gateway",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
        )
        return str(made["FunctionArn"])

    def integration(self, **members: Any) -> str:
        """The target of a new integration."""
        made = self.client.create_integration(ApiId=self.api_id, **members)
        return f"integrations/{made['IntegrationId']}"

    def route(self, key: str, target: str, **members: Any) -> None:
        self.client.create_route(ApiId=self.api_id, RouteKey=key, Target=target, **members)

    def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(self._host, timeout=30)
        host = f"{self.api_id}.execute-api.localhost:{self.port}"
        try:
            connection.request(method, path, body or None, {"Host": host, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, Headers(answer.getheaders()), answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def api(live_engine: RunningEngine) -> HttpApi:
    made = HttpApi(
        live_engine,
        "functions",
        CorsConfiguration={"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"]},
    )
    arn = made.function("http-api-two")
    two = made.integration(
        IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
    )
    one = made.integration(
        IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="1.0"
    )
    authorizer = made.client.create_authorizer(
        ApiId=made.api_id,
        Name="asks",
        AuthorizerType="REQUEST",
        AuthorizerUri=(
            f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"
        ),
        AuthorizerPayloadFormatVersion="2.0",
        EnableSimpleResponses=True,
        IdentitySource=["$request.header.Authorization"],
    )
    made.route("ANY /two/{proxy+}", two)
    made.route("GET /one/{id}", one)
    made.route("GET /signed", two, AuthorizationType="AWS_IAM")
    made.route(
        "GET /asked",
        two,
        AuthorizationType="CUSTOM",
        AuthorizerId=authorizer["AuthorizerId"],
    )
    return made


def test_function_gets_the_event_of_format_two(api: HttpApi) -> None:
    answer = api.send("POST", "/two/a%20b?x=1&x=2", b"hi", {"Cookie": "c=1"})
    event = json.loads(answer.body)
    assert answer.status == 200
    assert answer.headers.get("content-type") == "application/json"
    assert answer.headers.get("apigw-requestid") == event["requestContext"]["requestId"]
    assert event["rawPath"] == "/two/a b"
    assert event["queryStringParameters"] == {"x": "1,2"}
    assert event["cookies"] == ["c=1"]
    assert (event["body"], event["isBase64Encoded"]) == ("aGk=", True)


def test_cookies_of_an_answer_are_headers_each(api: HttpApi) -> None:
    answer = api.send("GET", "/two/cookies")
    assert (answer.status, answer.body) == (201, b"made")
    assert answer.headers.all("set-cookie") == ["a=1", "b=2"]


def test_failing_function_is_500(api: HttpApi) -> None:
    answer = api.send("GET", "/two/fails")
    assert (answer.status, answer.body) == (500, b'{"message":"Internal Server Error"}')


def test_answer_of_format_one_is_strict(api: HttpApi) -> None:
    assert api.send("GET", "/one/7").status == 500


def test_preflight_is_answered_by_the_gateway(api: HttpApi) -> None:
    answer = api.send(
        "OPTIONS",
        "/asked",
        headers={"Origin": "https://a.example", "Access-Control-Request-Method": "GET"},
    )
    assert answer.status == 204
    assert answer.headers.get("access-control-allow-origin") == "https://a.example"


def test_authorizer_lets_pass_and_denies(api: HttpApi) -> None:
    statuses = [
        api.send("GET", "/asked", headers=headers).status
        for headers in ({}, {"Authorization": "please"}, {"Authorization": "let me in"})
    ]
    assert statuses == [401, 403, 200]


def test_unknown_route_is_404(api: HttpApi) -> None:
    answer = api.send("GET", "/none")
    assert (answer.status, answer.body) == (404, b'{"message":"Not Found"}')
    assert "x-amzn-errortype" not in answer.headers


def test_signed_request_passes_iam(api: HttpApi) -> None:
    host = f"{api.api_id}.execute-api.localhost:{api.port}"
    request = AWSRequest(method="GET", url=f"http://{host}/signed?x=1", headers={"Host": host})
    credentials = Credentials("210987654321", "test")
    SigV4Auth(credentials, "execute-api", "us-east-1").add_auth(request)
    answer = api.send("GET", "/signed?x=1", headers=dict(request.headers))
    unsigned = api.send("GET", "/signed?x=1")
    assert answer.status == 200
    caller = json.loads(answer.body)["requestContext"]["authorizer"]["iam"]
    assert caller["accountId"] == "210987654321"
    assert caller["accessKey"] == "210987654321"
    assert (unsigned.status, unsigned.body) == (403, b'{"message":"Forbidden"}')


def test_endpoint_gets_the_request(live_engine: RunningEngine, endpoint: str) -> None:
    api = HttpApi(live_engine, "endpoints")
    target = api.integration(
        IntegrationType="HTTP_PROXY",
        IntegrationMethod="ANY",
        IntegrationUri=f"{endpoint}/pets/{{proxy}}",
        PayloadFormatVersion="1.0",
        RequestParameters={"append:header.x-added": "$request.path.proxy"},
        ResponseParameters={"202": {"overwrite:statuscode": "200"}},
    )
    api.route("ANY /{proxy+}", target)
    answer = api.send("POST", "/cats/1?q=x", b"body", {"X-Sent": "1"})
    echoed = json.loads(answer.body)
    assert answer.status == 200
    assert answer.headers.get("x-endpoint") == "1"
    assert echoed["path"] == "/pets/cats/1?q=x"
    assert echoed["body"] == "body"
    assert echoed["headers"]["x-sent"] == "1"
    assert echoed["headers"]["x-added"] == "cats/1"
    assert "proto=https" in echoed["headers"]["forwarded"]
    assert "x-forwarded-for" not in echoed["headers"]


def test_endpoint_that_is_not_there_is_503(live_engine: RunningEngine) -> None:
    api = HttpApi(live_engine, "nobody")
    target = api.integration(
        IntegrationType="HTTP_PROXY",
        IntegrationMethod="GET",
        IntegrationUri="http://127.0.0.1:9/",
        PayloadFormatVersion="1.0",
    )
    api.route("$default", target)
    answer = api.send("GET", "/")
    assert (answer.status, answer.body) == (503, b'{"message":"Service Unavailable"}')


def test_access_log_and_metrics_are_kept(live_engine: RunningEngine, endpoint: str) -> None:
    api = HttpApi(live_engine, "told")
    target = api.integration(
        IntegrationType="HTTP_PROXY",
        IntegrationMethod="GET",
        IntegrationUri=f"{endpoint}/",
        PayloadFormatVersion="1.0",
    )
    api.route("GET /told", target)
    api.client.update_stage(
        ApiId=api.api_id,
        StageName="$default",
        AccessLogSettings={
            "DestinationArn": "arn:aws:logs:us-east-1:123456789012:log-group:http-access",
            "Format": "$context.routeKey $context.status $context.integrationStatus"
            " $context.requestId",
        },
    )
    answer = api.send("GET", "/told")
    api.send("GET", "/none")
    logs = live_engine.client("logs", account_id="123456789012")
    lines = [
        each["message"] for each in logs.filter_log_events(logGroupName="http-access")["events"]
    ]
    assert lines[0] == f"GET /told 202 202 {answer.headers.get('apigw-requestid')}"
    assert lines[1].startswith("- 404 - ")
    now = datetime.now(UTC)
    statistics = live_engine.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/ApiGateway",
        MetricName="4xx",
        Dimensions=[{"Name": "ApiId", "Value": api.api_id}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=600,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    assert sum(each["Sum"] for each in statistics) == 1.0
    assert sum(each["SampleCount"] for each in statistics) == 2.0
