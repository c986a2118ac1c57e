"""The event that a request to a function URL becomes: format 2.0, read and written once.

Pure but for the clock. Who calls, and what comes of it, is `function_urls`' part.
"""

import base64
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from lamington.core.clock import Calendar, Clock, Moment
from lamington.core.http import Request, parse_query

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding"})
_HOP_BY_HOP_LENGTHS = frozenset(map(len, _HOP_BY_HOP))
_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/javascript"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlCaller:
    """Who has signed a request."""

    access_key: str
    account_id: str
    user_id: str
    arn: str


class _Iam(msgspec.Struct, rename="camel"):
    access_key: str
    account_id: str
    caller_id: str
    cognito_identity: None
    principal_org_id: None
    user_arn: str
    user_id: str


class _Authorizer(msgspec.Struct):
    iam: _Iam


class _Http(msgspec.Struct, rename="camel"):
    method: str
    path: str
    protocol: str
    source_ip: str
    user_agent: str


class _RequestContext(msgspec.Struct, rename="camel"):
    account_id: str
    api_id: str
    domain_name: str
    domain_prefix: str
    authorizer: _Authorizer | msgspec.UnsetType
    http: _Http
    request_id: str
    route_key: str
    stage: str
    time: str
    time_epoch: int


class _Event(msgspec.Struct, rename="camel"):
    """The event in the order of its members on the wire; what is unset is left out."""

    version: str
    route_key: str
    raw_path: str
    raw_query_string: str
    cookies: list[str] | msgspec.UnsetType
    headers: dict[str, str]
    query_string_parameters: dict[str, str] | msgspec.UnsetType
    request_context: _RequestContext
    body: str | msgspec.UnsetType
    is_base64_encoded: bool


class UrlAddress(NamedTuple):
    """A URL's id, and the name that it has on AWS."""

    url_id: str
    domain_name: str


class Received(NamedTuple):
    """What a request says, read once."""

    headers: dict[str, str]
    cookies: list[str] | msgspec.UnsetType
    trace_id: str
    moment: Moment


_ENCODE = msgspec.json.Encoder().encode


class UrlRequests:
    """Reads requests; the calendar is looked at once in a second."""

    def __init__(self, clock: Clock) -> None:
        self._calendar = Calendar(clock)

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
        headers["x-forwarded-port"] = "443"
        headers["x-forwarded-proto"] = "https"
        headers["x-amzn-tls-version"] = "TLSv1.3"
        headers["x-amzn-tls-cipher-suite"] = "TLS_AES_128_GCM_SHA256"
        return Received(headers, cookies, trace_id, moment)


def encode_event(
    address: UrlAddress,
    request: Request,
    received: Received,
    request_id: str,
    path: str,
    caller: UrlCaller | None,
) -> bytes:
    headers = received.headers
    body: str | msgspec.UnsetType = msgspec.UNSET
    is_base64 = False
    if request.body:
        body, is_base64 = _encoded_body(request.body, headers.get("content-type", ""))
    url_id = address.url_id
    host = headers.get("host", "")
    return _ENCODE(
        _Event(
            "2.0",
            "$default",
            path,
            request.query,
            received.cookies,
            headers,
            _query_parameters(request.query) if request.query else msgspec.UNSET,
            _RequestContext(
                caller.account_id if caller else "anonymous",
                url_id,
                host if host.startswith(url_id) else address.domain_name,
                url_id,
                _authorizer(caller) if caller else msgspec.UNSET,
                _Http(
                    request.method,
                    path,
                    "HTTP/1.1",
                    request.source_ip,
                    headers.get("user-agent", ""),
                ),
                request_id,
                "$default",
                "$default",
                received.moment.text,
                received.moment.epoch_ms,
            ),
            body,
            is_base64,
        )
    )


def _authorizer(caller: UrlCaller) -> _Authorizer:
    return _Authorizer(
        _Iam(
            caller.access_key,
            caller.account_id,
            caller.user_id,
            None,
            None,
            caller.arn,
            caller.user_id,
        )
    )


def _query_parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_query(query):
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _encoded_body(body: bytes, content_type: str) -> tuple[str, bool]:
    """The body as the event has it, and whether that is base64.

    AWS: text types come as text; forms, multipart and everything else as base64.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not kind or is_text_type(kind):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode("ascii"), True


def is_text_type(kind: str) -> bool:
    """Whether bodies of a media type, which is given in lower case, are text to Lambda."""
    return kind in _TEXT_TYPES or kind.startswith("text/") or kind.endswith(("+json", "+xml"))
