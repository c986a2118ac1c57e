"""Event invoke configs: whose they are, what the queue makes of them, how they go."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from event_world import ARN, QUEUE, SCOPE, TRACE, functions_registry
from lamington.core.aws import Operation, Result
from lamington.core.clock import ManualClock
from lamington.core.http import Headers
from lamington.core.store import Store
from lamington.functions.entities import (
    InvalidParameterValueException,
    InvalidRequestContentException,
    RequestTooLargeException,
    ResourceNotFoundException,
)
from lamington.functions.invoke import Invocation, InvocationResult
from lamington.functions.operations.event_invoke_configs import (
    AsyncInvocationOperations,
    EventInvokeConfigOperations,
)
from lamington.functions.operations.names import FunctionReference
from lamington.functions.operations.recursion import RecursionOperations
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.queue import EventSettings


@dataclass
class AcceptingInvoker:
    """Accepts every event and remembers it."""

    invocations: list[Invocation] = field(default_factory=list)

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self.invocations.append(invocation)
        return InvocationResult(status=202, request_id="id-1")


class World:
    def __init__(self, directory: Path) -> None:
        self.store, self.clock = Store(directory), ManualClock()
        self.registry: FunctionRegistry = functions_registry(self.store, self.clock)
        self.configs = EventInvokeConfigOperations(
            registry=self.registry, store=self.store, clock=self.clock
        )
        self.recursion = RecursionOperations(self.registry)
        self.invoker = AcceptingInvoker()
        self.operations: dict[str, Operation] = {
            **self.configs.operations(),
            **self.recursion.operations(),
            **AsyncInvocationOperations(self.registry, self.invoker).operations(),
        }

    async def call(self, operation: str, **params: Any) -> Result:
        return await self.operations[f"lambda:{operation}"]({"FunctionName": "f", **params}, SCOPE)

    async def put(self, qualifier: str = "", **params: Any) -> Result:
        given = {"Qualifier": qualifier} if qualifier else {}
        return await self.call("PutFunctionEventInvokeConfig", **given, **params)

    async def qualifiers(self) -> list[str]:
        """The qualifiers that have a configuration."""
        found = await self.call("ListFunctionEventInvokeConfigs")
        return [each["FunctionArn"].split(":")[7] for each in found["FunctionEventInvokeConfigs"]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def test_function_without_a_configuration_has_the_defaults(world: World) -> None:
    assert world.configs.settings_of(ARN) == EventSettings(
        retry_attempts_max=2, event_age_max_s=21_600
    )


async def test_each_qualifier_has_its_own_configuration_and_only_that(world: World) -> None:
    await world.put(MaximumRetryAttempts=0)
    await world.put("prod", MaximumRetryAttempts=1)
    retries = [
        world.configs.settings_of(arn).retry_attempts_max
        for arn in (ARN, f"{ARN}:$LATEST", f"{ARN}:prod", f"{ARN}:1")
    ]
    assert retries == [0, 0, 1, 2]


async def test_settings_hold_all_that_is_configured(world: World) -> None:
    await world.put(
        "1",
        MaximumEventAgeInSeconds=60,
        DestinationConfig={
            "OnSuccess": {"Destination": QUEUE},
            "OnFailure": {"Destination": "arn:aws:s3:::b"},
        },
    )
    assert world.configs.settings_of(f"{ARN}:1") == EventSettings(
        event_age_max_s=60, on_success=QUEUE, on_failure="arn:aws:s3:::b", dead_letter=QUEUE
    )


@pytest.mark.parametrize(("qualifier", "target"), [("", ""), (":1", QUEUE), (":prod", QUEUE)])
def test_dead_letter_queue_is_that_of_the_version(
    world: World, qualifier: str, target: str
) -> None:
    assert world.configs.settings_of(ARN + qualifier).dead_letter == target


def test_zero_reserved_concurrency_disables(world: World) -> None:
    function = world.registry.functions.get(SCOPE, "f")
    assert function is not None
    world.registry.functions.put(SCOPE, replace(function, reserved_concurrency=0))
    assert world.configs.settings_of(ARN).is_disabled


@pytest.mark.parametrize("arn", [f"{ARN}:staging", f"{ARN}:2", f"{ARN}-none", "x"])
def test_what_is_gone_has_no_settings(world: World, arn: str) -> None:
    with pytest.raises(ResourceNotFoundException):
        world.configs.settings_of(arn)


async def test_update_takes_a_destination_away(world: World) -> None:
    await world.put(DestinationConfig={"OnSuccess": {"Destination": QUEUE}})
    changed = await world.call(
        "UpdateFunctionEventInvokeConfig", DestinationConfig={"OnFailure": {"Destination": QUEUE}}
    )
    assert changed["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": QUEUE}}


async def test_what_is_put_is_got_until_it_is_deleted(world: World) -> None:
    put = await world.put(MaximumRetryAttempts=1)
    assert await world.call("GetFunctionEventInvokeConfig") == put
    assert await world.call("GetFunctionEventInvokeConfig", Qualifier="$LATEST") == put
    assert await world.call("DeleteFunctionEventInvokeConfig") == {}
    assert await world.qualifiers() == []


async def test_list_has_pages(world: World) -> None:
    for qualifier in ("", "1", "prod"):
        await world.put(qualifier, MaximumRetryAttempts=1)
    page = await world.call("ListFunctionEventInvokeConfigs", MaxItems=2)
    assert len(page["FunctionEventInvokeConfigs"]) == 2
    rest = await world.call("ListFunctionEventInvokeConfigs", Marker=page["NextMarker"])
    assert len(rest["FunctionEventInvokeConfigs"]) == 1
    assert "NextMarker" not in rest


async def test_configuration_goes_with_what_it_is_for(world: World) -> None:
    for qualifier in ("", "1", "prod"):
        await world.put(qualifier, MaximumRetryAttempts=1)
    function = FunctionReference(function_name="f", qualifier="", scope=SCOPE)
    world.registry.delete_alias(function, "prod")
    assert await world.qualifiers() == ["$LATEST", "1"]
    world.registry.delete_version(replace(function, qualifier="1"))
    assert await world.qualifiers() == ["$LATEST"]
    kept = world.registry.require(function)
    world.registry.delete_function(function)
    world.registry.functions.put(SCOPE, kept)
    assert await world.qualifiers() == [], "a new function of the name begins anew"


async def test_another_functions_configuration_stays(world: World) -> None:
    await world.call("PutFunctionEventInvokeConfig", FunctionName="g", MaximumRetryAttempts=1)
    function = FunctionReference(function_name="f", qualifier="", scope=SCOPE)
    world.registry.delete_function(function)
    found = await world.call("ListFunctionEventInvokeConfigs", FunctionName="g")
    assert len(found["FunctionEventInvokeConfigs"]) == 1


async def test_invoke_async_hands_over_the_event(world: World) -> None:
    headers = Headers([("X-Amzn-Trace-Id", TRACE)])
    answer = await world.call(
        "InvokeAsync", InvokeArgs=b'{"a": 1}', RequestMetadata={"HTTPHeaders": headers}
    )
    assert answer == {"Status": 202, "ResponseMetadata": {"RequestId": "id-1"}}
    [invocation] = world.invoker.invocations
    assert (invocation.invocation_type, invocation.payload) == ("Event", b'{"a": 1}')
    assert (invocation.function_arn, invocation.trace_id) == (ARN, TRACE)


@pytest.mark.parametrize(
    ("params", "refusal"),
    [
        ({"FunctionName": "none", "InvokeArgs": b"{}"}, ResourceNotFoundException),
        ({"InvokeArgs": b"{"}, InvalidRequestContentException),
        ({"InvokeArgs": b'"' + b"x" * 1_048_576 + b'"'}, RequestTooLargeException),
    ],
)
async def test_invoke_async_refuses_what_invoke_does(
    world: World, params: dict[str, Any], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await world.call("InvokeAsync", **params)
    assert world.invoker.invocations == []


async def test_recursion_is_allowed_by_function(world: World) -> None:
    await world.call("PutFunctionRecursionConfig", RecursiveLoop="Allow")
    allowed = [world.recursion.allows(arn) for arn in (ARN, f"{ARN}:prod", f"{ARN[:-1]}g", "x")]
    assert allowed == [True, True, False, False]


async def test_recursion_config_is_of_a_whole_function(world: World) -> None:
    with pytest.raises(InvalidParameterValueException, match="Lambda functions only"):
        await world.call("GetFunctionRecursionConfig", FunctionName="f:prod")
