"""What lasts: typed rows in SQLite and content-addressed blobs beside it.

One database, one writer. A write outside `transaction` is committed before `put` returns;
inside, all writes of the block are committed together or not at all.
"""

import contextlib
import fcntl
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from lamington.core.aws import Scope
from lamington.core.errors import UsageError

Row = TypeVar("Row")

SEPARATOR = "\x1f"
"""Stands between the parts of a key; no AWS name may hold it."""

APPLICATION_ID = 0x6C616D69
"""Marks a SQLite file as ours: `lami`."""

FORMAT = 1
"""Goes up when rows change so that an older Lamington cannot read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Rows in the order of their keys, and the marker of the next page where there is one."""

    rows: list[Row]
    marker: str | None


class Store:
    """The engine's database and blobs under one directory, held by one process at a time."""

    def __init__(self, directory: Path) -> None:
        """Open or create; raises UsageError where the directory cannot be the engine's own."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(directory / "engine.lock")
        except OSError as error:
            raise UsageError(
                f"the state cannot be kept in `{directory}`: {error.strerror}",
                hint="give another directory with `--data`",
            ) from None
        self.directory = directory
        path = directory / "engine.db"
        try:
            self.database = _open(path)
            self.blobs = Blobs(directory / "blobs")
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, (sqlite3.DatabaseError, OSError)):
                raise _unusable(path, error) from None
            raise
        self._depth = 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block or none; the block must not await. Blocks may stand in blocks."""
        depth = self._depth
        self.database.execute(f"SAVEPOINT block{depth}" if depth else "BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
            self.database.execute(f"RELEASE block{depth}" if depth else "COMMIT")
        except BaseException:
            if self.database.in_transaction:  # A full disk ends it by itself.
                self.database.execute(f"ROLLBACK TO block{depth}" if depth else "ROLLBACK")
            raise
        finally:
            self._depth -= 1

    @property
    def log_bytes(self) -> int:
        """The size of the write-ahead log, which `checkpoint` moves into the database."""
        try:
            return os.stat(self.directory / "engine.db-wal").st_size
        except FileNotFoundError:
            return 0

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database, waiting for the disk: for another thread.

        A wait for the disk takes a second on a busy one, and the loop must not have it.
        """
        with contextlib.closing(sqlite3.connect(self.directory / "engine.db")) as database:
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        self.database.close()
        os.close(self._lock)


class Table(Generic[Row]):
    """Rows of one type, always under an account and a region; `key_of` gives a row's key parts."""

    def __init__(
        self, store: Store, name: str, row_type: type[Row], key_of: Callable[[Row], tuple[str, ...]]
    ) -> None:
        self._database = store.database
        self._name = name
        self._key_of = key_of
        self._decoder = msgspec.json.Decoder(row_type)
        self._encoder = msgspec.json.Encoder()
        with self._readable():
            self._database.execute(
                f'CREATE TABLE IF NOT EXISTS "{name}" (account TEXT, region TEXT, key TEXT,'
                " row BLOB NOT NULL, PRIMARY KEY (account, region, key)) WITHOUT ROWID"
            )

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Tell what is damaged on disk in words. Raises UsageError."""
        try:
            yield
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            # Its subclasses tell of full disks and the like.
            if isinstance(error, msgspec.DecodeError) or type(error) is sqlite3.DatabaseError:
                raise UsageError(
                    f"the state is damaged: `{self._name}` cannot be read: {error}",
                    hint="move the directory away, or give another one with `--data`",
                ) from error
            raise

    def get(self, scope: Scope, *key: str) -> Row | None:
        found = self._database.execute(
            f'SELECT row FROM "{self._name}" WHERE account=? AND region=? AND key=?',
            (scope.account_id, scope.region, SEPARATOR.join(key)),
        ).fetchone()
        return None if found is None else self._decoder.decode(found[0])

    def put(self, scope: Scope, row: Row) -> None:
        """Insert, or replace the row of the same key."""
        self._database.execute(
            f'INSERT OR REPLACE INTO "{self._name}" VALUES (?, ?, ?, ?)',
            (
                scope.account_id,
                scope.region,
                SEPARATOR.join(self._key_of(row)),
                self._encoder.encode(row),
            ),
        )

    def delete(self, scope: Scope, *key: str) -> None:
        """Delete the row of this key, if there is one."""
        self._database.execute(
            f'DELETE FROM "{self._name}" WHERE account=? AND region=? AND key=?',
            (scope.account_id, scope.region, SEPARATOR.join(key)),
        )

    def page(self, scope: Scope, *prefix: str, marker: str | None, limit: int) -> Page[Row]:
        """Rows whose key begins with the prefix's parts, after the marker, `limit` at most."""
        start = SEPARATOR.join((*prefix, ""))
        found = self._database.execute(
            f'SELECT key, row FROM "{self._name}" WHERE account=? AND region=?'
            " AND key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?",
            (
                scope.account_id,
                scope.region,
                start,
                start + "\U0010ffff",
                marker or "",
                limit + 1,
            ),
        ).fetchall()
        with self._readable():
            rows = [self._decoder.decode(row) for _, row in found[:limit]]
        return Page(rows=rows, marker=found[limit - 1][0] if len(found) > limit else None)

    def all(self, scope: Scope, *prefix: str) -> list[Row]:
        """Every row whose key begins with the prefix's parts, in the order of the keys."""
        return self.page(scope, *prefix, marker=None, limit=2**31).rows

    def everywhere(self) -> Iterator[tuple[Scope, Row]]:
        """Every row of every account and region: what a start reads."""
        with self._readable():
            found = [
                (Scope(account_id=account, region=region), self._decoder.decode(row))
                for account, region, row in self._database.execute(
                    f'SELECT account, region, row FROM "{self._name}" ORDER BY account, region, key'
                )
            ]
        yield from found


class Blobs:
    """Bytes named by their SHA-256; written once, whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)

    def put(self, content: bytes) -> str:
        """Keep the bytes and return their name, 64 hexadecimal digits."""
        name = hashlib.sha256(content).hexdigest()
        path = self.path(name)
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
            partial.write_bytes(content)
            partial.rename(path)
        return name

    def keep_only(self, names: frozenset[str]) -> None:
        """Remove what nothing refers to, and what a kill left half-written."""
        for each in self._directory.iterdir():
            if each.name not in names:
                each.unlink()

    def path(self, name: str) -> Path:
        return self._directory / name

    def get(self, name: str) -> bytes:
        return self.path(name).read_bytes()


def _open(path: Path) -> sqlite3.Connection:
    """Open our database or make it. Raises UsageError for another program's or a later one."""
    database = sqlite3.connect(path, isolation_level=None)
    try:
        [mark], [written] = (
            database.execute(f"PRAGMA {name}").fetchone()
            for name in ("application_id", "user_version")
        )
        if mark != APPLICATION_ID:
            if database.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                raise _unusable(path, "it holds tables of another program")
            database.execute(f"PRAGMA application_id={APPLICATION_ID}")
            database.execute(f"PRAGMA user_version={FORMAT}")
        elif written > FORMAT:
            raise UsageError(
                f"`{path}` was written by a later Lamington",
                hint="use that one, or give another directory with `--data`",
            )
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA wal_autocheckpoint=0")  # `checkpoint` does it, off the loop
    except BaseException:
        database.close()
        raise
    return database


def _unusable(path: Path, reason: object) -> UsageError:
    return UsageError(
        f"`{path}` is not a database of Lamington: {reason}",
        hint="move it away, or give another directory with `--data`",
    )


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(
            f"another engine is using `{path.parent}`", hint="stop it, or give another `--data`"
        ) from None
    return descriptor
