"""Freezes an API for a stage: everything that can be decided before a request is decided here.

Each method becomes a `MethodProgram` of three functions and an integration; `pipeline` runs them.
What an API may contain was checked when it was written; AWS takes a template that does not
compile and fails each request, and so do we, with the reason kept as a `Problem`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lamington.core.aws import Scope
from lamington.functions.invoke import Invoker
from lamington.gateway import entities
from lamington.gateway.integrations import (
    Integration,
    IntegrationRequest,
    IntegrationResponse,
    LambdaIntegration,
    MockIntegration,
    RefusedIntegration,
)
from lamington.gateway.lambda_proxy import compile_proxy_event, compile_proxy_response
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
from lamington.gateway.templates import Context, Problem, make_method_context, make_no_context
from lamington.gateway.unacted import unacted


class MethodCache(Protocol):
    """What a method has answered before, by what its API makes the key."""

    def find(self, request: MethodRequest) -> MethodResponse | None: ...

    def keep(self, request: MethodRequest, response: MethodResponse) -> None: ...


Compress = Callable[[MethodRequest, MethodResponse], None]
"""Compresses a response in place where its client takes that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageParts:
    """What stages need of the engine, the same for all of them."""

    invoker: Invoker
    permitted: Permissions


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


@dataclass(frozen=True, slots=True)
class Canary:
    """The share of a stage's requests, in percent, that another program is to serve."""

    percent: float
    program: "StageProgram"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgram:
    """An API as a stage serves it; immutable, and swapped whole.

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


def compile_stage(
    *, api: entities.RestApi, stage: entities.Stage, scope: Scope, parts: StageParts
) -> StageProgram:
    """Compile an API, as its deployment holds it, with the settings of a stage."""
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
            )
            program = compiler.compile()
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
    )


_FUNCTION_URI = re.compile(
    r"arn:[^:]+:apigateway:[^:]*:lambda:path/+2015-03-31/functions/(?P<arn>.+)/invocations"
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

    def compile(self) -> MethodProgram:
        refused = self._refuse_unauthorized()
        if refused is not None:
            return refused
        integration = self.method.integration
        if integration is None:
            return self._broken("No integration is defined for the method")
        match integration.type:
            case "AWS_PROXY" | "AWS" if _FUNCTION_URI.fullmatch(integration.uri):
                return self._compile_lambda(integration)
            case "MOCK":
                return self._compile_mapped(integration, MockIntegration(), traced=False)
            case _:
                return self._refuse(
                    f"Integration type `{integration.type}` with `{integration.uri}` is not"
                    " emulated yet",
                    response_type="API_CONFIGURATION_ERROR",
                )

    def _refuse_unauthorized(self) -> MethodProgram | None:
        """A method that asks who calls is never open because nobody can be asked yet."""
        method = self.method
        if method.authorization_type not in ("", "NONE"):
            asked = f"Authorization `{method.authorization_type}`"
        elif method.api_key_required:
            asked = "API keys"
        else:
            return None
        return self._refuse(
            f"{asked} not emulated yet", response_type="AUTHORIZER_CONFIGURATION_ERROR"
        )

    def _refuse(self, what: str, *, response_type: str) -> MethodProgram:
        return self._program(
            RefusedIntegration(
                f"Execution failed due to configuration error: {what}",
                response_type=response_type,
            )
        )

    def _broken(self, reason: str) -> MethodProgram:
        self.problems.append(
            Problem(method=self.method.http_method, path=self.resource.path, message=reason)
        )
        return self._program(
            RefusedIntegration(
                f"Execution failed due to configuration error: {reason}",
                response_type="API_CONFIGURATION_ERROR",
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
        found = _FUNCTION_URI.fullmatch(uri)
        if found is None or "${" in uri:
            return self._broken("Invalid endpoint address")
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

        def note(message: str, template: str = "", line: int = 0, column: int = 0) -> None:
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
    if stage.cache_cluster_enabled:
        yield "Response caching is not emulated yet: every request goes to its integration."
    if stage.access_log:
        yield "Access logs are not emulated yet: none are written."
    settings: Mapping[str, Any]
    for settings in stage.method_settings.values():
        if (
            settings.get("throttlingRateLimit", entities.THROTTLING_RATE_LIMIT)
            != entities.THROTTLING_RATE_LIMIT
            or settings.get("throttlingBurstLimit", entities.THROTTLING_BURST_LIMIT)
            != entities.THROTTLING_BURST_LIMIT
        ):
            yield "Throttling is not emulated yet: requests are not limited."
            break
    for settings in stage.method_settings.values():
        if settings.get("loggingLevel", "OFF") != "OFF":
            yield "Execution logs are not written to CloudWatch Logs yet."
            break
