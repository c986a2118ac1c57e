"""The rows of `gateway_definitions.toml`: what an import makes of a definition.

`given` is laid over a small definition: `document` at its root, `operation` in its one operation,
both YAML; `before` is imported first. `expect` is a part of what AWS's API shows afterwards;
`{absent = true}` stands for a member that is not there, `{null = true}` for null, `{apiId}` and
`{resourceId}` for ids.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from gateway_world import GatewayWorld
from lamington.core.errors import AwsError
from lamington.gateway.entities import Resource, RestApi
from lamington.gateway.operations.authorizers import authorizer_result
from lamington.gateway.operations.methods import method_result

OPEN = pytest.mark.xfail(strict=True, reason="an open row that passes is no open row")
CASES = [
    pytest.param(case, id=case["id"], marks=[OPEN] if case.get("verdict") == "open" else [])
    for case in tomllib.loads((Path(__file__).parent / "gateway_definitions.toml").read_text())[
        "case"
    ]
]
VERSIONS = {"2.0": {"swagger": "2.0"}, "3.0": {"openapi": "3.0.1"}, "3.1": {"openapi": "3.1.0"}}
_NAMED = ("authorizerId", "requestValidatorId")
ANY_METHOD = "x-amazon-apigateway-any-method"


def _laid_over(base: Any, given: Any) -> Any:
    if isinstance(base, dict) and isinstance(given, dict):
        return {**base, **{key: _laid_over(base.get(key), given[key]) for key in given}}
    return given


def _definition(given: dict[str, Any], document: str) -> bytes:
    operation = {
        "responses": {"200": {"description": "ok"}},
        "x-amazon-apigateway-integration": {"type": "mock"},
        **yaml.safe_load(given.get("operation", "{}")),
    }
    item = {given.get("verb", "get"): operation}
    base = {
        **VERSIONS[given.get("form", "2.0")],
        "info": {"title": "case", "version": "1"},
        "paths": {given.get("path", "/e"): item},
    }
    whole = _laid_over(base, yaml.safe_load(document))
    return msgspec.json.encode({key: value for key, value in whole.items() if value is not None})


async def _imported(world: GatewayWorld, given: dict[str, Any]) -> dict[str, Any]:
    body = _definition(given, given.get("document", "{}"))
    if "raw" in given:
        body = given["raw"].encode() * given.get("times", 1)
    options: dict[str, Any] = {
        "body": body,
        "failOnWarnings": given.get("fail_on_warnings", False),
        "parameters": given.get("parameters", {}),
    }
    if "before" not in given:
        return await world.call("apigateway:ImportRestApi", options)
    first = await world.import_api(_definition(given, given["before"]))
    options |= {"mode": given["mode"]} if "mode" in given else {}
    before = world.api(first["id"])
    try:
        return await world.call("apigateway:PutRestApi", {"restApiId": first["id"], **options})
    except AwsError:
        assert world.api(first["id"]) == before
        raise


def _of_method(api: RestApi, given: dict[str, Any]) -> tuple[Resource, dict[str, Any]]:
    path, verb = given.get("path", "/e"), given.get("verb", "get")
    resource = next((each for each in api.resources.values() if each.path == path), None)
    method = resource and resource.methods.get("ANY" if verb == ANY_METHOD else verb.upper())
    return resource or api.root, method_result(method, resource) if method and resource else {}


def _view(api: RestApi, result: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    resource, method = _of_method(api, given)
    names = {each.authorizer_id: each.name for each in api.authorizers.values()}
    names |= {each.validator_id: each.name for each in api.request_validators.values()}
    view: dict[str, Any] = {
        "api": {"warnings": [], **result, "createdDate": None},
        "sentences": list(api.definition_extensions),
        "method": {
            **method,
            **{key: names[method[key]] for key in _NAMED if key in method},
        },
        "operations": sorted(
            f"{verb} {each.path}" for each in api.resources.values() for verb in each.methods
        ),
        "resources": sorted(each.path for each in api.resources.values()),
        "models": {name: json.loads(each.schema) for name, each in api.models.items()},
        "authorizers": {
            each.name: {**authorizer_result(each), "id": None} for each in api.authorizers.values()
        },
        "validators": {
            each.name: [each.validate_body, each.validate_parameters]
            for each in api.request_validators.values()
        },
        "gatewayResponses": msgspec.to_builtins(api.gateway_responses),
        "documentation": [
            {"location": dict(each.location), "properties": json.loads(each.properties)}
            for each in api.documentation_parts.values()
        ],
        "documentationVersions": sorted(api.documentation_versions),
    }
    text = json.dumps(view).replace(api.api_id, "{apiId}")
    whole: dict[str, Any] = json.loads(text.replace(resource.resource_id, "{resourceId}"))
    return whole


def _require_part(wanted: Any, found: Any, where: str) -> None:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            if value == {"absent": True}:
                assert key not in found, f"{where}/{key}"
            elif value == {"null": True}:
                assert found[key] is None, f"{where}/{key}"
            else:
                assert key in found, f"{where}/{key} is not there: {found}"
                _require_part(value, found[key], f"{where}/{key}")
    else:
        assert found == wanted, where


@pytest.mark.parametrize("case", CASES)
async def test_definition_is_read_as_aws_reads_it(case: dict[str, Any], tmp_path: Path) -> None:
    given, expect = case["given"], case["expect"]
    world = GatewayWorld(tmp_path)
    try:
        if "error" in expect:
            with pytest.raises(AwsError) as caught:
                await _imported(world, given)
            assert type(caught.value).__name__ == expect.get("type", "BadRequestException")
            assert expect["error"] in caught.value.message
            return
        result = await _imported(world, given)
        _require_part(expect, _view(world.api(result["id"]), result, given), "")
    finally:
        world.store.close()
