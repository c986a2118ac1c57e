"""Function URLs of a live engine, asked as scripts, browsers and other machines' clients ask."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from lamington.testing import RunningEngine
from url_world import make_function

ECHO = """
def handler(event, context):
    if event["rawPath"] == "/fail":
        raise ValueError("no")
    if event["rawPath"] == "/plain":
        return {"hello": "world"}
    return {
        "statusCode": "201",
        "headers": {"content-type": "text/plain", "x-id": context.aws_request_id},
        "cookies": ["a=1", "b=2"],
        "body": event["requestContext"]["http"]["method"] + " " + event["rawPath"]
        + " " + event["rawQueryString"] + " " + event.get("body", "-"),
    }
"""
WHO = """
def handler(event, context):
    return event["requestContext"]["authorizer"]["iam"]
"""
STREAMING = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream = awslambda.HttpResponseStream.from(stream, {
    statusCode: 202, headers: {"content-type": "text/event-stream"}, cookies: ["c=1"],
  });
  for (let i = 0; i < 3; i++) {
    stream.write("data: " + i + "\\n\\n");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (event.rawPath === "/fail") throw new Error("half way");
  stream.end();
});
"""

Answer = tuple[int, list[tuple[str, str]], bytes]


def ask(
    url: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
) -> Answer:
    """One request; headers come as they were sent, repeated ones too."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=10)
    try:
        target = address.path + (f"?{address.query}" if address.query else "")
        connection.request(method, target, body or None, headers or {})
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()
    finally:
        connection.close()


def create_url(engine: RunningEngine, name: str, **params: Any) -> str:
    client: Any = engine.client("lambda")
    url = client.create_function_url_config(**{"FunctionName": name, "AuthType": "NONE", **params})[
        "FunctionUrl"
    ]
    if params.get("AuthType", "NONE") == "NONE":
        client.add_permission(
            FunctionName=name,
            StatementId="url",
            Action="lambda:InvokeFunctionUrl",
            Principal="*",
            FunctionUrlAuthType="NONE",
        )
        client.add_permission(
            FunctionName=name,
            StatementId="invoke",
            Action="lambda:InvokeFunction",
            Principal="*",
            InvokedViaFunctionUrl=True,
        )
    return str(url)


@pytest.fixture(scope="module")
def echo(live_engine: RunningEngine) -> str:
    make_function(live_engine, "echo", {"app.py": ECHO})
    return create_url(live_engine, "echo")


def test_url_that_the_api_shows_can_be_asked(echo: str) -> None:
    status, headers, body = ask(f"{echo}a/b?x=1", "POST", {"Content-Type": "text/plain"}, b"hi")
    found = dict(headers)
    assert (status, body) == (201, b"POST /a/b x=1 hi")
    assert found["content-type"] == "text/plain"
    assert [value for name, value in headers if name.lower() == "set-cookie"] == ["a=1", "b=2"]
    assert found["x-id"] == found["x-amzn-RequestId"]
    assert found["X-Amzn-Trace-Id"].startswith("Root=1-")


@pytest.mark.parametrize(
    "suffix",
    [
        "lambda-url.us-east-1.localhost:4566",
        "lambda-url.us-east-1.localhost.localstack.cloud:4566",
        "lambda-url.us-east-1.on.aws",
        "lambda-url.localhost",
    ],
)
def test_url_is_known_by_its_host(echo: str, suffix: str) -> None:
    host = f"{echo.rstrip('/').rpartition('/')[2]}.{suffix}"
    status, _, body = ask(f"http://{urlsplit(echo).netloc}/a", headers={"Host": host})
    assert (status, body) == (201, b"GET /a  -")


def test_answer_without_a_status_is_compact(echo: str) -> None:
    assert ask(f"{echo}plain")[2] == b'{"hello":"world"}'


def test_failure_is_a_bad_gateway(echo: str) -> None:
    status, _, body = ask(f"{echo}fail")
    assert (status, body) == (502, b"Internal Server Error")


def test_url_of_nobody_is_forbidden(echo: str) -> None:
    status, headers, body = ask(echo.rstrip("/")[:-5] + "aaaaa/")
    assert (status, body) == (403, b'{"Message":null}')
    assert dict(headers)["x-amzn-ErrorType"] == "AccessDeniedException"


@pytest.mark.parametrize("signs", [SigV4Auth, SigV4QueryAuth])
def test_signed_request_tells_who_it_is(live_engine: RunningEngine, signs: type[Any]) -> None:
    name = f"who-{signs.__name__}"
    make_function(live_engine, name, {"app.py": WHO})
    url = create_url(live_engine, name, AuthType="AWS_IAM")
    assert ask(url)[0] == 403
    request = AWSRequest("GET", url)
    signs(Credentials("AKIAEXAMPLE", "secret"), "lambda", "us-east-1").add_auth(request)
    status, _, body = ask(str(request.url), headers=dict(request.headers))
    assert status == 200
    caller = json.loads(body)
    assert (caller["accessKey"], caller["accountId"]) == ("AKIAEXAMPLE", "000000000000")


def test_url_streams(live_engine: RunningEngine) -> None:
    make_function(live_engine, "stream", {"app.js": STREAMING}, Runtime="nodejs20.x", Timeout=10)
    url = create_url(live_engine, "stream", InvokeMode="RESPONSE_STREAM")
    status, headers, body = ask(url)
    assert (status, body) == (202, b"data: 0\n\ndata: 1\n\ndata: 2\n\n")
    assert dict(headers)["content-type"] == "text/event-stream"
    assert dict(headers)["Transfer-Encoding"] == "chunked"
    assert dict(headers)["Set-Cookie"] == "c=1"
    with pytest.raises(http.client.IncompleteRead):
        ask(f"{url}fail")


def test_url_outlives_nothing_of_its_function(live_engine: RunningEngine) -> None:
    make_function(live_engine, "gone", {"app.py": ECHO})
    url = create_url(live_engine, "gone")
    assert ask(url)[0] == 201
    client = live_engine.client("lambda")
    client.delete_function(FunctionName="gone")
    assert ask(url)[2] == b'{"Message":null}'
    with pytest.raises(ClientError, match="The resource you requested does not exist"):
        client.get_function_url_config(FunctionName="gone")


def test_configuration_is_validated_as_the_model_says(live_engine: RunningEngine) -> None:
    make_function(live_engine, "strict", {"app.py": ECHO})
    client = live_engine.client("lambda")
    cors: Any = {"MaxAge": 86_401, "AllowMethods": ["PROPFIND"]}
    with pytest.raises(ClientError) as refused:
        client.create_function_url_config(FunctionName="strict", AuthType="NONE", Cors=cors)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert "Value '86401' at 'cors.maxAge' failed" in refused.value.response["Error"]["Message"]


def test_mapping_lives_over_the_wire(live_engine: RunningEngine) -> None:
    make_function(live_engine, "mapped", {"app.py": ECHO})
    client = live_engine.client("lambda")
    made = client.create_event_source_mapping(
        FunctionName="mapped",
        EventSourceArn="arn:aws:kinesis:us-east-1:000000000000:stream/s",
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=1_764_086_400,
        Enabled=False,
        Tags={"a": "b"},
    )
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
    found = client.get_event_source_mapping(UUID=made["UUID"])
    assert found["StartingPositionTimestamp"].timestamp() == 1_764_086_400
    assert found["State"] == "Disabled"
    arn = made["EventSourceMappingArn"]
    client.tag_resource(Resource=arn, Tags={"c": "d"})
    assert client.list_tags(Resource=arn)["Tags"] == {"a": "b", "c": "d"}
    assert client.delete_event_source_mapping(UUID=made["UUID"])["State"] == "Deleting"
