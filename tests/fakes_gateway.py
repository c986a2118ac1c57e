"""What stands in for Lambda when the gateway is tested alone, and the making of small APIs."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.http import Headers, Request, Response
from lamington.functions.entities import (
    REQUEST_PAYLOAD_MAX_BYTES,
    InvalidRequestContentException,
    RequestTooLargeException,
    ResourceNotFoundException,
)
from lamington.functions.invoke import Invocation, InvocationResult
from lamington.gateway.cache import CacheStore
from lamington.gateway.completed import Completed
from lamington.gateway.deployment import StageProgram, compile_stage
from lamington.gateway.entities import (
    IntegrationResponse,
    Method,
    MethodIntegration,
    MethodResponseDefinition,
    Resource,
    RestApi,
    Stage,
)
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.stage_parts import StageParts
from lamington.gateway.throttling import Buckets
from lamington.gateway.usage_plans import UsagePlans

SCOPE = Scope(account_id="123456789012", region="eu-west-1")
FUNCTION_ARN = SCOPE.arn("lambda", "function:pets")
INVOCATION_URI = (
    f"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{FUNCTION_ARN}/invocations"
)

Handler = Callable[[Any], Any]


class HandlerFailed(Exception):
    """What a fake handler raises so that its invocation ends in this error payload."""

    def __init__(self, payload: Any) -> None:
        super().__init__(str(payload))
        self.payload = payload


class FakeInvoker:
    """Runs handlers in process, by the Invoke API's contract; `gate` holds answers back.

    `request_id` is that of each success.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = dict(handlers)
        self.invocations: list[Invocation] = []
        self.gate: asyncio.Event | None = None
        self.request_id = ""

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self.invocations.append(invocation)
        handler = self.handlers.get(invocation.function_arn)
        if handler is None:
            raise ResourceNotFoundException(f"Function not found: {invocation.function_arn}")
        event = self._event(invocation)
        if invocation.invocation_type == "DryRun":
            return InvocationResult(status=204)
        if invocation.invocation_type == "Event":
            return InvocationResult(status=202)
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        try:
            answer = handler(event)
        except HandlerFailed as failure:
            payload = msgspec.json.encode(failure.payload)
            return InvocationResult(status=200, payload=payload, function_error="Unhandled")
        payload = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        return InvocationResult(status=200, payload=payload, request_id=self.request_id)

    def _event(self, invocation: Invocation) -> Any:
        if len(invocation.payload) > REQUEST_PAYLOAD_MAX_BYTES:
            raise RequestTooLargeException(
                f"Request must be smaller than {REQUEST_PAYLOAD_MAX_BYTES} bytes for the"
                " InvokeFunction operation"
            )
        try:
            return msgspec.json.decode(invocation.payload or b"{}")
        except msgspec.DecodeError:
            raise InvalidRequestContentException(
                "Could not parse request body into json."
            ) from None


class FakePermissions:
    """Function policies that are one Boolean; `asked` are the source ARNs."""

    def __init__(self, *, permitted: bool = True) -> None:
        self.permitted = permitted
        self.policy_version = 0
        self.asked: list[str] = []

    def permits(self, function_arn: str, source_arn: str, scope: Scope) -> bool:
        self.asked.append(source_arn)
        return self.permitted


def lambda_method(
    verb: str = "GET",
    *,
    kind: str = "AWS_PROXY",
    statuses: tuple[str, ...] = ("200",),
    responses: tuple[IntegrationResponse, ...] = (IntegrationResponse(status_code="200"),),
    authorization_type: str = "NONE",
    api_key_required: bool = False,
    **integration: Any,
) -> Method:
    """A method with an integration; `kind` is its type, the rest are its members."""
    members: dict[str, Any] = {"http_method": "POST", "uri": INVOCATION_URI, **integration}
    return Method(
        http_method=verb,
        authorization_type=authorization_type,
        api_key_required=api_key_required,
        responses=tuple(MethodResponseDefinition(status_code=each) for each in statuses),
        integration=MethodIntegration(type=kind, responses=responses, **members),
    )


def small_api(methods: Mapping[str, Method], **members: Any) -> RestApi:
    """An API of `{"GET /pets": method}`."""
    resources: dict[str, Resource] = {}
    for name, method in methods.items():
        verb, _, path = name.partition(" ")
        resource = resources.setdefault(
            path, Resource(resource_id=f"res{len(resources)}", path=path)
        )
        resource.methods[verb] = method
    return RestApi(
        api_id="abc123",
        name="small",
        created="2026-01-01T00:00:00Z",
        resources={each.resource_id: each for each in resources.values()},
        **members,
    )


def small_stage(**members: Any) -> Stage:
    values = {"created": "2026-01-01T00:00:00Z", "last_updated": "2026-01-01T00:00:00Z", **members}
    return Stage(api_id="abc123", stage_name="dev", deployment_id="dep123", **values)


class SmallGateway:
    """One API in service, with a function behind it."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        handler: Handler = lambda event: event,
        *,
        permitted: bool = True,
        stage: Stage | None = None,
        may_invalidate: bool = False,
        plans: UsagePlans | None = None,
        buckets: Buckets | None = None,
        **members: Any,
    ) -> None:
        self.invoker = FakeInvoker({FUNCTION_ARN: handler})
        self.permissions = FakePermissions(permitted=permitted)
        self.clock = ManualClock()
        self.cache = CacheStore(self.clock)
        self.reports: list[tuple[str, str, str]] = []
        self.completed: list[Completed] = []
        self.plane = RestDataPlane(
            clock=self.clock,
            ids=Ids(),
            report=lambda method, path, reason: self.reports.append((method, path, reason)),
            journal=self.completed.append,
        )
        self.program: StageProgram = compile_stage(
            api=small_api(methods, **members),
            stage=stage or small_stage(),
            scope=SCOPE,
            parts=StageParts(
                invoker=self.invoker,
                permitted=self.permissions,
                cache=self.cache,
                may_invalidate=lambda request: may_invalidate,
                plans=plans,
                buckets=buckets,
            ),
        )
        self.plane.deploy(self.program)

    async def send(
        self,
        target: str,
        *,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        body: bytes = b"",
        stage_in_path: bool = True,
    ) -> Response:
        """Send `"GET /pets?x=1"`."""
        method, _, address = target.partition(" ")
        path, _, query = address.partition("?")
        fields = list(headers.items()) if isinstance(headers, Mapping) else headers or []
        request = Request(
            method=method,
            path=f"/dev{path}" if stage_in_path else path,
            query=query,
            headers=Headers([("Host", "localhost:3000"), *fields]),
            body=body,
        )
        return await self.plane.handle(request, "abc123", "dev", path, stage_in_path)

    @property
    def event(self) -> Any:
        """The event of the last invocation."""
        return msgspec.json.decode(self.invoker.invocations[-1].payload)


def header(response: Response, name: str) -> str:
    return Headers(response.headers).get(name)
