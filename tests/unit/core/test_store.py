"""What lasts: rows and blobs."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lamington.core.aws import Scope
from lamington.core.errors import UsageError
from lamington.core.store import Store, Table

HERE = Scope()
ELSEWHERE = Scope(region="eu-west-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cake:
    bakery: str
    name: str
    price: int = 0
    baked: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    tags: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def cakes_of(store: Store) -> Table[Cake]:
    return Table(store, "cakes", Cake, lambda cake: (cake.bakery, cake.name))


def names(rows: list[Cake]) -> list[str]:
    return [row.name for row in rows]


def test_a_row_comes_back_as_it_was_put(store: Store) -> None:
    cake = Cake(bakery="b", name="é\u20ac", price=3, tags={"a": "b"})
    cakes_of(store).put(HERE, cake)
    assert cakes_of(store).get(HERE, "b", "é\u20ac") == cake


def test_a_row_lives_in_its_account_and_region_only(store: Store) -> None:
    cakes = cakes_of(store)
    cakes.put(HERE, Cake(bakery="b", name="a"))
    assert cakes.get(ELSEWHERE, "b", "a") is None
    assert cakes.get(Scope(account_id="1" * 12), "b", "a") is None
    assert list(cakes.everywhere()) == [(HERE, Cake(bakery="b", name="a"))]


def test_putting_again_replaces(store: Store) -> None:
    cakes = cakes_of(store)
    for price in (1, 2):
        cakes.put(HERE, Cake(bakery="b", name="a", price=price))
    assert cakes.all(HERE) == [Cake(bakery="b", name="a", price=2)]


def test_a_deleted_row_is_gone_and_deleting_again_is_nothing(store: Store) -> None:
    cakes = cakes_of(store)
    cakes.put(HERE, Cake(bakery="b", name="a"))
    for _ in range(2):
        cakes.delete(HERE, "b", "a")
    assert cakes.get(HERE, "b", "a") is None


def test_pages_follow_each_other_without_gap_or_overlap(store: Store) -> None:
    cakes = cakes_of(store)
    for number in range(7):
        cakes.put(HERE, Cake(bakery="b", name=f"{number}"))
    seen: list[str] = []
    marker = None
    while True:
        page = cakes.page(HERE, "b", marker=marker, limit=3)
        seen += names(page.rows)
        marker = page.marker
        if marker is None:
            break
    assert seen == [f"{number}" for number in range(7)]


def test_the_last_full_page_has_no_marker(store: Store) -> None:
    cakes = cakes_of(store)
    for number in range(3):
        cakes.put(HERE, Cake(bakery="b", name=f"{number}"))
    assert cakes.page(HERE, marker=None, limit=3).marker is None


def test_a_prefix_is_a_whole_part_of_the_key(store: Store) -> None:
    cakes = cakes_of(store)
    for bakery in ("b", "bb", "a"):
        cakes.put(HERE, Cake(bakery=bakery, name="x"))
    assert [row.bakery for row in cakes.all(HERE, "b")] == ["b"]
    assert [row.bakery for row in cakes.all(HERE)] == ["a", "b", "bb"]


def test_a_transaction_writes_all_or_nothing(store: Store) -> None:
    cakes = cakes_of(store)
    with contextlib.suppress(ZeroDivisionError), store.transaction():
        cakes.put(HERE, Cake(bakery="b", name="a"))
        raise ZeroDivisionError
    assert cakes.all(HERE) == []
    with store.transaction():
        cakes.put(HERE, Cake(bakery="b", name="a"))
        cakes.put(HERE, Cake(bakery="b", name="b"))
    assert names(cakes.all(HERE)) == ["a", "b"]


def test_an_inner_block_that_fails_takes_only_its_own_writes_back(store: Store) -> None:
    cakes = cakes_of(store)
    with store.transaction():
        cakes.put(HERE, Cake(bakery="b", name="outer"))
        with contextlib.suppress(ZeroDivisionError), store.transaction():
            cakes.put(HERE, Cake(bakery="b", name="inner"))
            raise ZeroDivisionError
        with store.transaction():
            cakes.put(HERE, Cake(bakery="b", name="second"))
    assert names(cakes.all(HERE)) == ["outer", "second"]


def test_an_outer_block_that_fails_takes_the_inner_ones_back(store: Store) -> None:
    cakes = cakes_of(store)
    with contextlib.suppress(ZeroDivisionError), store.transaction():
        with store.transaction():
            cakes.put(HERE, Cake(bakery="b", name="inner"))
        raise ZeroDivisionError
    assert cakes.all(HERE) == []


def test_rows_and_blobs_are_there_after_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path)
    cakes_of(first).put(HERE, Cake(bakery="b", name="a"))
    blob = first.blobs.put(b"content")
    first.close()
    second = Store(tmp_path)
    assert names(cakes_of(second).all(HERE)) == ["a"]
    assert second.blobs.get(blob) == b"content"
    second.close()


def test_a_row_of_an_older_engine_has_the_defaults_of_what_it_lacks(store: Store) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class OldCake:
        bakery: str
        name: str
        dropped: str = "x"

    Table(store, "cakes", OldCake, lambda cake: (cake.bakery, cake.name)).put(
        HERE, OldCake(bakery="b", name="a")
    )
    assert cakes_of(store).get(HERE, "b", "a") == Cake(bakery="b", name="a")


def test_a_directory_has_one_engine_at_a_time(store: Store) -> None:
    with pytest.raises(UsageError, match="another engine is using"):
        Store(store.directory)


def test_a_place_that_cannot_hold_state_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="the state cannot be kept in") as refused:
        Store(tmp_path / "file" / "state")
    assert "--data" in refused.value.hint


def test_a_database_of_another_making_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "engine.db").write_bytes(b"not a database at all, but a text" * 100)
    with pytest.raises(UsageError, match="is not a database of Lamington"):
        Store(tmp_path)
    assert (tmp_path / "engine.db").read_bytes().startswith(b"not a database")


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "engine.db") as other:
        other.execute("CREATE TABLE cakes (name TEXT)")
    other.close()
    before = (tmp_path / "engine.db").read_bytes()
    for _ in range(2):
        with pytest.raises(UsageError, match="holds tables of another program"):
            Store(tmp_path)
    assert (tmp_path / "engine.db").read_bytes() == before


def test_a_database_of_a_later_lamington_is_refused(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path)) as store:
        store.database.execute("PRAGMA user_version=99")
    with pytest.raises(UsageError, match="was written by a later Lamington"):
        Store(tmp_path)


def test_a_damaged_database_is_told_in_words(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path)) as store:
        cakes = cakes_of(store)
        for number in range(500):
            cakes.put(HERE, Cake(bakery="b", name=str(number)))
    path = tmp_path / "engine.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    damaged = pytest.raises(UsageError, match="the state is damaged")
    with contextlib.closing(Store(tmp_path)) as store, damaged:
        list(cakes_of(store).everywhere())


def test_rows_of_another_form_are_told_in_words(store: Store) -> None:
    cakes_of(store).put(HERE, Cake(bakery="b", name="a"))
    store.database.execute("UPDATE cakes SET row = '{}'")
    with pytest.raises(UsageError, match="the state is damaged: `cakes`"):
        list(cakes_of(store).everywhere())


def test_blobs_that_nothing_refers_to_and_half_written_ones_go(store: Store) -> None:
    kept = store.blobs.put(b"cake")
    store.blobs.put(b"bun")
    store.blobs.path("half.1-2.partial").write_bytes(b"b")
    store.blobs.keep_only(frozenset({kept}))
    assert [path.name for path in store.blobs.path("").iterdir()] == [kept]


def test_a_blob_is_named_by_its_content_and_written_once(store: Store) -> None:
    name = store.blobs.put(b"cake")
    written = os.stat(store.blobs.path(name)).st_mtime_ns
    assert store.blobs.put(b"cake") == name
    assert len(name) == 64
    assert os.stat(store.blobs.path(name)).st_mtime_ns == written
    assert [path.name for path in store.blobs.path("").iterdir()] == [name]


def test_checkpoint_moves_the_log_into_the_database(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table = Table(store, "cakes", Cake, lambda row: (row.bakery, row.name))
    for number in range(200):
        table.put(HERE, Cake(bakery="b", name=f"{number:0200d}"))
    database = tmp_path / "engine.db"
    assert store.log_bytes > 100_000, "nothing checkpoints by itself"
    before = database.stat().st_size
    store.checkpoint()
    assert database.stat().st_size > before
    assert len(table.all(HERE)) == 200
    store.close()
