"""Payload format 2.0, the answer: what an object of statusCode, headers and body describes.

Shared by function URLs and HTTP APIs. When an answer is such an object, and what a client gets
where it is none that can be sent, is the caller's to know.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from lamington.core.http import Response

STATUS_MIN, STATUS_MAX = 200, 599
"""A client goes on waiting after an answer of 1xx: none is let through."""

Fields = list[tuple[str, str]]

_ENCODE = msgspec.json.Encoder().encode


def structured_answer(value: Mapping[str, Any], content_type: str) -> Response | None:
    """The response that an object with a `statusCode` describes, None where it describes none.

    AWS: `statusCode` may be a number as text; a body that is no text is sent as JSON.
    """
    status = answer_status(value["statusCode"])
    given, cookies = value.get("headers") or {}, value.get("cookies") or []
    if status is None or not isinstance(given, dict) or not isinstance(cookies, list):
        return None
    headers: Fields = []
    typed = False
    for name, each in given.items():
        if each is None:
            continue
        if not name or isinstance(each, dict | list):
            return None
        typed = typed or (len(name) == 12 and name.lower() == "content-type")
        headers.append((name, each if type(each) is str else compact_json(each).decode()))
    if not typed:
        headers.append(("Content-Type", content_type))
    headers.extend(("Set-Cookie", str(each)) for each in cookies)
    body = value.get("body")
    content = b""
    if isinstance(body, str):
        content = body.encode("utf-8", "replace")
        if value.get("isBase64Encoded") is True:
            try:
                content = base64.b64decode(content, validate=True)
            except binascii.Error:
                return None
    elif body is not None:
        content = compact_json(body)
    return Response(status=status, headers=headers, body=content)


def answer_status(given: Any) -> int | None:
    """The status that a `statusCode` stands for, None where a client cannot be sent it."""
    if isinstance(given, str) and given.isascii() and given.isdecimal() and len(given) == 3:
        given = int(given)
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if type(given) is int and STATUS_MIN <= given <= STATUS_MAX:
        return given
    return None


def compact_json(value: Any, otherwise: bytes = b"") -> bytes:
    """JSON without spaces; a number that is too large to be written is left as it was."""
    try:
        return _ENCODE(value)
    except (OverflowError, msgspec.EncodeError):
        return otherwise
