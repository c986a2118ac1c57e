"""HTTP endpoints behind methods: integration types `HTTP` and `HTTP_PROXY`, VPC links included.

What is sent is made whole in the request mapping, so that whoever looks on sees all of it; the
integration only sends. Templates and parameter expressions are `request_mapping`'s and
`response_mapping`'s, connections are `http_client`'s.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import urlsplit

from lamington.core.aws import Scope
from lamington.gateway import entities
from lamington.gateway.http_addresses import MakeUri, compile_uri, require_address
from lamington.gateway.http_client import (
    AddressError,
    ClientCertificate,
    HttpClient,
    NetworkError,
    Terms,
    TooLargeError,
)
from lamington.gateway.integrations import (
    Integration,
    IntegrationRequest,
    IntegrationResponse,
    Misconfigured,
    timed_out,
)
from lamington.gateway.mapping import (
    MethodRequest,
    RouteConstants,
    substitute_stage_variables,
)
from lamington.gateway.request_mapping import compile_request_mapping
from lamington.gateway.response_mapping import (
    compile_response_conversion,
    compile_response_mapping,
)
from lamington.gateway.responses import MethodResponse, Refusal, configuration_error
from lamington.gateway.templates import (
    BinaryTypes,
    Context,
    Note,
    make_method_context,
    make_no_context,
)

ANSWER_MAX_BYTES = 10 * 1024 * 1024
"""AWS: the payload of an integration's response, 10 MB."""


class VpcLinks(Protocol):
    """Where VPC links lead to: settings say so, by id or by name."""

    def address(self, connection_id: str, scope: Scope) -> str:
        """An address such as `localhost:8080` or `https://10.0.0.1`, "" for an unknown link."""
        ...


class Certificates(Protocol):
    """The client certificates that stages name."""

    def certificate(self, certificate_id: str, scope: Scope) -> ClientCertificate | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpParts:
    """What HTTP integrations need of the engine."""

    client: HttpClient
    vpc_links: VpcLinks
    certificates: Certificates


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What becomes of a method's request, and what of the answer to it."""

    context: Callable[[MethodRequest], Context]
    map_request: Callable[[MethodRequest, Context], IntegrationRequest]
    integration: Integration
    map_response: Callable[[MethodRequest, Context, IntegrationResponse], MethodResponse]


def compile_http(
    integration: entities.MethodIntegration,
    *,
    method: entities.Method,
    stage: entities.Stage,
    scope: Scope,
    route: RouteConstants,
    binary_types: BinaryTypes,
    parts: HttpParts,
    note: Note,
) -> Exchange:
    """Compile an integration of type `HTTP` or `HTTP_PROXY`; raises Misconfigured.

    AWS: API Gateway developer guide, HTTP integrations.
    """
    proxy = integration.type == "HTTP_PROXY"
    make_uri = compile_uri(integration, route)
    link = _link_address(integration, route, scope, parts.vpc_links)
    certificate = None
    if stage.client_certificate_id:
        certificate = parts.certificates.certificate(stage.client_certificate_id, scope)
        if certificate is None:
            note(f"client certificate `{stage.client_certificate_id}` does not exist")
    backend = HttpIntegration(
        parts.client,
        Terms(
            timeout_s=integration.timeout_ms / 1000,
            verifies_issuer=not integration.insecure_skip_verification,
            certificate=certificate,
            answer_bytes_max=ANSWER_MAX_BYTES,
        ),
        link=link,
        streams=proxy and integration.response_transfer_mode == "STREAM",
    )
    if proxy:
        return Exchange(
            context=(
                make_method_context(route) if integration.request_parameters else make_no_context
            ),
            map_request=_compile_proxy_request(
                integration, method, route, binary_types, make_uri, note
            ),
            integration=backend,
            map_response=_compile_proxy_response(binary_types),
        )
    return Exchange(
        context=make_method_context(route),
        map_request=_compile_request(integration, route, binary_types, make_uri, note),
        integration=backend,
        map_response=compile_response_mapping(integration, method, route, binary_types, note),
    )


