"""WebSocket APIs over real sockets, driven by a client library of its own."""

import asyncio
import base64
import json
import logging
import os
import socket
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lamington.core.clock import ManualClock
from lamington.engine.server import ServerLimits
from lamington.gateway.v2 import entities
from websocket_world import (
    API_ID,
    SocketWorld,
    function_arn,
    integration,
    route,
    socket_world,
    web_socket_api,
)

OK = {"statusCode": 200}


def echo(event: Any) -> Any:
    return {"statusCode": 200, "body": event.get("body")}


def refuse_connect(answer: Any) -> Any:
    def handle(event: Any) -> Any:
        return answer if event["requestContext"]["eventType"] == "CONNECT" else OK

    return handle


async def closed_as(client: Any) -> tuple[int, str]:
    async with asyncio.timeout(5):
        await client.wait_closed()
    with pytest.raises(ConnectionClosed) as closed:
        await client.send("x")
    received = closed.value.rcvd
    assert received is not None
    return received.code, received.reason


async def refused(world: SocketWorld, **options: Any) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as refusal:
        async with world.connect(**options):
            pass
    return refusal.value


async def test_client_connects_talks_and_leaves() -> None:
    async with socket_world() as world:
        world.serve(echo)
        async with world.connect() as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        leaving = await world.event("DISCONNECT")
        assert leaving["requestContext"]["disconnectStatusCode"] == 1000
        kinds = [each["requestContext"]["eventType"] for each in world.events()]
        assert kinds == ["CONNECT", "MESSAGE", "DISCONNECT"]


async def test_connect_event_has_the_handshake_and_no_body() -> None:
    async with socket_world() as world:
        world.serve(echo, stage_members={"variables": {"color": "red"}})
        async with world.connect("?a=1&a=2", additional_headers={"X-Own": "yes"}):
            event = world.events("CONNECT")[0]
        assert event["headers"]["X-Own"] == "yes"
        assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"]}
        assert event["queryStringParameters"] == {"a": "2"}
        assert event["stageVariables"] == {"color": "red"}
        assert "body" not in event
        assert "messageId" not in event["requestContext"]


async def test_routes_are_optional() -> None:
    async with socket_world() as world:
        world.serve(echo, "hello")
        async with world.connect() as client:
            await client.send('{"action":"hello"}')
            assert await client.recv() == '{"action":"hello"}'


async def test_message_without_a_route_is_forbidden() -> None:
    async with socket_world() as world:
        world.serve(echo, "hello")
        async with world.connect() as client:
            await client.send('{"action":"other"}')
            frame = json.loads(await client.recv())
        assert frame["message"] == "Forbidden"
        assert set(frame) == {"message", "connectionId", "requestId"}


async def test_one_way_route_sends_nothing_back() -> None:
    async with socket_world() as world:
        world.invoker.handlers[function_arn("f")] = echo
        routes = [route("quiet", "f"), route("loud", "f", replies=True)]
        world.deploy(web_socket_api(routes, [integration("f")]))
        async with world.connect() as client:
            await client.send('{"action":"quiet"}')
            await client.send('{"action":"loud"}')
            assert await client.recv() == '{"action":"loud"}'


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"statusCode": 401}, 401),
        ({"statusCode": 500}, 500),
        ("no answer of this form", 502),
        ({"statusCode": 200, "other": 1}, 502),
        ({"statusCode": 101}, 502),
    ],
)
async def test_connect_function_may_refuse(answer: Any, status: int) -> None:
    async with socket_world() as world:
        world.serve(refuse_connect(answer))
        assert (await refused(world)).response.status_code == status
        assert not world.events("DISCONNECT")


async def test_function_without_permission_refuses_by_500() -> None:
    async with socket_world() as world:
        world.permissions.permitted = False
        world.serve(echo)
        assert (await refused(world)).response.status_code == 500
        assert world.permissions.asked[0].endswith(f":{API_ID}/dev/$connect")


