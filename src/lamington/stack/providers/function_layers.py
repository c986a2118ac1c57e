"""Layers, who may use them, and code signing configurations as resources: AWS::Lambda::*.

Everything is done through AwsCaller. Left to others: functions themselves (`functions`).
"""

from collections.abc import AsyncIterator
from typing import Any

from lamington.core.aws import AwsCaller, Scope
from lamington.stack.providers.base import (
    Physical,
    Properties,
    Provider,
    ResourceContext,
    is_owned,
)
from lamington.stack.providers.function_calls import delete_by, find_by, require_valid
from lamington.stack.providers.function_facts import (
    CODE_SIGNING_CONFIG,
    LAYER_VERSION,
    LAYER_VERSION_PERMISSION,
)

LAYER_NAME_MAX = 140
STATEMENT_ID_MAX = 100

_TOKEN_TAG = "aws:cloudformation:token"
"""Differs: on a code signing configuration, beside the tags that CloudFormation adds."""


def layer_providers(caller: AwsCaller) -> list[Provider]:
    """The resource types of layers and code signing that a stack may have."""
    return [
        LayerVersionProvider(caller),
        LayerVersionPermissionProvider(caller),
        CodeSigningConfigProvider(caller),
    ]


class LayerVersionProvider:
    """AWS::Lambda::LayerVersion; every change makes another version."""

    resource_type = "AWS::Lambda::LayerVersion"
    facts = LAYER_VERSION

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        require_valid(self.facts, desired)
        params = {**desired, "LayerName": _layer_name(desired, context)}
        made = await self._caller.call("lambda:PublishLayerVersion", params, context.scope)
        return _layer_version(made["LayerVersionArn"])

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        return _layer_version(physical_id)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await delete_by(
            self._caller, "lambda:DeleteLayerVersion", _version_of(physical_id), context.scope
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The newest version, where it is younger than the create's beginning and nobody's."""
        named = {"LayerName": _layer_name(desired, context)}
        found = await find_by(self._caller, "lambda:ListLayerVersions", named, context.scope)
        versions = (found or {}).get("LayerVersions") or []
        if not versions:
            return None
        arn, created = str(versions[0]["LayerVersionArn"]), versions[0]["CreatedDate"]
        if context.started is not None and created < f"{context.started:%Y-%m-%dT%H:%M:%S}":
            return None
        return None if await is_owned(self._caller, self.resource_type, arn, context) else arn


class LayerVersionPermissionProvider:
    """AWS::Lambda::LayerVersionPermission; its physical id is the version's ARN, `#`, the Sid."""

    resource_type = "AWS::Lambda::LayerVersionPermission"
    facts = LAYER_VERSION_PERMISSION

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        require_valid(self.facts, desired)
        given = {name: value for name, value in desired.items() if name != "LayerVersionArn"}
        statement_id = context.physical_name(STATEMENT_ID_MAX)
        params = {
            **_version_of(desired["LayerVersionArn"]),
            **given,
            "StatementId": statement_id,
        }
        await self._caller.call("lambda:AddLayerVersionPermission", params, context.scope)
        return _layer_permission(f"{desired['LayerVersionArn']}#{statement_id}")

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        return _layer_permission(physical_id)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        arn, _, statement_id = physical_id.partition("#")
        await delete_by(
            self._caller,
            "lambda:RemoveLayerVersionPermission",
            {**_version_of(arn), "StatementId": statement_id},
            context.scope,
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """Known without looking: deleting a statement that is not there is success."""
        return f"{desired['LayerVersionArn']}#{context.physical_name(STATEMENT_ID_MAX)}"


class CodeSigningConfigProvider:
    """AWS::Lambda::CodeSigningConfig; its physical id is the ARN."""

    resource_type = "AWS::Lambda::CodeSigningConfig"
    facts = CODE_SIGNING_CONFIG

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        require_valid(self.facts, desired)
        tags = {**_tags(desired, context), _TOKEN_TAG: context.token}
        made = await self._caller.call(
            "lambda:CreateCodeSigningConfig", {**desired, "Tags": tags}, context.scope
        )
        return _code_signing_config(made["CodeSigningConfig"]["CodeSigningConfigArn"])

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        require_valid(self.facts, desired)
        await self._caller.call(
            "lambda:UpdateCodeSigningConfig",
            {
                "CodeSigningConfigArn": physical_id,
                "Description": desired.get("Description", ""),
                "AllowedPublishers": desired["AllowedPublishers"],
                "CodeSigningPolicies": desired.get("CodeSigningPolicies")
                or {"UntrustedArtifactOnDeployment": "Warn"},
            },
            context.scope,
        )
        await self._retag(physical_id, desired, context)
        return _code_signing_config(physical_id)

    async def _retag(self, arn: str, desired: Properties, context: ResourceContext) -> None:
        wanted = _tags(desired, context)
        found = await self._caller.call("lambda:ListTags", {"Resource": arn}, context.scope)
        params = {"Resource": arn, "Tags": wanted}
        await self._caller.call("lambda:TagResource", params, context.scope)
        gone = [key for key in found["Tags"] if key not in wanted and not key.startswith("aws:")]
        if gone:
            await self._caller.call(
                "lambda:UntagResource", {"Resource": arn, "TagKeys": gone}, context.scope
            )

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await delete_by(
            self._caller,
            "lambda:DeleteCodeSigningConfig",
            {"CodeSigningConfigArn": physical_id},
            context.scope,
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The configuration that has this create's token among its tags."""
        async for arn in self._arns(context.scope):
            shown = await self._caller.call("lambda:ListTags", {"Resource": arn}, context.scope)
            if shown["Tags"].get(_TOKEN_TAG) == context.token:
                return arn
        return None

    async def _arns(self, scope: Scope) -> AsyncIterator[str]:
        page: dict[str, Any] = {}
        while True:
            found = await self._caller.call("lambda:ListCodeSigningConfigs", page, scope)
            for each in found["CodeSigningConfigs"]:
                yield each["CodeSigningConfigArn"]
            if not found.get("NextMarker"):
                return
            page["Marker"] = found["NextMarker"]


def _layer_name(desired: Properties, context: ResourceContext) -> str:
    return str(desired.get("LayerName") or context.physical_name(LAYER_NAME_MAX))


def _version_of(arn: str) -> dict[str, Any]:
    """The members by which the API names the layer version of an ARN."""
    layer_arn, _, version = arn.rpartition(":")
    return {"LayerName": layer_arn, "VersionNumber": int(version)}


def _layer_version(arn: str) -> Physical:
    return Physical(physical_id=arn, reference=arn, attributes={"LayerVersionArn": arn})


def _layer_permission(physical_id: str) -> Physical:
    return Physical(physical_id=physical_id, reference=physical_id, attributes={"Id": physical_id})


def _code_signing_config(arn: str) -> Physical:
    config_id = arn.rpartition(":")[2]
    attributes = {"CodeSigningConfigArn": arn, "CodeSigningConfigId": config_id}
    return Physical(physical_id=arn, reference=arn, attributes=attributes)


def _tags(desired: Properties, context: ResourceContext) -> dict[str, str]:
    own = {tag["Key"]: tag["Value"] for tag in desired.get("Tags") or ()}
    return {**context.tags, **own, **context.system_tags}
