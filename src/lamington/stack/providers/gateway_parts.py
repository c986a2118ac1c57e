"""AWS::ApiGateway types that are one thing with one set of operations: a table and its provider.

Their properties are the members of a Create operation, and what changes in place is patched below
the member's name. Left to others: types that take several calls (`gateway`, `gateway_methods`,
`gateway_stages`), and what the registry says of each (`gateway_facts`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamington.core.aws import AwsCaller, Result
from lamington.stack.providers import gateway_facts as facts
from lamington.stack.providers.base import (
    Physical,
    Properties,
    ResourceContext,
    ResourceFacts,
    is_owned,
)
from lamington.stack.providers.gateway_calls import (
    delete_by,
    endpoint_patches,
    find_by,
    given,
    items_of,
    member_patches,
    replacement,
    retag,
    tags_of,
    text_of,
)

NAME_MAX = 128
ROOT_PATH = "(none)"
TTL_DEFAULT_S = "300"

Patches = list[dict[str, str]]


def _as_written(properties: Properties) -> Properties:
    return properties


def _nothing_more(after: Properties, before: Properties) -> Patches:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One type: its operations, what its physical id is made of, and how its properties change.

    The physical id is the member `identity` of what Create answers, or made of the properties by
    the format `composed`; operations want it as the parameter `called`, and the properties
    `parents` beside it. `attributes` other than the physical id are members of what Get answers.
    `named` is the property that CloudFormation fills with a name where it has none.
    `members` are the properties whose member has a name of its own, `paths` those whose patch
    path has; `gone` is what is written where a property is no more. `listed` gives the values
    of lists that are patched by value, `apart` are what `patched` sees to, `texts` are sent as the
    text of what is written. `tags` is the path of its ARN, "" for what has no tags to
    change.
    """

    kind: str = ""
    noun: str
    facts: ResourceFacts
    identity: str = "id"
    composed: str = ""
    called: str = ""
    parents: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    named: str = ""
    members: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    gone: Mapping[str, str] = field(default_factory=dict)
    listed: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    patched: Callable[[Properties, Properties], Patches] = _nothing_more
    apart: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    prepared: Callable[[Properties], Properties] = _as_written
    tags: str = ""
    verb: str = "Create"

    def member(self, name: str) -> str:
        """What the operations call a property."""
        return self.members.get(name) or name[:1].lower() + name[1:]

    def said(self, properties: Properties) -> Result:
        """The properties as members of the operations, without tags."""
        return given(
            **{
                self.member(name): text_of(value) if name in self.texts else _lowered(value)
                for name, value in self.prepared(properties).items()
                if name != "Tags"
            }
        )

    def where(self, physical_id: str, properties: Properties) -> dict[str, str]:
        """The parameters that name this resource in an operation."""
        prepared = self.prepared(properties)
        parents = {self.member(name): str(prepared[name]) for name in self.parents}
        if self.called == "domainNameId":
            physical_id = physical_id.rpartition("+")[2]
        return {**parents, self.called: physical_id} if self.called else parents

    def is_like(self, item: Mapping[str, Any], properties: Properties) -> bool:
        """Whether an item of a list, or what Get shows, has what a create was to say."""
        above = {self.member(name) for name in self.parents}
        return all(
            item.get(name) == value
            for name, value in self.said(properties).items()
            if name not in above and (name in item or not self.composed)
        )

    def patches(self, after: Properties, before: Properties) -> Patches:
        """What an Update is to do; a list is patched by what came and what went."""
        fixed = self.facts.create_only | self.listed.keys() | self.apart | {"Tags"}
        patches = [
            replacement(
                self.paths.get(name) or f"/{self.member(name)}",
                text_of(after.get(name, self.gone.get(name))),
            )
            for name in sorted(self.facts.properties - fixed)
            if after.get(name) != before.get(name)
        ]
        for name, value_of in self.listed.items():
            new, old = ([value_of(it) for it in each.get(name) or ()] for each in (after, before))
            path = self.paths.get(name) or f"/{self.member(name)}"
            # What comes is first: some lists must not be empty in between.
            patches += [_listed("add", path, value) for value in new if value not in old]
            patches += [_listed("remove", path, value) for value in old if value not in new]
        return patches + self.patched(after, before)


