"""The command line as a user runs it: real processes, ended by their ids."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

LAMINGTON = str(Path(sys.executable).with_name("lamington"))
AWS = str(Path(sys.executable).with_name("aws"))
START_LIMIT_S = 30.0


@dataclass
class RunningUp:
    """A `lamington up` that has answered its first request."""

    process: subprocess.Popen[bytes]
    port: int
    aws_port: int
    output: Path

    def get(self, path: str) -> bytes:
        return get(f"http://127.0.0.1:{self.port}{path}")

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.aws_port}"

    def said(self) -> str:
        return self.output.read_text()

    def aws(self, *arguments: str) -> dict[str, object]:
        """Run the AWS CLI against the engine and return what it printed."""
        finished = subprocess.run(
            [AWS, "--endpoint-url", self.endpoint_url, "--output", "json", *arguments],
            env=aws_environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert finished.returncode == 0, finished.stderr
        parsed: dict[str, object] = json.loads(finished.stdout or "{}")
        return parsed


def aws_environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": "/nonexistent",
    }


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def free_port() -> int:
    """A port that nobody listens on, outside those that the system gives out by itself.

    Engines of other tests ask for port 0 at any moment, and would get it before it is used.
    """
    choose = random.SystemRandom()
    while True:
        port = choose.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def run_lamington(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAMINGTON, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def start_up(root: Path, *flags: str, port: int = 0, aws_port: int = 0) -> RunningUp:
    """Start `lamington up` and wait until its engine answers."""
    port, aws_port = port or free_port(), aws_port or free_port()
    output = root.parent / f"{root.name}-{port}.log"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [LAMINGTON, "up", ".", "--port", str(port), "--aws-port", str(aws_port), *flags],
            cwd=root,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    running = RunningUp(process, port, aws_port, output)
    wait_until(lambda: _is_serving(running), f"up did not start:\n{output}")
    return running


def _is_serving(running: RunningUp) -> bool:
    if running.process.poll() is not None:
        raise AssertionError(running.said())
    try:
        with socket.create_connection(("127.0.0.1", running.port), 1):
            return True
    except OSError:
        return False


def wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


def stop(running: RunningUp) -> int:
    """End it as Ctrl-C does."""
    running.process.send_signal(signal.SIGINT)
    return running.process.wait(20)


@contextlib.contextmanager
def up(root: Path, *flags: str) -> Iterator[RunningUp]:
    running = start_up(root, *flags)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            stop(running)


def descendants(process_id: int) -> list[int]:
    """The processes that a process has started and that still live, through all generations."""
    found = []
    for child in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split():
        found.append(int(child))
        with contextlib.suppress(OSError):
            found += descendants(int(child))
    return found


def processes_in(data: Path) -> list[int]:
    """The functions' processes of the engine that has its data in a directory.

    What a sandbox shows as its code lies there; without namespaces TMPDIR does.
    """
    directory = data.resolve()
    shown = f"{directory.parent.name}/{directory.name}/".encode()
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            mounts = (each / "mountinfo").read_bytes()
            code = [
                line
                for line in mounts.split(b"\n")
                if b" /sandbox/var/task " in line or b" /var/task " in line
            ]
            variables = (each / "environ").read_bytes()
            if any(shown in line for line in code) or f"TMPDIR={directory}/".encode() in variables:
                found.append(int(each.name))
    return found
