"""The engine's end of one runtime process: its frames, its output, and how it ends.

A runtime link is how an environment talks to its runtime: by frames over a socket, as our own
bootstraps do (`FrameLink`), or by the HTTP Runtime API (`runtime_api`). Left to others: what an
invocation is (`environment`), and how the process is fenced in (`isolation`).
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Final, Protocol

import msgspec

from lamington.core.errors import AwsError
from lamington.functions.isolated_process import IsolatedProcess

READY, INIT_ERROR, RESULT, ERROR, FATAL, HANDLED_ERROR, STREAM_BEGIN, STREAM_CHUNK = range(1, 9)
FORKED = 9
INVOKE, INVOKE_ATTENTIVELY = 1, 2
FORK, RESTORE = 4, 5
ATTENDED_BYTES = 16_384

INVOCATION: Final = Struct("<IBHHHHd")
"""Length of what follows, kind, lengths of request id, ARN, trace id and client context,
deadline in milliseconds since 1970; then these texts and the event."""

REPLY: Final = Struct("<IBII")
"""Length of what follows, kind, highest resident memory in KiB, CPU of an invocation in µs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitFailure:
    """How an init phase failed; `posted` is what the runtime said of it, empty if nothing."""

    error_type: str
    message: str
    status: str
    posted: bytes = b""
    refusal: AwsError | None = None
    """What the caller gets in the place of an answer, where the service is to refuse."""

    @property
    def outcome(self) -> str:
        """The status alone: `error` or `timeout`."""
        return self.status.partition("\t")[0]

    def payload(self, request_id: str) -> bytes:
        """What the caller of an invocation gets."""
        return self.posted or error_payload(self.error_type, request_id, self.message)


INIT_TIMED_OUT = InitFailure(error_type="Sandbox.Timedout", message="", status="timeout")
SANDBOX_FAILURE = InitFailure(error_type="Sandbox.Failure", message="", status="error")
"""Nobody failed: what was to be initialised is given up."""


def failed_init(error_type: str, message: str = "", posted: bytes = b"") -> InitFailure:
    """The failure of an init under one of AWS's error types, as REPORT shows it."""
    return InitFailure(
        error_type=error_type,
        message=message,
        status=f"error\tError Type: {error_type}",
        posted=posted,
    )


class ResponseStream(Protocol):
    """Takes a function's answer piece by piece."""

    resume: Callable[[], None]
    """Set by the environment: to be called when there is room again."""

    def begin(self, content_type: str) -> None: ...

    def write(self, chunk: bytes) -> bool:
        """Take a piece; False asks for a pause until `resume` is called."""
        ...


Outcome = tuple[bytes, str, bytes]
"""Payload, AWS's word for a function error or "", and the log's tail where it was asked for."""


class Request:
    """One invocation on its way through the pool."""

    __slots__ = (
        "client_context",
        "function_arn",
        "outcome",
        "payload",
        "queued_at",
        "request_id",
        "stream",
        "tail",
        "trace_id",
    )

    def __init__(
        self,
        outcome: "asyncio.Future[Outcome]",
        request_id: str,
        function_arn: str,
        payload: bytes,
        trace_id: str = "",
        client_context: str = "",
        tail: bool = False,
    ) -> None:
        self.outcome = outcome
        self.request_id = request_id
        self.function_arn = function_arn
        self.payload = payload
        self.trace_id = trace_id
        self.client_context = client_context
        self.tail = tail
        self.queued_at = 0.0
        self.stream: ResponseStream | None = None


class LinkedEnvironment(Protocol):
    """Whom a link serves."""

    memory_kb: int

    def received(self, kind: int, memory_kb: int, cpu_us: int, payload: bytes) -> None: ...

    def stream_began(self, content_type: str) -> None: ...

    def streamed(self, chunk: bytes) -> None: ...

    def crashed(self, exit_text: str) -> None: ...

    def output_is_ready(self) -> None: ...