def _lowered(value: Any) -> Any:
    """A property under the members' names; keys that are no names, such as paths, stay."""
    if isinstance(value, Mapping):
        return {name[:1].lower() + name[1:]: _lowered(each) for name, each in value.items()}
    return [_lowered(each) for each in value] if isinstance(value, list) else value


def _listed(op: str, path: str, value: str) -> dict[str, str]:
    return {"op": op, "path": path, "value": value}


def _stage_name(stage: Mapping[str, Any]) -> str:
    return f"{stage.get('ApiId')}:{stage.get('Stage')}"


def _plan_patches(after: Properties, before: Properties) -> Patches:
    """Limits whole: those that changed are removed and set anew.

    Those of a stage come last, since a stage must be in the plan before it has any.
    """
    patches: Patches = []
    for name in ("Throttle", "Quota"):
        limits = _lowered(after.get(name) or {})
        if after.get(name) != before.get(name):
            path = f"/{name.lower()}"
            patches += [{"op": "remove", "path": path}] if before.get(name) else []
            patches += [replacement(f"{path}/{it}", text_of(limits[it])) for it in limits]
    known = {_stage_name(each): each.get("Throttle") for each in before.get("ApiStages") or ()}
    for stage in after.get("ApiStages") or ():
        name, limits = _stage_name(stage), stage.get("Throttle")
        if limits != known.get(name):
            written = text_of(_lowered(limits or {}))
            patches.append(replacement(f"/apiStages/{name}/throttle", written))
    return patches


def _domain_patches(after: Properties, before: Properties) -> Patches:
    name = "EndpointConfiguration"
    trusts = (_lowered(it.get("MutualTlsAuthentication") or {}) for it in (after, before))
    return [
        *endpoint_patches(after.get(name) or {}, before.get(name) or {}),
        *member_patches("/mutualTlsAuthentication", *trusts),
    ]


def _with_base_path(properties: Properties) -> Properties:
    return {**properties, "BasePath": properties.get("BasePath") or ROOT_PATH}


def _with_private_name(properties: Properties) -> Properties:
    """A private domain name's ARN, which ends in `/domainnames/{name}+{id}`, as name and id."""
    said = dict(_with_base_path(properties))
    name, _, name_id = str(said.pop("DomainNameArn")).rpartition("/")[2].partition("+")
    return {**said, "DomainName": name, "DomainNameId": name_id}


def _with_content_type(properties: Properties) -> Properties:
    return {**properties, "ContentType": properties.get("ContentType") or "application/json"}


