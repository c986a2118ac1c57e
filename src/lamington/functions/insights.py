"""Logs Insights: a query to a pipeline of commands, and log events to its results.

Pure: events in, rows out. Left to others: expressions (`query_expressions`), the running queries
that the API knows of (`operations/log_queries`).

AWS: CloudWatch Logs user guide, Logs Insights query syntax.
Differs: fields, display, filter, parse, stats, sort, limit, head, tail and dedup; of other
commands each is refused, with its place in the query.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from lamington.core.errors import LamingtonError
from lamington.functions.log_store import LogEvent
from lamington.functions.query_aggregates import AGGREGATES, Fold, rank_of
from lamington.functions.query_expressions import (
    Expression,
    Reader,
    as_number,
    malformed,
    text_of,
    truth,
    unquoted,
)

ROWS_MAX = 100_000
"""Rows that a query may hold at once; a query that needs more fails."""

GROUPS_MAX = 100_000
RESULTS_MAX = 10_000

_DECODER = msgspec.json.Decoder()
_DEFAULT_FIELDS = ("@timestamp", "@message")


class TooManyRows(LamingtonError):
    """A query would hold more rows than it may."""


# Rows


@dataclass(slots=True, kw_only=True)
class Record:
    """One log event, or one group of `stats`: what it holds, and what a query has added."""

    event: LogEvent | None
    log: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    _discovered: dict[str, Any] | None = None
    _document: Any = None

    def get(self, name: str) -> Any:
        """A field's value; None where the row has none."""
        found = self.values.get(name)
        if found is not None or self.event is None:
            return found
        if name.startswith("@"):
            return self._own(name, self.event)
        return self._member(name)

    def _own(self, name: str, event: LogEvent) -> Any:
        match name:
            case "@message":
                return event.message
            case "@timestamp":
                return event.timestamp_ms
            case "@ingestionTime":
                return event.ingestion_ms
            case "@logStream":
                return event.stream_name
            case "@log":
                return self.log
            case "@ptr":
                return event.event_id
        if self._discovered is None:
            self._discovered = discover_fields(event.message)
        return self._discovered.get(name)

    def _member(self, name: str) -> Any:
        if self._document is None:
            self._document = _document(self.event.message if self.event else "")
        found: Any = self._document
        if isinstance(found, dict) and name in found:
            return _plain(found[name])
        for part in name.split("."):
            if isinstance(found, dict):
                found = found.get(part)
            elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            else:
                return None
        return _plain(found)


