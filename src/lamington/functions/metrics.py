"""Metrics by the minute: what functions use, what they print, what clients put.

Nothing is counted where an invocation runs: log entries are counted when they are written. Left
to others: the CloudWatch API (`operations/metrics.py`), what it would cost (`bill`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.store import SEPARATOR, Store
from lamington.functions.distribution import Distribution, one_value
from lamington.functions.log_entries import EVENT, Entry
from lamington.functions.minutes import MinuteTable
from lamington.functions.usage import (
    Usage,
    UsageFacts,
    add_invocations,
    group_invocations,
    resource_of,
)

LAMBDA = "AWS/Lambda"
RETENTION_MINUTES = 15 * 24 * 60
"""AWS: points of one minute are kept for 15 days.

Differs: AWS keeps sums of them for up to 455 days more; here they end.
"""
PRUNE_PAUSE_MINUTES = 60
DIMENSIONS_MAX = 30
EMBEDDED_METRICS_MAX = 100
EMBEDDED_LINES_MAX = 1000
"""Lines with embedded metrics that are read of one invocation's output."""

Dimensions = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""

_USAGE_DIMENSIONS = ("FunctionName", "Resource", "ExecutedVersion")
_USAGE_METRICS: Mapping[str, Callable[[Usage], Distribution | None]] = {
    "Invocations": lambda usage: _repeated(usage.invocations, usage.invocations),
    "Errors": lambda usage: _repeated(usage.errors, usage.invocations),
    "Duration": lambda usage: usage.duration if usage.invocations else None,
    "ConcurrentExecutions": lambda usage: one_value(usage.environments),
    "ProvisionedConcurrencyInvocations": lambda usage: (
        _repeated(usage.provisioned, usage.provisioned) if usage.provisioned else None
    ),
}
_ADDED_UP = frozenset({"ConcurrentExecutions"})
"""Of these a minute's value is the sum of its parts, not one sample for each."""

_MILLISECONDS = frozenset({"Duration", "IteratorAge", "AsyncEventAge", "UrlRequestLatency"})


