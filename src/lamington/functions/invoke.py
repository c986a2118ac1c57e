"""The life of one invocation: where the gateway, queues, sources and tests all meet functions."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from lamington.core.aws import Arn, Scope
from lamington.core.clock import Clock, Ids
from lamington.core.errors import AwsError
from lamington.core.settings import Settings
from lamington.functions.entities import (
    LATEST,
    FunctionVersion,
    ResourceConflictException,
    ResourceNotFoundException,
    ServiceException,
    TooManyRequestsException,
)
from lamington.functions.environment import Environment, Released
from lamington.functions.event_store import AcceptedEvent
from lamington.functions.java import JavaBootstraps
from lamington.functions.launch import (
    ON_DEMAND,
    PROVISIONED,
    SNAP_START,
    LaunchPlan,
    external_extensions,
)
from lamington.functions.launcher import Launcher, interpreter_directories
from lamington.functions.link import InitFailure, Request
from lamington.functions.notices import THROTTLES, Notice
from lamington.functions.packages import Packages, remove_tree
from lamington.functions.payloads import require_payload
from lamington.functions.pool import Capacity, Pool, PooledEnvironment
from lamington.functions.recursion import RecursionGuard
from lamington.functions.reservation import Reservation
from lamington.functions.runtimes import COLD_START_S, RuntimeProgram, runtime_program
from lamington.functions.sandbox import SandboxPlan
from lamington.functions.snapshots import Snapshots, VersionSnapshot, starts_from_snapshot
from lamington.functions.streamed_result import StreamedResult
from lamington.functions.telemetry import Telemetry
from lamington.functions.tracing import Tracer, TracingMode

InvocationType = Literal["RequestResponse", "Event", "DryRun"]


@dataclass(slots=True, kw_only=True)
class Invocation:
    """One request to run a function.

    `function_arn` is the full ARN as called, with or without a qualifier: the function's
    context shows it unchanged. `payload` is JSON text, empty for none. `client_context` is JSON
    text, decoded from base64. An empty `request_id` has one made.
    """

    function_arn: str
    payload: bytes = b""
    invocation_type: InvocationType = "RequestResponse"
    client_context: str = ""
    trace_id: str = ""
    request_id: str = ""
    log_tail: bool = False
    checked: bool = False
    """The payload is known to be JSON of a size that Lambda takes: the caller made it."""


@dataclass(slots=True, kw_only=True)
class InvocationResult:
    """What came of it. `status` is 200, 202 or 204; `function_error` is "" or AWS's word for it."""

    status: int
    payload: bytes = b""
    function_error: str = ""
    executed_version: str = ""
    request_id: str = ""
    log_tail: bytes = b""


class Invoker(Protocol):
    """Runs functions; raises the AwsErrors of the Invoke API where Lambda would refuse."""

    async def invoke(self, invocation: Invocation) -> InvocationResult: ...


class EventTaker(Protocol):
    """Takes the events of asynchronous invocations: they are on disk when `put` returns."""

    def put(self, invocation: Invocation) -> None: ...


class VersionLookup(Protocol):
    """Finds what a function ARN stands for, once; the invoker remembers until `forget`."""

    def find(self, function_arn: str) -> tuple[list[tuple[float, FunctionVersion]], int | None]:
        """The versions with their shares of the invocations, and the reserved concurrency.

        Raises ResourceNotFoundException in AWS's words where there is no such function.
        """
        ...


INIT_FAILED = "FUNCTION_ERROR_INIT_FAILURE"
"""AWS: why provisioned concurrency cannot be had."""


class _Target:
    """What a function ARN stands for until something about the function changes."""

    __slots__ = ("pool", "pools", "reservation", "tracing", "version", "versions", "weights")

    def __init__(
        self,
        pools: list[Pool],
        versions: list[FunctionVersion],
        weights: list[float],
        reservation: Reservation | None,
    ) -> None:
        self.pools = pools
        self.versions = [version.version for version in versions]
        self.weights = weights
        self.reservation = reservation
        self.pool = pools[0] if len(pools) == 1 else None
        self.version = self.versions[0]
        self.tracing = _tracing_mode(versions[0])


