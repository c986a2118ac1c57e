"""Freezes an API for a stage: everything that can be decided before a request is decided here.

Each method becomes a `MethodProgram` of three functions and an integration; `pipeline` runs them.
What a request passes before that is `method_gates`'.
What an API may contain was checked when it was written; AWS takes a template that does not
compile and fails each request, and so do we, with the reason kept as a `Problem`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from lamington.core.aws import Scope
from lamington.gateway import entities
from lamington.gateway.access_logs import undelivered
from lamington.gateway.cache import MethodCache
from lamington.gateway.compression import Compress, compile_compression
from lamington.gateway.http_integrations import Exchange, compile_http
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
    read_streamed_answer,
)
from lamington.gateway.mapping import (
    Gate,
    MethodRequest,
    RouteConstants,
    compile_binary_types,
    substitute_stage_variables,
)
from lamington.gateway.method_gates import (
    compile_gates,
    compile_kept_answers,
    compile_test_gates,
    unanswerable,
)
from lamington.gateway.permits import compile_permit
from lamington.gateway.request_mapping import compile_request_mapping
from lamington.gateway.response_mapping import compile_response_mapping
from lamington.gateway.responses import (
    GatewayResponses,
    MethodResponse,
    compile_gateway_responses,
)
from lamington.gateway.router import Router, compile_router
from lamington.gateway.service_integrations import compile_service
from lamington.gateway.stage_parts import StageParts
from lamington.gateway.stage_records import (
    MethodRecords,
    StageRecords,
    compile_method_records,
    compile_stage_records,
)
from lamington.gateway.templates import (
    BinaryTypes,
    Context,
    Problem,
    make_method_context,
    make_no_context,
)
from lamington.gateway.unacted import unacted


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
    unheard = filter(None, [undelivered(stage.access_log)])
    return StageProgram(
        api_id=api.api_id,
        stage_name=stage.stage_name,
        route=_constants(api, stage, scope, None),
        router=compile_router(routes),
        methods=methods,
        gateway_responses=compile_gateway_responses(api.gateway_responses, stage.variables),
        problems=tuple(problems),
        unemulated=tuple(dict.fromkeys((*api.definition_extensions, *unacted(api, {}), *unheard))),
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
        if self.is_test:
            return replace(program, gates=compile_test_gates(self.api, self.method, self._note))
        gates = compile_gates(
            api=self.api,
            stage=self.stage,
            resource=self.resource,
            method=self.method,
            scope=self.scope,
            parts=self.parts,
            note=self._note,
        )
        cache = compile_kept_answers(
            api=self.api,
            stage=self.stage,
            resource=self.resource,
            method=self.method,
            scope=self.scope,
            parts=self.parts,
        )
        return replace(program, gates=gates, cache=cache)

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
        unanswered = "" if self.is_test else unanswerable(self.method, self.parts)
        if unanswered:
            return self._refused(
                f"{unanswered} cannot be asked for here",
                response_type="AUTHORIZER_CONFIGURATION_ERROR",
            )
        integration = self.method.integration
        if integration is None:
            return self._broken("No integration is defined for the method")
        try:
            return self._compile_exchange(integration)
        except Misconfigured as error:
            return self._broken(error.message, error.hint)

    def _compile_exchange(self, integration: entities.MethodIntegration) -> MethodProgram:
        match integration.type:
            case "AWS_PROXY" | "AWS" if FUNCTION_URI.fullmatch(integration.uri):
                exchange = self._compile_lambda(integration)
            case "HTTP" | "HTTP_PROXY" if self.parts.http is not None:
                exchange = self._compile_remote(
                    integration, partial(compile_http, stage=self.stage, parts=self.parts.http)
                )
            case "AWS" if self.parts.services is not None:
                exchange = self._compile_remote(
                    integration, partial(compile_service, parts=self.parts.services)
                )
            case "MOCK":
                exchange = self._compile_mapped(integration, MockIntegration())
            case _:
                raise Misconfigured(
                    f"Integration type `{integration.type}` with `{integration.uri}` cannot be"
                    " served here"
                )
        return self._program(exchange, traced=integration.type not in ("MOCK", "HTTP_PROXY"))

    def _broken(self, reason: str, hint: str = "") -> MethodProgram:
        self._note(f"{reason}: {hint}" if hint else reason)
        return self._refused(reason, response_type="API_CONFIGURATION_ERROR", hint=hint)

    def _refused(self, reason: str, *, response_type: str, hint: str = "") -> MethodProgram:
        integration = RefusedIntegration(
            f"Execution failed due to configuration error: {reason}",
            response_type=response_type,
            hint=hint,
        )
        return self._program(
            Exchange(
                context=make_no_context,
                map_request=_empty_request,
                integration=integration,
                map_response=_empty_response,
            ),
            traced=False,
        )

    def _program(self, exchange: Exchange, *, traced: bool) -> MethodProgram:
        return MethodProgram(
            route=self._route(),
            http_method=self.method.http_method,
            context=exchange.context,
            map_request=exchange.map_request,
            integration=exchange.integration,
            map_response=exchange.map_response,
            traced=traced,
        )

    def _route(self) -> RouteConstants:
        return _constants(self.api, self.stage, self.scope, self.resource)

    def _binary_types(self) -> BinaryTypes:
        types = self.api.binary_media_types
        return compile_binary_types(types) if types else None

    def _compile_lambda(self, integration: entities.MethodIntegration) -> Exchange:
        uri = substitute_stage_variables(integration.uri, self.stage.variables)
        found = FUNCTION_URI.fullmatch(uri)
        if found is None or "${" in uri:
            raise Misconfigured("Invalid endpoint address")
        if integration.type == "AWS_PROXY" and (
            found["streaming_arn"] or integration.response_transfer_mode == "STREAM"
        ):
            return self._compile_streaming(integration, found["streaming_arn"] or found["arn"])
        if not found["arn"]:
            raise Misconfigured("Response streaming is for proxy integrations")
        backend = LambdaIntegration(
            function_arn=found["arn"],
            invoker=self.parts.invoker,
            timeout_ms=integration.timeout_ms,
            permit=self._permit(found["arn"], integration),
        )
        if integration.type == "AWS":
            return self._compile_mapped(integration, backend)
        _require_post(integration)
        _require_mappable_headers(integration)
        is_binary = compile_binary_types(self.api.binary_media_types)
        make_event = compile_proxy_event(self._route(), is_binary)
        read_answer = compile_proxy_response(is_binary)
        return Exchange(
            context=make_no_context,
            map_request=lambda request, context: make_event(request),
            integration=backend,
            map_response=lambda request, context, response: read_answer(request, response),
        )

    def _compile_streaming(
        self, integration: entities.MethodIntegration, function_arn: str
    ) -> Exchange:
        """AWS: templates, caching and content encoding do not go with streaming."""
        if self.parts.streaming is None:
            raise Misconfigured("Response streaming is not emulated here")
        _require_post(integration)
        is_binary = compile_binary_types(self.api.binary_media_types)
        make_event = compile_proxy_event(self._route(), is_binary)
        return Exchange(
            context=make_no_context,
            map_request=lambda request, context: make_event(request),
            integration=LambdaStreamIntegration(
                function_arn=function_arn,
                invoker=self.parts.streaming,
                timeout_ms=integration.timeout_ms,
                permit=self._permit(function_arn, integration),
            ),
            map_response=read_streamed_answer,
        )

    def _permit(
        self, function_arn: str, integration: entities.MethodIntegration
    ) -> Callable[[], bool]:
        return compile_permit(
            self.parts.permitted,
            function_arn,
            f"{self.api.api_id}/{self.stage.stage_name}/{self.method.http_method}"
            f"{self.resource.path}",
            self.scope,
            role=integration.credentials,
        )

    def _compile_remote(
        self, integration: entities.MethodIntegration, compile_backend: Callable[..., Exchange]
    ) -> Exchange:
        """An HTTP endpoint or a service: they take the same of a method."""
        exchange = compile_backend(
            integration,
            method=self.method,
            scope=self.scope,
            route=self._route(),
            binary_types=self._binary_types(),
            note=self._note,
        )
        _require_mappable_headers(integration)
        return exchange

    def _compile_mapped(
        self, integration: entities.MethodIntegration, backend: Integration
    ) -> Exchange:
        _require_mappable_headers(integration)
        route, is_binary, note = self._route(), self._binary_types(), self._note
        return Exchange(
            context=make_method_context(route),
            map_request=compile_request_mapping(integration, route, is_binary, note),
            integration=backend,
            map_response=compile_response_mapping(integration, self.method, route, is_binary, note),
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


def _require_mappable_headers(integration: entities.MethodIntegration) -> None:
    """Raises Misconfigured where a header is mapped that may not be.

    AWS: a request to such a method is a 500 (recorded).
    """
    forbidden = _HEADERS_FORBIDDEN_AWS if integration.type.startswith("AWS") else _HEADERS_FORBIDDEN
    for target in integration.request_parameters:
        name = target.removeprefix("integration.request.header.")
        if name != target and name.lower() in forbidden:
            raise Misconfigured(f"Header `{name}` may not be mapped")


def _require_post(integration: entities.MethodIntegration) -> None:
    if integration.http_method not in ("", "POST"):
        raise Misconfigured("Invalid integration method: a function is invoked by POST")
