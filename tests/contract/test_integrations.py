"""What every `Integration` does, and what each does of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from fakes_gateway import FUNCTION_ARN, FakeInvoker, HandlerFailed
from lamington.functions.entities import TooManyRequestsException
from lamington.functions.invoke import Invocation, InvocationResult
from lamington.gateway.http_client import HttpClient, Terms
from lamington.gateway.http_integrations import HttpIntegration
from lamington.gateway.integrations import (
    Bounded,
    Integration,
    IntegrationRequest,
    IntegrationResponse,
    LambdaIntegration,
    MockIntegration,
    RefusedIntegration,
)
from lamington.gateway.lambda_streaming import LambdaStreamIntegration, StreamedAnswer
from lamington.gateway.responses import GATEWAY_RESPONSE_TYPES, Refusal


def lambda_integration(invoker: FakeInvoker, *, timeout_ms: int = 29_000) -> LambdaIntegration:
    return LambdaIntegration(
        function_arn=FUNCTION_ARN, invoker=invoker, timeout_ms=timeout_ms, permit=lambda: True
    )


INTEGRATIONS: dict[str, Callable[[], Integration]] = {
    "lambda": lambda: lambda_integration(FakeInvoker({FUNCTION_ARN: lambda event: event})),
    "lambda without permission": lambda: LambdaIntegration(
        function_arn=FUNCTION_ARN, invoker=FakeInvoker({}), timeout_ms=1000, permit=lambda: False
    ),
    "lambda without function": lambda: lambda_integration(FakeInvoker({})),
    "mock": MockIntegration,
    "refused": lambda: RefusedIntegration("no", response_type="API_CONFIGURATION_ERROR"),
    "streamed lambda without permission": lambda: LambdaStreamIntegration(
        function_arn=FUNCTION_ARN,
        invoker=NeverStreaming(),
        timeout_ms=1000,
        permit=lambda: False,
    ),
}


class NeverStreaming:
    async def invoke_streamed(self, invocation: Invocation) -> StreamedAnswer:
        raise TooManyRequestsException("Rate Exceeded.")


@pytest.mark.parametrize("make", INTEGRATIONS.values(), ids=INTEGRATIONS)
@pytest.mark.parametrize("body", [b"", b"{}", b"{", b'{"statusCode": 200}', b"no json", b"\xff"])
async def test_an_integration_answers_or_refuses_with_a_gateway_response(
    make: Callable[[], Integration], body: bytes
) -> None:
    outcome: IntegrationResponse | Refusal
    try:
        outcome = await make().send(IntegrationRequest(body))
    except Refusal as refusal:
        outcome = refusal
    assert 100 <= outcome.status <= 599
    if isinstance(outcome, Refusal):
        assert outcome.response_type in GATEWAY_RESPONSE_TYPES
        assert outcome.message


@pytest.mark.parametrize("uri", ["", "no address", "http://", "ftp://a/", "http://a:1/\r\n"])
async def test_http_without_an_address_is_a_configuration_error(uri: str) -> None:
    client = HttpClient()
    integration = HttpIntegration(client, Terms(timeout_s=1.0))
    with pytest.raises(Refusal) as caught:
        await integration.send(IntegrationRequest(b"", method="GET", uri=uri))
    await client.close()
    assert (caught.value.status, caught.value.response_type) == (500, "API_CONFIGURATION_ERROR")


async def test_header_that_cannot_be_sent_is_a_configuration_error() -> None:
    client = HttpClient()
    integration = HttpIntegration(client, Terms(timeout_s=1.0))
    request = IntegrationRequest(
        b"", method="GET", uri="http://127.0.0.1:1/", headers=[("X-A", "a\r\nX-B: b")]
    )
    with pytest.raises(Refusal):
        await integration.send(request)
    await client.close()


async def test_lambda_gives_the_functions_answer() -> None:
    invoker = FakeInvoker({FUNCTION_ARN: lambda event: event})
    response = await lambda_integration(invoker).send(IntegrationRequest(b'{"a": 1}', "Root=1"))
    assert (response.status, response.body, response.function_error) == (200, b'{"a":1}', "")
    assert invoker.invocations[0].trace_id == "Root=1"


async def test_lambda_gives_the_functions_error() -> None:
    def fail(event: object) -> object:
        raise HandlerFailed({"errorMessage": "boom"})

    response = await lambda_integration(FakeInvoker({FUNCTION_ARN: fail})).send(
        IntegrationRequest(b"{}")
    )
    assert response.status == 200
    assert response.function_error == "Unhandled"
    assert dict(response.headers)["X-Amz-Function-Error"] == "Unhandled"


async def test_throttling_is_a_configuration_error() -> None:
    class Throttled:
        async def invoke(self, invocation: Invocation) -> InvocationResult:
            raise TooManyRequestsException("Rate Exceeded.")

    integration = LambdaIntegration(
        function_arn=FUNCTION_ARN, invoker=Throttled(), timeout_ms=1000, permit=lambda: True
    )
    with pytest.raises(Refusal) as caught:
        await integration.send(IntegrationRequest(b"{}"))
    assert caught.value.status == 500
    assert "429" in caught.value.message


# `Bounded`: an await with an end, without a task for each.


async def bounded(work: Callable[[], Awaitable[str]], seconds: float) -> str:
    async def run() -> str:
        return await work()

    return await Bounded(run(), seconds, set())


async def test_bounded_gives_the_result_of_what_never_waits() -> None:
    async def work() -> str:
        return "done"

    assert await bounded(work, 1) == "done"


async def test_bounded_gives_the_result_of_what_waits_often() -> None:
    async def work() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
        return "done"

    assert await bounded(work, 5) == "done"


async def test_bounded_raises_what_the_coroutine_raises() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await bounded(work, 5)


async def test_bounded_passes_on_what_a_future_raises() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        with suppress(LookupError):
            return await future
        return "caught"

    asyncio.get_running_loop().call_soon(future.set_exception, LookupError())
    assert await bounded(work, 5) == "caught"


async def test_what_is_bounded_goes_on_after_its_time() -> None:
    gate = asyncio.Event()
    steps: list[str] = []
    ended = asyncio.Event()

    async def work() -> str:
        await gate.wait()
        steps.append("gate")
        await asyncio.sleep(0)
        ended.set()
        return "late"

    with pytest.raises(TimeoutError):
        await bounded(work, 0.01)
    assert not steps
    gate.set()
    await ended.wait()
    assert steps == ["gate"]


async def test_an_abandoned_invocation_that_is_refused_troubles_nobody() -> None:
    gate, ended = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        try:
            await gate.wait()
            raise TooManyRequestsException("Rate Exceeded.")
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await bounded(work, 0.001)
    gate.set()
    await ended.wait()
    await asyncio.sleep(0)


@pytest.mark.parametrize("seconds", [0.0, 0.001])
async def test_what_is_bounded_goes_on_when_its_caller_is_cancelled(seconds: float) -> None:
    gate, waiting, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> str:
        waiting.set()
        await asyncio.sleep(seconds)
        await gate.wait()
        ended.set()
        return ""

    task = asyncio.create_task(bounded(work, 5))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await ended.wait()


async def test_what_cancels_a_future_reaches_the_coroutine() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        try:
            return await future
        except asyncio.CancelledError:
            return "told"

    asyncio.get_running_loop().call_soon(future.cancel)
    assert await bounded(work, 5) == "told"


async def test_bounded_works_within_gathered_tasks() -> None:
    async def work() -> str:
        await asyncio.sleep(0.001)
        return "done"

    assert await asyncio.gather(*(bounded(work, 5) for _ in range(50))) == ["done"] * 50
