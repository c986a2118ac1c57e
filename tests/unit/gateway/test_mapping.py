"""Parameter mapping expressions, `$context`, stage variables, binary media types."""

from typing import Any

import pytest

from fakes_gateway import SmallGateway
from lamington.core.http import Headers, Request
from lamington.gateway.mapping import (
    MethodRequest,
    compile_binary_types,
    compile_request_expression,
    compile_response_expression,
    context_text,
    context_values,
    multi_value_headers,
    query_values,
    receive_headers,
    substitute_stage_variables,
)
from lamington.gateway.vtl.limits import TemplateError
from lamington.gateway.vtl.values import ContextMap


def method_request(
    *, headers: list[tuple[str, str]] | None = None, query: str = "", body: bytes = b""
) -> MethodRequest:
    gateway = SmallGateway({})
    request = Request(
        method="GET", path="/dev/pets/a%20b", query=query, headers=Headers(headers or []), body=body
    )
    received, _ = gateway.plane._receive(gateway.program, request, "/pets/a%20b", True)
    received.path_parameters = {"id": "a%20b"}
    return received


def read(expression: str, request: MethodRequest, context: dict[str, Any] | None = None) -> Any:
    return compile_request_expression(expression, {"color": "red"})(request, context or {})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'static'", "static"),
        ("stageVariables.color", "red"),
        ("stageVariables.none", None),
        ("context.identity.sourceIp", "1.2.3.4"),
        ("context.identity", None),
        ("context.none.deep", None),
        ("method.request.path.id", "a b"),
        ("method.request.querystring.q", "2"),
        ("method.request.multivaluequerystring.q", "1,2"),
        ("method.request.querystring.none", None),
        ("method.request.header.X-One", "second"),
        ("method.request.header.x-one", None),
        ("method.request.multivalueheader.X-One", "first,second"),
        ("method.request.body", '{"a":{"b":[1,true]},"n":1.5}'),
        ("method.request.body.a.b", "[1,true]"),
        ("method.request.body.n", "1.5"),
        ("method.request.body.a.none", None),
        ("method.request.body.a.b[1]", "true"),
        ("method.request.body['n']", "1.5"),
        ("method.request.cookie.x", None),
    ],
)
def test_request_expression_reads(expression: str, expected: str | None) -> None:
    request = method_request(
        headers=[("X-One", "first"), ("X-One", "second")],
        query="q=1&q=2",
        body=b'{"a":{"b":[1,true]},"n":1.5}',
    )
    assert read(expression, request, {"identity": {"sourceIp": "1.2.3.4"}}) == expected


@pytest.mark.parametrize("body", [b"{a", b"'a", b'"a', b"[1"])
def test_a_body_that_looks_like_json_and_is_none_is_an_error(body: bytes) -> None:
    with pytest.raises(TemplateError):
        read("method.request.body.a", method_request(body=body))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("integration.response.header.X-A", "2"),
        ("integration.response.multivalueheader.X-A", "1,2"),
        ("integration.response.header.x-a", None),
        ("integration.response.body.errorMessage.code", "404"),
        ("integration.response.body.list[0]", "1"),
        ("integration.response.body['list']", "[1]"),
        ("integration.response.trailer.x", None),
        ("stageVariables.none", None),
        ("'x'", "x"),
        ("context.stage", "dev"),
    ],
)
def test_response_expression_reads(expression: str, expected: str | None) -> None:
    read_response = compile_response_expression(expression, {})
    body = b'{"errorMessage": "{\\"code\\": 404}", "list": [1]}'
    assert read_response([("X-A", "1"), ("X-A", "2")], body, {"stage": "dev"}) == expected


def test_an_empty_body_has_nothing_to_map() -> None:
    assert read("method.request.body.a", method_request()) is None
    assert read("method.request.body", method_request()) is None


def test_context_values_that_a_template_changed_are_read() -> None:
    values = {"identity": ContextMap({"caller": "me", "known": True})}
    assert context_text(values, "identity.caller") == "me"
    assert context_text(values, "identity.known") == "true"


def test_query_values_keep_the_last_and_all() -> None:
    assert query_values("&a=1;a=2&b=x%2By+z&c&=v") == (
        {"a": "2", "b": "x+y z", "c": "", "": "v"},
        {"a": ["1", "2"], "b": ["x+y z"], "c": [""], "": ["v"]},
    )


def test_forwarding_headers_are_the_gateways_own() -> None:
    headers, known = receive_headers(
        [("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-Proto", "http"), ("Host", "h")],
        "1.2.3.4",
        "Root=1",
    )
    assert headers == {
        "Host": "h",
        "X-Amzn-Trace-Id": "Root=1",
        "X-Forwarded-For": "9.9.9.9, 1.2.3.4",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }
    assert known["x-forwarded-proto"] == "http"


def test_names_keep_their_case_but_two() -> None:
    headers, _ = receive_headers(
        [("authorization", "a"), ("USER-AGENT", "b"), ("x-lower", "c")], "1.2.3.4", ""
    )
    assert list(headers)[:3] == ["Authorization", "User-Agent", "x-lower"]


def test_repeated_headers_are_kept_in_order() -> None:
    request = method_request(headers=[("A", "1"), ("Connection", "close"), ("A", "2")])
    values = multi_value_headers(request)
    assert values["A"] == ["1", "2"]
    assert "Connection" not in values
    assert values["X-Forwarded-Port"] == ["443"]


def test_context_has_awss_order() -> None:
    gateway = SmallGateway({})
    values = context_values(gateway.program.route, method_request())
    assert " ".join(values) == (
        "resourceId resourcePath httpMethod extendedRequestId requestTime path accountId protocol"
        " requestOverride stage domainPrefix requestTimeEpoch requestId identity domainName"
        " deploymentId responseOverride apiId"
    )
    assert context_text(values, "path") == "/dev/pets/a%20b"
    assert context_text(values, "requestTimeEpoch") == "1767225600000"


def test_stage_variables_are_put_into_a_uri() -> None:
    text = "arn:${stageVariables.fn}:${stageVariables['alias']}:${stageVariables.none}."
    assert substitute_stage_variables(text, {"fn": "pets", "alias": "live"}) == "arn:pets:live:."


@pytest.mark.parametrize(
    ("types", "sent", "binary"),
    [
        ((), "image/png", False),
        (("image/png",), "Image/PNG; q=1", True),
        (("image/*",), "image/gif", True),
        (("*/gif",), "image/gif", False),
        (("*/*",), "", True),
        (("image/png",), "", False),
    ],
)
def test_binary_media_types(types: tuple[str, ...], sent: str, binary: bool) -> None:
    assert compile_binary_types(types)(sent) is binary
