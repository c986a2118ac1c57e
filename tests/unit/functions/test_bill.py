from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lamington.core.aws import Scope
from lamington.core.errors import UsageError
from lamington.functions.bill import (
    Bill,
    duration_price,
    load_prices,
    parse_bill_query,
    render_bill,
)
from metrics_world import NOON, SCOPE, MetricsWorld, invoke, metrics_world

PRICES = load_prices()
GB_S = 0.0000166667


def bill(world: MetricsWorld, start: datetime | None = None, hours: float = 1) -> Bill:
    end = NOON + timedelta(hours=hours)
    used = world.metrics.usage(start or NOON - timedelta(days=1), end)
    return render_bill(used, PRICES, start, end)


async def test_function_is_charged_for_requests_and_gigabyte_seconds(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        log = world.environment(memory_size_mb=2048)
        invoke(log, 400.0, init_ms=100.0)
        invoke(log, 500.0, function_error="Unhandled")
        made = bill(world)
    [line] = made.lines
    assert (line.requests, line.errors, line.cold_starts) == (2, 1, 1)
    assert (line.init_ms, line.billed_ms) == (100.0, 1000)
    assert line.gb_seconds == pytest.approx(2.0)
    assert line.charges.duration == pytest.approx(2.0 * GB_S)
    assert line.charges.requests == pytest.approx(2 * 0.20 / 1_000_000)
    assert made.total.charges == line.charges
    assert made.to_pay == 0.0
    assert made.free_requests == 2
    assert made.free_gb_seconds == pytest.approx(2.0)


async def test_billed_duration_is_the_sum_of_what_reports_say(tmp_path: Path) -> None:
    durations = [0.004, 0.994, 1.0, 1.001, 1.004, 1.006, 2.995, 10.0, 33.334, 3000.0]
    with metrics_world(tmp_path) as world:
        log = world.environment()
        for duration_ms in durations:
            invoke(log, duration_ms)
        made = bill(world)
        reports = [
            event.message
            for event in world.logs.read_events(SCOPE, "/aws/lambda/f").events
            if event.message.startswith("REPORT")
        ]
    said = [int(text.partition("Billed Duration: ")[2].partition(" ms")[0]) for text in reports]
    assert made.total.billed_ms == sum(said)


async def test_arm_provisioned_and_storage_have_their_prices(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        arm = {"architectures": ("arm64",), "memory_size_mb": 1024}
        invoke(world.environment("arm", **arm), 1000.0)
        warm = world.environment("warm", version="1", memory_size_mb=1024)
        invoke(warm, 1000.0, init_type="provisioned-concurrency", init_ms=500.0)
        stored = world.environment("stored", ephemeral_storage_mb=512 + 1024, memory_size_mb=1024)
        invoke(stored, 1000.0)
        lines = {line.function_name: line for line in bill(world).lines}
    assert lines["arm"].charges.duration == pytest.approx(0.0000133334)
    assert lines["warm"].charges.duration == 0.0
    assert lines["warm"].charges.provisioned == pytest.approx(0.0000097222)
    assert lines["warm"].billed_ms == 1000
    assert lines["stored"].charges.ephemeral_storage == pytest.approx(0.0000000309)


async def test_month_is_the_span_many_times_less_the_free_tier(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        log = world.environment(memory_size_mb=10_240)
        for _ in range(100):
            invoke(log, 60_000.0)
        made = bill(world, start=NOON, hours=1)
    gb_seconds = 100 * 60 * 10 * 720
    requests = 100 * 720
    assert made.month_charges == pytest.approx(
        gb_seconds * GB_S + requests * 0.20 / 1_000_000, rel=1e-6
    )
    assert made.month_to_pay == pytest.approx((gb_seconds - 400_000) * GB_S, rel=1e-6)


def test_price_falls_by_tiers() -> None:
    table = {"tiers": [10, 20], "prices": [3.0, 2.0, 1.0]}
    assert duration_price(5, table) == 15.0
    assert duration_price(15, table) == 40.0
    assert duration_price(25, table) == 55.0


async def test_bill_begins_with_the_first_use_unless_told(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        assert bill(world).lines == ()
        invoke(world.environment())
        assert bill(world).start == NOON
        document: dict[str, Any] = bill(world).document()
    assert document["from"] == "2026-01-02T12:00:00+00:00"
    assert document["functions"][0]["function"] == "f"
    assert document["prices"]["region"] == "us-east-1"


def test_span_is_read_in_iso_8601() -> None:
    start, end = parse_bill_query({"from": "2026-01-02T03:00:00+01:00"}, NOON)
    assert (start, end) == (datetime(2026, 1, 2, 2, tzinfo=UTC), NOON)
    assert parse_bill_query({}, NOON) == (None, NOON)
    for query in ({"from": "yesterday"}, {"from": "2027-01-01", "to": "2026-01-01"}):
        with pytest.raises(UsageError):
            parse_bill_query(query, NOON)


async def test_regions_are_told_apart_where_there_are_several(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        invoke(world.environment())
        version = world.environment()
        version.scope = Scope(account_id="111111111111", region="eu-west-1")
        invoke(version)
        names = [line.function_name for line in bill(world).lines]
    assert names == ["111111111111/eu-west-1/f", "111111111111/us-east-1/f"]
