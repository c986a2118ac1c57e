"""The operations on integrations and integration responses: what stands behind routes.

Left to others: which integrations there may be (`rules`), and to call them (the data planes).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Ids
from lamington.gateway.entities import BadRequestException, ConflictException
from lamington.gateway.results import shown, without
from lamington.gateway.v2.entities import (
    HTTP_INTEGRATION_TIMEOUT_MAX_MS,
    WEBSOCKET_INTEGRATION_TIMEOUT_MAX_MS,
    Api,
    Integration,
    IntegrationResponse,
    ProtocolType,
)
from lamington.gateway.v2.operations.members import given, merged
from lamington.gateway.v2.operations.publication import Publication
from lamington.gateway.v2.rules import require_integration as require_rules
from lamington.gateway.v2.rules import (
    require_integration_response_key,
    require_unused_integration,
)
from lamington.gateway.v2.tables import V2Tables, listing, require_integration, require_member

_MEMBERS = {
    "IntegrationType": "integration_type",
    "IntegrationMethod": "integration_method",
    "IntegrationUri": "integration_uri",
    "IntegrationSubtype": "integration_subtype",
    "ConnectionType": "connection_type",
    "ConnectionId": "connection_id",
    "CredentialsArn": "credentials_arn",
    "Description": "description",
    "PayloadFormatVersion": "payload_format_version",
    "PassthroughBehavior": "passthrough_behavior",
    "ContentHandlingStrategy": "content_handling_strategy",
    "TemplateSelectionExpression": "template_selection_expression",
    "TimeoutInMillis": "timeout_ms",
}
_RESPONSE_MEMBERS = {
    "IntegrationResponseKey": "integration_response_key",
    "ContentHandlingStrategy": "content_handling_strategy",
    "TemplateSelectionExpression": "template_selection_expression",
}


class IntegrationOperations:
    """What AWS's API says of integrations and integration responses."""

    def __init__(self, *, tables: V2Tables, publication: Publication, ids: Ids) -> None:
        self._tables = tables
        self._publication = publication
        self._ids = ids

    def operations(self) -> dict[str, Operation]:
        return {
            "apigatewayv2:CreateIntegration": self.create_integration,
            "apigatewayv2:GetIntegration": self.get_integration,
            "apigatewayv2:GetIntegrations": self.get_integrations,
            "apigatewayv2:UpdateIntegration": self.update_integration,
            "apigatewayv2:DeleteIntegration": self.delete_integration,
            "apigatewayv2:CreateIntegrationResponse": self.create_integration_response,
            "apigatewayv2:GetIntegrationResponse": self.get_integration_response,
            "apigatewayv2:GetIntegrationResponses": self.get_integration_responses,
            "apigatewayv2:UpdateIntegrationResponse": self.update_integration_response,
            "apigatewayv2:DeleteIntegrationResponse": self.delete_integration_response,
        }

    # Integrations

    async def create_integration(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["ApiId"])
        # An HTTP API has no default version: leaving it out is an error there.
        version = "1.0" if api.protocol_type == "WEBSOCKET" else ""
        integration = _changed(
            Integration(
                integration_id=self._ids.token(7),
                integration_type=params["IntegrationType"],
                payload_format_version=version,
                passthrough_behavior="WHEN_NO_MATCH" if api.protocol_type == "WEBSOCKET" else "",
            ),
            params,
        )
        self._put(api, integration, scope)
        return integration_result(integration, api.protocol_type)

    async def get_integration(self, params: Params, scope: Scope) -> Result:
        api, integration = self._found(params, scope)
        return integration_result(integration, api.protocol_type)

    async def get_integrations(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["ApiId"])
        return listing(
            params,
            api.integrations.items(),
            lambda each: integration_result(each, api.protocol_type),
        )

    async def update_integration(self, params: Params, scope: Scope) -> Result:
        """Change an integration; mappings that are not named stay, empty ones go."""
        api, before = self._found(params, scope)
        integration = _changed(before, params)
        self._put(api, integration, scope)
        return integration_result(integration, api.protocol_type)

    async def delete_integration(self, params: Params, scope: Scope) -> Result:
        api, integration = self._found(params, scope)
        require_unused_integration(api, integration.integration_id)
        if integration.api_gateway_managed:
            raise BadRequestException(
                "An integration that is managed by API Gateway cannot be deleted",
                hint="it was made by quick create: delete the API",
            )
        kept = without(api.integrations, integration.integration_id)
        self._publication.put_api(replace(api, integrations=kept), scope)
        return {}

    # Integration responses

    async def create_integration_response(self, params: Params, scope: Scope) -> Result:
        api, integration = self._found(params, scope)
        response = IntegrationResponse(
            integration_response_id=self._ids.token(7),
            response_parameters=dict(params.get("ResponseParameters") or {}),
            response_templates=dict(params.get("ResponseTemplates") or {}),
            **given(params, _RESPONSE_MEMBERS),
        )
        self._put_response(api, integration, response, scope)
        return integration_response_result(response)

    async def get_integration_response(self, params: Params, scope: Scope) -> Result:
        _, integration = self._found(params, scope)
        return integration_response_result(_response(integration, params))

    async def get_integration_responses(self, params: Params, scope: Scope) -> Result:
        _, integration = self._found(params, scope)
        return listing(params, integration.responses.items(), integration_response_result)

    async def update_integration_response(self, params: Params, scope: Scope) -> Result:
        api, integration = self._found(params, scope)
        before = _response(integration, params)
        response = replace(
            before,
            response_parameters=merged(
                before.response_parameters, params.get("ResponseParameters")
            ),
            response_templates=merged(before.response_templates, params.get("ResponseTemplates")),
            **given(params, _RESPONSE_MEMBERS),
        )
        self._put_response(api, integration, response, scope)
        return integration_response_result(response)

    async def delete_integration_response(self, params: Params, scope: Scope) -> Result:
        api, integration = self._found(params, scope)
        gone = _response(integration, params).integration_response_id
        responses = without(integration.responses, gone)
        self._put(api, replace(integration, responses=responses), scope)
        return {}

    # Finding and writing down

    def _found(self, params: Params, scope: Scope) -> tuple[Api, Integration]:
        api = self._tables.require_api(scope, params["ApiId"])
        return api, require_integration(api, params["IntegrationId"])

    def _put(self, api: Api, integration: Integration, scope: Scope) -> None:
        require_rules(api.protocol_type, integration)
        integrations = {**api.integrations, integration.integration_id: integration}
        self._publication.put_api(replace(api, integrations=integrations), scope)

    def _put_response(
        self, api: Api, integration: Integration, response: IntegrationResponse, scope: Scope
    ) -> None:
        if api.protocol_type == "HTTP":
            raise BadRequestException(
                "Integration responses are not supported on protocolType HTTP"
            )
        key = response.integration_response_key
        require_integration_response_key(key)
        for each in integration.responses.values():
            if (
                each.integration_response_key == key
                and each.integration_response_id != response.integration_response_id
            ):
                raise ConflictException(
                    f"IntegrationResponse with key {key} already exists for this Integration"
                )
        responses = {**integration.responses, response.integration_response_id: response}
        self._put(api, replace(integration, responses=responses), scope)


