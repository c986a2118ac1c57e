"""Freezes a WebSocket API for a stage: each route becomes one function of an exchange.

AWS takes what cannot work and fails each message, and so do we, with the reason kept as a
`Problem`. Connections, and who may connect, are `plane`'s and `handshake`'s.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lamington.core.aws import Scope
from lamington.gateway import entities as rest
from lamington.gateway.integrations import (
    Integration,
    IntegrationRequest,
    IntegrationResponse,
    LambdaIntegration,
    Misconfigured,
    MockIntegration,
    RefusedIntegration,
)
from lamington.gateway.mapping import substitute_stage_variables
from lamington.gateway.permits import compile_permit
from lamington.gateway.recording import (
    Recording,
    record_integration_request,
    record_integration_response,
)
from lamington.gateway.responses import Refusal
from lamington.gateway.schemas import ModelJudge, SchemaError, compile_model
from lamington.gateway.service_integrations import ServiceParts
from lamington.gateway.templates import Note, Problem
from lamington.gateway.throttling import Buckets, TokenBucket
from lamington.gateway.v2 import entities
from lamington.gateway.v2.websocket.endpoints import (
    Complete,
    compile_completion,
    compile_service_call,
    endpoint,
)
from lamington.gateway.v2.websocket.events import Reply, proxy_request, read_proxy_answer
from lamington.gateway.v2.websocket.exchange import CONNECT_ROUTE, DISCONNECT_ROUTE, Exchange
from lamington.gateway.v2.websocket.mappings import (
    compile_request_mapping,
    compile_response_mapping,
)
from lamington.gateway.v2.websocket.parts import WebSocketParts
from lamington.gateway.v2.websocket.selection import (
    DEFAULT_KEY,
    Selector,
    compile_selection,
    reads_body,
)
from lamington.gateway.vtl import library
from lamington.gateway.vtl.jsonpath import MISSING
from lamington.gateway.vtl.limits import TemplateError

ROUTE_SELECTION_DEFAULT = "$request.body.action"
ARRIVALS_RATE = 500

Limit = tuple[str, TokenBucket]
"""A limit and its name: `route`, `stage`, `account`, or `arrivals` for new connections."""

Check = Callable[[Exchange], None]
"""Looks at a message before its integration; raises Refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteProgram:
    """One route, ready to run.

    `replies` tells whether what the integration answers goes to the client, `limits` are what
    each exchange takes a token from. Running raises Refusal where there is no answer.
    """

    route: entities.Route
    run: Callable[[Exchange], Awaitable[Reply]]
    replies: bool
    checks: tuple[Check, ...] = ()
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketProgram:
    """A WebSocket API as a stage serves it; immutable, and swapped whole.

    `arrivals` is what handshakes take tokens from where no route has its own. `problems` are what
    fails at run time, as on AWS; `unemulated` are sentences for the user.
    """

    api: entities.Api
    stage: entities.Stage
    scope: Scope
    routes: Mapping[str, RouteProgram]
    select: Selector
    selects_by_body: bool
    arrivals: tuple[Limit, ...]
    problems: tuple[Problem, ...]
    unemulated: tuple[str, ...]

    @property
    def connect(self) -> RouteProgram | None:
        return self.routes.get(CONNECT_ROUTE)

    @property
    def disconnect(self) -> RouteProgram | None:
        return self.routes.get(DISCONNECT_ROUTE)

    def route_of(self, exchange: Exchange) -> RouteProgram | None:
        """The route that a message takes.

        AWS: messages that are no JSON take `$default`, as all do that name no route.
        """
        default = self.routes.get(DEFAULT_KEY)
        if self.selects_by_body and exchange.body.value() is MISSING:
            return default
        key = self.select(exchange.subject())
        if key in (CONNECT_ROUTE, DISCONNECT_ROUTE):
            return default
        return self.routes.get(key, default)


def compile_socket_program(
    *, api: entities.Api, stage: entities.Stage, scope: Scope, parts: WebSocketParts
) -> SocketProgram:
    """Compile an API, as its deployment holds it, with the settings of a stage; raises nothing."""
    problems: list[Problem] = []
    routes = {}
    for route in api.routes.values():
        compiler = _RouteCompiler(
            api=api, stage=stage, scope=scope, parts=parts, route=route, problems=problems
        )
        routes[route.route_key] = compiler.compile()
    expression = api.route_selection_expression or ROUTE_SELECTION_DEFAULT
    try:
        select = compile_selection(expression)
    except TemplateError as error:
        problems.append(Problem(method="WEBSOCKET", path=api.api_id, message=error.message))
        select = _select_default
    return SocketProgram(
        api=api,
        stage=stage,
        scope=scope,
        routes=routes,
        select=select,
        selects_by_body=reads_body(expression),
        arrivals=_limits_of(api, stage, scope, parts.buckets, CONNECT_ROUTE),
        problems=tuple(problems),
        unemulated=tuple(_unemulated(api)),
    )


