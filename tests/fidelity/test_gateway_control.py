"""The rows of `gateway_control.toml`: operations one after another, and what they leave.

`given` imports `document`, YAML, and calls `steps`, pairs of an operation and its parameters. In
these `{id:/path}` is the id of a resource. `expect` is a part of the last result, of the export
that it holds, or of what is in service. `expect.error` is of the last step.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway_world import GatewayWorld
from lamington.core.errors import AwsError

CASES = tomllib.loads((Path(__file__).parent / "gateway_control.toml").read_text())["case"]


def _filled(params: dict[str, Any], world: GatewayWorld, api_id: str) -> dict[str, Any]:
    ids = {each.path: each.resource_id for each in world.api(api_id).resources.values()}
    text = re.sub(r"\{id:([^\"]*?)\}\"", lambda found: f'{ids[found[1]]}"', json.dumps(params))
    filled: dict[str, Any] = json.loads(text.replace("{apiId}", api_id))
    if isinstance(filled.get("body"), str):
        filled["body"] = filled["body"].encode()
    return filled


def _part(wanted: Any, found: Any, where: str = "") -> None:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            if value == {"absent": True}:
                assert key not in found, f"{where}/{key}"
            else:
                assert key in found, f"{where}/{key} is not there: {found}"
                _part(value, found[key], f"{where}/{key}")
    else:
        assert found == wanted, where


def _served(world: GatewayWorld) -> dict[str, Any]:
    return {
        stage: {
            "operations": sorted(
                f"{verb} {each.path}" for each in api.resources.values() for verb in each.methods
            ),
            "variables": row.variables,
        }
        for (_, stage), (api, row) in world.serving.items()
    }


async def _run(world: GatewayWorld, given: dict[str, Any]) -> tuple[dict[str, Any], str]:
    document = yaml.safe_load(given["document"])
    result = await world.import_api(json.dumps(document).encode())
    api_id = str(result["id"])
    for operation, params in given["steps"]:
        filled = _filled(params, world, api_id)
        if operation not in ("CreateRestApi", "GetRestApis"):
            filled = {"restApiId": api_id, **filled}
        result = await world.call(f"apigateway:{operation}", filled)
        if operation == "CreateRestApi":
            api_id = str(result["id"])
    return result, api_id


def _require_export(expect: dict[str, Any], body: bytes, api_id: str) -> None:
    text = body.decode()
    exported = json.loads(json.dumps(yaml.safe_load(text)).replace(api_id, "{apiId}"))
    _part(expect.get("export", {}), exported)
    for word in expect.get("without", ()):
        assert word not in text
    for word in expect.get("with", ()):
        assert word in text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
async def test_operations_do_as_on_aws(case: dict[str, Any], tmp_path: Path) -> None:
    given, expect = case["given"], case["expect"]
    world = GatewayWorld(tmp_path)
    try:
        if "error" in expect:
            with pytest.raises(AwsError) as caught:
                await _run(world, given)
            assert expect["error"] in caught.value.message
            return
        result, api_id = await _run(world, given)
        _part(expect.get("result", {}), result)
        _part(expect.get("serving", {}), _served(world))
        if {"export", "with", "without"} & expect.keys():
            _require_export(expect, result["body"], api_id)
    finally:
        world.store.close()
