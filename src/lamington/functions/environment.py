"""One execution environment: init, invoke, reset and end, as a state machine.

It is a sandbox with a runtime process in it, and the extensions of its layers beside that. It
serves one invocation at a time, and keeps its `/tmp` and its log stream when the processes have to
be made anew. Left to others: which environment serves next (`pool`), how the runtime is talked to
(`link`, `runtime_api`), and what fences the processes in (`sandbox`).
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Protocol

from lamington.core.errors import AwsError
from lamington.functions.entities import (
    RESPONSE_PAYLOAD_MAX_BYTES,
    STREAMED_RESPONSE_MAX_BYTES,
    ServiceException,
    SnapStartException,
    SnapStartTimeoutException,
)
from lamington.functions.launch import (
    PROVISIONED,
    SNAP_START,
    LaunchPlan,
)
from lamington.functions.link import (
    FATAL,
    HANDLED_ERROR,
    RESULT,
    SANDBOX_FAILURE,
    InitFailure,
    Request,
    RuntimeLink,
    error_payload,
    exit_message,
)
from lamington.functions.log_entries import RECORD_BREAK, render_time
from lamington.functions.platform_records import (
    Record,
    render_init_report,
    render_init_start,
    render_report,
    render_runtime_done,
    render_start,
)
from lamington.functions.processes import Processes
from lamington.functions.runtime_texts import render_too_large
from lamington.functions.telemetry import EnvironmentLog

SHUTDOWN_INTERNAL_S = 0.3
SHUTDOWN_EXTERNAL_S = 2.0
"""AWS: how long extensions have for their shutdown; without any there is no shutdown phase."""

OUT_OF_MEMORY = "signal: killed"

PREPARE_LIMIT_S = 130.0
"""AWS: how long an init for SnapStart may take, unless the function's timeout is longer."""


class State(Enum):
    """Where an environment is in its life."""

    RESET = "reset"
    """No runtime: not started yet, or it has failed and the next invocation starts another."""
    INITIALIZING = "initializing"
    PREPARED = "prepared"
    """Initialised as far as a snapshot goes: with SnapStart, until it is restored."""
    IDLE = "idle"
    BUSY = "busy"
    ENDED = "ended"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.RESET: frozenset({State.INITIALIZING, State.ENDED}),
    State.INITIALIZING: frozenset({State.IDLE, State.PREPARED, State.RESET, State.ENDED}),
    State.PREPARED: frozenset({State.INITIALIZING, State.RESET, State.ENDED}),
    State.IDLE: frozenset({State.BUSY, State.RESET, State.ENDED}),
    State.BUSY: frozenset({State.IDLE, State.RESET, State.ENDED}),
    State.ENDED: frozenset(),
}
"""What may follow what; anything else is a bug of ours."""


class Released(Protocol):
    """Is told when an environment is free, or has lost its process."""

    def __call__(self, environment: "Environment", /) -> None: ...


class SnapshotSource(Protocol):
    """What environments of one version with SnapStart are restored from."""

    restore_limit_s: float
    """AWS: 10 seconds, for hooks after the restore too."""

    async def template(self) -> Processes | InitFailure | None:
        """The processes to copy, initialised first where there are none.

        None where they cannot be copied; the failure where their init failed.
        """
        ...


class _Streamed:
    """What has come so far of an answer that comes in pieces."""

    __slots__ = ("bytes", "limit", "pieces")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.pieces: list[bytes] = []


