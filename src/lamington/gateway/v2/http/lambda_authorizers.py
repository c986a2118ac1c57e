"""Lambda authorizers of HTTP APIs: what their functions get in both formats, what they answer.

Left to others: that a route asks one (`authorizers`), the invocation and the results that are kept
(`authorization`).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from lamington.core.clock import Clock
from lamington.core.policies import Decision, Policy, PolicyError, compile_policy
from lamington.functions.event_format import encode_json, joined_query
from lamington.functions.invoke import Invoker
from lamington.gateway.authorization.authorizer_functions import (
    AuthorizerFunction,
    AuthorizerNames,
)
from lamington.gateway.authorization.authorizer_results import (
    TTL_DEFAULT_S,
    AuthorizerCache,
    AuthorizerCaches,
)
from lamington.gateway.authorization.resource_policies import INVOKE
from lamington.gateway.mapping import domain_prefix
from lamington.gateway.permits import Permissions
from lamington.gateway.recording import Recording
from lamington.gateway.responses import Refusal
from lamington.gateway.v2 import entities
from lamington.gateway.v2.http.events import cased_headers, request_context_one
from lamington.gateway.v2.http.parameters import Value
from lamington.gateway.v2.http.refusals import HttpRefusal
from lamington.gateway.v2.http.requests import Caller, Gate, HttpRequest, RouteConstants

LAMBDA_TIMEOUT_S = 10.0
"""AWS: quotas, the time in which an HTTP API's authorizer has to answer."""


def route_arn(route: RouteConstants, request: HttpRequest) -> str:
    """The ARN of what is called: the method and the path of the request, not of its route."""
    path = quote(request.path, safe="/-._~!$&'()*+,;=:@")
    return route.scope.arn("execute-api", f"{route.api_id}/{route.stage}/{request.method}{path}")


def request_values(request: HttpRequest) -> dict[str, str]:
    """The condition keys that policies may read of a request."""
    return {
        "aws:sourceip": request.source_ip,
        "aws:useragent": request.headers.get("user-agent", ""),
        "aws:securetransport": "true",
    }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a function said of an identity: a policy that is asked for each route, or yes or no."""

    caller: Caller
    policy: Policy | None
    authorized: bool = False


def compile_lambda_authorizer(
    authorizer: entities.Authorizer,
    sources: Sequence[Value],
    function_arn: str,
    route: RouteConstants,
    *,
    invoker: Invoker,
    permitted: Permissions,
    caches: AuthorizerCaches,
    clock: Clock,
) -> Gate:
    """Compile the gate of a route that asks a function; `sources` are its identity sources.

    AWS: API Gateway developer guide, Lambda authorizers for HTTP APIs.
    Differs: a result is kept for 300 seconds where nobody said how long.
    """
    version = authorizer.payload_format_version or "2.0"
    ttl_s = TTL_DEFAULT_S if authorizer.result_ttl_s is None else authorizer.result_ttl_s
    return _LambdaGate(
        authorizer=authorizer,
        sources=sources,
        route=route,
        function=AuthorizerFunction(
            AuthorizerNames(
                api_id=route.api_id,
                authorizer_id=authorizer.authorizer_id,
                name=authorizer.name,
                kind=authorizer.authorizer_type,
                role=authorizer.credentials_arn,
            ),
            function_arn,
            scope=route.scope,
            invoker=invoker,
            permitted=permitted,
            clock=clock,
            timeout_s=LAMBDA_TIMEOUT_S,
        ),
        make_event=_compile_event_one(route) if version == "1.0" else _compile_event_two(route),
        simple=authorizer.enable_simple_responses and version == "2.0",
        cache=caches.of(route.api_id, route.stage, authorizer.authorizer_id),
        ttl_s=ttl_s if sources else 0,
        clock=clock,
    ).check


@dataclass(frozen=True, slots=True, kw_only=True)
class _LambdaGate:
    """An authorizer for one route."""

    authorizer: entities.Authorizer
    sources: Sequence[Value]
    route: RouteConstants
    function: AuthorizerFunction
    make_event: "AuthorizerEvent"
    simple: bool
    cache: AuthorizerCache[Verdict]
    ttl_s: int
    clock: Clock

    def check(self, request: HttpRequest) -> Awaitable[None] | None:
        """AWS: an identity source that is missing is 401, and the function is not called."""
        identity = tuple(each(request, None) or "" for each in self.sources)
        if request.recording is not None:
            self._hide(request.recording, identity)
        if "" in identity:
            raise HttpRefusal(401, "An identity source is missing")
        verdict = self.cache.find(identity) if self.ttl_s else None
        if verdict is None:
            return self._ask(request, identity)
        if request.recording is not None:
            self.function.record_kept(
                request.recording,
                decision=self._decision(request, verdict),
                principal=verdict.caller.principal_id,
            )
        self._admit(request, verdict)
        return None

    async def _ask(self, request: HttpRequest, identity: tuple[str, ...]) -> None:
        event = self.make_event(request, route_arn(self.route, request), identity)
        began = self.clock.monotonic()
        facts = request.facts = {} if request.facts is None else request.facts
        output = b""
        try:
            answer = await self.function.call(event, request.trace_id)
            output = answer.payload
            verdict = read_verdict(output, self.simple)
        except (Refusal, HttpRefusal) as refusal:
            self.function.record_asked(
                request.recording,
                event,
                output,
                began=began,
                error=refusal.hint or refusal.message,
            )
            status = 401 if refusal.response_type == "UNAUTHORIZED" else 500
            facts["authorizer.status"], facts["authorizer.error"] = str(status), refusal.message
            raise HttpRefusal(status, refusal.message, hint=refusal.hint) from None
        latency = str(round((self.clock.monotonic() - began) * 1000))
        facts["authorizer.status"] = facts["authorizer.integrationStatus"] = "200"
        facts["authorizer.latency"] = facts["authorizer.integrationLatency"] = latency
        facts["authorizer.requestId"] = answer.request_id
        if self.ttl_s:
            self.cache.keep(identity, verdict, self.ttl_s)
        if request.recording is not None:
            self.function.record_asked(
                request.recording,
                event,
                output,
                began=began,
                decision=self._decision(request, verdict),
                principal=verdict.caller.principal_id,
            )
        self._admit(request, verdict)

    def _admit(self, request: HttpRequest, verdict: Verdict) -> None:
        if self._decision(request, verdict) != "allow":
            raise HttpRefusal(403, "The authorizer denies the request")
        request.caller = verdict.caller

    def _decision(self, request: HttpRequest, verdict: Verdict) -> Decision:
        if verdict.policy is None:
            return "allow" if verdict.authorized else "deny"
        arn = route_arn(self.route, request)
        return verdict.policy.evaluate(INVOKE, arn, request_values(request))

    def _hide(self, recording: Recording, identity: tuple[str, ...]) -> None:
        """What identifies a caller is a secret, wherever in the request it came."""
        for source, value in zip(self.authorizer.identity_source, identity, strict=True):
            if source.startswith("$request."):
                recording.hidden.append(value)


def read_verdict(payload: bytes, simple: bool) -> Verdict:
    """Read an authorizer's answer: `isAuthorized` where that is switched on, or an IAM policy.

    AWS: same place; what is of no such form is a 500. Raises HttpRefusal.
    """
    try:
        answer = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        raise _bad_answer("it is no JSON") from None
    if not isinstance(answer, dict):
        raise _bad_answer("it is no object")
    context = answer.get("context")
    context = {} if context is None else context
    if not isinstance(context, dict):
        raise _bad_answer("`context` is no object")
    if simple:
        authorized = answer.get("isAuthorized")
        if not isinstance(authorized, bool):
            raise _bad_answer("`isAuthorized` is not true or false")
        return Verdict(Caller("lambda", context), None, authorized)
    principal_id = answer.get("principalId")
    if not isinstance(principal_id, str):
        raise _bad_answer("`principalId` is no text")
    try:
        policy = compile_policy(answer.get("policyDocument"))
    except PolicyError as error:
        raise _bad_answer(f"`policyDocument` is not valid: {error}") from None
    return Verdict(Caller("lambda", context, principal_id), policy)


def _bad_answer(why: str) -> HttpRefusal:
    return HttpRefusal(500, f"The authorizer's answer cannot be used: {why}")


AuthorizerEvent = Callable[[HttpRequest, str, tuple[str, ...]], bytes]
"""Makes what an authorizer's function gets, from a request, its route ARN and its identity."""


