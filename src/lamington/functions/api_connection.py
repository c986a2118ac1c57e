"""HTTP/1.1 for the API that one execution environment talks to: requests in, answers out.

llhttp parses (through httptools). A body goes to its taker piece by piece or is gathered up to a
limit; an answer may come at once or after hours (a long poll), and a client that leaves before is
noticed. Left to others: what paths mean (`runtime_api`).
"""

import asyncio
import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, Protocol, cast

import httptools
import msgspec

CONNECTIONS_MAX = 64
HEAD_BYTES_MAX = 1_114_112
"""AWS: the header with the cause of an error for X-Ray holds up to 1 MiB."""

FIELDS_MAX = 128
SMALL_BODY_BYTES_MAX = 65_536
TRAILER_BYTES_MAX = 8_650_752
"""A trailer carries an error's JSON, which may be as long as a response, in base64."""

DISCARDED_BYTES_MAX = 268_435_456
READ_BYTES_MAX = 65_536
BACKLOG = 128

JSON_FIELDS: Final = "Content-Type: application/json\r\n"
TEXT_FIELDS: Final = "Content-Type: text/plain; charset=utf-8\r\n"
STATUS_LINES: Final = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n" for each in HTTPStatus
}
OCTETS_ABOVE_ASCII: Final = {each: f"%{each:02X}" for each in range(128, 256)}


class BodyTaker(Protocol):
    """Takes the body of one request as it comes."""

    def take(self, chunk: bytes) -> None: ...

    def complete(self, trailers: Mapping[bytes, bytes]) -> None: ...

    def broken(self) -> None: ...


class Routes(Protocol):
    """Says what a request means, and answers it."""

    def begin(self, request: "ApiRequest") -> None:
        """The head is there: set a limit or a taker, or answer at once."""

    def serve(self, request: "ApiRequest") -> None:
        """The body is there, too."""

    def refuse_size(self, request: "ApiRequest") -> None:
        """The body is longer than the request's limit: answer."""

    def abandoned(self, request: "ApiRequest") -> None:
        """The client has left: in mid-body, or in wait for the answer."""


class ApiRequest:
    """One request, and the way to answer it."""

    __slots__ = (
        "_connection",
        "answered",
        "body",
        "body_bytes_max",
        "complete",
        "fields",
        "method",
        "path",
        "taker",
    )

    def __init__(
        self,
        connection: "_Connection",
        method: str,
        path: str,
        fields: dict[bytes, bytes],
    ) -> None:
        self._connection = connection
        self.method = method
        self.path = path
        self.fields = fields
        """By name in small letters; the last of a name stands."""
        self.body = b""
        self.body_bytes_max = SMALL_BODY_BYTES_MAX
        self.taker: BodyTaker | None = None
        self.complete = False
        self.answered = False

    def field(self, name: bytes) -> str:
        value = self.fields.get(name)
        return value.decode("utf-8", "replace") if value else ""

    def answer(self, status: int, body: bytes = b"", fields: str = JSON_FIELDS) -> None:
        """Answer, once; a body that is still coming in is read and forgotten.

        `fields` are whole header lines.
        """
        self._connection.write_answer(self, status, body, fields)

    def pause(self) -> None:
        self._connection.pause()

    def resume(self) -> None:
        self._connection.resume()


