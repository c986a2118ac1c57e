"""Token buckets: how many requests may pass in a time, and how many at once.

Which buckets a request takes from is decided when its method is compiled (`admission`) or when a
key is given a plan (`usage_plans`); here is only the counting, and that buckets outlive both.
"""

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.gateway.entities import THROTTLING_BURST_LIMIT, THROTTLING_RATE_LIMIT

ROUNDING_TOKENS = 0.001
"""Part of a token that may be missing, so that sums of floating times never refuse a whole one."""

_BLOCKED = -1.0


class TokenBucket:
    """So many tokens, refilled at a steady rate; each request takes one.

    Kept as the moment at which the bucket is full again: one number, which taking moves on.

    AWS: API Gateway developer guide, request throttling: the burst is the size of the bucket, the
    rate is what comes back in a second.
    """

    __slots__ = ("_full_at", "_now", "_slack_s", "_token_s", "burst", "rate")

    def __init__(self, clock: Clock, rate: float, burst: int) -> None:
        self._now = clock.monotonic
        self._full_at = self._now()
        self._set(rate, burst)

    def take(self) -> bool:
        """Take a token, or tell that there is none."""
        now = self._now()
        full_at = self._full_at
        if full_at <= now:
            full_at = now
        if full_at - now > self._slack_s:
            return False
        self._full_at = full_at + self._token_s
        return True

    def give_back(self) -> None:
        """Undo a take, of a request that something else has refused."""
        self._full_at -= self._token_s

    def change(self, rate: float, burst: int) -> None:
        """Take other limits; what is missing now stays missing, as far as the new size goes.

        A bucket that let nothing through is full when it is opened.
        """
        if (rate, burst) == (self.rate, self.burst):
            return
        now = self._now()
        missing = 0.0
        if self._slack_s != _BLOCKED:
            missing = max(self._full_at - now, 0.0) / self._token_s
        self._set(rate, burst)
        self._full_at = now + min(missing, max(burst, 0)) * self._token_s

    def _set(self, rate: float, burst: int) -> None:
        """AWS: a rate or a burst of 0 lets nothing through."""
        self.rate = rate
        self.burst = burst
        if rate <= 0 or burst <= 0:
            self._token_s, self._slack_s = 0.0, _BLOCKED
        else:
            self._token_s = 1.0 / rate
            self._slack_s = (burst - 1 + ROUNDING_TOKENS) / rate


class Buckets:
    """The token buckets of an engine by their keys; a key has one bucket, whatever its limits.

    A stage that is deployed again finds its buckets as they were, with the limits that it has
    now. `account_rate` and `account_burst` are those of each account in each region; a rate of 0
    is none.

    AWS: API Gateway developer guide, quotas: 10,000 requests a second and 5,000 at once.
    Differs: smaller regions have 2,500 and 1,250 on AWS; all are alike here.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        account_rate: float = THROTTLING_RATE_LIMIT,
        account_burst: int = THROTTLING_BURST_LIMIT,
    ) -> None:
        self.account_rate = account_rate
        self.account_burst = account_burst
        self.default_rate = account_rate or THROTTLING_RATE_LIMIT
        """What stands for a rate that is not said where a burst is, and so for the burst."""
        self.default_burst = account_burst if account_rate else THROTTLING_BURST_LIMIT
        self._clock = clock
        self._buckets: dict[tuple[str, ...], TokenBucket] = {}

    def bucket(self, key: tuple[str, ...], rate: float, burst: int) -> TokenBucket:
        """The bucket of a key, from now on with these limits."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._clock, rate, burst)
        else:
            bucket.change(rate, burst)
        return bucket

    def account(self, scope: Scope) -> TokenBucket | None:
        """The bucket that all stages of an account in a region share; None where nothing limits."""
        if self.account_rate <= 0:
            return None
        key = ("account", scope.account_id, scope.region)
        return self.bucket(key, self.account_rate, self.account_burst)

    def forget(self, *prefix: str) -> None:
        """Drop the buckets whose key begins so, of what has been deleted."""
        for key in [each for each in self._buckets if each[: len(prefix)] == prefix]:
            del self._buckets[key]
