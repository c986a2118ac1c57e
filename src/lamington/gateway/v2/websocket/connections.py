"""The connections that are open: who is there, since when, and when it is time to go.

What a message means is the plane's to know; this keeps order: a connection's messages begin in
the order in which they came, and only so many of them are under way at once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from lamington.core.clock import Clock
from lamington.core.conversation import WebSocket
from lamington.gateway.v2.websocket.exchange import ClientFacts

FRAME_BYTES_MAX = 32 * 1024
MESSAGE_BYTES_MAX = 128 * 1024
IDLE_S = 600.0
LIFETIME_S = 7200.0
"""AWS: API Gateway developer guide, quotas of WebSocket APIs."""

UNDER_WAY_MAX = 32
"""Messages of one client whose integrations run at once; further ones wait unread."""

WATCH_PAUSE_S = 1.0
GOING_AWAY = 1001

LOGGER = logging.getLogger("lamington.gateway")


class Attendant(Protocol):
    """Does what a connection's events call for."""

    def welcome(self, connection: "Connection") -> None: ...

    async def attend(self, connection: "Connection", message: str) -> None:
        """Answer one message."""
        ...

    async def see_off(self, connection: "Connection", code: int, reason: str) -> None: ...

    def monotonic(self) -> float: ...

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]": ...


class Connection:
    """One client; a `Conversation` of the server's."""

    __slots__ = ("_attendant", "_under_way", "_waiting", "active_at", "client", "ends_at", "socket")

    def __init__(self, client: ClientFacts, attendant: Attendant) -> None:
        self.client = client
        self.socket: WebSocket | None = None
        self._attendant = attendant
        self.active_at = attendant.monotonic()
        self.ends_at = self.active_at + LIFETIME_S
        self._under_way = 0
        self._waiting: deque[str] | None = None

    def opened(self, socket: WebSocket) -> None:
        self.socket = socket
        self._attendant.welcome(self)

    def received(self, message: str) -> None:
        self.active()
        if self._under_way >= UNDER_WAY_MAX:
            if self._waiting is None:
                self._waiting = deque()
                if self.socket is not None:
                    self.socket.hold()
            self._waiting.append(message)
            return
        self._start(message)

    def active(self) -> None:
        self.active_at = self._attendant.monotonic()

    def closed(self, code: int, reason: str) -> None:
        self._waiting = None
        self._attendant.begin(self._attendant.see_off(self, code, reason))

    def send(self, message: bytes) -> bool:
        """Send to the client; False where it leaves too much unread."""
        socket = self.socket
        if socket is None or not socket.send(message):
            return False
        self.active()
        return True

    def deadline(self) -> float:
        """When this connection ends if nothing comes: idle too long, or open too long."""
        return min(self.active_at + IDLE_S, self.ends_at)

    def _start(self, message: str) -> None:
        self._under_way += 1
        task = self._attendant.begin(self._attendant.attend(self, message))
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._under_way -= 1
        if self._waiting is None:
            return
        if self._waiting:
            self._start(self._waiting.popleft())
        else:
            self._waiting = None
            if self.socket is not None:
                self.socket.go_on()


class Connections:
    """All connections by their ids; a task that sleeps until the next deadline ends the late."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, Connection] = {}
        self._watch: asyncio.Task[None] | None = None
        self._stopped = False

    def __len__(self) -> int:
        return len(self._open)

    def find(self, connection_id: str) -> Connection | None:
        return self._open.get(connection_id)

    def add(self, connection: Connection) -> None:
        """Keep a connection; one that comes after the end is closed at once."""
        if self._stopped:
            self._close(connection)
            return
        self._open[connection.client.connection_id] = connection
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._end_the_late())

    def remove(self, connection: Connection) -> None:
        self._open.pop(connection.client.connection_id, None)

    def end(self, api_id: str = "", stage: str = "") -> None:
        """Close all connections to a stage, or all that there are."""
        for connection in list(self._open.values()):
            client = connection.client
            if (not api_id or client.api_id == api_id) and (not stage or client.stage == stage):
                self._close(connection)

    async def stop(self) -> None:
        """Watch no more, and let nobody in."""
        self._stopped = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
            self._watch = None

    def _close(self, connection: Connection) -> None:
        if connection.socket is not None:
            connection.socket.close(GOING_AWAY, "Going away")

    async def _end_the_late(self) -> None:
        """Deadlines only ever move on, so that nobody's comes before the earliest that was seen."""
        while self._open:
            now = self._clock.monotonic()
            earliest = min(each.deadline() for each in self._open.values())
            if earliest > now:
                await self._clock.sleep(max(earliest - now, WATCH_PAUSE_S))
                continue
            for connection in list(self._open.values()):
                if connection.deadline() <= now:
                    self._close(connection)
                    self.remove(connection)
        self._watch = None
