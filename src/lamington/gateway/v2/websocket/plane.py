"""The data plane of WebSocket APIs: handshakes, messages, departures, and `@connections`.

Frames and sockets are the server's, and which API and stage an address names is known before a
request comes here. What a route does was decided when its stage was deployed (`program`).
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from typing import Any

from lamington.core.aws import Scope
from lamington.core.clock import Calendar
from lamington.core.conversation import Upgrade
from lamington.core.http import Request, Response
from lamington.gateway.explain import Answer, ServedStage, Watch
from lamington.gateway.pipeline import FAILURES_KEPT, Failure
from lamington.gateway.recording import Recording, record_throttle
from lamington.gateway.responses import INTERNAL_ERROR, Refusal
from lamington.gateway.templates import Problem
from lamington.gateway.v2 import entities
from lamington.gateway.v2.websocket.answers import forbidden, refusal_answer, rejection
from lamington.gateway.v2.websocket.connections import (
    FRAME_BYTES_MAX,
    LOGGER,
    MESSAGE_BYTES_MAX,
    Connection,
    Connections,
)
from lamington.gateway.v2.websocket.events import Reply
from lamington.gateway.v2.websocket.exchange import (
    CONNECT_ROUTE,
    DISCONNECT_ROUTE,
    ClientFacts,
    Departure,
    EventType,
    Exchange,
    make_id,
)
from lamington.gateway.v2.websocket.explained import (
    explained_of,
    record_end,
    record_match,
    served_stage,
)
from lamington.gateway.v2.websocket.handshake import (
    is_well_formed,
    offers_web_socket,
    receive,
)
from lamington.gateway.v2.websocket.management import Management
from lamington.gateway.v2.websocket.parts import MANAGEMENT_PREFIX, WebSocketParts
from lamington.gateway.v2.websocket.program import (
    Limit,
    RouteProgram,
    SocketProgram,
)
from lamington.gateway.v2.websocket.records import (
    Finished,
    Sent,
)
from lamington.gateway.v2.websocket.served import ServedSockets, compile_served

PROTOCOL_HEADER = "sec-websocket-protocol"


class WebSocketDataPlane:
    """Serves the stages of WebSocket APIs that are deployed to it.

    AWS: API Gateway developer guide, WebSocket APIs. The `Origin` of a page is not looked at:
    any page may connect, as on AWS.
    """

    def __init__(self, parts: WebSocketParts) -> None:
        self.failures: deque[Failure] = deque(maxlen=FAILURES_KEPT)
        self.watch: Watch | None = None
        """Is shown every handshake, message and departure, each recorded, while it is not None."""
        self.connections = Connections(parts.clock)
        self._parts = parts
        self._calendar = Calendar(parts.clock)
        self._stages: dict[tuple[str, str], ServedSockets] = {}
        self._apis: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._management = Management(self.connections, clock=parts.clock, signers=parts.signers)

    # What is served.

    def deploy(self, api: entities.Api, stage: entities.Stage, scope: Scope) -> None:
        """Put a stage into service; connections to the one that was there stay."""
        if (api.api_id, stage.stage_name) not in self._stages:
            self._apis[api.api_id] = self._apis.get(api.api_id, 0) + 1
        self._stages[api.api_id, stage.stage_name] = compile_served(api, stage, scope, self._parts)

    def withdraw(self, api_id: str, stage_name: str) -> None:
        """Take a stage out of service; its connections are closed."""
        if self._stages.pop((api_id, stage_name), None) is None:
            return
        self._apis[api_id] -= 1
        if not self._apis[api_id]:
            del self._apis[api_id]
        self.connections.end(api_id, stage_name)

    def serves(self, api_id: str) -> bool:
        return api_id in self._apis

    def stages(self) -> Iterable[ServedStage]:
        """The stages in service."""
        return (served_stage(each.program) for each in self._stages.values())

    def problems(self, api_id: str, stage_name: str) -> tuple[Problem, ...]:
        """What of a stage fails at run time."""
        served = self._stages.get((api_id, stage_name))
        return () if served is None else served.program.problems

    def unemulated(self, api_id: str, stage_name: str) -> tuple[str, ...]:
        """What a stage asks for and does not get, as sentences."""
        served = self._stages.get((api_id, stage_name))
        return () if served is None else served.program.unemulated

    async def close(self, grace_s: float = 2.0) -> None:
        """Close every connection, and let what that sets going end within the grace."""
        self.connections.end()
        await self.connections.stop()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace_s)
        for task in list(self._tasks):
            task.cancel()

    # Requests.

    async def handle(
        self,
        request: Request,
        api_id: str,
        stage: str,
        path: str,
        *,
        default_endpoint: bool = True,
        watch: Watch | None = None,
    ) -> Response:
        """Answer a request to a stage: a handshake, or one of `@connections`.

        `watch` is shown what became of this one handshake, step by step.

        AWS: the default endpoint of an API may be closed; its custom domains are open then, too.
        """
        served = self._stages.get((api_id, stage))
        if served is not None and default_endpoint and served.is_closed:
            return forbidden(self._parts.ids.request_id())
        if path.startswith(MANAGEMENT_PREFIX):
            return self.manage(request, api_id, stage, path)
        return await self.connect(request, api_id, stage, path, watch)

    def manage(self, request: Request, api_id: str, stage: str, path: str) -> Response:
        """Answer a request to `@connections`.

        Differs: without an API (`api_id` is "") the connection is found by its id alone, so that
        a client needs no more than the engine's address.
        """
        connection_id = self._management.connection_id(path)
        found = self.connections.find(connection_id)
        if not api_id and found is not None:
            api_id, stage = found.client.api_id, found.client.stage
        served = self._stages.get((api_id, stage))
        request_id = self._parts.ids.request_id()
        if served is None and api_id:
            return forbidden(request_id)
        scope = Scope() if served is None else served.program.scope
        response, connection = self._management.answer(
            request, api_id, stage, connection_id, scope, request_id
        )
        if connection is not None and served is not None:
            self._count_sent(served)
        return response

    async def connect(
        self,
        request: Request,
        api_id: str,
        stage: str,
        path: str = "/",
        watch: Watch | None = None,
    ) -> Response:
        """Run `$connect` and answer the handshake.

        AWS: an integration that does not answer 2xx refuses the handshake with its status.
        Differs: the text of a refusal is that of the error frames; no record of AWS's.
        """
        served = self._stages.get((api_id, stage))
        if served is None or path not in ("", "/"):
            return forbidden(self._parts.ids.request_id())
        watch = watch or self.watch
        exchange = self._received(served, request, watch)
        status, message = 101, ""
        began = False
        reply = Reply()
        refused: Refusal | None = None
        try:
            _require_offer(request)
            route = served.program.connect
            if exchange.recording is not None:
                record_match(served.program, exchange, route)
            self._throttle(served.program.arrivals if route is None else route.limits, exchange)
            await self._admit(served, request, exchange)
            if route is not None:
                began = True
                reply = await self._run(route, exchange)
        except Refusal as refusal:
            self._note_failure(refusal, exchange)
            refused = refusal
            status, message = refusal.status, refusal.client_message or ""
            response = refusal_answer(refusal, exchange)
        else:
            if 200 <= reply.status < 300:
                response = self._accept(exchange, reply)
            else:
                status = reply.status
                response = rejection(reply, exchange)
        failure = "" if status == 101 else _kind_of(exchange, began)
        self._finish(served, exchange, status, failure, message)
        if watch is not None:
            answer = Answer(status=status, headers=response.headers, body=response.body)
            _show(watch, served, exchange, answer, refused)
        return response

    def _received(self, served: ServedSockets, request: Request, watch: Watch | None) -> Exchange:
        parts, moment = self._parts, self._calendar.moment()
        program = served.program
        client = ClientFacts(
            connection_id=make_id(parts.ids),
            api_id=program.api.api_id,
            stage=program.stage.stage_name,
            account_id=program.scope.account_id,
            host=request.host,
            source_ip=request.source_ip,
            user_agent=request.headers.get("user-agent"),
            connected_at_ms=moment.epoch_ms,
        )
        exchange = self._exchange(served, client, "CONNECT", watch, request=request)
        exchange.take(CONNECT_ROUTE)
        return exchange

    def _exchange(
        self,
        served: ServedSockets,
        client: ClientFacts,
        event_type: EventType,
        watch: Watch | None,
        **members: Any,
    ) -> Exchange:
        if watch is not None or served.traced:
            members["recording"] = Recording(self._parts.clock)
        return Exchange(
            client,
            event_type,
            make_id(self._parts.ids),
            self._calendar.moment(),
            served.program.stage.variables,
            **members,
        )

    async def _admit(self, served: ServedSockets, request: Request, exchange: Exchange) -> None:
        if not served.admission:
            return
        received = receive(request, exchange)
        for check in served.admission:
            pending = check(received, exchange)
            if pending is not None:
                await pending
        exchange.learn(
            replace(exchange.client, identity=received.identity, authorizer=received.authorizer)
        )

    def _accept(self, exchange: Exchange, reply: Reply) -> Response:
        headers = []
        protocol = reply.headers.get(PROTOCOL_HEADER)
        if protocol:
            headers.append(("Sec-WebSocket-Protocol", protocol))
        return Response(
            status=101,
            headers=headers,
            upgrade=Upgrade(
                conversation=Connection(exchange.client, self),
                frame_bytes_max=FRAME_BYTES_MAX,
                message_bytes_max=MESSAGE_BYTES_MAX,
            ),
        )

    # What connections ask for.

    def monotonic(self) -> float:
        return self._parts.clock.monotonic()

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            LOGGER.error("an event of a connection was lost", exc_info=error)

    def welcome(self, connection: Connection) -> None:
        client = connection.client
        if (client.api_id, client.stage) in self._stages:
            self.connections.add(connection)
        elif connection.socket is not None:  # The stage went while the client came.
            connection.socket.close(1001, "Going away")

    async def attend(self, connection: Connection, message: str) -> None:
        """Answer one message.

        AWS: errors go to the client as a frame, whether its route replies or not.
        """
        client = connection.client
        served = self._stages.get((client.api_id, client.stage))
        if served is None:
            return
        watch = self.watch
        exchange = self._exchange(
            served, client, "MESSAGE", watch, text=message, message_id=make_id(self._parts.ids)
        )
        began, status, said = False, 200, ""
        refused: Refusal | None = None
        route: RouteProgram | None = None
        try:
            route = _require_route(served.program, exchange)
            self._throttle(route.limits, exchange)
            for check in route.checks:
                check(exchange)
            began = True
            reply = await self._run(route, exchange)
            status = reply.status
            answer = reply.body if route.replies else b""
        except Refusal as refusal:
            self._note_failure(refusal, exchange)
            refused = refusal
            status, said = refusal.status, refusal.client_message or INTERNAL_ERROR
            answer = exchange.error_text(said)
        if answer:
            self._answer(served, connection, answer)
        failure = "" if status < 400 else _kind_of(exchange, began)
        self._finish(served, exchange, status, failure, said)
        if watch is not None:
            is_silent = route is not None and not route.replies
            why = "the route has no response: the client gets nothing" if is_silent else ""
            _show(watch, served, exchange, Answer(status=status, body=answer), refused, why)

    async def see_off(self, connection: Connection, code: int, reason: str) -> None:
        """Forget a connection and run `$disconnect`, as well as it goes."""
        self.connections.remove(connection)
        client = connection.client
        served = self._stages.get((client.api_id, client.stage))
        route = None if served is None else served.program.disconnect
        if served is None or route is None:
            return
        departure = Departure(code=code, reason=reason or REASONS.get(code, ""))
        watch = self.watch
        exchange = self._exchange(served, client, "DISCONNECT", watch, departure=departure)
        exchange.take(DISCONNECT_ROUTE)
        if exchange.recording is not None:
            record_match(served.program, exchange, route)
        status, failure = 200, ""
        refused: Refusal | None = None
        try:
            status = (await self._run(route, exchange)).status
        except Refusal as refusal:
            self._note_failure(refusal, exchange)
            refused = refusal
            status, failure = refusal.status, _kind_of(exchange, True)
        self._finish(served, exchange, status, failure, "")
        if watch is not None:
            why = "nobody is there to hear it"
            _show(watch, served, exchange, Answer(status=status), refused, why)

    # Steps.

    def _throttle(self, limits: tuple[Limit, ...], exchange: Exchange) -> None:
        """Take a token of each; raises Refusal where one is empty, and takes none then."""
        for index, (name, bucket) in enumerate(limits):
            if not bucket.take():
                for _, taken in limits[:index]:
                    taken.give_back()
                if exchange.recording is not None:
                    record_throttle(exchange.recording, name, bucket, admitted=False)
                raise Refusal("Rate exceeded", response_type="THROTTLED")
        if exchange.recording is not None:
            for name, bucket in limits:
                record_throttle(exchange.recording, name, bucket)

    async def _run(self, route: RouteProgram, exchange: Exchange) -> Reply:
        began = self._parts.clock.monotonic()
        try:
            return await route.run(exchange)
        finally:
            elapsed_s = self._parts.clock.monotonic() - began
            exchange.integration_latency_ms = elapsed_s * 1000

    def _answer(self, served: ServedSockets, connection: Connection, answer: bytes) -> None:
        """Send to the client; one that reads nothing is let go: its answers would pile up."""
        if connection.send(answer):
            self._count_sent(served)
        elif connection.socket is not None:
            connection.socket.abort()

    def _count_sent(self, served: ServedSockets) -> None:
        journal = self._parts.journal
        if journal is not None:
            at_ms = self._calendar.moment().epoch_ms
            journal.add(Sent(series=served.records.series, at_ms=at_ms))

    def _note_failure(self, refusal: Refusal, exchange: Exchange) -> None:
        reason = f"{refusal.message}: {refusal.hint}" if refusal.hint else refusal.message
        exchange.failure = reason
        if refusal.status < 500:
            return
        self.failures.append(
            Failure(
                request_id=exchange.request_id,
                method=exchange.event_type,
                path=exchange.route_key,
                reason=reason,
            )
        )
        LOGGER.warning("%s of `%s`: %s", exchange.route_key, exchange.client.api_id, reason)

    def _finish(
        self, served: ServedSockets, exchange: Exchange, status: int, failure: str, message: str
    ) -> None:
        journal = self._parts.journal
        if journal is not None:
            journal.add(
                Finished(
                    records=served.records,
                    route=served.routes[exchange.route_key],
                    exchange=exchange,
                    status=status,
                    failure=failure,
                    message=message,
                )
            )


REASONS = {1001: "Going away", 1005: "Client-side close frame status not set"}
"""What AWS says of a client that gave no reason (recorded).

