import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import SCOPE
from lamington.gateway.journal import ENTRIES_MAX, Sinks, stream_name
from observed_gateway import observed_gateway

API = {"ApiName": "small"}
STAGE = {**API, "Stage": "dev"}
METHOD = {**STAGE, "Method": "GET", "Resource": "/pets/{id}"}


async def test_request_is_counted_for_its_api_and_its_stage(tmp_path: Path) -> None:
    with observed_gateway(tmp_path) as world:
        await world.gateway.send("GET /pets/7")
        await world.gateway.send("GET /nowhere")
        for dimensions in (API, STAGE):
            assert world.values("Count", **dimensions).total == 2
            errors = world.values("4XXError", **dimensions)
            assert (errors.total, errors.average) == (1, 0.5)
            assert world.values("5XXError", **dimensions).total == 0
            assert world.values("Latency", **dimensions).count == 2
            assert world.values("IntegrationLatency", **dimensions).count == 1
        assert world.values("CacheHitCount", **API).count == 0


async def test_method_is_counted_only_with_detailed_metrics(tmp_path: Path) -> None:
    stage = {"method_settings": {"pets~1{id}/GET": {"metricsEnabled": True}}}
    with observed_gateway(tmp_path) as world:
        await world.gateway.send("GET /pets/7")
        assert world.values("Count", **METHOD).count == 0
    stage = {"method_settings": {"~1pets~1{id}/GET": {"metricsEnabled": True}}}
    with observed_gateway(tmp_path / "detailed", stage=stage) as world:
        await world.gateway.send("GET /pets/7")
        assert world.values("Count", **METHOD).total == 1


async def test_canary_has_logs_and_metrics_of_its_own(tmp_path: Path) -> None:
    group = SCOPE.arn("logs", "log-group:access")
    stage = {
        "access_log": {"destinationArn": group, "format": "$context.requestId"},
        "method_settings": {"*/*": {"loggingLevel": "INFO"}},
    }
    with observed_gateway(tmp_path, stage=stage) as world:
        world.gateway.plane.deploy(replace(world.gateway.program, is_canary="true"))
        await world.gateway.send("GET /pets/7")
        assert world.values("Count", ApiName="small", Stage="dev/Canary").total == 1
        assert world.values("Count", **STAGE).count == 0
        groups = [each.name for each in world.logs.groups(SCOPE)]
    assert groups == ["API-Gateway-Execution-Logs_abc123/dev/Canary", "access/Canary"]


async def test_timer_runs_only_while_an_entry_waits(tmp_path: Path) -> None:
    def timers() -> int:
        loop: Any = asyncio.get_running_loop()
        return len([each for each in loop._scheduled if not each.cancelled()])

    with observed_gateway(tmp_path) as world:
        before = timers()
        await world.gateway.send("GET /pets/7")
        assert timers() > before
        world.journal.flush()
        assert timers() == before


async def test_backlog_is_bounded(tmp_path: Path) -> None:
    with observed_gateway(tmp_path) as world:
        written = 0

        class Counted:
            def write(self, sinks: Sinks) -> None:
                nonlocal written
                written += 1

        for _ in range(ENTRIES_MAX + 1):
            world.journal.add(Counted())
        assert written > 0
        world.journal.flush()
        assert written == ENTRIES_MAX + 1


async def test_any_api_counts_by_the_dimensions_it_names(tmp_path: Path) -> None:
    with observed_gateway(tmp_path) as world:
        at_ms = int(world.gateway.clock.now().timestamp() * 1000)

        class Message:
            def write(self, sinks: Sinks) -> None:
                dimensions = (("Stage", "dev"), ("ApiId", "a"))
                sinks.count(SCOPE, "MessageCount", dimensions, at_ms, "Count", 1)
                sinks.log(SCOPE, "group", "stream", at_ms, "a line")

        world.journal.add(Message())
        world.journal.add(Message())
        assert world.values("MessageCount", ApiId="a", Stage="dev").total == 2
        assert world.lines("group") == ["a line", "a line"]


@pytest.mark.parametrize("group", ["a", "b", "API-Gateway-Execution-Logs_abc123/dev"])
def test_stream_is_one_of_three_hundred(group: str) -> None:
    assert len(stream_name(group)) == 32
    assert stream_name(group) == stream_name(group)
