"""Lambda authorizers: what they are asked, what their answers mean, and how long those are kept.

REST APIs' own forms are compiled here; the calling of the function, the reading of a policy
answer and the kept results serve the other kinds of API too. Left to others: when a method asks
(`gate`), and an API's own policy (`resource_policies`).
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.errors import AwsError
from lamington.core.policies import Decision, Policy, PolicyError, Values, compile_policy
from lamington.functions.invoke import Invocation, InvocationResult, Invoker
from lamington.gateway.authorization.resource_policies import (
    DECISIONS_KEPT,
    INVOKE,
    compile_values,
)
from lamington.gateway.entities import Authorizer
from lamington.gateway.integrations import Bounded, error_message
from lamington.gateway.mapping import (
    ContextValues,
    MethodRequest,
    RouteConstants,
    context_text,
    context_values,
    multi_value_headers,
    query_values,
    scalar_text,
    substitute_stage_variables,
)
from lamington.gateway.permits import Permissions, compile_permit
from lamington.gateway.recording import Recording
from lamington.gateway.responses import Refusal
from lamington.gateway.templates import Note
from lamington.gateway.vtl.java_regex import compile_java_regex
from lamington.gateway.vtl.limits import TemplateError

TTL_DEFAULT_S = 300
TTL_MAX_S = 3600
TIMEOUT_S = 29.0
RESULTS_KEPT = 10_000
"""Results kept for an authorizer in a stage; the oldest go first."""

RESOURCE_MAX_CHARS = 512

FUNCTION_URI = re.compile(
    r"arn:[^:]+:apigateway:[^:]*:lambda:path/+2015-03-31/functions/(?P<arn>arn:[^:]+:lambda:.+)"
    r"/invocations"
)
"""An authorizer's URI: of a function that answers in one piece, by its whole ARN."""


# Results, and how long they are kept.


@dataclass(slots=True, kw_only=True)
class AuthorizerResult:
    """What a function answered, read once; `context` is `$context.authorizer` of a kept result."""

    principal_id: str
    policy: Policy
    context: Mapping[str, Any]
    usage_key: str = ""
    values: Callable[[MethodRequest], Values]
    decisions: dict[str, Decision] = field(default_factory=dict)

    def decide(self, request: MethodRequest, arn: str) -> Decision:
        """What the answer's policy says of a method."""
        decision = self.decisions.get(arn)
        if decision is None:
            decision = self.policy.evaluate(INVOKE, arn, self.values(request))
            if not self.policy.reads:
                if len(self.decisions) >= DECISIONS_KEPT:
                    self.decisions.clear()
                self.decisions[arn] = decision
        return decision


Result = TypeVar("Result")


class AuthorizerCache(Generic[Result]):
    """The results of one authorizer in one stage, by the values of its identity sources."""

    __slots__ = ("_entries", "_monotonic")

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._entries: dict[object, tuple[float, Result]] = {}

    def find(self, key: object) -> Result | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._monotonic():
            del self._entries[key]
            return None
        return entry[1]

    def keep(self, key: object, result: Result, ttl_s: float) -> None:
        self._entries.pop(key, None)
        while len(self._entries) >= RESULTS_KEPT:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (self._monotonic() + ttl_s, result)

    def clear(self) -> None:
        self._entries.clear()


