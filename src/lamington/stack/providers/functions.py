"""Functions, their permissions and event settings as resources: AWS::Lambda::*.

Everything is done through AwsCaller: this module knows the Lambda API and nothing of who answers
it. Left to others: what the registry says of the types (`function_facts`), versions and aliases
(`function_versions`), layers (`function_layers`).
"""

import contextlib
import io
import zipfile
from collections.abc import Mapping
from typing import Any

from lamington.core.aws import AwsCaller, Result, Scope
from lamington.core.clock import Clock, SystemClock
from lamington.core.errors import AwsError, ResourceError
from lamington.stack.providers.base import (
    Physical,
    Properties,
    Provider,
    ResourceContext,
    is_owned,
)
from lamington.stack.providers.function_calls import (
    await_function,
    delete_by,
    find_by,
    manage_runtime,
    require_valid,
    settle_function,
)
from lamington.stack.providers.function_facts import (
    EVENT_INVOKE_CONFIG,
    FUNCTION,
    PERMISSION,
)
from lamington.stack.providers.function_versions import AliasProvider, VersionProvider

FUNCTION_NAME_MAX = 63
STATEMENT_ID_MAX = 100
INLINE_CODE_MAX_BYTES = 4_194_304

CLEARED: Mapping[str, Any] = {
    "DeadLetterConfig": {"TargetArn": ""},
    "Description": "",
    "Environment": {"Variables": {}},
    "EphemeralStorage": {"Size": 512},
    "FileSystemConfigs": [],
    "KMSKeyArn": "",
    "Layers": [],
    "LoggingConfig": {"LogFormat": "Text"},
    "MemorySize": 128,
    "SnapStart": {"ApplyOn": "None"},
    "Timeout": 3,
    "TracingConfig": {"Mode": "PassThrough"},
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
}
"""What UpdateFunctionConfiguration is given for a property that the template gives no more."""

_CONFIGURATION = (
    *CLEARED,
    *("CapacityProviderConfig", "DurableConfig", "Handler", "ImageConfig", "Role", "Runtime"),
)
_CREATION = (
    *_CONFIGURATION,
    *("Architectures", "CodeSigningConfigArn", "PackageType", "TenancyConfig"),
)


def function_providers(caller: AwsCaller, clock: Clock | None = None) -> list[Provider]:
    """The resource types of functions that a stack may have."""
    clock = clock or SystemClock()
    return [
        FunctionProvider(caller, clock),
        VersionProvider(caller, clock),
        AliasProvider(caller, clock),
        PermissionProvider(caller),
        EventInvokeConfigProvider(caller),
    ]