PARTS: tuple[Part, ...] = (
    Part(
        noun="Resource",
        facts=facts.RESOURCE,
        parents=("RestApiId",),
        called="resourceId",
    ),
    Part(
        noun="Model",
        facts=facts.MODEL,
        parents=("RestApiId",),
        called="modelName",
        identity="name",
        named="Name",
        texts=frozenset({"Schema"}),
        prepared=_with_content_type,
    ),
    Part(
        noun="RequestValidator",
        facts=facts.REQUEST_VALIDATOR,
        parents=("RestApiId",),
        called="requestValidatorId",
        named="Name",
    ),
    Part(
        noun="Authorizer",
        facts=facts.AUTHORIZER,
        parents=("RestApiId",),
        called="authorizerId",
        gone={"AuthorizerResultTtlInSeconds": TTL_DEFAULT_S},
        listed={"ProviderARNs": str},
    ),
    Part(
        noun="DocumentationPart",
        facts=facts.DOCUMENTATION_PART,
        parents=("RestApiId",),
        called="documentationPartId",
        texts=frozenset({"Properties"}),
    ),
    Part(
        noun="DocumentationVersion",
        facts=facts.DOCUMENTATION_VERSION,
        parents=("RestApiId", "DocumentationVersion"),
        composed="{DocumentationVersion}",
    ),
    Part(
        noun="ApiKey",
        facts=facts.API_KEY,
        called="apiKey",
        named="Name",
        listed={"StageKeys": lambda key: f"{key.get('RestApiId')}/{key.get('StageName')}"},
        # AWS: `/stages` takes `{api}/{stage}` (API reference, patch operations).
        paths={"StageKeys": "/stages"},
        tags="apikeys",
    ),
    Part(
        noun="UsagePlan",
        facts=facts.USAGE_PLAN,
        called="usagePlanId",
        named="UsagePlanName",
        members={"UsagePlanName": "name"},
        listed={"ApiStages": _stage_name},
        apart=frozenset({"Throttle", "Quota"}),
        patched=_plan_patches,
        tags="usageplans",
    ),
    Part(
        noun="UsagePlanKey",
        facts=facts.USAGE_PLAN_KEY,
        parents=("UsagePlanId", "KeyId"),
        composed="{KeyId}:{UsagePlanId}",
    ),
    Part(
        noun="ClientCertificate",
        facts=facts.CLIENT_CERTIFICATE,
        identity="clientCertificateId",
        called="clientCertificateId",
        tags="clientcertificates",
        verb="Generate",
    ),
    Part(noun="VpcLink", facts=facts.VPC_LINK, called="vpcLinkId", tags="vpclinks"),
    Part(
        noun="DomainName",
        facts=facts.DOMAIN_NAME,
        identity="domainName",
        called="domainName",
        attributes={
            "DistributionDomainName": "distributionDomainName",
            "DistributionHostedZoneId": "distributionHostedZoneId",
            "DomainNameArn": "domainNameArn",
            "RegionalDomainName": "regionalDomainName",
            "RegionalHostedZoneId": "regionalHostedZoneId",
        },
        gone={"SecurityPolicy": "TLS_1_2", "RoutingMode": "API_MAPPING_ONLY"},
        apart=frozenset({"EndpointConfiguration", "MutualTlsAuthentication"}),
        patched=_domain_patches,
        tags="domainnames",
    ),
    Part(
        kind="DomainNameV2",
        noun="DomainName",
        facts=facts.DOMAIN_NAME_V2,
        identity="domainNameArn",
        parents=("DomainName",),
        called="domainNameId",
        attributes={"DomainNameArn": "domainNameArn", "DomainNameId": "domainNameId"},
        gone={"RoutingMode": "API_MAPPING_ONLY"},
        texts=frozenset({"Policy"}),
        tags="domainnames",
    ),
    Part(
        noun="BasePathMapping",
        facts=facts.BASE_PATH_MAPPING,
        parents=("DomainName", "BasePath"),
        composed="{DomainName}|{BasePath}",
        # AWS: the path is written so (API reference, patch operations).
        paths={"RestApiId": "/restapiId"},
        prepared=_with_base_path,
    ),
    Part(
        kind="BasePathMappingV2",
        noun="BasePathMapping",
        facts=facts.BASE_PATH_MAPPING_V2,
        parents=("DomainName", "DomainNameId", "BasePath"),
        composed="{DomainNameArn}/basepathmappings/{BasePath}",
        paths={"RestApiId": "/restapiId"},
        prepared=_with_private_name,
    ),
    Part(
        noun="DomainNameAccessAssociation",
        facts=facts.ACCESS_ASSOCIATION,
        identity="domainNameAccessAssociationArn",
        called="domainNameAccessAssociationArn",
    ),
)


