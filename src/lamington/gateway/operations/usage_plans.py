"""The API Gateway operations on usage plans, their keys, and what was used of them.

Left to others: the keys themselves (`api_keys`), and plans at work (`gateway/usage_plans`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import msgspec

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.gateway.entities import (
    ApiKey,
    BadRequestException,
    ConflictException,
    NotFoundException,
    PlanStage,
    Quota,
    Throttle,
    UsageDay,
    UsagePlan,
    UsagePlanKey,
)
from lamington.gateway.operations.tables import (
    GatewayTables,
    Patch,
    listing,
    page_of,
    parse_patches,
    shown,
)
from lamington.gateway.quotas import OFFSET_MAX, PERIODS, period_start
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, ServiceQuotas, require_room
from lamington.gateway.usage_plans import UsagePlans
from lamington.gateway.v2.tables import V2Tables

FindStage = Callable[[Scope, str, str], str]
"""The protocol of the API that has a stage, `REST`, `WEBSOCKET` or `HTTP`; "" for none."""


def stage_finder(rest: GatewayTables, v2: V2Tables) -> FindStage:
    """Find stages among REST, WebSocket and HTTP APIs."""

    def find(scope: Scope, api_id: str, stage_name: str) -> str:
        if rest.stages.get(scope, api_id, stage_name) is not None:
            return "REST"
        api = v2.apis.get(scope, api_id)
        if api is None or v2.stages.get(scope, api_id, stage_name) is None:
            return ""
        return api.protocol_type

    return find


KEY_TYPE = "API_KEY"
USAGE_DAYS_MAX = 90
METHOD_THROTTLES_MAX = 20

_STAGE = "/apiStages/<apidId:stageName>/throttle"
_STAGE_METHOD = f"{_STAGE}/<resourcePath>/<httpMethod>"

USAGE_PLAN_PATCH_PATHS: Mapping[str, tuple[str, ...]] = {
    "add": (
        "/apiStages",
        "/productCode",
        "/quota/limit",
        "/quota/offset",
        "/quota/period",
        "/throttle/burstLimit",
        "/throttle/rateLimit",
        f"{_STAGE_METHOD}/burstLimit",
        f"{_STAGE_METHOD}/rateLimit",
    ),
    "remove": ("/apiStages", "/quota", "/throttle", "/productCode", _STAGE_METHOD, _STAGE),
    "replace": (
        "/name",
        "/description",
        "/productCode",
        "/quota/limit",
        "/quota/offset",
        "/quota/period",
        "/throttle/burstLimit",
        "/throttle/rateLimit",
        _STAGE,
        f"{_STAGE_METHOD}/burstLimit",
        f"{_STAGE_METHOD}/rateLimit",
    ),
}
"""By operation. AWS: those of `remove` are recorded; the others are what clients of AWS use."""

USAGE_PATCH_PATHS: Mapping[str, tuple[str, ...]] = {"replace": ("/remaining",)}


class UsagePlanOperations:
    """What AWS's API says of usage plans; each change acts on the next request."""

    def __init__(
        self,
        *,
        plans: UsagePlans,
        clock: Clock,
        ids: Ids,
        find_stage: FindStage,
        quotas: ServiceQuotas = DEFAULT_QUOTAS,
    ) -> None:
        self._plans = plans
        self._quotas = quotas
        self._clock = clock
        self._ids = ids
        self._find_stage = find_stage

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:CreateUsagePlan": self.create_usage_plan,
            "apigateway:GetUsagePlan": self.get_usage_plan,
            "apigateway:GetUsagePlans": self.get_usage_plans,
            "apigateway:UpdateUsagePlan": self.update_usage_plan,
            "apigateway:DeleteUsagePlan": self.delete_usage_plan,
            "apigateway:CreateUsagePlanKey": self.create_usage_plan_key,
            "apigateway:GetUsagePlanKey": self.get_usage_plan_key,
            "apigateway:GetUsagePlanKeys": self.get_usage_plan_keys,
            "apigateway:DeleteUsagePlanKey": self.delete_usage_plan_key,
            "apigateway:GetUsage": self.get_usage,
            "apigateway:UpdateUsage": self.update_usage,
        }

    # Plans

    async def create_usage_plan(self, params: Params, scope: Scope) -> Result:
        if not params["name"].strip():
            raise BadRequestException("Usage Plan name cannot be blank")
        plan = UsagePlan(
            plan_id=self._ids.token(6),
            name=params["name"],
            description=params.get("description") or "",
            api_stages=tuple(
                PlanStage(
                    api_id=each.get("apiId") or "",
                    stage_name=each.get("stage") or "",
                    throttle={
                        name: _throttle(limits)
                        for name, limits in (each.get("throttle") or {}).items()
                    },
                )
                for each in params.get("apiStages") or ()
            ),
            throttle=_throttle(params["throttle"]) if params.get("throttle") else None,
            quota=_quota(params["quota"]) if params.get("quota") else None,
            tags=dict(params.get("tags") or {}),
        )
        _require_sensible(plan)
        for stage in plan.api_stages:
            self._require_stage(scope, stage.api_id, stage.stage_name)
        made = len(self._plans.plans.all(scope))
        require_room(made, self._quotas.usage_plans, "Usage Plans", "account")
        self._plans.plans.put(scope, plan)
        return usage_plan_result(plan)

    async def get_usage_plan(self, params: Params, scope: Scope) -> Result:
        return usage_plan_result(self._plan(params, scope))

    async def get_usage_plans(self, params: Params, scope: Scope) -> Result:
        key_id = params.get("keyId")
        found = self._plans.plans_of(scope, key_id) if key_id else self._plans.plans.all(scope)
        plans, position = page_of(params, [(plan.plan_id, plan) for plan in found])
        return listing([usage_plan_result(self._current(scope, plan)) for plan in plans], position)

    async def update_usage_plan(self, params: Params, scope: Scope) -> Result:
        before = self._plan(params, scope)
        plan, quota = before, _quota_members(before.quota)
        for patch in parse_patches(params):
            if patch.path[:1] == ("quota",):
                quota = _patched_quota(quota, patch)
            else:
                plan = self._patched(plan, patch, scope)
        plan = replace(plan, quota=_quota(quota) if quota else None)
        _require_sensible(plan)
        self._require_free_keys(scope, before, plan)
        self._plans.plans.put(scope, plan)
        self._plans.plan_changed(scope, before, plan)
        return usage_plan_result(plan)

    async def delete_usage_plan(self, params: Params, scope: Scope) -> Result:
        """AWS: the text is recorded; a plan with stages is not deleted."""
        plan = self._plan(params, scope)
        if plan.api_stages:
            stage = plan.api_stages[0]
            raise BadRequestException(
                f"Cannot delete Usage Plan {plan.plan_id} because there are API Stages associated"
                f" with it, including {stage.api_id}:{stage.stage_name}"
            )
        keys = self._plans.keys_of(scope, plan)
        with self._plans.transaction():
            for key in keys:
                self._plans.plan_keys.delete(scope, plan.plan_id, key.key_id)
                self._plans.key_left(scope, key, plan)
            self._plans.plans.delete(scope, plan.plan_id)
        return {}

    def _plan(self, params: Params, scope: Scope) -> UsagePlan:
        return self._current(scope, require_plan(self._plans, scope, params["usagePlanId"]))

    def _current(self, scope: Scope, plan: UsagePlan) -> UsagePlan:
        """A plan without the stages that are no more: whoever asks for it takes them out.

        Differs: AWS tells nothing of what becomes of a plan whose stage is deleted.
        """
        gone = [
            each
            for each in plan.api_stages
            if not self._find_stage(scope, each.api_id, each.stage_name)
        ]
        for each in gone:
            self._plans.forget_stage(scope, each.api_id, each.stage_name)
        return require_plan(self._plans, scope, plan.plan_id) if gone else plan

    def _patched(self, plan: UsagePlan, patch: Patch, scope: Scope) -> UsagePlan:
        """Apply an operation to anything but the quota, which is looked at when all are done."""
        paths = USAGE_PLAN_PATCH_PATHS.get(patch.op, ())
        value = "" if patch.op == "remove" else patch.value
        match patch.path:
            case (("name" | "description") as name,) if patch.op == "replace":
                if name == "name" and not value.strip():
                    raise BadRequestException("Usage Plan name cannot be blank")
                changed: dict[str, Any] = {name: value}
                return replace(plan, **changed)
            case ("productCode",):
                return replace(plan, product_code=value)
            case ("throttle",) if patch.op == "remove":
                return replace(plan, throttle=None)
            case ("throttle", ("rateLimit" | "burstLimit") as name) if patch.op != "remove":
                return replace(plan, throttle=_limited(plan.throttle, name, patch))
            case ("apiStages",) if patch.op in ("add", "remove"):
                return self._patched_stages(plan, patch, scope)
            case ("apiStages", stage, "throttle", *rest):
                return _patched_stage(plan, stage, rest, patch)
        raise patch.refused(paths)

    def _patched_stages(self, plan: UsagePlan, patch: Patch, scope: Scope) -> UsagePlan:
        """AWS: the value is `{api}:{stage}`; the texts are recorded."""
        api_id, colon, stage_name = patch.value.partition(":")
        index = _stage_index(plan, patch.value)
        if patch.op == "remove":
            if index is None:
                raise BadRequestException("Invalid API Stage specified")
            left = (*plan.api_stages[:index], *plan.api_stages[index + 1 :])
            return replace(plan, api_stages=left)
        if not colon:
            raise NotFoundException(f"API Stage not found: {patch.value}")
        self._require_stage(scope, api_id, stage_name)
        if index is not None:
            raise ConflictException(
                f"API Stage {patch.value} is already associated with Usage Plan {plan.plan_id}"
            )
        added = PlanStage(api_id=api_id, stage_name=stage_name)
        return replace(plan, api_stages=(*plan.api_stages, added))

    def _require_stage(self, scope: Scope, api_id: str, stage_name: str) -> None:
        """AWS: all three texts are recorded, the first one with its unfilled places."""
        if not api_id or not stage_name:
            raise BadRequestException(
                "Invalid API Stage {api: %s, stage: %s} specified for usageplan %s",
                hint=f"API `{api_id}`, stage `{stage_name}`",
            )
        protocol = self._find_stage(scope, api_id, stage_name)
        if not protocol:
            raise NotFoundException(f"API Stage not found: {api_id}:{stage_name}")
        if protocol == "HTTP":
            raise BadRequestException("Usage plans are not allowed for HTTP Apis")

    def _require_free_keys(self, scope: Scope, before: UsagePlan, plan: UsagePlan) -> None:
        """A plan gets no stage where one of its keys is there by another plan already."""
        if len(plan.api_stages) > len(before.api_stages):
            for key in self._plans.keys_of(scope, plan):
                require_single_plan(self._plans, scope, key, plan)

    # Keys of plans

    async def create_usage_plan_key(self, params: Params, scope: Scope) -> Result:
        plan = self._plan(params, scope)
        if params["keyType"] != KEY_TYPE:
            raise BadRequestException("Usage Plan Key type must be API_KEY")
        key = self._require_key(scope, params["keyId"])
        if self._plans.plan_keys.get(scope, plan.plan_id, key.key_id) is not None:
            raise ConflictException(
                f"API Key {key.key_id} is already associated with Usage Plan {plan.plan_id}"
            )
        require_single_plan(self._plans, scope, key, plan)
        joined = len(self._plans.plans_of(scope, key.key_id))
        require_room(joined, self._quotas.usage_plans_per_key, "Usage Plans", "API Key")
        self._plans.plan_keys.put(scope, UsagePlanKey(plan_id=plan.plan_id, key_id=key.key_id))
        self._plans.key_changed(scope, key, [plan])
        return plan_key_result(key)

    async def get_usage_plan_key(self, params: Params, scope: Scope) -> Result:
        _, key = self._require_plan_key(params, scope)
        return plan_key_result(key)

    async def get_usage_plan_keys(self, params: Params, scope: Scope) -> Result:
        plan = self._plan(params, scope)
        name = params.get("nameQuery") or ""
        keys, position = page_of(
            params,
            [
                (key.key_id, key)
                for key in self._plans.keys_of(scope, plan)
                if key.name.startswith(name)
            ],
        )
        return listing([plan_key_result(key) for key in keys], position)

    async def delete_usage_plan_key(self, params: Params, scope: Scope) -> Result:
        plan, key = self._require_plan_key(params, scope)
        with self._plans.transaction():
            self._plans.plan_keys.delete(scope, plan.plan_id, key.key_id)
            self._plans.key_left(scope, key, plan)
        return {}

    def _require_key(self, scope: Scope, key_id: str) -> ApiKey:
        key = self._plans.keys.get(scope, key_id)
        if key is None:
            raise NotFoundException("Invalid API Key identifier specified")
        return key

    def _require_plan_key(self, params: Params, scope: Scope) -> tuple[UsagePlan, ApiKey]:
        plan = self._plan(params, scope)
        key = self._require_key(scope, params["keyId"])
        if self._plans.plan_keys.get(scope, plan.plan_id, key.key_id) is None:
            raise NotFoundException("Invalid Usage Plan Key identifier specified")
        return plan, key

    # Usage

    async def get_usage(self, params: Params, scope: Scope) -> Result:
        """What the keys of a plan used on each day, and what they had left of their quotas.

        AWS: a pair of both for each day, by key id; recorded. Ninety days at most.
        Differs: a plan without a quota shows 0 left; AWS's number is not recorded.
        """
        plan = self._plan(params, scope)
        start, end = _day(params["startDate"]), _day(params["endDate"])
        if start > end:
            raise BadRequestException("Invalid date range: startDate is after endDate")
        if (end - start).days >= USAGE_DAYS_MAX:
            raise BadRequestException(f"Date range exceeds the maximum of {USAGE_DAYS_MAX} days")
        if params.get("keyId"):
            _, key = self._require_plan_key(params, scope)
            keys = [key]
        else:
            keys = self._plans.keys_of(scope, plan)
        page, position = page_of(params, [(key.key_id, key) for key in keys])
        days = [start + timedelta(days=index) for index in range((end - start).days + 1)]
        items = {
            key.key_id: _daily(self._plans.usage(scope, plan.plan_id, key.key_id), days, plan.quota)
            for key in page
        }
        return _usage_result(plan, start, end, items, position)

    async def update_usage(self, params: Params, scope: Scope) -> Result:
        """Set what a key has left of its quota until the period ends."""
        plan, key = self._require_plan_key(params, scope)
        for patch in parse_patches(params):
            paths = USAGE_PATCH_PATHS.get(patch.op, ())
            if f"/{'/'.join(patch.path)}" not in paths:
                raise patch.refused(paths)
            if plan.quota is None:
                raise BadRequestException(f"Usage Plan {plan.plan_id} has no quota")
            if patch.whole < 0:
                raise patch.wrong_value()
            self._plans.grant(scope, plan.plan_id, key.key_id, patch.whole)
        today = self._clock.now().date()
        used = self._plans.usage(scope, plan.plan_id, key.key_id).get(today.isoformat())
        left = self._plans.remaining(scope, plan.plan_id, key.key_id)
        items = {key.key_id: [[0 if used is None else used.used, left]]}
        return _usage_result(plan, today, today, items, None)

    # Tags

    def tags(self, scope: Scope, plan_id: str) -> dict[str, str]:
        """The tags of a plan; raises NotFoundException."""
        return dict(require_plan(self._plans, scope, plan_id).tags)

    def put_tags(self, scope: Scope, plan_id: str, tags: dict[str, str]) -> None:
        plan = require_plan(self._plans, scope, plan_id)
        self._plans.plans.put(scope, replace(plan, tags=tags))


