"""The API Gateway operations on gateway responses.

Left to others: which types there are and what a client gets (`responses`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from lamington.core.aws import Params, Result, Scope
from lamington.gateway.entities import (
    BadRequestException,
    GatewayResponseDefinition,
    NotFoundException,
)
from lamington.gateway.operations.tables import GatewayTables, Patch, listing, parse_patches
from lamington.gateway.responses import GATEWAY_RESPONSE_TYPES
from lamington.gateway.rules import require_gateway_response_type

DEFAULT_TEMPLATES = {"application/json": '{"message":$context.error.messageString}'}


class GatewayResponseOperations:
    """What AWS's API says of the gateway responses of a REST API."""

    def __init__(self, *, tables: GatewayTables) -> None:
        self._tables = tables

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:PutGatewayResponse": self.put_gateway_response,
            "apigateway:GetGatewayResponse": self.get_gateway_response,
            "apigateway:GetGatewayResponses": self.get_gateway_responses,
            "apigateway:UpdateGatewayResponse": self.update_gateway_response,
            "apigateway:DeleteGatewayResponse": self.delete_gateway_response,
        }

    async def put_gateway_response(self, params: Params, scope: Scope) -> Result:
        require_gateway_response_type(params["responseType"])
        definition = GatewayResponseDefinition(
            response_type=params["responseType"],
            status_code=params.get("statusCode") or "",
            response_parameters=dict(params.get("responseParameters") or {}),
            response_templates=dict(params.get("responseTemplates") or {}),
        )
        return self._put(params, definition, scope)

    async def get_gateway_response(self, params: Params, scope: Scope) -> Result:
        require_gateway_response_type(params["responseType"])
        api = self._tables.require_api(scope, params["restApiId"])
        definition = api.gateway_responses.get(params["responseType"])
        if definition is None:
            return _default_result(params["responseType"])
        return _result(definition)

    async def get_gateway_responses(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        results = {name: _default_result(name) for name in GATEWAY_RESPONSE_TYPES}
        for name, definition in api.gateway_responses.items():
            results[name] = _result(definition)
        return listing(params, results.items(), lambda each: each)

    async def update_gateway_response(self, params: Params, scope: Scope) -> Result:
        """Change a gateway response; one that nobody has set becomes the API's own by that."""
        require_gateway_response_type(params["responseType"])
        api = self._tables.require_api(scope, params["restApiId"])
        definition = api.gateway_responses.get(params["responseType"])
        if definition is None:
            definition = GatewayResponseDefinition(
                response_type=params["responseType"], response_templates=DEFAULT_TEMPLATES
            )
        for patch in parse_patches(params):
            definition = _patched(definition, patch)
        return self._put(params, definition, scope)

    async def delete_gateway_response(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        responses = dict(api.gateway_responses)
        if responses.pop(params["responseType"], None) is None:
            raise NotFoundException("Gateway response type not defined on api")
        self._tables.apis.put(scope, replace(api, gateway_responses=responses))
        return {}

    def _put(self, params: Params, definition: GatewayResponseDefinition, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        responses = {**api.gateway_responses, definition.response_type: definition}
        self._tables.apis.put(scope, replace(api, gateway_responses=responses))
        return _result(definition)


def _patched(definition: GatewayResponseDefinition, patch: Patch) -> GatewayResponseDefinition:
    """AWS: the refusals of its own service (recorded)."""
    match patch.path:
        case ("statusCode",) if patch.op == "replace":
            return replace(definition, status_code=patch.value)
        case ("responseParameters" | "responseTemplates" as member, name):
            held = definition.response_templates
            if member == "responseParameters":
                held = definition.response_parameters
            if patch.op not in ("add", "remove", "replace"):
                raise patch.unknown
            if patch.op != "add" and name not in held:
                raise NotFoundException("Invalid parameter name specified")
            if patch.op != "remove" and not patch.value:
                raise BadRequestException(f"Invalid null or empty value in {member}")
            changed = patch.changed(held, name)
            if member == "responseParameters":
                return replace(definition, response_parameters=changed)
            return replace(definition, response_templates=changed)
    raise patch.unknown


def _result(definition: GatewayResponseDefinition) -> Result:
    return {
        "responseType": definition.response_type,
        **({"statusCode": definition.status_code} if definition.status_code else {}),
        "responseParameters": dict(definition.response_parameters),
        "responseTemplates": dict(definition.response_templates),
        "defaultResponse": False,
    }


def _default_result(response_type: str) -> Result:
    inherits = response_type.startswith("DEFAULT_")
    return {
        "responseType": response_type,
        **({} if inherits else {"statusCode": str(GATEWAY_RESPONSE_TYPES[response_type].status)}),
        "responseParameters": {},
        "responseTemplates": DEFAULT_TEMPLATES,
        "defaultResponse": True,
    }
