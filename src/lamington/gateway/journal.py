"""What is told of finished requests, off their way: log lines and the metrics of AWS/ApiGateway.

The hot path appends one entry to a list; a timer has such entries written, all lines of a stream
as one chunk and all values of a metric's minute at once. Left to others: what an entry says
(`completed` for REST APIs), and where logs and metrics are kept (`functions`).
"""

import asyncio
import hashlib
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from lamington.core.aws import Scope
from lamington.functions.distribution import Distribution
from lamington.functions.log_entries import EVENT_MAX_BYTES, TEXT
from lamington.functions.log_entries import Entry as LogEntry
from lamington.functions.log_store import LogStore
from lamington.functions.metrics import Dimensions, Metrics

NAMESPACE = "AWS/ApiGateway"
ENTRIES_AT_ONCE = 50
FLUSH_TURN_S = 0.004
FLUSH_PAUSE_S = 0.004
"""Entries are written for so long, so many in one go; then requests have their turn."""

ENTRIES_MAX = 20_000
"""Entries that may wait; who adds one beyond has a part of them written first."""

STREAMS = 300
MINUTE_MS = 60_000

_PLAIN_HEADER = ("", 0, "")


class Series:
    """What counts alike: the sets of dimensions under which one value is counted.

    One object is made when a stage is deployed and given with each value, so that a value costs
    two look-ups by identity.
    """

    __slots__ = ("scope", "sets")

    def __init__(self, scope: Scope, sets: Sequence[Dimensions]) -> None:
        self.scope = scope
        self.sets = tuple(dict.fromkeys(tuple(sorted(each)) for each in sets))


Values = dict[tuple[str, str], list[float]]
"""The values of one minute by metric name and unit."""


class Sinks:
    """Where entries write: lines and values are gathered here and kept by `keep`."""

    def __init__(self) -> None:
        self._lines: dict[tuple[Scope, str, str], list[LogEntry]] = {}
        self._values: dict[tuple[Series, int], Values] = {}
        self._series: dict[tuple[Scope, Dimensions], Series] = {}

    def log(self, scope: Scope, group: str, stream: str, at_ms: int, text: str) -> None:
        """Write one event; a group or a stream that is not there is made."""
        if len(text) > EVENT_MAX_BYTES // 4:
            text = text.encode()[:EVENT_MAX_BYTES].decode("utf-8", "ignore")
        lines = self._lines.get((scope, group, stream))
        if lines is None:
            lines = self._lines[scope, group, stream] = []
        lines.append((TEXT, at_ms, text))

    def count(
        self,
        scope: Scope,
        name: str,
        dimensions: Dimensions,
        at_ms: int,
        unit: str,
        value: float,
    ) -> None:
        """Add one value to one metric of AWS/ApiGateway; `dimensions` are pairs of name and value.

        For what is rare: `measured` is for what each request has.
        """
        dimensions = tuple(sorted(dimensions))
        series = self._series.get((scope, dimensions))
        if series is None:
            series = self._series[scope, dimensions] = Series(scope, (dimensions,))
        self.measured(series, at_ms).setdefault((name, unit), []).append(value)

    def measured(self, series: Series, at_ms: int) -> Values:
        """The values of a series' minute, for the caller to append to."""
        minute = at_ms // MINUTE_MS
        values = self._values.get((series, minute))
        if values is None:
            values = self._values[series, minute] = {}
        return values

    def keep(self, logs: LogStore, metrics: Metrics) -> None:
        """Write all that was gathered, in one transaction for the lines."""
        if self._lines:
            with logs.store.transaction():
                for (scope, group, stream), lines in self._lines.items():
                    logs.append(scope, group, stream, lines, _PLAIN_HEADER)
            self._lines = {}
        for (series, minute), values in self._values.items():
            at = datetime.fromtimestamp(minute * 60, UTC)
            for (name, unit), numbers in values.items():
                distribution = Distribution()
                distribution.add_all(numbers)
                for dimensions in series.sets:
                    metrics.put(series.scope, NAMESPACE, name, dimensions, at, unit, distribution)
        self._values = {}
        self._series = {}


class Entry(Protocol):
    """One thing that happened, told when the journal is flushed and never within a request."""

    def write(self, sinks: Sinks) -> None: ...


class Journal:
    """Buffers entries and has them written by a timer that runs only while one waits."""

    def __init__(self, logs: LogStore, metrics: Metrics, flush_s: float = 0.25) -> None:
        """`flush_s` is the time between two writes."""
        self._logs = logs
        self._metrics = metrics
        self._flush_s = flush_s
        self._entries: list[Entry] = []
        self._sinks = Sinks()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, entry: Entry) -> None:
        """Keep an entry to be written soon."""
        entries = self._entries
        if self._timer is None:
            self._arm(self._flush_s)
        elif len(entries) >= ENTRIES_MAX:
            self._write(ENTRIES_AT_ONCE)
        entries.append(entry)

    def flush(self) -> None:
        """Write every entry that waits; called before logs and metrics are read."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._write(len(self._entries))

    def _arm(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._flush_some)

    def _flush_some(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time
        until = now() + FLUSH_TURN_S
        while self._entries and now() < until:
            self._take(ENTRIES_AT_ONCE)
        self._sinks.keep(self._logs, self._metrics)
        if self._entries:
            self._arm(FLUSH_PAUSE_S)

    def _write(self, entries_max: int) -> None:
        if self._entries:
            self._take(entries_max)
            self._sinks.keep(self._logs, self._metrics)

    def _take(self, entries_max: int) -> None:
        """Have entries write to the sinks, which keep nothing yet."""
        entries = self._entries[:entries_max]
        del self._entries[:entries_max]
        for entry in entries:
            entry.write(self._sinks)


def flushing(*flushes: Callable[[], None]) -> Callable[[], None]:
    """Several flushes as the one that a log store or the metrics take."""

    def flush() -> None:
        for each in flushes:
            each()

    return flush


@lru_cache(maxsize=4096)
def stream_name(group: str) -> str:
    """The stream of a group that its lines go to.

    AWS: 300 streams, each named by the MD5 of its number (recorded names are those of 60, 80 and
    152).
    Differs: a request's stream is picked by chance there, and all of a group's lines are in one
    here.
    """
    number = zlib.crc32(group.encode()) % STREAMS
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
