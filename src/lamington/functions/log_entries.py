"""Log entries: what an environment keeps of an invocation, and the events that it stands for.

The hot path makes one tuple for one invocation; START, END and REPORT become text only when
somebody reads them.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

EVENT_MAX_BYTES = 1_048_576
"""The longest event; what a function writes on one line beyond it becomes further events."""

RECORD_BREAK = "\x1e"
"""Stands for a line break within one log record, where a bootstrap writes several lines as one."""

Entry = tuple[Any, ...]
"""One item of a chunk, see `telemetry.EnvironmentLog`: the first member names its form."""

EVENT, INVOCATION, TEXT = 0, 1, 2


def render_entry(
    entry: Sequence[Any], version: str, memory_size_mb: int, log_format: str
) -> Iterator[tuple[int, str]]:
    """The events that one entry stands for, as (milliseconds, message)."""
    if entry[0] == TEXT:
        yield entry[1], entry[2]
        return
    if entry[0] == EVENT:
        at_ms = entry[1]
        for line in split_output(entry[2]):
            yield at_ms, line
        return
    _, started_ms, request_id, duration_ms, memory_kb, init_ms, output, status = entry
    ended_ms = started_ms + int(duration_ms)
    memory_mb = min(math.ceil(memory_kb / 1024), max(memory_size_mb, 1))
    billed_ms = billed_duration(duration_ms, init_ms)
    if log_format == "JSON":
        yield (
            started_ms,
            render_system_event(
                started_ms, "platform.start", {"requestId": request_id, "version": version}
            ),
        )
    else:
        yield started_ms, f"START RequestId: {request_id} Version: {version}\n"
    for line in split_output(output):
        yield ended_ms, line
    if log_format == "JSON":
        metrics: dict[str, Any] = {
            "durationMs": round(duration_ms, 3),
            "billedDurationMs": billed_ms,
            "memorySizeMB": memory_size_mb,
            "maxMemoryUsedMB": memory_mb,
        }
        if init_ms >= 0:
            metrics["initDurationMs"] = round(init_ms, 3)
        outcome = status.partition("\t")[0] or "success"
        yield (
            ended_ms,
            render_system_event(
                ended_ms,
                "platform.report",
                {"requestId": request_id, "metrics": metrics, "status": outcome},
            ),
        )
        return
    yield ended_ms, f"END RequestId: {request_id}\n"
    init = f"Init Duration: {init_ms:.2f} ms\t" if init_ms >= 0 else ""
    ending = f"Status: {status}" if status else ""
    yield (
        ended_ms,
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\t"
        f"Billed Duration: {billed_ms} ms\tMemory Size: {memory_size_mb} MB\t"
        f"Max Memory Used: {memory_mb} MB\t{init}{ending}\n",
    )


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


def render_system_event(at_ms: int, kind: str, record: dict[str, Any]) -> str:
    """One of the platform's own events, for functions whose log format is JSON."""
    event = {"time": render_time(at_ms), "type": kind, "record": record}
    return msgspec.json.encode(event).decode() + "\n"


def entry_span(entry: Entry) -> tuple[int, int]:
    """The first and the last millisecond of an entry's events."""
    if entry[0] != INVOCATION:
        return entry[1], entry[1]
    return entry[1], entry[1] + int(entry[3])
