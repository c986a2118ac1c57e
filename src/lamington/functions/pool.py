"""Which execution environment serves next: one pool for each function version.

Idle environments serve last in, first out. A new one is started when waiting costs more than a
cold start, never one for each concurrent request. Left to others: what an environment is
(`environment`), and which pool a request belongs to (`invoke`).
"""

import asyncio
import math
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from lamington.functions.entities import (
    CONCURRENT_EXECUTIONS,
    ServiceException,
    rate_exceeded,
)
from lamington.functions.environment import State
from lamington.functions.link import InitFailure, Request

PROCESSORS = os.cpu_count() or 1
STARTS_AT_ONCE = max(4, 2 * PROCESSORS)
"""Environments of one pool that may be initializing together: more only slow each other down."""

GROWTH_INTERVAL_S = 0.02

FREEZE_AFTER_S = 0.05
"""An environment that has been idle for so long is frozen: under load nothing is paid for it.

Differs: what a function leaves running has this much longer than on AWS.
"""

QUEUED_MAX = 3
"""Requests handed to a busy environment of a fast function ahead of its being free."""

ATTEND_BELOW_S = 0.0005
"""Where nobody else waits, the reply of a function that takes less is waited for actively: the
wake-ups of sleeping processes cost more than the function."""

FAST_S = 0.005
WORST_DECAY = 0.999
LEAST_WINDOW = 32
"""A function is fast while its slowest invocation, forgotten by and by, took no longer."""


class PooledEnvironment(Protocol):
    """What a pool needs of an environment."""

    state: State
    busy_since: float
    idle_since: float
    deadline: float
    duration_s: float
    init_s: float
    cpu_us: int
    quiet: bool
    provisioned: bool
    frozen: bool

    @property
    def queued(self) -> int: ...

    def take_back(self) -> list[Request]: ...

    async def start(self, limit_s: float, phase: str = "init") -> InitFailure | None: ...

    def send(self, request: Request, spent_s: float = 0.0, *, attend: bool = False) -> None: ...

    def fail(self, request: Request, failure: InitFailure, started_wall: float) -> None: ...

    def expire(self) -> None: ...

    def freeze(self) -> None: ...

    async def end(self) -> None: ...


class Timers(Protocol):
    """What a pool needs of the event loop."""

    def call_later(
        self, delay: float, callback: Callable[[], object], /
    ) -> asyncio.TimerHandle | Any: ...


def _never() -> bool:
    return False


class Capacity:
    """The environments that the machine may hold, all functions together.

    At the cap an idle environment of another function makes room. Those that have been idle for
    a moment are frozen.

    Differs: the concurrency of all accounts counts as one; how fast AWS lets it grow, and its
    limit of requests a second for an account, are not imitated: `environments_max` is below both.
    """

    def __init__(self, limit: int, *, freezes: bool = False) -> None:
        self._limit = limit
        self._used = 0
        self._freezes = freezes
        self._sweep: asyncio.TimerHandle | None = None
        self.waiting = 0
        """Requests that wait for an environment, all functions together."""
        self.is_alone: Callable[[], bool] = _never
        """Whether the engine has nothing to do but the request at hand: its listener knows."""
        self._pools: list[Pool] = []
        self.hungry: deque[Pool] = deque()

    @property
    def used(self) -> int:
        return self._used

    def note_idle(self) -> None:
        """Freeze those who are idle before long."""
        if self._sweep is None and self._freezes:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(FREEZE_AFTER_S, self._freeze)

    def _freeze(self) -> None:
        self._sweep = None
        if any([pool.freeze(FREEZE_AFTER_S) for pool in self._pools]):
            self.note_idle()

    def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._freezes = False

    def add(self, pool: "Pool") -> None:
        self._pools.append(pool)

    def remove(self, pool: "Pool") -> None:
        if pool in self._pools:
            self._pools.remove(pool)
        if pool in self.hungry:
            self.hungry.remove(pool)

    def take(self, pool: "Pool") -> bool:
        """Take room for one environment; where there is none, the pool is told when there is."""
        if self._used >= self._limit:
            owners = [each for each in self._pools if each is not pool and each.spare]
            if owners:
                min(owners, key=lambda each: each.idle_longest).evict()
            if pool not in self.hungry:
                self.hungry.append(pool)
            return False
        self._used += 1
        return True

    def needed_elsewhere(self, pool: "Pool") -> bool:
        """Whether another pool waits for the room of an environment that is idle."""
        return any(each is not pool for each in self.hungry)

    def starving(self, pool: "Pool") -> bool:
        """Whether another pool has no environment at all, and this one is to give up one."""
        return any(each is not pool and not each.size for each in self.hungry)

    def give_back(self) -> None:
        self._used -= 1
        if self.hungry:
            self.hungry.popleft().grow()


