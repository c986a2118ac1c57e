"""SnapStart: environments that come from one initialised process, with real processes."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from function_world import (
    SCOPE,
    FunctionWorld,
    archive,
    eventually,
    function_world,
    processes_of,
)
from java_world import java_world
from lamington.core.errors import AwsError
from lamington.functions.entities import SnapStartException, SnapStartTimeoutException
from lamington.functions.link import InitFailure

SNAP_START = {"SnapStart": {"ApplyOn": "PublishedVersions"}}

HEAD = """
import os, random, sys, threading, time, uuid
import snapshot_restore_py as hooks
IDENTITY = uuid.uuid4().hex
DONE = ["init"]
"""

HANDLER = """
def handler(event, context):
    scope = dict(globals(), context=context)
    time.sleep(event.get("sleep_s", 0))
    exec(event.get("code", ""), scope)
    return scope.get("answer", [IDENTITY, DONE])
"""


@asynccontextmanager
async def snapped(
    directory: Path, code: str = "", *, published: bool = True, **members: Any
) -> AsyncIterator[tuple[FunctionWorld, str]]:
    """A world with version 1 of a function that has SnapStart."""
    settings = {
        name: members.pop(name)
        for name in ("isolation", "init_timeout_s", "environments_max")
        if name in members
    }
    async with function_world(directory, **settings) as world:
        arn = world.python(
            HEAD + code + HANDLER, **{"version": "1", "settings": SNAP_START, **members}
        )
        if published:
            assert await publish(world) is None
        yield world, arn


async def publish(world: FunctionWorld) -> InitFailure | None:
    return await world.invoker.prepare_snapshot(world.versions.rows["f"], SCOPE)


async def together(world: FunctionWorld, arn: str, count: int, code: str = "") -> list[Any]:
    """What so many environments answer that are at work at the same time."""
    event = {"sleep_s": 0.3, "code": code}
    return list(await asyncio.gather(*(world.answer(arn, event) for _ in range(count))))


def log(world: FunctionWorld) -> list[str]:
    return [line.split("\t")[0].strip() for line in world.messages()]


@pytest.mark.parametrize("isolation", ["auto", "process"])
async def test_one_init_serves_many_environments(tmp_path: Path, isolation: str) -> None:
    async with snapped(tmp_path, isolation=isolation) as (world, arn):
        answers = await together(world, arn, 4, "answer = [IDENTITY, os.getpid()]")
        assert len({identity for identity, _ in answers}) == 1
        assert len({pid for _, pid in answers}) == 4
        assert sum(line.startswith("INIT_START") for line in world.messages()) == 1


async def test_environments_differ_in_what_is_random_and_in_their_log_stream(
    tmp_path: Path,
) -> None:
    code = (
        "name = os.environ['AWS_LAMBDA_LOG_STREAM_NAME']\n"
        "answer = [random.random(), name, context.log_stream_name]"
    )
    async with snapped(tmp_path) as (world, arn):
        answers = await together(world, arn, 3, code)
        assert len({number for number, _, _ in answers}) == 3
        assert len({name for _, name, _ in answers}) == 3
        assert all(name == told for _, name, told in answers)


async def test_what_one_environment_keeps_no_other_sees(tmp_path: Path) -> None:
    code = "DONE.append(os.getpid()); answer = DONE"
    async with snapped(tmp_path) as (world, arn):
        answers = await together(world, arn, 3, code)
        assert [len(each) for each in answers] == [2, 2, 2]


HOOKS = """
for name in ("one", "two"):
    hooks.register_before_snapshot(lambda name: DONE.append("before " + name), name)

@hooks.register_after_restore
def first():
    global IDENTITY
    IDENTITY = uuid.uuid4().hex
    DONE.append("after")

