"""The Runtime API as runtimes see it: raw sockets against one environment's port."""

import asyncio
import base64
import re

import pytest

from api_world import LIMIT_S, RUNTIME, ApiWorld, Client, Invoked, api_world
from lamington.functions.api_connection import CONNECTIONS_MAX, HEAD_BYTES_MAX
from lamington.functions.link import ERROR, RESULT

NEXT = f"{RUNTIME}/invocation/next"
RESPONSE = f"{RUNTIME}/invocation/id-1/response"
OTHER = f"{RUNTIME}/invocation/id-1/error"
STREAMING = {
    "Lambda-Runtime-Function-Response-Mode": "streaming",
    "Transfer-Encoding": "chunked",
}


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


async def test_next_gives_the_event_and_its_header() -> None:
    async with api_world() as world:
        client = await world.polling()
        world.hand_over(
            Invoked(
                payload=b'{"a": 1}', trace_id="Root=1-2-3;Sampled=0", client_context='{"é":\n1}'
            )
        )
        answer = await client.answer()
    head = re.sub(r"Date: [^\r]+ GMT\r\n", "", answer.head.decode())
    assert head == (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        "Lambda-Runtime-Aws-Request-Id: id-1\r\nLambda-Runtime-Deadline-Ms: 1700000000000\r\n"
        "Lambda-Runtime-Invoked-Function-Arn: "
        "arn:aws:lambda:us-east-1:000000000000:function:f\r\n"
        "Lambda-Runtime-Trace-Id: Root=1-2-3;Sampled=0\r\n"
        'Lambda-Runtime-Client-Context: {"é": 1}\r\nContent-Length: 8\r\n\r\n'
    )
    assert answer.body == b'{"a": 1}'


async def test_one_connection_serves_many_invocations() -> None:
    async with api_world() as world:
        client = await world.polling()
        for index in range(3):
            name = f"id-{index}"
            world.hand_over(Invoked(request_id=name, payload=b"%d" % index))
            assert (await client.answer()).body == b"%d" % index
            posted = await client.ask("POST", f"{RUNTIME}/invocation/{name}/response", body=b"x")
            assert (posted.status, posted.body) == (202, b'{"status":"OK"}\n')
            assert await world.outcome() == (RESULT, b"x")
            assert world.environment.settlings.empty(), "the runtime is not at its Next"
            client.send("GET", NEXT)
            await world.settled()
            assert world.api.is_settled


async def test_empty_response_is_a_response() -> None:
    async with api_world() as world:
        client = await world.running()
        assert (await client.ask("POST", RESPONSE)).status == 202
        assert await world.outcome() == (RESULT, b"")


async def test_error_reaches_the_caller_as_posted() -> None:
    async with api_world() as world:
        client = await world.running()
        fields = {"Lambda-Runtime-Function-Error-Type": "Function.Bad"}
        answer = await client.ask("POST", OTHER, fields, b'{"any":"thing" }')
        assert (answer.status, answer.body) == (202, b'{"status":"OK"}\n')
        assert await world.outcome() == (ERROR, b'{"any":"thing" }')
        assert world.api.error_type == "Function.Bad"


async def test_asking_again_gives_the_running_invocation_again() -> None:
    async with api_world() as world:
        client = await world.running(Invoked(payload=b"once"))
        assert (await client.ask("GET", NEXT)).body == b"once"
        assert (await client.ask("POST", RESPONSE, body=b"1")).status == 202
        assert world.environment.settlings.empty()


async def test_invocation_waits_for_a_runtime_that_is_away() -> None:
    async with api_world() as world:
        client = await world.polling()
        client.close()
        await eventually(world, lambda: not world.api._polls)
        world.hand_over(Invoked(payload=b"kept"))
        other = await world.client()
        assert (await other.ask("GET", NEXT)).body == b"kept"


async def test_init_error_fails_the_init_with_what_was_posted() -> None:
    async with api_world() as world:
        assert world.link is not None
        client = await world.client()
        fields = {"Lambda-Runtime-Function-Error-Type": "Runtime.ImportModuleError"}
        answer = await client.ask("POST", f"{RUNTIME}/init/error", fields, b'{"errorType":"E"}')
        assert answer.status == 202
        failure = await world.link.runtime.initialised
        assert failure is not None
        assert failure.error_type == "Runtime.ImportModuleError"
        assert failure.payload("any") == b'{"errorType":"E"}'
        assert failure.status == "error\tError Type: Runtime.ImportModuleError"
        refused = await client.ask("GET", NEXT)
        assert refused.status == 403


async def test_response_of_the_longest_size_is_taken() -> None:
    async with api_world(response_max_bytes=100_000) as world:
        client = await world.running()
        assert (await client.ask("POST", RESPONSE, body=b"x" * 100_000)).status == 202
        assert await world.outcome() == (RESULT, b"x" * 100_000)


