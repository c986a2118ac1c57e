"""An engine killed after any commit of its store leaves what the next engine puts in order.

A kill leaves on disk what was committed, and nothing else of an engine lasts. So an operation
runs once while every state of the database that it passes is kept, and then an engine is started
on each of them: that is every moment at which a kill makes a difference.
"""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crash_world import (
    CAPABILITIES,
    FIRST,
    SECOND,
    STACK,
    Call,
    body,
    contents,
    existing,
    failing,
    require_as_recorded,
    status,
)
from lamington.core.aws import Scope
from lamington.core.settings import load_settings
from lamington.engine.engine import Engine
from lamington.stack.entities import StackEvent

SCOPE = Scope(account_id="000000000000", region="us-east-1")


class Moments:
    """Keeps each state of an engine's database that is committed."""

    def __init__(self, engine: Engine, source: Path, directory: Path) -> None:
        self.kept: list[Path] = []
        self._source = source
        self._directory = directory
        self._blobs = source / "state" / "blobs"
        self._reader = sqlite3.connect(f"file:{source}/state/engine.db?mode=ro", uri=True)
        self._version = self._reader.execute("PRAGMA data_version").fetchone()
        # SQLite tells of each statement before it runs: what was committed then is on disk.
        engine._store.database.set_trace_callback(lambda _: self.look())

    def look(self) -> None:
        version = self._reader.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        self._version = version
        kept = self._directory / str(len(self.kept))
        (kept / "state").mkdir(parents=True)
        with sqlite3.connect(kept / "state" / "engine.db") as copy:
            self._reader.backup(copy)
        copy.close()
        shutil.copytree(self._blobs, kept / "state" / "blobs", copy_function=os.link)
        self.kept.append(kept)

    def close(self) -> list[Path]:
        self.look()
        self._reader.close()
        return self.kept


@asynccontextmanager
async def engine_on(data: Path, moments: Path | None = None) -> AsyncIterator[tuple[Engine, Call]]:
    """An engine that starts on a directory; where `moments` is given, its commits are kept."""
    engine = Engine(load_settings({}, data=data, port=0, aws_port=0, account_id=SCOPE.account_id))
    watch = None if moments is None else Moments(engine, data, moments)

    async def call(operation: str, **params: Any) -> Mapping[str, Any]:
        return await engine.caller.call(operation, params, SCOPE)

    try:
        await engine.start()
        yield engine, call
    finally:
        if watch is not None:
            engine._store.database.set_trace_callback(None)
            watch.close()
        await engine.stop()


async def run(engine: Engine, call: Call, operation: str, resources: Mapping[str, Any]) -> str:
    """Run a stack operation to its end, and give its status.

    `CreateStack, DeleteStack` is a create that a delete overtakes.
    """
    first, _, overtaking = operation.partition(", ")
    name = STACK
    if first == "DeleteStack":
        name = await _delete(call)
    else:
        given = {"TemplateBody": body(resources), "Capabilities": CAPABILITIES}
        well_under_way = asyncio.Event()
        told: list[str] = []

        def tell(event: StackEvent) -> None:
            told.append(event.logical_id)
            if len(told) == 30:
                well_under_way.set()

        unsubscribe = engine.stacks.subscribe(tell)
        await call(f"cloudformation:{first}", StackName=STACK, **given)
        if overtaking:
            await well_under_way.wait()
            assert (await status(call)).endswith("IN_PROGRESS")
            name = await _delete(call)
        unsubscribe()
    return await engine.stacks.wait(name, SCOPE)


async def _delete(call: Call) -> str:
    found = await call("cloudformation:DescribeStacks", StackName=STACK)
    await call("cloudformation:DeleteStack", StackName=STACK)
    return str(found["Stacks"][0]["StackId"])


