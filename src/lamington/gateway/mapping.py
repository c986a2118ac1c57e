"""What a request is to its API, and what a definition may say of it: parameters and `$context`.

Pure: mapping expressions and stage variables are compiled to functions when a stage is deployed.
Templates are `vtl`'s; which mapping belongs to which step is decided in `deployment`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, unquote_plus

from lamington.core.clock import Moment
from lamington.core.http import Request
from lamington.gateway.recording import Recording
from lamington.gateway.vtl.json_text import parse_json
from lamington.gateway.vtl.jsonpath import MISSING, compile_json_path
from lamington.gateway.vtl.limits import TemplateError
from lamington.gateway.vtl.values import ContextMap, json_text

ContextValues = Mapping[str, Any]
"""The values of `$context` by name; a name with dots is a path through nested ones."""

NO_IDENTITY: Mapping[str, Any] = MappingProxyType({})

NO_OVERRIDE: dict[str, Any] = {}
"""What stands in `$context` for overrides until a template assigns one; never changed."""

HEADERS_DROPPED = frozenset(
    {
        "connection",
        "content-length",
        "content-md5",
        "expect",
        "max-forwards",
        "proxy-authenticate",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
        "x-amzn-trace-id",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
    }
)
"""Request headers that no function sees as sent: dropped, or made anew by API Gateway.

AWS: API Gateway developer guide, known issues, the column of Lambda.
"""

_HEADERS_TITLED = {"authorization": "Authorization", "user-agent": "User-Agent"}
_HEADERS_SPECIAL = HEADERS_DROPPED | _HEADERS_TITLED.keys()


@dataclass(slots=True)
class MethodRequest:
    """A request as its method receives it.

    `path` is the part after the stage, undecoded; `context_path` is what the client called.
    `fields` are the headers as sent, `headers` what the API may see of them, with what the
    gateway adds, the last value for each name as written; `known` has the values as sent under
    lower-case names. `trace_id` is the whole trace header.

    What follows is learned on the way, by gates: `identity` are the members of
    `$context.identity` that are known beyond the client's own, `authorizer` is
    `$context.authorizer`, `usage_key` the API key that an authorizer named, `principal_arn` who
    called, for policies. `facts` are names of `$context` that only logs know. `sent` is the
    request as it came, which signatures are of.
    """

    method: str
    path: str
    context_path: str
    path_parameters: Mapping[str, str]
    query: str
    fields: Sequence[tuple[str, str]]
    headers: dict[str, str]
    known: Mapping[str, str]
    body: bytes
    source_ip: str
    host: str
    request_id: str
    extended_request_id: str
    trace_id: str
    moment: Moment
    identity: Mapping[str, Any]
    authorizer: Mapping[str, Any] | None = None
    usage_key: str = ""
    principal_arn: str = ""
    is_canary: str = ""
    facts: dict[str, str] | None = None
    recording: Recording | None = None
    sent: Request | None = None


Gate = Callable[[MethodRequest], Awaitable[None] | None]
"""One check of a request before its integration; raises Refusal.

What it learns it puts into the request. None is what it gives when it is done at once.
"""


def receive_headers(
    fields: Sequence[tuple[str, str]], source_ip: str, trace_header: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Sort headers into what the API sees and what was sent, the latter under lower-case names.

    AWS: API Gateway developer guide, Lambda proxy integrations: `Authorization` and `User-Agent`
    come in title case; forwarding headers are the gateway's own.
    """
    headers: dict[str, str] = {}
    known: dict[str, str] = {}
    for name, value in fields:
        lower = name.lower()
        known[lower] = value
        if lower in _HEADERS_SPECIAL:
            if lower in HEADERS_DROPPED:
                continue
            name = _HEADERS_TITLED[lower]
        headers[name] = value
    headers["X-Amzn-Trace-Id"] = trace_header
    forwarded = known.get("x-forwarded-for")
    headers["X-Forwarded-For"] = f"{forwarded}, {source_ip}" if forwarded else source_ip
    headers["X-Forwarded-Port"] = "443"
    headers["X-Forwarded-Proto"] = "https"
    return headers, known


def multi_value_headers(request: MethodRequest) -> dict[str, list[str]]:
    """Every value of each header that the API sees, in the order sent."""
    values = {name: [value] for name, value in request.headers.items()}
    if len(request.known) != len(request.fields):
        again: dict[str, list[str]] = {}
        for name, value in request.fields:
            lower = name.lower()
            if lower not in HEADERS_DROPPED:
                again.setdefault(_HEADERS_TITLED.get(lower, name), []).append(value)
        values.update(again)
    return values


