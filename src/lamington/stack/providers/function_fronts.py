"""What brings events to functions, as resources: function URLs and event source mappings.

Everything is done through AwsCaller. Left to others: functions themselves (`functions`).
"""

from collections.abc import Mapping
from typing import Any

from lamington.core.aws import AwsCaller
from lamington.core.clock import Clock, SystemClock
from lamington.core.errors import ResourceError
from lamington.stack.providers.base import (
    Physical,
    Properties,
    Provider,
    ResourceContext,
    is_owned,
)
from lamington.stack.providers.function_calls import (
    delete_by,
    find_by,
    require_valid,
    settle_mapping,
)
from lamington.stack.providers.function_facts import EVENT_SOURCE_MAPPING, URL

CLEARED: Mapping[str, Any] = {
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {},
    "Enabled": True,
    "FilterCriteria": {},
    "FunctionResponseTypes": [],
    "KMSKeyArn": "",
    "LoggingConfig": {},
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "MetricsConfig": {},
    "ParallelizationFactor": 1,
    "ProvisionedPollerConfig": {},
    "ScalingConfig": {},
    "SourceAccessConfigurations": [],
    "TumblingWindowInSeconds": 0,
}
"""What UpdateEventSourceMapping is given for a property that the template gives no more."""


def front_providers(caller: AwsCaller, clock: Clock | None = None) -> list[Provider]:
    """The resource types that bring events to functions."""
    return [UrlProvider(caller), EventSourceMappingProvider(caller, clock or SystemClock())]


