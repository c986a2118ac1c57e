"""The Telemetry and Logs APIs: events really arrive at a port, in batches, or are counted lost."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api_world import LIMIT_S, ApiWorld, Client, api_world
from lamington.functions.telemetry_api import FALLEN_BEHIND

TELEMETRY = "/2022-07-01/telemetry"
LOGS = "/2020-08-15/logs"


class Sink:
    """A listener in the environment, as an extension opens one."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[bytes] = asyncio.Queue()
        self.bodies: asyncio.Queue[list[Any]] = asyncio.Queue()
        self.lines: asyncio.Queue[Any] = asyncio.Queue()
        self.statuses: list[int] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def take_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = json.loads(await reader.readexactly(size))
        status = self.statuses.pop(0) if self.statuses else 200
        self.requests.put_nowait(head)
        if status == 200:
            self.bodies.put_nowait(body)
        await self.answers.wait()
        writer.write(b"HTTP/1.1 %d Any\r\nContent-Length: 0\r\n\r\n" % status)
        writer.close()

    async def take_lines(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while line := await reader.readline():
            self.lines.put_nowait(json.loads(line))

    async def batch(self) -> list[Any]:
        return await asyncio.wait_for(self.bodies.get(), LIMIT_S)


@contextlib.asynccontextmanager
async def sink(protocol: str = "HTTP") -> AsyncIterator[Sink]:
    opened = Sink()
    take = opened.take_http if protocol == "HTTP" else opened.take_lines
    listener = await asyncio.start_server(take, "127.0.0.1", 0)
    opened.port = listener.sockets[0].getsockname()[1]
    try:
        yield opened
    finally:
        listener.close()
        for writer in opened.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def subscribe(
    client: Client,
    fields: dict[str, str],
    port: int,
    *,
    path: str = TELEMETRY,
    protocol: str = "HTTP",
    kinds: tuple[str, ...] = ("platform", "function", "extension"),
    uri: str = "",
    buffering: dict[str, int] | None = None,
) -> tuple[int, bytes]:
    asked = {
        "schemaVersion": "2022-12-13" if path == TELEMETRY else "2020-08-15",
        "types": kinds,
        "buffering": buffering or {"timeoutMs": 100},
        "destination": {
            "protocol": protocol,
            "URI": uri or f"{protocol.lower()}://sandbox.localdomain:{port}",
        },
    }
    answer = await client.ask("PUT", path, fields, json.dumps(asked).encode())
    return answer.status, answer.body


async def subscriber(world: ApiWorld) -> tuple[Client, dict[str, str]]:
    world.begin(["collector"])
    return await world.extension("collector")


async def test_events_arrive_as_one_array() -> None:
    async with api_world() as world, sink() as sunk:
        client, fields = await subscriber(world)
        assert await subscribe(client, fields, sunk.port) == (200, b'"OK"')
        world.api.publish("platform.start", {"requestId": "id-1", "version": "$LATEST"})
        world.api.publish_output("function", b"one\ntwo\x1eof two\n")
        events = await sunk.batch()
        head = (await sunk.requests.get()).decode()
    assert head.startswith("POST / HTTP/1.1\r\n")
    assert f"\r\nHost: sandbox.localdomain:{sunk.port}\r\n" in head
    assert [list(event) for event in events] == [["time", "type", "record"]] * 4
    assert [(event["type"], event["record"]) for event in events] == [
        (
            "platform.telemetrySubscription",
            {
                "name": "collector",
                "state": "Subscribed",
                "types": ["platform", "function", "extension"],
            },
        ),
        ("platform.start", {"requestId": "id-1", "version": "$LATEST"}),
        ("function", "one"),
        ("function", "two\nof two"),
    ]
    assert world.environment.notes[0][0] == "platform.telemetrySubscription"


async def test_events_arrive_as_lines() -> None:
    async with api_world() as world, sink("TCP") as sunk:
        client, fields = await subscriber(world)
        status, _ = await subscribe(client, fields, sunk.port, protocol="TCP", kinds=("function",))
        assert status == 200
        world.api.publish_output("function", b"one\n")
        first = await asyncio.wait_for(sunk.lines.get(), LIMIT_S)
        world.api.publish_output("function", b"two\n")
        second = await asyncio.wait_for(sunk.lines.get(), LIMIT_S)
    assert (first["record"], second["record"]) == ("one", "two")


async def test_events_of_the_init_come_to_a_later_subscriber() -> None:
    async with api_world() as world, sink() as sunk:
        client, fields = await subscriber(world)
        world.api.publish("platform.initStart", {"phase": "init"})
        await subscribe(client, fields, sunk.port)
        assert (await sunk.batch())[0]["type"] == "platform.initStart"


async def test_nobody_is_subscribed_after_an_init_without_subscribers() -> None:
    async with api_world() as world:
        client, fields = await subscriber(world)
        assert world.api.subscribed
        await world.turned(client, fields)
        world.api.end_registration()
        assert not world.api.subscribed
        status, body = await subscribe(await world.client(), fields, 8080)
        assert (status, body) == (
            403,
            b'{"errorMessage":"Telemetry API subscription is closed already",'
            b'"errorType":"Telemetry.SubscriptionClosed"}\n',
        )


async def test_json_lines_are_objects_where_the_function_logs_json() -> None:
    async with api_world(json_logs=True) as world, sink() as sunk:
        client, fields = await subscriber(world)
        await subscribe(client, fields, sunk.port, kinds=("function",))
        world.api.publish_output("function", b'{"level":"INFO"}\n{"broken\n')
        records = [event["record"] for event in await sunk.batch()]
    assert records == [{"level": "INFO"}, '{"broken']


async def test_refused_batch_is_sent_again() -> None:
    async with api_world() as world, sink() as sunk:
        sunk.statuses = [500]
        client, fields = await subscriber(world)
        await subscribe(client, fields, sunk.port, kinds=("function",))
        world.api.publish_output("function", b"kept\n")
        assert [event["record"] for event in await sunk.batch()] == ["kept"]
        assert sunk.requests.qsize() == 2


async def test_slow_subscriber_loses_events_and_is_told() -> None:
    async with api_world() as world, sink() as sunk:
        sunk.answers.clear()
        client, fields = await subscriber(world)
        buffering = {"maxItems": 1000, "timeoutMs": 25}
        await subscribe(client, fields, sunk.port, kinds=("function",), buffering=buffering)
        world.api.publish_output("function", b"x\n" * 1000)
        assert len(await sunk.batch()) == 1000
        world.api.publish_output("function", b"x\n" * 2005)
        sunk.answers.set()
        last = (await sunk.batch())[-1]
    assert last["type"] == "platform.logsDropped"
    assert last["record"] == {
        "droppedRecords": 5,
        "droppedBytes": 5
        * len('{"time":"2026-01-02T03:04:05.678Z","type":"function","record":"x"}'),
        "reason": FALLEN_BEHIND,
    }


async def test_events_are_delivered_before_the_environment_ends() -> None:
    async with api_world() as world, sink() as sunk:
        client, fields = await subscriber(world)
        await subscribe(
            client, fields, sunk.port, kinds=("platform",), buffering={"timeoutMs": 30_000}
        )
        world.api.extension_exited("collector", "")
        world.api.publish("platform.report", {"requestId": "id-1"})
        await world.api.shut_down("SPINDOWN", LIMIT_S)
        assert (await sunk.batch())[-1]["type"] == "platform.report"


async def test_subscribing_again_replaces_the_subscription() -> None:
    async with api_world() as world, sink() as first, sink() as second:
        client, fields = await subscriber(world)
        await subscribe(client, fields, first.port, kinds=("function",))
        await subscribe(client, fields, second.port, kinds=("function",))
        world.api.publish_output("function", b"here\n")
        assert [event["record"] for event in await second.batch()] == ["here"]
        assert first.bodies.empty()


async def test_logs_api_names_its_own_event() -> None:
    async with api_world() as world, sink() as sunk:
        client, fields = await subscriber(world)
        uri = f"http://sandbox:{sunk.port}/lambda_logs"
        status, body = await subscribe(client, fields, sunk.port, path=f"{LOGS}/", uri=uri)
        assert (status, body) == (200, b'"OK"')
        assert (await sunk.batch())[0]["type"] == "platform.logsSubscription"
        assert (await sunk.requests.get()).startswith(b"POST /lambda_logs HTTP/1.1\r\n")
        status, body = await subscribe(client, fields, sunk.port)
        assert status == 400
        assert b"has subscribed to the Logs API" in body


@pytest.mark.parametrize("uri", ["http://example.com:80", "http://127.0.0.1:8080"])
async def test_other_hosts_are_refused(uri: str) -> None:
    async with api_world() as world:
        client, fields = await subscriber(world)
        assert await subscribe(client, fields, 0, uri=uri) == (
            400,
            b'{"errorMessage":"URI host should be sandbox.localdomain",'
            b'"errorType":"ValidationError"}\n',
        )
