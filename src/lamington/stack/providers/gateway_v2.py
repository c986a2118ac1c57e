"""AWS::ApiGatewayV2::Api and Stage, and the list of all AWS::ApiGatewayV2 types.

Each provider only calls API Gateway's operations. Left to others: what is in an API
(`gateway_v2_parts`), and in which order the resources come and go (`executor`).
"""

from typing import Any

import msgspec

from lamington.core.aws import AwsCaller, Result
from lamington.core.errors import AwsError, ResourceError
from lamington.stack.providers.base import Physical, Properties, Provider, ResourceContext
from lamington.stack.providers.gateway_calls import delete_by, find_by, given
from lamington.stack.providers.gateway_v2_calls import changes, items_of, retag, tags_of
from lamington.stack.providers.gateway_v2_domains import (
    DomainNameProvider,
    RoutingRuleProvider,
)
from lamington.stack.providers.gateway_v2_facts import API, STAGE
from lamington.stack.providers.gateway_v2_parts import (
    PARTS,
    ManagedOverridesProvider,
    PartProvider,
    VpcLinkProvider,
)

_API_MEMBERS = (
    *("Name", "Description", "Version", "CorsConfiguration", "RouteSelectionExpression"),
    *("ApiKeySelectionExpression", "DisableExecuteApiEndpoint", "DisableSchemaValidation"),
    *("IpAddressType", "Target", "RouteKey", "CredentialsArn"),
)
_IMPORTED = ("Body", "BasePath", "FailOnWarnings")
"""The properties whose change imports the body again."""

_STAGE_MEMBERS = (
    *("AutoDeploy", "ClientCertificateId", "DeploymentId", "Description", "StageVariables"),
    *("DefaultRouteSettings", "RouteSettings", "AccessLogSettings"),
)


def gateway_v2_providers(caller: AwsCaller) -> list[Provider]:
    """The providers of every AWS::ApiGatewayV2 type that is emulated."""
    return [
        ApiProvider(caller),
        StageProvider(caller),
        VpcLinkProvider(caller),
        *(PartProvider(caller, part) for part in PARTS),
        DomainNameProvider(caller),
        RoutingRuleProvider(caller),
        ManagedOverridesProvider(caller),
    ]