@pytest.mark.parametrize("form", ["announced", "chunked", "expecting", "closing", "old"])
async def test_response_too_long_is_refused_and_the_environment_kept(form: str) -> None:
    body = b"x" * 100_001
    async with api_world(response_max_bytes=100_000) as world:
        client = await world.running()
        if form == "announced":
            client.send("POST", RESPONSE, body=body)
        elif form == "chunked":
            pieces = chunk(body) + b"0\r\n\r\n"
            client.send("POST", RESPONSE, {"Transfer-Encoding": "chunked"}, pieces)
        elif form == "closing":
            client.send("POST", RESPONSE, {"Connection": "close"}, body)
        elif form == "old":
            client.send("POST", RESPONSE, {}, body, version="1.0")
        else:
            client.send(
                "POST", RESPONSE, {"Expect": "100-continue", "Content-Length": str(len(body))}
            )
        answer = await client.answer()
        assert answer.status == 413
        assert answer.body == (
            b'{"errorMessage":"Exceeded maximum allowed payload size (100000 bytes).",'
            b'"errorType":"RequestEntityTooLarge"}\n'
        )
        assert await world.outcome() == (
            ERROR,
            b'{"errorMessage":"Response payload size exceeded maximum allowed payload size'
            b' (100000 bytes).","errorType":"Function.ResponseSizeTooLarge"}',
        )
        if form in ("expecting", "closing", "old"):
            assert await client.ended() == b""
            client = await world.client()
        client.send("GET", NEXT)
        await world.settled()


async def test_waiting_client_is_told_to_go_on() -> None:
    async with api_world() as world:
        client = await world.running()
        client.send("POST", RESPONSE, {"Expect": "100-continue", "Content-Length": "4"})
        assert (await client.answer()).status == 100
        client.writer.write(b"done")
        assert (await client.answer()).status == 202
        assert await world.outcome() == (RESULT, b"done")


async def test_old_clients_are_served() -> None:
    async with api_world() as world:
        client = await world.client()
        client.send("GET", NEXT, version="1.0")
        await asyncio.wait_for(asyncio.shield(world.link.runtime.initialised), LIMIT_S)  # type: ignore[union-attr]
        world.hand_over()
        answer = await client.answer()
        assert answer.field("Connection") == "close"
        assert await client.ended() == b""
        keeping = await world.client()
        keeping.send("POST", RESPONSE, {"Connection": "keep-alive"}, b"1", version="1.0")
        assert (await keeping.answer()).field("Connection") == "keep-alive"
        assert (await keeping.ask("GET", "/2018-06-01/ping")).body == b"pong"


async def test_client_that_offers_another_protocol_is_served() -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMA"}
    async with api_world() as world:
        client = await world.running()
        assert (await client.ask("POST", RESPONSE, offer, b"from Java")).status == 202
        assert await world.outcome() == (RESULT, b"from Java")
        client.send("GET", NEXT, offer)
        await world.settled()


async def test_streamed_response_arrives_piece_by_piece() -> None:
    async with api_world() as world:
        client = await world.running()
        client.send("POST", RESPONSE, {**STREAMING, "Content-Type": "text/html"}, chunk(b"one"))
        assert await taken(world) == b"one"
        assert world.environment.streams == ["text/html"]
        assert world.environment.outcomes.empty()
        client.writer.write(chunk(b"two") + b"0\r\n\r\n")
        assert await taken(world) == b"two"
        assert await world.outcome() == (RESULT, b"")
        assert (await client.answer()).status == 202
        client.send("GET", NEXT)
        await world.settled()


async def test_stream_without_a_type_is_of_octets() -> None:
    async with api_world() as world:
        client = await world.running()
        client.send("POST", RESPONSE, STREAMING, b"0\r\n\r\n")
        assert await world.outcome() == (RESULT, b"")
        assert world.environment.streams == ["application/octet-stream"]


async def test_stream_fails_by_its_trailer() -> None:
    error = b'{"errorType":"Late","errorMessage":"so close"}'
    trailer = b"Lambda-Runtime-Function-Error-Type: Function.Late\r\n"
    trailer += b"Lambda-Runtime-Function-Error-Body: %s\r\n\r\n" % base64.b64encode(error)
    async with api_world() as world:
        client = await world.running()
        client.send("POST", RESPONSE, STREAMING, chunk(b"begun") + b"0\r\n" + trailer)
        assert (await client.answer()).status == 202
        assert await world.outcome() == (ERROR, error)
        assert world.api.error_type == "Function.Late"


@pytest.mark.parametrize("way", ["leaves", "breaks"])
async def test_stream_that_breaks_off_is_an_error(way: str) -> None:
    async with api_world() as world:
        client = await world.running()
        client.send("POST", RESPONSE, STREAMING, chunk(b"begun"))
        await taken(world)
        if way == "leaves":
            client.close()
        else:
            client.writer.write(b"not a length\r\n")
            assert await client.ended()
        kind, payload = await world.outcome()
        assert kind == ERROR
        assert b'"errorType":"Runtime.TruncatedResponse"' in payload


