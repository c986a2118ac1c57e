"""Bodies that are binary, on their way through integrations with templates."""

import base64
from typing import Any

import pytest

from fakes_gateway import SmallGateway, lambda_method, small_stage
from lamington.core.http import Headers, Request
from lamington.gateway.deployment import MethodProgram
from lamington.gateway.entities import IntegrationResponse as Outcome
from lamington.gateway.integrations import IntegrationResponse
from lamington.gateway.mapping import MethodRequest
from lamington.gateway.responses import Refusal

RAW = b"\xff\x00"
ENCODED = base64.b64encode(RAW)


def world(
    *,
    headers: dict[str, str],
    body: bytes = b"",
    response_handling: str = "",
    response_templates: dict[str, str] | None = None,
    **more: Any,
) -> tuple[MethodProgram, MethodRequest]:
    outcome = Outcome(
        status_code="200",
        content_handling=response_handling,
        response_templates=response_templates or {},
    )
    method = lambda_method("POST", kind="AWS", responses=(outcome,), **more)
    gateway = SmallGateway(
        {"POST /": method}, stage=small_stage(), binary_media_types=("image/png",)
    )
    request = Request(method="POST", path="/dev/", headers=Headers.of(headers), body=body)
    received, match = gateway.plane._receive(gateway.program, request, "/", True)
    assert match is not None
    return match.target, received


@pytest.mark.parametrize(
    ("content_type", "handling", "body", "expected"),
    [
        ("text/plain", "", b"\xffa", "\ufffda".encode()),
        ("text/plain", "CONVERT_TO_TEXT", b"a", b"a"),
        ("text/plain", "CONVERT_TO_BINARY", ENCODED, RAW),
        ("image/png", "", RAW, RAW),
        ("image/png", "CONVERT_TO_BINARY", RAW, RAW),
        ("image/png", "CONVERT_TO_TEXT", RAW, ENCODED),
    ],
)
def test_request_bodies_are_converted(
    content_type: str, handling: str, body: bytes, expected: bytes
) -> None:
    method, request = world(
        headers={"Content-Type": content_type}, body=body, content_handling=handling
    )
    assert method.map_request(request, method.context(request)).body == expected


@pytest.mark.parametrize(
    ("content_type", "accept", "handling", "body", "expected"),
    [
        ("text/plain", "text/plain", "", b"a", b"a"),
        ("text/plain", "text/plain", "CONVERT_TO_BINARY", ENCODED, RAW),
        ("text/plain", "text/plain", "CONVERT_TO_TEXT", b"a", b"a"),
        ("text/plain", "image/png", "", ENCODED, RAW),
        ("text/plain", "image/png", "CONVERT_TO_BINARY", ENCODED, RAW),
        ("text/plain", "image/png", "CONVERT_TO_TEXT", b"a", b"a"),
        ("image/png", "text/plain", "", RAW, ENCODED),
        ("image/png", "text/plain", "CONVERT_TO_BINARY", RAW, RAW),
        ("image/png", "text/plain", "CONVERT_TO_TEXT", RAW, ENCODED),
        ("image/png", "image/png", "", RAW, RAW),
        ("image/png", "image/png", "CONVERT_TO_BINARY", RAW, RAW),
        ("image/png", "image/png, text/plain", "CONVERT_TO_TEXT", RAW, ENCODED),
        ("application/json", "image/png", "", b'"' + ENCODED + b'"', RAW),
    ],
)
def test_response_bodies_are_converted(
    content_type: str, accept: str, handling: str, body: bytes, expected: bytes
) -> None:
    method, request = world(headers={"Accept": accept}, response_handling=handling)
    response = IntegrationResponse(200, body, (("Content-Type", content_type),))
    assert method.map_response(request, method.context(request), response).body == expected


def test_what_is_no_base64_cannot_become_binary() -> None:
    method, request = world(headers={"Accept": "image/png"})
    with pytest.raises(Refusal, match="base64"):
        method.map_response(request, method.context(request), IntegrationResponse(200, b"%"))


def test_a_template_on_a_binary_body_is_an_error() -> None:
    method, request = world(
        headers={"Content-Type": "image/png"}, body=RAW, request_templates={"image/png": "x"}
    )
    with pytest.raises(Refusal, match="Unable to transform request"):
        method.map_request(request, method.context(request))


def test_a_response_template_on_a_binary_body_is_an_error() -> None:
    method, request = world(
        headers={"Accept": "image/png"}, response_templates={"application/json": "x"}
    )
    with pytest.raises(Refusal, match="Unable to transform response"):
        method.map_response(request, method.context(request), IntegrationResponse(200, ENCODED))


def test_a_template_on_a_converted_body_reads_base64() -> None:
    method, request = world(
        headers={"Content-Type": "image/png"},
        body=RAW,
        content_handling="CONVERT_TO_TEXT",
        request_templates={"image/png": '"$input.body"'},
    )
    mapped = method.map_request(request, method.context(request))
    assert mapped.body == b'"' + ENCODED + b'"'