def _select_default(subject: object) -> str:
    return DEFAULT_KEY


def _limits_of(
    api: entities.Api, stage: entities.Stage, scope: Scope, buckets: Buckets, route_key: str
) -> tuple[Limit, ...]:
    """What the exchanges of a route take tokens from.

    AWS: API Gateway developer guide, throttling and quotas: a route's own limits stand in the
    place of the stage's, the account's hold for all; 500 connections a second may be new.
    """
    key: tuple[str, ...] = ("websocket", api.api_id, stage.stage_name)
    found = [("stage", _bucket(stage.default_route_settings, key, buckets))]
    own = stage.route_settings.get(route_key)
    if own is not None:
        bucket = _bucket(own, (*key, route_key), buckets)
        found = [("route", bucket)] if bucket is not None else found
    account = buckets.account(scope)
    if account is not None:
        found.append(("account", account))
        if route_key == CONNECT_ROUTE:
            arriving = ("arrivals", scope.account_id, scope.region)
            bucket = buckets.bucket(arriving, ARRIVALS_RATE, ARRIVALS_RATE)
            found.append(("arrivals", bucket))
    return tuple((name, bucket) for name, bucket in found if bucket is not None)


def _bucket(
    settings: entities.RouteSettings, key: tuple[str, ...], buckets: Buckets
) -> TokenBucket | None:
    rate, burst = settings.throttling_rate_limit, settings.throttling_burst_limit
    if rate is None and burst is None:
        return None
    return buckets.bucket(
        key,
        rest.THROTTLING_RATE_LIMIT if rate is None else rate,
        rest.THROTTLING_BURST_LIMIT if burst is None else burst,
    )


def _unemulated(api: entities.Api) -> Iterator[str]:
    if any(each.connection_type == "VPC_LINK" for each in api.integrations.values()):
        yield "VPC links of WebSocket APIs are not followed: endpoints are called directly."
    if any(each.content_handling_strategy for each in api.integrations.values()):
        yield "Messages of WebSocket APIs are not converted between text and binary."


