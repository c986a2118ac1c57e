"""What is on disk is inferred where it can be, and what is wrong is told with its place."""

from pathlib import Path

import pytest

from lamington.core.errors import UsageError
from lamington.service.problems import ServiceInvalid
from lamington.service.project import Project, load_project
from service_world import load_service, texts

HANDLER = "def handler(event, context):\n    return 1\n"


@pytest.mark.parametrize(
    ("files", "runtime", "handler"),
    [
        ({"functions/f/handler.py": HANDLER}, "python3.13", "handler.handler"),
        ({"functions/f/index.py": "def main(e, c): ...\n"}, "python3.13", "index.main"),
        (
            {"functions/f/app.py": "lambda_handler = lambda e, c: e\n"},
            "python3.13",
            "app.lambda_handler",
        ),
        ({"functions/f/sole.py": HANDLER}, "python3.13", "sole.handler"),
        (
            {"functions/f/handler.py": HANDLER, "functions/f/other.py": ""},
            "python3.13",
            "handler.handler",
        ),
        ({"functions/f/index.js": "exports.handler = 1"}, "nodejs22.x", "index.handler"),
        ({"functions/f/handler.mjs": "export const handler = 1"}, "nodejs22.x", "handler.handler"),
        ({"functions/f.py": HANDLER}, "python3.13", "f.handler"),
        ({"functions/f.js": "exports.handler = 1"}, "nodejs22.x", "f.handler"),
        (
            {
                "functions/f/src/app.py": "if True:\n    def go(e, c): ...\n",
                "functions/f/function.yaml": "Handler: src/app.go",
            },
            "python3.13",
            "src/app.go",
        ),
        (
            {
                "functions/f/handler.py": HANDLER,
                "functions/f/function.yaml": "Runtime: python3.12",
            },
            "python3.12",
            "handler.handler",
        ),
        (
            {
                "functions/f/bootstrap": "#!/bin/sh",
                "functions/f/function.yaml": "Runtime: provided.al2023",
            },
            "provided.al2023",
            "bootstrap",
        ),
    ],
)
def test_runtime_and_handler_are_inferred(
    tmp_path: Path, files: dict[str, str], runtime: str, handler: str
) -> None:
    (function,) = load_service(tmp_path, files).functions
    assert (function.name, function.runtime, function.handler) == ("f", runtime, handler)


def test_runtimes_and_defaults_come_from_the_settings(tmp_path: Path) -> None:
    toml = (
        'name = "bakery"\n[runtimes]\npython = "python3.12"\n[defaults]\nTimeout = 9\n'
        "[defaults.Environment.Variables]\nA = 1\nB = true\n"
    )
    project = load_service(
        tmp_path,
        {
            "lamington.toml": toml,
            "functions/f/handler.py": HANDLER,
            "functions/f/function.yaml": "Environment: {Variables: {A: own}}\nTimeout: 2",
        },
    )
    properties = project.functions[0].properties
    assert properties["Runtime"] == "python3.12"
    assert properties["Timeout"] == 2
    assert properties["Environment"] == {"Variables": {"A": "own", "B": "true"}}


