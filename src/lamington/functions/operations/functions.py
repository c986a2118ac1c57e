"""The Lambda API of functions: create, read, update, delete; and all of that API in one table.

Left to others: `versions`, `permissions`, `tags`, `concurrency` and `invocations` hold their own
operations; the shapes are made in `configuration`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import (
    CODE_UNZIPPED_MAX_BYTES,
    LATEST,
    Code,
    Function,
    FunctionVersion,
    InvalidParameterValueException,
    ResourceConflictException,
)
from lamington.functions.invoke import Invocation, InvocationResult
from lamington.functions.operations.concurrency import ConcurrencyOperations
from lamington.functions.operations.configuration import (
    IMAGES_REFUSED,
    as_being_created,
    as_being_updated,
    as_listed,
    configured,
    render_configuration,
    require_architectures,
)
from lamington.functions.operations.constraints import (
    LIST_FUNCTIONS_VERSION,
    constraint_failures,
    refuse,
    require_valid,
)
from lamington.functions.operations.invocations import InvocationOperations
from lamington.functions.operations.names import (
    FunctionReference,
    parse_function,
    parse_new_name,
    parse_reference,
)
from lamington.functions.operations.paging import limit_of, marker_of, next_marker
from lamington.functions.operations.permissions import PermissionOperations
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.operations.tags import TagOperations, require_tags
from lamington.functions.operations.versions import VersionOperations, require_revision
from lamington.functions.packages import Packages

FetchObject = Callable[[str, str, str, Scope], Awaitable[bytes]]
"""Bytes of an S3 object by bucket, key and version id ("" for the newest), as seen by a scope."""

_CONFIGURATION_MEMBERS = (
    *("Role", "Handler", "Description", "Timeout", "MemorySize", "KMSKeyArn"),
    *("DeadLetterConfig.TargetArn", "TracingConfig.Mode", "EphemeralStorage.Size"),
    *("SnapStart.ApplyOn", "LoggingConfig.LogFormat", "LoggingConfig.ApplicationLogLevel"),
    *("LoggingConfig.SystemLogLevel", "LoggingConfig.LogGroup"),
)
_CREATE_MEMBERS = (*_CONFIGURATION_MEMBERS, "PackageType", "Code.S3Bucket", "Code.S3Key")
_RUNTIME_AND_HANDLER = (
    "Runtime and Handler are mandatory parameters for functions created with deployment packages."
)


class FunctionHost(Protocol):
    """An Invoker that has to be told when a function changes."""

    async def invoke(self, invocation: Invocation) -> InvocationResult: ...

    def forget(self, function_name: str, scope: Scope) -> None:
        """Take the function's versions and aliases from the lookup again."""
        ...

    async def replace(self, function_name: str, scope: Scope) -> object:
        """The same, but let the old code serve until the new code is loaded."""
        ...