async def test_subprotocol_comes_from_the_connect_function() -> None:
    async with socket_world() as world:
        world.serve(
            lambda event: {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "chat.v2"}}
        )
        async with world.connect(subprotocols=["chat.v1", "chat.v2"]) as client:
            assert client.subprotocol == "chat.v2"


async def test_function_that_fails_is_an_error_frame() -> None:
    def handle(event: Any) -> Any:
        return OK if event["requestContext"]["eventType"] == "CONNECT" else [1]

    async with socket_world() as world:
        world.serve(handle, replies=False)
        async with world.connect() as client:
            await client.send("x")
            assert json.loads(await client.recv())["message"] == "Internal server error"


async def test_any_page_may_connect() -> None:
    async with socket_world() as world:
        world.serve(echo)
        async with world.connect(origin="https://elsewhere.example") as client:
            await client.send("x")
            assert await client.recv() == "x"


# Frames.


async def test_message_of_128_kilobytes_in_frames_of_32_arrives_whole() -> None:
    part = "ä" * (16 * 1024)
    async with socket_world() as world:
        world.serve(echo)
        async with world.connect(max_size=None) as client:
            await client.send([part] * 4)
            assert await client.recv() == part * 4


async def test_larger_frame_closes_with_1009() -> None:
    async with socket_world() as world:
        world.serve(echo)
        async with world.connect() as client:
            await client.send("x" * (32 * 1024 + 1))
            assert (await closed_as(client))[0] == 1009
        departure = (await world.event("DISCONNECT"))["requestContext"]
        assert departure["disconnectStatusCode"] == 1009


async def test_larger_message_closes_with_1009() -> None:
    async with socket_world() as world:
        world.serve(echo)
        async with world.connect() as client:
            await client.send(["x" * (32 * 1024)] * 4 + ["x"])
            assert (await closed_as(client))[0] == 1009


async def test_binary_frame_closes_with_1003() -> None:
    async with socket_world() as world:
        world.serve(echo)
        async with world.connect() as client:
            await client.send(b"\x00\x01")
            assert (await closed_as(client))[0] == 1003


async def test_text_that_is_no_utf8_closes_with_1007() -> None:
    async with socket_world() as world:
        world.serve(echo)
        async with world.connect() as client:
            await client.send(b"\xff\xfe", text=True)
            assert (await closed_as(client))[0] == 1007


async def test_ping_is_answered_and_keeps_the_connection() -> None:
    clock = ManualClock()
    async with socket_world(clock=clock) as world:
        world.serve(echo)
        async with world.connect() as client:
            await clock.advance(599)
            await asyncio.wait_for(await client.ping(), 5)
            await clock.advance(599)
            await client.send("x")
            assert await client.recv() == "x"


async def test_idle_connection_is_closed_after_ten_minutes() -> None:
    clock = ManualClock()
    async with socket_world(clock=clock) as world:
        world.serve(echo)
        async with world.connect() as client:
            await clock.advance(601)
            assert await closed_as(client) == (1001, "Going away")
        departure = (await world.event("DISCONNECT"))["requestContext"]
        assert departure["disconnectStatusCode"] == 1001
        assert departure["disconnectReason"] == "Going away"


async def test_busy_connection_is_closed_after_two_hours() -> None:
    clock = ManualClock()
    async with socket_world(clock=clock) as world:
        world.serve(echo)
        async with world.connect() as client:
            for _ in range(13):
                await clock.advance(550)
                await client.send("x")
                assert await client.recv() == "x"
            await clock.advance(51)
            assert (await closed_as(client))[0] == 1001


async def test_client_that_vanishes_is_seen_off_with_1006() -> None:
    async with socket_world() as world:
        world.serve(echo)
        client = await world.connect()
        client.transport.abort()
        departure = (await world.event("DISCONNECT"))["requestContext"]
        assert departure["disconnectStatusCode"] == 1006


async def test_close_without_a_code_is_1005() -> None:
    async with socket_world() as world:
        world.serve(echo)
        client = await world.connect()
        async with client.send_context():
            client.protocol.send_close()
        departure = (await world.event("DISCONNECT"))["requestContext"]
        assert departure["disconnectStatusCode"] == 1005
        assert departure["disconnectReason"] == "Client-side close frame status not set"


