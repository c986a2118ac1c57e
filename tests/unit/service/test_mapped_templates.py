"""The templates of the mapped style make an event of any request, and no request can break them."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamington.gateway.vtl.compiler import compile_template
from lamington.gateway.vtl.library import Bindings, Input, make_context, response_override
from lamington.service.mapped import (
    ErrorResponse,
    Parameter,
    render_request_template,
    render_responses,
)

NONE: Mapping[str, str] = {}


def event_of(
    *parameters: Parameter,
    body: bool = False,
    sent: str = "",
    path: Mapping[str, str] = NONE,
    query: Mapping[str, str] = NONE,
    header: Mapping[str, str] = NONE,
) -> dict[str, Any]:
    template = compile_template(render_request_template(parameters, body=body))
    request = Input(sent, path=path, querystring=query, header=header)
    event: dict[str, Any] = json.loads(template(Bindings(input=request, context=make_context({}))))
    return event


def query_parameter(type_name: str, **more: Any) -> Parameter:
    return Parameter(name="q", key="q", place="query", type=type_name, **more)


@pytest.mark.parametrize(
    ("type_name", "text", "expected"),
    [
        ("string", "a", "a"),
        ("string", "", ""),
        ("string", "5", "5"),
        ("string", 'it\'s "q" \\ / \u00e9 \U0001f370\n', 'it\'s "q" \\ / \u00e9 \U0001f370\n'),
        ("integer", "5", 5),
        ("integer", "-17", -17),
        ("integer", "05", "05"),
        ("integer", "5.0", "5.0"),
        ("integer", "5}", "5}"),
        ("integer", "5\n", "5\n"),
        ("integer", "9" * 19, "9" * 19),
        ("integer", "", None),
        ("number", "2.5", 2.5),
        ("number", "-1e3", -1000.0),
        ("number", "1e999", "1e999"),
        ("number", "NaN", "NaN"),
        ("number", ".5", ".5"),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("boolean", "True", "True"),
        ("boolean", 'true,"x":1', 'true,"x":1'),
    ],
)
def test_parameter_is_typed_only_where_its_text_is_such_a_value(
    type_name: str, text: str, expected: Any
) -> None:
    event = event_of(query_parameter(type_name), query={"q": text})
    assert event == {"q": expected}
    assert type(event["q"]) is type(expected)


def test_absent_parameter_is_null() -> None:
    for type_name in ("string", "integer", "number", "boolean", "array"):
        assert event_of(query_parameter(type_name)) == {"q": None}


def test_absent_parameter_takes_its_default() -> None:
    assert event_of(query_parameter("integer", default=10)) == {"q": 10}
    assert event_of(query_parameter("string", default="$5 #1 ]#")) == {"q": "$5 #1 ]#"}


@pytest.mark.parametrize(
    ("separator", "text"), [(",", "1,2"), (" ", "1 2"), ("\t", "1\t2"), ("[|]", "1|2")]
)
def test_array_is_split_and_its_items_are_typed(separator: str, text: str) -> None:
    parameter = query_parameter("array", item_type="integer", separator=separator)
    assert event_of(parameter, query={"q": text}) == {"q": [1, 2]}


def test_array_items_are_escaped() -> None:
    event = event_of(query_parameter("array"), query={"q": 'a","b,c\\'})
    assert event == {"q": ['a"', '"b', "c\\"]}


def test_header_is_found_in_any_case() -> None:
    parameter = Parameter(name="X-Tok", key="token", place="header")
    assert event_of(parameter, header={"x-tOK": "t"}) == {"token": "t"}
    assert event_of(parameter, header={"x-other": "t"}) == {"token": None}


def test_same_name_in_other_places_does_not_interfere() -> None:
    event = event_of(query_parameter("string"), path={"q": "path"}, header={"q": "header"})
    assert event == {"q": None}


def test_name_with_dollar_is_no_reference() -> None:
    parameter = Parameter(name="$filter", key="$filter", place="query")
    assert event_of(parameter, query={"$filter": "x"}) == {"$filter": "x"}


@pytest.mark.parametrize(
    ("sent", "header", "expected"),
    [
        ('{"a": [1, "x"]}', {"Content-Type": "application/json"}, {"a": [1, "x"]}),
        ("", {}, None),
        ("{}", {"content-type": "application/json"}, {}),
        ("[]", {}, []),
        ('say "hi"', {}, 'say "hi"'),
    ],
)
def test_body_is_the_json_that_was_sent(sent: str, header: dict[str, str], expected: Any) -> None:
    assert event_of(body=True, sent=sent, header=header) == {"body": expected}


def test_operation_without_parameters_has_an_empty_event() -> None:
    assert event_of(sent='{"admin": true}') == {}


@given(
    value=st.text(), type_name=st.sampled_from(["string", "integer", "number", "boolean", "array"])
)
@settings(max_examples=150, deadline=None)
def test_no_value_changes_the_shape_of_the_event(value: str, type_name: str) -> None:
    other = Parameter(name="id", key="id", place="path")
    header = Parameter(name="H", key="h", place="header")
    event = event_of(
        query_parameter(type_name),
        other,
        header,
        path={"id": value},
        query={"q": value},
        header={"h": value},
    )
    assert list(event) == ["q", "id", "h"]
    assert event["id"] == value
    assert event["h"] == (value or None)


def response_of(responses: Mapping[str, Any], result: str) -> tuple[str, str]:
    """Select as API Gateway does, in an order that is the worst: the last that matches."""
    parsed = json.loads(result)
    message = parsed.get("errorMessage", "") if isinstance(parsed, dict) else ""
    chosen = responses["default"]
    for pattern, response in responses.items():
        if pattern != "default" and re.fullmatch(pattern, message):
            chosen = response
    context = make_context({})
    request = Input(result, path={}, querystring={}, header={})
    template = compile_template(chosen["responseTemplates"]["application/json"])
    body = template(Bindings(input=request, context=context))
    return str(response_override(context).get("status") or chosen["statusCode"]), body


ERRORS = (
    ErrorResponse(status_code="404", pattern="No cake .*"),
    ErrorResponse(status_code="409", pattern="(?:Sold out|Taken)"),
)


def error(message: str) -> str:
    return json.dumps({"errorMessage": message, "errorType": "E", "stackTrace": []})


@pytest.mark.parametrize(
    ("message", "status", "told"),
    [
        ("No cake is called x", "404", "No cake is called x"),
        ("No cake 'a'\n\"b\"", "404", "No cake 'a'\n\"b\""),
        ("Sold out", "409", "Sold out"),
        ("Taken", "409", "Taken"),
        ("Sold out today", "500", "Internal server error"),
        ("Sold out\n", "500", "Internal server error"),
        ("secret: x\ny", "500", "Internal server error"),
        ("", "500", "Internal server error"),
    ],
)
def test_exception_becomes_the_response_that_declares_it(
    message: str, status: str, told: str
) -> None:
    answered, body = response_of(render_responses("200", ERRORS, {}), error(message))
    assert (answered, json.loads(body)) == (status, {"message": told})


def test_declared_500_tells_its_message_and_no_other() -> None:
    responses = render_responses("200", [ErrorResponse(status_code="500", pattern="It's .*")], {})
    assert response_of(responses, error("It's late")) == ("500", '{"message": "It\'s late"}')
    assert response_of(responses, error("x"))[1] == '{"message": "Internal server error"}'


@pytest.mark.parametrize("result", ['{"a": 1.0,  "b": "\u00e9/"}', '"text"', "null", "[1, 2]", "3"])
def test_result_passes_byte_for_byte(result: str) -> None:
    assert response_of(render_responses("201", ERRORS, {}), result) == ("201", result)


def test_result_may_have_an_error_type_of_its_own() -> None:
    result = '{"errorType": "mine"}'
    assert response_of(render_responses("200", (), {}), result) == ("200", result)


def test_response_without_content_is_empty() -> None:
    assert response_of(render_responses("204", (), {}), '{"a": 1}') == ("204", "")


def test_no_two_patterns_share_a_status() -> None:
    responses = render_responses(
        "200", (*ERRORS, ErrorResponse(status_code="500", pattern="x")), {}
    )
    codes = [response["statusCode"] for response in responses.values()]
    assert sorted(codes) == sorted(set(codes))
