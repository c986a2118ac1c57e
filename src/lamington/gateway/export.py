"""A deployed REST API to the Swagger 2.0 or OpenAPI 3.0 definition that GetExport answers.

The reverse of `openapi`: what is exported with its extensions can be imported again and is the
same API. Left to others: which stage, and JSON or YAML (`operations`).
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal

import msgspec

from lamington.core.aws import Scope
from lamington.gateway.definition_schemas import MODEL_PLACE
from lamington.gateway.definition_values import PASSTHROUGH_TEMPLATE
from lamington.gateway.documentation import DOCUMENTATION, export_parts
from lamington.gateway.entities import (
    ANY,
    Authorizer,
    Method,
    MethodIntegration,
    MethodResponseDefinition,
    RestApi,
    Stage,
)
from lamington.gateway.openapi import ANY_METHOD, INTEGRATION, JSON_MEDIA_TYPE
from lamington.gateway.security import AUTHORIZER

SIGV4_SCHEME = "sigv4"
API_KEY_SCHEME = "api_key"

_PLACES = {"header": "header", "querystring": "query", "path": "path"}


ExportForm = Literal["swagger", "oas30"]

EXTENSIONS = ("integrations", "apigateway", "authorizers", "documentation", "postman")
"""What an export may be asked to have beyond the bare definition."""


def export_definition(
    api: RestApi, stage: Stage, scope: Scope, *, form: ExportForm, extensions: Collection[str]
) -> dict[str, Any]:
    """The definition of an API as a stage serves it.

    AWS: host, base path and scheme are the stage's; enumeration values are in lower case; the
    documentation is that of the version which the stage shows (developer guide, export a REST
    API).
    Differs: `postman` adds nothing, since no record of what AWS adds is known.
    """
    names = {each.authorizer_id: each.name for each in api.authorizers.values()}
    whole = "apigateway" in extensions
    integrations = whole or "integrations" in extensions
    exporter = _Exporter(
        api,
        names,
        is_swagger=form == "swagger",
        integrations=integrations,
        authorizers=whole or "authorizers" in extensions,
    )
    paths: dict[str, Any] = {}
    for resource in sorted(api.resources.values(), key=lambda each: each.path):
        if resource.methods:
            paths[resource.path] = {
                ANY_METHOD if verb == ANY else verb.lower(): exporter.operation(method)
                for verb, method in sorted(resource.methods.items())
            }
    info = _set(description=api.description, version=version_of(api), title=api.name)
    host = f"{api.api_id}.execute-api.{scope.region}.{scope.url_suffix}"
    schemes = exporter.schemes()
    models = {name: exporter.schema(name) for name in sorted(api.models)}
    document: dict[str, Any]
    if form == "swagger":
        document = {
            "swagger": "2.0",
            "info": info,
            "host": host,
            "basePath": f"/{stage.stage_name}",
            "schemes": ["https"],
            "paths": paths,
            **_set(securityDefinitions=schemes, definitions=models),
        }
    else:
        base_path = {"basePath": {"default": f"/{stage.stage_name}"}}
        server: dict[str, Any] = {"url": f"https://{host}/{{basePath}}", "variables": base_path}
        if integrations:
            server |= _endpoint_extensions(api)
        document = {
            "openapi": "3.0.1",
            "info": info,
            "servers": [server],
            "paths": paths,
            "components": _set(schemas=models, securitySchemes=schemes),
        }
    if integrations:
        document |= _root_extensions(api)
        document |= _endpoint_extensions(api) if form == "swagger" else {}
    version = api.documentation_versions.get(stage.documentation_version)
    if version is not None and (whole or "documentation" in extensions):
        document[DOCUMENTATION] = export_parts(version.parts, version.version, version.created)
    return document


def version_of(api: RestApi) -> str:
    """The version of an API; one that has none has the time of its making."""
    return api.version or api.created


class _Exporter:
    """Writes the parts of one definition, in the words of its form."""

    def __init__(
        self,
        api: RestApi,
        names: Mapping[str, str],
        *,
        is_swagger: bool,
        integrations: bool,
        authorizers: bool,
    ) -> None:
        self._api = api
        self._names = names
        self._is_swagger = is_swagger
        self._models = "#/definitions/" if is_swagger else "#/components/schemas/"
        self._integrations = integrations
        self._authorizers = authorizers
        self._place = MODEL_PLACE.format(api_id=api.api_id)

    def operation(self, method: Method) -> dict[str, Any]:
        parameters: list[dict[str, Any]] = [
            {"name": name, "in": _PLACES[place], "required": required, **self._text}
            for (place, name), required in (
                (tuple(key.removeprefix("method.request.").split(".", 1)), required)
                for key, required in method.request_parameters.items()
            )
        ]
        validator = self._api.request_validators.get(method.request_validator_id)
        operation = _set(operationId=method.operation_name)
        if self._is_swagger:
            operation |= self._swagger_payloads(method, parameters)
        else:
            operation |= _set(
                parameters=parameters, requestBody=self._request_body(method.request_models)
            )
        operation["responses"] = {
            each.status_code: self._response(each) for each in method.responses
        }
        operation |= _set(security=self._security(method))
        if self._integrations:
            if validator is not None:
                operation["x-amazon-apigateway-request-validator"] = validator.name
            if method.integration is not None:
                operation[INTEGRATION] = _integration(method.integration)
        return operation

    @property
    def _text(self) -> dict[str, Any]:
        """How the form says that something is text."""
        return {"type": "string"} if self._is_swagger else {"schema": {"type": "string"}}

    def _swagger_payloads(self, method: Method, parameters: list[Any]) -> dict[str, Any]:
        for name in dict.fromkeys(method.request_models.values()):
            schema = {"$ref": f"{self._models}{name}"}
            parameters.append({"in": "body", "name": name, "required": True, "schema": schema})
        produces = dict.fromkeys(
            media_type for each in method.responses for media_type in each.response_models
        )
        return _set(
            consumes=list(method.request_models), produces=list(produces), parameters=parameters
        )

    def _request_body(self, models: Mapping[str, str]) -> dict[str, Any]:
        return {"content": self._content(models), "required": True} if models else {}

    def _content(self, models: Mapping[str, str]) -> dict[str, Any]:
        return {
            media_type: {"schema": {"$ref": f"{self._models}{name}"}}
            for media_type, name in models.items()
        }

    def _response(self, response: MethodResponseDefinition) -> dict[str, Any]:
        headers = {
            name.removeprefix("method.response.header."): dict(self._text)
            for name in response.response_parameters
        }
        models = response.response_models
        payload = (
            _set(schema=self._reference(models))
            if self._is_swagger
            else {"content": self._content(models)}
        )
        return {
            "description": f"{response.status_code} response",
            **_set(headers=headers),
            **payload,
        }

    def _reference(self, models: Mapping[str, str]) -> dict[str, str] | None:
        """Swagger has one schema for a response: that of JSON, or the first."""
        name = models.get(JSON_MEDIA_TYPE) or next(iter(models.values()), "")
        return {"$ref": f"{self._models}{name}"} if name else None

    def _security(self, method: Method) -> list[dict[str, list[str]]]:
        found = []
        if method.authorization_type == "AWS_IAM":
            found.append({SIGV4_SCHEME: list[str]()})
        elif method.authorizer_id in self._names:
            scopes = list(method.authorization_scopes)
            found.append({self._names[method.authorizer_id]: scopes})
        if method.api_key_required:
            found.append({API_KEY_SCHEME: []})
        return found

    def schemes(self) -> dict[str, Any]:
        """The security schemes that the methods use, and every authorizer."""
        methods = [it for each in self._api.resources.values() for it in each.methods.values()]
        schemes: dict[str, Any] = {}
        if any(method.authorization_type == "AWS_IAM" for method in methods):
            schemes[SIGV4_SCHEME] = {
                "type": "apiKey",
                "name": "Authorization",
                "in": "header",
                "x-amazon-apigateway-authtype": "awsSigv4",
            }
        if any(method.api_key_required for method in methods):
            schemes[API_KEY_SCHEME] = {"type": "apiKey", "name": "x-api-key", "in": "header"}
        for each in self._api.authorizers.values():
            schemes[each.name] = {"type": "apiKey", "name": _token_header(each), "in": "header"}
            if self._authorizers:
                schemes[each.name] |= _set(**{"x-amazon-apigateway-authtype": each.auth_type})
                schemes[each.name][AUTHORIZER] = each.definition
        return schemes

    def schema(self, name: str) -> Any:
        text = self._api.models[name].schema.replace(self._place, self._models)
        return msgspec.json.decode(text or "{}")


def _token_header(authorizer: Authorizer) -> str:
    """The header that a scheme is to name: the token's, or `Unused` where there is no one token."""
    header = "method.request.header."
    source = str(authorizer.definition.get("identitySource") or f"{header}Authorization")
    if authorizer.type == "REQUEST" or not source.startswith(header) or "," in source:
        return "Unused"
    return source.removeprefix(header)


