"""AWS::ApiGatewayV2::DomainName and RoutingRule.

Left to others: API mappings, which are parts of a domain name (`gateway_v2_parts`).
"""

from lamington.core.aws import AwsCaller, Result
from lamington.stack.providers.base import Physical, Properties, ResourceContext, is_owned
from lamington.stack.providers.gateway_calls import delete_by, find_by, given
from lamington.stack.providers.gateway_v2_calls import items_of, retag, tags_of
from lamington.stack.providers.gateway_v2_facts import DOMAIN_NAME, ROUTING_RULE


class DomainNameProvider:
    """`AWS::ApiGatewayV2::DomainName`."""

    resource_type = "AWS::ApiGatewayV2::DomainName"
    facts = DOMAIN_NAME

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        tags = {**tags_of(desired, context), **context.system_tags}
        params = {**_domain_members(desired), "Tags": tags}
        return _domain_physical(
            await self._caller.call("apigatewayv2:CreateDomainName", params, context.scope)
        )

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        said = _domain_members(desired)
        if previous.get("MutualTlsAuthentication") and "MutualTlsAuthentication" not in said:
            said["MutualTlsAuthentication"] = {"TruststoreUri": ""}
        said.setdefault("RoutingMode", "API_MAPPING_ONLY")
        result = await self._caller.call("apigatewayv2:UpdateDomainName", said, context.scope)
        await retag(self._caller, f"domainnames/{physical_id}", desired, previous, context)
        return _domain_physical(result)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        params = {"DomainName": physical_id}
        await delete_by(self._caller, "apigatewayv2:DeleteDomainName", params, context)

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        params = {"DomainName": desired["DomainName"]}
        found = await find_by(self._caller, "apigatewayv2:GetDomainName", params, context)
        if found is None or not context.system_tags.items() <= (found.get("Tags") or {}).items():
            return None
        return str(found["DomainName"])


class RoutingRuleProvider:
    """`AWS::ApiGatewayV2::RoutingRule`, whose physical id is its ARN."""

    resource_type = "AWS::ApiGatewayV2::RoutingRule"
    facts = ROUTING_RULE

    def __init__(self, caller: AwsCaller) -> None:
        self._caller = caller

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        return _rule_physical(
            await self._caller.call(
                "apigatewayv2:CreateRoutingRule", _rule_members(desired), context.scope
            )
        )

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        """Put the rule anew under its id."""
        params = {**_rule_members(desired), "RoutingRuleId": _rule_id(physical_id)}
        return _rule_physical(
            await self._caller.call("apigatewayv2:PutRoutingRule", params, context.scope)
        )

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        params = {"DomainName": _domain_of(properties), "RoutingRuleId": _rule_id(physical_id)}
        await delete_by(self._caller, "apigatewayv2:DeleteRoutingRule", params, context)

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The rule of this priority, which no two rules of a domain name share."""
        params = {"DomainName": _domain_of(desired)}
        rules = await items_of(
            self._caller, "apigatewayv2:ListRoutingRules", params, context, member="RoutingRules"
        )
        for rule in rules:
            arn = str(rule["RoutingRuleArn"])
            if rule["Priority"] == desired["Priority"]:
                is_other = await is_owned(self._caller, self.resource_type, arn, context)
                return None if is_other else arn
        return None


def _domain_members(properties: Properties) -> Result:
    members = ("DomainNameConfigurations", "MutualTlsAuthentication", "RoutingMode")
    return {
        "DomainName": properties["DomainName"],
        **given(**{name: properties.get(name) for name in members}),
    }


def _domain_physical(domain: Result) -> Physical:
    (configuration,) = domain["DomainNameConfigurations"]
    return Physical(
        physical_id=domain["DomainName"],
        reference=domain["DomainName"],
        attributes={
            "DomainNameArn": domain["DomainNameArn"],
            "RegionalDomainName": configuration["ApiGatewayDomainName"],
            "RegionalHostedZoneId": configuration["HostedZoneId"],
        },
    )


def _domain_of(properties: Properties) -> str:
    """The name in a domain name's ARN, which ends in `/domainnames/{name}`."""
    return str(properties["DomainNameArn"]).rpartition("/")[2]


def _rule_id(arn: str) -> str:
    return arn.rpartition("/")[2]


def _rule_members(properties: Properties) -> Result:
    rule = {name: properties[name] for name in ("Actions", "Conditions", "Priority")}
    return {**rule, "DomainName": _domain_of(properties)}


def _rule_physical(rule: Result) -> Physical:
    arn = str(rule["RoutingRuleArn"])
    return Physical(
        physical_id=arn,
        reference=arn,
        attributes={"RoutingRuleArn": arn, "RoutingRuleId": rule["RoutingRuleId"]},
    )
