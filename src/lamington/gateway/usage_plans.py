"""API keys and usage plans at work: which key may call which stage, how often, and what it used.

A change of a key or a plan acts on the next request and compiles no stage: gates look a key up
in a `StageKeys`, which is kept in step here. What keys use is counted in memory and written by
a timer. Left to others: what AWS's API says of keys and plans (`operations/api_keys`,
`operations/usage_plans`), and the gate itself (`admission`).
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType
from typing import Any

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.store import Store, Table
from lamington.gateway.entities import (
    ApiKey,
    Throttle,
    UsageDay,
    UsagePlan,
    UsagePlanKey,
)
from lamington.gateway.quotas import UsageCounter, period_start
from lamington.gateway.throttling import Buckets, TokenBucket

USAGE_DAYS_KEPT = 400
"""So many days of a key's usage are kept, which is more than a request for them may span."""

FLUSH_S = 0.25
FLUSH_ROWS = 1000
FLUSH_PAUSE_S = 0.005
"""So many rows are written at once, a few milliseconds of work; then others have their turn."""

PLAN_BUCKETS = "usage plan"


@dataclass(slots=True)
class Subscription:
    """A key's right to call a stage, by the plan that gives it.

    `methods` are buckets by `/path/VERB`, for methods that the plan limits apart; `bucket` is
    for all others, None where the plan has no throttle. `identity` is what a request learns.
    """

    key_id: str
    plan_id: str
    bucket: TokenBucket | None
    methods: Mapping[str, TokenBucket]
    counter: UsageCounter
    identity: Mapping[str, Any]


class StageKeys:
    """Who may call one stage: subscriptions by the value that a client sends."""

    __slots__ = ("by_value",)

    def __init__(self) -> None:
        self.by_value: dict[str, Subscription] = {}