Credentials = Callable[[str, Scope, str], tuple[str, str, str]]
"""Access key, secret and session token of a role, in a scope, for a session's name."""

FunctionKey = tuple[Scope, str]
"""Which function: its scope and name."""


class FunctionInvoker:
    """Runs functions in execution environments of this machine."""

    def __init__(
        self,
        *,
        versions: VersionLookup,
        packages: Packages,
        telemetry: Telemetry,
        clock: Clock,
        ids: Ids,
        settings: Settings,
    ) -> None:
        self._versions = versions
        self._packages = packages
        self._telemetry = telemetry
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self.aws_endpoint_url = ""
        """What functions get as AWS_ENDPOINT_URL: known once the engine listens."""
        self.capacity = Capacity(settings.environments_max, freezes=settings.freeze)
        self.credentials: Credentials = _no_credentials
        """Gives the access key, secret and session token of a role."""
        self._javas = JavaBootstraps(settings.data.resolve() / "java")
        self.launcher = Launcher(settings.data.resolve(), settings)
        self._targets: dict[str, _Target] = {}
        self._pools: dict[tuple[Scope, str, str], tuple[FunctionVersion, Pool]] = {}
        self._drained: set[Pool] = set()
        self._snapshots = Snapshots()
        self._reservations: dict[FunctionKey, Reservation] = {}
        self.events: EventTaker | None = None
        """Takes the events: known once the engine has made the queue."""
        self.guard: RecursionGuard | None = None
        """Stops recursive loops, where there is one."""
        self.notice: Notice = _unnoticed
        """Is told of what is counted but happens rarely."""
        self._tracer = Tracer(clock, ids)
        self._expecting: set[asyncio.Task[None]] = set()
        self._reaper: asyncio.TimerHandle | None = None
        self._directory = (settings.data / "environments").resolve()

    async def start(self) -> None:
        """Get ready to start processes; what a killed engine has left is cleared away."""
        if self._directory.exists():
            remove_tree(self._directory)
        await self.launcher.start()

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Run a function and wait for its result; only start it for an `Event`.

        Raises the AwsErrors of the Invoke API. A cancelled caller leaves the function running.
        """
        target = self._targets.get(invocation.function_arn)
        if target is None:
            target = self._load(invocation.function_arn)
        payload = invocation.payload
        if not invocation.checked:
            require_payload(payload, invocation.invocation_type)
        request_id = invocation.request_id or self._ids.request_id()
        if invocation.invocation_type == "DryRun":
            return InvocationResult(status=204, request_id=request_id)
        if invocation.invocation_type == "Event":
            if self.events is None:
                raise ServiceException("Nothing takes events here.")
            invocation.request_id = request_id
            self.events.put(invocation)
            return InvocationResult(status=202, request_id=request_id)
        request, version = self._admit(target, invocation, request_id)
        payload, function_error, log_tail = await request.outcome
        return InvocationResult(
            status=200,
            payload=payload,
            function_error=function_error,
            executed_version=version,
            request_id=request_id,
            log_tail=log_tail,
        )

    async def attempt(self, event: AcceptedEvent) -> InvocationResult:
        """Run one accepted event once; raises the AwsErrors of the Invoke API."""
        return await self.invoke(
            Invocation(
                function_arn=event.function_arn,
                payload=event.payload,
                request_id=event.request_id,
                trace_id=event.trace_id,
                checked=True,
            )
        )

    async def invoke_streamed(self, invocation: Invocation) -> StreamedResult:
        """Run a function and pass its answer on as it comes.

        Raises the AwsErrors of the Invoke API.
        """
        target = self._targets.get(invocation.function_arn)
        if target is None:
            target = self._load(invocation.function_arn)
        if not invocation.checked:
            require_payload(invocation.payload, "RequestResponse")
        request_id = invocation.request_id or self._ids.request_id()
        result = StreamedResult()
        await result.begun(*self._admit(target, invocation, request_id, result))
        return result

    def _admit(
        self,
        target: _Target,
        invocation: Invocation,
        request_id: str,
        stream: StreamedResult | None = None,
    ) -> tuple[Request, str]:
        """Put an invocation into its pool; the request and the version that it is for."""
        pool, version = target.pool, target.version
        if pool is None:
            index = random.choices(range(len(target.pools)), target.weights)[0]
            pool, version = target.pools[index], target.versions[index]
        function_arn, trace_id = invocation.function_arn, invocation.trace_id
        if self.guard is not None and trace_id:
            self.guard.require_no_loop(trace_id, function_arn)
        request = Request(
            asyncio.get_running_loop().create_future(),
            request_id,
            function_arn,
            invocation.payload or b"{}",
            self._tracer.trace_for_invocation(trace_id, function_arn, target.tracing),
            invocation.client_context,
            invocation.log_tail,
        )
        request.stream = stream
        try:
            if target.reservation is not None and not pool.has_provisioned_room:
                target.reservation.take(request)
            pool.submit(request)
        except TooManyRequestsException:
            request.outcome.cancel()
            self.notice(function_arn, THROTTLES, 1)
            raise
        return request, version

    def knows(self, function_arn: str) -> bool:
        """Whether the function was invoked under this ARN, and has not changed since."""
        return function_arn in self._targets

    def forget(self, function_name: str, scope: Scope) -> None:
        """Let the next invocation take what is true of the function now.

        Versions that have not changed keep their environments; of the others those that are
        busy end after their invocation.
        """
        self._drop_targets(function_name, scope)
        for key, (version, pool) in list(self._pools.items()):
            if key[:2] == (scope, function_name) and self._current(key) != version:
                del self._pools[key]
                self._drain(pool)

    async def replace(self, function_name: str, scope: Scope) -> InitFailure | None:
        """Change to what is true of the function now, with a warm environment from the first.

        Until the new code is loaded the old one serves, so that no request waits or fails.
        Returns how the init of the new code failed, if it did; it serves all the same, as on AWS.
        """
        failure: InitFailure | None = None
        for key, (version, old) in list(self._pools.items()):
            if key[:2] != (scope, function_name):
                continue
            current = self._current(key)
            if current is None or current == version or not old.size:
                continue
            pool = self._make_pool(scope, current)
            try:
                failure = await pool.warm() or failure
            except asyncio.CancelledError:
                self._drain(pool)  # The engine stops: nobody else knows of this pool.
                raise
            latest = self._pools.get(key)
            if latest is None or latest[1] is not old:
                # Another change was faster: it knows better.
                self._drain(pool)
                continue
            self._pools[key] = (current, pool)
            self._drop_targets(function_name, scope)
            self._drain(old)
        self.forget(function_name, scope)
        return failure

    def expect(self, function_name: str, scope: Scope) -> None:
        """Have a process started ahead of need for a new function whose runtime starts slowly."""
        version = self._current((scope, function_name, LATEST))
        is_known = any(key[:2] == (scope, function_name) for key in self._pools)
        if version is not None and not is_known and self._settings.prestart:
            self._expecting = {each for each in self._expecting if not each.done()}
            self._expecting.add(asyncio.create_task(self._expect(scope, version)))

    async def _expect(self, scope: Scope, version: FunctionVersion) -> None:
        # What keeps the function from running is for its first invocation to tell.
        with contextlib.suppress(AwsError, OSError):
            if runtime_program(version.runtime).family not in ("nodejs", "java"):
                return
            plan = self._plan(scope, version)
            if plan.java is not None:
                await plan.java.settle()
            if plan.spare is not None:
                self.launcher.expect(plan.sandbox, plan.spare)

    async def prepare_snapshot(self, version: FunctionVersion, scope: Scope) -> InitFailure | None:
        """Initialise what the environments of a version with SnapStart are restored from.

        The version need not be active. Returns how its init has failed, if it did. Raises
        InvalidRuntimeException where nothing here runs it.
        """
        snapshot = self._snapshots.of(self._pool(scope, version))
        return await snapshot.ready() if snapshot is not None else None

    def set_provisioned(self, scope: Scope, function_name: str, version: str, count: int) -> None:
        """Keep so many environments of a version ready; 0 ends that.

        Raises ResourceNotFoundException where there is no such version.
        """
        arn = scope.arn("lambda", f"function:{function_name}:{version}")
        found, _ = self._versions.find(arn)
        self._pool(scope, found[0][1]).provision(count)

    def provisioned(self, scope: Scope, function_name: str, version: str) -> tuple[int, int, str]:
        """How many provisioned environments there are, how many are ready, and why not more."""
        known = self._pools.get((scope, function_name, version))
        if known is None:
            return 0, 0, ""
        pool = known[1]
        reason = INIT_FAILED if pool.provision_failure is not None else ""
        return pool.provisioned_allocated, pool.provisioned_ready, reason

    @property
    def environments(self) -> int:
        """Execution environments that live now."""
        return self.capacity.used

    async def close(self) -> None:
        """End all environments and wait until their processes are gone."""
        if self._reaper is not None:
            self._reaper.cancel()
        for each in self._expecting:
            each.cancel()
        pools = [pool for _, pool in self._pools.values()] + list(self._drained)
        await asyncio.gather(*(pool.close() for pool in pools), self._snapshots.close())
        self.capacity.close()
        await self.launcher.close()
        await self._javas.close()
        self._pools.clear()
        self._targets.clear()
        self._telemetry.flush()

    # Within

    def _load(self, function_arn: str) -> _Target:
        found, reserved = self._versions.find(function_arn)
        scope = _scope_of(function_arn)
        name = found[0][1].function_name
        target = _Target(
            [self._pool(scope, version) for _, version in found],
            [version for _, version in found],
            [weight for weight, _ in found],
            self._reservation((scope, name), reserved),
        )
        self._targets[function_arn] = target
        return target

    def _reservation(self, key: FunctionKey, reserved: int | None) -> Reservation | None:
        if reserved is None:
            self._reservations.pop(key, None)
            return None
        reservation = self._reservations.setdefault(key, Reservation(reserved))
        reservation.limit = reserved
        return reservation

    def _pool(self, scope: Scope, version: FunctionVersion) -> Pool:
        key = (scope, version.function_name, version.version)
        known = self._pools.get(key)
        if known is not None:
            if known[0] == version:
                return known[1]
            self._drain(known[1])
        pool = self._make_pool(scope, version)
        self._pools[key] = (version, pool)
        return pool

    def _make_pool(self, scope: Scope, version: FunctionVersion) -> Pool:
        plan = replace(
            self._plan(scope, version),
            credentials=self.credentials(version.role, scope, version.function_name),
        )
        snapshot: VersionSnapshot | None = None

        def launch(pool: Pool, provisioned: bool) -> PooledEnvironment:
            self._arm_reaper()
            if snapshot is not None:
                taken = snapshot.take(pool.release)
                if taken is not None:
                    return taken
                return environment(pool.release, SNAP_START)
            return environment(pool.release, PROVISIONED if provisioned else ON_DEMAND)

        def environment(released: Released, init_type: str) -> Environment:
            own = replace(
                plan,
                init_type=init_type,
                credentials_token=self._ids.hexadecimal(32) if init_type == SNAP_START else "",
            )
            log = self._telemetry.open(scope, version)
            directory = self._directory / self._ids.hexadecimal(16)
            return Environment(own, log, directory, released, snapshot)

        pool = Pool(
            launch=launch,
            capacity=self.capacity,
            timers=asyncio.get_running_loop(),
            timeout_s=version.timeout_s,
            init_timeout_s=self._settings.init_timeout_s,
            cold_start_s=COLD_START_S[plan.program.family],
        )
        if starts_from_snapshot(version):
            snapshot = VersionSnapshot(
                f"{version.function_name}:{version.version}",
                lambda released: environment(released, SNAP_START),
                version.timeout_s,
                self._settings.init_timeout_s,
                self._snapshots.made,
            )
            self._snapshots.add(pool, snapshot)
        return pool

    def _plan(self, scope: Scope, version: FunctionVersion) -> LaunchPlan:
        program = runtime_program(version.runtime)
        layers_root = self._packages.layers_root(version.layers)
        java = self._javas.of(program.interpreter) if program.family == "java" else None
        if java is not None:
            # What a sandbox is to show has to be there before it is made.
            java.jar.parent.mkdir(parents=True, exist_ok=True)
        return LaunchPlan(
            version=version,
            scope=scope,
            program=program,
            launcher=self.launcher,
            sandbox=SandboxPlan(
                task_root=self._packages.task_root(version.code).resolve(),
                layers_root=layers_root,
                memory_mb=version.memory_size_mb,
                ephemeral_storage_mb=version.ephemeral_storage_mb,
                interpreter=program.interpreter if program.forks else "",
                programs=_programs(program) + ((str(java.jar.parent),) if java else ()),
            ),
            extensions=external_extensions(layers_root),
            java=java,
            aws_endpoint_url=self.aws_endpoint_url,
            attend_s=self._settings.attend_us / 1e6,
        )

    def _current(self, key: tuple[Scope, str, str]) -> FunctionVersion | None:
        scope, name, number = key
        try:
            found, _ = self._versions.find(scope.arn("lambda", f"function:{name}:{number}"))
        except ResourceNotFoundException:
            return None
        except ResourceConflictException:
            # Not active yet, while its snapshot is made: it is what it was.
            known = self._pools.get(key)
            return known[0] if known is not None else None
        return found[0][1]

    def _drop_targets(self, function_name: str, scope: Scope) -> None:
        arn = scope.arn("lambda", f"function:{function_name}")
        for each in list(self._targets):
            if each == arn or each.startswith(arn + ":"):
                del self._targets[each]

    def _drain(self, pool: Pool) -> None:
        self._drained = {each for each in self._drained if each.size}
        self._drained.add(pool)
        pool.drain()
        self._snapshots.retire(pool)

    def _arm_reaper(self) -> None:
        if self._reaper is None:
            interval_s = min(max(self._settings.idle_s / 4, 0.05), 60.0)
            self._reaper = asyncio.get_running_loop().call_later(interval_s, self._reap)

    def _reap(self) -> None:
        self._reaper = None
        for _, pool in self._pools.values():
            pool.reap(self._settings.idle_s)
        if self.capacity.used:
            self._arm_reaper()


def _no_credentials(role: str, scope: Scope, session: str) -> tuple[str, str, str]:
    """Credentials that name the account alone, where nobody gives better ones."""
    return scope.account_id, "lamington", "lamington"


def _unnoticed(function_arn: str, metric: str, value: float, text: str = "") -> None:
    """Stands for a Notice where nobody counts."""


def _programs(program: RuntimeProgram) -> tuple[str, ...]:
    """The directories that an interpreter needs which is not forked from a zygote."""
    if program.forks or not program.interpreter:
        return ()
    directories = interpreter_directories(program.interpreter)
    return tuple(each for each in directories if not each.startswith("/usr"))


def _tracing_mode(version: FunctionVersion) -> TracingMode:
    mode = (version.settings.get("TracingConfig") or {}).get("Mode")
    return "Active" if mode == "Active" else "PassThrough"


def _scope_of(function_arn: str) -> Scope:
    arn = Arn.parse(function_arn)
    return Scope(account_id=arn.account_id, region=arn.region)
