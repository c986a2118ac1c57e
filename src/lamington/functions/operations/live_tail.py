"""Live Tail: log events as they are written, over a stream that lasts as its client does.

Left to others: event streams on the wire, and the end of the iteration when a client leaves.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.core.errors import AwsError
from lamington.functions.log_store import LogEvent, LogStore
from lamington.functions.operations.filter_pattern import (
    InvalidParameterException,
    Predicate,
    compile_pattern,
)
from lamington.functions.operations.logs import ResourceNotFoundException, group_name_of

GROUPS_MAX = 10
STREAMS_MAX = 100
EVENTS_PER_UPDATE_MAX = 500
SCANNED_PER_UPDATE_MAX = 20_000
"""Events looked at for one update: a flood must not hold up those who invoke."""
PAUSE_S = 1.0
SESSION_LIMIT_S = 3 * 3600


class LiveTailOperations:
    """Sessions of Live Tail."""

    def __init__(self, logs: LogStore, clock: Clock, ids: Ids) -> None:
        self._logs = logs
        self._clock = clock
        self._ids = ids

    def operations(self) -> dict[str, Operation]:
        return {"logs:StartLiveTail": self.start_live_tail}

    async def start_live_tail(self, params: Params, scope: Scope) -> Result:
        """Begin a session; the stream has its start, then an update each second.

        AWS: StartLiveTail; an update holds 500 events at most, and says so where it left some
        out; a session ends after three hours.
        """
        identifiers: Sequence[str] = params["logGroupIdentifiers"]
        if not 1 <= len(identifiers) <= GROUPS_MAX:
            raise InvalidParameterException(
                f"logGroupIdentifiers must hold 1 to {GROUPS_MAX} log groups."
            )
        names: Sequence[str] = params.get("logStreamNames") or ()
        prefixes: Sequence[str] = params.get("logStreamNamePrefixes") or ()
        if names and prefixes:
            raise InvalidParameterException(
                "logStreamNames and logStreamNamePrefixes are mutually exclusive parameters."
            )
        if (names or prefixes) and len(identifiers) > 1:
            raise InvalidParameterException(
                "logStreamNames and logStreamNamePrefixes can be given with one log group only."
            )
        if max(len(names), len(prefixes)) > STREAMS_MAX:
            raise InvalidParameterException(f"At most {STREAMS_MAX} log streams can be named.")
        groups = [group_name_of(each) for each in identifiers]
        known = {each.name for each in self._logs.groups(scope)}
        if not set(groups) <= known:
            raise ResourceNotFoundException("The specified log group does not exist.")
        pattern = params.get("logEventFilterPattern") or ""
        session = _Session(
            logs=self._logs,
            scope=scope,
            groups=groups,
            takes_stream=_stream_filter(names, prefixes),
            matches=compile_pattern(pattern) if pattern else None,
        )
        start = {
            "requestId": self._ids.uuid(),
            "sessionId": self._ids.uuid(),
            "logGroupIdentifiers": list(identifiers),
            "logStreamNames": list(names),
            "logStreamNamePrefixes": list(prefixes),
            "logEventFilterPattern": pattern,
        }
        return {"responseStream": self._stream(session, start)}

    async def _stream(
        self, session: "_Session", start: dict[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        yield {"sessionStart": start}
        began = self._clock.monotonic()
        while self._clock.monotonic() - began < SESSION_LIMIT_S:
            await self._clock.sleep(PAUSE_S)
            events, sampled = session.take()
            yield {
                "sessionUpdate": {
                    "sessionMetadata": {"sampled": sampled},
                    "sessionResults": events,
                }
            }
        raise SessionTimeoutException("The Live Tail session has been open for three hours.")


class SessionTimeoutException(AwsError):
    """Three hours are over."""

    status = 400


class _Session:
    """What one client follows, and how far it has come in each group."""

    def __init__(
        self,
        *,
        logs: LogStore,
        scope: Scope,
        groups: Sequence[str],
        takes_stream: Callable[[str], bool],
        matches: Predicate | None,
    ) -> None:
        self._logs = logs
        self._scope = scope
        self._takes_stream = takes_stream
        self._matches = matches
        self._reached = {group: logs.newest_chunk(scope, group) for group in groups}

    def take(self) -> tuple[list[dict[str, Any]], bool]:
        """The events written since the last time, and whether some were left out."""
        taken: list[tuple[str, LogEvent]] = []
        scanned = 0
        for group, reached in self._reached.items():
            self._reached[group] = self._logs.newest_chunk(self._scope, group)
            for _, event in self._logs.events_behind(
                self._scope, group, reached, self._takes_stream
            ):
                scanned += 1
                if self._matches is None or self._matches(event.message):
                    taken.append((group, event))
                if len(taken) > EVENTS_PER_UPDATE_MAX or scanned > SCANNED_PER_UPDATE_MAX:
                    return list(self._rendered(taken[:EVENTS_PER_UPDATE_MAX])), True
        taken.sort(key=lambda pair: pair[1].timestamp_ms)
        return list(self._rendered(taken)), False

    def _rendered(self, taken: Sequence[tuple[str, LogEvent]]) -> Iterator[dict[str, Any]]:
        for group, event in taken:
            yield {
                "logStreamName": event.stream_name,
                "logGroupIdentifier": f"{self._scope.account_id}:{group}",
                "message": event.message,
                "timestamp": event.timestamp_ms,
                "ingestionTime": event.ingestion_ms,
            }


def _stream_filter(names: Sequence[str], prefixes: Sequence[str]) -> Callable[[str], bool]:
    if names:
        chosen = frozenset(names)
        return lambda name: name in chosen
    if prefixes:
        return lambda name: name.startswith(tuple(prefixes))
    return lambda name: True
