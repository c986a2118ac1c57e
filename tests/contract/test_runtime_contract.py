"""One suite for every runtime: what a caller and a log reader see, whatever the language."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from function_world import FunctionWorld, eventually, function_world
from lamington.functions.invoke import Invocation, InvocationResult
from runtime_programs import IDENTIFIERS, compiled, is_installed

RUNTIMES = ("python", "node", "java", "provided")
HANDLERS = {"java": "App::handler", "provided": "anything"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The deployment package of each runtime's program, compiled once."""
    return {
        runtime: compiled(runtime, tmp_path_factory.mktemp(runtime))
        for runtime in RUNTIMES
        if is_installed(runtime)
    }


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not is_installed(name):
        pytest.skip(f"{name} has no compiler or interpreter on this machine")
    return name


@asynccontextmanager
async def deployed(
    tmp_path: Path, packages: dict[str, bytes], runtime: str, **members: Any
) -> AsyncIterator[tuple[FunctionWorld, str]]:
    """A world with the runtime's program as its function."""
    async with function_world(tmp_path) as world:
        arn = world.deploy(
            packages[runtime],
            **{
                "runtime": IDENTIFIERS[runtime],
                "handler": HANDLERS.get(runtime, "app.handler"),
                "memory_size_mb": 256,
                "timeout_s": 10,
                **members,
            },
        )
        yield world, arn


def error_of(result: InvocationResult) -> dict[str, Any]:
    assert result.function_error == "Unhandled"
    error: dict[str, Any] = json.loads(result.payload)
    return error


async def test_success_is_the_payload_as_it_is(
    tmp_path: Path, packages: dict[str, bytes], runtime: str
) -> None:
    async with deployed(tmp_path, packages, runtime) as (world, arn):
        for number in range(3):
            result = await world.invoke(arn, {"number": number, "text": "é☃"})
            assert result.function_error == ""
            assert json.loads(result.payload) == {"number": number, "text": "é☃"}


async def test_a_handled_error_leaves_the_process_as_it_is(
    tmp_path: Path, packages: dict[str, bytes], runtime: str
) -> None:
    async with deployed(tmp_path, packages, runtime) as (world, arn):
        await world.answer(arn, {"do": "count"})
        error = error_of(await world.invoke(arn, {"do": "fail"}))
        assert error["errorMessage"] == "asked to fail"
        assert await world.answer(arn, {"do": "count"}) == 3
        report = [line for line in world.messages() if line.startswith("REPORT")][1]
        assert "Status" not in report


async def test_a_crash_is_told_and_the_next_invocation_starts_anew(
    tmp_path: Path, packages: dict[str, bytes], runtime: str
) -> None:
    async with deployed(tmp_path, packages, runtime) as (world, arn):
        await world.answer(arn, {"do": "leave"})
        result = await world.invoke(arn, {"do": "exit"}, request_id="r-1")
        assert error_of(result) == {
            "errorType": "Runtime.ExitError",
            "errorMessage": "RequestId: r-1 Error: Runtime exited with error: exit status 7",
        }
        assert await world.answer(arn, {"do": "count"}) == 1
        assert await world.answer(arn, {"do": "find"}) is True
        report = [line for line in world.messages() if line.startswith("REPORT RequestId: r-1")]
        assert report[0].endswith("\tStatus: error\tError Type: Runtime.ExitError\n")


async def test_a_timeout_ends_the_process_and_keeps_its_files(
    tmp_path: Path, packages: dict[str, bytes], runtime: str
) -> None:
    async with deployed(tmp_path, packages, runtime, timeout_s=1) as (world, arn):
        await world.answer(arn, {"do": "leave"})
        result = await world.invoke(arn, {"do": "hang"}, request_id="r-1")
        assert error_of(result) == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": "RequestId: r-1 Error: Task timed out after 1.00 seconds",
        }
        assert await world.answer(arn, {"do": "count"}) == 1
        assert await world.answer(arn, {"do": "find"}) is True
        lines = world.messages()
        assert any(line.endswith(" r-1 Task timed out after 1.00 seconds\n\n") for line in lines)
        report = next(line for line in lines if line.startswith("REPORT RequestId: r-1"))
        assert "\tDuration: 1000.00 ms\tBilled Duration: 1" in report
        assert report.endswith("\tStatus: timeout\n")


async def test_memory_beyond_the_limit_ends_the_process(
    tmp_path: Path, packages: dict[str, bytes], runtime: str
) -> None:
    async with deployed(tmp_path, packages, runtime) as (world, arn):
        result = await world.invoke(arn, {"do": "hog"}, request_id="r-1")
        error = error_of(result)
        report = [line for line in world.messages() if line.startswith("REPORT RequestId: r-1")]
        if runtime == "java":
            # The heap is bounded below the limit: the JVM says so itself.
            assert error["errorType"] == "java.lang.OutOfMemoryError"
            return
        assert error == {
            "errorType": "Runtime.ExitError",
            "errorMessage": "RequestId: r-1 Error: Runtime exited with error: signal: killed",
        }
        assert "\tMax Memory Used: 256 MB\t" in report[0]
        assert await world.answer(arn, {"do": "count"}) == 1


