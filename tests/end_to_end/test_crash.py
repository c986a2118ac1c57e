"""`kill -9` of a real engine: what was answered is there, and no stack is half there.

`contract/test_every_commit.py` stops an engine after every commit; here the process itself is
killed, at moments that nobody chose.
"""

import asyncio
import contextlib
import functools
import json
import re
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import HTTPClientError

from crash_world import (
    FIRST,
    SECOND,
    contents,
    existing,
    failing,
    require_as_recorded,
)
from killable_engine import (
    KillableEngine,
    killable,
    make_function,
    wait_until_active,
)
from processes import LAMINGTON, free_port, processes_in, up, wait_until


class Watch:
    """Reads a running engine's database beside it, and kills it after so many stack events."""

    def __init__(self, data: Path, kill: Callable[[], None]) -> None:
        self._kill = kill
        path = data / "state" / "engine.db"
        self._database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *failure: object) -> None:
        self._database.close()

    def kill_after(self, events: int, begin: Callable[[], None]) -> str:
        """The status of the only stack, "" for none, in which the kill found it on disk."""
        wanted = self._events() + events
        killer = threading.Thread(target=self._kill_at, args=(wanted,))
        killer.start()
        # The engine may be gone before it answers.
        with contextlib.suppress(HTTPClientError):
            begin()
        killer.join()
        rows = self._database.execute("SELECT row FROM stacks WHERE key LIKE '%\x1flive'")
        return "".join(str(json.loads(row)["status"]) for (row,) in rows)

    def _kill_at(self, wanted: int) -> None:
        deadline = time.monotonic() + 3
        while self._events() < wanted and time.monotonic() < deadline:
            pass
        self._kill()

    def _events(self) -> int:
        [[count]] = self._database.execute("SELECT count(*) FROM stack_events")
        return int(count)


MOMENTS = (
    *(("CreateStack", FIRST, each) for each in (1, 4, 10, 25, 40, 55)),
    *(("CreateStack", failing(FIRST), each) for each in (50, 70)),
    *(("UpdateStack", SECOND, each) for each in (1, 5, 15, 25, 40)),
    *(("UpdateStack", failing(SECOND), each) for each in (30, 50, 60)),
    *(("DeleteStack", {}, each) for each in (1, 10, 25)),
)
"""What is under way, and the number of its events after which the engine is killed."""

ENDS = {
    "CreateStack": {"CREATE_COMPLETE", "ROLLBACK_COMPLETE"},
    "UpdateStack": {"UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"},
    "DeleteStack": {""},
}


def test_a_stack_whose_engine_is_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    with killable(tmp_path) as engine:
        expected: dict[str, Any] = {}
        cut_off = 0
        for name, operation, resources in (
            ("first", "CreateStack", FIRST),
            ("second", "UpdateStack", SECOND),
        ):
            engine.begin(operation, resources)
            engine.ended()
            expected[name] = asyncio.run(contents(engine.call))
        for operation, resources, events in MOMENTS:
            _bring_to_start(engine, operation)
            with Watch(engine.data, engine.kill) as watch:
                begin = functools.partial(engine.begin, operation, resources)
                found = watch.kill_after(events, begin)
            cut_off += found.endswith("IN_PROGRESS")
            engine.start()
            ended = engine.ended()
            assert ended in ENDS[operation], (operation, events, ended)
            if ended in ("", "ROLLBACK_COMPLETE"):
                assert asyncio.run(existing(engine.call)) == []
                continue
            asyncio.run(require_as_recorded(engine.call))
            name = "second" if ended == "UPDATE_COMPLETE" else "first"
            assert asyncio.run(contents(engine.call)) == expected[name]
        _bring_to_start(engine, "CreateStack")
        assert asyncio.run(existing(engine.call)) == []
        print(f"{cut_off} of {len(MOMENTS)} kills cut an operation off")
        assert cut_off >= len(MOMENTS) / 4, "the kills come too late"


def _bring_to_start(engine: KillableEngine, operation: str) -> None:
    """No stack before a create; the first template's before an update or a delete."""
    if engine.ended():
        engine.begin("DeleteStack", {})
        assert engine.ended() == ""
    if operation != "CreateStack":
        engine.begin("CreateStack", FIRST)
        assert engine.ended() == "CREATE_COMPLETE"


