"""The pool's decisions, over environments that end when the test says so."""

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from lamington.core.errors import AwsError
from lamington.functions.environment import State
from lamington.functions.link import InitFailure, Outcome, Request
from lamington.functions.pool import Capacity, Pool, PooledEnvironment


class TurnedTimers:
    """Timers and a time that a test turns by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    def call_later(self, delay: float, callback: Callable[[], object]) -> "TurnedTimers":
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, callback))
        return self

    def cancel(self) -> None:
        """Nothing is cancelled: a pool's callbacks bear being called once too often."""

    async def turn(self, seconds: float) -> None:
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            self.now, _, callback = heapq.heappop(self._queue)
            callback()
            await settle()
        self.now = until


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


@dataclass(eq=False)
class FakeEnvironment:
    """An environment whose invocations the test ends."""

    world: "PoolWorld"
    pool: Pool
    state: State = State.RESET
    busy_since: float = 0.0
    idle_since: float = 0.0
    deadline: float = 0.0
    duration_s: float = 0.0
    init_s: float = 0.05
    cpu_us: int = 0
    quiet: bool = True
    provisioned: bool = False
    frozen: bool = False
    requests: list[Request] = field(default_factory=list)

    @property
    def queued(self) -> int:
        return max(len(self.requests) - 1, 0)

    def take_back(self) -> list[Request]:
        taken, self.requests = self.requests, []
        return taken

    async def start(self, limit_s: float, phase: str = "init") -> InitFailure | None:
        self.state = State.INITIALIZING
        await self.world.may_start.wait()
        failure = self.world.failures.pop() if self.world.failures else None
        self.state = State.RESET if failure else State.IDLE
        return failure

    def send(self, request: Request, spent_s: float = 0.0, *, attend: bool = False) -> None:
        self.state = State.BUSY
        self.requests.append(request)
        self.busy_since = self.world.timers.now
        self.deadline = self.busy_since + self.world.timeout_s

    def fail(self, request: Request, failure: InitFailure, started_wall: float) -> None:
        request.outcome.set_result((failure.payload(""), "Unhandled", b""))

    def expire(self) -> None:
        self.finish(b"expired", State.RESET)

    def finish(self, payload: bytes = b"done", state: State = State.IDLE) -> None:
        self.duration_s = self.world.timers.now - self.busy_since
        request = self.requests.pop(0)
        if not request.outcome.done():
            request.outcome.set_result((payload, "", b""))
        if state is State.RESET or not self.requests:
            self.state = state
        self.busy_since = self.world.timers.now
        self.pool.release(self)

    def freeze(self) -> None:
        self.frozen = True

    async def end(self) -> None:
        self.state = State.ENDED


class PoolWorld:
    def __init__(self, limit: int = 100, timeout_s: float = 3.0) -> None:
        self.timers = TurnedTimers()
        self.capacity = Capacity(limit)
        self.timeout_s = timeout_s
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.failures: list[InitFailure] = []
        self.made: list[FakeEnvironment] = []
        self.pool = self.another_pool()

    def another_pool(self) -> Pool:
        return Pool(
            launch=self._launch,
            capacity=self.capacity,
            timers=self.timers,
            timeout_s=self.timeout_s,
            init_timeout_s=10,
            cold_start_s=0.05,
            monotonic=lambda: self.timers.now,
        )

    def _launch(self, pool: Pool, provisioned: bool) -> PooledEnvironment:
        made = FakeEnvironment(self, pool, provisioned=provisioned)
        self.made.append(made)
        return made

    async def submit(self, pool: Pool | None = None) -> "asyncio.Future[Outcome]":
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        (pool or self.pool).submit(Request(outcome, "id", "arn", b"{}"))
        await settle()
        return outcome


async def test_environment_serves_again_and_again() -> None:
    world = PoolWorld()
    for _ in range(3):
        outcome = await world.submit()
        world.made[0].finish()
        assert (await outcome)[0] == b"done"
    assert len(world.made) == 1


async def test_last_idle_environment_serves_first() -> None:
    world = PoolWorld()
    await world.submit()
    await world.submit()
    await world.timers.turn(1)
    assert len(world.made) == 2
    world.made[0].finish()
    world.made[1].finish()
    await world.submit()
    assert [len(each.requests) for each in world.made] == [0, 1]


async def test_fast_function_gets_no_environment_for_each_request() -> None:
    world = PoolWorld()
    await world.submit()
    world.made[0].finish()
    for _ in range(64):
        await world.submit()
    for _ in range(64):
        await world.timers.turn(0.0002)
        world.made[0].finish()
    assert len(world.made) == 1


