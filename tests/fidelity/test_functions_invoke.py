"""Runs the rows of `functions_invoke.toml` over the wire's dispatcher, without a socket."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from fakes_functions import SCOPE, FakeStream, lambda_world
from lamington.core.clock import Ids
from lamington.core.http import Headers, Request, Response
from lamington.functions.invoke import InvocationResult
from lamington.wire.dispatch import Dispatcher

ROWS = tomllib.loads(Path(__file__).with_name("functions_invoke.toml").read_text())["case"]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
async def test_row(row: dict[str, Any], tmp_path: Path) -> None:
    given, expected = row["given"], row["expect"]
    headers = given.get("headers", {})
    kind = headers.get("X-Amz-Invocation-Type", "RequestResponse")
    with lambda_world(tmp_path) as world:
        await world.create()
        world.invoker.result = InvocationResult(
            status=202 if kind == "Event" else 200,
            payload=b"" if kind == "Event" else given.get("answered", '"done"').encode(),
            function_error=given.get("error", ""),
            executed_version="$LATEST",
            request_id="id-1",
            log_tail=b"START",
        )
        world.invoker.streamed = FakeStream(
            [piece.encode() for piece in given.get("streamed", [])],
            failure=given.get("error", ""),
        )
        dispatcher = Dispatcher(world.caller.operations, Ids(), default_scope=SCOPE)
        response = await dispatcher.handle(_request(given, headers))
        events = await _events(response)
        invocations = world.invoker.invocations
    problems = _problems(response, expected)
    if "events" in expected and events != expected["events"]:
        problems.append(f"events: {events}")
    for name, value in expected.get("invoked", {}).items():
        actual = getattr(invocations[-1], name)
        actual = actual.decode() if isinstance(actual, bytes) else actual
        if actual != value:
            problems.append(f"{name}: {actual!r}")
    if row.get("verdict") == "open":
        assert problems, "this row holds now: take `open` from it"
    else:
        assert not problems


def _request(given: dict[str, Any], headers: dict[str, str]) -> Request:
    name = given.get("name", "f")
    path = f"/2015-03-31/functions/{name}/invocations"
    if "streamed" in given:
        path = f"/2021-11-15/functions/{name}/response-streaming-invocations"
    body = given.get("body", "").encode()
    if "large" in given:
        body = b'"' + b"x" * (given["large"] - 2) + b'"'
    return Request(
        method="POST",
        path=path,
        query=given.get("query", ""),
        headers=Headers.of({"Host": "localhost", **headers}),
        body=body,
    )


async def _events(response: Response) -> list[str]:
    if response.stream is None:
        return []
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join([piece async for piece in response.stream]))
    messages: Any = list(buffer)
    return [message.headers[":event-type"] for message in messages]


def _problems(response: Response, expected: dict[str, Any]) -> list[str]:
    headers = Headers(response.headers)
    problems = [
        f"{name}: {headers.get(name)!r}"
        for name, value in expected.get("headers", {}).items()
        if headers.get(name) != value
    ]
    if response.status != expected["status"]:
        problems.append(f"status: {response.status}")
    if "body" in expected and response.body.decode() != expected["body"]:
        problems.append(f"body: {response.body[:300]!r}")
    return problems