class ApiProvider:
    """`AWS::ApiGatewayV2::Api`, by properties, by a `Body`, or both."""

    resource_type = "AWS::ApiGatewayV2::Api"
    facts = API

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        body = _body(desired)
        name = desired.get("Name") or (body or {}).get("info", {}).get("title")
        protocol = desired.get("ProtocolType") or ("HTTP" if body is not None else None)
        for member, value in (("Name", name), ("ProtocolType", protocol)):
            if not value:
                raise ResourceError(
                    f"#: required key [{member}] not found", handler_code="InvalidRequest"
                )
        members = given(**{each: desired.get(each) for each in _API_MEMBERS})
        created = await self._caller.call(
            "apigatewayv2:CreateApi",
            {
                **members,
                "Name": str(name),
                "ProtocolType": protocol,
                "Tags": {**tags_of(desired, context), **context.system_tags},
            },
            context.scope,
        )
        api_id = str(created["ApiId"])
        if body is not None:
            try:
                await self._put_body(api_id, body, desired, context)
            except AwsError:
                await self.delete(api_id, desired, context)
                raise
        return _api_physical(created, context)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        body = _body(desired)
        if body is not None and any(desired.get(it) != previous.get(it) for it in _IMPORTED):
            await self._put_body(physical_id, body, desired, context)
        said = _said(desired, previous, is_named=bool(desired.get("Name")))
        if previous.get("CorsConfiguration") and not desired.get("CorsConfiguration"):
            await self._caller.call(
                "apigatewayv2:DeleteCorsConfiguration", {"ApiId": physical_id}, context.scope
            )
        api = await self._caller.call(
            "apigatewayv2:UpdateApi", {"ApiId": physical_id, **said}, context.scope
        )
        await retag(self._caller, f"apis/{physical_id}", desired, previous, context)
        return _api_physical(api, context)

    async def _put_body(
        self, api_id: str, body: dict[str, Any], desired: Properties, context: ResourceContext
    ) -> None:
        """Import the body, then say again what properties say: they win over the body."""
        await self._caller.call(
            "apigatewayv2:ReimportApi",
            given(
                ApiId=api_id,
                Body=msgspec.json.encode(body).decode(),
                Basepath=desired.get("BasePath"),
                FailOnWarnings=desired.get("FailOnWarnings"),
            ),
            context.scope,
        )
        said = given(**{each: desired.get(each) for each in _API_MEMBERS})
        await self._caller.call("apigatewayv2:UpdateApi", {"ApiId": api_id, **said}, context.scope)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await delete_by(self._caller, "apigatewayv2:DeleteApi", {"ApiId": physical_id}, context)

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The API that has the tags which a create for this resource gives."""
        wanted = context.system_tags.items()
        for api in await items_of(self._caller, "apigatewayv2:GetApis", {}, context):
            if wanted <= (api.get("Tags") or {}).items():
                return str(api["ApiId"])
        return None


class StageProvider:
    """`AWS::ApiGatewayV2::Stage`: what makes a deployment callable."""

    resource_type = "AWS::ApiGatewayV2::Stage"
    facts = STAGE

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        name = str(desired["StageName"])
        await self._caller.call(
            "apigatewayv2:CreateStage",
            {
                **given(**{each: desired.get(each) for each in _STAGE_MEMBERS}),
                "ApiId": desired["ApiId"],
                "StageName": name,
                "Tags": {**tags_of(desired, context), **context.system_tags},
            },
            context.scope,
        )
        return Physical(physical_id=name, reference=name)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        where = {"ApiId": desired["ApiId"], "StageName": physical_id}
        after, before = (it.get("RouteSettings") or {} for it in (desired, previous))
        for key in before.keys() - after.keys():
            await delete_by(
                self._caller,
                "apigatewayv2:DeleteRouteSettings",
                {**where, "RouteKey": key},
                context,
            )
        if previous.get("AccessLogSettings") and not desired.get("AccessLogSettings"):
            await self._caller.call("apigatewayv2:DeleteAccessLogSettings", where, context.scope)
        said = changes(_STAGE_MEMBERS, desired, previous)
        for name in ("RouteSettings", "AccessLogSettings"):
            said.pop(name, None)
            if desired.get(name):
                said[name] = desired[name]
        if desired.get("AutoDeploy") or not desired.get("DeploymentId"):
            said.pop("DeploymentId", None)
        await self._caller.call("apigatewayv2:UpdateStage", {**where, **said}, context.scope)
        resource = f"apis/{desired['ApiId']}/stages/{physical_id}"
        await retag(self._caller, resource, desired, previous, context)
        return Physical(physical_id=physical_id, reference=physical_id)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        params = {"ApiId": properties["ApiId"], "StageName": physical_id}
        await delete_by(self._caller, "apigatewayv2:DeleteStage", params, context)

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        params = {"ApiId": desired["ApiId"], "StageName": desired["StageName"]}
        stage = await find_by(self._caller, "apigatewayv2:GetStage", params, context)
        if stage is None or not context.system_tags.items() <= (stage.get("Tags") or {}).items():
            return None
        return str(stage["StageName"])


def _said(desired: Properties, previous: Properties, *, is_named: bool) -> Result:
    """What UpdateApi is to say; what has no nothing, such as a name, is left as it was."""
    said = changes(_API_MEMBERS, desired, previous)
    said.pop("CorsConfiguration", None)
    if desired.get("CorsConfiguration"):
        said["CorsConfiguration"] = desired["CorsConfiguration"]
    if not is_named:
        said.pop("Name", None)
    return {
        name: value
        for name, value in said.items()
        if value != "" or name in ("Description", "Version")
    }


def _api_physical(api: Result, context: ResourceContext) -> Physical:
    api_id = str(api["ApiId"])
    return Physical(
        physical_id=api_id,
        reference=api_id,
        attributes={
            "ApiId": api_id,
            "ApiEndpoint": api["ApiEndpoint"],
            "ExecuteApiArn": context.scope.arn("execute-api", api_id),
        },
    )


def _body(properties: Properties) -> dict[str, Any] | None:
    if properties.get("BodyS3Location"):
        raise ResourceError(
            "BodyS3Location is not emulated yet",
            handler_code="InvalidRequest",
            hint="give the definition in `Body`",
        )
    body = properties.get("Body")
    if isinstance(body, str):
        try:
            body = msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise ResourceError("Invalid OpenAPI input.", handler_code="InvalidRequest") from None
    if body is not None and not isinstance(body, dict):
        raise ResourceError("Invalid OpenAPI input.", handler_code="InvalidRequest")
    return body