class AuthorizerCaches:
    """The kept results of all authorizers, by API and stage; a new deployment leaves them.

    AWS: API Gateway developer guide, Lambda authorizers; results are kept for each stage.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stages: dict[tuple[str, str], dict[str, AuthorizerCache[Any]]] = {}

    def of(self, api_id: str, stage_name: str, authorizer_id: str) -> AuthorizerCache[Any]:
        authorizers = self._stages.setdefault((api_id, stage_name), {})
        if authorizer_id not in authorizers:
            authorizers[authorizer_id] = AuthorizerCache(self._clock)
        return authorizers[authorizer_id]

    def flush(self, api_id: str, stage_name: str) -> None:
        """Forget the results of a stage: FlushStageAuthorizersCache."""
        for cache in self._stages.get((api_id, stage_name), {}).values():
            cache.clear()


# The function.


class AuthorizerFunction:
    """Invokes the function of an authorizer; raises Refusal where it gives no answer.

    AWS: API Gateway developer guide, Lambda authorizers: an error that says `Unauthorized` is
    401, any other one, as everything that keeps the function from answering, 500.
    """

    __slots__ = ("_abandoned", "_function_arn", "_invoker", "_permit", "_timeout_s")

    def __init__(
        self,
        *,
        function_arn: str,
        invoker: Invoker,
        permit: Callable[[], bool],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._function_arn = function_arn
        self._invoker = invoker
        self._permit = permit
        self._timeout_s = timeout_s
        self._abandoned: set[asyncio.Task[None]] = set()

    @property
    def uri(self) -> str:
        """Where AWS's log says that the function was called."""
        region = self._function_arn.split(":")[3]
        return (
            f"https://lambda.{region}.amazonaws.com/2015-03-31/functions/{self._function_arn}"
            "/invocations"
        )

    async def call(self, payload: bytes, trace_id: str) -> InvocationResult:
        """Invoke the function; raises Refusal where it gives no result.

        Differs: an authorizer that takes too long is AUTHORIZER_FAILURE; no record of AWS's
        response type.
        """
        if not self._permit():
            raise configuration_error(
                "Invalid permissions on Lambda function",
                f"`{self._function_arn}` needs a permission for apigateway.amazonaws.com",
            )
        invocation = Invocation(
            function_arn=self._function_arn, payload=payload, trace_id=trace_id, checked=True
        )
        try:
            result = await Bounded(
                self._invoker.invoke(invocation), self._timeout_s, self._abandoned
            )
        except AwsError as error:
            raise configuration_error("Authorizer error", error.message) from None
        except TimeoutError:
            raise Refusal(
                "Execution failed due to a timeout error",
                response_type="AUTHORIZER_FAILURE",
                hint=f"the authorizer ran longer than {self._timeout_s:g} s; it was not stopped",
            ) from None
        if result.function_error:
            message = error_message(result.payload)
            if message == "Unauthorized":
                raise unauthorized("The authorizer said `Unauthorized`")
            raise configuration_error("Authorizer error", f"the function failed: {message}")
        return result


def record_asked(
    recording: Recording,
    *,
    name: str,
    kind: str,
    authorizer_id: str,
    uri: str,
    event: bytes,
    output: bytes,
    decision: str,
    error: str,
    latency_s: float,
    principal: str,
) -> None:
    """Record what an authorizer's function was asked and what came of it, for any kind of API."""
    recording.add(
        "authorizer",
        name=name,
        kind=kind,
        authorizer_id=authorizer_id,
        cached=False,
        uri=uri,
        input=event.decode(),
        output=output.decode("utf-8", "replace"),
        decision=decision,
        error=error,
        latency_ms=round(latency_s * 1000),
        principal=principal,
    )


def record_kept(
    recording: Recording,
    *,
    name: str,
    kind: str,
    authorizer_id: str,
    decision: str,
    principal: str,
) -> None:
    """Record that what an authorizer said before still holds: nobody was asked."""
    recording.add(
        "authorizer",
        name=name,
        kind=kind,
        authorizer_id=authorizer_id,
        cached=True,
        decision=decision,
        latency_ms=0,
        principal=principal,
    )


def unauthorized(why: str) -> Refusal:
    return Refusal(f"Unauthorized request: {why}", response_type="UNAUTHORIZED")


def configuration_error(reason: str, hint: str = "") -> Refusal:
    return Refusal(
        f"Execution failed due to configuration error: {reason}",
        response_type="AUTHORIZER_CONFIGURATION_ERROR",
        hint=hint,
    )


