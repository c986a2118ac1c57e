"""A connection that has gone over to WebSocket: frames to messages, and how it ends.

The `websockets` library reads and writes the frames, without sockets of its own; this module is
imported when the first client connects. What the messages mean is the conversation's to know.
"""

import asyncio
from typing import Protocol

from websockets.frames import BINARY, CLOSE, TEXT, Close, CloseCode, Frame
from websockets.protocol import OPEN, SERVER
from websockets.protocol import Protocol as FrameProtocol
from websockets.utils import accept_key

from lamington.core.conversation import Upgrade
from lamington.core.http import Request
from lamington.engine.server import Served, ServerLimits

BUFFERED_BYTES_MAX = 1_048_576
"""What one client may leave unread before nothing more is sent to it."""


class Keeper(Protocol):
    """What a connection needs of its server."""

    limits: ServerLimits
    now: float

    def closed(self, connection: Served) -> None: ...


def accept_fields(request: Request) -> list[tuple[str, str]]:
    """The header fields that accept an offer, whose key was found good before."""
    return [
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Accept", accept_key(request.headers.get("sec-websocket-key").strip())),
    ]


class WebSocketConnection(asyncio.Protocol):
    """One client: its frames, its unfinished message and the end of it."""

    __slots__ = (
        "_conversation",
        "_frame_bytes_max",
        "_frames",
        "_held",
        "_parts",
        "_server",
        "_since",
        "_told",
        "_transport",
        "_writable",
    )

    def __init__(self, server: Keeper, upgrade: Upgrade) -> None:
        self._server = server
        self._conversation = upgrade.conversation
        self._frame_bytes_max = upgrade.frame_bytes_max
        self._frames = FrameProtocol(
            SERVER, state=OPEN, max_size=(upgrade.message_bytes_max, upgrade.frame_bytes_max)
        )
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] | None = None
        self._since = server.now
        self._held = False
        self._told = False
        self._writable = True

    def begin(self, transport: asyncio.Transport, early: bytes) -> None:
        """Take over a connection whose reading is paused; `early` was read of it before."""
        self._transport = transport
        self._conversation.opened(self)
        if early:
            self.data_received(early)
        self._read_or_not()

    # The transport's side.

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._tell(CloseCode.ABNORMAL_CLOSURE, "")
        self._server.closed(self)

    def data_received(self, data: bytes) -> None:
        frames = self._frames
        frames.receive_data(data)
        for event in frames.events_received():
            if isinstance(event, Frame):
                self._take(event)
        if frames.parser_exc is not None and frames.close_sent is not None:
            self._tell(frames.close_sent.code, frames.close_sent.reason)
        self._flush()

    def eof_received(self) -> bool:
        self._frames.receive_eof()
        self._frames.data_to_send()
        return False

    def pause_writing(self) -> None:
        """Read nothing more of one who does not read: each message may mean an answer."""
        self._writable = False
        self._since = self._server.now
        self._read_or_not()

    def resume_writing(self) -> None:
        self._writable = True
        self._read_or_not()

    # The conversation's side.

    def send(self, message: bytes) -> bool:
        transport = self._transport
        if transport is None or self._frames.state is not OPEN or transport.is_closing():
            return True  # It is over: whoever sends will be told so.
        if transport.get_write_buffer_size() + len(message) > BUFFERED_BYTES_MAX:
            return False
        frames, size = self._frames, self._frame_bytes_max
        frames.send_text(message[:size], fin=len(message) <= size)
        for start in range(size, len(message), size):
            frames.send_continuation(
                message[start : start + size], fin=start + size >= len(message)
            )
        self._flush()
        return True

    def close(self, code: int, reason: str) -> None:
        if self._frames.state is OPEN:
            self._frames.send_close(code, reason)
        self._tell(code, reason)
        self._flush()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def hold(self) -> None:
        self._held = True
        self._read_or_not()

    def go_on(self) -> None:
        self._held = False
        self._read_or_not()

    # Deadlines.

    def check_deadline(self) -> None:
        """End a connection whose client does not read, or does not answer a good-bye."""
        if self._writable and not self._told:
            return
        limits = self._server.limits
        limit_s = limits.write_timeout_s if self._writable is False else limits.linger_s
        if self._server.now - self._since > limit_s:
            self.abort()

    def end_when_idle(self) -> None:
        self.close(CloseCode.GOING_AWAY, "Going away")

    # Within.

    def _take(self, frame: Frame) -> None:
        if self._told:
            return
        opcode = frame.opcode
        if opcode is TEXT and frame.fin:
            self._receive(bytes(frame.data))
        elif opcode is BINARY:
            self._fail(CloseCode.UNSUPPORTED_DATA, "Binary messages are not supported")
        elif opcode is CLOSE:
            received = self._frames.close_rcvd or Close(CloseCode.NO_STATUS_RCVD, "")
            self._tell(received.code, received.reason)
        elif frame.opcode.value >= CLOSE.value:  # a ping or a pong
            self._conversation.active()
        else:
            self._take_part(frame)

    def _take_part(self, frame: Frame) -> None:
        self._parts = [] if self._parts is None else self._parts
        self._parts.append(bytes(frame.data))
        if frame.fin:
            whole, self._parts = b"".join(self._parts), None
            self._receive(whole)
        else:
            self._conversation.active()

    def _receive(self, message: bytes) -> None:
        try:
            text = message.decode()
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "The message is not UTF-8")
            return
        self._conversation.received(text)

    def _fail(self, code: CloseCode, reason: str) -> None:
        self._frames.fail(code, reason)
        self._tell(code, reason)

    def _tell(self, code: int, reason: str) -> None:
        if not self._told:
            self._told = True
            self._since = self._server.now
            self._conversation.closed(code, reason)

    def _flush(self) -> None:
        """Write what the library has for the client; an empty piece stands for the end.

        Only the half to the client is closed then: closing both while something comes in would
        reset the connection, and the client would never see why.
        """
        transport = self._transport
        for piece in self._frames.data_to_send():
            if transport is None or transport.is_closing():
                return
            if piece:
                transport.write(piece)
            elif transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()
        self._read_or_not()

    def _read_or_not(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        reads = self._told or (self._writable and not self._held)
        if reads and not transport.is_reading():
            transport.resume_reading()
        elif not reads and transport.is_reading():
            transport.pause_reading()
