"""The processes of one execution environment: its runtime, and the extensions beside it.

They live in one sandbox, which outlives them: after a failure they are made anew in it. Left to
others: what they do for an invocation (`environment`).
"""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from lamington.core.errors import FunctionError
from lamington.functions.api_link import ApiLink
from lamington.functions.entities import RESPONSE_PAYLOAD_MAX_BYTES, InvalidRuntimeException
from lamington.functions.external_extensions import ExternalExtensions
from lamington.functions.forks import SandboxFork
from lamington.functions.launch import (
    SNAP_START,
    LaunchPlan,
    render_extension_variables,
    render_variables,
)
from lamington.functions.link import (
    INIT_TIMED_OUT,
    FrameLink,
    InitFailure,
    Request,
    RuntimeLink,
    failed_init,
)
from lamington.functions.runtime_api import ApiFacts, EnvironmentApi
from lamington.functions.sandbox import Sandbox
from lamington.functions.telemetry import EnvironmentLog

SHUTDOWN_INTERNAL_S = 0.5
SHUTDOWN_EXTERNAL_S = 2.0
"""AWS: how long extensions have for their shutdown; without any there is no shutdown phase."""


class ProcessOwner(Protocol):
    """Whose processes they are: a LinkedEnvironment and an ApiListener, the environment."""

    memory_kb: int

    def received(self, kind: int, memory_kb: int, cpu_us: int, payload: bytes) -> None: ...

    def stream_began(self, content_type: str) -> None: ...

    def streamed(self, chunk: bytes) -> None: ...

    def crashed(self, exit_text: str) -> None: ...

    def output_is_ready(self) -> None: ...

    def settled(self) -> None: ...

    def extension_failed(self, error_type: str, text: str) -> None: ...

    def extension_wrote(self, text: bytes) -> None: ...

    def noted(self, kind: str, record: Mapping[str, object]) -> None:
        """Extensions have done something that AWS logs."""
        ...


