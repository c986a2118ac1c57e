"""Event streams: `application/vnd.amazon.eventstream`, one message for each event of a result.

Pure: events in, bytes out. What stands in a JSON payload is rendered by `serialize`; which
operations answer with a stream, the service models tell.
"""

import struct
from binascii import crc32
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from lamington.core.errors import AwsError

CONTENT_TYPE = "application/vnd.amazon.eventstream"

HeaderValue = bool | int | bytes | str | datetime
Render = Callable[[Any, Mapping[str, Any]], bytes]
"""Renders the members of a structure that are given by name and shape as a JSON document."""

_NUMBER_TYPES: Mapping[str, tuple[int, str]] = {
    "byte": (2, ">b"),
    "short": (3, ">h"),
    "integer": (4, ">i"),
    "long": (5, ">q"),
}


def encode_message(headers: Iterable[tuple[str, HeaderValue]], payload: bytes = b"") -> bytes:
    """One message: lengths and their checksum, headers, payload, checksum of everything.

    AWS: event stream encoding (Transcribe developer guide; Smithy, Amazon event stream).
    """
    fields = b"".join([_header(name, value) for name, value in headers])
    size = 16 + len(fields) + len(payload)
    prelude = struct.pack(">II", size, len(fields))
    checked = prelude + struct.pack(">I", crc32(prelude)) + fields
    return b"".join((checked, payload, struct.pack(">I", crc32(payload, crc32(checked)))))


def _header(name: str, value: HeaderValue, number: str = "integer") -> bytes:
    encoded = name.encode()
    match value:
        case bool():
            tail = b"\0" if value else b"\1"
        case int():
            kind, form = _NUMBER_TYPES[number]
            tail = bytes((kind,)) + struct.pack(form, value)
        case bytes():
            tail = b"\6" + struct.pack(">H", len(value)) + value
        case datetime():
            tail = b"\x08" + struct.pack(">q", round(value.timestamp() * 1000))
        case _:
            text = value.encode()
            tail = b"\7" + struct.pack(">H", len(text)) + text
    return bytes((len(encoded),)) + encoded + tail


def encode_event(union: Any, event: Mapping[str, Any], render: Render) -> bytes:
    """One event of the stream's union: `event` names the member and gives what is in it.

    AWS: Smithy, event streams; a member may travel as a header or be the whole payload.
    """
    [(name, value)] = event.items()
    shape = union.members[name]
    if shape.metadata.get("exception"):
        headers: list[tuple[str, HeaderValue]] = [
            (":exception-type", name),
            (":message-type", "exception"),
        ]
    else:
        headers = [(":event-type", name), (":message-type", "event")]
    rest: dict[str, Any] = {}
    whole: tuple[Any, Any] | None = None
    for member_name, member in shape.members.items():
        found = value.get(member_name)
        if member.serialization.get("eventpayload"):
            whole = member, found
        elif found is None:
            continue
        elif member.serialization.get("eventheader"):
            headers.append((member_name, found))
        else:
            rest[member_name] = member
    if whole is not None:
        content_type, payload = _payload(*whole, render)
    else:
        content_type, payload = "application/json", render(rest, value)
    headers.append((":content-type", content_type))
    return encode_message(headers, payload)


def _payload(shape: Any, value: Any, render: Render) -> tuple[str, bytes]:
    if shape.type_name == "blob":
        return "application/octet-stream", value.encode() if isinstance(
            value, str
        ) else value or b""
    if shape.type_name == "string":
        return "text/plain", (value or "").encode()
    return "application/json", render(shape.members, value or {})


def encode_initial_response(payload: bytes, content_type: str) -> bytes:
    """The first message of a JSON protocol: what the result holds beside its stream.

    AWS: Smithy, event streams, initial messages of RPC protocols.
    """
    return encode_message(
        [
            (":event-type", "initial-response"),
            (":content-type", content_type),
            (":message-type", "event"),
        ],
        payload,
    )


async def encode_events(
    union: Any, events: AsyncIterator[Mapping[str, Any]], render: Render, first: bytes = b""
) -> AsyncIterator[bytes]:
    """The messages of a stream; an AwsError that ends it is its last.

    AWS: an exception that the stream models goes as such, any other as an error of its code.
    """
    try:
        if first:
            yield first
        async for event in events:
            yield encode_event(union, event, render)
    except AwsError as error:
        yield _refusal(union, error, render)
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


def _refusal(union: Any, error: AwsError, render: Render) -> bytes:
    shape = union.members.get(error.code)
    if shape is not None and shape.metadata.get("exception"):
        message = next((name for name in shape.members if name.lower() == "message"), "message")
        return encode_event(union, {error.code: {**error.members, message: error.message}}, render)
    return encode_message(
        [
            (":error-code", error.code),
            (":error-message", error.message),
            (":message-type", "error"),
        ]
    )
