"""The operations on VPC links of HTTP APIs.

There is no virtual private cloud on one machine: a link is kept and shown. Left to others: what an
integration reaches by it (the data plane of HTTP APIs).
"""

from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.gateway.results import parse_time
from lamington.gateway.v2.entities import VpcLink
from lamington.gateway.v2.tables import V2Tables, listing


class VpcLinkOperations:
    """What AWS's API says of VPC links."""

    def __init__(self, *, tables: V2Tables, clock: Clock, ids: Ids) -> None:
        self._tables = tables
        self._clock = clock
        self._ids = ids

    def operations(self) -> dict[str, Operation]:
        return {
            "apigatewayv2:CreateVpcLink": self.create_vpc_link,
            "apigatewayv2:GetVpcLink": self.get_vpc_link,
            "apigatewayv2:GetVpcLinks": self.get_vpc_links,
            "apigatewayv2:UpdateVpcLink": self.update_vpc_link,
            "apigatewayv2:DeleteVpcLink": self.delete_vpc_link,
        }

    async def create_vpc_link(self, params: Params, scope: Scope) -> Result:
        """Keep a link.

        Differs: it is available at once; on AWS it is pending for some minutes.
        """
        link = VpcLink(
            vpc_link_id=self._ids.token(6),
            name=params["Name"],
            created=self._clock.now().isoformat(),
            security_group_ids=tuple(params.get("SecurityGroupIds") or ()),
            subnet_ids=tuple(params["SubnetIds"]),
            tags=dict(params.get("Tags") or {}),
        )
        self._tables.vpc_links.put(scope, link)
        return vpc_link_result(link)

    async def get_vpc_link(self, params: Params, scope: Scope) -> Result:
        return vpc_link_result(self._tables.require_vpc_link(scope, params["VpcLinkId"]))

    async def get_vpc_links(self, params: Params, scope: Scope) -> Result:
        links = [(each.vpc_link_id, each) for each in self._tables.vpc_links.all(scope)]
        return listing(params, links, vpc_link_result)

    async def update_vpc_link(self, params: Params, scope: Scope) -> Result:
        link = self._tables.require_vpc_link(scope, params["VpcLinkId"])
        link = replace(link, name=params.get("Name") or link.name)
        self._tables.vpc_links.put(scope, link)
        return vpc_link_result(link)

    async def delete_vpc_link(self, params: Params, scope: Scope) -> Result:
        link = self._tables.require_vpc_link(scope, params["VpcLinkId"])
        self._tables.vpc_links.delete(scope, link.vpc_link_id)
        return {}


def vpc_link_result(link: VpcLink) -> Result:
    """A link as AWS shows one that is ready."""
    return {
        "VpcLinkId": link.vpc_link_id,
        "Name": link.name,
        "CreatedDate": parse_time(link.created),
        "SecurityGroupIds": list(link.security_group_ids),
        "SubnetIds": list(link.subnet_ids),
        "Tags": dict(link.tags),
        "VpcLinkStatus": "AVAILABLE",
        "VpcLinkStatusMessage": "VPC link is ready to route traffic",
        "VpcLinkVersion": "V2",
    }
