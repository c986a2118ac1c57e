"""The only source of time, and of what AWS makes at random."""

import asyncio
import uuid
from datetime import UTC, timedelta

from lamington.core.clock import Ids, ManualClock, SystemClock


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock = ManualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    tasks = [asyncio.create_task(sleeper(*each)) for each in (("b", 2.0), ("a", 1.0), ("c", 9.0))]
    await clock.advance(5)
    assert woken == [("a", 1.0), ("b", 2.0)]
    assert clock.monotonic() == 5
    await clock.advance(4)
    assert woken[2:] == [("c", 9.0)]
    await asyncio.gather(*tasks)


async def test_a_sleeper_that_sleeps_again_is_woken_again() -> None:
    clock = ManualClock()
    rounds: list[float] = []

    async def ticker() -> None:
        while True:
            await clock.sleep(1)
            rounds.append(clock.monotonic())

    task = asyncio.create_task(ticker())
    await clock.advance(3.5)
    task.cancel()
    assert rounds == [1, 2, 3]


async def test_a_cancelled_sleeper_disturbs_nobody() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    task.cancel()
    await clock.advance(2)
    assert task.cancelled()


async def test_no_time_is_no_sleep() -> None:
    async with asyncio.timeout(1):
        await ManualClock().sleep(0)


async def test_the_day_moves_with_the_clock() -> None:
    clock = ManualClock()
    before = clock.now()
    await clock.advance(90)
    assert clock.now() - before == timedelta(seconds=90)


def test_the_system_s_time_is_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


def test_request_ids_are_uuids_in_form_and_never_the_same() -> None:
    ids = Ids()
    made = [ids.request_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(str(uuid.UUID(each)) == each for each in made)


def test_tokens_have_the_length_and_letters_asked_for() -> None:
    ids = Ids()
    assert set(ids.token(50, "ab")) <= {"a", "b"}
    assert len(ids.token(10)) == 10
    assert len(ids.hexadecimal(7)) == 7
    int(ids.hexadecimal(7), 16)
