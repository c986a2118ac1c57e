"""The life of one invocation: where the gateway, queues, sources and tests all meet functions."""

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from lamington.core.aws import Arn, Scope
from lamington.core.clock import Clock, Ids
from lamington.core.settings import Settings
from lamington.functions.entities import (
    FunctionVersion,
    ResourceNotFoundException,
    TooManyRequestsException,
)
from lamington.functions.environment import Environment, Request
from lamington.functions.isolation import end_leftovers
from lamington.functions.launch import LaunchPlan
from lamington.functions.link import InitFailure
from lamington.functions.packages import Packages, remove_tree
from lamington.functions.payloads import require_payload
from lamington.functions.pool import Capacity, Pool, PooledEnvironment
from lamington.functions.queue import EventQueue
from lamington.functions.runtimes import COLD_START_S, python_sdk, runtime_program
from lamington.functions.telemetry import Telemetry

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


class VersionLookup(Protocol):
    """Finds what a function ARN stands for, once; the invoker remembers until `forget`."""

    def find(self, function_arn: str) -> tuple[list[tuple[float, FunctionVersion]], int | None]:
        """The versions with their shares of the invocations, and the reserved concurrency.

        Raises ResourceNotFoundException in AWS's words where there is no such function.
        """
        ...


class _Reservation:
    """The reserved concurrency of one function and how much of it is in use."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class _Target:
    """What a function ARN stands for until something about the function changes."""

    __slots__ = ("pool", "pools", "reservation", "version", "versions", "weights")

    def __init__(
        self,
        pools: list[Pool],
        versions: list[str],
        weights: list[float],
        reservation: _Reservation | None,
    ) -> None:
        self.pools = pools
        self.versions = versions
        self.weights = weights
        self.reservation = reservation
        self.pool = pools[0] if len(pools) == 1 else None
        self.version = versions[0]


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
        """Ends what an engine that was killed has left running in the same data directory."""
        self._versions = versions
        self._packages = packages
        self._telemetry = telemetry
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self.aws_endpoint_url = ""
        """What functions get as AWS_ENDPOINT_URL: known once the engine listens."""
        self.capacity = Capacity(settings.environments_max)
        self._targets: dict[str, _Target] = {}
        self._pools: dict[tuple[Scope, str, str], tuple[FunctionVersion, Pool]] = {}
        self._drained: set[Pool] = set()
        self._reservations: dict[FunctionKey, _Reservation] = {}
        self._events = EventQueue(self._run_event, clock)
        self._reaper: asyncio.TimerHandle | None = None
        self._sdk: Path | None = None
        self._directory = (settings.data / "environments").resolve()
        end_leftovers(self._directory)
        if self._directory.exists():
            remove_tree(self._directory)

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
            invocation.request_id = request_id
            self._events.put(invocation)
            return InvocationResult(status=202, request_id=request_id)
        pool, version = target.pool, target.version
        if pool is None:
            index = random.choices(range(len(target.pools)), target.weights)[0]
            pool, version = target.pools[index], target.versions[index]
        request = Request(
            asyncio.get_running_loop().create_future(),
            request_id,
            invocation.function_arn,
            payload or b"{}",
            invocation.trace_id,
            invocation.client_context,
            invocation.log_tail,
        )
        if target.reservation is not None:
            _reserve(target.reservation, request)
        pool.submit(request)
        payload, function_error, log_tail = await request.outcome
        return InvocationResult(
            status=200,
            payload=payload,
            function_error=function_error,
            executed_version=version,
            request_id=request_id,
            log_tail=log_tail,
        )

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
            failure = await pool.warm() or failure
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

    @property
    def environments(self) -> int:
        """Execution environments that live now."""
        return self.capacity.used

    async def close(self) -> None:
        """End all environments and wait until their processes are gone."""
        if self._reaper is not None:
            self._reaper.cancel()
        await self._events.close()
        pools = [pool for _, pool in self._pools.values()] + list(self._drained)
        await asyncio.gather(*(pool.close() for pool in pools))
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
            [version.version for _, version in found],
            [weight for weight, _ in found],
            self._reservation((scope, name), reserved),
        )
        self._targets[function_arn] = target
        return target

    def _reservation(self, key: FunctionKey, reserved: int | None) -> _Reservation | None:
        if reserved is None:
            self._reservations.pop(key, None)
            return None
        reservation = self._reservations.setdefault(key, _Reservation(reserved))
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
        program = runtime_program(version.runtime)
        if program.family == "python" and self._sdk is None:
            self._sdk = python_sdk((self._settings.data / "python-sdk").resolve())
        plan = LaunchPlan(
            version=version,
            scope=scope,
            program=program,
            task_root=self._packages.task_root(version.code).resolve(),
            sdk_directory=self._sdk,
            aws_endpoint_url=self.aws_endpoint_url,
            attend_s=self._settings.attend_us / 1e6,
        )

        def launch(pool: Pool) -> PooledEnvironment:
            log = self._telemetry.open(scope, version)
            directory = self._directory / self._ids.hexadecimal(16)
            self._arm_reaper()
            return Environment(plan, log, directory, pool.release)

        return Pool(
            launch=launch,
            capacity=self.capacity,
            timers=asyncio.get_running_loop(),
            timeout_s=version.timeout_s,
            init_timeout_s=self._settings.init_timeout_s,
            cold_start_s=COLD_START_S[program.family],
        )

    def _current(self, key: tuple[Scope, str, str]) -> FunctionVersion | None:
        scope, name, number = key
        try:
            found, _ = self._versions.find(scope.arn("lambda", f"function:{name}:{number}"))
        except ResourceNotFoundException:
            return None
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

    async def _run_event(self, invocation: Invocation) -> InvocationResult:
        invocation.invocation_type = "RequestResponse"
        invocation.checked = True
        return await self.invoke(invocation)

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


def _reserve(reservation: _Reservation, request: Request) -> None:
    """Count the invocation until it has ended; raises TooManyRequestsException."""
    if reservation.used >= reservation.limit:
        raise TooManyRequestsException(
            "Rate Exceeded.", Reason="ReservedFunctionConcurrentInvocationLimitExceeded"
        )
    reservation.used += 1

    def free(_: object) -> None:
        reservation.used -= 1

    request.outcome.add_done_callback(free)


def _scope_of(function_arn: str) -> Scope:
    arn = Arn.parse(function_arn)
    return Scope(account_id=arn.account_id, region=arn.region)
