"""Periods of quotas, and counters that go from one to the next."""

from datetime import UTC, date, datetime

import pytest

from lamington.core.clock import ManualClock
from lamington.gateway.entities import Quota
from lamington.gateway.quotas import UsageCounter, period_start

DAY_S = 86_400
TUESDAY = date(2026, 3, 3)


@pytest.mark.parametrize(
    ("period", "offset", "day", "start"),
    [
        ("DAY", 0, TUESDAY, TUESDAY),
        ("WEEK", 0, TUESDAY, date(2026, 3, 1)),
        ("WEEK", 0, date(2026, 3, 1), date(2026, 3, 1)),
        ("WEEK", 1, TUESDAY, date(2026, 3, 2)),
        ("WEEK", 3, TUESDAY, date(2026, 2, 25)),
        ("MONTH", 0, TUESDAY, date(2026, 3, 1)),
        ("MONTH", 2, TUESDAY, TUESDAY),
        ("MONTH", 27, TUESDAY, date(2026, 2, 28)),
        ("MONTH", 27, date(2026, 1, 5), date(2025, 12, 28)),
    ],
)
def test_day_falls_into_its_period(period: str, offset: int, day: date, start: date) -> None:
    assert period_start(Quota(limit=1, offset=offset, period=period), day) == start


def counter(clock: ManualClock, quota: Quota | None) -> UsageCounter:
    made = UsageCounter(clock, on_change=lambda it: None, on_turn=lambda it: None)
    made.limit_to(quota, 0)
    return made


def taken(count: UsageCounter, tries: int = 100) -> int:
    return sum(count.take() for _ in range(tries))


async def test_quota_of_a_day_begins_anew_at_midnight_utc() -> None:
    clock = ManualClock(datetime(2026, 3, 3, 23, 59, 59, tzinfo=UTC))
    count = counter(clock, Quota(limit=3, period="DAY"))
    assert taken(count) == 3
    await clock.advance(0.9)
    assert taken(count) == 0
    await clock.advance(0.2)
    assert taken(count) == 3


async def test_quota_of_a_week_outlives_midnight_and_counts_each_day_apart() -> None:
    clock = ManualClock(datetime(2026, 3, 3, 12, tzinfo=UTC))
    count = counter(clock, Quota(limit=5, period="WEEK"))
    assert taken(count, 2) == 2
    await clock.advance(DAY_S)
    assert taken(count) == 3
    assert count.used == 3
    await clock.advance(4 * DAY_S)
    assert taken(count) == 5


def test_greater_limit_gives_what_it_is_greater_by() -> None:
    count = counter(ManualClock(), Quota(limit=3, period="DAY"))
    assert taken(count) == 3
    count.change_quota(Quota(limit=5, period="DAY"), 3)
    assert taken(count) == 2


def test_smaller_limit_takes_nothing_back_below_what_was_used() -> None:
    count = counter(ManualClock(), Quota(limit=10, period="DAY"))
    assert taken(count, 8) == 8
    count.change_quota(Quota(limit=5, period="DAY"), 8)
    assert taken(count) == 0


def test_quota_that_is_taken_away_limits_nobody() -> None:
    count = counter(ManualClock(), Quota(limit=1, period="DAY"))
    assert taken(count) == 1
    count.change_quota(None, 1)
    assert taken(count) == 100


async def test_day_that_ends_is_told_with_what_was_used() -> None:
    clock = ManualClock(datetime(2026, 3, 3, 12, tzinfo=UTC))
    told: list[tuple[date, int]] = []
    count = UsageCounter(
        clock, on_change=lambda it: None, on_turn=lambda it: told.append((it.day, it.used))
    )
    taken(count, 7)
    await clock.advance(DAY_S)
    count.take()
    assert told == [(TUESDAY, 7)]
