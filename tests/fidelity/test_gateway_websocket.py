"""The rows of WebSocket APIs: what is selected, what a client is sent, what `@connections` says."""

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from lamington.core.clock import ManualClock
from lamington.core.http import Headers
from lamington.gateway.v2.websocket.selection import Body, Subject, compile_selection
from websocket_talk import Talk
from websocket_world import socket_world

OPEN = pytest.mark.xfail(strict=True, reason="an open row that passes is no open row")
CASES = [
    pytest.param(case, id=case["id"], marks=[OPEN] if case.get("verdict") == "open" else [])
    for case in tomllib.loads((Path(__file__).parent / "gateway_websocket.toml").read_text())[
        "case"
    ]
]


def selected(given: dict[str, Any]) -> dict[str, Any]:
    subject = Subject(
        body=Body(given["message"]),
        context=lambda: {"stage": "dev"},
        variables={"color": "red"},
    )
    return {"key": compile_selection(given["expression"])(subject)}


async def talked(given: dict[str, Any]) -> dict[str, Any]:
    talk = Talk(given)
    connection = await talk.connect()
    await talk.plane.attend(connection, given["message"])
    found: dict[str, Any] = {"route": talk.context["routeKey"]} if talk.invoker.invocations else {}
    if talk.ear.heard:
        frame = talk.ear.heard[-1]
        if frame.startswith('{"message": '):
            told = json.loads(frame)
            frame = frame.replace(told["connectionId"], "C").replace(told["requestId"], "R")
            assert told["connectionId"] == connection.client.connection_id
        found["frame"] = frame
    await talk.plane.close()
    return found


async def managed(given: dict[str, Any]) -> dict[str, Any]:
    talk = Talk(given)
    connection = await talk.connect()
    response = await talk.manage(connection, given)
    found = {
        "status": response.status,
        "body": response.body.decode(),
        "error": Headers(response.headers).get("x-amzn-ErrorType"),
        "frame": talk.ear.heard[-1] if talk.ear.heard else "",
        "closed": talk.ear.closed,
    }
    await talk.plane.close()
    return found


async def departed(given: dict[str, Any]) -> dict[str, Any]:
    talk = Talk(given)
    await talk.plane.see_off(await talk.connect(), *given["departs"])
    context = talk.context
    await talk.plane.close()
    return {"status_code": context["disconnectStatusCode"], "reason": context["disconnectReason"]}


async def shaken(given: dict[str, Any]) -> dict[str, Any]:
    keys = ["$connect", "$disconnect", "$default"]
    talk = Talk({"routes": keys, **given})
    response = await talk.shake_hands(given["handshake"])
    found: dict[str, Any] = {"status": response.status, "asked": len(talk.invoker.invocations)}
    found["protocol"] = Headers(response.headers).get("sec-websocket-protocol")
    if response.body.startswith(b"{"):
        found["message"] = json.loads(response.body).get("message")
    if talk.invoker.invocations:
        found["event"] = json.loads(talk.invoker.invocations[-1].payload)
        found["members"] = list(found["event"])
        found["context"] = list(found["event"]["requestContext"])
    await talk.plane.close()
    return found


async def sent(given: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a real connection: frames of `sends` bytes are sent, the clock is turned."""
    clock = ManualClock()
    async with socket_world(clock=clock) as world:
        world.serve(lambda event: {"statusCode": 200, "body": "whole"})
        async with world.connect() as client:
            await clock.advance(given.get("waits_s", 0))
            if given.get("binary"):
                await client.send(b"x")
            elif "sends" in given:
                await client.send(["x" * size for size in given["sends"]])
            try:
                return {"heard": await asyncio.wait_for(client.recv(), 5)}
            except ConnectionClosed as closed:
                return {"closes": closed.rcvd.code if closed.rcvd else 1006}


@pytest.mark.parametrize("case", CASES)
async def test_row(case: dict[str, Any]) -> None:
    given = case["given"]
    if "expression" in given:
        found = selected(given)
    elif "manage" in given:
        found = await managed(given)
    elif "handshake" in given:
        found = await shaken(given)
    elif given.keys() & {"sends", "binary", "waits_s"}:
        found = await sent(given)
    elif "departs" in given:
        found = await departed(given)
    else:
        found = await talked(given)
    for name, value in case["expect"].items():
        assert found[name] == value, found
