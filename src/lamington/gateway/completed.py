"""One request that a REST API has answered, and what the journal writes of it.

Its metrics, its line in the access log, its lines in the execution log. Left to others: what the
stage keeps (`stage_records`), how lines look (`access_logs`, `execution_logs`), when it is written
(`journal`).
"""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from lamington.gateway.deployment import MethodProgram, StageProgram
from lamington.gateway.execution_logs import Execution, render_log
from lamington.gateway.explain import Answer, Asked, Explained, ServedStage
from lamington.gateway.integrations import IntegrationResponse
from lamington.gateway.journal import MINUTE_MS, Journal, Series, Sinks, stream_name
from lamington.gateway.mapping import (
    ContextValues,
    MethodRequest,
    context_text,
    context_values,
)
from lamington.gateway.responses import MethodResponse, Refusal
from lamington.gateway.stage_records import CANARY_SUFFIX

COUNT = "Count"
MILLISECONDS = "Milliseconds"

NEVER = -1.0
"""A time of what did not happen."""


@dataclass(slots=True)
class Completed:
    """One request that was answered, for the journal: what was asked, by whom, how it went.

    Times are the clock's monotonic seconds. `integration_began` is NEVER where the request did not
    come as far as its integration, `integration_ended` where that gave no answer; `integration`
    is the answer. `refusal` is why the response is a gateway response. `answer` is the response
    before what every response carries is added.
    """

    program: StageProgram
    method: MethodProgram | None
    request: MethodRequest
    began: float
    ended: float = 0.0
    integration_began: float = NEVER
    integration_ended: float = NEVER
    integration: IntegrationResponse | None = None
    refusal: Refusal | None = None
    answer: MethodResponse | None = None
    cached: bool | None = None

    def write(self, sinks: Sinks) -> None:
        """Write the lines of the access log and of the execution log."""
        records = self.program.records
        if records is None or self.answer is None:
            return
        suffix = CANARY_SUFFIX if self.request.is_canary == "true" else ""
        access = records.access_log
        if access is not None:
            line = access.line(ContextOf(self))
            at_ms = self.request.moment.epoch_ms
            group = access.group + suffix
            sinks.log(access.scope, group, stream_name(group), at_ms, line)
        method = self.method
        if method is None or method.records is None or not method.records.level:
            return
        recording = self.request.recording
        if recording is None:
            return
        group = records.execution_group + suffix
        stream = stream_name(group)
        execution = execution_of(self)
        for at_ms, text in render_log(execution, method.records.level, method.records.data_trace):
            sinks.log(records.scope, group, stream, at_ms, text)

    @property
    def latency_s(self) -> float:
        return self.ended - self.began

    @property
    def integration_s(self) -> float | None:
        """How long the integration took; None where it was not called."""
        began, ended = self.integration_began, self.integration_ended
        if began < 0:
            return None
        return (self.ended if ended < 0 else ended) - began


TALLIES_MAX = 4096


