"""The API Gateway operations on usage plans, their keys, and what was used of them.

Left to others: the keys themselves (`api_keys`), and plans at work (`gateway/usage_plans`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.gateway.entities import (
    ApiKey,
    BadRequestException,
    ConflictException,
    NotFoundException,
    PlanStage,
    UsagePlan,
    UsagePlanKey,
)
from lamington.gateway.operations.plan_limits import (
    daily_usage,
    limited,
    parse_throttles,
    patched_quota,
    quota_members,
    quota_of,
    require_sensible,
    throttle_of,
    throttle_result,
)
from lamington.gateway.operations.tables import (
    GatewayTables,
    Patch,
    listing,
    page_of,
    parse_patches,
)
from lamington.gateway.results import shown
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
                        name: throttle_of(limits)
                        for name, limits in (each.get("throttle") or {}).items()
                    },
                )
                for each in params.get("apiStages") or ()
            ),
            throttle=throttle_of(params["throttle"]) if params.get("throttle") else None,
            quota=quota_of(params["quota"]) if params.get("quota") else None,
            tags=dict(params.get("tags") or {}),
        )
        require_sensible(plan)
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
        return listing(
            params,
            [(plan.plan_id, plan) for plan in found],
            lambda plan: usage_plan_result(self._current(scope, plan)),
        )

    async def update_usage_plan(self, params: Params, scope: Scope) -> Result:
        before = self._plan(params, scope)
        plan, quota = before, quota_members(before.quota)
        for patch in parse_patches(params):
            if patch.path[:1] == ("quota",):
                patch.require_path(USAGE_PLAN_PATCH_PATHS.get(patch.op, ()))
                quota = patched_quota(quota, patch)
            else:
                plan = self._patched(plan, patch, scope)
        plan = replace(plan, quota=quota_of(quota) if quota else None)
        require_sensible(plan)
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
                return replace(plan, throttle=limited(plan.throttle, name, patch))
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
        return listing(
            params,
            [
                (key.key_id, key)
                for key in self._plans.keys_of(scope, plan)
                if key.name.startswith(name)
            ],
            plan_key_result,
        )

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
            key.key_id: daily_usage(
                self._plans.usage(scope, plan.plan_id, key.key_id), days, plan.quota
            )
            for key in page
        }
        return _usage_result(plan, start, end, items, position)

    async def update_usage(self, params: Params, scope: Scope) -> Result:
        """Set what a key has left of its quota until the period ends."""
        plan, key = self._require_plan_key(params, scope)
        for patch in parse_patches(params):
            patch.require_path(USAGE_PATCH_PATHS.get(patch.op, ()))
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
                            name: throttle_result(limits) for name, limits in each.throttle.items()
                        }
                    }
                ),
            }
            for each in plan.api_stages
        ],
        **shown(
            {
                "throttle": None if plan.throttle is None else throttle_result(plan.throttle),
                "quota": quota_members(plan.quota),
                "productCode": plan.product_code,
                "tags": dict(plan.tags),
            }
        ),
    }


def plan_key_result(key: ApiKey) -> Result:
    """A key of a plan as AWS shows it."""
    return shown({"id": key.key_id, "type": KEY_TYPE, "value": key.value, "name": key.name})


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
            throttle = parse_throttles(patch)
        case [*names, ("rateLimit" | "burstLimit") as limit] if names and patch.op != "remove":
            method = _method_name(names)
            throttle[method] = limited(throttle.get(method), limit, patch)
        case [*names] if names and patch.op == "remove" and _method_name(names) in throttle:
            del throttle[_method_name(names)]
        case _:
            raise patch.refused(paths)
    stages = list(plan.api_stages)
    stages[index] = replace(stage, throttle=throttle)
    return replace(plan, api_stages=tuple(stages))


def _method_name(parts: Sequence[str]) -> str:
    return f"/{'/'.join(parts).lstrip('/')}"


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequestException(f"Invalid date: {text}", hint="such as `2026-01-31`") from None


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
