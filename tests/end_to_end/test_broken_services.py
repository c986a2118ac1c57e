"""What is wrong with a service is told with its place, in words that a newcomer can act on."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from example_copies import ExampleCopies
from processes import run_lamington

Break = Callable[[Path], None]


def _replace(root: Path, file: str, old: str, new: str) -> None:
    path = root / file
    text = path.read_text()
    assert old in text, f"{file} has changed: this test must too"
    path.write_text(text.replace(old, new, 1))


def _bad_yaml(root: Path) -> None:
    _replace(root, "api.yaml", "operationId: list", "operationId: [list")


def _unknown_function(root: Path) -> None:
    _replace(root, "api.yaml", "operationId: list", "operationId: lst")


def _syntax_error(root: Path) -> None:
    handler = next((root / "functions" / "list").glob("*.py"))
    handler.write_text("def handler(event, context)\n    return 1\n")


def _missing_handler(root: Path) -> None:
    handler = next((root / "functions" / "list").glob("*.py"))
    handler.write_text("def something_else(a):\n    return 1\n")


def _template_syntax_error(root: Path) -> None:
    _replace(root, "api.yaml", "#foreach($cake in $cakes)", "#foreach($cake in )")


def _duplicate_route(root: Path) -> None:
    _replace(root, "api.yaml", "  /cakes/{id}/quote:", "  /cakes/{name}:")


def _unknown_reference(root: Path) -> None:
    stack = root / "stack.yaml"
    stack.write_text(stack.read_text() + "\n  Broken:\n    Value: !Ref Nowhere\n")


def _circle(root: Path) -> None:
    _replace(
        root,
        "stack.yaml",
        "Resources:\n",
        "Resources:\n"
        "  One: {Type: AWS::Logs::LogGroup, DependsOn: Two}\n"
        "  Two: {Type: AWS::Logs::LogGroup, DependsOn: One}\n",
    )


def _unsupported_type(root: Path) -> None:
    _replace(
        root,
        "stack.yaml",
        "Resources:\n",
        "Resources:\n  Queue: {Type: AWS::SQS::Queue}\n  Table: {Type: AWS::DynamoDB::Table}\n",
    )


def _too_large(root: Path) -> None:
    with (root / "functions" / "list" / "large.bin").open("wb") as file:
        file.seek(262_144_000)
        file.write(b"x")


CASES: dict[str, tuple[Break, tuple[str, ...]]] = {
    "bad YAML": (_bad_yaml, ("api.yaml:",)),
    "unknown function": (_unknown_function, ("api.yaml:", "lst")),
    "syntax error in a handler": (_syntax_error, (".py:1:",)),
    "handler missing": (_missing_handler, ("functions/list",)),
    "template syntax error": (_template_syntax_error, ("api.yaml:", "line 2")),
    "duplicate route": (_duplicate_route, ("api.yaml:", "{name}")),
    "unknown Ref": (_unknown_reference, ("stack.yaml:", "Nowhere")),
    "circular dependency": (_circle, ("stack.yaml", "One", "Two")),
    "unsupported type": (_unsupported_type, ("AWS::SQS::Queue", "AWS::DynamoDB::Table")),
    "archive too large": (_too_large, ("functions/list", "262,144,000")),
}


@pytest.mark.parametrize("case", CASES)
def test_broken_service_is_refused_with_its_place(example: ExampleCopies, case: str) -> None:
    root = example("bakery")
    spoil, expected = CASES[case]
    spoil(root)
    finished = run_lamington("up", ".", "--port", "0", "--aws-port", "0", cwd=root)
    print(finished.stderr)
    assert finished.returncode in (1, 2)
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
    for part in expected:
        assert part in finished.stderr


def test_validate_tells_everything_at_once(example: ExampleCopies) -> None:
    root = example("bakery")
    _unknown_function(root)
    _unknown_reference(root)
    finished = run_lamington("validate", ".", cwd=root)
    assert finished.returncode == 2
    assert "lst" in finished.stderr
    assert "Nowhere" in finished.stderr


def test_sound_service_is_valid(example: ExampleCopies) -> None:
    finished = run_lamington("validate", ".", "--json", cwd=example("bakery"))
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["valid"] is True