def _compile_event_two(route: RouteConstants) -> AuthorizerEvent:
    """AWS: the event of payload format 2.0, without a body."""

    def make(request: HttpRequest, arn: str, identity: tuple[str, ...]) -> bytes:
        host = request.host
        event: dict[str, Any] = {
            "version": "2.0",
            "type": "REQUEST",
            "routeArn": arn,
            "identitySource": list(identity) or None,
            "routeKey": route.route_key,
            "rawPath": request.event_path,
            "rawQueryString": request.query,
            "headers": request.headers,
            "requestContext": {
                "accountId": route.scope.account_id,
                "apiId": route.api_id,
                "domainName": host,
                "domainPrefix": domain_prefix(host),
                "http": {
                    "method": request.method,
                    "path": request.event_path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": request.source_ip,
                    "userAgent": request.headers.get("user-agent", ""),
                },
                "requestId": request.request_id,
                "routeKey": route.route_key,
                "stage": route.stage,
                "time": request.moment.text,
                "timeEpoch": request.moment.epoch_ms,
            },
        }
        if isinstance(request.cookies, list):
            event["cookies"] = request.cookies
        if request.query:
            event["queryStringParameters"] = joined_query(request.query)
        if request.path_parameters:
            event["pathParameters"] = request.path_parameters
        if route.variables:
            event["stageVariables"] = dict(route.variables)
        return encode_json(event)

    return make


def _compile_event_one(route: RouteConstants) -> AuthorizerEvent:
    """AWS: the event of payload format 1.0; identity sources are one text, with commas."""

    def make(request: HttpRequest, arn: str, identity: tuple[str, ...]) -> bytes:
        joined = ",".join(identity)
        return encode_json(
            {
                "version": "1.0",
                "type": "REQUEST",
                "methodArn": arn,
                "identitySource": joined,
                "authorizationToken": joined,
                "resource": route.resource_path,
                "path": request.event_path,
                "httpMethod": request.method,
                "headers": cased_headers(request)[0],
                "queryStringParameters": joined_query(request.query),
                "pathParameters": dict(request.path_parameters),
                "stageVariables": dict(route.variables),
                "requestContext": request_context_one(route, request),
            }
        )

    return make
