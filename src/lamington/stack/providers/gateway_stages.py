"""AWS::ApiGateway::Deployment and Stage: what puts a REST API into service.

Left to others: the API (`gateway`) and what is in it (`gateway_methods`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from lamington.core.aws import AwsCaller
from lamington.core.errors import AwsError, ResourceError
from lamington.stack.providers.base import (
    Physical,
    Properties,
    ResourceContext,
    is_owned,
)
from lamington.stack.providers.gateway_calls import (
    delete_by,
    find_by,
    given,
    items_of,
    lower_members,
    member_patches,
    replacement,
    retag,
    tags_of,
    text_of,
)
from lamington.stack.providers.gateway_facts import DEPLOYMENT, STAGE

_SETTING_PATHS = {
    "CacheDataEncrypted": "caching/dataEncrypted",
    "CacheTtlInSeconds": "caching/ttlInSeconds",
    "CachingEnabled": "caching/enabled",
    "DataTraceEnabled": "logging/dataTrace",
    "LoggingLevel": "logging/loglevel",
    "MetricsEnabled": "metrics/enabled",
    "ThrottlingBurstLimit": "throttling/burstLimit",
    "ThrottlingRateLimit": "throttling/rateLimit",
}
"""The patch path of each member of a MethodSetting, after its resource path and verb."""


class DeploymentProvider:
    """`AWS::ApiGateway::Deployment`: a snapshot; a template takes a new one by a new logical id."""

    resource_type = "AWS::ApiGateway::Deployment"
    facts = DEPLOYMENT

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller
        self._claims: dict[str, str] = {}

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        stage = desired.get("StageDescription") or {}
        name = desired.get("StageName")
        if stage and not name:
            raise ResourceError(
                "StageDescription cannot be specified when stage name is not specified",
                handler_code="InvalidRequest",
            )
        canary = desired.get("DeploymentCanarySettings")
        result = await self._caller.call(
            "apigateway:CreateDeployment",
            given(
                restApiId=desired["RestApiId"],
                description=desired.get("Description"),
                stageName=name,
                stageDescription=stage.get("Description"),
                variables=stage.get("Variables"),
                cacheClusterEnabled=stage.get("CacheClusterEnabled"),
                cacheClusterSize=stage.get("CacheClusterSize"),
                tracingEnabled=stage.get("TracingEnabled"),
                canarySettings=canary and lower_members(canary),
            ),
            context.scope,
        )
        deployment_id = str(result["id"])
        patches = _settings_patches(_stage_settings(stage), {})
        if name and patches:
            try:
                await _update_stage(self._caller, desired["RestApiId"], name, patches, context)
            except AwsError:
                await self.delete(deployment_id, desired, context)
                raise
        return _deployment_physical(deployment_id)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        """Change descriptions and the stage's settings; the snapshot stays as it is."""
        if desired.get("Description") != previous.get("Description"):
            await self._caller.call(
                "apigateway:UpdateDeployment",
                {
                    "restApiId": desired["RestApiId"],
                    "deploymentId": physical_id,
                    "patchOperations": [
                        replacement("/description", text_of(desired.get("Description")))
                    ],
                },
                context.scope,
            )
        name = desired.get("StageName")
        if name != previous.get("StageName"):
            raise ResourceError(
                "The stage of a deployment cannot be changed",
                handler_code="NotUpdatable",
                hint="give the deployment another logical id, or use AWS::ApiGateway::Stage",
            )
        if name:
            after, before = (it.get("StageDescription") or {} for it in (desired, previous))
            patches = _stage_patches(_as_stage(after), _as_stage(before))
            if patches:
                await _update_stage(self._caller, desired["RestApiId"], name, patches, context)
        return _deployment_physical(physical_id)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        """Delete the deployment, and the stage that it made if no other deployment has it."""
        api_id, name = properties["RestApiId"], properties.get("StageName")
        if name:
            where = {"restApiId": api_id, "stageName": name}
            stage = await find_by(self._caller, "apigateway:GetStage", where, context)
            if stage is not None and stage["deploymentId"] == physical_id:
                await delete_by(self._caller, "apigateway:DeleteStage", where, context)
        await delete_by(
            self._caller,
            "apigateway:DeleteDeployment",
            {"restApiId": api_id, "deploymentId": physical_id},
            context,
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """A deployment like this one that is no older than the create and that no stack has.

        Where several creates were cut off each gets one of its own: they differ in nothing else.
        """
        api = {"restApiId": desired["RestApiId"]}
        stages = await find_by(self._caller, "apigateway:GetStages", api, context)
        served = {
            it["deploymentId"]
            for it in (stages or {}).get("item", ())
            if it["stageName"] != desired.get("StageName")
        }
        for each in await items_of(self._caller, "apigateway:GetDeployments", api, context):
            deployment_id = str(each["id"])
            if (
                deployment_id not in served
                and each.get("description", "") == text_of(desired.get("Description"))
                and _is_as_new(each["createdDate"], context)
                and not await is_owned(self._caller, self.resource_type, deployment_id, context)
                and self._claims.setdefault(deployment_id, context.token) == context.token
            ):
                return deployment_id
        return None


class StageProvider:
    """`AWS::ApiGateway::Stage`: what makes a deployment callable."""

    resource_type = "AWS::ApiGateway::Stage"
    facts = STAGE

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        for name in ("StageName", "DeploymentId"):
            if not desired.get(name):
                raise ResourceError(
                    f"#: required key [{name}] not found", handler_code="InvalidRequest"
                )
        canary = desired.get("CanarySetting")
        await self._caller.call(
            "apigateway:CreateStage",
            given(
                restApiId=desired["RestApiId"],
                stageName=desired["StageName"],
                deploymentId=desired["DeploymentId"],
                description=desired.get("Description"),
                variables=desired.get("Variables"),
                cacheClusterEnabled=desired.get("CacheClusterEnabled"),
                cacheClusterSize=desired.get("CacheClusterSize"),
                documentationVersion=desired.get("DocumentationVersion"),
                canarySettings=canary and lower_members(canary),
                tracingEnabled=desired.get("TracingEnabled"),
                tags={**tags_of(desired, context), **context.system_tags},
            ),
            context.scope,
        )
        created = {
            name: desired[name]
            for name in desired
            if name not in ("MethodSettings", "AccessLogSetting", "ClientCertificateId")
        }
        patches = _stage_patches(desired, created)
        name = str(desired["StageName"])
        if patches:
            try:
                await _update_stage(self._caller, desired["RestApiId"], name, patches, context)
            except AwsError:
                await self.delete(name, desired, context)
                raise
        return Physical(physical_id=name, reference=name)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        patches = _stage_patches(desired, previous)
        if patches:
            await _update_stage(self._caller, desired["RestApiId"], physical_id, patches, context)
        await retag(
            self._caller,
            f"restapis/{desired['RestApiId']}/stages/{physical_id}",
            tags_of(desired, context),
            tags_of(previous, context),
            context,
        )
        return Physical(physical_id=physical_id, reference=physical_id)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        params = {"restApiId": properties["RestApiId"], "stageName": physical_id}
        await delete_by(self._caller, "apigateway:DeleteStage", params, context)

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        params = {"restApiId": desired["RestApiId"], "stageName": desired["StageName"]}
        stage = await find_by(self._caller, "apigateway:GetStage", params, context)
        if stage is None or not context.system_tags.items() <= (stage.get("tags") or {}).items():
            return None
        return str(stage["stageName"])


async def _update_stage(
    caller: AwsCaller,
    api_id: str,
    stage_name: str,
    patches: list[dict[str, str]],
    context: ResourceContext,
) -> None:
    await caller.call(
        "apigateway:UpdateStage",
        {"restApiId": api_id, "stageName": stage_name, "patchOperations": patches},
        context.scope,
    )


def _is_as_new(created: datetime, context: ResourceContext) -> bool:
    """API Gateway tells times in whole seconds."""
    return context.started is None or created >= context.started.replace(microsecond=0)


def _deployment_physical(deployment_id: str) -> Physical:
    return Physical(
        physical_id=deployment_id,
        reference=deployment_id,
        attributes={"DeploymentId": deployment_id},
    )


def _stage_patches(desired: Properties, previous: Properties) -> list[dict[str, str]]:
    """What UpdateStage is to do to turn one set of a stage's properties into another."""
    patches = [
        replacement(path, text_of(desired.get(name)))
        for name, path in (
            ("DeploymentId", "/deploymentId"),
            ("Description", "/description"),
            ("CacheClusterEnabled", "/cacheClusterEnabled"),
            ("CacheClusterSize", "/cacheClusterSize"),
            ("ClientCertificateId", "/clientCertificateId"),
            ("DocumentationVersion", "/documentationVersion"),
            ("TracingEnabled", "/tracingEnabled"),
        )
        if desired.get(name) != previous.get(name)
    ]
    patches += member_patches(
        "/variables", desired.get("Variables") or {}, previous.get("Variables") or {}
    )
    patches += member_patches("/accessLogSettings", _access_log(desired), _access_log(previous))
    if desired.get("CanarySetting") != previous.get("CanarySetting"):
        patches += _canary_patches(desired.get("CanarySetting") or {})
    return patches + _settings_patches(
        desired.get("MethodSettings") or (), previous.get("MethodSettings") or ()
    )


def _access_log(properties: Properties) -> dict[str, str]:
    return lower_members(properties.get("AccessLogSetting") or {})


def _canary_patches(canary: Mapping[str, Any]) -> list[dict[str, str]]:
    values = lower_members(canary)
    overrides = values.pop("stageVariableOverrides", None) or {}
    return [
        {"op": "remove", "path": "/canarySettings"},
        *(replacement(f"/canarySettings/{name}", text_of(it)) for name, it in values.items()),
        *member_patches("/canarySettings/stageVariableOverrides", overrides, {}),
    ]


def _settings_patches(
    after: Iterable[Mapping[str, Any]], before: Iterable[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Method settings whole: those of a method that changed are removed and put anew."""
    wanted, known = _settings_by_path(after), _settings_by_path(before)
    patches = [{"op": "remove", "path": path} for path in known if known[path] != wanted.get(path)]
    for path, values in wanted.items():
        if values != known.get(path):
            patches += [
                replacement(f"{path}/{_SETTING_PATHS[name]}", text_of(value))
                for name, value in values.items()
            ]
    return patches


def _settings_by_path(settings: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        f"{_setting_path(each)}/{each.get('HttpMethod') or '*'}": {
            name: value for name, value in each.items() if name in _SETTING_PATHS
        }
        for each in settings
    }


def _setting_path(setting: Mapping[str, Any]) -> str:
    """`ResourcePath` as written: `/*`, or `/~1pets`, where AWS wants `~1` for a path's slashes."""
    path = str(setting.get("ResourcePath") or "/*")
    return "/~1" if path == "/" else path


def _stage_settings(stage: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The method settings of a StageDescription: its own members are for every method."""
    general = {name: stage[name] for name in _SETTING_PATHS if name in stage}
    own = list(stage.get("MethodSettings") or ())
    return [general, *own] if general else own


def _as_stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    """A StageDescription as the properties of a Stage."""
    kept = {name: value for name, value in stage.items() if name not in _SETTING_PATHS}
    return {**kept, "MethodSettings": _stage_settings(stage)}