def test_up_that_is_killed_as_it_raises_its_service_serves_when_started_again(
    example: Callable[[str], Path],
) -> None:
    root = example("hello")
    source = root / "functions" / "hello" / "index.js"
    with up(root):
        pass
    for number, events in enumerate((1, 3, 5, 7)):
        source.write_text(f"exports.handler = async () => 'Hello, {number}!';\n")
        process: list[subprocess.Popen[bytes]] = []
        with Watch(root / ".lamington", lambda: _kill(process)) as watch:  # noqa: B023
            watch.kill_after(events, lambda: process.append(_begin_up(root)))  # noqa: B023
        with up(root) as running:
            answer = json.loads(running.get("/hello"))
            assert answer == f"Hello, {number}!"


def _begin_up(root: Path) -> "subprocess.Popen[bytes]":
    ports = ["--port", str(free_port()), "--aws-port", str(free_port())]
    return subprocess.Popen(
        [LAMINGTON, "up", ".", *ports],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _kill(processes: list["subprocess.Popen[bytes]"]) -> None:
    [process] = processes
    process.kill()
    process.wait(10)


def test_what_was_answered_is_there(tmp_path: Path) -> None:
    """Each round ends right after an answer, while a request is perhaps under way."""
    with killable(tmp_path) as engine:
        for number in range(4):
            make_function(engine, f"f{number}", f"def handler(e, c): return {number}")
            engine.kill()
            engine.start()
            for each in range(number + 1):
                # The kill came while it was made: the start has to finish it.
                wait_until_active(engine, f"f{each}")
                answer = engine.client("lambda").invoke(FunctionName=f"f{each}")
                assert json.load(answer["Payload"]) == each


def test_logs_are_there_after_a_flush(tmp_path: Path) -> None:
    with killable(tmp_path) as engine:
        make_function(engine, "f", "def handler(e, c): print('said')")
        wait_until_active(engine, "f")
        engine.client("lambda").invoke(FunctionName="f")
        time.sleep(0.5)
        engine.kill()
        engine.start()
        found = engine.client("logs").filter_log_events(logGroupName="/aws/lambda/f")
        assert [event["message"] for event in found["events"]].count("said\n") == 1


def test_what_a_killed_engine_ran_is_ended_and_cleared_away(tmp_path: Path) -> None:
    stubborn = (
        "import os, subprocess, time\n"
        "def handler(event, context):\n"
        "    subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "    time.sleep(60)\n"
    )
    with killable(tmp_path) as engine:
        make_function(engine, "f", stubborn)
        wait_until_active(engine, "f")
        engine.client("lambda").invoke(FunctionName="f", InvocationType="Event")
        environments = engine.data / "environments"
        wait_until(lambda: _runs_in(engine.data, "sleep"), "the function did not start")
        state = engine.data / "state"
        left = set(environments.iterdir())
        running = set(processes_in(engine.data))
        engine.kill()
        (state / "blobs" / "half.1-2.partial").write_bytes(b"half")
        (state / "tasks" / ".partial-x").mkdir()
        engine.start()
        # The event was accepted, so that the function runs again, in another environment.
        wait_until(lambda: _runs_in(engine.data, "sleep"), "the event was lost")
        assert not running & set(processes_in(engine.data))
        assert not left & set(environments.iterdir())
        assert len(list((state / "blobs").iterdir())) == 1
        assert len(list((state / "tasks").iterdir())) == 1


def _runs_in(data: Path, program: str) -> bool:
    """Whether a process of a function runs this program."""
    commands = [Path(f"/proc/{each}/cmdline") for each in processes_in(data)]
    return any(program.encode() in command.read_bytes() for command in commands if command.exists())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not a database at all, but a text" * 100, "is not a database of Lamington"),
        (b"SQLite format 3\x00" + b"\xff" * 8192, "is not a database of Lamington|is damaged"),
    ],
)
def test_a_directory_that_is_damaged_is_refused_in_words(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "engine.db").write_bytes(content)
    ran = subprocess.run(
        [LAMINGTON, "engine", "--data", str(tmp_path), "--aws-port", "0"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ran.returncode == 2
    assert re.search(said, ran.stderr)
    assert "Traceback" not in ran.stderr