async def test_body_that_breaks_off_is_an_error() -> None:
    async with api_world() as world:
        client = await world.running()
        client.send("POST", RESPONSE, {"Content-Length": "10"})
        client.writer.write(b"half")
        await client.writer.drain()
        client.close()
        kind, payload = await world.outcome()
        assert kind == ERROR
        assert b'"errorType":"Runtime.TruncatedResponse"' in payload
        other = await world.client()
        other.send("GET", NEXT)
        await world.settled()


async def test_paused_stream_holds_its_sender_back() -> None:
    size = 32_000_000
    async with api_world() as world:
        assert world.link is not None
        client = await world.running()
        client.send("POST", RESPONSE, STREAMING, chunk(b"begun"))
        await taken(world)
        world.link.pause()
        client.writer.write(chunk(b"x" * size) + b"0\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.writer.drain(), 0.2)
        assert world.environment.outcomes.empty()
        assert world.environment.chunks.qsize() <= 2
        world.link.resume()
        assert await world.outcome() == (RESULT, b"")
        total = 0
        while not world.environment.chunks.empty():
            piece = world.environment.chunks.get_nowait()
            assert len(piece) <= 262_144
            total += len(piece)
        assert total == size


async def test_killed_runtime_is_replaced() -> None:
    async with api_world() as world:
        old = await world.polling()
        first = world.link
        world.begin()
        assert await old.ended() == b""
        assert world.link is not first
        new = await world.polling()
        world.hand_over(Invoked(payload=b"new"))
        assert (await new.answer()).body == b"new"


async def test_replaced_runtime_cannot_answer() -> None:
    async with api_world() as world:
        await world.running()
        world.begin()
        late = await world.client()
        assert (await late.ask("POST", RESPONSE, body=b"late")).status == 400
        assert world.environment.outcomes.empty()


async def test_restored_runtime_goes_on() -> None:
    async with api_world(snap_start=True) as world:
        assert world.link is not None
        client = await world.client()
        client.send("GET", f"{RUNTIME}/restore/next")
        assert (
            await asyncio.wait_for(asyncio.shield(world.link.runtime.initialised), LIMIT_S) is None
        )
        restored = world.api.begin_restore()
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"")
        assert not restored.done()
        client.send("GET", NEXT)
        assert await asyncio.wait_for(restored, LIMIT_S) is None
        world.hand_over(Invoked(payload=b"after"))
        assert (await client.answer()).body == b"after"


@pytest.mark.parametrize("path", ["restore/error", "init/error"])
async def test_restore_fails_by_what_is_posted(path: str) -> None:
    async with api_world(snap_start=True) as world:
        client = await world.client()
        client.send("GET", f"{RUNTIME}/restore/next")
        await asyncio.wait_for(asyncio.shield(world.link.runtime.initialised), LIMIT_S)  # type: ignore[union-attr]
        restored = world.api.begin_restore()
        await client.answer()
        fields = {"Lambda-Runtime-Function-Error-Type": "Runtime.AfterRestoreError"}
        assert (await client.ask("POST", f"{RUNTIME}/{path}", fields, b"{}")).status == 202
        failure = await restored
        assert failure is not None
        assert failure.error_type == "Runtime.AfterRestoreError"


async def test_idle_connections_make_room() -> None:
    async with api_world() as world:
        for _ in range(CONNECTIONS_MAX + 20):
            client = await world.client()
            assert (await client.ask("GET", "/2018-06-01/ping")).status == 200


async def test_too_many_waiting_connections_are_cut_off() -> None:
    async with api_world() as world:
        for _ in range(CONNECTIONS_MAX):
            (await world.client()).send("GET", NEXT)
        await eventually(world, lambda: len(world.api._polls) == CONNECTIONS_MAX)
        refused = await world.client()
        refused.send("GET", NEXT)
        assert await refused.ended() == b""


async def test_endless_header_is_cut_off() -> None:
    async with api_world() as world:
        client = await world.client()
        client.writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * (HEAD_BYTES_MAX + 70_000))
        assert await client.ended() == b""


async def test_large_error_cause_is_taken() -> None:
    async with api_world() as world:
        client = await world.running()
        fields = {"Lambda-Runtime-Function-XRay-Error-Cause": "x" * 1_048_576}
        assert (await client.ask("POST", OTHER, fields, b"{}")).status == 202


async def test_client_that_does_not_wait_is_closed_after_its_answer() -> None:
    async with api_world() as world:
        client = await world.polling()
        client.send("GET", NEXT)
        await client.writer.drain()
        await (await world.client()).ask("GET", "/2018-06-01/ping")
        world.hand_over(Invoked(payload=b"first"))
        answer = await client.answer()
        assert answer.body == b"first"
        assert answer.field("Connection") == "close"
        assert await client.ended() == b""


async def test_nonsense_is_refused() -> None:
    async with api_world() as world:
        client = await world.client()
        client.writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        assert (await client.ended()).startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def taken(world: ApiWorld) -> bytes:
    return await asyncio.wait_for(world.environment.chunks.get(), LIMIT_S)


async def eventually(world: ApiWorld, holds: "object") -> None:
    assert callable(holds)
    probe: Client = await world.client()
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await probe.ask("GET", "/2018-06-01/ping")
    probe.close()
