"""Log entries: what an environment keeps of an invocation, and the events that it stands for.

The hot path makes one tuple for one invocation; START, END and REPORT become text only when
somebody reads them, and so do the platform's own events. Left to others: where entries are kept
(`log_store`), what is counted of them (`usage`).
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

EVENT_MAX_BYTES = 1_048_576
"""The longest event; what a function writes on one line beyond it becomes further events."""

RECORD_BREAK = "\x1e"
"""Stands for a line break within one log record, where a bootstrap writes several lines as one."""

Entry = tuple[Any, ...]
"""One item of a chunk, see `telemetry.EnvironmentLog`: the first member names its form."""

EVENT, INVOCATION, TEXT, PLATFORM = 0, 1, 2, 3

PROVISIONED = "provisioned-concurrency"
SNAP_START = "snap-start"

LEVELS: Mapping[str, int] = {
    name: rank for rank, name in enumerate(("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"))
}
"""AWS: log levels, the most detailed first."""

INVOCATION_LENGTH = 12


class LogHeader(NamedTuple):
    """What the entries of one environment have in common; stored with each chunk of them.

    Chunks of earlier versions hold fewer members, and fewer of an invocation's.
    """

    version: str
    memory_size_mb: int
    log_format: str
    system_level: str = "INFO"
    application_level: str = "INFO"
    traced: bool = False


def render_entry(entry: Sequence[Any], header: Sequence[Any]) -> Iterator[tuple[int, str]]:
    """The events that one entry stands for, as (milliseconds, message)."""
    match entry[0]:
        case 0:
            for line in _output_lines(entry[2], header):
                yield entry[1], line
        case 1:
            yield from _render_invocation(entry, LogHeader(*header))
        case 2:
            yield entry[1], entry[2]
        case _:
            text = _render_platform(entry[1], entry[2], entry[3], LogHeader(*header))
            if text:
                yield entry[1], text


def billed_duration(duration_ms: float, init_ms: float) -> int:
    """Round an invocation's time up to the whole milliseconds that it is billed for.

    AWS: since August 2025 the init phase counts: a cold start costs what it takes.
    """
    return max(1, math.ceil(round(duration_ms, 2) + round(max(init_ms, 0.0), 2)))


def split_output(output: bytes) -> Iterator[str]:
    """One event for each line that a function wrote; empty lines are events too.

    AWS: a line longer than the limit of an event is split.
    """
    if not output:
        return
    lines = output.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    for line in lines:
        text = line.replace(RECORD_BREAK, "\n") + "\n"
        for start in range(0, len(text), EVENT_MAX_BYTES):
            yield text[start : start + EVENT_MAX_BYTES]


def render_time(at_ms: int) -> str:
    """Milliseconds since 1970 as `2026-01-02T03:04:05.678Z`."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def render_system_event(at_ms: int, kind: str, record: Mapping[str, Any]) -> str:
    """One of the platform's own events, for functions whose log format is JSON."""
    event = {"time": render_time(at_ms), "type": kind, "record": record}
    return msgspec.json.encode(event).decode() + "\n"


def entry_span(entry: Sequence[Any]) -> tuple[int, int]:
    """The first and the last millisecond of an entry's events."""
    if entry[0] != INVOCATION:
        return entry[1], entry[1]
    return entry[1], entry[1] + int(entry[3])


def kept_members(entries: Sequence[Entry], header: LogHeader) -> Sequence[Entry]:
    """The entries as they are stored: without what their texts will not show.

    It halves the size of the common chunk.
    """
    if header.log_format == "JSON" or header.traced:
        return entries
    if any(entry[0] == INVOCATION and entry[11] == SNAP_START for entry in entries[:8]):
        return entries
    return [entry[:8] if entry[0] == INVOCATION else entry for entry in entries]


# Invocations