class Processes:
    """Runtime and extensions of one environment, from one init to the next."""

    __slots__ = (
        "_exits",
        "_extensions",
        "_fork",
        "_log",
        "_loop",
        "_owner",
        "_plan",
        "_shutdown",
        "_temporary",
        "api",
        "extended",
        "link",
        "sandbox",
    )

    def __init__(
        self, plan: LaunchPlan, log: EnvironmentLog, temporary: Path, owner: ProcessOwner
    ) -> None:
        """`temporary` is the environment's own directory; it is removed with the sandbox."""
        self._plan = plan
        self._log = log
        self._temporary = temporary
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._extensions: ExternalExtensions | None = None
        self._exits: set[asyncio.Future[None]] = set()
        self._shutdown: asyncio.Task[None] | None = None
        self.sandbox: Sandbox | None = None
        self._fork: SandboxFork | None = None
        self.api: EnvironmentApi | None = None
        self.link: RuntimeLink | None = None
        self.extended = False
        """Whether somebody besides the runtime is told of invocations."""

    # Init

    async def start(self, limit_s: float, record: Mapping[str, object]) -> InitFailure | None:
        """Start them all and wait until they are ready; `record` is what initStart tells.

        AWS: extensions are started before the runtime; the init ends when all are ready.
        """
        if self._shutdown is not None:
            await self._shutdown
        plan = self._plan
        spare = None
        if self.sandbox is None:
            spare = plan.spare
            self.sandbox = plan.launcher.open(plan.sandbox, self._temporary, spare)
        if self.api is None:
            owner = self._owner
            self.api = EnvironmentApi(_facts(plan), owner, self._loop, owner.noted)
            await self.api.open()
        sandbox, api = self.sandbox, self.api
        variables = render_variables(plan, self._log, sandbox, api.address)
        try:
            if plan.java is not None:
                await plan.java.prepare()
            argv, forked = plan.command(sandbox, variables)
        except FunctionError as error:
            return failed_init(error.error_type, error.message)
        except InvalidRuntimeException as error:
            return failed_init("Runtime.Unknown", error.message)
        extensions_ready = api.begin_init(plan.extensions)
        api.publish("platform.initStart", record)
        if plan.extensions:
            limit_s = await self._start_extensions(sandbox, api, variables, limit_s)
        link = self._make_link(api)
        process = None
        if spare is not None and sandbox.has_spare:
            frame = spare.render_configuration(variables, sandbox.task_root, sandbox.layers_root)
            process = sandbox.take_spare(frame, link.process_exited)
        if process is None:
            channel = not link.settles_apart
            process = sandbox.spawn(
                argv, variables, link.process_exited, forked=forked, channel=channel
            )
        link.runtime.open(process)
        self._exits.add(link.runtime.exited)
        link.runtime.exited.add_done_callback(self._exits.discard)
        timer = self._loop.call_later(limit_s, _time_out, link, extensions_ready)
        await link.connect()
        failure = await link.runtime.initialised
        if failure is None:
            api.end_registration()
            failure = await extensions_ready
        timer.cancel()
        self.extended = api.has_extensions or api.subscribed
        return failure

    def _make_link(self, api: EnvironmentApi) -> RuntimeLink:
        link: RuntimeLink
        if self._plan.program.family == "provided":
            link = ApiLink(self._owner, api, self._loop)
        else:
            link = FrameLink(self._owner, self._loop)
        self.link = link
        return link

    async def _start_extensions(
        self, sandbox: Sandbox, api: EnvironmentApi, variables: Mapping[str, str], limit_s: float
    ) -> float:
        """Start the external ones and wait until they have registered; what is left of the time."""
        began = time.monotonic()
        self._extensions = ExternalExtensions(
            self._plan.extensions,
            sandbox,
            render_extension_variables(variables),
            api.extension_exited,
            self._owner.extension_wrote,
        )
        await asyncio.wait([api.registered], timeout=limit_s)
        return max(limit_s - (time.monotonic() - began), 0.0)

    # SnapStart

    @property
    def hindrance(self) -> str:
        """Why the runtime, initialised for SnapStart, cannot be forked; "" where it can."""
        link = self.link
        if self._plan.extensions:
            return "it has external extensions"
        if self._plan.program.family != "python" or not isinstance(link, FrameLink):
            return f"a process of {self._plan.program.family} cannot be copied"
        told: dict[str, Any] = json.loads(link.told or b"{}")
        return str(told.get("hindrance", "it does not tell"))

    @property
    def is_alive(self) -> bool:
        """Whether the runtime's process runs."""
        return self.link is not None and self.link.runtime.process.running

    async def fork(self, template: "Processes", limit_s: float) -> InitFailure | None:
        """Have a template's runtime copied, and wait until the copy is ready to serve.

        The copy lives in the template's sandbox, and asks the template's API for credentials.
        """
        host, origin = template.sandbox, template.link
        assert host is not None, "a template is initialised"
        assert isinstance(origin, FrameLink), "`hindrance` says so"
        if self._fork is not None and not self._fork.is_of(host):
            self._fork.close()
            self._fork = None
        if self._fork is None:
            self._fork = SandboxFork(host, self._plan.version.memory_size_mb)
        link = FrameLink(self._owner, self._loop)
        self.link = link
        process, descriptors = self._fork.fork(link.process_exited)
        link.runtime.open(process)
        self._exits.add(link.runtime.exited)
        link.runtime.exited.add_done_callback(self._exits.discard)
        variables = {"AWS_LAMBDA_LOG_STREAM_NAME": self._log.stream_name}
        origin.fork(json.dumps({"variables": variables}).encode(), descriptors)
        timer = self._loop.call_later(limit_s, link.runtime.init_timed_out)
        await link.connect()
        failure = await link.runtime.initialised
        timer.cancel()
        return failure

    async def restore(self, limit_s: float) -> InitFailure | None:
        """Let a runtime that is initialised for SnapStart go on by itself, until it is ready."""
        link = self.link
        if not isinstance(link, FrameLink):
            return None
        self.thaw()
        restored = link.restore()
        timer = self._loop.call_later(limit_s, link.runtime.init_timed_out)
        failure = await restored
        timer.cancel()
        return failure

    # Telling and asking

    def tell(self, request: Request, deadline_ms: int) -> None:
        """Tell the extensions of an invocation."""
        assert self.api is not None, "who is extended has an API"
        self.api.tell_invocation(
            request.request_id, request.function_arn, request.trace_id, deadline_ms
        )

    def publish(self, kind: str, record: Mapping[str, object]) -> None:
        """Send a platform event to those who subscribe to telemetry."""
        if self.api is not None:
            self.api.publish(kind, record)

    def publish_output(self, kind: str, text: bytes) -> None:
        if self.api is not None:
            self.api.publish_output(kind, text)

    @property
    def are_settled(self) -> bool:
        """Whether all of them wait for the next event."""
        return self.api is None or self.api.is_settled

    @property
    def out_of_memory(self) -> bool:
        """Whether one of them was ended for its memory since the last start."""
        part = self._fork or self.sandbox
        return part is not None and part.out_of_memory

    def memory_kb(self) -> int:
        """The most memory that they were seen to hold since the last start."""
        part = self._fork or self.sandbox
        return part.memory_kb() if part is not None else 0

    # Between invocations

    def freeze(self) -> None:
        part = self._fork or self.sandbox
        if part is not None:
            part.freeze()

    def thaw(self) -> None:
        part = self._fork or self.sandbox
        if part is not None:
            part.thaw()

    # End

    def kill_runtime(self) -> None:
        """End the runtime at once."""
        link, self.link = self.link, None
        if link is not None:
            link.close()

    def reset(self, reason: str) -> None:
        """End them all, for AWS's reason: the runtime at once, extensions after their shutdown.

        A start that follows waits until that is over.
        """
        self.kill_runtime()
        if self.extended or self._extensions is not None:
            self.extended = False
            self._shutdown = self._loop.create_task(self._shut_extensions_down(reason))

    async def end(self, *, gently: bool) -> None:
        """End them and their sandbox, and wait until all is gone; `gently` asks them first.

        AWS: without extensions nobody is asked; with them the runtime gets SIGTERM and they the
        SHUTDOWN event, and some time.
        """
        if gently and self.extended:
            if self.link is not None:
                self.link.runtime.process.terminate()
            await self._shut_extensions_down("SPINDOWN")
        self.kill_runtime()
        if self._shutdown is not None:
            await self._shutdown
        if self._exits:
            await asyncio.wait(list(self._exits))
        if self._extensions is not None:
            self._extensions.close()
        if self._fork is not None:
            self._fork.close()
        if self.sandbox is not None:
            await self.sandbox.close()
        if self.api is not None:
            await self.api.close()

    async def _shut_extensions_down(self, reason: str) -> None:
        if self.api is not None:
            is_external = self._extensions is not None
            limit_s = SHUTDOWN_EXTERNAL_S if is_external else SHUTDOWN_INTERNAL_S
            await self.api.shut_down(reason, limit_s)
        if self._extensions is not None:
            self._extensions.close()
            self._extensions = None


def _time_out(link: RuntimeLink, extensions_ready: "asyncio.Future[InitFailure | None]") -> None:
    link.runtime.init_timed_out()
    if not extensions_ready.done():
        extensions_ready.set_result(INIT_TIMED_OUT)


def _facts(plan: LaunchPlan) -> ApiFacts:
    return ApiFacts(
        function_name=plan.version.function_name,
        function_version=plan.version.version,
        handler=plan.version.handler,
        account_id=plan.scope.account_id,
        response_max_bytes=RESPONSE_PAYLOAD_MAX_BYTES,
        runtime_speaks_api=plan.program.family == "provided",
        snap_start=plan.init_type == SNAP_START,
        credentials=plan.credentials,
        credentials_token=plan.credentials_token,
        json_logs=plan.version.log_format == "JSON",
    )
