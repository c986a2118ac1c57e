"""Functions, versions, aliases and permissions as resources: AWS::Lambda::*.

Everything is done through AwsCaller: this module knows the Lambda API and nothing of who answers
it. Left to others: what the registry says of the types (`function_facts`).
"""

import contextlib
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lamington.core.aws import AwsCaller, Params, Result, Scope
from lamington.core.errors import AwsError, ResourceError
from lamington.stack.providers.base import (
    Physical,
    Properties,
    Provider,
    ResourceContext,
    ResourceFacts,
    is_absent,
    is_owned,
)
from lamington.stack.providers.function_facts import ALIAS, FUNCTION, PERMISSION, VERSION

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
_REFUSED = (
    *("FunctionScalingConfig", "ProvisionedConcurrencyConfig", "PublishToLatestPublished"),
    "RuntimePolicy",
)


def function_providers(caller: AwsCaller) -> list[Provider]:
    """The resource types of Lambda that a stack may have."""
    return [
        FunctionProvider(caller),
        VersionProvider(caller),
        AliasProvider(caller),
        PermissionProvider(caller),
    ]


class FunctionProvider:
    """AWS::Lambda::Function.

    Differs: `RecursiveLoop` and `RuntimeManagementConfig` are accepted and change nothing.
    """

    resource_type = "AWS::Lambda::Function"
    facts = FUNCTION

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        _require_valid(self.facts, desired)
        name = _function_name(desired, context)
        given = _renamed(desired)
        configuration = await self._caller.call(
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
            await self._reserve(name, desired, {}, context.scope)
        except AwsError:
            await self.delete(name, desired, context)
            raise
        return _function(name, configuration)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        """Change only what differs; where a part fails, take back the parts before it.

        AWS: the configuration is updated first, the code after it; invocations in between see
        the one without the other.
        """
        _require_valid(self.facts, desired)
        try:
            await self._change(physical_id, desired, previous, context.scope)
        except AwsError:
            with contextlib.suppress(AwsError):
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
        if changes:
            await self._caller.call(
                "lambda:UpdateFunctionConfiguration", {"FunctionName": name, **changes}, scope
            )
        if _code_differs(desired, previous):
            architectures = desired.get("Architectures") or ["x86_64"]
            await self._caller.call(
                "lambda:UpdateFunctionCode",
                {"FunctionName": name, **_code(desired), "Architectures": architectures},
                scope,
            )
        await self._reserve(name, desired, previous, scope)

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
        await _delete(
            self._caller, "lambda:DeleteFunction", {"FunctionName": physical_id}, context.scope
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """A function of the right name is this resource's where the stack's tags say so."""
        name = _function_name(desired, context)
        found = await _found(
            self._caller, "lambda:GetFunction", {"FunctionName": name}, context.scope
        )
        tags: Mapping[str, str] = (found or {}).get("Tags") or {}
        ours = context.system_tags.items() <= tags.items()
        return name if ours else None


class VersionProvider:
    """AWS::Lambda::Version."""

    resource_type = "AWS::Lambda::Version"
    facts = VERSION

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        """Publish a version.

        AWS: a version resource without anything new to publish fails.
        """
        _require_valid(self.facts, desired)
        function_name = desired["FunctionName"]
        existing = {each["Version"] for each in await self._versions(function_name, context.scope)}
        given = {
            member: desired[member]
            for member in ("FunctionName", "Description", "CodeSha256")
            if member in desired
        }
        published = await self._caller.call("lambda:PublishVersion", given, context.scope)
        version, arn = published["Version"], published["FunctionArn"]
        if version in existing:
            raise ResourceError(
                f"A version for this Lambda function exists ( {version} ). Modify the function to"
                " create a new version.",
                handler_code="AlreadyExists",
            )
        return Physical(
            physical_id=arn, reference=arn, attributes={"Version": version, "FunctionArn": arn}
        )

    async def _versions(self, function_name: str, scope: Scope) -> list[Mapping[str, Any]]:
        """`$LATEST` and every version in the order of the numbers; nothing without the function."""
        versions: list[Mapping[str, Any]] = []
        page: dict[str, Any] = {"FunctionName": function_name}
        while True:
            found = await _found(self._caller, "lambda:ListVersionsByFunction", page, scope)
            if found is None:
                return versions
            versions += found["Versions"]
            if not found.get("NextMarker"):
                return versions
            page["Marker"] = found["NextMarker"]

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        _require_valid(self.facts, desired)
        version = physical_id.rpartition(":")[2]
        return Physical(
            physical_id=physical_id,
            reference=physical_id,
            attributes={"Version": version, "FunctionArn": physical_id},
        )

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await _delete(
            self._caller, "lambda:DeleteFunction", {"FunctionName": physical_id}, context.scope
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The newest version, where it is what this create publishes and no stack has it.

        Differs: one that a user published by hand from the same code, in the instant in which
        the engine was killed, cannot be told from it.
        """
        versions = await self._versions(desired["FunctionName"], context.scope)
        if len(versions) < 2:
            return None
        latest, newest = versions[0], versions[-1]
        description = desired.get("Description") or latest.get("Description", "")
        if (newest["CodeSha256"], newest.get("Description", "")) != (
            latest["CodeSha256"],
            description,
        ):
            return None
        arn = str(newest["FunctionArn"])
        return None if await is_owned(self._caller, self.resource_type, arn, context) else arn


class AliasProvider:
    """AWS::Lambda::Alias."""

    resource_type = "AWS::Lambda::Alias"
    facts = ALIAS

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        return await self._put("lambda:CreateAlias", desired, context)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        return await self._put("lambda:UpdateAlias", desired, context)

    async def _put(self, operation: str, desired: Properties, context: ResourceContext) -> Physical:
        _require_valid(self.facts, desired)
        params = {
            "FunctionName": desired["FunctionName"],
            "Name": desired["Name"],
            "FunctionVersion": desired["FunctionVersion"],
            "Description": desired.get("Description", ""),
            "RoutingConfig": {"AdditionalVersionWeights": _weights(desired)},
        }
        arn = (await self._caller.call(operation, params, context.scope))["AliasArn"]
        return Physical(physical_id=arn, reference=arn, attributes={"AliasArn": arn})

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        function_arn, _, name = physical_id.rpartition(":")
        await _delete(
            self._caller,
            "lambda:DeleteAlias",
            {"FunctionName": function_arn, "Name": name},
            context.scope,
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """An alias as desired that no stack has is what a create that was cut off left."""
        named = {"FunctionName": desired["FunctionName"], "Name": desired["Name"]}
        found = await _found(self._caller, "lambda:GetAlias", named, context.scope)
        if found is None or found["FunctionVersion"] != desired["FunctionVersion"]:
            return None
        arn = str(found["AliasArn"])
        return None if await is_owned(self._caller, self.resource_type, arn, context) else arn


class PermissionProvider:
    """AWS::Lambda::Permission; its physical id is the statement's."""

    resource_type = "AWS::Lambda::Permission"
    facts = PERMISSION

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        _require_valid(self.facts, desired)
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
        await _delete(
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


def _weights(desired: Properties) -> dict[str, float]:
    routing = desired.get("RoutingConfig") or {}
    return {
        each["FunctionVersion"]: each["FunctionWeight"]
        for each in routing.get("AdditionalVersionWeights") or ()
    }


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


def _require_valid(facts: ResourceFacts, desired: Properties) -> None:
    """Raise ResourceError for a value of the wrong type, and for what we cannot provide."""
    problems = [
        f"#/{place}: expected type: {_SCHEMA_TYPES[kind]}, found: {_found_type(value)}"
        for path, kind in facts.scalars.items()
        for place, value in _values_at(desired, path.split("."))
        if not _is_of(kind, value)
    ]
    if problems:
        raise ResourceError(", ".join(problems), handler_code="InvalidRequest")
    given = [member for member in _REFUSED if desired.get(member)]
    if given:
        raise ResourceError(
            f"Property {given[0]} is not supported by Lamington yet",
            handler_code="InvalidRequest",
            hint="leave it out here by a condition in the template",
        )


_SCHEMA_TYPES: Mapping[type, str] = {
    str: "String",
    int: "Integer",
    float: "Number",
    bool: "Boolean",
    dict: "JSONObject",
    list: "JSONArray",
    type(None): "Null",
}


def _found_type(value: Any) -> str:
    return _SCHEMA_TYPES.get(type(value), type(value).__name__)


def _is_of(kind: type, value: Any) -> bool:
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _values_at(value: Any, path: list[str], place: str = "") -> Iterator[tuple[str, Any]]:
    """The values that a dotted path leads to, each with its place as JSON pointers have it."""
    if not path:
        yield place.lstrip("/"), value
        return
    head, *rest = path
    found: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        found = value.items() if head == "*" else [(head, value[head])] if head in value else ()
    elif isinstance(value, list) and head == "*":
        found = enumerate(value)
    for key, each in found:
        yield from _values_at(each, rest, f"{place}/{key}")


async def _delete(caller: AwsCaller, operation: str, params: Params, scope: Scope) -> None:
    """Call an operation that deletes; that the thing is gone already is success."""
    try:
        await caller.call(operation, params, scope)
    except AwsError as error:
        if not is_absent(error):
            raise


async def _found(caller: AwsCaller, operation: str, params: Params, scope: Scope) -> Result | None:
    try:
        return await caller.call(operation, params, scope)
    except AwsError as error:
        if is_absent(error):
            return None
        raise
