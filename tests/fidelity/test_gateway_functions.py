"""The rows of functions behind methods: what they see of a request, what a client sees of them."""

import asyncio
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import HandlerFailed, SmallGateway, header, lambda_method, small_stage
from lamington.core.errors import AwsError
from lamington.core.http import Response
from lamington.functions import entities as functions
from lamington.gateway.entities import IntegrationResponse, Method

CASES = [
    pytest.param(case, id=case["id"])
    for case in tomllib.loads((Path(__file__).parent / "gateway_functions.toml").read_text())[
        "case"
    ]
]


def _method(verb: str, given: dict[str, Any]) -> Method:
    members = dict(given.get("integration", {}))
    responses = members.pop("responses", [{"status_code": "200"}])
    return lambda_method(
        verb,
        kind=members.pop("type", "AWS_PROXY"),
        statuses=tuple(each["status_code"] for each in responses),
        responses=tuple(IntegrationResponse(**each) for each in responses),
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
    gateway = SmallGateway(
        {route: _method(route.partition(" ")[0], given) for route in routes},
        handle,
        permitted=given.get("permitted", True),
        stage=small_stage(variables=given.get("stage_variables", {})),
        binary_media_types=tuple(given.get("binary_media_types", ())),
    )
    if given.get("hangs"):
        gateway.invoker.gate = asyncio.Event()
    return gateway


def _found(event: Any, path: str) -> Any:
    for part in filter(None, path.split("/")):
        event = event[part]
    return event


def _require_event(event: Any, expect: dict[str, Any]) -> None:
    for path, value in expect.get("event", {}).items():
        assert _found(event, path) == (None if value == {"null": True} else value), path
    for path, pattern in expect.get("event_matches", {}).items():
        assert re.fullmatch(pattern, _found(event, path)), path
    for path, names in expect.get("keys", {}).items():
        assert list(_found(event, path)) == names, path


def _require_seen(event: Any, name: str, value: str, fate: str) -> None:
    """What the function was shown of a client's header."""
    for headers, wanted in ((event["headers"], value), (event["multiValueHeaders"], [value])):
        if fate == "pass":
            assert headers[name] == wanted
        else:
            assert name.lower() not in {key.lower() for key in headers}


def _require_shown(response: Response, name: str, value: str, fate: str) -> None:
    """What the client was shown of a function's header."""
    fields = dict(response.headers)
    match fate:
        case "pass":
            assert fields[name] == value
        case "remap":
            assert fields[f"x-amzn-Remapped-{name}"] == value
            assert fields.get(name) != value
        case _:
            assert not {key for key in fields if key.lower().endswith(name.lower())}


def _require_answer(response: Response, expect: dict[str, Any]) -> None:
    if "status" in expect:
        assert response.status == expect["status"]
    if "body" in expect:
        assert response.body.decode() == expect["body"]
    if "json" in expect:
        assert json.loads(response.body) == json.loads(expect["json"])
    for name, value in expect.get("headers", {}).items():
        assert header(response, name) == value, name
    for name, values in expect.get("all", {}).items():
        assert [value for key, value in response.headers if key == name] == values
    for name, pattern in expect.get("matches", {}).items():
        assert re.fullmatch(pattern, header(response, name)), name
    names = {key.lower() for key, _ in response.headers}
    assert names.isdisjoint(name.lower() for name in expect.get("absent", []))


@pytest.mark.parametrize("case", CASES)
async def test_function_is_served_as_on_aws(case: dict[str, Any]) -> None:
    given, expect = case["given"], case["expect"]
    gateway = _gateway(given)
    headers = [*given.get("headers", []), *([given["header"]] if "header" in given else [])]
    response = await gateway.send(
        given["request"],
        headers=[(name, value) for name, value in headers],
        body=given.get("body", "").encode(),
    )
    if gateway.invoker.gate is not None:
        gateway.invoker.gate.set()
    _require_answer(response, expect)
    if {"event", "event_matches", "keys"} & expect.keys():
        _require_event(gateway.event, expect)
    if "seen" in expect:
        name, value = given["header"]
        _require_seen(gateway.event, name, value, expect["seen"])
    if "shown" in expect:
        name, value = given["answer_header"]
        _require_shown(response, name, value, expect["shown"])
    if "reason" in expect:
        assert gateway.plane.failures[-1].reason.startswith(expect["reason"])
    if "asked" in expect:
        assert gateway.permissions.asked == expect["asked"]
