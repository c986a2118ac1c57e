"""The response that a function's answer to a function URL stands for, whole or piece by piece.

Left to others: the event that it answers to (`url_events`), and who may ask (`function_urls`).
"""

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import msgspec

from lamington.core.errors import AwsError, FunctionError
from lamington.core.http import Response
from lamington.functions.answer_format import compact_json, structured_answer
from lamington.functions.invoke import Invocation, InvocationResult

LOGGER = logging.getLogger("lamington.functions")

HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response"
PRELUDE_END = b"\0" * 8
PRELUDE_MAX_BYTES = 1_048_576

_NO_RESPONSE = (
    "what the function answers is no response; it has a `statusCode` from 200 to 599, and may have"
    " `headers` (an object of scalars), `cookies` (an array), `body` and `isBase64Encoded`"
)
_JSON = "application/json"
_OCTETS = "application/octet-stream"
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder().decode


class StreamedAnswer(Protocol):
    """An invocation whose answer comes piece by piece; the error is known after the last."""

    content_type: str
    executed_version: str
    request_id: str
    function_error: str
    error_payload: bytes
    log_tail: bytes

    def chunks(self) -> AsyncIterator[bytes]: ...


class StreamingInvoker(Protocol):
    """An Invoker that can also pass an answer on as it comes."""

    async def invoke(self, invocation: Invocation) -> InvocationResult: ...

    async def invoke_streamed(self, invocation: Invocation) -> StreamedAnswer: ...

    def knows(self, function_arn: str) -> bool:
        """Whether the ARN need not be looked up: it was invoked, and nothing has changed since."""
        ...


def buffered_response(payload: bytes) -> Response:
    """The response that a function's whole answer stands for; 502 where it stands for none.

    AWS: an object with `statusCode` is a response; anything else is the body itself, as compact
    JSON, and a string without its quotes. What a streaming function answered has its prelude.
    """
    try:
        value = _DECODE(payload)
    except msgspec.DecodeError:
        head, found, body = payload.partition(PRELUDE_END)
        response = _structured(head, _OCTETS) if found else None
        if response is None:
            return Response(headers=[("Content-Type", _OCTETS)], body=payload)
        response.body = body
        return response
    if isinstance(value, dict) and "statusCode" in value:
        return structured_answer(value, _JSON) or bad_gateway(_NO_RESPONSE)
    body = value.encode() if isinstance(value, str) else compact_json(value, payload)
    return Response(headers=[("Content-Type", _JSON)], body=body)


def _structured(head: bytes, content_type: str) -> Response | None:
    """The response whose head the JSON text is; None where it is none."""
    try:
        value = _DECODE(head)
    except msgspec.DecodeError:
        return None
    if not _is_object(value):
        return None
    return structured_answer({"statusCode": 200, **value}, content_type)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


async def streamed_response(result: StreamedAnswer) -> Response:
    """The response of a function that may stream: its head is known with the first pieces.

    AWS: the head stands before the body in a prelude, where the content type says so. A function
    that does not stream is answered as ever.
    Differs: pieces go out as fast as the client takes them; AWS slows down after 6 MB.
    """
    chunks = result.chunks()
    if not result.content_type:
        payload = b"".join([chunk async for chunk in chunks])
        return bad_gateway() if result.function_error else buffered_response(payload)
    if result.content_type.startswith(HTTP_INTEGRATION):
        prelude, rest = await _read_prelude(chunks)
        response = None if prelude is None else _structured(prelude, _OCTETS)
        if response is None:
            await _close(chunks)
            return bad_gateway("" if result.function_error else _NO_RESPONSE)
    else:
        rest = await anext(chunks, b"")
        if not rest and result.function_error:
            return bad_gateway()
        response = Response(headers=[("Content-Type", result.content_type)])
    response.stream = _pieces(result, rest, chunks)
    return response


async def _read_prelude(chunks: AsyncIterator[bytes]) -> tuple[bytes | None, bytes]:
    """The JSON before the eight NULs, None where they never come, and what follows them."""
    read = b""
    async for chunk in chunks:
        searched = max(len(read) - len(PRELUDE_END), 0)
        read += chunk
        end = read.find(PRELUDE_END, searched)
        if end >= 0:
            return read[:end], read[end + len(PRELUDE_END) :]
        if len(read) > PRELUDE_MAX_BYTES:
            break
    return None, b""


async def _pieces(
    result: StreamedAnswer, first: bytes, chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """The body; raises FunctionError where the function fails after its head was sent."""
    try:
        if first:
            yield first
        async for chunk in chunks:
            yield chunk
    finally:
        await _close(chunks)
    if result.function_error:
        raise FunctionError(
            f"the function failed after it had begun to answer ({result.request_id})",
            error_type=result.function_error,
        )


async def _close(chunks: AsyncIterator[bytes]) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()


def denied_response(message: str | None) -> Response:
    """The refusal of a caller; without a message where there is no such URL."""
    response = _json(403, {"Message": message})
    response.headers.append(("x-amzn-ErrorType", "AccessDeniedException"))
    return response


def unsigned_response(message: str, code: str) -> Response:
    """The refusal of a signature; `code` is AWS's name for what is wrong with it."""
    response = _json(403, {"message": message})
    response.headers.append(("x-amzn-ErrorType", code))
    return response


def bad_gateway(reason: str = "") -> Response:
    """A 502, and in the engine's log the reason where the function's own log has none.

    AWS: the body is no JSON (recorded).
    """
    if reason:
        LOGGER.warning("a function URL answers 502: %s", reason)
    return Response(status=502, headers=[("Content-Type", _JSON)], body=b"Internal Server Error")


def refused_response(error: AwsError) -> Response:
    """What a refusal of the invoker becomes.

    AWS: throttling is 429 with its reason; what the service cannot do is 502.
    """
    if error.status not in (413, 429):
        return bad_gateway(error.message)
    members = dict(error.members)
    retry_after = members.pop("retryAfterSeconds", None)
    response = _json(error.status, {**members, "message": error.message})
    response.headers.append(("x-amzn-ErrorType", error.code))
    if retry_after is not None:
        response.headers.append(("Retry-After", str(retry_after)))
    return response


def _json(status: int, value: Mapping[str, Any]) -> Response:
    return Response(status=status, headers=[("Content-Type", _JSON)], body=_ENCODE(value))


def too_large_response() -> Response:
    return _json(413, {"Message": "Request Entity Too Large"})