class FunctionProvider:
    """AWS::Lambda::Function; it is made when it is active, and updated when that is over."""

    resource_type = "AWS::Lambda::Function"
    facts = FUNCTION

    def __init__(self, caller: AwsCaller, clock: Clock) -> None:
        self._caller = caller
        self._clock = clock

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        require_valid(self.facts, desired)
        name = _function_name(desired, context)
        given = _renamed(desired)
        await self._caller.call(
            "lambda:CreateFunction",
            {
                **{member: given[member] for member in _CREATION if member in given},
                "FunctionName": name,
                "Code": _code(desired),
                "Tags": _tags(desired, context),
            },
            context.scope,
        )
        try:
            configuration = await self._settle(name, context.scope)
            await self._set_beside(name, desired, {}, context.scope)
        except (AwsError, ResourceError):
            await self.delete(name, desired, context)
            raise
        return _function(name, configuration)

    async def _settle(self, name: str, scope: Scope) -> Result:
        return await settle_function(self._caller, self._clock, name, scope)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        """Change only what differs; where a part fails, take back the parts before it.

        AWS: the configuration is updated first, the code after it; invocations in between see
        the one without the other.
        """
        require_valid(self.facts, desired)
        try:
            await self._change(physical_id, desired, previous, context.scope)
        except (AwsError, ResourceError):
            with contextlib.suppress(AwsError, ResourceError):
                await self._change(physical_id, previous, desired, context.scope)
            raise
        configuration = await self._caller.call(
            "lambda:GetFunctionConfiguration", {"FunctionName": physical_id}, context.scope
        )
        await self._tag(configuration["FunctionArn"], desired, previous, context)
        return _function(physical_id, configuration)

    async def _change(
        self, name: str, desired: Properties, previous: Properties, scope: Scope
    ) -> None:
        changes = _configuration_changes(name, _renamed(desired), _renamed(previous))
        if changes or _code_differs(desired, previous):
            # A start that finishes what a crash cut off may still be at it.
            await await_function(self._caller, self._clock, name, scope)
        if changes:
            await self._caller.call(
                "lambda:UpdateFunctionConfiguration", {"FunctionName": name, **changes}, scope
            )
            await self._settle(name, scope)
        if _code_differs(desired, previous):
            architectures = desired.get("Architectures") or ["x86_64"]
            await self._caller.call(
                "lambda:UpdateFunctionCode",
                {"FunctionName": name, **_code(desired), "Architectures": architectures},
                scope,
            )
            await self._settle(name, scope)
        if previous.get("CodeSigningConfigArn") != desired.get("CodeSigningConfigArn"):
            await self._sign(name, desired.get("CodeSigningConfigArn"), scope)
        await self._set_beside(name, desired, previous, scope)

    async def _sign(self, name: str, arn: str | None, scope: Scope) -> None:
        named = {"FunctionName": name}
        if arn:
            params = {**named, "CodeSigningConfigArn": arn}
            await self._caller.call("lambda:PutFunctionCodeSigningConfig", params, scope)
        else:
            await self._caller.call("lambda:DeleteFunctionCodeSigningConfig", named, scope)

    async def _set_beside(
        self, name: str, desired: Properties, previous: Properties, scope: Scope
    ) -> None:
        """Change what belongs to the function and not to its configuration."""
        await self._reserve(name, desired, previous, scope)
        runtime = desired.get("RuntimeManagementConfig")
        if runtime != previous.get("RuntimeManagementConfig"):
            await manage_runtime(self._caller, name, "", runtime, scope)
        loop = desired.get("RecursiveLoop")
        if loop != previous.get("RecursiveLoop"):
            await self._caller.call(
                "lambda:PutFunctionRecursionConfig",
                {"FunctionName": name, "RecursiveLoop": loop or "Terminate"},
                scope,
            )

    async def _reserve(
        self, name: str, desired: Properties, previous: Properties, scope: Scope
    ) -> None:
        wanted = desired.get("ReservedConcurrentExecutions")
        if wanted == previous.get("ReservedConcurrentExecutions"):
            return
        if wanted is None:
            await self._caller.call(
                "lambda:DeleteFunctionConcurrency", {"FunctionName": name}, scope
            )
            return
        await self._caller.call(
            "lambda:PutFunctionConcurrency",
            {"FunctionName": name, "ReservedConcurrentExecutions": wanted},
            scope,
        )

    async def _tag(
        self, arn: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> None:
        wanted = _tags(desired, context)
        found = await self._caller.call("lambda:ListTags", {"Resource": arn}, context.scope)
        new = {key: value for key, value in wanted.items() if found["Tags"].get(key) != value}
        if new:
            await self._caller.call(
                "lambda:TagResource", {"Resource": arn, "Tags": new}, context.scope
            )
        gone = [key for key in _own_tags(previous) if key not in wanted]
        if gone:
            await self._caller.call(
                "lambda:UntagResource", {"Resource": arn, "TagKeys": gone}, context.scope
            )

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await delete_by(
            self._caller, "lambda:DeleteFunction", {"FunctionName": physical_id}, context.scope
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """A function of the right name is this resource's where the stack's tags say so."""
        name = _function_name(desired, context)
        found = await find_by(
            self._caller, "lambda:GetFunction", {"FunctionName": name}, context.scope
        )
        tags: Mapping[str, str] = (found or {}).get("Tags") or {}
        ours = context.system_tags.items() <= tags.items()
        return name if ours else None


class PermissionProvider:
    """AWS::Lambda::Permission; its physical id is the statement's."""

    resource_type = "AWS::Lambda::Permission"
    facts = PERMISSION

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        require_valid(self.facts, desired)
        statement_id = context.physical_name(STATEMENT_ID_MAX)
        params = {**desired, "StatementId": statement_id}
        await self._caller.call("lambda:AddPermission", params, context.scope)
        return _permission(statement_id)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        return _permission(physical_id)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await delete_by(
            self._caller,
            "lambda:RemovePermission",
            {"FunctionName": properties["FunctionName"], "StatementId": physical_id},
            context.scope,
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The statement's id is made from the context, so it is known without looking.

        Deleting a statement that is not there is success.
        """
        return context.physical_name(STATEMENT_ID_MAX)


class EventInvokeConfigProvider:
    """AWS::Lambda::EventInvokeConfig; its physical id is `FunctionName|Qualifier`."""

    resource_type = "AWS::Lambda::EventInvokeConfig"
    facts = EVENT_INVOKE_CONFIG

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        """Put the whole configuration: what the template does not give is not set.

        AWS: one that is there already is replaced.
        """
        require_valid(self.facts, desired)
        await self._caller.call("lambda:PutFunctionEventInvokeConfig", dict(desired), context.scope)
        physical_id = f"{desired['FunctionName']}|{desired['Qualifier']}"
        return Physical(physical_id=physical_id, reference=physical_id)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        return await self.create(desired, context)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await delete_by(
            self._caller,
            "lambda:DeleteFunctionEventInvokeConfig",
            _event_invoke_config(physical_id),
            context.scope,
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """A configuration that no stack has is what a create that was cut off left."""
        physical_id = f"{desired['FunctionName']}|{desired['Qualifier']}"
        found = await find_by(
            self._caller,
            "lambda:GetFunctionEventInvokeConfig",
            _event_invoke_config(physical_id),
            context.scope,
        )
        if found is None:
            return None
        is_theirs = await is_owned(self._caller, self.resource_type, physical_id, context)
        return None if is_theirs else physical_id


def _event_invoke_config(physical_id: str) -> dict[str, Any]:
    function_name, _, qualifier = physical_id.partition("|")
    return {"FunctionName": function_name, "Qualifier": qualifier}


def _function(name: str, configuration: Result) -> Physical:
    snapshots = configuration.get("SnapStart") or {}
    return Physical(
        physical_id=name,
        reference=name,
        attributes={
            "Arn": configuration["FunctionArn"],
            "SnapStartResponse.ApplyOn": snapshots.get("ApplyOn", "None"),
            "SnapStartResponse.OptimizationStatus": snapshots.get("OptimizationStatus", "Off"),
        },
    )


def _configuration_changes(name: str, after: Properties, before: Properties) -> dict[str, Any]:
    """The members that differ; one that is given no more goes back to what it is by itself."""
    changes: dict[str, Any] = {
        member: after.get(member, CLEARED.get(member))
        for member in _CONFIGURATION
        if after.get(member) != before.get(member)
    }
    if "LoggingConfig" in changes:
        own_group = {"LogGroup": f"/aws/lambda/{name}"}
        changes["LoggingConfig"] = {**own_group, **changes["LoggingConfig"]}
    return {member: value for member, value in changes.items() if value is not None}


def _permission(statement_id: str) -> Physical:
    return Physical(
        physical_id=statement_id, reference=statement_id, attributes={"Id": statement_id}
    )


def _function_name(desired: Properties, context: ResourceContext) -> str:
    return str(desired.get("FunctionName") or context.physical_name(FUNCTION_NAME_MAX))


def _renamed(properties: Properties) -> dict[str, Any]:
    """The properties under the API's names, where the two differ."""
    given = dict(properties)
    if "KmsKeyArn" in given:
        given["KMSKeyArn"] = given.pop("KmsKeyArn")
    return given


def _own_tags(properties: Properties) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in properties.get("Tags") or ()}


def _tags(desired: Properties, context: ResourceContext) -> dict[str, str]:
    """The stack's tags, the resource's own over them, and those of CloudFormation itself."""
    return {**context.tags, **_own_tags(desired), **context.system_tags}


def _code_differs(desired: Properties, previous: Properties) -> bool:
    members = ["Code", "Architectures"]
    if "ZipFile" in desired["Code"]:
        members.append("Runtime")
    return any(desired.get(member) != previous.get(member) for member in members)


def _code(desired: Properties) -> dict[str, Any]:
    """The `Code` that the API takes: inline text becomes a zip archive of one file.

    AWS: the file is `index.js` or `index.py`, for Node.js and Python only, 4 MB at most.
    Differs: the `cfn-response` module is not put beside it.
    """
    code: dict[str, Any] = dict(desired["Code"])
    text = code.get("ZipFile")
    if text is None:
        return code
    runtime = str(desired.get("Runtime", ""))
    extension = {"nodejs": "js", "python": "py"}.get(runtime.rstrip("0123456789.x"))
    if extension is None:
        raise ResourceError(
            f"ZipFile can only be used with a Node.js or Python runtime, not with `{runtime}`",
            handler_code="InvalidRequest",
            hint="give the code by S3Bucket and S3Key",
        )
    source = text.encode()
    if len(source) > INLINE_CODE_MAX_BYTES:
        raise ResourceError(
            f"Inline code of {len(source)} bytes exceeds the limit of {INLINE_CODE_MAX_BYTES}",
            handler_code="InvalidRequest",
            hint="give the code by S3Bucket and S3Key",
        )
    return {**code, "ZipFile": _archive(f"index.{extension}", source)}


def _archive(name: str, content: bytes) -> bytes:
    """A zip archive of one file; the same content gives the same bytes."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr(entry, content)
    return written.getvalue()
