"""The limits of usage plans: throttles and quotas as members, as patches, and day by day.

Left to others: the plans and their keys (`usage_plans`), and limits at work (`gateway/quotas`,
`gateway/throttling`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import msgspec

from lamington.core.aws import Result
from lamington.gateway.entities import BadRequestException, Quota, Throttle, UsageDay, UsagePlan
from lamington.gateway.operations.tables import Patch
from lamington.gateway.quotas import OFFSET_MAX, PERIODS, period_start

METHOD_THROTTLES_MAX = 20


def throttle_of(limits: Mapping[str, Any]) -> Throttle:
    rate, burst = limits.get("rateLimit"), limits.get("burstLimit")
    return Throttle(rate_limit=None if rate is None else float(rate), burst_limit=burst)


def throttle_result(throttle: Throttle) -> Result:
    values = {"burstLimit": throttle.burst_limit, "rateLimit": throttle.rate_limit}
    return {name: value for name, value in values.items() if value is not None}


def limited(throttle: Throttle | None, name: str, patch: Patch) -> Throttle:
    before = throttle or Throttle()
    if name == "rateLimit":
        return replace(before, rate_limit=patch.number)
    return replace(before, burst_limit=patch.whole)


def quota_members(quota: Quota | None) -> dict[str, Any]:
    if quota is None:
        return {}
    return {"limit": quota.limit, "offset": quota.offset, "period": quota.period}


def quota_of(members: Mapping[str, Any]) -> Quota:
    """AWS: a quota needs a limit and a period; the texts on offsets are AWS's own to clients."""
    limit, period = members.get("limit"), members.get("period")
    offset = members.get("offset") or 0
    if limit is None or limit < 0:
        raise BadRequestException("Usage Plan quota limit must be specified and not negative")
    if period not in PERIODS:
        raise BadRequestException(f"Usage Plan quota period must be one of: {', '.join(PERIODS)}")
    if period == "DAY" and offset != 0:
        raise BadRequestException("Usage Plan quota offset must be zero in the DAY period")
    if not 0 <= offset <= OFFSET_MAX[period]:
        raise BadRequestException(
            f"Usage Plan quota offset must be between 0 and {OFFSET_MAX[period]} inclusive in the"
            f" {period} period"
        )
    return Quota(limit=limit, offset=offset, period=period)


def patched_quota(members: Mapping[str, Any], patch: Patch) -> dict[str, Any]:
    """The members with one operation applied, whose path is known to be one of a quota's."""
    if patch.op == "remove":
        return {}
    name = patch.path[1]
    return {**members, name: patch.value if name == "period" else patch.whole}


def parse_throttles(patch: Patch) -> dict[str, Throttle]:
    try:
        limits = msgspec.json.decode(patch.value, type=dict[str, dict[str, float]])
    except msgspec.DecodeError:
        raise patch.wrong_value() from None
    return {
        name: Throttle(
            rate_limit=each.get("rateLimit"),
            burst_limit=int(each["burstLimit"]) if "burstLimit" in each else None,
        )
        for name, each in limits.items()
    }


def require_sensible(plan: UsagePlan) -> None:
    """Raise BadRequestException for limits that are none; the texts are likely ones."""
    throttles = [each for stage in plan.api_stages for each in stage.throttle.values()]
    for throttle in [*throttles, *([plan.throttle] if plan.throttle else [])]:
        if (throttle.rate_limit or 0) < 0 or (throttle.burst_limit or 0) < 0:
            raise BadRequestException("Usage Plan throttle limits must not be negative")
    if any(len(stage.throttle) > METHOD_THROTTLES_MAX for stage in plan.api_stages):
        raise BadRequestException(
            f"A Usage Plan may throttle {METHOD_THROTTLES_MAX} methods of an API Stage"
        )


def daily_usage(
    rows: Mapping[str, UsageDay], days: Sequence[date], quota: Quota | None
) -> list[list[int]]:
    """A pair of used and remaining for each day.

    A day without a row used nothing; what was left then is what was left on the last day of its
    period that has one, or all of the quota.
    """
    left = _Left(quota)
    for text, earlier in rows.items():
        if text < days[0].isoformat():
            left.on(date.fromisoformat(text), earlier)
    pairs = []
    for day in days:
        row = rows.get(day.isoformat())
        pairs.append([0 if row is None else row.used, left.on(day, row)])
    return pairs


class _Left:
    """What is left of a quota, from day to day."""

    def __init__(self, quota: Quota | None) -> None:
        self._quota = quota
        self._period: date | None = None
        self._left = 0

    def on(self, day: date, row: UsageDay | None) -> int:
        if self._quota is None:
            return 0
        period = period_start(self._quota, day)
        if period != self._period:
            self._period = period
            self._left = self._quota.limit
        if row is not None and row.remaining is not None:
            self._left = max(row.remaining, 0)
        return self._left
