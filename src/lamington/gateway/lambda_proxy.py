"""The Lambda proxy integration's two ends: the event that a function gets, the answer it gives.

Payload format 1.0. That the function is invoked in between is `integrations`' part.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from lamington.gateway.integrations import (
    RESPONSE_HEADERS_SPECIAL,
    IntegrationRequest,
    IntegrationResponse,
    decode_base64,
    error_message,
    response_header_name,
)
from lamington.gateway.mapping import (
    NO_IDENTITY,
    MethodRequest,
    RouteConstants,
    domain_prefix,
    identity_of,
    multi_value_headers,
    query_values,
)
from lamington.gateway.responses import MethodResponse, Refusal, bad_gateway

SIGNATURE_BEGINS = "AWS4-HMAC-SHA256"


class _ClientIdentity(msgspec.Struct, rename="camel"):
    """Nobody but the client: the usual case, which costs no dict."""

    cognito_identity_pool_id: None
    account_id: None
    cognito_identity_id: None
    caller: None
    source_ip: str
    principal_org_id: None
    access_key: None
    cognito_authentication_type: None
    cognito_authentication_provider: None
    user_arn: None
    user_agent: str | None
    user: None


class _RequestContext(msgspec.Struct, rename="camel", omit_defaults=True):
    resource_id: str
    resource_path: str
    http_method: str
    extended_request_id: str
    request_time: str
    path: str
    account_id: str
    protocol: str
    stage: str
    domain_prefix: str
    request_time_epoch: int
    request_id: str
    identity: _ClientIdentity | dict[str, Any]
    domain_name: str
    deployment_id: str
    api_id: str
    authorizer: Mapping[str, Any] | None = None


class _ProxyEvent(msgspec.Struct, rename="camel"):
    """The event in the order of its members on the wire.

    msgspec writes a structure faster than pieces encoded beforehand can be joined (1.5 against
    1.8 µs for a GET), so only what is costly and constant is kept encoded.
    """

    resource: str
    path: str
    http_method: str
    headers: dict[str, str] | None
    multi_value_headers: dict[str, list[str]] | None
    query_string_parameters: dict[str, str] | None
    multi_value_query_string_parameters: dict[str, list[str]] | None
    path_parameters: Mapping[str, str] | None
    stage_variables: msgspec.Raw
    request_context: _RequestContext
    body: str | None
    is_base64_encoded: bool


def compile_proxy_event(
    route: RouteConstants, is_binary: Callable[[str], bool]
) -> Callable[[MethodRequest], IntegrationRequest]:
    """Compile the making of a Lambda proxy event, payload format 1.0.

    AWS: API Gateway developer guide, Lambda proxy integrations; empty maps are null. Known issues:
    `Authorization` is dropped where it is a signature.
    Differs: `X-Forwarded-Port` and `X-Forwarded-Proto` say 443 and https, as on AWS, whatever
    the client used; `domainName` has the port that the client gave.
    """
    stage_variables = msgspec.Raw(msgspec.json.encode(dict(route.variables) or None))
    encode = msgspec.json.Encoder().encode

    def make(request: MethodRequest) -> IntegrationRequest:
        query, queries = query_values(request.query) if request.query else (None, None)
        body: str | None = None
        known = request.known
        binary = is_binary(known.get("content-type", ""))
        if request.body:
            body = (
                base64.b64encode(request.body).decode("ascii")
                if binary
                else request.body.decode("utf-8", "replace")
            )
        host = request.host
        headers, values = request.headers, multi_value_headers(request)
        if "authorization" in known and known["authorization"].startswith(SIGNATURE_BEGINS):
            headers = {name: headers[name] for name in headers if name != "Authorization"}
            values.pop("Authorization", None)
        event = _ProxyEvent(
            route.resource_path,
            request.path,
            request.method,
            headers or None,
            values or None,
            query or None,
            queries or None,
            request.path_parameters or None,
            stage_variables,
            _RequestContext(
                route.resource_id,
                route.resource_path,
                request.method,
                request.extended_request_id,
                request.moment.text,
                request.context_path,
                route.account_id,
                "HTTP/1.1",
                route.stage,
                domain_prefix(host),
                request.moment.epoch_ms,
                request.request_id,
                _ClientIdentity(
                    None,
                    None,
                    None,
                    None,
                    request.source_ip,
                    None,
                    None,
                    None,
                    None,
                    None,
                    known.get("user-agent"),
                    None,
                )
                if request.identity is NO_IDENTITY
                else identity_of(request),
                host,
                route.deployment_id,
                route.api_id,
                request.authorizer,
            ),
            body,
            binary and body is not None,
        )
        return IntegrationRequest(encode(event), request.trace_id, checked=True)

    return make


Scalar = str | bool | int | float | None


class ProxyAnswer(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a function behind a proxy integration of a REST or WebSocket API answers."""

    status_code: int | str | None = 200
    headers: dict[str, Scalar] | None = None
    multi_value_headers: dict[str, list[Scalar]] | None = None
    body: str | None = None
    is_base64_encoded: bool | None = False


