"""Quotas: in which period a day falls, and what a key has used and has left of one.

Left to others: which key has which quota, and to write down what was counted (`usage_plans`).
"""

from collections.abc import Callable
from datetime import date, timedelta

from lamington.core.clock import Clock
from lamington.gateway.entities import Quota

UNLIMITED = 2**63 - 1
"""What is left where there is no quota."""

CALENDAR_READ_S = 60.0
"""So long may a counter rely on its clock alone: a machine may have slept in between."""

SECONDS_A_DAY = 86_400

PERIODS = ("DAY", "WEEK", "MONTH")
OFFSET_MAX = {"DAY": 0, "WEEK": 6, "MONTH": 27}


def period_start(quota: Quota, day: date) -> date:
    """The first day of the period that a day falls in.

    AWS: API reference, QuotaSettings: in a week an offset of 0 begins on Sunday and of 1 on
    Monday; AWS takes 0 to 6 there, 0 to 27 in a month and 0 alone in a day. Days are those of UTC.
    Differs: newer documentation calls the offset a number of requests that the first period has
    less; the limits that AWS sets to it are those of days.
    """
    if quota.period == "WEEK":
        first = (quota.offset - 1) % 7  # Python's weeks begin on Monday.
        return day - timedelta(days=(day.weekday() - first) % 7)
    if quota.period == "MONTH":
        first = quota.offset + 1
        if day.day >= first:
            return day.replace(day=first)
        return (day.replace(day=1) - timedelta(days=1)).replace(day=first)
    return day


class UsageCounter:
    """Counts the requests of one key under one plan, and what its quota still lets through.

    `used` is of `day`, `remaining` of the period. `on_change` is called with the first request
    that is not written down yet, `on_turn` before the counter turns to another day.
    """

    __slots__ = (
        "_clock",
        "_now",
        "_read_again_at",
        "changed",
        "day",
        "on_change",
        "on_turn",
        "quota",
        "remaining",
        "used",
    )

    def __init__(
        self,
        clock: Clock,
        *,
        on_change: "Callable[[UsageCounter], None]",
        on_turn: "Callable[[UsageCounter], None]",
    ) -> None:
        self._clock = clock
        self._now = clock.monotonic
        self.on_change = on_change
        self.on_turn = on_turn
        self.quota: Quota | None = None
        self.changed = False
        self.used = 0
        self.remaining = UNLIMITED
        self.day = clock.now().date()
        self._read_again_at = 0.0
        self._read_calendar()

    def take(self) -> bool:
        """Count a request, or tell that the quota is used up."""
        if self._now() >= self._read_again_at:
            self._read_calendar()
        if self.remaining <= 0:
            return False
        self.remaining -= 1
        self.used += 1
        if not self.changed:
            self.changed = True
            self.on_change(self)
        return True

    def give_back(self) -> None:
        """Undo a take, of a request that something else has refused."""
        self.remaining += 1
        self.used -= 1

    def turn(self) -> None:
        """See what day it is: a new one begins with nothing used, a new period with all left."""
        self._read_calendar()

    def limit_to(self, quota: Quota | None, used_of_period: int) -> None:
        """Begin to limit by a quota of which so much is used."""
        self.quota = quota
        self.remaining = UNLIMITED if quota is None else quota.limit - used_of_period

    def change_quota(self, quota: Quota | None, used_of_period: int) -> None:
        """Go over to another quota.

        Where only the limit is another one, what was granted beyond the old one stays granted.
        """
        before = self.quota
        if quota == before:
            return
        same_period = (
            quota is not None
            and before is not None
            and (quota.period, quota.offset) == (before.period, before.offset)
        )
        if same_period and quota is not None and before is not None:
            self.quota = quota
            self.remaining += quota.limit - before.limit
        else:
            self.limit_to(quota, used_of_period)

    def _read_calendar(self) -> None:
        now = self._clock.now()
        passed_s = (now.hour * 60 + now.minute) * 60 + now.second + now.microsecond / 1e6
        self._read_again_at = self._now() + min(SECONDS_A_DAY - passed_s, CALENDAR_READ_S)
        today = now.date()
        if today == self.day:
            return
        if self.changed:
            self.on_turn(self)
        if self.quota is not None and period_start(self.quota, today) != period_start(
            self.quota, self.day
        ):
            self.remaining = self.quota.limit
        self.day = today
        self.used = 0
