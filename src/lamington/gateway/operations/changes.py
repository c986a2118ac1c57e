"""The API Gateway operations that change resources, methods, integrations and their responses.

What a change may say is in AWS's patch paths. Left to others: to make these things and to show
them (`methods`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from lamington.core.aws import Params, Result, Scope
from lamington.gateway.entities import (
    AUTHORIZATION_TYPES,
    INTEGRATION_TIMEOUT_DEFAULT_MS,
    BadRequestException,
    IntegrationResponse,
    Method,
    MethodIntegration,
    MethodResponseDefinition,
    NotFoundException,
    Resource,
    RestApi,
)
from lamington.gateway.operations.methods import (
    integration_response_result,
    integration_result,
    method_response_result,
    method_result,
    require_authorizer,
    require_models,
    resource_result,
)
from lamington.gateway.operations.tables import (
    GatewayTables,
    Patch,
    parse_patches,
    require_method,
    require_resource,
)
from lamington.gateway.rules import (
    require_integration,
    require_integration_response,
    require_place,
    require_request_parameters,
    require_response_parameters,
    require_templates,
    require_unique_names,
)

RESOURCE_PATCH_PATHS = ("/parentId", "/pathPart")
INTEGRATION_PATCH_PATHS = (
    "/cacheKeyParameters/{parameter}",
    "/cacheNamespace",
    "/connectionId",
    "/connectionType",
    "/contentHandling",
    "/credentials",
    "/httpMethod",
    "/integrationTarget",
    "/passthroughBehavior",
    "/requestParameters/{parameter}",
    "/requestTemplates/{contentType}",
    "/responseTransferMode",
    "/timeoutInMillis",
    "/tlsConfig/insecureSkipVerification",
    "/uri",
)
INTEGRATION_RESPONSE_PATCH_PATHS = (
    "/contentHandling",
    "/responseParameters/{parameter}",
    "/responseTemplates/{contentType}",
    "/selectionPattern",
)
METHOD_RESPONSE_PATCH_PATHS = (
    "/responseModels/{contentType}",
    "/responseParameters/{parameter}",
)

_INTEGRATION_TEXTS = {
    "cacheNamespace": "cache_namespace",
    "connectionId": "connection_id",
    "connectionType": "connection_type",
    "contentHandling": "content_handling",
    "credentials": "credentials",
    "httpMethod": "http_method",
    "integrationTarget": "integration_target",
    "passthroughBehavior": "passthrough_behavior",
    "responseTransferMode": "response_transfer_mode",
    "uri": "uri",
}
_UPPER = ("http_method", "passthrough_behavior")


class ChangeOperations:
    """What AWS's API changes of the inside of a REST API."""

    def __init__(
        self, *, tables: GatewayTables, timeout_max_ms: int = INTEGRATION_TIMEOUT_DEFAULT_MS
    ) -> None:
        """`timeout_max_ms` is the quota of integrations that are not streamed."""
        self._tables = tables
        self._timeout_max_ms = timeout_max_ms

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:UpdateResource": self.update_resource,
            "apigateway:UpdateMethod": self.update_method,
            "apigateway:UpdateMethodResponse": self.update_method_response,
            "apigateway:UpdateIntegration": self.update_integration,
            "apigateway:UpdateIntegrationResponse": self.update_integration_response,
        }

    async def update_resource(self, params: Params, scope: Scope) -> Result:
        """Move or rename a resource, and with it all below it."""
        api, resource = self._resource(params, scope)
        for patch in parse_patches(params):
            api = _patched_resource(api, api.resources[resource.resource_id], patch)
        self._tables.apis.put(scope, api)
        return resource_result(api.resources[resource.resource_id], whole=False)

    async def update_method(self, params: Params, scope: Scope) -> Result:
        """Change a method.

        AWS: what needs an authorizer is checked after all patches; an operation that a path does
        not have is passed over in silence (recorded).
        """
        api, resource, method = self._method(params, scope)
        before = method
        for patch in parse_patches(params):
            method = _patched_method(api, method, patch)
        if method.authorization_type not in ("CUSTOM", "COGNITO_USER_POOLS"):
            # AWS ignores an authorizer for a method that asks for none.
            method = replace(method, authorizer_id=before.authorizer_id)
        elif (method.authorization_type, method.authorizer_id) != (
            before.authorization_type,
            before.authorizer_id,
        ):
            require_authorizer(api, method.authorization_type, method.authorizer_id)
        require_request_parameters(method.request_parameters)
        require_unique_names(method.request_parameters)
        self._put(api, resource, method, scope)
        return method_result(method, resource)

    async def update_method_response(self, params: Params, scope: Scope) -> Result:
        api, resource, method = self._method(params, scope)
        status = params["statusCode"]
        response = next((it for it in method.responses if it.status_code == status), None)
        if response is None:
            raise NotFoundException("Invalid Response status code specified")
        changed = response
        for patch in parse_patches(params):
            changed = _patched_method_response(api, changed, patch)
        responses = tuple(changed if each is response else each for each in method.responses)
        self._put(api, resource, replace(method, responses=responses), scope)
        return method_response_result(changed)

    async def update_integration(self, params: Params, scope: Scope) -> Result:
        api, resource, method = self._method(params, scope)
        integration = _require_integration_of(method)
        for patch in parse_patches(params):
            integration = _patched_integration(integration, patch)
        require_integration(integration, method, self._timeout_max_ms)
        self._put(api, resource, replace(method, integration=integration), scope)
        return integration_result(integration, resource)

    async def update_integration_response(self, params: Params, scope: Scope) -> Result:
        api, resource, method = self._method(params, scope)
        integration = _require_integration_of(method)
        status = params["statusCode"]
        response = next((it for it in integration.responses if it.status_code == status), None)
        if response is None:
            raise NotFoundException("Invalid Integration Response identifier specified")
        changed = response
        for patch in parse_patches(params):
            changed = _patched_integration_response(changed, patch)
        declared = next((it for it in method.responses if it.status_code == status), None)
        require_integration_response(changed.response_parameters, declared)
        require_templates(changed.response_templates)
        responses = tuple(changed if it is response else it for it in integration.responses)
        integration = replace(integration, responses=responses)
        self._put(api, resource, replace(method, integration=integration), scope)
        return integration_response_result(changed)

    def _resource(self, params: Params, scope: Scope) -> tuple[RestApi, Resource]:
        api = self._tables.require_api(scope, params["restApiId"])
        return api, require_resource(api, params["resourceId"])

    def _method(self, params: Params, scope: Scope) -> tuple[RestApi, Resource, Method]:
        api, resource = self._resource(params, scope)
        return api, resource, require_method(resource, params["httpMethod"])

    def _put(self, api: RestApi, resource: Resource, method: Method, scope: Scope) -> None:
        changed = replace(resource, methods={**resource.methods, method.http_method: method})
        resources = {**api.resources, resource.resource_id: changed}
        self._tables.apis.put(scope, replace(api, resources=resources))


