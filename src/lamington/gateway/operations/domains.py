"""The API Gateway operations on custom domain names, base path mappings and access associations."""

from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.gateway.domains import (
    AccessAssociation,
    ApiMapping,
    DomainName,
    Domains,
    domain_arn,
    generated_names,
    require_mapping_key,
)
from lamington.gateway.entities import (
    BadRequestException,
    ConflictException,
    NotFoundException,
)
from lamington.gateway.operations.tables import GatewayTables, Patch, listing, parse_patches
from lamington.gateway.results import parse_time, shown

ROOT = "(none)"
"""The base path of a mapping that has none."""

CERTIFICATE_MEMBERS = (
    "certificateName",
    "certificateArn",
    "regionalCertificateName",
    "regionalCertificateArn",
    "ownershipVerificationCertificateArn",
)
DOMAIN_PATCH_PATHS = (
    *(f"/{name}" for name in CERTIFICATE_MEMBERS),
    "/securityPolicy",
    "/endpointAccessMode",
    "/policy",
    "/routingMode",
    "/endpointConfiguration/types/{type}",
    "/endpointConfiguration/ipAddressType",
    "/mutualTlsAuthentication/truststoreUri",
    "/mutualTlsAuthentication/truststoreVersion",
)
MAPPING_PATCH_PATHS = ("/basePath", "/restapiId", "/stage")
_MEMBERS = {
    "securityPolicy": "security_policy",
    "endpointAccessMode": "endpoint_access_mode",
    "policy": "policy",
    "routingMode": "routing_mode",
}


