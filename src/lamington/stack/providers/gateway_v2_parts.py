"""AWS::ApiGatewayV2 types for what belongs to an API, from a table, and VPC links.

The properties of these types are the members of the operations. Left to others: the API and its
stages (`gateway_v2`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from lamington.core.aws import AwsCaller, Result
from lamington.core.errors import ResourceError
from lamington.stack.providers import gateway_v2_facts as facts
from lamington.stack.providers.base import (
    Physical,
    Properties,
    ResourceContext,
    ResourceFacts,
    is_owned,
)
from lamington.stack.providers.gateway_calls import delete_by, find_by, given
from lamington.stack.providers.gateway_v2_calls import changes, items_of, retag, tags_of


def _as_written(properties: Properties) -> Properties:
    return properties


def _with_mapped_responses(properties: Properties) -> Properties:
    """An integration's response parameters, which a template has in lists, as a map."""
    written = properties.get("ResponseParameters")
    if not isinstance(written, Mapping):
        return properties
    mapped = {
        status: {
            str(each.get("Destination")): str(each.get("Source"))
            for each in parameters.get("ResponseParameters") or ()
        }
        for status, parameters in written.items()
    }
    return {**properties, "ResponseParameters": mapped}


def _with_schema_text(properties: Properties) -> Properties:
    schema = properties.get("Schema")
    if isinstance(schema, (dict, list)):
        return {**properties, "Schema": msgspec.json.encode(schema).decode()}
    return properties


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One type: the noun of its operations, whose part it is, and what is never unsaid.

    `unique` are the members that no two parts of one API share, by which a create that was cut
    off is found; empty where all members together must do. `kept` are the members which an
    update without them leaves alone.
    """

    noun: str
    facts: ResourceFacts
    parents: tuple[str, ...] = ("ApiId",)
    unique: tuple[str, ...] = ()
    kept: frozenset[str] = frozenset()
    prepared: Callable[[Properties], Properties] = _as_written

    @property
    def id_member(self) -> str:
        return f"{self.noun}Id"

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(sorted(self.facts.properties - set(self.parents)))


PARTS: tuple[Part, ...] = (
    Part(
        noun="Route",
        facts=facts.ROUTE,
        unique=("RouteKey",),
        # AWS: an authorizer goes by the type NONE alone (coverage roadmap, issue 2184).
        kept=frozenset({"AuthorizationType", "AuthorizerId", "AuthorizationScopes"}),
    ),
    Part(
        noun="RouteResponse",
        facts=facts.ROUTE_RESPONSE,
        parents=("ApiId", "RouteId"),
        unique=("RouteResponseKey",),
    ),
    Part(
        noun="Integration",
        facts=facts.INTEGRATION,
        kept=frozenset({"ConnectionType", "PassthroughBehavior", "PayloadFormatVersion"}),
        prepared=_with_mapped_responses,
    ),
    Part(
        noun="IntegrationResponse",
        facts=facts.INTEGRATION_RESPONSE,
        parents=("ApiId", "IntegrationId"),
        unique=("IntegrationResponseKey",),
    ),
    Part(noun="Authorizer", facts=facts.AUTHORIZER, unique=("Name",)),
    Part(noun="Deployment", facts=facts.DEPLOYMENT, kept=frozenset({"StageName"})),
    Part(
        noun="Model",
        facts=facts.MODEL,
        unique=("Name",),
        kept=frozenset({"ContentType"}),
        prepared=_with_schema_text,
    ),
    Part(noun="ApiMapping", facts=facts.API_MAPPING, parents=("DomainName",)),
)


_MANAGED = {"Integration": "IntegrationId", "Route": "RouteId", "Stage": "StageName"}
"""What quick create makes, and what each is called by."""


class PartProvider:
    """A type of the table: created, updated and deleted by the operations of its noun."""

    def __init__(self, caller: AwsCaller, part: Part) -> None:
        self._caller = caller
        self._part = part
        self._claims: dict[str, str] = {}

    @property
    def resource_type(self) -> str:
        return f"AWS::ApiGatewayV2::{self._part.noun}"

    @property
    def facts(self) -> ResourceFacts:
        return self._part.facts

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        said = self._part.prepared(desired)
        created = await self._caller.call(
            f"apigatewayv2:Create{self._part.noun}",
            {**self._where(desired), **given(**{it: said.get(it) for it in self._part.members})},
            context.scope,
        )
        return self._physical(str(created[self._part.id_member]))

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        prepared = self._part.prepared
        said = changes(self._part.members, prepared(desired), prepared(previous))
        for name in self._part.kept - {it for it in desired if desired[it] is not None}:
            said.pop(name, None)
        if self._part.noun == "Deployment":
            said.pop("StageName", None)
        if self._part.noun == "Route":
            await self._forget_parameters(physical_id, desired, previous, context)
            said.pop("RequestParameters", None)
            said |= given(RequestParameters=desired.get("RequestParameters"))
        await self._caller.call(
            f"apigatewayv2:Update{self._part.noun}",
            {**self._where(desired), self._part.id_member: physical_id, **said},
            context.scope,
        )
        return self._physical(physical_id)

    async def _forget_parameters(
        self, route_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> None:
        """An update of a route cannot say that a request parameter is gone."""
        after, before = (it.get("RequestParameters") or {} for it in (desired, previous))
        for key in before.keys() - after.keys():
            await delete_by(
                self._caller,
                "apigatewayv2:DeleteRouteRequestParameter",
                {"ApiId": desired["ApiId"], "RouteId": route_id, "RequestParameterKey": key},
                context,
            )

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        params = {**self._where(properties), self._part.id_member: physical_id}
        await delete_by(self._caller, f"apigatewayv2:Delete{self._part.noun}", params, context)

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """A part like this one that no stack has.

        Where several creates were cut off each gets one of its own: they differ in nothing else.
        """
        operation = f"apigatewayv2:Get{self._part.noun}s"
        for each in await items_of(self._caller, operation, self._where(desired), context):
            physical_id = str(each[self._part.id_member])
            if (
                self._is_like(each, desired, context)
                and not await is_owned(self._caller, self.resource_type, physical_id, context)
                and self._claims.setdefault(physical_id, context.token) == context.token
            ):
                return physical_id
        return None

    def _is_like(
        self, item: Mapping[str, Any], desired: Properties, context: ResourceContext
    ) -> bool:
        said = self._part.prepared(desired)
        created = item.get("CreatedDate")
        if isinstance(created, datetime):
            # A deployment shows nothing of what it holds; times are told in whole seconds.
            is_new = context.started is None or created >= context.started.replace(microsecond=0)
            is_same = item.get("Description", "") == (said.get("Description") or "")
            return is_new and is_same and not item.get("AutoDeployed")
        names = self._part.unique or tuple(it for it in self._part.members if said.get(it))
        return all(item.get(name) == said.get(name) for name in names)

    def _where(self, properties: Properties) -> Result:
        return {name: properties[name] for name in self._part.parents}

    def _physical(self, physical_id: str) -> Physical:
        return Physical(
            physical_id=physical_id,
            reference=physical_id,
            attributes={self._part.id_member: physical_id},
        )


class VpcLinkProvider:
    """`AWS::ApiGatewayV2::VpcLink`, which belongs to no API."""

    resource_type = "AWS::ApiGatewayV2::VpcLink"
    facts = facts.VPC_LINK

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        created = await self._caller.call(
            "apigatewayv2:CreateVpcLink",
            {
                **given(SecurityGroupIds=desired.get("SecurityGroupIds")),
                "Name": desired["Name"],
                "SubnetIds": desired["SubnetIds"],
                "Tags": {**tags_of(desired, context), **context.system_tags},
            },
            context.scope,
        )
        return _link_physical(str(created["VpcLinkId"]))

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        await self._caller.call(
            "apigatewayv2:UpdateVpcLink",
            {"VpcLinkId": physical_id, "Name": desired["Name"]},
            context.scope,
        )
        await retag(self._caller, f"vpclinks/{physical_id}", desired, previous, context)
        return _link_physical(physical_id)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        params = {"VpcLinkId": physical_id}
        await delete_by(self._caller, "apigatewayv2:DeleteVpcLink", params, context)

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        found = await find_by(self._caller, "apigatewayv2:GetVpcLinks", {}, context)
        for link in (found or {}).get("Items", ()):
            if context.system_tags.items() <= (link.get("Tags") or {}).items():
                return str(link["VpcLinkId"])
        return None


class ManagedOverridesProvider:
    """`AWS::ApiGatewayV2::ApiGatewayManagedOverrides`: what changes the parts of a quick create.

    Differs: deleting it leaves the parts as they are; what AWS does is not documented.
    """

    resource_type = "AWS::ApiGatewayV2::ApiGatewayManagedOverrides"
    facts = facts.MANAGED_OVERRIDES

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        return await self.update("", desired, {}, context)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        api_id = str(desired["ApiId"])
        for noun, identity in _MANAGED.items():
            after, before = (it.get(noun) or {} for it in (desired, previous))
            said = changes(after.keys() | before.keys(), after, before)
            if not said:
                continue
            api = {"ApiId": api_id}
            items = await items_of(self._caller, f"apigatewayv2:Get{noun}s", api, context)
            part = next((each for each in items if each.get("ApiGatewayManaged")), None)
            if part is None:
                raise ResourceError(
                    f"API {api_id} has no {noun.lower()} that is managed by API Gateway",
                    handler_code="NotFound",
                    hint="give the API a `Target`: quick create makes one",
                )
            params = {**api, identity: part[identity], **said}
            await self._caller.call(f"apigatewayv2:Update{noun}", params, context.scope)
        return Physical(physical_id=api_id, reference=api_id, attributes={"Id": api_id})

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        return

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The parts are the API's, and changing them again makes them no other."""
        return str(desired["ApiId"])


def _link_physical(vpc_link_id: str) -> Physical:
    return Physical(
        physical_id=vpc_link_id, reference=vpc_link_id, attributes={"VpcLinkId": vpc_link_id}
    )
