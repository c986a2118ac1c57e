"""What functions leave behind: log groups, streams and events, and the platform's own lines.

The hot path appends one tuple for one invocation; START, END and REPORT become text only when
somebody reads them. Left to others: the Logs API (`operations/logs.py`).
"""

import asyncio
import heapq
import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.store import Store
from lamington.functions.entities import LOG_TAIL_BYTES, FunctionVersion

EVENT_MAX_BYTES = 1_048_576
"""The longest event; what a function writes on one line beyond it becomes further events."""

CHUNK_ENTRIES_MAX = 4000
FLUSH_PAUSE_S = 0.005
"""So many entries are written at once, a few milliseconds of work; then others have their turn."""

RECORD_BREAK = "\x1e"
"""Stands for a line break within one log record, where a bootstrap writes several lines as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGroup:
    """A log group; `retention_days` of None keeps events until the group's bytes run out."""

    name: str
    created_ms: int
    retention_days: int | None = None
    tags: dict[str, str]
    stored_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStream:
    """A log stream; the first and last times are None while it is empty."""

    name: str
    created_ms: int
    first_event_ms: int | None = None
    last_event_ms: int | None = None
    last_ingestion_ms: int | None = None
    stored_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """One event of a stream; `event_id` is unique in the store and rises within a stream."""

    stream_name: str
    timestamp_ms: int
    ingestion_ms: int
    message: str
    event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Events in order of time, and tokens to go on from their ends.

    `after` goes on behind the last event, `before` ahead of the first one; where the page is
    empty both are the token that was given. `more` tells that the limit cut the page.
    """

    events: list[LogEvent]
    after: str
    before: str
    more: bool


Entry = tuple[Any, ...]
"""One item of a chunk, see `EnvironmentLog`: the first member names its form."""

EVENT, INVOCATION, TEXT = 0, 1, 2


class LogStore:
    """Log groups and streams in SQLite, events in chunks: one row for many events."""

    def __init__(self, store: Store, clock: Clock, bytes_max: int) -> None:
        """`bytes_max` is kept for each group; beyond it the oldest chunks go."""
        self._database = store.database
        self.store = store
        self._clock = clock
        self._bytes_max = bytes_max
        self._ids: dict[tuple[Scope, str], int] = {}
        self._group_bytes: dict[int, int] = {}
        self._flush: Callable[[], None] = lambda: None
        for statement in _SCHEMA:
            self._database.execute(statement)

    def flush_with(self, flush: Callable[[], None]) -> None:
        """Have `flush` called before each read, so that readers see what is buffered."""
        self._flush = flush

    # Groups

    def create_group(
        self,
        scope: Scope,
        name: str,
        *,
        tags: dict[str, str] | None = None,
        retention_days: int | None = None,
    ) -> bool:
        """Create the group; False where it exists already."""
        if self.group(scope, name) is not None:
            return False
        self._database.execute(
            "INSERT INTO log_groups (account, region, name, created_ms, retention_days, tags)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                scope.account_id,
                scope.region,
                name,
                self._now_ms(),
                retention_days,
                msgspec.json.encode(tags or {}),
            ),
        )
        return True

    def group(self, scope: Scope, name: str) -> LogGroup | None:
        found = self._database.execute(
            f"{_SELECT_GROUP} WHERE account=? AND region=? AND name=?",
            (scope.account_id, scope.region, name),
        ).fetchone()
        return None if found is None else self._load_group(found)

    def groups(self, scope: Scope, prefix: str = "") -> list[LogGroup]:
        """The groups whose name begins with the prefix, in order of names."""
        self._flush()
        found = self._database.execute(
            f"{_SELECT_GROUP} WHERE account=? AND region=? AND substr(name, 1, ?)=? ORDER BY name",
            (scope.account_id, scope.region, len(prefix), prefix),
        ).fetchall()
        return [self._load_group(each) for each in found]

    def delete_group(self, scope: Scope, name: str) -> bool:
        """Delete the group with its streams and events; False where there is none."""
        self._flush()
        group_id = self._group_id(scope, name)
        if group_id is None:
            return False
        with self.store.transaction():
            self._database.execute("DELETE FROM log_chunks WHERE group_id=?", (group_id,))
            self._database.execute("DELETE FROM log_streams WHERE group_id=?", (group_id,))
            self._database.execute("DELETE FROM log_groups WHERE id=?", (group_id,))
        self._ids.pop((scope, name), None)
        self._group_bytes.pop(group_id, None)
        return True

    def set_retention(self, scope: Scope, name: str, days: int | None) -> bool:
        """Keep events for so many days, or for ever; False where there is no such group."""
        changed = self._database.execute(
            "UPDATE log_groups SET retention_days=? WHERE account=? AND region=? AND name=?",
            (days, scope.account_id, scope.region, name),
        ).rowcount
        return changed == 1

    def set_tags(self, scope: Scope, name: str, tags: dict[str, str]) -> bool:
        """Replace the group's tags; False where there is no such group."""
        changed = self._database.execute(
            "UPDATE log_groups SET tags=? WHERE account=? AND region=? AND name=?",
            (msgspec.json.encode(tags), scope.account_id, scope.region, name),
        ).rowcount
        return changed == 1

    # Streams

    def create_stream(self, scope: Scope, group_name: str, name: str) -> bool:
        """Create the stream; False where it exists. Raises KeyError without the group."""
        group_id = self._require_group_id(scope, group_name)
        return (
            self._database.execute(
                "INSERT OR IGNORE INTO log_streams (group_id, name, created_ms) VALUES (?, ?, ?)",
                (group_id, name, self._now_ms()),
            ).rowcount
            == 1
        )

    def stream(self, scope: Scope, group_name: str, name: str) -> LogStream | None:
        return next(
            (each for each in self.streams(scope, group_name, name) if each.name == name), None
        )

    def streams(self, scope: Scope, group_name: str, prefix: str = "") -> list[LogStream]:
        """The streams whose name begins with the prefix, in order of names.

        An unknown group has none.
        """
        self._flush()
        found = self._database.execute(
            "SELECT name, created_ms, first_ms, last_ms, ingested_ms, (SELECT coalesce("
            "sum(bytes), 0) FROM log_chunks WHERE stream_id=log_streams.id) FROM log_streams"
            " WHERE group_id=? AND substr(name, 1, ?)=? ORDER BY name",
            (self._group_id(scope, group_name), len(prefix), prefix),
        ).fetchall()
        return [
            LogStream(
                name=name,
                created_ms=created,
                first_event_ms=first,
                last_event_ms=last,
                last_ingestion_ms=ingested,
                stored_bytes=size,
            )
            for name, created, first, last, ingested, size in found
        ]

    def delete_stream(self, scope: Scope, group_name: str, name: str) -> bool:
        """Delete the stream with its events; False where there is none."""
        self._flush()
        found = self._database.execute(
            "SELECT id FROM log_streams WHERE group_id=? AND name=?",
            (self._group_id(scope, group_name), name),
        ).fetchone()
        if found is None:
            return False
        with self.store.transaction():
            self._database.execute("DELETE FROM log_chunks WHERE stream_id=?", found)
            self._database.execute("DELETE FROM log_streams WHERE id=?", found)
        self._group_bytes.clear()
        return True

    # Events

    def put_events(
        self,
        scope: Scope,
        group_name: str,
        stream_name: str,
        events: Sequence[tuple[int, str]],
    ) -> None:
        """Append (milliseconds, message) pairs; raises KeyError without group or stream."""
        group_id = self._require_group_id(scope, group_name)
        found = self._database.execute(
            "SELECT id FROM log_streams WHERE group_id=? AND name=?", (group_id, stream_name)
        ).fetchone()
        if found is None:
            raise KeyError(stream_name)
        entries = [(TEXT, at_ms, message) for at_ms, message in events]
        with self.store.transaction():
            self._put_chunk(group_id, found[0], entries, ("", 0, ""))

    def append(
        self,
        scope: Scope,
        group_name: str,
        stream_name: str,
        entries: Sequence[Entry],
        header: tuple[str, int, str],
    ) -> None:
        """Write an environment's entries as one chunk, making group and stream where needed."""
        group_id = self._group_id(scope, group_name)
        if group_id is None:
            self.create_group(scope, group_name)
            group_id = self._require_group_id(scope, group_name)
        stream = (group_id, stream_name)
        find = "SELECT id FROM log_streams WHERE group_id=? AND name=?"
        found = self._database.execute(find, stream).fetchone()
        if found is None:
            self.create_stream(scope, group_name, stream_name)
            found = self._database.execute(find, stream).fetchone()
        self._put_chunk(group_id, found[0], entries, header)

    def read_events(
        self,
        scope: Scope,
        group_name: str,
        *,
        stream_names: Sequence[str] | None = None,
        stream_prefix: str = "",
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 10_000,
        token: str = "",
        backwards: bool = False,
        matches: Callable[[str], bool] | None = None,
    ) -> EventPage:
        """Read `limit` events at most, in order of time; `end_ms` is not included.

        Forwards from the start or behind `token`; `backwards` takes the last ones, or those
        ahead of `token`. `matches` picks events by their message. An unknown group is empty.
        """
        self._flush()
        mark = _parse_token(token)
        found: list[tuple[tuple[int, int, int], LogEvent]] = []
        more = False
        for key, event in self._walk(
            self._select(scope, group_name, stream_names, stream_prefix), mark, backwards
        ):
            if end_ms is not None and event.timestamp_ms >= end_ms:
                if backwards:
                    continue
                break
            if start_ms is not None and event.timestamp_ms < start_ms:
                if backwards:
                    break
                continue
            if matches is not None and not matches(event.message):
                continue
            if len(found) == limit:
                more = True
                break
            found.append((key, event))
        if backwards:
            found.reverse()
        return EventPage(
            events=[event for _, event in found],
            after=_render_token(found[-1][0]) if found else token,
            before=_render_token(found[0][0]) if found else token,
            more=more,
        )

    # Within

    def _walk(
        self,
        select: tuple[str, tuple[Any, ...]],
        mark: tuple[int, int, int] | None,
        backwards: bool,
    ) -> Iterator[tuple[tuple[int, int, int], LogEvent]]:
        """Events in order of time over chunks that may overlap, no more chunks than needed."""
        condition, arguments = select
        sign = -1 if backwards else 1
        bound = "last_ms" if backwards else "first_ms"
        if mark is not None:
            other = "first_ms <= ?" if backwards else "last_ms >= ?"
            condition, arguments = f"{condition} AND c.{other}", (*arguments, mark[0])
        rows = self._database.execute(
            "SELECT c.id, c.first_ms, c.last_ms, s.name, c.ingested_ms FROM log_chunks c"
            f" JOIN log_streams s ON s.id=c.stream_id WHERE {condition}"
            f" ORDER BY c.{bound} {'DESC' if backwards else 'ASC'}, c.id",
            arguments,
        ).fetchall()
        waiting: list[tuple[tuple[int, int, int], LogEvent]] = []
        for chunk, first, last, stream, ingested in rows:
            edge = sign * (last if backwards else first)
            while waiting and waiting[0][0][0] < edge:
                yield _turned(heapq.heappop(waiting), sign)
            for key, event in self._expand(chunk, stream, ingested):
                if mark is None or (key < mark if backwards else key > mark):
                    turned = (sign * key[0], sign * key[1], sign * key[2])
                    heapq.heappush(waiting, (turned, event))
        while waiting:
            yield _turned(heapq.heappop(waiting), sign)

    def _expand(
        self, chunk: int, stream: str, ingested_ms: int
    ) -> Iterator[tuple[tuple[int, int, int], LogEvent]]:
        found = self._database.execute(
            "SELECT body FROM log_chunks WHERE id=?", (chunk,)
        ).fetchone()
        header, entries = msgspec.msgpack.decode(found[0])
        version, memory_size_mb, log_format = header
        index = 0
        for entry in entries:
            for at_ms, message in render_entry(entry, version, memory_size_mb, log_format):
                yield (
                    (at_ms, chunk, index),
                    LogEvent(
                        stream_name=stream,
                        timestamp_ms=at_ms,
                        ingestion_ms=ingested_ms,
                        message=message,
                        event_id=f"{(at_ms << 72) + (chunk << 24) + index:056d}",
                    ),
                )
                index += 1

    def _select(
        self, scope: Scope, group_name: str, names: Sequence[str] | None, prefix: str
    ) -> tuple[str, tuple[Any, ...]]:
        condition = "c.group_id=?"
        arguments: tuple[Any, ...] = (self._group_id(scope, group_name),)
        if names is not None:
            condition += f" AND s.name IN ({', '.join('?' * len(names))})"
            arguments += tuple(names)
        if prefix:
            condition += " AND substr(s.name, 1, ?)=?"
            arguments += (len(prefix), prefix)
        return condition, arguments

    def _put_chunk(
        self,
        group_id: int,
        stream_id: int,
        entries: Sequence[Entry],
        header: tuple[str, int, str],
    ) -> None:
        if not entries:
            return
        if header[0]:
            # An environment does one thing after the other: its ends are at the ends.
            spans = [_span(entries[0]), _span(entries[-1])]
        else:
            spans = [_span(entry) for entry in entries]
        first, last = min(span[0] for span in spans), max(span[1] for span in spans)
        body = msgspec.msgpack.encode((header, entries))
        now = self._now_ms()
        self._database.execute(
            "INSERT INTO log_chunks (group_id, stream_id, first_ms, last_ms, ingested_ms, bytes,"
            " body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (group_id, stream_id, first, last, now, len(body), body),
        )
        self._database.execute(
            "UPDATE log_streams SET first_ms=min(coalesce(first_ms, ?), ?),"
            " last_ms=max(coalesce(last_ms, ?), ?), ingested_ms=? WHERE id=?",
            (first, first, last, last, now, stream_id),
        )
        self._keep_bounds(group_id, len(body))

    def _keep_bounds(self, group_id: int, added: int) -> None:
        total = self._group_bytes.get(group_id)
        if total is None:
            total = self._sum_bytes(group_id) - added
        total += added
        while total > self._bytes_max:
            oldest = self._database.execute(
                "SELECT id, bytes FROM log_chunks WHERE group_id=? ORDER BY id LIMIT 64",
                (group_id,),
            ).fetchall()
            for chunk, size in oldest:
                self._database.execute("DELETE FROM log_chunks WHERE id=?", (chunk,))
                total -= size
                if total <= self._bytes_max:
                    break
            if not oldest:
                break
        self._group_bytes[group_id] = total

    def _sum_bytes(self, group_id: int) -> int:
        found = self._database.execute(
            "SELECT coalesce(sum(bytes), 0) FROM log_chunks WHERE group_id=?", (group_id,)
        ).fetchone()
        return int(found[0])

    def _load_group(self, found: tuple[Any, ...]) -> LogGroup:
        group_id, name, created, retention, tags = found
        return LogGroup(
            name=name,
            created_ms=created,
            retention_days=retention,
            tags=msgspec.json.decode(tags),
            stored_bytes=self._sum_bytes(group_id),
        )

    def _group_id(self, scope: Scope, name: str) -> int | None:
        known = self._ids.get((scope, name))
        if known is not None:
            return known
        found = self._database.execute(
            "SELECT id FROM log_groups WHERE account=? AND region=? AND name=?",
            (scope.account_id, scope.region, name),
        ).fetchone()
        if found is None:
            return None
        self._ids[(scope, name)] = int(found[0])
        return int(found[0])

    def _require_group_id(self, scope: Scope, name: str) -> int:
        group_id = self._group_id(scope, name)
        if group_id is None:
            raise KeyError(name)
        return group_id

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


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


