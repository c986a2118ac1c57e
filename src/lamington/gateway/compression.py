"""Payload compression: responses compressed for clients that take it, request bodies unpacked.

Left to others: when each is done (`pipeline`), and what else becomes of a body.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from functools import lru_cache

from lamington.gateway.entities import PAYLOAD_MAX_BYTES, RestApi
from lamington.gateway.mapping import MethodRequest
from lamington.gateway.responses import MethodResponse, Refusal

COMPRESSION_LEVEL = 6
"""What zlib takes by default: level 9 needs three times as long for half a percent."""

COMPRESSED_AT_ONCE_MAX_BYTES = 32 * 1024
"""A body of this size takes about a millisecond; a larger one is compressed in a thread, which
leaves the loop free: 1 MB takes 25 ms, 10 MB 230 ms."""

ENCODINGS_KEPT = 512

_WINDOW = {"gzip": 31, "deflate": 15}

Compress = Callable[[MethodRequest, MethodResponse], Awaitable[None] | None]
"""Compresses a response in place where its client takes that; None where it is done at once."""


def compile_compression(api: RestApi) -> Compress | None:
    """Compile the compression of an API's responses; None where the API has none.

    AWS: API Gateway developer guide, payload compression: a body of at least
    `minimumCompressionSize`, after all templates, whose response has no `Content-Encoding`, for a
    client that names a coding in `Accept-Encoding`.
    Differs: an empty body is left as it is whatever the minimum.
    """
    minimum_bytes = api.minimum_compression_size
    if minimum_bytes is None:
        return None
    least = max(minimum_bytes, 1)

    def compress(request: MethodRequest, response: MethodResponse) -> Awaitable[None] | None:
        if len(response.body) < least or response.stream is not None:
            return None
        accepted = request.known.get("accept-encoding")
        coding = choose_coding(accepted) if accepted else ""
        if not coding or any(name.lower() == "content-encoding" for name, _ in response.headers):
            return None
        if len(response.body) > COMPRESSED_AT_ONCE_MAX_BYTES:
            return _compress_aside(response, coding)
        response.body = _compressed(response.body, coding)
        response.headers.append(("Content-Encoding", coding))
        return None

    return compress


async def _compress_aside(response: MethodResponse, coding: str) -> None:
    response.body = await asyncio.to_thread(_compressed, response.body, coding)
    response.headers.append(("Content-Encoding", coding))


def _compressed(body: bytes, coding: str) -> bytes:
    return zlib.compress(body, COMPRESSION_LEVEL, _WINDOW[coding])


@lru_cache(maxsize=ENCODINGS_KEPT)
def choose_coding(accepted: str) -> str:
    """The coding of the highest priority in an `Accept-Encoding`, "" for none.

    Clients send few different ones: each is read once.

    AWS: `gzip`, `deflate` and `identity` count; `*` alone is not compressed. Of codings with the
    same priority the first one is taken.
    """
    best, chosen = 0.0, ""
    for part in accepted.split(","):
        coding, *parameters = (each.strip().lower() for each in part.split(";"))
        priority = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                priority = _priority(value.strip())
        if priority > best and coding in ("gzip", "deflate", "identity"):
            best, chosen = priority, coding
    return chosen if chosen in _WINDOW else ""


def _priority(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0


def decompress(request: MethodRequest) -> None:
    """Unpack a request's body in place, before validation, templates and functions see it.

    AWS: API Gateway developer guide, payload compression; another coding, or a body that is not
    of the coding it names, is a 415.
    """
    if "content-encoding" not in request.known or not request.body:
        return
    coding = request.known["content-encoding"].strip().lower()
    if coding == "identity":
        return
    if coding not in _WINDOW:
        raise Refusal(
            f"Content-Encoding {coding} is not supported", response_type="UNSUPPORTED_MEDIA_TYPE"
        )
    reader = zlib.decompressobj(_WINDOW[coding])
    try:
        body = reader.decompress(request.body, PAYLOAD_MAX_BYTES + 1)
    except zlib.error as error:
        raise _not_of(coding, str(error)) from None
    if len(body) > PAYLOAD_MAX_BYTES:
        raise Refusal("Request payload is too large", response_type="REQUEST_TOO_LARGE")
    if not reader.eof:
        raise _not_of(coding, "it ends early")
    request.body = body


def _not_of(coding: str, why: str) -> Refusal:
    return Refusal(f"The body is not {coding}: {why}", response_type="UNSUPPORTED_MEDIA_TYPE")
