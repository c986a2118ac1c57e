"""Two tables of templates: API Gateway's recorded behaviour, and Apache Velocity 1.7's.

The rows of the second table were checked against Velocity 1.7 itself, with what is null made
empty as API Gateway does.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from lamington.gateway.vtl.library import TemplateError
from lamington.gateway.vtl.syntax import TemplateSyntaxError
from vtl_world import BODY, render


def rows(name: str) -> list[Any]:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    cases = [json.loads(line) for line in text.splitlines()]
    return [pytest.param(case, id=case["id"]) for case in cases]


VELOCITY_VARIABLES: dict[str, Any] = {
    "n": 5,
    "s": "hello",
    "l": [1, "b", 3],
    "m": {"a": 1, "b": {"c": "d"}},
    "t": True,
    "f": False,
    "d": 2.5,
    "name": "N",
}


def check(case: dict[str, Any], variables: dict[str, Any]) -> None:
    bindings: dict[str, Any] = {
        "body": case.get("body", BODY),
        "context": variables.pop("context", None),
        "stage_variables": variables.pop("stageVariables", None),
        "variables": variables,
    }
    if case.get("error"):
        with pytest.raises((TemplateError, TemplateSyntaxError)):
            render(case["template"], **bindings)
    else:
        assert render(case["template"], **bindings) == case["expect"]


@pytest.mark.parametrize("case", rows("vtl_cases.jsonl"))
def test_template_renders_as_on_api_gateway(case: dict[str, Any]) -> None:
    check(case, dict(case.get("variables", {})))


@pytest.mark.parametrize("case", rows("vtl_velocity_cases.jsonl"))
def test_template_renders_as_in_velocity(case: dict[str, Any]) -> None:
    check(case, json.loads(json.dumps(VELOCITY_VARIABLES)))
