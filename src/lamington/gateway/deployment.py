"""Freezes an API for a stage: everything that can be decided before a request is decided here.

Each method becomes a `MethodProgram` of three functions and an integration; `pipeline` runs them.
What an API may contain was checked when it was written; AWS takes a template that does not
compile and fails each request, and so do we, with the reason kept as a `Problem`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from lamington.core.aws import Scope
from lamington.functions.invoke import Invoker
from lamington.gateway import entities
from lamington.gateway.access_logs import undelivered
from lamington.gateway.admission import compile_admission
from lamington.gateway.authorization.gate import AuthorizationParts, compile_authorization
from lamington.gateway.authorization.invalidation import compile_invalidation
from lamington.gateway.cache import CacheStore, MayInvalidate, MethodCache, compile_cache
from lamington.gateway.compression import Compress, compile_compression, decompress
from lamington.gateway.http_integrations import Exchange, HttpParts, compile_http
from lamington.gateway.integrations import (
    FUNCTION_URI,
    Integration,
    IntegrationRequest,
    IntegrationResponse,
    LambdaIntegration,
    Misconfigured,
    MockIntegration,
    RefusedIntegration,
)
from lamington.gateway.lambda_proxy import compile_proxy_event, compile_proxy_response
from lamington.gateway.lambda_streaming import (
    LambdaStreamIntegration,
    StreamingInvoker,
    read_streamed_answer,
)
from lamington.gateway.mapping import (
    Gate,
    MethodRequest,
    RouteConstants,
    compile_binary_types,
    substitute_stage_variables,
)
from lamington.gateway.permits import Permissions, compile_permit
from lamington.gateway.request_mapping import compile_request_mapping
from lamington.gateway.response_mapping import compile_response_mapping
from lamington.gateway.responses import (
    GatewayResponses,
    MethodResponse,
    compile_gateway_responses,
)
from lamington.gateway.router import Router, compile_router
from lamington.gateway.service_integrations import ServiceParts, compile_service
from lamington.gateway.stage_records import (
    MethodRecords,
    StageRecords,
    compile_method_records,
    compile_stage_records,
)
from lamington.gateway.templates import Context, Problem, make_method_context, make_no_context
from lamington.gateway.throttling import Buckets
from lamington.gateway.unacted import unacted
from lamington.gateway.usage_plans import UsagePlans
from lamington.gateway.validation import compile_validation


def _nobody(request: MethodRequest) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class StageParts:
    """What stages need of the engine, the same for all of them.

    A part that is None is one that whoever compiles does without: a method that needs it refuses
    every request, and a stage without `cache` or `buckets` keeps and counts nothing.
    """

    invoker: Invoker
    permitted: Permissions
    streaming: StreamingInvoker | None = None
    http: HttpParts | None = None
    services: ServiceParts | None = None
    authorization: AuthorizationParts | None = None
    plans: UsagePlans | None = None
    buckets: Buckets | None = None
    cache: CacheStore | None = None
    may_invalidate: MayInvalidate = _nobody


@dataclass(frozen=True, slots=True)
class MethodProgram:
    """One method, ready to run: request, integration, response.

    `context` makes what templates share between the two mappings. `traced` tells whether a
    success carries the trace header, `recorded` whether each step is to be kept for a log.
    """

    route: RouteConstants
    http_method: str
    context: Callable[[MethodRequest], Context]
    map_request: Callable[[MethodRequest, Context], IntegrationRequest]
    integration: Integration
    map_response: Callable[[MethodRequest, Context, IntegrationResponse], MethodResponse]
    traced: bool
    gates: tuple[Gate, ...] = ()
    cache: MethodCache | None = None
    recorded: bool = False
    records: MethodRecords | None = None


@dataclass(frozen=True, slots=True)
class Canary:
    """The share of a stage's requests, in percent, that another program is to serve."""

    percent: float
    program: "StageProgram"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgram:
    """An API as a stage serves it; immutable, and swapped whole.

    `is_closed` tells that its default endpoint is disabled.
    `is_canary` is what `$context.isCanaryRequest` says, "" where the stage has no canary.
    `problems` are what fails at run time, as on AWS; `unemulated` are sentences for the user.
    """

    api_id: str
    stage_name: str
    route: RouteConstants
    router: Router[MethodProgram]
    methods: Mapping[tuple[str, str], MethodProgram]
    gateway_responses: GatewayResponses
    problems: tuple[Problem, ...]
    unemulated: tuple[str, ...]
    compress: Compress | None = None
    canary: Canary | None = None
    is_canary: str = ""
    is_closed: bool = False
    records: StageRecords | None = None


