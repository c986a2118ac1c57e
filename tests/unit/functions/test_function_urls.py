"""Function URLs: who may ask, what the function gets, what the client gets."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import ARN, FakeStream
from lamington.core.errors import AwsError, FunctionError
from lamington.core.http import Response
from lamington.functions.entities import (
    ResourceConflictException,
    ResourceNotFoundException,
    TooManyRequestsException,
    ValidationException,
)
from lamington.functions.invoke import Invocation, InvocationResult
from url_world import CALLER, UrlWorld, url_world

FORBIDDEN = (
    b'{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see:'
    b' https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}'
)
PRELUDE = b'{"statusCode":201,"headers":{"X-A":"b"},"cookies":["c=1"]}' + b"\0" * 8
HTTP_STREAM = "application/vnd.awslambda.http-integration-response"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[UrlWorld]:
    with url_world(tmp_path) as made:
        yield made


def header(response: Response, name: str) -> str | None:
    return next((value for key, value in response.headers if key.lower() == name.lower()), None)


async def body_of(stream: AsyncIterator[bytes] | None) -> bytes:
    assert stream is not None
    return b"".join([piece async for piece in stream])


# The control plane


async def test_url_is_made_shown_changed_and_deleted(world: UrlWorld) -> None:
    await world.api.create()
    created = await world.api.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
    assert created.keys() == {"FunctionUrl", "FunctionArn", "AuthType", "CreationTime"}
    assert created["FunctionArn"] == f"{ARN}:f"
    found = await world.api.call("GetFunctionUrlConfig", FunctionName="f")
    assert found == {
        **created,
        "LastModifiedTime": created["CreationTime"],
        "InvokeMode": "BUFFERED",
    }
    cors = {"AllowOrigins": ["*"]}
    changed = await world.api.call(
        "UpdateFunctionUrlConfig", FunctionName="f", InvokeMode="RESPONSE_STREAM", Cors=cors
    )
    kept = await world.api.call("UpdateFunctionUrlConfig", FunctionName="f", AuthType="AWS_IAM")
    assert (changed["InvokeMode"], changed["Cors"]) == ("RESPONSE_STREAM", cors)
    assert (kept["InvokeMode"], kept["Cors"], kept["AuthType"]) == (
        "RESPONSE_STREAM",
        cors,
        "AWS_IAM",
    )
    await world.api.call("DeleteFunctionUrlConfig", FunctionName="f")
    with pytest.raises(ResourceNotFoundException, match=r"^The resource you requested does not"):
        await world.api.call("GetFunctionUrlConfig", FunctionName="f")


async def test_second_url_of_a_function_is_refused(world: UrlWorld) -> None:
    await world.create()
    with pytest.raises(ResourceConflictException) as refused:
        await world.api.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
    assert refused.value.message == (
        f"Failed to create function url config for [functionArn = {ARN}:f]. Error message:"
        "  FunctionUrlConfig exists for this Lambda function"
    )


async def test_alias_has_a_url_of_its_own(world: UrlWorld) -> None:
    await world.create()
    await world.api.call("PublishVersion", FunctionName="f")
    await world.api.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    created = await world.api.call(
        "CreateFunctionUrlConfig", FunctionName="f", Qualifier="live", AuthType="NONE"
    )
    assert created["FunctionArn"] == f"{ARN}:f:live"
    listed = await world.api.call("ListFunctionUrlConfigs", FunctionName="f")
    assert [each["FunctionArn"] for each in listed["FunctionUrlConfigs"]] == [
        f"{ARN}:f",
        f"{ARN}:f:live",
    ]


@pytest.mark.parametrize("qualifier", ["1", "$LATEST"])
async def test_version_has_no_url(world: UrlWorld, qualifier: str) -> None:
    await world.api.create()
    with pytest.raises(ValidationException, match="'qualifier' failed to satisfy constraint"):
        await world.api.call(
            "CreateFunctionUrlConfig", FunctionName="f", Qualifier=qualifier, AuthType="NONE"
        )


@pytest.mark.parametrize("name", ["nobody", "f:nobody"])
async def test_url_needs_a_function(world: UrlWorld, name: str) -> None:
    await world.api.create()
    with pytest.raises(ResourceNotFoundException, match=r"^Function does not exist$"):
        await world.api.call("CreateFunctionUrlConfig", FunctionName=name, AuthType="NONE")


async def test_url_goes_with_its_function(world: UrlWorld) -> None:
    url_id = await world.create()
    await world.api.call("DeleteFunction", FunctionName="f")
    await world.api.create()
    assert (await world.ask(url_id)).body == b'{"Message":null}'
    with pytest.raises(ResourceNotFoundException):
        await world.api.call("GetFunctionUrlConfig", FunctionName="f")


# Who may


async def test_unknown_url_is_forbidden_without_a_word(world: UrlWorld) -> None:
    response = await world.ask("nothing")
    assert (response.status, response.body) == (403, b'{"Message":null}')
    assert header(response, "x-amzn-ErrorType") == "AccessDeniedException"


@pytest.mark.parametrize(
    ("actions", "status"),
    [
        ((), 403),
        (("lambda:InvokeFunctionUrl",), 403),
        (("lambda:InvokeFunction",), 403),
        (("lambda:InvokeFunctionUrl", "lambda:InvokeFunction"), 200),
    ],
)
async def test_public_url_needs_both_statements(
    world: UrlWorld, actions: tuple[str, ...], status: int
) -> None:
    url_id = await world.create(permitted=False)
    assert (await world.ask(url_id)).status == 403
    if actions:
        await world.permit(*actions)
    response = await world.ask(url_id)
    assert response.status == status
    if status == 403:
        assert response.body == FORBIDDEN
        assert header(response, "x-amzn-ErrorType") == "AccessDeniedException"


async def test_statement_for_signed_requests_opens_nothing_to_everybody(world: UrlWorld) -> None:
    url_id = await world.create(permitted=False)
    await world.permit(FunctionUrlAuthType="AWS_IAM")
    assert (await world.ask(url_id)).status == 403


async def test_statement_that_is_taken_away_closes_the_url(world: UrlWorld) -> None:
    url_id = await world.create()
    assert (await world.ask(url_id)).status == 200
    await world.api.call("RemovePermission", FunctionName="f", StatementId="InvokeFunction")
    assert (await world.ask(url_id)).status == 403


async def test_signed_url_refuses_who_has_not_signed(world: UrlWorld) -> None:
    url_id = await world.create(AuthType="AWS_IAM")
    response = await world.ask(url_id)
    assert (response.status, response.body) == (403, FORBIDDEN)


async def test_signed_url_tells_the_function_who_calls(world: UrlWorld) -> None:
    url_id = await world.create(AuthType="AWS_IAM")
    world.caller = CALLER
    assert (await world.ask(url_id)).status == 200
    context = world.event()["requestContext"]
    assert context["accountId"] == "111111111111"
    assert context["authorizer"] == {
        "iam": {
            "accessKey": "AKIAEXAMPLE",
            "accountId": "111111111111",
            "callerId": "AIDAEXAMPLE",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": "arn:aws:iam::111111111111:user/ada",
            "userId": "AIDAEXAMPLE",
        }
    }


# What the function gets


async def test_event_is_of_format_2(world: UrlWorld) -> None:
    url_id = await world.create()
    response = await world.ask(
        url_id,
        "/my/path?p=1&p=2&q=a%20b",
        "POST",
        [
            ("User-Agent", "curl/8"),
            ("Content-Type", "application/json"),
            ("Cookie", "a=1; b=2"),
            ("X-Two", "One"),
            ("x-two", "Two"),
        ],
        b'{"k":1}',
    )
    request_id = header(response, "x-amzn-RequestId")
    trace_id = header(response, "X-Amzn-Trace-Id")
    [invocation] = world.api.invoker.invocations
    assert (invocation.request_id, invocation.trace_id) == (request_id, trace_id)
    assert invocation.function_arn == f"{ARN}:f"
    assert world.event() == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/my/path",
        "rawQueryString": "p=1&p=2&q=a%20b",
        "cookies": ["a=1", "b=2"],
        "headers": {
            "host": "127.0.0.1:4566",
            "user-agent": "curl/8",
            "content-type": "application/json",
            "x-two": "One,Two",
            "x-amzn-trace-id": trace_id,
            "x-forwarded-for": "1.2.3.4",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
            "x-amzn-tls-version": "TLSv1.3",
            "x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256",
        },
        "queryStringParameters": {"p": "1,2", "q": "a b"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": url_id,
            "domainName": f"{url_id}.lambda-url.us-east-1.on.aws",
            "domainPrefix": url_id,
            "http": {
                "method": "POST",
                "path": "/my/path",
                "protocol": "HTTP/1.1",
                "sourceIp": "1.2.3.4",
                "userAgent": "curl/8",
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1767225600000,
        },
        "body": '{"k":1}',
        "isBase64Encoded": False,
    }


async def test_absent_members_are_left_out(world: UrlWorld) -> None:
    url_id = await world.create()
    await world.ask(url_id)
    event = world.event()
    assert not event.keys() & {"cookies", "queryStringParameters", "body"}
    assert (event["rawPath"], event["rawQueryString"], event["isBase64Encoded"]) == ("/", "", False)
    assert "authorizer" not in event["requestContext"]


async def test_path_stays_as_it_was_sent(world: UrlWorld) -> None:
    url_id = await world.create()
    await world.ask(url_id, "/pa2%Fth/1")
    assert world.event()["rawPath"] == "/pa2%Fth/1"
    assert world.event()["requestContext"]["http"]["path"] == "/pa2%Fth/1"


async def test_name_of_the_url_is_the_host_where_it_was_asked_by_it(world: UrlWorld) -> None:
    url_id = await world.create()
    host = f"{url_id}.lambda-url.us-east-1.localhost:4566"
    await world.ask(url_id, host=host)
    assert world.event()["requestContext"]["domainName"] == host


async def test_trace_of_the_client_goes_on(world: UrlWorld) -> None:
    url_id = await world.create()
    sent = "Root=1-67891233-abcdef012345678912345678;Parent=0123456789abcdef;Sampled=1"
    response = await world.ask(url_id, headers={"X-Amzn-Trace-Id": sent})
    assert world.api.invoker.invocations[0].trace_id == sent
    assert header(response, "X-Amzn-Trace-Id") == sent


@pytest.mark.parametrize(
    ("content_type", "body", "is_base64"),
    [
        ("text/plain; charset=utf-8", b"caf\xc3\xa9", False),
        ("application/json", b"{}", False),
        ("application/xml", b"<a/>", False),
        ("application/javascript", b"1", False),
        ("image/png", b"\x89PNG", True),
        ("multipart/form-data; boundary=x", b"--x", True),
        ("application/x-www-form-urlencoded", b"a=1", True),
        ("application/octet-stream", b"abc", True),
        ("", b"\xff\xfe", True),
    ],
)
async def test_body_is_text_or_base64_by_its_type(
    world: UrlWorld, content_type: str, body: bytes, is_base64: bool
) -> None:
    url_id = await world.create()
    await world.ask(url_id, "/", "POST", {"Content-Type": content_type}, body)
    event = world.event()
    assert event["isBase64Encoded"] is is_base64
    assert event["body"] == (base64.b64encode(body).decode() if is_base64 else body.decode())


async def test_request_that_is_too_large_is_refused(world: UrlWorld) -> None:
    url_id = await world.create()
    response = await world.ask(url_id, "/", "POST", {"Content-Type": "text/plain"}, b"x" * 6291456)
    assert response.status == 413
    assert world.api.invoker.invocations == []


# What the client gets


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b'{"hello": "world"}', b'{"hello":"world"}'),
        (b'["hello", 3, true]', b'["hello",3,true]'),
        (b'"hello"', b"hello"),
        (b"3", b"3"),
        (b"true", b"true"),
        (b"null", b"null"),
        (b'{"body": "no status"}', b'{"body":"no status"}'),
    ],
)
async def test_answer_without_a_status_is_the_body(
    world: UrlWorld, answer: bytes, body: bytes
) -> None:
    url_id = await world.create()
    world.answers(answer)
    response = await world.ask(url_id)
    assert (response.status, response.body) == (200, body)
    assert header(response, "Content-Type") == "application/json"


async def test_answer_with_a_status_is_a_response(world: UrlWorld) -> None:
    url_id = await world.create()
    world.answers(
        {
            "statusCode": "418",
            "headers": {"content-type": "text/html", "X-Number": 5, "X-No": None},
            "cookies": ["a=1; Secure", "b=2"],
            "body": "<p>",
        }
    )
    response = await world.ask(url_id)
    assert (response.status, response.body) == (418, b"<p>")
    assert response.headers[:4] == [
        ("content-type", "text/html"),
        ("X-Number", "5"),
        ("Set-Cookie", "a=1; Secure"),
        ("Set-Cookie", "b=2"),
    ]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        ({"statusCode": 200}, b""),
        ({"statusCode": 200, "body": "aGk=", "isBase64Encoded": True}, b"hi"),
        ({"statusCode": 200, "body": "aGk=", "isBase64Encoded": False}, b"aGk="),
        ({"statusCode": 200, "body": {"a": [1, 2]}}, b'{"a":[1,2]}'),
    ],
)
async def test_body_of_a_response(world: UrlWorld, answer: Any, body: bytes) -> None:
    url_id = await world.create()
    world.answers(answer)
    response = await world.ask(url_id)
    assert (response.status, response.body) == (200, body)
    assert header(response, "Content-Type") == "application/json"


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": "fine"},
        {"statusCode": 99},
        {"statusCode": 101},
        {"statusCode": 600},
        {"statusCode": True},
        {"statusCode": None},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"a": ["b"]}},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "body": "!", "isBase64Encoded": True},
    ],
)
async def test_response_that_is_none_is_a_bad_gateway(world: UrlWorld, answer: Any) -> None:
    url_id = await world.create()
    world.answers(answer)
    response = await world.ask(url_id)
    assert (response.status, response.body) == (502, b"Internal Server Error")


async def test_function_that_fails_is_a_bad_gateway(world: UrlWorld) -> None:
    url_id = await world.create()
    world.answers({"errorMessage": "no", "errorType": "E"}, error="Unhandled")
    response = await world.ask(url_id)
    assert (response.status, response.body) == (502, b"Internal Server Error")


class RefusingInvoker:
    """Refuses every invocation."""

    def __init__(self, error: AwsError) -> None:
        self.error = error

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        raise self.error

    async def invoke_streamed(self, invocation: Invocation) -> FakeStream:
        raise self.error

    def knows(self, function_arn: str) -> bool:
        return False


async def test_throttled_request_is_told_why(world: UrlWorld) -> None:
    url_id = await world.create()
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    error = TooManyRequestsException("Rate Exceeded.", Reason=reason)
    world.urls._invoker = RefusingInvoker(error)
    response = await world.ask(url_id)
    assert response.status == 429
    assert json.loads(response.body) == {
        "Reason": reason,
        "Type": "User",
        "message": "Rate Exceeded.",
    }


# Cross-origin requests

CORS = {
    "AllowOrigins": ["https://a.example"],
    "AllowMethods": ["GET", "POST"],
    "AllowHeaders": ["x-one", "x-two"],
    "ExposeHeaders": ["x-three"],
    "AllowCredentials": True,
    "MaxAge": 300,
}


async def test_preflight_is_answered_without_the_function(world: UrlWorld) -> None:
    url_id = await world.create(Cors=CORS)
    response = await world.ask(
        url_id,
        "/",
        "OPTIONS",
        {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"},
    )
    assert world.api.invoker.invocations == []
    assert (response.status, response.body) == (200, b"")
    assert response.headers[:6] == [
        ("Access-Control-Allow-Origin", "https://a.example"),
        ("Vary", "Origin"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Allow-Methods", "GET,POST"),
        ("Access-Control-Allow-Headers", "x-one,x-two"),
        ("Access-Control-Max-Age", "300"),
    ]


async def test_preflight_of_a_foreign_origin_allows_nothing(world: UrlWorld) -> None:
    url_id = await world.create(Cors=CORS)
    response = await world.ask(url_id, "/", "OPTIONS", {"Origin": "https://b.example"})
    assert header(response, "Access-Control-Allow-Origin") is None


async def test_cors_of_the_url_overrides_that_of_the_function(world: UrlWorld) -> None:
    url_id = await world.create(Cors=CORS)
    world.answers({"statusCode": 200, "headers": {"access-control-allow-origin": "*", "x-a": "b"}})
    response = await world.ask(url_id, headers={"Origin": "https://a.example"})
    assert [value for name, value in response.headers if name.lower().endswith("allow-origin")] == [
        "https://a.example"
    ]
    assert header(response, "Access-Control-Expose-Headers") == "x-three"
    assert header(response, "x-a") == "b"


async def test_without_cors_the_function_answers_for_itself(world: UrlWorld) -> None:
    url_id = await world.create()
    world.answers({"statusCode": 204, "headers": {"Access-Control-Allow-Origin": "*"}})
    response = await world.ask(url_id, "/", "OPTIONS", {"Origin": "https://a.example"})
    assert response.status == 204
    assert header(response, "Access-Control-Allow-Origin") == "*"


# Streams


@pytest.mark.parametrize("cut", [1, 20, len(PRELUDE) - 4, len(PRELUDE), len(PRELUDE) + 2])
async def test_prelude_may_be_split_anywhere(world: UrlWorld, cut: int) -> None:
    url_id = await world.create(InvokeMode="RESPONSE_STREAM")
    whole = PRELUDE + b"body"
    world.api.invoker.streamed = FakeStream([whole[:cut], whole[cut:], b"more"], HTTP_STREAM)
    response = await world.ask(url_id)
    assert response.status == 201
    assert response.headers[:3] == [
        ("X-A", "b"),
        ("Content-Type", "application/octet-stream"),
        ("Set-Cookie", "c=1"),
    ]
    assert await body_of(response.stream) == b"bodymore"


async def test_stream_of_another_type_is_the_body(world: UrlWorld) -> None:
    url_id = await world.create(InvokeMode="RESPONSE_STREAM")
    world.api.invoker.streamed = FakeStream([b"<p>", b"</p>"], "text/html")
    response = await world.ask(url_id)
    assert (response.status, header(response, "Content-Type")) == (200, "text/html")
    assert await body_of(response.stream) == b"<p></p>"


async def test_function_that_does_not_stream_answers_as_ever(world: UrlWorld) -> None:
    url_id = await world.create(InvokeMode="RESPONSE_STREAM")
    world.api.invoker.streamed = FakeStream([b'{"statusCode":202,"body":"x"}'])
    response = await world.ask(url_id)
    assert (response.status, response.body, response.stream) == (202, b"x", None)


@pytest.mark.parametrize(
    "streamed",
    [
        FakeStream([], "", failure="Unhandled"),
        FakeStream([], "text/html", failure="Unhandled"),
        FakeStream([b"{"], HTTP_STREAM, failure="Unhandled"),
        FakeStream([b"no json" + b"\0" * 8], HTTP_STREAM),
        FakeStream([b"x" * 600_000] * 3, HTTP_STREAM),
    ],
)
async def test_stream_without_a_head_is_a_bad_gateway(
    world: UrlWorld, streamed: FakeStream
) -> None:
    url_id = await world.create(InvokeMode="RESPONSE_STREAM")
    world.api.invoker.streamed = streamed
    response = await world.ask(url_id)
    assert (response.status, response.body) == (502, b"Internal Server Error")
    assert streamed.closed


async def test_stream_that_fails_after_its_head_is_no_whole_body(world: UrlWorld) -> None:
    url_id = await world.create(InvokeMode="RESPONSE_STREAM")
    world.api.invoker.streamed = FakeStream([b"part"], "text/html", failure="Unhandled")
    response = await world.ask(url_id)
    with pytest.raises(FunctionError, match="failed after it had begun to answer"):
        await body_of(response.stream)


async def test_what_a_streaming_function_answers_to_a_buffered_url(world: UrlWorld) -> None:
    url_id = await world.create()
    world.answers(PRELUDE + b"body")
    response = await world.ask(url_id)
    assert (response.status, header(response, "X-A"), response.body) == (201, "b", b"body")
