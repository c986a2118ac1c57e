"""What is kept of exchanges: metrics and logs, written by the journal off their way."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lamington.core.aws import Scope
from lamington.gateway.access_logs import AccessLog, compile_access_settings
from lamington.gateway.execution_logs import braced, cut
from lamington.gateway.journal import Series, Sinks, stream_name
from lamington.gateway.mapping import context_text
from lamington.gateway.recording import Step
from lamington.gateway.stage_records import LEVELS
from lamington.gateway.v2 import entities
from lamington.gateway.v2.websocket.exchange import Exchange


@dataclass(frozen=True, slots=True)
class SocketRecords:
    """What a stage keeps of its exchanges, decided when it is deployed."""

    scope: Scope
    series: Series
    access_log: AccessLog | None
    execution_group: str


@dataclass(frozen=True, slots=True)
class RouteRecords:
    """What is kept of one route's exchanges; `level` is one of LEVELS' values.

    `series` is None without detailed metrics; `data_trace` adds messages to the execution log.
    """

    series: Series | None
    level: int
    data_trace: bool

    @property
    def traced(self) -> bool:
        """Whether the log shows what integrations got and gave, which has to be recorded."""
        return self.data_trace and self.level >= LEVELS["INFO"]


def compile_socket_records(api: entities.Api, stage: entities.Stage, scope: Scope) -> SocketRecords:
    """Compile what a stage keeps.

    AWS: API Gateway developer guide, monitoring WebSocket APIs: dimensions `ApiId`, and `ApiId`
    with `Stage`; the group of the execution log.
    """
    by_api = (("ApiId", api.api_id),)
    settings = {
        f"{name[:1].lower()}{name[1:]}": str(value) for name, value in stage.access_log.items()
    }
    return SocketRecords(
        scope,
        Series(scope, (by_api, (*by_api, ("Stage", stage.stage_name)))),
        compile_access_settings(settings, scope),
        f"/aws/apigateway/{api.api_id}/{stage.stage_name}",
    )


def compile_route_records(
    api: entities.Api, stage: entities.Stage, scope: Scope, route_key: str
) -> RouteRecords:
    """Compile what a stage keeps of one route; "" for messages that no route takes.

    AWS: a route's own settings stand over the stage's.
    """
    detailed, level, traced = False, "OFF", False
    for each in (stage.default_route_settings, stage.route_settings.get(route_key)):
        if each is None:
            continue
        if each.detailed_metrics_enabled is not None:
            detailed = each.detailed_metrics_enabled
        if each.data_trace_enabled is not None:
            traced = each.data_trace_enabled
        level = each.logging_level or level
    sets = (("ApiId", api.api_id), ("Stage", stage.stage_name), ("Route", route_key))
    series = Series(scope, (sets,)) if detailed and route_key else None
    return RouteRecords(series, LEVELS.get(level.upper(), 0), traced)


Failure = str
"""Whose fault an exchange's end was: "", `ClientError`, `IntegrationError` or `ExecutionError`."""


