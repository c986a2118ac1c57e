"""Runtimes that others wrote run against the Runtime API: shell and curl, C, AWS's own client."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest

from api_world import LIMIT_S, ApiWorld, Invoked, RuntimeProcess, api_world, compile_c
from lamington.functions.link import ERROR, RESULT

C_SOURCE = Path(__file__).parents[1] / "programs" / "bootstrap.c"
SHELL = """\
set -eu
API="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
  HEADERS="$(mktemp)"
  EVENT="$(curl -sS -LD "$HEADERS" "$API/invocation/next")"
  ID="$(grep -Fi Lambda-Runtime-Aws-Request-Id "$HEADERS" | tr -d '[:space:]' | cut -d: -f2)"
  rm "$HEADERS"
  curl -sS -X POST "$API/invocation/$ID/response" -d "echo: $EVENT" > /dev/null
done
"""
PYTHON_MODULE = """\
import os
if os.environ.get("BREAK_INIT"):
    raise RuntimeError("broken")
def handler(event, context):
    if event == "fail":
        raise ValueError("no é")
    if event == "large":
        return "x" * 7_000_000
    return [event, context.aws_request_id, context.invoked_function_arn, context.function_name,
            context.client_context.custom if context.client_context else None,
            context.get_remaining_time_in_millis() > 0]
