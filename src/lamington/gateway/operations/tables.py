"""The rows of API Gateway, and what every operation does with them: find, page, patch.

Left to others: what each operation makes of them (`rest_apis`, `methods`, `stages`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from lamington.core.aws import Params, Result, Scope
from lamington.core.store import Store, Table
from lamington.gateway.entities import (
    PAGE_DEFAULT,
    PAGE_MAX,
    Account,
    BadRequestException,
    ClientCertificateRow,
    Deployment,
    Method,
    NotFoundException,
    Resource,
    RestApi,
    Stage,
    VpcLink,
)
from lamington.gateway.results import Item, page, without


class GatewayTables:
    """Every REST API, deployment, stage and account setting of this engine."""

    def __init__(self, store: Store) -> None:
        self.transaction = store.transaction
        self.apis: Table[RestApi] = Table(
            store, "gateway_rest_apis", RestApi, lambda row: (row.api_id,)
        )
        self.deployments: Table[Deployment] = Table(
            store, "gateway_deployments", Deployment, lambda row: (row.api_id, row.deployment_id)
        )
        self.stages: Table[Stage] = Table(
            store, "gateway_stages", Stage, lambda row: (row.api_id, row.stage_name)
        )
        self.vpc_links: Table[VpcLink] = Table(
            store, "gateway_vpc_links", VpcLink, lambda row: (row.link_id,)
        )
        self.client_certificates: Table[ClientCertificateRow] = Table(
            store,
            "gateway_client_certificates",
            ClientCertificateRow,
            lambda row: (row.certificate_id,),
        )
        self.accounts: Table[Account] = Table(store, "gateway_accounts", Account, lambda row: ())

    def require_api(self, scope: Scope, api_id: str) -> RestApi:
        """The API of this id; raises NotFoundException, which names the account as AWS does."""
        api = self.apis.get(scope, api_id)
        if api is None:
            raise NotFoundException(f"Invalid API identifier specified {scope.account_id}:{api_id}")
        return api

    def require_deployment(self, scope: Scope, api_id: str, deployment_id: str) -> Deployment:
        self.require_api(scope, api_id)
        deployment = self.deployments.get(scope, api_id, deployment_id)
        if deployment is None:
            raise NotFoundException("Invalid Deployment identifier specified")
        return deployment

    def require_stage(self, scope: Scope, api_id: str, stage_name: str) -> Stage:
        self.require_api(scope, api_id)
        stage = self.stages.get(scope, api_id, stage_name)
        if stage is None:
            raise NotFoundException("Invalid stage identifier specified")
        return stage


def require_resource(api: RestApi, resource_id: str) -> Resource:
    """The API's resource of this id, or NotFoundException."""
    resource = api.resources.get(resource_id)
    if resource is None:
        raise NotFoundException("Invalid Resource identifier specified")
    return resource


def require_method(resource: Resource, http_method: str) -> Method:
    """The resource's method for exactly this verb, `ANY` included, or NotFoundException."""
    method = resource.methods.get(http_method.upper())
    if method is None:
        raise NotFoundException("Invalid Method identifier specified")
    return method


def page_of(params: Params, items: Iterable[tuple[str, Item]]) -> tuple[list[Item], str | None]:
    """One page of keyed items, and the position of the next.

    AWS: `limit` is 25 unless given and 500 at most.
    """
    limit = params.get("limit", PAGE_DEFAULT)
    if not 0 < limit <= PAGE_MAX:
        raise BadRequestException("Invalid limit specified", hint=f"1 to {PAGE_MAX}")
    return page(items, limit=limit, token=params.get("position"), member="position")


def listing(
    params: Params, items: Iterable[tuple[str, Item]], show: Callable[[Item], Result]
) -> Result:
    """A page as a result; the last one has no position."""
    found, position = page_of(params, items)
    result: Result = {"items": [show(item) for item in found]}
    return result if position is None else {**result, "position": position}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """One patch operation; `path` are its parts, decoded, and `source` those of `from`."""

    op: str
    path: tuple[str, ...]
    written: str
    value: str = ""
    source: tuple[str, ...] = ()

    def refused(self, paths: Iterable[str]) -> BadRequestException:
        return BadRequestException(
            f"Invalid patch path  '{self.written}' specified for op '{self.op}'. Must be one of: "
            f"[{', '.join(paths)}]"
        )

    def require_path(self, paths: Collection[str]) -> None:
        """Raise BadRequestException where the path, which has no parameters, is none of these."""
        if f"/{'/'.join(self.path)}" not in paths:
            raise self.refused(paths)

    @property
    def unsupported(self) -> BadRequestException:
        """The error of a path that is known, but not for this operation."""
        return BadRequestException(
            f"Invalid patch path  '{self.written}' specified for op '{self.op}'. Please choose"
            " supported operations"
        )

    @property
    def unknown(self) -> BadRequestException:
        return BadRequestException(f"Invalid patch path {self.written}")

    def changed(self, values: Mapping[str, str], name: str) -> dict[str, str]:
        """The values with the one of this name added, replaced or removed."""
        changed = without(values, name)
        if self.op != "remove":
            changed[name] = self.value
        return changed

    @property
    def flag(self) -> bool:
        return self.value.lower() == "true"

    @property
    def whole(self) -> int:
        try:
            return int(self.value)
        except ValueError:
            raise self.wrong_value() from None

    @property
    def number(self) -> float:
        try:
            return float(self.value)
        except ValueError:
            raise self.wrong_value() from None

    def wrong_value(self) -> BadRequestException:
        return BadRequestException(f"Invalid patch value '{self.value}' for path '{self.written}'")


def _pointer(text: str) -> tuple[str, ...]:
    """The parts of a JSON pointer, decoded."""
    parts = text.split("/")[1:]
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def parse_patches(params: Params) -> list[Patch]:
    """Read `patchOperations`: JSON pointers, `~1` for a slash within a part."""
    patches = []
    for each in params.get("patchOperations") or ():
        written = each.get("path") or ""
        if not written.startswith("/"):
            raise BadRequestException(f"Invalid patch path '{written}'")
        patches.append(
            Patch(
                op=each.get("op") or "replace",
                path=_pointer(written),
                written=written,
                value=each.get("value") or "",
                source=_pointer(each.get("from") or ""),
            )
        )
    return patches
