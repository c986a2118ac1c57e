"""One thing that happens on a connection: a client comes, sends a message, or leaves.

An `Exchange` is what a route runs on; it tells `$context` and makes the frames that say what went
wrong. Who sends it on, and where to, is left to `program` and `plane`.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from lamington.core.clock import Ids, Moment
from lamington.core.http import Request
from lamington.gateway.mapping import domain_prefix, query_values
from lamington.gateway.recording import Recording
from lamington.gateway.v2.websocket.selection import Body, Subject

CONNECT_ROUTE = "$connect"
DISCONNECT_ROUTE = "$disconnect"

EventType = Literal["CONNECT", "MESSAGE", "DISCONNECT"]

ID_BYTES = 11

_NO_VALUES: Mapping[str, Any] = MappingProxyType({})


def _no_values() -> Mapping[str, Any]:
    return _NO_VALUES


def make_id(ids: Ids) -> str:
    """An id of a connection, a message or an exchange: 16 characters, the last of them `=`."""
    return base64.urlsafe_b64encode(bytes.fromhex(ids.hexadecimal(2 * ID_BYTES))).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFacts:
    """What is known of a client from its handshake on, whatever it sends.

    `identity` are the members of `$context.identity` that authorization learned; `authorizer` is
    None without a Lambda authorizer.
    """

    connection_id: str
    api_id: str
    stage: str
    account_id: str
    host: str
    source_ip: str
    user_agent: str
    connected_at_ms: int
    identity: Mapping[str, Any] = field(default_factory=_no_values)
    authorizer: Mapping[str, Any] | None = None

    def identity_values(self) -> dict[str, Any]:
        """AWS: members that are not known are not there (recorded events)."""
        found: dict[str, Any] = {}
        if self.user_agent:
            found["userAgent"] = self.user_agent
        found["sourceIp"] = self.source_ip
        found.update(self.identity)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """How a connection ended."""

    code: int
    reason: str


class Exchange:
    """One event of one connection, on its way through a route.

    `request` is the handshake's, and there is none in later exchanges. `integration_status`,
    `integration_latency_ms` and `failure` are learned on the way, for logs. `recording` is not
    None where somebody wants to see each step.
    """

    __slots__ = (
        "_context",
        "_subject",
        "body",
        "client",
        "departure",
        "event_type",
        "failure",
        "integration_latency_ms",
        "integration_status",
        "message_id",
        "moment",
        "recording",
        "request",
        "request_id",
        "route_key",
        "trace_id",
        "variables",
    )

    def __init__(
        self,
        client: ClientFacts,
        event_type: EventType,
        request_id: str,
        moment: Moment,
        variables: Mapping[str, str],
        *,
        text: str = "",
        message_id: str = "",
        request: Request | None = None,
        departure: Departure | None = None,
        recording: Recording | None = None,
    ) -> None:
        self.client = client
        self.event_type = event_type
        self.request_id = request_id
        self.moment = moment
        self.variables = variables
        self.body = Body(text)
        self.message_id = message_id
        self.request = request
        self.departure = departure
        self.recording = recording
        self.route_key = ""
        self.trace_id = f"Root=1-{moment.epoch_hex}-{trace_digits(request_id)}"
        self.integration_status = 0
        self.integration_latency_ms = -1.0
        self.failure = ""
        self._context: dict[str, Any] | None = None
        self._subject: Subject | None = None

    def context(self) -> dict[str, Any]:
        """The values of `$context`, which are also an event's `requestContext`, made once.

        AWS: recorded events, whose order this is.
        """
        if self._context is not None:
            return self._context
        client, departure = self.client, self.departure
        values: dict[str, Any] = {"routeKey": self.route_key}
        if departure is not None:
            values["disconnectStatusCode"] = departure.code
        if client.authorizer is not None:
            values["authorizer"] = dict(client.authorizer)
        if self.message_id:
            values["messageId"] = self.message_id
        values["eventType"] = self.event_type
        values["extendedRequestId"] = self.request_id
        values["requestTime"] = self.moment.text
        values["messageDirection"] = "IN"
        if departure is not None:
            values["disconnectReason"] = departure.reason
        values["stage"] = client.stage
        values["connectedAt"] = client.connected_at_ms
        values["requestTimeEpoch"] = self.moment.epoch_ms
        values["identity"] = client.identity_values()
        values["requestId"] = self.request_id
        values["domainName"] = client.host
        values["connectionId"] = client.connection_id
        values["apiId"] = client.api_id
        self._context = values
        return values

    def take(self, route_key: str) -> None:
        """Go on under a route."""
        self.route_key = route_key
        self._context = None

    def learn(self, client: ClientFacts) -> None:
        """Take what authorization learned of the client."""
        self.client = client
        self._context = None

    def template_context(self) -> dict[str, Any]:
        """The values of `$context` for a template, which may write to them."""
        values = dict(self.context())
        values["accountId"] = self.client.account_id
        values["domainPrefix"] = domain_prefix(self.client.host)
        return values

    def subject(self) -> Subject:
        """What selection expressions read of this exchange."""
        if self._subject is None:
            headers: dict[str, str] = {}
            query: dict[str, str] = {}
            if self.request is not None:
                headers = {name.lower(): value for name, value in self.request.headers}
                query = query_of(self.request)
            self._subject = Subject(
                body=self.body,
                headers=headers,
                query=query,
                context=self.context,
                variables=self.variables,
            )
        return self._subject

    def error_text(self, message: str) -> bytes:
        """What the client is told of a failure.

        AWS: recorded frames, down to where they have spaces.
        """
        shown = msgspec.json.encode(message).decode()
        return (
            f'{{"message": {shown}, "connectionId":"{self.client.connection_id}",'
            f' "requestId":"{self.request_id}"}}'
        ).encode()


def trace_digits(request_id: str) -> str:
    """The 24 hexadecimal digits of a trace that an exchange begins."""
    return base64.urlsafe_b64decode(request_id).hex().ljust(24, "0")


def query_of(request: Request) -> dict[str, str]:
    """The last value of each name of a query string."""
    return query_values(request.query)[0] if request.query else {}