class ApiServer:
    """Listens on loopback for the processes of one environment."""

    def __init__(self, routes: Routes, loop: asyncio.AbstractEventLoop) -> None:
        self.routes = routes
        self._loop = loop
        self._listener: asyncio.Server | None = None
        self._connections: dict[_Connection, None] = {}
        self._date = ""
        self._date_s = 0

    async def open(self) -> str:
        """Listen and return the address, as AWS_LAMBDA_RUNTIME_API shows it."""
        self._listener = await self._loop.create_server(
            lambda: _Connection(self), "127.0.0.1", 0, backlog=BACKLOG
        )
        return f"127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.drop_connections()

    def drop_connections(self) -> None:
        """Cut off every client: their processes are gone, or ought to be."""
        for connection in list(self._connections):
            connection.abort()

    def opened(self, connection: "_Connection") -> None:
        """Keep a connection; the oldest idle one makes room where there are too many."""
        if self._listener is None:
            connection.abort()
            return
        if len(self._connections) >= CONNECTIONS_MAX:
            idle = next((each for each in self._connections if each.idle), None)
            if idle is None:
                connection.abort()
                return
            del self._connections[idle]
            idle.abort()
        self._connections[connection] = None

    def closed(self, connection: "_Connection") -> None:
        self._connections.pop(connection, None)

    @property
    def date(self) -> str:
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date_s = now_s
            self._date = formatdate(now_s, usegmt=True)
        return self._date


