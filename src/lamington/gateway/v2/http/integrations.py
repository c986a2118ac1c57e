"""What stands behind routes: functions, HTTP endpoints, and what refuses because it cannot be.

Each is compiled to a function from request to response. AWS services are `services`' part;
parameter mappings have been applied before, and are applied to the response after.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from lamington.core.http import Response
from lamington.functions.invoke import Invoker
from lamington.gateway.http_client import (
    AddressError,
    HttpAnswer,
    HttpClient,
    NetworkError,
    Terms,
    TooLargeError,
)
from lamington.gateway.http_integrations import ANSWER_MAX_BYTES, VpcLinks
from lamington.gateway.integrations import (
    FUNCTION_URI,
    IntegrationRequest,
    LambdaIntegration,
    Misconfigured,
)
from lamington.gateway.mapping import substitute_stage_variables
from lamington.gateway.permits import Permissions, compile_permit
from lamington.gateway.recording import record_integration_request, record_integration_response
from lamington.gateway.responses import Refusal
from lamington.gateway.v2 import entities
from lamington.gateway.v2.http.answers import (
    function_failed,
    read_answer_one,
    read_answer_two,
    why_read,
)
from lamington.gateway.v2.http.events import compile_event_one, compile_event_two
from lamington.gateway.v2.http.refusals import HttpRefusal, of_integration
from lamington.gateway.v2.http.requests import HttpRequest, RouteConstants

Send = Callable[[HttpRequest], Awaitable[Response]]
"""Gets the answer of what stands behind a route; raises HttpRefusal."""

NOT_PERMITTED = (
    "The IAM role configured on the integration or API Gateway doesn't have permissions to call"
    " the integration. Check the permissions and try again."
)

_VIA = "HTTP/1.1 AmazonAPIGateway"
_DROPPED: Final = frozenset(
    {
        "content-length",
        "expect",
        "forwarded",
        "host",
        "proxy-authenticate",
        "te",
        "trailer",
        "upgrade",
        "via",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
    }
)
"""Request headers that no endpoint sees as sent: dropped, or made anew."""


def timeout_ms_of(integration: entities.Integration) -> int:
    """AWS: 30 seconds at most, and where nobody said."""
    return integration.timeout_ms or entities.HTTP_INTEGRATION_TIMEOUT_MAX_MS


# Functions.


def function_arn_of(uri: str, variables: Mapping[str, str]) -> str:
    """The function that a URI names, as an ARN or as API Gateway's path; "" for none."""
    uri = substitute_stage_variables(uri, variables)
    found = FUNCTION_URI.fullmatch(uri)
    if found is not None:
        return found["arn"] or ""
    return uri if ":lambda:" in uri and ":function:" in uri else ""


class FunctionIntegration:
    """Invokes a function with a proxy event and reads what it answers."""

    __slots__ = ("_function", "_make_event", "_read_answer", "_version")

    def __init__(self, function: LambdaIntegration, route: RouteConstants, version: str) -> None:
        self._function = function
        self._version = version
        if version == "2.0":
            self._make_event, self._read_answer = compile_event_two(route), read_answer_two
        else:
            self._make_event, self._read_answer = compile_event_one(route), read_answer_one

    async def send(self, request: HttpRequest) -> Response:
        """Invoke.

        AWS: API Gateway developer guide, troubleshooting Lambda integrations of HTTP APIs: what a
        function's failure is to the client is a 500, too.
        """
        event = self._make_event(request)
        recording = request.recording
        began = 0.0
        if recording is not None:
            began = recording.elapsed_s
            uri = self._function.uri
            record_integration_request(recording, uri=uri, method="POST", headers=(), body=event)
        try:
            answer = await self._function.send(
                IntegrationRequest(event, request.trace_id, checked=True)
            )
        except Refusal as refusal:
            if "permission" in refusal.message:
                hint = refusal.hint or refusal.message
                raise HttpRefusal(500, NOT_PERMITTED, hint=hint) from None
            raise of_integration(refusal) from None
        request.integration_status = answer.status
        request.integration_request_id = answer.request_id
        if recording is not None:
            record_integration_response(
                recording,
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
                latency_s=recording.elapsed_s - began,
                function_error=answer.function_error,
                request_id=answer.request_id,
            )
        if answer.function_error:
            raise function_failed(answer.body)
        response = self._read_answer(answer.body)
        if recording is not None:
            why = why_read(answer.body, self._version)
            recording.add("response_selection", status=response.status, why=why)
        return response


def compile_function(
    integration: entities.Integration,
    route: RouteConstants,
    *,
    invoker: Invoker,
    permitted: Permissions,
) -> Send:
    """Compile an integration with a function.

    AWS: a role's credentials need no permission; else the function's policy must have it, for
    `{api}/{stage}/{method}{path}` or `{api}/{stage}/$default`.
    """
    function_arn = function_arn_of(integration.integration_uri, route.variables)
    if not function_arn:
        raise Misconfigured(f"`{integration.integration_uri}` names no function")
    place = f"{route.verb}{route.resource_path}" if route.verb else route.route_key
    permit = compile_permit(
        permitted,
        function_arn,
        f"{route.api_id}/{route.stage}/{place}",
        route.scope,
        role=integration.credentials_arn,
    )
    function = LambdaIntegration(
        function_arn=function_arn,
        invoker=invoker,
        timeout_ms=timeout_ms_of(integration),
        permit=permit,
    )
    return FunctionIntegration(function, route, integration.payload_format_version).send


