from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lamington.core.aws import Scope
from lamington.core.clock import ManualClock
from lamington.core.store import Store
from lamington.functions.log_entries import (
    INVOCATION,
    billed_duration,
    render_entry,
    split_output,
)
from lamington.functions.log_store import LogStore

SCOPE = Scope()
START_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[LogStore]:
    store = Store(tmp_path)
    made = LogStore(store, ManualClock(), 1 << 20)
    made.create_group(SCOPE, "g")
    for name in ("a", "b"):
        made.create_stream(SCOPE, "g", name)
    yield made
    store.close()


def messages(logs: LogStore, **selection: object) -> list[str]:
    page = logs.read_events(SCOPE, "g", **selection)  # type: ignore[arg-type]  # a test's choice
    return [event.message.rstrip("\n") for event in page.events]


def entry(init_ms: float = -1.0, status: str = "", output: bytes = b"") -> tuple[object, ...]:
    return (INVOCATION, START_MS, "id-1", 3.014, 36_000, init_ms, output, status)


def test_warm_invocation_is_start_end_and_report() -> None:
    lines = [text for _, text in render_entry(entry(output=b"hi\n"), ("$LATEST", 128, "Text"))]
    assert lines == [
        "START RequestId: id-1 Version: $LATEST\n",
        "hi\n",
        "END RequestId: id-1\n",
        "REPORT RequestId: id-1\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 36 MB\t\n",
    ]


def test_cold_invocation_reports_and_bills_the_init() -> None:
    report = [text for _, text in render_entry(entry(110.1), ("$LATEST", 128, "Text"))][-1]
    assert "\tBilled Duration: 114 ms\t" in report
    assert report.endswith("\tMax Memory Used: 36 MB\tInit Duration: 110.10 ms\t\n")


def test_platform_failure_ends_the_report() -> None:
    report = [text for _, text in render_entry(entry(status="timeout"), ("1", 128, "Text"))][-1]
    assert report.endswith("\tMax Memory Used: 36 MB\tStatus: timeout\n")


def test_json_format_has_start_and_report_only() -> None:
    lines = [text for _, text in render_entry(entry(), ("1", 128, "JSON"))]
    assert lines[0] == (
        '{"time":"2026-01-01T00:00:00.000Z","type":"platform.start",'
        '"record":{"requestId":"id-1","version":"1"}}\n'
    )
    assert len(lines) == 2


def test_init_counts_for_the_bill() -> None:
    assert billed_duration(5000.0, 578.07) == 5579


def test_lines_are_events_and_marked_breaks_are_not() -> None:
    assert list(split_output(b"a\n\nb\x1ec\nd")) == ["a\n", "\n", "b\nc\n", "d\n"]


def test_events_of_streams_are_read_in_order_of_time(logs: LogStore) -> None:
    logs.put_events(SCOPE, "g", "a", [(1, "a1"), (5, "a5")])
    logs.put_events(SCOPE, "g", "b", [(2, "b2"), (9, "b9")])
    logs.put_events(SCOPE, "g", "a", [(7, "a7")])
    assert messages(logs) == ["a1", "b2", "a5", "a7", "b9"]
    assert messages(logs, stream_names=["a"]) == ["a1", "a5", "a7"]
    assert messages(logs, stream_prefix="b") == ["b2", "b9"]
    assert messages(logs, start_ms=2, end_ms=9) == ["b2", "a5", "a7"]
    assert messages(logs, backwards=True, limit=2) == ["a7", "b9"]
    assert messages(logs, matches=lambda message: "a" in message, limit=2) == ["a1", "a5"]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_hold_every_event_once(logs: LogStore, backwards: bool, limit: int) -> None:
    for start in range(3):
        logs.put_events(SCOPE, "g", "a", [(start + n * 2, f"{start}-{n}") for n in range(4)])
    seen: list[str] = []
    token = ""
    while True:
        page = logs.read_events(SCOPE, "g", limit=limit, token=token, backwards=backwards)
        found = [event.message.rstrip("\n") for event in page.events]
        seen = found + seen if backwards else seen + found
        token = page.before if backwards else page.after
        if not page.more:
            break
    assert seen == messages(logs)
    assert len(seen) == 12


def test_token_goes_on_with_events_that_come_later(logs: LogStore) -> None:
    logs.put_events(SCOPE, "g", "a", [(1, "one")])
    page = logs.read_events(SCOPE, "g")
    logs.put_events(SCOPE, "g", "a", [(1, "two")])
    assert messages(logs, token=page.after) == ["two"]


def test_oldest_chunks_go_when_a_group_is_full(tmp_path: Path) -> None:
    store = Store(tmp_path)
    logs = LogStore(store, ManualClock(), bytes_max=2000)
    logs.create_group(SCOPE, "g")
    logs.create_stream(SCOPE, "g", "a")
    for at_ms in range(50):
        logs.put_events(SCOPE, "g", "a", [(at_ms, f"{at_ms} " + "x" * 100)])
    left = messages(logs)
    group = logs.group(SCOPE, "g")
    store.close()
    assert left[-1].startswith("49 ")
    assert 10 < len(left) < 20
    assert group is not None
    assert group.stored_bytes <= 2000


def test_deleted_group_takes_its_events_along(logs: LogStore) -> None:
    logs.put_events(SCOPE, "g", "a", [(1, "x")])
    assert logs.delete_group(SCOPE, "g")
    assert logs.group(SCOPE, "g") is None
    assert not logs.delete_group(SCOPE, "g")
    logs.create_group(SCOPE, "g")
    assert messages(logs) == []


def test_groups_are_apart_by_region(logs: LogStore) -> None:
    assert logs.groups(Scope(region="eu-west-1")) == []
    assert logs.create_group(Scope(region="eu-west-1"), "g")
