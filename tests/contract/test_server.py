"""The HTTP server as clients meet it: raw sockets, well behaved and not."""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import pytest

from lamington.core.errors import UsageError
from lamington.core.http import Request, Response
from lamington.engine.server import HttpServer, ServerLimits

ANSWER_S = 5.0
TICK_S = 0.02


async def echo(request: Request) -> Response:
    text = f"{request.method} {request.path} {request.query} {len(request.body)}"
    return Response(headers=[("Content-Type", "text/plain")], body=text.encode())


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(ANSWER_S):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.rstrip("\r\n").split("\r\n")
        return int(first.split()[1]), {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = await self.head()
        async with asyncio.timeout(ANSWER_S):
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return status, headers, body

    async def get(self, path: str) -> bytes:
        await self.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        return (await self.answer())[2]

    async def is_closed(self) -> bool:
        async with asyncio.timeout(ANSWER_S):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


Connect = Callable[[], Awaitable[Client]]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the other side of a socket brings about; nothing tells of it."""
    async with asyncio.timeout(ANSWER_S):
        while not condition():  # noqa: ASYNC110 -- there is no event to wait for
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(
    answerer: Callable[[Request], Response | Awaitable[Response]] = echo,
    limits: ServerLimits | None = None,
) -> AsyncIterator[tuple[HttpServer, Connect]]:
    server = HttpServer(answerer, limits=limits)
    port = await server.start("127.0.0.1", 0)
    clients: list[Client] = []

    async def connect() -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        clients.append(client)
        return client

    yield server, connect
    await server.stop(1.0)
    for client in clients:
        client.writer.close()


async def test_a_request_reaches_the_answerer_as_it_was_sent() -> None:
    seen: list[Request] = []

    def keep(request: Request) -> Response:
        seen.append(request)
        return Response(status=204)

    async with serving(keep) as (_, connect):
        client = await connect()
        await client.send(
            b"POST /a%20b/%C3%A9?x=1&y=%2F HTTP/1.1\r\nHost: h\r\nX-Name: v\xe9\r\nx-name: w\r\n"
            b"Content-Length: 3\r\n\r\nabc"
        )
        assert (await client.head())[0] == 204
    assert seen[0].method == "POST"
    assert seen[0].path == "/a%20b/%C3%A9"
    assert seen[0].query == "x=1&y=%2F"
    assert seen[0].headers.all("X-Name") == ["v\u00e9", "w"]
    assert seen[0].headers.fields[1] == ("X-Name", "v\u00e9")
    assert seen[0].body == b"abc"
    assert seen[0].source_ip == "127.0.0.1"


async def test_one_connection_serves_many_requests() -> None:
    async with serving() as (_, connect):
        client = await connect()
        assert [await client.get(f"/{number}") for number in range(3)] == [
            b"GET /0  0",
            b"GET /1  0",
            b"GET /2  0",
        ]


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def slow_first(request: Request) -> Response:
        for _ in range(20 if request.path == "/0" else 0):
            await asyncio.sleep(0)
        return Response(body=request.path.encode())

    async with serving(slow_first) as (_, connect):
        client = await connect()
        await client.send(
            b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(200))
        )
        for number in range(200):
            assert (await client.answer())[2] == b"/%d" % number


async def test_thousands_of_pipelined_requests_with_ready_answers_are_all_answered() -> None:
    async with serving(lambda request: Response(body=b"x")) as (_, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 5000)
        for _ in range(5000):
            assert (await client.answer())[2] == b"x"


async def test_a_chunked_body_arrives_whole_and_its_trailers_are_no_headers() -> None:
    seen: list[Request] = []

    def keep(request: Request) -> Response:
        seen.append(request)
        return Response(body=request.body)

    async with serving(keep) as (_, connect):
        client = await connect()
        await client.send(
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-After\r\n\r\n"
        )
        for chunk in (b"3\r\nabc\r\n", b"2;name=value\r\nde\r\n", b"0\r\nX-After: 1\r\n\r\n"):
            await client.send(chunk)
        assert (await client.answer())[2] == b"abcde"
        assert "X-After" not in seen[0].headers
        assert await client.get("/again") == b""


async def test_a_request_that_comes_byte_by_byte_is_understood() -> None:
    async with serving() as (_, connect):
        client = await connect()
        for byte in b"POST /path?q HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab":
            await client.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await client.answer())[2] == b"POST /path q 2"


async def test_a_body_of_ten_megabytes_is_taken_and_given_back() -> None:
    body = bytes(range(256)) * 40_960

    async with serving(lambda request: Response(body=request.body)) as (_, connect):
        client = await connect()
        sending = asyncio.create_task(
            client.send(
                b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
        )
        assert (await client.answer())[2] == body
        await sending


async def test_expect_is_answered_before_the_body_is_sent() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(
            b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert (await client.head())[0] == 100
        await client.send(b"ab")
        assert (await client.answer())[2] == b"PUT /  2"


async def test_a_body_over_the_limit_is_refused_before_it_is_asked_for() -> None:
    async with serving(limits=ServerLimits(body_bytes_max=10)) as (_, connect):
        client = await connect()
        await client.send(
            b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n"
        )
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (413, "close")


async def test_a_client_that_sends_a_body_over_the_limit_still_reads_why() -> None:
    async with serving(limits=ServerLimits(body_bytes_max=1000)) as (_, connect):
        client = await connect()
        await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n")
        client.writer.write(b"x" * 3_000_000)
        assert (await client.answer())[0] == 413


async def test_a_chunked_body_over_the_limit_is_refused() -> None:
    async with serving(limits=ServerLimits(body_bytes_max=10)) as (_, connect):
        client = await connect()
        await client.send(
            b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n"
        )
        await client.send(b"8\r\n12345678\r\n")
        assert (await client.answer())[0] == 413


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 2000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 400 + b"\r\n", 431),
        (b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    ],
)
async def test_a_head_over_the_limit_is_refused(head: bytes, status: int) -> None:
    async with serving(limits=ServerLimits(head_bytes_max=1024)) as (_, connect):
        client = await connect()
        await client.send(head)
        assert (await client.answer())[0] == status
        assert await client.is_closed()


async def test_a_head_that_never_ends_is_refused_once_it_is_too_long() -> None:
    async with serving(limits=ServerLimits(head_bytes_max=1024)) as (_, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\nX: ")
        for _ in range(10):
            await client.send(b"x" * 300)
            await asyncio.sleep(0.001)
        assert (await client.answer())[0] == 431


@pytest.mark.parametrize(
    "request_text",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_malformed_requests_are_answered_400(request_text: bytes) -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(request_text)
        status, headers, body = await client.answer()
        assert status == 400
        assert body == b'{"message":"Bad Request"}'
        assert headers["connection"] == "close"
        assert await client.is_closed()


async def test_head_is_answered_without_the_body_but_with_its_length() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(b"HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n")
        status, headers = await client.head()
        assert (status, headers["content-length"]) == (200, "10")
        assert await client.get("/y") == b"GET /y  0"


async def test_connection_close_is_obeyed() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert (await client.answer())[1]["connection"] == "close"
        assert await client.is_closed()


async def test_http_1_0_closes_unless_asked_to_stay() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.answer())[1]["connection"] == "keep-alive"
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.answer())[1]["connection"] == "close"
        assert await client.is_closed()


async def test_an_offer_of_http_2_is_passed_over() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(
            b"POST /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 2\r\n\r\nab"
            b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
        )
        assert (await client.answer())[2] == b"POST /a  2"
        assert (await client.answer())[2] == b"GET /b  0"


async def test_a_target_with_an_authority_is_read_as_its_path() -> None:
    async with serving() as (_, connect):
        client = await connect()
        assert await client.get("http://h/path?q=1") == b"GET /path q=1 0"


async def test_a_client_that_closes_its_half_is_still_answered() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(b"GET /last HTTP/1.1\r\nHost: h\r\n\r\n")
        client.writer.write_eof()
        assert (await client.answer())[2] == b"GET /last  0"
        assert await client.is_closed()


@pytest.mark.parametrize("resets", [False, True])
async def test_a_client_that_leaves_early_stops_nothing(
    caplog: pytest.LogCaptureFixture, resets: bool
) -> None:
    started = asyncio.Event()
    may_end = asyncio.Event()
    ended = asyncio.Event()

    async def slow(request: Request) -> Response:
        if request.path == "/slow":
            started.set()
            await may_end.wait()
            ended.set()
        return Response(body=b"x" * 100_000)

    async with serving(slow) as (server, connect):
        client = await connect()
        await client.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        await started.wait()
        if resets:
            client.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        client.writer.transport.abort()
        if resets:
            await until(lambda: not server.connections)
        may_end.set()
        async with asyncio.timeout(ANSWER_S):
            await ended.wait()
        await until(lambda: not server.connections)
        assert len(await (await connect()).get("/next")) == 100_000
    assert caplog.records == []


async def test_a_failure_is_answered_500_and_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(request: Request) -> Response:
        raise ZeroDivisionError(request.path)

    with caplog.at_level(logging.ERROR):
        async with serving(fail) as (_, connect):
            client = await connect()
            await client.send(b"GET /broken HTTP/1.1\r\nHost: h\r\n\r\n")
            status, _, body = await client.answer()
            assert (status, body) == (500, b'{"message":"Internal server error"}')
            assert await client.get("/again") == body
    assert "ZeroDivisionError: /broken" in caplog.text


async def test_a_ready_answer_that_fails_is_answered_500(caplog: pytest.LogCaptureFixture) -> None:
    def fail(request: Request) -> Response:
        raise ZeroDivisionError

    async with serving(fail) as (_, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.answer())[0] == 500
    assert "ZeroDivisionError" in caplog.text


async def test_a_future_is_an_answer_too() -> None:
    def promise(request: Request) -> asyncio.Future[Response]:
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(answer.set_result, Response(body=b"later"))
        return answer

    async with serving(promise) as (_, connect):
        assert await (await connect()).get("/") == b"later"


async def test_a_header_cannot_forge_another() -> None:
    forged = Response(
        headers=[("X-Value", "a\r\nSet-Cookie: b=c\n\nbody"), ("Content-Length", "9")]
    )
    async with serving(lambda request: forged) as (_, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        _, headers, body = await client.answer()
        assert "set-cookie" not in headers
        assert headers["x-value"] == "a  Set-Cookie: b=c  body"
        assert (headers["content-length"], body) == ("0", b"")


async def test_the_date_is_now_and_the_server_does_not_tell_what_it_is() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        _, headers, _ = await client.answer()
        age = datetime.now(UTC) - parsedate_to_datetime(headers["date"])
        assert abs(age.total_seconds()) < 5
        assert "server" not in headers


async def test_a_client_too_slow_with_its_head_is_told_408() -> None:
    limits = ServerLimits(head_timeout_s=0.1, tick_s=TICK_S)
    async with serving(limits=limits) as (_, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n")
        for _ in range(8):  # Slowloris: a line now and then must not buy more time.
            await asyncio.sleep(TICK_S)
            client.writer.write(b"X: y\r\n")
        assert (await client.answer())[0] == 408
        assert await client.is_closed()


async def test_a_client_too_slow_with_its_body_is_told_408() -> None:
    limits = ServerLimits(body_timeout_s=0.1, tick_s=TICK_S)
    async with serving(limits=limits) as (_, connect):
        client = await connect()
        await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
        assert (await client.answer())[0] == 408


async def test_an_idle_connection_is_closed() -> None:
    async with serving(limits=ServerLimits(idle_timeout_s=0.05, tick_s=TICK_S)) as (_, connect):
        client = await connect()
        assert await client.get("/") == b"GET /  0"
        assert await client.is_closed()


async def test_a_long_answer_is_not_cut_off_by_the_idle_deadline() -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(0.2)
        return Response(body=b"done")

    limits = ServerLimits(
        idle_timeout_s=0.05, head_timeout_s=0.05, body_timeout_s=0.05, tick_s=TICK_S
    )
    async with serving(slow, limits) as (_, connect):
        assert await (await connect()).get("/") == b"done"


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    limits = ServerLimits(write_timeout_s=0.1, tick_s=TICK_S)
    async with serving(lambda request: Response(body=b"x" * 50_000_000), limits) as (
        server,
        connect,
    ):
        client = await connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 2)
        await until(lambda: bool(server.connections))
        await until(lambda: not server.connections)


async def test_stopping_closes_idle_connections_and_lets_running_requests_end() -> None:
    started = asyncio.Event()

    async def slow(request: Request) -> Response:
        started.set()
        await asyncio.sleep(0.05)
        return Response(body=b"ended")

    server = HttpServer(slow)
    port = await server.start("127.0.0.1", 0)
    idle = Client(*await asyncio.open_connection("127.0.0.1", port))
    busy = Client(*await asyncio.open_connection("127.0.0.1", port))
    await busy.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    await started.wait()
    stopping = asyncio.create_task(server.stop(5.0))
    assert await idle.is_closed()
    _, headers, body = await busy.answer()
    assert (headers["connection"], body) == ("close", b"ended")
    async with asyncio.timeout(ANSWER_S):
        await stopping
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)
    for client in (idle, busy):
        client.writer.close()


async def test_stopping_cuts_off_what_outlasts_the_grace() -> None:
    async def endless(request: Request) -> Response:
        await asyncio.sleep(60)
        return Response()

    server = HttpServer(endless)
    port = await server.start("127.0.0.1", 0)
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    await asyncio.sleep(0.02)
    async with asyncio.timeout(ANSWER_S):
        await server.stop(0.05)
        assert await client.is_closed()
    client.writer.close()


async def test_a_port_in_use_is_refused_with_its_holder_and_a_way_out() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(UsageError) as refused:
            await HttpServer(echo).start("127.0.0.1", port)
    assert refused.value.message.startswith(f"port {port} of 127.0.0.1 is in use by ")
    assert "(process " in refused.value.message
    assert "--port 0" in refused.value.hint


async def test_a_foreign_address_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match=r"cannot listen on 203\.0\.113\.1:0"):
        await HttpServer(echo).start("203.0.113.1", 0)


async def test_answers_are_not_held_back_by_nagle() -> None:
    seen: list[int] = []

    async with serving() as (server, connect):
        await (await connect()).get("/")
        for connection in server.connections:
            transport = cast(Any, connection)._transport
            assert transport is not None
            held = transport.get_extra_info("socket")
            seen.append(held.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    assert seen == [1]


async def test_nobody_connected_means_no_timer() -> None:
    limits = ServerLimits(tick_s=TICK_S)
    async with serving(limits=limits) as (server, connect):
        client = await connect()
        await client.get("/")
        client.writer.close()
        await until(lambda: server._timer is None)


# Streamed responses


class Pieces:
    """A stream that a test feeds; it tells how far it was pulled and whether it was closed."""

    def __init__(self, *given: bytes) -> None:
        self.queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.pulled = 0
        self.closed = asyncio.Event()
        for piece in given:
            self.queue.put_nowait(piece)

    def end(self) -> "Pieces":
        self.queue.put_nowait(None)
        return self

    async def stream(self) -> AsyncGenerator[bytes, None]:
        try:
            while (piece := await self.queue.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                self.pulled += 1
                yield piece
        finally:
            self.closed.set()


def streaming(pieces: Pieces, status: int = 200) -> Callable[[Request], Response]:
    return lambda request: Response(
        status=status, headers=[("Content-Length", "3")], stream=pieces.stream()
    )


async def test_a_stream_is_sent_as_chunks_and_the_connection_is_kept() -> None:
    pieces = Pieces(b"ab", b"", b"c" * 16).end()
    async with serving(streaming(pieces)) as (_, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        status, headers = await client.head()
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        assert "content-length" not in headers
        body = b"2\r\nab\r\n10\r\n" + b"c" * 16 + b"\r\n0\r\n\r\n"
        assert await client.reader.readexactly(len(body)) == body
        pieces.end()
        assert await client.get("/again") == b""
    assert pieces.closed.is_set()


async def test_a_piece_is_sent_before_the_next_one_is_there() -> None:
    pieces = Pieces(b"one")
    async with serving(streaming(pieces)) as (_, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.head()
        assert await client.reader.readexactly(8) == b"3\r\none\r\n"
        pieces.queue.put_nowait(b"two")
        assert await client.reader.readexactly(8) == b"3\r\ntwo\r\n"
        pieces.end()
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


async def test_a_request_behind_a_stream_waits_for_its_end() -> None:
    pieces = Pieces(b"one")

    def answer(request: Request) -> Response:
        return streaming(pieces)(request) if request.path == "/s" else Response(body=b"after")

    async with serving(answer) as (_, connect):
        client = await connect()
        await client.send(b"GET /s HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.head()
        await client.reader.readexactly(8)
        pieces.end()
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"
        assert (await client.answer())[2] == b"after"


async def test_a_client_that_does_not_read_stops_the_pulling() -> None:
    pieces = Pieces(*[b"x" * 65_536] * 400).end()
    async with serving(streaming(pieces)) as (server, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await until(lambda: any(not cast(Any, each)._writable for each in server.connections))
        pulled = pieces.pulled
        await asyncio.sleep(0.05)
        assert pieces.pulled == pulled < 400
        size = 0
        async with asyncio.timeout(ANSWER_S):
            while (line := await client.reader.readline()) != b"0\r\n":
                if line == b"10000\r\n":
                    size += len(await client.reader.readexactly(65_536))
        assert size == 400 * 65_536


async def test_a_client_that_leaves_closes_the_stream() -> None:
    pieces = Pieces(b"one")
    async with serving(streaming(pieces)) as (server, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.head()
        client.writer.close()
        async with asyncio.timeout(ANSWER_S):
            await pieces.closed.wait()
        await until(lambda: not server.streams and not server.connections)


async def test_a_server_that_stops_closes_the_stream() -> None:
    pieces = Pieces(b"one")
    async with serving(streaming(pieces)) as (server, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.head()
        await server.stop(0.01)
        assert pieces.closed.is_set()
        assert not server.streams


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_stream_that_fails_is_cut_off(
    version: str, caplog: pytest.LogCaptureFixture
) -> None:
    pieces = Pieces(b"one")
    async with serving(streaming(pieces)) as (_, connect):
        client = await connect()
        await client.send(f"GET / HTTP/{version}\r\nHost: h\r\n\r\n".encode())
        await client.head()
        first = b"3\r\none\r\n" if version == "1.1" else b"one"
        assert await client.reader.readexactly(len(first)) == first
        pieces.queue.put_nowait(RuntimeError("the function is gone"))
        async with asyncio.timeout(ANSWER_S):
            if version == "1.1":
                assert await client.reader.read() == b""
            else:
                with pytest.raises(ConnectionResetError):
                    await client.reader.read()
    assert "the function is gone" in caplog.text


async def test_http_1_0_gets_a_stream_until_the_connection_ends() -> None:
    async with serving(streaming(Pieces(b"one", b"two").end())) as (_, connect):
        client = await connect()
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        _, headers = await client.head()
        assert headers["connection"] == "close"
        assert "transfer-encoding" not in headers
        assert await client.reader.read() == b"onetwo"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_a_stream_without_a_body_is_closed_unread(method: str, status: int) -> None:
    pieces = Pieces(b"one")
    async with serving(streaming(pieces, status)) as (_, connect):
        client = await connect()
        await client.send(f"{method} / HTTP/1.1\r\nHost: h\r\n\r\n".encode() * 2)
        assert (await client.head())[0] == status
        assert (await client.head())[0] == status
    assert pieces.pulled == 0
