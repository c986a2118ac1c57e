"""The Lambda API of provisioned concurrency: environments of a version that are kept ready.

Left to others: the environments themselves (the invoker).
"""

from typing import Protocol

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.errors import AwsError
from lamington.functions.entities import (
    CONCURRENT_EXECUTIONS,
    LATEST,
    UNRESERVED_CONCURRENT_EXECUTIONS_MIN,
    InvalidParameterValueException,
    ProvisionedConcurrency,
    ProvisionedConcurrencyConfigNotFoundException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lamington.functions.operations.configuration import has_snapshots
from lamington.functions.operations.constraints import require_valid
from lamington.functions.operations.names import FunctionReference, parse_function, parse_reference
from lamington.functions.operations.paging import limit_of, marker_of, next_marker
from lamington.functions.operations.registry import FunctionRegistry


class ProvisionedHost(Protocol):
    """Who keeps environments ready."""

    def set_provisioned(self, scope: Scope, function_name: str, version: str, count: int) -> None:
        """Keep this many environments of a version ready from now on; 0 ends that.

        Raises the AwsErrors of an invocation: there is no such version, or it is not active.
        """
        ...

    def provisioned(self, scope: Scope, function_name: str, version: str) -> tuple[int, int, str]:
        """How many are allocated, how many of them are ready, and why it failed, or ""."""
        ...


class ProvisionedOperations:
    """Provisioned concurrency of versions and aliases; an alias's follows it to its version."""

    def __init__(self, registry: FunctionRegistry, host: ProvisionedHost) -> None:
        self._registry = registry
        self._host = host
        self._applied: dict[tuple[Scope, str], dict[str, int]] = {}
        self._refused: dict[tuple[Scope, str, str], str] = {}

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:PutProvisionedConcurrencyConfig": self.put_provisioned_concurrency_config,
            "lambda:GetProvisionedConcurrencyConfig": self.get_provisioned_concurrency_config,
            "lambda:DeleteProvisionedConcurrencyConfig": (
                self.delete_provisioned_concurrency_config
            ),
            "lambda:ListProvisionedConcurrencyConfigs": self.list_provisioned_concurrency_configs,
        }

    def resume(self) -> None:
        """Have the environments made that the last engine kept."""
        for scope, row in self._registry.provisioned.everywhere():
            self.apply(row.function_name, scope)

    def apply(self, function_name: str, scope: Scope) -> None:
        """Tell the host what is to be kept ready: an alias moved, or a version is active now."""
        key = (scope, function_name)
        before = self._applied.get(key, {})
        wanted: dict[str, int] = {}
        for row in self._registry.provisioned.all(scope, function_name):
            version = self._version_of(row, scope)
            if version:
                wanted[version] = wanted.get(version, 0) + row.requested
        applied = dict(before)
        for version in before.keys() | wanted.keys():
            count = wanted.get(version, 0)
            if before.get(version, 0) != count and self._set(scope, function_name, version, count):
                applied[version] = count
        self._applied[key] = {version: count for version, count in applied.items() if count}
        if not self._applied[key]:
            del self._applied[key]

    def _set(self, scope: Scope, function_name: str, version: str, count: int) -> bool:
        """Tell the host; whether it has heard. A version that is pending is told of later."""
        self._refused.pop((scope, function_name, version), None)
        try:
            self._host.set_provisioned(scope, function_name, version, count)
        except ResourceNotFoundException:
            return True  # It is deleted, and its environments with it.
        except ResourceConflictException:
            return False
        except AwsError as refusal:
            self._refused[scope, function_name, version] = refusal.message
        return True

    async def put_provisioned_concurrency_config(self, params: Params, scope: Scope) -> Result:
        """Ask for environments; the answer says that it is in progress.

        AWS: PutProvisionedConcurrencyConfig; what is provisioned counts against what is reserved,
        or against the account's share.
        """
        require_valid(params, ["ProvisionedConcurrentExecutions"])
        reference = parse_reference(params["FunctionName"], scope, params["Qualifier"])
        if reference.qualifier == LATEST:
            raise InvalidParameterValueException(
                "Provisioned Concurrency Configs cannot be applied to unpublished function"
                " versions."
            )
        self._require_qualified(reference)
        requested: int = params["ProvisionedConcurrentExecutions"]
        self._require_room(reference, requested)
        self._require_alone(reference)
        version = self._registry.version(reference)
        if has_snapshots(version):
            raise InvalidParameterValueException(
                "Provisioned Concurrency is not supported for SnapStart enabled functions."
            )
        row = ProvisionedConcurrency(
            function_name=reference.function_name,
            qualifier=reference.qualifier,
            requested=requested,
            last_modified=self._registry.timestamp(),
        )
        self._registry.provisioned.put(scope, row)
        self.apply(reference.function_name, scope)
        return {
            "RequestedProvisionedConcurrentExecutions": requested,
            "AllocatedProvisionedConcurrentExecutions": 0,
            "AvailableProvisionedConcurrentExecutions": 0,
            "Status": "IN_PROGRESS",
            "LastModified": row.last_modified,
        }

    async def get_provisioned_concurrency_config(self, params: Params, scope: Scope) -> Result:
        reference = self._reference(params, scope)
        row = self._registry.provisioned.get(scope, reference.function_name, reference.qualifier)
        if row is None:
            raise ProvisionedConcurrencyConfigNotFoundException(
                "No Provisioned Concurrency Config found for this function"
            )
        return self._render(row, scope)

    async def delete_provisioned_concurrency_config(self, params: Params, scope: Scope) -> Result:
        """Let go; that there is no configuration is success."""
        reference = self._reference(params, scope)
        self._registry.provisioned.delete(scope, reference.function_name, reference.qualifier)
        self.apply(reference.function_name, scope)
        return {}

    async def list_provisioned_concurrency_configs(self, params: Params, scope: Scope) -> Result:
        reference = parse_function(params["FunctionName"], scope)
        self._registry.require(reference)
        page = self._registry.provisioned.page(
            scope, reference.function_name, marker=marker_of(params), limit=limit_of(params)
        )
        shown = [
            {
                "FunctionArn": f"{reference.function_arn}:{row.qualifier}",
                **self._render(row, scope),
            }
            for row in page.rows
        ]
        return {"ProvisionedConcurrencyConfigs": shown, **next_marker(page.marker)}

    # Within

    def _reference(self, params: Params, scope: Scope) -> FunctionReference:
        reference = parse_reference(params["FunctionName"], scope, params["Qualifier"])
        if reference.qualifier == LATEST:
            raise InvalidParameterValueException(
                "The function resource provided must be an alias or a published version."
            )
        self._require_qualified(reference)
        return reference

    def _require_qualified(self, reference: FunctionReference) -> None:
        """Raise ResourceNotFoundException, whose text tells versions and aliases apart."""
        if reference.qualifier.isdigit():
            if self._registry.numbered(reference, reference.qualifier) is None:
                raise reference.not_found()
        elif self._registry.alias(reference) is None:
            raise ResourceNotFoundException(f"Cannot find alias arn: {reference.arn}")

    def _require_room(self, reference: FunctionReference, requested: int) -> None:
        scope, function = reference.scope, self._registry.require(reference)
        rows = self._registry.provisioned.all(scope, reference.function_name)
        others = sum(row.requested for row in rows if row.qualifier != reference.qualifier)
        if function.reserved_concurrency is not None:
            if requested + others > function.reserved_concurrency:
                raise InvalidParameterValueException(
                    "Requested Provisioned Concurrency should not be greater than the"
                    " reservedConcurrentExecution for function"
                )
            return
        if requested > CONCURRENT_EXECUTIONS:
            raise InvalidParameterValueException(
                "Specified ConcurrentExecutions for function is greater than account's unreserved"
                f" concurrency [{CONCURRENT_EXECUTIONS}]."
            )
        own = sum(row.requested for row in rows) - others
        if self.unreserved(scope) + own - requested < UNRESERVED_CONCURRENT_EXECUTIONS_MIN:
            raise InvalidParameterValueException(
                "Specified ConcurrentExecutions for function decreases account's"
                " UnreservedConcurrentExecution below its minimum value of"
                f" [{UNRESERVED_CONCURRENT_EXECUTIONS_MIN}]."
            )

    def unreserved(self, scope: Scope) -> int:
        """The account's concurrency that is neither reserved nor provisioned outside of that."""
        reserved = {
            each.function_name: each.reserved_concurrency
            for each in self._registry.functions.all(scope)
            if each.reserved_concurrency is not None
        }
        provisioned = sum(
            row.requested
            for row in self._registry.provisioned.all(scope)
            if row.function_name not in reserved
        )
        return CONCURRENT_EXECUTIONS - sum(reserved.values()) - provisioned

    def _require_alone(self, reference: FunctionReference) -> None:
        """Raise where the alias's version has a configuration of its own, or one of its aliases.

        AWS: the texts are recorded.
        """
        scope, name = reference.scope, reference.function_name
        alias = self._registry.alias(reference)
        if alias is not None:
            if self._registry.provisioned.get(scope, name, alias.function_version) is not None:
                raise ResourceConflictException(
                    "Alias can't be used for Provisioned Concurrency configuration on an already"
                    " Provisioned version"
                )
            return
        for each in self._registry.aliases.all(scope, name):
            points_here = each.function_version == reference.qualifier
            if points_here and self._registry.provisioned.get(scope, name, each.name) is not None:
                raise ResourceConflictException(
                    "Version is pointed by a Provisioned Concurrency alias"
                )

    def _version_of(self, row: ProvisionedConcurrency, scope: Scope) -> str:
        if row.qualifier.isdigit():
            return row.qualifier
        alias = self._registry.aliases.get(scope, row.function_name, row.qualifier)
        return alias.function_version if alias else ""

    def _render(self, row: ProvisionedConcurrency, scope: Scope) -> Result:
        """AWS: READY when all are there; FAILED with the reason when none can be had."""
        version = self._version_of(row, scope)
        allocated, available, failure = self._host.provisioned(scope, row.function_name, version)
        failure = failure or self._refused.get((scope, row.function_name, version), "")
        status = "READY" if available >= row.requested else "IN_PROGRESS"
        shown: Result = {
            "RequestedProvisionedConcurrentExecutions": row.requested,
            "AllocatedProvisionedConcurrentExecutions": min(allocated, row.requested),
            "AvailableProvisionedConcurrentExecutions": min(available, row.requested),
            "Status": "FAILED" if failure else status,
            "LastModified": row.last_modified,
        }
        if failure:
            shown["StatusReason"] = failure
        return shown
