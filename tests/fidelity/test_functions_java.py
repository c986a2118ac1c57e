"""Runs the rows of `functions_java.toml`, each in a JVM of its own."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from java_world import ERROR, FATAL, INIT_ERROR, READY, RESULT, can_compile, java_world

ROWS = tomllib.loads(Path(__file__).with_name("functions_java.toml").read_text())["case"]

KINDS = {RESULT: "result", ERROR: "error", FATAL: "fatal", INIT_ERROR: "init"}


@pytest.mark.skipif(not can_compile(), reason="no JDK from 17 on is installed")
@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_row(row: dict[str, Any]) -> None:
    given, expected = row["given"], row["expect"]
    with java_world().process(given["handler"], given.get("variables")) as java:
        kind, payload = java.receive()
        if kind == READY:
            kind, payload = java.invoke(given.get("event", "{}").encode())
        log = java.close()
    failures = _differences(expected, KINDS[kind], payload.decode(), log)
    if row.get("verdict", "exact") == "open":
        assert failures, "an open row passes: call it exact"
    else:
        assert not failures


def _differences(expected: dict[str, Any], kind: str, payload: str, log: str) -> list[str]:
    differences = []
    if kind != expected["kind"]:
        differences.append(f"kind `{kind}`")
    if "payload" in expected and payload != expected["payload"]:
        differences.append(f"payload {payload}")
    if "json" in expected:
        actual = json.loads(payload)
        if {key: actual.get(key) for key in expected["json"]} != expected["json"]:
            differences.append(f"payload {payload}")
    if "log" in expected and expected["log"] not in log:
        differences.append(f"log {log!r}")
    return differences