class UsagePlans:
    """The API keys and usage plans of an engine, and what is used of them.

    Differs: counts are written every quarter of a second; a crash loses those of the last one.
    """

    def __init__(
        self, *, store: Store, clock: Clock, buckets: Buckets, flush_s: float = FLUSH_S
    ) -> None:
        self.transaction = store.transaction
        self.keys: Table[ApiKey] = Table(
            store, "gateway_api_keys", ApiKey, lambda row: (row.key_id,)
        )
        self.plans: Table[UsagePlan] = Table(
            store, "gateway_usage_plans", UsagePlan, lambda row: (row.plan_id,)
        )
        self.plan_keys: Table[UsagePlanKey] = Table(
            store, "gateway_usage_plan_keys", UsagePlanKey, lambda row: (row.plan_id, row.key_id)
        )
        self.days: Table[UsageDay] = Table(
            store, "gateway_usage_days", UsageDay, lambda row: (row.plan_id, row.key_id, row.day)
        )
        self._clock = clock
        self._buckets = buckets
        self._flush_s = flush_s
        self._stages: dict[tuple[str, str], StageKeys] = {}
        self._counters: dict[tuple[Scope, str, str], UsageCounter] = {}
        self._owners: dict[UsageCounter, tuple[Scope, str, str]] = {}
        self._changed: list[UsageCounter] = []
        self._finished: list[tuple[Scope, UsageDay]] = []
        self._timer: asyncio.TimerHandle | None = None

    # Serving

    def stage(self, api_id: str, stage_name: str) -> StageKeys:
        """Who may call a stage; the same object for ever, so that a gate may hold on to it."""
        return self._stages.setdefault((api_id, stage_name), StageKeys())

    def why_not(self, scope: Scope, value: str) -> str:
        """Why a value opens no stage, for who has to find out; asks the store."""
        if not value:
            return "no API key was sent"
        key = next((each for each in self.keys.all(scope) if each.value == value), None)
        if key is None:
            return "no API key has this value"
        if not key.enabled:
            return f"API key {key.key_id} is disabled"
        return f"API key {key.key_id} is in no usage plan of this stage"

    def restore(self) -> None:
        """Give every key its stages: what a start of the engine does."""
        keys = {(scope, key.key_id): key for scope, key in self.keys.everywhere()}
        plans = {(scope, plan.plan_id): plan for scope, plan in self.plans.everywhere()}
        for scope, row in list(self.plan_keys.everywhere()):
            self._attach(scope, plans[scope, row.plan_id], keys[scope, row.key_id])

    # Changes, each after it was written down

    def key_changed(self, scope: Scope, key: ApiKey, plans: Iterable[UsagePlan]) -> None:
        """Act on a key that was made, enabled, disabled or put into one of the plans."""
        for plan in plans:
            self._attach(scope, plan, key)

    def key_left(self, scope: Scope, key: ApiKey, plan: UsagePlan) -> None:
        """Act on a key that was taken out of a plan; what it used of it is forgotten."""
        self._detach(plan, key)
        counter = self._counters.pop((scope, plan.plan_id, key.key_id), None)
        if counter is not None:
            del self._owners[counter]
            self._changed = [each for each in self._changed if each is not counter]
        for day in self.days.all(scope, plan.plan_id, key.key_id):
            self.days.delete(scope, day.plan_id, day.key_id, day.day)
        self._buckets.forget(PLAN_BUCKETS, plan.plan_id, key.key_id)

    def plan_changed(self, scope: Scope, before: UsagePlan, plan: UsagePlan) -> None:
        """Act on a plan's new limits and stages."""
        for key in self.keys_of(scope, plan):
            self._detach(before, key)
            self._attach(scope, plan, key)

    def keys_of(self, scope: Scope, plan: UsagePlan) -> list[ApiKey]:
        """The keys of a plan."""
        rows = self.plan_keys.all(scope, plan.plan_id)
        found = (self.keys.get(scope, row.key_id) for row in rows)
        return [key for key in found if key is not None]

    def plans_of(self, scope: Scope, key_id: str) -> list[UsagePlan]:
        """The plans that a key is in."""
        return [
            plan
            for plan in self.plans.all(scope)
            if self.plan_keys.get(scope, plan.plan_id, key_id) is not None
        ]

    def grant(self, scope: Scope, plan_id: str, key_id: str, remaining: int) -> None:
        """Set what a key has left of its quota in this period."""
        counter = self._counters[scope, plan_id, key_id]
        counter.turn()
        counter.remaining = remaining
        self._note(counter)
        self.flush()

    def forget_stage(self, scope: Scope, api_id: str, stage_name: str) -> None:
        """Take a stage that was deleted out of all plans, and drop its buckets."""
        self._buckets.forget("stage", api_id, stage_name)
        for plan in self.plans.all(scope):
            left = tuple(
                each
                for each in plan.api_stages
                if (each.api_id, each.stage_name) != (api_id, stage_name)
            )
            if left != plan.api_stages:
                changed = replace(plan, api_stages=left)
                self.plans.put(scope, changed)
                self.plan_changed(scope, plan, changed)

    def _attach(self, scope: Scope, plan: UsagePlan, key: ApiKey) -> None:
        self._detach(plan, key)
        counter = self._counter(scope, plan, key)
        if not key.enabled:
            return
        whole = self._bucket(plan.throttle, plan.plan_id, key.key_id)
        identity = MappingProxyType({"apiKey": key.value, "apiKeyId": key.key_id})
        for stage in plan.api_stages:
            methods = {}
            for name, throttle in stage.throttle.items():
                method = f"/{name.lstrip('/')}"
                bucket = self._bucket(
                    throttle, plan.plan_id, key.key_id, stage.api_id, stage.stage_name, method
                )
                if bucket is not None:
                    methods[method] = bucket
            self.stage(stage.api_id, stage.stage_name).by_value[key.value] = Subscription(
                key.key_id, plan.plan_id, whole, methods, counter, identity
            )

    def _detach(self, plan: UsagePlan, key: ApiKey) -> None:
        for stage in plan.api_stages:
            self.stage(stage.api_id, stage.stage_name).by_value.pop(key.value, None)

    def _bucket(self, throttle: Throttle | None, *key: str) -> TokenBucket | None:
        """Differs: a rate without a burst, or the other way round, is limited by the account."""
        if throttle is None:
            return None
        rate, burst = throttle.rate_limit, throttle.burst_limit
        if rate is None and burst is None:
            return None
        return self._buckets.bucket(
            (PLAN_BUCKETS, *key),
            self._buckets.default_rate if rate is None else rate,
            self._buckets.default_burst if burst is None else burst,
        )

    # Counting

    def _counter(self, scope: Scope, plan: UsagePlan, key: ApiKey) -> UsageCounter:
        owner = (scope, plan.plan_id, key.key_id)
        counter = self._counters.get(owner)
        if counter is None:
            counter = self._counters[owner] = UsageCounter(
                self._clock, on_change=self._note, on_turn=self._finish
            )
            self._owners[counter] = owner
            self._read_back(owner, counter, plan)
        elif counter.quota != plan.quota:
            self.flush()
            counter.change_quota(plan.quota, self._used_of_period(owner, counter, plan))
            self._note(counter)
        return counter

    def _read_back(
        self, owner: tuple[Scope, str, str], counter: UsageCounter, plan: UsagePlan
    ) -> None:
        """Let a counter go on where its rows end."""
        rows = self.days.all(*owner)
        counter.limit_to(plan.quota, self._used_of_period(owner, counter, plan))
        if not rows:
            return
        last = rows[-1]
        if last.day == counter.day.isoformat():
            counter.used = last.used
        if (
            plan.quota is not None
            and last.remaining is not None
            and date.fromisoformat(last.day) >= period_start(plan.quota, counter.day)
        ):
            counter.remaining = last.remaining

    def _used_of_period(
        self, owner: tuple[Scope, str, str], counter: UsageCounter, plan: UsagePlan
    ) -> int:
        if plan.quota is None:
            return 0
        first = period_start(plan.quota, counter.day).isoformat()
        return sum(row.used for row in self.days.all(*owner) if row.day >= first)

    def _note(self, counter: UsageCounter) -> None:
        """Remember that a counter is to be written down, soon."""
        counter.changed = True
        self._changed.append(counter)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._flush_s, self._flush_some)

    def _finish(self, counter: UsageCounter) -> None:
        self._finished.append(self._row(counter))

    def _row(self, counter: UsageCounter) -> tuple[Scope, UsageDay]:
        scope, plan_id, key_id = self._owners[counter]
        return scope, UsageDay(
            plan_id=plan_id,
            key_id=key_id,
            day=counter.day.isoformat(),
            used=counter.used,
            remaining=None if counter.quota is None else counter.remaining,
        )

    def flush(self) -> None:
        """Write down what was counted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._changed or self._finished:
            self._write()

    def _flush_some(self) -> None:
        """Write a part: whoever waits for the loop must not wait for all of it."""
        self._timer = None
        self._write()
        if self._changed or self._finished:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_PAUSE_S, self._flush_some)

    def _write(self) -> None:
        """Write some rows in one transaction."""
        changed, self._changed = self._changed[:FLUSH_ROWS], self._changed[FLUSH_ROWS:]
        finished, self._finished = self._finished[:FLUSH_ROWS], self._finished[FLUSH_ROWS:]
        rows = [*finished, *map(self._row, changed)]
        for counter in changed:
            counter.changed = False
        with self.transaction():
            for scope, row in rows:
                self.days.put(scope, row)

    def usage(self, scope: Scope, plan_id: str, key_id: str) -> dict[str, UsageDay]:
        """What a key used of a plan, by day; days without a request have no row."""
        counter = self._counters.get((scope, plan_id, key_id))
        if counter is not None:
            counter.turn()
        self.flush()
        rows = self.days.all(scope, plan_id, key_id)
        for row in rows[:-USAGE_DAYS_KEPT]:
            self.days.delete(scope, plan_id, key_id, row.day)
        return {row.day: row for row in rows}

    def remaining(self, scope: Scope, plan_id: str, key_id: str) -> int:
        """What a key has left of its quota today; 0 where that is less than nothing."""
        counter = self._counters[scope, plan_id, key_id]
        counter.turn()
        return 0 if counter.quota is None else max(counter.remaining, 0)