def _require_integration_of(method: Method) -> MethodIntegration:
    if method.integration is None:
        raise NotFoundException("Invalid Integration identifier specified")
    return method.integration


# Resources


def _patched_resource(api: RestApi, resource: Resource, patch: Patch) -> RestApi:
    if patch.path not in (("pathPart",), ("parentId",)):
        raise patch.refused(RESOURCE_PATCH_PATHS)
    if patch.op != "replace":
        raise patch.unsupported
    if resource.path == "/":
        raise BadRequestException(f"Root resource cannot update its {patch.path[0]}.")
    parent_id, path_part = resource.parent_id, patch.value
    if patch.path == ("parentId",):
        parent_id, path_part = patch.value, resource.path_part
    parent = require_resource(api, parent_id)
    if parent.path == resource.path or parent.path.startswith(f"{resource.path}/"):
        raise BadRequestException("Resources cannot be cyclical.")
    siblings = [
        each
        for each in api.resources.values()
        if each.parent_id == parent_id and each.resource_id != resource.resource_id
    ]
    require_place(parent, path_part, siblings)
    before, path = resource.path, f"{parent.path.rstrip('/')}/{path_part}"
    resources: dict[str, Resource] = {}
    for key, each in api.resources.items():
        if key == resource.resource_id:
            each = replace(each, parent_id=parent_id, path_part=path_part, path=path)
        elif each.path.startswith(f"{before}/"):
            each = replace(each, path=path + each.path.removeprefix(before))
        resources[key] = each
    return replace(api, resources=resources)


# Methods


def _patched_method(api: RestApi, method: Method, patch: Patch) -> Method:
    changes, entries = patch.op == "replace", patch.op in ("add", "remove", "replace")
    match patch.path:
        case ("authorizationType",):
            return replace(method, authorization_type=_type(patch.value)) if changes else method
        case ("authorizerId",):
            return replace(method, authorizer_id=patch.value) if changes else method
        case ("apiKeyRequired",):
            return replace(method, api_key_required=patch.flag) if changes else method
        case ("operationName",):
            return replace(method, operation_name=patch.value) if changes else method
        case ("requestValidatorId",):
            return _with_validator(api, method, patch) if patch.op != "add" else method
        case ("authorizationScopes", *named):
            return _with_scopes(method, named, patch) if entries else method
        case ("requestParameters", name):
            parameters = {k: v for k, v in method.request_parameters.items() if k != name}
            if patch.op != "remove":
                parameters[name] = patch.flag
            return replace(method, request_parameters=parameters) if entries else method
        case ("requestModels", content_type):
            models = patch.changed(method.request_models, content_type)
            require_models(api, models)
            return replace(method, request_models=models) if entries else method
    raise patch.unknown


def _type(text: str) -> str:
    if text.upper() not in AUTHORIZATION_TYPES:
        raise BadRequestException(
            "Invalid authorization type specified. Valid options are "
            f"{', '.join(AUTHORIZATION_TYPES)}"
        )
    return text.upper()


def _with_validator(api: RestApi, method: Method, patch: Patch) -> Method:
    """AWS: an empty value takes the validator away (recorded)."""
    validator_id = "" if patch.op == "remove" else patch.value
    if validator_id and validator_id not in api.request_validators:
        raise BadRequestException("Invalid Request Validator identifier specified")
    return replace(method, request_validator_id=validator_id)