class RuntimeProcess:
    """One runtime process as its link follows it: how its init went, its output, its end."""

    __slots__ = ("_loop", "_output_open", "environment", "exited", "initialised", "process")

    def __init__(self, environment: LinkedEnvironment, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._output_open = False
        self.environment: LinkedEnvironment | None = environment
        """Whom to tell, until the link is closed."""
        self.initialised: asyncio.Future[InitFailure | None] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.process: IsolatedProcess

    def open(self, process: IsolatedProcess) -> None:
        self.process = process
        self._loop.add_reader(process.output, self._output_is_ready)
        self._output_open = True

    def initialise(self, failure: InitFailure | None = None) -> None:
        """Tell how the init went; what is told first counts."""
        if not self.initialised.done():
            self.initialised.set_result(failure)

    def init_timed_out(self) -> None:
        self.initialise(INIT_TIMED_OUT)

    def initialise_again(self) -> "asyncio.Future[InitFailure | None]":
        self.initialised = self._loop.create_future()
        return self.initialised

    def note_exit(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)

    def tell_end(self) -> None:
        """Tell that the process has ended by itself, and how."""
        environment = self.environment
        if environment is None:
            return
        text = self.process.exit_text
        if self.initialised.done():
            environment.crashed(text)
        else:
            self.initialise(failed_init("Runtime.ExitError", exit_message(text)))

    def _output_is_ready(self) -> None:
        if self.environment is None:
            self.close_output()
        else:
            self.environment.output_is_ready()

    def close_output(self) -> None:
        if self._output_open:
            self._output_open = False
            self._loop.remove_reader(self.process.output)
            self.process.close_output()

    def close(self) -> None:
        """Let go of the environment and kill the process, if it still runs."""
        self.environment = None
        if hasattr(self, "process"):
            self.close_output()
            if self.process.running:
                self.process.kill()
        self.initialise(SANDBOX_FAILURE)


class RuntimeLink(Protocol):
    """What an environment needs of the way to its runtime, whichever way it is."""

    runtime: RuntimeProcess
    settles_apart: bool
    """Whether the runtime says by itself when it is free for the next invocation."""

    async def connect(self) -> None: ...

    def hand_over(self, request: Request, deadline_ms: int, attend_s: float) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def process_exited(self) -> None: ...

    def close(self) -> None: ...


class FrameLink(asyncio.Protocol):
    """The engine's end of one process's socket: it lives as long as the process does."""

    settles_apart = False

    def __init__(self, environment: LinkedEnvironment, loop: asyncio.AbstractEventLoop) -> None:
        self.runtime = RuntimeProcess(environment, loop)
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._expected = 0
        self._filled = 0
        self._lost = False
        self._paused = False
        self.told = b""
        """What the process has told of itself when it was ready."""

    async def connect(self) -> None:
        channel = self.runtime.process.channel
        self._send = channel.send
        transport, _ = await self._loop.create_unix_connection(lambda: self, sock=channel)
        self._transport = transport
        if self.runtime.environment is None:
            transport.abort()

    def hand_over(self, request: Request, deadline_ms: int, attend_s: float) -> None:
        """Send an invocation; with `attend_s` wait actively for the reply, for a moment."""
        texts = (
            request.request_id + request.function_arn + request.trace_id + request.client_context
        ).encode()
        client_context = request.client_context
        client_bytes = len(client_context.encode()) if client_context else 0
        payload = request.payload
        self._write(
            INVOCATION.pack(
                INVOCATION.size - 4 + len(texts) + len(payload),
                INVOKE_ATTENTIVELY if attend_s else INVOKE,
                len(request.request_id),
                len(request.function_arn),
                len(request.trace_id),
                client_bytes,
                deadline_ms,
            )
            + texts
            + payload
        )
        if attend_s:
            self._attend(attend_s)

    def restore(self) -> "asyncio.Future[InitFailure | None]":
        """Have a process go on from where its snapshot would be; resolves when it is ready."""
        restored = self.runtime.initialise_again()
        self._write(_order(RESTORE, b""))
        if not self.runtime.process.running:
            self._end_if_over()
        return restored

    def fork(self, payload: bytes, descriptors: list[int]) -> None:
        """Have the process fork another one, which gets these descriptors; they are closed."""
        try:
            socket.send_fds(self.runtime.process.channel, [_order(FORK, payload)], descriptors)
        except OSError:
            # Whoever waits for the fork finds its channel closed.
            return
        finally:
            for each in descriptors:
                os.close(each)

    def _write(self, frame: bytes) -> None:
        """Send a frame, without the loop where the socket takes it whole.

        The process can begin at once, and the loop's queue of writes costs more than this.
        """
        try:
            sent = self._send(frame)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            # The process is gone; that is on its way to us.
            return
        if sent < len(frame):
            assert self._transport is not None, "connected before the first invocation"
            self._transport.write(memoryview(frame)[sent:])

    def _attend(self, seconds: float) -> None:
        """Take the reply from the socket where it comes within a moment, ahead of the loop.

        Sleeping until then costs more than the wait: a processor that sleeps wakes late and slow.
        """
        receive = self.runtime.process.channel.recv
        until = time.monotonic() + seconds
        while True:
            try:
                data = receive(ATTENDED_BYTES)
            except BlockingIOError:
                if time.monotonic() > until:
                    return
            except OSError:
                return
            else:
                if data:
                    self.data_received(data)
                return

    def data_received(self, data: bytes) -> None:
        if not self._parts and len(data) >= REPLY.size:
            length, kind, memory_kb, cpu_us = REPLY.unpack_from(data)
            if length + 4 == len(data):
                self._frame(kind, memory_kb, cpu_us, data[REPLY.size :])
                return
        self._parts.append(data)
        self._filled += len(data)
        if self._filled < max(self._expected, REPLY.size):
            return
        whole = b"".join(self._parts)
        at = 0
        self._expected = 0
        while len(whole) - at >= REPLY.size:
            length, kind, memory_kb, cpu_us = REPLY.unpack_from(whole, at)
            end = at + 4 + length
            if end > len(whole):
                self._expected = end - at
                break
            self._frame(kind, memory_kb, cpu_us, whole[at + REPLY.size : end])
            at = end
        self._parts = [whole[at:]] if at < len(whole) else []
        self._filled = len(whole) - at

    def _frame(self, kind: int, memory_kb: int, cpu_us: int, payload: bytes) -> None:
        runtime = self.runtime
        environment = runtime.environment
        if environment is None:
            return
        if runtime.initialised.done():
            if kind == STREAM_CHUNK:
                environment.streamed(payload)
            elif kind == STREAM_BEGIN:
                environment.stream_began(payload.decode("latin-1"))
            else:
                environment.received(kind, memory_kb, cpu_us, payload)
            return
        environment.memory_kb = memory_kb
        if kind == READY:
            self.told = payload
            runtime.initialise()
            return
        if kind == FORKED:
            runtime.process.is_born(int(payload))
            return
        error_type = msgspec.json.decode(payload).get("errorType", "Runtime.Unknown")
        runtime.initialise(posted_failure(error_type, payload))

    def pause(self) -> None:
        """Read no more of a streamed response until `resume`: the process waits meanwhile."""
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and self._paused:
            self._paused = False
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._end_if_over()

    def process_exited(self) -> None:
        self.runtime.note_exit()
        if self._lost:
            self._end_if_over()
        else:
            # A reply may still be on its way; a forked child may hold the socket for ever.
            self._loop.call_later(0.005, self._give_up)

    def _give_up(self) -> None:
        self._lost = True
        self._end_if_over()

    def _end_if_over(self) -> None:
        runtime = self.runtime
        if runtime.environment is None or not self._lost:
            return
        if runtime.process.running:
            # Without its socket it is of no use; the exit comes back here.
            self._loop.call_later(0.05, runtime.process.kill)
        else:
            runtime.tell_end()

    def close(self) -> None:
        """Let go of the environment and kill the process, if it still runs."""
        self.runtime.close()
        if self._transport is not None:
            self._transport.abort()


def posted_failure(error_type: str, posted: bytes) -> InitFailure:
    """The failure of an init that the runtime has told of itself."""
    payload = posted or msgspec.json.encode({"errorType": error_type})
    return failed_init(error_type, posted=payload)


def _order(kind: int, payload: bytes) -> bytes:
    """A frame that is no invocation."""
    size = INVOCATION.size - 4 + len(payload)
    return INVOCATION.pack(size, kind, 0, 0, 0, 0, 0.0) + payload


def error_payload(error_type: str, request_id: str, text: str) -> bytes:
    """A payload of the platform's own making, its members in AWS's order."""
    return msgspec.json.encode(
        {"errorType": error_type, "errorMessage": f"RequestId: {request_id} Error: {text}"}
    )


def exit_message(exit_text: str) -> str:
    """What AWS says of a runtime that has ended by itself."""
    if not exit_text:
        return "Runtime exited without providing a reason"
    return f"Runtime exited with error: {exit_text}"
