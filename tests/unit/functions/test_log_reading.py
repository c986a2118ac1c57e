"""How logs are read: in order, no more of them than is asked for, and not past their time."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lamington.core.errors import AwsError
from lamington.functions import log_entries, log_store
from metrics_world import NOON_MS, SCOPE, invoke, metrics_world, within

GROUP = "/aws/lambda/f"
DAY_S = 86_400


async def test_last_lines_are_read_without_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with metrics_world(tmp_path) as world:
        log = world.environment()
        for number in range(3000):
            invoke(log, 1.0, at_ms=NOON_MS + number * 2)
        world.telemetry.flush()
        rendered = 0
        real = log_entries.render_entry

        def counted(*arguments: Any) -> Any:
            nonlocal rendered
            rendered += 1
            return real(*arguments)

        monkeypatch.setattr(log_store, "render_entry", counted)
        page = world.logs.read_events(SCOPE, GROUP, limit=6, backwards=True)
        assert [event.message.split()[0] for event in page.events] == ["START", "END", "REPORT"] * 2
        assert rendered < 10
        late = NOON_MS + 2990 * 2
        assert len(world.logs.read_events(SCOPE, GROUP, start_ms=late).events) == 30
        assert rendered < 30


async def test_order_holds_where_the_platform_speaks_late(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        log = world.environment()
        record = {"phase": "init", "status": "timeout", "metrics": {"durationMs": 900.0}}
        log.platform(NOON_MS + 900, "platform.initReport", record)
        invoke(log, 1500.0, at_ms=NOON_MS)
        invoke(log, 1.0, at_ms=NOON_MS + 1500)
        forwards = world.logs.read_events(SCOPE, GROUP).events
        backwards = world.logs.read_events(SCOPE, GROUP, backwards=True).events
    assert forwards == backwards
    times = [event.timestamp_ms for event in forwards]
    assert times == sorted(times)
    assert [event.message.split()[0] for event in forwards][:2] == ["START", "INIT_REPORT"]


async def test_chunks_of_earlier_versions_stay_readable(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        world.logs.create_group(SCOPE, GROUP)
        world.logs.create_stream(SCOPE, GROUP, "s")
        world.logs.put_events(SCOPE, GROUP, "s", [(NOON_MS, "x")])
        older = (("$LATEST", 128, "JSON"), [(1, NOON_MS, "id-1", 3.0, 36_000, -1.0, b"", "")])
        world.store.database.execute(
            "UPDATE log_chunks SET body=?", (msgspec.msgpack.encode(older),)
        )
        read = [event.message for event in world.logs.read_events(SCOPE, GROUP).events]
    assert '"platform.start"' in read[0]
    assert '"status":"success"' in read[1]


async def test_events_end_with_their_retention(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        invoke(world.environment(), at_ms=NOON_MS)
        await world.call("logs:PutRetentionPolicy", logGroupName=GROUP, retentionInDays=1)
        assert len(world.logs.read_events(SCOPE, GROUP).events) == 3
        await world.clock.advance(DAY_S + 60)
        assert world.logs.read_events(SCOPE, GROUP).events == []
        invoke(world.environment(), at_ms=NOON_MS + (DAY_S + 60) * 1000)
        world.telemetry.flush()
        [chunks] = world.store.database.execute("SELECT count(*) FROM log_chunks").fetchone()
        assert chunks == 1
        await world.call("logs:DeleteRetentionPolicy", logGroupName=GROUP)
        assert len(world.logs.read_events(SCOPE, GROUP).events) == 3


async def test_older_forms_of_tagging_work(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        await world.call("logs:CreateLogGroup", logGroupName=GROUP)
        await world.call("logs:TagLogGroup", logGroupName=GROUP, tags={"a": "1", "b": "2"})
        await world.call("logs:UntagLogGroup", logGroupName=GROUP, tags=["a"])
        listed = await world.call("logs:ListTagsLogGroup", logGroupName=GROUP)
    assert listed == {"tags": {"b": "2"}}


# Live Tail


async def test_live_tail_gives_what_is_new_each_second(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        log = world.environment()
        invoke(log, output=b"before\n")
        world.telemetry.flush()
        answer = await world.call(
            "logs:StartLiveTail", logGroupIdentifiers=[GROUP], logEventFilterPattern="new"
        )
        stream = answer["responseStream"]
        start = (await anext(stream))["sessionStart"]
        assert start["logGroupIdentifiers"] == [GROUP]
        quiet = await within(world.clock, 1, stream)
        invoke(log, output=b"new line\nanother\n")
        update = await within(world.clock, 1, stream)
        await stream.aclose()
    assert quiet == {"sessionUpdate": {"sessionMetadata": {"sampled": False}, "sessionResults": []}}
    [event] = update["sessionUpdate"]["sessionResults"]
    assert (event["message"], event["logGroupIdentifier"]) == (
        "new line\n",
        f"111111111111:{GROUP}",
    )


async def test_live_tail_says_when_it_leaves_events_out(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        log = world.environment()
        world.logs.create_group(SCOPE, GROUP)
        answer = await world.call(
            "logs:StartLiveTail",
            logGroupIdentifiers=[GROUP],
            logStreamNamePrefixes=[log.stream_name[:10]],
        )
        stream = answer["responseStream"]
        await anext(stream)
        for _ in range(400):
            invoke(log)
        update = (await within(world.clock, 1, stream))["sessionUpdate"]
        await stream.aclose()
    assert update["sessionMetadata"] == {"sampled": True}
    assert len(update["sessionResults"]) == 500


@pytest.mark.parametrize(
    "params",
    [
        {"logGroupIdentifiers": []},
        {"logGroupIdentifiers": ["unknown"]},
        {"logGroupIdentifiers": [GROUP] * 11},
        {"logGroupIdentifiers": [GROUP], "logStreamNames": ["a"], "logStreamNamePrefixes": ["a"]},
        {"logGroupIdentifiers": [GROUP, GROUP], "logStreamNames": ["a"]},
        {"logGroupIdentifiers": [GROUP], "logEventFilterPattern": "{ $.x"},
    ],
)
async def test_live_tail_refuses(tmp_path: Path, params: dict[str, Any]) -> None:
    with metrics_world(tmp_path) as world:
        world.logs.create_group(SCOPE, GROUP)
        with pytest.raises(AwsError):
            await world.call("logs:StartLiveTail", **params)


# Queries


async def test_query_reads_several_groups(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as world:
        for name in ("f", "g"):
            log = world.environment(name)
            for number in range(1200):
                invoke(log, 1.0, at_ms=NOON_MS + number)
        seconds = NOON_MS // 1000
        started = await world.call(
            "logs:StartQuery",
            logGroupNames=["/aws/lambda/f", "/aws/lambda/g"],
            startTime=seconds - 10,
            endTime=seconds + 10,
            queryString='filter @type = "REPORT" | stats count(*) as n by @log | sort @log',
        )
        results = await asyncio.wait_for(
            world.call("logs:GetQueryResults", queryId=started["queryId"]), 10
        )
        described = await world.call("logs:DescribeQueries")
        stopped = await world.call("logs:StopQuery", queryId=started["queryId"])
    assert results["status"] == "Complete"
    assert [row[1]["value"] for row in results["results"]] == ["1200", "1200"]
    assert results["statistics"]["recordsScanned"] == 7200
    assert [each["status"] for each in described["queries"]] == ["Complete"]
    assert stopped == {"success": False}
