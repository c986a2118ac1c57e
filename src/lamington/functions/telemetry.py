"""What functions leave behind, on its way to the log store.

The hot path appends one tuple to a list; a timer writes such lists, one chunk a stream.
"""

import asyncio
import secrets
from collections.abc import Callable

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.functions.entities import LOG_TAIL_BYTES, FunctionVersion
from lamington.functions.log_entries import EVENT, INVOCATION, Entry, render_entry
from lamington.functions.log_store import LogStore

CHUNK_ENTRIES_MAX = 4000
FLUSH_PAUSE_S = 0.005
"""So many entries are written at once, a few milliseconds of work; then others have their turn."""

Follower = Callable[["EnvironmentLog", list[Entry]], None]
"""Is shown the entries of a log as they are written."""


class EnvironmentLog:
    """The log of one execution environment: a stream, and the entries not yet written to it."""

    __slots__ = ("_telemetry", "entries", "group_name", "header", "scope", "stream_name")

    def __init__(
        self,
        telemetry: "Telemetry",
        scope: Scope,
        group_name: str,
        stream_name: str,
        header: tuple[str, int, str],
    ) -> None:
        self._telemetry = telemetry
        self.scope = scope
        self.group_name = group_name
        self.stream_name = stream_name
        self.header = header
        self.entries: list[Entry] = []

    def event(self, at_ms: int, output: bytes) -> None:
        """Append output that belongs to no invocation; each line of it becomes an event."""
        self._append((EVENT, at_ms, output))

    def invocation(
        self,
        request_id: str,
        started_ms: int,
        duration_ms: float,
        memory_kb: int,
        init_ms: float,
        output: bytes,
        status: str,
    ) -> Entry:
        """Append one invocation; `init_ms` below 0 means that it was a warm one.

        `status` is "" or what REPORT ends with, such as `timeout`.
        """
        entry = (
            INVOCATION,
            started_ms,
            request_id,
            duration_ms,
            memory_kb,
            init_ms,
            output,
            status,
        )
        self._append(entry)
        return entry

    def tail(self, entry: Entry) -> bytes:
        """The last bytes of one invocation's log, as Invoke returns them on request."""
        lines = [text for _, text in render_entry(entry, *self.header)]
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines).encode()[
            -LOG_TAIL_BYTES:
        ]

    def _append(self, entry: Entry) -> None:
        if not self.entries:
            self._telemetry.dirty(self)
        self.entries.append(entry)


class Telemetry:
    """Buffers what environments log and writes it to the store by a timer."""

    def __init__(self, logs: LogStore, clock: Clock, flush_s: float = 0.25) -> None:
        """`flush_s` is the time between two writes."""
        self._logs = logs
        self._clock = clock
        self._flush_s = flush_s
        self._dirty: list[EnvironmentLog] = []
        self._timer: asyncio.TimerHandle | None = None
        self._store = logs.store
        self.follower: Follower | None = None
        logs.flush_with(self.flush)

    def open(self, scope: Scope, version: FunctionVersion) -> EnvironmentLog:
        """The log of a new environment, under a stream name as AWS makes them.

        AWS: `YYYY/MM/DD/[version]hex`, and with the function's name in a group of one's own.
        """
        own_group = f"/aws/lambda/{version.function_name}"
        group_name = version.log_group or own_group
        name = version.function_name if group_name != own_group else ""
        stream_name = (
            f"{self._clock.now():%Y/%m/%d}/{name}[{version.version}]{secrets.token_hex(16)}"
        )
        header = (version.version, version.memory_size_mb, version.log_format)
        return EnvironmentLog(self, scope, group_name, stream_name, header)

    def dirty(self, log: EnvironmentLog) -> None:
        """Note that the log has entries to write."""
        self._dirty.append(log)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._flush_s, self._flush_some)

    def flush(self) -> None:
        """Write everything buffered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._dirty:
            self._write(CHUNK_ENTRIES_MAX)

    def _flush_some(self) -> None:
        """Write a part: whoever waits for the loop must not wait for all of it."""
        self._write(CHUNK_ENTRIES_MAX)
        self._timer = None
        if self._dirty:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_PAUSE_S, self._flush_some)

    def _write(self, entries_max: int) -> None:
        """Write some entries, one chunk for each stream, in one transaction."""
        left = entries_max
        with self._store.transaction():
            while self._dirty and left > 0:
                log = self._dirty[0]
                entries, log.entries = log.entries[:left], log.entries[left:]
                left -= len(entries)
                if not log.entries:
                    del self._dirty[0]
                self._logs.append(log.scope, log.group_name, log.stream_name, entries, log.header)
                if self.follower is not None:
                    self.follower(log, entries)
