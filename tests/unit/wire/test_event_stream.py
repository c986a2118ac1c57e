"""Event streams, read back by botocore's own parser."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer

from lamington.core.errors import AwsError
from lamington.wire.event_stream import encode_event, encode_events, encode_message
from lamington.wire.serialize import render_result
from lamington.wire.services import Service, Services


class SessionTimeoutException(AwsError):
    """A member of StartLiveTail's stream."""


class ThrottledException(AwsError):
    """No member of any stream here."""


@pytest.fixture(scope="module")
def services() -> Services:
    return Services()


def render(members: Mapping[str, Any], value: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({name: value[name] for name in members})


def read(data: bytes) -> list[Any]:
    """Every message; botocore checks the checksums of each."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


async def joined(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


def union(service: Service, operation: str, member: str) -> Any:
    shape: Any = service.operation(operation).output_shape
    return shape.members[member]


def test_message_is_read_back_with_headers_of_each_type() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    headers: list[tuple[str, Any]] = [
        ("text", "é"),
        ("yes", True),
        ("no", False),
        ("bytes", b"\0"),
        ("number", -5),
    ]
    [message] = read(encode_message([*headers, ("moment", moment)], b"payload"))
    assert message.payload == b"payload"
    assert message.headers == {
        **dict(headers),
        "moment": round(moment.timestamp() * 1000),
    }


def test_message_without_anything_is_sixteen_bytes() -> None:
    assert encode_message([]).hex() == "000000100000000005c248eb7d98c8ff"


def test_blob_is_the_whole_payload(services: Services) -> None:
    stream = union(services.require("lambda"), "InvokeWithResponseStream", "EventStream")
    [message] = read(encode_event(stream, {"PayloadChunk": {"Payload": b"\xff\0"}}, render))
    assert message.headers == {
        ":event-type": "PayloadChunk",
        ":message-type": "event",
        ":content-type": "application/octet-stream",
    }
    assert message.payload == b"\xff\0"


def test_members_are_a_json_document(services: Services) -> None:
    stream = union(services.require("lambda"), "InvokeWithResponseStream", "EventStream")
    [message] = read(encode_event(stream, {"InvokeComplete": {"LogResult": "eA=="}}, render))
    assert message.headers[":content-type"] == "application/json"
    assert message.payload == b'{"LogResult":"eA=="}'


async def test_modelled_exception_ends_a_stream_as_such(services: Services) -> None:
    async def events() -> AsyncIterator[dict[str, Any]]:
        raise SessionTimeoutException("three hours are over")
        yield {}

    stream = union(services.require("logs"), "StartLiveTail", "responseStream")
    [message] = read(await joined(encode_events(stream, events(), render)))
    assert message.headers[":message-type"] == "exception"
    assert message.headers[":exception-type"] == "SessionTimeoutException"
    assert msgspec.json.decode(message.payload) == {"message": "three hours are over"}


async def test_other_refusal_ends_a_stream_as_an_error(services: Services) -> None:
    async def events() -> AsyncIterator[dict[str, Any]]:
        yield {"sessionUpdate": {}}
        raise ThrottledException("too many")

    stream = union(services.require("logs"), "StartLiveTail", "responseStream")
    _, message = read(await joined(encode_events(stream, events(), render)))
    assert message.headers == {
        ":error-code": "ThrottledException",
        ":error-message": "too many",
        ":message-type": "error",
    }


async def test_json_protocol_begins_with_an_initial_response(services: Services) -> None:
    async def events() -> AsyncIterator[dict[str, Any]]:
        yield {"sessionStart": {"sessionId": "s"}}

    response = render_result(
        services.require("logs"), "StartLiveTail", {"responseStream": events()}, "id-1"
    )
    assert ("Content-Type", "application/vnd.amazon.eventstream") in response.headers
    assert response.stream is not None
    first, second = read(await joined(response.stream))
    assert (first.headers[":event-type"], first.payload) == ("initial-response", b"{}")
    assert second.headers[":event-type"] == "sessionStart"


async def test_stream_that_is_left_closes_its_events(services: Services) -> None:
    closed = []

    async def events() -> AsyncIterator[dict[str, Any]]:
        try:
            yield {"PayloadChunk": {"Payload": b"a"}}
            yield {"PayloadChunk": {"Payload": b"b"}}
        finally:
            closed.append(True)

    response = render_result(
        services.require("lambda"),
        "InvokeWithResponseStream",
        {"StatusCode": 200, "EventStream": events()},
        "id-1",
    )
    stream: Any = response.stream
    await anext(stream)
    await stream.aclose()
    assert closed == [True]
