"""An HTTP API to the OpenAPI 3.0 definition that ExportApi answers.

The reverse of `definition`: what is exported with its extensions can be imported again and is the
same API. Left to others: which API, as it is or as a stage serves it (`operations`).
"""

from collections import Counter
from typing import Any

import msgspec
import yaml

from lamington.core.aws import Scope
from lamington.gateway.entities import ANY
from lamington.gateway.openapi import ANY_METHOD, INTEGRATION
from lamington.gateway.security import AUTHORIZER
from lamington.gateway.v2.definition import CORS, ENDPOINT, INTEGRATIONS, TAG_VALUE, VERSION
from lamington.gateway.v2.entities import (
    DEFAULT_ROUTE,
    DEFAULT_STAGE,
    HTTP_INTEGRATION_TIMEOUT_MAX_MS,
    Api,
    Authorizer,
    Cors,
    Integration,
    Route,
)

DEFAULT_PATH = "/$default"


def export_definition(
    api: Api, stage_name: str, scope: Scope, *, with_extensions: bool
) -> dict[str, Any]:
    """The definition of an API; `stage_name` is that of the server's base path, "" for none.

    AWS: enumeration values are in lower case; the `$default` route is the path `/$default`
    (developer guide, HTTP API export).
    Differs: an integration that several routes lead to is a component that they refer to.
    """
    exporter = _Exporter(api)
    paths: dict[str, Any] = {}
    for route in sorted(api.routes.values(), key=_place):
        path, key = _place(route)
        if key == ANY_METHOD and not with_extensions:
            continue
        paths.setdefault(path, {})[key] = exporter.operation(route, with_extensions)
    document: dict[str, Any] = {
        "openapi": "3.0.1",
        "info": _set(title=api.name, description=api.description),
        "servers": [_server(api, stage_name, scope)],
        "paths": paths,
    }
    document["info"]["version"] = api.version or api.created
    if api.tags:
        document["tags"] = [
            {"name": name, **({TAG_VALUE: value} if with_extensions else {})}
            for name, value in api.tags.items()
        ]
    components = exporter.components(with_extensions)
    if components:
        document["components"] = components
    if with_extensions:
        if api.cors is not None:
            document[CORS] = _cors(api.cors)
        document[VERSION] = "1.0"
    else:
        document["servers"][0].pop(ENDPOINT, None)
    return document


def render_definition(document: dict[str, Any], as_yaml: bool) -> bytes:
    """The text of a definition, in the order in which it was made."""
    if as_yaml:
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _place(route: Route) -> tuple[str, str]:
    """The path and the key within it that a route has in a definition."""
    if route.route_key == DEFAULT_ROUTE:
        return DEFAULT_PATH, ANY_METHOD
    verb, _, path = route.route_key.partition(" ")
    return path, ANY_METHOD if verb == ANY else verb.lower()


def _server(api: Api, stage_name: str, scope: Scope) -> dict[str, Any]:
    host = f"https://{api.api_id}.execute-api.{scope.region}.{scope.url_suffix}"
    server: dict[str, Any] = {"url": host}
    if stage_name and stage_name != DEFAULT_STAGE:
        server["url"] = f"{host}/{{basePath}}"
        server["variables"] = {"basePath": {"default": stage_name}}
    endpoint = _set(
        disableExecuteApiEndpoint=api.disable_execute_api_endpoint or None,
        ipAddressType=None if api.ip_address_type == "ipv4" else api.ip_address_type,
    )
    if endpoint:
        server[ENDPOINT] = endpoint
    return server


