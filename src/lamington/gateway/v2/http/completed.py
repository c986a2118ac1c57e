"""One request that an HTTP API has answered, and what the journal writes of it.

Its metrics and its line in the access log. Left to others: how lines look (`access_logs`), when
they are written (`journal`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import msgspec

from lamington.core.http import Response
from lamington.gateway.access_logs import AccessLog
from lamington.gateway.journal import Series, Sinks, stream_name
from lamington.gateway.v2.http.context import compile_context
from lamington.gateway.v2.http.refusals import HttpRefusal
from lamington.gateway.v2.http.requests import HttpRequest

COUNT, MILLISECONDS, BYTES = "Count", "Milliseconds", "Bytes"


@dataclass(slots=True)
class Sample:
    """What metrics count of one request: all that is kept of most.

    Differs: `data_bytes` are those of both bodies, without headers; AWS only says the amount of
    data processed.
    """

    series: Series
    at_ms: int
    status: int
    latency_s: float
    integration_s: float | None
    data_bytes: int

    def write(self, sinks: Sinks) -> None:
        """Count the request.

        AWS: API Gateway developer guide, metrics of HTTP APIs; a request without an error counts
        as nought of them.
        """
        values = sinks.measured(self.series, self.at_ms)
        if not values:
            for name in ("Count", "4xx", "5xx"):
                values[name, COUNT] = []
            values["Latency", MILLISECONDS] = []
            values["DataProcessed", BYTES] = []
        status = self.status
        values["Count", COUNT].append(1.0)
        values["4xx", COUNT].append(1.0 if 400 <= status < 500 else 0.0)
        values["5xx", COUNT].append(1.0 if status >= 500 else 0.0)
        values["Latency", MILLISECONDS].append(self.latency_s * 1000)
        values["DataProcessed", BYTES].append(float(self.data_bytes))
        if self.integration_s is not None:
            values.setdefault(("IntegrationLatency", MILLISECONDS), []).append(
                self.integration_s * 1000
            )


@dataclass(slots=True)
class Logged:
    """A request whose stage has an access log."""

    log: AccessLog
    request: HttpRequest
    response: Response
    refusal: HttpRefusal | None
    latency_s: float

    def write(self, sinks: Sinks) -> None:
        log = self.log
        line = log.line(partial(context_of, self))
        at_ms = self.request.moment.epoch_ms
        sinks.log(log.scope, log.group, stream_name(log.group), at_ms, line)


def context_of(logged: Logged, name: str) -> str | None:
    """A name of `$context` as access logs have it; None for what is not known.

    AWS: API Gateway developer guide, logging variables of HTTP APIs.
    """
    facts = logged.request.facts
    if facts is not None and name in facts:
        return facts[name]
    read = _VARIABLES.get(name)
    return read(logged) if read is not None else compile_context(name)(logged.request)


def _milliseconds(seconds: float | None) -> str | None:
    return None if seconds is None else str(round(seconds * 1000))


def _integration_status(logged: Logged) -> str | None:
    status = logged.request.integration_status
    return str(status) if status else None


def _backend_status(logged: Logged) -> str | None:
    """The status that a function gave, where it gave one."""
    if logged.refusal is not None or not logged.request.integration_status:
        return None
    return str(logged.response.status)


def _integration_error(logged: Logged) -> str | None:
    refusal = logged.refusal
    return refusal.message if refusal is not None and refusal.status >= 500 else None


def _error_text(logged: Logged) -> str | None:
    return None if logged.refusal is None else logged.refusal.client_message


def _error_string(logged: Logged) -> str | None:
    message = _error_text(logged)
    return None if message is None else msgspec.json.encode(message).decode()


def _response_type(logged: Logged) -> str | None:
    return None if logged.refusal is None else logged.refusal.response_type


def _request_id(logged: Logged) -> str | None:
    return logged.request.integration_request_id or None


def _latency(logged: Logged) -> str | None:
    return _milliseconds(logged.request.integration_s)


_VARIABLES: Mapping[str, Callable[[Logged], str | None]] = {
    "status": lambda logged: str(logged.response.status),
    "responseLength": lambda logged: str(len(logged.response.body)),
    "responseLatency": lambda logged: _milliseconds(logged.latency_s),
    "dataProcessed": lambda logged: str(len(logged.request.body) + len(logged.response.body)),
    "integrationLatency": _latency,
    "integration.latency": _latency,
    "integrationStatus": _integration_status,
    "integration.integrationStatus": _integration_status,
    "integration.status": _backend_status,
    "integration.error": _integration_error,
    "integrationErrorMessage": _integration_error,
    "integration.requestId": _request_id,
    "awsEndpointRequestId": _request_id,
    "error.message": _error_text,
    "error.messageString": _error_string,
    "error.responseType": _response_type,
}
