"""What a change may say of a stage: the patch paths of UpdateStage, and what each does.

Left to others: to check and to serve the stage that comes of it (`stages`), and the members of
its method settings (`settings`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lamington.gateway.entities import BadRequestException, Stage
from lamington.gateway.operations.settings import changed_settings
from lamington.gateway.operations.tables import Patch

STAGE_PATCH_PATHS = (
    "/deploymentId",
    "/description",
    "/cacheClusterEnabled",
    "/cacheClusterSize",
    "/clientCertificateId",
    "/accessLogSettings",
    "/accessLogSettings/destinationArn",
    "/accessLogSettings/format",
    "/{resourcePath}/{httpMethod}/metrics/enabled",
    "/{resourcePath}/{httpMethod}/logging/dataTrace",
    "/{resourcePath}/{httpMethod}/logging/loglevel",
    "/{resourcePath}/{httpMethod}/throttling/burstLimit",
    "/{resourcePath}/{httpMethod}/throttling/rateLimit",
    "/{resourcePath}/{httpMethod}/caching/ttlInSeconds",
    "/{resourcePath}/{httpMethod}/caching/enabled",
    "/{resourcePath}/{httpMethod}/caching/dataEncrypted",
    "/{resourcePath}/{httpMethod}/caching/requireAuthorizationForCacheControl",
    "/{resourcePath}/{httpMethod}/caching/unauthorizedCacheControlHeaderStrategy",
    "/*/*/metrics/enabled",
    "/*/*/logging/dataTrace",
    "/*/*/logging/loglevel",
    "/*/*/throttling/burstLimit",
    "/*/*/throttling/rateLimit",
    "/*/*/caching/ttlInSeconds",
    "/*/*/caching/enabled",
    "/*/*/caching/dataEncrypted",
    "/*/*/caching/requireAuthorizationForCacheControl",
    "/*/*/caching/unauthorizedCacheControlHeaderStrategy",
    "/variables/{variable_name}",
    "/tracingEnabled",
    "/documentationVersion",
    "/canarySettings",
)


def patched_stage(stage: Stage, patch: Patch) -> Stage:
    """Apply one patch operation; raises BadRequestException for a path that is none."""
    if patch.op == "copy":
        return _promoted(stage, patch)
    if patch.op not in ("add", "replace", "remove"):
        raise _not_a_path(patch)
    value = "" if patch.op == "remove" else patch.value
    match patch.path:
        case ("deploymentId",) if patch.op == "replace":
            return replace(stage, deployment_id=value)
        case ("variables", name):
            return replace(stage, variables=patch.changed(stage.variables, name))
        case ("accessLogSettings",) if patch.op == "remove":
            return replace(stage, access_log={})
        case ("accessLogSettings", ("destinationArn" | "format") as name):
            return replace(stage, access_log=patch.changed(stage.access_log, name))
        case ("canarySettings",) if patch.op == "remove":
            return replace(stage, canary_settings={})
        case ("canarySettings", *names):
            return replace(stage, canary_settings=_canary(stage.canary_settings, names, patch))
        case (_,):
            return _patched_member(stage, patch, value)
    settings = changed_settings(stage.method_settings, patch)
    if settings is None:
        raise _not_a_path(patch)
    return replace(stage, method_settings=settings)


def _patched_member(stage: Stage, patch: Patch, value: str) -> Stage:
    match patch.path[0]:
        case "description":
            return replace(stage, description=value)
        case "documentationVersion":
            return replace(stage, documentation_version=value)
        case "clientCertificateId":
            return replace(stage, client_certificate_id=value)
        case "cacheClusterSize":
            return replace(stage, cache_cluster_size=value)
        case "cacheClusterEnabled":
            return replace(stage, cache_cluster_enabled=patch.flag)
        case "tracingEnabled":
            return replace(stage, tracing_enabled=patch.flag)
    raise _not_a_path(patch)


def _not_a_path(patch: Patch) -> BadRequestException:
    return BadRequestException(
        f"Invalid method setting path: {patch.written}. Must be one of: "
        f"[{', '.join(STAGE_PATCH_PATHS)}]"
    )


def _promoted(stage: Stage, patch: Patch) -> Stage:
    """Copy from the canary's settings: what makes its deployment and variables the stage's."""
    match patch.source, patch.path:
        case ("canarySettings", "deploymentId"), ("deploymentId",):
            deployment_id = stage.canary_settings.get("deploymentId")
            return replace(stage, deployment_id=deployment_id or stage.deployment_id)
        case ("canarySettings", "stageVariableOverrides"), ("variables",):
            overrides = stage.canary_settings.get("stageVariableOverrides", {})
            return replace(stage, variables={**stage.variables, **overrides})
    raise _not_a_path(patch)


def _canary(values: Mapping[str, Any], names: list[str], patch: Patch) -> dict[str, Any]:
    match names:
        case ["deploymentId"]:
            return {**values, "deploymentId": patch.value}
        case ["percentTraffic"]:
            return {**values, "percentTraffic": patch.number}
        case ["useStageCache"]:
            return {**values, "useStageCache": patch.flag}
        case ["stageVariableOverrides", name]:
            overrides = patch.changed(values.get("stageVariableOverrides", {}), name)
            return {**values, "stageVariableOverrides": overrides}
    raise _not_a_path(patch)