async def test_close_code_and_reason_of_the_client_reach_the_function() -> None:
    async with socket_world() as world:
        world.serve(echo)
        client = await world.connect()
        await client.close(4001, "tired")
        departure = (await world.event("DISCONNECT"))["requestContext"]
        assert (departure["disconnectStatusCode"], departure["disconnectReason"]) == (4001, "tired")


# Order and pressure.


async def test_messages_begin_in_order_and_only_so_many_at_once() -> None:
    async with socket_world() as world:
        world.serve(echo)
        async with world.connect() as client:
            world.invoker.gate = asyncio.Event()
            for number in range(100):
                await client.send(str(number))
            for _ in range(200):
                await asyncio.sleep(0.005)
                if len(world.events("MESSAGE")) >= 32:
                    break
            assert len(world.events("MESSAGE")) == 32
            world.invoker.gate.set()
            answers = [await client.recv() for _ in range(100)]
        assert sorted(answers, key=int) == [str(number) for number in range(100)]
        bodies = [each["body"] for each in world.events("MESSAGE")]
        assert bodies == [str(number) for number in range(100)]


async def test_client_that_does_not_read_is_not_fed_for_ever() -> None:
    async with socket_world(limits=ServerLimits(write_timeout_s=0.3, tick_s=0.1)) as world:
        world.serve(echo)
        raw = await _raw_client(world)
        connection = world.events("CONNECT")[0]["requestContext"]["connectionId"]
        statuses = []
        for _ in range(400):
            response = await world.manage("POST", connection, b"x" * 100_000)
            statuses.append(response.status)
            if response.status != 200:
                break
        assert statuses[-1] == 429
        await world.event("DISCONNECT")
        assert (await world.manage("GET", connection)).status == 410
        raw.close()


async def _raw_client(world: SocketWorld) -> socket.socket:
    """A client that has shaken hands, and then does nothing."""
    port = int(world.url.rpartition(":")[2].partition("/")[0])
    raw = socket.create_connection(("127.0.0.1", port))
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(raw, handshake())
    head = await loop.sock_recv(raw, 4096)
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), head
    return raw


