"""AWS::ApiGateway::RestApi and Account, and the list of all AWS::ApiGateway types.

Each provider only calls API Gateway's operations. Left to others: what is in an API
(`gateway_methods`), what puts it into service (`gateway_stages`), and in which order the
resources come and go (`executor`).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from lamington.core.aws import AwsCaller
from lamington.core.errors import AwsError, ResourceError
from lamington.stack.providers.base import (
    Physical,
    Properties,
    Provider,
    ResourceContext,
)
from lamington.stack.providers.gateway_calls import (
    delete_by,
    endpoint_patches,
    given,
    items_of,
    member_patches,
    replacement,
    retag,
    tags_of,
    text_of,
)
from lamington.stack.providers.gateway_facts import ACCOUNT, REST_API
from lamington.stack.providers.gateway_methods import (
    GatewayResponseProvider,
    MethodProvider,
)
from lamington.stack.providers.gateway_parts import PARTS, PartProvider
from lamington.stack.providers.gateway_stages import DeploymentProvider, StageProvider

NAME_MAX = 128

_IMPORTED = ("Body", "Mode", "Parameters", "FailOnWarnings")
"""The properties whose change imports the body again."""


def gateway_providers(caller: AwsCaller) -> list[Provider]:
    """The providers of every AWS::ApiGateway type that is emulated."""
    return [
        RestApiProvider(caller),
        MethodProvider(caller),
        DeploymentProvider(caller),
        StageProvider(caller),
        AccountProvider(caller),
        GatewayResponseProvider(caller),
        *(PartProvider(caller, part) for part in PARTS),
    ]


class RestApiProvider:
    """`AWS::ApiGateway::RestApi`, by properties, by a `Body`, or both."""

    resource_type = "AWS::ApiGateway::RestApi"
    facts = REST_API

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        _refuse_elsewhere(desired)
        body = _body(desired)
        name = desired.get("Name") or (body or {}).get("info", {}).get("title")
        if not name:
            raise ResourceError(
                "RestApi needs a `Name`, or a `Body` with `info.title`",
                handler_code="InvalidRequest",
            )
        endpoint = desired.get("EndpointConfiguration") or {}
        types = (desired.get("Parameters") or {}).get("endpointConfigurationTypes")
        result = await self._caller.call(
            "apigateway:CreateRestApi",
            given(
                name=str(name),
                description=desired.get("Description"),
                version=desired.get("Version"),
                cloneFrom=desired.get("CloneFrom"),
                binaryMediaTypes=desired.get("BinaryMediaTypes"),
                minimumCompressionSize=desired.get("MinimumCompressionSize"),
                apiKeySource=desired.get("ApiKeySourceType"),
                policy=text_of(desired.get("Policy")),
                disableExecuteApiEndpoint=desired.get("DisableExecuteApiEndpoint"),
                securityPolicy=desired.get("SecurityPolicy"),
                endpointAccessMode=desired.get("EndpointAccessMode"),
                endpointConfiguration=given(
                    types=endpoint.get("Types") or ([types] if types else None),
                    vpcEndpointIds=endpoint.get("VpcEndpointIds"),
                    ipAddressType=endpoint.get("IpAddressType"),
                ),
                tags={**tags_of(desired, context), **context.system_tags},
            ),
            context.scope,
        )
        api_id = str(result["id"])
        if body is not None:
            try:
                await self._put_body(api_id, body, desired, context)
            except AwsError:
                await self.delete(api_id, desired, context)
                raise
        return await self._physical(api_id, context)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        _refuse_elsewhere(desired)
        body = _body(desired)
        await self._patch(physical_id, desired, previous, context)
        if body is not None and any(desired.get(it) != previous.get(it) for it in _IMPORTED):
            await self._put_body(physical_id, body, desired, context)
        await retag(
            self._caller,
            f"restapis/{physical_id}",
            tags_of(desired, context),
            tags_of(previous, context),
            context,
        )
        return await self._physical(physical_id, context)

    async def _put_body(
        self, api_id: str, body: Mapping[str, Any], desired: Properties, context: ResourceContext
    ) -> None:
        """Import the body, then say again what properties say: they win over the body.

        AWS: a body overwrites unless `Mode` says otherwise; binary media types are merged.
        """
        parameters = desired.get("Parameters") or {}
        await self._caller.call(
            "apigateway:PutRestApi",
            {
                "restApiId": api_id,
                "mode": desired.get("Mode") or "overwrite",
                "failOnWarnings": bool(desired.get("FailOnWarnings")),
                "parameters": {str(name): str(value) for name, value in parameters.items()},
                "body": msgspec.json.encode(body),
            },
            context.scope,
        )
        await self._patch(api_id, desired, {}, context)

    async def _patch(
        self, api_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> None:
        patches = [
            replacement(path, text_of(desired.get(name)))
            for name, path in (
                ("Name", "/name"),
                ("Description", "/description"),
                ("Version", "/version"),
                ("Policy", "/policy"),
                ("ApiKeySourceType", "/apiKeySource"),
                ("MinimumCompressionSize", "/minimumCompressionSize"),
                ("DisableExecuteApiEndpoint", "/disableExecuteApiEndpoint"),
                ("SecurityPolicy", "/securityPolicy"),
                ("EndpointAccessMode", "/endpointAccessMode"),
            )
            if desired.get(name) != previous.get(name)
            and (name in desired or name not in ("Name", "DisableExecuteApiEndpoint"))
        ]
        patches += endpoint_patches(
            desired.get("EndpointConfiguration") or {}, previous.get("EndpointConfiguration") or {}
        )
        patches += member_patches(
            "/binaryMediaTypes",
            dict.fromkeys(desired.get("BinaryMediaTypes") or (), ""),
            dict.fromkeys(previous.get("BinaryMediaTypes") or (), ""),
        )
        if patches:
            await self._caller.call(
                "apigateway:UpdateRestApi",
                {"restApiId": api_id, "patchOperations": patches},
                context.scope,
            )

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await delete_by(
            self._caller, "apigateway:DeleteRestApi", {"restApiId": physical_id}, context
        )

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The API that has the tags which a create for this resource gives."""
        wanted = context.system_tags.items()
        for api in await items_of(self._caller, "apigateway:GetRestApis", {}, context):
            if wanted <= (api.get("tags") or {}).items():
                return str(api["id"])
        return None

    async def _physical(self, api_id: str, context: ResourceContext) -> Physical:
        api = await self._caller.call("apigateway:GetRestApi", {"restApiId": api_id}, context.scope)
        return Physical(
            physical_id=api_id,
            reference=api_id,
            attributes={"RestApiId": api_id, "RootResourceId": api["rootResourceId"]},
        )


