"""The CloudWatch Logs API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import SCOPE, LambdaWorld, lambda_world
from lamington.functions.operations.filter_pattern import InvalidParameterException
from lamington.functions.operations.logs import (
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)

GROUP = "/aws/lambda/f"
GROUP_ARN = "arn:aws:logs:us-east-1:111111111111:log-group:/aws/lambda/f"
NOW = 1_767_225_600_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        yield made


async def _stream(world: LambdaWorld, name: str = "s", *messages: str) -> None:
    if world.logs.group(SCOPE, GROUP) is None:
        await world.call("@CreateLogGroup", logGroupName=GROUP)
    await world.call("@CreateLogStream", logGroupName=GROUP, logStreamName=name)
    if messages:
        await _put(world, name, *messages)


async def _put(world: LambdaWorld, name: str, *messages: str) -> dict[str, Any]:
    events = [
        {"timestamp": NOW + number, "message": message} for number, message in enumerate(messages)
    ]
    return await world.call(
        "@PutLogEvents", logGroupName=GROUP, logStreamName=name, logEvents=events
    )


def _messages(answer: dict[str, Any]) -> list[str]:
    return [event["message"] for event in answer["events"]]


async def test_group_is_shown_with_both_arns(world: LambdaWorld) -> None:
    await world.call("@CreateLogGroup", logGroupName=GROUP, tags={"a": "b"})
    assert await world.call("@DescribeLogGroups") == {
        "logGroups": [
            {
                "logGroupName": GROUP,
                "creationTime": NOW,
                "metricFilterCount": 0,
                "arn": f"{GROUP_ARN}:*",
                "storedBytes": 0,
                "logGroupClass": "STANDARD",
                "logGroupArn": GROUP_ARN,
            }
        ]
    }


async def test_group_and_stream_are_made_once(world: LambdaWorld) -> None:
    await _stream(world)
    with pytest.raises(ResourceAlreadyExistsException, match=r"log group already exists$"):
        await world.call("@CreateLogGroup", logGroupName=GROUP)
    with pytest.raises(ResourceAlreadyExistsException, match=r"log stream already exists$"):
        await _stream(world)


async def test_groups_are_paged_and_picked_by_name(world: LambdaWorld) -> None:
    for name in ("/aws/lambda/a", "/aws/lambda/b", "/other/a"):
        await world.call("@CreateLogGroup", logGroupName=name)
    first = await world.call("@DescribeLogGroups", limit=2)
    second = await world.call("@DescribeLogGroups", limit=2, nextToken=first["nextToken"])
    assert [each["logGroupName"] for each in second["logGroups"]] == ["/other/a"]
    assert "nextToken" not in second
    picked = await world.call("@DescribeLogGroups", logGroupNamePrefix="/aws")
    assert len(picked["logGroups"]) == 2
    picked = await world.call("@DescribeLogGroups", logGroupNamePattern="er/A")
    assert [each["logGroupName"] for each in picked["logGroups"]] == ["/other/a"]


async def test_streams_are_ordered_by_their_last_event(world: LambdaWorld) -> None:
    await _stream(world, "a", "one", "two")
    await _stream(world, "b", "one")
    shown = await world.call(
        "@DescribeLogStreams", logGroupName=GROUP, orderBy="LastEventTime", descending=True
    )
    assert [each["logStreamName"] for each in shown["logStreams"]] == ["a", "b"]
    newest = shown["logStreams"][0]
    assert newest["arn"] == f"{GROUP_ARN}:log-stream:a"
    assert newest["lastEventTimestamp"] == NOW + 1


async def test_message_comes_back_as_put(world: LambdaWorld) -> None:
    await _stream(world, "s", "one line", "two\nlines\n")
    answer = await world.call("@GetLogEvents", logGroupName=GROUP, logStreamName="s")
    assert _messages(answer) == ["one line", "two\nlines\n"]


async def test_events_are_read_from_the_tail_or_the_head(world: LambdaWorld) -> None:
    await _stream(world, "s", "1", "2", "3")
    params = {"logGroupName": GROUP, "logStreamName": "s", "limit": 2}
    tail = await world.call("@GetLogEvents", **params)
    assert [text.strip() for text in _messages(tail)] == ["2", "3"]
    before = await world.call("@GetLogEvents", **params, nextToken=tail["nextBackwardToken"])
    assert [text.strip() for text in _messages(before)] == ["1"]
    head = await world.call("@GetLogEvents", **params, startFromHead=True)
    assert [text.strip() for text in _messages(head)] == ["1", "2"]


async def test_token_that_comes_back_means_the_end(world: LambdaWorld) -> None:
    await _stream(world, "s", "1")
    params = {"logGroupName": GROUP, "logStreamName": "s", "startFromHead": True}
    read = await world.call("@GetLogEvents", **params)
    end = await world.call("@GetLogEvents", **params, nextToken=read["nextForwardToken"])
    assert end["events"] == []
    assert end["nextForwardToken"] == read["nextForwardToken"]


async def test_filter_reads_every_stream_in_order_of_time(world: LambdaWorld) -> None:
    await _stream(world, "b", "ERROR b0", "b1")
    await _stream(world, "a", "a0", "ERROR a1")
    answer = await world.call("@FilterLogEvents", logGroupName=GROUP, filterPattern="ERROR")
    assert [text.strip() for text in _messages(answer)] == ["ERROR b0", "ERROR a1"]
    assert [event["logStreamName"] for event in answer["events"]] == ["b", "a"]
    assert len({event["eventId"] for event in answer["events"]}) == 2


async def test_filter_picks_streams_and_times(world: LambdaWorld) -> None:
    await _stream(world, "x/a", "a0", "a1", "a2")
    await _stream(world, "y", "y0")
    answer = await world.call(
        "@FilterLogEvents",
        logGroupName=GROUP,
        logStreamNamePrefix="x/",
        startTime=NOW + 1,
        endTime=NOW + 1,
    )
    assert [text.strip() for text in _messages(answer)] == ["a1"]
    answer = await world.call("@FilterLogEvents", logGroupName=GROUP, logStreamNames=["y"])
    assert [text.strip() for text in _messages(answer)] == ["y0"]


async def test_filter_is_paged(world: LambdaWorld) -> None:
    await _stream(world, "s", *(f"hit {number}" for number in range(5)))
    seen: list[str] = []
    token: dict[str, str] = {}
    for _ in range(3):
        page = await world.call(
            "@FilterLogEvents", logGroupName=GROUP, filterPattern="hit", limit=2, **token
        )
        seen += [text.strip() for text in _messages(page)]
        token = {"nextToken": page["nextToken"]} if "nextToken" in page else {}
    assert seen == [f"hit {number}" for number in range(5)]
    assert not token


async def test_events_too_old_and_too_new_are_told_of(world: LambdaWorld) -> None:
    await _stream(world, "s")
    new = NOW + 3 * 3_600_000
    events = [{"timestamp": time, "message": "m"} for time in (NOW, new)]
    answer = await world.call(
        "@PutLogEvents", logGroupName=GROUP, logStreamName="s", logEvents=events
    )
    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    events = [{"timestamp": NOW - 15 * 86_400_000, "message": "m"}]
    answer = await world.call(
        "@PutLogEvents", logGroupName=GROUP, logStreamName="s", logEvents=events
    )
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}


async def test_retention_is_kept_and_ended(world: LambdaWorld) -> None:
    await world.call("@CreateLogGroup", logGroupName=GROUP)
    await world.call("@PutRetentionPolicy", logGroupName=GROUP, retentionInDays=7)
    [group] = (await world.call("@DescribeLogGroups"))["logGroups"]
    assert group["retentionInDays"] == 7
    await world.call("@DeleteRetentionPolicy", logGroupName=GROUP)
    [group] = (await world.call("@DescribeLogGroups"))["logGroups"]
    assert "retentionInDays" not in group


async def test_tags_of_groups_come_and_go(world: LambdaWorld) -> None:
    await world.call("@CreateLogGroup", logGroupName=GROUP, tags={"a": "1"})
    await world.call("@TagResource", resourceArn=GROUP_ARN, tags={"b": "2"})
    await world.call("@UntagResource", resourceArn=f"{GROUP_ARN}:*", tagKeys=["a"])
    shown = await world.call("@ListTagsForResource", resourceArn=GROUP_ARN)
    assert shown == {"tags": {"b": "2"}}


async def test_group_is_named_by_its_arn(world: LambdaWorld) -> None:
    await _stream(world, "s", "one")
    answer = await world.call("@FilterLogEvents", logGroupIdentifier=GROUP_ARN)
    assert len(answer["events"]) == 1


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("@DescribeLogStreams", {"logGroupName": "gone"}),
        ("@FilterLogEvents", {"logGroupName": "gone"}),
        ("@DeleteLogGroup", {"logGroupName": "gone"}),
        ("@PutRetentionPolicy", {"logGroupName": "gone", "retentionInDays": 1}),
    ],
)
async def test_unknown_group(world: LambdaWorld, operation: str, params: dict[str, Any]) -> None:
    with pytest.raises(
        ResourceNotFoundException, match=r"^The specified log group does not exist\.$"
    ):
        await world.call(operation, **params)


@pytest.mark.parametrize("operation", ["@GetLogEvents", "@DeleteLogStream"])
async def test_unknown_stream(world: LambdaWorld, operation: str) -> None:
    await world.call("@CreateLogGroup", logGroupName=GROUP)
    with pytest.raises(
        ResourceNotFoundException, match=r"^The specified log stream does not exist\.$"
    ):
        await world.call(operation, logGroupName=GROUP, logStreamName="gone")


async def test_batch_is_in_order_of_time(world: LambdaWorld) -> None:
    await _stream(world, "s")
    events = [{"timestamp": time, "message": "m"} for time in (NOW + 1, NOW)]
    with pytest.raises(InvalidParameterException, match=r"chronological order"):
        await world.call("@PutLogEvents", logGroupName=GROUP, logStreamName="s", logEvents=events)


async def test_bad_tokens_are_refused(world: LambdaWorld) -> None:
    await _stream(world, "s", "one")
    for operation in ("@FilterLogEvents", "@DescribeLogStreams", "@GetLogEvents"):
        params = {"logStreamName": "s"} if operation == "@GetLogEvents" else {}
        with pytest.raises(InvalidParameterException, match="nextToken"):
            await world.call(operation, logGroupName=GROUP, nextToken="f/rubbish", **params)
