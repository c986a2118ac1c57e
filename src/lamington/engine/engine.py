"""Engine: builds every part from Settings, wires them to each other, starts and stops them.

This is the only place that knows every layer. A layer that needs something from below it states a
Protocol; the engine passes the implementation in.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import msgspec

from lamington.core.aws import Arn, AwsCaller, Operation, Scope
from lamington.core.clock import Clock, Ids, SystemClock
from lamington.core.errors import AwsError, UsageError
from lamington.core.http import Request, Response, parse_query
from lamington.core.settings import LOOPBACK_HOSTS, Settings
from lamington.core.store import Store
from lamington.engine.artifacts import Artifacts
from lamington.engine.doors import ApiDoor, identify_url_caller, parse_url_address
from lamington.engine.explanations import DOOR, LIVE_DOOR, Explanations
from lamington.engine.gateway import Gateway, Surroundings
from lamington.engine.server import HttpServer, ServerLimits
from lamington.functions.bill import Bill, load_prices, parse_bill_query, render_bill
from lamington.functions.entities import LATEST, InvalidRuntimeException
from lamington.functions.function_urls import FunctionUrls
from lamington.functions.invoke import FunctionInvoker
from lamington.functions.isolation import Isolation
from lamington.functions.log_store import LogStore
from lamington.functions.metrics import Metrics
from lamington.functions.operations.configuration import unemulated
from lamington.functions.operations.event_invoke_configs import (
    AsyncInvocationOperations,
    EventInvokeConfigOperations,
)
from lamington.functions.operations.event_source_mappings import EventSourceMappingOperations
from lamington.functions.operations.function_urls import FunctionUrlOperations, RegistryPolicies
from lamington.functions.operations.functions import FunctionOperations
from lamington.functions.operations.live_tail import LiveTailOperations
from lamington.functions.operations.log_queries import LogQueryOperations
from lamington.functions.operations.logs import LogOperations
from lamington.functions.operations.metrics import MetricOperations
from lamington.functions.operations.recursion import RecursionOperations
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.packages import Packages
from lamington.functions.queue import EventQueue
from lamington.functions.recursion import RecursionGuard
from lamington.functions.runtimes import runtime_program
from lamington.functions.telemetry import Telemetry
from lamington.functions.tracing import Tracer
from lamington.gateway.entities import PAYLOAD_MAX_BYTES
from lamington.gateway.journal import flushing
from lamington.stack.operations.stacks import StackOperations
from lamington.stack.providers.base import ProviderRegistry
from lamington.stack.providers.delegated import delegated_providers
from lamington.stack.providers.function_fronts import front_providers
from lamington.stack.providers.function_layers import layer_providers
from lamington.stack.providers.functions import function_providers
from lamington.stack.providers.gateway import gateway_providers
from lamington.stack.providers.gateway_v2 import gateway_v2_providers
from lamington.wire.dispatch import Dispatcher
from lamington.wire.identity import IdentityOperations
from lamington.wire.signers import KnownSigners, load_credentials

STOP_GRACE_S = 2.0
CHECKPOINT_PAUSE_S = 5.0
CHECKPOINT_BYTES = 4 * 1024 * 1024

_HEALTH = {"lambda", "apigateway", "cloudformation", "cloudwatch", "logs", "iam", "sts"}


class Engine:
    """Everything that runs on this machine: the AWS endpoint and the APIs deployed to it.

    Raises UsageError where another engine holds the data directory or a port is in use.
    """

    def __init__(
        self, settings: Settings, *, clock: Clock | None = None, ids: Ids | None = None
    ) -> None:
        if settings.host not in LOOPBACK_HOSTS:
            raise UsageError(
                f"refused to listen on `{settings.host}`: it answers this machine alone",
                hint="listen on 127.0.0.1 and put a proxy that authenticates in front",
            )
        keys = load_credentials(settings.credentials)
        self.settings = settings
        self._clock = clock or SystemClock()
        self._ids = ids or Ids()
        self._store = Store(settings.data / "state")
        self._on_stop: Callable[[], None] = _nothing
        self._aws_server = HttpServer(self._answer_aws, eager=True)
        # Above the gateway's own limit, so that the refusal is API Gateway's.
        limits = ServerLimits(body_bytes_max=2 * PAYLOAD_MAX_BYTES)
        self._service_server = HttpServer(self._answer_service, limits=limits, eager=True)
        self._service: tuple[str, str] | None = None
        self._serve: Callable[[Request], Awaitable[Response]] | None = None
        self._service_port = 0
        self._checkpoints: asyncio.Task[None] | None = None
        self.aws_endpoint = ""
        self._artifacts = Artifacts(settings.data / "artifacts")

        logs = LogStore(self._store, self._clock, settings.log_bytes_max)
        self.metrics = Metrics(self._store, self._clock)
        self.telemetry = Telemetry(logs, self._clock, settings.log_flush_s, self.metrics)
        self._packages = Packages(self._store)
        self._registry = FunctionRegistry(self._store, self._clock, self._ids)
        self.invoker = FunctionInvoker(
            versions=self._registry,
            packages=self._packages,
            telemetry=self.telemetry,
            clock=self._clock,
            ids=self._ids,
            settings=settings,
        )
        if settings.attend_us and (os.cpu_count() or 1) > 1:
            self.invoker.capacity.is_alone = self._serves_one
        identity = IdentityOperations(self._store, self._clock, self._ids)
        self._signers = KnownSigners(
            identity,
            keys,
            enforce=settings.auth == "enforce",
            default_account_id=settings.account_id,
        )
        # The operations call each other: the table is filled when all of them are there.
        self.operations: dict[str, Operation] = {}
        self._dispatcher = Dispatcher(
            self.operations,
            self._ids,
            default_scope=self.scope,
            signers=self._signers,
            clock=self._clock,
        )
        self.caller: AwsCaller = self._dispatcher
        self._mappings = EventSourceMappingOperations(
            registry=self._registry, store=self._store, clock=self._clock, ids=self._ids
        )
        self.function_urls = FunctionUrls(
            invoker=self.invoker,
            policies=RegistryPolicies(self._registry),
            identify=lambda request: identify_url_caller(
                request, self._signers, self._clock, self.scope
            ),
            clock=self._clock,
            ids=self._ids,
        )
        self._url_configs = FunctionUrlOperations(
            registry=self._registry,
            store=self._store,
            urls=self.function_urls,
            clock=self._clock,
            ids=self._ids,
            endpoint=lambda: self.aws_endpoint,
        )
        self.functions = FunctionOperations(
            registry=self._registry,
            invoker=self.invoker,
            packages=self._packages,
            fetch_object=self._artifacts.fetch,
            tag_holders={"event-source-mapping": self._mappings},
            new_trace=Tracer(self._clock, self._ids).new_header,
        )
        self.gateway = Gateway(
            Surroundings(
                settings=settings,
                store=self._store,
                clock=self._clock,
                ids=self._ids,
                invoker=self.invoker,
                permitted=self._registry,
                signers=self._signers,
                caller=self.caller,
                door=self._dispatcher,
                logs=logs,
                metrics=self.metrics,
            )
        )
        flush = flushing(self.gateway.journal.flush, self.telemetry.flush)
        logs.flush_with(flush)
        self.metrics.flush_with(flush)
        self._apis = ApiDoor(
            rest=self.gateway.rest,
            http=self.gateway.http,
            web_socket=self.gateway.web_socket,
            domains=self.gateway.domains,
        )
        self.explanations = Explanations(
            rest=self.gateway.rest,
            http=self.gateway.http,
            web_socket=self.gateway.web_socket,
            kept=settings.explain_ring,
        )
        self.invoker.credentials = identity.role_credentials
        recursion = RecursionOperations(self._registry)
        self.invoker.notice = self._notice
        self.invoker.guard = RecursionGuard(recursion.allows, self._notice)
        self._event_configs = EventInvokeConfigOperations(
            registry=self._registry, store=self._store, clock=self._clock
        )
        self.operations |= {
            **self.functions.operations(),
            **self._url_configs.operations(),
            **self._mappings.operations(),
            **LogOperations(logs, self._clock).operations(),
            **LogQueryOperations(logs, self._clock, self._ids).operations(),
            **LiveTailOperations(logs, self._clock, self._ids).operations(),
            **MetricOperations(self.metrics, self._clock).operations(),
            **self.gateway.operations(),
            **identity.operations(),
            **self._event_configs.operations(),
            **recursion.operations(),
            **AsyncInvocationOperations(self._registry, self.invoker).operations(),
        }
        self._events = EventQueue(
            store=self._store,
            clock=self._clock,
            ids=self._ids,
            attempt=self.invoker.attempt,
            configuration=self._event_configs,
            caller=self.caller,
            notice=self._notice,
        )
        self.invoker.events = self._events
        self.providers = ProviderRegistry(
            [
                *function_providers(self.caller),
                *layer_providers(self.caller),
                *front_providers(self.caller),
                *gateway_providers(self.caller),
                *gateway_v2_providers(self.caller),
                *delegated_providers(self.caller),
            ]
        )
        self.stacks = StackOperations(
            store=self._store,
            providers=self.providers,
            clock=self._clock,
            ids=self._ids,
            fetch_object=self._artifacts.fetch,
        )
        self.operations |= self.stacks.operations()

    @property
    def scope(self) -> Scope:
        """The account and region of what the engine raises for its own user."""
        return Scope(account_id=self.settings.account_id, region=self.settings.region)

    def publish(self, bucket: str, key: str, read: Callable[[], bytes]) -> None:
        """Keep an object for stacks to take code and templates from."""
        self._artifacts.put(bucket, key, read)

    async def wait(self, stack_name: str, scope: Scope) -> str:
        """The status in which the running operation of a stack ends."""
        return await self.stacks.wait(stack_name, scope)

    @property
    def process_id(self) -> int:
        return os.getpid()

    async def start(self, on_stop: Callable[[], None] | None = None) -> None:
        """Listen, put what is deployed into service and finish what a crash interrupted.

        `on_stop` is called when a client asks the engine to stop.
        """
        self._on_stop = on_stop or _nothing
        self._packages.remove_unused(self._registry.used_blobs(), self._registry.used_layers())
        self.gateway.restore()
        self._url_configs.restore()
        self._mappings.announce()
        port = await self._aws_server.start(self.settings.host, self.settings.aws_port)
        self.aws_endpoint = f"http://{_address(self.settings.host)}:{port}"
        self.invoker.aws_endpoint_url = self.aws_endpoint
        await self.invoker.start()
        await self._events.start()
        self._checkpoints = asyncio.create_task(self._checkpoint())
        self.functions.resume()
        await self.stacks.recover()

    async def _checkpoint(self) -> None:
        while True:
            await self._clock.sleep(CHECKPOINT_PAUSE_S)
            if self._store.log_bytes > CHECKPOINT_BYTES:
                await asyncio.to_thread(self._store.checkpoint)

    async def serve(self, api_id: str, stage: str) -> int:
        """Serve one stage at the root of the service port, as a custom domain would; its port."""
        self._service = (api_id, stage)
        self._serve = self._apis.server_of(api_id, stage)
        self.explanations.served = self._service
        if not self._service_port:
            self._service_port = await self._service_server.start(
                self.settings.host, self.settings.port
            )
        return self._service_port

    async def stop(self) -> None:
        """End everything that was started: connections, stacks at work, function processes."""
        await self._service_server.stop(STOP_GRACE_S)
        await self._aws_server.stop(STOP_GRACE_S)
        await self.stacks.close()
        await self.functions.close()
        await self._events.close()
        await self.gateway.close()
        await self.invoker.close()
        if self._checkpoints is not None:
            self._checkpoints.cancel()
            await asyncio.wait([self._checkpoints])
        self.gateway.flush()
        self.telemetry.flush()
        self._store.close()

    def close_store(self) -> None:
        """Give back the data directory, of an engine that was never started."""
        self._store.close()

    def differences(self, scope: Scope, api_id: str, stage: str) -> list[str]:
        """What a deployed stage and the functions ask for and do not get, as sentences."""
        found = self.gateway.differences(api_id, stage)
        latest = [
            version for version in self._registry.versions.all(scope) if version.version == LATEST
        ]
        for runtime in sorted({version.runtime for version in latest}):
            found += filter(None, [_runtime_warning(runtime)])
        for version in latest:
            found += unemulated(version, self._registry.functions.get(scope, version.function_name))
        return found + self._mappings.unpolled(scope) + self._event_configs.undeliverable(scope)

    async def isolation(self) -> Isolation:
        """How far functions are kept apart, once this machine has been tried for it."""
        return await self.invoker.launcher.settled()

    def _notice(self, function_arn: str, metric: str, value: float, text: str = "") -> None:
        """Count one of Lambda's rarer metrics, and tell what people should know."""
        arn = Arn.parse(function_arn)
        _, _, resource = arn.resource.partition(":")
        name = resource.partition(":")[0]
        scope = Scope(account_id=arn.account_id, region=arn.region)
        self.metrics.count(scope, metric, {"FunctionName": name, "Resource": resource}, value)
        if text:
            logging.getLogger("lamington.functions").warning("%s: %s", resource, text)

    def bill(self, query: Mapping[str, str]) -> Bill:
        """What AWS would charge for the functions' use, `from` and `to` as in the query.

        Raises UsageError for what is no time.
        """
        start, end = parse_bill_query(query, self._clock.now())
        used = self.metrics.usage(start or datetime.fromtimestamp(0, UTC), end)
        return render_bill(used, load_prices(), start, end)

    def _serves_one(self) -> bool:
        """Whether the last requests came from one connection, at whichever port."""
        if self._service_server.connections:
            return self._service_server.alone
        return self._aws_server.alone

    def _answer_service(self, request: Request) -> Awaitable[Response]:
        assert self._serve is not None
        return self._serve(request)

    def _answer_aws(self, request: Request) -> Response | Awaitable[Response]:
        """Answer a request to the AWS port; the server begins what is for an API at once."""
        if request.path.startswith(("/_lamington/", "/_localstack/")):
            try:
                return self._answer_own(request)
            except AwsError as refusal:
                return _json({"message": refusal.message}, status=403)
        answer = self._apis.answer(request)
        if answer is not None:
            return answer
        url = parse_url_address(request)
        if url is not None:
            return self.function_urls.handle(request, url.url_id, url.path)
        return asyncio.get_running_loop().create_task(self._dispatcher.handle(request))

    def _answer_own(self, request: Request) -> Response | Awaitable[Response]:
        if request.path in ("/_lamington/health", "/_localstack/health"):
            return _json({"services": dict.fromkeys(sorted(_HEALTH), "running")})
        if request.path == "/_lamington/bill" and request.method == "GET":
            self._dispatcher.require_trusted(request)
            try:
                return _json(self.bill(dict(parse_query(request.query))).document())
            except UsageError as refusal:
                return _json({"message": refusal.message}, status=400)
        if request.path in (DOOR, LIVE_DOOR):
            self._dispatcher.require_trusted(request)
            return self.explanations.answer(request)
        if request.path == "/_lamington/stop" and request.method == "POST":
            self._dispatcher.require_trusted(request)
            asyncio.get_running_loop().call_soon(self._on_stop)
            return _json({"stopping": True})
        return _json({"message": "Not Found"}, status=404)


def _runtime_warning(runtime: str) -> str:
    try:
        return runtime_program(runtime).warning
    except InvalidRuntimeException as refusal:
        return f"functions of `{runtime}` do not run, only the others do: {refusal.hint}"


def _nothing() -> None:
    logging.getLogger(__name__).debug("nobody listens for a stop")


def _address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _json(value: object, status: int = 200) -> Response:
    return Response(
        status=status,
        headers=[("Content-Type", "application/json")],
        body=msgspec.json.encode(value),
    )
