"""What a function's answer to an HTTP API means: payload format 2.0 with inference, and 1.0.

Raises HttpRefusal where it means nothing that could be sent.
"""

import base64
import binascii
from collections.abc import Iterable

import msgspec

from lamington.core.http import Response
from lamington.functions.answer_format import answer_status, compact_json, structured_answer
from lamington.gateway.v2.http.refusals import JSON_TYPE, HttpRefusal

PLAIN_TYPE = "text/plain; charset=utf-8"
"""AWS: what a response that names no type has (community reports, AWS's own test tool)."""

_DECODE = msgspec.json.Decoder().decode

_NO_RESPONSE_TWO = (
    "a function behind an HTTP API answers a `statusCode` from 200 to 599, `headers` (an object of"
    " scalars), `cookies` (an array), `body` (text) and `isBase64Encoded`, or anything that has no"
    " `statusCode`, which is then the body"
)
_NO_RESPONSE_ONE = (
    "with payload format 1.0 a function answers an object of `statusCode`, `headers`,"
    " `multiValueHeaders`, `body` (text) and `isBase64Encoded`, and nothing else"
)


def read_answer_two(payload: bytes) -> Response:
    """The response that an answer of payload format 2.0 stands for.

    AWS: API Gateway developer guide, Lambda integrations for HTTP APIs: without a `statusCode` it
    is 200 and JSON, and the body is the answer as it is; text is its own body.
    """
    try:
        value = _DECODE(payload)
    except msgspec.DecodeError:
        raise malformed_answer(payload, "the answer is no JSON") from None
    if isinstance(value, dict) and "statusCode" in value:
        response = None
        if not isinstance(value.get("body"), dict | list):
            response = structured_answer(value, PLAIN_TYPE)
        if response is None:
            raise malformed_answer(payload, _NO_RESPONSE_TWO)
        return response
    body = value.encode("utf-8", "replace") if isinstance(value, str) else payload
    return Response(status=200, headers=[JSON_TYPE], body=body)


_Scalar = str | bool | int | float | None


def why_read(payload: bytes, version: str) -> str:
    """Why an answer became the response that it did."""
    if version != "2.0":
        return "payload format 1.0: the answer is the response"
    value = _DECODE(payload)
    if isinstance(value, dict) and "statusCode" in value:
        return "the answer has a `statusCode`: it is the response"
    return "the answer has no `statusCode`: it is the body, of status 200 and in JSON"


class _AnswerOne(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    status_code: int | str | None = 200
    headers: dict[str, _Scalar] | None = None
    multi_value_headers: dict[str, list[_Scalar]] | None = None
    body: str | None = None
    is_base64_encoded: bool | None = False


_DECODE_ONE = msgspec.json.Decoder(_AnswerOne).decode


def read_answer_one(payload: bytes) -> Response:
    """The response that an answer of payload format 1.0 stands for: as strict as REST's proxy.

    AWS: same place; a failure is 500, and base64 is decoded whatever the client accepts.
    """
    try:
        answer = _DECODE_ONE(payload)
    except msgspec.DecodeError as error:
        raise malformed_answer(payload, f"{error}; {_NO_RESPONSE_ONE}") from None
    status = answer_status(200 if answer.status_code is None else answer.status_code)
    if status is None:
        raise malformed_answer(payload, _NO_RESPONSE_ONE)
    content = (answer.body or "").encode("utf-8", "replace")
    if answer.is_base64_encoded:
        try:
            content = base64.b64decode(content, validate=True)
        except binascii.Error:
            raise malformed_answer(payload, "the body is no base64") from None
    headers = _headers_of(answer)
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", PLAIN_TYPE))
    return Response(status=status, headers=headers, body=content)


def _headers_of(answer: _AnswerOne) -> list[tuple[str, str]]:
    """Every value of `multiValueHeaders`, and those of `headers` that do not repeat one."""
    headers: list[tuple[str, str]] = []
    several: dict[str, set[str]] = {}
    for name, values in (answer.multi_value_headers or {}).items():
        texts = list(_texts(values))
        several[name.lower()] = set(texts)
        headers.extend((name, text) for text in texts)
    for name, value in (answer.headers or {}).items():
        for text in _texts([value]):
            if text not in several.get(name.lower(), ()):
                headers.append((name, text))
    return headers


def _texts(values: Iterable[_Scalar]) -> Iterable[str]:
    for value in values:
        if value is not None:
            yield value if isinstance(value, str) else compact_json(value).decode()


def malformed_answer(payload: bytes, hint: str) -> HttpRefusal:
    """AWS: API Gateway developer guide, troubleshooting Lambda integrations of HTTP APIs."""
    return HttpRefusal(
        500,
        "The response from the Lambda function doesn't match the format that API Gateway expects."
        f" Lambda body contains {payload[:1000].decode('utf-8', 'replace')}",
        hint=hint,
    )


def function_failed(payload: bytes) -> HttpRefusal:
    """AWS: same place."""
    return HttpRefusal(
        500,
        "The Lambda function returned the following error:"
        f" {payload[:1000].decode('utf-8', 'replace')}. Check your Lambda function code and try"
        " again.",
    )
