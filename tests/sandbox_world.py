"""A launcher with functions that do what they are asked to, for the suite of sandboxes."""

import asyncio
import json
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamington.core.settings import Settings
from lamington.functions.isolated_process import IsolatedProcess
from lamington.functions.launcher import Launcher
from lamington.functions.runtimes import runtime_program
from lamington.functions.sandbox import Sandbox, SandboxPlan

INVOCATION = struct.Struct("<IBHHHHd")
REPLY = struct.Struct("<IBII")

HANDLER = """
import os, sys, time, signal, json
kept = []
def handler(event, context):
    scope = dict(globals())
    exec(event["code"], scope)
    return scope.get("answer")
"""


class Process:
    """A process of a sandbox, and the frames that are spoken with it."""

    def __init__(self, sandbox: Sandbox, **variables: str) -> None:
        self._variables = variables
        self.sandbox = sandbox
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.process: IsolatedProcess

    async def begin(self, *, forked: bool = True, runtime: str = "") -> "Process":
        program = runtime_program(runtime or own_runtime())
        self.process = self.sandbox.spawn(
            program.argv,
            {**function_variables(self.sandbox), **self._variables},
            lambda: self.exited.set_result(None),
            forked=forked,
        )
        kind, payload = await self._frame()
        assert kind == 1, (payload, self.process.read_output(), self.sandbox.failure)
        return self

    async def run(self, code: str) -> Any:
        """What `answer` is after the code has run in the handler; None if the process ended."""
        await self.send(code)
        kind, payload = await self._frame()
        if kind == 0:
            return None
        assert kind == 3, payload
        return json.loads(payload)

    async def send(self, code: str) -> None:
        event = json.dumps({"code": code}).encode()
        head = INVOCATION.pack(INVOCATION.size - 4 + 2 + len(event), 1, 2, 0, 0, 0, time.time())
        await asyncio.get_running_loop().sock_sendall(self.process.channel, head + b"id" + event)

    async def _frame(self) -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        read = b""
        while len(read) < 4 or len(read) < 4 + int.from_bytes(read[:4], "little"):
            async with asyncio.timeout(20):
                try:
                    chunk = await loop.sock_recv(self.process.channel, 65536)
                except ConnectionResetError:
                    chunk = b""
            if not chunk:
                return 0, b""
            read += chunk
        _, kind, _, _ = REPLY.unpack_from(read)
        return kind, read[REPLY.size :]

    def close(self) -> None:
        if hasattr(self, "process"):
            self.process.close_output()
            self.process.channel.close()

    async def ended(self) -> str:
        async with asyncio.timeout(20):
            await self.exited
        return self.process.exit_text


class SandboxWorld:
    """A launcher in a directory of its own."""

    def __init__(self, directory: Path, isolation: str) -> None:
        self.data = directory / "data"
        self.code = self.data / "code" / "function"
        self.code.mkdir(parents=True)
        (self.code / "app.py").write_text(HANDLER)
        self.settings = Settings(data=self.data, isolation=isolation)
        self.launcher = Launcher(self.data.resolve(), self.settings)
        self._count = 0
        self._processes: list[Process] = []

    async def __aenter__(self) -> "SandboxWorld":
        await self.launcher.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.launcher.close()
        for each in self._processes:
            each.close()

    def open(
        self,
        memory_mb: int = 128,
        storage_mb: int = 512,
        layers: Path | None = None,
        programs: tuple[str, ...] = (),
    ) -> Sandbox:
        self._count += 1
        plan = SandboxPlan(
            task_root=self.code,
            layers_root=layers,
            memory_mb=memory_mb,
            ephemeral_storage_mb=storage_mb,
            programs=programs,
        )
        return self.launcher.open(plan, self.data / "environments" / str(self._count))

    async def process(self, sandbox: Sandbox | None = None, **variables: str) -> Process:
        return await self.prepare(sandbox, **variables).begin()

    def prepare(self, sandbox: Sandbox | None = None, **variables: str) -> Process:
        process = Process(sandbox or self.open(), **variables)
        self._processes.append(process)
        return process


def own_runtime() -> str:
    import sys

    return f"python3.{sys.version_info.minor}"


def function_variables(sandbox: Sandbox) -> Mapping[str, str]:
    return {
        "_HANDLER": "app.handler",
        "AWS_EXECUTION_ENV": "AWS_Lambda_" + own_runtime(),
        "LAMBDA_TASK_ROOT": sandbox.task_root,
        "LAMBDA_RUNTIME_DIR": sandbox.runtime_root,
        "LD_LIBRARY_PATH": f"{sandbox.task_root}:{sandbox.task_root}/lib:{sandbox.layers_root}/lib",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": sandbox.runtime_root,
        "TMPDIR": sandbox.temporary,
        "TZ": ":UTC",
    }
