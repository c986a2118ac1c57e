"""Runs the rows of `functions_node.toml` on the Node.js bootstrap, without an engine."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from node_process import Answer, NodeProcess

ROWS = tomllib.loads(Path(__file__).with_name("functions_node.toml").read_text())["case"]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_row(row: dict[str, Any], tmp_path: Path) -> None:
    given, expected = row["given"], row["expect"]
    files = {"app.js": given["code"]} if "code" in given else given.get("files", {})
    with NodeProcess(
        tmp_path,
        files,
        runtime=given.get("runtime", "nodejs20.x"),
        handler=given.get("handler", "app.handler"),
        variables=given.get("variables"),
    ) as process:
        answers = [process.start()]
        if answers[0].kind == "ready":
            answers = [
                process.invoke(
                    given.get("event"),
                    f"request-{number + 1}",
                    trace_id=given.get("trace_id", ""),
                    client_context=given.get("client_context", ""),
                )
                for number in range(len(expected.get("payloads", [0])))
            ]
        if "exit" in expected:
            assert process.exit_status() == expected["exit"]
        failures = _differences(expected, answers, process.log(), str(tmp_path))
    verdict = row.get("verdict", "exact")
    if verdict == "exact":
        assert not failures
    elif verdict == "close":
        assert answers[0].kind == expected.get("kind", "result")
    else:
        assert failures, "an open row passes: call it exact"


def _differences(expected: dict[str, Any], answers: list[Answer], log: str, root: str) -> list[str]:
    """What is expected and did not come, as texts."""
    answer = answers[0]
    wanted = json.loads(json.dumps(expected).replace("{root}", root))
    actual: dict[str, Any] = {
        "kind": answer.kind,
        "payload": answer.payload,
        "payloads": [each.payload for each in answers],
        "content_type": answer.content_type,
        "body": b"".join(answer.chunks).decode(),
    }
    if wanted.keys() & {"json", "keys", "trace"}:
        value = answer.value
        actual["json"] = {key: value.get(key) for key in wanted.get("json", {})}
        actual["keys"] = list(value)
        actual["trace"] = value.get("trace", [])[: len(wanted.get("trace", []))]
    found = [
        f"{name} {actual[name]!r}, log {log}"
        for name, value in {"kind": "result", **wanted}.items()
        if name in actual and actual[name] != value
    ]
    found += [f"no {text!r} in log {log}" for text in wanted.get("log", []) if text not in log]
    return found + [f"{text!r} in log" for text in wanted.get("no_log", []) if text in log]
