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
from typing import NamedTuple, Protocol


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


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Moment(NamedTuple):
    """When a request came: `text` is `12/Mar/2026:19:03:58 +0000`, `epoch_hex` its second."""

    epoch_ms: int
    text: str
    epoch_hex: str


class Calendar:
    """Tells moments; the calendar is asked once in a second, the rest is counted from there."""

    __slots__ = ("_clock", "_epoch_hex", "_read_at", "_read_ms", "_second_left", "_text")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read_at = 0.0
        self._read_ms = 0
        self._second_left = 0.0
        self._text = ""
        self._epoch_hex = ""

    def moment(self) -> Moment:
        elapsed = self._clock.monotonic() - self._read_at
        if elapsed >= self._second_left:
            self._read()
            elapsed = 0.0
        return Moment(self._read_ms + int(elapsed * 1000), self._text, self._epoch_hex)

    def _read(self) -> None:
        self._read_at = self._clock.monotonic()
        now = self._clock.now()
        self._read_ms = int(now.timestamp() * 1000)
        self._second_left = (1_000_000 - now.microsecond) / 1_000_000
        self._epoch_hex = f"{self._read_ms // 1000:08x}"
        self._text = (
            f"{now.day:02d}/{MONTHS[now.month - 1]}/{now.year}:"
            f"{now.hour:02d}:{now.minute:02d}:{now.second:02d} +0000"
        )


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
