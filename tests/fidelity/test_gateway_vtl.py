"""Rows of `gateway_vtl.toml`: mapping templates as AWS renders them."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from lamington.gateway.vtl.library import TemplateError
from vtl_world import render

ROWS = tomllib.loads((Path(__file__).parent / "gateway_vtl.toml").read_text(encoding="utf-8"))


def outcome(given: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"output": render(given["template"], body=given.get("body", ""))}
    except TemplateError:
        return {"error": True}


@pytest.mark.parametrize("case", ROWS["case"], ids=lambda case: case["id"])
def test_template_renders_as_on_aws(case: dict[str, Any]) -> None:
    same = outcome(case["given"]) == case["expect"]
    assert same is (case.get("verdict", "exact") != "open")
