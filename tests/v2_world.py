"""API Gateway's control plane of version 2 over a temporary store, called as the engine does."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.store import Store
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, ServiceQuotas
from lamington.gateway.v2.entities import Api, Stage
from lamington.gateway.v2.operations.control_plane import V2ControlPlane
from lamington.gateway.v2.tables import V2Tables
from lamington.stack.entities import ValidationError

SCOPE = Scope(account_id="123456789012", region="eu-west-1")
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:hello"
INVOCATION = f"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{FUNCTION}/invocations"


class RecordingPlane:
    """A data plane that keeps what it was told to serve, by API and stage."""

    def __init__(self) -> None:
        self.served: dict[tuple[str, str], tuple[Api, Stage]] = {}
        self.deployments = 0

    def deploy(self, api: Api, stage: Stage, scope: Scope) -> None:
        self.deployments += 1
        self.served[api.api_id, stage.stage_name] = (api, stage)

    def withdraw(self, api_id: str, stage_name: str) -> None:
        del self.served[api_id, stage_name]

    def serves(self, api_id: str) -> bool:
        return any(served == api_id for served, _ in self.served)


class V2World:
    """An AwsCaller of API Gateway's version 2 alone; the planes tell what is in service."""

    def __init__(self, directory: Path, quotas: ServiceQuotas = DEFAULT_QUOTAS) -> None:
        self.store = Store(directory)
        self.clock = ManualClock()
        self.http = RecordingPlane()
        self.sockets = RecordingPlane()
        self.flushed: list[tuple[str, str]] = []
        self.tables = V2Tables(self.store)
        self.control = V2ControlPlane(
            tables=self.tables,
            planes={"HTTP": self.http, "WEBSOCKET": self.sockets},
            clock=self.clock,
            ids=Ids(),
            flush_authorizers=lambda api_id, stage: self.flushed.append((api_id, stage)),
            quotas=quotas,
        )
        self._operations = self.control.operations()

    async def call(self, operation: str, params: Params, scope: Scope = SCOPE) -> Result:
        """Call an operation, holding input and output against AWS's own model."""
        if operation == "cloudformation:DescribeStackResources":
            raise ValidationError(f"Stack for {params['PhysicalResourceId']} does not exist")
        name = operation.removeprefix("apigatewayv2:")
        model = _service_model().operation_model(name)
        require_modelled(params, model.input_shape, name)
        result = await self._operations[f"apigatewayv2:{name}"](params, scope)
        if model.output_shape is None:
            assert result == {}
        else:
            require_modelled(result, model.output_shape, name)
        return result

    async def api(self, protocol: str = "HTTP", **more: Any) -> str:
        """The id of a new API."""
        if protocol == "WEBSOCKET":
            more.setdefault("RouteSelectionExpression", "$request.body.action")
        created = await self.call("CreateApi", {"Name": "cakes", "ProtocolType": protocol, **more})
        return str(created["ApiId"])

    async def integration(self, api_id: str, **more: Any) -> str:
        """The id of a new integration with a function."""
        created = await self.call(
            "CreateIntegration",
            {
                "ApiId": api_id,
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": FUNCTION,
                "PayloadFormatVersion": "2.0",
                **more,
            },
        )
        return str(created["IntegrationId"])

    async def route(self, api_id: str, route_key: str, **more: Any) -> str:
        """The id of a new route."""
        params = {"ApiId": api_id, "RouteKey": route_key, **more}
        return str((await self.call("CreateRoute", params))["RouteId"])

    async def import_api(self, document: dict[str, Any], **more: Any) -> Result:
        return await self.call("ImportApi", {"Body": json.dumps(document), **more})

    def row(self, api_id: str) -> Api:
        return self.tables.require_api(SCOPE, api_id)


@cache
def _service_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("apigatewayv2", "service-2"))


def require_modelled(value: Any, shape: Shape | None, where: str) -> None:
    """Fail for a member that the model does not have."""
    if value is None or shape is None:
        return
    match shape:
        case StructureShape():
            unknown = value.keys() - shape.members.keys()
            assert not unknown, f"{where}: {unknown} not in the model"
            for name, member in value.items():
                require_modelled(member, shape.members[name], f"{where}.{name}")
        case ListShape():
            assert isinstance(value, (list, tuple)), where
            for each in value:
                require_modelled(each, shape.member, where)
        case MapShape():
            assert isinstance(value, dict), where
            for each in value.values():
                require_modelled(each, shape.value, where)
        case _:
            expected = {"string": str, "boolean": bool, "integer": int}.get(shape.type_name, object)
            assert isinstance(value, expected), f"{where}: {value!r} is no {shape.type_name}"
