"""A real engine in a process of its own that tests kill and start again."""

import asyncio
import contextlib
import io
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore import xform_name
from botocore.config import Config

from crash_world import CAPABILITIES, STACK, body, status
from processes import LAMINGTON, free_port, get, wait_until

ROLE = "arn:aws:iam::000000000000:role/r"


@dataclass
class KillableEngine:
    """`lamington engine` on a directory, started again and again on the same port."""

    data: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    clients: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """Start it and wait for its answer: until then it recovers."""
        assert self.process is None
        with (self.data.parent / "engine.log").open("ab") as sink:
            self.process = subprocess.Popen(
                [LAMINGTON, "engine", "--data", str(self.data), "--aws-port", str(self.port)],
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, f"no engine: {self.data.parent}/engine.log")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.data.parent / "engine.log").read_text()
        try:
            return b"running" in get(f"http://127.0.0.1:{self.port}/_lamington/health")
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.process = None

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = boto3.client(  # type: ignore[call-overload]
                service,
                region_name="us-east-1",
                aws_access_key_id="000000000000",
                aws_secret_access_key="any",
                endpoint_url=f"http://127.0.0.1:{self.port}",
                config=Config(retries={"max_attempts": 0}, read_timeout=20),
            )
        return self.clients[service]

    async def call(self, operation: str, **params: Any) -> Mapping[str, Any]:
        service, _, name = operation.partition(":")
        answered: Mapping[str, Any] = getattr(self.client(service), xform_name(name))(**params)
        return answered

    def begin(self, operation: str, resources: Mapping[str, Any]) -> None:
        given = {"TemplateBody": body(resources), "Capabilities": CAPABILITIES}
        if operation == "DeleteStack":
            given = {}
        asyncio.run(self.call(f"cloudformation:{operation}", StackName=STACK, **given))

    def ended(self) -> str:
        """The status in which the stack's operation ends."""
        deadline = time.monotonic() + 20
        while (now := asyncio.run(status(self.call))).endswith("IN_PROGRESS"):
            assert time.monotonic() < deadline, now
            time.sleep(0.005)
        return now


@contextlib.contextmanager
def killable(directory: Path) -> Iterator[KillableEngine]:
    engine = KillableEngine(directory / "data")
    engine.start()
    try:
        yield engine
    finally:
        if engine.process is not None:
            engine.kill()


def archive(source: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        entry = zipfile.ZipInfo("app.py")
        entry.external_attr = 0o644 << 16
        file.writestr(entry, source)
    return written.getvalue()


def make_function(engine: KillableEngine, name: str, source: str) -> None:
    engine.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": archive(source)},
        Timeout=60,
    )


def wait_until_active(engine: KillableEngine, name: str) -> None:
    waiter = engine.client("lambda").get_waiter("function_active_v2")
    waiter.wait(FunctionName=name, WaiterConfig={"Delay": 0.02, "MaxAttempts": 500})
