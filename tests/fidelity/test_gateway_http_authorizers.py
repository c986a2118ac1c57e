"""The rows of authorizers of HTTP APIs: what their functions get."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from authorization_world import allowing
from http_api_world import SmallHttpApi, lambda_authorizer

CASES = [
    pytest.param(case, id=case["id"])
    for case in tomllib.loads(
        (Path(__file__).parent / "gateway_http_authorizers.toml").read_text()
    )["case"]
]


@pytest.mark.parametrize("case", CASES)
async def test_authorizer_gets_what_it_gets_on_aws(case: dict[str, Any]) -> None:
    given, expect = case["given"], case["expect"]
    identity = {"identity_source": tuple(given["identity"])} if "identity" in given else {}
    simple = given["version"] == "2.0"
    api = SmallHttpApi(
        "GET /pets/{id}",
        authorizer_handler=lambda event: {"isAuthorized": True} if simple else allowing(),
        authorizer=lambda_authorizer(
            payload_format_version=given["version"], enable_simple_responses=simple, **identity
        ),
        route={"authorization_type": "CUSTOM"},
        variables={"color": "red"},
    )
    response = await api.send(
        "GET /pets/7?q=1", headers={"Authorization": "token", **given.get("headers", {})}
    )
    assert response.status == expect.get("status", 200)
    if "calls" in expect:
        assert len(api.invoker.invocations) == expect["calls"]
        return
    event = json.loads(api.invoker.invocations[0].payload)
    if "members" in expect:
        assert sorted(event) == sorted(expect["members"])
    for name, value in expect.get("event", {}).items():
        assert event[name] == value, name
