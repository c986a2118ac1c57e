"""API Gateway's control plane over a temporary store, called as the engine calls it."""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.store import Store
from lamington.functions.invoke import Invocation, InvocationResult
from lamington.gateway.cache import CacheStore
from lamington.gateway.deployment import StageProgram, compile_stage
from lamington.gateway.entities import RestApi, Stage
from lamington.gateway.operations.api_keys import ApiKeyOperations
from lamington.gateway.operations.caches import CacheOperations
from lamington.gateway.operations.changes import ChangeOperations
from lamington.gateway.operations.documentation import DocumentationOperations
from lamington.gateway.operations.gateway_responses import GatewayResponseOperations
from lamington.gateway.operations.methods import MethodOperations
from lamington.gateway.operations.models import ModelOperations
from lamington.gateway.operations.rest_apis import RestApiOperations
from lamington.gateway.operations.stages import StageOperations
from lamington.gateway.operations.tables import GatewayTables
from lamington.gateway.operations.usage_plans import UsagePlanOperations, stage_finder
from lamington.gateway.operations.validators import ValidatorOperations
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, ServiceQuotas
from lamington.gateway.stage_parts import StageParts
from lamington.gateway.throttling import Buckets
from lamington.gateway.usage_plans import UsagePlans
from lamington.gateway.v2.tables import V2Tables
from lamington.stack.entities import ValidationError

SCOPE = Scope(account_id="123456789012", region="eu-west-1")
LAMBDA_URI = (
    "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/"
    "arn:aws:lambda:eu-west-1:123456789012:function:hello/invocations"
)


class GatewayWorld:
    """An AwsCaller of API Gateway alone; `serving` is what the data plane serves."""

    def __init__(self, directory: Path, quotas: ServiceQuotas = DEFAULT_QUOTAS) -> None:
        self.store = Store(directory)
        self.clock = ManualClock()
        self.data_plane = RestDataPlane(clock=self.clock, ids=Ids())
        self._compiled: dict[tuple[str, str], tuple[RestApi, Stage]] = {}
        self.calls: list[str] = []
        tables = GatewayTables(self.store)
        ids = Ids()
        self.tables = tables
        self.caches = CacheStore(self.clock)
        self.stages = StageOperations(
            tables=tables,
            clock=self.clock,
            ids=ids,
            data_plane=self.data_plane,
            compile_stage=self._compile_stage,
            quotas=quotas,
        )
        self.plans = UsagePlans(store=self.store, clock=self.clock, buckets=Buckets(self.clock))
        find_stage = stage_finder(tables, V2Tables(self.store))
        self._operations: dict[str, Callable[[Params, Scope], Any]] = {
            **RestApiOperations(
                tables=tables,
                clock=self.clock,
                ids=ids,
                withdraw=self.data_plane.withdraw,
                quotas=quotas,
            ).operations(),
            **MethodOperations(tables=tables, ids=ids, quotas=quotas).operations(),
            **ApiKeyOperations(
                plans=self.plans, clock=self.clock, ids=ids, quotas=quotas
            ).operations(),
            **UsagePlanOperations(
                plans=self.plans, clock=self.clock, ids=ids, find_stage=find_stage, quotas=quotas
            ).operations(),
            **ChangeOperations(tables=tables).operations(),
            **ModelOperations(tables=tables, ids=ids).operations(),
            **ValidatorOperations(tables=tables, ids=ids).operations(),
            **GatewayResponseOperations(tables=tables).operations(),
            **CacheOperations(
                tables=tables, responses=self.caches, authorizers=self.caches
            ).operations(),
            **DocumentationOperations(tables=tables, clock=self.clock, ids=ids).operations(),
            **self.stages.operations(),
        }

    async def call(self, operation: str, params: Params, scope: Scope = SCOPE) -> Result:
        """Call an operation, holding input and output against AWS's own model."""
        if operation == "cloudformation:DescribeStackResources":
            raise ValidationError(f"Stack for {params['PhysicalResourceId']} does not exist")
        self.calls.append(operation)
        model = _service_model().operation_model(operation.removeprefix("apigateway:"))
        _require_modelled(params, model.input_shape, operation)
        result: Result = await self._operations[operation](params, scope)
        if model.output_shape is None:
            assert result == {}
        else:
            _require_modelled(result, model.output_shape, operation)
        return result

    async def import_api(self, document: bytes, **options: Any) -> Result:
        return await self.call("apigateway:ImportRestApi", {"body": document, **options})

    def api(self, api_id: str) -> RestApi:
        return self.tables.require_api(SCOPE, api_id)

    @property
    def serving(self) -> dict[tuple[str, str], tuple[RestApi, Stage]]:
        """The API and stage that each program in service was compiled from."""
        return {key: self._compiled[key] for key in self.data_plane.programs}

    def _compile_stage(
        self, *, api: RestApi, stage: Stage, scope: Scope, is_test: bool = False
    ) -> StageProgram:
        self._compiled[api.api_id, stage.stage_name] = (api, stage)
        return compile_stage(
            api=api,
            stage=stage,
            scope=scope,
            is_test=is_test,
            parts=StageParts(
                invoker=EchoInvoker(), permitted=EverythingPermitted(), cache=self.caches
            ),
        )


class EchoInvoker:
    """Answers each invocation with its payload."""

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        return InvocationResult(status=200, payload=invocation.payload)


class EverythingPermitted:
    policy_version = 0

    def permits(self, function_arn: str, source_arn: str, scope: Scope) -> bool:
        return True


@cache
def _service_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("apigateway", "service-2"))


def _require_modelled(value: Any, shape: Shape | None, where: str) -> None:
    if value is None or shape is None:
        return
    if isinstance(shape, StructureShape):
        unknown = value.keys() - shape.members.keys()
        assert not unknown, f"{where}: {unknown} not in the model"
        for name, member in value.items():
            _require_modelled(member, shape.members[name], f"{where}.{name}")
    elif isinstance(shape, ListShape):
        for each in value:
            _require_modelled(each, shape.member, f"{where}[]")
    elif isinstance(shape, MapShape):
        for name, each in value.items():
            _require_modelled(each, shape.value, f"{where}.{name}")
    else:
        types = {
            "string": str,
            "boolean": bool,
            "integer": int,
            "long": int,
            "double": float | int,
            "timestamp": datetime,
            "blob": bytes,
        }
        assert isinstance(value, types[shape.type_name]), f"{where}: {value!r}"
