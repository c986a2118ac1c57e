"""The admission gate: keys, plans, quotas and throttles, as one method meets them."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamington.core.aws import Scope
from lamington.core.clock import Calendar, ManualClock
from lamington.core.store import Store
from lamington.gateway.admission import compile_admission
from lamington.gateway.entities import (
    ApiKey,
    Method,
    PlanStage,
    Quota,
    Resource,
    RestApi,
    Stage,
    Throttle,
    UsagePlan,
    UsagePlanKey,
)
from lamington.gateway.mapping import NO_IDENTITY, Gate, MethodRequest
from lamington.gateway.recording import Recording
from lamington.gateway.responses import Refusal
from lamington.gateway.throttling import Buckets
from lamington.gateway.usage_plans import UsagePlans

SCOPE = Scope(account_id="123456789012", region="eu-west-1")
NOW = "2026-01-01T00:00:00+00:00"
VALUE = "apikey1234abcdefghij"
DAY_S = 86_400


def method_request(clock: ManualClock, **headers: str) -> MethodRequest:
    return MethodRequest(
        method="GET",
        path="/pets",
        context_path="/dev/pets",
        path_parameters={},
        query="",
        fields=(),
        headers={},
        known={name.replace("_", "-"): value for name, value in headers.items()},
        body=b"",
        source_ip="127.0.0.1",
        host="localhost",
        request_id="id-1",
        extended_request_id="extended",
        trace_id="Root=1",
        moment=Calendar(clock).moment(),
        identity=NO_IDENTITY,
    )


class World:
    """One API of one stage, plans and keys."""

    def __init__(self, directory: Path, *, rate: float = 10_000.0, burst: int = 5_000) -> None:
        self.clock = ManualClock()
        self.store = Store(directory)
        self.buckets = Buckets(self.clock, account_rate=rate, account_burst=burst)
        self.plans = UsagePlans(store=self.store, clock=self.clock, buckets=self.buckets)
        self.resource = Resource(resource_id="res1", path="/pets")
        self.api = RestApi(
            api_id="abc123", name="pets", created=NOW, resources={"res1": self.resource}
        )

    def stage(self, **settings: dict[str, Any]) -> Stage:
        return Stage(
            api_id="abc123",
            stage_name="dev",
            deployment_id="dep1",
            method_settings={"*/*": settings.pop("every", {}), **settings},
            created=NOW,
            last_updated=NOW,
        )

    def gate(
        self, stage: Stage | None = None, *, keyed: bool = False, source: str = "HEADER"
    ) -> Gate | None:
        return compile_admission(
            api=replace(self.api, api_key_source=source),
            stage=stage or self.stage(),
            resource=self.resource,
            method=Method(http_method="GET", api_key_required=keyed),
            scope=SCOPE,
            plans=self.plans,
            buckets=self.buckets,
        )

    def add_key(self, value: str = VALUE, key_id: str = "key1", **members: Any) -> ApiKey:
        key = ApiKey(key_id=key_id, value=value, created=NOW, last_updated=NOW, **members)
        self.plans.keys.put(SCOPE, key)
        return key

    def add_plan(self, *keys: ApiKey, **members: Any) -> UsagePlan:
        stages = members.pop("api_stages", (PlanStage(api_id="abc123", stage_name="dev"),))
        plan = UsagePlan(plan_id="plan1", name="plan", api_stages=stages, **members)
        self.plans.plans.put(SCOPE, plan)
        for key in keys:
            self.plans.plan_keys.put(SCOPE, UsagePlanKey(plan_id="plan1", key_id=key.key_id))
            self.plans.key_changed(SCOPE, key, [plan])
        return plan

    def change_plan(self, before: UsagePlan, **members: Any) -> UsagePlan:
        plan = replace(before, **members)
        self.plans.plans.put(SCOPE, plan)
        self.plans.plan_changed(SCOPE, before, plan)
        return plan

    def request(self, **headers: str) -> MethodRequest:
        return method_request(self.clock, **headers)

    def outcome(self, gate: Gate | None, value: str = VALUE) -> str:
        """ "" where a request with the key is let in, else the type of its refusal."""
        assert gate is not None
        try:
            gate(self.request(x_api_key=value))
        except Refusal as refusal:
            return refusal.response_type
        return ""

    def admitted(self, gate: Gate | None, tries: int = 20, value: str = VALUE) -> int:
        return sum(self.outcome(gate, value) == "" for _ in range(tries))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.plans.flush()
    made.store.close()


def test_stage_with_default_limits_takes_from_the_account_alone(world: World) -> None:
    world.gate(world.stage(every={"throttlingRateLimit": 10_000.0, "throttlingBurstLimit": 5_000}))
    assert list(world.buckets._buckets) == [("account", "123456789012", "eu-west-1")]


def test_stage_that_nothing_limits_has_no_gate(tmp_path: Path) -> None:
    assert World(tmp_path, rate=0.0).gate() is None


def test_burst_of_the_account_is_shared_by_all_its_methods(tmp_path: Path) -> None:
    world = World(tmp_path, rate=1.0, burst=6)
    gate = world.gate()
    world.resource = Resource(resource_id="res2", path="/other")
    assert world.admitted(gate, 4) + world.admitted(world.gate()) == 6


def test_method_settings_override_those_of_the_stage(world: World) -> None:
    stage = world.stage(
        every={"throttlingRateLimit": 1.0, "throttlingBurstLimit": 2},
        **{"~1pets/GET": {"throttlingBurstLimit": 4}},
    )
    assert world.admitted(world.gate(stage)) == 4


def test_default_of_the_stage_counts_for_each_method_apart(world: World) -> None:
    stage = world.stage(every={"throttlingRateLimit": 1.0, "throttlingBurstLimit": 3})
    assert world.admitted(world.gate(stage)) == 3
    world.resource = Resource(resource_id="res2", path="/other")
    assert world.admitted(world.gate(stage)) == 3


@pytest.mark.parametrize("member", ["throttlingRateLimit", "throttlingBurstLimit"])
def test_limit_of_zero_blocks_a_method(world: World, member: str) -> None:
    assert world.outcome(world.gate(world.stage(every={member: 0}))) == "THROTTLED"


def test_limit_below_zero_is_no_limit(world: World) -> None:
    stage = world.stage(every={"throttlingRateLimit": -1.0, "throttlingBurstLimit": -1})
    assert world.admitted(world.gate(stage), 100) == 100


def test_spent_tokens_survive_a_redeployment_with_other_limits(world: World) -> None:
    limits = {"throttlingRateLimit": 1.0, "throttlingBurstLimit": 5}
    assert world.admitted(world.gate(world.stage(every=limits))) == 5
    assert world.admitted(world.gate(world.stage(every={**limits, "throttlingBurstLimit": 7}))) == 2


def test_refusal_by_the_account_gives_the_method_its_token_back(tmp_path: Path) -> None:
    world = World(tmp_path, rate=1.0, burst=2)
    gate = world.gate(world.stage(every={"throttlingRateLimit": 0.5}))
    assert world.admitted(gate) == 2
    method = world.buckets.bucket(("stage", "abc123", "dev", "/pets", "GET"), 0.5, 2)
    assert world.buckets.account(SCOPE) is not method
    assert not method.take()


@pytest.mark.parametrize("value", ["", "wrong", VALUE])
def test_key_without_a_plan_of_the_stage_is_refused(world: World, value: str) -> None:
    world.add_key()
    assert world.outcome(world.gate(keyed=True), value) == "INVALID_API_KEY"


async def test_key_in_a_plan_of_the_stage_is_let_in_and_known(world: World) -> None:
    world.add_plan(world.add_key())
    gate = world.gate(keyed=True)
    assert gate is not None
    request = world.request(x_api_key=VALUE)
    gate(request)
    assert dict(request.identity) == {"apiKey": VALUE, "apiKeyId": "key1"}


async def test_what_authorization_learned_stays_with_the_key(world: World) -> None:
    world.add_plan(world.add_key())
    gate = world.gate(keyed=True)
    assert gate is not None
    request = world.request(x_api_key=VALUE)
    request.identity = {"user": "me"}
    gate(request)
    assert request.identity == {"user": "me", "apiKey": VALUE, "apiKeyId": "key1"}


async def test_key_of_an_authorizer_is_not_read_from_the_header(world: World) -> None:
    world.add_plan(world.add_key())
    gate = world.gate(keyed=True, source="AUTHORIZER")
    assert world.outcome(gate) == "INVALID_API_KEY"
    assert gate is not None
    request = world.request()
    request.usage_key = VALUE
    gate(request)
    assert request.identity["apiKeyId"] == "key1"


async def test_change_of_a_key_acts_on_the_next_request(world: World) -> None:
    key = world.add_key()
    plan = world.add_plan(key)
    gate = world.gate(keyed=True)
    assert world.outcome(gate) == ""
    disabled = world.add_key(enabled=False)
    world.plans.key_changed(SCOPE, disabled, [plan])
    assert world.outcome(gate) == "INVALID_API_KEY"
    world.plans.key_changed(SCOPE, world.add_key(), [plan])
    assert world.outcome(gate) == ""
    world.plans.key_left(SCOPE, key, plan)
    assert world.outcome(gate) == "INVALID_API_KEY"


async def test_throttle_of_a_plan_is_of_each_key(world: World) -> None:
    other = "anotherkey1234567890"
    world.add_plan(
        world.add_key(),
        world.add_key(other, "key2"),
        throttle=Throttle(rate_limit=1.0, burst_limit=3),
    )
    gate = world.gate(keyed=True)
    assert world.admitted(gate) == 3
    assert world.admitted(gate, value=other) == 3
    assert world.outcome(gate) == "THROTTLED"


async def test_throttle_of_a_method_stands_instead_of_the_plans(world: World) -> None:
    limit = {"/pets/GET": Throttle(rate_limit=1.0, burst_limit=5)}
    world.add_plan(
        world.add_key(),
        throttle=Throttle(rate_limit=1.0, burst_limit=3),
        api_stages=(PlanStage(api_id="abc123", stage_name="dev", throttle=limit),),
    )
    assert world.admitted(world.gate(keyed=True)) == 5


async def test_plan_changes_its_rate_in_place(world: World) -> None:
    plan = world.add_plan(world.add_key(), throttle=Throttle(rate_limit=1.0, burst_limit=3))
    gate = world.gate(keyed=True)
    assert world.admitted(gate) == 3
    plan = world.change_plan(plan, throttle=Throttle(rate_limit=1.0, burst_limit=5))
    assert world.admitted(gate) == 2
    world.change_plan(plan, throttle=None)
    assert world.admitted(gate) == 20


async def test_quota_is_counted_for_requests_that_are_let_in(world: World) -> None:
    world.add_plan(world.add_key(), quota=Quota(limit=4, period="DAY"))
    gate = world.gate(
        world.stage(every={"throttlingRateLimit": 1.0, "throttlingBurstLimit": 3}), keyed=True
    )
    assert world.admitted(gate) == 3
    assert world.outcome(gate) == "THROTTLED"
    await world.clock.advance(10)
    assert world.admitted(gate) == 1
    assert world.outcome(gate) == "QUOTA_EXCEEDED"


async def test_counts_survive_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add_plan(world.add_key(), quota=Quota(limit=10, period="MONTH"))
    assert world.admitted(world.gate(keyed=True), 7) == 7
    world.plans.flush()
    world.store.close()
    again = World(tmp_path)
    again.plans.restore()
    assert again.plans.remaining(SCOPE, "plan1", "key1") == 3
    assert again.admitted(again.gate(keyed=True)) == 3
    again.plans.flush()
    assert again.plans.usage(SCOPE, "plan1", "key1")["2026-01-01"].used == 10


async def test_remaining_requests_can_be_granted(world: World) -> None:
    world.add_plan(world.add_key(), quota=Quota(limit=2, period="DAY"))
    gate = world.gate(keyed=True)
    assert world.admitted(gate) == 2
    world.plans.grant(SCOPE, "plan1", "key1", 5)
    assert world.admitted(gate) == 5


async def test_usage_is_kept_by_day(world: World) -> None:
    world.add_plan(world.add_key(), quota=Quota(limit=100, period="MONTH"))
    gate = world.gate(keyed=True)
    world.admitted(gate, 3)
    await world.clock.advance(DAY_S)
    world.admitted(gate, 2)
    days = world.plans.usage(SCOPE, "plan1", "key1")
    assert {day: (row.used, row.remaining) for day, row in days.items()} == {
        "2026-01-01": (3, 97),
        "2026-01-02": (2, 95),
    }


async def test_deleted_stage_leaves_its_plans(world: World) -> None:
    world.add_plan(world.add_key())
    gate = world.gate(keyed=True)
    assert world.outcome(gate) == ""
    world.plans.forget_stage(SCOPE, "abc123", "dev")
    assert world.outcome(gate) == "INVALID_API_KEY"
    plan = world.plans.plans.get(SCOPE, "plan1")
    assert plan is not None
    assert plan.api_stages == ()


async def test_recording_tells_why_a_request_was_let_in_or_not(world: World) -> None:
    world.add_plan(world.add_key(enabled=False))
    gate = world.gate(keyed=True)
    assert gate is not None
    request = world.request(x_api_key=VALUE)
    request.recording = Recording(world.clock)
    with pytest.raises(Refusal) as refused:
        gate(request)
    [step] = request.recording.steps
    assert (step.name, step.values["decision"]) == ("usage_plan", "not authorized")
    assert step.values["why"] == "API key key1 is disabled"
    assert refused.value.message == (
        "API Key **************efghij not authorized because method 'GET /pets' requires API Key"
        " and API Key is not associated with a Usage Plan for API Stage abc123/dev: No Usage Plan"
        " found for key and API Stage"
    )


def test_recording_shows_each_throttle(world: World) -> None:
    gate = world.gate(world.stage(every={"throttlingBurstLimit": 3}))
    assert gate is not None
    request = world.request()
    request.recording = Recording(world.clock)
    gate(request)
    assert [(step.name, step.values["level"]) for step in request.recording.steps] == [
        ("throttle", "method"),
        ("throttle", "account"),
    ]


async def test_counts_are_written_by_a_timer(world: World) -> None:
    world.plans = UsagePlans(
        store=world.store, clock=world.clock, buckets=world.buckets, flush_s=0.0
    )
    world.add_plan(world.add_key())
    assert world.admitted(world.gate(keyed=True), 5) == 5
    assert world.plans.days.all(SCOPE, "plan1", "key1") == []
    for _ in range(5):
        await asyncio.sleep(0)
    [row] = world.plans.days.all(SCOPE, "plan1", "key1")
    assert (row.used, row.remaining) == (5, None)


async def test_usage_of_a_key_ends_with_its_place_in_the_plan(world: World) -> None:
    key = world.add_key()
    plan = world.add_plan(key, quota=Quota(limit=3, period="DAY"))
    assert world.admitted(world.gate(keyed=True)) == 3
    world.plans.key_left(SCOPE, key, plan)
    world.plans.key_changed(SCOPE, key, [plan])
    assert world.admitted(world.gate(keyed=True)) == 3
