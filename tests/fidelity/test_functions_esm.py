"""Runs the rows of `functions_esm.toml` against the API of event source mappings."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import SCOPE, lambda_world
from lamington.core.clock import Ids
from lamington.core.errors import AwsError
from lamington.functions.operations.event_source_mappings import EventSourceMappingOperations

ROWS = tomllib.loads(Path(__file__).with_name("functions_esm.toml").read_text())["case"]
QUEUE = {"FunctionName": "f", "EventSourceArn": "arn:aws:sqs:us-east-1:111111111111:q"}


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
async def test_row(row: dict[str, Any], tmp_path: Path) -> None:
    given, expected = row["given"], row["expect"]
    with lambda_world(tmp_path) as world:
        operations = EventSourceMappingOperations(
            registry=world.registry, store=world.store, clock=world.clock, ids=Ids()
        )
        world.caller.operations.update(operations.operations())
        await world.create("f")
        await world.create("g")
        uuid = ""
        for params in given.get("before", []):
            uuid = (await world.call("CreateEventSourceMapping", **{**QUEUE, **params}))["UUID"]
        call = given.get("call", "CreateEventSourceMapping")
        params = json.loads(json.dumps(given["params"]).replace('"uuid"', json.dumps(uuid)))
        named = QUEUE if call == "CreateEventSourceMapping" else {}
        actual: dict[str, Any] = {}
        try:
            actual["result"] = await world.call(call, **{**named, **params})
        except AwsError as error:
            actual = {
                "code": error.code,
                "message": error.message.replace(uuid or "no mapping", "uuid"),
            }
        if "polled" in given:
            actual["polled"] = not operations.unpolled(SCOPE)
    holds = _holds(actual, expected, row.get("verdict", "exact"))
    if row.get("verdict") == "open":
        assert not holds, "this row holds now: take `open` from it"
    else:
        assert holds, actual


def _holds(actual: dict[str, Any], expected: dict[str, Any], verdict: str) -> bool:
    if "polled" in expected:
        return bool(actual["polled"] == expected["polled"])
    if "result" in expected:
        result = actual.get("result") or {}
        absent = expected.get("absent", [])
        return expected["result"].items() <= result.items() and not any(
            name in result for name in absent
        )
    if verdict == "close":
        return bool(actual.get("code") == expected["code"])
    return actual == expected