def render_entry(
    entry: Sequence[Any], version: str, memory_size_mb: int, log_format: str
) -> Iterator[tuple[int, str]]:
    """The events that one entry stands for, as (milliseconds, message)."""
    if entry[0] == TEXT:
        yield entry[1], entry[2]
        return
    if entry[0] == EVENT:
        at_ms = entry[1]
        for line in split_output(entry[2]):
            yield at_ms, line
        return
    _, started_ms, request_id, duration_ms, memory_kb, init_ms, output, status = entry
    ended_ms = started_ms + int(duration_ms)
    memory_mb = min(math.ceil(memory_kb / 1024), max(memory_size_mb, 1))
    billed_ms = billed_duration(duration_ms, init_ms)
    if log_format == "JSON":
        yield (
            started_ms,
            render_system_event(
                started_ms, "platform.start", {"requestId": request_id, "version": version}
            ),
        )
    else:
        yield started_ms, f"START RequestId: {request_id} Version: {version}\n"
    for line in split_output(output):
        yield ended_ms, line
    if log_format == "JSON":
        metrics: dict[str, Any] = {
            "durationMs": round(duration_ms, 3),
            "billedDurationMs": billed_ms,
            "memorySizeMB": memory_size_mb,
            "maxMemoryUsedMB": memory_mb,
        }
        if init_ms >= 0:
            metrics["initDurationMs"] = round(init_ms, 3)
        outcome = status.partition("\t")[0] or "success"
        yield (
            ended_ms,
            render_system_event(
                ended_ms,
                "platform.report",
                {"requestId": request_id, "metrics": metrics, "status": outcome},
            ),
        )
        return
    yield ended_ms, f"END RequestId: {request_id}\n"
    init = f"Init Duration: {init_ms:.2f} ms\t" if init_ms >= 0 else ""
    ending = f"Status: {status}" if status else ""
    yield (
        ended_ms,
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\t"
        f"Billed Duration: {billed_ms} ms\tMemory Size: {memory_size_mb} MB\t"
        f"Max Memory Used: {memory_mb} MB\t{init}{ending}\n",
    )


