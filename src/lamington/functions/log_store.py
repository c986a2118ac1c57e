"""Log groups and streams as rows, and their events in chunks: CloudWatch Logs' memory.

Left to others: what goes into them (`telemetry`), and the Logs API (`operations/logs.py`).
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.store import Store
from lamington.functions.log_entries import TEXT, Entry, entry_span, render_entry

ENTRY_SHIFT = 24
"""The place of an event in its chunk is the entry's number, and below it the place in that."""

DAY_MS = 86_400_000

_Key = tuple[int, int, int]
"""Milliseconds, chunk and place of an event: what events are sorted by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGroup:
    """A log group; events end after `retention_days`, and before when the group's bytes run out."""

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
        header: Sequence[Any],
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
        oldest = self._oldest_ms(scope, group_name)
        if oldest is not None:
            start_ms = oldest if start_ms is None else max(start_ms, oldest)
        found: list[tuple[_Key, LogEvent]] = []
        more = False
        for key, event in self._walk(
            self._select(scope, group_name, stream_names, stream_prefix),
            _Window(start_ms=start_ms, end_ms=end_ms, mark=mark, backwards=backwards),
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

    def newest_chunk(self, scope: Scope, group_name: str) -> int:
        """The number of the last chunk written, 0 for none: where `events_behind` begins."""
        self._flush()
        found = self._database.execute(
            "SELECT coalesce(max(id), 0) FROM log_chunks WHERE group_id=?",
            (self._group_id(scope, group_name),),
        ).fetchone()
        return int(found[0])

    def events_behind(
        self,
        scope: Scope,
        group_name: str,
        chunk: int,
        takes_stream: Callable[[str], bool],
    ) -> Iterator[tuple[int, LogEvent]]:
        """The events that were written after a chunk, each with the number of its own."""
        self._flush()
        rows = self._database.execute(
            "SELECT c.id, s.name, c.ingested_ms FROM log_chunks c JOIN log_streams s"
            " ON s.id=c.stream_id WHERE c.group_id=? AND c.id>? ORDER BY c.id",
            (self._group_id(scope, group_name), chunk),
        ).fetchall()
        for number, stream, ingested in rows:
            if takes_stream(stream):
                for _, _, event in self._expand(number, stream, ingested, _EVERYTHING):
                    yield number, event

    def expire(self) -> None:
        """Drop the chunks whose events are all older than their group keeps them."""
        now = self._now_ms()
        for group_id, days in self._database.execute(
            "SELECT id, retention_days FROM log_groups WHERE retention_days IS NOT NULL"
        ).fetchall():
            dropped = self._database.execute(
                "DELETE FROM log_chunks WHERE group_id=? AND last_ms<?",
                (group_id, now - days * DAY_MS),
            ).rowcount
            if dropped:
                self._group_bytes.pop(group_id, None)

    # Within

    def _oldest_ms(self, scope: Scope, group_name: str) -> int | None:
        found = self._database.execute(
            "SELECT retention_days FROM log_groups WHERE id=?",
            (self._group_id(scope, group_name),),
        ).fetchone()
        if found is None or found[0] is None:
            return None
        return self._now_ms() - int(found[0]) * DAY_MS

    def _walk(
        self, select: tuple[str, tuple[Any, ...]], window: "_Window"
    ) -> Iterator[tuple[_Key, LogEvent]]:
        """Events in order of time over chunks that may overlap.

        No chunk is opened, and no entry of it rendered, before its time has come: who wants the
        last lines of a long log pays for these.
        """
        condition, arguments = select
        for clause, value in window.clauses():
            condition, arguments = f"{condition} AND {clause}", (*arguments, value)
        bound = "last_ms" if window.backwards else "first_ms"
        rows = self._database.execute(
            "SELECT c.id, c.first_ms, c.last_ms, s.name, c.ingested_ms FROM log_chunks c"
            f" JOIN log_streams s ON s.id=c.stream_id WHERE {condition}"
            f" ORDER BY c.{bound} {'DESC' if window.backwards else 'ASC'}, c.id",
            arguments,
        )
        waiting: list[tuple[_Key, _Key, LogEvent, Iterator[tuple[_Key, _Key, LogEvent]]]] = []
        for chunk, first, last, stream, ingested in rows:
            edge = -last if window.backwards else first
            while waiting and waiting[0][0][0] < edge:
                yield _taken(waiting)
            _push_next(waiting, self._expand(chunk, stream, ingested, window))
        while waiting:
            yield _taken(waiting)

    def _expand(
        self, chunk: int, stream: str, ingested_ms: int, window: "_Window"
    ) -> Iterator[tuple[_Key, _Key, LogEvent]]:
        """The events of a chunk in order of time, as (what they are sorted by, key, event)."""
        body = self._database.execute("SELECT body FROM log_chunks WHERE id=?", (chunk,)).fetchone()
        header, entries = msgspec.msgpack.decode(body[0])
        sign = -1 if window.backwards else 1
        order = [
            (-last if window.backwards else first, number)
            for number, (first, last) in enumerate(map(entry_span, entries))
            if window.takes(first, last)
        ]
        order.sort()
        waiting: list[tuple[_Key, _Key, LogEvent]] = []
        for edge, number in order:
            while waiting and waiting[0][0][0] < edge:
                yield heapq.heappop(waiting)
            for place, (at_ms, message) in enumerate(render_entry(entries[number], header)):
                key = (at_ms, chunk, (number << ENTRY_SHIFT) + place)
                if not window.passes(key):
                    continue
                event = LogEvent(
                    stream_name=stream,
                    timestamp_ms=at_ms,
                    ingestion_ms=ingested_ms,
                    message=message,
                    event_id=f"{(at_ms << 72) + (chunk << 40) + key[2]:056d}",
                )
                turned = (sign * at_ms, sign * chunk, sign * key[2])
                heapq.heappush(waiting, (turned, key, event))
        while waiting:
            yield heapq.heappop(waiting)

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
        header: Sequence[Any],
    ) -> None:
        if not entries:
            return
        if header[0]:
            # An environment does one thing after the other: its ends are at the ends.
            # Only the platform's word of a failed init may come a little late.
            spans = [entry_span(entry) for entry in (*entries[:4], *entries[-4:])]
        else:
            spans = [entry_span(entry) for entry in entries]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """The part of a log that a read is after."""

    start_ms: int | None
    end_ms: int | None
    mark: _Key | None
    backwards: bool

    def clauses(self) -> Iterator[tuple[str, int]]:
        """The same for chunks, as SQL."""
        if self.start_ms is not None:
            yield "c.last_ms >= ?", self.start_ms
        if self.end_ms is not None:
            yield "c.first_ms < ?", self.end_ms
        if self.mark is not None:
            yield "c.first_ms <= ?" if self.backwards else "c.last_ms >= ?", self.mark[0]

    def takes(self, first: int, last: int) -> bool:
        """Whether an entry of this span may have events in it."""
        if self.start_ms is not None and last < self.start_ms:
            return False
        if self.end_ms is not None and first >= self.end_ms:
            return False
        if self.mark is None:
            return True
        return first <= self.mark[0] if self.backwards else last >= self.mark[0]

    def passes(self, key: _Key) -> bool:
        """Whether an event lies beyond the mark."""
        return self.mark is None or (key < self.mark if self.backwards else key > self.mark)


_EVERYTHING = _Window(start_ms=None, end_ms=None, mark=None, backwards=False)


def _taken(
    waiting: list[tuple[_Key, _Key, LogEvent, Iterator[tuple[_Key, _Key, LogEvent]]]],
) -> tuple[_Key, LogEvent]:
    """The first event of the heap; the next one of its chunk takes its place."""
    _, key, event, rest = heapq.heappop(waiting)
    _push_next(waiting, rest)
    return key, event


def _push_next(
    waiting: list[tuple[_Key, _Key, LogEvent, Iterator[tuple[_Key, _Key, LogEvent]]]],
    events: Iterator[tuple[_Key, _Key, LogEvent]],
) -> None:
    for turned, key, event in events:
        heapq.heappush(waiting, (turned, key, event, events))
        return


def _render_token(key: _Key) -> str:
    return "/".join(str(part) for part in key)


def _parse_token(token: str) -> _Key | None:
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
    "CREATE INDEX IF NOT EXISTS log_chunks_by_end ON log_chunks (group_id, last_ms)",
    "CREATE INDEX IF NOT EXISTS log_chunks_by_stream ON log_chunks (stream_id)",
)