class Metrics:
    """Every metric of this engine: `AWS/Lambda`'s own, and namespaces of users."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._usage = MinuteTable(store, "function_usage", Usage)
        self._points = MinuteTable(store, "metrics", Distribution)
        self._at_work: dict[tuple[Scope, tuple[str, ...], int], set[str]] = {}
        self._counted: list[tuple[Scope, str, Dimensions, datetime, float]] = []
        self._pruned_minute = 0
        self._flush: Callable[[], None] = lambda: None
        self.on_change: Callable[[], None] = lambda: None
        """Is called when something was counted that waits for `write`."""

    def flush_with(self, flush: Callable[[], None]) -> None:
        """Have `flush` called before each read, so that readers see what is buffered."""
        self._flush = flush

    @property
    def changed(self) -> bool:
        """Whether something waits for `write`."""
        return bool(self._counted) or self._usage.changed or self._points.changed

    # In

    def count(
        self, scope: Scope, name: str, dimensions: Mapping[str, str], value: float = 1
    ) -> None:
        """Count something rare of Lambda's, such as Throttles.

        `dimensions` is the finest set, such as FunctionName and Resource; the sets that AWS sums
        up from it are counted too.
        """
        if not self._counted:
            self.on_change()
        self._counted.append((scope, name, tuple(sorted(dimensions.items())), self._now(), value))

    def put(
        self,
        scope: Scope,
        namespace: str,
        name: str,
        dimensions: Dimensions,
        at: datetime,
        unit: str,
        values: Distribution,
    ) -> None:
        """Add values to a metric; the unit is a part of its name."""
        self._add(scope, _key(namespace, name, unit, dimensions), at, values)
        self.on_change()

    def take(
        self, scope: Scope, facts: UsageFacts, stream_name: str, entries: Sequence[Entry]
    ) -> None:
        """Count what one environment's log entries tell; for `write` to keep."""
        for (minute, function_arn), invocations in group_invocations(entries).items():
            resource = resource_of(function_arn, facts.function_name)
            key = (facts.function_name, resource, facts.version, facts.architecture)
            usage = self._usage.at(scope, key, minute)
            add_invocations(usage, invocations, facts)
            at_work = self._at_work.setdefault((scope, key, minute), set())
            at_work.add(stream_name)
            usage.environments = max(usage.environments, len(at_work))
            for entry in [each for each in invocations if each[6]]:
                self._take_embedded(scope, entry[1], entry[6])
        for entry in [each for each in entries if each[0] == EVENT]:
            self._take_embedded(scope, entry[1], entry[2])

    def write(self) -> None:
        """Write what was counted; in the transaction of the caller. Old minutes go."""
        self._add_counted()
        self._usage.write()
        self._points.write()
        now = _minute(self._now())
        if len(self._at_work) > 256:
            self._at_work = {
                key: names for key, names in self._at_work.items() if key[2] >= now - 2
            }
        if now - self._pruned_minute >= PRUNE_PAUSE_MINUTES:
            self._pruned_minute = now
            self._usage.prune(now - RETENTION_MINUTES)
            self._points.prune(now - RETENTION_MINUTES)

    # Out

    def usage(
        self, start: datetime, end: datetime
    ) -> Iterator[tuple[tuple[str, str, str, str], int, Usage]]:
        """What all functions used: (function, resource, version, architecture), minute, usage.

        Where there are several accounts or regions, they are a part of the function's name.
        """
        self._flush()
        scopes = self._usage.scopes()
        first, last = _minute(start), _minute_end(end)
        for scope in scopes:
            place = f"{scope.account_id}/{scope.region}/" if len(scopes) > 1 else ""
            keys = [key for key, _ in self._usage.series(scope)]
            for key, minute, usage in self._usage.read(scope, keys, first, last):
                name, resource, version, architecture = key
                yield (place + name, resource, version, architecture), minute, usage

    def read(
        self,
        scope: Scope,
        namespace: str,
        name: str,
        dimensions: Dimensions,
        start: datetime,
        end: datetime,
        unit: str = "",
    ) -> dict[int, Distribution]:
        """A metric's values by minutes since 1970, from `start` to before `end`."""
        self._flush()
        first, last = _minute(start), _minute_end(end)
        found: dict[int, Distribution] = {}
        keys = [
            key
            for key, _ in self._points.series(scope, (namespace, name))
            if _dimensions(key) == dimensions and unit in ("", key[2])
        ]
        for _, minute, values in self._points.read(scope, keys, first, last):
            found.setdefault(minute, Distribution()).merge(values)
        select = _USAGE_METRICS.get(name) if namespace == LAMBDA else None
        if select is None or unit not in ("", _unit(name)):
            return found
        parts = self._usage_series(scope, dimensions)
        for _, minute, usage in self._usage.read(scope, parts, first, last):
            part = select(usage)
            if part is None:
                continue
            if name in _ADDED_UP and minute in found:
                part = one_value(found.pop(minute).total + part.total)
            found.setdefault(minute, Distribution()).merge(part)
        return found

    def unit(self, scope: Scope, namespace: str, name: str, dimensions: Dimensions) -> str:
        """The unit that a metric was put with."""
        for key, _ in self._points.series(scope, (namespace, name)):
            if _dimensions(key) == dimensions:
                return key[2]
        return _unit(name) if namespace == LAMBDA else "None"

    def names(
        self, scope: Scope, namespace: str = "", since: datetime | None = None
    ) -> list[tuple[str, str, Dimensions]]:
        """Every metric as (namespace, name, dimensions), in order."""
        self._flush()
        first = 0 if since is None else _minute(since)
        found = {
            (key[0], key[1], _dimensions(key))
            for key, last in self._points.series(scope, (namespace,) if namespace else ())
            if last >= first
        }
        if namespace in ("", LAMBDA):
            for key, last in self._usage.series(scope):
                if last >= first:
                    found.update(
                        (LAMBDA, name, each)
                        for name in _USAGE_METRICS
                        if name != "ProvisionedConcurrencyInvocations"
                        for each in _usage_dimensions(key)
                    )
        return sorted(found)

    # Within

    def _add(self, scope: Scope, key: tuple[str, ...], at: datetime, values: Distribution) -> None:
        self._points.at(scope, key, _minute(at)).merge(values)

    def _add_counted(self) -> None:
        """Add what `count` was told, all values of a metric and a minute at once."""
        counted, self._counted = self._counted, []
        groups: dict[tuple[Scope, str, Dimensions, int], list[float]] = {}
        for scope, name, dimensions, at, value in counted:
            groups.setdefault((scope, name, dimensions, _minute(at)), []).append(float(value))
        for (scope, name, dimensions, minute), values in groups.items():
            sets = [dimensions]
            function_name = dict(dimensions).get("FunctionName")
            if function_name is not None:
                sets += [(("FunctionName", function_name),), ()]
            for each in dict.fromkeys(sets):
                key = _key(LAMBDA, name, _unit(name), each)
                self._points.at(scope, key, minute).add_all(values)

    def _usage_series(self, scope: Scope, dimensions: Dimensions) -> list[tuple[str, ...]]:
        """The series of usage that a set of AWS/Lambda's dimensions takes together."""
        given = dict(dimensions)
        if not set(given) <= set(_USAGE_DIMENSIONS):
            return []
        return [
            key
            for key, _ in self._usage.series(scope)
            if all(
                given.get(name, key[place]) == key[place]
                for place, name in enumerate(_USAGE_DIMENSIONS)
            )
        ]

    def _take_embedded(self, scope: Scope, at_ms: int, output: bytes) -> None:
        """Take the metrics of the embedded metric format; what is not of its form is passed by."""
        if b'"_aws"' not in output:
            return
        taken = 0
        for line in output.split(b"\n"):
            if b'"_aws"' not in line:
                continue
            taken += 1
            if taken > EMBEDDED_LINES_MAX:
                return
            for namespace, name, unit, dimensions, moment, values in parse_embedded(line, at_ms):
                self._add(scope, _key(namespace, name, unit, dimensions), moment, values)

    def _now(self) -> datetime:
        return self._clock.now()


