"""The rows of HTTP and WebSocket APIs, and what every operation does with them: find and page.

Left to others: what each operation makes of them (`operations/`), and what AWS refuses (`rules`).
"""

from collections.abc import Callable, Iterable, Mapping

from lamington.core.aws import Params, Result, Scope
from lamington.core.store import Store, Table
from lamington.gateway.entities import BadRequestException, NotFoundException
from lamington.gateway.results import Item, page
from lamington.gateway.v2.entities import (
    Api,
    Authorizer,
    Deployment,
    Integration,
    Model,
    Route,
    Stage,
    VpcLink,
)

PAGE_MAX = 500
"""AWS names no highest `maxResults` for these lists; REST APIs have this one."""


class V2Tables:
    """Every HTTP and WebSocket API, deployment, stage and VPC link of this engine."""

    def __init__(self, store: Store) -> None:
        self.transaction = store.transaction
        self.apis: Table[Api] = Table(store, "gateway_v2_apis", Api, lambda row: (row.api_id,))
        self.deployments: Table[Deployment] = Table(
            store, "gateway_v2_deployments", Deployment, lambda row: (row.api_id, row.deployment_id)
        )
        self.stages: Table[Stage] = Table(
            store, "gateway_v2_stages", Stage, lambda row: (row.api_id, row.stage_name)
        )
        self.vpc_links: Table[VpcLink] = Table(
            store, "gateway_v2_vpc_links", VpcLink, lambda row: (row.vpc_link_id,)
        )

    def require_api(self, scope: Scope, api_id: str) -> Api:
        """The API of this id; raises NotFoundException, which names the account as AWS does."""
        api = self.apis.get(scope, api_id)
        if api is None:
            raise NotFoundException(f"Invalid API identifier specified {scope.account_id}:{api_id}")
        return api

    def require_deployment(self, scope: Scope, api_id: str, deployment_id: str) -> Deployment:
        self.require_api(scope, api_id)
        deployment = self.deployments.get(scope, api_id, deployment_id)
        if deployment is None:
            raise NotFoundException("Invalid deployment identifier specified")
        return deployment

    def require_stage(self, scope: Scope, api_id: str, stage_name: str) -> Stage:
        self.require_api(scope, api_id)
        stage = self.stages.get(scope, api_id, stage_name)
        if stage is None:
            raise NotFoundException("Invalid stage identifier specified")
        return stage

    def require_vpc_link(self, scope: Scope, vpc_link_id: str) -> VpcLink:
        link = self.vpc_links.get(scope, vpc_link_id)
        if link is None:
            raise NotFoundException(f"VpcLink not found: {vpc_link_id}")
        return link


def require_route(api: Api, route_id: str) -> Route:
    """The API's route of this id, or NotFoundException."""
    return _require(api.routes, "Route", route_id)


def require_integration(api: Api, integration_id: str) -> Integration:
    """The API's integration of this id, or NotFoundException."""
    return _require(api.integrations, "Integration", integration_id)


def require_authorizer(api: Api, authorizer_id: str) -> Authorizer:
    """The API's authorizer of this id, or NotFoundException."""
    return _require(api.authorizers, "Authorizer", authorizer_id)


def require_model(api: Api, model_id: str) -> Model:
    """The API's model of this id, or NotFoundException."""
    return _require(api.models, "Model", model_id)


def require_member(members: Mapping[str, Item], noun: str, member_id: str) -> Item:
    """One of a route's or an integration's own, or NotFoundException."""
    return _require(members, noun, member_id)


def _require(members: Mapping[str, Item], noun: str, member_id: str) -> Item:
    found = members.get(member_id)
    if found is None:
        raise NotFoundException(f"Unable to find {noun} by ID {member_id}")
    return found


def listing(
    params: Params, items: Iterable[tuple[str, Item]], show: Callable[[Item], Result]
) -> Result:
    """One page of keyed items in the order of their keys, and the token of the next.

    AWS: `maxResults` and `nextToken` are texts; without `maxResults` everything is one page.
    """
    wanted = params.get("MaxResults")
    limit = PAGE_MAX if wanted in (None, "") else _count(str(wanted))
    found, token = page(items, limit=limit, token=params.get("NextToken"), member="nextToken")
    result: Result = {"Items": [show(item) for item in found]}
    return result if token is None else {**result, "NextToken": token}


def _count(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and 0 < int(text) <= PAGE_MAX):
        raise BadRequestException("Invalid maxResults specified", hint=f"1 to {PAGE_MAX}")
    return int(text)