# The answer.


def read_policy_answer(payload: bytes, clock: Clock) -> AuthorizerResult:
    """Read what an authorizer answered: a principal, a policy, values for `$context`.

    AWS: API Gateway developer guide, output from a Lambda authorizer; what is not of that form
    is a 500. Raises Refusal.
    """
    try:
        answer = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        raise configuration_error("Invalid JSON in response: not JSON") from None
    if not isinstance(answer, dict):
        raise _bad_answer("the answer is no object")
    principal_id = answer.get("principalId")
    if not isinstance(principal_id, str) or not principal_id:
        raise _bad_answer("`principalId` is not a text")
    policy = _policy_of(answer.get("policyDocument"))
    usage_key = answer.get("usageIdentifierKey")
    if usage_key is not None and not isinstance(usage_key, str):
        raise _bad_answer("`usageIdentifierKey` is not a text")
    return AuthorizerResult(
        principal_id=principal_id,
        policy=policy,
        context={
            "principalId": principal_id,
            "integrationLatency": 0,
            **_context_of(answer.get("context")),
        },
        usage_key=usage_key or "",
        values=compile_values(policy, clock),
    )


def _policy_of(document: Any) -> Policy:
    if document is None:
        raise _bad_answer("`policyDocument` is missing")
    try:
        policy = compile_policy(document)
    except PolicyError as error:
        raise _bad_answer(f"`policyDocument` is not valid: {error}") from None
    statements = document["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        named = statement.get("Resource", statement.get("NotResource"))
        if named is None:
            raise _bad_answer("`policyDocument` has a statement without a resource")
        if any(
            len(each) > RESOURCE_MAX_CHARS
            for each in (named if isinstance(named, list) else [named])
        ):
            raise _bad_answer(
                f"`policyDocument` has a resource of more than {RESOURCE_MAX_CHARS} characters"
            )
    return policy


def _context_of(given: Any) -> dict[str, str]:
    """The values of an answer's context, each as text.

    AWS: text, number or boolean; an object or a list is an error.
    Differs: a null is left out; no record of what AWS makes of it.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise _bad_answer("`context` is no object")
    texts = {}
    for name, value in given.items():
        if isinstance(value, dict | list):
            raise _bad_answer(f"`context.{name}` is no plain value")
        text = scalar_text(value)
        if text is not None:
            texts[name] = text
    return texts


def _bad_answer(why: str) -> Refusal:
    return configuration_error(
        "Authorizer error",
        f"{why}; an authorizer answers an object of principalId, policyDocument, and at will"
        " context and usageIdentifierKey",
    )


# What a request is asked for.

IdentityReader = Callable[[MethodRequest], object]
"""Gives the key under which a result is kept; raises Refusal where a source has nothing."""

_Source = Callable[[MethodRequest], str | None]


def compile_identity(authorizer: Authorizer, route: RouteConstants, note: Note) -> IdentityReader:
    """Compile the reading of an authorizer's identity sources.

    AWS: a source that is missing or empty, or a token that does not match the expression, is
    401, and the function is not called.
    """
    sources = [
        _compile_source(each, route, note) for each in identity_sources(authorizer.definition)
    ]
    if authorizer.type == "TOKEN":
        return _compile_token(sources, authorizer, note)
    if len(sources) == 1:
        return lambda request: _required(sources[0](request))
    return lambda request: tuple(_required(source(request)) for source in sources)


def identity_sources(definition: Mapping[str, Any]) -> list[str]:
    """The identity sources of a definition, which lists them with commas."""
    text = definition.get("identitySource") or ""
    return [each.strip() for each in str(text).split(",") if each.strip()]


def _required(value: str | None) -> str:
    if not value:
        raise unauthorized("an identity source is missing")
    return value


def _compile_token(
    sources: Sequence[_Source], authorizer: Authorizer, note: Note
) -> IdentityReader:
    read: _Source = sources[0] if sources else lambda request: request.known.get("authorization")
    expression = authorizer.definition.get("identityValidationExpression")
    if not expression:
        return lambda request: _required(read(request))
    try:
        pattern = compile_java_regex(str(expression))
    except TemplateError as error:
        note(f"`identityValidationExpression` is not valid: {error}")
        return _refuse_token

    def token(request: MethodRequest) -> str:
        value = _required(read(request))
        try:
            matches = pattern.admit(value).fullmatch(value)
        except TemplateError:
            matches = None
        if matches is None:
            raise unauthorized("the token does not match the validation expression")
        return value

    return token


def _refuse_token(request: MethodRequest) -> str:
    raise configuration_error("Authorizer error", "`identityValidationExpression` is not valid")


def _compile_source(text: str, route: RouteConstants, note: Note) -> _Source:
    """AWS: headers are found whatever their case."""
    place, _, name = text.removeprefix("method.request.").partition(".")
    if place == "header":
        lower = name.lower()
        return lambda request: request.known.get(lower)
    if place == "querystring":
        return lambda request: query_values(request.query)[0].get(name) if request.query else None
    if place == "stageVariables":
        variable = route.variables.get(name)
        return lambda request: variable
    if place == "context":
        return lambda request: context_text(context_values(route, request), name)
    note(f"The identity source `{text}` is not known: every request is refused")
    return lambda request: None


AuthorizerEvent = Callable[[MethodRequest, str], bytes]
"""Makes what an authorizer's function gets for a request to a method ARN."""


def compile_authorizer_event(
    authorizer: Authorizer, route: RouteConstants, read_token: IdentityReader
) -> AuthorizerEvent:
    """Compile the making of an authorizer's input.

    AWS: API Gateway developer guide, input to a Lambda authorizer; empty maps are `{}` there.
    """
    encode = msgspec.json.Encoder().encode
    if authorizer.type == "TOKEN":
        return lambda request, arn: encode(
            {"type": "TOKEN", "methodArn": arn, "authorizationToken": read_token(request)}
        )
    variables = dict(route.variables)

    def make(request: MethodRequest, arn: str) -> bytes:
        query, queries = query_values(request.query)
        return encode(
            {
                "type": "REQUEST",
                "methodArn": arn,
                "resource": route.resource_path,
                "path": request.path,
                "httpMethod": request.method,
                "headers": request.headers,
                "multiValueHeaders": multi_value_headers(request),
                "queryStringParameters": query,
                "multiValueQueryStringParameters": queries,
                "pathParameters": dict(request.path_parameters),
                "stageVariables": variables,
                "requestContext": _request_context(context_values(route, request)),
            }
        )

    return make


def _request_context(values: ContextValues) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if name not in ("requestOverride", "responseOverride", "authorizer")
    }


