"""One request through the data plane: what it meets that is not told elsewhere."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from fakes_gateway import (
    FUNCTION_ARN,
    INVOCATION_URI,
    SmallGateway,
    header,
    lambda_method,
    small_stage,
)
from lamington.core.http import Headers
from lamington.gateway.entities import PAYLOAD_MAX_BYTES, IntegrationResponse, Method


def mapped(request: str = "", response: str = "", **integration: Any) -> Method:
    outcome = IntegrationResponse(
        status_code="200", response_templates={"application/json": response} if response else {}
    )
    templates = {"application/json": request} if request else {}
    return lambda_method(
        kind="AWS", responses=(outcome,), request_templates=templates, **integration
    )


async def test_an_unknown_api_or_stage_is_forbidden() -> None:
    gateway = SmallGateway({"GET /": lambda_method()})
    gateway.plane.withdraw("abc123", "dev")
    response = await gateway.send("GET /")
    assert (response.status, response.body) == (403, b'{"message":"Forbidden"}')
    assert header(response, "x-amzn-ErrorType") == "ForbiddenException"
    assert header(response, "x-amzn-RequestId")


@pytest.mark.parametrize("target", ["GET /nothing", "POST /pets", "HEAD /pets"])
async def test_an_unknown_path_or_method_is_403(target: str) -> None:
    gateway = SmallGateway({"GET /pets": lambda_method()})
    response = await gateway.send(target)
    assert (response.status, response.body) == (403, b'{"message":"Missing Authentication Token"}')
    assert header(response, "x-amzn-ErrorType") == "MissingAuthenticationTokenException"


async def test_a_bearer_token_on_an_unknown_path_is_a_bad_signature() -> None:
    gateway = SmallGateway({"GET /pets": lambda_method()})
    response = await gateway.send("GET /nothing", headers={"Authorization": "Bearer abc"})
    assert json.loads(response.body) == {
        "message": "'abc' not a valid key=value pair (missing equal-sign) in Authorization"
        " header: 'Bearer abc'."
    }
    assert header(response, "x-amzn-ErrorType") == "IncompleteSignatureException"


async def test_a_header_overrides_the_method() -> None:
    gateway = SmallGateway({"DELETE /pets": lambda_method("DELETE")}, lambda event: {})
    response = await gateway.send("POST /pets", headers={"X-HTTP-Method-Override": "DELETE"})
    assert response.status == 200
    assert gateway.event["httpMethod"] == "DELETE"


async def test_a_payload_over_10_mb_is_413() -> None:
    gateway = SmallGateway({"POST /": lambda_method("POST")})
    response = await gateway.send("POST /", body=b"x" * (PAYLOAD_MAX_BYTES + 1))
    assert response.status == 413
    assert not gateway.invoker.invocations


async def test_an_event_over_lambdas_limit_is_413() -> None:
    gateway = SmallGateway({"POST /": lambda_method("POST")})
    response = await gateway.send("POST /", body=b"x" * (7 * 1024 * 1024))
    assert response.status == 413


async def test_headers_over_10_kb_are_refused() -> None:
    gateway = SmallGateway({"GET /": lambda_method()})
    response = await gateway.send("GET /", headers={"X": "x" * 10_240})
    assert response.status == 431


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", gzip.compress(b"hi", mtime=0), 200),
        ("deflate", zlib.compress(b"hi"), 200),
        ("identity", b"hi", 200),
        ("br", b"hi", 415),
        ("gzip", b"hi", 415),
        ("gzip", gzip.compress(bytes(PAYLOAD_MAX_BYTES + 1), mtime=0), 413),
    ],
)
async def test_a_compressed_body_is_decompressed(coding: str, body: bytes, status: int) -> None:
    gateway = SmallGateway({"POST /": lambda_method("POST")}, lambda event: {})
    response = await gateway.send("POST /", headers={"Content-Encoding": coding}, body=body)
    assert response.status == status
    if status == 200:
        assert gateway.event["body"] == "hi"


async def test_ids_differ_for_each_request() -> None:
    gateway = SmallGateway({"GET /": lambda_method()}, lambda event: {})
    responses = [await gateway.send("GET /") for _ in range(2)]
    for name in ("x-amzn-RequestId", "x-amz-apigw-id", "X-Amzn-Trace-Id"):
        first, second = (header(response, name) for response in responses)
        assert first
        assert first != second


async def test_the_articles_template_makes_the_articles_event() -> None:
    gateway = SmallGateway(
        {"GET /hello": mapped('{"path": "$context.resourcePath"}', "")}, lambda event: "Hello!"
    )
    response = await gateway.send("GET /hello")
    assert gateway.invoker.invocations[0].payload == b'{"path": "/hello"}'
    assert response.body == b'"Hello!"'


async def test_templates_see_the_request_the_context_and_stage_variables() -> None:
    template = (
        '{"id": "$input.params(\'id\')", "q": "$input.params(\'q\')",'
        ' "h": "$input.params(\'X-A\')", "b": $input.json(\'$.b\'),'
        ' "s": "$stageVariables.color", "p": "$context.path",'
        ' "ip": "$context.identity.sourceIp", "k": "$context.identity.apiKey"}'
    )
    gateway = SmallGateway(
        {"POST /{id}": mapped(template)}, stage=small_stage(variables={"color": "red"})
    )
    await gateway.send("POST /a%20b?q=1%2B2", headers={"X-A": "x"}, body=b'{"b": [1]}')
    assert gateway.event == {
        "id": "a b",
        "q": "1+2",
        "h": "x",
        "b": [1],
        "s": "red",
        "p": "/dev/a%20b",
        "ip": "127.0.0.1",
        "k": "",
    }


async def test_a_response_template_sees_the_answer_and_the_requests_parameters() -> None:
    method = mapped("{}", '{"n": $input.json(\'$.n\'), "q": "$input.params(\'q\')"}')
    gateway = SmallGateway({"GET /": method}, lambda event: {"n": 1})
    response = await gateway.send("GET /?q=x")
    assert response.body == b'{"n": 1, "q": "x"}'


async def test_what_the_request_template_sets_the_response_template_sees() -> None:
    method = lambda_method(
        kind="MOCK",
        responses=(
            IntegrationResponse(
                status_code="200",
                response_templates={
                    "application/json": "$context.requestOverride.header.foo"
                    "#set($context.responseOverride.header.X-A = [1, 'b'])"
                },
            ),
        ),
        request_templates={
            "application/json": "#set($context.requestOverride.header.foo = 'carried')"
            '#set($context.responseOverride.status = 202){"statusCode": 200}'
        },
    )
    response = await SmallGateway({"GET /": method}).send("GET /")
    assert (response.status, response.body) == (202, b"carried")
    assert header(response, "X-A") == "1,b"


@pytest.mark.parametrize(("status", "expected"), [("99", 200), ("'404'", 404), ("'x'", 200)])
async def test_a_status_override_counts_where_it_is_one(status: str, expected: int) -> None:
    method = mapped("", f"#set($context.responseOverride.status = {status})")
    assert (await SmallGateway({"GET /": method}).send("GET /")).status == expected


async def test_a_template_that_does_not_compile_is_500_with_its_place_reported() -> None:
    gateway = SmallGateway({"GET /a": mapped("line\n#if(")})
    response = await gateway.send("GET /a")
    assert (response.status, response.body) == (500, b'{"message":"Internal server error"}')
    [problem] = gateway.program.problems
    assert str(problem).startswith("GET /a, request template `application/json`, line 2, column")
    assert (
        "Unable to transform request: request template `application/json`: line 2, column"
        in (gateway.reports[0][2])
    )
    assert not gateway.invoker.invocations


async def test_a_template_that_fails_is_500_with_its_place_reported() -> None:
    gateway = SmallGateway({"GET /a": mapped("{}", "a\n$input.path('$').substring(9)")})
    gateway.invoker.handlers[FUNCTION_ARN] = lambda event: "short"
    response = await gateway.send("GET /a")
    assert response.status == 500
    assert (
        "Unable to transform response: response template `application/json` of 200: line 2"
        in (gateway.reports[0][2])
    )


async def test_an_event_that_is_no_json_is_lambdas_400_through_the_mappings() -> None:
    response = await SmallGateway({"GET /": mapped("no json")}).send("GET /")
    assert response.status == 200
    assert response.body == b'{"Type":"User","message":"Could not parse request body into json."}'


async def test_mapped_headers_come_from_the_answer_and_are_renamed() -> None:
    method = lambda_method(
        kind="AWS",
        responses=(
            IntegrationResponse(
                status_code="200",
                response_parameters={
                    "method.response.header.Content-Type": "'text/html'",
                    "method.response.header.X-Id": "integration.response.body.id",
                    "method.response.header.X-None": "integration.response.body.none",
                    "method.response.header.Server": "'cake'",
                },
            ),
        ),
    )
    response = await SmallGateway({"GET /": method}, lambda event: {"id": {"a": 1}}).send("GET /")
    assert response.headers[:3] == [
        ("Content-Type", "text/html"),
        ("X-Id", '{"a":1}'),
        ("x-amzn-Remapped-Server", "cake"),
    ]


@pytest.mark.parametrize("value", ["'Event'", "method.request.header.X-Kind"])
async def test_a_mapped_header_makes_the_invocation_asynchronous(value: str) -> None:
    method = mapped(request_parameters={"integration.request.header.X-Amz-Invocation-Type": value})
    gateway = SmallGateway({"POST /": method})
    response = await gateway.send("POST /", headers={"X-Kind": "Event"}, body=b"{}")
    assert gateway.invoker.invocations[0].invocation_type == "Event"
    assert (response.status, response.body) == (200, b"")


async def test_a_mapping_of_a_body_that_is_no_json_is_400() -> None:
    method = mapped(request_parameters={"integration.request.header.X": "method.request.body.a"})
    response = await SmallGateway({"POST /": method}).send("POST /", body=b"{a")
    assert (response.status, response.body) == (400, b'{"message":"Invalid JSON in request body"}')


@pytest.mark.parametrize("kind", ["AWS", "AWS_PROXY"])
async def test_a_forbidden_header_mapping_is_500(kind: str) -> None:
    method = lambda_method(
        kind=kind, request_parameters={"integration.request.header.Authorization": "'x'"}
    )
    assert (await SmallGateway({"GET /": method}).send("GET /")).status == 500


# What a method asks for and does not get.


@pytest.mark.parametrize(
    "method",
    [
        lambda_method(authorization_type="AWS_IAM"),
        lambda_method(authorization_type="CUSTOM"),
        lambda_method(api_key_required=True),
    ],
)
async def test_a_method_that_asks_who_calls_is_never_open(method: Method) -> None:
    gateway = SmallGateway({"GET /": method})
    response = await gateway.send("GET /")
    assert (response.status, response.body) == (500, b'{"message":null}')
    assert header(response, "x-amzn-ErrorType") == "AuthorizerConfigurationException"
    assert not gateway.invoker.invocations


@pytest.mark.parametrize(
    ("kind", "uri"),
    [
        ("HTTP", "http://example.com"),
        ("HTTP_PROXY", "http://example.com"),
        ("AWS", "arn:aws:apigateway:eu-west-1:sqs:path/1/q"),
    ],
)
async def test_an_integration_that_is_not_emulated_is_500(kind: str, uri: str) -> None:
    gateway = SmallGateway({"GET /": lambda_method(kind=kind, uri=uri)})
    response = await gateway.send("GET /")
    assert (response.status, response.body) == (500, b'{"message":"Internal server error"}')
    assert "cannot be" in gateway.reports[0][2]
    assert len(gateway.program.problems) == 1


# Permissions and the function's own refusals.


async def test_the_policy_is_asked_with_the_methods_arn() -> None:
    gateway = SmallGateway({"ANY /a/{b+}": lambda_method("ANY")}, lambda event: {})
    for _ in range(2):
        await gateway.send("GET /a/b")
    assert gateway.permissions.asked == [
        "arn:aws:execute-api:eu-west-1:123456789012:abc123/dev/ANY/a/{b+}"
    ]


async def test_a_policy_that_changes_is_asked_again() -> None:
    gateway = SmallGateway({"GET /": lambda_method()}, lambda event: {}, permitted=False)
    response = await gateway.send("GET /")
    assert (response.status, response.body) == (500, b'{"message":"Internal server error"}')
    assert "Invalid permissions on Lambda function" in gateway.reports[0][2]
    gateway.permissions.permitted = True
    assert (await gateway.send("GET /")).status == 500
    gateway.permissions.policy_version += 1
    assert (await gateway.send("GET /")).status == 200


async def test_a_roles_credentials_need_no_policy() -> None:
    method = lambda_method(credentials="arn:aws:iam::123456789012:role/invoker")
    gateway = SmallGateway({"GET /": method}, lambda event: {}, permitted=False)
    assert (await gateway.send("GET /")).status == 200


async def test_a_function_that_is_gone_is_500() -> None:
    gateway = SmallGateway({"GET /": lambda_method()})
    gateway.invoker.handlers.clear()
    response = await gateway.send("GET /")
    assert (response.status, response.body) == (500, b'{"message":"Internal server error"}')


async def test_a_stage_variable_names_the_function() -> None:
    uri = INVOCATION_URI.replace(FUNCTION_ARN, f"{FUNCTION_ARN}:${{stageVariables.alias}}")
    gateway = SmallGateway(
        {"GET /": lambda_method(uri=uri)}, stage=small_stage(variables={"alias": "live"})
    )
    gateway.invoker.handlers[f"{FUNCTION_ARN}:live"] = lambda event: {}
    assert (await gateway.send("GET /")).status == 200


async def test_an_integration_that_takes_too_long_is_504_and_the_function_runs_on() -> None:
    finished = asyncio.Event()
    gateway = SmallGateway({"GET /": lambda_method(timeout_ms=50)}, lambda event: finished.set())
    gateway.invoker.gate = asyncio.Event()
    response = await gateway.send("GET /")
    assert (response.status, response.body) == (504, b'{"message":"Endpoint request timed out"}')
    assert not finished.is_set()
    gateway.invoker.gate.set()
    await finished.wait()


# TestInvokeMethod.


async def test_a_test_invocation_tells_each_step() -> None:
    gateway = SmallGateway(
        {"GET /a/{id}": mapped('{"id": "$input.params(\'id\')"}')}, lambda event: "hi"
    )
    ran = await gateway.plane.test_invoke(
        gateway.program, resource_id="res0", http_method="GET", path="/a/7", headers=Headers()
    )
    assert (ran.response.status, ran.response.body) == (200, b'"hi"')
    lines = ran.log.splitlines()
    assert lines[0].startswith("Execution log for request ")
    assert lines[1].startswith("Thu Jan 01 00:00:00 UTC 2026 : Starting execution for request: ")
    steps = [line.partition(" : ")[2] for line in lines[1:]]
    assert "HTTP Method: GET, Resource Path: /a/7" in steps
    assert "Method request path: {id=7}" in steps
    assert 'Endpoint request body after transformations: {"id": "7"}' in steps
    assert 'Endpoint response body before transformations: "hi"' in steps
    assert steps[-1] == "Method completed with status: 200"


async def test_a_test_invocation_tells_why_it_failed() -> None:
    gateway = SmallGateway({"GET /": lambda_method()}, lambda event: "text")
    ran = await gateway.plane.test_invoke(
        gateway.program, resource_id="res0", http_method="GET", path="/"
    )
    assert ran.response.status == 502
    assert "Malformed Lambda proxy response" in ran.log
    assert gateway.event["headers"] is None


# Stages are swapped whole.


async def test_a_request_in_flight_finishes_on_the_program_it_began_with() -> None:
    gateway = SmallGateway({"GET /": lambda_method()}, lambda event: {"statusCode": 201})
    gateway.invoker.gate = asyncio.Event()
    running = asyncio.create_task(gateway.send("GET /"))
    await asyncio.sleep(0)
    gateway.plane.withdraw("abc123", "dev")
    gateway.invoker.gate.set()
    assert (await running).status == 201
