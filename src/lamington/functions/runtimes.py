"""Which program runs a runtime identifier: the interpreter on this machine and our bootstrap.

Left to others: what the identifiers are (`runtime_facts`), which interpreters there are
(`interpreters`), the variables of the process (`launch`), and the process itself (`isolation`).
"""

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from lamington.core.errors import FunctionError
from lamington.functions.entities import InvalidRuntimeException
from lamington.functions.interpreters import NODE_LEAST, Interpreter, find_node, find_python
from lamington.functions.java import choose_installation, installed
from lamington.functions.runtime_facts import Language, RuntimeFacts, runtime_facts

Family = Literal["python", "nodejs", "java", "provided"]

BOOTSTRAPS = Path(__file__).parent / "bootstraps"

COLD_START_S: Final[Mapping[Family, float]] = {
    "python": 0.05,
    "nodejs": 0.15,
    "java": 0.15,
    "provided": 0.1,
}
"""What a cold start is expected to take until one was measured."""

SDK_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")
"""What AWS's Python runtimes bring along, by import name."""

WRAPPER_VARIABLE: Final = "AWS_LAMBDA_EXEC_WRAPPER"

SPARE_FLAG: Final = "--spare"

_READ_AT_START: Final = (
    *("LD_", "LANG", "LC_", "MALLOC_", "GLIBC_TUNABLES"),
    *("NODE_", "UV_", "OPENSSL_", "SSL_"),
    *("JAVA_", "JDK_JAVA_", "_JAVA_"),
)
"""How variables begin that the loader, the C library, Node.js or the JVM read but once."""

_WRAPPER_LEAST: Final[Mapping[Family, tuple[int, int]]] = {"python": (3, 8), "nodejs": (10, 0)}

_WRAPPER_SCRIPT: Final = """
if [ ! -f "$1" ]; then echo "$1: does not exist"; exit 127; fi
if [ ! -x "$1" ]; then echo "$1: is not an executable"; exit 126; fi
exec "$@"
"""

_PROVIDED_HINT: Final = "and declare `provided.al2023`, whose program is `bootstrap`"

_REFUSED: Final[Mapping[Language, str]] = {
    "go": f"compile the function to an executable called `bootstrap` {_PROVIDED_HINT}",
    "dotnet": "publish it self-contained with Amazon.Lambda.RuntimeSupport as an executable "
    f"called `bootstrap` {_PROVIDED_HINT}",
    "ruby": "add an executable called `bootstrap` that starts Ruby with the gem `aws_lambda_ric` "
    f"{_PROVIDED_HINT}",
}
"""What to do instead, for the languages that do not run here."""