class Pool:
    """The environments of one function version, and the requests that wait for them."""

    def __init__(
        self,
        *,
        launch: "Callable[[Pool, bool], PooledEnvironment]",
        capacity: Capacity,
        timers: Timers,
        timeout_s: float,
        init_timeout_s: float,
        cold_start_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`launch` makes an environment, provisioned or not.

        `cold_start_s` is what a cold start is expected to take until one was measured.
        """
        self._launch = launch
        self._capacity = capacity
        self._timers = timers
        self._timeout_s = timeout_s
        self._init_timeout_s = init_timeout_s
        self._cold_start_s = cold_start_s
        self._monotonic = monotonic
        self._idle: list[PooledEnvironment] = []
        self._parked: list[PooledEnvironment] = []
        self._members: set[PooledEnvironment] = set()
        self._waiting: deque[Request] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._mean_s = 0.0
        self._worst_s = 0.0
        self._ended = 0
        self._least_s = math.inf
        self._least_now_s = math.inf
        self._growth_timer: Any = None
        self._growth_due = 0.0
        self._deadline_timer: Any = None
        self._draining = False
        self._provisioned_wanted = 0
        self._provisioning: asyncio.Task[None] | None = None
        self.provision_failure: InitFailure | None = None
        """How the init of a provisioned environment has failed, if it did."""
        capacity.add(self)

    # Hot path

    def submit(self, request: Request) -> None:
        """Hand a request to an idle environment, or let it wait for one, in order."""
        if self._idle:
            attend = self._mean_s < ATTEND_BELOW_S and self._capacity.is_alone()
            self._idle.pop().send(request, attend=attend)
        else:
            self._wait(request)
        if self._deadline_timer is None:
            self._deadline_timer = self._timers.call_later(self._timeout_s, self._check_deadlines)

    def release(self, environment: PooledEnvironment) -> None:
        """Take an environment back: the next request in line goes to it at once."""
        state = environment.state
        if state is State.RESET or state is State.ENDED:
            taken_back = environment.take_back()
            self._waiting.extendleft(reversed(taken_back))
            self._capacity.waiting += len(taken_back)
            self._park(environment)
            return
        duration_s = environment.duration_s
        self._mean_s += (duration_s - self._mean_s) * (0.1 if self._mean_s else 1.0)
        self._worst_s = max(duration_s, self._worst_s * WORST_DECAY)
        self._note_least(duration_s)
        waiting = self._waiting
        if state is State.BUSY:
            if waiting:
                self._queue_behind(environment)
            return
        if waiting and not (self._capacity.hungry and self._capacity.starving(self)):
            request = self._next_request()
            if request is not None:
                self._hand_over(environment, request)
                if waiting:
                    self._queue_behind(environment)
                return
        if self._draining or (
            self._capacity.hungry
            and self._capacity.needed_elsewhere(self)
            and not environment.provisioned
        ):
            self._dismiss(environment)
            if waiting:
                self._capacity.hungry.append(self)
        else:
            self._idle.append(environment)
            self._capacity.note_idle()

    def _note_least(self, duration_s: float) -> None:
        """Keep the shortest of the latest durations.

        It is what an invocation takes by itself: the mean also rises where environments crowd
        the processors, and more of them would then be the wrong answer.
        """
        if duration_s < self._least_now_s:
            self._least_now_s = duration_s
            self._least_s = min(self._least_s, duration_s)
        self._ended += 1
        if not self._ended % LEAST_WINDOW:
            self._least_s, self._least_now_s = self._least_now_s, math.inf

    def _queue_behind(self, environment: PooledEnvironment) -> None:
        """Hand requests to a busy environment of a fast function, so that it need not sleep.

        Sleeping and waking cost more than such an invocation itself. One that has ever been
        slow is left out: the requests behind it could not be given to another environment.
        """
        if self._worst_s > FAST_S or not environment.quiet:
            return
        while environment.queued < QUEUED_MAX:
            request = self._next_request()
            if request is None:
                return
            environment.send(request)

    def _hand_over(
        self, environment: PooledEnvironment, request: Request, spent_s: float = 0.0
    ) -> None:
        environment.send(request, spent_s)
        if self._deadline_timer is None:
            self._deadline_timer = self._timers.call_later(self._timeout_s, self._check_deadlines)

    # Growth

    def _wait(self, request: Request) -> None:
        waiting, capacity = self._waiting, self._capacity
        if capacity.waiting + capacity.used >= CONCURRENT_EXECUTIONS:
            raise rate_exceeded(
                "ConcurrentInvocationLimitExceeded",
                "the function cannot keep up; call it less or raise `environments_max`",
            )
        request.queued_at = self._monotonic()
        waiting.append(request)
        capacity.waiting += 1
        if not self._active:
            self._start()
        elif (
            self._least_s < math.inf
            and self._least_s * len(waiting) > self._cold_start_s * self._active
        ):
            self.grow()
        if self._growth_timer is None:
            self._check_growth_in(max(self._cold_start_s, GROWTH_INTERVAL_S))

    @property
    def _active(self) -> int:
        """Environments that serve or will do so soon."""
        return len(self._members) - len(self._parked)

    def _check_growth_in(self, delay_s: float) -> None:
        self._growth_due = self._monotonic() + delay_s
        self._growth_timer = self._timers.call_later(delay_s, self._check_growth)

    def _check_growth(self) -> None:
        self._growth_timer = None
        if self._waiting:
            # Where the loop was late it has not seen yet which environments are done.
            if self._monotonic() - self._growth_due < GROWTH_INTERVAL_S / 4:
                self.grow()
            self._check_growth_in(max(self._cold_start_s / 2, GROWTH_INTERVAL_S))

    def grow(self) -> None:
        """Start as many environments as the requests that wait are worth."""
        while self._starting < STARTS_AT_ONCE and self._active < self._wanted():
            if not self._start():
                break

    def _wanted(self) -> int:
        """How many environments serve the load with a wait of one cold start at most.

        More than the load would never be used, and more than the processors can run at once
        (by the share of a processor that an invocation needs) would only slow each other down.
        """
        if not self._waiting:
            return self._active
        busy = [each for each in self._members if each.state is State.BUSY]
        now = self._monotonic()
        load = len(self._waiting) + len(busy)
        takes_s = self._least_s
        if takes_s == math.inf:
            # Nothing has ended yet: what runs takes at least as long as it has run.
            takes_s = max((now - each.busy_since for each in busy), default=0.0)
        wanted = max(1, math.ceil(load * takes_s / self._cold_start_s))
        cpu_s = max((each.cpu_us for each in busy), default=0) / 1e6
        if cpu_s and self._ended:
            wanted = min(wanted, max(1, math.ceil(PROCESSORS * takes_s / cpu_s)))
        # One that takes far longer than they do is out of service for those who wait.
        stuck_s = max(self._cold_start_s, 4 * self._mean_s)
        stuck = sum(now - each.busy_since > stuck_s for each in busy)
        return min(load, wanted + stuck)

    def _start(self) -> bool:
        """Start one environment; one that has failed before is used again, with its files."""
        if self._parked:
            environment = self._parked.pop()
            phase = "invoke"
        elif self._capacity.take(self):
            environment = self._launch(self, False)
            self._members.add(environment)
            phase = "init"
        else:
            return False
        self._starting += 1
        task = asyncio.get_running_loop().create_task(self._bring_up(environment, phase))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _bring_up(self, environment: PooledEnvironment, phase: str) -> None:
        failure: InitFailure | None = None
        if phase == "init":
            failure = await environment.start(self._init_timeout_s)
        if failure is not None or phase == "invoke":
            failure = await self._start_for_request(environment)
        self._starting -= 1
        if environment.state is State.IDLE:
            self._cold_start_s += (environment.init_s - self._cold_start_s) * 0.3
            environment.idle_since = self._monotonic()
            self._accept(environment)
        elif environment.state is State.RESET:
            self._park(environment)

    async def _start_for_request(self, environment: PooledEnvironment) -> InitFailure | None:
        """Run the init again within an invocation, which gets the error if it fails once more."""
        request = self._next_request()
        if request is None or environment.state is not State.RESET:
            return None
        began = time.time()
        failure = await environment.start(self._timeout_s, "invoke")
        if failure is None:
            self._cold_start_s += (environment.init_s - self._cold_start_s) * 0.3
            self._hand_over(environment, request, time.time() - began)
            return None
        if failure is not None:
            environment.fail(request, self._as_timeout(failure), began)
        return failure

    def _as_timeout(self, failure: InitFailure) -> InitFailure:
        if failure.error_type != "Sandbox.Timedout" or failure.refusal is not None:
            return failure
        return InitFailure(
            error_type=failure.error_type,
            message=f"Task timed out after {self._timeout_s:.2f} seconds",
            status=failure.status,
        )

    def _next_request(self) -> Request | None:
        while self._waiting:
            request = self._waiting.popleft()
            self._capacity.waiting -= 1
            if not request.outcome.done():
                return request
        return None

    def _accept(self, environment: PooledEnvironment) -> None:
        request = self._next_request()
        if request is not None:
            self._hand_over(environment, request)
            self.grow()
        elif self._draining or (
            self._capacity.needed_elsewhere(self) and not environment.provisioned
        ):
            self._dismiss(environment)
        else:
            self._idle.append(environment)
            self._capacity.note_idle()

    def _park(self, environment: PooledEnvironment) -> None:
        """Keep an environment without a process for the next need of one."""
        if environment in self._idle:
            self._idle.remove(environment)
        if environment.state is State.ENDED:
            return
        if self._draining:
            self._dismiss(environment)
            return
        environment.idle_since = self._monotonic()
        self._parked.append(environment)
        if self._waiting and not self._active:
            self._start()
        elif environment.provisioned and self.provision_failure is None:
            self._provision()

    # Ends

    def _check_deadlines(self) -> None:
        self._deadline_timer = None
        now = self._monotonic()
        soonest = math.inf
        for each in list(self._members):
            if each.state is State.BUSY:
                if each.deadline <= now:
                    each.expire()
                else:
                    soonest = min(soonest, each.deadline)
        for each in self._members:
            if each.state is State.BUSY:
                soonest = min(soonest, each.deadline)
        if soonest < math.inf:
            self._deadline_timer = self._timers.call_later(
                max(soonest - now, 0.001), self._check_deadlines
            )
        elif self._waiting:
            self._deadline_timer = self._timers.call_later(self._timeout_s, self._check_deadlines)

    def _spares(self) -> list[PooledEnvironment]:
        return [each for each in (*self._idle, *self._parked) if not each.provisioned]

    @property
    def spare(self) -> bool:
        """Whether there is an environment that could go."""
        return bool(self._spares())

    @property
    def idle_longest(self) -> float:
        """Since when the environment has been idle that has been so for the longest time."""
        return min(each.idle_since for each in self._spares())

    def evict(self) -> None:
        """End the environment that has been idle for the longest time."""
        environment = min(self._spares(), key=lambda each: each.idle_since)
        (self._idle if environment in self._idle else self._parked).remove(environment)
        self._dismiss(environment)

    def reap(self, idle_s: float) -> None:
        """End what has been idle for so long."""
        before = self._monotonic() - idle_s
        while self.spare and self.idle_longest <= before:
            self.evict()

    def freeze(self, idle_s: float) -> bool:
        """Freeze what has been idle for so long; whether some will be so before long."""
        before = self._monotonic() - idle_s
        later = False
        for each in self._idle:
            if not each.frozen:
                if each.idle_since <= before:
                    each.freeze()
                else:
                    later = True
        return later

    # Provisioned concurrency

    def provision(self, count: int) -> None:
        """Keep so many environments ready, whether anybody asks or not."""
        self._provisioned_wanted = count
        self.provision_failure = None
        surplus = len(self._provisioned()) - count
        for each in self._provisioned():
            if surplus > 0:
                # It goes on as one of the others, and is reaped as they are.
                each.provisioned = False
                surplus -= 1
        self._provision()

    @property
    def provisioned_allocated(self) -> int:
        return len(self._provisioned())

    @property
    def provisioned_ready(self) -> int:
        """How many of the provisioned environments are initialised."""
        ready = (State.IDLE, State.BUSY)
        return sum(each.state in ready for each in self._provisioned())

    @property
    def has_provisioned_room(self) -> bool:
        """Whether a provisioned environment is idle: it is the function's own."""
        return self._provisioned_wanted > 0 and any(each.provisioned for each in self._idle)

    def _provisioned(self) -> list[PooledEnvironment]:
        return [each for each in self._members if each.provisioned]

    def _provision(self) -> None:
        if self._provisioning is None and not self._draining:
            task = asyncio.get_running_loop().create_task(self._start_provisioned())
            self._provisioning = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _start_provisioned(self) -> None:
        """Start what is missing, one after the other: nobody waits for them."""
        while self.provision_failure is None and not self._draining:
            parked = [each for each in self._parked if each.provisioned]
            if parked:
                environment = parked[0]
                self._parked.remove(environment)
            elif len(self._provisioned()) < self._provisioned_wanted and self._capacity.take(self):
                environment = self._launch(self, True)
                self._members.add(environment)
            else:
                break
            self._starting += 1
            self.provision_failure = await environment.start(self._init_timeout_s)
            self._starting -= 1
            if environment.state is State.IDLE:
                environment.idle_since = self._monotonic()
                self._accept(environment)
            elif environment.state is State.RESET:
                self._parked.append(environment)
        self._provisioning = None

    @property
    def size(self) -> int:
        """Environments, whatever their state."""
        return len(self._members)

    async def warm(self) -> InitFailure | None:
        """Start an environment ahead of need, where there is none; returns how that failed."""
        if self._active or not self._capacity.take(self):
            return None
        environment = self._launch(self, False)
        self._members.add(environment)
        self._starting += 1
        failure = await environment.start(self._init_timeout_s)
        self._starting -= 1
        if failure is not None:
            if environment.state is not State.ENDED:
                self._park(environment)
            return failure
        environment.idle_since = self._monotonic()
        self._accept(environment)
        return None

    def drain(self) -> None:
        """Take no more part: who is idle ends now, who is busy ends after its invocation."""
        self._draining = True
        for each in self._provisioned():
            each.provisioned = False
        while self.spare:
            self.evict()
        if not self._members:
            self._capacity.remove(self)

    async def close(self) -> None:
        """End everything, whatever it does, and refuse those who wait."""
        self._draining = True
        for timer in (self._growth_timer, self._deadline_timer):
            if timer is not None:
                timer.cancel()
        while self._waiting:
            outcome = self._waiting.popleft().outcome
            self._capacity.waiting -= 1
            if not outcome.done():
                outcome.set_exception(ServiceException("The engine is shutting down."))
        members, self._members = list(self._members), set()
        self._idle.clear()
        self._parked.clear()
        await asyncio.gather(*(each.end() for each in members))
        for _ in members:
            self._capacity.give_back()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._capacity.remove(self)

    def _dismiss(self, environment: PooledEnvironment) -> None:
        if environment not in self._members:
            return
        self._members.discard(environment)
        task = asyncio.get_running_loop().create_task(self._end(environment))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self, environment: PooledEnvironment) -> None:
        await environment.end()
        self._capacity.give_back()
        if self._draining and not self._members:
            self._capacity.remove(self)
