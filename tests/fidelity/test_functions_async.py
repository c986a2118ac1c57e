"""Runs the rows of `functions_async.toml`: the API of event invoke configs, and what is sent."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from event_world import ARN, SCOPE, Answer, Event, EventWorld, event_world, functions_registry
from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import ManualClock
from lamington.core.errors import AwsError
from lamington.core.store import Store
from lamington.functions.entities import RecursiveInvocationException
from lamington.functions.event_store import AcceptedEvent
from lamington.functions.operations.event_invoke_configs import EventInvokeConfigOperations
from lamington.functions.operations.recursion import RecursionOperations
from lamington.functions.queue import EventSettings

ROWS = tomllib.loads(Path(__file__).with_name("functions_async.toml").read_text())["case"]
REQUESTS = [row for row in ROWS if "call" in row["given"]]
RUNS = [row for row in ROWS if "answers" in row["given"]]


@pytest.mark.parametrize("row", REQUESTS, ids=[row["id"] for row in REQUESTS])
async def test_request(row: dict[str, Any], tmp_path: Path) -> None:
    given, expected = row["given"], row["expect"]
    store, clock = Store(tmp_path), ManualClock()
    registry = functions_registry(store, clock)
    operations = {
        **EventInvokeConfigOperations(registry=registry, store=store, clock=clock).operations(),
        **RecursionOperations(registry).operations(),
    }
    for operation, members in given.get("before", []):
        await _call(operations, operation, members)
    try:
        result = await _call(operations, given["call"], given.get("params", {}))
        actual: dict[str, Any] = {"result": result}
    except AwsError as error:
        actual = {"code": error.code, "message": error.message}
    store.close()
    if row.get("verdict", "exact") == "close":
        assert actual["code"] == expected["code"]
    else:
        assert actual == expected


async def _call(operations: dict[str, Operation], operation: str, params: Params) -> Result:
    return await operations[f"lambda:{operation}"]({"FunctionName": "f", **params}, SCOPE)


@pytest.mark.parametrize("row", RUNS, ids=[row["id"] for row in RUNS])
async def test_run(row: dict[str, Any], tmp_path: Path) -> None:
    given, expected = row["given"], row["expect"]
    async with event_world(tmp_path) as world:
        sent = _watched(world)
        answers = iter(given["answers"])

        async def answer(event: AcceptedEvent) -> Answer:
            return _answer(next(answers))

        world.answer = answer
        world.default = EventSettings(**given["settings"])
        world.aws.topics["arn:aws:sns:us-east-1:111111111111:t"] = []
        qualifier = given.get("qualifier")
        arn = f"{ARN}:{qualifier}" if qualifier else ARN
        world.queue.put(Event(function_arn=arn, payload=b'{"a":1}'))
        await world.pass_time(200)
    [(operation, params)] = sent
    if operation == "sqs:SendMessage":
        actual: dict[str, Any] = {"body": json.loads(params["MessageBody"])}
        if "MessageAttributes" in params:
            actual["attributes"] = params["MessageAttributes"]
        assert "AWSTraceHeader" in params["MessageSystemAttributes"]
    else:
        if operation == "events:PutEvents":
            [params] = params["Entries"]
        shown = {name: params[name] for name in expected["params"]}
        actual = {"operation": operation, "params": shown}
    if row.get("verdict", "exact") == "close":
        assert _keys(actual) == _keys(expected)
    else:
        assert actual == expected


def _watched(world: EventWorld) -> list[tuple[str, Params]]:
    """What is sent from now on, with its members."""
    sent: list[tuple[str, Params]] = []
    forward = world.aws.call

    class Watcher:
        async def call(self, operation: str, params: Params, scope: Scope) -> Result:
            sent.append((operation, params))
            return await forward(operation, params, scope)

    world.caller = Watcher()
    world.open()
    return sent


def _answer(message: str) -> Answer:
    if message == "RecursiveInvocationException":
        raise RecursiveInvocationException("loop")
    if not message:
        return Answer()
    payload = json.dumps({"errorMessage": message, "errorType": "Exception"}).encode()
    return Answer(payload=payload, function_error="Unhandled")


def _keys(value: dict[str, Any]) -> dict[str, Any]:
    return {
        name: sorted(each) if isinstance(each, dict) else type(each) for name, each in value.items()
    }
