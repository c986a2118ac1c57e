"""What a stage of a REST API keeps of its requests, decided when it is deployed.

The dimensions of its metrics, its access log, and which of its methods log their executions. Left
to others: to write any of it (`completed`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lamington.core.aws import Scope
from lamington.functions.metrics import Dimensions
from lamington.gateway.access_logs import AccessLog, compile_access_settings
from lamington.gateway.entities import Method, RestApi, Stage
from lamington.gateway.journal import Series

LEVELS: Mapping[str, int] = {"OFF": 0, "ERROR": 1, "INFO": 2}
CANARY_SUFFIX = "/Canary"


@dataclass(frozen=True, slots=True)
class MethodRecords:
    """What is kept of one method's requests; `level` is one of LEVELS' values.

    `data_trace` adds headers and bodies to the execution log. `proxy` tells that a function's
    answer has the status in it.
    """

    series: Series
    canary_series: Series
    level: int = 0
    data_trace: bool = False
    proxy: bool = False


@dataclass(frozen=True, slots=True)
class StageRecords:
    """What is kept of all requests to a stage; `series` counts those that no method takes.

    Those that the canary serves are counted in `canary_series`, and their log groups have
    CANARY_SUFFIX behind their names.
    """

    scope: Scope
    series: Series
    canary_series: Series
    access_log: AccessLog | None
    execution_group: str
    tracing: bool
    api_name: str = ""


def compile_stage_records(api: RestApi, stage: Stage, scope: Scope) -> StageRecords:
    """Compile what a stage keeps.

    AWS: API Gateway developer guide, metrics and dimensions; canary releases, whose logs and
    metrics are under the stage's name and `/Canary`.
    """
    return StageRecords(
        scope,
        Series(scope, _stage_sets(api, stage, "")),
        Series(scope, _stage_sets(api, stage, CANARY_SUFFIX)),
        compile_access_settings(stage.access_log, scope),
        f"API-Gateway-Execution-Logs_{api.api_id}/{stage.stage_name}",
        stage.tracing_enabled,
        api.name,
    )


def compile_method_records(
    api: RestApi,
    stage: Stage,
    scope: Scope,
    *,
    path: str,
    method: Method,
) -> MethodRecords:
    """Compile what a stage keeps of one method.

    AWS: detailed metrics, those of a method, are counted only where its settings ask for them.
    """
    http_method = method.http_method
    settings = stage.settings_of(path, http_method)
    detail: Dimensions = ()
    if settings.get("metricsEnabled"):
        detail = (("Method", http_method), ("Resource", path))
    return MethodRecords(
        Series(scope, _stage_sets(api, stage, "", detail)),
        Series(scope, _stage_sets(api, stage, CANARY_SUFFIX, detail)),
        LEVELS.get(str(settings.get("loggingLevel", "OFF")).upper(), 0),
        bool(settings.get("dataTraceEnabled")),
        method.integration is not None and method.integration.type == "AWS_PROXY",
    )


def _stage_sets(
    api: RestApi, stage: Stage, suffix: str, detail: Dimensions = ()
) -> tuple[Dimensions, ...]:
    by_api = (("ApiName", api.name),)
    by_stage = (*by_api, ("Stage", stage.stage_name + suffix))
    return (by_api, by_stage, (*by_stage, *detail)) if detail else (by_api, by_stage)
