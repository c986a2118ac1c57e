"""Parameter mapping of HTTP APIs, and integrations with AWS services, whose parameters are such."""

import json

import pytest

from http_api_world import FakeCaller, SmallHttpApi, lambda_integration, service_integration
from lamington.core.http import Headers


async def _mapped(mappings: dict[str, str], target: str = "GET /a", **options: object) -> object:
    api = SmallHttpApi("$default", integration=lambda_integration(request_parameters=mappings))
    await api.send(target, **options)  # type: ignore[arg-type]
    return api.event


async def test_sources_are_read_before_anything_changes() -> None:
    event = await _mapped(
        {
            "overwrite:header.x-a": "$request.header.x-b",
            "overwrite:header.x-b": "$request.header.x-a",
        },
        headers={"X-A": "1", "X-B": "2"},
    )
    assert isinstance(event, dict)
    assert (event["headers"]["x-a"], event["headers"]["x-b"]) == ("2", "1")


async def test_missing_source_changes_nothing() -> None:
    event = await _mapped({"overwrite:header.x-a": "$request.header.none"}, headers={"X-A": "1"})
    assert isinstance(event, dict)
    assert event["headers"]["x-a"] == "1"


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("$request.header.X-One", "1,2"),
        ("$request.header.cookie", "c=1"),
        ("$request.querystring.q", "x,y"),
        ("$request.path", "/a b"),
        ("$request.body", '{"n":1}'),
        ("$request.body.n", "1"),
        ("${request.body.n}/${request.querystring.q}", "1/x,y"),
        ("$context.httpMethod", "POST"),
        ("$context.identity.sourceIp", "127.0.0.1"),
        ("$context.protocol", "HTTP/1.1"),
        ("plain $ text", "plain $ text"),
        ("${request.header.none}|", "|"),
    ],
)
async def test_source_has_a_value(source: str, value: str) -> None:
    event = await _mapped(
        {"append:header.x-found": source},
        "POST /a%20b?q=x&q=y",
        headers=[("X-One", "1"), ("x-one", "2"), ("Cookie", "c=1")],
        body=b'{"n":1}',
    )
    assert isinstance(event, dict)
    assert event["headers"]["x-found"] == value


@pytest.mark.parametrize(
    "source",
    [
        "$request.body.x",
        "$request.unknown.x",
        "$context.unknown",
        "$context.authorizer.claims",
        "$stageVariables.none",
        "$response.header.x",
        "$request.body.a..b",
        "$request.body.a[?(@.b)]",
    ],
)
async def test_source_without_a_value_is_left_out(source: str) -> None:
    event = await _mapped({"append:header.x-found": source}, body=b"not json")
    assert isinstance(event, dict)
    assert "x-found" not in event["headers"]


def test_body_path_that_is_none_is_a_problem_of_the_route() -> None:
    api = SmallHttpApi(
        "$default",
        integration=lambda_integration(
            request_parameters={"append:header.x-a": "$request.body.a..b"}
        ),
    )
    assert "not supported" in api.program.problems[0].message


async def test_mapping_changes_the_event_of_format_one() -> None:
    api = SmallHttpApi(
        "$default",
        integration=lambda_integration(
            "1.0",
            request_parameters={"append:header.X-A": "2", "overwrite:path": "/other"},
        ),
    )
    await api.send("GET /a", headers={"X-A": "1"})
    assert api.event["headers"]["X-A"] == "1,2"
    assert api.event["path"] == "/other"
    assert api.event["requestContext"]["path"] == "/a"


async def test_response_mapping_reads_header_and_body_of_the_answer() -> None:
    api = SmallHttpApi(
        "$default",
        handler=lambda event: {"statusCode": 200, "headers": {"X-A": "1"}, "body": '{"k":[1]}'},
        integration=lambda_integration(
            response_parameters={
                "200": {
                    "append:header.x-b": "$response.header.x-a",
                    "append:header.x-c": "$response.body.k",
                    "overwrite:statuscode": "$response.body.none",
                }
            }
        ),
    )
    response = await api.send("GET /")
    headers = Headers(response.headers)
    assert (response.status, headers.get("x-b"), headers.get("x-c")) == (200, "1", "[1]")


async def test_response_of_the_gateway_itself_is_not_mapped() -> None:
    api = SmallHttpApi(
        "$default",
        handler=lambda event: b"\x00",
        integration=lambda_integration(
            response_parameters={"500": {"overwrite:statuscode": "200"}}
        ),
    )
    assert (await api.send("GET /")).status == 500


# Services.


async def test_queue_is_answered_as_its_query_protocol_does() -> None:
    api = SmallHttpApi(
        "$default",
        integration=service_integration(
            "SQS-SendMessage",
            QueueUrl="https://sqs.local/123456789012/q",
            MessageBody="$request.body",
        ),
    )
    api.aws.queues["eu-west-1/123456789012/q"] = []
    response = await api.send("POST /", body=b"hi")
    assert dict(response.headers)["content-type"] == "text/xml"
    assert b"<SendMessageResult><MessageId>1</MessageId></SendMessageResult>" in response.body
    assert api.aws.queues["eu-west-1/123456789012/q"][0]["Body"] == "hi"


async def test_refusal_of_a_service_is_the_clients() -> None:
    api = SmallHttpApi(
        "$default",
        integration=service_integration(
            "SQS-SendMessage",
            QueueUrl="https://sqs.local/123456789012/none",
            MessageBody="$request.body",
        ),
    )
    response = await api.send("POST /", body=b"hi")
    assert response.status == 400
    assert b"<Code>QueueDoesNotExist</Code>" in response.body


