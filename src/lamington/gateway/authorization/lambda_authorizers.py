"""Lambda authorizers of REST APIs: what identifies a request, and what a function is asked of it.

Left to others: when a method asks (`gate`), and what serves the other kinds of API too: the
calling of the function (`authorizer_functions`), its answer (`authorizer_results`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.functions.invoke import Invoker
from lamington.gateway.authorization.authorizer_functions import (
    AUTHORIZER_URI,
    AuthorizerFunction,
    AuthorizerNames,
    configuration_error,
    unauthorized,
)
from lamington.gateway.authorization.authorizer_results import (
    AuthorizerCache,
    AuthorizerCaches,
    AuthorizerResult,
    read_policy_answer,
    ttl_of,
)
from lamington.gateway.entities import Authorizer
from lamington.gateway.mapping import (
    ContextValues,
    MethodRequest,
    RouteConstants,
    context_text,
    context_values,
    multi_value_headers,
    query_values,
    substitute_stage_variables,
)
from lamington.gateway.permits import Permissions
from lamington.gateway.responses import Refusal
from lamington.gateway.templates import Note
from lamington.gateway.vtl.java_regex import compile_java_regex
from lamington.gateway.vtl.limits import TemplateError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaAuthorizer:
    """One authorizer for one method, compiled: from a request to what its function says of it."""

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
            self.function.record_asked(
                request.recording,
                event,
                output,
                began=began,
                error=refusal.hint or refusal.message,
            )
            raise
        latency_ms = round((self.clock.monotonic() - began) * 1000)
        facts["authorizer.status"] = "200"
        facts["authorizer.latency"] = facts["authorizer.integrationLatency"] = str(latency_ms)
        if self.ttl_s and self.has_sources:
            self.cache.keep(key, result, self.ttl_s)
        request.authorizer = {**result.context, "integrationLatency": latency_ms}
        self.function.record_asked(
            request.recording,
            event,
            output,
            began=began,
            decision=result.decide(request, arn),
            principal=result.principal_id,
        )
        return result


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
    definition = authorizer.definition
    uri = substitute_stage_variables(str(definition.get("authorizerUri", "")), route.variables)
    found = AUTHORIZER_URI.fullmatch(uri)
    if found is None:
        note(f"The authorizer `{authorizer.name}` has no `authorizerUri` of a function")
        return None
    read_identity = compile_identity(authorizer, route, note)
    return LambdaAuthorizer(
        read_identity=read_identity,
        make_event=compile_authorizer_event(authorizer, route, read_identity),
        function=AuthorizerFunction(
            AuthorizerNames(
                api_id=route.api_id,
                authorizer_id=authorizer.authorizer_id,
                name=authorizer.name,
                kind=authorizer.type,
                role=str(definition.get("authorizerCredentials") or ""),
            ),
            found["arn"],
            scope=scope,
            invoker=invoker,
            permitted=permitted,
            clock=clock,
        ),
        cache=caches.of(route.api_id, route.stage, authorizer.authorizer_id),
        ttl_s=ttl_of(definition),
        clock=clock,
        has_sources=authorizer.type == "TOKEN" or bool(identity_sources(definition)),
    )