def _with_scopes(method: Method, named: list[str], patch: Patch) -> Method:
    """A scope is named by the value; by the path too where it is removed."""
    scope = patch.value or "/".join(named)
    kept = tuple(each for each in method.authorization_scopes if each != scope)
    if patch.op == "replace":
        kept = ()
    added = () if patch.op == "remove" or not scope else (scope,)
    return replace(method, authorization_scopes=kept + added)


def _patched_method_response(
    api: RestApi, response: MethodResponseDefinition, patch: Patch
) -> MethodResponseDefinition:
    if patch.op not in ("add", "remove", "replace"):
        raise patch.unsupported
    match patch.path:
        case ("responseParameters", name):
            parameters = {k: v for k, v in response.response_parameters.items() if k != name}
            if patch.op != "remove":
                require_response_parameters((name,))
                parameters[name] = patch.flag
            return replace(response, response_parameters=parameters)
        case ("responseModels", content_type):
            models = patch.changed(response.response_models, content_type)
            require_models(api, models)
            return replace(response, response_models=models)
    raise patch.refused(METHOD_RESPONSE_PATCH_PATHS)


# Integrations


def _patched_integration(integration: MethodIntegration, patch: Patch) -> MethodIntegration:
    match patch.path:
        case ("requestParameters", name) if _is_entry(patch, integration.request_parameters, name):
            parameters = patch.changed(integration.request_parameters, name)
            return replace(integration, request_parameters=parameters)
        case ("requestTemplates", kind) if _is_entry(patch, integration.request_templates, kind):
            templates = patch.changed(integration.request_templates, kind)
            return replace(integration, request_templates=templates)
        case ("cacheKeyParameters", *named):
            return _with_key_parameter(integration, "/".join(named), patch)
        case ("timeoutInMillis",) if patch.op == "replace":
            return replace(integration, timeout_ms=patch.whole)
        case ("tlsConfig", "insecureSkipVerification") if patch.op == "replace":
            return replace(integration, insecure_skip_verification=patch.flag)
        case (name,) if name in _INTEGRATION_TEXTS:
            return _with_text(integration, _INTEGRATION_TEXTS[name], patch)
    if patch.path[0] in ("timeoutInMillis", "tlsConfig"):
        raise patch.unsupported
    raise patch.refused(INTEGRATION_PATCH_PATHS)


def _with_text(integration: MethodIntegration, member: str, patch: Patch) -> MethodIntegration:
    """Set a text; `remove` does as an empty value does, which is the default of some."""
    if patch.op not in ("replace", "remove"):
        raise patch.unsupported
    value = "" if patch.op == "remove" else patch.value
    if member in _UPPER:
        value = value.upper()
    if not value and member == "passthrough_behavior":
        value = "WHEN_NO_MATCH"
    if not value and member == "response_transfer_mode":
        value = "BUFFERED"
    changes: dict[str, Any] = {member: value}
    return replace(integration, **changes)


def _with_key_parameter(
    integration: MethodIntegration, name: str, patch: Patch
) -> MethodIntegration:
    """A key parameter is named by the path, or by the value where the path ends before it."""
    name = name or patch.value
    kept = tuple(each for each in integration.cache_key_parameters if each != name)
    if patch.op == "add":
        return replace(integration, cache_key_parameters=(*kept, name))
    if patch.op == "remove":
        return replace(integration, cache_key_parameters=kept)
    if patch.op == "replace":
        added = tuple(each.strip() for each in (patch.value or name).split(",") if each.strip())
        known = integration.cache_key_parameters
        others = tuple(each for each in known if name in known and each not in (name, *added))
        return replace(integration, cache_key_parameters=others + added)
    raise patch.unsupported


def _is_entry(patch: Patch, values: Mapping[str, str], name: str) -> bool:
    """Check a patch of one entry of a map; what is not there cannot be replaced or removed."""
    if patch.op not in ("add", "remove", "replace"):
        raise patch.unsupported
    if patch.op == "remove" and name not in values:
        raise NotFoundException("Invalid parameter name specified")
    return True


def _patched_integration_response(
    response: IntegrationResponse, patch: Patch
) -> IntegrationResponse:
    match patch.path:
        case ("responseParameters", name) if _is_entry(patch, response.response_parameters, name):
            parameters = patch.changed(response.response_parameters, name)
            return replace(response, response_parameters=parameters)
        case ("responseTemplates", kind) if _is_entry(patch, response.response_templates, kind):
            templates = patch.changed(response.response_templates, kind)
            return replace(response, response_templates=templates)
        case ("selectionPattern",) | ("contentHandling",):
            if patch.op not in ("replace", "remove"):
                raise patch.unsupported
            value = "" if patch.op == "remove" else patch.value
            if patch.path == ("selectionPattern",):
                return replace(response, selection_pattern=value)
            return replace(response, content_handling=value)
    raise patch.refused(INTEGRATION_RESPONSE_PATCH_PATHS)