async def test_messages_are_received_as_flat_elements() -> None:
    api = SmallHttpApi(
        "$default",
        integration=service_integration(
            "SQS-ReceiveMessage",
            QueueUrl="https://sqs.local/123456789012/q",
            MaxNumberOfMessages="2",
        ),
    )
    api.aws.queues["eu-west-1/123456789012/q"] = [{"Body": "<1>", "Attributes": {"A": "x"}}]
    response = await api.send("POST /")
    assert b"<Message><Body>&lt;1&gt;</Body>" in response.body
    assert b"<Attribute><Name>A</Name><Value>x</Value></Attribute>" in response.body


async def test_region_of_a_service_is_a_parameter() -> None:
    api = SmallHttpApi(
        "$default",
        integration=service_integration(
            "EventBridge-PutEvents",
            Detail="$request.body",
            DetailType="t",
            Source="s",
            Time="1700000000",
            Region="us-west-2",
        ),
    )
    response = await api.send("POST /", body=b"{}")
    assert api.aws.called[-1][1].region == "us-west-2"
    assert json.loads(response.body)["FailedEntryCount"] == 0


@pytest.mark.parametrize("parameters", [{"DelaySeconds": "soon"}, {"MessageAttributes": "{"}])
async def test_parameter_of_another_form_is_400(parameters: dict[str, str]) -> None:
    api = SmallHttpApi(
        "$default",
        integration=service_integration(
            "SQS-SendMessage", QueueUrl="https://sqs.local/1/q", MessageBody="x", **parameters
        ),
    )
    assert (await api.send("POST /")).status == 400


async def test_service_needs_a_role() -> None:
    api = SmallHttpApi(
        "$default",
        integration=lambda_integration(integration_uri="", integration_subtype="SQS-PurgeQueue"),
    )
    assert (await api.send("POST /")).status == 500
    assert "permissions" in api.reports[0]


async def test_unknown_subtype_fails_its_route() -> None:
    api = SmallHttpApi("$default", integration=service_integration("SNS-Publish"))
    assert (await api.send("POST /")).status == 500


async def test_service_that_is_not_emulated_is_told_when_it_is_deployed() -> None:
    api = SmallHttpApi(
        "$default",
        integration=service_integration("SQS-PurgeQueue", QueueUrl="https://sqs.local/1/q"),
        emulates=lambda operation: False,
    )
    assert "`sqs:PurgeQueue`" in api.program.problems[0].message
    assert (await api.send("POST /")).status == 500


@pytest.mark.parametrize(
    ("subtype", "parameters", "operation", "params"),
    [
        (
            "StepFunctions-StartExecution",
            {"StateMachineArn": "m", "Input": "$request.body"},
            "stepfunctions:StartExecution",
            {"stateMachineArn": "m", "input": "{}"},
        ),
        (
            "StepFunctions-StartSyncExecution",
            {"StateMachineArn": "m", "Name": "n"},
            "stepfunctions:StartSyncExecution",
            {"stateMachineArn": "m", "name": "n"},
        ),
        (
            "StepFunctions-StopExecution",
            {"ExecutionArn": "e", "Cause": "c", "Error": "x"},
            "stepfunctions:StopExecution",
            {"executionArn": "e", "cause": "c", "error": "x"},
        ),
        (
            "Kinesis-PutRecord",
            {"StreamName": "s", "Data": "$request.body", "PartitionKey": "k"},
            "kinesis:PutRecord",
            {"StreamName": "s", "Data": b"{}", "PartitionKey": "k"},
        ),
        (
            "SQS-SendMessage",
            {
                "QueueUrl": "q",
                "MessageBody": "b",
                "DelaySeconds": "3",
                "MessageAttributes": '{"a":{"DataType":"String","StringValue":"x"}}',
            },
            "sqs:SendMessage",
            {
                "QueueUrl": "q",
                "MessageBody": "b",
                "DelaySeconds": 3,
                "MessageAttributes": {"a": {"DataType": "String", "StringValue": "x"}},
            },
        ),
        (
            "SQS-DeleteMessage",
            {"QueueUrl": "q", "ReceiptHandle": "$request.querystring.r"},
            "sqs:DeleteMessage",
            {"QueueUrl": "q", "ReceiptHandle": "h"},
        ),
        (
            "AppConfig-GetConfiguration",
            {"Application": "a", "Environment": "e", "Configuration": "c", "ClientId": "i"},
            "appconfig:GetConfiguration",
            {"Application": "a", "Environment": "e", "Configuration": "c", "ClientId": "i"},
        ),
    ],
)
async def test_service_gets_its_parameters(
    subtype: str, parameters: dict[str, str], operation: str, params: dict[str, object]
) -> None:
    caller = FakeCaller({})
    api = SmallHttpApi(
        "$default", integration=service_integration(subtype, **parameters), caller=caller
    )
    assert (await api.send("POST /?r=h", body=b"{}")).status == 200
    assert caller.called == [(operation, params)]


async def test_configuration_is_answered_with_its_own_type() -> None:
    result = {"Content": b"on: true", "ContentType": "application/x-yaml"}
    api = SmallHttpApi(
        "$default",
        integration=service_integration(
            "AppConfig-GetConfiguration",
            Application="a",
            Environment="e",
            Configuration="c",
            ClientId="i",
        ),
        caller=FakeCaller(result),
    )
    response = await api.send("GET /")
    assert response.body == b"on: true"
    assert dict(response.headers)["content-type"] == "application/x-yaml"
