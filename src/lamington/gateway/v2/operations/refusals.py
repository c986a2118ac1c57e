"""The operations of API Gateway version 2 that are refused, each with its reason: a table.

They are of developer portals, which are web sites that AWS hosts.
"""

from collections.abc import Mapping

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.errors import AwsError

PORTAL_OPERATIONS = (
    *("CreatePortal", "GetPortal", "UpdatePortal", "DeletePortal", "ListPortals"),
    *("PublishPortal", "DisablePortal", "PreviewPortal"),
    *("CreatePortalProduct", "GetPortalProduct", "UpdatePortalProduct", "DeletePortalProduct"),
    "ListPortalProducts",
    *("PutPortalProductSharingPolicy", "GetPortalProductSharingPolicy"),
    "DeletePortalProductSharingPolicy",
    *("CreateProductPage", "GetProductPage", "UpdateProductPage", "DeleteProductPage"),
    "ListProductPages",
    *("CreateProductRestEndpointPage", "GetProductRestEndpointPage"),
    *("UpdateProductRestEndpointPage", "DeleteProductRestEndpointPage"),
    "ListProductRestEndpointPages",
)
_PORTALS = (
    "developer portals are web sites that AWS hosts. Publish the API's definition instead:"
    " ExportApi gives it."
)


class NotEmulated(AwsError):
    """AWS has this, and the engine does not."""

    status = 501
    fault = "Receiver"

    @property
    def code(self) -> str:
        return "NotImplemented"


REFUSED: Mapping[str, tuple[type[AwsError], str]] = {
    name: (NotEmulated, _PORTALS) for name in PORTAL_OPERATIONS
}
"""By operation: the error that it answers with, and why."""


def refused_operations() -> dict[str, Operation]:
    """An operation that refuses, for each of the table."""
    return {f"apigatewayv2:{name}": _refusal(name, *row) for name, row in REFUSED.items()}


def _refusal(name: str, error: type[AwsError], reason: str) -> Operation:
    async def refuse(params: Params, scope: Scope) -> Result:
        raise error(f"Lamington does not emulate `{name}`: {reason}")

    return refuse
