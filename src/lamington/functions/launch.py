"""What a function's processes are started with: program, code, layers and AWS's variables.

Left to others: the processes themselves (`sandbox`), and their life (`environment`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from lamington.core.aws import Scope
from lamington.functions.entities import FunctionVersion
from lamington.functions.java import JavaBootstrap
from lamington.functions.runtimes import (
    WRAPPER_VARIABLE,
    RuntimeProgram,
    fits_spare,
    provided_entrypoint,
    spare_argv,
    start_argv,
    takes_wrapper,
)
from lamington.functions.sandbox import WALLED_PLACES, Sandbox, SandboxPlan
from lamington.functions.spares import SpareCommand
from lamington.functions.telemetry import EnvironmentLog

ON_DEMAND: Final = "on-demand"
PROVISIONED: Final = "provisioned-concurrency"
SNAP_START: Final = "snap-start"


CREDENTIALS_PATH: Final = "/2021-04-23/credentials"
"""AWS: where functions with SnapStart get their credentials from."""

NOT_FOR_EXTENSIONS = (
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_AWS_XRAY_DAEMON_ADDRESS",
    "_AWS_XRAY_DAEMON_PORT",
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
)
"""AWS: what extension processes do not get."""


class SandboxOpener(Protocol):
    """Opens sandboxes: the launcher does."""

    def open(
        self, plan: SandboxPlan, temporary: Path, spare: SpareCommand | None = None
    ) -> Sandbox: ...


class SeenPlaces(Protocol):
    """Where processes find what is theirs: a sandbox says so."""

    @property
    def task_root(self) -> str: ...

    @property
    def layers_root(self) -> str: ...

    @property
    def temporary(self) -> str: ...

    @property
    def runtime_root(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlan:
    """All that is needed to start the processes of one version, whichever environment it is for.

    `credentials` are the access key, secret and session token of the function's role.
    """

    version: FunctionVersion
    scope: Scope
    program: RuntimeProgram
    launcher: SandboxOpener
    sandbox: SandboxPlan
    extensions: tuple[str, ...] = ()
    credentials: tuple[str, str, str] = ("", "", "")
    aws_endpoint_url: str = ""
    attend_s: float = 0.0
    init_type: str = ON_DEMAND
    credentials_token: str = ""
    """What a process of SnapStart asks for its credentials with; "" for all others."""
    java: JavaBootstrap | None = None
    """Our bootstrap for the program's Java, where it is one."""

    def command(
        self, sandbox: SeenPlaces, variables: Mapping[str, str]
    ) -> tuple[tuple[str, ...], bool]:
        """The runtime's command line in the sandbox, and whether a fork of the zygote serves.

        Raises FunctionError where the code holds no program that can be started.
        """
        program = self.program
        if program.family == "provided":
            places = (self.sandbox.task_root, self.sandbox.layers_root)
            return (provided_entrypoint(*places, sandbox.task_root, sandbox.layers_root),), False
        memory_mb = self.version.memory_size_mb
        if self.java is not None:
            layers, temporary = sandbox.layers_root, sandbox.temporary
            argv = self.java.argv(memory_mb, 0.0, layers, temporary=temporary)
            program = replace(program, argv=tuple(argv))
        wrapped = bool(variables.get(WRAPPER_VARIABLE)) and takes_wrapper(program)
        argv = start_argv(program, memory_mb, variables)
        return argv, program.forks and not wrapped

    @property
    def spare(self) -> SpareCommand | None:
        """The command of a process that, started ahead of need, may become this function's.

        None where a function has to be started with what is its own: a wrapper, variables or
        libraries that are looked at once, when a process starts.
        """
        if not fits_spare(self.program, self.version.environment or {}):
            return None
        roots = (self.sandbox.task_root, self.sandbox.layers_root)
        if any(each is not None and holds_libraries(each / "lib") for each in roots):
            return None
        memory_mb = self.version.memory_size_mb
        if self.java is None:
            argv = spare_argv(self.program, memory_mb)
        elif self.java.takes_spares:
            argv = self.java.argv(memory_mb, 0.0, spare=True)
        else:
            return None
        variables = _process_variables(self.program, WALLED_PLACES)
        return SpareCommand(
            argv=argv,
            variables=tuple(sorted(variables.items())),
            long_header=self.java is not None,
        )


def holds_libraries(directory: Path) -> bool:
    """Whether the dynamic loader has something to find in a directory."""
    try:
        return any(".so" in name and name.startswith("lib") for name in os.listdir(directory))
    except OSError:
        return False


def external_extensions(layers_root: Path | None) -> tuple[str, ...]:
    """The names of the extensions that layers bring, in the order in which they are started.

    AWS: every executable file in `/opt/extensions`.
    """
    if layers_root is None or not (layers_root / "extensions").is_dir():
        return ()
    found = sorted((layers_root / "extensions").iterdir())
    return tuple(each.name for each in found if each.is_file() and os.access(each, os.X_OK))