def require_plan(plans: UsagePlans, scope: Scope, plan_id: str) -> UsagePlan:
    """The usage plan of this id, or NotFoundException."""
    plan = plans.plans.get(scope, plan_id)
    if plan is None:
        raise NotFoundException("Invalid Usage Plan ID specified")
    return plan


def require_single_plan(plans: UsagePlans, scope: Scope, key: ApiKey, plan: UsagePlan) -> None:
    """Raise ConflictException where a key would come to a stage by two plans.

    AWS: developer guide, usage plans: a key has one plan for a stage; the text is a likely one.
    """
    stages = {(each.api_id, each.stage_name) for each in plan.api_stages}
    for other in plans.plans_of(scope, key.key_id):
        if other.plan_id == plan.plan_id:
            continue
        for stage in other.api_stages:
            if (stage.api_id, stage.stage_name) in stages:
                raise ConflictException(
                    f"API Key {key.key_id} is already associated with API Stage"
                    f" {stage.api_id}:{stage.stage_name} by Usage Plan {other.plan_id}"
                )


def usage_plan_result(plan: UsagePlan) -> Result:
    """A plan as AWS shows it: `apiStages` always, other members where they are set."""
    return {
        **shown({"id": plan.plan_id, "name": plan.name, "description": plan.description}),
        "apiStages": [
            {
                "apiId": each.api_id,
                "stage": each.stage_name,
                **shown(
                    {
                        "throttle": {
                            name: _throttle_result(limits) for name, limits in each.throttle.items()
                        }
                    }
                ),
            }
            for each in plan.api_stages
        ],
        **shown(
            {
                "throttle": None if plan.throttle is None else _throttle_result(plan.throttle),
                "quota": _quota_members(plan.quota),
                "productCode": plan.product_code,
                "tags": dict(plan.tags),
            }
        ),
    }