def compile_proxy_response(
    accepts_binary: Callable[[str], bool],
) -> Callable[[MethodRequest, IntegrationResponse], MethodResponse]:
    """Compile the reading of what a function answers to a proxy event.

    AWS: API Gateway developer guide, Lambda proxy integrations, output format; a key of another
    name, a body that is no string, or no object at all is a 502.
    """
    decode = msgspec.json.Decoder(ProxyAnswer).decode

    def read(request: MethodRequest, response: IntegrationResponse) -> MethodResponse:
        if response.function_error:
            raise function_failed(response)
        try:
            answer = decode(response.body)
        except msgspec.DecodeError as error:
            raise malformed(str(error)) from None
        headers = _merged_headers(answer)
        body = answer.body
        if not body:
            content = b""
        elif answer.is_base64_encoded and accepts_binary(
            request.known.get("accept", "").partition(",")[0]
        ):
            content = decode_base64(body.encode())
        else:
            content = body.encode("utf-8", "replace")
        return MethodResponse(require_status(answer.status_code), headers, content)

    return read


def _merged_headers(answer: ProxyAnswer) -> list[tuple[str, str]]:
    typed = False
    headers: list[tuple[str, str]] = []
    several: dict[str, tuple[str, list[Scalar]]] = {}
    for name, values in (answer.multi_value_headers or {}).items():
        several[name.lower()] = (name, values)
    for name, value in (answer.headers or {}).items():
        lower = name.lower()
        if several and lower in several:
            if value not in several[lower][1]:
                several[lower][1].append(value)
            continue
        typed = typed or lower == "content-type"
        if lower in RESPONSE_HEADERS_SPECIAL:
            name = response_header_name(name)
        if name and value is not None:
            headers.append((name, value if type(value) is str else header_text(value)))
    for lower, (name, values) in several.items():
        typed = typed or lower == "content-type"
        name = response_header_name(name)
        if name:
            headers.extend((name, header_text(each)) for each in values if each is not None)
    if not typed:
        headers.append(("Content-Type", "application/json"))
    return headers


def header_text(value: Scalar) -> str:
    """A header's value as text; it may be any plain JSON value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def require_status(status: int | str | None) -> int:
    """The status that a function answers, as a number or its text; raises Refusal for none."""
    if isinstance(status, str):
        if not (status.isascii() and status.isdecimal()):
            raise malformed(f"`statusCode` is `{status}`")
        status = int(status)
    if status is None:
        return 200
    if not 100 <= status <= 599:
        raise malformed(f"`statusCode` is {status}")
    return status


def malformed(why: str) -> Refusal:
    return bad_gateway(
        "Execution failed due to configuration error: Malformed Lambda proxy response",
        hint=f"{why}; a function behind a proxy integration returns an object of statusCode,"
        " headers, multiValueHeaders, body (text) and isBase64Encoded, and nothing else",
    )


def function_failed(response: IntegrationResponse) -> Refusal:
    return bad_gateway(
        "Lambda execution failed with status 200 due to customer function error:"
        f" {error_message(response.body)}. Lambda request id: {response.request_id}"
    )
