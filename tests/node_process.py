"""One Node.js runtime process for tests, driven over its socket without an engine."""

import json
import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Any, Self

from lamington.functions.runtimes import RuntimeProgram, runtime_program, spare_argv, start_argv

INVOCATION = Struct("<IBHHHHd")
REPLY = Struct("<IBII")
KINDS = {
    1: "ready",
    2: "init_error",
    3: "result",
    4: "error",
    5: "fatal",
    6: "handled_error",
    7: "stream_begin",
    8: "stream_chunk",
}
CONFIGURE = 3
LIMIT_S = 20.0
NEVER_MS = 4_102_444_800_000.0


def _plain_argv(program: RuntimeProgram, memory_mb: int) -> tuple[str, ...]:
    return start_argv(program, memory_mb, {})


def _become_third(descriptor: int) -> None:
    os.dup2(descriptor, 3)
    os.set_inheritable(3, True)


@dataclass(kw_only=True)
class Answer:
    """What came back for one invocation: the last frame, and what was streamed before it."""

    kind: str
    payload: str
    content_type: str | None = None
    chunks: list[bytes] = field(default_factory=list)

    @property
    def value(self) -> Any:
        return json.loads(self.payload)


class NodeProcess:
    """A process of the bootstrap. It is over when the block that it was opened in is."""

    def __init__(
        self,
        directory: Path,
        files: Mapping[str, str],
        *,
        runtime: str = "nodejs20.x",
        handler: str = "app.handler",
        variables: Mapping[str, str] | None = None,
        spare: bool = False,
        memory_mb: int = 128,
    ) -> None:
        for name, text in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
        self.directory = directory
        self.variables = {
            "PATH": "/usr/bin:/bin",
            "TZ": ":UTC",
            "LAMBDA_TASK_ROOT": str(directory),
            "NODE_PATH": f"{directory}/opt/nodejs/node_modules:{directory}",
            "_HANDLER": handler,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            **(variables or {}),
        }
        ours, theirs = socket.socketpair()
        ours.settimeout(LIMIT_S)
        self._channel, descriptor = ours, theirs.fileno()
        self.process = subprocess.Popen(
            (spare_argv if spare else _plain_argv)(runtime_program(runtime), memory_mb),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin"} if spare else self.variables,
            cwd="/" if spare else directory,
            close_fds=False,
            preexec_fn=lambda: _become_third(descriptor),
        )
        theirs.close()
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def configure(self) -> None:
        """Tell a process that was started ahead of need what it is."""
        told = {"variables": self.variables, "task_root": str(self.directory), "layers_root": ""}
        payload = json.dumps(told).encode()
        self._channel.sendall(Struct("<IB").pack(len(payload) + 1, CONFIGURE) + payload)

    def frame(self) -> tuple[str, bytes]:
        """The next frame's kind and payload; `exited` where the process has no more to say."""
        try:
            header = self._take(REPLY.size)
            length, kind, _, _ = REPLY.unpack(header)
            return KINDS[kind], self._take(length + 4 - REPLY.size)
        except EOFError:
            return "exited", b""

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                data = self._channel.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                raise EOFError
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def start(self) -> Answer:
        """Wait for the first frame."""
        kind, payload = self.frame()
        return Answer(kind=kind, payload=payload.decode())

    def send(
        self,
        event: Any = None,
        request_id: str = "request-1",
        trace_id: str = "",
        client_context: str = "",
    ) -> None:
        texts = [
            each.encode() for each in (request_id, "arn:aws:lambda:f", trace_id, client_context)
        ]
        payload = event if isinstance(event, bytes) else json.dumps(event or {}).encode()
        sizes = [len(each) for each in texts]
        length = INVOCATION.size - 4 + sum(sizes) + len(payload)
        header = INVOCATION.pack(length, 1, *sizes, NEVER_MS)
        self._channel.sendall(header + b"".join(texts) + payload)

    def invoke(self, event: Any = None, request_id: str = "request-1", **texts: str) -> Answer:
        self.send(event, request_id, **texts)
        answer = Answer(kind="", payload="")
        while True:
            kind, payload = self.frame()
            if kind == "stream_begin":
                answer.content_type = payload.decode()
            elif kind == "stream_chunk":
                answer.chunks.append(payload)
            else:
                answer.kind, answer.payload = kind, payload.decode()
                return answer

    def exit_status(self) -> int:
        return self.process.wait(LIMIT_S)

    def log(self) -> str:
        """All that it has written so far, breaks within records as line breaks."""
        assert self.process.stdout is not None
        written = self.process.stdout.read() or b""
        return written.decode().replace("\x1e", "\n")
