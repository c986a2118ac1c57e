"""The platform's events about one environment, as records: for its log and for subscribers.

Pure. Left to others: how they are shown (`log_entries`), and who subscribes (`telemetry_api`).
"""

import hashlib
from collections.abc import Mapping

from lamington.functions.launch import LaunchPlan
from lamington.functions.link import InitFailure, Request

Record = Mapping[str, object]


def render_init_start(plan: LaunchPlan, phase: str) -> Record:
    """`platform.initStart`, and without a phase `platform.restoreStart`.

    AWS: it tells the version of the runtime's image; there is none here, so it is always v1.
    """
    runtime, family = plan.version.runtime, plan.program.family
    mark = hashlib.sha256(runtime.encode()).hexdigest()
    shown = f"{family}:{runtime.removeprefix(family).removesuffix('.x').lstrip('.')}.v1"
    return {
        "initializationType": plan.init_type,
        **({"phase": phase} if phase else {}),
        "runtimeVersion": shown,
        "runtimeVersionArn": (
            f"arn:{plan.scope.partition}:lambda:{plan.scope.region}::runtime:{mark}"
        ),
        "functionName": plan.version.function_name,
        "functionVersion": plan.version.version,
    }


def render_init_report(
    plan: LaunchPlan, phase: str, failure: InitFailure | None, init_s: float
) -> Record:
    """`platform.initReport`, and without a phase `platform.restoreReport`."""
    record: dict[str, object] = {
        "initializationType": plan.init_type,
        **({"phase": phase} if phase else {}),
        "status": failure.outcome if failure else "success",
        "metrics": {"durationMs": init_s * 1000},
    }
    if failure is not None and failure.outcome == "error":
        record["errorType"] = failure.error_type
    return record


def render_start(plan: LaunchPlan, request: Request) -> Record:
    """`platform.start`."""
    record: dict[str, object] = {
        "requestId": request.request_id,
        "version": plan.version.version,
    }
    if request.trace_id:
        record["tracing"] = {"type": "X-Amzn-Trace-Id", "value": request.trace_id}
    return record


def render_runtime_done(
    request: Request, function_error: str, status: str, duration_s: float
) -> Record:
    """`platform.runtimeDone`; `status` is what REPORT ends with, such as `timeout`."""
    return {
        "requestId": request.request_id,
        "status": status.partition("\t")[0] or ("error" if function_error else "success"),
        "metrics": {"durationMs": duration_s * 1000},
    }


def render_report(
    plan: LaunchPlan, request: Request, status: str, duration_s: float, memory_kb: int
) -> Record:
    """`platform.report`: as the log's REPORT it does not count an exception of the handler's."""
    return {
        "requestId": request.request_id,
        "status": status.partition("\t")[0] or "success",
        "metrics": {
            "durationMs": duration_s * 1000,
            "memorySizeMB": plan.version.memory_size_mb,
            "maxMemoryUsedMB": -(-memory_kb // 1024),
        },
    }
