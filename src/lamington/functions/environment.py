"""One execution environment: init, invoke, reset and end, as a state machine.

It is a process on one end of a socket pair, serves one invocation at a time, and keeps its
`/tmp` and its log stream when the process has to be made anew. Left to others: which environment
serves next (`pool`), the process and its socket (`link`).
"""

import asyncio
import hashlib
import shutil
import time
from collections import deque
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Protocol

import msgspec

from lamington.functions.entities import (
    RESPONSE_PAYLOAD_MAX_BYTES,
    ServiceException,
)
from lamington.functions.isolation import IsolatedProcess
from lamington.functions.launch import LaunchPlan, render_variables
from lamington.functions.link import (
    FATAL,
    HANDLED_ERROR,
    INVOCATION,
    INVOKE,
    INVOKE_ATTENTIVELY,
    RESULT,
    InitFailure,
    Link,
    error_payload,
    exit_message,
)
from lamington.functions.log_entries import RECORD_BREAK, render_system_event, render_time
from lamington.functions.telemetry import EnvironmentLog


class State(Enum):
    """Where an environment is in its life."""

    RESET = "reset"
    """No process: not started yet, or it has failed and the next invocation starts another."""
    INITIALIZING = "initializing"
    IDLE = "idle"
    BUSY = "busy"
    ENDED = "ended"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.RESET: frozenset({State.INITIALIZING, State.ENDED}),
    State.INITIALIZING: frozenset({State.IDLE, State.RESET, State.ENDED}),
    State.IDLE: frozenset({State.BUSY, State.RESET, State.ENDED}),
    State.BUSY: frozenset({State.IDLE, State.RESET, State.ENDED}),
    State.ENDED: frozenset(),
}
"""What may follow what; anything else is a bug of ours."""

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


class Released(Protocol):
    """Is told when an environment is free, or has lost its process."""

    def __call__(self, environment: "Environment", /) -> None: ...


