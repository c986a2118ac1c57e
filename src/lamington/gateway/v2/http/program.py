"""Freezes an HTTP API for a stage: everything that can be decided before a request is decided here.

Each route becomes a `RouteProgram`; `plane` runs them. What an API may contain was checked when it
was written; what AWS fails at run time fails each request here, too, with the reason kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from lamington.core.aws import Scope
from lamington.core.http import Response
from lamington.functions.metrics import Dimensions
from lamington.gateway.access_logs import AccessLog, compile_access_settings, undelivered
from lamington.gateway.integrations import Misconfigured
from lamington.gateway.journal import Series
from lamington.gateway.recording import record_throttle
from lamington.gateway.templates import Problem
from lamington.gateway.throttling import Buckets, TokenBucket
from lamington.gateway.v2 import entities
from lamington.gateway.v2.http.authorizers import (
    compile_authorization,
)
from lamington.gateway.v2.http.cors import CorsAnswers
from lamington.gateway.v2.http.integrations import Send, compile_endpoint, compile_function
from lamington.gateway.v2.http.parameters import (
    ChangeRequest,
    ChangeResponse,
    compile_request_parameters,
    compile_response_parameters,
)
from lamington.gateway.v2.http.parts import HttpApiParts
from lamington.gateway.v2.http.refusals import HttpRefusal
from lamington.gateway.v2.http.requests import Gate, HttpRequest, RouteConstants
from lamington.gateway.v2.http.routes import Routes, compile_routes
from lamington.gateway.v2.http.services import compile_service


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteProgram:
    """One route, ready to run: its checks, what becomes of request and response, what is behind."""

    constants: RouteConstants
    gates: tuple[Gate, ...]
    change_request: ChangeRequest | None
    send: Send
    change_response: ChangeResponse | None
    series: Series


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgram:
    """An API as a stage serves it; immutable, and swapped whole.

    `constants` and `series` are those of a request that no route takes. `problems` are what
    fails at run time, as on AWS; `unemulated` are sentences for the user.
    """

    constants: RouteConstants
    api_name: str
    route_keys: tuple[str, ...]
    routes: Routes[RouteProgram]
    cors: CorsAnswers | None
    series: Series
    access_log: AccessLog | None
    endpoint_disabled: bool
    problems: tuple[Problem, ...]
    unemulated: tuple[str, ...]


def compile_program(
    api: entities.Api, stage: entities.Stage, scope: Scope, parts: HttpApiParts
) -> StageProgram:
    """Compile an API, as its deployment holds it, with the settings of a stage."""
    problems: list[Problem] = []
    programs = [
        (
            route.route_key,
            _RouteCompiler(
                api=api, stage=stage, scope=scope, parts=parts, route=route, problems=problems
            ).compile(),
        )
        for route in api.routes.values()
    ]
    told = undelivered(_log_settings(stage))
    return StageProgram(
        constants=_constants(api, stage, scope, ""),
        api_name=api.name,
        route_keys=tuple(key for key, _ in programs),
        routes=compile_routes(programs),
        cors=None if api.cors is None else CorsAnswers(api.cors),
        series=Series(scope, _stage_sets(api, stage)),
        access_log=compile_access_settings(_log_settings(stage), scope),
        endpoint_disabled=api.disable_execute_api_endpoint,
        problems=tuple(problems),
        unemulated=(*api.unacted, told) if told else api.unacted,
    )


def _constants(
    api: entities.Api, stage: entities.Stage, scope: Scope, route_key: str
) -> RouteConstants:
    return RouteConstants(
        api_id=api.api_id,
        stage=stage.stage_name,
        route_key=route_key,
        scope=scope,
        variables=stage.variables,
    )


def _log_settings(stage: entities.Stage) -> Mapping[str, str]:
    """Stages of version 2 keep their access log under names in Pascal case."""
    log = stage.access_log
    return {
        "destinationArn": log.get("DestinationArn", log.get("destinationArn", "")),
        "format": log.get("Format", log.get("format", "")),
    }


def _stage_sets(
    api: entities.Api, stage: entities.Stage, detail: Dimensions = ()
) -> tuple[Dimensions, ...]:
    """AWS: API Gateway developer guide, metrics of HTTP APIs."""
    by_api = (("ApiId", api.api_id),)
    by_stage = (*by_api, ("Stage", stage.stage_name))
    return (by_api, by_stage, (*by_stage, *detail)) if detail else (by_api, by_stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RouteCompiler:
    """Compiles one route; what it finds goes to `problems`."""

    api: entities.Api
    stage: entities.Stage
    scope: Scope
    parts: HttpApiParts
    route: entities.Route
    problems: list[Problem]

    def compile(self) -> RouteProgram:
        constants = _constants(self.api, self.stage, self.scope, self.route.route_key)
        integration = self.api.integrations.get(self.route.integration_id)
        change_request = change_response = None
        if integration is None:
            send = self._broken("No integration is defined for the route")
        else:
            send = self._compile_integration(integration, constants)
            if not integration.integration_subtype:
                change_request = compile_request_parameters(
                    integration.request_parameters, constants.variables, self._note
                )
            change_response = compile_response_parameters(
                integration.response_parameters, constants.variables, self._note
            )
        return RouteProgram(
            constants=constants,
            gates=self._compile_gates(constants),
            change_request=change_request,
            send=send,
            change_response=change_response,
            series=Series(self.scope, _stage_sets(self.api, self.stage, self._detail())),
        )

    def _compile_integration(
        self, integration: entities.Integration, constants: RouteConstants
    ) -> Send:
        try:
            match integration.integration_type:
                case "AWS_PROXY" if integration.integration_subtype:
                    return compile_service(
                        integration,
                        constants,
                        caller=self.parts.caller,
                        emulates=self.parts.emulates,
                        note=self._note,
                    )
                case "AWS_PROXY":
                    return compile_function(
                        integration,
                        constants,
                        invoker=self.parts.invoker,
                        permitted=self.parts.permitted,
                    )
                case "HTTP_PROXY":
                    return compile_endpoint(
                        integration,
                        constants,
                        client=self.parts.client,
                        vpc_links=self.parts.vpc_links,
                    )
                case unknown:
                    return self._broken(f"An HTTP API has no integrations of type `{unknown}`")
        except Misconfigured as error:
            return self._broken(error.message, error.hint)

    def _compile_gates(self, constants: RouteConstants) -> tuple[Gate, ...]:
        parts = self.parts
        authorization = compile_authorization(
            self.api,
            self.route,
            constants,
            parts=parts,
            note=self._note,
        )
        throttle = compile_throttle(self.stage, constants, parts.buckets)
        return tuple(each for each in (authorization, throttle) if each is not None)

    def _detail(self) -> Dimensions:
        settings = self.stage.route_settings.get(self.route.route_key)
        detailed = None if settings is None else settings.detailed_metrics_enabled
        if detailed is None:
            detailed = self.stage.default_route_settings.detailed_metrics_enabled
        return (("Route", self.route.route_key),) if detailed else ()

    def _note(self, message: str, template: str = "", line: int = 0, column: int = 0) -> None:
        method, _, path = self.route.route_key.rpartition(" ")
        self.problems.append(
            Problem(
                method=method,
                path=path,
                template=template,
                line=line,
                column=column,
                message=message,
            )
        )

    def _broken(self, reason: str, hint: str = "") -> Send:
        self._note(reason)

        async def send(request: HttpRequest) -> Response:
            raise HttpRefusal(500, reason, hint=hint)

        return send


def compile_throttle(stage: entities.Stage, route: RouteConstants, buckets: Buckets) -> Gate | None:
    """Compile what limits a route: its own settings or the stage's, and the account's.

    AWS: API Gateway developer guide, throttling of HTTP APIs; what the stage's default settings
    say counts for each route apart (so for REST APIs; likely here).
    """
    named = _limits_of(stage, route, buckets)
    if not named:
        return None
    limits = [bucket for _, bucket in named]
    take = limits[0].take
    others = tuple(limits[1:])

    def gate(request: HttpRequest) -> None:
        if not take():
            refuse(request, 0)
        for index, each in enumerate(others, 1):
            if not each.take():
                limits[0].give_back()
                refuse(request, index)
        if request.recording is not None:
            for level, bucket in named:
                record_throttle(request.recording, level, bucket)

    def refuse(request: HttpRequest, index: int) -> NoReturn:
        if request.recording is not None:
            record_throttle(request.recording, *named[index], admitted=False)
        raise HttpRefusal(429, "Too Many Requests")

    return gate


def _limits_of(
    stage: entities.Stage, route: RouteConstants, buckets: Buckets
) -> list[tuple[str, TokenBucket]]:
    """The limits of a route by their names, the narrowest first."""
    account = buckets.account(route.scope)
    own = stage.route_settings.get(route.route_key, entities.RouteSettings())
    default = stage.default_route_settings
    rate, burst = own.throttling_rate_limit, own.throttling_burst_limit
    rate = default.throttling_rate_limit if rate is None else rate
    burst = default.throttling_burst_limit if burst is None else burst
    limits: list[tuple[str, TokenBucket]] = []
    if rate is not None or burst is not None:
        rate = buckets.default_rate if rate is None else rate
        burst = buckets.default_burst if burst is None else burst
        if account is None or rate < account.rate or burst < account.burst:
            key = ("route", route.api_id, route.stage, route.route_key)
            limits.append(("route", buckets.bucket(key, rate, burst)))
    if account is not None:
        limits.append(("account", account))
    return limits
