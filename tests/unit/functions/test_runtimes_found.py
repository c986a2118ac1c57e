from pathlib import Path

import pytest

from lamington.functions.entities import InvalidRuntimeException
from lamington.functions.runtimes import python_sdk, runtime_program


def test_own_version_runs_on_the_interpreter_outside_of_the_virtual_environment() -> None:
    import sys

    program = runtime_program(f"python3.{sys.version_info.minor}")
    assert program.warning == ""
    assert not program.argv[0].startswith(sys.prefix + "/") or sys.prefix == sys.base_prefix


def test_version_that_is_not_installed_runs_with_a_warning() -> None:
    program = runtime_program("python3.99")
    assert program.warning.startswith("`python3.99` is not installed here")


@pytest.mark.parametrize("runtime", ["python2.7", "java21", "provided.al2023", "python3.x", "x"])
def test_runtime_that_cannot_run_is_refused(runtime: str) -> None:
    with pytest.raises(InvalidRuntimeException) as refused:
        runtime_program(runtime)
    assert refused.value.hint


def test_sdk_directory_holds_boto3_and_no_more_than_it_needs(tmp_path: Path) -> None:
    names = {each.name for each in python_sdk(tmp_path / "sdk").iterdir()}
    assert {"boto3", "botocore"} <= names
    assert "msgspec" not in names