def _render_invocation(entry: Sequence[Any], header: LogHeader) -> Iterator[tuple[int, str]]:
    members = (*entry, *("",) * (INVOCATION_LENGTH - len(entry)))
    _, started_ms, request_id, duration_ms, memory_kb, init_ms, output, status = members[:8]
    function_error, _, trace_id, init_type = members[8:12]
    ended_ms = started_ms + int(duration_ms)
    memory_mb = min(math.ceil(memory_kb / 1024), max(header.memory_size_mb, 1))
    restored = init_type == SNAP_START
    billed_ms = billed_duration(duration_ms, -1.0 if restored else init_ms)
    segment = _segment(trace_id) if header.traced else None
    if header.log_format != "JSON":
        yield started_ms, f"START RequestId: {request_id} Version: {header.version}\n"
        for line in split_output(output):
            yield ended_ms, line
        yield ended_ms, f"END RequestId: {request_id}\n"
        ending = f"Status: {status}" if status else ""
        traced = f"\n{_render_segment(*segment)}" if segment else ""
        yield (
            ended_ms,
            f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\t"
            f"Billed Duration: {billed_ms} ms\tMemory Size: {header.memory_size_mb} MB\t"
            f"Max Memory Used: {memory_mb} MB\t{_render_init(init_ms, restored)}{ending}"
            f"{traced}\n",
        )
        return
    tracing = _tracing(trace_id, segment)
    outcome, _, error_type = status.partition("\tError Type: ")
    start = {"requestId": request_id, "version": header.version, **tracing}
    yield from _system_event(started_ms, "platform.start", start, header)
    for line in _output_lines(output, header):
        yield ended_ms, line
    done = {
        "requestId": request_id,
        "status": outcome or ("error" if function_error else "success"),
        **({"errorType": error_type} if error_type else {}),
        "metrics": {"durationMs": round(duration_ms, 3)},
        **tracing,
    }
    yield from _system_event(ended_ms, "platform.runtimeDone", done, header)
    metrics: dict[str, Any] = {
        "durationMs": round(duration_ms, 3),
        "billedDurationMs": billed_ms,
        "memorySizeMB": header.memory_size_mb,
        "maxMemoryUsedMB": memory_mb,
    }
    if init_ms >= 0 and restored:
        metrics["restoreDurationMs"] = round(init_ms, 3)
        metrics["billedRestoreDurationMs"] = math.ceil(round(init_ms, 2))
    elif init_ms >= 0:
        metrics["initDurationMs"] = round(init_ms, 3)
    report = {
        "requestId": request_id,
        "metrics": metrics,
        "status": outcome or "success",
        **({"errorType": error_type} if error_type else {}),
        **tracing,
    }
    yield from _system_event(ended_ms, "platform.report", report, header)


def _render_init(init_ms: float, restored: bool) -> str:
    """Differs: all of a restore is billed; AWS leaves out what precedes the runtime's part."""
    if init_ms < 0:
        return ""
    if restored:
        billed = math.ceil(round(init_ms, 2))
        return f"Restore Duration: {init_ms:.2f} ms\tBilled Restore Duration: {billed} ms\t"
    return f"Init Duration: {init_ms:.2f} ms\t"


_TRACE = re.compile(r"Root=(?P<root>[^;]+);Parent=(?P<parent>[^;]+);Sampled=1(?:;|$)")


def _segment(trace_id: str) -> tuple[str, str] | None:
    """The trace and the segment of an X-Amzn-Trace-Id header whose trace is sampled."""
    found = _TRACE.match(trace_id)
    return (found["root"], found["parent"]) if found else None


def _render_segment(root: str, parent: str) -> str:
    return f"XRAY TraceId: {root}\tSegmentId: {parent}\tSampled: true\t"


def _tracing(trace_id: str, segment: tuple[str, str] | None) -> dict[str, Any]:
    if segment is None:
        return {}
    return {"tracing": {"spanId": segment[1], "type": "X-Amzn-Trace-Id", "value": trace_id}}


# The platform's own events


def _render_platform(at_ms: int, kind: str, record: Mapping[str, Any], header: LogHeader) -> str:
    if header.log_format == "JSON":
        return "".join(text for _, text in _system_event(at_ms, kind, record, header))
    if LEVELS[system_level(kind, record)] < LEVELS["INFO"]:
        return ""
    line = _platform_line(kind, record)
    return f"{line}\n" if line else ""


def _system_event(
    at_ms: int, kind: str, record: Mapping[str, Any], header: LogHeader
) -> Iterator[tuple[int, str]]:
    """The event, unless the function's SystemLogLevel leaves it out."""
    wanted = LEVELS.get(header.system_level, LEVELS["INFO"])
    if LEVELS[system_level(kind, record)] >= wanted:
        yield at_ms, render_system_event(at_ms, kind, record)


