"""Which program runs a runtime identifier: the interpreter on this machine and our bootstrap.

Left to others: its environment variables (`environment`), the process itself (`isolation`).
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from lamington.functions.entities import InvalidRuntimeException

Family = Literal["python", "nodejs"]

BOOTSTRAPS = Path(__file__).parent / "bootstraps"

COLD_START_S = {"python": 0.05, "nodejs": 0.15}
"""What a cold start is expected to take until one was measured."""

SDK_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")
"""What AWS's Python runtimes bring along, by import name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeProgram:
    """How to start a runtime: `argv` lacks what the environment appends (its socket's number).

    `warning` tells where the installed version is not the declared one, "" where it is.
    """

    identifier: str
    family: Family
    argv: tuple[str, ...]
    interpreter_version: str
    warning: str = ""

    @property
    def interpreter_directory(self) -> str:
        return str(Path(self.argv[0]).parent)


@cache
def runtime_program(runtime: str) -> RuntimeProgram:
    """The program for a runtime identifier such as `python3.12`, found once.

    Raises InvalidRuntimeException where this machine has no interpreter for it, or Lamington
    does not run the runtime yet.
    """
    if runtime.startswith("python3."):
        return _python_program(runtime)
    if runtime.startswith("nodejs"):
        return _node_program(runtime)
    hint = (
        "use a python3.x runtime: Python 2 code does not run on Python 3"
        if runtime == "python2.7"
        else "python3.x and nodejsNN.x run here"
    )
    raise InvalidRuntimeException(f"The runtime `{runtime}` cannot run on this machine", hint=hint)


def _python_program(runtime: str) -> RuntimeProgram:
    minor = runtime.removeprefix("python3.")
    if not minor.isdigit():
        raise InvalidRuntimeException(f"`{runtime}` is not a runtime", hint="such as python3.12")
    own = f"3.{sys.version_info.minor}"
    interpreter, version = None, f"3.{minor}"
    if version == own:
        interpreter = _base_interpreter()
    else:
        interpreter = _working_interpreter(f"python3.{minor}") if int(minor) >= 8 else None
    warning = ""
    if interpreter is None:
        interpreter, version = _base_interpreter(), own
        warning = f"`{runtime}` is not installed here: its functions run on Python {own}"
    return RuntimeProgram(
        identifier=runtime,
        family="python",
        # Without `site` an interpreter starts in a quarter of the time, and functions see none
        # of the packages that happen to be installed on this machine.
        argv=(interpreter, "-S", "-s", "-X", "utf8", str(BOOTSTRAPS / "python" / "start.py")),
        interpreter_version=version,
        warning=warning,
    )


def _node_program(runtime: str) -> RuntimeProgram:
    found = shutil.which("node")
    if found is None:
        raise InvalidRuntimeException(
            f"The runtime `{runtime}` needs Node.js, and there is no `node` on the PATH",
            hint="install Node.js 16 or later",
        )
    interpreter, version = _real_node(found)
    declared = runtime.removeprefix("nodejs").removesuffix(".x")
    warning = ""
    if version.partition(".")[0] != declared:
        warning = f"`{runtime}` is not installed here: its functions run on Node.js {version}"
    return RuntimeProgram(
        identifier=runtime,
        family="nodejs",
        argv=(interpreter, str(BOOTSTRAPS / "node" / "bootstrap.js")),
        interpreter_version=version,
        warning=warning,
    )


def _base_interpreter() -> str:
    """The engine's interpreter without its virtual environment."""
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def _working_interpreter(name: str) -> str | None:
    """The interpreter that a command stands for; None where the command is but a shim."""
    for directory in os.get_exec_path():
        found = shutil.which(name, path=directory)
        if found is None:
            continue
        answer = subprocess.run(
            [
                found,
                "-S",
                "-c",
                "import sys; print(getattr(sys, '_base_executable', sys.executable))",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        if answer.returncode == 0:
            return answer.stdout.strip()
        # A version manager's shim refuses versions that are installed but not selected.
        minor = name.removeprefix("python")
        installed = sorted(Path(found).parents[1].glob(f"versions/{minor}.*/bin/{name}"))
        if installed:
            return str(installed[-1])
    return None


def _real_node(command: str) -> tuple[str, str]:
    """The interpreter behind a command, which may be a version manager's shim; its version."""
    answer = subprocess.run(
        [command, "-p", "process.execPath + ' ' + process.versions.node"],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    path, _, version = answer.stdout.strip().rpartition(" ")
    if answer.returncode != 0 or not path:
        raise InvalidRuntimeException(
            f"`{command}` does not run: {answer.stderr.strip()[:200]}",
            hint="install Node.js 16 or later",
        )
    return path, version


def python_sdk(directory: Path) -> Path:
    """Make the directory of links by which Python functions import boto3, as on AWS.

    Differs: the versions are those that the engine has, not those of AWS's runtime.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in SDK_PACKAGES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            continue
        origin = Path(found.origin)
        target = origin.parent if origin.name == "__init__.py" else origin
        link = directory / target.name
        if not link.is_symlink() or link.resolve() != target.resolve():
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    return directory
