from pathlib import Path

import pytest

from lamington.functions.entities import InvalidRuntimeException
from lamington.functions.runtimes import (
    InvalidEntrypoint,
    RuntimeProgram,
    fits_spare,
    memory_flags,
    provided_entrypoint,
    python_sdk,
    runtime_program,
    spare_argv,
    start_argv,
    takes_wrapper,
)


def test_own_version_runs_on_the_interpreter_outside_of_the_virtual_environment() -> None:
    import sys

    program = runtime_program(f"python3.{sys.version_info.minor}")
    assert program.warning == ""
    assert program.forks
    assert program.interpreter == program.argv[0]
    assert not program.argv[0].startswith(sys.prefix + "/") or sys.prefix == sys.base_prefix


def test_version_that_is_not_installed_runs_with_a_warning() -> None:
    program = runtime_program("python3.99")
    assert program.warning.startswith("`python3.99` is not installed here")


@pytest.mark.parametrize(
    "runtime", ["python2.7", "go1.x", "ruby3.3", "dotnet8", "dotnetcore3.1", "python3.x", "x", ""]
)
def test_runtime_that_cannot_run_is_refused(runtime: str) -> None:
    with pytest.raises(InvalidRuntimeException) as refused:
        runtime_program(runtime)
    assert refused.value.hint


@pytest.mark.parametrize("runtime", ["go1.x", "ruby3.3", "dotnet8"])
def test_refusal_names_the_runtime_to_take_instead(runtime: str) -> None:
    with pytest.raises(InvalidRuntimeException) as refused:
        runtime_program(runtime)
    assert "`provided.al2023`" in refused.value.hint


@pytest.mark.parametrize("runtime", ["provided", "provided.al2", "provided.al2023"])
def test_provided_runtimes_bring_their_own_program(runtime: str) -> None:
    program = runtime_program(runtime)
    assert (program.family, program.argv, program.interpreter_directory) == ("provided", (), "")


def bootstrap_in(root: Path, mode: int = 0o755) -> Path:
    root.mkdir()
    (root / "bootstrap").write_text("#!/bin/sh\n")
    (root / "bootstrap").chmod(mode)
    return root


def test_program_of_the_package_comes_before_that_of_a_layer(tmp_path: Path) -> None:
    task, layers = bootstrap_in(tmp_path / "task"), bootstrap_in(tmp_path / "layers")
    assert provided_entrypoint(task, layers) == "/var/task/bootstrap"
    assert provided_entrypoint(task, layers, str(task)) == f"{task}/bootstrap"
    (task / "bootstrap").unlink()
    assert provided_entrypoint(task, layers) == "/opt/bootstrap"


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_program_that_cannot_be_executed_is_none(tmp_path: Path, mode: int) -> None:
    with pytest.raises(InvalidEntrypoint) as refused:
        provided_entrypoint(bootstrap_in(tmp_path / "task", mode), None)
    assert refused.value.error_type == "Runtime.InvalidEntrypoint"
    wanted = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
    assert str(refused.value) == wanted


def node(identifier: str = "nodejs20.x") -> RuntimeProgram:
    return RuntimeProgram(identifier=identifier, family="nodejs", argv=("/n/node", "boot.js"))


def python(identifier: str) -> RuntimeProgram:
    return RuntimeProgram(identifier=identifier, family="python", argv=("/p", "s.py"), forks=True)


def test_memory_of_node_is_a_share_of_the_functions() -> None:
    assert memory_flags(128) == ("--max-semi-space-size=6", "--max-old-space-size=115")
    argv = start_argv(node(), 1024, {})
    assert argv == ("/n/node", "--max-semi-space-size=51", "--max-old-space-size=921", "boot.js")
    assert spare_argv(node(), 1024) == (*argv, "--spare")


@pytest.mark.parametrize(
    ("program", "taken"),
    [
        (node("nodejs22.x"), True),
        (node("nodejs10.x"), True),
        (node("nodejs8.10"), False),
        (node("nodejs"), False),
        (python("python3.13"), True),
        (python("python3.8"), True),
        (python("python3.7"), False),
        (RuntimeProgram(identifier="java8", family="java", argv=("j",)), False),
        (RuntimeProgram(identifier="java8.al2", family="java", argv=("j",)), True),
        (RuntimeProgram(identifier="provided.al2023", family="provided", argv=("b",)), False),
    ],
)
def test_wrapper_starts_the_runtimes_that_take_one(program: RuntimeProgram, taken: bool) -> None:
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}
    argv = start_argv(program, 128, variables)
    assert ("/opt/wrap" in argv) == takes_wrapper(program) == taken
    assert argv[-1] == program.argv[-1]


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("TABLE", True),
        ("NODE_PATH", True),
        ("NODE_OPTIONS", False),
        ("LD_PRELOAD", False),
        ("JAVA_TOOL_OPTIONS", False),
        ("JDK_JAVA_OPTIONS", False),
        ("_JAVA_OPTIONS", False),
        ("LANG", False),
        ("TZ", True),
        ("PATH", True),
        ("AWS_LAMBDA_EXEC_WRAPPER", False),
    ],
)
def test_process_that_runs_takes_no_variable_that_is_read_at_start(name: str, fits: bool) -> None:
    java = RuntimeProgram(identifier="java17", family="java", argv=("j",))
    assert fits_spare(node(), {name: "x"}) == fits_spare(java, {name: "x"}) == fits


def test_python_and_provided_runtimes_have_no_spare_process() -> None:
    provided = RuntimeProgram(identifier="provided.al2023", family="provided", argv=())
    assert not fits_spare(python("python3.13"), {})
    assert not fits_spare(provided, {})


def test_sdk_directory_holds_boto3_and_no_more_than_it_needs(tmp_path: Path) -> None:
    names = {each.name for each in python_sdk(tmp_path / "sdk").iterdir()}
    assert {"boto3", "botocore"} <= names
    assert "msgspec" not in names
