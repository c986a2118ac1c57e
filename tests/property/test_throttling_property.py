"""A bucket under generated times and limits: never more than burst and rate allow, never less."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from lamington.core.clock import ManualClock
from lamington.gateway.throttling import TokenBucket

RATES = st.floats(min_value=0.1, max_value=20_000, allow_nan=False)
BURSTS = st.integers(min_value=1, max_value=5_000)
PAUSES = st.lists(st.floats(min_value=0, max_value=3, allow_nan=False), max_size=60)


@given(rate=RATES, burst=BURSTS, pauses=PAUSES)
@settings(deadline=None)
def test_bucket_passes_no_more_than_burst_and_rate(
    rate: float, burst: int, pauses: list[float]
) -> None:
    clock = ManualClock()
    bucket = TokenBucket(clock, rate, burst)

    async def run() -> None:
        passed = 0
        for pause in pauses:
            await clock.advance(pause)
            passed += sum(bucket.take() for _ in range(20))
            assert passed <= burst + rate * clock.monotonic() + 0.01

    asyncio.run(run())


@given(rate=RATES, burst=BURSTS)
@settings(deadline=None)
def test_full_bucket_passes_its_burst_and_not_one_more(rate: float, burst: int) -> None:
    bucket = TokenBucket(ManualClock(), rate, burst)
    assert sum(bucket.take() for _ in range(burst + 5)) == burst


@given(rate=RATES, burst=BURSTS, other_rate=RATES, other_burst=BURSTS)
@settings(deadline=None)
def test_changed_bucket_is_never_fuller_than_its_new_size(
    rate: float, burst: int, other_rate: float, other_burst: int
) -> None:
    bucket = TokenBucket(ManualClock(), rate, burst)
    for _ in range(3):
        bucket.take()
    bucket.change(other_rate, other_burst)
    assert sum(bucket.take() for _ in range(other_burst + 5)) <= other_burst


@given(rate=st.sampled_from([1.0, 10.0, 500.0]), burst=st.integers(1, 200))
@settings(deadline=None)
def test_steady_demand_above_the_rate_gets_the_rate(rate: float, burst: int) -> None:
    clock = ManualClock()
    bucket = TokenBucket(clock, rate, burst)

    async def run() -> int:
        passed = 0
        for _ in range(400):
            await clock.advance(0.5 / rate)
            passed += bucket.take()
        return passed

    passed = asyncio.run(run())
    allowed = burst + 200
    assert min(400, allowed) - 2 <= passed <= min(400, allowed)
