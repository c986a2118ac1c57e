"""HTTP endpoints and AWS services behind the routes of WebSocket APIs.

What is sent is made whole here; connections are `http_client`'s.

Differs: VPC links are not followed: the endpoint is called by the address that the route names.
"""

import re
from collections.abc import Callable
from urllib.parse import quote, urlencode

from lamington.core.aws import Scope
from lamington.gateway import entities as rest
from lamington.gateway.http_client import HttpClient, Terms
from lamington.gateway.http_integrations import ANSWER_MAX_BYTES, HttpIntegration
from lamington.gateway.integrations import IntegrationRequest, Misconfigured
from lamington.gateway.mapping import receive_headers
from lamington.gateway.service_addresses import (
    SERVICE_URI,
    compile_action,
    compile_path,
    service_of,
)
from lamington.gateway.service_integrations import (
    ServiceIntegration,
    ServiceParts,
    endpoint_of,
)
from lamington.gateway.v2 import entities
from lamington.gateway.v2.websocket.exchange import Exchange

_PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")
_PROXY_DROPPED = frozenset({"host", "content-length"})

Complete = Callable[[Exchange, IntegrationRequest], IntegrationRequest]
"""Makes a mapped request one that can be sent as HTTP."""


def endpoint(client: HttpClient, integration: entities.Integration) -> HttpIntegration:
    """What sends the requests of one integration."""
    limit_ms = integration.timeout_ms or entities.WEBSOCKET_INTEGRATION_TIMEOUT_MAX_MS
    return HttpIntegration(
        client, Terms(timeout_s=limit_ms / 1000, answer_bytes_max=ANSWER_MAX_BYTES)
    )


def compile_completion(integration: entities.Integration, uri: str) -> Complete:
    """Compile the making of an HTTP request: address, query and headers.

    AWS: a proxy passes on the headers and the query string of the handshake; requests carry the
    API's id (recorded).
    """
    method = integration.integration_method or "POST"
    proxy = integration.integration_type == "HTTP_PROXY"

    def complete(exchange: Exchange, request: IntegrationRequest) -> IntegrationRequest:
        parameters = request.parameters
        headers = {
            "User-Agent": f"AmazonAPIGateway_{exchange.client.api_id}",
            "X-Amzn-Apigateway-Api-Id": exchange.client.api_id,
            "X-Amzn-Trace-Id": exchange.trace_id,
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        query = urlencode(parameters.query)
        if proxy and exchange.request is not None:
            sent, _ = receive_headers(
                exchange.request.headers.fields, exchange.client.source_ip, exchange.trace_id
            )
            headers = {k: v for k, v in sent.items() if k.lower() not in _PROXY_DROPPED}
            query = "&".join(filter(None, (exchange.request.query, query)))
        for name, value in parameters.headers.items():
            headers = {k: v for k, v in headers.items() if k.lower() != name.lower()}
            headers[name] = value
        address = _PLACEHOLDER.sub(
            lambda found: quote(parameters.path.get(found[1], ""), safe=""), uri
        )
        if query:
            address = f"{address}{'&' if '?' in address else '?'}{query}"
        return IntegrationRequest(
            b"" if method in ("GET", "HEAD") else request.body,
            request.trace_id,
            method=method,
            uri=address,
            headers=tuple(headers.items()),
        )

    return complete


def compile_service_call(
    integration: entities.Integration, uri: str, scope: Scope, parts: ServiceParts
) -> tuple[ServiceIntegration, Complete]:
    """Compile a call of an AWS service, by action or by path; raises Misconfigured.

    AWS: API Gateway developer guide, WebSocket APIs, AWS integrations: they need a role.
    """
    found = SERVICE_URI.fullmatch(uri)
    if found is None:
        raise Misconfigured("AWS ARN for integration must contain path or action")
    if not integration.credentials_arn:
        raise Misconfigured("Role ARN must be specified for AWS integrations")
    service = service_of(found["name"], found["region"] or scope.region)
    by_action = found["kind"] == "action"
    action = re.split("[&?]", found["rest"], maxsplit=1)[0] if by_action else ""
    limit_ms = integration.timeout_ms or entities.WEBSOCKET_INTEGRATION_TIMEOUT_MAX_MS
    described = rest.MethodIntegration(
        type="AWS", http_method=integration.integration_method or "POST", uri=uri
    )
    compile_address = compile_action if by_action else compile_path
    make_address = compile_address(service, found["rest"], described)
    backend = ServiceIntegration(
        parts,
        service,
        action=action,
        role=integration.credentials_arn,
        endpoint=endpoint_of(found["name"], service, action, parts),
        timeout_s=limit_ms / 1000,
        scope=scope,
    )

    def complete(exchange: Exchange, request: IntegrationRequest) -> IntegrationRequest:
        address = make_address(request)
        query = f"?{address.query}" if address.query else ""
        headers = {
            "content-type": ("Content-Type", "application/json"),
            "accept": ("Accept", "application/json"),
            "user-agent": ("User-Agent", f"AmazonAPIGateway_{exchange.client.api_id}"),
        }
        for name, value in (*address.headers, *request.parameters.headers.items()):
            headers[name.lower()] = (name, value)
        return IntegrationRequest(
            b"" if address.method in ("GET", "HEAD") else request.body,
            request.trace_id,
            method=address.method,
            uri=f"https://{service.host}{address.path}{query}",
            headers=tuple(headers.values()),
        )

    return backend, complete