_FUNCTION_URI = re.compile(
    r"arn:[^:]+:apigateway:[^:]*:lambda:path/+2015-03-31/functions/(?P<arn>.+)/invocations"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RouteCompiler:
    """Compiles one route; what it finds goes to `problems`."""

    api: entities.Api
    stage: entities.Stage
    scope: Scope
    parts: WebSocketParts
    route: entities.Route
    problems: list[Problem]

    def compile(self) -> RouteProgram:
        route = self.route
        check = _compile_validation(self.api, route, self._note)
        return RouteProgram(
            route=route,
            run=self._compile_run(),
            replies=any(
                each.route_response_key == DEFAULT_KEY for each in route.responses.values()
            ),
            checks=() if check is None else (check,),
            limits=_limits_of(
                self.api, self.stage, self.scope, self.parts.buckets, route.route_key
            ),
        )

    def _note(self, message: str, template: str = "", line: int = 0, column: int = 0) -> None:
        self.problems.append(
            Problem(
                method="WEBSOCKET",
                path=self.route.route_key,
                template=template,
                line=line,
                column=column,
                message=message,
            )
        )

    def _compile_run(self) -> Callable[[Exchange], Awaitable[Reply]]:
        integration = self.api.integrations.get(self.route.integration_id)
        if integration is None:
            return self._broken("No integration is defined for the route")
        kind = integration.integration_type
        if kind == "MOCK":
            return self._compile_mapped(integration, MockIntegration())
        uri = substitute_stage_variables(integration.integration_uri, self.stage.variables)
        found = _FUNCTION_URI.fullmatch(uri)
        if kind in ("AWS", "AWS_PROXY") and found is not None:
            backend = LambdaIntegration(
                function_arn=found["arn"],
                invoker=self.parts.invoker,
                timeout_ms=integration.timeout_ms or entities.WEBSOCKET_INTEGRATION_TIMEOUT_MAX_MS,
                permit=self._permit(found["arn"], integration),
            )
            if kind == "AWS_PROXY":
                return _proxy_run(backend)
            return self._compile_mapped(integration, backend)
        if kind in ("HTTP", "HTTP_PROXY"):
            return self._compile_endpoint(integration, uri)
        if kind == "AWS" and self.parts.services is not None:
            return self._compile_service(integration, uri, self.parts.services)
        return self._broken(f"Integration type `{kind}` with `{uri}` cannot be served here")

    def _compile_service(
        self, integration: entities.Integration, uri: str, parts: ServiceParts
    ) -> Callable[[Exchange], Awaitable[Reply]]:
        try:
            backend, complete = compile_service_call(integration, uri, self.scope, parts)
        except Misconfigured as error:
            return self._broken(f"{error.message}: {error.hint}" if error.hint else error.message)
        return self._compile_mapped(integration, backend, complete)

    def _permit(self, function_arn: str, integration: entities.Integration) -> Callable[[], bool]:
        return compile_permit(
            self.parts.permitted,
            function_arn,
            f"{self.api.api_id}/{self.stage.stage_name}/{self.route.route_key}",
            self.scope,
            role=integration.credentials_arn,
        )

    def _broken(self, reason: str) -> Callable[[Exchange], Awaitable[Reply]]:
        self._note(reason)
        refused = RefusedIntegration(
            f"Execution failed due to configuration error: {reason}",
            response_type="API_CONFIGURATION_ERROR",
        )

        async def refuse(exchange: Exchange) -> Reply:
            await refused.send(IntegrationRequest(b""))
            raise AssertionError("a refused integration refuses")

        return refuse

    def _compile_endpoint(
        self, integration: entities.Integration, uri: str
    ) -> Callable[[Exchange], Awaitable[Reply]]:
        backend = endpoint(self.parts.client, integration)
        complete = compile_completion(integration, uri)
        if integration.integration_type == "HTTP_PROXY":
            integration = replace(
                integration, request_templates={}, responses={}, passthrough_behavior=""
            )
        return self._compile_mapped(integration, backend, complete)

    def _compile_mapped(
        self,
        integration: entities.Integration,
        backend: Integration,
        complete: Complete | None = None,
    ) -> Callable[[Exchange], Awaitable[Reply]]:
        variables = self.stage.variables
        map_request = compile_request_mapping(integration, variables, self._note)
        map_response = compile_response_mapping(integration, variables, self._note)

        async def run(exchange: Exchange) -> Reply:
            context = library.make_context(exchange.template_context())
            request = map_request(exchange, context)
            if complete is not None:
                request = complete(exchange, request)
            response = await _sent(backend, request, exchange)
            return map_response(exchange, context, response)

        return run


async def _sent(
    backend: Integration, request: IntegrationRequest, exchange: Exchange
) -> IntegrationResponse:
    recording = exchange.recording
    if recording is not None:
        return await _recorded(backend, request, exchange, recording)
    response = await backend.send(request)
    exchange.integration_status = response.status
    return response


async def _recorded(
    backend: Integration, request: IntegrationRequest, exchange: Exchange, recording: Recording
) -> IntegrationResponse:
    """Send a request; what goes out and what comes back are recorded."""
    record_integration_request(
        recording,
        uri=request.uri or backend.uri,
        method=request.method,
        headers=request.headers or request.parameters.headers.items(),
        body=request.body,
    )
    began = recording.elapsed_s
    response = await backend.send(request)
    exchange.integration_status = response.status
    record_integration_response(
        recording,
        status=response.status,
        headers=response.headers,
        body=response.body,
        latency_s=recording.elapsed_s - began,
        function_error=response.function_error,
        request_id=response.request_id,
    )
    return response


def _proxy_run(backend: Integration) -> Callable[[Exchange], Awaitable[Reply]]:
    async def run(exchange: Exchange) -> Reply:
        response = await _sent(backend, proxy_request(exchange), exchange)
        return read_proxy_answer(exchange, response)

    return run


def _compile_validation(api: entities.Api, route: entities.Route, note: Note) -> Check | None:
    """Compile a route's models to one check.

    AWS: API Gateway developer guide, WebSocket APIs, request validation: the model that the model
    selection expression names, else that of `$default`; without one everything is valid.
    """
    if not route.request_models:
        return None
    holder = rest.RestApi(
        api_id=api.api_id,
        name=api.name,
        created=api.created,
        models={
            model.name: rest.Model(model_id=model.model_id, name=model.name, schema=model.schema)
            for model in api.models.values()
        },
    )
    judges: dict[str, ModelJudge] = {}
    for key, name in route.request_models.items():
        try:
            judges[key] = compile_model(holder, name)
        except SchemaError as error:
            note(error.message)
    try:
        select = compile_selection(route.model_selection_expression or DEFAULT_KEY)
    except TemplateError as error:
        note(error.message)
        return None

    def check(exchange: Exchange) -> None:
        key = select(exchange.subject())
        judge = judges.get(key) or judges.get(DEFAULT_KEY)
        if judge is None:
            return
        value = exchange.body.value()
        faults: Sequence[str] = ()
        if value is MISSING or not judge.accepts(value):
            faults = ["The message is not JSON"] if value is MISSING else judge.faults(value)
        if exchange.recording is not None:
            name = route.request_models.get(key) or route.request_models[DEFAULT_KEY]
            exchange.recording.add("validation", parameters=[], model=name, errors=list(faults))
        if faults:
            raise Refusal(
                f"Request body does not match model schema: [{', '.join(faults)}]",
                response_type="BAD_REQUEST_BODY",
                client_message="Bad request body",
            )

    return check
