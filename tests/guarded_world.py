"""One method that asks everything of a request, and what may be wrong with one, in AWS's order."""

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from authorization_world import AUTHORIZER_ARN, AUTHORIZER_URI, FakeSigners, allowing
from fakes_gateway import (
    FUNCTION_ARN,
    SCOPE,
    FakeInvoker,
    FakePermissions,
    HandlerFailed,
    lambda_method,
    small_api,
    small_stage,
)
from lamington.core.clock import Ids, ManualClock
from lamington.core.http import Headers, Request, Response
from lamington.core.store import Store
from lamington.functions.invoke import Invocation, InvocationResult
from lamington.gateway.authorization.authorizer_results import AuthorizerCaches
from lamington.gateway.authorization.gate import AuthorizationParts
from lamington.gateway.authorization.json_web_tokens import TokenVerifier
from lamington.gateway.completed import Completed
from lamington.gateway.deployment import StageProgram, compile_stage
from lamington.gateway.entities import (
    PAYLOAD_MAX_BYTES,
    ApiKey,
    Authorizer,
    GatewayResponseDefinition,
    Method,
    Model,
    PlanStage,
    Quota,
    RequestValidator,
    Throttle,
    UsagePlan,
    UsagePlanKey,
)
from lamington.gateway.integrations import RefusedIntegration
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.router import compile_router
from lamington.gateway.stage_parts import StageParts
from lamington.gateway.throttling import Buckets
from lamington.gateway.usage_plans import UsagePlans

KEY = "apikey1234abcdefghij"
TOO_MUCH = b" " * (PAYLOAD_MAX_BYTES + 1)

ORDER: Mapping[str, str] = {
    "oversized": "REQUEST_TOO_LARGE",
    "long_headers": "DEFAULT_4XX",
    "unknown_route": "MISSING_AUTHENTICATION_TOKEN",
    "policy_denies": "ACCESS_DENIED",
    "no_token": "UNAUTHORIZED",
    "token_of_nobody": "UNAUTHORIZED",
    "authorizer_breaks": "AUTHORIZER_CONFIGURATION_ERROR",
    "authorizer_denies": "ACCESS_DENIED",
    "authorizer_is_silent": "ACCESS_DENIED",
    "no_key": "INVALID_API_KEY",
    "plan_throttles": "THROTTLED",
    "quota_used": "QUOTA_EXCEEDED",
    "stage_throttles": "THROTTLED",
    "parameter_missing": "BAD_REQUEST_PARAMETERS",
    "body_invalid": "BAD_REQUEST_BODY",
    "media_type": "UNSUPPORTED_MEDIA_TYPE",
    "integration_fails": "API_CONFIGURATION_ERROR",
}
"""What may be wrong with a request, and its refusal: the one that comes first is told.

AWS: reference, order of checks: route, resource policy, authorizer, both together, API key and
usage plan, throttles, validation, mapping, integration.
"""

TOKENS_WRONG = (
    "no_token",
    "token_of_nobody",
    "authorizer_breaks",
    "authorizer_denies",
    "authorizer_is_silent",
)
"""A request has one token: at most one of these is wrong with it."""


def first_refusal(faults: Collection[str]) -> str:
    """What the model says a request with these faults is refused for, "" for nothing."""
    return next((kind for fault, kind in ORDER.items() if fault in faults), "")


def _authorize(event: Any) -> Any:
    match event["authorizationToken"]:
        case "token_of_nobody":
            raise HandlerFailed({"errorMessage": "Unauthorized", "errorType": "Error"})
        case "authorizer_breaks":
            raise HandlerFailed({"errorMessage": "broken", "errorType": "Error"})
        case "authorizer_denies":
            return allowing("*", "Deny")
        case "authorizer_is_silent":
            return allowing("arn:aws:execute-api:*:*:*/other/*")
    return allowing("*")


def _policy(*, denies: bool) -> str:
    other = {"Resource": "execute-api:/other/*"}
    anybody = {"Principal": "*", "Action": "execute-api:Invoke"}
    statement = {"Effect": "Deny", "Resource": "*"} if denies else {"Effect": "Allow", **other}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**anybody, **statement}]})


class HeldInvoker:
    """Runs functions as another invoker does, the one behind the API only when it may."""

    def __init__(self, invoker: FakeInvoker) -> None:
        self._invoker = invoker
        self.free = asyncio.Event()
        self.free.set()

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        if invocation.function_arn == FUNCTION_ARN:
            await self.free.wait()
        return await self._invoker.invoke(invocation)


