"""What API Gateway answers by itself, and how a definition changes that."""

import json
from typing import Any

import pytest

from fakes_gateway import SmallGateway, header, lambda_method
from lamington.core.http import Response
from lamington.gateway.entities import GatewayResponseDefinition, Method
from lamington.gateway.responses import GATEWAY_RESPONSE_TYPES

MISSING = "MISSING_AUTHENTICATION_TOKEN"


async def refused(
    *definitions: GatewayResponseDefinition,
    target: str = "GET /nothing?q=x",
    methods: dict[str, Method] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    gateway = SmallGateway(
        methods or {},
        lambda event: "malformed",
        gateway_responses={each.response_type: each for each in definitions},
    )
    return await gateway.send(target, headers=headers)


def custom(response_type: str, **members: Any) -> GatewayResponseDefinition:
    return GatewayResponseDefinition(response_type=response_type, **members)


def test_there_are_21_types() -> None:
    assert len(GATEWAY_RESPONSE_TYPES) == 21


async def test_a_template_is_plain_substitution() -> None:
    template = (
        '{"m": $context.error.messageString, "t": "$context.error.responseType",'
        ' "r": "$context.error.message", "p": "${context.path}",'
        ' "q": "$method.request.querystring.q", "v": "$stageVariables.none", "n": "#set($a = 1)$a"}'
    )
    response = await refused(custom(MISSING, response_templates={"application/json": template}))
    assert json.loads(response.body) == {
        "m": "Missing Authentication Token",
        "t": "MISSING_AUTHENTICATION_TOKEN",
        "r": "Missing Authentication Token",
        "p": "/dev/nothing",
        "q": "x",
        "v": "",
        "n": "#set($a = 1)$a",
    }


async def test_status_and_headers_are_the_definitions() -> None:
    response = await refused(
        custom(
            MISSING,
            status_code="404",
            response_parameters={
                "gatewayresponse.header.Access-Control-Allow-Origin": "'*'",
                "gatewayresponse.header.X-Path": "context.path",
                "gatewayresponse.header.X-Query": "method.request.querystring.q",
                "gatewayresponse.header.X-None": "method.request.header.none",
                "gatewayresponse.header.Content-Type": "'text/plain'",
            },
        )
    )
    assert (response.status, response.body) == (404, b'{"message":"Missing Authentication Token"}')
    assert header(response, "x-amzn-ErrorType") == "MissingAuthenticationTokenException"
    assert header(response, "Access-Control-Allow-Origin") == "*"
    assert header(response, "X-Path") == "/dev/nothing"
    assert header(response, "X-Query") == "x"
    assert header(response, "Content-Type") == "text/plain"
    assert "X-None" not in dict(response.headers)


async def test_a_family_stands_for_each_type_that_is_not_defined() -> None:
    response = await refused(custom("DEFAULT_4XX", status_code="418"))
    assert response.status == 418


async def test_a_type_that_is_defined_takes_nothing_from_its_family() -> None:
    response = await refused(
        custom("DEFAULT_4XX", status_code="418"),
        custom(MISSING, response_templates={"application/json": "own"}),
    )
    assert (response.status, response.body) == (403, b"own")


async def test_without_a_json_template_the_first_is_taken() -> None:
    response = await refused(custom(MISSING, response_templates={"text/html": "<p>"}))
    assert (response.body, header(response, "Content-Type")) == (b"<p>", "text/html")


@pytest.mark.parametrize(
    ("accept", "body"), [("text/html", b"<p>"), ("*/*", b"{}"), ("image/png", b"{}")]
)
async def test_a_template_is_chosen_by_accept(accept: str, body: bytes) -> None:
    templates = {"text/html": "<p>", "application/json": "{}"}
    response = await refused(
        custom(MISSING, response_templates=templates), headers={"Accept": accept}
    )
    assert response.body == body


async def test_a_5xx_family_covers_a_502() -> None:
    response = await refused(
        custom("DEFAULT_5XX", response_templates={"application/json": "sorry"}),
        target="GET /",
        methods={"GET /": lambda_method()},
    )
    assert (response.status, response.body) == (502, b"sorry")


async def test_a_request_that_is_too_large_cannot_be_customised() -> None:
    gateway = SmallGateway(
        {"POST /": lambda_method("POST")},
        gateway_responses={
            "REQUEST_TOO_LARGE": custom("REQUEST_TOO_LARGE", status_code="400"),
            "DEFAULT_4XX": custom("DEFAULT_4XX", status_code="418"),
        },
    )
    assert (await gateway.send("POST /", body=b"x" * 11_000_000)).status == 413


async def test_a_message_is_quoted_as_json() -> None:
    response = await refused(
        custom(MISSING, response_templates={"application/json": "$context.error.messageString"}),
        headers={"Authorization": 'Bearer a"b'},
    )
    assert json.loads(response.body).startswith("'a\"b' not a valid key=value pair")
