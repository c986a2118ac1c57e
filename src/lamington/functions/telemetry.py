"""What functions leave behind, on its way to the log store.

The hot path appends one tuple to a list; a timer writes such lists, one chunk a stream.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.functions.entities import LOG_TAIL_BYTES, FunctionVersion
from lamington.functions.log_entries import (
    EVENT,
    INVOCATION,
    PLATFORM,
    Entry,
    LogHeader,
    kept_members,
    render_entry,
)
from lamington.functions.log_store import LogStore
from lamington.functions.metrics import Metrics
from lamington.functions.usage import UsageFacts

CHUNK_ENTRIES_MAX = 2000
FLUSH_PAUSE_S = 0.005
"""So many entries are written at once, a few milliseconds of work; then others have their turn."""

EXPIRE_PAUSE_MINUTES = 10

Follower = Callable[["EnvironmentLog", list[Entry]], None]
"""Is shown the entries of a log as they are written."""


class EnvironmentLog:
    """The log of one execution environment: a stream, and the entries not yet written to it."""

    __slots__ = ("_telemetry", "entries", "facts", "group_name", "header", "scope", "stream_name")

    def __init__(
        self,
        telemetry: "Telemetry",
        scope: Scope,
        group_name: str,
        stream_name: str,
        header: LogHeader,
        facts: UsageFacts,
    ) -> None:
        self._telemetry = telemetry
        self.scope = scope
        self.group_name = group_name
        self.stream_name = stream_name
        self.header = header
        self.facts = facts
        self.entries: list[Entry] = []

    def event(self, at_ms: int, output: bytes) -> None:
        """Append output that belongs to no invocation; each line of it becomes an event."""
        self._append((EVENT, at_ms, output))

    def platform(self, at_ms: int, kind: str, record: Mapping[str, Any]) -> None:
        """Append one of the platform's events, such as `platform.initStart`.

        Whether and how it is shown is the function's log format and SystemLogLevel's to say.
        """
        self._append((PLATFORM, at_ms, kind, record))

    def invocation(
        self,
        request_id: str,
        started_ms: int,
        duration_ms: float,
        memory_kb: int,
        init_ms: float,
        output: bytes,
        status: str,
        function_error: str = "",
        function_arn: str = "",
        trace_id: str = "",
        init_type: str = "",
    ) -> Entry:
        """Append one invocation; `init_ms` below 0 means that it was a warm one.

        `status` is "" or what REPORT ends with, such as `timeout`; `function_error` is what the
        caller is told, `function_arn` what it has named, `trace_id` the whole header. With the
        `init_type` `snap-start` `init_ms` is the time of the restore.
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
            function_error,
            function_arn,
            trace_id,
            init_type,
        )
        self._append(entry)
        return entry

    def tail(self, entry: Entry) -> bytes:
        """The last bytes of one invocation's log, as Invoke returns them on request."""
        lines = [text for _, text in render_entry(entry, self.header)]
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines).encode()[
            -LOG_TAIL_BYTES:
        ]

    def _append(self, entry: Entry) -> None:
        if not self.entries:
            self._telemetry.dirty(self)
        self.entries.append(entry)


class Telemetry:
    """Buffers what environments log and writes it to the store by a timer."""

    def __init__(
        self,
        logs: LogStore,
        clock: Clock,
        flush_s: float = 0.25,
        metrics: Metrics | None = None,
    ) -> None:
        """`flush_s` is the time between two writes; `metrics` count what is written."""
        self._logs = logs
        self._clock = clock
        self._flush_s = flush_s
        self._dirty: list[EnvironmentLog] = []
        self._timer: asyncio.TimerHandle | None = None
        self._store = logs.store
        self.follower: Follower | None = None
        self._metrics = metrics
        self._expired_minute = 0
        logs.flush_with(self.flush)
        if metrics is not None:
            metrics.flush_with(self.flush)
            metrics.on_change = self._arm

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
        logging = version.settings.get("LoggingConfig") or {}
        tracing = version.settings.get("TracingConfig") or {}
        header = LogHeader(
            version=version.version,
            memory_size_mb=version.memory_size_mb,
            log_format=version.log_format,
            system_level=logging.get("SystemLogLevel", "INFO"),
            application_level=logging.get("ApplicationLogLevel", "INFO"),
            traced=tracing.get("Mode") == "Active",
        )
        facts = UsageFacts(
            function_name=version.function_name,
            version=version.version,
            architecture=version.architectures[0],
            memory_size_mb=version.memory_size_mb,
            ephemeral_storage_mb=version.ephemeral_storage_mb,
        )
        return EnvironmentLog(self, scope, group_name, stream_name, header, facts)

    def dirty(self, log: EnvironmentLog) -> None:
        """Note that the log has entries to write."""
        self._dirty.append(log)
        self._arm()

    def _arm(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._flush_s, self._flush_some)

    def flush(self) -> None:
        """Write everything buffered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._dirty or (self._metrics is not None and self._metrics.changed):
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
                self._logs.append(
                    log.scope,
                    log.group_name,
                    log.stream_name,
                    kept_members(entries, log.header),
                    log.header,
                )
                if self._metrics is not None:
                    self._metrics.take(log.scope, log.facts, log.stream_name, entries)
                if self.follower is not None:
                    self.follower(log, entries)
            if self._metrics is not None:
                self._metrics.write()
            self._expire()

    def _expire(self) -> None:
        """Now and then, drop what is older than its group keeps."""
        minute = int(self._clock.now().timestamp() // 60)
        if minute - self._expired_minute >= EXPIRE_PAUSE_MINUTES:
            self._expired_minute = minute
            self._logs.expire()