def billed_duration(duration_ms: float, init_ms: float) -> int:
    """Round an invocation's time up to the whole milliseconds that it is billed for.

    AWS: since August 2025 the init phase counts: a cold start costs what it takes.
    """
    return max(1, math.ceil(round(duration_ms, 2) + round(max(init_ms, 0.0), 2)))


def split_output(output: bytes) -> Iterator[str]:
    """One event for each line that a function wrote; empty lines are events too.

    AWS: a line longer than the limit of an event is split.
    """
    if not output:
        return
    lines = output.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    for line in lines:
        text = line.replace(RECORD_BREAK, "\n") + "\n"
        for start in range(0, len(text), EVENT_MAX_BYTES):
            yield text[start : start + EVENT_MAX_BYTES]


def render_time(at_ms: int) -> str:
    """Milliseconds since 1970 as `2026-01-02T03:04:05.678Z`."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def render_system_event(at_ms: int, kind: str, record: dict[str, Any]) -> str:
    """One of the platform's own events, for functions whose log format is JSON."""
    event = {"time": render_time(at_ms), "type": kind, "record": record}
    return msgspec.json.encode(event).decode() + "\n"


def _span(entry: Entry) -> tuple[int, int]:
    if entry[0] != INVOCATION:
        return entry[1], entry[1]
    return entry[1], entry[1] + int(entry[3])