def _integration(integration: MethodIntegration) -> dict[str, Any]:
    found: dict[str, Any] = _set(
        type=integration.type.lower(),
        httpMethod=integration.http_method,
        uri=integration.uri,
        credentials=integration.credentials,
        connectionType=integration.connection_type,
        connectionId=integration.connection_id,
        responses={
            each.selection_pattern or "default": _set(
                statusCode=each.status_code,
                responseParameters=each.response_parameters,
                responseTemplates=_templates(each.response_templates),
                contentHandling=each.content_handling,
            )
            for each in integration.responses
        },
        requestParameters=integration.request_parameters,
        requestTemplates=_templates(integration.request_templates),
        passthroughBehavior=integration.passthrough_behavior.lower(),
        timeoutInMillis=integration.timeout_ms,
        contentHandling=integration.content_handling,
        cacheNamespace=integration.cache_namespace,
        cacheKeyParameters=list(integration.cache_key_parameters),
        integrationTarget=integration.integration_target,
    )
    if integration.insecure_skip_verification:
        found["tlsConfig"] = {"insecureSkipVerification": True}
    if integration.response_transfer_mode != "BUFFERED":
        found["responseTransferMode"] = integration.response_transfer_mode
    return found


def _endpoint_extensions(api: RestApi) -> dict[str, Any]:
    """What stands at the root of Swagger 2.0 and within the server of OpenAPI 3.0."""
    endpoint = _set(
        disableExecuteApiEndpoint=api.disable_execute_api_endpoint or None,
        vpcEndpointIds=list(api.vpc_endpoint_ids),
        ipAddressType=api.ip_address_type,
    )
    return _extensions(
        {
            "endpoint-configuration": endpoint,
            "endpoint-access-mode": api.endpoint_access_mode,
            "security-policy": api.security_policy,
        }
    )


