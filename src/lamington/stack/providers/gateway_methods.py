"""AWS::ApiGateway types for what is in a REST API: methods and gateway responses.

Left to others: the API (`gateway`), what takes one call alone (`gateway_parts`), and what puts it
into service (`gateway_stages`).
"""

from collections.abc import Mapping
from typing import Any

from lamington.core.aws import AwsCaller, Params
from lamington.core.errors import AwsError
from lamington.stack.providers.base import (
    Physical,
    Properties,
    ResourceContext,
    is_owned,
)
from lamington.stack.providers.gateway_calls import (
    delete_by,
    find_by,
    given,
    text_of,
)
from lamington.stack.providers.gateway_facts import GATEWAY_RESPONSE, METHOD


class MethodProvider:
    """`AWS::ApiGateway::Method`: a method with its responses, integration and their mappings."""

    resource_type = "AWS::ApiGateway::Method"
    facts = METHOD

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        where = _method_params(desired)
        await self._caller.call(
            "apigateway:PutMethod",
            given(
                **where,
                authorizationType=desired.get("AuthorizationType") or "NONE",
                authorizerId=desired.get("AuthorizerId"),
                authorizationScopes=desired.get("AuthorizationScopes"),
                apiKeyRequired=desired.get("ApiKeyRequired"),
                operationName=desired.get("OperationName"),
                requestParameters=desired.get("RequestParameters"),
                requestModels=desired.get("RequestModels"),
                requestValidatorId=desired.get("RequestValidatorId"),
            ),
            context.scope,
        )
        try:
            await self._put_inside(where, desired, context)
        except AwsError:
            await delete_by(self._caller, "apigateway:DeleteMethod", where, context)
            raise
        name = f"{desired['RestApiId']}|{desired['ResourceId']}|{where['httpMethod']}"
        return Physical(physical_id=name, reference=name)

    async def _put_inside(
        self, where: Params, desired: Properties, context: ResourceContext
    ) -> None:
        for response in desired.get("MethodResponses") or ():
            await self._caller.call(
                "apigateway:PutMethodResponse",
                given(
                    **where,
                    statusCode=response["StatusCode"],
                    responseParameters=response.get("ResponseParameters"),
                    responseModels=response.get("ResponseModels"),
                ),
                context.scope,
            )
        integration = desired.get("Integration")
        if not integration:
            return
        await self._caller.call(
            "apigateway:PutIntegration",
            given(
                **where,
                type=integration.get("Type"),
                integrationHttpMethod=integration.get("IntegrationHttpMethod"),
                uri=integration.get("Uri"),
                connectionType=integration.get("ConnectionType"),
                connectionId=integration.get("ConnectionId"),
                credentials=integration.get("Credentials"),
                requestParameters=integration.get("RequestParameters"),
                requestTemplates=_templates(integration.get("RequestTemplates")),
                passthroughBehavior=integration.get("PassthroughBehavior"),
                cacheNamespace=integration.get("CacheNamespace"),
                cacheKeyParameters=integration.get("CacheKeyParameters"),
                contentHandling=integration.get("ContentHandling"),
                timeoutInMillis=integration.get("TimeoutInMillis"),
                responseTransferMode=integration.get("ResponseTransferMode"),
                integrationTarget=integration.get("IntegrationTarget"),
            ),
            context.scope,
        )
        for response in integration.get("IntegrationResponses") or ():
            await self._caller.call(
                "apigateway:PutIntegrationResponse",
                given(
                    **where,
                    statusCode=response["StatusCode"],
                    selectionPattern=response.get("SelectionPattern"),
                    responseParameters=response.get("ResponseParameters"),
                    responseTemplates=_templates(response.get("ResponseTemplates")),
                    contentHandling=response.get("ContentHandling"),
                ),
                context.scope,
            )

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        """Put the method anew: no stage serves it before the next deployment."""
        await delete_by(self._caller, "apigateway:DeleteMethod", _method_params(previous), context)
        try:
            return await self.create(desired, context)
        except AwsError:
            await self.create(previous, context)
            raise

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await delete_by(
            self._caller, "apigateway:DeleteMethod", _method_params(properties), context
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        where = _method_params(desired)
        found = await find_by(self._caller, "apigateway:GetMethod", where, context)
        name = f"{where['restApiId']}|{where['resourceId']}|{where['httpMethod']}"
        if found is None or await is_owned(self._caller, self.resource_type, name, context):
            return None
        return name


class GatewayResponseProvider:
    """`AWS::ApiGateway::GatewayResponse`: what the gateway itself answers in one situation."""

    resource_type = "AWS::ApiGateway::GatewayResponse"
    facts = GATEWAY_RESPONSE

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        await self._caller.call(
            "apigateway:PutGatewayResponse",
            given(
                restApiId=desired["RestApiId"],
                responseType=desired["ResponseType"],
                statusCode=desired.get("StatusCode"),
                responseParameters=desired.get("ResponseParameters"),
                responseTemplates=desired.get("ResponseTemplates"),
            ),
            context.scope,
        )
        name = f"{desired['RestApiId']}|{desired['ResponseType']}"
        return Physical(physical_id=name, reference=name, attributes={"Id": name})

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        return await self.create(desired, context)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await delete_by(
            self._caller,
            "apigateway:DeleteGatewayResponse",
            {
                "restApiId": properties["RestApiId"],
                "responseType": properties["ResponseType"],
            },
            context,
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The response to this situation, where somebody gave one and no stack has it."""
        where = {"restApiId": desired["RestApiId"], "responseType": desired["ResponseType"]}
        found = await find_by(self._caller, "apigateway:GetGatewayResponse", where, context)
        name = f"{desired['RestApiId']}|{desired['ResponseType']}"
        if (
            found is None
            or found["defaultResponse"]
            or await is_owned(self._caller, self.resource_type, name, context)
        ):
            return None
        return name


def _method_params(properties: Properties) -> dict[str, str]:
    return {
        "restApiId": properties["RestApiId"],
        "resourceId": properties["ResourceId"],
        "httpMethod": str(properties["HttpMethod"]).upper(),
    }


def _templates(templates: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Mapping templates; one that is written as an object is its JSON text."""
    if templates is None:
        return None
    return {media_type: text_of(it) for media_type, it in templates.items()}
