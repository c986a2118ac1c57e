"""The rows of validation, caching and compression, through the whole pipeline."""

import gzip
import json
import tomllib
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import SmallGateway, header, lambda_method, small_stage
from lamington.core.http import Response
from lamington.gateway.entities import GatewayResponseDefinition, Model, RequestValidator

CASES = [
    pytest.param(case, id=case["id"])
    for case in tomllib.loads((Path(__file__).parent / "gateway_conditions.toml").read_text())[
        "case"
    ]
]
ERROR_TEMPLATE = GatewayResponseDefinition(
    response_type="BAD_REQUEST_BODY",
    response_templates={"application/json": "$context.error.validationErrorString"},
)
UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


def _gateway(given: dict[str, Any]) -> SmallGateway:
    schemas = {"M": given["model"]} if "model" in given else {}
    schemas |= given.get("models", {})
    validates = given.get("validates", ["parameters", "body"])
    verb, _, target = next(it for it in _requests(given) if isinstance(it, str)).partition(" ")
    method = replace(
        lambda_method(
            verb,
            cache_key_parameters=tuple(given.get("keys", ())),
            request_parameters=given.get("mapped", {}),
        ),
        request_parameters=given.get("parameters", {}),
        request_models=given.get("bodies", {"application/json": "M"} if "model" in given else {}),
        request_validator_id="v" if validates else "",
    )
    answer = given.get("returns") or json.dumps({"body": "x" * given.get("returns_bytes", 2)})
    settings = given.get("settings", {"*/*": {"cachingEnabled": True}})
    return SmallGateway(
        {f"{verb} {given.get('route', target.partition('?')[0])}": method},
        lambda event: answer.encode(),
        stage=small_stage(
            cache_cluster_enabled=given.get("cluster", "requests" in given),
            method_settings=settings,
        ),
        may_invalidate=given.get("may_invalidate", False),
        models={name: Model(model_id=name, name=name, schema=it) for name, it in schemas.items()},
        request_validators={
            "v": RequestValidator(
                validator_id="v",
                name="v",
                validate_body="body" in validates,
                validate_parameters="parameters" in validates,
            )
        },
        gateway_responses={} if given.get("plain") else {"BAD_REQUEST_BODY": ERROR_TEMPLATE},
        minimum_compression_size=given.get("minimum"),
    )


def _requests(given: dict[str, Any]) -> list[str | int]:
    return given["requests"] if "requests" in given else [given["request"]]


async def _answer(gateway: SmallGateway, given: dict[str, Any]) -> Response:
    body = given.get("body", "").encode()
    if "gzip" in given:
        body = gzip.compress(given["gzip"].encode())
    response = Response(status=0)
    for request in _requests(given):
        if isinstance(request, int):
            await gateway.clock.advance(request)
            continue
        response = await gateway.send(
            request, headers=[(name, value) for name, value in given.get("headers", [])], body=body
        )
    return response


@pytest.mark.parametrize("case", CASES)
async def test_conditions_are_as_on_aws(case: dict[str, Any]) -> None:
    given, expect = case["given"], case["expect"]
    gateway = _gateway(given)
    response = await _answer(gateway, given)
    coding = header(response, "Content-Encoding")
    body = UNPACK[coding](response.body) if coding in UNPACK else response.body
    if "status" in expect:
        assert response.status == expect["status"], body
    if "error" in expect:
        assert body.decode() == expect["error"]
    if "json" in expect:
        assert json.loads(body) == json.loads(expect["json"])
    if "body" in expect:
        assert body.decode() == expect["body"]
    if "calls" in expect:
        assert len(gateway.invoker.invocations) == expect["calls"]
    if "returns_bytes" in given and response.status == 200:
        assert len(body) == given["returns_bytes"]
    for name, value in expect.get("headers", {}).items():
        assert header(response, name) == value, name
    for name in expect.get("absent", []):
        assert not header(response, name)
