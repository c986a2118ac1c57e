"""Load on one address and what it cost: requests per second, latencies, CPU of every process.

The load comes from wrk, a client in C that leaves the processors to what is measured.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SCRIPT = """
wrk.method = "%(method)s"
wrk.body = %(body)s
wrk.headers["Content-Type"] = "application/json"
%(headers)s
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nJSON {"requests":%%d,"duration_us":%%d,"p50_us":%%d,"p99_us":%%d,"bad":%%d}\\n',
    summary.requests, summary.duration, latency:percentile(50.0), latency:percentile(99.0),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address under load, and the process whose tree is charged for it."""

    name: str
    url: str
    process_id: int
    method: str = "GET"
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_request: float
    bad: int


def require_wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("the benchmarks need wrk: apt-get install wrk")
    return found


def measure(target: Target, clients: int, seconds: float) -> Measurement:
    """Load the target with so many clients for so long, one connection each."""
    script = SCRIPT % {
        "method": target.method,
        "body": json.dumps(target.body) if target.body else "nil",
        "headers": "\n".join(
            f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}"
            for name, value in target.headers.items()
        ),
    }
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        before = cpu_s(target.process_id)
        output = subprocess.run(
            [
                *(require_wrk(), "-t1", f"-c{clients}", f"-d{max(round(seconds), 1)}s"),
                *("-s", file.name, target.url),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        spent = cpu_s(target.process_id) - before
    line = next(line for line in output.splitlines() if line.startswith("JSON "))
    result = json.loads(line[5:])
    requests = max(result["requests"], 1)
    return Measurement(
        requests_per_s=requests / (result["duration_us"] / 1e6),
        p50_ms=result["p50_us"] / 1000,
        p99_ms=result["p99_us"] / 1000,
        cpu_us_per_request=spent / requests * 1e6,
        bad=result["bad"],
    )


def cpu_s(process_id: int) -> float:
    """CPU seconds of a process and all that descend from it."""
    total = 0.0
    for process in tree(process_id):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def memory_mb(process_id: int) -> dict[str, float]:
    """Proportional memory in MB of a process and of each of its descendants, by command."""
    sizes: dict[str, float] = {}
    for process in tree(process_id):
        try:
            size = process.memory_full_info().pss / 2**20
            name = f"{process.pid}:{Path(process.exe()).name}"
        except psutil.NoSuchProcess:
            continue
        sizes[name] = size
    return sizes


def tree(process_id: int) -> list[psutil.Process]:
    root = psutil.Process(process_id)
    return [root, *root.children(recursive=True)]