async def expected_contents(directory: Path) -> dict[str, dict[str, Any]]:
    """What the two templates make where nothing goes wrong."""
    async with engine_on(directory) as (engine, call):
        assert await run(engine, call, "CreateStack", FIRST) == "CREATE_COMPLETE"
        await require_as_recorded(call)
        first = await contents(call)
        assert await run(engine, call, "UpdateStack", SECOND) == "UPDATE_COMPLETE"
        await require_as_recorded(call)
        return {"first": first, "second": await contents(call)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Operations, the last of which is killed, and the statuses in which a start may then end.

    Each status comes with the contents; the first is the status before the operation, which it
    keeps where the kill was before the first commit, the last is where it ends.
    """

    operations: tuple[tuple[str, dict[str, Any]], ...]
    ends: dict[str, str]


CASES = {
    "create": Case(operations=(("CreateStack", FIRST),), ends={"": "", "CREATE_COMPLETE": "first"}),
    "failed create": Case(
        operations=(("CreateStack", failing(FIRST)),), ends={"": "", "ROLLBACK_COMPLETE": ""}
    ),
    "update": Case(
        operations=(("CreateStack", FIRST), ("UpdateStack", SECOND)),
        ends={"CREATE_COMPLETE": "first", "UPDATE_COMPLETE": "second"},
    ),
    "failed update": Case(
        operations=(("CreateStack", FIRST), ("UpdateStack", failing(SECOND))),
        ends={"CREATE_COMPLETE": "first", "UPDATE_ROLLBACK_COMPLETE": "first"},
    ),
    "overtaken create": Case(
        operations=(("CreateStack, DeleteStack", FIRST),),
        ends={"CREATE_COMPLETE": "first", "": ""},
    ),
    "overtaken update": Case(
        operations=(("CreateStack", FIRST), ("UpdateStack, DeleteStack", SECOND)),
        ends={"CREATE_COMPLETE": "first", "UPDATE_COMPLETE": "second", "": ""},
    ),
    "delete": Case(
        operations=(("CreateStack", FIRST), ("DeleteStack", {})),
        ends={"CREATE_COMPLETE": "first", "": ""},
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_start_after_any_commit_puts_all_in_order(tmp_path: Path, case: str) -> None:
    *before, (operation, resources) = CASES[case].operations
    ends = CASES[case].ends
    expected = await expected_contents(tmp_path / "expected")
    data = tmp_path / "data"
    async with engine_on(data) as (engine, call):
        for each in before:
            await run(engine, call, *each)
    async with engine_on(data, tmp_path / "moments") as (engine, call):
        await run(engine, call, operation, resources)
    moments = sorted((tmp_path / "moments").iterdir(), key=lambda path: int(path.name))
    assert len(moments) > 15
    reached = set()
    started = len(moments)
    for number, moment in enumerate(moments):
        # Now and then the recovery is killed as well, after each of its own commits.
        recovery = tmp_path / "again" / str(number) if number % 9 == 5 else None
        reached.add(await require_in_order(moment, ends, expected, recovery))
        if recovery is not None and recovery.is_dir():
            for later in recovery.iterdir():
                started += 1
                await require_in_order(later, ends, expected)
        if number % 4 == 0:
            async with engine_on(moment) as (engine, call):
                await require_useful(engine, call, expected)
    assert list(ends)[-1] in reached
    print(f"{case}: {len(moments)} moments, {started} starts")


async def require_in_order(
    data: Path,
    ends: Mapping[str, str],
    expected: Mapping[str, Mapping[str, Any]],
    moments: Path | None = None,
) -> str:
    """Start on a state that a kill left, and look whether all is as it ends; gives the status."""
    async with engine_on(data, moments) as (_, call):
        ended = await status(call)
        assert ended in ends, (data, ended, await failures(call))
        if ends[ended]:
            await require_as_recorded(call)
            assert await contents(call) == expected[ends[ended]], data
        else:
            assert await existing(call) == [], data
    return ended


async def failures(call: Call) -> list[str]:
    """What the stack's events tell of failures."""
    found = await call("cloudformation:DescribeStackEvents", StackName=STACK)
    return [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"
        for event in found["StackEvents"]
        if event["ResourceStatus"].endswith("FAILED")
    ]


async def require_useful(
    engine: Engine, call: Call, expected: Mapping[str, Mapping[str, Any]]
) -> None:
    """A stack goes on as if nothing had happened, and goes without a trace."""
    now = await status(call)
    if now and now != "ROLLBACK_COMPLETE":
        other = "first" if now == "UPDATE_COMPLETE" else "second"
        resources = {"first": FIRST, "second": SECOND}[other]
        assert await run(engine, call, "UpdateStack", resources) == "UPDATE_COMPLETE"
        await require_as_recorded(call)
        assert await contents(call) == expected[other]
    if now:
        assert await run(engine, call, "DeleteStack", {}) == "DELETE_COMPLETE"
    assert await existing(call) == []