class GuardedGateway:
    """An API of `POST /pets`, whose definition has the faults among these that are its own.

    `raises` stands in for the integration and refuses with that type.
    """

    def __init__(
        self,
        store: Store,
        faults: Collection[str] = (),
        *,
        raises: str = "",
        kind: str = "AWS",
        authorization: str = "CUSTOM",
        logged: bool = False,
        gateway_responses: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.invoker = FakeInvoker({FUNCTION_ARN: lambda event: event, AUTHORIZER_ARN: _authorize})
        self.held = HeldInvoker(self.invoker)
        self.completed: list[Completed] = []
        self.plane = RestDataPlane(clock=self.clock, ids=Ids(), journal=self.completed.append)
        permissions = FakePermissions()
        buckets = Buckets(self.clock)
        self._integration_fails = "integration_fails" in faults
        responses = gateway_responses or {}
        api = small_api(
            {"POST /pets": self._method(kind, authorization)},
            authorizers={"auth01": self._authorizer()},
            policy=_policy(denies="policy_denies" in faults),
            models={
                "Pet": Model(model_id="m", name="Pet", schema='{"required": ["name"]}'),
            },
            request_validators={
                "v": RequestValidator(
                    validator_id="v", name="v", validate_body=True, validate_parameters=True
                )
            },
            gateway_responses={
                name: GatewayResponseDefinition(response_type=name, **members)
                for name, members in responses.items()
            },
        )
        settings: dict[str, Any] = {}
        if "stage_throttles" in faults:
            settings = {"throttlingRateLimit": 1.0, "throttlingBurstLimit": 0}
        if logged:
            settings = {**settings, "loggingLevel": "INFO", "dataTraceEnabled": True}
        program = compile_stage(
            api=api,
            stage=small_stage(method_settings={"*/*": settings} if settings else {}),
            scope=SCOPE,
            parts=StageParts(
                invoker=self.held,
                permitted=permissions,
                plans=self._plans(store, buckets, faults),
                buckets=buckets,
                authorization=AuthorizationParts(
                    invoker=self.invoker,
                    permitted=permissions,
                    clock=self.clock,
                    signers=FakeSigners(),
                    tokens=TokenVerifier(clock=self.clock),
                    caches=AuthorizerCaches(self.clock),
                ),
            ),
        )
        self.plane.deploy(_raising(program, raises) if raises else program)

    def _authorizer(self) -> Authorizer:
        return Authorizer(
            authorizer_id="auth01",
            name="gatekeeper",
            type="TOKEN",
            definition={
                "authorizerUri": AUTHORIZER_URI,
                "identitySource": "method.request.header.X-Token",
                "authorizerResultTtlInSeconds": 0,
            },
        )

    def _method(self, kind: str, authorization: str) -> Method:
        """`integration_fails` is a mapping of the response that the method does not declare."""
        method = lambda_method(
            "POST",
            kind=kind,
            statuses=() if self._integration_fails else ("200",),
            authorization_type=authorization,
            api_key_required=True,
            request_templates={"application/json": "{}"},
            passthrough_behavior="NEVER",
            timeout_ms=50,
        )
        return replace(
            method,
            authorizer_id="auth01",
            request_parameters={"method.request.querystring.q": True},
            request_models={"$default": "Pet"},
            request_validator_id="v",
        )

    def _plans(self, store: Store, buckets: Buckets, faults: Collection[str]) -> UsagePlans:
        plans = UsagePlans(store=store, clock=self.clock, buckets=buckets)
        moment = "2026-01-01T00:00:00+00:00"
        key = ApiKey(key_id="key1", value=KEY, enabled=True, created=moment, last_updated=moment)
        throttle = Throttle(rate_limit=1.0, burst_limit=0)
        plan = UsagePlan(
            plan_id="plan1",
            name="plan",
            api_stages=(PlanStage(api_id="abc123", stage_name="dev"),),
            throttle=throttle if "plan_throttles" in faults else None,
            quota=Quota(limit=0, period="DAY") if "quota_used" in faults else None,
        )
        plans.keys.put(SCOPE, key)
        plans.plans.put(SCOPE, plan)
        plans.plan_keys.put(SCOPE, UsagePlanKey(plan_id="plan1", key_id="key1"))
        plans.key_changed(SCOPE, key, [plan])
        return plans

    async def send(self, faults: Collection[str] = ()) -> Response:
        """Send a request that has the faults among these that are its own."""
        path = "/nowhere" if "unknown_route" in faults else "/pets"
        fields = [("Host", "localhost:3000")]
        if "no_token" not in faults:
            wrong = next((each for each in TOKENS_WRONG if each in faults), "allow")
            fields.append(("X-Token", wrong))
        if "no_key" not in faults:
            fields.append(("x-api-key", KEY))
        kind = "text/plain" if "media_type" in faults else "application/json"
        fields.append(("Content-Type", kind))
        if "long_headers" in faults:
            fields.append(("X-Long", "x" * 10_240))
        body = b"{}" if "body_invalid" in faults else b'{"name": "Tom"}'
        request = Request(
            method="POST",
            path=f"/dev{path}",
            query="" if "parameter_missing" in faults else "q=1",
            headers=Headers(fields),
            body=TOO_MUCH if "oversized" in faults else body,
        )
        return await self.plane.handle(request, "abc123", "dev", path, True)

    @property
    def refused_for(self) -> str:
        """The type of the last request's refusal, "" where it came through."""
        refusal = self.completed[-1].refusal
        return "" if refusal is None else refusal.response_type

    @property
    def event(self) -> Any:
        return msgspec.json.decode(self.invoker.invocations[-1].payload)


def _raising(program: StageProgram, response_type: str) -> StageProgram:
    """The program with a refusal in the place of its integration."""
    refused = RefusedIntegration("refused", response_type=response_type)
    methods = {key: replace(each, integration=refused) for key, each in program.methods.items()}
    routes = [("/pets", verb, method) for (_, verb), method in methods.items()]
    return replace(program, methods=methods, router=compile_router(routes))
