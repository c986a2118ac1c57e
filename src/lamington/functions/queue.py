"""Asynchronous invocation: events that were accepted, their retries and their end.

An event is on disk before `put` returns and leaves it when all is done with it: a kill at any
moment loses none, and may repeat the one that was being run. Payloads stay on disk; an event that
waits costs a few hundred bytes of memory. All times are of the wall clock, so that they hold over
a restart.

Left to others: one attempt (`invoke`), what is sent in the end (`destinations`), and where
settings are kept (`operations.event_invoke_configs`). An attempt gets an `AcceptedEvent`, of which
the caller makes its Invocation.
"""

import asyncio
import heapq
import itertools
import logging
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from lamington.core.aws import AwsCaller
from lamington.core.clock import Clock, Ids
from lamington.core.errors import AwsError
from lamington.core.store import Store
from lamington.functions.destinations import (
    EVENT_AGE_EXCEEDED,
    RETRIES_EXHAUSTED,
    SUCCESS,
    ZERO_RESERVED_CONCURRENCY,
    Destinations,
    Outcome,
    Response,
)
from lamington.functions.entities import (
    ResourceNotFoundException,
    ServiceException,
    rate_exceeded,
)
from lamington.functions.event_store import AcceptedEvent, EventStore, WaitingEvent
from lamington.functions.notices import (
    DEAD_LETTER_ERRORS,
    DESTINATION_DELIVERY_FAILURES,
    EVENT_AGE_MS,
    EVENTS_DROPPED,
    EVENTS_RECEIVED,
    Notice,
)
from lamington.functions.tracing import Trace, Tracer

LOGGER = logging.getLogger(__name__)

RETRY_ATTEMPTS_MAX = 2
EVENT_AGE_MAX_S = 21_600
RETRY_DELAYS_MS = (60_000, 120_000)
"""AWS: a function error is retried twice, a minute and then two minutes later."""

THROTTLE_DELAY_MS = 1000
THROTTLE_DELAY_MAX_MS = 300_000
"""AWS: what was throttled is tried again after one second, then ever later, up to five minutes."""

EVENTS_MAX = 100_000
EVENTS_MAX_BYTES = 2 * 1024**3
"""Events that may wait, and their payloads' size; AWS states no number."""

ATTEMPTS_MAX = 96
"""Attempts that run at once, of all functions; one function has at most half of them."""

DELIVERY_DELAYS_MS = (1000, 10_000)
"""After how long a destination that did not take a record is tried again."""

DELIVERY_LIMIT_S = 60

SLEEP_MAX_MS = 60_000
"""A longer sleep would not notice that the machine's clock was put forward."""


class Accepting(Protocol):
    """What `put` needs of an invocation."""

    @property
    def function_arn(self) -> str: ...

    @property
    def payload(self) -> bytes: ...

    @property
    def request_id(self) -> str: ...

    @property
    def trace_id(self) -> str: ...


