import json
from pathlib import Path
from typing import Any

import pytest

from lamington.gateway.vtl.compiler import compile_template, compile_traced_template
from lamington.gateway.vtl.limits import TemplateError
from lamington.gateway.vtl.syntax import TemplateSyntaxError
from vtl_world import BODY, bind

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = [
    json.loads(line)
    for name in ("vtl_cases.jsonl", "vtl_velocity_cases.jsonl")
    for line in (HERE / name).read_text(encoding="utf-8").splitlines()
]


def given(case: dict[str, Any]) -> dict[str, Any]:
    variables = {"s": "hello", "l": [1, "b"], "m": {"a": 1}, **case.get("variables", {})}
    return {
        "body": case.get("body", BODY),
        "context": variables.pop("context", None),
        "stage_variables": variables.pop("stageVariables", None),
        "variables": variables,
    }


def outcome_traced(case: dict[str, Any]) -> tuple[str, str]:
    pieces: list[tuple[int, str]] = []
    try:
        output = compile_traced_template(case["template"])(bind(**given(case)), pieces.append)
    except (TemplateError, TemplateSyntaxError) as error:
        return "", str(error)
    assert "".join(text for _, text in pieces) == output
    return output, ""


def outcome_plain(case: dict[str, Any]) -> tuple[str, str]:
    try:
        return compile_template(case["template"])(bind(**given(case))), ""
    except (TemplateError, TemplateSyntaxError) as error:
        return "", str(error)


def test_traced_form_prints_what_the_plain_one_does() -> None:
    assert len(CASES) > 500
    for case in CASES:
        assert outcome_traced(case) == outcome_plain(case), case["template"]


@pytest.mark.parametrize(
    ("template", "pieces"),
    [
        (
            "a\nb$input.path('$.name')\r\nc",
            [(1, "a\n"), (2, "b"), (2, "Ada"), (2, "\r\n"), (3, "c")],
        ),
        ("#set($x = 1)\n## nothing\n{$x}", [(3, "{"), (3, "1"), (3, "}")]),
        (
            "#foreach($t in $input.path('$.tags'))\n$t\n#end\nend",
            [(2, "x"), (2, "\n"), (2, "y"), (2, "\n"), (4, "end")],
        ),
        ('"$input.body.x\n"', [(1, '"'), (1, ""), (1, "\n"), (2, '"')]),
        ("#if(true)\nyes\n#{else}\nno\n#end", [(2, "yes\n")]),
    ],
)
def test_each_piece_has_its_line(template: str, pieces: list[tuple[int, str]]) -> None:
    found: list[tuple[int, str]] = []
    compile_traced_template(template)(bind(), found.append)
    assert found == pieces