def plan_key_result(key: ApiKey) -> Result:
    """A key of a plan as AWS shows it."""
    return shown({"id": key.key_id, "type": KEY_TYPE, "value": key.value, "name": key.name})


def _throttle(limits: Mapping[str, Any]) -> Throttle:
    rate, burst = limits.get("rateLimit"), limits.get("burstLimit")
    return Throttle(rate_limit=None if rate is None else float(rate), burst_limit=burst)


def _throttle_result(throttle: Throttle) -> Result:
    values = {"burstLimit": throttle.burst_limit, "rateLimit": throttle.rate_limit}
    return {name: value for name, value in values.items() if value is not None}


def _limited(throttle: Throttle | None, name: str, patch: Patch) -> Throttle:
    before = throttle or Throttle()
    if name == "rateLimit":
        return replace(before, rate_limit=patch.number)
    return replace(before, burst_limit=patch.whole)


def _quota_members(quota: Quota | None) -> dict[str, Any]:
    if quota is None:
        return {}
    return {"limit": quota.limit, "offset": quota.offset, "period": quota.period}


def _quota(members: Mapping[str, Any]) -> Quota:
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


def _patched_quota(members: dict[str, Any], patch: Patch) -> dict[str, Any]:
    paths = USAGE_PLAN_PATCH_PATHS.get(patch.op, ())
    if f"/{'/'.join(patch.path)}" not in paths:
        raise patch.refused(paths)
    if patch.op == "remove":
        return {}
    name = patch.path[1]
    return {**members, name: patch.value if name == "period" else patch.whole}