hooks.register_after_restore(lambda *, what: DONE.append(what), what="after all")
"""


async def test_hooks_run_once_each_and_in_their_orders(tmp_path: Path) -> None:
    async with snapped(tmp_path, HOOKS) as (world, arn):
        answers = await together(world, arn, 3)
        assert [done for _, done in answers] == [
            ["init", "before two", "before one", "after", "after all"]
        ] * 3
        assert len({identity for identity, _ in answers}) == 3
        again = await world.answer(arn)
        assert again[1] == answers[0][1]


async def test_log_tells_of_init_and_restores(tmp_path: Path) -> None:
    async with snapped(tmp_path, "print('loading')\n") as (world, arn):
        await world.answer(arn, {}, request_id="r-1")
        await world.answer(arn, {}, request_id="r-2")
        lines = world.messages()
        assert [line.split(" ")[0].strip() for line in lines] == [
            *("INIT_START", "loading", "INIT_REPORT", "RESTORE_START", "RESTORE_REPORT"),
            *("START", "END", "REPORT", "START", "END", "REPORT"),
        ]
        assert lines[2].endswith(" ms\tPhase: init\n")
        assert lines[4].startswith("RESTORE_REPORT Restore Duration: ")
        assert "\tRestore Duration: " in lines[7]
        assert "\tBilled Restore Duration: " in lines[7]
        assert "Restore" not in lines[10]


async def test_failing_hook_before_the_snapshot_fails_the_version(tmp_path: Path) -> None:
    code = "@hooks.register_before_snapshot\ndef no(): raise ValueError('not ready')\n"
    async with snapped(tmp_path, code, published=False) as (world, _):
        failure = await publish(world)
        assert failure is not None
        assert (failure.error_type, failure.outcome) == ("ValueError", "error")
        assert json.loads(failure.posted)["errorMessage"] == "not ready"
        assert any(line.startswith("[ERROR] ValueError: not ready") for line in world.messages())


async def refusal(world: FunctionWorld, arn: str) -> AwsError:
    with pytest.raises(AwsError) as caught:
        await world.invoke(arn)
    return caught.value


async def test_failing_hook_after_the_restore_refuses_the_invocation(tmp_path: Path) -> None:
    code = (
        "MARK = os.environ.get('TMPDIR', '/tmp') + '/well'\n"
        "@hooks.register_after_restore\n"
        "def no():\n"
        "    if not os.path.exists(MARK):\n"
        "        open(MARK, 'w').close()\n"
        "        raise ValueError('no network')\n"
    )
    async with snapped(tmp_path, code) as (world, arn):
        error = await refusal(world, arn)
        assert isinstance(error, SnapStartException)
        assert error.status == 400
        assert "Status: error\tError Type: ValueError" in "".join(world.messages())
        assert (await world.answer(arn))[1] == ["init"]


async def test_restore_that_takes_too_long_refuses_the_invocation(tmp_path: Path) -> None:
    code = "hooks.register_after_restore(time.sleep, 60)\n"
    async with snapped(tmp_path, code, init_timeout_s=0.3) as (world, arn):
        error = await refusal(world, arn)
        assert isinstance(error, SnapStartTimeoutException)
        assert error.status == 408
        assert any(
            line.startswith("RESTORE_REPORT") and line.endswith("Status: timeout\n")
            for line in world.messages()
        )


async def test_crash_ends_one_environment_only(tmp_path: Path) -> None:
    async with snapped(tmp_path) as (world, arn):
        slow = asyncio.ensure_future(world.answer(arn, {"sleep_s": 0.6}))
        await asyncio.sleep(0.2)
        crashed = await world.answer(arn, {"code": "os._exit(7)"})
        assert crashed["errorMessage"].endswith("exit status 7")
        restored = await world.answer(arn)
        assert restored == await slow


async def test_timeout_ends_one_environment_with_what_it_has_started(tmp_path: Path) -> None:
    code = "import subprocess; subprocess.Popen(['sleep', '77']); time.sleep(9)"
    async with snapped(tmp_path, timeout_s=1) as (world, arn):
        slow = asyncio.ensure_future(world.invoke(arn, {"code": code}))
        await asyncio.sleep(0.7)
        other = asyncio.ensure_future(world.answer(arn, {"sleep_s": 0.8}))
        assert json.loads((await slow).payload)["errorType"] == "Sandbox.Timedout"
        assert (await other)[1] == ["init"]
        code = (
            "names = [each for each in os.listdir('/proc') if each.isdigit()]\n"
            "answer = [open(f'/proc/{each}/cmdline').read() for each in names]"
        )
        commands = await world.answer(arn, {"code": code})
        assert not any("77" in each for each in commands)


async def test_memory_beyond_the_limit_ends_one_environment_only(tmp_path: Path) -> None:
    async with snapped(tmp_path) as (world, arn):
        slow = asyncio.ensure_future(world.answer(arn, {"sleep_s": 1.5}))
        await asyncio.sleep(0.2)
        code = "kept = b'x' * (300 << 20); time.sleep(2)"
        error = await world.answer(arn, {"code": code})
        assert error["errorMessage"].endswith("signal: killed")
        assert (await slow)[1] == ["init"]
        report = [each for each in world.messages() if each.startswith("REPORT")]
        assert any("Max Memory Used: 128 MB" in each for each in report)


async def test_environments_have_memory_enough_for_each(tmp_path: Path) -> None:
    async with snapped(tmp_path) as (world, arn):
        code = "kept = b'x' * (60 << 20); answer = len(kept)"
        assert await together(world, arn, 4, code) == [60 << 20] * 4


async def test_dead_template_is_made_anew_and_its_environments_go_on(tmp_path: Path) -> None:
    async with snapped(tmp_path, isolation="process") as (world, arn):
        code = "answer = [IDENTITY, os.getpid()]"
        before = await world.answer(arn, {"code": code})
        (snapshot,) = world.invoker._snapshots._all.values()
        template = await snapshot.template()
        assert template is not None
        assert not isinstance(template, InitFailure)
        assert template.link is not None
        os.kill(template.link.runtime.process.pid, signal.SIGKILL)
        await eventually(lambda: not snapshot.is_ready)
        old = asyncio.ensure_future(world.answer(arn, {"sleep_s": 1.5, "code": code}))
        await asyncio.sleep(0)
        new = await world.answer(arn, {"code": code})
        assert await old == before
        assert new[0] != before[0]


async def test_engine_that_starts_anew_makes_the_snapshot_when_it_is_needed(
    tmp_path: Path,
) -> None:
    async with snapped(tmp_path, published=False) as (world, arn):
        assert len({each[0] for each in await together(world, arn, 3)}) == 1


async def test_frozen_environment_goes_on(tmp_path: Path) -> None:
    async with snapped(tmp_path) as (world, arn):
        before = await world.answer(arn)
        await asyncio.sleep(0.2)
        assert await world.answer(arn) == before


async def test_event_loop_of_the_init_is_each_environments_own(tmp_path: Path) -> None:
    code = "import asyncio\nLOOP = asyncio.new_event_loop()\n"
    event = (
        "async def work():\n"
        "    return await asyncio.gather(*(LOOP.run_in_executor(None, time.sleep, 0.02)"
        " for _ in range(8)))\n"
        "for _ in range(5): LOOP.run_until_complete(work())\n"
        "answer = 'done'"
    )
    async with snapped(tmp_path, code, timeout_s=5) as (world, arn):
        assert await together(world, arn, 4, event) == ["done"] * 4


async def test_open_files_have_places_of_their_own(tmp_path: Path) -> None:
    code = "FILE = open(__file__, 'rb', 0); FILE.seek(5)\n"
    async with snapped(tmp_path, code) as (world, arn):
        answers = await together(world, arn, 3, "answer = [FILE.tell(), len(FILE.read(7))]")
        assert answers == [[5, 7]] * 3


async def test_connections_do_not_outlive_the_snapshot(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\nMINE = socket.create_connection(('127.0.0.1', {port}))\n"
        async with snapped(tmp_path, code) as (world, arn):
            assert await world.answer(arn, {"code": "answer = len(MINE.recv(1))"}) == 0


async def test_process_with_threads_is_initialised_ahead(tmp_path: Path) -> None:
    code = HOOKS + "threading.Thread(target=time.sleep, args=(999,), daemon=True).start()\n"
    async with snapped(tmp_path, code) as (world, arn):
        first = await world.answer(arn, {"code": "answer = [DONE, threading.active_count()]"})
        assert first == [["init", "before two", "before one", "after", "after all"], 2]
        assert "Restore Duration" in "".join(world.messages())
        identities = {identity for identity, _ in await together(world, arn, 3)}
        assert len(identities) == 3


async def test_credentials_come_from_the_container_endpoint(tmp_path: Path) -> None:
    code = (
        "import boto3\n"
        "found = boto3.Session().get_credentials()\n"
        "answer = [found.method, found.access_key, 'AWS_ACCESS_KEY_ID' in os.environ,"
        " os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']]"
    )
    async with snapped(tmp_path, timeout_s=20, memory_size_mb=256) as (world, arn):
        answer = await world.answer(arn, {"code": code})
        assert answer == ["container-role", "111111111111", False, "snap-start"]


async def test_deleted_version_leaves_nothing_behind(tmp_path: Path) -> None:
    async with snapped(tmp_path) as (world, arn):
        await together(world, arn, 2)
        del world.versions.rows["f"]
        world.invoker.forget("f", SCOPE)
        launcher = world.invoker.launcher
        spares = 1
        await eventually(lambda: len(launcher._sandboxes) <= spares)


async def test_java_is_initialised_ahead_and_restored_when_it_is_needed(tmp_path: Path) -> None:
    world = java_world()
    files = {
        str(each.relative_to(world.full)): each.read_bytes()
        for each in world.full.rglob("*")
        if each.is_file()
    }
    async with function_world(tmp_path) as functions:
        arn = functions.deploy(
            zipped(files),
            runtime="java21",
            handler="example.Hooks::handle",
            memory_size_mb=512,
            timeout_s=20,
            version="1",
            settings=SNAP_START,
        )
        assert await publish(functions) is None
        assert "afterRestore" not in "".join(functions.messages())
        assert await functions.answer(arn) == "hooked 2"
        hooks = [line.strip() for line in functions.messages() if "two" in line or "one" in line]
        assert hooks[:4] == [
            *("beforeCheckpoint two", "beforeCheckpoint one"),
            *("afterRestore one", "afterRestore two"),
        ]
        report = next(each for each in functions.messages() if each.startswith("REPORT"))
        assert "\tRestore Duration: " in report


def zipped(files: dict[str, bytes]) -> bytes:
    return archive(files)  # type: ignore[arg-type]  # bytes do as well


async def test_engine_that_stops_does_not_wait_for_an_init(tmp_path: Path) -> None:
    began = time.monotonic()
    async with snapped(tmp_path, "time.sleep(60)\n", published=False) as (world, arn):
        publishing = asyncio.ensure_future(publish(world))
        invoking = asyncio.ensure_future(world.invoke(arn))
        await asyncio.sleep(0.3)
    await asyncio.wait([publishing, invoking])
    assert time.monotonic() - began < 10
    assert not processes_of(tmp_path)
    assert publishing.cancelled() or publishing.result() is not None
    assert isinstance(invoking.exception(), AwsError)