# The check of a method.


def compile_function(
    authorizer: Authorizer,
    *,
    api_id: str,
    variables: Mapping[str, str],
    scope: Scope,
    invoker: Invoker,
    permitted: Permissions,
) -> AuthorizerFunction | None:
    """Compile the calling of an authorizer's function; None where its URI names none.

    AWS: without credentials of its own, an authorizer needs the leave of the function's policy,
    for `{api}/authorizers/{id}`.
    """
    uri = substitute_stage_variables(str(authorizer.definition.get("authorizerUri", "")), variables)
    found = FUNCTION_URI.fullmatch(uri)
    if found is None:
        return None
    permit: Callable[[], bool] = _always
    if not authorizer.definition.get("authorizerCredentials"):
        source_arn = scope.arn("execute-api", f"{api_id}/authorizers/{authorizer.authorizer_id}")
        permit = compile_permit(permitted, found["arn"], source_arn, scope)
    return AuthorizerFunction(function_arn=found["arn"], invoker=invoker, permit=permit)


def _always() -> bool:
    return True


def ttl_of(definition: Mapping[str, Any]) -> int:
    """The seconds that results are kept; 0 keeps none."""
    given = definition.get("authorizerResultTtlInSeconds")
    try:
        ttl = TTL_DEFAULT_S if given is None else int(given)
    except (TypeError, ValueError):
        ttl = TTL_DEFAULT_S
    return min(max(ttl, 0), TTL_MAX_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaAuthorizer:
    """One authorizer for one method, compiled: from a request to what its function says of it."""

    authorizer: Authorizer
    read_identity: IdentityReader
    make_event: AuthorizerEvent
    function: AuthorizerFunction
    cache: AuthorizerCache[AuthorizerResult]
    ttl_s: int
    clock: Clock
    has_sources: bool

    def kept(self, request: MethodRequest, key: object) -> AuthorizerResult | None:
        """The result that is kept for an identity."""
        return self.cache.find(key) if self.ttl_s and self.has_sources else None

    async def ask(self, request: MethodRequest, key: object, arn: str) -> AuthorizerResult:
        """Call the function, keep what it says, and tell the request of it."""
        event = self.make_event(request, arn)
        began = self.clock.monotonic()
        facts = request.facts = {} if request.facts is None else request.facts
        output = b""
        try:
            answer = await self.function.call(event, request.trace_id)
            output = answer.payload
            facts["authorizer.requestId"] = answer.request_id
            facts["authorizer.integrationStatus"] = str(answer.status)
            result = read_policy_answer(output, self.clock)
        except Refusal as refusal:
            facts["authorizer.status"] = str(refusal.status)
            facts["authorizer.error"] = refusal.client_message or refusal.message
            self._record(request, event, output, refusal.hint or refusal.message, began)
            raise
        latency_ms = round((self.clock.monotonic() - began) * 1000)
        facts["authorizer.status"] = "200"
        facts["authorizer.latency"] = facts["authorizer.integrationLatency"] = str(latency_ms)
        if self.ttl_s and self.has_sources:
            self.cache.keep(key, result, self.ttl_s)
        request.authorizer = {**result.context, "integrationLatency": latency_ms}
        self._record(request, event, output, "", began, result.decide(request, arn), result)
        return result

    def _record(
        self,
        request: MethodRequest,
        event: bytes,
        output: bytes,
        error: str,
        began: float,
        decision: str = "error",
        result: AuthorizerResult | None = None,
    ) -> None:
        if request.recording is None:
            return
        record_asked(
            request.recording,
            name=self.authorizer.name,
            kind=self.authorizer.type,
            authorizer_id=self.authorizer.authorizer_id,
            uri=self.function.uri,
            event=event,
            output=output,
            decision=decision,
            error=error,
            latency_s=self.clock.monotonic() - began,
            principal="" if result is None else result.principal_id,
        )


def compile_lambda_authorizer(
    authorizer: Authorizer,
    *,
    route: RouteConstants,
    scope: Scope,
    invoker: Invoker,
    permitted: Permissions,
    caches: AuthorizerCaches,
    clock: Clock,
    note: Note,
) -> LambdaAuthorizer | None:
    """Compile an authorizer for a method; None where it names no function."""
    function = compile_function(
        authorizer,
        api_id=route.api_id,
        variables=route.variables,
        scope=scope,
        invoker=invoker,
        permitted=permitted,
    )
    if function is None:
        note(f"The authorizer `{authorizer.name}` has no `authorizerUri` of a function")
        return None
    read_identity = compile_identity(authorizer, route, note)
    return LambdaAuthorizer(
        authorizer=authorizer,
        read_identity=read_identity,
        make_event=compile_authorizer_event(authorizer, route, read_identity),
        function=function,
        cache=caches.of(route.api_id, route.stage, authorizer.authorizer_id),
        ttl_s=ttl_of(authorizer.definition),
        clock=clock,
        has_sources=authorizer.type == "TOKEN" or bool(identity_sources(authorizer.definition)),
    )
