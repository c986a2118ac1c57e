"""Java functions compiled for the tests, and our bootstrap with the test as its engine."""

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from struct import Struct

from lamington.functions.java import JavaBootstrap, choose_installation, compiler_for, installed

SOURCES = Path(__file__).parent / "java_functions"

INVOCATION = Struct("<IBHHHHd")
REPLY = Struct("<IBII")
READY, INIT_ERROR, RESULT, ERROR, FATAL = 1, 2, 3, 4, 5
INVOKE, INVOKE_ATTENTIVELY, CONFIGURE = 1, 2, 3
LIMIT_S = 20.0

REQUEST_ID = "0b0e1a52-4a5e-4a3c-9f26-3d0f1a2b3c4d"
ARN = "arn:aws:lambda:eu-central-1:123456789012:function:cakes"

VARIABLES = {
    "AWS_EXECUTION_ENV": "AWS_Lambda_java17",
    "AWS_LAMBDA_FUNCTION_NAME": "cakes",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/cakes",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/23/[$LATEST]0123",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
}


class JavaProcess:
    """A bootstrap at work; the test is at the other end of its socket."""

    def __init__(self, process: "subprocess.Popen[bytes]", channel: socket.socket) -> None:
        self.process = process
        self.memory_kb = 0
        self._channel = channel
        self._received = b""

    def receive(self) -> tuple[int, bytes]:
        """The kind and the payload of the next frame; (0, b"") where the process has gone."""
        while len(self._received) < 4 or len(self._received) < self._size():
            some = self._channel.recv(1 << 16)
            if not some:
                return 0, b""
            self._received += some
        size = self._size()
        _, kind, self.memory_kb, _ = REPLY.unpack_from(self._received)
        payload = self._received[REPLY.size : size]
        self._received = self._received[size:]
        return kind, payload

    def _size(self) -> int:
        return int.from_bytes(self._received[:4], "little") + 4

    def send(
        self,
        event: bytes,
        *,
        request_id: str = REQUEST_ID,
        trace_id: str = "",
        client_context: str = "",
        kind: int = INVOKE,
        left_s: float = 3.0,
    ) -> None:
        texts = [each.encode() for each in (request_id, ARN, trace_id, client_context)]
        whole = b"".join(texts) + event
        sizes = [len(each) for each in texts]
        deadline_ms = (time.time() + left_s) * 1000
        self._channel.sendall(
            INVOCATION.pack(INVOCATION.size - 4 + len(whole), kind, *sizes, deadline_ms) + whole
        )

    def configure(self, payload: bytes) -> None:
        head = INVOCATION.pack(INVOCATION.size - 4 + len(payload), CONFIGURE, 0, 0, 0, 0, 0.0)
        self._channel.sendall(head + payload)

    def invoke(
        self, event: bytes, *, trace_id: str = "", client_context: str = ""
    ) -> tuple[int, bytes]:
        self.send(event, trace_id=trace_id, client_context=client_context)
        return self.receive()

    def read_output(self) -> str:
        """What has been written by now."""
        assert self.process.stdout is not None
        return os.read(self.process.stdout.fileno(), 1 << 16).decode()

    def close(self) -> str:
        """End the process as the engine does, and give what it has written."""
        self._channel.close()
        try:
            output, _ = self.process.communicate(timeout=LIMIT_S)
        finally:
            self.process.kill()
        return output.decode()


class JavaWorld:
    """The compiled bootstrap and functions; `full` has AWS's classes in lib/, `bare` has not."""

    def __init__(self, directory: Path) -> None:
        chosen, _ = choose_installation("java17", 17, installed())
        self.installation = chosen
        self.bootstrap = JavaBootstrap(
            chosen, compiler_for(chosen, installed()), directory / "bootstrap"
        )
        self.bootstrap.compile()
        classes = directory / "classes"
        subprocess.run(
            [chosen.javac, "-J-XX:TieredStopAtLevel=1", "-nowarn", "-g", "-d", str(classes)]
            + [str(each) for each in sorted(SOURCES.rglob("*.java"))],
            check=True,
            capture_output=True,
        )
        self.full, self.bare = directory / "full", directory / "bare"
        self.layers = directory / "layers"
        for root in (self.full, self.bare):
            for package in ("example", "bare", "recent"):
                shutil.copytree(classes / package, root / package)
            (root / "example" / "note.txt").write_text("a note")
        self.custom = directory / "custom"
        shutil.copytree(self.full, self.custom)
        services = self.custom / "META-INF" / "services"
        services.mkdir(parents=True)
        name = "com.amazonaws.services.lambda.runtime.CustomPojoSerializer"
        (services / name).write_text("example.CustomJson\n")
        _write_jar(self.custom / "lib" / "core.jar", classes, "com", "org")
        _write_jar(self.full / "lib" / "core.jar", classes, "com", "org")
        _write_jar(self.layers / "java" / "lib" / "layer.jar", classes, "layered")

    @contextlib.contextmanager
    def process(
        self,
        handler: str,
        variables: Mapping[str, str] | None = None,
        *,
        root: Path | None = None,
        memory_mb: int = 256,
        attend_s: float = 0.0,
        spare: bool = False,
    ) -> Iterator[JavaProcess]:
        """Start the bootstrap, whatever it will say."""
        task_root = root or self.full
        ours, theirs = socket.socketpair()
        ours.settimeout(LIMIT_S)
        own = {
            **VARIABLES,
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": str(task_root),
            **(variables or {}),
        }
        argv = self.bootstrap.argv(memory_mb, attend_s, str(self.layers), spare=spare)
        with theirs:
            process = subprocess.Popen(
                ["/bin/sh", "-c", 'exec "$0" "$@" 3<&0 </dev/null', *argv],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PATH": os.defpath} if spare else own,
                cwd=task_root,
            )
        java = JavaProcess(process, ours)
        try:
            yield java
        finally:
            ours.close()
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    @contextlib.contextmanager
    def ready(
        self,
        handler: str,
        variables: Mapping[str, str] | None = None,
        *,
        root: Path | None = None,
        memory_mb: int = 256,
        attend_s: float = 0.0,
    ) -> Iterator[JavaProcess]:
        """Start the bootstrap and see that it is ready."""
        with self.process(
            handler, variables, root=root, memory_mb=memory_mb, attend_s=attend_s
        ) as java:
            kind, payload = java.receive()
            assert kind == READY, (kind, payload)
            yield java


def _write_jar(path: Path, classes: Path, *packages: str) -> None:
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as jar:
        for package in packages:
            for file in sorted((classes / package).rglob("*.class")):
                jar.write(file, file.relative_to(classes).as_posix())


def can_compile() -> bool:
    """Whether this machine has a JDK with records, which the functions of the tests need."""
    return any(each.compiles and each.release >= 17 for each in installed())


@cache
def java_world() -> JavaWorld:
    """All functions, compiled once for a process of tests."""
    directory = Path(tempfile.mkdtemp(prefix="lamington-java-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return JavaWorld(directory)
