"""Function URLs and event source mappings as resources of stacks, over the Lambda API itself."""

import importlib.util
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import ARN, SCOPE, LambdaWorld
from lamington.core.clock import Ids, ManualClock
from lamington.functions.operations.event_source_mappings import EventSourceMappingOperations
from lamington.functions.operations.tags import TagOperations
from lamington.stack.providers.base import Provider, ResourceContext
from lamington.stack.providers.function_fronts import front_providers
from url_world import ENDPOINT, url_world

URL = "AWS::Lambda::Url"
MAPPING = "AWS::Lambda::EventSourceMapping"
SQS = "arn:aws:sqs:us-east-1:111111111111:q"
QUEUE = {"FunctionName": "f", "EventSourceArn": SQS}


class TurningClock(ManualClock):
    """Time that passes by itself while somebody sleeps."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._turned = clock

    async def sleep(self, seconds: float) -> None:
        await self._turned.advance(seconds or 0.001)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[LambdaWorld]:
    with url_world(tmp_path) as world:
        api = world.api
        mappings = EventSourceMappingOperations(
            registry=api.registry, store=api.store, clock=api.clock, ids=Ids()
        )
        tags = TagOperations(api.registry, {"event-source-mapping": mappings})
        api.caller.operations.update(mappings.operations() | tags.operations())
        await api.create()
        yield api


def provider(api: LambdaWorld, resource_type: str) -> Any:
    made: list[Provider] = front_providers(api.caller, TurningClock(api.clock))
    return {each.resource_type: each for each in made}[resource_type]


def context(api: LambdaWorld, **given: Any) -> ResourceContext:
    return ResourceContext(
        scope=SCOPE,
        stack_name="bakery",
        stack_id="arn:aws:cloudformation:us-east-1:111111111111:stack/bakery/1",
        logical_id="Front",
        token="token",
        **given,
    )


async def test_url_comes_changes_and_goes(api: LambdaWorld) -> None:
    urls = provider(api, URL)
    desired = {"TargetFunctionArn": f"{ARN}:f", "AuthType": "NONE", "Cors": {"MaxAge": 5}}
    made = await urls.create(desired, context(api))
    assert (made.physical_id, made.reference) == (f"{ARN}:f", f"{ARN}:f")
    assert made.attributes["FunctionUrl"].startswith(ENDPOINT)
    changed = {"TargetFunctionArn": f"{ARN}:f", "AuthType": "AWS_IAM"}
    updated = await urls.update(made.physical_id, changed, desired, context(api))
    assert updated.attributes == made.attributes
    shown = await api.call("GetFunctionUrlConfig", FunctionName="f")
    assert shown["AuthType"] == "AWS_IAM"
    assert "Cors" not in shown
    for _ in range(2):
        await urls.delete(made.physical_id, changed, context(api))
    assert await urls.find(changed, context(api)) is None


async def test_url_of_an_alias_is_under_the_alias(api: LambdaWorld) -> None:
    await api.call("PublishVersion", FunctionName="f")
    await api.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    desired = {"TargetFunctionArn": "f", "Qualifier": "live", "AuthType": "NONE"}
    made = await provider(api, URL).create(desired, context(api))
    assert made.reference == f"{ARN}:f:live"
    await provider(api, URL).delete(made.physical_id, desired, context(api))
    assert await provider(api, URL).find(desired, context(api)) is None


async def test_url_that_was_there_before_is_not_ours(api: LambdaWorld) -> None:
    desired = {"TargetFunctionArn": "f", "AuthType": "NONE"}
    await provider(api, URL).create(desired, context(api))
    now = api.clock.now()
    assert await provider(api, URL).find(desired, context(api, started=now)) == f"{ARN}:f"
    later = context(api, started=now + timedelta(seconds=5))
    assert await provider(api, URL).find(desired, later) is None


async def test_mapping_comes_changes_and_goes(api: LambdaWorld) -> None:
    mappings = provider(api, MAPPING)
    desired = {**QUEUE, "BatchSize": 5, "Tags": [{"Key": "a", "Value": "b"}]}
    made = await mappings.create(desired, context(api))
    assert made.reference == made.physical_id == made.attributes["Id"]
    shown = await api.call("GetEventSourceMapping", UUID=made.physical_id)
    assert (shown["State"], shown["BatchSize"]) == ("Enabled", 5)
    changed = {**QUEUE, "Enabled": False}
    await mappings.update(made.physical_id, changed, desired, context(api))
    shown = await api.call("GetEventSourceMapping", UUID=made.physical_id)
    assert (shown["State"], shown["BatchSize"]) == ("Disabled", 10)
    tags = await api.call("ListTags", Resource=made.attributes["EventSourceMappingArn"])
    assert tags["Tags"] == context(api).system_tags
    assert await mappings.find(changed, context(api)) == made.physical_id
    for _ in range(2):
        await mappings.delete(made.physical_id, changed, context(api))
    assert await mappings.find(changed, context(api)) is None


async def test_mapping_of_somebody_else_is_not_ours(api: LambdaWorld) -> None:
    await api.call("CreateEventSourceMapping", **QUEUE)
    assert await provider(api, MAPPING).find(QUEUE, context(api)) is None


async def test_kafka_servers_are_named_as_the_api_does(api: LambdaWorld) -> None:
    desired = {
        "FunctionName": "f",
        "SelfManagedEventSource": {"Endpoints": {"KafkaBootstrapServers": ["k:9092"]}},
        "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "arn:aws:s:::x"}],
        "StartingPosition": "LATEST",
        "Topics": ["t"],
    }
    made = await provider(api, MAPPING).create(desired, context(api))
    shown = await api.call("GetEventSourceMapping", UUID=made.physical_id)
    assert shown["SelfManagedEventSource"] == {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["k:9092"]}}


@pytest.mark.parametrize("resource_type", [URL, MAPPING])
def test_facts_are_those_of_the_registry(resource_type: str, tmp_path: Path) -> None:
    with url_world(tmp_path) as world:
        facts = provider(world.api, resource_type).facts
    package = importlib.util.find_spec("cfnlint")
    assert package is not None
    assert package.origin is not None
    schemas = Path(package.origin).parent / "data" / "schemas"
    region = json.loads((schemas / "providers" / "us-east-1.json").read_text())
    name = region.get("types", region)[resource_type]
    schema = json.loads((schemas / "resources" / f"{name}.json").read_text())
    read_only = {path.split("/")[2] for path in schema["readOnlyProperties"]}
    assert facts.create_only == {path.split("/")[2] for path in schema["createOnlyProperties"]}
    assert facts.required == set(schema["required"])
    assert facts.properties == set(schema["properties"]) - read_only
    assert facts.attributes == read_only
