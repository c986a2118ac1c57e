"""The Extensions API: registration, events, failures and shutdown, over real sockets."""

import asyncio
import json

import pytest

from api_world import ARN, EXTENSION, LIMIT_S, NAMES, RUNTIME, Invoked, api_world

NEXT = f"{RUNTIME}/invocation/next"
REGISTER = f"{EXTENSION}/register"
FAILED = {"Lambda-Extension-Function-Error-Type": "Extension.NoSuchKey"}


async def test_extension_is_told_of_an_invocation_and_its_end() -> None:
    async with api_world() as world:
        initialised = world.begin(["tracer"])
        client, fields = await world.extension("tracer")
        await world.api.registered
        await world.turned(client, fields)
        assert not initialised.done(), "the runtime is not ready"
        runtime = await world.polling()
        assert await asyncio.wait_for(initialised, LIMIT_S) is None
        assert world.environment.notes == [
            (
                "platform.extension",
                {"name": "tracer", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]},
            )
        ]
        world.hand_over(Invoked(trace_id="Root=1"))
        event = await client.answer()
        assert event.field("Lambda-Extension-Event-Identifier")
        assert event.body == (
            b'{"eventType":"INVOKE","deadlineMs":1700000000000,"requestId":"id-1",'
            b'"invokedFunctionArn":"' + ARN.encode() + b'",'
            b'"tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"}}'
        )
        await runtime.answer()
        await runtime.ask("POST", f"{RUNTIME}/invocation/id-1/response", body=b"1")
        runtime.send("GET", NEXT)
        await world.turned(runtime, {})
        assert world.environment.settlings.empty(), "the extension still works"
        assert not world.api.is_settled
        client.send("GET", f"{EXTENSION}/event/next", fields)
        await world.settled()
        assert world.environment.settlings.empty()


async def test_extension_that_did_not_ask_is_not_told() -> None:
    async with api_world() as world:
        world.begin(["quiet"])
        client, fields = await world.extension("quiet", '["SHUTDOWN"]')
        await world.turned(client, fields)
        runtime = await world.running()
        await runtime.ask("POST", f"{RUNTIME}/invocation/id-1/response", body=b"1")
        runtime.send("GET", NEXT)
        await world.settled()
        ended = asyncio.ensure_future(world.api.shut_down("SPINDOWN", LIMIT_S))
        event = json.loads((await client.answer()).body)
        assert list(event) == ["eventType", "deadlineMs", "shutdownReason"]
        assert (event["eventType"], event["shutdownReason"]) == ("SHUTDOWN", "SPINDOWN")
        assert not ended.done()
        world.api.extension_exited("quiet", "")
        await asyncio.wait_for(ended, LIMIT_S)
        assert world.environment.failures == []


async def test_shut_down_ends_when_the_extension_comes_back() -> None:
    async with api_world(speaks_api=False) as world:
        world.begin(["tracer"])
        client, fields = await world.extension("tracer")
        await world.turned(client, fields)
        world.api.end_registration()
        ended = asyncio.ensure_future(world.api.shut_down("FAILURE", LIMIT_S))
        await client.answer()
        client.send("GET", f"{EXTENSION}/event/next", fields)
        await asyncio.wait_for(ended, LIMIT_S)


async def test_shut_down_waits_no_longer_than_its_limit() -> None:
    async with api_world(speaks_api=False) as world:
        world.begin(["busy"])
        client, fields = await world.extension("busy")
        await world.turned(client, fields)
        world.api.end_registration()
        world.api.tell_invocation("id-1", ARN, "", 1)
        await client.answer()
        await asyncio.wait_for(world.api.shut_down("TIMEOUT", 0.05), LIMIT_S)
        late = json.loads((await client.ask("GET", f"{EXTENSION}/event/next", fields)).body)
        assert late["shutdownReason"] == "TIMEOUT"


async def test_runtime_of_frames_settles_by_its_extensions() -> None:
    async with api_world(speaks_api=False) as world:
        world.begin(["tracer"])
        client, fields = await world.extension("tracer")
        await world.turned(client, fields)
        world.api.end_registration()
        assert world.api.is_settled
        world.api.tell_invocation("id-1", ARN, "", 1)
        world.api.tell_invocation("id-1", ARN, "", 1)
        assert not world.api.is_settled
        await client.answer()
        client.send("GET", f"{EXTENSION}/event/next", fields)
        await world.settled()
        assert world.api.is_settled
        world.api.tell_invocation("id-1", ARN, "", 1)
        assert (await client.answer()).status == 200, "tried again, under the same id"