Differs: the words for other codes are not known; they are empty.
"""


def _require_offer(request: Request) -> None:
    """Raise Refusal for what is no handshake.

    Differs: AWS's answers to these are not known; the statuses are those of RFC 6455.
    """
    if not offers_web_socket(request):
        raise Refusal(
            "The request offers no WebSocket",
            response_type="DEFAULT_4XX",
            status=426,
            client_message="Upgrade Required",
        )
    if not is_well_formed(request):
        raise Refusal("The handshake is malformed", response_type="DEFAULT_4XX")


def _require_route(program: SocketProgram, exchange: Exchange) -> RouteProgram:
    """AWS: a message that no route takes is `Forbidden`."""
    route = program.route_of(exchange)
    if exchange.recording is not None:
        record_match(program, exchange, route)
    if route is None:
        raise Refusal(
            "No route takes the message",
            response_type="DEFAULT_4XX",
            status=403,
            client_message="Forbidden",
        )
    exchange.take(route.route.route_key)
    return route


def _show(
    watch: Watch,
    served: ServedSockets,
    exchange: Exchange,
    answer: Answer,
    refusal: Refusal | None,
    why: str = "",
) -> None:
    """Show an exchange that is over to whoever watches."""
    record_end(exchange, answer, refusal, why)
    watch(explained_of(served.program, exchange, answer, refusal))


def _kind_of(exchange: Exchange, began: bool) -> str:
    """Which metric counts a failure.

    AWS: API Gateway developer guide, metrics of WebSocket APIs.
    """
    if not began:
        return "ClientError"
    return "IntegrationError" if exchange.integration_status else "ExecutionError"
