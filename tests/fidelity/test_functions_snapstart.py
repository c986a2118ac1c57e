"""Runs the rows of `functions_snapstart.toml` against real execution environments."""

import asyncio
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from function_world import SCOPE, FunctionWorld, function_world
from lamington.core.errors import AwsError

ROWS = tomllib.loads(Path(__file__).with_name("functions_snapstart.toml").read_text())["case"]

CODE = """
import json, os, time, uuid
import snapshot_restore_py as hooks
DONE = []
{code}
def handler(event, context):
    time.sleep(event["sleep_s"])
    return {answer}
"""


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
async def test_row(row: dict[str, Any], tmp_path: Path) -> None:
    given, expected = row["given"], row["expect"]
    async with function_world(tmp_path, init_timeout_s=given.get("limit_s", 10.0)) as world:
        arn = world.function(
            {"app.py": CODE.format(code=given.get("code", ""), answer=given.get("answer"))},
            runtime="python3.13",
            version="1",
            timeout_s=5,
            settings={"SnapStart": {"ApplyOn": "PublishedVersions"}},
        )
        failure = await world.invoker.prepare_snapshot(world.versions.rows["f"], SCOPE)
        if "failed" in expected:
            assert failure is not None
            assert failure.error_type == expected["failed"]
            return
        assert failure is None
        outcome = await _outcome(world, arn, given.get("environments", 1))
    if row.get("verdict") == "open":
        assert outcome.get("answer") != expected["answer"], "this row holds: its verdict is exact"
        return
    for name, wanted in expected.items():
        _compare(name, wanted, outcome)


async def _outcome(world: FunctionWorld, arn: str, environments: int) -> dict[str, Any]:
    event = {"sleep_s": 0.2 if environments > 1 else 0}
    try:
        answers = await asyncio.gather(*(world.answer(arn, event) for _ in range(environments)))
    except AwsError as refusal:
        return {"refused": type(refusal).__name__, "status": refusal.status}
    return {
        "answer": answers[-1],
        "distinct": len({json.dumps(each) for each in answers}),
        "log": world.messages(),
    }


def _compare(name: str, wanted: Any, outcome: dict[str, Any]) -> None:
    if name == "log":
        starts = zip(outcome["log"], wanted, strict=True)
        assert all(line.startswith(start) for line, start in starts), outcome["log"]
    elif name == "report":
        assert re.search(wanted, outcome["log"][-1]), outcome["log"][-1]
    else:
        assert outcome[name] == wanted
