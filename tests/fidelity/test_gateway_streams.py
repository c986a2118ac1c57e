"""The rows of streamed answers: the head of a function's stream, and what its client gets."""

import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import (
    FUNCTION_ARN,
    SCOPE,
    FakeInvoker,
    FakePermissions,
    lambda_method,
    small_api,
    small_stage,
)
from lamington.core.clock import Ids, ManualClock
from lamington.core.http import Headers, Request, Response
from lamington.functions.invoke import Invocation
from lamington.gateway.cache import CacheStore
from lamington.gateway.deployment import compile_stage
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.stage_parts import StageParts

CASES = [
    pytest.param(case, id=case["id"])
    for case in tomllib.loads((Path(__file__).parent / "gateway_streams.toml").read_text())["case"]
]
URI = (
    "arn:aws:apigateway:eu-west-1:lambda:path/2021-11-15/functions/"
    f"{FUNCTION_ARN}/response-streaming-invocations"
)
MEGABYTE = b"x" * 1024 * 1024


class Streamed:
    """An answer of a case's pieces."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.request_id = "id-1"
        self.function_error = given.get("fails", "")
        self.error_payload = b'{"errorMessage": "broke"}'
        self._given = given

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._given["pieces"]:
            yield piece.encode().replace(b"<0>", bytes(8))
        if "head_bytes" in self._given:
            yield b" " * self._given["head_bytes"] + bytes(8)
        for _ in range(self._given.get("megabytes", 0)):
            yield MEGABYTE


class Streaming:
    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self.invocations: list[Invocation] = []

    async def invoke_streamed(self, invocation: Invocation) -> Streamed:
        self.invocations.append(invocation)
        return Streamed(self._given)


def _plane(given: dict[str, Any], streaming: Streaming) -> RestDataPlane:
    plane = RestDataPlane(clock=ManualClock(), ids=Ids())
    cached = given.get("cached", False)
    plane.deploy(
        compile_stage(
            api=small_api(
                {"GET /a": lambda_method(uri=URI, response_transfer_mode="STREAM")},
                minimum_compression_size=given.get("minimum"),
            ),
            stage=small_stage(
                cache_cluster_enabled=cached,
                method_settings={"*/*": {"cachingEnabled": True}} if cached else {},
            ),
            scope=SCOPE,
            parts=StageParts(
                invoker=FakeInvoker({}),
                permitted=FakePermissions(permitted=given.get("permitted", True)),
                streaming=streaming,
                cache=CacheStore(ManualClock()),
            ),
        )
    )
    return plane


async def _pieces(response: Response) -> list[bytes]:
    return [] if response.stream is None else [piece async for piece in response.stream]


@pytest.mark.parametrize("case", CASES)
async def test_answer_is_streamed_as_on_aws(case: dict[str, Any]) -> None:
    given, expect = case["given"], case["expect"]
    streaming = Streaming(given)
    plane = _plane(given, streaming)
    request = Request(
        method="GET",
        path="/dev/a",
        headers=Headers([("Host", "h"), ("Accept-Encoding", "gzip")]),
    )
    response = await plane.handle(request, "abc123", "dev", "/a")
    pieces = await _pieces(response)
    if given.get("cached"):
        response = await plane.handle(request, "abc123", "dev", "/a")
        pieces = await _pieces(response)
    assert response.status == expect["status"]
    if "body" in expect:
        assert response.body.decode() == expect["body"]
    if "pieces" in expect:
        assert [piece.decode() for piece in pieces] == expect["pieces"]
    if "bytes" in expect:
        assert sum(len(piece) for piece in pieces) == expect["bytes"]
    if "invocations" in expect:
        assert len(streaming.invocations) == expect["invocations"]
    for name, values in expect.get("all", {}).items():
        assert [value for key, value in response.headers if key == name] == values
    names = {name for name, _ in response.headers}
    assert names.isdisjoint(expect.get("absent", ()))
