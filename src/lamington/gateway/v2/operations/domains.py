"""The operations on custom domain names, API mappings and routing rules of version 2.

The rows are those of version 1 too, as on AWS: a name made by either is shown by both.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.gateway.domains import (
    ApiMapping,
    DomainName,
    Domains,
    RoutingRule,
    domain_arn,
    generated_names,
    require_mapping_key,
)
from lamington.gateway.entities import BadRequestException, NotFoundException
from lamington.gateway.results import parse_time, shown
from lamington.gateway.v2.tables import listing

MAPPING_EXPRESSION = "$request.basepath"
PRIORITY_MAX = 1_000_000

HasStage = Callable[[Scope, str, str], bool]
"""Whether there is an API of this id, of either version, with a stage of this name."""

_CERTIFICATES = {
    "CertificateArn": ("certificateArn", "regionalCertificateArn"),
    "CertificateName": ("certificateName", "regionalCertificateName"),
    "OwnershipVerificationCertificateArn": (
        "ownershipVerificationCertificateArn",
        "ownershipVerificationCertificateArn",
    ),
}
"""A member of a configuration, and what version 1 calls it for EDGE and for other endpoints."""


class DomainOperations:
    """What AWS's API, version 2, says of domain names."""

    def __init__(self, *, domains: Domains, has_stage: HasStage, clock: Clock, ids: Ids) -> None:
        self._domains = domains
        self._has_stage = has_stage
        self._clock = clock
        self._ids = ids

    def operations(self) -> dict[str, Operation]:
        return {
            "apigatewayv2:CreateDomainName": self.create_domain_name,
            "apigatewayv2:GetDomainName": self.get_domain_name,
            "apigatewayv2:GetDomainNames": self.get_domain_names,
            "apigatewayv2:UpdateDomainName": self.update_domain_name,
            "apigatewayv2:DeleteDomainName": self.delete_domain_name,
            "apigatewayv2:CreateApiMapping": self.create_api_mapping,
            "apigatewayv2:GetApiMapping": self.get_api_mapping,
            "apigatewayv2:GetApiMappings": self.get_api_mappings,
            "apigatewayv2:UpdateApiMapping": self.update_api_mapping,
            "apigatewayv2:DeleteApiMapping": self.delete_api_mapping,
            "apigatewayv2:CreateRoutingRule": self.create_routing_rule,
            "apigatewayv2:GetRoutingRule": self.get_routing_rule,
            "apigatewayv2:ListRoutingRules": self.list_routing_rules,
            "apigatewayv2:PutRoutingRule": self.put_routing_rule,
            "apigatewayv2:DeleteRoutingRule": self.delete_routing_rule,
        }

    # Domain names

    async def create_domain_name(self, params: Params, scope: Scope) -> Result:
        row = DomainName(
            domain_name=self._domains.require_new(scope, params["DomainName"]),
            endpoint_types=("REGIONAL",),
            tags=dict(params.get("Tags") or {}),
            created=self._clock.now().isoformat(),
        )
        row = _configured(row, params)
        self._domains.put(scope, row)
        return _domain_result(row, scope)

    async def get_domain_name(self, params: Params, scope: Scope) -> Result:
        return _domain_result(self._domains.require(scope, params["DomainName"]), scope)

    async def get_domain_names(self, params: Params, scope: Scope) -> Result:
        rows = [(row.domain_name, row) for row in self._domains.names.all(scope)]
        return listing(params, rows, lambda row: _domain_result(row, scope))

    async def update_domain_name(self, params: Params, scope: Scope) -> Result:
        row = _configured(self._domains.require(scope, params["DomainName"]), params)
        self._domains.put(scope, row)
        return _domain_result(row, scope)

    async def delete_domain_name(self, params: Params, scope: Scope) -> Result:
        self._domains.delete(scope, self._domains.require(scope, params["DomainName"]))
        return {}

    # API mappings

    async def create_api_mapping(self, params: Params, scope: Scope) -> Result:
        row = self._domains.require(scope, params["DomainName"])
        mapping = ApiMapping(
            domain_name=row.domain_name,
            mapping_id=self._ids.token(6),
            key=require_mapping_key(params.get("ApiMappingKey") or ""),
            api_id=params["ApiId"],
            stage=params["Stage"],
        )
        self._require_stage(mapping.api_id, mapping.stage, scope)
        self._domains.put_mapping(scope, mapping)
        return _mapping_result(mapping)

    def _require_stage(self, api_id: str, stage: str, scope: Scope) -> None:
        if not self._has_stage(scope, api_id, stage):
            raise BadRequestException(
                "Invalid stage identifier specified", hint=f"API `{api_id}`, stage `{stage}`"
            )

    async def get_api_mapping(self, params: Params, scope: Scope) -> Result:
        return _mapping_result(self._mapping(params, scope))

    async def get_api_mappings(self, params: Params, scope: Scope) -> Result:
        row = self._domains.require(scope, params["DomainName"])
        rows = self._domains.mappings.all(scope, row.domain_name)
        return listing(params, [(each.mapping_id, each) for each in rows], _mapping_result)

    async def update_api_mapping(self, params: Params, scope: Scope) -> Result:
        mapping = self._mapping(params, scope)
        key = params.get("ApiMappingKey")
        mapping = replace(
            mapping,
            api_id=params.get("ApiId") or mapping.api_id,
            stage=params.get("Stage") or mapping.stage,
            key=mapping.key if key is None else require_mapping_key(key),
        )
        self._require_stage(mapping.api_id, mapping.stage, scope)
        self._domains.put_mapping(scope, mapping)
        return _mapping_result(mapping)

    async def delete_api_mapping(self, params: Params, scope: Scope) -> Result:
        self._domains.delete_mapping(scope, self._mapping(params, scope))
        return {}

    def _mapping(self, params: Params, scope: Scope) -> ApiMapping:
        row = self._domains.require(scope, params["DomainName"])
        mapping = self._domains.mappings.get(scope, row.domain_name, params["ApiMappingId"])
        if mapping is None:
            raise NotFoundException("Invalid API mapping identifier specified")
        return mapping

    # Routing rules

    async def create_routing_rule(self, params: Params, scope: Scope) -> Result:
        return self._put_rule(params, self._ids.token(6), scope)

    async def put_routing_rule(self, params: Params, scope: Scope) -> Result:
        return self._put_rule(params, self._rule(params, scope).rule_id, scope)

    def _put_rule(self, params: Params, rule_id: str, scope: Scope) -> Result:
        row = self._domains.require(scope, params["DomainName"])
        rule = _read_rule(params, row.domain_name, rule_id)
        self._require_stage(rule.api_id, rule.stage, scope)
        self._domains.put_rule(scope, rule)
        return _rule_result(rule, row, scope)

    async def get_routing_rule(self, params: Params, scope: Scope) -> Result:
        row = self._domains.require(scope, params["DomainName"])
        return _rule_result(self._rule(params, scope), row, scope)

    async def list_routing_rules(self, params: Params, scope: Scope) -> Result:
        row = self._domains.require(scope, params["DomainName"])
        rules = [
            (f"{rule.priority:07d}", rule)
            for rule in self._domains.rules.all(scope, row.domain_name)
        ]
        page = listing(params, rules, lambda rule: _rule_result(rule, row, scope))
        return {("RoutingRules" if name == "Items" else name): each for name, each in page.items()}

    async def delete_routing_rule(self, params: Params, scope: Scope) -> Result:
        self._domains.delete_rule(scope, self._rule(params, scope))
        return {}

    def _rule(self, params: Params, scope: Scope) -> RoutingRule:
        row = self._domains.require(scope, params["DomainName"])
        rule = self._domains.rules.get(scope, row.domain_name, params["RoutingRuleId"])
        if rule is None:
            raise NotFoundException("Invalid routing rule identifier specified")
        return rule