class Environment:
    """One execution environment of a function version."""

    __slots__ = (
        "_behind",
        "_exits",
        "_init_ms",
        "_link",
        "_loop",
        "_output",
        "_plan",
        "_released",
        "_request",
        "_started_wall",
        "_temporary",
        "busy_since",
        "cpu_us",
        "deadline",
        "duration_s",
        "idle_since",
        "init_s",
        "log",
        "memory_kb",
        "quiet",
        "state",
    )

    def __init__(
        self,
        plan: LaunchPlan,
        log: EnvironmentLog,
        directory: Path,
        released: Released,
    ) -> None:
        """`directory` becomes its private TMPDIR and is removed with it."""
        self._plan = plan
        self._released = released
        self._temporary = directory
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._request: Request | None = None
        self._behind: deque[Request] = deque()
        self._output: list[bytes] = []
        self._exits: set[asyncio.Future[None]] = set()
        self._started_wall = 0.0
        self._init_ms = -1.0
        self.log = log
        self.state = State.RESET
        self.busy_since = 0.0
        self.idle_since = 0.0
        self.deadline = 0.0
        self.duration_s = 0.0
        self.init_s = 0.0
        self.memory_kb = 0
        self.cpu_us = 0
        self.quiet = True

    # Init

    async def start(self, limit_s: float, phase: str = "init") -> InitFailure | None:
        """Start the process and wait until the handler is loaded, or has failed to.

        `phase` is `invoke` where an invocation waits for a second attempt.

        AWS: an init that fails is run once more within the first invocation.
        """
        self._move(State.INITIALIZING)
        began = time.monotonic()
        if phase == "init":
            self.log.event(_now_ms(), self._init_start_line())
        self._temporary.mkdir(parents=True, exist_ok=True)
        link = Link(self, self._loop)
        self._link = link
        plan = self._plan
        link.open(
            IsolatedProcess(
                plan.program.argv,
                [str(plan.sdk_directory or ""), str(plan.attend_s)],
                render_variables(plan, self.log, self._temporary),
                plan.task_root,
                link.process_exited,
            )
        )
        self._exits.add(link.exited)
        link.exited.add_done_callback(self._exits.discard)
        timer = self._loop.call_later(limit_s, link.init_timed_out)
        await link.connect()
        failure = await link.initialised
        timer.cancel()
        self.init_s = time.monotonic() - began
        if self.state is not State.INITIALIZING:
            return failure or InitFailure(
                error_type="Sandbox.Failure", message="", status="error", posted=b""
            )
        if failure is None:
            self._init_ms = self.init_s * 1000 if phase == "init" else -1.0
            self._keep_output()
            self._move(State.IDLE)
        else:
            self._reset()
            self.log.event(_now_ms(), self._init_report_line(failure, phase))
        return failure

    def fail(self, request: Request, failure: InitFailure, started_wall: float) -> None:
        """Answer an invocation whose environment did not come up a second time either."""
        duration_ms = (time.time() - started_wall) * 1000
        entry = self.log.invocation(
            request.request_id,
            int(started_wall * 1000),
            duration_ms,
            self.memory_kb,
            -1.0,
            b"",
            failure.status,
        )
        if not request.outcome.done():
            tail = self.log.tail(entry) if request.tail else b""
            request.outcome.set_result((failure.payload(request.request_id), "Unhandled", tail))

    # Invoke

    def send(self, request: Request, spent_s: float = 0.0, *, attend: bool = False) -> None:
        """Hand over an invocation; its outcome comes through the request's future.

        A busy environment finds it in its socket when it is done with the one before; the time
        of an invocation counts from then.

        `spent_s` of its time are over already: an init was run again for it. To `attend` is to
        wait actively for the reply, for a moment, and to let the process do so for what follows.
        """
        timeout_s = self._plan.version.timeout_s
        wall = time.time() - spent_s
        if self._request is None:
            self._move(State.BUSY)
            self._request = request
            self.busy_since = time.monotonic() - spent_s
            self.deadline = self.busy_since + timeout_s
            self._started_wall = wall
        else:
            self._behind.append(request)
        texts = (
            request.request_id + request.function_arn + request.trace_id + request.client_context
        ).encode()
        client_context = request.client_context
        client_bytes = len(client_context.encode()) if client_context else 0
        payload = request.payload
        link = self._link
        assert link is not None, "an idle environment has a process"
        link.write(
            INVOCATION.pack(
                INVOCATION.size - 4 + len(texts) + len(payload),
                INVOKE_ATTENTIVELY if attend else INVOKE,
                len(request.request_id),
                len(request.function_arn),
                len(request.trace_id),
                client_bytes,
                int((wall + timeout_s) * 1000),
            )
            + texts
            + payload
        )
        if attend:
            link.attend(self._plan.attend_s)

    def received(self, kind: int, memory_kb: int, cpu_us: int, payload: bytes) -> None:
        """Take the frame that ends an invocation."""
        self.memory_kb = memory_kb
        self.cpu_us = cpu_us
        function_error = status = ""
        if kind != RESULT:
            function_error = "Handled" if kind == HANDLED_ERROR else "Unhandled"
        elif len(payload) > RESPONSE_PAYLOAD_MAX_BYTES:
            payload = _too_large_payload()
            function_error = "Unhandled"
            status = "error\tError Type: Function.ResponseSizeTooLarge"
        self._finish(payload, function_error, status, State.RESET if kind == FATAL else State.IDLE)

    def expire(self) -> None:
        """End the invocation that has run out of time, and the process with it."""
        request = self._request
        if request is None:
            return
        timeout_s = self._plan.version.timeout_s
        text = f"Task timed out after {timeout_s:.2f} seconds"
        line = f"{render_time(_now_ms())} {request.request_id} {text}{RECORD_BREAK}\n"
        self._finish(
            error_payload("Sandbox.Timedout", request.request_id, text),
            "Unhandled",
            "timeout",
            State.RESET,
            platform_line=line.encode(),
            duration_s=float(timeout_s),
        )

    def crashed(self, exit_text: str) -> None:
        """Take note that the process has ended by itself."""
        request = self._request
        if self.state is State.INITIALIZING:
            # It was ready, but `start` has not seen so yet, and will find it reset.
            self._reset()
            return
        if request is None:
            if self.state is State.IDLE:
                self._reset()
                self._released(self)
            return
        text = exit_message(exit_text)
        line = f"RequestId: {request.request_id} Error: {text}\nRuntime.ExitError\n"
        self._finish(
            error_payload("Runtime.ExitError", request.request_id, text),
            "Unhandled",
            "error\tError Type: Runtime.ExitError",
            State.RESET,
            platform_line=line.replace("\n", RECORD_BREAK, 1).encode(),
        )

    def output_is_ready(self) -> None:
        """Read what the function has written while it runs."""
        link = self._link
        if link is None:
            return
        text = link.process.read_output()
        if link.process.output_ended:
            link.close_output()
        if not text:
            return
        if self.state is State.BUSY or self.state is State.INITIALIZING:
            self._output.append(text)
        else:
            self.log.event(_now_ms(), text)

    def _finish(
        self,
        payload: bytes,
        function_error: str,
        status: str,
        state: State,
        *,
        platform_line: bytes = b"",
        duration_s: float = 0.0,
    ) -> None:
        request = self._request
        link = self._link
        if request is None or link is None:
            return
        self._request = None
        now = time.monotonic()
        self.duration_s = duration_s or now - self.busy_since
        process = link.process
        output = process.read_output() if process.has_output() else b""
        if self._output:
            self._output.append(output)
            output = b"".join(self._output)
            self._output.clear()
        if output:
            # Whose output it is could not be told with another invocation close behind.
            self.quiet = False
        if platform_line:
            if output and not output.endswith(b"\n"):
                output += b"\n"
            output += platform_line
        entry = self.log.invocation(
            request.request_id,
            int(self._started_wall * 1000),
            self.duration_s * 1000,
            self.memory_kb,
            self._init_ms,
            output,
            status,
        )
        self._init_ms = -1.0
        outcome = request.outcome
        if not outcome.done():
            tail = self.log.tail(entry) if request.tail else b""
            outcome.set_result((payload, function_error, tail))
        if state is State.IDLE:
            if self._behind:
                self._request = self._behind.popleft()
                self.busy_since = now
                self.deadline = now + self._plan.version.timeout_s
                self._started_wall = time.time()
            else:
                self._move(State.IDLE)
                self.idle_since = now
        else:
            self._reset()
        self._released(self)

    @property
    def queued(self) -> int:
        """Invocations behind the one that runs."""
        return len(self._behind)

    def take_back(self) -> list[Request]:
        """Give back the invocations that a lost process has not begun."""
        requests = list(self._behind)
        self._behind.clear()
        return requests

    # End

    async def end(self) -> None:
        """End the process and all that is its own, and wait until it is gone."""
        if self.state is not State.ENDED:
            for request in (self._request, *self.take_back()):
                if request is not None and not request.outcome.done():
                    request.outcome.set_exception(ServiceException("The engine is shutting down."))
            self._request = None
            self._drop_link()
            self._move(State.ENDED)
        if self._exits:
            await asyncio.wait(list(self._exits))
        if self._temporary.exists():
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _reset(self) -> None:
        self._drop_link()
        self._move(State.RESET)

    def _drop_link(self) -> None:
        if self._link is not None:
            self._keep_output()
            self._link.close()
            self._link = None

    def _keep_output(self) -> None:
        """Log what was written outside of any invocation."""
        if self._link is not None:
            self._output.append(self._link.process.read_output())
        output = b"".join(self._output)
        self._output.clear()
        if output:
            self.log.event(_now_ms(), output)

    def _move(self, state: State) -> None:
        assert state in TRANSITIONS[self.state], f"{self.state} to {state}"
        self.state = state

    def _init_start_line(self) -> bytes:
        """AWS: the version of the runtime's image; there is none here, so it is always v1."""
        runtime = self._plan.version.runtime
        name, version = self._plan.program.family, runtime.removeprefix(self._plan.program.family)
        mark = hashlib.sha256(runtime.encode()).hexdigest()
        arn = f"arn:{self._plan.scope.partition}:lambda:{self._plan.scope.region}::runtime:{mark}"
        shown = f"{name}:{version.removesuffix('.x')}.v1"
        if self._plan.version.log_format == "JSON":
            record = {
                "initializationType": "on-demand",
                "phase": "init",
                "runtimeVersion": shown,
                "runtimeVersionArn": arn,
                "functionName": self._plan.version.function_name,
                "functionVersion": self._plan.version.version,
            }
            return render_system_event(_now_ms(), "platform.initStart", record).encode()
        return f"INIT_START Runtime Version: {shown}\tRuntime Version ARN: {arn}\n".encode()

    def _init_report_line(self, failure: InitFailure, phase: str) -> bytes:
        return (
            f"INIT_REPORT Init Duration: {self.init_s * 1000:.2f} ms\tPhase: {phase}\t"
            f"Status: {failure.status}\n"
        ).encode()


def _too_large_payload() -> bytes:
    text = (
        "Response payload size exceeded maximum allowed payload size"
        f" ({RESPONSE_PAYLOAD_MAX_BYTES} bytes)."
    )
    return msgspec.json.encode({"errorMessage": text, "errorType": "Function.ResponseSizeTooLarge"})


def _now_ms() -> int:
    return int(time.time() * 1000)