def parse_embedded(
    line: bytes, at_ms: int
) -> Iterator[tuple[str, str, str, Dimensions, datetime, Distribution]]:
    """The metrics of one line in the embedded metric format.

    AWS: CloudWatch embedded metric format specification.
    """
    try:
        document = msgspec.json.decode(line)
        described = document["_aws"]
        moment = datetime.fromtimestamp(described.get("Timestamp", at_ms) / 1000).astimezone()
        for directive in described["CloudWatchMetrics"]:
            sets = [
                tuple(sorted((str(name), str(document[name])) for name in names))
                for names in directive.get("Dimensions") or [[]]
                if len(names) <= DIMENSIONS_MAX and all(name in document for name in names)
            ]
            for metric in directive["Metrics"][:EMBEDDED_METRICS_MAX]:
                values = _embedded_values(document.get(metric["Name"]))
                if values is None:
                    continue
                unit = str(metric.get("Unit", "None"))
                for dimensions in sets:
                    namespace, name = str(directive["Namespace"]), str(metric["Name"])
                    yield namespace, name, unit, dimensions, moment, values
    except (
        *(msgspec.DecodeError, RecursionError, UnicodeDecodeError),
        *(KeyError, TypeError, AttributeError, ValueError, OverflowError, OSError),
    ):
        return


def _embedded_values(value: Any) -> Distribution | None:
    given = value if isinstance(value, list) else [value]
    if not given or any(
        isinstance(each, bool) or not isinstance(each, int | float) for each in given
    ):
        return None
    values = Distribution()
    values.add_all([float(each) for each in given])
    return values


def _repeated(ones: int, count: int) -> Distribution:
    """So many ones among so many values, the rest of them noughts."""
    made = Distribution()
    if ones:
        made.add(1.0, ones)
    if count > ones:
        made.add(0.0, count - ones)
    return made


def _usage_dimensions(key: tuple[str, ...]) -> list[Dimensions]:
    """AWS: by function, by what was called, by version where that may be several, and all."""
    function, resource, version = key[:3]
    by_function = (("FunctionName", function),)
    by_resource = (*by_function, ("Resource", resource))
    sets: list[Dimensions] = [(), by_function, by_resource]
    qualifier = resource.partition(":")[2]
    if qualifier and not qualifier.isdigit() and qualifier != "$LATEST":
        sets.append((("ExecutedVersion", version), *by_resource))
    return sets


def _key(namespace: str, name: str, unit: str, dimensions: Dimensions) -> tuple[str, ...]:
    parts = (namespace, name, unit, *(part for pair in dimensions for part in pair))
    return tuple(part.replace(SEPARATOR, " ") for part in parts)


def _dimensions(key: tuple[str, ...]) -> Dimensions:
    return tuple(zip(key[3::2], key[4::2], strict=True))


def _unit(name: str) -> str:
    """The unit of one of Lambda's own metrics."""
    return "Milliseconds" if name in _MILLISECONDS else "Count"


def _minute(at: datetime) -> int:
    return int(at.timestamp() // 60)


def _minute_end(at: datetime) -> int:
    return int(-(-at.timestamp() // 60))
