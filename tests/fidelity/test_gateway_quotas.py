"""The rows of quotas, and of what the later version takes: how API Gateway says no."""

import json
import re
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway_world import GatewayWorld
from lamington.core.errors import AwsError
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, ServiceQuotas
from v2_world import V2World

OPEN = pytest.mark.xfail(strict=True, reason="an open row that passes is no open row")
CASES = [
    pytest.param(
        case, id=f"{area}-{case['id']}", marks=[OPEN] if case.get("verdict") == "open" else []
    )
    for area in ("quotas", "v2_rules")
    for case in tomllib.loads((Path(__file__).parent / f"gateway_{area}.toml").read_text())["case"]
]
Call = Callable[..., Awaitable[Any]]
Ids = dict[str, str]


async def _make_rest(call: Call, what: str, ids: Ids) -> None:
    kind, _, count = what.partition("=")
    api = {"restApiId": ids["api"]}
    root = {**api, "resourceId": ids["root"], "httpMethod": "GET"}
    match kind:
        case "method":
            await call("PutMethod", {**root, "authorizationType": "NONE"})
        case "deployment":
            await _make_rest(call, "method", ids)
            await call("PutIntegration", {**root, "type": "MOCK"})
            await call("PutMethodResponse", {**root, "statusCode": "200"})
            ids["deployment"] = (await call("CreateDeployment", api))["id"]
        case "parts":
            parts = [
                {"location": {"type": "RESOURCE", "path": f"/{number}"}, "properties": {}}
                for number in range(int(count))
            ]
            document = {
                "swagger": "2.0",
                "info": {"title": "a"},
                "paths": {},
                "x-amazon-apigateway-documentation": {"documentationParts": parts},
            }
            body = json.dumps(document).encode()
            await call("ImportDocumentationParts", {**api, "body": body})
    for number in range(int(count or 0)):
        match kind:
            case "resources":
                params = {**api, "parentId": ids["root"], "pathPart": f"part{number}"}
                await call("CreateResource", params)
            case "stages":
                params = {**api, "deploymentId": ids["deployment"], "stageName": f"stage{number}"}
                await call("CreateStage", params)
            case "keys":
                made = await call("CreateApiKey", {"value": str(number) * 20})
                ids["key"] = made["id"]
            case "plans" | "joined":
                ids["plan"] = (await call("CreateUsagePlan", {"name": f"plan{number}"}))["id"]
        if kind == "joined":
            params = {"usagePlanId": ids["plan"], "keyId": ids["key"], "keyType": "API_KEY"}
            await call("CreateUsagePlanKey", params)
    if kind == "joined":
        ids["plan"] = (await call("CreateUsagePlan", {"name": "more"}))["id"]


async def _make_v2(world: V2World, what: str, ids: Ids) -> None:
    kind, _, count = what.partition("=")
    api = {"ApiId": ids["api"]}
    for number in range(int(count)):
        match kind:
            case "routes":
                await world.route(ids["api"], f"GET /{number}")
            case "integrations":
                await world.integration(ids["api"])
            case "stages":
                await world.call("CreateStage", {**api, "StageName": f"stage{number}"})
            case "authorizers":
                made = await world.call(
                    "CreateAuthorizer",
                    {
                        **api,
                        "Name": f"authorizer{number}",
                        "AuthorizerType": "JWT",
                        "IdentitySource": ["$request.header.Authorization"],
                        "JwtConfiguration": {"Issuer": "https://i.example", "Audience": ["a"]},
                    },
                )
                ids["authorizer"] = made["AuthorizerId"]


def _filled(value: Any, ids: Ids) -> Any:
    text = json.dumps(value)
    for name, found in ids.items():
        text = text.replace(f"<{name}>", found)
    return json.loads(re.sub(r"\{(\w)=(\d+)\}", lambda it: it[1] * int(it[2]), text))


def _params(given: dict[str, Any], ids: Ids) -> dict[str, Any]:
    params: dict[str, Any] = _filled(given["params"], ids)
    if "variables" in given:
        params["variables"] = {f"v{number}": "x" for number in range(given["variables"])}
    if "throttles" in given:
        limits = {"rateLimit": 1.0, "burstLimit": 1}
        params["apiStages"][0]["throttle"] = {
            f"/{number}/GET": limits for number in range(given["throttles"])
        }
    if "audiences" in given:
        audiences = [str(number) for number in range(given["audiences"])]
        params["JwtConfiguration"]["Audience"] = audiences
    if "body" in params:
        params["body"] = params["body"].encode()
    return params


async def _world(given: dict[str, Any], directory: Path) -> tuple[Call, Ids]:
    """What is called, and the ids of what was made before."""
    quotas = ServiceQuotas(**given.get("quotas", {}))
    if given.get("v2"):
        later = V2World(directory, quotas)
        ids = {"api": await later.api()}
        for what in given.get("made", ()):
            await _make_v2(later, what, ids)
        return later.call, ids
    world = GatewayWorld(directory, quotas)

    async def call(operation: str, params: dict[str, Any]) -> Any:
        return await world.call(f"apigateway:{operation}", params)

    api = await call("CreateRestApi", {"name": "a"})
    ids = {"api": api["id"], "root": api["rootResourceId"]}
    for what in given.get("made", ()):
        await _make_rest(call, what, ids)
    return call, ids


@pytest.mark.parametrize("case", CASES)
async def test_quota_is_as_on_aws(case: dict[str, Any], tmp_path: Path) -> None:
    given, expect = case["given"], case["expect"]
    if "quota" in given:
        assert getattr(DEFAULT_QUOTAS, given["quota"]) == expect["is"]
        return
    call, ids = await _world(given, tmp_path)
    params = _params(given, ids)
    if "error" in expect:
        with pytest.raises(AwsError) as caught:
            await call(given["call"], params)
        assert caught.value.code == expect["error"]
        assert expect.get("message", caught.value.message) == caught.value.message
        return
    result = await call(given["call"], params)
    wanted = _filled(expect.get("result", {}), ids)
    assert {name: result.get(name) for name in wanted} == wanted
    for name, pattern in expect.get("matches", {}).items():
        assert re.fullmatch(pattern, result[name])