class UrlProvider:
    """AWS::Lambda::Url; its physical id is the ARN of the function or alias that has it."""

    resource_type = "AWS::Lambda::Url"
    facts = URL

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        require_valid(self.facts, desired)
        params = {**desired, **_url_of(desired)}
        params.pop("TargetFunctionArn")
        return _url(
            await self._caller.call("lambda:CreateFunctionUrlConfig", params, context.scope)
        )

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        require_valid(self.facts, desired)
        params = {
            "FunctionName": physical_id,
            "AuthType": desired["AuthType"],
            "Cors": desired.get("Cors") or {},
            "InvokeMode": desired.get("InvokeMode") or "BUFFERED",
        }
        return _url(
            await self._caller.call("lambda:UpdateFunctionUrlConfig", params, context.scope)
        )

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await delete_by(
            self._caller,
            "lambda:DeleteFunctionUrlConfig",
            {"FunctionName": physical_id},
            context.scope,
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The function's URL, where it is younger than the create's beginning and nobody's."""
        found = await find_by(
            self._caller, "lambda:GetFunctionUrlConfig", _url_of(desired), context.scope
        )
        if found is None:
            return None
        arn = str(found["FunctionArn"])
        started = context.started
        if started is not None and found["CreationTime"] < f"{started:%Y-%m-%dT%H:%M:%S}":
            return None
        return None if await is_owned(self._caller, self.resource_type, arn, context) else arn


def _url_of(desired: Properties) -> dict[str, Any]:
    """How the API names the function or alias."""
    named = {"FunctionName": desired["TargetFunctionArn"]}
    if desired.get("Qualifier"):
        named["Qualifier"] = desired["Qualifier"]
    return named


def _url(shown: Mapping[str, Any]) -> Physical:
    return Physical(
        physical_id=shown["FunctionArn"],
        reference=shown["FunctionArn"],
        attributes={"FunctionArn": shown["FunctionArn"], "FunctionUrl": shown["FunctionUrl"]},
    )


class EventSourceMappingProvider:
    """AWS::Lambda::EventSourceMapping; its physical id is the mapping's UUID."""

    resource_type = "AWS::Lambda::EventSourceMapping"
    facts = EVENT_SOURCE_MAPPING

    def __init__(self, caller: AwsCaller, clock: Clock) -> None:
        self._caller = caller
        self._clock = clock

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        require_valid(self.facts, desired)
        params = {**_members(desired), "Tags": _tags(desired, context)}
        made = await self._caller.call("lambda:CreateEventSourceMapping", params, context.scope)
        await settle_mapping(self._caller, self._clock, made["UUID"], context.scope)
        return _mapping(made)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        """Change what differs; a property that is given no more is what it is by itself."""
        require_valid(self.facts, desired)
        shown = await settle_mapping(self._caller, self._clock, physical_id, context.scope)
        if shown is None:
            raise ResourceError(
                f"The event source mapping {physical_id} does not exist", handler_code="NotFound"
            )
        after, before = _members(desired), _members(previous)
        cleared = {**CLEARED, "BatchSize": _batch_size(before)}
        changes = {
            name: after.get(name, cleared.get(name))
            for name in after.keys() | before.keys()
            if after.get(name) != before.get(name)
        }
        if changes:
            shown = await self._caller.call(
                "lambda:UpdateEventSourceMapping", {"UUID": physical_id, **changes}, context.scope
            )
            await settle_mapping(self._caller, self._clock, physical_id, context.scope)
        await self._tag(shown["EventSourceMappingArn"], desired, context)
        return _mapping(shown)

    async def _tag(self, arn: str, desired: Properties, context: ResourceContext) -> None:
        wanted = _tags(desired, context)
        listed = await self._caller.call("lambda:ListTags", {"Resource": arn}, context.scope)
        kept: Mapping[str, str] = listed["Tags"]
        if wanted.items() - kept.items():
            await self._caller.call(
                "lambda:TagResource", {"Resource": arn, "Tags": wanted}, context.scope
            )
        if gone := sorted(kept.keys() - wanted.keys()):
            await self._caller.call(
                "lambda:UntagResource", {"Resource": arn, "TagKeys": gone}, context.scope
            )

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        """Delete the mapping, once no change of it is under way, and wait until it is gone."""
        scope = context.scope
        if await settle_mapping(self._caller, self._clock, physical_id, scope) is None:
            return
        named = {"UUID": physical_id}
        await delete_by(self._caller, "lambda:DeleteEventSourceMapping", named, scope)
        await settle_mapping(self._caller, self._clock, physical_id, scope)

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """A mapping of the function with the stack's own tags is what the create left."""
        page: dict[str, Any] = {"FunctionName": desired["FunctionName"]}
        while True:
            found = await self._caller.call("lambda:ListEventSourceMappings", page, context.scope)
            for mapping in found["EventSourceMappings"]:
                named = {"Resource": mapping["EventSourceMappingArn"]}
                listed = await find_by(self._caller, "lambda:ListTags", named, context.scope)
                if listed and context.system_tags.items() <= listed["Tags"].items():
                    return str(mapping["UUID"])
            if not found.get("NextMarker"):
                return None
            page["Marker"] = found["NextMarker"]


def _members(properties: Properties) -> dict[str, Any]:
    """The properties as the API has them, but for the tags."""
    given = {name: value for name, value in properties.items() if name != "Tags"}
    if "KmsKeyArn" in given:
        given["KMSKeyArn"] = given.pop("KmsKeyArn")
    servers = (given.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
    if "KafkaBootstrapServers" in servers:
        endpoints = {"KAFKA_BOOTSTRAP_SERVERS": servers["KafkaBootstrapServers"]}
        given["SelfManagedEventSource"] = {"Endpoints": endpoints}
    return given


def _batch_size(members: Mapping[str, Any]) -> int:
    return 10 if ":sqs:" in str(members.get("EventSourceArn", "")) else 100


def _tags(desired: Properties, context: ResourceContext) -> dict[str, str]:
    own = {tag["Key"]: tag["Value"] for tag in desired.get("Tags") or ()}
    return {**context.tags, **own, **context.system_tags}


def _mapping(shown: Mapping[str, Any]) -> Physical:
    return Physical(
        physical_id=shown["UUID"],
        reference=shown["UUID"],
        attributes={
            "Id": shown["UUID"],
            "EventSourceMappingArn": shown["EventSourceMappingArn"],
        },
    )