class AccountProvider:
    """`AWS::ApiGateway::Account`: a setting of the account; deleting it leaves the setting."""

    resource_type = "AWS::ApiGateway::Account"
    facts = ACCOUNT

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        return await self._set(context.physical_name(NAME_MAX), desired, context)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        return await self._set(physical_id, desired, context)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        return

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The setting is always there, and making it again makes it no other."""
        return context.physical_name(NAME_MAX)

    async def _set(
        self, physical_id: str, desired: Properties, context: ResourceContext
    ) -> Physical:
        role = text_of(desired.get("CloudWatchRoleArn"))
        await self._caller.call(
            "apigateway:UpdateAccount",
            {"patchOperations": [replacement("/cloudwatchRoleArn", role)]},
            context.scope,
        )
        return Physical(
            physical_id=physical_id, reference=physical_id, attributes={"Id": physical_id}
        )


def _body(properties: Properties) -> Mapping[str, Any] | None:
    body = properties.get("Body")
    if isinstance(body, str):
        try:
            body = msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise ResourceError("Invalid OpenAPI input.", handler_code="InvalidRequest") from None
    if body is not None and not isinstance(body, dict):
        raise ResourceError("Invalid OpenAPI input.", handler_code="InvalidRequest")
    return body


def _refuse_elsewhere(properties: Properties) -> None:
    if properties.get("BodyS3Location"):
        raise ResourceError(
            "BodyS3Location is not emulated yet",
            handler_code="InvalidRequest",
            hint="give the definition in `Body`",
        )
