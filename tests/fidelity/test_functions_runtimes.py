"""Runs the rows of `functions_runtimes.toml` on real execution environments."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from function_world import function_world

ROWS = tomllib.loads(Path(__file__).with_name("functions_runtimes.toml").read_text())["case"]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
async def test_row(row: dict[str, Any], tmp_path: Path) -> None:
    given, expected = row["given"], row["expect"]
    async with function_world(tmp_path) as world:
        arn = world.function(given["files"], runtime=given["runtime"], handler=given["handler"])
        result = await world.invoke(arn, client_context=given.get("client_context", ""))
        root = "/var/task"
        if world.invoker.launcher.isolation.level == "process":
            root = str(world.packages.task_root(world.versions.rows["f"].code))
        log = world.messages()

    def filled(value: Any) -> Any:
        text = json.dumps(value)
        return json.loads(text.replace("{root}", root).replace("{id}", result.request_id))

    verdict = row.get("verdict", "exact")
    failures = _differences(expected, result.function_error, result.payload.decode(), log, filled)
    if verdict == "exact":
        assert not failures
    elif verdict == "close":
        assert result.function_error == expected.get("error", "")
    else:
        assert failures, "an open row passes: call it exact"


def _differences(
    expected: dict[str, Any], function_error: str, payload: str, log: list[str], filled: Any
) -> list[str]:
    differences = []
    if function_error != expected.get("error", ""):
        differences.append(f"function error `{function_error}`")
    if "payload" in expected and payload != filled(expected["payload"]):
        differences.append(f"payload {payload}")
    if "json" in expected:
        wanted = filled(expected["json"])
        actual = json.loads(payload)
        if expected.get("nulls"):
            wanted = [None if each == "None" else each for each in wanted]
        if expected.get("subset"):
            actual = {key: actual.get(key) for key in wanted}
        if actual != wanted:
            differences.append(f"payload {actual}")
    if "log" in expected and not any(filled(expected["log"]) in line for line in log):
        differences.append(f"log {log}")
    if "no_log" in expected and any(expected["no_log"] in line for line in log):
        differences.append(f"log {log}")
    return differences