def _changed(before: Integration, params: Params) -> Integration:
    tls = params.get("TlsConfig")
    return replace(
        before,
        request_parameters=merged(before.request_parameters, params.get("RequestParameters")),
        request_templates=merged(before.request_templates, params.get("RequestTemplates")),
        response_parameters=_merged_responses(before, params.get("ResponseParameters")),
        tls_server_name=before.tls_server_name
        if tls is None
        else str(tls.get("ServerNameToVerify") or ""),
        **given(params, _MEMBERS),
    )


def _merged_responses(
    before: Integration, changes: Mapping[str, Mapping[str, str]] | None
) -> dict[str, dict[str, str]]:
    """Mappings by status as an update leaves them; a status without any goes."""
    found = dict(before.response_parameters)
    for status, parameters in (changes or {}).items():
        found[status] = dict(parameters)
    return {status: parameters for status, parameters in found.items() if parameters}


def _response(integration: Integration, params: Params) -> IntegrationResponse:
    return require_member(
        integration.responses, "IntegrationResponse", params["IntegrationResponseId"]
    )


def _response_selection(integration: Integration) -> str:
    """What chooses the integration response; proxies have none.

    AWS: the error message for a function, else the status code (developer guide, WebSocket
    integration responses).
    """
    if integration.integration_type.endswith("_PROXY"):
        return ""
    if ":lambda:path/" in integration.integration_uri:
        return "${integration.response.body.errorMessage}"
    return "${integration.response.statuscode}"


def integration_result(integration: Integration, protocol: ProtocolType) -> Result:
    """An integration as AWS shows it; members that are not set are left out."""
    is_http = protocol == "HTTP"
    longest = HTTP_INTEGRATION_TIMEOUT_MAX_MS if is_http else WEBSOCKET_INTEGRATION_TIMEOUT_MAX_MS
    tls: dict[str, Any] = {"ServerNameToVerify": integration.tls_server_name}
    return shown(
        {
            "IntegrationId": integration.integration_id,
            "IntegrationType": integration.integration_type,
            "IntegrationMethod": integration.integration_method,
            "IntegrationUri": integration.integration_uri,
            "IntegrationSubtype": integration.integration_subtype,
            "IntegrationResponseSelectionExpression": ""
            if is_http
            else _response_selection(integration),
            "ConnectionType": integration.connection_type,
            "ConnectionId": integration.connection_id,
            "CredentialsArn": integration.credentials_arn,
            "Description": integration.description,
            "PayloadFormatVersion": integration.payload_format_version,
            "PassthroughBehavior": integration.passthrough_behavior,
            "ContentHandlingStrategy": integration.content_handling_strategy,
            "RequestParameters": dict(integration.request_parameters),
            "RequestTemplates": dict(integration.request_templates),
            "ResponseParameters": {
                status: dict(each) for status, each in integration.response_parameters.items()
            },
            "TemplateSelectionExpression": integration.template_selection_expression,
            "TimeoutInMillis": integration.timeout_ms or longest,
            "TlsConfig": tls if integration.tls_server_name else {},
            "ApiGatewayManaged": integration.api_gateway_managed or None,
        }
    )


def integration_response_result(response: IntegrationResponse) -> Result:
    """An integration response as AWS shows it."""
    return shown(
        {
            "IntegrationResponseId": response.integration_response_id,
            "IntegrationResponseKey": response.integration_response_key,
            "ContentHandlingStrategy": response.content_handling_strategy,
            "ResponseParameters": dict(response.response_parameters),
            "ResponseTemplates": dict(response.response_templates),
            "TemplateSelectionExpression": response.template_selection_expression,
        }
    )
