"""The API Gateway operations on VPC links, and where a link leads to on this machine.

There is no VPC here: settings name an address for each link, and integrations send there.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids
from lamington.gateway.entities import BadRequestException, NotFoundException, VpcLink
from lamington.gateway.operations.tables import GatewayTables, listing, parse_patches
from lamington.gateway.results import shown

PATCH_PATHS = ("/name", "/description")


class VpcLinkOperations:
    """What AWS's API says of VPC links; `addresses` are those of settings, by id or name."""

    def __init__(self, *, tables: GatewayTables, ids: Ids, addresses: Mapping[str, str]) -> None:
        self._tables = tables
        self._ids = ids
        self._addresses = addresses

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:CreateVpcLink": self.create_vpc_link,
            "apigateway:GetVpcLink": self.get_vpc_link,
            "apigateway:GetVpcLinks": self.get_vpc_links,
            "apigateway:UpdateVpcLink": self.update_vpc_link,
            "apigateway:DeleteVpcLink": self.delete_vpc_link,
        }

    def address(self, connection_id: str, scope: Scope) -> str:
        """Where a link leads to, "" where no setting says so; it need not have been created."""
        known = self._addresses.get(connection_id)
        if known is None:
            link = self._tables.vpc_links.get(scope, connection_id)
            known = "" if link is None else self._addresses.get(link.name, "")
        return known

    def tags(self, scope: Scope, row_id: str, /) -> dict[str, str]:
        return self._link({"vpcLinkId": row_id}, scope).tags

    def put_tags(self, scope: Scope, row_id: str, tags: dict[str, str], /) -> None:
        link = self._link({"vpcLinkId": row_id}, scope)
        self._tables.vpc_links.put(scope, replace(link, tags=tags))

    async def create_vpc_link(self, params: Params, scope: Scope) -> Result:
        """Create a link; it is there when it is next asked for.

        Differs: AWS takes minutes to make one, and fails where the load balancer is not there.
        """
        targets = tuple(params["targetArns"])
        if len(targets) != 1:
            raise BadRequestException(
                "Vpc link must have exactly one target", hint="the ARN of one load balancer"
            )
        link = VpcLink(
            link_id=self._ids.token(6),
            name=params["name"],
            description=params.get("description") or "",
            target_arns=targets,
            tags=dict(params.get("tags") or {}),
        )
        self._tables.vpc_links.put(scope, link)
        return vpc_link_result(link, "PENDING")

    async def get_vpc_link(self, params: Params, scope: Scope) -> Result:
        return vpc_link_result(self._link(params, scope))

    async def get_vpc_links(self, params: Params, scope: Scope) -> Result:
        rows = self._tables.vpc_links.all(scope)
        return listing(params, [(row.link_id, row) for row in rows], vpc_link_result)

    async def update_vpc_link(self, params: Params, scope: Scope) -> Result:
        link = self._link(params, scope)
        for patch in parse_patches(params):
            match patch.op, patch.path:
                case "replace", ("name",):
                    link = replace(link, name=patch.value)
                case "replace", ("description",):
                    link = replace(link, description=patch.value)
                case _:
                    raise patch.refused(PATCH_PATHS)
        self._tables.vpc_links.put(scope, link)
        return vpc_link_result(link)

    async def delete_vpc_link(self, params: Params, scope: Scope) -> Result:
        link = self._link(params, scope)
        used = self._uses(link, scope)
        if used:
            raise BadRequestException(
                f"Cannot delete vpc link '{link.link_id}', is referenced in [{', '.join(used)}]"
                " in format of [Method:Resource:Stage]"
            )
        self._tables.vpc_links.delete(scope, link.link_id)
        return {}

    def _link(self, params: Params, scope: Scope) -> VpcLink:
        link = self._tables.vpc_links.get(scope, params["vpcLinkId"])
        if link is None:
            raise NotFoundException("Invalid Vpc Link identifier specified")
        return link

    def _uses(self, link: VpcLink, scope: Scope) -> list[str]:
        used = []
        for stage in self._tables.stages.all(scope):
            deployment = self._tables.deployments.get(scope, stage.api_id, stage.deployment_id)
            if deployment is None:
                continue
            used += [
                f"{verb}:{resource.resource_id}:{stage.stage_name}"
                for resource in deployment.api.resources.values()
                for verb, method in resource.methods.items()
                if method.integration is not None
                and method.integration.connection_id == link.link_id
            ]
        return used


def vpc_link_result(link: VpcLink, status: str = "AVAILABLE") -> Result:
    """A VPC link as AWS shows it."""
    return shown(
        {
            "id": link.link_id,
            "name": link.name,
            "description": link.description,
            "targetArns": list(link.target_arns),
            "status": status,
            "statusMessage": "Your vpc link is ready for use" if status == "AVAILABLE" else "",
            "tags": dict(link.tags),
        }
    )