def system_level(kind: str, record: Mapping[str, Any]) -> str:
    """The level of one of the platform's events.

    AWS: system log level event mapping.
    """
    succeeded = record.get("status", "success") == "success"
    match kind.removeprefix("platform."):
        case "initStart" | "restoreStart":
            return "INFO" if record.get("runtimeVersion") else "DEBUG"
        case "initRuntimeDone" | "restoreRuntimeDone" | "runtimeDone":
            return "DEBUG" if succeeded else "WARN"
        case "initReport":
            on_demand = record.get("initializationType", "on-demand") == "on-demand"
            return "WARN" if not succeeded else "DEBUG" if on_demand else "INFO"
        case "restoreReport" | "report":
            return "INFO" if succeeded else "WARN"
        case "extension":
            failed = not succeeded or "errorType" in record
            return "WARN" if failed else "INFO"
        case "logsDropped":
            return "WARN"
        case _:
            return "INFO"


def _platform_line(kind: str, record: Mapping[str, Any]) -> str:
    """The line of an event in the Text format, without its end; "" where it has none."""
    match kind.removeprefix("platform."):
        case "initStart":
            return _version_line("INIT_START", record)
        case "restoreStart":
            return _version_line("RESTORE_START", record)
        case "initReport":
            phase = f"\tPhase: {record['phase']}" if record.get("phase") else ""
            return (
                f"INIT_REPORT Init Duration: {_duration_ms(record):.2f} ms{phase}{_ending(record)}"
            )
        case "restoreReport":
            duration_ms = _duration_ms(record)
            return f"RESTORE_REPORT Restore Duration: {duration_ms:.2f} ms{_ending(record)}"
        case "extension":
            events = ", ".join(record.get("events") or ())
            return (
                f"EXTENSION\tName: {record.get('name', '')}\tState: {record.get('state', '')}\t"
                f"Events: [{events}]" + _error_type(record)
            )
        case "telemetrySubscription":
            return _subscription_line("TELEMETRY", record)
        case "logsSubscription" | "logSubscription":
            return _subscription_line("LOGS", record)
        case "logsDropped":
            return (
                f"LOGS_DROPPED\tDropped Records: {record.get('droppedRecords', 0)}\t"
                f"Dropped Bytes: {record.get('droppedBytes', 0)}\t"
                f"Reason: {record.get('reason', '')}"
            )
        case _:
            return ""


def _version_line(word: str, record: Mapping[str, Any]) -> str:
    return (
        f"{word} Runtime Version: {record.get('runtimeVersion', '')}\t"
        f"Runtime Version ARN: {record.get('runtimeVersionArn', '')}"
    )


def _subscription_line(word: str, record: Mapping[str, Any]) -> str:
    types = ", ".join(str(each).capitalize() for each in record.get("types") or ())
    return (
        f"{word}\tName: {record.get('name', '')}\tState: {record.get('state', '')}\t"
        f"Types: [{types}]"
    )


def _duration_ms(record: Mapping[str, Any]) -> float:
    return float((record.get("metrics") or {}).get("durationMs", 0.0))


def _ending(record: Mapping[str, Any]) -> str:
    status = record.get("status", "success")
    return "" if status == "success" else f"\tStatus: {status}{_error_type(record)}"


def _error_type(record: Mapping[str, Any]) -> str:
    return f"\tError Type: {record['errorType']}" if record.get("errorType") else ""


# What functions write


def _output_lines(output: bytes, header: Sequence[Any]) -> Iterator[str]:
    """The lines that the function's ApplicationLogLevel lets through.

    AWS: levels are for the JSON format; there plain lines stay as they are, and a JSON object
    without level and RFC 3339 timestamp counts as INFO.
    """
    if header[2] != "JSON":
        yield from split_output(output)
        return
    wanted = LEVELS.get(header[4] if len(header) > 4 else "INFO", LEVELS["INFO"])
    for line in split_output(output):
        if not line.startswith("{") or _application_level(line) >= wanted:
            yield line


_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)")
_DECODER = msgspec.json.Decoder()


def _application_level(line: str) -> int:
    try:
        document = _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return LEVELS["FATAL"]
    level, moment = document.get("level"), document.get("timestamp")
    if isinstance(level, str) and isinstance(moment, str) and _MOMENT.fullmatch(moment):
        return LEVELS.get(level.upper().replace("WARNING", "WARN"), LEVELS["INFO"])
    return LEVELS["INFO"]
