"""Whatever bytes a client sends, its connection neither fails nor hangs, and ends at most once."""

import asyncio
import itertools
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from lamington.core.conversation import Upgrade, WebSocket
from lamington.core.http import Headers, Request, Response
from lamington.engine.server import HttpServer, Served, ServerLimits
from lamington.engine.web_sockets import WebSocketConnection

FRAME_MAX = 64
MESSAGE_MAX = 128


class Talker:
    """A conversation that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.ends: list[int] = []
        self.socket: WebSocket | None = None

    def opened(self, socket: WebSocket) -> None:
        self.socket = socket

    def received(self, message: str) -> None:
        assert not self.ends, "a message after the end"
        self.messages.append(message)
        assert self.socket is not None
        self.socket.send(message.encode())

    def active(self) -> None: ...

    def closed(self, code: int, reason: str) -> None:
        self.ends.append(code)


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.ended = False
        self.reads = True

    def write(self, data: bytes) -> None:
        assert not self.ended, "written after the end"
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return 0

    def is_reading(self) -> bool:
        return self.reads

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Keeper:
    limits = ServerLimits()
    now = 0.0

    def closed(self, connection: Served) -> None: ...


def connected() -> tuple[WebSocketConnection, Talker, Wire]:
    talker, wire = Talker(), Wire()
    upgrade = Upgrade(conversation=talker, frame_bytes_max=FRAME_MAX, message_bytes_max=MESSAGE_MAX)
    connection = WebSocketConnection(Keeper(), upgrade)
    connection.begin(cast(asyncio.Transport, wire), b"")
    return connection, talker, wire


def feed(connection: WebSocketConnection, data: bytes, cuts: list[int]) -> None:
    """Give the bytes in pieces, then the end."""
    places = sorted({min(each, len(data)) for each in cuts} | {0, len(data)})
    for start, end in itertools.pairwise(places):
        connection.data_received(data[start:end])
    connection.eof_received()
    connection.connection_lost(None)


CUTS = st.lists(st.integers(0, 400), max_size=8)


@given(data=st.binary(max_size=400), cuts=CUTS)
def test_any_bytes_end_the_connection_once(data: bytes, cuts: list[int]) -> None:
    connection, talker, _ = connected()
    feed(connection, data, cuts)
    assert len(talker.ends) == 1


FRAMES = st.builds(
    lambda opcode, data, fin: Frame(opcode, data, fin),
    st.sampled_from([Opcode.TEXT, Opcode.CONT, Opcode.BINARY, Opcode.PING, Opcode.CLOSE]),
    st.binary(max_size=80),
    st.booleans(),
)


@given(frames=st.lists(FRAMES, max_size=8), cuts=CUTS)
def test_any_frames_end_the_connection_once(frames: list[Frame], cuts: list[int]) -> None:
    connection, talker, _ = connected()
    data = bytearray()
    for frame in frames:
        head = (0x80 if frame.fin else 0) | frame.opcode
        data += bytes([head, 0x80 | len(frame.data)]) + bytes(4) + bytes(frame.data)
    feed(connection, bytes(data), cuts)
    assert len(talker.ends) == 1


@given(messages=st.lists(st.text(max_size=15), max_size=6), cuts=CUTS)
def test_messages_arrive_whole_however_they_are_cut(messages: list[str], cuts: list[int]) -> None:
    connection, talker, wire = connected()
    data = b"".join(Frame(Opcode.TEXT, each.encode()).serialize(mask=True) for each in messages)
    feed(connection, data, cuts)
    assert talker.messages == messages
    said = b"".join(Frame(Opcode.TEXT, each.encode()).serialize(mask=False) for each in messages)
    assert bytes(wire.written) == said


FIELDS = st.sampled_from(
    [
        "Upgrade: websocket",
        "Upgrade: h2c",
        "Upgrade: websocket, h2c",
        "Connection: Upgrade",
        "Connection: keep-alive, Upgrade",
        "Connection: close",
        "Content-Length: 3",
        "Content-Length: 0",
        "Transfer-Encoding: chunked",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
        "Expect: 100-continue",
        "Host: localhost",
    ]
)


class UpgradeEverything:
    """Goes over to WebSocket wherever that is offered."""

    async def __call__(self, request: Request) -> Response:
        headers: Headers = request.headers
        if headers.get("upgrade") != "websocket" or not headers.get("sec-websocket-key"):
            return Response(body=b"plain")
        await asyncio.sleep(0)
        upgrade = Upgrade(conversation=Talker(), frame_bytes_max=64, message_bytes_max=64)
        return Response(status=101, upgrade=upgrade)


@settings(max_examples=60, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "CONNECT"]),
    version=st.sampled_from(["1.0", "1.1"]),
    fields=st.lists(FIELDS, max_size=8),
    rest=st.binary(max_size=60),
)
def test_any_handshake_is_answered_or_closed(
    method: str, version: str, fields: list[str], rest: bytes
) -> None:
    lines = [f"{method} /x HTTP/{version}", *fields, "", ""]
    asyncio.run(_answered("\r\n".join(lines).encode() + rest))


async def _answered(data: bytes) -> None:
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    server = HttpServer(UpgradeEverything(), limits=ServerLimits(linger_s=0.05, tick_s=0.02))
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    try:
        async with asyncio.timeout(5):
            await reader.read()
    except ConnectionError:
        pass
    writer.close()
    await server.stop(1.0)
    assert not failures
    assert not server.connections
