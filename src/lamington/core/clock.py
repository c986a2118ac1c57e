"""Time and identifiers: the only source of either, so that tests can turn both by hand.

A `Clock` tells the time and sleeps; `Ids` makes what AWS makes at random.
"""

import asyncio
import heapq
import itertools
import secrets
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own time, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until `advance` turns it; sleepers wake in order of their time."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wakes: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, next(self._order), wakes))
        await wakes

    async def advance(self, seconds: float) -> None:
        """Turn the clock on, waking each sleeper whose time has come and letting it run."""
        until = self._elapsed_s + seconds
        await _let_others_run()
        while self._sleepers and self._sleepers[0][0] <= until:
            self._elapsed_s, _, wakes = heapq.heappop(self._sleepers)
            if not wakes.done():
                wakes.set_result(None)
            await _let_others_run()
        self._elapsed_s = until


async def _let_others_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


LOWER_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyz0123456789"
UPPER_ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Ids:
    """Identifiers at random, in the forms that AWS uses."""

    def __init__(self) -> None:
        self._request_prefix = str(uuid.uuid4())[:24]
        self._request_count = itertools.count(secrets.randbits(40))

    def uuid(self) -> str:
        return str(uuid.uuid4())

    def request_id(self) -> str:
        """A UUID's form at a tenth of its cost: a random prefix for the process, then a count.

        It is made once for every request, and a random UUID there costs a twentieth of the whole.
        """
        return f"{self._request_prefix}{next(self._request_count) & 0xFFFFFFFFFFFF:012x}"

    def token(self, length: int, alphabet: str = LOWER_ALPHANUMERIC) -> str:
        return "".join(secrets.choice(alphabet) for _ in range(length))

    def hexadecimal(self, length: int) -> str:
        return secrets.token_hex((length + 1) // 2)[:length]