class _Exporter:
    def __init__(self, api: Api) -> None:
        self._api = api
        uses = Counter(route.integration_id for route in api.routes.values() if route.target)
        self._shared = {each for each, count in uses.items() if count > 1}

    def operation(self, route: Route, with_extensions: bool) -> dict[str, Any]:
        operation = _set(operationId=route.operation_name, parameters=_parameters(route))
        operation["responses"] = {
            "default": {"description": f"Default response for {route.route_key}"}
        }
        authorizer = self._api.authorizers.get(route.authorizer_id)
        if authorizer is not None:
            operation["security"] = [{authorizer.name: list(route.authorization_scopes)}]
        if not with_extensions:
            return operation
        if route.authorization_type == "AWS_IAM":
            operation["x-amazon-apigateway-auth"] = {"type": "AWS_IAM"}
        if route.route_key == DEFAULT_ROUTE:
            operation["isDefaultRoute"] = True
        if route.integration_id in self._shared:
            reference = f"#/components/{INTEGRATIONS}/{route.integration_id}"
            operation[INTEGRATION] = {"$ref": reference}
        elif route.target:
            operation[INTEGRATION] = _integration(self._api.integrations[route.integration_id])
        return operation

    def components(self, with_extensions: bool) -> dict[str, Any]:
        shared = {each: _integration(self._api.integrations[each]) for each in sorted(self._shared)}
        return _set(
            schemas={
                each.name: msgspec.json.decode(each.schema or "{}")
                for each in sorted(self._api.models.values(), key=lambda each: each.name)
            },
            securitySchemes={
                each.name: _scheme(each, with_extensions) for each in self._api.authorizers.values()
            },
            **({INTEGRATIONS: shared} if with_extensions else {}),
        )


def _parameters(route: Route) -> list[dict[str, Any]]:
    """AWS: each variable of a path is declared, the sign of a greedy one included."""
    names = [part[1:-1] for part in _place(route)[0].split("/") if part.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "description": f"Generated path parameter for {name}",
            "required": True,
            "schema": {"type": "string"},
        }
        for name in names
    ]


def _scheme(authorizer: Authorizer, with_extensions: bool) -> dict[str, Any]:
    scheme: dict[str, Any] = (
        {"type": "oauth2", "flows": {}}
        if authorizer.authorizer_type == "JWT"
        else {"type": "apiKey", "name": "Authorization", "in": "header"}
    )
    if with_extensions:
        scheme[AUTHORIZER] = _set(
            type=authorizer.authorizer_type.lower(),
            identitySource=",".join(authorizer.identity_source),
            authorizerUri=authorizer.authorizer_uri,
            authorizerCredentials=authorizer.credentials_arn,
            authorizerPayloadFormatVersion=authorizer.payload_format_version,
            authorizerResultTtlInSeconds=authorizer.result_ttl_s,
            enableSimpleResponses=authorizer.enable_simple_responses or None,
            jwtConfiguration=_set(
                audience=list(authorizer.jwt_audience), issuer=authorizer.jwt_issuer
            ),
        )
    return scheme


def _integration(integration: Integration) -> dict[str, Any]:
    return _set(
        payloadFormatVersion=integration.payload_format_version,
        type=integration.integration_type.lower(),
        integrationSubtype=integration.integration_subtype,
        httpMethod=integration.integration_method,
        uri=integration.integration_uri,
        credentials=integration.credentials_arn,
        description=integration.description,
        connectionType=integration.connection_type,
        connectionId=integration.connection_id,
        requestParameters=integration.request_parameters,
        responseParameters=integration.response_parameters,
        timeoutInMillis=integration.timeout_ms or HTTP_INTEGRATION_TIMEOUT_MAX_MS,
        tlsConfig=_set(serverNameToVerify=integration.tls_server_name),
    )


def _cors(cors: Cors) -> dict[str, Any]:
    return _set(
        allowOrigins=list(cors.allow_origins),
        allowMethods=list(cors.allow_methods),
        allowHeaders=list(cors.allow_headers),
        exposeHeaders=list(cors.expose_headers),
        maxAge=cors.max_age_s,
        allowCredentials=cors.allow_credentials or None,
    )


def _set(**members: Any) -> dict[str, Any]:
    """The members that are not empty."""
    return {name: value for name, value in members.items() if value not in (None, "", [], {})}
