"""What a function's process is started with: its program, its code and AWS's variables.

Left to others: the process itself (`isolation`), and its life (`environment`).
"""

from dataclasses import dataclass
from pathlib import Path

from lamington.core.aws import Scope
from lamington.functions.entities import FunctionVersion
from lamington.functions.runtimes import RuntimeProgram
from lamington.functions.telemetry import EnvironmentLog


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlan:
    """All that is needed to start the process of one version, whichever environment it is for."""

    version: FunctionVersion
    scope: Scope
    program: RuntimeProgram
    task_root: Path
    sdk_directory: Path | None = None
    aws_endpoint_url: str = ""
    attend_s: float = 0.0


def render_variables(plan: LaunchPlan, log: EnvironmentLog, temporary: Path) -> dict[str, str]:
    """The variables of a function's process: AWS's list, and nothing of this machine's.

    AWS: reserved ones beat the function's own, which replace the rest.
    Differs: LAMBDA_TASK_ROOT, PWD, NODE_PATH and LD_LIBRARY_PATH name the real directory of the
    code; PATH ends with the interpreter's directory; TMPDIR is the environment's own directory;
    AWS_ENDPOINT_URL leads the SDKs to this engine; the access key is the account's number.
    """
    version, program, root = plan.version, plan.program, str(plan.task_root)
    account, region = plan.scope.account_id, plan.scope.region
    replaceable = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin:"
        + program.interpreter_directory,
        "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:"
        f"{root}:{root}/lib:/opt/lib",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
        "PWD": root,
        "SHLVL": "0",
        "TMPDIR": str(temporary),
    }
    if plan.aws_endpoint_url:
        replaceable["AWS_ENDPOINT_URL"] = plan.aws_endpoint_url
    if program.family == "python":
        replaceable["PYTHONPATH"] = "/var/runtime"
    else:
        major = program.identifier.removeprefix("nodejs").partition(".")[0]
        replaceable["NODE_PATH"] = (
            f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:"
            f"/var/runtime/node_modules:/var/runtime:{root}"
        )
    reserved = {
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "lamington",
        "AWS_SESSION_TOKEN": "lamington",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{version.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": version.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": version.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_size_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": log.group_name,
        "AWS_LAMBDA_LOG_STREAM_NAME": log.stream_name,
        "AWS_LAMBDA_RUNTIME_API": "169.254.100.1:9001",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "_HANDLER": version.handler,
        "LAMBDA_TASK_ROOT": root,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
    }
    if version.log_format == "JSON":
        reserved["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        logging = version.settings.get("LoggingConfig") or {}
        reserved["AWS_LAMBDA_LOG_LEVEL"] = logging.get("ApplicationLogLevel", "INFO")
    return {**replaceable, **(version.environment or {}), **reserved}