def _link_address(
    integration: entities.MethodIntegration,
    route: RouteConstants,
    scope: Scope,
    links: VpcLinks,
) -> str:
    """The scheme and authority that a VPC link leads to, "" without a link."""
    if integration.connection_type != "VPC_LINK":
        return ""
    connection_id = substitute_stage_variables(integration.connection_id, route.variables)
    address = links.address(connection_id, scope).rstrip("/")
    if not address:
        raise Misconfigured(
            f"VPC link `{connection_id}` leads nowhere",
            hint=f"name its address: LAMINGTON_VPC_LINKS={connection_id or 'name'}=localhost:8080",
        )
    if "://" not in address:
        scheme = substitute_stage_variables(integration.uri, route.variables).partition(":")[0]
        address = f"{scheme}://{address}"
    require_address(address)
    return address


# Requests

_DROPPED = frozenset(
    {
        "content-encoding",
        "content-length",
        "content-md5",
        "expect",
        "host",
        "max-forwards",
        "proxy-authenticate",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "www-authenticate",
        "x-amzn-apigateway-api-id",
        "x-amzn-trace-id",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
    }
)
"""What a client's request loses on its way to an HTTP endpoint, or what is made anew.

AWS: API Gateway developer guide, known issues, the column of HTTP_PROXY.
"""

_NEVER_SENT = frozenset({"content-length", "expect", "proxy-authenticate", "te", "via"})
"""What not even a mapping sends."""

_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto")


def _compile_request(
    integration: entities.MethodIntegration,
    route: RouteConstants,
    binary_types: BinaryTypes,
    make_uri: MakeUri,
    note: Note,
) -> Callable[[MethodRequest, Context], IntegrationRequest]:
    """Compile what is sent for type `HTTP`: what mappings say and what every request has.

    AWS: the client's headers and query are not passed on unless they are mapped (recorded).
    """
    map_request = compile_request_mapping(integration, route, binary_types, note)
    is_text = binary_types is None and integration.content_handling != "CONVERT_TO_BINARY"
    own_method = "" if integration.http_method == entities.ANY else integration.http_method

    def make(request: MethodRequest, context: Context) -> IntegrationRequest:
        made = map_request(request, context)
        made.method = own_method or request.method
        made.uri = make_uri(made, "")
        content_type = request.known.get("content-type", "application/json")
        headers = [("Content-Type", content_type), *_own_headers(request, route)]
        made.headers = _merged(headers, made.parameters.headers)
        made.body = _body(made, is_text)
        return made

    return make


def _compile_proxy_request(
    integration: entities.MethodIntegration,
    method: entities.Method,
    route: RouteConstants,
    binary_types: BinaryTypes,
    make_uri: MakeUri,
    note: Note,
) -> Callable[[MethodRequest, Context], IntegrationRequest]:
    """Compile what is sent for type `HTTP_PROXY`: the client's request, with mappings on top.

    AWS: mapped headers overwrite, mapped query parameters are appended (recorded).
    """
    plain = replace(integration, request_templates={}, passthrough_behavior="WHEN_NO_MATCH")
    map_request = compile_request_mapping(plain, route, binary_types, note)
    mapped = bool(integration.request_parameters)
    converted = binary_types is not None or bool(integration.content_handling)
    is_text = binary_types is None and integration.content_handling != "CONVERT_TO_BINARY"
    own_method = "" if integration.http_method == entities.ANY else integration.http_method
    signed = method.authorization_type == "AWS_IAM"

    def make(request: MethodRequest, context: Context) -> IntegrationRequest:
        if mapped or (converted and request.body):
            made = map_request(request, context)
        else:
            made = IntegrationRequest(request.body, request.trace_id)
        made.method = own_method or request.method
        made.uri = make_uri(made, request.query)
        headers = _passed(request, signed)
        headers += _own_headers(request, route, request.known)
        headers += [(name, request.headers[name]) for name in _FORWARDED if name in request.headers]
        made.headers = headers if not mapped else _merged(headers, made.parameters.headers)
        made.body = _body(made, is_text)
        return made

    return make