def _stage_index(plan: UsagePlan, name: str) -> int | None:
    names = [f"{each.api_id}:{each.stage_name}" for each in plan.api_stages]
    return names.index(name) if name in names else None


def _patched_stage(
    plan: UsagePlan, stage_name: str, rest: Sequence[str], patch: Patch
) -> UsagePlan:
    """Change the limits that a plan sets to methods of a stage.

    AWS: `/apiStages/{api}:{stage}/throttle/{path}/{VERB}/rateLimit`; the path of the method may
    be written with `~1` or with slashes.
    """
    paths = USAGE_PLAN_PATCH_PATHS.get(patch.op, ())
    index = _stage_index(plan, stage_name)
    if index is None:
        raise BadRequestException("Invalid API Stage specified")
    stage = plan.api_stages[index]
    throttle = dict(stage.throttle)
    match rest:
        case [] if patch.op == "remove":
            throttle = {}
        case [] if patch.op == "replace":
            throttle = _throttle_map(patch)
        case [*names, ("rateLimit" | "burstLimit") as limit] if names and patch.op != "remove":
            method = _method_name(names)
            throttle[method] = _limited(throttle.get(method), limit, patch)
        case [*names] if names and patch.op == "remove" and _method_name(names) in throttle:
            del throttle[_method_name(names)]
        case _:
            raise patch.refused(paths)
    stages = list(plan.api_stages)
    stages[index] = replace(stage, throttle=throttle)
    return replace(plan, api_stages=tuple(stages))