def render_variables(
    plan: LaunchPlan, log: EnvironmentLog, sandbox: SeenPlaces, runtime_api: str
) -> dict[str, str]:
    """The variables of a function's process: AWS's list, and nothing of this machine's.

    AWS: reserved ones beat the function's own, which replace the rest.
    Differs: PATH ends with the interpreter's directory; AWS_ENDPOINT_URL leads the SDKs to this
    engine; AWS_LAMBDA_RUNTIME_API is an address of this machine's loopback; nothing listens at
    the X-Ray daemon's. Without namespaces the paths are those of this machine, and TMPDIR is the
    environment's own directory.
    """
    version, program = plan.version, plan.program
    replaceable = _process_variables(program, sandbox)
    replaceable["AWS_XRAY_CONTEXT_MISSING"] = "LOG_ERROR"
    replaceable["AWS_XRAY_DAEMON_ADDRESS"] = "169.254.100.1:2000"
    if sandbox.temporary != "/tmp":
        replaceable["TMPDIR"] = sandbox.temporary
    if plan.aws_endpoint_url:
        replaceable["AWS_ENDPOINT_URL"] = plan.aws_endpoint_url
    if program.family == "python":
        replaceable["PYTHONPATH"] = sandbox.runtime_root
        if _is_python_from_3_12(program.identifier):
            replaceable["LC_CTYPE"] = "C.UTF-8"
    elif program.family == "nodejs":
        replaceable["NODE_PATH"] = _node_path(program.identifier, sandbox)
    reserved = _reserved(plan, log, sandbox, runtime_api)
    return {**replaceable, **(version.environment or {}), **reserved}


def _process_variables(program: RuntimeProgram, sandbox: SeenPlaces) -> dict[str, str]:
    """What any function of a program has, and the loader and the libraries read."""
    root, layers, runtime = sandbox.task_root, sandbox.layers_root, sandbox.runtime_root
    is_language = program.family != "provided"
    directories = ["/var/lang/bin"] if is_language else []
    directories += ["/usr/local/bin", "/usr/bin/", "/bin", f"{layers}/bin"]
    if is_language and program.interpreter_directory not in ("/usr/bin", "/usr/local/bin"):
        directories.append(program.interpreter_directory)
    libraries = ["/var/lang/lib"] if is_language else []
    libraries += ["/lib64", "/usr/lib64", runtime, f"{runtime}/lib", root, f"{root}/lib"]
    return {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": ":".join(directories),
        "LD_LIBRARY_PATH": ":".join([*libraries, f"{layers}/lib"]),
        "PWD": root,
        "SHLVL": "0",
    }


def _is_python_from_3_12(identifier: str) -> bool:
    return [int(part) for part in identifier.removeprefix("python").split(".")] >= [3, 12]


def _node_path(identifier: str, sandbox: SeenPlaces) -> str:
    major = identifier.removeprefix("nodejs").partition(".")[0]
    layers, runtime = f"{sandbox.layers_root}/nodejs", sandbox.runtime_root
    return ":".join(
        (
            f"{layers}/node{major}/node_modules",
            f"{layers}/node_modules",
            f"{runtime}/node_modules",
            runtime,
            sandbox.task_root,
        )
    )


def _reserved(
    plan: LaunchPlan, log: EnvironmentLog, sandbox: SeenPlaces, runtime_api: str
) -> dict[str, str]:
    version, region = plan.version, plan.scope.region
    reserved = {
        **_credentials(plan, runtime_api),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_FUNCTION_NAME": version.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": version.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_size_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": plan.init_type,
        "AWS_LAMBDA_LOG_GROUP_NAME": log.group_name,
        "AWS_LAMBDA_LOG_STREAM_NAME": log.stream_name,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "_HANDLER": version.handler,
        "LAMBDA_TASK_ROOT": sandbox.task_root,
        "LAMBDA_RUNTIME_DIR": sandbox.runtime_root,
    }
    if plan.program.family != "provided":
        reserved["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{version.runtime}"
    if version.log_format == "JSON":
        reserved["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        logging = version.settings.get("LoggingConfig") or {}
        reserved["AWS_LAMBDA_LOG_LEVEL"] = logging.get("ApplicationLogLevel", "INFO")
    return reserved


def _credentials(plan: LaunchPlan, runtime_api: str) -> dict[str, str]:
    """Keys, or where to ask for them: those in a snapshot would not last."""
    if plan.init_type == SNAP_START:
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{runtime_api}{CREDENTIALS_PATH}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": plan.credentials_token,
        }
    key, secret, token = plan.credentials
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": token,
    }


def render_extension_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of an extension's process: the function's but for some of AWS's own."""
    return {name: value for name, value in variables.items() if name not in NOT_FOR_EXTENSIONS}
