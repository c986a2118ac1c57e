"""The events that functions behind HTTP APIs get: payload formats 2.0 and 1.0.

What is the same whatever the request is encoded when a stage is deployed. Left to others: the
format that function URLs share (`functions.event_format`), and that a function is invoked.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from lamington.functions.event_format import (
    Event,
    HttpContext,
    RequestContext,
    encode_json,
    encoded_body,
    joined_query,
    media_kind,
)
from lamington.gateway.mapping import domain_prefix, query_values
from lamington.gateway.v2.http.requests import HttpRequest, RouteConstants

EventMaker = Callable[[HttpRequest], bytes]

_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/javascript"})


def event_body(request: HttpRequest) -> tuple[str, bool]:
    """The body as an event has it, and whether that is base64.

    AWS: recorded; text is what has a text type, so a form is base64, and so is a body without a
    type.
    """
    kind = media_kind(request.headers.get("content-type", ""))
    return encoded_body(request.body, kind in _TEXT_TYPES or kind.startswith("text/"))


# Payload format 2.0.


def compile_event_two(route: RouteConstants) -> EventMaker:
    """Compile the making of an event of payload format 2.0.

    AWS: API Gateway developer guide, Lambda integrations for HTTP APIs; what is empty is left
    out. Paths are decoded, the query string is not (community reports).
    """
    variables: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    if route.variables:
        variables = msgspec.Raw(encode_json(dict(route.variables)))
    account_id, api_id = route.scope.account_id, route.api_id
    route_key, stage = route.route_key, route.stage

    def make(request: HttpRequest) -> bytes:
        headers = request.headers
        body: str | msgspec.UnsetType = msgspec.UNSET
        is_base64 = False
        if request.body:
            body, is_base64 = event_body(request)
        caller = request.caller
        host = headers.get("host", "")
        path = request.event_path
        return encode_json(
            Event(
                "2.0",
                route_key,
                path,
                request.query,
                request.cookies,
                headers,
                joined_query(request.query) if request.query else msgspec.UNSET,
                RequestContext(
                    account_id,
                    api_id,
                    host,
                    domain_prefix(host),
                    msgspec.UNSET if caller is None else {caller.kind: caller.members},
                    HttpContext(
                        request.method,
                        path,
                        "HTTP/1.1",
                        request.source_ip,
                        headers.get("user-agent", ""),
                    ),
                    request.request_id,
                    route_key,
                    stage,
                    request.moment.text,
                    request.moment.epoch_ms,
                ),
                request.path_parameters or msgspec.UNSET,
                variables,
                body,
                is_base64,
            )
        )

    return make


# Payload format 1.0.


class Identity(msgspec.Struct, rename="camel"):
    """`requestContext.identity` of format 1.0; null is what is not known."""

    access_key: str | None
    account_id: str | None
    caller: str | None
    cognito_amr: None
    cognito_authentication_provider: None
    cognito_authentication_type: None
    cognito_identity_id: None
    cognito_identity_pool_id: None
    principal_org_id: str | None
    source_ip: str
    user: str | None
    user_agent: str | None
    user_arn: str | None


class RequestContextOne(msgspec.Struct, rename="camel"):
    account_id: str
    api_id: str
    authorizer: Mapping[str, Any]
    domain_name: str
    domain_prefix: str
    extended_request_id: str
    http_method: str
    identity: Identity
    path: str
    protocol: str
    request_id: str
    request_time: str
    request_time_epoch: int
    resource_id: None
    resource_path: str
    stage: str


class _EventOne(msgspec.Struct, rename="camel"):
    version: str
    resource: str
    path: str
    http_method: str
    headers: dict[str, str] | None
    multi_value_headers: dict[str, list[str]] | None
    query_string_parameters: dict[str, str] | None
    multi_value_query_string_parameters: dict[str, list[str]] | None
    request_context: RequestContextOne
    path_parameters: Mapping[str, str] | None
    stage_variables: msgspec.Raw
    body: str | None
    is_base64_encoded: bool


_NOBODY: Mapping[str, Any] = {"claims": None, "scopes": None}
_TITLED = {
    "content-length": "Content-Length",
    "host": "Host",
    "user-agent": "User-Agent",
    "x-amzn-trace-id": "X-Amzn-Trace-Id",
    "x-forwarded-for": "X-Forwarded-For",
    "x-forwarded-port": "X-Forwarded-Port",
    "x-forwarded-proto": "X-Forwarded-Proto",
}


def compile_event_one(route: RouteConstants) -> EventMaker:
    """Compile the making of an event of payload format 1.0: REST's, with a version.

    AWS: same place; what is empty is null, `resourceId` is null. The path has the stage.
    """
    variables = msgspec.Raw(encode_json(dict(route.variables) or None))
    resource = route.resource_path

    def make(request: HttpRequest) -> bytes:
        query, queries = query_values(request.query) if request.query else (None, None)
        body: str | None = None
        is_base64 = False
        if request.body:
            body, is_base64 = event_body(request)
        headers, multi = cased_headers(request)
        return encode_json(
            _EventOne(
                "1.0",
                resource,
                request.event_path,
                request.method,
                headers or None,
                multi or None,
                query or None,
                queries or None,
                request_context_one(route, request),
                request.path_parameters or None,
                variables,
                body,
                is_base64,
            )
        )

    return make


def request_context_one(route: RouteConstants, request: HttpRequest) -> RequestContextOne:
    host = request.host
    caller = request.caller
    iam: Mapping[str, Any] = caller.members if caller is not None and caller.kind == "iam" else {}
    authorizer = _NOBODY
    if caller is not None and caller.kind != "iam":
        authorizer = caller.members
        if caller.principal_id:
            authorizer = {**authorizer, "principalId": caller.principal_id}
    return RequestContextOne(
        route.scope.account_id,
        route.api_id,
        authorizer,
        host,
        domain_prefix(host),
        request.request_id,
        request.method,
        Identity(
            iam.get("accessKey"),
            iam.get("accountId"),
            iam.get("callerId"),
            None,
            None,
            None,
            None,
            None,
            iam.get("principalOrgId"),
            request.source_ip,
            iam.get("userId"),
            request.headers.get("user-agent"),
            iam.get("userArn"),
        ),
        request.context_path,
        "HTTP/1.1",
        request.request_id,
        request.moment.text,
        request.moment.epoch_ms,
        None,
        route.resource_path,
        route.stage,
    )


def cased_headers(request: HttpRequest) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The headers under the names that were sent: the last value, and every value, of each.

    What a mapping has changed has the one value that it got.
    """
    names: dict[str, str] = {}
    sent: dict[str, list[str]] = {}
    for name, value in request.sent.headers.fields:
        lower = name.lower()
        names[lower] = _TITLED.get(lower, name)
        sent.setdefault(lower, []).append(value)
    last: dict[str, str] = {}
    every: dict[str, list[str]] = {}
    for lower, value in request.headers.items():
        name = names.get(lower) or _TITLED.get(lower, lower)
        values = sent.get(lower)
        if values is None or ",".join(values) != value:
            values = [value]
        last[name], every[name] = values[-1], values
    if "cookie" in sent:
        name, values = names["cookie"], sent["cookie"]
        last[name], every[name] = values[-1], values
    return last, every