"""
FAR_MS = 4_000_000_000_000


@pytest.fixture(scope="module")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    program = tmp_path_factory.mktemp("c") / "bootstrap"
    compile_c(C_SOURCE, program, compiler)
    return program


async def started(world: ApiWorld, program: Path, **variables: str) -> RuntimeProcess:
    process = await world.start([str(program)], variables)
    assert world.link is not None
    assert await asyncio.wait_for(asyncio.shield(world.link.runtime.initialised), LIMIT_S) is None
    return process


async def invoked(world: ApiWorld, event: bytes, request_id: str = "id-1") -> tuple[int, bytes]:
    world.hand_over(Invoked(request_id=request_id, payload=event), FAR_MS)
    return await world.outcome()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
async def test_shell_bootstrap_answers() -> None:
    async with api_world() as world:
        await world.start(["/bin/sh", "-c", SHELL], {})
        for index in range(2):
            outcome = await invoked(world, b'{"n": %d}' % index, f"id-{index}")
            assert outcome == (RESULT, b'echo: {"n": %d}' % index)
            await world.settled()


async def test_c_bootstrap_answers_again_and_again(c_program: Path) -> None:
    async with api_world() as world:
        await started(world, c_program)
        for index in range(50):
            event = b'{"n":%d}' % index
            assert await invoked(world, event, f"id-{index}") == (RESULT, event)
            await world.settled()


async def test_c_bootstrap_takes_and_gives_the_largest_payload(c_program: Path) -> None:
    async with api_world() as world:
        await started(world, c_program)
        event = b"y" * 6_291_456
        assert await invoked(world, event) == (RESULT, event)


async def test_c_bootstrap_reports_errors(c_program: Path) -> None:
    async with api_world() as world:
        await started(world, c_program)
        assert await invoked(world, b'"fail"') == (
            ERROR,
            b'{"errorMessage":"asked to","errorType":"Asked"}',
        )
        await world.settled()
        assert await invoked(world, b"1", "id-2") == (RESULT, b"1")


async def test_c_bootstrap_survives_a_response_too_large(c_program: Path) -> None:
    async with api_world() as world:
        await started(world, c_program)
        kind, payload = await invoked(world, b'"large"')
        assert kind == ERROR
        assert json.loads(payload)["errorType"] == "Function.ResponseSizeTooLarge"
        await world.settled()
        assert await invoked(world, b"1", "id-2") == (RESULT, b"1")


async def test_c_bootstrap_cannot_answer_twice(c_program: Path) -> None:
    async with api_world() as world:
        process = await started(world, c_program)
        assert await invoked(world, b'"twice"') == (RESULT, b"1")
        await world.settled()
        assert process.said() == "403\n"


async def test_c_bootstrap_streams(c_program: Path) -> None:
    async with api_world() as world:
        await started(world, c_program)
        assert await invoked(world, b'"stream"') == (RESULT, b"")
        chunks = world.environment.chunks
        assert (chunks.get_nowait(), chunks.get_nowait()) == (b"one ", b"two")
        assert world.environment.streams == ["text/plain"]
        await world.settled()
        assert await invoked(world, b'"late"', "id-2") == (ERROR, b'{"errorType":"Late"}')


async def test_c_bootstrap_dies_in_its_stream(c_program: Path) -> None:
    async with api_world() as world:
        await started(world, c_program)
        kind, payload = await invoked(world, b'"cut"')
        assert kind == ERROR
        assert json.loads(payload)["errorType"] == "Runtime.TruncatedResponse"
        crash = await asyncio.wait_for(world.environment.crashes.get(), LIMIT_S)
        assert crash == "exit status 3"


async def test_c_bootstrap_exits_and_is_replaced(c_program: Path) -> None:
    async with api_world() as world:
        await started(world, c_program)
        world.hand_over(Invoked(payload=b'"exit"'))
        crash = await asyncio.wait_for(world.environment.crashes.get(), LIMIT_S)
        assert crash == "exit status 9"
        assert world.environment.outcomes.empty()
        world.begin()
        await started(world, c_program)
        assert await invoked(world, b"2", "id-2") == (RESULT, b"2")


async def test_c_bootstrap_that_is_closed_is_killed(c_program: Path) -> None:
    async with api_world() as world:
        process = await started(world, c_program)
        assert world.link is not None
        world.link.close()
        await process.finished()
        assert process.exit_text == "signal: killed"
        assert world.environment.crashes.empty()


async def test_c_bootstrap_fails_its_init(c_program: Path) -> None:
    async with api_world() as world:
        assert world.link is not None
        await world.start([str(c_program)], {"BREAK_INIT": "1"})
        failure = await asyncio.wait_for(asyncio.shield(world.link.runtime.initialised), LIMIT_S)
        assert failure is not None
        assert failure.error_type == "Runtime.BrokenInit"
        assert failure.posted == b'{"errorMessage":"asked to","errorType":"Asked"}'


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js on this machine")
async def test_node_streams_with_trailers() -> None:
    async with api_world() as world:
        await world.start(["node", str(C_SOURCE.with_name("streaming.js"))], {})
        assert await invoked(world, b'"hi"') == (RESULT, b"")
        assert world.environment.streams == ["application/vnd.awslambda.http-integration-response"]
        assert world.environment.chunks.get_nowait() == b"begun"
        await world.settled()
        assert await invoked(world, b'"late"', "id-2") == (ERROR, b'{"errorType":"Late"}')


async def test_process_that_exits_in_init_is_an_exit_error() -> None:
    async with api_world() as world:
        assert world.link is not None
        await world.start(["/bin/sh", "-c", "exit 7"], {})
        failure = await asyncio.wait_for(asyncio.shield(world.link.runtime.initialised), LIMIT_S)
        assert failure is not None
        assert failure.payload("id") == (
            b'{"errorType":"Runtime.ExitError",'
            b'"errorMessage":"RequestId: id Error: Runtime exited with error: exit status 7"}'
        )


async def start_ric(world: ApiWorld, root: Path, **variables: str) -> RuntimeProcess:
    """AWS's own runtime interface client for Python, as installed."""
    (root / "app.py").write_text(PYTHON_MODULE)
    return await world.start(
        [sys.executable, "-m", "awslambdaric", "app.handler"],
        {"PYTHONPATH": str(root), "AWS_LAMBDA_FUNCTION_NAME": "f", **variables},
    )


