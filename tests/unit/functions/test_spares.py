"""What makes a function fit for a process that was started ahead of need, and what that is told."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from lamington.core.aws import Scope
from lamington.functions.entities import Code, FunctionVersion
from lamington.functions.launch import LaunchPlan
from lamington.functions.runtimes import RuntimeProgram
from lamington.functions.sandbox import Sandbox, SandboxPlan
from lamington.functions.spares import SpareCommand

NODE = RuntimeProgram(identifier="nodejs20.x", family="nodejs", argv=("/n/bin/node", "boot.js"))


class NoSandboxes:
    """A SandboxOpener of a machine that is never asked."""

    def open(
        self, plan: SandboxPlan, temporary: Path, spare: SpareCommand | None = None
    ) -> Sandbox:
        raise AssertionError


@pytest.fixture
def plan(tmp_path: Path) -> LaunchPlan:
    (tmp_path / "lib").mkdir()
    return LaunchPlan(
        version=FunctionVersion(
            function_name="f",
            handler="app.handler",
            role="arn:aws:iam::111111111111:role/r",
            runtime="nodejs20.x",
            code=Code(blob="ab", size_bytes=1, sha256_base64=""),
            last_modified="",
            revision_id="",
            environment={"TABLE": "t"},
        ),
        scope=Scope(account_id="111111111111"),
        program=NODE,
        launcher=NoSandboxes(),
        sandbox=SandboxPlan(
            task_root=tmp_path, layers_root=None, memory_mb=128, ephemeral_storage_mb=512
        ),
    )


def test_functions_of_one_runtime_and_memory_may_have_the_same_process(plan: LaunchPlan) -> None:
    other = replace(
        plan, version=replace(plan.version, function_name="g", environment={"MINE": "1"})
    )
    assert plan.spare is not None
    assert plan.spare == other.spare
    larger = replace(plan, version=replace(plan.version, memory_size_mb=256))
    assert larger.spare != plan.spare


def test_spare_process_starts_without_anything_of_a_function(plan: LaunchPlan) -> None:
    assert plan.spare is not None
    variables = dict(plan.spare.variables)
    assert set(variables) == {"LANG", "TZ", "PATH", "LD_LIBRARY_PATH", "PWD", "SHLVL"}
    assert variables["LD_LIBRARY_PATH"].endswith("/var/task:/var/task/lib:/opt/lib")


def test_function_with_libraries_of_its_own_has_none(plan: LaunchPlan) -> None:
    (plan.sandbox.task_root / "lib" / "app.jar").touch()
    assert plan.spare is not None
    (plan.sandbox.task_root / "lib" / "libown.so.1").touch()
    assert plan.spare is None


def test_function_with_variables_that_are_read_at_start_has_none(plan: LaunchPlan) -> None:
    version = replace(plan.version, environment={"NODE_OPTIONS": "--no-warnings"})
    assert replace(plan, version=version).spare is None


@pytest.mark.parametrize(("long_header", "header"), [(False, "<IB"), (True, "<IBHHHHd")])
def test_configuration_is_a_frame_as_the_bootstrap_reads_it(long_header: bool, header: str) -> None:
    command = SpareCommand(argv=("node",), variables=(), long_header=long_header)
    frame = command.render_configuration({"A": "ü"}, "/var/task", "/opt")
    length, kind, *sizes = struct.unpack_from(header, frame)
    assert (length + 4, kind, sum(sizes)) == (len(frame), 3, 0)
    told = json.loads(frame[struct.calcsize(header) :])
    assert told == {"variables": {"A": "ü"}, "task_root": "/var/task", "layers_root": "/opt"}
