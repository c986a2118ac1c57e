"""The Lambda API of functions: create, read, update, delete; and all of that API in one table.

Left to others: `versions`, `layers`, `permissions`, `tags`, `concurrency`, `provisioned` and so on
hold their own operations; the shapes are made in `configuration`; what is done after the answer is
in `changes`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import (
    LATEST,
    Code,
    Function,
    FunctionChange,
    FunctionVersion,
    InvalidParameterValueException,
    ResourceConflictException,
)
from lamington.functions.invoke import Invocation, InvocationResult
from lamington.functions.link import InitFailure
from lamington.functions.operations.changes import FunctionChanges
from lamington.functions.operations.code_signing import CodeSigningOperations
from lamington.functions.operations.concurrency import ConcurrencyOperations
from lamington.functions.operations.configuration import (
    IMAGES_REFUSED,
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
from lamington.functions.operations.invocations import InvocationOperations, no_trace
from lamington.functions.operations.layers import LayerOperations
from lamington.functions.operations.names import (
    FunctionReference,
    parse_function,
    parse_new_name,
    parse_reference,
)
from lamington.functions.operations.paging import limit_of, marker_of, next_marker
from lamington.functions.operations.permissions import PermissionOperations
from lamington.functions.operations.provisioned import ProvisionedOperations
from lamington.functions.operations.refusals import refused_operations
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.operations.runtime_management import RuntimeManagementOperations
from lamington.functions.operations.sources import FetchObject, PackageSource
from lamington.functions.operations.tagging import require_tags
from lamington.functions.operations.tags import TagHolder, TagOperations
from lamington.functions.operations.versions import VersionOperations, require_revision
from lamington.functions.packages import Packages
from lamington.functions.url_responses import StreamedAnswer

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
    """Who runs the functions: a StreamingInvoker, a ChangeHost and a ProvisionedHost in one."""

    async def invoke(self, invocation: Invocation) -> InvocationResult: ...

    async def invoke_streamed(self, invocation: Invocation) -> StreamedAnswer: ...

    def knows(self, function_arn: str) -> bool: ...

    def forget(self, function_name: str, scope: Scope) -> None: ...

    async def replace(self, function_name: str, scope: Scope) -> object: ...

    async def prepare_snapshot(
        self, version: FunctionVersion, scope: Scope
    ) -> InitFailure | None: ...

    def expect(self, function_name: str, scope: Scope) -> None: ...

    def set_provisioned(
        self, scope: Scope, function_name: str, version: str, count: int
    ) -> None: ...

    def provisioned(
        self, scope: Scope, function_name: str, version: str
    ) -> tuple[int, int, str]: ...


class FunctionOperations:
    """Functions and their `$LATEST`; `operations` gives the whole Lambda API that there is."""

    def __init__(
        self,
        *,
        registry: FunctionRegistry,
        invoker: FunctionHost,
        packages: Packages,
        fetch_object: FetchObject,
        tag_holders: Mapping[str, TagHolder] | None = None,
        new_trace: Callable[[], str] = no_trace,
    ) -> None:
        self._registry = registry
        self._forget = invoker.forget
        self._provisioned = ProvisionedOperations(registry, invoker)
        self._changes = FunctionChanges(registry, packages, invoker, self._provisioned.apply)
        self._source = PackageSource(registry, packages, fetch_object)
        self._layers = LayerOperations(registry, packages, self._source)
        self._code_signing = CodeSigningOperations(registry)
        self._parts = (
            VersionOperations(registry, self._aliases_changed, self._changes.begin),
            self._layers,
            PermissionOperations(registry),
            TagOperations(registry, tag_holders),
            ConcurrencyOperations(registry, invoker.forget, self._provisioned.unreserved),
            self._provisioned,
            self._code_signing,
            RuntimeManagementOperations(registry),
            InvocationOperations(registry, invoker, new_trace),
        )

    def operations(self) -> dict[str, Operation]:
        own: dict[str, Operation] = {
            **refused_operations(),
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

    def resume(self) -> None:
        """Finish what the last engine began, and make ready what is provisioned."""
        self._changes.resume()
        self._provisioned.resume()

    async def settled(self) -> None:
        """Wait until every function is as its last request wants it."""
        await self._changes.settled()

    async def close(self) -> None:
        """Stop what is under way; `resume` of the next engine goes on with it."""
        await self._changes.close()

    def _aliases_changed(self, function_name: str, scope: Scope) -> None:
        self._forget(function_name, scope)
        self._provisioned.apply(function_name, scope)

    async def create_function(self, params: Params, scope: Scope) -> Result:
        """Create a function from a deployment package.

        AWS: CreateFunction; the function is Pending until its code can be used, and its revision
        ends with that.
        Differs: the role is not looked at.
        """
        reference = parse_new_name(params["FunctionName"], scope)
        require_valid(params, _CREATE_MEMBERS)
        if params.get("PackageType") == "Image" or params["Code"].get("ImageUri"):
            raise InvalidParameterValueException(IMAGES_REFUSED)
        if not params.get("Runtime") or not params.get("Handler"):
            raise InvalidParameterValueException(_RUNTIME_AND_HANDLER)
        tags = dict(params.get("Tags") or {})
        require_tags(tags)
        signing = params.get("CodeSigningConfigArn") or ""
        if signing:
            self._code_signing.require_usable(signing, scope)
        blank = FunctionVersion(
            function_name=reference.function_name,
            runtime=params["Runtime"],
            handler=params["Handler"],
            role=params["Role"],
            code=Code(blob="", size_bytes=0, sha256_base64=""),
            last_modified=self._registry.timestamp(),
            revision_id=self._registry.revision_id(),
        )
        configured(blank, params)
        self._require_new(reference)
        code = await self._source.store(params["Code"], scope, "CreateFunction")
        self._require_new(reference)
        layers = self._layers.resolve(params.get("Layers") or (), code, scope)
        latest = replace(configured(blank, params, layers), code=code)
        shown, arn = latest, reference.function_arn
        pending = FunctionChange(function_name=reference.function_name, version=LATEST)
        function = Function(
            function_name=reference.function_name, tags=tags, code_signing_config_arn=signing
        )
        with self._registry.transaction():
            self._registry.functions.put(scope, function)
            self._registry.versions.put(scope, latest)
            self._registry.put_change(scope, pending)
            if params.get("Publish"):
                shown = self._registry.publish(reference, latest, pending=True)
                arn = f"{arn}:{shown.version}"
        self._forget(reference.function_name, scope)
        self._changes.begin(reference.function_name, scope)
        return render_configuration(shown, arn, scope, pending)

    def _require_new(self, reference: FunctionReference) -> None:
        if self._registry.functions.get(reference.scope, reference.function_name) is not None:
            raise ResourceConflictException(f"Function already exist: {reference.function_name}")

    async def get_function(self, params: Params, scope: Scope) -> Result:
        """The configuration, where the code is, tags and reserved concurrency.

        Differs: the code's Location is a file URL of this machine, which does not run out.
        """
        reference = parse_reference(params["FunctionName"], scope, params.get("Qualifier") or "")
        version = self._registry.version(reference)
        function = self._registry.require(reference)
        shown: Result = {
            "Configuration": self._render(reference, version),
            "Code": {"RepositoryType": "S3", "Location": self._registry.code_location(version)},
        }
        if function.tags:
            shown["Tags"] = function.tags
        if function.reserved_concurrency is not None:
            shown["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved_concurrency}
        return shown

    async def get_function_configuration(self, params: Params, scope: Scope) -> Result:
        reference = parse_reference(params["FunctionName"], scope, params.get("Qualifier") or "")
        return self._render(reference, self._registry.version(reference))

    def _render(self, reference: FunctionReference, version: FunctionVersion) -> Result:
        change = self._registry.change(reference, version.version)
        return render_configuration(version, reference.arn, reference.scope, change)

    async def list_functions(self, params: Params, scope: Scope) -> Result:
        """`$LATEST` of each function, or with `FunctionVersion` ALL every version of each."""
        every = params.get("FunctionVersion")
        if every:
            refuse(list(constraint_failures("FunctionVersion", every, LIST_FUNCTIONS_VERSION)))
        marker, limit = marker_of(params), limit_of(params)
        if every:
            page = self._registry.versions.page(scope, marker=marker, limit=limit)
            rows, key = self._registry.shown(scope, page.rows), page.marker
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
        """
        reference = parse_function(params["FunctionName"], scope)
        require_valid(params, ["S3Bucket", "S3Key"])
        self._require_at(reference, params)
        if params.get("ImageUri"):
            raise InvalidParameterValueException(
                "Please don't provide ImageUri when updating a function with packageType Zip."
            )
        code = await self._source.store(params, scope, "UpdateFunctionCode")
        latest = self._require_at(reference, params)
        self._layers.require_fitting(code, latest.layers)
        changed = replace(latest, code=code)
        if params.get("Architectures"):
            changed = replace(changed, architectures=require_architectures(params["Architectures"]))
        if params.get("DryRun"):
            return self._render(reference, changed)
        return self._update(reference, changed, publish=bool(params.get("Publish")))

    async def update_function_configuration(self, params: Params, scope: Scope) -> Result:
        """Change the members that are given.

        AWS: UpdateFunctionConfiguration; a member that is given replaces the whole of it.
        """
        reference = parse_function(params["FunctionName"], scope)
        require_valid(params, _CONFIGURATION_MEMBERS)
        latest = self._require_at(reference, params)
        layers = None
        if params.get("Layers") is not None:
            layers = self._layers.resolve(params["Layers"], latest.code, scope, latest.layers)
        return self._update(reference, configured(latest, params, layers))

    def _require_at(self, reference: FunctionReference, params: Params) -> FunctionVersion:
        """`$LATEST`, where nothing is under way and the request means its revision."""
        latest = self._registry.latest(reference)
        self._registry.require_settled(reference)
        require_revision(params, latest.revision_id)
        return latest

    def _update(
        self, reference: FunctionReference, changed: FunctionVersion, *, publish: bool = False
    ) -> Result:
        """Begin to make `$LATEST` what it is to be; the answer tells that it is in progress."""
        scope, name = reference.scope, reference.function_name
        desired = replace(
            changed,
            last_modified=self._registry.timestamp(),
            revision_id=self._registry.revision_id(),
        )
        change = FunctionChange(function_name=name, version=LATEST, desired=desired)
        shown, arn = desired, reference.function_arn
        with self._registry.transaction():
            self._registry.put_change(scope, change)
            if publish:
                shown = self._registry.publish(reference, desired, pending=True)
                arn = f"{arn}:{shown.version}"
        self._changes.begin(name, scope)
        return render_configuration(shown, arn, scope, change)

    async def delete_function(self, params: Params, scope: Scope) -> Result:
        """Delete a function with all that is its own, or one version.

        AWS: DeleteFunction; log groups stay, and a version that is not there is deleted, too.
        """
        reference = parse_reference(params["FunctionName"], scope, params.get("Qualifier") or "")
        qualifier = reference.qualifier
        if not qualifier:
            self._registry.require(reference)
            self._registry.delete_function(reference)
            self._forget(reference.function_name, scope)
            self._provisioned.apply(reference.function_name, scope)
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
        self._forget(reference.function_name, scope)
        self._provisioned.apply(reference.function_name, scope)
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