def compile_stage(
    *,
    api: entities.RestApi,
    stage: entities.Stage,
    scope: Scope,
    parts: StageParts,
    is_test: bool = False,
) -> StageProgram:
    """Compile an API, as its deployment holds it, with the settings of a stage.

    A test asks nobody who he is and counts no requests.
    """
    problems: list[Problem] = []
    methods: dict[tuple[str, str], MethodProgram] = {}
    routes: list[tuple[str, str, MethodProgram]] = []
    for resource in api.resources.values():
        for verb, method in resource.methods.items():
            compiler = _MethodCompiler(
                api=api,
                stage=stage,
                scope=scope,
                parts=parts,
                resource=resource,
                method=method,
                problems=problems,
                is_test=is_test,
            )
            records = compile_method_records(api, stage, scope, path=resource.path, method=method)
            program = replace(compiler.compile(), records=records, recorded=records.level > 0)
            methods[resource.resource_id, verb] = program
            routes.append((resource.path, verb, program))
    return StageProgram(
        api_id=api.api_id,
        stage_name=stage.stage_name,
        route=_constants(api, stage, scope, None),
        router=compile_router(routes),
        methods=methods,
        gateway_responses=compile_gateway_responses(api.gateway_responses, stage.variables),
        problems=tuple(problems),
        unemulated=tuple(
            dict.fromkeys(
                (*api.definition_extensions, *unacted(api, {}), *_unemulated_settings(stage))
            )
        ),
        records=compile_stage_records(api, stage, scope),
        compress=compile_compression(api),
        is_closed=api.disable_execute_api_endpoint,
    )


