"""The event that a function behind a proxy integration gets."""

import base64
import json

import pytest

from fakes_gateway import SmallGateway, lambda_method, small_stage


def answering(event: object) -> object:
    return {"statusCode": 200}


async def test_event_has_awss_members_in_awss_order() -> None:
    gateway = SmallGateway({"GET /pets/{petId}": lambda_method()}, answering)
    await gateway.send("GET /pets/7?a=1&a=2", headers={"User-Agent": "curl/8", "Accept": "*/*"})
    assert list(gateway.event.items()) == [
        ("resource", "/pets/{petId}"),
        ("path", "/pets/7"),
        ("httpMethod", "GET"),
        ("headers", gateway.event["headers"]),
        ("multiValueHeaders", gateway.event["multiValueHeaders"]),
        ("queryStringParameters", {"a": "2"}),
        ("multiValueQueryStringParameters", {"a": ["1", "2"]}),
        ("pathParameters", {"petId": "7"}),
        ("stageVariables", None),
        ("requestContext", gateway.event["requestContext"]),
        ("body", None),
        ("isBase64Encoded", False),
    ]
    context = gateway.event["requestContext"]
    assert list(context.items()) == [
        ("resourceId", "res0"),
        ("resourcePath", "/pets/{petId}"),
        ("httpMethod", "GET"),
        ("extendedRequestId", context["extendedRequestId"]),
        ("requestTime", "01/Jan/2026:00:00:00 +0000"),
        ("path", "/dev/pets/7"),
        ("accountId", "123456789012"),
        ("protocol", "HTTP/1.1"),
        ("stage", "dev"),
        ("domainPrefix", "localhost"),
        ("requestTimeEpoch", 1767225600000),
        ("requestId", context["requestId"]),
        ("identity", context["identity"]),
        ("domainName", "localhost:3000"),
        ("deploymentId", "dep123"),
        ("apiId", "abc123"),
    ]
    identity = context["identity"]
    assert " ".join(identity) == (
        "cognitoIdentityPoolId accountId cognitoIdentityId caller sourceIp principalOrgId accessKey"
        " cognitoAuthenticationType cognitoAuthenticationProvider userArn userAgent user"
    )
    assert {key: value for key, value in identity.items() if value is not None} == {
        "sourceIp": "127.0.0.1",
        "userAgent": "curl/8",
    }


async def test_headers_come_once_and_with_all_values() -> None:
    gateway = SmallGateway({"GET /": lambda_method()}, answering)
    await gateway.send("GET /", headers=[("X-A", "1"), ("X-A", "2"), ("connection", "close")])
    headers = gateway.event["headers"]
    assert headers.pop("X-Amzn-Trace-Id").startswith("Root=1-")
    assert headers == {
        "Host": "localhost:3000",
        "X-A": "2",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }
    assert gateway.event["multiValueHeaders"]["X-A"] == ["1", "2"]


@pytest.mark.parametrize(
    ("path", "expected", "context_path"),
    [
        ("/p/test%2Balias", "/p/test%2Balias", "/dev/p/test%2Balias"),
        ("/p//x", "/p//x", "/dev/p//x"),
        ("/p/", "/p/", "/dev/p/"),
        ("//p", "/p", "/dev//p"),
    ],
)
async def test_path_is_as_received(path: str, expected: str, context_path: str) -> None:
    gateway = SmallGateway({"GET /{proxy+}": lambda_method()}, answering)
    await gateway.send(f"GET {path}")
    assert gateway.event["path"] == expected
    assert gateway.event["requestContext"]["path"] == context_path


async def test_a_custom_domain_has_no_stage_in_its_path() -> None:
    gateway = SmallGateway({"GET /a": lambda_method()}, answering)
    await gateway.send("GET /a", stage_in_path=False)
    assert gateway.event["requestContext"]["path"] == "/a"
    assert gateway.event["requestContext"]["stage"] == "dev"


async def test_body_is_text() -> None:
    gateway = SmallGateway({"POST /": lambda_method("POST")}, answering)
    await gateway.send("POST /", body='{"é": "\u2028"}'.encode())
    assert gateway.event["body"] == '{"é": "\u2028"}'
    assert gateway.event["isBase64Encoded"] is False


async def test_bytes_that_are_no_text_are_replaced() -> None:
    gateway = SmallGateway({"POST /": lambda_method("POST")}, answering)
    await gateway.send("POST /", body=b"\xff")
    assert gateway.event["body"] == "\ufffd"


async def test_binary_body_is_base64() -> None:
    gateway = SmallGateway(
        {"POST /": lambda_method("POST")}, answering, binary_media_types=("image/*",)
    )
    await gateway.send("POST /", body=b"\xff\x00", headers={"Content-Type": "image/png"})
    assert base64.b64decode(gateway.event["body"]) == b"\xff\x00"
    assert gateway.event["isBase64Encoded"] is True


async def test_stage_variables_are_in_the_event() -> None:
    stage = small_stage(variables={"color": "red"})
    gateway = SmallGateway({"GET /": lambda_method()}, answering, stage=stage)
    await gateway.send("GET /")
    assert gateway.event["stageVariables"] == {"color": "red"}


async def test_any_tells_the_method_received() -> None:
    gateway = SmallGateway({"ANY /": lambda_method("ANY")}, answering)
    await gateway.send("PUT /")
    assert gateway.event["httpMethod"] == "PUT"
    assert gateway.event["requestContext"]["httpMethod"] == "PUT"


async def test_a_clients_trace_goes_on() -> None:
    gateway = SmallGateway({"GET /": lambda_method()}, answering)
    sent = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8"
    response = await gateway.send("GET /", headers={"x-amzn-trace-id": sent})
    assert gateway.invoker.invocations[0].trace_id == f"{sent};Sampled=1"
    assert ("X-Amzn-Trace-Id", f"{sent};Sampled=1") in response.headers


async def test_request_time_follows_the_clock() -> None:
    gateway = SmallGateway({"GET /": lambda_method()}, answering)
    await gateway.send("GET /")
    await gateway.clock.advance(61.5)
    await gateway.send("GET /")
    assert gateway.event["requestContext"]["requestTime"] == "01/Jan/2026:00:01:01 +0000"
    assert gateway.event["requestContext"]["requestTimeEpoch"] == 1767225661500


async def test_event_is_json_that_any_parser_reads() -> None:
    gateway = SmallGateway({"GET /{x+}": lambda_method()}, answering)
    await gateway.send('GET /"\\?"=\\', headers={"X": 'a"b\\'})
    assert json.loads(gateway.invoker.invocations[0].payload)["headers"]["X"] == 'a"b\\'
