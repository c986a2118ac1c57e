"""Series of one value for each minute, in SQLite: the minutes at work in memory, the rest on disk.

Left to others: what a value is, and when it is written (`telemetry` flushes).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

import msgspec

from lamington.core.aws import Scope
from lamington.core.store import SEPARATOR, Store

Point = TypeVar("Point")

OPEN_MINUTES = 3
"""Values of minutes older than so many leave the memory when they are written."""

SERIES_MAX = 20_000
"""AWS has no bound; here a name made of a random value must not fill the disk."""


class MinuteTable(Generic[Point]):
    """Values by series and minute; a series is named by texts, under an account and a region."""

    def __init__(self, store: Store, name: str, point_type: type[Point]) -> None:
        """`point_type` is made without arguments, and changed in place."""
        self._database = store.database
        self._name = name
        self._make: Callable[[], Point] = point_type
        self._decoder = msgspec.msgpack.Decoder(point_type)
        self._encoder = msgspec.msgpack.Encoder()
        self._series: dict[tuple[Scope, tuple[str, ...]], int] = {}
        self._open: dict[tuple[int, int], Point] = {}
        self._dirty: set[tuple[int, int]] = set()
        self._database.execute(
            f"CREATE TABLE IF NOT EXISTS {name}_series (id INTEGER PRIMARY KEY, account TEXT NOT"
            " NULL, region TEXT NOT NULL, key TEXT NOT NULL, last_minute INTEGER NOT NULL,"
            " UNIQUE (account, region, key))"
        )
        self._database.execute(
            f"CREATE TABLE IF NOT EXISTS {name}_points (series INTEGER NOT NULL, minute INTEGER"
            " NOT NULL, body BLOB NOT NULL, PRIMARY KEY (series, minute)) WITHOUT ROWID"
        )

        self._series_count = self._count_series()

    def at(self, scope: Scope, key: tuple[str, ...], minute: int) -> Point:
        """The value of a series' minute, to be changed; `write` keeps it.

        Of more series than the table takes the last ones share one value that nobody reads.
        """
        place = (self._require_series(scope, key, minute), minute)
        self._dirty.add(place)
        point = self._open.get(place)
        if point is None:
            found = self._database.execute(
                f"SELECT body FROM {self._name}_points WHERE series=? AND minute=?", place
            ).fetchone()
            point = self._make() if found is None else self._decoder.decode(found[0])
            self._open[place] = point
        return point

    @property
    def changed(self) -> bool:
        """Whether a value waits for `write`."""
        return bool(self._dirty)

    def write(self) -> None:
        """Write what has been changed; in the transaction of the caller."""
        if not self._dirty:
            return
        encode = self._encoder.encode
        self._database.executemany(
            f"INSERT OR REPLACE INTO {self._name}_points VALUES (?, ?, ?)",
            [(*place, encode(self._open[place])) for place in self._dirty],
        )
        self._database.executemany(
            f"UPDATE {self._name}_series SET last_minute=?2 WHERE id=?1 AND last_minute<?2",
            list(self._dirty),
        )
        self._dirty.clear()
        if len(self._open) > 64:
            newest = max(minute for _, minute in self._open)
            for place in [each for each in self._open if each[1] < newest - OPEN_MINUTES]:
                del self._open[place]

    def scopes(self) -> list[Scope]:
        """Every account and region that has series, in order."""
        return [
            Scope(account_id=account, region=region)
            for account, region in self._database.execute(
                f"SELECT DISTINCT account, region FROM {self._name}_series ORDER BY 1, 2"
            ).fetchall()
        ]

    def series(
        self, scope: Scope, prefix: tuple[str, ...] = ()
    ) -> list[tuple[tuple[str, ...], int]]:
        """The keys that begin with these parts, in order, each with its last minute."""
        start = SEPARATOR.join((*prefix, ""))
        return [
            (tuple(key.split(SEPARATOR)), last)
            for key, last in self._database.execute(
                f"SELECT key, last_minute FROM {self._name}_series WHERE account=? AND region=?"
                " AND substr(key || ?, 1, ?)=? ORDER BY key",
                (scope.account_id, scope.region, SEPARATOR, len(start), start),
            ).fetchall()
        ]

    def read(
        self, scope: Scope, keys: Iterable[tuple[str, ...]], first: int, end: int
    ) -> Iterator[tuple[tuple[str, ...], int, Point]]:
        """The written values of these series from the minute `first` to before `end`."""
        for key in keys:
            series = self._series_id(scope, key)
            if series is None:
                continue
            for minute, body in self._database.execute(
                f"SELECT minute, body FROM {self._name}_points WHERE series=? AND minute>=?"
                " AND minute<? ORDER BY minute",
                (series, first, end),
            ).fetchall():
                yield key, minute, self._decoder.decode(body)

    def prune(self, first: int) -> None:
        """Forget the minutes before `first`, and the series that have none left."""
        self._database.execute(
            f"DELETE FROM {self._name}_points WHERE series IN (SELECT id FROM"
            f" {self._name}_series UNION SELECT 0) AND minute<?",
            (first,),
        )
        self._database.execute(f"DELETE FROM {self._name}_series WHERE last_minute<?", (first,))
        self._series.clear()
        self._open.clear()
        self._series_count = self._count_series()

    def _count_series(self) -> int:
        found = self._database.execute(f"SELECT count(*) FROM {self._name}_series").fetchone()
        return int(found[0])

    def _require_series(self, scope: Scope, key: tuple[str, ...], minute: int) -> int:
        series = self._series_id(scope, key)
        if series is not None:
            return series
        if self._series_count >= SERIES_MAX:
            return 0
        self._series_count += 1
        self._database.execute(
            f"INSERT INTO {self._name}_series (account, region, key, last_minute)"
            " VALUES (?, ?, ?, ?)",
            (scope.account_id, scope.region, SEPARATOR.join(key), minute),
        )
        series = self._series_id(scope, key)
        assert series is not None, "it was written just now"
        return series

    def _series_id(self, scope: Scope, key: tuple[str, ...]) -> int | None:
        known = self._series.get((scope, key))
        if known is not None:
            return known
        found = self._database.execute(
            f"SELECT id FROM {self._name}_series WHERE account=? AND region=? AND key=?",
            (scope.account_id, scope.region, SEPARATOR.join(key)),
        ).fetchone()
        if found is None:
            return None
        self._series[(scope, key)] = int(found[0])
        return int(found[0])
