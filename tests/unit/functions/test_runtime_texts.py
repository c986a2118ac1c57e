"""What the Runtime API says, text by text."""

import asyncio

import pytest

from lamington.functions.link import Request
from lamington.functions.runtime_texts import (
    TRANSITIONS,
    RuntimeState,
    known_error_type,
    render_next_fields,
    render_truncated,
    trailer_payload,
)


async def test_header_holds_only_what_has_a_value() -> None:
    outcome = asyncio.get_running_loop().create_future()
    assert render_next_fields(Request(outcome, "id", "arn", b""), 5) == (
        "Content-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: id\r\n"
        "Lambda-Runtime-Deadline-Ms: 5\r\nLambda-Runtime-Invoked-Function-Arn: arn\r\n"
    )


async def test_line_breaks_forge_no_header() -> None:
    outcome = asyncio.get_running_loop().create_future()
    request = Request(outcome, "id", "arn", b"", "Root=1\r\nEvil: 1", '{"a":\n1}')
    fields = render_next_fields(request, 5)
    assert "Lambda-Runtime-Trace-Id: Root=1  Evil: 1\r\n" in fields
    assert 'Lambda-Runtime-Client-Context: {"a": 1}\r\n' in fields


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("Runtime.ImportModuleError", "Runtime.ImportModuleError"),
        ("Function.MyError", "Function.MyError"),
        ("Function.lower", "Function.Unknown"),
        ("Function.", "Function.Unknown"),
        ("ValueError", "Runtime.Unknown"),
        ("Runtime.X\nEND", "Runtime.Unknown"),
        ("", "Runtime.Unknown"),
    ],
)
def test_error_type_is_of_the_documented_form(given: str, known: str) -> None:
    assert known_error_type(given) == known


@pytest.mark.parametrize(
    ("encoded", "payload"),
    [
        (b"e30=", b"{}"),
        (b"not base64", b"not base64"),
        (None, b'{"errorType":"Function.X"}'),
        (b"", b'{"errorType":"Function.X"}'),
    ],
)
def test_trailer_is_decoded(encoded: bytes | None, payload: bytes) -> None:
    assert trailer_payload(encoded, "Function.X") == payload


def test_truncated_response_names_its_type() -> None:
    assert render_truncated("id").startswith(
        b'{"errorType":"Runtime.TruncatedResponse","errorMessage":"RequestId: id Error: '
    )


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(RuntimeState)
    assert all(each in TRANSITIONS for after in TRANSITIONS.values() for each in after)
