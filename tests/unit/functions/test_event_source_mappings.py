"""Event source mappings: what is kept of each kind of source, what is refused, how they change."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import ARN, SCOPE, LambdaWorld, lambda_world
from lamington.core.clock import Ids
from lamington.functions.entities import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceInUseException,
    ResourceNotFoundException,
    ValidationException,
)
from lamington.functions.operations.event_source_mappings import EventSourceMappingOperations

SQS = "arn:aws:sqs:us-east-1:111111111111:q"
TABLE = "arn:aws:dynamodb:us-east-1:111111111111:table/t/stream/2026-01-01T00:00:00.000"
KINESIS = "arn:aws:kinesis:us-east-1:111111111111:stream/s"
MSK = "arn:aws:kafka:us-east-1:111111111111:cluster/c/1"
MQ = "arn:aws:mq:us-east-1:111111111111:broker:b:b-1"

STREAM: dict[str, Any] = {"EventSourceArn": KINESIS, "StartingPosition": "TRIM_HORIZON"}
BASIC = [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:111111111111:secret:s"}]


class World:
    """The function `f` and its mappings."""

    def __init__(self, api: LambdaWorld) -> None:
        self.api = api
        self.mappings = EventSourceMappingOperations(
            registry=api.registry, store=api.store, clock=api.clock, ids=Ids()
        )
        api.caller.operations.update(self.mappings.operations())

    async def map(self, source: str = SQS, **params: Any) -> dict[str, Any]:
        given = {"FunctionName": "f", "EventSourceArn": source, **params}
        return await self.api.call("CreateEventSourceMapping", **given)

    async def get(self, mapping: dict[str, Any]) -> dict[str, Any]:
        return await self.api.call("GetEventSourceMapping", UUID=mapping["UUID"])

    async def update(self, mapping: dict[str, Any], **params: Any) -> dict[str, Any]:
        return await self.api.call("UpdateEventSourceMapping", UUID=mapping["UUID"], **params)

    async def delete(self, mapping: dict[str, Any]) -> dict[str, Any]:
        return await self.api.call("DeleteEventSourceMapping", UUID=mapping["UUID"])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with lambda_world(tmp_path) as api:
        await api.create()
        yield World(api)


async def test_queue_shows_the_defaults_of_queues(world: World) -> None:
    created = await world.map()
    uuid = created["UUID"]
    assert created == {
        "UUID": uuid,
        "EventSourceMappingArn": (
            f"arn:aws:lambda:us-east-1:111111111111:event-source-mapping:{uuid}"
        ),
        "EventSourceArn": SQS,
        "FunctionArn": f"{ARN}:f",
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
    }


@pytest.mark.parametrize("source", [KINESIS, TABLE])
async def test_stream_shows_the_defaults_of_streams(world: World, source: str) -> None:
    created = await world.map(source, StartingPosition="TRIM_HORIZON")
    uuid = created["UUID"]
    assert created == {
        "UUID": uuid,
        "EventSourceMappingArn": (
            f"arn:aws:lambda:us-east-1:111111111111:event-source-mapping:{uuid}"
        ),
        "EventSourceArn": source,
        "FunctionArn": f"{ARN}:f",
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "StartingPosition": "TRIM_HORIZON",
        "BisectBatchOnFunctionError": False,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0,
        "DestinationConfig": {"OnFailure": {}},
        "FunctionResponseTypes": [],
        "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
        "LastProcessingResult": "No records processed",
        "State": "Creating",
        "StateTransitionReason": "User action",
    }


async def test_kafka_gets_a_consumer_group(world: World) -> None:
    created = await world.map(MSK, Topics=["t"], StartingPosition="LATEST")
    assert created["AmazonManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": created["UUID"]}
    assert (created["BatchSize"], created["Topics"]) == (100, ["t"])
    assert "MaximumBatchingWindowInSeconds" not in created


async def test_self_managed_kafka_is_known_by_its_endpoints(world: World) -> None:
    endpoints = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["k:9092"]}}
    created = await world.map(
        "",
        SelfManagedEventSource=endpoints,
        SourceAccessConfigurations=BASIC,
        Topics=["t"],
        StartingPosition="TRIM_HORIZON",
    )
    assert created["SelfManagedEventSource"] == endpoints
    assert "EventSourceArn" not in created


async def test_point_in_time_is_kept_as_a_number(world: World) -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    created = await world.map(
        KINESIS, StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=moment
    )
    assert (await world.get(created))["StartingPositionTimestamp"] == moment.timestamp()


async def test_mapping_calls_the_qualifier_that_it_names(world: World) -> None:
    await world.api.call("PublishVersion", FunctionName="f")
    await world.api.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    created = await world.map(FunctionName=f"{ARN}:f:live")
    assert created["FunctionArn"] == f"{ARN}:f:live"


# Refusals


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"EventSourceArn": ""}, "Unrecognized event source."),
        ({"EventSourceArn": "arn:aws:sns:us-east-1:1:t"}, "Unrecognized event source."),
        ({"EventSourceArn": TABLE.partition("/stream")[0]}, "Unrecognized event source."),
        ({"FunctionName": "nobody"}, "Function does not exist"),
        ({"FunctionName": "f:nobody"}, "Function does not exist"),
        (
            {"BatchSize": 11},
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is"
            " greater than 10",
        ),
        (
            {"EventSourceArn": KINESIS},
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy"
            " constraint: Member must not be null.",
        ),
        (
            {"EventSourceArn": TABLE, "StartingPosition": "AT_TIMESTAMP"},
            f"Unsupported starting position for arn type: {TABLE}",
        ),
        (
            {**STREAM, "DestinationConfig": {"OnSuccess": {"Destination": SQS}}},
            "Unsupported DestinationConfig parameter for given event source mapping type.",
        ),
        (
            {"DestinationConfig": {"OnFailure": {"Destination": SQS}}},
            "Unsupported DestinationConfig parameter for given event source mapping type.",
        ),
        (
            {"ParallelizationFactor": 2},
            "Unsupported ParallelizationFactor parameter for given event source mapping type.",
        ),
        (
            {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["k:9092"]}}},
            "Required 'sourceAccessConfigurations' parameter is missing.",
        ),
    ],
)
async def test_mapping_is_refused_in_the_words_of_the_service(
    world: World, params: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        await world.map(**{"source": params.pop("EventSourceArn", SQS), **params})
    assert refused.value.message == text


async def test_position_is_one_of_three(world: World) -> None:
    with pytest.raises(ValidationException, match="'startingPosition' failed to satisfy"):
        await world.map(KINESIS, StartingPosition="MIDDLE")


@pytest.mark.parametrize("params", [{"BatchSize": 20}, {"MaximumBatchingWindowInSeconds": 1}])
async def test_fifo_queue_has_small_batches_without_window(
    world: World, params: dict[str, int]
) -> None:
    with pytest.raises(InvalidParameterValueException, match="FIFO"):
        await world.map(f"{SQS}.fifo", **params)


@pytest.mark.parametrize(
    "pattern",
    [
        "null",
        '"simple string"',
        "not json",
        '{"eventSource": "aws:sqs"}',
        '{"eventSource": []}',
        '{"body": {"a": null}}',
        '{"body": {"a": [{"numeric": [">"]}]}}',
        '{"body": {"a": [{"exists": 1}]}}',
        '{"body": {"a": [{"prefix": "a", "suffix": "b"}]}}',
        '{"body": {"a": [{"like": "b"}]}}',
        '{"$or": []}',
        "[" * 3000,
    ],
)
async def test_filter_that_is_no_pattern_is_refused(world: World, pattern: str) -> None:
    with pytest.raises(InvalidParameterValueException, match=r"^Invalid filter pattern definition"):
        await world.map(FilterCriteria={"Filters": [{"Pattern": pattern}]})


@pytest.mark.parametrize(
    "pattern",
    [
        {"body": {"a": ["b", 1, None, "", True]}},
        {"body": {"a": [{"prefix": "b"}, {"suffix": "c"}, {"equals-ignore-case": "D"}]}},
        {"body": {"a": [{"anything-but": ["b"]}, {"anything-but": {"prefix": "c"}}]}},
        {"body": {"a": [{"numeric": [">=", 10, "<", 20]}]}},
        {"body": {"a": [{"exists": False}]}, "attributes": {"b": [{"cidr": "10.0.0.0/8"}]}},
        {"$or": [{"body": {"a": [1]}}, {"body": {"b": [2]}}]},
    ],
)
async def test_filter_is_kept_as_it_was_given(world: World, pattern: Any) -> None:
    criteria = {"Filters": [{"Pattern": json.dumps(pattern)}]}
    created = await world.map(FilterCriteria=criteria)
    assert (await world.get(created))["FilterCriteria"] == criteria


async def test_mapping_has_five_filters_at_most(world: World) -> None:
    with pytest.raises(InvalidParameterValueException, match="limit of 5"):
        await world.map(FilterCriteria={"Filters": [{"Pattern": '{"a":[1]}'}] * 6})


async def test_source_has_one_mapping_for_a_function(world: World) -> None:
    queue = await world.map()
    stream = await world.map(KINESIS, StartingPosition="LATEST")
    end = "already exists. Please update or delete the existing mapping with UUID"
    with pytest.raises(ResourceConflictException) as refused:
        await world.map()
    assert refused.value.message == (
        f'An event source mapping with SQS arn (" {SQS} ") and function (" f ") {end}'
        f" {queue['UUID']}"
    )
    with pytest.raises(ResourceConflictException) as refused:
        await world.map(KINESIS, StartingPosition="LATEST")
    assert refused.value.message == (
        f'The event source arn (" {KINESIS} ") and function (" f ") provided mapping {end}'
        f" {stream['UUID']}"
    )


# Life


async def test_mapping_is_enabled_after_a_moment(world: World) -> None:
    created = await world.map()
    assert (await world.get(created))["State"] == "Creating"
    await world.api.clock.advance(1)
    assert (await world.get(created))["State"] == "Enabled"


async def test_mapping_that_is_made_disabled_is_so_at_once(world: World) -> None:
    assert (await world.map(Enabled=False))["State"] == "Disabled"


async def test_mapping_is_switched_off_and_on(world: World) -> None:
    created = await world.map()
    await world.api.clock.advance(1)
    assert (await world.update(created, Enabled=False))["State"] == "Disabling"
    await world.api.clock.advance(1)
    assert (await world.get(created))["State"] == "Disabled"
    assert (await world.update(created, Enabled=True))["State"] == "Enabling"


async def test_update_changes_what_is_given_and_keeps_the_rest(world: World) -> None:
    created = await world.map(KINESIS, StartingPosition="LATEST", BatchSize=5)
    await world.api.clock.advance(1)
    changed = await world.update(created, MaximumRetryAttempts=3)
    assert (changed["State"], changed["MaximumRetryAttempts"]) == ("Updating", 3)
    assert (changed["BatchSize"], changed["StartingPosition"]) == (5, "LATEST")
    assert changed["LastModified"] > created["LastModified"]


async def test_filters_are_taken_away_by_empty_ones(world: World) -> None:
    created = await world.map(FilterCriteria={"Filters": [{"Pattern": '{"a":[1]}'}]})
    await world.api.clock.advance(1)
    changed = await world.update(created, FilterCriteria={})
    assert "FilterCriteria" not in changed


async def test_update_is_held_against_what_is_kept(world: World) -> None:
    created = await world.map()
    await world.api.clock.advance(1)
    with pytest.raises(InvalidParameterValueException, match="Maximum batch window in seconds"):
        await world.update(created, BatchSize=100)
    changed = await world.update(created, BatchSize=100, MaximumBatchingWindowInSeconds=1)
    assert changed["BatchSize"] == 100


async def test_mapping_that_is_changing_is_in_use(world: World) -> None:
    created = await world.map()
    text = r"^Cannot update the event source mapping because it is in use\.$"
    with pytest.raises(ResourceInUseException, match=text):
        await world.update(created, BatchSize=1)
    with pytest.raises(ResourceInUseException, match="Cannot delete"):
        await world.delete(created)


async def test_deleted_mapping_is_shown_for_a_moment(world: World) -> None:
    created = await world.map()
    await world.api.clock.advance(1)
    assert (await world.delete(created))["State"] == "Deleting"
    assert (await world.get(created))["State"] == "Deleting"
    await world.api.clock.advance(1)
    with pytest.raises(ResourceNotFoundException, match=r"^The resource you requested does not"):
        await world.get(created)
    assert (await world.map())["UUID"] != created["UUID"]


async def test_mapping_outlives_its_function(world: World) -> None:
    created = await world.map()
    await world.api.call("DeleteFunction", FunctionName="f")
    assert (await world.get(created))["FunctionArn"] == f"{ARN}:f"


async def test_list_is_by_source_and_by_function(world: World) -> None:
    await world.api.create("g")
    one = await world.map()
    two = await world.map(KINESIS, StartingPosition="LATEST")
    three = await world.map(FunctionName="g")

    async def listed(**params: Any) -> set[str]:
        found = await world.api.call("ListEventSourceMappings", **params)
        return {each["UUID"] for each in found["EventSourceMappings"]}

    assert await listed() == {each["UUID"] for each in (one, two, three)}
    assert await listed(FunctionName="f") == {one["UUID"], two["UUID"]}
    assert await listed(EventSourceArn=SQS) == {one["UUID"], three["UUID"]}
    assert await listed(EventSourceArn=SQS, FunctionName="g") == {three["UUID"]}


async def test_list_comes_in_pages(world: World) -> None:
    made = {(await world.map(f"{SQS}{number}"))["UUID"] for number in range(5)}
    seen: list[str] = []
    page: dict[str, Any] = {}
    while True:
        found = await world.api.call("ListEventSourceMappings", MaxItems=2, **page)
        seen += [each["UUID"] for each in found["EventSourceMappings"]]
        if "NextMarker" not in found:
            break
        page = {"Marker": found["NextMarker"]}
    assert (len(seen), set(seen)) == (5, made)


async def test_tags_are_kept_with_the_mapping(world: World) -> None:
    created = await world.map(Tags={"a": "b"})
    assert world.mappings.tags(created["UUID"], SCOPE) == {"a": "b"}
    world.mappings.put_tags(created["UUID"], {"c": "d"}, SCOPE)
    assert world.mappings.tags(created["UUID"], SCOPE) == {"c": "d"}


async def test_what_is_not_polled_is_told(world: World) -> None:
    created = await world.map()
    await world.map(KINESIS, StartingPosition="LATEST", Enabled=False)
    assert world.mappings.unpolled(SCOPE) == [
        f"the event source mapping {created['UUID']} is kept, but nothing polls its source"
        f" `{SQS}` for `f` yet"
    ]
