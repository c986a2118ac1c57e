"""Runs the rows of `stack_functions.toml` and `stack_templates.toml`."""

import json
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fakes_stack import SCOPE, THING, StackWorld
from lamington.core.errors import AwsError
from lamington.stack.checks import check_template
from lamington.stack.intrinsics import evaluation_of, pseudo_values
from lamington.stack.parameters import complete_parameters, parameter_values
from lamington.stack.template import parse_template


def rows_of(file: str) -> list[dict[str, Any]]:
    rows = tomllib.loads(Path(__file__).with_name(file).read_text())["case"]
    return [pytest.param(row, id=row["id"]) for row in rows]  # type: ignore[misc]


AROUND = f"""
Parameters:
  Text: {{Type: String, Default: hello}}
  Number: {{Type: Number, Default: 7}}
  List: {{Type: CommaDelimitedList, Default: "a, b ,c"}}
  Attribute: {{Type: String, Default: Arn}}
Mappings: {{Sizes: {{hello: {{number: 3}}}}}}
Conditions:
  Holds: !Equals [a, a]
  Fails: !Not [!Condition Holds]
  Textual: !And [!Equals [7, !Ref Number], !Or [!Condition Holds, !Condition Fails]]
Resources:
  Other: {{Type: {THING}}}
  Gone: {{Type: {THING}, Condition: Fails}}
  R:
    Type: {THING}
    Properties:
      Value:
"""


class Named:
    """A lookup that gives the names it is asked for."""

    def reference(self, logical_id: str) -> str:
        return logical_id

    def attribute(self, logical_id: str, attribute: str) -> str:
        return f"{logical_id}->{attribute}"


def settle(row: dict[str, Any], actual: dict[str, Any]) -> None:
    """A row that is `open` must not hold yet; one that is `close` fails in the same way."""
    expected = row["expect"]
    if "error" in expected:
        expected.setdefault("code", "ValidationError")
    verdict = row.get("verdict", "exact")
    if verdict == "open":
        assert actual != expected, "this row holds now: take `open` from it"
    elif verdict == "close":
        assert actual.keys() == expected.keys()
    else:
        assert actual == expected


@pytest.mark.parametrize("row", rows_of("stack_functions.toml"))
def test_function(row: dict[str, Any]) -> None:
    expected = row["expect"]
    if "value" in expected:
        expected["value"] = json.loads(expected["value"])
    settle(row, _evaluated(row["given"]["value"]))


def _evaluated(value: str) -> dict[str, Any]:
    try:
        template = parse_template(AROUND + textwrap.indent(value, " " * 8))
        check_template(template)
        evaluation = evaluation_of(
            template,
            parameter_values(template, complete_parameters(template, {})),
            pseudo_values(SCOPE, stack_id="id", stack_name="cake"),
        )
        properties = evaluation.properties(template.resources["R"], Named())
        return {"value": properties["Value"]}
    except AwsError as error:
        return {"error": error.message, "code": error.code}


@pytest.mark.parametrize("row", rows_of("stack_templates.toml"))
async def test_template(row: dict[str, Any], tmp_path: Path) -> None:
    world = StackWorld(tmp_path)
    given = row["given"]
    params = {"StackName": "cake", **given.get("params", {})}
    if "template" in given:
        params["TemplateBody"] = given["template"]
    try:
        await world.call("CreateStack", **params)
        actual = {"result": "accepted"}
    except AwsError as error:
        actual = {"error": error.message, "code": error.code}
    finally:
        world.store.close()
    settle(row, actual)
