"""The reserved concurrency of a function: how much of it is in use, and how fast it may be used.

Left to others: how much is reserved (the registry), and what is not reserved (`pool`).
"""

import time

from lamington.functions.entities import rate_exceeded
from lamington.functions.link import Request

RATE_PER_CONCURRENCY = 10
"""AWS: requests a second for each unit of concurrency."""


class Reservation:
    """The reserved concurrency of one function and how much of it is in use."""

    __slots__ = ("_filled_at", "_tokens", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._tokens = float(limit * RATE_PER_CONCURRENCY)
        self._filled_at = time.monotonic()

    def take(self, request: Request) -> None:
        """Count the invocation until it has ended; raises TooManyRequestsException."""
        if self.used >= self.limit:
            raise rate_exceeded("ReservedFunctionConcurrentInvocationLimitExceeded")
        now = time.monotonic()
        rate = self.limit * RATE_PER_CONCURRENCY
        self._tokens = min(self._tokens + (now - self._filled_at) * rate, float(rate))
        self._filled_at = now
        if self._tokens < 1:
            raise rate_exceeded("ReservedFunctionInvocationRateLimitExceeded")
        self._tokens -= 1
        self.used += 1
        request.outcome.add_done_callback(self._free)

    def _free(self, _: object) -> None:
        self.used -= 1
