"""Accepted events on disk: each is committed when it is added, and there until it is deleted.

Left to others: when an event is run, and what comes of it (`queue`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from lamington.core.store import Store
from lamington.functions.destinations import Response

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS lambda_events (id INTEGER PRIMARY KEY, function_arn TEXT NOT NULL,"
    " request_id TEXT NOT NULL, trace_id TEXT NOT NULL, accepted_ms INTEGER NOT NULL,"
    " payload BLOB NOT NULL)",
    # Apart, since a row that changes is written whole, its payload too.
    "CREATE TABLE IF NOT EXISTS lambda_event_progress (id INTEGER PRIMARY KEY,"
    " due_ms INTEGER NOT NULL, progress BLOB NOT NULL, response BLOB)",
)
_INSERT = (
    "INSERT INTO lambda_events (function_arn, request_id, trace_id, accepted_ms, payload)"
    " VALUES (?, ?, ?, ?, ?)"
)
_UPDATE = (
    "INSERT INTO lambda_event_progress VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
    " due_ms=excluded.due_ms, progress=excluded.progress,"
    " response=coalesce(excluded.response, response)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedEvent:
    """One event, for one attempt; the same request id and trace root in all of them."""

    function_arn: str
    payload: bytes
    request_id: str
    trace_id: str


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an event has come.

    `failures` are function errors, `throttles` refusals in a row; `condition` is set once it is
    only the `targets` that are left, which have been tried `deliveries` times.
    """

    invocations: int = 0
    failures: int = 0
    throttles: int = 0
    condition: str = ""
    targets: tuple[tuple[str, str], ...] = ()
    deliveries: int = 0


UNTOUCHED = Progress()


class WaitingEvent:
    """An event in memory: all but what it holds."""

    __slots__ = ("accepted_ms", "function_arn", "id", "progress", "size")

    def __init__(
        self,
        id: int,
        function_arn: str,
        accepted_ms: int,
        size: int,
        progress: Progress = UNTOUCHED,
    ) -> None:
        self.id = id
        self.function_arn = function_arn
        self.accepted_ms = accepted_ms
        self.size = size
        self.progress = progress


class EventStore:
    """The rows of events. Raises sqlite3.OperationalError where the disk does not take them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = store.database
        self._progress_encoder = msgspec.json.Encoder()
        self._progress_decoder = msgspec.json.Decoder(Progress)
        self._response_encoder = msgspec.msgpack.Encoder()
        self._response_decoder = msgspec.msgpack.Decoder(Response)
        for statement in _SCHEMA:
            self._database.execute(statement)

    def totals(self) -> tuple[int, int, int]:
        """How many events there are, the bytes of their payloads, and the last one's id."""
        count, size, last = self._database.execute(
            "SELECT count(*), coalesce(sum(length(payload)), 0), coalesce(max(id), 0)"
            " FROM lambda_events"
        ).fetchone()
        return count, size, last

    def add(self, event: AcceptedEvent, accepted_ms: int) -> int:
        """Commit an event; its id."""
        written = self._database.execute(
            _INSERT,
            (event.function_arn, event.request_id, event.trace_id, accepted_ms, event.payload),
        )
        assert written.lastrowid is not None
        return written.lastrowid

    def waiting(self, last_id: int) -> Iterator[tuple[WaitingEvent, int | None]]:
        """The events up to an id in the order they came, each with when it is due if it is later.

        Payloads stay where they are.
        """
        names: dict[str, str] = {}
        for id, function_arn, accepted_ms, size, due_ms, progress in self._database.execute(
            "SELECT id, function_arn, accepted_ms, length(payload), due_ms, progress"
            " FROM lambda_events LEFT JOIN lambda_event_progress USING (id)"
            " WHERE id <= ? ORDER BY id",
            (last_id,),
        ):
            name = names.setdefault(function_arn, function_arn)
            event = WaitingEvent(id, name, accepted_ms, size)
            if progress is not None:
                event.progress = self._progress_decoder.decode(progress)
            yield event, due_ms

    def load(self, waiting: WaitingEvent) -> AcceptedEvent:
        request_id, trace_id, payload = self._database.execute(
            "SELECT request_id, trace_id, payload FROM lambda_events WHERE id=?", (waiting.id,)
        ).fetchone()
        return AcceptedEvent(
            function_arn=waiting.function_arn,
            payload=payload,
            request_id=request_id,
            trace_id=trace_id,
        )

    def load_response(self, waiting: WaitingEvent) -> Response | None:
        """What the last attempt came to."""
        found = self._database.execute(
            "SELECT response FROM lambda_event_progress WHERE id=?", (waiting.id,)
        ).fetchone()
        if found is None or found[0] is None:
            return None
        return self._response_decoder.decode(found[0])

    def write_progress(
        self, waiting: WaitingEvent, due_ms: int, response: Response | None = None
    ) -> None:
        """Commit how far an event has come; without a response the one before stays."""
        encoded = None if response is None else self._response_encoder.encode(response)
        progress = self._progress_encoder.encode(waiting.progress)
        self._database.execute(_UPDATE, (waiting.id, due_ms, progress, encoded))

    def delete(self, ids: Iterable[int]) -> None:
        """Delete events with all that there is of them, in one commit."""
        rows = [(id,) for id in ids]
        with self._store.transaction():
            self._database.executemany("DELETE FROM lambda_events WHERE id=?", rows)
            self._database.executemany("DELETE FROM lambda_event_progress WHERE id=?", rows)
