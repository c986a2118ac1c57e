"""Versions and aliases as resources: AWS::Lambda::Version and AWS::Lambda::Alias.

Left to others: the functions that they are of (`functions`).
"""

from collections.abc import Mapping
from typing import Any

from lamington.core.aws import AwsCaller, Scope
from lamington.core.clock import Clock
from lamington.core.errors import AwsError, ResourceError
from lamington.stack.providers.base import (
    Physical,
    Properties,
    ResourceContext,
    is_owned,
)
from lamington.stack.providers.function_calls import (
    delete_by,
    find_by,
    manage_runtime,
    provide_concurrency,
    require_valid,
    settle_function,
)
from lamington.stack.providers.function_facts import ALIAS, VERSION


class VersionProvider:
    """AWS::Lambda::Version."""

    resource_type = "AWS::Lambda::Version"
    facts = VERSION

    def __init__(self, caller: AwsCaller, clock: Clock) -> None:
        self._caller = caller
        self._clock = clock

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        """Publish a version.

        AWS: a version resource without anything new to publish fails.
        """
        require_valid(self.facts, desired)
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
        try:
            await self._complete(arn, version, desired, context.scope)
        except (AwsError, ResourceError):
            await self.delete(arn, desired, context)
            raise
        return Physical(
            physical_id=arn, reference=arn, attributes={"Version": version, "FunctionArn": arn}
        )

    async def _complete(self, arn: str, version: str, desired: Properties, scope: Scope) -> None:
        """Wait until the version is active, and give it what else it is to have."""
        await settle_function(self._caller, self._clock, arn, scope)
        if desired.get("RuntimePolicy"):
            await manage_runtime(self._caller, arn, version, desired["RuntimePolicy"], scope)
        count = _provisioned(desired)
        if count:
            await provide_concurrency(self._caller, self._clock, arn, version, count, scope)

    async def _versions(self, function_name: str, scope: Scope) -> list[Mapping[str, Any]]:
        """`$LATEST` and every version in the order of the numbers; nothing without the function."""
        versions: list[Mapping[str, Any]] = []
        page: dict[str, Any] = {"FunctionName": function_name}
        while True:
            found = await find_by(self._caller, "lambda:ListVersionsByFunction", page, scope)
            if found is None:
                return versions
            versions += found["Versions"]
            if not found.get("NextMarker"):
                return versions
            page["Marker"] = found["NextMarker"]

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        require_valid(self.facts, desired)
        version = physical_id.rpartition(":")[2]
        return Physical(
            physical_id=physical_id,
            reference=physical_id,
            attributes={"Version": version, "FunctionArn": physical_id},
        )

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await delete_by(
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

    def __init__(self, caller: AwsCaller, clock: Clock) -> None:
        self._caller = caller
        self._clock = clock

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        made = await self._put("lambda:CreateAlias", desired, context)
        try:
            await self._provide(desired, {}, context.scope)
        except (AwsError, ResourceError):
            await self.delete(made.physical_id, desired, context)
            raise
        return made

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        changed = await self._put("lambda:UpdateAlias", desired, context)
        await self._provide(desired, previous, context.scope)
        return changed

    async def _provide(self, desired: Properties, previous: Properties, scope: Scope) -> None:
        """Bring the alias's provisioned concurrency to what the template says."""
        count, name, alias = _provisioned(desired), desired["FunctionName"], desired["Name"]
        moved = desired["FunctionVersion"] != previous.get("FunctionVersion")
        if count and (moved or count != _provisioned(previous)):
            await provide_concurrency(self._caller, self._clock, name, alias, count, scope)
        elif not count and _provisioned(previous):
            named = {"FunctionName": name, "Qualifier": alias}
            await self._caller.call("lambda:DeleteProvisionedConcurrencyConfig", named, scope)

    async def _put(self, operation: str, desired: Properties, context: ResourceContext) -> Physical:
        require_valid(self.facts, desired)
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
        await delete_by(
            self._caller,
            "lambda:DeleteAlias",
            {"FunctionName": function_arn, "Name": name},
            context.scope,
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """An alias as desired that no stack has is what a create that was cut off left."""
        named = {"FunctionName": desired["FunctionName"], "Name": desired["Name"]}
        found = await find_by(self._caller, "lambda:GetAlias", named, context.scope)
        if found is None or found["FunctionVersion"] != desired["FunctionVersion"]:
            return None
        arn = str(found["AliasArn"])
        return None if await is_owned(self._caller, self.resource_type, arn, context) else arn


def _weights(desired: Properties) -> dict[str, float]:
    routing = desired.get("RoutingConfig") or {}
    return {
        each["FunctionVersion"]: each["FunctionWeight"]
        for each in routing.get("AdditionalVersionWeights") or ()
    }


def _provisioned(properties: Properties) -> int:
    """How many environments are to be kept ready."""
    wanted = properties.get("ProvisionedConcurrencyConfig") or {}
    return int(wanted.get("ProvisionedConcurrentExecutions") or 0)
