"""Function URLs under whatever functions answer and clients send."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from fakes_functions import FakeStream
from lamington.core.clock import ManualClock
from lamington.core.http import Headers, Request
from lamington.functions.event_format import RequestReader
from lamington.functions.url_events import URL_HEADERS, UrlAddress, encode_event
from lamington.functions.url_responses import (
    HTTP_INTEGRATION,
    PRELUDE_END,
    buffered_response,
    streamed_response,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RESPONSES = st.fixed_dictionaries(
    {"statusCode": JSON | st.integers(200, 599)},
    optional={"headers": JSON, "cookies": JSON, "body": JSON, "isBase64Encoded": JSON},
)
NAMES = st.text(st.characters(codec="latin-1"), max_size=10)


@given(st.binary() | (JSON | RESPONSES).map(lambda value: json.dumps(value).encode()))
def test_whatever_a_function_answers_is_a_response(payload: bytes) -> None:
    response = buffered_response(payload)
    assert 200 <= response.status <= 599
    assert isinstance(response.body, bytes)
    assert all(isinstance(value, str) for _, value in response.headers)


@given(st.dictionaries(st.text(), JSON).map(lambda value: json.dumps(value).encode()))
def test_object_without_a_status_is_a_body_of_the_same_value(payload: bytes) -> None:
    value = json.loads(payload)
    if "statusCode" not in value:
        assert json.loads(buffered_response(payload).body) == value


@given(st.binary(max_size=40), st.lists(st.integers(0, 80), max_size=4))
def test_streamed_body_is_the_same_wherever_it_is_cut(body: bytes, cuts: list[int]) -> None:
    whole = b'{"statusCode":201}' + PRELUDE_END + body
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(edges)]

    async def received() -> tuple[int, bytes]:
        response = await streamed_response(FakeStream(pieces, HTTP_INTEGRATION))
        assert response.stream is not None
        return response.status, await _joined(response.stream)

    assert asyncio.run(received()) == (201, body)


async def _joined(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


@given(st.lists(st.tuples(NAMES, NAMES), max_size=6), st.text(max_size=20), st.binary())
def test_whatever_a_client_sends_is_an_event(
    fields: list[tuple[str, str]], query: str, body: bytes
) -> None:
    request = Request(method="POST", path="/", query=query, headers=Headers(fields), body=body)
    requests = RequestReader(ManualClock(), URL_HEADERS)
    received = requests.receive(request, "00000000-0000-0000-0000-000000000000")
    event = json.loads(
        encode_event(UrlAddress("abc", "abc.on.aws"), request, received, "id", "/", None)
    )
    assert event["rawQueryString"] == query
    sent = event.get("body", "")
    assert (base64.b64decode(sent) if event["isBase64Encoded"] else sent.encode()) == body
