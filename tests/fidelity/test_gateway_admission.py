"""The rows of admission: keys, plans and throttles, through the whole pipeline.

Of `times` requests in one moment the last one's answer is what `expect` names; `log` is the
sentence of the execution log.
"""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import SCOPE, SmallGateway, header, lambda_method, small_stage
from lamington.core.clock import ManualClock
from lamington.core.store import Store
from lamington.gateway.entities import (
    ApiKey,
    GatewayResponseDefinition,
    PlanStage,
    Quota,
    Throttle,
    UsagePlan,
    UsagePlanKey,
)
from lamington.gateway.throttling import Buckets
from lamington.gateway.usage_plans import UsagePlans

CASES = [
    pytest.param(case, id=case["id"])
    for case in tomllib.loads((Path(__file__).parent / "gateway_admission.toml").read_text())[
        "case"
    ]
]
NOW = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


def _throttle(limits: dict[str, Any] | None) -> Throttle | None:
    if not limits:
        return None
    return Throttle(rate_limit=limits["rateLimit"], burst_limit=limits["burstLimit"])


def _plans(given: dict[str, Any], store: Store, buckets: Buckets, clock: ManualClock) -> UsagePlans:
    plans = UsagePlans(store=store, clock=clock, buckets=buckets)
    if "plan" not in given:
        return plans
    members = given["plan"]
    key = ApiKey(
        key_id="key1",
        value="apikey1234abcdefghij",
        enabled=given.get("enabled", True),
        created=NOW,
        last_updated=NOW,
    )
    methods = {
        name: _throttle(each) or Throttle() for name, each in members.get("methods", {}).items()
    }
    plan = UsagePlan(
        plan_id="plan1",
        name="plan",
        api_stages=(
            PlanStage(api_id="abc123", stage_name=members.get("stage", "dev"), throttle=methods),
        ),
        throttle=_throttle(members.get("throttle")),
        quota=Quota(**members["quota"]) if "quota" in members else None,
    )
    plans.keys.put(SCOPE, key)
    plans.plans.put(SCOPE, plan)
    plans.plan_keys.put(SCOPE, UsagePlanKey(plan_id="plan1", key_id="key1"))
    plans.key_changed(SCOPE, key, [plan])
    return plans


@pytest.mark.parametrize("case", CASES)
async def test_admission_does_as_aws_does(case: dict[str, Any], store: Store) -> None:
    given, expect = case["given"], case["expect"]
    clock = ManualClock()
    account = given.get("account", {})
    buckets = Buckets(
        clock,
        account_rate=account.get("rate", 10_000.0),
        account_burst=account.get("burst", 5_000),
    )
    plans = _plans(given, store, buckets, clock)
    gateway = SmallGateway(
        {"GET /pets": lambda_method("GET", api_key_required=given.get("keyed", False))},
        lambda event: {"statusCode": 200},
        stage=small_stage(method_settings=given.get("settings", {})),
        plans=plans,
        buckets=buckets,
        api_key_source=given.get("api_key_source", "HEADER"),
        gateway_responses={
            name: GatewayResponseDefinition(response_type=name, **members)
            for name, members in given.get("gateway_responses", {}).items()
        },
    )
    sent = [(given.get("header", "x-api-key"), given["sent"])] if "sent" in given else []
    for _ in range(given.get("times", 1)):
        response = await gateway.send("GET /pets", headers=sent)
    plans.flush()
    assert response.status == expect["status"]
    if "body" in expect:
        assert response.body.decode() == expect["body"]
    if "error_type" in expect:
        assert header(response, "x-amzn-ErrorType") == expect["error_type"]
    if "log" in expect:
        refusal = gateway.completed[-1].refusal
        assert refusal is not None
        assert refusal.message == expect["log"]
    for path, value in expect.get("event", {}).items():
        found: Any = gateway.event
        for part in path.split("/"):
            found = found[part]
        assert found == value, json.dumps(gateway.event)