async def test_ric_for_python_answers(tmp_path: Path) -> None:
    async with api_world() as world:
        await start_ric(world, tmp_path)
        context = '{"custom": {"a": "é"}}'
        for index in range(3):
            told = Invoked(request_id=f"id-{index}", payload=b'"hi"', client_context=context)
            world.hand_over(told, FAR_MS)
            kind, payload = await world.outcome()
            assert kind == RESULT
            assert json.loads(payload) == [
                "hi",
                f"id-{index}",
                told.function_arn,
                "f",
                {"a": "é"},
                True,
            ]
            await world.settled()


async def test_ric_for_python_reports_an_exception(tmp_path: Path) -> None:
    async with api_world() as world:
        await start_ric(world, tmp_path)
        kind, payload = await invoked(world, b'"fail"')
        assert kind == ERROR
        error = json.loads(payload)
        assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no é")
        assert error["requestId"] == "id-1"
        await world.settled()
        assert (await invoked(world, b"1", "id-2"))[0] == RESULT


async def test_ric_for_python_reports_a_broken_init(tmp_path: Path) -> None:
    async with api_world() as world:
        assert world.link is not None
        process = await start_ric(world, tmp_path, BREAK_INIT="1")
        failure = await asyncio.wait_for(asyncio.shield(world.link.runtime.initialised), LIMIT_S)
        assert failure is not None
        assert failure.error_type == "Runtime.Unknown"
        error = json.loads(failure.posted)
        assert (error["errorType"], error["errorMessage"]) == ("RuntimeError", "broken")
        await process.finished()
        assert process.exit_text == "exit status 1"


async def test_ric_for_python_is_restored(tmp_path: Path) -> None:
    async with api_world(snap_start=True) as world:
        assert world.link is not None
        await start_ric(world, tmp_path, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")
        assert (
            await asyncio.wait_for(asyncio.shield(world.link.runtime.initialised), LIMIT_S) is None
        )
        assert await asyncio.wait_for(world.api.begin_restore(), LIMIT_S) is None
        assert (await invoked(world, b'"hi"'))[0] == RESULT


async def test_ric_for_python_gives_up_after_a_response_too_large(tmp_path: Path) -> None:
    """The caller has its answer; that the client ends by itself then is its own doing."""
    async with api_world() as world:
        process = await start_ric(world, tmp_path)
        kind, payload = await invoked(world, b'"large"')
        assert kind == ERROR
        assert json.loads(payload)["errorType"] == "Function.ResponseSizeTooLarge"
        crash = await asyncio.wait_for(world.environment.crashes.get(), LIMIT_S)
        assert crash == "exit status 1"
        assert "Http response code: 413" in process.said()
        assert world.environment.settlings.empty()
        world.begin()
        await start_ric(world, tmp_path)
        assert (await invoked(world, b'"hi"', "id-2"))[0] == RESULT


async def test_extension_of_another_process_sees_everything(c_program: Path) -> None:
    async with api_world() as world:
        initialised = world.begin(["watcher"])
        extension = await asyncio.create_subprocess_exec(
            sys.executable,
            str(C_SOURCE.with_name("extension.py")),
            env={"AWS_LAMBDA_RUNTIME_API": world.api.address},
            stdout=asyncio.subprocess.PIPE,
        )
        assert extension.stdout is not None
        await asyncio.wait_for(asyncio.shield(world.api.registered), LIMIT_S)
        await started(world, c_program)
        assert await asyncio.wait_for(initialised, LIMIT_S) is None
        assert await invoked(world, b"1") == (RESULT, b"1")
        await world.settled()
        world.api.publish_output("function", b"hello\n")
        world.api.publish("platform.report", {"requestId": "id-1"})
        ended = asyncio.ensure_future(world.api.shut_down("SPINDOWN", LIMIT_S))
        said, _ = await asyncio.wait_for(extension.communicate(), LIMIT_S)
        world.api.extension_exited("watcher", "")
        await asyncio.wait_for(ended, LIMIT_S)
    assert said.decode().splitlines() == [
        "INVOKE id-1",
        "SHUTDOWN SPINDOWN",
        "platform.telemetrySubscription platform.extension function platform.report",
    ]