async def test_slow_function_gets_an_environment_for_each_request() -> None:
    world = PoolWorld(timeout_s=60)
    outcomes = [await world.submit() for _ in range(64)]
    await world.timers.turn(2)
    assert len(world.made) == 64
    for each in world.made:
        each.finish()
    assert all(outcome.done() for outcome in outcomes)


async def test_request_behind_a_stuck_environment_gets_another_one() -> None:
    world = PoolWorld(timeout_s=60)
    for _ in range(40):
        await world.submit()
        await world.timers.turn(0.001)
        world.made[0].finish()
    await world.submit()
    await world.submit()
    await world.timers.turn(0.5)
    assert [len(each.requests) for each in world.made] == [1, 1]


async def test_requests_are_queued_behind_a_busy_environment_of_a_fast_function() -> None:
    world = PoolWorld()
    await world.submit()
    outcomes = [await world.submit() for _ in range(8)]
    world.made[0].finish()
    assert world.made[0].queued == 3
    while world.made[0].requests:
        world.made[0].finish()
    assert all(outcome.done() for outcome in outcomes)


async def test_nothing_is_queued_behind_an_environment_that_writes_output() -> None:
    world = PoolWorld()
    await world.submit()
    for _ in range(8):
        await world.submit()
    world.made[0].quiet = False
    world.made[0].finish()
    assert world.made[0].queued == 0


async def test_requests_behind_a_crash_are_served_by_its_successor() -> None:
    world = PoolWorld()
    await world.submit()
    outcomes = [await world.submit() for _ in range(4)]
    world.made[0].finish()
    world.made[0].finish(b"crashed", State.RESET)
    await settle()
    while world.made[0].requests:
        world.made[0].finish()
    assert [(await outcome)[0] for outcome in outcomes] == [b"crashed", *[b"done"] * 3]
    assert len(world.made) == 1


async def test_invocation_expires_at_its_timeout() -> None:
    world = PoolWorld(timeout_s=3)
    outcome = await world.submit()
    await world.timers.turn(2.9)
    assert not outcome.done()
    await world.timers.turn(0.2)
    assert (await outcome)[0] == b"expired"


async def test_failed_init_is_tried_again_for_the_request_that_waits() -> None:
    world = PoolWorld()
    failure = InitFailure(error_type="E", message="", status="error", posted=b"posted")
    world.failures = [failure, failure]
    assert (await (await world.submit()))[0] == b"posted"
    second = await world.submit()
    world.made[0].finish()
    assert (await second)[0] == b"done"
    assert len(world.made) == 1


async def test_idle_environment_is_reaped_and_a_young_one_is_not() -> None:
    world = PoolWorld()
    await world.submit()
    world.made[0].finish()
    world.made[0].idle_since = world.timers.now
    await world.timers.turn(5)
    world.pool.reap(idle_s=6)
    assert world.pool.size == 1
    world.pool.reap(idle_s=4)
    await settle()
    assert (world.pool.size, world.capacity.used) == (0, 0)


async def test_idle_environment_makes_room_for_another_function() -> None:
    world = PoolWorld(limit=1)
    await world.submit()
    world.made[0].finish()
    outcome = await world.submit(world.another_pool())
    world.made[1].finish()
    assert (await outcome)[0] == b"done"
    assert world.made[0].state is State.ENDED


async def test_function_without_environments_gets_one_from_a_busy_neighbour() -> None:
    world = PoolWorld(limit=1)
    for _ in range(9):
        await world.submit()
    other = await world.submit(world.another_pool())
    for _ in range(20):
        busy = [each for each in world.made if each.state is State.BUSY]
        if other.done() or not busy:
            break
        busy[0].finish()
        await settle()
    assert other.done()


async def test_drained_pool_ends_busy_environments_after_their_invocation() -> None:
    world = PoolWorld()
    outcome = await world.submit()
    world.pool.drain()
    assert world.made[0].state is State.BUSY
    world.made[0].finish()
    await settle()
    assert (await outcome)[0] == b"done"
    assert (world.made[0].state, world.capacity.used) == (State.ENDED, 0)


async def test_closing_refuses_those_who_wait() -> None:
    world = PoolWorld()
    world.may_start.clear()
    outcome = await world.submit()
    closing = asyncio.ensure_future(world.pool.close())
    await settle()
    world.may_start.set()
    await closing
    with pytest.raises(AwsError):
        await outcome
