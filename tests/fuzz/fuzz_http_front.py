"""Coverage-guided fuzzing of the HTTP front: any bytes, in any pieces, to a server with one API.

Whatever comes, the server's answers are whole HTTP messages and none is a 500: the API is a mock
that reads parameters and answers at once.

    python tests/fuzz/fuzz_http_front.py -max_total_time=600 -timeout=10 -max_len=2000
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["lamington.engine.server", "lamington.gateway"]):
    from fakes_gateway import SmallGateway, lambda_method
    from lamington.core.http import Request
    from lamington.engine.server import HttpServer

LOGGER = logging.getLogger("lamington.server")
WORDS = (
    *(b"GET ", b"POST ", b"OPTIONS ", b"CONNECT ", b"/", b"/cakes/", b"?a=b", b" HTTP/1.1\r\n"),
    *(b" HTTP/1.0\r\n", b"Host: a\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n"),
    *(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Sec-WebSocket-Version: 13\r\n"),
    *(b"Expect: 100-continue\r\n", b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n"),
    *(b"Content-Encoding: gzip\r\n", b"X-HTTP-Method-Override: ", b"%", b"Authorization: Bearer "),
)


BEGINNINGS = (
    b"",
    b"GET /cakes/7?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /cakes/7 HTTP/1.1\r\nHost: a\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n",
    b"GET /cakes/",
)


TEMPLATE = """{
  "statusCode": 200, "length": $input.body.length(),
  "id": "$util.base64Encode($input.params('id'))"
}"""


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Go on: what was given is all there is."""

    def resume_reading(self) -> None:
        """Go on."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default


class Front:
    """A server without sockets, and the API behind it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        templates = {"application/json": TEMPLATE}
        mock = lambda_method(kind="MOCK", uri="", request_templates=templates)
        gateway = self.gateway = SmallGateway({"GET /cakes/{id}": mock, "POST /": mock})

        def answer(request: Request) -> Any:
            return gateway.plane.handle(request, "abc123", "dev", request.path)

        self.server = HttpServer(answer, eager=True)

    def feed(self, pieces: list[bytes]) -> bytes:
        """Connect, send the pieces, and return everything that came back."""
        return self.loop.run_until_complete(self._feed(pieces))

    async def _feed(self, pieces: list[bytes]) -> bytes:
        wire = Wire()
        connection = self.server.connection(self.loop)
        connection.connection_made(wire)
        for piece in pieces:
            if not wire.closed:
                connection.data_received(piece)
                await asyncio.sleep(0)
        connection.eof_received()
        connection.connection_lost(None)
        self.gateway.completed.clear()  # what a test would look at
        self.gateway.reports.clear()
        return wire.written


FRONT = Front()


def test_one_input(data: bytes) -> None:
    """Make pieces of the bytes and send them on one connection."""
    provider = atheris.FuzzedDataProvider(data)
    pieces = [provider.PickValueInList(list(BEGINNINGS))]
    for _ in range(provider.ConsumeIntInRange(0, 10)):
        piece = b""
        for _ in range(provider.ConsumeIntInRange(0, 6)):
            if provider.ConsumeBool():
                piece += provider.PickValueInList(list(WORDS))
            else:
                piece += provider.ConsumeBytes(16)
        pieces.append(piece)
    written = FRONT.feed(pieces)
    if written and not written.startswith(b"HTTP/1.1 "):
        raise RuntimeError(f"no HTTP message: {written[:80]!r}")
    if b"HTTP/1.1 500" in written:
        raise RuntimeError(f"a 500 for {pieces!r}")


if __name__ == "__main__":
    LOGGER.setLevel(logging.CRITICAL)
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
