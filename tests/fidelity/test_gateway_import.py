"""The rows of `gateway_import.toml`: what an import makes of a definition, and what it refuses."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.gateway.entities import (
    INTEGRATION_TIMEOUT_DEFAULT_MS,
    BadRequestException,
    Resource,
    RestApi,
)
from lamington.gateway.openapi import import_definition

CASES = tomllib.loads(Path(__file__).with_suffix(".toml").with_stem("gateway_import").read_text())
API = RestApi(
    api_id="abcdefghij",
    name="before",
    created="2026-01-01T00:00:00+00:00",
    resources={"rootrootro": Resource(resource_id="rootrootro", path="/")},
)


def _paths_of(given: dict[str, Any]) -> set[str]:
    operation = {
        "responses": {"200": {"description": ""}},
        "x-amazon-apigateway-integration": given.get("integration", {"type": "mock"}),
    }
    paths = [given.get("path", "/e"), *([given["also"]] if "also" in given else [])]
    document = {
        "swagger": "2.0",
        "info": {"title": "case"},
        "basePath": given.get("base_path", ""),
        "paths": {path: {"get": operation} for path in paths},
        **given.get("document", {}),
    }
    api, _ = import_definition(
        document,
        api=API,
        mode="overwrite",
        base_path=given.get("option", "ignore"),
        scope=Scope(account_id="123456789012", region="eu-west-1"),
        ids=Ids(),
        timeout_max_ms=given.get("timeout_max_ms", INTEGRATION_TIMEOUT_DEFAULT_MS),
    )
    return {each.path for each in api.resources.values() if each.methods}


@pytest.mark.parametrize("case", CASES["case"], ids=lambda case: case["id"])
def test_import_does_as_aws_does(case: dict[str, Any]) -> None:
    expected = case["expect"]
    if "error" in expected:
        with pytest.raises(BadRequestException) as caught:
            _paths_of(case["given"])
        assert expected["error"] in caught.value.message
    else:
        assert _paths_of(case["given"]) == {expected["path"]}