@dataclass(slots=True, kw_only=True)
class Finished:
    """One exchange that is over.

    `status` is the handshake's, or what the status of a message would be; `failure` is the
    metric that counts its failure.
    """

    records: SocketRecords
    route: RouteRecords
    exchange: Exchange
    status: int
    failure: Failure
    message: str

    def write(self, sinks: Sinks) -> None:
        exchange = self.exchange
        at_ms = exchange.moment.epoch_ms
        for series in (self.records.series, self.route.series):
            if series is None:
                continue
            values = sinks.measured(series, at_ms)
            kind = _COUNTS.get(exchange.event_type)
            if kind:
                values.setdefault((kind, "Count"), []).append(1.0)
            for name in ("ClientError", "IntegrationError", "ExecutionError"):
                found = 1.0 if self.failure == name else 0.0
                values.setdefault((name, "Count"), []).append(found)
            if exchange.integration_latency_ms >= 0:
                values.setdefault(("IntegrationLatency", "Milliseconds"), []).append(
                    exchange.integration_latency_ms
                )
        log = self.records.access_log
        if log is not None:
            text = log.line(self._lookup())
            sinks.log(log.scope, log.group, stream_name(log.group), at_ms, text)
        level = self.route.level
        if level >= LEVELS["INFO"] or (level and self.failure):
            group = self.records.execution_group
            for line in self._execution():
                text = f"({exchange.request_id}) {cut(line)}"
                sinks.log(self.records.scope, group, stream_name(group), at_ms, text)

    def _execution(self) -> Iterator[str]:
        """The lines of the execution log.

        Differs: a choice of AWS's lines, in likely words; those of data trace are REST APIs' own,
        and an authorizer's call has none.
        """
        exchange, client = self.exchange, self.exchange.client
        yield f"Extended Request Id: {exchange.request_id}"
        yield f"Starting execution for request: {exchange.request_id}"
        yield f"WebSocket Request Route: [{exchange.route_key}]"
        api, connection = f"WebSocket API [{client.api_id}]", client.connection_id
        if exchange.event_type == "CONNECT":
            who = f"UserAgent: {client.user_agent or 'null'}, SourceIp: {client.source_ip}"
            yield f"Client [{who}] is connecting to {api}."
        elif exchange.event_type == "MESSAGE":
            named = f"[Message Id: {exchange.message_id}, Connection Id: {connection}]"
            text = f" {exchange.body.text}" if self.route.traced else ""
            yield f"{api} received message from client {named}.{text}"
        steps = {step.name: step.values for step in self._traced()}
        sent, answered = steps.get("integration_request"), steps.get("integration_response")
        if sent is not None and sent.get("uri"):
            yield f"Endpoint request URI: {sent['uri']}"
            yield f"Endpoint request headers: {braced(sent['headers'])}"
            yield f"Endpoint request body after transformations: {sent['body']}"
            yield f"Sending request to {sent['uri']}"
        if exchange.integration_status:
            latency = round(exchange.integration_latency_ms)
            yield (
                f"Received response. Status: {exchange.integration_status},"
                f" Integration latency: {latency} ms"
            )
        if answered is not None:
            yield f"Endpoint response headers: {braced(answered['headers'])}"
            yield f"Endpoint response body before transformations: {answered['body']}"
        if exchange.failure:
            yield exchange.failure
        if exchange.event_type == "CONNECT" and self.status == 101:
            yield f"Client [Connection Id: {connection}] connected to {api} successfully."
        elif exchange.event_type == "DISCONNECT":
            yield f"Client [Connection Id: {connection}] disconnected from {api}."

    def _traced(self) -> Sequence[Step]:
        recording = self.exchange.recording
        return () if recording is None or not self.route.traced else recording.steps

    def _lookup(self) -> Callable[[str], str | None]:
        exchange = self.exchange
        values = exchange.template_context()
        facts = {
            "status": str(self.status),
            "error.message": self.message,
            "error.messageString": f'"{self.message}"' if self.message else "",
            "integrationErrorMessage": "" if self.failure == "ClientError" else exchange.failure,
        }
        if exchange.integration_status:
            status = str(exchange.integration_status)
            facts |= dict.fromkeys(
                ("integration.status", "integration.integrationStatus", "integrationStatus"), status
            )
        if exchange.integration_latency_ms >= 0:
            latency = str(round(exchange.integration_latency_ms))
            facts |= dict.fromkeys(("integrationLatency", "integration.latency"), latency)

        def lookup(name: str) -> str | None:
            return facts[name] if name in facts else context_text(values, name)

        return lookup


_COUNTS = {"CONNECT": "ConnectCount", "MESSAGE": "MessageCount"}


@dataclass(slots=True, kw_only=True)
class Sent:
    """One message that was sent to a client; AWS counts those of both directions."""

    series: Series
    at_ms: int

    def write(self, sinks: Sinks) -> None:
        values = sinks.measured(self.series, self.at_ms)
        values.setdefault(("MessageCount", "Count"), []).append(1.0)