def _passed(request: MethodRequest, signed: bool) -> list[tuple[str, str]]:
    """The client's headers as they are passed on, in its order and case.

    AWS: `Authorization` is dropped where it is a signature, or the method asks for one.
    """
    authorization = request.known.get("authorization")
    if authorization is None or not (signed or authorization.startswith("AWS4-HMAC-SHA256")):
        return [pair for pair in request.fields if pair[0].lower() not in _DROPPED]
    return [
        pair
        for pair in request.fields
        if (lower := pair[0].lower()) not in _DROPPED and lower != "authorization"
    ]


_NOTHING_SENT: Mapping[str, str] = {}


def _own_headers(
    request: MethodRequest, route: RouteConstants, sent: Mapping[str, str] = _NOTHING_SENT
) -> list[tuple[str, str]]:
    """What the gateway adds; `Accept` and `User-Agent` only where a client has `sent` none."""
    headers = [
        ("X-Amzn-Apigateway-Api-Id", route.api_id),
        (
            "X-Amzn-Trace-Id",
            request.headers.get("X-Amzn-Trace-Id") or request.trace_id.partition(";")[0],
        ),
    ]
    if "accept" not in sent:
        headers.append(("Accept", "application/json"))
    if "user-agent" not in sent:
        headers.append(("User-Agent", f"AmazonAPIGateway_{route.api_id}"))
    return headers


def _merged(headers: list[tuple[str, str]], mapped: Mapping[str, str]) -> list[tuple[str, str]]:
    if not mapped:
        return headers
    names = {name.lower() for name in mapped}
    kept = [pair for pair in headers if pair[0].lower() not in names]
    return kept + [pair for pair in mapped.items() if pair[0].lower() not in _NEVER_SENT]


def _body(request: IntegrationRequest, is_text: bool) -> bytes:
    if request.method in _WITHOUT_BODY:
        return b""
    return _as_text(request.body) if is_text else request.body


def _as_text(body: bytes) -> bytes:
    """A body as text: what is no UTF-8 is lost.

    AWS: a payload that no binary media type names is text.
    """
    return body if body.isascii() else body.decode("utf-8", "replace").encode()


# Responses