def _method_name(parts: Sequence[str]) -> str:
    return f"/{'/'.join(parts).lstrip('/')}"


def _throttle_map(patch: Patch) -> dict[str, Throttle]:
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


def _require_sensible(plan: UsagePlan) -> None:
    """Raise BadRequestException for limits that are none; the texts are likely ones."""
    throttles = [each for stage in plan.api_stages for each in stage.throttle.values()]
    for throttle in [*throttles, *([plan.throttle] if plan.throttle else [])]:
        if (throttle.rate_limit or 0) < 0 or (throttle.burst_limit or 0) < 0:
            raise BadRequestException("Usage Plan throttle limits must not be negative")
    if any(len(stage.throttle) > METHOD_THROTTLES_MAX for stage in plan.api_stages):
        raise BadRequestException(
            f"A Usage Plan may throttle {METHOD_THROTTLES_MAX} methods of an API Stage"
        )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequestException(f"Invalid date: {text}", hint="such as `2026-01-31`") from None


def _daily(
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


def _usage_result(
    plan: UsagePlan,
    start: date,
    end: date,
    items: Mapping[str, list[list[int]]],
    position: str | None,
) -> Result:
    result: Result = {
        "usagePlanId": plan.plan_id,
        "startDate": start.isoformat(),
        "endDate": end.isoformat(),
        "items": dict(items),
    }
    return result if position is None else {**result, "position": position}
