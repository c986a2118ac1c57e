"""The API Gateway operations that make and show resources, methods, integrations, their responses.

Left to others: to change these (`changes`), models (`models`), the API as a whole (`rest_apis`),
and what a stage serves (`stages`): nothing here changes what answers until the API is deployed.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids
from lamington.gateway.entities import (
    AUTHORIZATION_TYPES,
    INTEGRATION_TIMEOUT_DEFAULT_MS,
    BadRequestException,
    ConflictException,
    IntegrationResponse,
    Method,
    MethodIntegration,
    MethodResponseDefinition,
    NotFoundException,
    Resource,
    RestApi,
)
from lamington.gateway.operations.tables import (
    GatewayTables,
    listing,
    require_method,
    require_resource,
)
from lamington.gateway.results import shown
from lamington.gateway.rules import (
    require_integration,
    require_integration_response,
    require_place,
    require_request_parameters,
    require_response_parameters,
    require_status_code,
    require_templates,
    require_unique_names,
    require_verb,
)
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, ServiceQuotas, require_room

ByStatus = TypeVar("ByStatus", MethodResponseDefinition, IntegrationResponse)


class MethodOperations:
    """What AWS's API says of the inside of a REST API."""

    def __init__(
        self,
        *,
        tables: GatewayTables,
        ids: Ids,
        timeout_max_ms: int = INTEGRATION_TIMEOUT_DEFAULT_MS,
        quotas: ServiceQuotas = DEFAULT_QUOTAS,
    ) -> None:
        """`timeout_max_ms` is the quota of integrations that are not streamed."""
        self._timeout_max_ms = timeout_max_ms
        self._quotas = quotas
        self._tables = tables
        self._ids = ids

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:GetResources": self.get_resources,
            "apigateway:GetResource": self.get_resource,
            "apigateway:CreateResource": self.create_resource,
            "apigateway:DeleteResource": self.delete_resource,
            "apigateway:PutMethod": self.put_method,
            "apigateway:GetMethod": self.get_method,
            "apigateway:DeleteMethod": self.delete_method,
            "apigateway:PutMethodResponse": self.put_method_response,
            "apigateway:GetMethodResponse": self.get_method_response,
            "apigateway:DeleteMethodResponse": self.delete_method_response,
            "apigateway:PutIntegration": self.put_integration,
            "apigateway:GetIntegration": self.get_integration,
            "apigateway:DeleteIntegration": self.delete_integration,
            "apigateway:PutIntegrationResponse": self.put_integration_response,
            "apigateway:GetIntegrationResponse": self.get_integration_response,
            "apigateway:DeleteIntegrationResponse": self.delete_integration_response,
        }

    # Resources

    async def get_resources(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        whole = "methods" in (params.get("embed") or ())
        return listing(
            params,
            [(each.path, each) for each in api.resources.values()],
            lambda each: resource_result(each, whole),
        )

    async def get_resource(self, params: Params, scope: Scope) -> Result:
        _, resource = self._resource(params, scope)
        return resource_result(resource, "methods" in (params.get("embed") or ()))

    async def create_resource(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        parent = require_resource(api, params["parentId"])
        path_part = params["pathPart"]
        siblings = (it for it in api.resources.values() if it.parent_id == parent.resource_id)
        require_place(parent, path_part, siblings)
        resource = Resource(
            resource_id=self._ids.token(6),
            parent_id=parent.resource_id,
            path_part=path_part,
            path=f"{parent.path.rstrip('/')}/{path_part}",
        )
        require_room(len(api.resources), self._quotas.resources_per_api, "Resources")
        self._put_resource(api, resource, scope)
        return resource_result(resource, whole=False)

    async def delete_resource(self, params: Params, scope: Scope) -> Result:
        """Delete a resource and all below it."""
        api, resource = self._resource(params, scope)
        if resource.path == "/":
            raise BadRequestException("Root resource cannot be deleted")
        kept = {
            each.resource_id: each
            for each in api.resources.values()
            if each.path != resource.path and not each.path.startswith(f"{resource.path}/")
        }
        self._tables.apis.put(scope, replace(api, resources=kept))
        return {}

    # Methods

    async def put_method(self, params: Params, scope: Scope) -> Result:
        api, resource = self._resource(params, scope)
        verb = require_verb(params["httpMethod"])
        if verb in resource.methods:
            raise ConflictException("Method already exists for this resource")
        authorization = params["authorizationType"].upper()
        if authorization not in AUTHORIZATION_TYPES:
            raise BadRequestException(
                "Invalid authorization type specified. Valid options are "
                f"{', '.join(AUTHORIZATION_TYPES)}"
            )
        authorizer_id = params.get("authorizerId") or ""
        require_authorizer(api, authorization, authorizer_id)
        validator_id = params.get("requestValidatorId") or ""
        if validator_id and validator_id not in api.request_validators:
            raise BadRequestException("Invalid Request Validator identifier specified")
        parameters = dict(params.get("requestParameters") or {})
        require_request_parameters(parameters)
        require_unique_names(parameters)
        method = Method(
            http_method=verb,
            authorization_type=authorization,
            authorizer_id=authorizer_id,
            authorization_scopes=tuple(params.get("authorizationScopes") or ()),
            api_key_required=bool(params.get("apiKeyRequired")),
            operation_name=params.get("operationName") or "",
            request_parameters=parameters,
            request_models=require_models(api, params.get("requestModels")),
            request_validator_id=validator_id,
        )
        self._put_method(api, resource, method, scope)
        return method_result(method, resource)

    async def get_method(self, params: Params, scope: Scope) -> Result:
        _, resource, method = self._method(params, scope)
        return method_result(method, resource)

    async def delete_method(self, params: Params, scope: Scope) -> Result:
        api, resource, method = self._method(params, scope)
        methods = dict(resource.methods)
        del methods[method.http_method]
        self._put_resource(api, replace(resource, methods=methods), scope)
        return {}

    async def put_method_response(self, params: Params, scope: Scope) -> Result:
        api, resource, method = self._method(params, scope)
        status = require_status_code(params["statusCode"])
        if _of_status(method.responses, status) is not None:
            raise ConflictException("Response already exists for this resource")
        parameters = dict(params.get("responseParameters") or {})
        require_response_parameters(parameters)
        response = MethodResponseDefinition(
            status_code=status,
            response_parameters=parameters,
            response_models=require_models(api, params.get("responseModels")),
        )
        responses = (*method.responses, response)
        self._put_method(api, resource, replace(method, responses=responses), scope)
        return method_response_result(response)

    async def get_method_response(self, params: Params, scope: Scope) -> Result:
        _, _, method = self._method(params, scope)
        return method_response_result(_require_status(method.responses, params["statusCode"]))

    async def delete_method_response(self, params: Params, scope: Scope) -> Result:
        api, resource, method = self._method(params, scope)
        gone = _require_status(method.responses, params["statusCode"])
        kept = tuple(each for each in method.responses if each is not gone)
        self._put_method(api, resource, replace(method, responses=kept), scope)
        return {}

    # Integrations

    async def put_integration(self, params: Params, scope: Scope) -> Result:
        """Put what stands behind a method in place of what stood there, with no responses yet."""
        api, resource, method = self._method(params, scope)
        kind = params["type"]
        timeout_ms = params.get("timeoutInMillis")
        integration = MethodIntegration(
            type=kind,
            uri=params.get("uri") or "",
            http_method=(params.get("integrationHttpMethod") or "").upper(),
            credentials=params.get("credentials") or "",
            passthrough_behavior=(params.get("passthroughBehavior") or "WHEN_NO_MATCH").upper(),
            request_parameters=dict(params.get("requestParameters") or {}),
            request_templates=_templates(params.get("requestTemplates")),
            content_handling=params.get("contentHandling") or "",
            timeout_ms=INTEGRATION_TIMEOUT_DEFAULT_MS if timeout_ms is None else timeout_ms,
            cache_key_parameters=tuple(params.get("cacheKeyParameters") or ()),
            cache_namespace=params.get("cacheNamespace") or "",
            connection_type=params.get("connectionType")
            or ("INTERNET" if kind.startswith("HTTP") else ""),
            connection_id=params.get("connectionId") or "",
            insecure_skip_verification=bool(
                (params.get("tlsConfig") or {}).get("insecureSkipVerification")
            ),
            response_transfer_mode=params.get("responseTransferMode") or "BUFFERED",
            integration_target=params.get("integrationTarget") or "",
        )
        require_integration(integration, method, self._timeout_max_ms)
        self._put_method(api, resource, replace(method, integration=integration), scope)
        return integration_result(integration, resource)

    async def get_integration(self, params: Params, scope: Scope) -> Result:
        _, resource, method = self._method(params, scope)
        return integration_result(_require_integration_of(method), resource)

    async def delete_integration(self, params: Params, scope: Scope) -> Result:
        api, resource, method = self._method(params, scope)
        _require_integration_of(method)
        self._put_method(api, resource, replace(method, integration=None), scope)
        return {}

    async def put_integration_response(self, params: Params, scope: Scope) -> Result:
        """Put the response of a status, in place of the one that the status had.

        AWS: patterns are tried in no stated order.
        Differs: they are tried in the order in which they were put.
        """
        api, resource, method = self._method(params, scope)
        integration = _require_integration_of(method)
        status = require_status_code(params["statusCode"])
        declared = _of_status(method.responses, status)
        if declared is None:
            raise NotFoundException("Invalid Response status code specified")
        parameters = dict(params.get("responseParameters") or {})
        require_integration_response(parameters, declared)
        require_templates(params.get("responseTemplates") or {})
        response = IntegrationResponse(
            status_code=status,
            selection_pattern=params.get("selectionPattern") or "",
            response_parameters=parameters,
            response_templates=_templates(params.get("responseTemplates")),
            content_handling=params.get("contentHandling") or "",
        )
        kept = tuple(each for each in integration.responses if each.status_code != status)
        changed = replace(integration, responses=(*kept, response))
        self._put_method(api, resource, replace(method, integration=changed), scope)
        return integration_response_result(response)

    async def get_integration_response(self, params: Params, scope: Scope) -> Result:
        _, _, method = self._method(params, scope)
        responses = _require_integration_of(method).responses
        return integration_response_result(_require_status(responses, params["statusCode"]))

    async def delete_integration_response(self, params: Params, scope: Scope) -> Result:
        api, resource, method = self._method(params, scope)
        integration = _require_integration_of(method)
        gone = _require_status(integration.responses, params["statusCode"])
        kept = tuple(each for each in integration.responses if each is not gone)
        changed = replace(integration, responses=kept)
        self._put_method(api, resource, replace(method, integration=changed), scope)
        return {}

    # Finding and putting back

    def _resource(self, params: Params, scope: Scope) -> tuple[RestApi, Resource]:
        api = self._tables.require_api(scope, params["restApiId"])
        return api, require_resource(api, params["resourceId"])

    def _method(self, params: Params, scope: Scope) -> tuple[RestApi, Resource, Method]:
        api, resource = self._resource(params, scope)
        return api, resource, require_method(resource, params["httpMethod"])

    def _put_resource(self, api: RestApi, resource: Resource, scope: Scope) -> None:
        resources = {**api.resources, resource.resource_id: resource}
        self._tables.apis.put(scope, replace(api, resources=resources))

    def _put_method(self, api: RestApi, resource: Resource, method: Method, scope: Scope) -> None:
        methods = {**resource.methods, method.http_method: method}
        self._put_resource(api, replace(resource, methods=methods), scope)


def resource_result(resource: Resource, whole: bool) -> Result:
    """A resource as AWS shows it: of each method the name only, or all of it."""
    return shown(
        {
            "id": resource.resource_id,
            "parentId": resource.parent_id,
            "pathPart": resource.path_part,
            "path": resource.path,
            "resourceMethods": {
                verb: method_result(method, resource) if whole else {}
                for verb, method in resource.methods.items()
            },
        }
    )


def method_result(method: Method, resource: Resource) -> Result:
    """A method as AWS shows it, with its responses and integration."""
    integration = method.integration
    return shown(
        {
            "httpMethod": method.http_method,
            "authorizationType": method.authorization_type,
            "authorizerId": method.authorizer_id,
            "authorizationScopes": list(method.authorization_scopes),
            "apiKeyRequired": method.api_key_required,
            "requestValidatorId": method.request_validator_id,
            "operationName": method.operation_name,
            "requestParameters": dict(method.request_parameters),
            "requestModels": dict(method.request_models),
            "methodResponses": {
                each.status_code: method_response_result(each) for each in method.responses
            },
            "methodIntegration": integration and integration_result(integration, resource),
        }
    )


def method_response_result(response: MethodResponseDefinition) -> Result:
    """A method response as AWS shows it."""
    return shown(
        {
            "statusCode": response.status_code,
            "responseParameters": dict(response.response_parameters),
            "responseModels": dict(response.response_models),
        }
    )


def integration_result(integration: MethodIntegration, resource: Resource) -> Result:
    """An integration as AWS shows it; the cache namespace is the resource unless named."""
    result = shown(
        {
            "type": integration.type,
            "httpMethod": integration.http_method,
            "uri": integration.uri,
            "connectionType": integration.connection_type,
            "connectionId": integration.connection_id,
            "credentials": integration.credentials,
            "requestParameters": dict(integration.request_parameters),
            "requestTemplates": dict(integration.request_templates),
            "passthroughBehavior": integration.passthrough_behavior,
            "contentHandling": integration.content_handling,
            "timeoutInMillis": integration.timeout_ms,
            "cacheNamespace": integration.cache_namespace or resource.resource_id,
            "integrationResponses": {
                each.status_code: integration_response_result(each)
                for each in integration.responses
            },
            "tlsConfig": {"insecureSkipVerification": True}
            if integration.insecure_skip_verification
            else None,
            "integrationTarget": integration.integration_target,
        }
    )
    if integration.response_transfer_mode != "BUFFERED":
        result["responseTransferMode"] = integration.response_transfer_mode
    return {**result, "cacheKeyParameters": list(integration.cache_key_parameters)}


def integration_response_result(response: IntegrationResponse) -> Result:
    """An integration response as AWS shows it."""
    result = shown(
        {
            "statusCode": response.status_code,
            "selectionPattern": response.selection_pattern,
            "responseParameters": dict(response.response_parameters),
            "contentHandling": response.content_handling,
        }
    )
    if response.response_templates:
        # A template that passes the body through is null: there is no text of it.
        result["responseTemplates"] = {
            media_type: text or None for media_type, text in response.response_templates.items()
        }
    return result


def _templates(templates: Mapping[str, Any] | None) -> dict[str, str]:
    return {media_type: text or "" for media_type, text in (templates or {}).items()}


def _of_status(responses: Iterable[ByStatus], status: str) -> ByStatus | None:
    return next((each for each in responses if each.status_code == status), None)


def _require_status(responses: Iterable[ByStatus], status: str) -> ByStatus:
    found = _of_status(responses, status)
    if found is None:
        raise NotFoundException("Invalid Response status code specified")
    return found


def _require_integration_of(method: Method) -> MethodIntegration:
    if method.integration is None:
        raise NotFoundException("Invalid Integration identifier specified")
    return method.integration


def require_models(api: RestApi, models: Mapping[str, str] | None) -> dict[str, str]:
    """The models by content type; raises where the API has no such model."""
    for name in (models or {}).values():
        if name not in api.models:
            raise BadRequestException(f"Invalid model identifier specified: {name}")
    return dict(models or {})


def require_authorizer(api: RestApi, authorization_type: str, authorizer_id: str) -> None:
    """Raise where a method that asks an authorizer has none of the API's.

    AWS: the text names both types (recorded).
    """
    needed = authorization_type in ("CUSTOM", "COGNITO_USER_POOLS")
    if needed and authorizer_id not in api.authorizers:
        raise BadRequestException(
            "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or"
            " COGNITO_USER_POOLS requires a valid authorizer."
        )
