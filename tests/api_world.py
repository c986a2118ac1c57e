"""One environment's API with a recording environment behind it, and clients made of raw sockets."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lamington.functions.api_link import ApiLink
from lamington.functions.extensions import EXTENSIONS_MAX
from lamington.functions.isolated_process import IsolatedProcess
from lamington.functions.link import Request
from lamington.functions.runtime_api import ApiFacts, EnvironmentApi

RUNTIME = "/2018-06-01/runtime"
EXTENSION = "/2020-01-01/extension"
LIMIT_S = 20.0
ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
NAMES = [f"extension-{index}" for index in range(EXTENSIONS_MAX + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoked:
    """What an invocation is made of; a link gets a Request of it."""

    request_id: str = "id-1"
    function_arn: str = ARN
    payload: bytes = b"{}"
    trace_id: str = ""
    client_context: str = ""

    def request(self) -> Request:
        return Request(
            asyncio.get_running_loop().create_future(),
            self.request_id,
            self.function_arn,
            self.payload,
            self.trace_id,
            self.client_context,
        )


@dataclass
class RecordingEnvironment:
    """Keeps what a link and the API say."""

    memory_kb: int = 0
    outcomes: "asyncio.Queue[tuple[int, bytes]]" = field(default_factory=asyncio.Queue)
    streams: list[str] = field(default_factory=list)
    chunks: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)
    crashes: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)
    settlings: "asyncio.Queue[None]" = field(default_factory=asyncio.Queue)
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def received(self, kind: int, memory_kb: int, cpu_us: int, payload: bytes) -> None:
        self.outcomes.put_nowait((kind, payload))

    def stream_began(self, content_type: str) -> None:
        self.streams.append(content_type)

    def streamed(self, chunk: bytes) -> None:
        self.chunks.put_nowait(chunk)

    def crashed(self, exit_text: str) -> None:
        self.crashes.put_nowait(exit_text)

    def output_is_ready(self) -> None: ...

    def settled(self) -> None:
        self.settlings.put_nowait(None)

    def extension_failed(self, error_type: str, text: str) -> None:
        self.failures.append((error_type, text))

    def note(self, kind: str, record: Mapping[str, object]) -> None:
        self.notes.append((kind, record))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: bytes
    body: bytes

    def field(self, name: str) -> str:
        for line in self.head.decode().split("\r\n"):
            if line.lower().startswith(name.lower() + ":"):
                return line.partition(":")[2].strip()
        return ""


class Client:
    """One connection to the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str] | None = None,
        body: bytes = b"",
        version: str = "1.1",
    ) -> None:
        lines = [f"{method} {path} HTTP/{version}", "Host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
        if body and "Transfer-Encoding" not in (fields or {}):
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)

    async def answer(self) -> Answer:
        async with asyncio.timeout(LIMIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            answer = Answer(status, head, b"")
            size = int(answer.field("Content-Length") or 0)
            return Answer(status, head, await self.reader.readexactly(size))

    async def ask(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        self.send(method, path, fields, body)
        return await self.answer()

    async def ended(self) -> bytes:
        """What comes until the other side closes."""
        rest = bytearray()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(LIMIT_S):
                while data := await self.reader.read(65_536):
                    rest += data
        return bytes(rest)

    def close(self) -> None:
        self.writer.transport.abort()


class ApiWorld:
    """An `EnvironmentApi` that is open, and the link of its runtime."""

    def __init__(self, facts: ApiFacts) -> None:
        self.loop = asyncio.get_running_loop()
        self.environment = RecordingEnvironment()
        self.api = EnvironmentApi(facts, self.environment, self.loop, self.environment.note)
        self.link: ApiLink | None = None
        self._clients: list[Client] = []
        self._processes: list[RuntimeProcess] = []

    def begin(self, external: Sequence[str] = ()) -> "asyncio.Future[Any]":
        initialised = self.api.begin_init(external)
        if self.link is not None:
            self.link.close()
        self.link = ApiLink(self.environment, self.api, self.loop)
        return initialised

    async def client(self) -> Client:
        host, port = self.api.address.split(":")
        client = Client(*await asyncio.open_connection(host, int(port)))
        self._clients.append(client)
        return client

    async def polling(self) -> Client:
        """A runtime that waits for its next invocation."""
        assert self.link is not None
        client = await self.client()
        client.send("GET", f"{RUNTIME}/invocation/next")
        await asyncio.wait_for(asyncio.shield(self.link.runtime.initialised), LIMIT_S)
        return client

    def hand_over(
        self, invoked: Invoked | None = None, deadline_ms: int = 1_700_000_000_000
    ) -> None:
        assert self.link is not None
        self.link.hand_over((invoked or Invoked()).request(), deadline_ms, 0.0)

    async def running(self, invoked: Invoked | None = None) -> Client:
        """A runtime that has been given an invocation."""
        client = await self.polling()
        self.hand_over(invoked)
        answer = await client.answer()
        assert answer.status == 200
        return client

    async def outcome(self) -> tuple[int, bytes]:
        return await asyncio.wait_for(self.environment.outcomes.get(), LIMIT_S)

    async def settled(self) -> None:
        await asyncio.wait_for(self.environment.settlings.get(), LIMIT_S)

    async def extension(
        self, name: str, events: str = '["INVOKE","SHUTDOWN"]'
    ) -> tuple[Client, dict[str, str]]:
        """An extension that has registered, and the header it shows from then on."""
        client = await self.client()
        answer = await client.ask(
            "POST",
            f"{EXTENSION}/register",
            {"Lambda-Extension-Name": name},
            b'{"events":%s}' % events.encode(),
        )
        assert answer.status == 200, answer
        return client, {"Lambda-Extension-Identifier": answer.field("Lambda-Extension-Identifier")}

    async def turned(self, client: Client, fields: Mapping[str, str]) -> None:
        """Let an extension wait for its next event, and wait until it does."""
        client.send("GET", f"{EXTENSION}/event/next", fields)
        other = await self.client()
        # A request that is answered at once, sent after: the one before has been read.
        await other.ask("GET", "/2018-06-01/ping")
        other.close()

    async def start(self, argv: Sequence[str], variables: Mapping[str, str]) -> "RuntimeProcess":
        """Start a runtime's process behind the link."""
        assert self.link is not None
        process = RuntimeProcess(self.link)
        self._processes.append(process)
        environ = {"PATH": os.environ["PATH"], "AWS_LAMBDA_RUNTIME_API": self.api.address}
        await process.start(argv, {**environ, **variables})
        self.link.runtime.open(cast(IsolatedProcess, process))
        return process

    async def close(self) -> None:
        if self.link is not None:
            self.link.close()
        await self.api.close()
        for client in self._clients:
            client.close()
        for process in self._processes:
            await process.finished()


class RuntimeProcess:
    """A process as a link sees one."""

    def __init__(self, link: ApiLink) -> None:
        self._link = link
        self._process: asyncio.subprocess.Process
        self._watch: asyncio.Task[None]
        self.output = -1
        self.exit_text = ""
        self.running = True

    async def start(self, argv: Sequence[str], variables: Mapping[str, str]) -> None:
        self.output, write_end = os.pipe()
        os.set_blocking(self.output, False)
        self._process = await asyncio.create_subprocess_exec(
            *argv, env=dict(variables), stdout=write_end, stderr=write_end
        )
        os.close(write_end)
        self._watch = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        status = await self._process.wait()
        self.running = False
        if status:
            self.exit_text = f"exit status {status}" if status > 0 else "signal: killed"
        self._link.process_exited()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def said(self) -> str:
        with contextlib.suppress(BlockingIOError):
            return os.read(self.output, 65_536).decode()
        return ""

    def close_output(self) -> None:
        os.close(self.output)

    async def finished(self) -> None:
        await asyncio.wait_for(self._watch, LIMIT_S)


@contextlib.asynccontextmanager
async def api_world(
    *,
    speaks_api: bool = True,
    snap_start: bool = False,
    json_logs: bool = False,
    response_max_bytes: int = 6_291_556,
    begun: bool = True,
) -> AsyncIterator[ApiWorld]:
    facts = ApiFacts(
        function_name="f",
        function_version="$LATEST",
        handler="app.handler",
        account_id="000000000000",
        response_max_bytes=response_max_bytes,
        runtime_speaks_api=speaks_api,
        snap_start=snap_start,
        json_logs=json_logs,
    )
    world = ApiWorld(facts)
    await world.api.open()
    try:
        if begun:
            world.begin()
        yield world
    finally:
        await world.close()


def compile_c(source: Path, program: Path, compiler: str) -> None:
    """Compile a program of one file."""

    subprocess.run([compiler, "-O1", "-o", str(program), str(source)], check=True, timeout=60)
