"""The rows of `gateway_v2_control.toml`: what the operations of version 2 answer and refuse."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lamington.core.errors import AwsError
from v2_world import FUNCTION, V2World

CASES = tomllib.loads(
    Path(__file__).with_name("gateway_v2_control.toml").read_text(encoding="utf-8")
)["case"]

TOKENS = {
    "type": "oauth2",
    "x-amazon-apigateway-authorizer": {
        "type": "jwt",
        "jwtConfiguration": {"issuer": "https://issuer.example", "audience": ["a"]},
    },
}


async def _make(world: V2World, what: str, ids: dict[str, str]) -> None:
    api_id = ids["api"]
    match what:
        case "route":
            ids["route"] = await world.route(api_id, "GET /pets")
        case "integration":
            ids["integration"] = await world.integration(api_id)
        case "targeted":
            target = f"integrations/{ids['integration']}"
            ids["route"] = await world.route(api_id, "GET /targeted", Target=target)
        case "mapped":
            ids["integration"] = await world.integration(
                api_id, RequestParameters={"append:header.a": "1", "append:header.b": "2"}
            )
        case "authorizer":
            made = await world.call(
                "CreateAuthorizer",
                {
                    "ApiId": api_id,
                    "Name": "tokens",
                    "AuthorizerType": "JWT",
                    "IdentitySource": ["$request.header.Authorization"],
                    "JwtConfiguration": {"Issuer": "https://issuer.example", "Audience": ["a"]},
                },
            )
            ids["authorizer"] = made["AuthorizerId"]
        case "guarded":
            ids["route"] = await world.route(
                api_id, "GET /guarded", AuthorizationType="JWT", AuthorizerId=ids["authorizer"]
            )
        case "deployment":
            made = await world.call("CreateDeployment", {"ApiId": api_id})
            ids["deployment"] = made["DeploymentId"]
        case "stage":
            await world.call("CreateStage", {"ApiId": api_id, "StageName": "dev"})
        case "auto":
            params = {"ApiId": api_id, "StageName": "$default", "AutoDeploy": True}
            await world.call("CreateStage", params)
        case _:
            raise AssertionError(what)


def _filled(value: Any, ids: dict[str, str]) -> Any:
    text = json.dumps(value)
    for name, found in ids.items():
        text = text.replace(f"<{name}>", found)
    return json.loads(text)


def _params(given: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    params: dict[str, Any] = _filled(given["params"], ids)
    if "operation" in given:
        document = {
            "openapi": "3.0.1",
            "info": {"title": "case"},
            "paths": {"/pets": {"get": given["operation"]}},
            "components": {"securitySchemes": {"tokens": TOKENS}},
        }
        params = {"Body": json.dumps(document), "FailOnWarnings": given.get("fail", False)}
    return params


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
async def test_version_two_does_as_aws_does(case: dict[str, Any], tmp_path: Path) -> None:
    world, given = V2World(tmp_path), case["given"]
    quick = {"Target": FUNCTION} if given.get("quick") else {}
    ids = {"api": await world.api(given.get("protocol", "HTTP"), **quick)}
    for what in given.get("made", ()):
        await _make(world, what, ids)
    expected, params = _filled(case["expect"], ids), _params(given, ids)
    if "error" in expected:
        with pytest.raises(AwsError) as caught:
            await world.call(given["call"], params)
        assert caught.value.code == expected["error"]
        assert expected.get("message", caught.value.message) == caught.value.message
        return
    result = await world.call(given["call"], params)
    if "first" in expected:
        [result] = result["Items"]
    wanted = expected.get("result") or expected.get("first")
    assert {name: result.get(name) for name in wanted} == wanted
    assert not set(expected.get("absent", ())) & set(result)