class Tally:
    """What metrics count of the requests of one series within a minute, until it is written.

    Requests leave numbers in arrays and no objects: one object kept for each request spreads what
    comes after it over cold memory, which costs ten times what it takes to make it.
    """

    __slots__ = (
        "_at_ms",
        "_client_errors",
        "_hits",
        "_integration_ms",
        "_latency_ms",
        "_misses",
        "_series",
        "_server_errors",
        "until_ms",
    )

    def __init__(self, series: Series, at_ms: int) -> None:
        self._series = series
        self._at_ms = at_ms
        self.until_ms = (at_ms // MINUTE_MS + 1) * MINUTE_MS
        """Where the minute ends: what comes later belongs to another tally."""
        self._latency_ms = array("d")
        self._integration_ms = array("d")
        self._client_errors = 0
        self._server_errors = 0
        self._hits = 0
        self._misses = 0

    def count(
        self, status: int, latency_s: float, integration_s: float | None, cached: bool | None
    ) -> None:
        """Count one request."""
        self._latency_ms.append(latency_s * 1000)
        if integration_s is not None:
            self._integration_ms.append(integration_s * 1000)
        if status >= 400:
            if status >= 500:
                self._server_errors += 1
            else:
                self._client_errors += 1
        if cached is not None:
            if cached:
                self._hits += 1
            else:
                self._misses += 1

    def write(self, sinks: Sinks) -> None:
        """Give what was counted to the metrics.

        AWS: API Gateway developer guide, metrics and dimensions: the errors of a request that had
        none count as noughts, so that an average is a rate.
        Differs: latencies are not rounded to whole milliseconds.
        """
        values = sinks.measured(self._series, self._at_ms)
        requests = len(self._latency_ms)
        for name, unit, numbers in (
            ("Count", COUNT, [1.0] * requests),
            ("4XXError", COUNT, _share(self._client_errors, requests)),
            ("5XXError", COUNT, _share(self._server_errors, requests)),
            ("Latency", MILLISECONDS, self._latency_ms),
            ("IntegrationLatency", MILLISECONDS, self._integration_ms),
            ("CacheHitCount", COUNT, [1.0] * self._hits),
            ("CacheMissCount", COUNT, [1.0] * self._misses),
        ):
            if numbers:
                values.setdefault((name, unit), []).extend(numbers)
        # The next request begins a new one.
        self.until_ms = 0


def _share(some: int, of_all: int) -> list[float]:
    return [1.0] * some + [0.0] * (of_all - some)


def journaling(journal: Journal) -> Callable[[Completed], None]:
    """Make what the data plane calls with each request that it has answered.

    The request itself is kept only where something of it is to be logged: its headers and body
    would else live until the next flush.
    """
    add = journal.add
    tallies: dict[Series, Tally] = {}

    def take(completed: Completed) -> None:
        program, method, answer = completed.program, completed.method, completed.answer
        records = program.records
        if records is None or answer is None:
            return
        kept = records if method is None or method.records is None else method.records
        series = kept.canary_series if completed.request.is_canary == "true" else kept.series
        began, integration_s = completed.integration_began, None
        ended = completed.ended
        if began >= 0:
            answered = completed.integration_ended
            integration_s = (ended if answered < 0 else answered) - began
        at_ms = completed.request.moment.epoch_ms
        tally = tallies.get(series)
        if tally is None or at_ms >= tally.until_ms:
            if len(tallies) >= TALLIES_MAX:
                tallies.clear()  # of stages that are gone, mostly; the journal has what they count
            tally = tallies[series] = Tally(series, at_ms)
            add(tally)
        tally.count(answer.status, ended - completed.began, integration_s, completed.cached)
        if records.access_log is not None or completed.request.recording is not None:
            add(completed)

    return take


def execution_of(completed: Completed) -> Execution:
    """What an execution log says of a request; the request is a recorded one."""
    method, recording = completed.method, completed.request.recording
    assert method is not None
    assert recording is not None
    assert completed.answer is not None
    stage = completed.program.records
    return Execution(
        request=completed.request,
        route=method.route,
        http_method=method.http_method,
        region="" if stage is None else stage.scope.region,
        steps=recording.steps,
        refusal=completed.refusal,
        answer=completed.answer,
        took_s=completed.latency_s,
        tracing=stage is not None and stage.tracing,
    )


def explained_of(completed: Completed) -> Explained:
    """What is told of a recorded request to those who watch."""
    request, program, method = completed.request, completed.program, completed.method
    answer, recording = completed.answer, request.recording
    assert answer is not None
    assert recording is not None
    return Explained(
        protocol="REST",
        at=served_stage(program),
        request_id=request.request_id,
        time=request.moment.text,
        asked=Asked(
            method=request.method,
            path=request.context_path,
            query=request.query,
            headers=request.fields,
            body=request.body,
        ),
        taken_by=None if method is None else (method.http_method, method.route.resource_path),
        there=lambda: (
            f"{each.http_method} {each.route.resource_path}" for each in program.methods.values()
        ),
        recording=recording,
        refusal=completed.refusal,
        answer=Answer(
            status=answer.status,
            headers=answer.headers,
            body=None if answer.stream is not None else answer.body,
        ),
        latency_s=completed.latency_s,
        integration_s=completed.integration_s,
        is_canary=request.is_canary == "true",
        secrets=(request.usage_key, str(request.identity.get("apiKey") or "")),
    )


def served_stage(program: StageProgram) -> ServedStage:
    """The stage that a program is of."""
    name = "" if program.records is None else program.records.api_name
    return ServedStage(api_id=program.api_id, api_name=name, stage=program.stage_name)


class ContextOf:
    """Reads the variables of `$context` of one request as access logs show them.

    AWS: API Gateway developer guide, variables for access logging.
    Differs: there is no firewall here, so that its variables have no value.
    """

    __slots__ = ("_completed", "_values")

    def __init__(self, completed: Completed) -> None:
        self._completed = completed
        self._values: ContextValues | None = None

    def __call__(self, name: str) -> str | None:
        """The text of a variable; None for what has no value."""
        completed = self._completed
        facts = completed.request.facts
        if facts is not None and name in facts:
            return facts[name]
        read = _VARIABLES.get(name)
        if read is not None:
            return read(completed)
        values = self._values
        if values is None:
            method = completed.method
            route = completed.program.route if method is None else method.route
            values = self._values = context_values(route, completed.request)
        return context_text(values, name)


def _milliseconds(seconds: float | None) -> str | None:
    return None if seconds is None else str(round(seconds * 1000))


def _resource_id(completed: Completed) -> str | None:
    return completed.method.route.resource_id if completed.method is not None else None


def _resource_path(completed: Completed) -> str | None:
    return completed.method.route.resource_path if completed.method is not None else None


def _length(completed: Completed) -> str | None:
    return None if completed.answer is None else str(len(completed.answer.body))


def _status(completed: Completed) -> str | None:
    return None if completed.answer is None else str(completed.answer.status)


def _service_status(completed: Completed) -> str | None:
    """The status of the service behind: 200 of Lambda's even where its function failed."""
    return None if completed.integration is None else str(completed.integration.status)


def _backend_status(completed: Completed) -> str | None:
    """The status that the backend's own code gave: with a Lambda proxy, its `statusCode`."""
    method, answer = completed.method, completed.answer
    if completed.integration is None or method is None or answer is None:
        return None
    if method.records is not None and method.records.proxy and completed.refusal is None:
        return str(answer.status)
    return str(completed.integration.status)


def _request_id(completed: Completed) -> str | None:
    return None if completed.integration is None else completed.integration.request_id or None


def _failure(completed: Completed) -> str | None:
    """Why the integration gave no answer that could be passed on."""
    refusal = completed.refusal
    if refusal is None or completed.integration_began < 0:
        return None
    return refusal.message


def _error(name: str) -> Callable[[Completed], str | None]:
    def read(completed: Completed) -> str | None:
        refusal = completed.refusal
        if refusal is None:
            return None
        match name:
            case "message":
                return refusal.client_message
            case "messageString":
                return msgspec.json.encode(refusal.client_message).decode()
            case "responseType":
                return refusal.response_type
            case _:
                return getattr(refusal, "validation_error", "") or None

    return read


def _authorizer(name: str) -> Callable[[Completed], str | None]:
    """A member of `$context.authorizer` under a name that only logs have beside it."""

    def read(completed: Completed) -> str | None:
        authorizer = completed.request.authorizer
        return None if authorizer is None else context_text(authorizer, name)

    return read


def _trace_id(completed: Completed) -> str | None:
    records = completed.program.records
    if records is None or not records.tracing:
        return None
    return completed.request.trace_id.partition(";")[0].removeprefix("Root=")


_VARIABLES: Mapping[str, Callable[[Completed], str | None]] = {
    "requestId": lambda completed: completed.request.request_id,
    "extendedRequestId": lambda completed: completed.request.extended_request_id,
    "httpMethod": lambda completed: completed.request.method,
    "path": lambda completed: completed.request.context_path,
    "protocol": lambda completed: "HTTP/1.1",
    "requestTime": lambda completed: completed.request.moment.text,
    "requestTimeEpoch": lambda completed: str(completed.request.moment.epoch_ms),
    "identity.sourceIp": lambda completed: completed.request.source_ip,
    "identity.userAgent": lambda completed: completed.request.known.get("user-agent"),
    "resourceId": _resource_id,
    "resourcePath": _resource_path,
    "status": _status,
    "responseLength": _length,
    "responseLatency": lambda completed: _milliseconds(completed.latency_s),
    "integrationLatency": lambda completed: _milliseconds(completed.integration_s),
    "integration.latency": lambda completed: _milliseconds(completed.integration_s),
    "integrationStatus": _service_status,
    "integration.integrationStatus": _service_status,
    "integration.status": _backend_status,
    "integration.requestId": _request_id,
    "awsEndpointRequestId": _request_id,
    "integration.error": _failure,
    "integrationErrorMessage": _failure,
    "error.message": _error("message"),
    "error.messageString": _error("messageString"),
    "error.responseType": _error("responseType"),
    "error.validationErrorString": _error("validationErrorString"),
    "authorizer.latency": _authorizer("integrationLatency"),
    "xrayTraceId": _trace_id,
}
"""What access logs have beside `$context`, and of that what every format asks for."""
