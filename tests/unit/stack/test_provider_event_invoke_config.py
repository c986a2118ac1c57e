"""AWS::Lambda::EventInvokeConfig as a resource, against the Lambda API itself."""

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from event_world import QUEUE, SCOPE, functions_registry
from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import ManualClock
from lamington.core.errors import ResourceError
from lamington.core.store import Store
from lamington.functions.entities import ResourceNotFoundException
from lamington.functions.operations.event_invoke_configs import EventInvokeConfigOperations
from lamington.stack.entities import ValidationError
from lamington.stack.providers.base import Finder, Provider, ProviderRegistry, ResourceContext
from lamington.stack.providers.functions import function_providers

TYPE = "AWS::Lambda::EventInvokeConfig"
DESIRED = {"FunctionName": "f", "Qualifier": "prod", "MaximumRetryAttempts": 1}
CONTEXT = ResourceContext(
    scope=SCOPE, stack_name="bakery", stack_id="id", logical_id="Events", token="token"
)


@dataclass
class Caller:
    """The operations, in an engine where no stack owns anything."""

    operations: dict[str, Operation]

    async def call(self, operation: str, params: Params, scope: Scope) -> Result:
        if operation == "cloudformation:DescribeStackResources":
            raise ValidationError("Stack for f|prod does not exist")
        return await self.operations[operation](params, scope)

    async def get(self) -> Result:
        params = {"FunctionName": "f", "Qualifier": "prod"}
        return await self.call("lambda:GetFunctionEventInvokeConfig", params, SCOPE)


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    store, clock = Store(tmp_path), ManualClock()
    registry = functions_registry(store, clock)
    configs = EventInvokeConfigOperations(registry=registry, store=store, clock=clock)
    yield Caller(configs.operations())
    store.close()


def _provider(caller: Caller) -> Provider:
    return ProviderRegistry(function_providers(caller))[TYPE]


async def test_configuration_is_made_changed_and_ended(caller: Caller) -> None:
    provider = _provider(caller)
    made = await provider.create(DESIRED, CONTEXT)
    assert (made.physical_id, made.reference) == ("f|prod", "f|prod")
    assert (await caller.get())["MaximumRetryAttempts"] == 1
    changed = {
        "FunctionName": "f",
        "Qualifier": "prod",
        "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
    }
    await provider.update("f|prod", changed, DESIRED, CONTEXT)
    shown = await caller.get()
    assert "MaximumRetryAttempts" not in shown
    assert shown["DestinationConfig"]["OnFailure"] == {"Destination": QUEUE}
    await provider.delete("f|prod", changed, CONTEXT)
    with pytest.raises(ResourceNotFoundException):
        await caller.get()
    await provider.delete("f|prod", changed, CONTEXT)


async def test_configuration_of_a_create_that_was_cut_off_is_found(caller: Caller) -> None:
    provider = _provider(caller)
    assert isinstance(provider, Finder)
    assert await provider.find(DESIRED, CONTEXT) is None
    await provider.create(DESIRED, CONTEXT)
    assert await provider.find(DESIRED, CONTEXT) == "f|prod"


async def test_value_of_another_type_is_refused(caller: Caller) -> None:
    with pytest.raises(ResourceError, match="expected type: Integer"):
        await _provider(caller).create({**DESIRED, "MaximumRetryAttempts": "few"}, CONTEXT)


def test_facts_of_event_invoke_configs_are_those_of_the_registry(caller: Caller) -> None:
    facts, schema = _provider(caller).facts, _registry_schema()
    names = {path.split("/")[2] for path in schema["createOnlyProperties"]}
    assert facts.create_only == names
    assert facts.required == set(schema["required"])
    assert facts.properties == set(schema["properties"])
    assert facts.attributes == frozenset(schema.get("readOnlyProperties", ()))


def _registry_schema() -> dict[str, Any]:
    package = importlib.util.find_spec("cfnlint")
    assert package is not None
    assert package.origin is not None
    schemas = Path(package.origin).parent / "data" / "schemas"
    region = json.loads((schemas / "providers" / "us-east-1.json").read_text())
    name = region.get("types", region)[TYPE]
    schema: dict[str, Any] = json.loads((schemas / "resources" / f"{name}.json").read_text())
    return schema