def _plain(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def _document(message: str) -> Any:
    """The JSON object of a message, which may have words before it."""
    start = message.find("{")
    if start < 0:
        return {}
    try:
        return _DECODER.decode(message[start:])
    except (msgspec.DecodeError, RecursionError):
        return {}


_REPORT_FIELDS = (
    ("@duration", re.compile(r"\tDuration: ([\d.]+) ms"), 1),
    ("@billedDuration", re.compile(r"\tBilled Duration: ([\d.]+) ms"), 1),
    ("@memorySize", re.compile(r"\tMemory Size: (\d+) MB"), 1_000_000),
    ("@maxMemoryUsed", re.compile(r"\tMax Memory Used: (\d+) MB"), 1_000_000),
    ("@initDuration", re.compile(r"\tInit Duration: ([\d.]+) ms"), 1),
)
_TYPE = re.compile(r"(START|END|REPORT) RequestId: ([0-9a-fA-F-]{36})")
_REQUEST_ID = re.compile(r"(?:RequestId: |\t)([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
_XRAY = re.compile(r"XRAY TraceId: (\S+)\tSegmentId: (\S+)")


def discover_fields(message: str) -> dict[str, Any]:
    """The fields that Logs Insights finds in Lambda's own lines.

    AWS: supported logs and discovered fields; sizes are in bytes, a megabyte being a million.
    """
    found: dict[str, Any] = {}
    line = _TYPE.match(message)
    if line is not None:
        found["@type"], found["@requestId"] = line[1], line[2]
        if line[1] == "REPORT":
            for name, pattern, factor in _REPORT_FIELDS:
                if value := pattern.search(message):
                    found[name] = float(value[1]) * factor
            if traced := _XRAY.search(message):
                found["@xrayTraceId"], found["@xraySegmentId"] = traced[1], traced[2]
    elif named := _REQUEST_ID.search(message):
        found["@requestId"] = named[1]
    return found


# Commands

Rows = list[Record]
_Each = Callable[[Record], bool]
_All = Callable[[Rows], Rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aggregate:
    """One column of `stats`."""

    name: str
    start: Callable[[], Fold]
    is_time: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """`stats`: columns over groups."""

    columns: tuple[_Aggregate, ...]
    by: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query, compiled: what is done with each record, then with all rows that are left."""

    each: tuple[_Each, ...]
    stats: Stats | None
    then: tuple[_All, ...]
    shown: tuple[str, ...]
    times: frozenset[str]
    sorted: bool
    limit: int

    @property
    def newest_suffice(self) -> bool:
        """Whether the query is done once it has its limit of the newest records."""
        return self.stats is None and not self.then


def compile_query(text: str, limit: int = RESULTS_MAX) -> Query:
    """Read a query; raises MalformedQueryException with the position of what is wrong."""
    return _Compiler(text, limit).query()


class _Compiler:
    """Reads commands one after the other."""

    def __init__(self, text: str, limit: int) -> None:
        self._reader = Reader(text)
        self._each: list[_Each] = []
        self._then: list[_All] = []
        self._stats: Stats | None = None
        self._shown: list[str] = []
        self._times: set[str] = {"@timestamp", "@ingestionTime"}
        self._sorted = False
        self._limit = limit

    def query(self) -> Query:
        reader = self._reader
        if reader.token.kind == "end":
            raise malformed("the query is empty", 0, 0)
        while True:
            self._command()
            if reader.token.kind == "end":
                break
            reader.require("|")
        return Query(
            each=tuple(self._each),
            stats=self._stats,
            then=tuple(self._then),
            shown=tuple(dict.fromkeys(self._shown)) or _DEFAULT_FIELDS,
            times=frozenset(self._times),
            sorted=self._sorted,
            limit=self._limit,
        )

    def _command(self) -> None:
        token = self._reader.take()
        commands: Mapping[str, Callable[[], None]] = {
            "fields": self._fields,
            "display": self._display,
            "filter": self._filter,
            "parse": self._parse,
            "stats": self._stats_command,
            "sort": self._sort,
            "limit": self._limit_command,
            "head": self._limit_command,
            "tail": self._tail,
            "dedup": self._dedup,
        }
        read = commands.get(token.text.lower())
        if read is None:
            known = ", ".join(commands)
            message = f"unknown command `{token.text}`; Lamington has {known}"
            raise malformed(message, token.start, token.end)
        read()

    @property
    def _collects(self) -> bool:
        """Whether commands from here on are over all rows, not over each record."""
        return self._stats is not None or bool(self._then)

    def _add(self, each: _Each) -> None:
        if self._collects:
            self._then.append(lambda rows: [row for row in rows if each(row)])
        else:
            self._each.append(each)

    def _columns(self) -> list[tuple[str, Expression]]:
        """Expressions with commas between them, each with its alias or its text."""
        found = []
        while True:
            expression = self._reader.expression()
            name = expression.text
            if self._reader.accept("as"):
                name = self._reader.name("an alias")
            found.append((name, expression))
            if expression.is_time:
                self._times.add(name)
            if not self._reader.accept(","):
                return found

    def _compute(self) -> list[str]:
        columns = self._columns()
        made = [
            (name, expression.evaluate)
            for name, expression in columns
            if not (expression.is_field and name == expression.text)
        ]

        def compute(row: Record) -> bool:
            for name, evaluate in made:
                row.values[name] = evaluate(row)
            return True

        if made:
            self._add(compute)
        return [name for name, _ in columns]

    def _fields(self) -> None:
        self._shown += self._compute()

    def _display(self) -> None:
        self._shown = self._compute()

    def _filter(self) -> None:
        test = self._reader.expression().evaluate
        self._add(lambda row: truth(test(row)))

    def _parse(self) -> None:
        """`parse @message "a * b" as x`, or by a regular expression with named groups."""
        reader = self._reader
        source = Expression(evaluate=lambda row: row.get("@message"), text="@message")
        if reader.token.kind in ("name", "quoted"):
            name = reader.name()
            source = Expression(evaluate=lambda row: row.get(name), text=name)
        token = reader.token
        if token.kind == "regex":
            pattern = reader.regex()
            names = list(pattern.groupindex)
            if not names:
                raise malformed("the expression names no group", token.start, token.end)
        elif token.kind == "string":
            parts = unquoted(reader.take().text).split("*")
            pattern = re.compile("(.*?)".join(map(re.escape, parts[:-1])) + _last(parts), re.DOTALL)
            reader.require("as")
            names = [reader.name("an alias")]
            while reader.accept(","):
                names.append(reader.name("an alias"))
            if len(names) != len(parts) - 1:
                message = f"{len(parts) - 1} asterisks and {len(names)} names"
                raise malformed(message, token.start, token.end)
        else:
            raise reader.unexpected("a string or a regular expression")

        def parse(row: Record) -> bool:
            found = pattern.search(text_of(source.evaluate(row)))
            if found is not None:
                row.values.update(zip(names, map(found.group, _groups(pattern)), strict=True))
            return True

        self._add(parse)

    def _stats_command(self) -> None:
        token = self._reader.token
        if self._collects:
            raise malformed(
                "`stats` stands before sort, limit, dedup and only once", token.start, token.end
            )
        columns = [self._aggregate()]
        while self._reader.accept(","):
            columns.append(self._aggregate())
        by = self._columns() if self._reader.accept("by") else []
        self._stats = Stats(columns=tuple(columns), by=tuple(by))
        self._times |= {column.name for column in columns if column.is_time}
        self._shown = [name for name, _ in by] + [column.name for column in columns]

    def _aggregate(self) -> _Aggregate:
        reader = self._reader
        token = reader.take()
        kind = token.text.lower()
        if kind not in AGGREGATES or reader.token.text != "(":
            known = ", ".join(AGGREGATES)
            raise malformed(f"expected one of {known}", token.start, token.end)
        reader.require("(")
        value: Expression | None = None
        share = 50.0
        if reader.accept("*"):
            if kind != "count":
                raise malformed("only count takes `*`", token.start, token.end)
        elif not (kind == "count" and reader.token.text == ")"):
            value = reader.expression()
        if kind in ("pct", "percentile"):
            reader.require(",")
            share = float(as_number(reader.take().text) or 50)
        end = reader.require(")").end
        name = reader.query[token.start : end]
        if reader.accept("as"):
            name = reader.name("an alias")
        kind_of = AGGREGATES[kind]
        evaluate = value.evaluate if value else None
        keeps_time = kind in ("min", "max", "earliest", "latest", "sortsfirst", "sortslast")
        return _Aggregate(
            name=name,
            start=lambda: Fold(kind_of, evaluate, share),
            is_time=keeps_time and value is not None and value.is_time,
        )

    def _sort(self) -> None:
        """AWS: numbers before text, and rows without the value last."""
        keys: list[tuple[Callable[[Record], Any], bool]] = []
        while True:
            evaluate = self._reader.expression().evaluate
            keys.append((evaluate, bool(self._reader.accept("desc"))))
            if not keys[-1][1]:
                self._reader.accept("asc")
            if not self._reader.accept(","):
                break
        self._sorted = True

        def sort(rows: Rows) -> Rows:
            for evaluate, descending in reversed(keys):
                rows = _sorted_by(rows, evaluate, descending)
            return rows

        self._then.append(sort)

    def _limit_command(self) -> None:
        count = self._count()
        if self._collects:
            self._then.append(lambda rows: rows[:count])
        self._limit = min(self._limit, count)

    def _tail(self) -> None:
        count = self._count()
        self._then.append(lambda rows: rows[-count:] if count else [])

    def _count(self) -> int:
        token = self._reader.take()
        if token.kind != "number" or not token.text.isdecimal():
            raise malformed("expected a number", token.start, token.end)
        return int(token.text)

    def _dedup(self) -> None:
        columns = [expression.evaluate for _, expression in self._columns()]

        def dedup(rows: Rows) -> Rows:
            seen: set[tuple[str, ...]] = set()
            left = []
            for row in rows:
                values = [evaluate(row) for evaluate in columns]
                key = tuple(map(text_of, values))
                if None in values or key not in seen:
                    left.append(row)
                    seen.add(key)
            return left

        self._then.append(dedup)


def _sorted_by(rows: Rows, evaluate: Callable[[Record], Any], descending: bool) -> Rows:
    valued = [(evaluate(row), row) for row in rows]
    present = [(rank_of(value), row) for value, row in valued if value is not None]
    present.sort(key=lambda pair: pair[0], reverse=descending)
    return [row for _, row in present] + [row for value, row in valued if value is None]


def _last(parts: Sequence[str]) -> str:
    """What follows the last asterisk: where that is nothing, it takes the rest of the line."""
    if len(parts) == 1:
        return re.escape(parts[0])
    return r"([^\n]*)" if not parts[-1] else "(.*?)" + re.escape(parts[-1])


def _groups(pattern: "re.Pattern[str]") -> list[int]:
    return list(pattern.groupindex.values()) or list(range(1, pattern.groups + 1))


# Running


class QueryRun:
    """One query at work: takes events, newest first, and has results at any time."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.scanned = 0
        self.matched = 0
        self.scanned_bytes = 0
        self._log = ""
        self._enough = 0
        self._rows: Rows = []
        self._groups: dict[tuple[Any, ...], list[Fold]] = {}

    def take(self, events: Iterable[LogEvent], log: str) -> bool:
        """Take events of one log group; False when no more of them are needed."""
        query = self.query
        if log != self._log:
            self._log, self._enough = log, len(self._rows) + query.limit
        for event in events:
            self.scanned += 1
            self.scanned_bytes += len(event.message)
            row = Record(event=event, log=log)
            if not all(each(row) for each in query.each):
                continue
            self.matched += 1
            if query.stats is not None:
                self._fold(query.stats, row)
                continue
            self._rows.append(row)
            if query.newest_suffice and len(self._rows) >= self._enough:
                return False
            if len(self._rows) > ROWS_MAX:
                raise TooManyRows("the query needs more rows at once than Lamington holds")
        return True

    def _fold(self, stats: Stats, row: Record) -> None:
        key = tuple(expression.evaluate(row) for _, expression in stats.by)
        if None in key:
            return
        folds = self._groups.get(key)
        if folds is None:
            if len(self._groups) >= GROUPS_MAX:
                raise TooManyRows("the query needs more rows at once than Lamington holds")
            folds = self._groups[key] = [column.start() for column in stats.columns]
        for fold in folds:
            fold.add(row)

    def results(self) -> list[list[dict[str, str]]]:
        """The rows as the API shows them, by what has been taken so far."""
        query = self.query
        rows = list(self._rows)
        if query.stats is not None:
            rows = [
                Record(
                    event=None,
                    values={
                        **{name: part for (name, _), part in zip(query.stats.by, key, strict=True)},
                        **{
                            column.name: fold.result()
                            for column, fold in zip(query.stats.columns, folds, strict=True)
                        },
                    },
                )
                for key, folds in self._groups.items()
            ]
        else:
            rows.sort(key=lambda row: -(row.event.timestamp_ms if row.event else 0))
        for step in query.then:
            rows = step(rows)
        return [self._render(row) for row in rows[: query.limit]]

    def _render(self, row: Record) -> list[dict[str, str]]:
        shown = [
            {"field": name, "value": self._text(name, value)}
            for name in self.query.shown
            if (value := row.get(name)) is not None
        ]
        if row.event is not None:
            shown.append({"field": "@ptr", "value": row.event.event_id})
        return shown

    def _text(self, name: str, value: Any) -> str:
        if name in self.query.times and isinstance(value, int | float):
            moment = datetime.fromtimestamp(value / 1000, UTC)
            return f"{moment:%Y-%m-%d %H:%M:%S}.{int(value) % 1000:03d}"
        return text_of(value)