def _configured(row: DomainName, params: Params) -> DomainName:
    """The row with what a request says of it; a member that is not given stays."""
    trust = params.get("MutualTlsAuthentication")
    if trust is not None:
        row = replace(
            row,
            truststore_uri=trust.get("TruststoreUri") or "",
            truststore_version=trust.get("TruststoreVersion") or "",
        )
    for configuration in params.get("DomainNameConfigurations") or ():
        kind = configuration.get("EndpointType") or row.endpoint_types[0]
        place = 0 if kind == "EDGE" else 1
        given = {
            names[place]: configuration[member]
            for member, names in _CERTIFICATES.items()
            if configuration.get(member)
        }
        row = replace(
            row,
            endpoint_types=(kind,),
            endpoint={**row.endpoint, **given},
            ip_address_type=configuration.get("IpAddressType") or row.ip_address_type,
            security_policy=configuration.get("SecurityPolicy") or row.security_policy,
        )
    return replace(row, routing_mode=params.get("RoutingMode") or row.routing_mode)


def _domain_result(row: DomainName, scope: Scope) -> Result:
    place = 0 if "EDGE" in row.endpoint_types else 1
    names = generated_names(row, scope)
    configuration = shown(
        {
            "ApiGatewayDomainName": names.get("distributionDomainName")
            or names.get("regionalDomainName"),
            "HostedZoneId": names.get("distributionHostedZoneId")
            or names.get("regionalHostedZoneId"),
            **{
                member: row.endpoint.get(members[place])
                for member, members in _CERTIFICATES.items()
            },
            "CertificateUploadDate": parse_time(row.created),
            "DomainNameStatus": "AVAILABLE",
            "EndpointType": row.endpoint_types[0],
            "IpAddressType": row.ip_address_type,
            "SecurityPolicy": row.security_policy,
        }
    )
    return {
        **shown(
            {
                "ApiMappingSelectionExpression": MAPPING_EXPRESSION,
                "DomainName": row.domain_name,
                "DomainNameArn": domain_arn(row, scope),
                "MutualTlsAuthentication": shown(
                    {
                        "TruststoreUri": row.truststore_uri,
                        "TruststoreVersion": row.truststore_version,
                    }
                ),
                "RoutingMode": row.routing_mode,
            }
        ),
        "DomainNameConfigurations": [configuration],
        "Tags": dict(row.tags),
    }