@pytest.mark.parametrize("way", ["fail", "exit"])
async def test_an_init_that_fails_is_tried_again_and_then_told(
    tmp_path: Path, packages: dict[str, bytes], runtime: str, way: str
) -> None:
    members = {"environment": {"INIT": way}}
    async with deployed(tmp_path, packages, runtime, **members) as (world, arn):
        error = error_of(await world.invoke(arn, request_id="r-1"))
        lines = world.messages()
        if way == "exit":
            assert error == {
                "errorType": "Runtime.ExitError",
                "errorMessage": "RequestId: r-1 Error: Runtime exited with error: exit status 7",
            }
        else:
            assert "no init" in error["errorMessage"] or runtime == "java"
        phases = [line.split("\t")[1] for line in lines if line.startswith("INIT_REPORT")]
        assert phases == ["Phase: init", "Phase: invoke"] or (
            # A class that cannot be initialised shows at the first invocation.
            runtime == "java" and way == "fail" and phases == []
        )


async def test_a_large_payload_comes_back_whole(
    tmp_path: Path, packages: dict[str, bytes], runtime: str
) -> None:
    async with deployed(tmp_path, packages, runtime, memory_size_mb=512) as (world, arn):
        size = 6 * 1024 * 1024 - 2
        result = await world.invoke(arn, {"do": "big", "size": size})
        assert (result.function_error, len(result.payload)) == ("", size + 2)


async def test_a_payload_beyond_the_limit_is_refused_and_the_environment_kept(
    tmp_path: Path, packages: dict[str, bytes], runtime: str
) -> None:
    async with deployed(tmp_path, packages, runtime, memory_size_mb=512) as (world, arn):
        result = await world.invoke(arn, {"do": "big", "size": 6_291_556})
        assert error_of(result) == {
            "errorMessage": "Response payload size exceeded maximum allowed payload size"
            " (6291556 bytes).",
            "errorType": "Function.ResponseSizeTooLarge",
        }
        assert await world.answer(arn, {"do": "count"}) == 2


async def test_each_line_written_is_one_event_between_start_and_end(
    tmp_path: Path, packages: dict[str, bytes], runtime: str
) -> None:
    async with deployed(tmp_path, packages, runtime) as (world, arn):
        await world.invoke(arn, {"do": "print"}, request_id="r-1")
        # A runtime that speaks the Runtime API has answered before it is free.
        await eventually(lambda: "END RequestId: r-1\n" in world.messages())
        lines = world.messages()
        first = lines.index("START RequestId: r-1 Version: $LATEST\n")
        # Node.js puts time, request id and level before each line, as on AWS.
        shown = [line.split("\t")[-1] for line in lines[first + 1 : first + 4]]
        assert shown == ["first line\n", "second line\n", "END RequestId: r-1\n"]
        assert lines[-1].startswith("REPORT RequestId: r-1\tDuration: ")


async def test_json_logs_have_platform_events(
    tmp_path: Path, packages: dict[str, bytes], runtime: str
) -> None:
    members = {"log_format": "JSON", "settings": {"LoggingConfig": {"SystemLogLevel": "INFO"}}}
    async with deployed(tmp_path, packages, runtime, **members) as (world, arn):
        await world.invoke(arn, {"do": "print"}, request_id="r-1")
        await eventually(lambda: any("platform.report" in line for line in world.messages()))
        events = [json.loads(line) for line in world.messages() if line.startswith("{")]
        kinds = [event["type"] for event in events if "type" in event]
        assert kinds == ["platform.initStart", "platform.start", "platform.report"]
        assert events[-1]["record"]["status"] == "success"
        assert events[-1]["record"]["metrics"]["memorySizeMB"] == 256


@pytest.mark.parametrize("runtime", ["node", "provided"])
class TestStreaming:
    """Where the runtime can stream."""

    def event(self, **members: Any) -> dict[str, Any]:
        return {"do": "stream", "pieces": 3, **members}

    async def test_pieces_come_as_they_are_written(
        self, tmp_path: Path, packages: dict[str, bytes], runtime: str
    ) -> None:
        async with self._deployed(tmp_path, packages, runtime) as (world, arn):
            result = await world.invoker.invoke_streamed(
                Invocation(function_arn=arn, payload=json.dumps(self.event()).encode())
            )
            assert result.content_type == "text/plain"
            pieces = [piece async for piece in result.chunks()]
            assert b"".join(pieces) == b"piece 0\npiece 1\npiece 2\n"
            assert (result.function_error, result.executed_version) == ("", "$LATEST")

    async def test_an_ordinary_invocation_gets_the_whole(
        self, tmp_path: Path, packages: dict[str, bytes], runtime: str
    ) -> None:
        async with self._deployed(tmp_path, packages, runtime) as (world, arn):
            result = await world.invoke(arn, self.event())
            assert result.payload == b"piece 0\npiece 1\npiece 2\n"

    async def test_an_error_in_mid_stream_is_told_after_the_pieces(
        self, tmp_path: Path, packages: dict[str, bytes], runtime: str
    ) -> None:
        async with self._deployed(tmp_path, packages, runtime) as (world, arn):
            event = json.dumps(self.event(fail=True)).encode()
            result = await world.invoker.invoke_streamed(
                Invocation(function_arn=arn, payload=event)
            )
            pieces = [piece async for piece in result.chunks()]
            assert b"".join(pieces) == b"piece 0\npiece 1\npiece 2\n"
            assert result.function_error == "Unhandled"
            assert json.loads(result.error_payload)["errorMessage"] == "asked to fail"

    def _deployed(self, tmp_path: Path, packages: dict[str, bytes], runtime: str) -> Any:
        members = {"handler": "streaming.handler"} if runtime == "node" else {}
        return deployed(tmp_path, packages, runtime, **members)