def test_first_stage_is_the_default_and_has_the_plain_stack_name(tmp_path: Path) -> None:
    toml = 'name = "b"\nregion = "eu-west-1"\n[stages.live]\n[stages.test]\nregion = "us-east-2"\n'
    project = load_service(tmp_path, {"lamington.toml": toml})
    assert [(s.name, s.stack_name, s.region) for s in project.stages] == [
        ("live", "b", "eu-west-1"),
        ("test", "b-test", "us-east-2"),
    ]
    assert project.stage().name == "live"
    with pytest.raises(UsageError, match="`staging` is not a stage"):
        project.stage("staging")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"functions/f/handler.py": "def handler(event context):\n    return 1\n"},
            "functions/f/handler.py:1:19: Python syntax error: invalid syntax",
        ),
        (
            {"functions/f/handler.py": "def handle(event, context): ...\n"},
            "functions/f/handler.py:1:1: `handler.py` has no `handler`, the handler of `f`",
        ),
        (
            {"functions/f/handler.py": HANDLER, "functions/f/function.yaml": "\nHandler: app.go"},
            "functions/f/function.yaml:2:1: the handler `app.go` of `f` is in no file",
        ),
        ({"functions/f/README": ""}, "functions/f: no handler found in this directory"),
        (
            {"functions/f/a.py": HANDLER, "functions/f/b.py": HANDLER},
            "functions/f: which file is the handler in: `a.py` and `b.py`?",
        ),
        (
            {
                "functions/f/handler.py": HANDLER,
                "functions/f/function.yaml": "A: 1\nMemmorySize: 3",
            },
            "functions/f/function.yaml:2:1: `MemmorySize` is not a property of AWS",
        ),
        (
            {"functions/f/handler.py": HANDLER, "functions/f/function.yaml": "Events: {}"},
            "functions/f/function.yaml:1:1: `Events` cannot be given here",
        ),
        (
            {"functions/a-b.py": HANDLER, "functions/a_b.py": HANDLER},
            "functions/a_b.py: `a_b` and `a-b` are too much alike: both would be `ABFunction` in"
            " the stack",
        ),
        ({"api.yaml": "paths:\n  /a: [}\n"}, "api.yaml:2:8: YAML not well-formed"),
        ({"api.json": '{"a": 1,\n}'}, "api.json:2:1: JSON not well-formed"),
        ({"api.json": '{"a": 1,\n "a": 2}'}, "api.json:2:2: the key `a` is given twice"),
        ({"api.yaml": "a: 1\na: 2"}, "api.yaml:2:1: the key `a` is given twice"),
        (
            {"api.yaml": "{}", "swagger.json": "{}"},
            "swagger.json: there are `api.yaml` and `swagger.json`: which one is the API",
        ),
        (
            {"lamington.toml": "name = x\n"},
            "lamington.toml:1:8: TOML not well-formed: Invalid value",
        ),
        ({"lamington.toml": "region = 'x'"}, "lamington.toml: the service has no name"),
        (
            {"lamington.toml": "name = 'x'\n\nregoin = 'y'"},
            "lamington.toml:3:1: `regoin` is not a setting",
        ),
        (
            {"lamington.toml": "name = 'x'\n[stages.live]\nvariable = {}"},
            "lamington.toml:3:1: `variable` is not a setting of a stage",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    with pytest.raises(ServiceInvalid) as raised:
        load_service(tmp_path, files)
    assert any(text.startswith(expected) for text in texts(raised.value)), texts(raised.value)
    assert all(
        problem.hint
        or "syntax" in str(problem)
        or "well-formed" in str(problem)
        or "twice" in str(problem)
        for problem in raised.value.problems
    )


def test_everything_wrong_is_told_in_one_run(tmp_path: Path) -> None:
    with pytest.raises(ServiceInvalid) as raised:
        load_service(
            tmp_path,
            {
                "functions/a/handler.py": "def",
                "functions/b/handler.py": "",
                "api.yaml": "a: [",
                "stack.yaml": "a: [",
            },
        )
    files = [problem.where.file for problem in raised.value.problems if problem.where]
    assert files == [
        "api.yaml",
        "functions/a/handler.py",
        "functions/b/handler.py",
        "stack.yaml",
    ]


def test_handler_that_reading_cannot_see_is_let_through(tmp_path: Path) -> None:
    project = load_service(tmp_path, {"functions/f/handler.py": "from other import *\n"})
    assert project.functions[0].handler == "handler.handler"


def test_directory_without_settings_is_no_service(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"it has no `lamington\.toml`"):
        load_project(tmp_path)


def test_bare_template_is_refused_clearly(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text("Resources: {}")
    with pytest.raises(UsageError, match=r"`template\.yaml` without `lamington\.toml`"):
        load_project(tmp_path)


def test_hidden_and_private_entries_are_no_functions(tmp_path: Path) -> None:
    project: Project = load_service(
        tmp_path,
        {
            "functions/f/handler.py": HANDLER,
            "functions/_shared/x.py": "",
            "functions/.cache/x.py": "",
            "functions/README.md": "",
        },
    )
    assert [function.name for function in project.functions] == ["f"]