def _mapping_result(mapping: ApiMapping) -> Result:
    return {
        "ApiId": mapping.api_id,
        "ApiMappingId": mapping.mapping_id,
        "ApiMappingKey": mapping.key,
        "Stage": mapping.stage,
    }


def _read_rule(params: Params, domain_name: str, rule_id: str) -> RoutingRule:
    """Read a rule; raises BadRequestException where it has no single action."""
    actions = params["Actions"]
    invoke: Mapping[str, Any] = actions[0].get("InvokeApi") or {} if len(actions) == 1 else {}
    if not invoke:
        raise BadRequestException("A routing rule must have exactly one action, InvokeApi")
    if not 1 <= params["Priority"] <= PRIORITY_MAX:
        raise BadRequestException(f"Priority must be between 1 and {PRIORITY_MAX}")
    conditions = list(params["Conditions"])
    return RoutingRule(
        domain_name=domain_name,
        rule_id=rule_id,
        priority=params["Priority"],
        headers=tuple(
            tuple(
                (each["Header"], each["ValueGlob"]) for each in condition["MatchHeaders"]["AnyOf"]
            )
            for condition in conditions
            if condition.get("MatchHeaders")
        ),
        base_paths=tuple(
            require_mapping_key(each)
            for condition in conditions
            for each in (condition.get("MatchBasePaths") or {}).get("AnyOf", ())
        ),
        conditions=conditions,
        api_id=invoke["ApiId"],
        stage=invoke["Stage"],
        strip_base_path=bool(invoke.get("StripBasePath")),
    )


def _rule_result(rule: RoutingRule, row: DomainName, scope: Scope) -> Result:
    return {
        "RoutingRuleId": rule.rule_id,
        "RoutingRuleArn": scope.arn(
            "apigateway", f"/domainnames/{row.domain_name}/routingrules/{rule.rule_id}"
        ),
        "Priority": rule.priority,
        "Conditions": list(rule.conditions),
        "Actions": [
            {
                "InvokeApi": {
                    "ApiId": rule.api_id,
                    "Stage": rule.stage,
                    "StripBasePath": rule.strip_base_path,
                }
            }
        ],
    }