class InvalidEntrypoint(FunctionError):
    """A `provided` runtime's code has no program to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeProgram:
    """How to start a runtime.

    `argv` is whole, but for a `provided` runtime: its program is in the function's own code and
    `argv` is empty. `forks` tells that the process may be forked from a zygote of `interpreter`
    instead of executing `argv`, unless a wrapper is to start it. `warning` tells where the
    installed version is not the declared one, "" where it is.
    """

    identifier: str
    family: Family
    argv: tuple[str, ...]
    interpreter_version: str = ""
    interpreter: str = ""
    forks: bool = False
    warning: str = ""

    @property
    def interpreter_directory(self) -> str:
        """Where the interpreter is, "" where there is none."""
        path = self.interpreter or (self.argv[0] if self.argv else "")
        return str(Path(path).parent) if path else ""

    @property
    def release(self) -> tuple[int, int]:
        """The declared release; what it says decides how the bootstrap behaves."""
        facts = runtime_facts(self.identifier)
        return facts.release if facts is not None else (0, 0)


@cache
def runtime_program(runtime: str) -> RuntimeProgram:
    """The program for a runtime identifier such as `python3.12`, found once.

    Raises InvalidRuntimeException where this machine has no interpreter for it, or Lamington
    does not run the runtime.

    Differs: an identifier whose version is not installed runs on the nearest later one, else on
    the nearest earlier one, with a warning; go1.x, .NET and Ruby are refused. Node.js: the AWS SDK
    is not bundled, and the log says how to add it; a streamed invocation ends with its stream, not
    with the event loop; a stream that is not ended fails when the loop drains, not when the time
    is over; a write after its end, or `destroy`, does not end the process; the log tells the place
    of a syntax error before nodejs24.x too.
    """
    facts = runtime_facts(runtime)
    if facts is None:
        raise InvalidRuntimeException(
            f"`{runtime}` is not a runtime", hint="such as python3.13, nodejs22.x or java21"
        )
    match facts.language:
        case "python":
            return _python_program(facts)
        case "nodejs":
            return _node_program(facts)
        case "java":
            return _java_program(facts)
        case "provided":
            return RuntimeProgram(identifier=runtime, family="provided", argv=())
        case "go" | "dotnet" | "ruby":
            raise _refused(runtime, _REFUSED[facts.language])


def _refused(runtime: str, hint: str) -> InvalidRuntimeException:
    return InvalidRuntimeException(f"The runtime `{runtime}` cannot run on this machine", hint=hint)


def _python_program(facts: RuntimeFacts) -> RuntimeProgram:
    if facts.release < (3, 0):
        raise _refused(
            facts.identifier,
            "Python 2 code does not run on Python 3: convert it and declare a python3.x runtime",
        )
    found = find_python(facts.release)
    return RuntimeProgram(
        identifier=facts.identifier,
        family="python",
        # Without `site` an interpreter starts in a quarter of the time, and functions see none
        # of the packages that happen to be installed on this machine.
        argv=(found.path, "-S", "-s", "-X", "utf8", str(BOOTSTRAPS / "python" / "start.py")),
        interpreter_version=found.version,
        interpreter=found.path,
        forks=True,
        warning=_warning(facts, found, "Python") if found.release != facts.release else "",
    )


def _node_program(facts: RuntimeFacts) -> RuntimeProgram:
    found = find_node(facts.release)
    if found is None:
        raise InvalidRuntimeException(
            f"The runtime `{facts.identifier}` needs Node.js, and none was found on this machine",
            hint=f"install Node.js {NODE_LEAST[0]} or later, on the PATH or by a version manager",
        )
    same = found.release[0] == facts.release[0]
    return RuntimeProgram(
        identifier=facts.identifier,
        family="nodejs",
        argv=(found.path, str(BOOTSTRAPS / "node" / "bootstrap.js")),
        interpreter_version=found.version,
        interpreter=found.path,
        warning="" if same else _warning(facts, found, "Node.js"),
    )


def _java_program(facts: RuntimeFacts) -> RuntimeProgram:
    found, warning = choose_installation(facts.identifier, facts.release[0], installed())
    return RuntimeProgram(
        identifier=facts.identifier,
        family="java",
        # Not whole: the bootstrap is compiled first, and its archive may come later.
        argv=(found.java,),
        interpreter_version=found.version,
        interpreter=found.java,
        warning=warning,
    )


def _warning(facts: RuntimeFacts, found: Interpreter, language: str) -> str:
    return (
        f"`{facts.identifier}` is not installed here: "
        f"its functions run on {language} {found.version}"
    )


def memory_flags(memory_mb: int) -> tuple[str, ...]:
    """What Node.js is told of its memory: nine tenths for the old space, a twentieth as new.

    AWS: the launcher of the managed runtimes computes the same.
    """
    return (
        f"--max-semi-space-size={memory_mb * 5 // 100}",
        f"--max-old-space-size={memory_mb * 90 // 100}",
    )


def start_argv(
    program: RuntimeProgram, memory_mb: int, variables: Mapping[str, str]
) -> tuple[str, ...]:
    """The whole command of a process that is executed, not forked: memory, and the wrapper.

    AWS: AWS_LAMBDA_EXEC_WRAPPER starts the runtime in the function's stead; the process ends with
    status 127 where there is no such file. Not with `provided` runtimes and those before
    nodejs10.x, python3.8 and java8.al2.
    """
    argv = program.argv
    if program.family == "nodejs":
        argv = (argv[0], *memory_flags(memory_mb), *argv[1:])
    wrapper = variables.get(WRAPPER_VARIABLE, "")
    if wrapper and takes_wrapper(program):
        argv = ("/bin/sh", "-c", _WRAPPER_SCRIPT, "bootstrap", wrapper, *argv)
    return argv


def spare_argv(program: RuntimeProgram, memory_mb: int) -> tuple[str, ...]:
    """The command of a Node.js process that is started ahead of need, for no function yet.

    It is told by a CONFIGURE frame what it is to become. Its memory is settled at its start:
    V8 takes no other size later.
    """
    return (*start_argv(program, memory_mb, {}), SPARE_FLAG)


def fits_spare(program: RuntimeProgram, variables: Mapping[str, str]) -> bool:
    """Whether a process that runs already can take these variables of a function's own.

    Some are read once, when a process starts.
    """
    return program.family in ("nodejs", "java") and not any(
        name == WRAPPER_VARIABLE or (name != "NODE_PATH" and name.startswith(_READ_AT_START))
        for name in variables
    )


def takes_wrapper(program: RuntimeProgram) -> bool:
    """Whether AWS_LAMBDA_EXEC_WRAPPER counts for the runtime."""
    if program.family == "java":
        return program.identifier != "java8"
    least = _WRAPPER_LEAST.get(program.family)
    return least is not None and program.release >= least


def provided_entrypoint(
    task_root: Path,
    layers_root: Path | None,
    seen_task_root: str = "/var/task",
    seen_layers_root: str = "/opt",
) -> str:
    """The path of a `provided` runtime's program, as the process will see it.

    `task_root` and `layers_root` are where the code lies, the others how it is seen within.
    Raises InvalidEntrypoint where there is none that can be executed.
    """
    places = ((task_root, seen_task_root), (layers_root, seen_layers_root))
    for root, seen in places:
        if root is None:
            continue
        path = root / "bootstrap"
        if path.is_file() and os.access(path, os.X_OK):
            return f"{seen}/bootstrap"
    raise InvalidEntrypoint(
        "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
        error_type="Runtime.InvalidEntrypoint",
        hint="the package or a layer of a `provided` runtime holds an executable `bootstrap`",
    )


def sdk_modules() -> dict[str, str]:
    """Where what Python functions get of AWS's SDK is installed, by file name.

    The module of SnapStart's hooks is beside it, and is ours.

    Differs: the versions are those that the engine has, not those of AWS's runtime.
    """
    hooks = BOOTSTRAPS / "python" / "snapshot_restore_py.py"
    found = {hooks.name: str(hooks.absolute())}
    for name in SDK_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        target = origin.parent if origin.name == "__init__.py" else origin
        found[target.name] = str(target)
    return found


def python_sdk(directory: Path) -> Path:
    """Make the directory of links by which Python functions import boto3, as on AWS."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, target in sdk_modules().items():
        link = directory / name
        if not link.is_symlink() or str(link.readlink()) != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    return directory