class DomainOperations:
    """What AWS's API, version 1, says of domain names."""

    def __init__(self, *, domains: Domains, tables: GatewayTables, clock: Clock, ids: Ids) -> None:
        self._domains = domains
        self._tables = tables
        self._clock = clock
        self._ids = ids

    def operations(self) -> dict[str, Operation]:
        return {
            "apigateway:CreateDomainName": self.create_domain_name,
            "apigateway:GetDomainName": self.get_domain_name,
            "apigateway:GetDomainNames": self.get_domain_names,
            "apigateway:UpdateDomainName": self.update_domain_name,
            "apigateway:DeleteDomainName": self.delete_domain_name,
            "apigateway:CreateBasePathMapping": self.create_base_path_mapping,
            "apigateway:GetBasePathMapping": self.get_base_path_mapping,
            "apigateway:GetBasePathMappings": self.get_base_path_mappings,
            "apigateway:UpdateBasePathMapping": self.update_base_path_mapping,
            "apigateway:DeleteBasePathMapping": self.delete_base_path_mapping,
            "apigateway:CreateDomainNameAccessAssociation": self.create_access_association,
            "apigateway:GetDomainNameAccessAssociations": self.get_access_associations,
            "apigateway:DeleteDomainNameAccessAssociation": self.delete_access_association,
            "apigateway:RejectDomainNameAccessAssociation": self.reject_access_association,
        }

    # Domain names

    async def create_domain_name(self, params: Params, scope: Scope) -> Result:
        name = self._domains.require_new(scope, params["domainName"])
        endpoint = params.get("endpointConfiguration") or {}
        trust = params.get("mutualTlsAuthentication") or {}
        types = tuple(endpoint.get("types") or ("EDGE",))
        row = DomainName(
            domain_name=name,
            endpoint_types=types,
            ip_address_type=endpoint.get("ipAddressType") or "ipv4",
            endpoint={each: params[each] for each in CERTIFICATE_MEMBERS if params.get(each)},
            security_policy=params.get("securityPolicy") or "TLS_1_2",
            endpoint_access_mode=params.get("endpointAccessMode") or "",
            truststore_uri=trust.get("truststoreUri") or "",
            truststore_version=trust.get("truststoreVersion") or "",
            policy=params.get("policy") or "",
            routing_mode=params.get("routingMode") or "API_MAPPING_ONLY",
            tags=dict(params.get("tags") or {}),
            created=self._clock.now().isoformat(),
            domain_name_id=self._ids.token(10) if "PRIVATE" in types else "",
        )
        self._domains.put(scope, row)
        return domain_result(row, scope)

    async def get_domain_name(self, params: Params, scope: Scope) -> Result:
        return domain_result(self._require(params, scope), scope)

    async def get_domain_names(self, params: Params, scope: Scope) -> Result:
        rows = [(row.domain_name, row) for row in self._domains.names.all(scope)]
        return listing(params, rows, lambda row: domain_result(row, scope))

    async def update_domain_name(self, params: Params, scope: Scope) -> Result:
        row = self._require(params, scope)
        for patch in parse_patches(params):
            row = _patched(row, patch)
        self._domains.put(scope, row)
        return domain_result(row, scope)

    async def delete_domain_name(self, params: Params, scope: Scope) -> Result:
        """Delete a domain name with its mappings and rules."""
        self._domains.delete(scope, self._require(params, scope))
        return {}

    def _require(self, params: Params, scope: Scope) -> DomainName:
        return self._domains.require(scope, params["domainName"])

    # Base path mappings

    async def create_base_path_mapping(self, params: Params, scope: Scope) -> Result:
        row = self._require(params, scope)
        mapping = ApiMapping(
            domain_name=row.domain_name,
            mapping_id=self._ids.token(6),
            key=_base_path(params.get("basePath")),
            api_id=params["restApiId"],
            stage=params.get("stage") or "",
        )
        self._require_stage(mapping, scope)
        self._domains.put_mapping(scope, mapping)
        return _mapping_result(mapping)

    def _require_stage(self, mapping: ApiMapping, scope: Scope) -> None:
        if self._tables.apis.get(scope, mapping.api_id) is None:
            raise BadRequestException("Invalid REST API identifier specified")
        stage = mapping.stage
        if stage and self._tables.stages.get(scope, mapping.api_id, stage) is None:
            raise BadRequestException("Invalid stage identifier specified")

    async def get_base_path_mapping(self, params: Params, scope: Scope) -> Result:
        return _mapping_result(self._mapping(params, scope))

    async def get_base_path_mappings(self, params: Params, scope: Scope) -> Result:
        row = self._require(params, scope)
        mappings = self._domains.mappings.all(scope, row.domain_name)
        rows = [(each.key or ROOT, each) for each in mappings]
        return listing(params, rows, _mapping_result)

    async def update_base_path_mapping(self, params: Params, scope: Scope) -> Result:
        mapping = self._mapping(params, scope)
        for patch in parse_patches(params):
            if patch.op != "replace" or patch.written not in MAPPING_PATCH_PATHS:
                raise patch.refused(MAPPING_PATCH_PATHS)
            match patch.written:
                case "/basePath":
                    mapping = replace(mapping, key=_base_path(patch.value))
                case "/restapiId":
                    mapping = replace(mapping, api_id=patch.value)
                case _:
                    mapping = replace(mapping, stage=patch.value)
        self._require_stage(mapping, scope)
        self._domains.put_mapping(scope, mapping)
        return _mapping_result(mapping)

    async def delete_base_path_mapping(self, params: Params, scope: Scope) -> Result:
        self._domains.delete_mapping(scope, self._mapping(params, scope))
        return {}

    def _mapping(self, params: Params, scope: Scope) -> ApiMapping:
        row = self._require(params, scope)
        mapping = self._domains.mapping(scope, row.domain_name, _base_path(params["basePath"]))
        if mapping is None:
            raise NotFoundException("Invalid base path mapping identifier specified")
        return mapping

    # Access associations of private domain names

    async def create_access_association(self, params: Params, scope: Scope) -> Result:
        """Keep an association; private domain names are reached by everybody here.

        AWS: API reference, CreateDomainNameAccessAssociation.
        """
        source = params["accessAssociationSource"]
        name = params["domainNameArn"].rpartition("/domainnames/")[2].partition("+")[0]
        self._domains.require(scope, name)
        association = AccessAssociation(
            arn=scope.arn(
                "apigateway", f"/domainnameaccessassociations/domainname/{name}/vpcesource/{source}"
            ),
            domain_name_arn=params["domainNameArn"],
            source=source,
            source_type=params["accessAssociationSourceType"],
            tags=dict(params.get("tags") or {}),
        )
        if self._domains.associations.get(scope, association.arn) is not None:
            raise ConflictException("The access association already exists")
        self._domains.associations.put(scope, association)
        return _association_result(association)

    async def get_access_associations(self, params: Params, scope: Scope) -> Result:
        rows = [(row.arn, row) for row in self._domains.associations.all(scope)]
        return listing(params, rows, _association_result)

    async def delete_access_association(self, params: Params, scope: Scope) -> Result:
        arn = params["domainNameAccessAssociationArn"]
        if self._domains.associations.get(scope, arn) is None:
            raise NotFoundException("Invalid access association identifier specified")
        self._domains.associations.delete(scope, arn)
        return {}

    async def reject_access_association(self, params: Params, scope: Scope) -> Result:
        return await self.delete_access_association(params, scope)


