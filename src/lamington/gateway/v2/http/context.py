"""`$context` of HTTP APIs: what parameter mappings read, and the ground of access logs.

Names are looked up when a stage is deployed, values when a request asks for them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lamington.gateway.mapping import domain_prefix, scalar_text
from lamington.gateway.v2.http.requests import HttpRequest

Reader = Callable[[HttpRequest], str | None]
"""Reads one name of `$context`; None where it has no value."""

_READERS: Mapping[str, Reader] = {
    "accountId": lambda request: request.route.scope.account_id,
    "apiId": lambda request: request.route.api_id,
    "customDomain.basePathMatched": lambda request: request.base_path or None,
    "domainName": lambda request: request.host,
    "domainPrefix": lambda request: domain_prefix(request.host),
    "extendedRequestId": lambda request: request.request_id,
    "httpMethod": lambda request: request.method,
    "identity.sourceIp": lambda request: request.source_ip,
    "identity.userAgent": lambda request: request.headers.get("user-agent"),
    "path": lambda request: request.context_path,
    "protocol": lambda request: "HTTP/1.1",
    "requestId": lambda request: request.request_id,
    "requestTime": lambda request: request.moment.text,
    "requestTimeEpoch": lambda request: str(request.moment.epoch_ms),
    "routeKey": lambda request: request.route.route_key or None,
    "stage": lambda request: request.route.stage,
}
_IDENTITY = {
    "accessKey": "accessKey",
    "accountId": "accountId",
    "caller": "callerId",
    "principalOrgId": "principalOrgId",
    "user": "userId",
    "userArn": "userArn",
}


def compile_context(name: str) -> Reader:
    """Find the reader of a name without `$context.`; one that is not there reads nothing.

    AWS: API Gateway developer guide, HTTP API logging variables; `authorizer.claims` alone is
    nothing.
    """
    known = _READERS.get(name)
    if known is not None:
        return known
    place, _, rest = name.partition(".")
    if place == "authorizer" and rest:
        return _authorizer_reader(rest)
    member = _IDENTITY.get(rest) if place == "identity" else None
    if member is not None:
        return lambda request: _member(request, "iam", (member,))
    return lambda request: None


def _authorizer_reader(name: str) -> Reader:
    if name == "principalId":
        return lambda request: request.caller.principal_id or None if request.caller else None
    if name.startswith("claims."):
        claim = name.removeprefix("claims.")
        return lambda request: _member(request, "jwt", ("claims", claim))
    path = tuple(name.split("."))
    return lambda request: _member(request, "lambda", path)


def _member(request: HttpRequest, kind: str, path: tuple[str, ...]) -> str | None:
    caller = request.caller
    if caller is None or caller.kind != kind:
        return None
    value: Any = caller.members
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return scalar_text(value)
