"""Runs the rows of `functions_runtime_api.toml` against one environment's API."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from api_world import RUNTIME, Answer, ApiWorld, api_world

ROWS = tomllib.loads(Path(__file__).with_name("functions_runtime_api.toml").read_text())["case"]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
async def test_row(row: dict[str, Any]) -> None:
    given, expected = row["given"], row["expect"]
    async with api_world(begun=False) as world:
        identifier = await _prepare(world, given)
        client = await world.client()
        method, path = given["request"].split(" ")
        fields = {
            name: value.replace("{identifier}", identifier)
            for name, value in given.get("fields", {}).items()
        }
        body = given.get("body", "").encode() or b"x" * given.get("body_bytes", 0)
        answer = await client.ask(method, path, fields, body)
        outcome = world.environment.outcomes
        payload = outcome.get_nowait()[1].decode() if not outcome.empty() else ""
    differences = _differences(expected, answer, payload, identifier)
    verdict = row.get("verdict", "exact")
    if verdict == "open":
        assert differences, "an open row passes: call it exact"
    elif verdict == "exact":
        assert not differences


async def _prepare(world: ApiWorld, given: dict[str, Any]) -> str:
    """Bring the environment to the row's state; returns the extension's identifier, if any."""
    state = given["state"]
    world.begin(["tracer"] if state.startswith("extension") else given.get("external", ()))
    if state.startswith("extension"):
        client, fields = await world.extension("tracer")
        if state in ("extension-ready", "extension-initialised"):
            await world.turned(client, fields)
        if state == "extension-initialised":
            await world.polling()
        return fields["Lambda-Extension-Identifier"]
    if state == "ready":
        await world.polling()
    elif state == "init-error":
        await (await world.client()).ask("POST", f"{RUNTIME}/init/error", body=b"{}")
    elif state in ("running", "answered", "over"):
        client = await world.running()
        if state != "running":
            await client.ask("POST", f"{RUNTIME}/invocation/id-1/response", body=b"1")
            world.environment.outcomes.get_nowait()
        if state == "over":
            client.send("GET", f"{RUNTIME}/invocation/next")
            await world.settled()
    return ""


def _differences(
    expected: dict[str, Any], answer: Answer, payload: str, identifier: str
) -> list[str]:
    differences = []
    if answer.status != expected["status"]:
        differences.append(f"status {answer.status}")
    body = answer.body.decode()
    if "body" in expected and body != expected["body"].replace("{identifier}", identifier):
        differences.append(f"body {body}")
    if "json" in expected and json.loads(body) != expected["json"]:
        differences.append(f"body {body}")
    if "type" in expected and json.loads(body)["errorType"] != expected["type"]:
        differences.append(f"body {body}")
    if "outcome" in expected and payload != expected["outcome"]:
        differences.append(f"outcome {payload}")
    return differences
