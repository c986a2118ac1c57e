"""The rows of the gateway's data plane: what a request gets, through the whole pipeline.

`given` says what the API is and what is sent, `expect` names what of the answer counts: members of
the function's event by a path of `/`, status, body, headers.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import (
    FUNCTION_ARN,
    HandlerFailed,
    SmallGateway,
    header,
    lambda_method,
    small_stage,
)
from lamington.core.errors import AwsError
from lamington.functions import entities as functions
from lamington.gateway.entities import GatewayResponseDefinition, IntegrationResponse, Method

AREAS = ("router", "proxy", "mapped", "templates", "errors", "responses")
OPEN = pytest.mark.xfail(strict=True, reason="an open row that passes is no open row")
CASES = [
    pytest.param(
        case, id=f"{area}-{case['id']}", marks=[OPEN] if case.get("verdict") == "open" else []
    )
    for area in AREAS
    for case in tomllib.loads((Path(__file__).parent / f"gateway_{area}.toml").read_text())["case"]
]


def _method(verb: str, given: dict[str, Any]) -> Method:
    members = dict(given.get("integration", {}))
    responses = members.pop("responses", [{"status_code": "200"}])
    return lambda_method(
        verb,
        kind=members.pop("type", "AWS_PROXY"),
        statuses=tuple(given.get("statuses", [each["status_code"] for each in responses])),
        responses=tuple(IntegrationResponse(**each) for each in responses),
        authorization_type=given.get("authorization_type", "NONE"),
        **members,
    )


def _gateway(given: dict[str, Any]) -> SmallGateway:
    def handle(event: Any) -> Any:
        if "refuses" in given:
            refusal: type[AwsError] = getattr(functions, given["refuses"])
            raise refusal("refused")
        if "fails" in given:
            raise HandlerFailed(given["fails"])
        return given.get("returns", "{}").encode()

    routes = given.get("routes", [given["request"].partition("?")[0]])
    return SmallGateway(
        {route: _method(route.partition(" ")[0], given) for route in routes},
        handle,
        permitted=given.get("permitted", True),
        stage=small_stage(variables=given.get("stage_variables", {}), **given.get("stage", {})),
        binary_media_types=tuple(given.get("binary_media_types", ())),
        **given.get("api", {}),
        gateway_responses={
            name: GatewayResponseDefinition(response_type=name, **members)
            for name, members in given.get("gateway_responses", {}).items()
        },
    )


def _body(given: dict[str, Any]) -> bytes:
    if "body_bytes" in given:
        return b"x" * int(given["body_bytes"])
    return bytes.fromhex(given.get("body_hex", "")) or str(given.get("body", "")).encode()


def _found(event: Any, path: str) -> Any:
    for part in path.split("/"):
        event = event[part]
    return event


def _wanted(value: Any) -> Any:
    """TOML has no null: a table of it stands for one."""
    return None if value == {"null": True} else value


@pytest.mark.parametrize("case", CASES)
async def test_data_plane_does_as_aws_does(case: dict[str, Any]) -> None:
    given, expect = case["given"], case["expect"]
    gateway = _gateway(given)
    gateway.invoker.request_id = given.get("function_request_id", "")
    if given.get("function_missing"):
        del gateway.invoker.handlers[FUNCTION_ARN]
    response = await gateway.send(
        given["request"],
        headers=[
            *((name, value) for name, value in given.get("headers", [])),
            *([("X-Long", "x" * given["header_bytes"])] if "header_bytes" in given else []),
        ],
        body=_body(given),
    )
    if "route" in expect:
        match = gateway.program.router.match(
            gateway.event["httpMethod"], gateway.event["path"].partition("?")[0]
        )
        assert match is not None
        assert f"{match.target.http_method} {match.target.route.resource_path}" == expect["route"]
        assert match.target.route.resource_id == gateway.event["requestContext"]["resourceId"]
    for path, value in expect.get("event", {}).items():
        assert _found(gateway.event, path) == _wanted(value), path
    if "whole_event" in expect:
        assert gateway.invoker.invocations[-1].payload.decode() == expect["whole_event"]
    if "pattern" in expect:
        payload = gateway.invoker.invocations[-1].payload.decode()
        assert re.fullmatch(expect["pattern"], payload), payload
    if "status" in expect:
        assert response.status == expect["status"]
    if "body" in expect:
        assert response.body.decode() == expect["body"]
    if "json" in expect:
        assert json.loads(response.body) == json.loads(expect["json"])
    for name, value in expect.get("headers", {}).items():
        assert header(response, name) == value, name
    for name in expect.get("absent", []):
        assert name.lower() not in {key.lower() for key, _ in response.headers}