async def test_internal_extension_is_waited_for() -> None:
    async with api_world() as world:
        initialised = world.begin()
        client, fields = await world.extension("inside", '["INVOKE"]')
        await world.polling()
        assert not initialised.done()
        client.send("GET", f"{EXTENSION}/event/next", fields)
        assert await asyncio.wait_for(initialised, LIMIT_S) is None


async def test_init_without_extensions_is_over_with_the_runtime() -> None:
    async with api_world() as world:
        initialised = world.begin()
        assert not world.api.has_extensions
        await world.polling()
        assert initialised.done()


async def test_account_is_told_to_those_who_ask() -> None:
    async with api_world() as world:
        world.begin(["a"])
        client = await world.client()
        fields = {
            "Lambda-Extension-Name": "a",
            "Lambda-Extension-Accept-Feature": "other, accountId",
        }
        answer = await client.ask("POST", REGISTER, fields, b'{"events":[]}')
        assert answer.body == (
            b'{"functionName":"f","functionVersion":"$LATEST","handler":"app.handler",'
            b'"accountId":"000000000000"}\n'
        )


@pytest.mark.parametrize(
    ("path", "error_type", "state"),
    [
        ("init/error", "Extension.InitError", "InitError"),
        ("exit/error", "Extension.ExitError", "ExitError"),
    ],
)
async def test_posted_error_fails_the_init(path: str, error_type: str, state: str) -> None:
    async with api_world() as world:
        initialised = world.begin(["broken"])
        client, fields = await world.extension("broken")
        answer = await client.ask("POST", f"{EXTENSION}/{path}", {**fields, **FAILED})
        assert (answer.status, answer.body) == (202, b'{"status":"OK"}\n')
        failure = await initialised
        assert failure.error_type == error_type
        assert world.environment.notes[0][1]["state"] == state
        world.api.extension_exited("broken", "exit status 1")
        assert world.environment.failures == []


async def test_exit_in_init_is_a_crash() -> None:
    async with api_world() as world:
        initialised = world.begin(["gone"])
        world.api.extension_exited("gone", "exit status 1")
        assert world.api.registered.done()
        failure = await initialised
        assert failure.payload("id") == (
            b'{"errorType":"Extension.Crash","errorMessage":"RequestId: id Error: exit status 1"}'
        )


async def test_exit_after_init_is_told() -> None:
    async with api_world(speaks_api=False) as world:
        world.begin(["gone"])
        client, fields = await world.extension("gone")
        await world.turned(client, fields)
        world.api.end_registration()
        world.api.extension_exited("gone", "signal: killed")
        assert world.environment.failures == [("Extension.Crash", "signal: killed")]


async def test_exit_after_shut_down_is_no_failure() -> None:
    async with api_world(speaks_api=False) as world:
        world.begin(["quiet"])
        client, fields = await world.extension("quiet", "[]")
        await world.turned(client, fields)
        world.api.end_registration()
        await world.api.shut_down("SPINDOWN", LIMIT_S)
        world.api.extension_exited("quiet", "signal: killed")
        assert world.environment.failures == []


async def test_posted_exit_error_is_told_once() -> None:
    async with api_world(speaks_api=False) as world:
        world.begin(["gone"])
        client, fields = await world.extension("gone")
        await world.turned(client, fields)
        world.api.end_registration()
        other = await world.client()
        for _ in range(2):
            posted = await other.ask("POST", f"{EXTENSION}/exit/error", {**fields, **FAILED})
            assert posted.status == 202
        world.api.extension_exited("gone", "exit status 1")
        assert world.environment.failures == [("Extension.ExitError", "Extension.NoSuchKey")]


async def test_there_are_at_most_ten() -> None:
    async with api_world() as world:
        world.begin(NAMES[:9])
        await world.extension("the-tenth", '["INVOKE"]')
        client = await world.client()
        fields = {"Lambda-Extension-Name": "one-more"}
        answer = await client.ask("POST", REGISTER, fields, b'{"events":["INVOKE"]}')
        assert answer.status == 403
        assert answer.body == (
            b'{"errorMessage":"Extension limit (10) reached",'
            b'"errorType":"Extension.TooManyExtensions"}\n'
        )


async def test_extension_whose_connection_broke_may_ask_again() -> None:
    async with api_world(speaks_api=False) as world:
        world.begin(["tracer"])
        client, fields = await world.extension("tracer")
        await world.turned(client, fields)
        client.close()
        again = await world.client()
        async with asyncio.timeout(LIMIT_S):
            while world.api.is_settled:
                await (await world.client()).ask("GET", "/2018-06-01/ping")
        await world.turned(again, fields)
        world.api.tell_invocation("id-1", ARN, "", 1)
        assert (await again.answer()).status == 200
