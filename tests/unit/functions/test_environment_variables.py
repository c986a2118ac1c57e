from pathlib import Path
from typing import Any

import pytest

from lamington.core.aws import Scope
from lamington.functions.entities import Code, FunctionVersion
from lamington.functions.environment import TRANSITIONS, State
from lamington.functions.launch import LaunchPlan, render_variables
from lamington.functions.link import error_payload, exit_message
from lamington.functions.runtimes import RuntimeProgram
from lamington.functions.sandbox import Places, Sandbox, SandboxPlan
from lamington.functions.spares import SpareCommand
from lamington.functions.telemetry import EnvironmentLog


class NoSandboxes:
    """Opens none: variables need no process."""

    def open(
        self, plan: SandboxPlan, temporary: Path, spare: SpareCommand | None = None
    ) -> Sandbox:
        raise AssertionError("nothing is started")


def variables(**members: Any) -> dict[str, str]:
    version = FunctionVersion(
        **{
            "function_name": "f",
            "runtime": "python3.12",
            "handler": "app.handler",
            "role": "r",
            "code": Code(blob="b", size_bytes=1, sha256_base64="s"),
            "last_modified": "",
            "revision_id": "",
            **members,
        }
    )
    program = RuntimeProgram(
        identifier=version.runtime,
        family="nodejs" if version.runtime.startswith("nodejs") else "python",
        argv=("/opt/python/bin/python3", "start.py"),
        interpreter_version="3.12",
    )
    scope = Scope(account_id="111111111111", region="eu-west-1")
    plan = LaunchPlan(
        version=version,
        scope=scope,
        program=program,
        launcher=NoSandboxes(),
        sandbox=SandboxPlan(
            task_root=Path("/code"), layers_root=None, memory_mb=128, ephemeral_storage_mb=512
        ),
        credentials=("key", "secret", "token"),
    )
    log = EnvironmentLog.__new__(EnvironmentLog)
    log.group_name, log.stream_name = "/aws/lambda/f", "2026/01/01/[$LATEST]0"
    places = Places(
        task_root="/var/task", layers_root="/opt", temporary="/tmp", runtime_root="/var/runtime"
    )
    return render_variables(plan, log, places, "127.0.0.1:9001")


def test_reserved_variables_beat_the_functions_own() -> None:
    seen = variables(environment={"AWS_REGION": "mars", "_HANDLER": "x", "PATH": "/mine"})
    assert (seen["AWS_REGION"], seen["_HANDLER"]) == ("eu-west-1", "app.handler")
    assert seen["PATH"] == "/mine"


def test_python_has_awss_variables() -> None:
    seen = variables()
    assert seen["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.12"
    assert seen["PYTHONPATH"] == "/var/runtime"
    assert (seen["LC_CTYPE"], "LC_CTYPE" in variables(runtime="python3.11")) == ("C.UTF-8", False)
    assert seen["TZ"] == ":UTC"
    assert seen["LAMBDA_TASK_ROOT"] == "/var/task"
    assert "HOME" not in seen
    assert "AWS_LAMBDA_LOG_FORMAT" not in seen


def test_node_path_names_the_declared_version() -> None:
    seen = variables(runtime="nodejs22.x")
    assert seen["NODE_PATH"].startswith("/opt/nodejs/node22/node_modules:")
    assert "PYTHONPATH" not in seen


def test_json_logs_are_told_of() -> None:
    seen = variables(log_format="JSON", settings={"LoggingConfig": {"ApplicationLogLevel": "WARN"}})
    assert (seen["AWS_LAMBDA_LOG_FORMAT"], seen["AWS_LAMBDA_LOG_LEVEL"]) == ("JSON", "WARN")


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_transitions_and_only_the_end_has_none(state: State) -> None:
    assert bool(TRANSITIONS[state]) == (state is not State.ENDED)


def test_platform_errors_are_in_awss_words() -> None:
    assert error_payload("Runtime.ExitError", "id-1", exit_message("exit status 1")) == (
        b'{"errorType":"Runtime.ExitError",'
        b'"errorMessage":"RequestId: id-1 Error: Runtime exited with error: exit status 1"}'
    )
    assert exit_message("") == "Runtime exited without providing a reason"
