"""The processes under measurement, each started on a free port and ended by its id."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SERVICE = HERE / "service"
START_LIMIT_S = 30.0
UNTHROTTLED = {
    "LAMINGTON_THROTTLE_RATE": "1000000",
    "LAMINGTON_THROTTLE_BURST": "1000000",
    "LAMINGTON_API_QUOTAS": "resources_per_api=2000,routes_per_api=1000",
}
"""An account's 10,000 requests a second and 300 routes are fewer than what is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    process_id: int
    port: int
    aws_port: int = 0
    started_s: float = 0.0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(url: str, body: bytes | None = None) -> bytes:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
        content: bytes = answer.read()
        return content


@contextlib.contextmanager
def running(arguments: list[str], first_url: str, port: int, aws_port: int = 0) -> Iterator[Server]:
    """Run a server until the block ends; it has answered `first_url` before the block begins."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            arguments,
            cwd=HERE.parent,
            env={**os.environ, **UNTHROTTLED},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while True:
                try:
                    get(first_url)
                    break
                except (urllib.error.URLError, ConnectionError) as error:
                    if process.poll() is not None or time.perf_counter() - started > START_LIMIT_S:
                        output.seek(0)
                        raise SystemExit(
                            f"{arguments} did not answer: {error}\n{output.read().decode()}"
                        ) from None
                    time.sleep(0.002)
            yield Server(
                process_id=process.pid,
                port=port,
                aws_port=aws_port,
                started_s=time.perf_counter() - started,
            )
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def service_copy(source: Path = SERVICE) -> Iterator[Path]:
    """A copy of a service in a directory of its own, without state from earlier runs."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / source.name
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(".lamington"))
        yield copy


@contextlib.contextmanager
def lamington(root: Path, first_path: str = "/mapped/hello") -> Iterator[Server]:
    port, aws_port = free_port(), free_port()
    arguments = [
        str(Path(sys.executable).with_name("lamington")),
        *("up", str(root), "--port", str(port), "--aws-port", str(aws_port)),
    ]
    with running(arguments, f"http://127.0.0.1:{port}{first_path}", port, aws_port) as server:
        yield server


@contextlib.contextmanager
def fastapi() -> Iterator[Server]:
    port = free_port()
    arguments = [sys.executable, "-m", "uvicorn", "--log-level", "warning", "--no-access-log"]
    arguments += ["--loop", "uvloop", "--http", "httptools", "--port", str(port)]
    arguments += ["benchmarks.peers.fastapi_app:app"]
    with running(arguments, f"http://127.0.0.1:{port}/hello", port) as server:
        yield server


@contextlib.contextmanager
def floor() -> Iterator[Server]:
    port = free_port()
    arguments = [sys.executable, str(HERE / "peers" / "floor.py"), str(port)]
    with running(arguments, f"http://127.0.0.1:{port}/hello", port) as server:
        yield server


def machine() -> dict[str, str]:
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "processor": model,
        "processors": str(os.cpu_count()),
        "python": sys.version.split()[0],
        "date": time.strftime("%Y-%m-%d"),
    }


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
