"""Payload format 2.0, the event: what a function URL and an HTTP API tell a function of a request.

A request is read once, the event written once. Pure but for the clock. Who calls, what the address
stands for and which bodies are text is the caller's to know (`url_events`, the gateway).
"""

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from lamington.core.clock import Calendar, Clock, Moment
from lamington.core.http import Request, parse_query

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding"})
_HOP_BY_HOP_LENGTHS = frozenset(map(len, _HOP_BY_HOP))

FORWARDED_HEADERS: Mapping[str, str] = {"x-forwarded-port": "443", "x-forwarded-proto": "https"}
"""Differs: the addresses of this machine carry no TLS; functions are told 443 and https."""


class HttpContext(msgspec.Struct, rename="camel"):
    """The member `http` of a request's context."""

    method: str
    path: str
    protocol: str
    source_ip: str
    user_agent: str


class RequestContext(msgspec.Struct, rename="camel"):
    account_id: str
    api_id: str
    domain_name: str
    domain_prefix: str
    authorizer: Any | msgspec.UnsetType
    http: HttpContext
    request_id: str
    route_key: str
    stage: str
    time: str
    time_epoch: int


class Event(msgspec.Struct, rename="camel"):
    """The event in the order of its members on the wire; what is unset is left out."""

    version: str
    route_key: str
    raw_path: str
    raw_query_string: str
    cookies: list[str] | msgspec.UnsetType
    headers: dict[str, str]
    query_string_parameters: dict[str, str] | msgspec.UnsetType
    request_context: RequestContext
    path_parameters: Mapping[str, str] | msgspec.UnsetType
    stage_variables: msgspec.Raw | msgspec.UnsetType
    body: str | msgspec.UnsetType
    is_base64_encoded: bool


class Received(NamedTuple):
    """What a request says, read once."""

    headers: dict[str, str]
    cookies: list[str] | msgspec.UnsetType
    trace_id: str
    moment: Moment


encode_json = msgspec.json.Encoder().encode


class RequestReader:
    """Reads requests; the calendar is looked at once in a second.

    `added` are the headers that a service sets whatever the client said.
    """

    __slots__ = ("_added", "_calendar")

    def __init__(self, clock: Clock, added: Mapping[str, str] = FORWARDED_HEADERS) -> None:
        self._calendar = Calendar(clock)
        self._added = added

    def receive(self, request: Request, request_id: str) -> Received:
        """Read the headers once: names in lower case, values of one name joined by commas.

        AWS: event format 2.0; cookies stand by themselves, forwarding headers are the service's.
        """
        headers: dict[str, str] = {}
        cookies: list[str] | msgspec.UnsetType = msgspec.UNSET
        for name, value in request.headers.fields:
            name = name.lower()
            if name in headers:
                headers[name] = f"{headers[name]},{value}"
            elif name == "cookie":
                found = [each.strip() for each in value.split(";") if each.strip()]
                cookies = found if cookies is msgspec.UNSET else [*cookies, *found]
            elif len(name) not in _HOP_BY_HOP_LENGTHS or name not in _HOP_BY_HOP:
                headers[name] = value
        moment = self._calendar.moment()
        trace_id = headers.get("x-amzn-trace-id", "")
        if not trace_id:
            trace_id = f"Root=1-{moment.epoch_hex}-{request_id[:8]}{request_id[9:13]}"
            headers["x-amzn-trace-id"] = trace_id = trace_id + request_id[24:]
        source_ip = request.source_ip
        forwarded = headers.get("x-forwarded-for")
        headers["x-forwarded-for"] = f"{forwarded}, {source_ip}" if forwarded else source_ip
        headers.update(self._added)
        return Received(headers, cookies, trace_id, moment)


def joined_query(query: str) -> dict[str, str]:
    """The parameters of a query string, decoded; values of one name are joined by commas."""
    found: dict[str, str] = {}
    for name, value in parse_query(query):
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def encoded_body(body: bytes, is_text: bool) -> tuple[str, bool]:
    """The body as an event has it, and whether that is base64: text that is no UTF-8 is, too."""
    if is_text:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode("ascii"), True


def media_kind(content_type: str) -> str:
    """The media type of a header value: in lower case, without parameters."""
    return content_type.partition(";")[0].strip().lower()