def query_values(query: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Decode a query string to the last value and to all values of each name.

    AWS: `;` separates parameters too; a name without `=` has an empty value.
    """
    last: dict[str, str] = {}
    every: dict[str, list[str]] = {}
    if ";" in query:
        query = query.replace(";", "&")
    for part in query.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        if "%" in part or "+" in part:
            name, value = unquote_plus(name), unquote_plus(value)
        last[name] = value
        if name in every:
            every[name].append(value)
        else:
            every[name] = [value]
    return last, every


def decoded_path_parameters(request: MethodRequest) -> dict[str, str]:
    """The path parameters as mappings and templates see them: decoded once."""
    return {
        name: unquote(value) if "%" in value else value
        for name, value in request.path_parameters.items()
    }


def media_type(content_type: str) -> str:
    """The media type of a header value: in lower case, without parameters."""
    if ";" in content_type:
        content_type = content_type.partition(";")[0]
    return content_type.strip().lower()


def compile_binary_types(types: Sequence[str]) -> Callable[[str], bool]:
    """Compile an API's binary media types to a test of a media type.

    AWS: exact, `type/*` or `*/*`; parameters are ignored.
    """
    exact = frozenset(each.lower() for each in types)
    if not exact:
        return _never
    if "*/*" in exact:
        return _always
    families = frozenset(each[:-1] for each in exact if each.endswith("/*"))

    def matches(header: str) -> bool:
        kind = media_type(header)
        return kind in exact or kind[: kind.find("/") + 1] in families

    return matches


def _never(header: str) -> bool:
    return False


def _always(header: str) -> bool:
    return True


_STAGE_VARIABLE = re.compile(r"\$\{stageVariables(?:\.([A-Za-z0-9_]+)|\['([A-Za-z0-9_]+)'\])\}")


def substitute_stage_variables(text: str, variables: Mapping[str, str]) -> str:
    """Put stage variables into an integration's URI or credentials; a missing one leaves nothing.

    AWS: API Gateway developer guide, stage variables reference.
    """
    return _STAGE_VARIABLE.sub(lambda found: variables.get(found[1] or found[2], ""), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteConstants:
    """What `$context` and the proxy event say of a route whatever the request."""

    resource_id: str
    resource_path: str
    account_id: str
    api_id: str
    stage: str
    deployment_id: str
    variables: Mapping[str, str]
    is_traced: bool = False


def context_values(route: RouteConstants, request: MethodRequest) -> dict[str, Any]:
    """Make the values of `$context`, in the order in which AWS iterates over them.

    AWS: API Gateway developer guide, mapping template reference.
    """
    host = request.host
    values = {
        "resourceId": route.resource_id,
        "resourcePath": route.resource_path,
        "httpMethod": request.method,
        "extendedRequestId": request.extended_request_id,
        "requestTime": request.moment.text,
        "path": request.context_path,
        "accountId": route.account_id,
        "protocol": "HTTP/1.1",
        "requestOverride": NO_OVERRIDE,
        "stage": route.stage,
        "domainPrefix": domain_prefix(host),
        "requestTimeEpoch": request.moment.epoch_ms,
        "requestId": request.request_id,
        "identity": identity_of(request),
        "domainName": host,
        "deploymentId": route.deployment_id,
        "responseOverride": NO_OVERRIDE,
        "apiId": route.api_id,
    }
    if request.authorizer is not None:
        values["authorizer"] = request.authorizer
    if request.is_canary:
        values["isCanaryRequest"] = request.is_canary
    if route.is_traced:
        values["xrayTraceId"] = request.trace_id.partition(";")[0].removeprefix("Root=")
    return values


_IDENTITY: Mapping[str, Any] = dict.fromkeys(
    (
        "cognitoIdentityPoolId",
        "accountId",
        "cognitoIdentityId",
        "caller",
        "sourceIp",
        "principalOrgId",
        "accessKey",
        "cognitoAuthenticationType",
        "cognitoAuthenticationProvider",
        "userArn",
        "userAgent",
        "user",
    )
)
"""The members of `$context.identity` in AWS's order."""


def identity_of(request: MethodRequest) -> dict[str, Any]:
    """The members of `identity` that events and `$context` show, null where nothing is known."""
    identity = {
        **_IDENTITY,
        "sourceIp": request.source_ip,
        "userAgent": request.known.get("user-agent"),
    }
    if request.identity is not NO_IDENTITY:
        identity.update(request.identity)
    return identity


def domain_prefix(host: str) -> str:
    """The first label of a host name, without a port."""
    return host.partition(".")[0].partition(":")[0]


def context_text(context: ContextValues, name: str) -> str | None:
    """Read `$context` by a name with dots; None where there is nothing that is text."""
    value: Any = context
    for part in name.split("."):
        if isinstance(value, ContextMap):
            value = value.entries
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return scalar_text(value)


def scalar_text(value: Any) -> str | None:
    """Write a plain value as Java does; None for null and for what holds other values."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else None


Expression = Callable[[MethodRequest, ContextValues], str | None]
"""A compiled mapping expression over the request; None where its source is missing.

Raises TemplateError for a body that looks like JSON and is none.
"""

ResponseExpression = Callable[[Sequence[tuple[str, str]], bytes, ContextValues], str | None]
"""A compiled mapping expression over the headers and body of an integration's response."""


def compile_request_expression(text: str, variables: Mapping[str, str]) -> Expression:
    """Compile one source of a request mapping; an unknown form gives nothing.

    AWS: API Gateway developer guide, request and response data mapping reference.
    """
    constant = _compile_constant(text, variables)
    if constant is not None:
        value = constant[0]
        return lambda request, context: value
    if text.startswith("context."):
        name = text.removeprefix("context.")
        return lambda request, context: context_text(context, name)
    place, _, name = text.removeprefix("method.request.").partition(".")
    match place:
        case "path":
            return lambda request, context: decoded_path_parameters(request).get(name)
        case "querystring":
            return lambda request, context: query_values(request.query)[0].get(name)
        case "multivaluequerystring":
            return lambda request, context: _join(query_values(request.query)[1].get(name))
        case "header":
            return lambda request, context: request.headers.get(name)
        case "multivalueheader":
            return lambda request, context: _join(multi_value_headers(request).get(name))
        case "body":
            read = _compile_body_reader(name)
            return lambda request, context: read(request.body)
        case _ if place.startswith("body["):
            read = _compile_body_reader(text.removeprefix("method.request.body"))
            return lambda request, context: read(request.body)
        case _:
            return lambda request, context: None


def compile_response_expression(text: str, variables: Mapping[str, str]) -> ResponseExpression:
    """Compile one source of a response mapping; an unknown form gives nothing."""
    constant = _compile_constant(text, variables)
    if constant is not None:
        value = constant[0]
        return lambda headers, body, context: value
    if text.startswith("context."):
        name = text.removeprefix("context.")
        return lambda headers, body, context: context_text(context, name)
    place, _, name = text.removeprefix("integration.response.").partition(".")
    match place:
        case "header":
            return lambda headers, body, context: _last(headers, name)
        case "multivalueheader":
            return lambda headers, body, context: _join(
                [value for key, value in headers if key == name]
            )
        case "body":
            read = _compile_body_reader(name, opens_error=True)
            return lambda headers, body, context: read(body)
        case _ if place.startswith("body["):
            read = _compile_body_reader(text.removeprefix("integration.response.body"))
            return lambda headers, body, context: read(body)
        case _:
            return lambda headers, body, context: None


def _compile_constant(text: str, variables: Mapping[str, str]) -> tuple[str | None] | None:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return (text[1:-1],)
    if text.startswith("stageVariables."):
        return (variables.get(text.removeprefix("stageVariables.")),)
    return None


def _join(values: Sequence[str] | None) -> str | None:
    return ",".join(values) if values else None


def _last(headers: Sequence[tuple[str, str]], name: str) -> str | None:
    for key, value in reversed(headers):
        if key == name:
            return value
    return None


def _compile_body_reader(path: str, *, opens_error: bool = False) -> Callable[[bytes], str | None]:
    """Compile `body` with a JSONPath or without one, which gives the body as it is.

    AWS: an `errorMessage` that is JSON text itself is opened for header mappings.
    """
    if not path:
        return lambda body: body.decode("utf-8", "replace") or None
    walk = compile_json_path(path)
    opens = opens_error and path.startswith(("errorMessage.", "errorMessage["))

    def read(body: bytes) -> str | None:
        text = body.decode("utf-8", "replace")
        if not text:
            return None
        value = _parse_body(text)
        if opens and isinstance(value, dict) and isinstance(value.get("errorMessage"), str):
            value = {**value, "errorMessage": parse_json(value["errorMessage"])}
        found = walk(value)
        if found is MISSING:
            return None
        return json_text(found) if isinstance(found, (dict, list)) else scalar_text(found)

    return read


def _parse_body(text: str) -> Any:
    value = parse_json(text)
    if value is text and text.lstrip()[:1] in ("'", '"'):
        raise TemplateError("The text is not JSON.")
    return value