def _base_path(text: str | None) -> str:
    return "" if text in (None, "", ROOT) else require_mapping_key(str(text))


def _patched(row: DomainName, patch: Patch) -> DomainName:
    value = "" if patch.op == "remove" else patch.value
    match patch.path:
        case (name,) if name in CERTIFICATE_MEMBERS:
            endpoint = {key: each for key, each in row.endpoint.items() if key != name}
            return replace(row, endpoint={**endpoint, **({name: value} if value else {})})
        case (name,) if name in _MEMBERS:
            return replace(row, **{_MEMBERS[name]: value})  # type: ignore[arg-type]
        case ("endpointConfiguration", "types", _) if patch.op == "replace":
            return replace(row, endpoint_types=(value,))
        case ("endpointConfiguration", "ipAddressType"):
            return replace(row, ip_address_type=value)
        case ("mutualTlsAuthentication", "truststoreUri"):
            return replace(row, truststore_uri=value)
        case ("mutualTlsAuthentication", "truststoreVersion"):
            return replace(row, truststore_version=value)
    raise patch.refused(DOMAIN_PATCH_PATHS)


def domain_result(row: DomainName, scope: Scope) -> Result:
    """A domain name as version 1 of AWS's API shows it."""
    return shown(
        {
            "domainName": row.domain_name,
            "domainNameId": row.domain_name_id,
            "domainNameArn": domain_arn(row, scope),
            **row.endpoint,
            **generated_names(row, scope),
            "certificateUploadDate": parse_time(row.created),
            "endpointConfiguration": {
                "types": list(row.endpoint_types),
                "ipAddressType": row.ip_address_type,
            },
            "domainNameStatus": "AVAILABLE",
            "securityPolicy": row.security_policy,
            "endpointAccessMode": row.endpoint_access_mode,
            "mutualTlsAuthentication": shown(
                {
                    "truststoreUri": row.truststore_uri,
                    "truststoreVersion": row.truststore_version,
                }
            ),
            "policy": row.policy,
            "routingMode": row.routing_mode,
            "tags": dict(row.tags),
        }
    )


def _mapping_result(mapping: ApiMapping) -> Result:
    return shown(
        {
            "basePath": mapping.key or ROOT,
            "restApiId": mapping.api_id,
            "stage": mapping.stage,
        }
    )


def _association_result(association: AccessAssociation) -> Result:
    return shown(
        {
            "domainNameAccessAssociationArn": association.arn,
            "domainNameArn": association.domain_name_arn,
            "accessAssociationSourceType": association.source_type,
            "accessAssociationSource": association.source,
            "tags": dict(association.tags),
        }
    )