class Attempted(Protocol):
    """What an attempt comes to; a refusal of Lambda is raised instead."""

    @property
    def payload(self) -> bytes: ...

    @property
    def function_error(self) -> str: ...

    @property
    def executed_version(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings:
    """How the events of a function, version or alias are treated; targets are ARNs or ""."""

    retry_attempts_max: int = RETRY_ATTEMPTS_MAX
    event_age_max_s: int = EVENT_AGE_MAX_S
    on_success: str = ""
    on_failure: str = ""
    dead_letter: str = ""
    is_disabled: bool = False
    """The reserved concurrency is zero."""


class EventConfiguration(Protocol):
    """Tells the settings of what was invoked, as they are now."""

    def settings_of(self, function_arn: str) -> EventSettings:
        """Raises ResourceNotFoundException where the function is gone."""
        ...


class _Lane:
    """The events of one function that are due, and how many of them may run."""

    __slots__ = ("function_arn", "is_listed", "paused_until_ms", "ready", "running", "window")

    def __init__(self, function_arn: str) -> None:
        self.function_arn = function_arn
        self.ready: deque[WaitingEvent] = deque()
        self.running = 0
        self.window = float(ATTEMPTS_MAX)
        self.paused_until_ms = 0
        self.is_listed = False

    def throttled(self, now_ms: int) -> None:
        """Send half as many at once; none for a second where a single one was too many."""
        self.window = max(1.0, self.window / 2)
        if self.running <= 1:
            self.paused_until_ms = now_ms + THROTTLE_DELAY_MS

    def went_through(self) -> None:
        """Send more by and by; a function at its limit is asked one too many now and then."""
        self.window = min(self.window + 0.25 / self.window, float(ATTEMPTS_MAX))


class EventQueue:
    """Runs accepted events until they succeed or are given up, and tells their destinations.

    AWS: Lambda developer guide, asynchronous invocation; delivery is at least once.
    Differs: a function that is not Active yet is waited for like one that is throttled; an event
    that the loop detection stops has the condition `RetriesExhausted` (AWS's is not documented); a
    kill loses no accepted event, but a power cut may lose those of the last moment.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        ids: Ids,
        attempt: Callable[[AcceptedEvent], Awaitable[Attempted]],
        configuration: EventConfiguration,
        caller: AwsCaller,
        notice: Notice,
    ) -> None:
        self._clock = clock
        self._ids = ids
        self._attempt = attempt
        self._configuration = configuration
        self._destinations = Destinations(caller, clock, ids)
        self._tracer = Tracer(clock, ids)
        self._notice = notice
        self._lanes: dict[str, _Lane] = {}
        self._listed: deque[_Lane] = deque()
        self._later: list[tuple[int, int, WaitingEvent | None]] = []
        self._order = itertools.count()
        self._finished: list[int] = []
        self._received: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn: asyncio.Handle | None = None
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_ms = 0
        self._is_closed = False
        self._events = EventStore(store)
        self._count, self._size, self._left_over = self._events.totals()

    def __len__(self) -> int:
        """Events that are accepted and not done with, whether they wait or run."""
        return self._count

    def put(self, invocation: Accepting) -> None:
        """Accept an event: it is committed when this returns.

        Raises TooManyRequestsException where too many wait, and ServiceException where the disk
        does not take it.
        """
        payload = invocation.payload
        size = len(payload)
        if self._count >= EVENTS_MAX or self._size + size > EVENTS_MAX_BYTES:
            raise rate_exceeded(
                "CallerRateLimitExceeded",
                hint=f"{self._count:,} events of {self._size:,} bytes wait to be run",
            )
        function_arn = invocation.function_arn
        now_ms = self._now_ms()
        event = AcceptedEvent(
            function_arn=function_arn,
            payload=payload,
            request_id=invocation.request_id or self._ids.request_id(),
            trace_id=invocation.trace_id or self._tracer.new_header(),
        )
        try:
            id = self._events.add(event, now_ms)
        except sqlite3.OperationalError as error:
            raise ServiceException(f"The event cannot be kept: {error}") from None
        self._count += 1
        self._size += size
        self._received[function_arn] = self._received.get(function_arn, 0) + 1
        lane = self._lane(function_arn)
        self._make_ready(lane, WaitingEvent(id, lane.function_arn, now_ms, size))

    async def start(self) -> None:
        """Take up what an engine before this one has left on disk."""
        for waiting, due_ms in self._events.waiting(self._left_over):
            if due_ms is None:
                self._make_ready(self._lane(waiting.function_arn), waiting)
            else:
                self._wait_until(due_ms, waiting)
        self._left_over = 0
        self._want_turn()

    async def close(self) -> None:
        """Stop; what waits or runs stays on disk for the next start."""
        self._is_closed = True
        if self._turn is not None:
            self._turn.cancel()
        tasks = [*self._tasks, *([self._alarm] if self._alarm else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._flush()

    # Which event is next

    def _now_ms(self) -> int:
        return round(self._clock.now().timestamp() * 1000)

    def _lane(self, function_arn: str) -> _Lane:
        lane = self._lanes.get(function_arn)
        if lane is None:
            lane = self._lanes[function_arn] = _Lane(function_arn)
        return lane

    def _make_ready(self, lane: _Lane, waiting: WaitingEvent) -> None:
        lane.ready.append(waiting)
        if not lane.is_listed:
            lane.is_listed = True
            self._listed.append(lane)
        self._want_turn()

    def _wait_until(self, due_ms: int, waiting: WaitingEvent | None) -> None:
        heapq.heappush(self._later, (due_ms, next(self._order), waiting))

    def _want_turn(self) -> None:
        if self._turn is None and not self._is_closed:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Write what is finished, start what may start, and set the alarm for what is due next."""
        self._turn = None
        self._flush()
        now_ms = self._now_ms()
        while self._later and self._later[0][0] <= now_ms:
            waiting = heapq.heappop(self._later)[2]
            if waiting is not None:
                self._make_ready(self._lane(waiting.function_arn), waiting)
        passed_over = 0
        while passed_over < len(self._listed) and len(self._tasks) < ATTEMPTS_MAX:
            lane = self._listed.popleft()
            if not lane.ready:
                lane.is_listed = False
                self._forget_idle(lane)
                continue
            self._listed.append(lane)
            if self._may_start(lane, now_ms):
                passed_over = 0
                self._begin(lane, lane.ready.popleft())
            else:
                passed_over += 1
        self._set_alarm(now_ms)

    def _may_start(self, lane: _Lane, now_ms: int) -> bool:
        """Whether the lane may have one more: never more than are left for all the others."""
        free = ATTEMPTS_MAX - len(self._tasks)
        return lane.running < min(int(lane.window), free) and lane.paused_until_ms <= now_ms

    def _forget_idle(self, lane: _Lane) -> None:
        if not lane.ready and not lane.running and not lane.is_listed:
            self._lanes.pop(lane.function_arn, None)

    def _set_alarm(self, now_ms: int) -> None:
        if not self._later or self._is_closed:
            return
        due_ms = min(self._later[0][0], now_ms + SLEEP_MAX_MS)
        if self._alarm is not None:
            if self._alarm_ms <= due_ms:
                return
            self._alarm.cancel()
        self._alarm_ms = due_ms
        delay_s = max(due_ms - now_ms, 0) / 1000
        self._alarm = asyncio.get_running_loop().create_task(self._wake_after(delay_s))

    async def _wake_after(self, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._alarm = None
        self._want_turn()

    # One event

    def _begin(self, lane: _Lane, waiting: WaitingEvent) -> None:
        lane.running += 1
        task = asyncio.get_running_loop().create_task(self._advance(lane, waiting))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            lane.running -= 1
            self._forget_idle(lane)
            self._want_turn()
            if task.cancelled():
                return
            error = task.exception()
            if error is not None:
                LOGGER.error(
                    "an event of %s could not be run", waiting.function_arn, exc_info=error
                )
                self._wait_until(self._now_ms() + THROTTLE_DELAY_MAX_MS, waiting)

        task.add_done_callback(ended)

    async def _advance(self, lane: _Lane, waiting: WaitingEvent) -> None:
        if waiting.progress.condition:
            await self._deliver(waiting)
            return
        try:
            settings = self._configuration.settings_of(waiting.function_arn)
        except ResourceNotFoundException:
            self._drop(waiting, "an event is dropped: its function is gone")
            return
        if settings.is_disabled:
            await self._conclude(waiting, settings, ZERO_RESERVED_CONCURRENCY, None)
            return
        age_ms = self._now_ms() - waiting.accepted_ms
        if age_ms > settings.event_age_max_s * 1000:
            response = self._events.load_response(waiting)
            await self._conclude(waiting, settings, EVENT_AGE_EXCEEDED, response)
            return
        self._notice(waiting.function_arn, EVENT_AGE_MS, age_ms)
        event = self._events.load(waiting)
        try:
            result = await self._attempt(event)
        except AwsError as refusal:
            await self._refused(lane, waiting, settings, refusal)
            return
        lane.went_through()
        await self._attempted(waiting, settings, result)

    async def _attempted(
        self, waiting: WaitingEvent, settings: EventSettings, result: Attempted
    ) -> None:
        """The function was run: it is done, or tried again, or has failed for good."""
        progress = waiting.progress
        response = Response(
            payload=result.payload,
            function_error=result.function_error,
            executed_version=result.executed_version,
        )
        changed = msgspec.structs.replace(
            progress, invocations=progress.invocations + 1, throttles=0
        )
        if not result.function_error:
            waiting.progress = changed
            await self._conclude(waiting, settings, SUCCESS, response)
            return
        waiting.progress = msgspec.structs.replace(changed, failures=progress.failures + 1)
        if progress.failures >= settings.retry_attempts_max:
            await self._conclude(waiting, settings, RETRIES_EXHAUSTED, response)
            return
        delay_ms = RETRY_DELAYS_MS[min(progress.failures, len(RETRY_DELAYS_MS) - 1)]
        await self._try_again(waiting, settings, delay_ms, response)

    async def _refused(
        self, lane: _Lane, waiting: WaitingEvent, settings: EventSettings, refusal: AwsError
    ) -> None:
        """Lambda did not run the function: throttles and failures of the service pass."""
        if isinstance(refusal, ResourceNotFoundException):
            self._drop(waiting, f"an event is dropped: {refusal.message}")
            return
        if refusal.status not in (409, 429) and refusal.status < 500:
            payload = msgspec.json.encode(
                {"errorMessage": refusal.message, "errorType": refusal.code}
            )
            response = Response(payload=payload, function_error="Unhandled", status=refusal.status)
            await self._conclude(waiting, settings, RETRIES_EXHAUSTED, response)
            return
        now_ms = self._now_ms()
        lane.throttled(now_ms)
        if lane.paused_until_ms > now_ms:
            self._wait_until(lane.paused_until_ms, None)
        throttles = waiting.progress.throttles
        delay_ms = min(THROTTLE_DELAY_MS << min(throttles, 20), THROTTLE_DELAY_MAX_MS)
        waiting.progress = msgspec.structs.replace(waiting.progress, throttles=throttles + 1)
        await self._try_again(waiting, settings, delay_ms, None)

    async def _try_again(
        self,
        waiting: WaitingEvent,
        settings: EventSettings,
        delay_ms: int,
        response: Response | None,
    ) -> None:
        """Put the event back; one that would be too old by then has failed.

        A response of None keeps the one of an attempt before.
        """
        due_ms = self._now_ms() + delay_ms
        if due_ms - waiting.accepted_ms > settings.event_age_max_s * 1000:
            last = response or self._events.load_response(waiting)
            await self._conclude(waiting, settings, EVENT_AGE_EXCEEDED, last)
            return
        self._events.write_progress(waiting, due_ms, response)
        self._wait_until(due_ms, waiting)

    async def _conclude(
        self,
        waiting: WaitingEvent,
        settings: EventSettings,
        condition: str,
        response: Response | None,
    ) -> None:
        """Nothing more is run: tell who wants to know, then forget the event."""
        if condition == SUCCESS:
            wanted = [("destination", settings.on_success)]
        else:
            wanted = [("destination", settings.on_failure), ("letter", settings.dead_letter)]
        targets = tuple((kind, arn) for kind, arn in wanted if arn)
        if condition != SUCCESS:
            text = "" if targets else f"an event is given up ({condition}), and goes nowhere"
            self._notice(waiting.function_arn, EVENTS_DROPPED, 1, text)
        if not targets:
            self._finish(waiting)
            return
        waiting.progress = msgspec.structs.replace(
            waiting.progress, condition=condition, targets=targets
        )
        # Before anything is sent, so that a kill in between repeats the sending alone.
        self._events.write_progress(waiting, self._now_ms(), response)
        await self._deliver(waiting)

    async def _deliver(self, waiting: WaitingEvent) -> None:
        """Send to each target that is left; those that fail are tried a few times more."""
        event, response = self._events.load(waiting), self._events.load_response(waiting)
        progress = waiting.progress
        trace = Trace.parse(event.trace_id)
        if progress.invocations:
            trace = trace.visited(event.function_arn)
        outcome = Outcome(
            function_arn=event.function_arn,
            request_id=event.request_id,
            condition=progress.condition,
            invocations=progress.invocations,
            payload=event.payload,
            response=response,
            trace_id=str(trace),
        )
        is_last = progress.deliveries >= len(DELIVERY_DELAYS_MS)
        failed: list[tuple[str, str]] = []
        for kind, arn in progress.targets:
            is_letter = kind == "letter"
            try:
                async with asyncio.timeout(DELIVERY_LIMIT_S):
                    if is_letter:
                        await self._destinations.send_letter(arn, outcome)
                    else:
                        await self._destinations.send_record(arn, outcome)
            except (AwsError, TimeoutError) as error:
                failed.append((kind, arn))
                if is_last:
                    self._notice(
                        event.function_arn,
                        DEAD_LETTER_ERRORS if is_letter else DESTINATION_DELIVERY_FAILURES,
                        1,
                        f"the {'dead letter' if is_letter else 'record'} of {event.request_id}"
                        f" could not be sent to {arn}: {error or 'it took too long'}",
                    )
        if not failed or is_last:
            self._finish(waiting)
            return
        waiting.progress = msgspec.structs.replace(
            progress, targets=tuple(failed), deliveries=progress.deliveries + 1
        )
        due_ms = self._now_ms() + DELIVERY_DELAYS_MS[progress.deliveries]
        self._events.write_progress(waiting, due_ms)
        self._wait_until(due_ms, waiting)

    def _drop(self, waiting: WaitingEvent, text: str) -> None:
        self._notice(waiting.function_arn, EVENTS_DROPPED, 1, text)
        self._finish(waiting)

    def _finish(self, waiting: WaitingEvent) -> None:
        self._count -= 1
        self._size -= waiting.size
        self._finished.append(waiting.id)

    def _flush(self) -> None:
        """Delete what is finished, in one commit, and count what was received."""
        if self._received:
            received, self._received = self._received, {}
            for function_arn, count in received.items():
                self._notice(function_arn, EVENTS_RECEIVED, count)
        if not self._finished:
            return
        try:
            self._events.delete(self._finished)
        except sqlite3.OperationalError as error:
            # A full disk: what is finished is deleted once there is room.
            LOGGER.warning("finished events cannot be deleted yet: %s", error)
            self._wait_until(self._now_ms() + THROTTLE_DELAY_MS, None)
            return
        self._finished.clear()