# HTTP endpoints.

_SEGMENT_SAFE = "-._~!$&'()*+,;=:@"


def compile_endpoint(
    integration: entities.Integration,
    route: RouteConstants,
    *,
    client: HttpClient,
    vpc_links: VpcLinks,
) -> Send:
    """Compile an integration of type HTTP_PROXY, through a VPC link or not.

    AWS: API Gateway developer guide, HTTP proxy integrations for HTTP APIs. `{name}` in the URI
    is filled by the path parameter of that name; the client's query goes on. A private
    integration gets the path that was called, its stage included, unless it is overwritten.
    Differs: a VPC link is the address that settings give it.
    """
    uri = substitute_stage_variables(integration.integration_uri, route.variables)
    if integration.connection_type == "VPC_LINK":
        make_uri = _compile_private(integration, uri, route, vpc_links)
    else:
        make_uri = _compile_address(uri)
    own_method = integration.integration_method
    own_method = "" if own_method == "ANY" else own_method
    terms = Terms(
        timeout_s=timeout_ms_of(integration) / 1000,
        answer_bytes_max=ANSWER_MAX_BYTES,
        server_name=integration.tls_server_name,
    )

    async def send(request: HttpRequest) -> Response:
        address = make_uri(request)
        if request.query:
            address = f"{address}{'&' if '?' in address else '?'}{request.query}"
        method = own_method or request.method
        answer = await _exchange(client, method, address, request, terms)
        request.integration_status = answer.status
        return Response(status=answer.status, headers=answer.headers, body=answer.body)

    return send


async def _exchange(
    client: HttpClient, method: str, address: str, request: HttpRequest, terms: Terms
) -> HttpAnswer:
    """Send a request; what keeps it from being answered is a refusal.

    AWS: 503 for what is too slow or not reached (community reports), 500 for the rest.
    """
    headers, body, recording = _sent_headers(request), request.body, request.recording
    began = 0.0
    if recording is not None:
        began = recording.elapsed_s
        record_integration_request(
            recording, uri=address, method=method, headers=headers, body=body
        )
    try:
        answer = await client.send(method, address, headers, body, terms)
    except TimeoutError:
        hint = f"the endpoint took longer than {terms.timeout_s:g} s"
        raise HttpRefusal(503, "Endpoint request timed out", hint=hint) from None
    except NetworkError as error:
        message = "Network error communicating with endpoint"
        raise HttpRefusal(503, message, hint=error.message) from None
    except AddressError as error:
        raise HttpRefusal(500, "Invalid endpoint address", hint=error.message) from None
    except TooLargeError as error:
        raise HttpRefusal(500, error.message) from None
    if recording is not None:
        record_integration_response(
            recording,
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            latency_s=recording.elapsed_s - began,
        )
    return answer


def _sent_headers(request: HttpRequest) -> list[tuple[str, str]]:
    """AWS: `X-Forwarded-...` become one `Forwarded`; `Host` is the endpoint's own."""
    headers = [pair for pair in request.headers.items() if pair[0] not in _DROPPED]
    if isinstance(request.cookies, list):
        headers.append(("cookie", "; ".join(request.cookies)))
    forwarded = f"by=127.0.0.1;for={request.source_ip};host={request.host};proto=https"
    before = request.headers.get("forwarded")
    headers.append(("forwarded", f"{before}, {forwarded}" if before else forwarded))
    headers.append(("via", _VIA))
    return headers


MakeAddress = Callable[[HttpRequest], str]


def _compile_address(uri: str) -> MakeAddress:
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Misconfigured(f"`{uri}` is no address of an HTTP endpoint")
    origin = f"{parts.scheme}://{parts.netloc}"
    pieces = uri.replace("+}", "}").replace("{", "}").split("}")
    literal = len(pieces) == 1

    def make(request: HttpRequest) -> str:
        if request.path_overwritten:
            return origin + request.raw_path
        if literal:
            return uri
        return "".join(
            quote(request.path_parameters.get(piece, ""), safe=f"{_SEGMENT_SAFE}/")
            if index % 2
            else piece
            for index, piece in enumerate(pieces)
        )

    return make


def _compile_private(
    integration: entities.Integration, uri: str, route: RouteConstants, links: VpcLinks
) -> MakeAddress:
    connection_id = substitute_stage_variables(integration.connection_id, route.variables)
    address = links.address(connection_id, route.scope).rstrip("/")
    if not address:
        raise Misconfigured(
            f"VPC link `{connection_id}` leads nowhere; the setting `vpc_links` names its address"
        )
    if "://" not in address:
        secure = uri.startswith("https:") or bool(integration.tls_server_name)
        address = f"{'https' if secure else 'http'}://{address}"
    return lambda request: address + request.raw_path