class FunctionOperations:
    """Functions and their `$LATEST`; `operations` gives the whole Lambda API that there is."""

    def __init__(
        self,
        *,
        registry: FunctionRegistry,
        invoker: FunctionHost,
        packages: Packages,
        fetch_object: FetchObject,
    ) -> None:
        self._registry = registry
        self._packages = packages
        self._fetch_object = fetch_object
        self._invoker = invoker
        self._parts = (
            VersionOperations(registry, invoker.forget),
            PermissionOperations(registry),
            TagOperations(registry),
            ConcurrencyOperations(registry, invoker.forget),
            InvocationOperations(registry, invoker),
        )

    def operations(self) -> dict[str, Operation]:
        own: dict[str, Operation] = {
            "lambda:CreateFunction": self.create_function,
            "lambda:GetFunction": self.get_function,
            "lambda:GetFunctionConfiguration": self.get_function_configuration,
            "lambda:ListFunctions": self.list_functions,
            "lambda:UpdateFunctionCode": self.update_function_code,
            "lambda:UpdateFunctionConfiguration": self.update_function_configuration,
            "lambda:DeleteFunction": self.delete_function,
        }
        for part in self._parts:
            own |= part.operations()
        return own

    async def create_function(self, params: Params, scope: Scope) -> Result:
        """Create a function from a deployment package.

        AWS: CreateFunction; the answer says Pending, under a revision that ends with activation.
        Differs: the function is Active before the answer is read, and the role is not looked at.
        """
        reference = parse_new_name(params["FunctionName"], scope)
        require_valid(params, _CREATE_MEMBERS)
        if params.get("PackageType") == "Image" or params["Code"].get("ImageUri"):
            raise InvalidParameterValueException(IMAGES_REFUSED)
        if not params.get("Runtime") or not params.get("Handler"):
            raise InvalidParameterValueException(_RUNTIME_AND_HANDLER)
        tags = dict(params.get("Tags") or {})
        require_tags(tags)
        blank = FunctionVersion(
            function_name=reference.function_name,
            runtime=params["Runtime"],
            handler=params["Handler"],
            role=params["Role"],
            code=Code(blob="", size_bytes=0, sha256_base64=""),
            last_modified=self._registry.timestamp(),
            revision_id=self._registry.revision_id(),
        )
        latest = configured(blank, params)
        self._require_new(reference)
        latest = replace(latest, code=await self._code(params["Code"], scope))
        self._require_new(reference)
        with self._registry.transaction():
            self._registry.functions.put(
                scope, Function(function_name=reference.function_name, tags=tags)
            )
            self._registry.versions.put(scope, latest)
            shown, arn = latest, reference.function_arn
            if params.get("Publish"):
                shown = self._registry.publish(reference)
                arn = f"{arn}:{shown.version}"
        self._invoker.forget(reference.function_name, scope)
        configuration = render_configuration(shown, arn, scope)
        return as_being_created(configuration, self._registry.revision_id())

    def _require_new(self, reference: FunctionReference) -> None:
        if self._registry.functions.get(reference.scope, reference.function_name) is not None:
            raise ResourceConflictException(f"Function already exist: {reference.function_name}")

    async def _code(self, given: Mapping[str, Any], scope: Scope) -> Code:
        """Keep the deployment package of a request, which holds it or tells where it is."""
        zipped, bucket, key = given.get("ZipFile"), given.get("S3Bucket"), given.get("S3Key")
        if zipped is not None:
            if bucket or key or given.get("S3ObjectVersion"):
                raise InvalidParameterValueException(
                    "Please do not provide other FunctionCode parameters when providing a ZipFile."
                )
            return self._packages.store_archive(bytes(zipped))
        if not bucket or not key:
            raise InvalidParameterValueException("Please provide a source for function code.")
        version = given.get("S3ObjectVersion") or ""
        content = await self._fetch_object(bucket, key, version, scope)
        return self._packages.store_archive(content, bytes_max=CODE_UNZIPPED_MAX_BYTES)

    async def get_function(self, params: Params, scope: Scope) -> Result:
        """The configuration, where the code is, tags and reserved concurrency.

        Differs: the code's Location is a file URL of this machine, which does not run out.
        """
        reference = parse_reference(params["FunctionName"], scope, params.get("Qualifier") or "")
        version = self._registry.version(reference)
        function = self._registry.require(reference)
        shown: Result = {
            "Configuration": render_configuration(version, reference.arn, scope),
            "Code": {"RepositoryType": "S3", "Location": self._registry.code_location(version)},
        }
        if function.tags:
            shown["Tags"] = function.tags
        if function.reserved_concurrency is not None:
            shown["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved_concurrency}
        return shown

    async def get_function_configuration(self, params: Params, scope: Scope) -> Result:
        reference = parse_reference(params["FunctionName"], scope, params.get("Qualifier") or "")
        version = self._registry.version(reference)
        return dict(render_configuration(version, reference.arn, scope))

    async def list_functions(self, params: Params, scope: Scope) -> Result:
        """`$LATEST` of each function, or with `FunctionVersion` ALL every version of each."""
        every = params.get("FunctionVersion")
        if every:
            refuse(list(constraint_failures("FunctionVersion", every, LIST_FUNCTIONS_VERSION)))
        marker, limit = marker_of(params), limit_of(params)
        if every:
            page = self._registry.versions.page(scope, marker=marker, limit=limit)
            rows, key = page.rows, page.marker
        else:
            rows, key = self._registry.page_latest(scope, marker=marker, limit=limit)
        shown = []
        for row in rows:
            qualifier = f":{row.version}" if every else ""
            arn = scope.arn("lambda", f"function:{row.function_name}{qualifier}")
            shown.append(as_listed(render_configuration(row, arn, scope)))
        return {"Functions": shown, **next_marker(key)}

    async def update_function_code(self, params: Params, scope: Scope) -> Result:
        """Give the function another deployment package.

        AWS: UpdateFunctionCode; until the update is over, invocations get the old code.
        Differs: the update is over before the answer, which says InProgress, is sent.
        """
        reference = parse_function(params["FunctionName"], scope)
        require_valid(params, ["S3Bucket", "S3Key"])
        self._require_at(reference, params)
        if params.get("ImageUri"):
            raise InvalidParameterValueException(
                "Please don't provide ImageUri when updating a function with packageType Zip."
            )
        code = await self._code(params, scope)
        latest = self._require_at(reference, params)
        changed = replace(latest, code=code)
        if params.get("Architectures"):
            changed = replace(changed, architectures=require_architectures(params["Architectures"]))
        if params.get("DryRun"):
            return dict(render_configuration(changed, reference.function_arn, scope))
        with self._registry.transaction():
            shown = changed = self._put(reference, changed)
            arn = reference.function_arn
            if params.get("Publish"):
                shown = self._registry.publish(reference)
                arn = f"{arn}:{shown.version}"
        await self._invoker.replace(reference.function_name, scope)
        configuration = render_configuration(shown, arn, scope)
        return as_being_updated(configuration, self._registry.revision_id())

    async def update_function_configuration(self, params: Params, scope: Scope) -> Result:
        """Change the members that are given.

        AWS: UpdateFunctionConfiguration; a member that is given replaces the whole of it.
        Differs: the update is over before the answer, which says InProgress, is sent.
        """
        reference = parse_function(params["FunctionName"], scope)
        require_valid(params, _CONFIGURATION_MEMBERS)
        latest = self._require_at(reference, params)
        changed = self._put(reference, configured(latest, params))
        await self._invoker.replace(reference.function_name, scope)
        configuration = render_configuration(changed, reference.function_arn, scope)
        return as_being_updated(configuration, self._registry.revision_id())

    def _require_at(self, reference: FunctionReference, params: Params) -> FunctionVersion:
        latest = self._registry.latest(reference)
        require_revision(params, latest.revision_id)
        return latest

    def _put(self, reference: FunctionReference, latest: FunctionVersion) -> FunctionVersion:
        changed = replace(
            latest,
            last_modified=self._registry.timestamp(),
            revision_id=self._registry.revision_id(),
        )
        self._registry.versions.put(reference.scope, changed)
        return changed

    async def delete_function(self, params: Params, scope: Scope) -> Result:
        """Delete a function with all that is its own, or one version.

        AWS: DeleteFunction; log groups stay, and a version that is not there is deleted, too.
        """
        reference = parse_reference(params["FunctionName"], scope, params.get("Qualifier") or "")
        qualifier = reference.qualifier
        if not qualifier:
            self._registry.require(reference)
            self._registry.delete_function(reference)
            self._invoker.forget(reference.function_name, scope)
            return {"StatusCode": 204}
        if qualifier == LATEST:
            raise InvalidParameterValueException(
                "$LATEST version cannot be deleted without deleting the function."
            )
        self._registry.require(reference)
        if not qualifier.isdigit():
            raise InvalidParameterValueException("Deletion of aliases is not currently supported.")
        self._require_no_alias(reference)
        self._registry.delete_version(reference)
        self._invoker.forget(reference.function_name, scope)
        return {"StatusCode": 204}

    def _require_no_alias(self, reference: FunctionReference) -> None:
        aliases = self._registry.aliases.all(reference.scope, reference.function_name)
        pointing = [
            alias.name
            for alias in aliases
            if reference.qualifier in (alias.function_version, *alias.routing)
        ]
        if pointing:
            raise ResourceConflictException(
                "Unable to delete version because the following aliases reference it:"
                f" [{', '.join(pointing)}]"
            )
