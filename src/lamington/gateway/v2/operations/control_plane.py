"""Every operation of API Gateway version 2 that this package has, over one store.

The engine makes one of these, gives it the data planes and asks it for its operations. Left to
others: domain names, API mappings and routing rules.
"""

from collections.abc import Callable, Mapping

from lamington.core.aws import Operation
from lamington.core.clock import Clock, Ids
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, ServiceQuotas
from lamington.gateway.tag_holders import TagHolder
from lamington.gateway.v2.entities import DataPlane, ProtocolType
from lamington.gateway.v2.operations.apis import ApiOperations
from lamington.gateway.v2.operations.authorizers import AuthorizerOperations
from lamington.gateway.v2.operations.integrations import IntegrationOperations
from lamington.gateway.v2.operations.models import ModelOperations
from lamington.gateway.v2.operations.publication import Publication
from lamington.gateway.v2.operations.refusals import refused_operations
from lamington.gateway.v2.operations.routes import RouteOperations
from lamington.gateway.v2.operations.stages import StageOperations
from lamington.gateway.v2.operations.vpc_links import VpcLinkOperations
from lamington.gateway.v2.tables import V2Tables


class V2ControlPlane:
    """The control plane of HTTP and WebSocket APIs.

    `flush_authorizers` forgets what authorizers of a stage said, by API id and stage name;
    `tag_holders` keep the tags of what is others', by the first part of its ARN's path.
    """

    def __init__(
        self,
        *,
        tables: V2Tables,
        planes: Mapping[ProtocolType, DataPlane],
        clock: Clock,
        ids: Ids,
        flush_authorizers: Callable[[str, str], None],
        tag_holders: Mapping[str, TagHolder] | None = None,
        quotas: ServiceQuotas = DEFAULT_QUOTAS,
    ) -> None:
        publication = Publication(tables=tables, planes=planes, clock=clock, ids=ids, quotas=quotas)
        self.restore = publication.restore
        operations: dict[str, Operation] = {
            **ApiOperations(
                tables=tables,
                publication=publication,
                clock=clock,
                ids=ids,
                tag_holders=tag_holders or {},
            ).operations(),
            **RouteOperations(tables=tables, publication=publication, ids=ids).operations(),
            **IntegrationOperations(tables=tables, publication=publication, ids=ids).operations(),
            **AuthorizerOperations(
                tables=tables,
                publication=publication,
                ids=ids,
                flush_results=flush_authorizers,
            ).operations(),
            **ModelOperations(tables=tables, publication=publication, ids=ids).operations(),
            **StageOperations(tables=tables, publication=publication).operations(),
            **VpcLinkOperations(tables=tables, clock=clock, ids=ids).operations(),
            **refused_operations(),
        }
        self._operations = operations

    def operations(self) -> dict[str, Operation]:
        return self._operations