def _extensions(values: Mapping[str, Any]) -> dict[str, Any]:
    return _set(**{f"x-amazon-apigateway-{name}": value for name, value in values.items()})


def _root_extensions(api: RestApi) -> dict[str, Any]:
    extensions = {
        "gateway-responses": {
            each.response_type: _set(
                statusCode=each.status_code,
                responseParameters=each.response_parameters,
                responseTemplates=each.response_templates,
            )
            for each in api.gateway_responses.values()
        },
        "request-validators": {
            each.name: {
                "validateRequestBody": each.validate_body,
                "validateRequestParameters": each.validate_parameters,
            }
            for each in api.request_validators.values()
        },
        "binary-media-types": list(api.binary_media_types),
        "minimum-compression-size": api.minimum_compression_size,
        "api-key-source": None if api.api_key_source == "HEADER" else api.api_key_source,
        "policy": msgspec.json.decode(api.policy) if api.policy else None,
    }
    return _extensions(extensions)


def _templates(templates: Mapping[str, str]) -> dict[str, str]:
    return {media_type: text or PASSTHROUGH_TEMPLATE for media_type, text in templates.items()}


def _set(**members: Any) -> dict[str, Any]:
    """The members that are not empty."""
    return {name: value for name, value in members.items() if value not in (None, "", [], {})}
