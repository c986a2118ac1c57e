"""HTTP/1.1 over asyncio: bytes to Request, Response to bytes, and the limits that keep it safe.

A connection that goes over to WebSocket is `web_sockets`' from then on, which is imported then.

llhttp parses (through httptools); what a request means is left to the handler that is given. One
server owns its connections and one timer; a connection serves one request after the other, in
the order received, so that pipelined answers are in order by construction.
"""

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from types import CoroutineType
from typing import Any, Protocol, cast

import httptools

from lamington.core.clock import Clock, SystemClock
from lamington.core.conversation import Upgrade
from lamington.core.coroutines import finish
from lamington.core.errors import LamingtonError
from lamington.core.http import Headers, Request, Response
from lamington.engine.messages import origin_form, render_response
from lamington.engine.ports import refusal_to_listen

Answerer = Callable[[Request], Response | Awaitable[Response]]
"""Answers a request. A Response returned at once costs no task, a Future costs a callback; any
other awaitable is run in a task of its own."""

LOGGER = logging.getLogger("lamington.server")
TICK_S = 1.0
READ_BYTES_MAX = 65_536
BACKLOG = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What one connection may use; the defaults suit the AWS port, which takes code archives."""

    head_bytes_max: int = 65_536
    body_bytes_max: int = 73_400_320
    head_timeout_s: float = 30.0
    body_timeout_s: float = 300.0
    idle_timeout_s: float = 75.0
    write_timeout_s: float = 60.0
    linger_s: float = 2.0
    tick_s: float = TICK_S


class Served(Protocol):
    """A connection, whatever is spoken over it, as its server sees it."""

    def check_deadline(self) -> None: ...

    def end_when_idle(self) -> None: ...

    def abort(self) -> None: ...


class HttpServer:
    """Listens and answers; one timer, running only while anyone is connected, ends the idle."""

    def __init__(
        self,
        answerer: Answerer,
        *,
        limits: ServerLimits | None = None,
        clock: Clock | None = None,
        eager: bool = False,
    ) -> None:
        """`eager` begins each answer at once, without a task until it first waits: for answerers
        that ask for none before."""
        self.answerer = answerer
        self.eager = eager
        self.alone = False
        """Whether the last two requests came from one connection: nobody else is waiting."""
        self._last: _Connection | None = None
        self.limits = limits or ServerLimits()
        self.connections: set[Served] = set()
        self.streams: set[asyncio.Task[None]] = set()
        self.stopping = False
        self.now = 0.0
        self.date = ""
        self._clock = clock or SystemClock()
        self._listeners: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None

    async def start(self, host: str, port: int, *, reuse_port: bool = False) -> int:
        """Listen and return the port, which matters where 0 asked for a free one.

        Raises UsageError where the address cannot be had, naming the process that holds it.
        """
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(
                lambda: self.connection(loop),
                host,
                port,
                backlog=BACKLOG,
                reuse_port=reuse_port or None,
            )
        except OSError as error:
            raise refusal_to_listen(host, port, error) from None
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    def connection(self, loop: asyncio.AbstractEventLoop) -> asyncio.Protocol:
        """One client's connection, for a transport of the loop."""
        return _Connection(self, loop)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Take no more connections, let running requests end within the grace, then cut off."""
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.end_when_idle()
        if self.connections:
            self._emptied = asyncio.Event()
            try:
                await asyncio.wait_for(self._emptied.wait(), grace_s)
            except TimeoutError:
                for connection in list(self.connections):
                    connection.abort()
                if self.streams:
                    await asyncio.wait(self.streams, timeout=grace_s)
        self._listeners.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def opened(self, connection: Served) -> None:
        if self._timer is None:
            self._read_clock()
            self._start_timer()
        self.connections.add(connection)

    def closed(self, connection: Served) -> None:
        self.connections.discard(connection)
        self._last = None
        if self._emptied is not None and not self.connections:
            self._emptied.set()

    def note_turn(self, connection: "_Connection") -> None:
        """Note whose request is served."""
        self.alone = connection is self._last
        self._last = connection

    def _tick(self) -> None:
        self._read_clock()
        for connection in list(self.connections):
            connection.check_deadline()
        if self.connections:
            self._start_timer()
        else:
            self._timer = None

    def _read_clock(self) -> None:
        self.now = self._clock.monotonic()
        self.date = formatdate(self._clock.now().timestamp(), usegmt=True)

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.limits.tick_s, self._tick)


IDLE, HEAD, BODY, CLOSING, OFFERED = range(5)
METHODS = {
    name.encode(): name for name in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
}


class _Refused(Exception):
    """Stops the parser; the connection knows the status to answer with."""


class _Connection(asyncio.Protocol):
    """One client: a parser, the request being answered and those that wait behind it."""

    __slots__ = (
        "_active",
        "_body",
        "_body_bytes",
        "_drained",
        "_early",
        "_expects",
        "_fields",
        "_head_bytes",
        "_loop",
        "_parser",
        "_phase",
        "_refusal",
        "_server",
        "_since",
        "_source_ip",
        "_started_here",
        "_streaming",
        "_transport",
        "_url",
        "_waiting",
        "_writable",
    )

    def __init__(self, server: HttpServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._source_ip = ""
        self._phase = IDLE
        self._since = 0.0
        self._active = False
        self._writable = True
        self._waiting: deque[tuple[Request, bool, bool]] = deque()
        self._refusal = 0
        self._url = b""
        self._fields: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._started_here = False
        self._expects = False
        self._streaming: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._early = b""

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._source_ip = peer[0] if isinstance(peer, tuple) else ""
        if hasattr(transport, "max_size"):
            # asyncio reads 256 KiB at a time, which crosses malloc's mmap threshold each time.
            transport.max_size = READ_BYTES_MAX
        self._server.opened(self)
        self._since = self._server.now
        if self._server.stopping:
            self.end_when_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._phase = CLOSING
        self._waiting.clear()
        if self._streaming is not None:
            self._streaming.cancel()
        self._server.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._phase >= CLOSING:
            if self._phase == OFFERED:
                self._early += data
            return
        self._started_here = False
        while data and self._phase != CLOSING:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                rest = data[upgrade.args[0] :]
                if self._is_web_socket_offered():
                    self._serve_offer(rest)
                    return
                data = self._without_upgrade() + rest
            except httptools.HttpParserError:
                self._refuse(self._refusal or 400)
                return
        if self._phase == HEAD and not self._started_here:
            self._head_bytes += len(data)
            if self._head_bytes > self._server.limits.head_bytes_max:
                self._refuse(self._head_refusal())

    def eof_received(self) -> bool:
        """Stay open for the answers that are owed: a client may close its half first.

        An answer that is being streamed is not: it may go on for ever, and nobody reads it.
        """
        if self._streaming is not None:
            return False
        if self._active or self._waiting:
            self._phase = CLOSING
            return True
        return False

    def pause_writing(self) -> None:
        self._writable = False
        self._since = self._server.now

    def resume_writing(self) -> None:
        self._writable = True
        self._since = self._server.now
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if not self._active:
            self._serve_waiting()

    def _without_upgrade(self) -> bytes:
        """The head that was just read, as one that offers no other protocol, for a new parser.

        Java's client offers HTTP/2 with every request; the parser then leaves the body unread.
        """
        method = self._parser.get_method()
        if method == b"CONNECT":
            self._refuse(400)
            return b""
        self._parser = httptools.HttpRequestParser(self)
        fields = "".join(
            [
                f"{name}: {value}\r\n"
                for name, value in self._fields
                if name.lower() not in ("connection", "upgrade", "expect")
            ]
        )
        return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, self._url, fields.encode("latin-1"))

    # The parser's side.

    def on_message_begin(self) -> None:
        self._phase = HEAD
        self._since = self._server.now
        self._url = b""
        self._fields = []
        self._head_bytes = 0
        self._started_here = True
        self._expects = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase != HEAD:
            return  # A trailer: it must not pass for a header.
        self._fields.append((name.decode("latin-1"), value.decode("latin-1")))
        size = len(name)
        if size == 14 and name.lower() == b"content-length":
            if int(value) > self._server.limits.body_bytes_max:
                self._refusal = 413
        elif size == 6 and name.lower() == b"expect":
            self._expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        size = len(self._url) + 32
        for name, value in self._fields:
            size += len(name) + len(value) + 4
        if size > self._server.limits.head_bytes_max:
            self._refusal = self._head_refusal()
        if self._refusal:
            raise _Refused
        self._phase = BODY
        self._body = []
        self._body_bytes = 0
        if self._expects and not self._active and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._server.limits.body_bytes_max:
            self._refusal = 413
            raise _Refused
        self._body.append(body)

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser.should_upgrade():
            return  # It will be read again, without the offer.
        self._phase = IDLE
        path, _, query = origin_form(self._url).partition("?")
        if not path.startswith("/") and path != "*":
            self._refusal = 400
            raise _Refused
        body = self._body
        method = parser.get_method()
        headers = Headers.__new__(Headers)
        headers.fields = self._fields
        request = Request(
            method=METHODS.get(method) or method.decode("latin-1"),
            path=path,
            query=query,
            headers=headers,
            body=body[0] if len(body) == 1 else b"".join(body),
            source_ip=self._source_ip,
        )
        keeps = parser.should_keep_alive()
        is_old = parser.get_http_version() == "1.0"
        if self._active or self._waiting or not self._writable:
            self._waiting.append((request, keeps, is_old))
            if self._transport is not None:
                self._transport.pause_reading()
        else:
            self._serve(request, keeps, is_old)

    # Answering.

    def _serve(self, request: Request, keeps: bool, is_old: bool) -> None:
        """Start one request; an answer that is ready is written before this returns."""
        self._active = True
        server = self._server
        server.note_turn(self)
        try:
            answer = server.answerer(request)
            if server.eager and isinstance(answer, CoroutineType):
                answer = _begun(answer)
        except Exception as error:  # noqa: BLE001 -- one request: logged and answered
            answer = _failure(request, error)
        if type(answer) is Response:
            self._write(answer, request.method, keeps, is_old)
        elif isinstance(answer, asyncio.Future):
            answer.add_done_callback(
                lambda done: self._settle(done, request, keeps=keeps, is_old=is_old)
            )
        else:
            waited = cast(Awaitable[Response], answer)
            running = waited if isinstance(waited, CoroutineType) else _awaited(waited)
            task = self._loop.create_task(running)
            task.add_done_callback(
                lambda done: self._settle(done, request, keeps=keeps, is_old=is_old)
            )

    def _settle(
        self, done: "asyncio.Future[Response]", request: Request, *, keeps: bool, is_old: bool
    ) -> None:
        self._write(_response_of(done, request), request.method, keeps, is_old)
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        while self._waiting and self._writable and not self._active:
            self._serve(*self._waiting.popleft())
        transport = self._transport
        if transport is not None and not self._waiting and not transport.is_reading():
            transport.resume_reading()

    def _is_web_socket_offered(self) -> bool:
        """Whether the head that was just read may become a WebSocket: else it is plain HTTP.

        One that has a body, or follows a request that is not answered yet, may not.
        """
        if self._parser.get_method() != b"GET" or self._active or self._waiting:
            return False
        found = False
        for name, value in self._fields:
            match name.lower():
                case "content-length" | "transfer-encoding" if value != "0":
                    return False
                case "upgrade":
                    found = value.strip().lower() == "websocket"
        return found and self._writable and self._parser.get_http_version() == "1.1"

    def _serve_offer(self, early: bytes) -> None:
        """Answer a request that may become a WebSocket; what the client sends early has to wait."""
        path, _, query = origin_form(self._url).partition("?")
        if self._transport is None or not path.startswith("/"):
            self._refuse(400)
            return
        self._phase = OFFERED
        self._active = True
        self._early = early
        self._transport.pause_reading()
        headers = Headers(self._fields)
        request = Request(
            method="GET", path=path, query=query, headers=headers, source_ip=self._source_ip
        )
        task = self._loop.create_task(_asked(self._server.answerer, request))
        task.add_done_callback(
            lambda done: self._settle_offer(_response_of(done, request), request)
        )

    def _settle_offer(self, response: Response, request: Request) -> None:
        """Go over to WebSocket, or else answer and close."""
        if response.upgrade is None:
            self._write(response, request.method, False, False)
        else:
            self._go_over(response, response.upgrade, request)

    def _go_over(self, response: Response, upgrade: Upgrade, request: Request) -> None:
        """Hand the connection to a WebSocket, which stands in this one's place from then on."""
        from lamington.engine.web_sockets import WebSocketConnection, accept_fields

        transport, server = self._transport, self._server
        self._transport = None
        if transport is None or transport.is_closing():
            upgrade.conversation.closed(1006, "")
            return
        socket = WebSocketConnection(server, upgrade)
        response.headers += accept_fields(request)
        transport.write(
            render_response(response, date=server.date, connection="Upgrade", method="GET")
        )
        server.connections.discard(self)
        server.connections.add(socket)
        transport.set_protocol(socket)
        del self._parser  # It refers to this object, which would outlive its use.
        socket.begin(transport, self._early)
        if server.stopping:
            socket.end_when_idle()

    def _write(self, response: Response, method: str, keeps: bool, is_old: bool) -> None:
        if response.stream is not None:
            self._begin_stream(response, response.stream, method, keeps=keeps, is_old=is_old)
            return
        self._active = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return  # The client has left: its answer is dropped.
        server = self._server
        self._since = server.now
        keeps = keeps and not server.stopping and (self._phase != CLOSING or bool(self._waiting))
        connection = "" if keeps and not is_old else "keep-alive" if keeps else "close"
        transport.write(
            render_response(response, date=server.date, connection=connection, method=method)
        )
        if not keeps:
            self._end()

    def _end(self) -> None:
        self._phase = CLOSING
        self._waiting.clear()
        if self._transport is not None:
            self._transport.close()

    def _begin_stream(
        self,
        response: Response,
        stream: AsyncIterator[bytes],
        method: str,
        *,
        keeps: bool,
        is_old: bool,
    ) -> None:
        """Write the head of a streamed response now, and its pieces in a task of its own.

        HTTP/1.0 knows no chunks: there the end of the connection is the end of the body.
        """
        transport, server = self._transport, self._server
        has_body = method != "HEAD" and response.status >= 200 and response.status not in (204, 304)
        chunked = has_body and not is_old
        present = transport is not None and not transport.is_closing()
        keeps = keeps and not server.stopping and self._phase != CLOSING
        keeps = keeps and (chunked or not has_body)
        if transport is not None and present:
            self._since = server.now
            transport.write(
                render_response(
                    response,
                    date=server.date,
                    connection="" if keeps and not is_old else "keep-alive" if keeps else "close",
                    method=method,
                    framing="Transfer-Encoding: chunked\r\n" if chunked else "",
                )
            )
        self._streaming = self._loop.create_task(
            self._stream(stream, sends=present and has_body, chunked=chunked, keeps=keeps)
        )
        server.streams.add(self._streaming)
        self._streaming.add_done_callback(server.streams.discard)

    async def _stream(
        self, stream: AsyncIterator[bytes], *, sends: bool, chunked: bool, keeps: bool
    ) -> None:
        """Send the pieces, whatever becomes of them close the stream, then serve who waits.

        A stream that fails cuts the connection: a clean end would pass for a whole body.
        """
        whole = False
        try:
            try:
                if sends:
                    await self._send_pieces(stream, chunked)
                whole = True
            finally:
                await _close_stream(stream)
        except LamingtonError as error:
            LOGGER.warning("a streamed response was cut off: %s", error.message)
        except Exception:
            LOGGER.exception("a response failed while it was streamed")
        finally:
            self._streaming = None
            self._active = False
        if not whole:
            self._cut(chunked)
        elif self._transport is not None:
            if keeps and not self._server.stopping:
                self._since = self._server.now
                self._serve_waiting()
            else:
                self._end()

    async def _send_pieces(self, stream: AsyncIterator[bytes], chunked: bool) -> None:
        """Pull and write one piece after the other; a client that does not read stops both."""
        async for piece in stream:
            if not piece:
                continue  # An empty chunk would end the body.
            transport = self._transport
            if transport is None or transport.is_closing():
                return
            transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            while not self._writable:
                self._drained = self._loop.create_future()
                await self._drained
        if chunked and self._transport is not None:
            self._transport.write(b"0\r\n\r\n")

    def _cut(self, chunked: bool) -> None:
        """End the connection so that the client sees that something is missing."""
        transport = self._transport
        if transport is None:
            return
        self._phase = CLOSING
        self._waiting.clear()
        if chunked:
            transport.close()  # The last chunk is missing, and what was sent still arrives.
            return
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def _head_refusal(self) -> int:
        return 414 if len(self._url) > self._server.limits.head_bytes_max // 2 else 431

    def _refuse(self, status: int) -> None:
        """Answer in the server's own words, then read on for a while so that the client sees it."""
        transport = self._transport
        self._phase = CLOSING
        self._since = self._server.now
        if transport is None:
            return
        if self._active or self._waiting:
            return  # The answers before it come first; the last of them closes.
        transport.write(
            render_response(
                Response(
                    status=status,
                    headers=[("Content-Type", "application/json")],
                    body=b'{"message":"%s"}' % HTTPStatus(status).phrase.encode(),
                ),
                date=self._server.date,
                connection="close",
                method="",
            )
        )
        if transport.can_write_eof():
            transport.write_eof()

    # Deadlines.

    def check_deadline(self) -> None:
        """End the connection where its client has been silent longer than the limits allow."""
        limits = self._server.limits
        silent_s = self._server.now - self._since
        if not self._writable:
            if silent_s > limits.write_timeout_s:
                self.abort()
        elif self._active:
            return
        elif self._phase == IDLE:
            if silent_s > limits.idle_timeout_s and self._transport is not None:
                self._transport.close()
        elif self._phase == CLOSING:
            if silent_s > limits.linger_s:
                self.abort()
        elif silent_s > (limits.head_timeout_s if self._phase == HEAD else limits.body_timeout_s):
            self._refuse(408)

    def end_when_idle(self) -> None:
        if not self._active and not self._waiting and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def _close_stream(stream: AsyncIterator[bytes]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


async def _asked(answerer: Answerer, request: Request) -> Response:
    answer = answerer(request)
    return answer if isinstance(answer, Response) else await answer


async def _awaited(answer: Awaitable[Response]) -> Response:
    return await answer


def _response_of(done: "asyncio.Future[Response]", request: Request) -> Response:
    error = asyncio.CancelledError() if done.cancelled() else done.exception()
    return done.result() if error is None else _failure(request, error)


def _begun(coroutine: Coroutine[Any, Any, Response]) -> Response | Awaitable[Response]:
    """The response of a coroutine that never waits, or else the rest of it."""
    try:
        blocked = coroutine.send(None)
    except StopIteration as end:
        response: Response = end.value
        return response
    return finish(coroutine, blocked)


def _failure(request: Request, error: BaseException) -> Response:
    LOGGER.error("%s %s failed", request.method, request.path, exc_info=error)
    return Response(
        status=500,
        headers=[("Content-Type", "application/json")],
        body=b'{"message":"Internal server error"}',
    )