def _constants(
    api: entities.RestApi, stage: entities.Stage, scope: Scope, resource: entities.Resource | None
) -> RouteConstants:
    return RouteConstants(
        resource_id=resource.resource_id if resource else "",
        resource_path=resource.path if resource else "",
        account_id=scope.account_id,
        api_id=api.api_id,
        stage=stage.stage_name,
        deployment_id=stage.deployment_id,
        variables=stage.variables,
        is_traced=stage.tracing_enabled,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _MethodCompiler:
    """Compiles one method; what it finds goes to `problems`."""

    api: entities.RestApi
    stage: entities.Stage
    scope: Scope
    parts: StageParts
    resource: entities.Resource
    method: entities.Method
    problems: list[Problem]
    is_test: bool

    def compile(self) -> MethodProgram:
        program = self._compile_integration()
        return replace(program, gates=self._gates(), cache=self._cache())

    def _gates(self) -> tuple[Gate, ...]:
        """What a request has to pass, in AWS's order."""
        gates: list[Gate | None] = []
        if self.is_test:
            gates += [decompress, compile_validation(self.api, self.method, self._note)]
            return tuple(gate for gate in gates if gate is not None)
        if self.parts.authorization is not None:
            gates.append(
                compile_authorization(
                    api=self.api,
                    stage=self.stage,
                    resource=self.resource,
                    method=self.method,
                    scope=self.scope,
                    parts=self.parts.authorization,
                    note=self._note,
                )
            )
        if self.parts.plans is not None and self.parts.buckets is not None:
            gates.append(
                compile_admission(
                    api=self.api,
                    stage=self.stage,
                    resource=self.resource,
                    method=self.method,
                    scope=self.scope,
                    plans=self.parts.plans,
                    buckets=self.parts.buckets,
                )
            )
        gates += [decompress, compile_validation(self.api, self.method, self._note)]
        return tuple(gate for gate in gates if gate is not None)

    def _cache(self) -> MethodCache | None:
        if self.parts.cache is None or self.is_test:
            return None
        return compile_cache(
            api=self.api,
            stage=self.stage,
            resource=self.resource,
            method=self.method,
            store=self.parts.cache,
            variables=self.stage.variables,
            may_invalidate=self._may_invalidate(),
        )

    def _may_invalidate(self) -> MayInvalidate:
        if self.parts.authorization is None:
            return self.parts.may_invalidate
        return compile_invalidation(
            api_id=self.api.api_id,
            stage_name=self.stage.stage_name,
            scope=self.scope,
            signers=self.parts.authorization.signers,
        )

    def _note(self, message: str, template: str = "", line: int = 0, column: int = 0) -> None:
        self.problems.append(
            Problem(
                method=self.method.http_method,
                path=self.resource.path,
                template=template,
                line=line,
                column=column,
                message=message,
            )
        )

    def _compile_integration(self) -> MethodProgram:
        refused = self._refuse_unauthorized()
        if refused is not None:
            return refused
        integration = self.method.integration
        if integration is None:
            return self._broken("No integration is defined for the method")
        match integration.type:
            case "AWS_PROXY" | "AWS" if FUNCTION_URI.fullmatch(integration.uri):
                return self._compile_lambda(integration)
            case "HTTP" | "HTTP_PROXY" if self.parts.http is not None:
                return self._compile_http(integration, self.parts.http)
            case "AWS" if self.parts.services is not None:
                return self._compile_service(integration, self.parts.services)
            case "MOCK":
                return self._compile_mapped(integration, MockIntegration(), traced=False)
            case _:
                return self._broken(
                    f"Integration type `{integration.type}` with `{integration.uri}` cannot be"
                    " served here"
                )

    def _refuse_unauthorized(self) -> MethodProgram | None:
        """A method that asks who calls is never open because nobody can be asked."""
        method = self.method
        if self.is_test:
            return None
        if method.authorization_type not in ("", "NONE") and self.parts.authorization is None:
            asked = f"Authorization `{method.authorization_type}`"
        elif method.api_key_required and self.parts.plans is None:
            asked = "API keys"
        else:
            return None
        return self._refuse(
            f"{asked} cannot be asked for here", response_type="AUTHORIZER_CONFIGURATION_ERROR"
        )

    def _refuse(self, what: str, *, response_type: str) -> MethodProgram:
        return self._program(
            RefusedIntegration(
                f"Execution failed due to configuration error: {what}",
                response_type=response_type,
            )
        )

    def _broken(self, reason: str, hint: str = "") -> MethodProgram:
        self._note(f"{reason}: {hint}" if hint else reason)
        return self._program(
            RefusedIntegration(
                f"Execution failed due to configuration error: {reason}",
                response_type="API_CONFIGURATION_ERROR",
                hint=hint,
            )
        )

    def _program(self, integration: Integration) -> MethodProgram:
        return MethodProgram(
            route=_constants(self.api, self.stage, self.scope, self.resource),
            http_method=self.method.http_method,
            context=make_no_context,
            map_request=_empty_request,
            integration=integration,
            map_response=_empty_response,
            traced=False,
        )

    def _compile_lambda(self, integration: entities.MethodIntegration) -> MethodProgram:
        uri = substitute_stage_variables(integration.uri, self.stage.variables)
        found = FUNCTION_URI.fullmatch(uri)
        if found is None or "${" in uri:
            return self._broken("Invalid endpoint address")
        if integration.type == "AWS_PROXY" and (
            found["streaming_arn"] or integration.response_transfer_mode == "STREAM"
        ):
            return self._compile_streaming(integration, found["streaming_arn"] or found["arn"])
        if not found["arn"]:
            return self._broken("Response streaming is for proxy integrations")
        backend = LambdaIntegration(
            function_arn=found["arn"],
            invoker=self.parts.invoker,
            timeout_ms=integration.timeout_ms,
            permit=self._permit(found["arn"], integration),
        )
        if integration.type == "AWS":
            return self._compile_mapped(integration, backend, traced=True)
        if integration.http_method not in ("", "POST"):
            return self._broken("Invalid integration method: a function is invoked by POST")
        refusal = _forbidden_header(integration)
        if refusal:
            return self._broken(refusal)
        route = _constants(self.api, self.stage, self.scope, self.resource)
        is_binary = compile_binary_types(self.api.binary_media_types)
        make_event = compile_proxy_event(route, is_binary)
        read_answer = compile_proxy_response(is_binary)
        return MethodProgram(
            route=route,
            http_method=self.method.http_method,
            context=make_no_context,
            map_request=lambda request, context: make_event(request),
            integration=backend,
            map_response=lambda request, context, response: read_answer(request, response),
            traced=True,
        )

    def _compile_streaming(
        self, integration: entities.MethodIntegration, function_arn: str
    ) -> MethodProgram:
        """AWS: templates, caching and content encoding do not go with streaming."""
        if self.parts.streaming is None:
            return self._broken("Response streaming is not emulated here")
        if integration.http_method not in ("", "POST"):
            return self._broken("Invalid integration method: a function is invoked by POST")
        route = _constants(self.api, self.stage, self.scope, self.resource)
        make_event = compile_proxy_event(route, compile_binary_types(self.api.binary_media_types))
        return MethodProgram(
            route=route,
            http_method=self.method.http_method,
            context=make_no_context,
            map_request=lambda request, context: make_event(request),
            integration=LambdaStreamIntegration(
                function_arn=function_arn,
                invoker=self.parts.streaming,
                timeout_ms=integration.timeout_ms,
                permit=self._permit(function_arn, integration),
            ),
            map_response=read_streamed_answer,
            traced=True,
        )

    def _compile_http(
        self, integration: entities.MethodIntegration, parts: HttpParts
    ) -> MethodProgram:
        types = self.api.binary_media_types
        try:
            exchange = compile_http(
                integration,
                method=self.method,
                stage=self.stage,
                scope=self.scope,
                route=_constants(self.api, self.stage, self.scope, self.resource),
                binary_types=compile_binary_types(types) if types else None,
                parts=parts,
                note=self._note,
            )
        except Misconfigured as error:
            return self._broken(error.message, error.hint)
        return self._exchange(integration, exchange, traced=integration.type == "HTTP")

    def _compile_service(
        self, integration: entities.MethodIntegration, parts: ServiceParts
    ) -> MethodProgram:
        types = self.api.binary_media_types
        try:
            exchange = compile_service(
                integration,
                method=self.method,
                scope=self.scope,
                route=_constants(self.api, self.stage, self.scope, self.resource),
                binary_types=compile_binary_types(types) if types else None,
                parts=parts,
                note=self._note,
            )
        except Misconfigured as error:
            return self._broken(error.message, error.hint)
        return self._exchange(integration, exchange, traced=True)

    def _exchange(
        self, integration: entities.MethodIntegration, exchange: Exchange, *, traced: bool
    ) -> MethodProgram:
        refusal = _forbidden_header(integration)
        if refusal:
            return self._broken(refusal)
        return MethodProgram(
            route=_constants(self.api, self.stage, self.scope, self.resource),
            http_method=self.method.http_method,
            context=exchange.context,
            map_request=exchange.map_request,
            integration=exchange.integration,
            map_response=exchange.map_response,
            traced=traced,
        )

    def _permit(
        self, function_arn: str, integration: entities.MethodIntegration
    ) -> Callable[[], bool]:
        """A role's credentials need no permission; else the function's policy must have it."""
        if integration.credentials:
            return lambda: True
        source_arn = self.scope.arn(
            "execute-api",
            f"{self.api.api_id}/{self.stage.stage_name}/{self.method.http_method}"
            f"{self.resource.path}",
        )
        return compile_permit(self.parts.permitted, function_arn, source_arn, self.scope)

    def _compile_mapped(
        self, integration: entities.MethodIntegration, backend: Integration, *, traced: bool
    ) -> MethodProgram:
        refusal = _forbidden_header(integration)
        if refusal:
            return self._broken(refusal)
        route = _constants(self.api, self.stage, self.scope, self.resource)
        types = self.api.binary_media_types
        is_binary = compile_binary_types(types) if types else None
        note = self._note

        return MethodProgram(
            route=route,
            http_method=self.method.http_method,
            context=make_method_context(route),
            map_request=compile_request_mapping(integration, route, is_binary, note),
            integration=backend,
            map_response=compile_response_mapping(integration, self.method, route, is_binary, note),
            traced=traced,
        )


def _empty_request(request: MethodRequest, context: Context) -> IntegrationRequest:
    return IntegrationRequest(b"")


def _empty_response(
    request: MethodRequest, context: Context, response: IntegrationResponse
) -> MethodResponse:
    return MethodResponse(response.status)


_HEADERS_FORBIDDEN = frozenset(
    {
        "content-length",
        "transfer-encoding",
        "x-amzn-trace-id",
        "x-amzn-apigateway-api-id",
    }
)
_HEADERS_FORBIDDEN_AWS = _HEADERS_FORBIDDEN | {
    "authorization",
    "connection",
    "expect",
    "proxy-authenticate",
    "te",
}


def _forbidden_header(integration: entities.MethodIntegration) -> str:
    """What is wrong with a mapping to a header that may not be mapped; "" for nothing.

    AWS: a request to such a method is a 500 (recorded).
    """
    forbidden = _HEADERS_FORBIDDEN_AWS if integration.type.startswith("AWS") else _HEADERS_FORBIDDEN
    for target in integration.request_parameters:
        name = target.removeprefix("integration.request.header.")
        if name != target and name.lower() in forbidden:
            return f"Header `{name}` may not be mapped"
    return ""


def _unemulated_settings(stage: entities.Stage) -> Iterator[str]:
    unheard = undelivered(stage.access_log)
    if unheard:
        yield unheard