class Environment:
    """One execution environment of a function version."""

    __slots__ = (
        "_answered",
        "_behind",
        "_extended",
        "_init_began_ms",
        "_init_ms",
        "_link",
        "_output",
        "_plan",
        "_processes",
        "_released",
        "_request",
        "_restore_failure",
        "_snapshot",
        "_started_wall",
        "_streamed",
        "_verdict",
        "busy_since",
        "cpu_us",
        "deadline",
        "duration_s",
        "frozen",
        "idle_since",
        "init_s",
        "log",
        "memory_kb",
        "provisioned",
        "quiet",
        "state",
    )

    def __init__(
        self,
        plan: LaunchPlan,
        log: EnvironmentLog,
        directory: Path,
        released: Released,
        snapshot: SnapshotSource | None = None,
    ) -> None:
        """`directory` is the environment's own; it is removed with it.

        With a `snapshot` a start is a restore.
        """
        self._plan = plan
        self._snapshot = snapshot
        self._restore_failure: InitFailure | None = None
        self._released = released
        self._processes = Processes(plan, log, directory, self)
        self._extended = False
        self._link: RuntimeLink | None = None
        self._request: Request | None = None
        self._answered = False
        self._verdict: tuple[bytes, str, str] = (b"", "", "")
        self._streamed: _Streamed | None = None
        self._behind: deque[Request] = deque()
        self._output: list[bytes] = []
        self._started_wall = 0.0
        self._init_began_ms = 0
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
        self.frozen = False
        self.provisioned = plan.init_type == PROVISIONED

    # Init

    async def start(self, limit_s: float, phase: str = "init") -> InitFailure | None:
        """Start the processes and wait until the handler is loaded, or has failed to.

        `phase` is `invoke` where an invocation waits for a second attempt.

        AWS: an init that fails is run once more within the first invocation; extensions are
        started before the runtime, and the init ends when all of them are ready.
        """
        if self._snapshot is not None:
            return await self._restore(self._snapshot, phase)
        failure = await self._initialise(limit_s, phase)
        if failure is None and self.state is State.INITIALIZING:
            self._init_ms = self.init_s * 1000 if phase == "init" and not self.provisioned else -1.0
            self._move(State.IDLE)
        return failure

    async def _initialise(self, limit_s: float, phase: str) -> InitFailure | None:
        """Start the processes and log how that went; where it failed they are reset."""
        self._move(State.INITIALIZING)
        began = time.monotonic()
        self._init_began_ms = _now_ms()
        record = render_init_start(self._plan, phase)
        if phase == "init":
            self.log.platform(_now_ms(), "platform.initStart", record)
        processes = self._processes
        failure = await processes.start(limit_s, record)
        link = self._link = processes.link
        self._extended = processes.extended
        self.quiet = not (self._extended or (link is not None and link.settles_apart))
        self.init_s = time.monotonic() - began
        if self.state is not State.INITIALIZING:
            return failure or SANDBOX_FAILURE
        # What an init within an invocation has logged stands before that invocation's START.
        at_ms = self._init_began_ms if phase == "invoke" else _now_ms()
        self._keep_output(at_ms)
        self._report_init(failure, phase, at_ms)
        if failure is not None:
            self._reset()
        return failure

    # SnapStart

    async def prepare(self, limit_s: float) -> InitFailure | None:
        """Initialise for SnapStart, as far as the hooks before the snapshot."""
        failure = await self._initialise(limit_s, "init")
        if failure is None and self.state is State.INITIALIZING:
            self._move(State.PREPARED)
            if self._processes.hindrance:
                self._processes.freeze()
            elif self._processes.sandbox is not None:
                self._processes.sandbox.rest()
        return failure

    @property
    def processes(self) -> Processes:
        """What an environment that is prepared has ready."""
        return self._processes

    def belong_to(self, released: Released) -> None:
        """Be somebody else's from now on."""
        self._released = released

    async def _restore(self, snapshot: SnapshotSource, phase: str) -> InitFailure | None:
        """Restore the runtime from the snapshot, and run the hooks for that.

        AWS: an invocation whose restore fails is refused.
        """
        failure, self._restore_failure = self._restore_failure, None
        if failure is not None:
            return failure
        template = None if self.state is State.PREPARED else await snapshot.template()
        if isinstance(template, InitFailure):
            return template
        if self.state is State.RESET and template is None:
            failure = await self._initialise(PREPARE_LIMIT_S, phase)
            if failure is not None:
                return failure
        if self.state in (State.RESET, State.PREPARED):
            self._move(State.INITIALIZING)
        if self.state is not State.INITIALIZING:
            return SANDBOX_FAILURE
        failure = await self._run_restore(template, snapshot.restore_limit_s)
        if failure is not None and template is not None and not template.is_alive:
            # It has died just now; a failure of the hooks leaves it as it is.
            again = await snapshot.template()
            if isinstance(again, Processes) and self.state is State.INITIALIZING:
                failure = await self._run_restore(again, snapshot.restore_limit_s)
        if self.state is not State.INITIALIZING:
            return failure or SANDBOX_FAILURE
        self._keep_output()
        record = render_init_report(self._plan, "", failure, self.init_s)
        self._report_platform("platform.restoreReport", record)
        if failure is None:
            self._init_ms = self.init_s * 1000 if phase == "init" else -1.0
            self._move(State.IDLE)
            return None
        self._reset()
        failure = replace(failure, refusal=_restore_refusal(failure))
        if phase == "init":
            # The invocation that it was for is to be told, without another attempt.
            self._restore_failure = failure
        return failure

    async def _run_restore(self, template: Processes | None, limit_s: float) -> InitFailure | None:
        began = time.monotonic()
        self._init_began_ms = _now_ms()
        record = render_init_start(self._plan, "")
        self.log.platform(self._init_began_ms, "platform.restoreStart", record)
        processes = self._processes
        if template is None:
            failure = await processes.restore(limit_s)
        else:
            failure = await processes.fork(template, limit_s)
        self._link = processes.link
        self._extended = processes.extended
        self.quiet = not self._extended
        self.init_s = time.monotonic() - began
        return failure

    def _report_init(self, failure: InitFailure | None, phase: str, at_ms: int) -> None:
        """AWS: the log has it where the init failed, or was for no invocation."""
        if failure is not None or self._plan.init_type in (PROVISIONED, SNAP_START):
            record = render_init_report(self._plan, phase, failure, self.init_s)
            self._report_platform("platform.initReport", record, at_ms)

    def fail(self, request: Request, failure: InitFailure, started_wall: float) -> None:
        """Answer an invocation whose environment did not come up a second time either."""
        entry = self.log.invocation(
            request.request_id,
            max(int(started_wall * 1000), self._init_began_ms),
            (time.time() - started_wall) * 1000,
            self.memory_kb,
            -1.0,
            b"",
            failure.status,
            "Unhandled",
            request.function_arn,
            request.trace_id,
            self._plan.init_type,
        )
        if failure.refusal is not None and not request.outcome.done():
            request.outcome.set_exception(failure.refusal)
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
        if spent_s:
            # The START stands behind what the init has logged.
            wall = max(wall, self._init_began_ms / 1000 + 0.001)
        if self._request is None:
            self._move(State.BUSY)
            self._request = request
            self.busy_since = time.monotonic() - spent_s
            self.deadline = self.busy_since + timeout_s
            self._started_wall = wall
        else:
            self._behind.append(request)
        if self.frozen:
            self._thaw()
        link = self._link
        assert link is not None, "an idle environment has a process"
        deadline_ms = int((wall + timeout_s) * 1000)
        if self._extended:
            self._processes.publish("platform.start", render_start(self._plan, request))
            self._processes.tell(request, deadline_ms)
        link.hand_over(request, deadline_ms, self._plan.attend_s if attend else 0.0)

    def received(self, kind: int, memory_kb: int, cpu_us: int, payload: bytes) -> None:
        """Take the answer that ends an invocation."""
        if memory_kb:
            self.memory_kb = memory_kb
            self.cpu_us = cpu_us
        function_error = status = ""
        streamed = self._streamed
        if streamed is not None:
            self._streamed = None
            if kind == RESULT:
                payload = b"".join(streamed.pieces)
        if kind != RESULT:
            function_error = "Handled" if kind == HANDLED_ERROR else "Unhandled"
        elif len(payload) > RESPONSE_PAYLOAD_MAX_BYTES or (
            streamed is not None and streamed.bytes > streamed.limit
        ):
            payload = render_too_large(RESPONSE_PAYLOAD_MAX_BYTES)
            function_error = "Unhandled"
            status = "error\tError Type: Function.ResponseSizeTooLarge"
        link = self._link
        if kind != FATAL and link is not None and (self._extended or link.settles_apart):
            self._answer_early(payload, function_error, status)
        else:
            state = State.RESET if kind == FATAL else State.IDLE
            self._finish(payload, function_error, status, state)

    def stream_began(self, content_type: str) -> None:
        """Note that the answer comes in pieces."""
        request = self._request
        if request is None:
            return
        stream = request.stream
        limit = RESPONSE_PAYLOAD_MAX_BYTES if stream is None else STREAMED_RESPONSE_MAX_BYTES
        self._streamed = _Streamed(limit)
        if stream is not None:
            link = self._link
            assert link is not None, "a stream comes through a link"
            stream.resume = link.resume
            stream.begin(content_type)

    def streamed(self, chunk: bytes) -> None:
        """Pass a piece on, or keep it where the caller wants the answer whole.

        AWS: a streamed answer may have 200 MB, one that is asked for whole 6 MB.
        """
        request, streamed, link = self._request, self._streamed, self._link
        if request is None or streamed is None or link is None:
            return
        streamed.bytes += len(chunk)
        if streamed.bytes > streamed.limit:
            streamed.pieces.clear()
        elif request.stream is None:
            streamed.pieces.append(chunk)
        elif not request.stream.write(chunk):
            link.pause()

    def _answer_early(self, payload: bytes, function_error: str, status: str) -> None:
        """Answer the caller; the environment is free when runtime and extensions say so.

        AWS: a response is sent when the runtime posts it, while extensions may go on.
        """
        request = self._request
        if request is None or self._answered:
            return
        self._answered = True
        self._verdict = (payload, function_error, status)
        if self._extended:
            self._report_runtime_done(request, function_error, status)
        # A tail ends with the REPORT line, which is not known before.
        if not request.tail and not request.outcome.done():
            request.outcome.set_result((payload, function_error, b""))
        if self._processes.are_settled:
            self.settled()

    def _report_runtime_done(self, request: Request, function_error: str, status: str) -> None:
        duration_s = time.monotonic() - self.busy_since
        record = render_runtime_done(request, function_error, status, duration_s)
        self._processes.publish("platform.runtimeDone", record)

    def settled(self) -> None:
        """Take note that the runtime and all extensions wait for the next event."""
        if self._answered and self._request is not None:
            self._finish(*self._verdict, State.IDLE)

    def extension_failed(self, error_type: str, text: str) -> None:
        """End the invocation whose extension has failed, and the processes with it."""
        request = self._request
        if request is None:
            if self.state is State.IDLE:
                self._reset()
                self._released(self)
            return
        self._finish(
            error_payload(error_type, request.request_id, text),
            "Unhandled",
            f"error\tError Type: {error_type}",
            State.RESET,
        )

    def expire(self) -> None:
        """End the invocation that has run out of time, and the processes with it."""
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
        """Take note that the runtime has ended by itself, or for its memory.

        AWS: newer accounts see Runtime.OutOfMemory for the latter.
        """
        request = self._request
        if self.state is State.INITIALIZING:
            # It was ready, but `start` has not seen so yet, and will find it reset.
            self._reset()
            return
        if request is None:
            if self.state in (State.IDLE, State.PREPARED):
                self._reset()
                self._released(self)
            return
        if self._processes.out_of_memory:
            exit_text = OUT_OF_MEMORY
            self.memory_kb = self._plan.version.memory_size_mb * 1024
        error_type, text = "Runtime.ExitError", exit_message(exit_text)
        if self._streamed is not None:
            error_type = "Runtime.TruncatedResponse"
        line = f"RequestId: {request.request_id} Error: {text}\n{error_type}\n"
        self._finish(
            error_payload(error_type, request.request_id, text),
            "Unhandled",
            f"error\tError Type: {error_type}",
            State.RESET,
            platform_line=line.replace("\n", RECORD_BREAK, 1).encode(),
        )

    def output_is_ready(self) -> None:
        """Read what the function has written while it runs."""
        link = self._link
        if link is None:
            return
        text = link.runtime.process.read_output()
        if link.runtime.process.output_ended:
            link.runtime.close_output()
        if not text:
            return
        if self._extended:
            self._processes.publish_output("function", text)
        if self.state is State.BUSY or self.state is State.INITIALIZING:
            self._output.append(text)
        else:
            self.log.event(_now_ms(), text)

    def extension_wrote(self, text: bytes) -> None:
        self._processes.publish_output("extension", text)
        if self.state is State.BUSY:
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
        process = link.runtime.process
        output = process.read_output() if process.has_output() else b""
        if output and self._extended:
            self._processes.publish_output("function", output)
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
        if link.settles_apart:
            self.memory_kb = max(self.memory_kb, self._processes.memory_kb())
        entry = self.log.invocation(
            request.request_id,
            int(self._started_wall * 1000),
            self.duration_s * 1000,
            self.memory_kb,
            self._init_ms,
            output,
            status,
            function_error,
            request.function_arn,
            request.trace_id,
            self._plan.init_type,
        )
        self._init_ms = -1.0
        self._streamed = None
        outcome = request.outcome
        if not outcome.done():
            tail = self.log.tail(entry) if request.tail else b""
            outcome.set_result((payload, function_error, tail))
        if self._extended:
            self._report_end(request, function_error, status)
        self._answered = False
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
            self._reset("TIMEOUT" if status == "timeout" else "FAILURE")
        self._released(self)

    def _report_end(self, request: Request, function_error: str, status: str) -> None:
        if not self._answered:
            self._report_runtime_done(request, function_error, status)
        record = render_report(self._plan, request, status, self.duration_s, self.memory_kb)
        self._processes.publish("platform.report", record)

    @property
    def queued(self) -> int:
        """Invocations behind the one that runs."""
        return len(self._behind)

    def take_back(self) -> list[Request]:
        """Give back the invocations that a lost process has not begun."""
        requests = list(self._behind)
        self._behind.clear()
        return requests

    # Between invocations

    def freeze(self) -> None:
        """Let nothing of it run until the next invocation.

        AWS: between invocations an environment is frozen: work left behind goes on with the next.
        """
        if self.state is State.IDLE and not self.frozen:
            self.frozen = True
            self._processes.freeze()

    def _thaw(self) -> None:
        self.frozen = False
        self._processes.thaw()

    # End

    async def end(self) -> None:
        """End the processes and all that is their own, and wait until they are gone."""
        gently = self.state is State.IDLE
        if self.state is not State.ENDED:
            for request in (self._request, *self.take_back()):
                if request is not None and not request.outcome.done():
                    request.outcome.set_exception(ServiceException("The engine is shutting down."))
            self._request = None
            self._move(State.ENDED)
            if self.frozen:
                self._thaw()
            if not (gently and self._extended):
                self._let_go()
        await self._processes.end(gently=gently)
        self._let_go()

    def _reset(self, reason: str = "FAILURE") -> None:
        self._let_go()
        self._move(State.RESET)
        self._extended = False
        self._processes.reset(reason)

    def _let_go(self) -> None:
        """Keep what the runtime has written last, and hear of it no more."""
        if self._link is not None:
            self._keep_output()
            self._link = None
            self._processes.kill_runtime()

    def _keep_output(self, at_ms: int = 0) -> None:
        """Log what was written outside of any invocation."""
        if self._link is not None:
            self._output.append(self._link.runtime.process.read_output())
        output = b"".join(self._output)
        self._output.clear()
        if output:
            self.log.event(at_ms or _now_ms(), output)

    def _move(self, state: State) -> None:
        assert state in TRANSITIONS[self.state], f"{self.state} to {state}"
        self.state = state

    # Telling

    def noted(self, kind: str, record: Mapping[str, object]) -> None:
        self.log.platform(_now_ms(), kind, record)

    def _report_platform(self, kind: str, record: Record, at_ms: int = 0) -> None:
        self.log.platform(at_ms or _now_ms(), kind, record)
        self._processes.publish(kind, record)


def _restore_refusal(failure: InitFailure) -> AwsError:
    """AWS: the API reference's words on these errors."""
    if failure.outcome == "timeout":
        return SnapStartTimeoutException(
            "Lambda couldn't restore the snapshot within the timeout limit."
        )
    return SnapStartException(
        "The afterRestore() runtime hook encountered an error. For more information, check the"
        " Amazon CloudWatch logs."
    )


def _now_ms() -> int:
    return int(time.time() * 1000)
