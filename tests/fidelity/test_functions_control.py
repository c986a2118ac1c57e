"""Runs the rows of `functions_control.toml` against the Lambda API."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import ROLE, LambdaWorld, archive, lambda_world
from lamington.core.errors import AwsError

ROWS = tomllib.loads(Path(__file__).with_name("functions_control.toml").read_text())["case"]

DEFAULTS: dict[str, dict[str, Any]] = {
    "CreateFunction": {
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"ZipFile": archive()},
    },
    "CreateAlias": {"Name": "prod", "FunctionVersion": "1"},
    "AddPermission": {
        "StatementId": "s",
        "Action": "lambda:InvokeFunction",
        "Principal": "apigateway.amazonaws.com",
    },
    "PublishLayerVersion": {"LayerName": "l", "Content": {"ZipFile": archive()}},
    "AddLayerVersionPermission": {
        "LayerName": "l",
        "VersionNumber": 1,
        "StatementId": "s",
        "Action": "lambda:GetLayerVersion",
        "Principal": "*",
    },
    "PutProvisionedConcurrencyConfig": {"Qualifier": "1", "ProvisionedConcurrentExecutions": 1},
}
BLOBS = ("ZipFile", "Payload")


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
async def test_row(row: dict[str, Any], tmp_path: Path) -> None:
    given, expected = row["given"], row["expect"]
    with lambda_world(tmp_path) as world:
        for step in given.get("before", []):
            operation, params = (step, {}) if isinstance(step, str) else (step[0], step[1])
            await _call(world, operation, params)
        if "under_way" in given:
            world.invoker.may_replace.clear()
            operation, params = given["under_way"]
            await world.begin(operation, **_params(operation, params))
        actual = await _outcome(world, given["call"], given.get("params", {}))
        world.invoker.may_replace.set()
        await world.functions.settled()
    verdict = row.get("verdict", "exact")
    if verdict == "close":
        assert actual["code"] == expected["code"]
        return
    holds = (
        expected["result"].items() <= actual["result"].items()
        if "result" in expected
        else actual == expected
    )
    if verdict == "open":
        assert not holds, "this row holds now: take `open` from it"
    else:
        assert holds, actual


async def _outcome(world: LambdaWorld, call: str, params: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"code": "", "result": await _call(world, call, params)}
    except AwsError as error:
        return {"code": error.code, "message": error.message}


async def _call(world: LambdaWorld, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
    answer = await world.begin(operation, **_params(operation, params))
    if world.invoker.may_replace.is_set():
        await world.functions.settled()
    return answer


def _params(operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
    named = {} if "Resource" in params else {"FunctionName": "f"}
    return named | DEFAULTS.get(operation, {}) | _with_blobs(params)


def _with_blobs(params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.encode()
        if name in BLOBS
        else _with_blobs(value)
        if isinstance(value, dict)
        else value
        for name, value in params.items()
    }
