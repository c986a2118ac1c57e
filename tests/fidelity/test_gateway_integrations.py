"""The rows of HTTP integrations: what a real server gets of a request, and its client of it."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import header
from http_world import Backend, Received, answer, gateway, http_method, serving
from lamington.core.http import Response
from lamington.gateway.entities import IntegrationResponse

OPEN = pytest.mark.xfail(strict=True, reason="an open row that passes is no open row")
CASES = [
    pytest.param(case, id=case["id"], marks=[OPEN] if case.get("verdict") == "open" else [])
    for case in tomllib.loads((Path(__file__).parent / "gateway_integrations.toml").read_text())[
        "case"
    ]
]


def _bytes(given: dict[str, Any], name: str, default: bytes = b"") -> bytes:
    if f"{name}_hex" in given:
        return bytes.fromhex(given[f"{name}_hex"])
    return given[name].encode() if name in given else default


def _answer(given: dict[str, Any]) -> bytes:
    body = _bytes(given, "answer", b"{}")
    lines = []
    if "answer_header" in given:
        name, value = given["answer_header"]
        if name != "Content-Length":
            lines.append(f"{name}: {value}")
        if name == "Transfer-Encoding":
            body = b"2\r\n{}\r\n0\r\n\r\n"
    return answer(given.get("answer_status", "200 OK"), body, *lines)


async def _exchange(
    given: dict[str, Any],
) -> tuple[Response, list[Received], str]:
    resource = given.get("resource", "/x")
    verb = given.get("verb", "GET")
    responses = given.get("responses", [{"status_code": "200"}])
    async with serving(Backend(answer=_answer(given))) as backend:
        method = http_method(
            verb,
            kind=given.get("type", "HTTP_PROXY"),
            uri=given.get("whole_uri", backend.url + given.get("uri", "/")),
            http_method=given.get("http_method", "ANY"),
            statuses=[each["status_code"] for each in responses],
            responses=[IntegrationResponse(**each) for each in responses],
            request_parameters=given.get("parameters", {}),
            content_handling=given.get("content_handling", ""),
            request_templates=given.get("request_templates", {}),
        )
        async with gateway(
            {f"{verb} {resource}": method},
            variables=given.get("stage_variables", {}),
            binary_media_types=tuple(given.get("binary_media_types", ())),
        ) as api:
            query = f"?{given['query']}" if "query" in given else ""
            response = await api.send(
                f"{verb} {given.get('path', resource)}{query}",
                headers=[tuple(given["header"])] if "header" in given else [],
                body=_bytes(given, "body"),
            )
            reason = api.reason if api.plane.failures else ""
        return response, backend.received, reason


def _require_request_header(name: str, value: str, fate: str, request: Received) -> None:
    sent = request.header(name)
    match fate:
        case "pass":
            assert sent == value
        case "drop":
            assert name.lower() not in request.names()
        case "own":
            assert sent != value
        case _:
            raise AssertionError(fate)


def _require_response_header(name: str, value: str, fate: str, response: Response) -> None:
    fields = dict(response.headers)
    match fate:
        case "pass":
            assert fields[name] == value
        case "drop":
            assert not {key for key in fields if key.lower().endswith(name.lower())}
        case "remap":
            assert fields[f"x-amzn-Remapped-{name}"] == value
            assert value not in (fields.get(name), fields.get(name.lower()))
        case _:
            raise AssertionError(fate)


def _require_sent(expect: dict[str, Any], received: list[Received]) -> None:
    for name, value in expect.get("sent", {}).items():
        assert received[0].header(name) == value, name
    for name in expect.get("not_sent", []):
        assert received[0].header(name) is None, name
    if "target" in expect:
        assert received[0].target == expect["target"]
    if "method" in expect:
        assert received[0].method == expect["method"]
    if "body" in expect or "body_hex" in expect:
        assert received[0].body == _bytes(expect, "body")


def _require_client(expect: dict[str, Any], response: Response) -> None:
    for name, value in expect.get("client", {}).items():
        assert header(response, name) == value, name
    names = {name for name, _ in response.headers}
    assert names.isdisjoint(expect.get("client_absent", ()))
    assert names.issuperset(expect.get("client_present", ()))
    if "client_body" in expect:
        assert response.body.decode() == expect["client_body"]
    if "client_hex" in expect:
        assert response.body.hex() == expect["client_hex"]


@pytest.mark.parametrize("case", CASES)
async def test_integration_does_as_aws_does(case: dict[str, Any]) -> None:
    given, expect = case["given"], case["expect"]
    response, received, reason = await _exchange(given)
    assert response.status == expect.get("status", 200), reason
    assert expect.get("reason", "") in reason
    if "request" in expect:
        name, value = given["header"]
        _require_request_header(name, value, expect["request"], received[0])
    if "response" in expect:
        name, value = given["answer_header"]
        _require_response_header(
            expect.get("response_of", name), value, expect["response"], response
        )
    _require_sent(expect, received)
    _require_client(expect, response)
