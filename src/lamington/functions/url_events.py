"""The event that a request to a function URL becomes: format 2.0 with what a URL has of its own.

Pure but for the clock. Who calls, and what comes of it, is `function_urls`' part.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from lamington.core.http import Request
from lamington.functions.event_format import (
    FORWARDED_HEADERS,
    Event,
    HttpContext,
    Received,
    RequestContext,
    encode_json,
    encoded_body,
    joined_query,
    media_kind,
)

URL_HEADERS: Mapping[str, str] = {
    **FORWARDED_HEADERS,
    "x-amzn-tls-version": "TLSv1.3",
    "x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256",
}
"""What the service of function URLs says of a connection."""

_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/javascript"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlCaller:
    """Who has signed a request.

    `decide` says what the caller's own policies make of an action on a resource: "allow", "deny"
    or "silent"; None is one who may do everything.
    """

    access_key: str
    account_id: str
    user_id: str
    arn: str
    decide: Callable[[str, str], str] | None = None


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


class UrlAddress(NamedTuple):
    """A URL's id, and the name that it has on AWS."""

    url_id: str
    domain_name: str


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
        body, is_base64 = _url_body(request.body, headers.get("content-type", ""))
    url_id = address.url_id
    host = headers.get("host", "")
    return encode_json(
        Event(
            "2.0",
            "$default",
            path,
            request.query,
            received.cookies,
            headers,
            joined_query(request.query) if request.query else msgspec.UNSET,
            RequestContext(
                caller.account_id if caller else "anonymous",
                url_id,
                host if host.startswith(url_id) else address.domain_name,
                url_id,
                _authorizer(caller) if caller else msgspec.UNSET,
                HttpContext(
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
            msgspec.UNSET,
            msgspec.UNSET,
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


def _url_body(body: bytes, content_type: str) -> tuple[str, bool]:
    """AWS: text types come as text; forms, multipart and everything else as base64."""
    kind = media_kind(content_type)
    return encoded_body(body, not kind or is_text_type(kind))


def is_text_type(kind: str) -> bool:
    """Whether bodies of a media type, which is given in lower case, are text to Lambda."""
    return kind in _TEXT_TYPES or kind.startswith("text/") or kind.endswith(("+json", "+xml"))