class _Connection(asyncio.Protocol):
    """One client: a parser, and the request in progress."""

    __slots__ = (
        "_chunks",
        "_closing",
        "_discarded",
        "_expects",
        "_fields",
        "_gathered_bytes",
        "_in_head",
        "_late_answer",
        "_parser",
        "_request",
        "_server",
        "_trailers",
        "_transport",
        "_unused_bytes",
        "_url",
    )

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._request: ApiRequest | None = None
        self._url = b""
        self._fields: dict[bytes, bytes] = {}
        self._trailers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._gathered_bytes = 0
        self._discarded = 0
        self._unused_bytes = 0
        self._late_answer = b""
        self._in_head = False
        self._expects = False
        self._closing = False

    @property
    def idle(self) -> bool:
        return not self._in_head and (self._request is None or self._is_over(self._request))

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if hasattr(transport, "max_size"):
            # asyncio reads 256 KiB at a time, which crosses malloc's mmap threshold each time.
            transport.max_size = READ_BYTES_MAX
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.closed(self)
        self._lose_request()

    def data_received(self, data: bytes) -> None:
        self._unused_bytes += len(data)
        while data and self._transport is not None and not self._closing:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade() + data[upgrade.args[0] :]
            except httptools.HttpParserError:
                self._refuse_damaged()
                return
            else:
                break
        if self._unused_bytes > (HEAD_BYTES_MAX if self._in_head else TRAILER_BYTES_MAX):
            self.abort()

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def _without_upgrade(self) -> bytes:
        """The head that was just read, as one that offers no other protocol, for a new parser.

        Java's client offers HTTP/2 with every request; the parser then leaves the body unread.
        """
        method = self._parser.get_method()
        self._parser = httptools.HttpRequestParser(self)
        lines = [
            b"%s: %s\r\n" % (name, value)
            for name, value in self._fields.items()
            if name not in (b"connection", b"upgrade", b"expect", b"http2-settings")
        ]
        if method == b"CONNECT":
            self.abort()
            return b""
        return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, self._url, b"".join(lines))

    # The parser's side.

    def on_message_begin(self) -> None:
        request = self._request
        if request is not None and not request.answered:
            # A client that does not wait for its answer: it is closed after that.
            self._closing = True
            return
        self._request = None
        self._in_head = True
        self._url = b""
        self._fields = {}
        self._expects = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._closing:
            return
        fields = self._fields if self._in_head else self._trailers
        fields[name.lower()] = value
        if len(fields) > FIELDS_MAX:
            self.abort()

    def on_headers_complete(self) -> None:
        if self._closing or self._parser.should_upgrade():
            return  # With an offer of another protocol, it will be read again without.
        self._in_head = False
        self._unused_bytes = 0
        fields = self._fields
        url = self._url
        path = url.decode("latin-1")
        if not url.isascii():
            path = path.translate(OCTETS_ABOVE_ASCII)
        path = path.partition("?")[0]
        if not path.startswith("/"):
            # The absolute form, which clients behind a proxy's variable use.
            path = "/" + path.partition("://")[2].partition("/")[2]
        request = ApiRequest(self, self._parser.get_method().decode("latin-1"), path, fields)
        self._request = request
        self._trailers = {}
        self._discarded = 0
        self._gathered_bytes = 0
        waits = fields.get(b"expect", b"").lower() == b"100-continue"
        self._expects = waits
        routes = self._server.routes
        routes.begin(request)
        announced = fields.get(b"content-length")  # The parser has checked that it is a number.
        if request.answered:
            return
        if announced and request.taker is None and int(announced) > request.body_bytes_max:
            routes.refuse_size(request)
        elif waits and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects = False

    def on_body(self, body: bytes) -> None:
        self._unused_bytes = 0
        request = self._request
        if request is None:
            return
        if request.answered:
            self._discarded += len(body)
            if self._discarded > DISCARDED_BYTES_MAX:
                self.abort()
        elif request.taker is not None:
            request.taker.take(body)
        else:
            self._gathered_bytes += len(body)
            if self._gathered_bytes > request.body_bytes_max:
                self._chunks = []
                self._server.routes.refuse_size(request)
            else:
                self._chunks.append(body)

    def on_message_complete(self) -> None:
        self._unused_bytes = 0
        request = self._request
        if request is None or request.complete or self._parser.should_upgrade():
            return
        request.complete = True
        if request.answered:
            if self._late_answer and self._transport is not None:
                self._closing = True
                self._transport.write(self._late_answer)
                self._transport.close()
            return
        if request.taker is not None:
            request.taker.complete(self._trailers)
            return
        chunks = self._chunks
        if chunks:
            request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self._chunks = []
        self._server.routes.serve(request)

    def write_answer(self, request: ApiRequest, status: int, body: bytes, fields: str) -> None:
        request.answered = True
        transport = self._transport
        if transport is None or request is not self._request:
            return
        connection = ""
        # An announced body may now never come, and nobody could tell it from the next request.
        if self._closing or self._expects or not self._parser.should_keep_alive():
            self._closing = True
            connection = "Connection: close\r\n"
        elif self._parser.get_http_version() == "1.0":
            connection = "Connection: keep-alive\r\n"
        head = (
            f"{STATUS_LINES[status]}{fields}Date: {self._server.date}\r\n"
            f"Content-Length: {len(body)}\r\n{connection}\r\n"
        )
        # Where the encoding cannot be told, clients take it for UTF-8, as AWS's own do.
        message = head.encode() + body
        if self._closing and not request.complete and not self._expects:
            # Closing on a client that still sends would take the answer from it.
            self._late_answer = message
            self._closing = False
            return
        transport.write(message)
        if self._closing:
            transport.close()

    def _refuse_damaged(self) -> None:
        """Answer what cannot be read, unless an answer is owed, or given, to what came before.

        AWS: a body that breaks its framing is taken for truncated.
        """
        if self._closing:
            return
        self._closing = True
        request = self._request
        transport = self._transport
        if transport is None or (request is not None and request.complete and not request.answered):
            return
        body = render_refusal("TruncatedHTTPRequest", "HTTP request detected as truncated")
        message = (
            f"{STATUS_LINES[400]}{JSON_FIELDS}Content-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n".encode()
            + body
        )
        if request is not None and not request.complete:
            if request.answered:
                message = self._late_answer
            self._lose_request()
        transport.write(message)
        transport.close()

    def _lose_request(self) -> None:
        request = self._request
        self._request = None
        self._chunks = []
        if request is None or request.answered:
            return
        if request.taker is not None:
            request.taker.broken()
        else:
            self._server.routes.abandoned(request)

    @staticmethod
    def _is_over(request: ApiRequest) -> bool:
        return request.answered and request.complete


def render_refusal(error_type: str, message: str) -> bytes:
    """An error as this API words it: members in AWS's order, a line feed at the end."""
    return msgspec.json.encode({"errorMessage": message, "errorType": error_type}) + b"\n"
