"""Asynchronous invocation: events that were accepted, their retries and their end.

Left to others: one attempt (`invoke`). The entry and its result are opaque here but for whether
the function failed.

Differs: events are kept in memory, so that those not yet run are lost when the engine ends; there
are no destinations and no dead-letter queue yet.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from lamington.core.clock import Clock
from lamington.core.errors import AwsError
from lamington.functions.entities import TooManyRequestsException

RETRY_DELAYS_S = (60.0, 120.0)
"""AWS: a function error is retried twice, a minute and then two minutes later."""

THROTTLE_DELAY_MAX_S = 300.0
AGE_MAX_S = 21_600.0
EVENTS_MAX = 10_000
"""Events that may wait; AWS states no number."""


class Attempted(Protocol):
    """What an attempt comes to."""

    @property
    def function_error(self) -> str: ...


Entry = TypeVar("Entry")


class EventQueue(Generic[Entry]):
    """Runs accepted events in the background until they succeed or are given up."""

    def __init__(self, attempt: Callable[[Entry], Awaitable[Attempted]], clock: Clock) -> None:
        self._attempt = attempt
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def put(self, entry: Entry) -> None:
        """Accept an event; raises TooManyRequestsException where too many wait."""
        if len(self._tasks) >= EVENTS_MAX:
            raise TooManyRequestsException(
                "Rate Exceeded.", Reason="FunctionInvocationRateLimitExceeded"
            )
        task = asyncio.get_running_loop().create_task(self._run(entry))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up everything that waits or runs."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, entry: Entry) -> None:
        accepted = self._clock.monotonic()
        failures = 0
        throttle_delay_s = 1.0
        while True:
            try:
                result = await self._attempt(entry)
            except AwsError as error:
                # Throttles and failures of the service cost no attempt.
                if error.status != 429 and error.status < 500:
                    return
                delay_s = throttle_delay_s
                throttle_delay_s = min(throttle_delay_s * 2, THROTTLE_DELAY_MAX_S)
            else:
                if not result.function_error or failures == len(RETRY_DELAYS_S):
                    return
                delay_s = RETRY_DELAYS_S[failures]
                failures += 1
            if self._clock.monotonic() + delay_s - accepted > AGE_MAX_S:
                return
            await self._clock.sleep(delay_s)
