"""Runs the rows of `functions_checklist.toml`, and sees that no line of the checklist has none."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checklist_world import ChecklistWorld
from function_world import eventually, function_world
from java_world import can_compile
from lamington.core.clock import ManualClock
from lamington.testing import running_engine

FOLDER = Path(__file__).parent
CHECKLIST = tomllib.loads((FOLDER / "functions_checklist.toml").read_text())
ROWS: list[dict[str, Any]] = CHECKLIST["case"]
LIVE = [row for row in ROWS if "steps" in row]
RETRIED = [row for row in ROWS if "retries_s" in row.get("given", {})]
NAMED = [row for row in ROWS if "covered_by" in row]
WAITING = [row for row in ROWS if row not in LIVE + RETRIED + NAMED]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChecklistWorld]:
    with running_engine() as engine:
        if engine.engine.invoker.launcher.isolation.level == "process":
            pytest.skip("without namespaces a function sees this machine's paths")
        yield ChecklistWorld(engine, tmp_path_factory.mktemp("checklist"))


def lines_of(row: dict[str, Any]) -> list[str]:
    line = row["line"]
    return line if isinstance(line, list) else [line]


def test_every_line_has_a_row_and_every_row_a_line() -> None:
    assert {line for row in ROWS for line in lines_of(row)} == set(CHECKLIST["lines"])


def test_rows_have_names_of_their_own() -> None:
    assert len({row["id"] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", NAMED, ids=[row["id"] for row in NAMED])
def test_named_row_is_there_and_exact(row: dict[str, Any]) -> None:
    names = row["covered_by"]
    for name in names if isinstance(names, list) else [names]:
        file, _, wanted = name.partition("#")
        cases = tomllib.loads((FOLDER / file).read_text())["case"]
        [found] = [case for case in cases if case["id"] == wanted]
        assert found.get("verdict", "exact") == "exact" or row.get("why")


@pytest.mark.parametrize("row", WAITING, ids=[row["id"] for row in WAITING])
def test_row_that_cannot_be_run_says_why(row: dict[str, Any]) -> None:
    assert row["verdict"] == "open"
    assert row["why"]


@pytest.mark.parametrize("row", LIVE, ids=[row["id"] for row in LIVE])
def test_row(row: dict[str, Any], world: ChecklistWorld) -> None:
    if "java" in row.get("given", {}) and not can_compile():
        pytest.skip("no JDK from 17 on is installed")
    judge(row, world.failures(row))


@pytest.mark.parametrize("row", RETRIED, ids=[row["id"] for row in RETRIED])
async def test_retries(row: dict[str, Any], tmp_path: Path) -> None:
    """An event's attempts, while the clock is turned by each of `retries_s`."""
    given, clock = row["given"], ManualClock()
    async with function_world(tmp_path, clock=clock) as functions:
        arn = functions.function(given["files"], runtime=given["runtime"], handler="app.handler")
        accepted = await functions.invoke(arn, invocation_type="Event")

        def starts() -> list[str]:
            return [line for line in functions.messages() if line.startswith("START ")]

        for attempt, wait_s in enumerate(given["retries_s"], 1):
            await eventually(lambda count=attempt: len(starts()) == count)  # type: ignore[misc]
            await clock.advance(wait_s)
        found = starts()
    wanted = [line.replace("{id}", accepted.request_id) for line in row["expect"]["starts"]]
    judge(row, [] if found == wanted else [f"starts {found}"])


def judge(row: dict[str, Any], failures: list[str]) -> None:
    if row.get("verdict", "exact") == "open":
        assert row["why"]
        assert failures, "an open row passes: call it exact"
    else:
        assert not failures
        assert "why" in row or row.get("verdict", "exact") == "exact"