def handshake(path: str = "/dev", /, **changes: str | None) -> bytes:
    """An offer as bytes; `changes` replace header fields, None takes one away."""
    fields: dict[str, str | None] = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": base64.b64encode(os.urandom(16)).decode(),
        **changes,
    }
    lines = [f"GET {path} HTTP/1.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def exchange(world: SocketWorld, data: bytes) -> bytes:
    """What comes back for some bytes until the server closes."""
    port = int(world.url.rpartition(":")[2].partition("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "changes",
    [
        {"Sec_WebSocket_Version": "12"},
        {"Sec_WebSocket_Version": None},
        {"Sec_WebSocket_Key": "c2hvcnQ="},
        {"Sec_WebSocket_Key": "no base64!"},
        {"Sec_WebSocket_Key": None},
    ],
)
async def test_malformed_handshake_is_400(changes: dict[str, str | None]) -> None:
    async with socket_world() as world:
        world.serve(echo)
        answer = await exchange(world, handshake(**changes))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert not world.events()


async def test_plain_request_is_asked_to_upgrade() -> None:
    async with socket_world() as world:
        world.serve(echo)
        request = b"GET /dev HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await exchange(world, request)
        assert answer.startswith(b"HTTP/1.1 426 ")


async def test_unknown_path_is_forbidden() -> None:
    async with socket_world() as world:
        world.serve(echo)
        answer = await exchange(world, handshake("/dev/elsewhere"))
        assert answer.startswith(b"HTTP/1.1 403 ")


async def test_offer_to_what_is_no_web_socket_is_plain_http() -> None:
    async with socket_world() as world:
        world.serve(echo)
        answer = await exchange(world, handshake("/plain"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"plain")


async def test_offer_with_a_body_is_plain_http() -> None:
    async with socket_world() as world:
        world.serve(echo)
        last = b"GET /plain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await exchange(world, handshake(Content_Length="2") + b"{}" + last)
        assert answer.startswith(b"HTTP/1.1 426 ")
        assert answer.endswith(b"plain")


async def test_message_that_comes_with_the_handshake_is_kept() -> None:
    masked = bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi"
    leave = bytes([0x88, 0x80, 0, 0, 0, 0])
    async with socket_world() as world:
        world.serve(echo)
        port = int(world.url.rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake() + masked)
        async with asyncio.timeout(5):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(4) == b"\x81\x02hi"
            writer.write(leave)
            assert await reader.read() == b"\x88\x00"
        writer.close()


# Stages.


async def test_new_deployment_serves_connections_that_are_open() -> None:
    async with socket_world() as world:
        world.serve(lambda event: {"statusCode": 200, "body": "old"})
        async with world.connect() as client:
            await client.send("x")
            assert await client.recv() == "old"
            world.serve(lambda event: {"statusCode": 200, "body": "new"})
            await client.send("x")
            assert await client.recv() == "new"


async def test_stage_that_is_withdrawn_closes_its_connections() -> None:
    async with socket_world() as world:
        world.serve(echo)
        async with world.connect() as client:
            assert world.plane.serves(API_ID)
            world.plane.withdraw(API_ID, "dev")
            assert (await closed_as(client))[0] == 1001
        assert not world.plane.serves(API_ID)
        assert (await refused(world)).response.status_code == 403


async def test_end_of_the_engine_says_good_bye() -> None:
    async with socket_world() as world:
        world.serve(echo)
        async with world.connect() as client:
            await asyncio.gather(
                world.plane.close(), closing := asyncio.ensure_future(_code(client))
            )
            assert closing.result() == 1001
        assert world.events("DISCONNECT")


async def _code(client: Any) -> int:
    return (await closed_as(client))[0]


async def test_end_of_the_server_says_good_bye() -> None:
    async with socket_world() as world:
        world.serve(echo)
        async with world.connect() as client:
            await asyncio.gather(
                world.server.stop(2), closing := asyncio.ensure_future(_code(client))
            )
            assert closing.result() == 1001


async def test_throttled_message_is_told_so() -> None:
    settings = entities.RouteSettings(throttling_rate_limit=1, throttling_burst_limit=1)
    async with socket_world() as world:
        world.serve(echo, stage_members={"route_settings": {"$default": settings}})
        async with world.connect() as client:
            await client.send("1")
            assert await client.recv() == "1"
            await client.send("2")
            assert json.loads(await client.recv())["message"] == "Too Many Requests"


async def test_throttled_handshake_is_429() -> None:
    settings = entities.RouteSettings(throttling_rate_limit=1, throttling_burst_limit=1)
    async with socket_world() as world:
        world.serve(echo, stage_members={"default_route_settings": settings})
        async with world.connect():
            assert (await refused(world)).response.status_code == 429


async def test_failure_names_its_reason_to_the_developer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with socket_world() as world:
        world.serve(refuse_connect("nothing"))
        with caplog.at_level(logging.WARNING, "lamington.gateway"):
            await refused(world)
        assert "Malformed Lambda proxy response" in world.plane.failures[-1].reason


async def test_client_that_only_sends_is_not_read_for_ever() -> None:
    message = b"x" * 30_000
    frame = bytes([0x81, 0xFE]) + len(message).to_bytes(2, "big") + bytes(4) + message
    async with socket_world(limits=ServerLimits(write_timeout_s=0.3, tick_s=0.1)) as world:
        world.serve(echo)
        raw = await _raw_client(world)
        loop = asyncio.get_running_loop()

        async def send_without_reading() -> None:
            for _ in range(2000):
                await loop.sock_sendall(raw, frame)

        sending = asyncio.ensure_future(send_without_reading())
        departure = (await world.event("DISCONNECT"))["requestContext"]
        assert departure["disconnectStatusCode"] == 1006
        assert len(world.events("MESSAGE")) < 1000
        sending.cancel()
        await asyncio.wait([sending])
        raw.close()