_PROXY_REMAPPED = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-md5",
        "date",
        "max-forwards",
        "server",
        "user-agent",
        "www-authenticate",
        "x-amzn-requestid",
    }
)
_PROXY_DROPPED = frozenset(
    {
        "expect",
        "host",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
_PROXY_SPECIAL = _PROXY_REMAPPED | _PROXY_DROPPED | {"content-type", "content-encoding"}
_ZLIB_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def proxied_header_name(name: str) -> str:
    """The name under which a client gets a header of an HTTP endpoint; "" for none.

    AWS: API Gateway developer guide, known issues, the column of HTTP_PROXY; and recorded.
    """
    lower = name.lower()
    if lower in _PROXY_REMAPPED:
        return f"x-amzn-Remapped-{name}"
    return "" if lower in _PROXY_DROPPED else name


def _compile_proxy_response(
    binary_types: BinaryTypes,
) -> Callable[[MethodRequest, Context, IntegrationResponse], MethodResponse]:
    """Compile what a client gets of an endpoint's answer: all of it, whatever its status.

    AWS: `Content-Encoding` does not reach the client (recorded).
    Differs: the body is decompressed then, which no source says; a coding that is not gzip or
    deflate, and the coding of a stream, is passed on with its header.
    """
    convert = compile_response_conversion("", binary_types)

    def respond(
        request: MethodRequest, context: Context, response: IntegrationResponse
    ) -> MethodResponse:
        headers, coding = _proxied_headers(response)
        if response.stream is not None:
            if coding:
                headers.append(("Content-Encoding", coding))
            return MethodResponse(response.status, headers, stream=response.stream)
        body = response.body
        if coding and body:
            decoded = _decoded(body, coding)
            if decoded is None:
                headers.append(("Content-Encoding", coding))
                return MethodResponse(response.status, headers, body)
            body = decoded
        if not body:
            return MethodResponse(response.status, headers)
        if convert is None:
            body = _as_text(body)
        else:
            accept = request.known.get("accept", "application/json")
            body, _ = convert(body, response, accept)
        return MethodResponse(response.status, headers, body)

    return respond


def _proxied_headers(response: IntegrationResponse) -> tuple[list[tuple[str, str]], str]:
    """The headers that a client gets, and the coding of the body."""
    headers = []
    coding = ""
    typed = False
    for name, value in response.headers:
        lower = name.lower()
        if lower in _PROXY_SPECIAL:
            if lower == "content-encoding":
                coding = value
                continue
            typed = typed or lower == "content-type"
            name = proxied_header_name(name)
            if not name:
                continue
        headers.append((name, value))
    if not typed:
        headers.append(("Content-Type", "application/json"))
    return headers, coding


def _decoded(body: bytes, coding: str) -> bytes | None:
    """The body without its coding, None where that is not ours to undo."""
    window = _ZLIB_WINDOW.get(coding.strip().lower())
    if window is None:
        return None
    reader = zlib.decompressobj(window)
    try:
        decoded = reader.decompress(body, ANSWER_MAX_BYTES + 1)
    except zlib.error:
        return None
    if len(decoded) > ANSWER_MAX_BYTES:
        raise _too_large(TooLargeError(len(decoded), ANSWER_MAX_BYTES))
    return decoded


# The integration


class HttpIntegration:
    """Sends a request that is made already, and says in AWS's words why there is no answer.

    With a `link` it goes there, whatever the request's own host is: a server behind a VPC link
    sees that host in `Host`, and proves it by its certificate.
    """

    __slots__ = ("_client", "_link", "_streams", "_terms")
    uri = ""

    def __init__(
        self, client: HttpClient, terms: Terms, *, link: str = "", streams: bool = False
    ) -> None:
        self._client = client
        self._terms = terms
        self._link = link
        self._streams = streams

    async def send(self, request: IntegrationRequest) -> IntegrationResponse:
        """Send the request.

        AWS: no answer in time is 504 INTEGRATION_TIMEOUT, no connection or no trust 504
        INTEGRATION_FAILURE, an address that is none 500; redirects are not followed.
        """
        uri, headers, terms = request.uri, request.headers, self._terms
        if self._link:
            uri, headers, terms = _through(self._link, request, terms)
        begin = self._client.open if self._streams else self._client.send
        try:
            answer = await begin(request.method, uri, headers, request.body, terms)
        except TimeoutError:
            raise timed_out(f"{request.uri} did not answer within {terms.timeout_s:g} s") from None
        except NetworkError as error:
            raise Refusal(
                "Execution failed due to a network error communicating with endpoint",
                response_type="INTEGRATION_FAILURE",
                hint=f"{request.uri}: {error.message}",
            ) from None
        except AddressError as error:
            raise configuration_error("Invalid endpoint address", hint=error.message) from None
        except TooLargeError as error:
            raise _too_large(error) from None
        return IntegrationResponse(answer.status, answer.body, answer.headers, stream=answer.stream)


def _too_large(error: TooLargeError) -> Refusal:
    return configuration_error(error.message, hint="a larger answer needs a streamed integration")


def _through(
    link: str, request: IntegrationRequest, terms: Terms
) -> tuple[str, Sequence[tuple[str, str]], Terms]:
    scheme, _, rest = request.uri.partition("://")
    authority, slash, path = rest.partition("/")
    headers = request.headers
    if not any(name.lower() == "host" for name, _ in headers):
        headers = [("Host", authority), *headers]
    if scheme == "https":
        terms = replace(terms, server_name=urlsplit(request.uri).hostname or "")
    return f"{link}{slash}{path}", headers, terms
