"""Rows of `gateway_vtl.toml`: mapping templates as AWS renders them."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from lamington.gateway.vtl.library import TemplateError
from lamington.gateway.vtl.syntax import TemplateSyntaxError
from vtl_world import render

ROWS = tomllib.loads((Path(__file__).parent / "gateway_vtl.toml").read_text(encoding="utf-8"))


def _bindings(given: dict[str, Any]) -> dict[str, Any]:
    names = ("context", "stage_variables")
    return {"body": given.get("body", ""), **{name: given[name] for name in names if name in given}}


def outcome(given: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"output": render(given["template"], **_bindings(given))}
    except (TemplateError, TemplateSyntaxError):
        return {"error": True}


@pytest.mark.parametrize("case", ROWS["case"], ids=lambda case: case["id"])
def test_template_renders_as_on_aws(case: dict[str, Any]) -> None:
    same = outcome(case["given"]) == case["expect"]
    assert same is (case.get("verdict", "exact") != "open")