def _turned(
    item: tuple[tuple[int, int, int], LogEvent], sign: int
) -> tuple[tuple[int, int, int], LogEvent]:
    (at_ms, chunk, index), event = item
    return (sign * at_ms, sign * chunk, sign * index), event


def _render_token(key: tuple[int, int, int]) -> str:
    return "/".join(str(part) for part in key)


def _parse_token(token: str) -> tuple[int, int, int] | None:
    """Raises ValueError for a token that is not one of ours."""
    if not token:
        return None
    at_ms, chunk, index = token.split("/")
    return int(at_ms), int(chunk), int(index)


_SELECT_GROUP = "SELECT id, name, created_ms, retention_days, tags FROM log_groups"

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS log_groups (id INTEGER PRIMARY KEY, account TEXT NOT NULL,"
    " region TEXT NOT NULL, name TEXT NOT NULL, created_ms INTEGER NOT NULL,"
    " retention_days INTEGER, tags BLOB NOT NULL, UNIQUE (account, region, name))",
    "CREATE TABLE IF NOT EXISTS log_streams (id INTEGER PRIMARY KEY, group_id INTEGER NOT NULL,"
    " name TEXT NOT NULL, created_ms INTEGER NOT NULL, first_ms INTEGER, last_ms INTEGER,"
    " ingested_ms INTEGER, UNIQUE (group_id, name))",
    "CREATE TABLE IF NOT EXISTS log_chunks (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " group_id INTEGER NOT NULL, stream_id INTEGER NOT NULL, first_ms INTEGER NOT NULL,"
    " last_ms INTEGER NOT NULL, ingested_ms INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " body BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS log_chunks_by_time ON log_chunks (group_id, first_ms)",
    "CREATE INDEX IF NOT EXISTS log_chunks_by_stream ON log_chunks (stream_id)",
)