class PartProvider:
    """A type of the table: created, patched and deleted by the operations of its noun."""

    def __init__(self, caller: AwsCaller, part: Part) -> None:
        self._caller = caller
        self._part = part
        self._claims: dict[str, str] = {}

    @property
    def resource_type(self) -> str:
        return f"AWS::ApiGateway::{self._part.kind or self._part.noun}"

    @property
    def facts(self) -> ResourceFacts:
        return self._part.facts

    @property
    def _has_tags(self) -> bool:
        return "Tags" in self._part.facts.properties

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        part, named = self._part, self._named(desired, context)
        tags = {**tags_of(desired, context), **context.system_tags} if self._has_tags else {}
        made = await self._caller.call(
            f"apigateway:{part.verb}{part.noun}",
            {**part.said(named), **given(tags=tags)},
            context.scope,
        )
        return await self._physical(self._identity(made, named), named, context)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        part = self._part
        after, before = self._named(desired, context), self._named(previous, context)
        patches = part.patches(after, before)
        if patches:
            await self._caller.call(
                f"apigateway:Update{part.noun}",
                {**part.where(physical_id, after), "patchOperations": patches},
                context.scope,
            )
        if part.tags:
            resource = f"{part.tags}/{physical_id.rpartition('/')[2]}"
            tags = tags_of(desired, context), tags_of(previous, context)
            await retag(self._caller, resource, *tags, context)
        return await self._physical(physical_id, after, context)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        part = self._part
        where = part.where(physical_id, self._named(properties, context))
        if part.noun == "UsagePlan":
            await self._leave_stages(where, context)
        await delete_by(self._caller, f"apigateway:Delete{part.noun}", where, context)

    async def _leave_stages(self, where: Mapping[str, str], context: ResourceContext) -> None:
        """Take a plan's stages from it: as long as it has one it is not deleted."""
        plan = await find_by(self._caller, "apigateway:GetUsagePlan", where, context)
        stages: Sequence[Mapping[str, Any]] = (plan or {}).get("apiStages") or ()
        patches = [
            _listed("remove", "/apiStages", f"{each['apiId']}:{each['stage']}") for each in stages
        ]
        if patches:
            params = {**where, "patchOperations": patches}
            await self._caller.call("apigateway:UpdateUsagePlan", params, context.scope)

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """What has the tags that a create gives, or is like this one and no stack has it.

        Where several creates were cut off each gets one of its own: they differ in nothing else.
        """
        part, named = self._part, self._named(desired, context)
        if part.composed:
            where = part.where("", named)
            found = await find_by(self._caller, f"apigateway:Get{part.noun}", where, context)
            items: Sequence[Mapping[str, Any]] = [found] if found else []
        else:
            # What has tags of its own belongs to nothing, so that all of its kind are listed.
            above = {} if part.tags else part.where("", named)
            above.pop(part.called, None)
            operation = f"apigateway:Get{part.noun}s"
            items = await items_of(self._caller, operation, above, context)
        for item in items:
            physical_id = self._identity(item, named)
            if self._has_tags:
                if context.system_tags.items() <= (item.get("tags") or {}).items():
                    return physical_id
            elif (
                part.is_like(item, named)
                and not await is_owned(self._caller, self.resource_type, physical_id, context)
                and self._claims.setdefault(physical_id, context.token) == context.token
            ):
                return physical_id
        return None

    def _named(self, properties: Properties, context: ResourceContext) -> Properties:
        """The properties with the name that CloudFormation gives to what has none."""
        name = self._part.named
        if not name or properties.get(name):
            return properties
        made = context.physical_name(NAME_MAX)
        # AWS: the name of a model has letters and digits only.
        return {**properties, name: made.replace("-", "") if self._part.noun == "Model" else made}

    def _identity(self, item: Mapping[str, Any], properties: Properties) -> str:
        if self._part.composed:
            whole = {**self._part.prepared(properties), **properties}
            whole["BasePath"] = properties.get("BasePath") or ROOT_PATH
            return self._part.composed.format_map(whole)
        return str(item[self._part.identity])

    async def _physical(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> Physical:
        part = self._part
        attributes = dict.fromkeys(part.facts.attributes, physical_id)
        if part.attributes:
            where = part.where(physical_id, properties)
            shown = await self._caller.call(f"apigateway:Get{part.noun}", where, context.scope)
            attributes = {name: shown.get(it, "") for name, it in part.attributes.items()}
        return Physical(physical_id=physical_id, reference=physical_id, attributes=attributes)
