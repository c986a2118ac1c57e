"""Functions that stream through a proxy integration, from the head to how it ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from fakes_gateway import (
    FUNCTION_ARN,
    SCOPE,
    FakePermissions,
    header,
    lambda_method,
    small_api,
    small_stage,
)
from fakes_gateway import FakeInvoker as BufferingInvoker
from lamington.core.clock import Ids, ManualClock
from lamington.core.errors import LamingtonError
from lamington.core.http import Headers, Request, Response
from lamington.functions.invoke import Invocation
from lamington.gateway.deployment import compile_stage
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.stage_parts import StageParts

NULS = bytes(8)
URI = (
    "arn:aws:apigateway:eu-west-1:lambda:path/2021-11-15/functions/"
    f"{FUNCTION_ARN}/response-streaming-invocations"
)


class StreamedPieces:
    """An answer of these pieces; None waits for the gate."""

    def __init__(self, pieces: Sequence[bytes | None], error: str = "") -> None:
        self.request_id = "id-1"
        self.function_error = ""
        self.error_payload = b'{"errorMessage": "broke"}'
        self.gate = asyncio.Event()
        self.closed = False
        self._pieces = pieces
        self._error = error

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            for piece in self._pieces:
                if piece is None:
                    await self.gate.wait()
                else:
                    yield piece
            self.function_error = self._error
        finally:
            self.closed = True


class StreamingFake:
    def __init__(self, answer: StreamedPieces) -> None:
        self.answer = answer
        self.invocations: list[Invocation] = []

    async def invoke_streamed(self, invocation: Invocation) -> StreamedPieces:
        self.invocations.append(invocation)
        return self.answer


async def ask(
    answer: StreamedPieces, *, permitted: bool = True, timeout_ms: int = 5000
) -> Response:
    plane = RestDataPlane(clock=ManualClock(), ids=Ids())
    method = lambda_method(uri=URI, response_transfer_mode="STREAM", timeout_ms=timeout_ms)
    plane.deploy(
        compile_stage(
            api=small_api({"GET /a": method}),
            stage=small_stage(),
            scope=SCOPE,
            parts=StageParts(
                invoker=BufferingInvoker({}),
                permitted=FakePermissions(permitted=permitted),
                streaming=StreamingFake(answer),
            ),
        )
    )
    request = Request(method="GET", path="/dev/a", headers=Headers([("Host", "h")]))
    return await plane.handle(request, "abc123", "dev", "/a")


async def rest(response: Response) -> list[bytes]:
    assert response.stream is not None
    return [piece async for piece in response.stream]


async def test_head_is_taken_off_and_pieces_pass() -> None:
    head = (
        b'{"statusCode": 201, "headers": {"Content-Type": "text/plain"},'
        b' "multiValueHeaders": {"X-M": ["1", "2"]}, "cookies": ["a=1"]}'
    )
    response = await ask(StreamedPieces([head[:9], head[9:] + NULS + b"one", b"two"]))
    assert response.status == 201
    assert header(response, "Content-Type") == "text/plain"
    assert [value for name, value in response.headers if name == "X-M"] == ["1", "2"]
    assert header(response, "Set-Cookie") == "a=1"
    assert header(response, "X-Amzn-Trace-Id")
    assert await rest(response) == [b"one", b"two"]


async def test_first_piece_comes_before_the_function_ends() -> None:
    answer = StreamedPieces([b"{}" + NULS + b"one", None, b"two"])
    response = await ask(answer)
    assert response.stream is not None
    assert await anext(response.stream) == b"one"
    answer.gate.set()
    assert await rest(response) == [b"two"]


async def test_end_of_the_head_may_be_split() -> None:
    response = await ask(StreamedPieces([b"{}" + NULS[:3], NULS[3:], b"body"]))
    assert (response.status, await rest(response)) == (200, [b"body"])


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b'{"statusCode": 200}'], id="no end"),
        pytest.param([b"no json" + NULS], id="no JSON"),
        pytest.param([b"[]" + NULS], id="no object"),
        pytest.param([b'{"statusCode": "x"}' + NULS], id="no status"),
        pytest.param([b'{"headers": []}' + NULS], id="no headers"),
        pytest.param([b" " * 17_000 + b"{}" + NULS], id="too long a head"),
        pytest.param([], id="nothing"),
    ],
)
async def test_stream_without_a_good_head_is_502(pieces: list[bytes]) -> None:
    response = await ask(StreamedPieces(pieces))
    assert (response.status, response.body) == (502, b'{"message":"Internal server error"}')


async def test_function_that_fails_before_its_head_is_502() -> None:
    assert (await ask(StreamedPieces([], error="Unhandled"))).status == 502


async def test_function_that_fails_later_cuts_the_stream() -> None:
    answer = StreamedPieces([b"{}" + NULS + b"one"], error="Unhandled")
    response = await ask(answer)
    with pytest.raises(LamingtonError, match="broke"):
        await rest(response)


async def test_head_that_is_late_is_504() -> None:
    response = await ask(StreamedPieces([None]), timeout_ms=50)
    assert (response.status, response.body) == (504, b'{"message":"Endpoint request timed out"}')


async def test_stream_that_is_too_long_is_cut() -> None:
    answer = StreamedPieces([b"{}" + NULS, None])
    response = await ask(answer, timeout_ms=60)
    with pytest.raises(LamingtonError, match="longer"):
        await rest(response)
    assert answer.closed


async def test_function_without_permission_is_500() -> None:
    assert (await ask(StreamedPieces([]), permitted=False)).status == 500
