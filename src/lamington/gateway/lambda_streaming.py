"""Functions behind proxy integrations whose answer is streamed to the client as it comes.

The stream begins with the head of the response: a JSON object, then eight NUL bytes. Left to
others: the event that the function gets (`lambda_proxy`), and the writing of the pieces.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import msgspec

from lamington.core.errors import AwsError, LamingtonError
from lamington.functions.entities import REQUEST_PAYLOAD_MAX_BYTES
from lamington.functions.invoke import Invocation
from lamington.gateway.integrations import (
    IntegrationRequest,
    IntegrationResponse,
    error_message,
    lambda_refusal,
    not_permitted,
    response_header_name,
    timed_out,
)
from lamington.gateway.mapping import MethodRequest
from lamington.gateway.responses import MethodResponse, Refusal, bad_gateway
from lamington.gateway.templates import Context

HEAD_END = bytes(8)
HEAD_MAX_BYTES = 16 * 1024
"""AWS: the head and its end have to be in the first 16 KB."""


class StreamedAnswer(Protocol):
    """An invocation whose answer comes piece by piece; the error is known after the last."""

    request_id: str
    function_error: str
    error_payload: bytes

    def chunks(self) -> AsyncIterator[bytes]: ...


class StreamingInvoker(Protocol):
    """Runs functions and passes their answers on as they come."""

    async def invoke_streamed(self, invocation: Invocation) -> StreamedAnswer: ...


class LambdaStreamIntegration:
    """Invokes a function by InvokeWithResponseStream and reads the head of what it answers.

    The body of its response is the head's JSON text; the stream is what follows the head.

    Differs: a stream has no limit of bandwidth and none of silence; its deadline ends it.
    """

    __slots__ = ("_function_arn", "_invoker", "_permit", "_timeout_s", "uri")

    def __init__(
        self,
        *,
        function_arn: str,
        invoker: StreamingInvoker,
        timeout_ms: int,
        permit: Callable[[], bool],
    ) -> None:
        region = function_arn.split(":")[3]
        self.uri = (
            f"https://lambda.{region}.amazonaws.com/2021-11-15/functions/{function_arn}"
            "/response-streaming-invocations"
        )
        self._function_arn = function_arn
        self._invoker = invoker
        self._timeout_s = timeout_ms / 1000
        self._permit = permit

    async def send(self, request: IntegrationRequest) -> IntegrationResponse:
        """Invoke the function and wait for the head of its answer.

        AWS: the integration's time counts until the stream ends; the function runs on.
        """
        if not self._permit():
            raise not_permitted(self._function_arn)
        deadline = time.monotonic() + self._timeout_s
        invocation = Invocation(
            function_arn=self._function_arn,
            payload=request.body,
            trace_id=request.trace_id,
            checked=request.checked and len(request.body) <= REQUEST_PAYLOAD_MAX_BYTES,
        )
        # A task of its own: there may be none yet, and a time limit needs one.
        beginning = asyncio.get_running_loop().create_task(self._begin(invocation))
        try:
            answer, chunks, head, rest = await beginning
        except AwsError as error:
            lambda_refusal(error)
            raise _malformed(error.message) from error
        except TimeoutError:
            raise timed_out(
                f"the function did not begin its answer within {self._timeout_s:g} s"
            ) from None
        if answer.function_error:
            raise bad_gateway(
                "Lambda execution failed with status 200 due to customer function error:"
                f" {error_message(answer.error_payload)}. Lambda request id: {answer.request_id}"
            )
        if head is None:
            raise _malformed("the stream has no head that ends in eight NUL bytes")
        stream = _rest_of_stream(answer, rest, chunks, deadline)
        return IntegrationResponse(200, head, request_id=answer.request_id, stream=stream)

    async def _begin(
        self, invocation: Invocation
    ) -> tuple[StreamedAnswer, AsyncIterator[bytes], bytes | None, bytes]:
        async with asyncio.timeout(self._timeout_s):
            answer = await self._invoker.invoke_streamed(invocation)
            chunks = answer.chunks()
            return (answer, chunks, *await _read_head(chunks))


async def _read_head(chunks: AsyncIterator[bytes]) -> tuple[bytes | None, bytes]:
    """The head's text and what of the body came with it; no head where the stream has none."""
    read = b""
    async for chunk in chunks:
        read += chunk
        head, end, rest = read.partition(HEAD_END)
        if end and len(head) <= HEAD_MAX_BYTES:
            # Whether the eight NULs are the first ones is sure once something else follows.
            return head, rest
        if len(read) > HEAD_MAX_BYTES:
            break
    return None, read


async def _rest_of_stream(
    answer: StreamedAnswer, first: bytes, chunks: AsyncIterator[bytes], deadline: float
) -> AsyncIterator[bytes]:
    try:
        if first:
            yield first
        while True:
            async with asyncio.timeout(deadline - time.monotonic()):
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            yield chunk
    except TimeoutError:
        raise LamingtonError("a function streamed for longer than its integration may") from None
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
    if answer.function_error:
        raise LamingtonError(
            f"a function failed while it streamed: {error_message(answer.error_payload)}"
        )


def read_streamed_answer(
    request: MethodRequest, context: Context, response: IntegrationResponse
) -> MethodResponse:
    """Make a response of the head of a stream; what is no head is a 502.

    AWS: API Gateway developer guide, response streaming: `statusCode`, `headers`,
    `multiValueHeaders` and `cookies`, all of them optional.
    """
    try:
        head = msgspec.json.decode(response.body)
    except msgspec.DecodeError as error:
        raise _malformed(f"the head is no JSON: {error}") from None
    if not isinstance(head, dict):
        raise _malformed("the head is no object")
    status = head.get("statusCode", 200)
    if isinstance(status, str) and status.isascii() and status.isdecimal():
        status = int(status)
    if type(status) is not int or not 100 <= status <= 599:
        raise _malformed(f"`statusCode` is `{status}`")
    return MethodResponse(status, _headers(head), stream=response.stream)


def _headers(head: Mapping[str, Any]) -> list[tuple[str, str]]:
    single = _given(head, "headers", {})
    several = _given(head, "multiValueHeaders", {})
    cookies = _given(head, "cookies", [])
    if not (isinstance(single, dict) and isinstance(several, dict) and isinstance(cookies, list)):
        raise _malformed("`headers` and `multiValueHeaders` are objects, `cookies` is a list")
    pairs: list[tuple[str, Any]] = []
    for name, values in several.items():
        if not isinstance(values, list):
            raise _malformed(f"`multiValueHeaders` has no list of values for `{name}`")
        pairs.extend((name, value) for value in values)
    repeated = {name.lower() for name in several}
    pairs.extend(pair for pair in single.items() if pair[0].lower() not in repeated)
    pairs.extend(("Set-Cookie", cookie) for cookie in cookies)
    headers = []
    for name, value in pairs:
        shown = response_header_name(name)
        if shown and value is not None:
            headers.append((shown, _text(value)))
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    return headers


def _given(head: Mapping[str, Any], name: str, default: Any) -> Any:
    value = head.get(name)
    return default if value is None else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _malformed(why: str) -> Refusal:
    return bad_gateway(
        "Execution failed due to configuration error: Malformed Lambda proxy response",
        hint=f"{why}; a function that streams to a REST API begins with a JSON object of"
        " statusCode, headers, multiValueHeaders and cookies, then eight NUL bytes",
    )
