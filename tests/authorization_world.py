"""An API whose methods ask who calls, with a function that answers for its authorizer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from fakes_gateway import (
    FUNCTION_ARN,
    SCOPE,
    FakeInvoker,
    FakePermissions,
    lambda_method,
    small_api,
    small_stage,
)
from lamington.core.clock import Ids, ManualClock
from lamington.core.http import Headers, Request, Response
from lamington.core.sigv4 import Signer
from lamington.gateway.authorization.authorizer_results import AuthorizerCaches
from lamington.gateway.authorization.gate import AuthorizationParts
from lamington.gateway.authorization.json_web_tokens import TokenVerifier
from lamington.gateway.deployment import StageProgram, compile_stage
from lamington.gateway.entities import Authorizer, RestApi
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.stage_parts import StageParts

AUTHORIZER_ARN = SCOPE.arn("lambda", "function:gatekeeper")
AUTHORIZER_URI = (
    f"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{AUTHORIZER_ARN}/invocations"
)
METHOD_ARN = "arn:aws:execute-api:eu-west-1:123456789012:abc123/dev/GET/pets"


@dataclass
class FakeSigners:
    """The keys that a test knows; `believes` takes every other one too."""

    known: dict[str, Signer] = field(default_factory=dict)
    believes: bool = True

    def find(self, access_key: str, session_token: str) -> Signer | None:
        found = self.known.get(access_key)
        if found is None and self.believes:
            return Signer(access_key=access_key)
        return found


def allowing(resource: str = "*", effect: str = "Allow", **members: Any) -> dict[str, Any]:
    """What an authorizer answers that allows, or denies, one resource."""
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}
    return {
        "principalId": "me",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        **members,
    }


class AuthorizedGateway:
    """One API in service; `answer` says what the authorizer's function answers to its event."""

    def __init__(
        self,
        *,
        authorization: str = "CUSTOM",
        kind: str = "TOKEN",
        definition: Mapping[str, Any] | None = None,
        answer: Callable[[Any], Any] = lambda event: allowing(),
        policy: str = "",
        paths: tuple[str, ...] = ("/pets",),
        permitted: bool = True,
        variables: Mapping[str, str] | None = None,
        signers: FakeSigners | None = None,
        client_certificate_header: str = "",
        **members: Any,
    ) -> None:
        self.invoker = FakeInvoker({FUNCTION_ARN: lambda event: {}, AUTHORIZER_ARN: answer})
        self.permissions = FakePermissions(permitted=permitted)
        self.clock = ManualClock()
        self.signers = signers or FakeSigners()
        self.plane = RestDataPlane(clock=self.clock, ids=Ids())
        self.caches = AuthorizerCaches(self.clock)
        self.authorizer = Authorizer(
            authorizer_id="auth01",
            name="gatekeeper",
            type=kind,
            definition={
                "authorizerUri": AUTHORIZER_URI,
                "identitySource": "method.request.header.Authorization",
                **(definition or {}),
            },
        )
        self._client_certificate_header = client_certificate_header
        self.stage = small_stage(variables=dict(variables or {}))
        self.api = small_api(
            {
                f"GET {path}": replace(
                    lambda_method(authorization_type=authorization), authorizer_id="auth01"
                )
                for path in paths
            },
            authorizers={"auth01": self.authorizer},
            policy=policy,
            **members,
        )
        self.program = self.compile(self.api)
        self.plane.deploy(self.program)

    def compile(self, api: RestApi) -> StageProgram:
        return compile_stage(
            api=api,
            stage=self.stage,
            scope=SCOPE,
            parts=StageParts(
                invoker=self.invoker,
                permitted=self.permissions,
                authorization=AuthorizationParts(
                    invoker=self.invoker,
                    permitted=self.permissions,
                    clock=self.clock,
                    signers=self.signers,
                    tokens=TokenVerifier(clock=self.clock),
                    caches=self.caches,
                    client_certificate_header=self._client_certificate_header,
                ),
            ),
        )

    async def send(
        self, target: str = "GET /pets", headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send `"GET /pets?x=1"`; the token of every request is `letmein` unless it says else."""
        fields = {"Authorization": "letmein"} if headers is None else headers
        method, _, address = target.partition(" ")
        path, _, query = address.partition("?")
        request = Request(
            method=method,
            path=f"/dev{path}",
            query=query,
            headers=Headers([("Host", "localhost:3000"), *fields.items()]),
        )
        return await self.send_request(request)

    async def send_request(self, request: Request) -> Response:
        path = request.path.removeprefix("/dev")
        return await self.plane.handle(request, "abc123", "dev", path, True)

    @property
    def calls(self) -> list[Any]:
        """The events that the authorizer's function got."""
        return [
            msgspec.json.decode(each.payload)
            for each in self.invoker.invocations
            if each.function_arn == AUTHORIZER_ARN
        ]

    @property
    def event(self) -> Any:
        """The event that the last invocation behind the API got."""
        last = [each for each in self.invoker.invocations if each.function_arn == FUNCTION_ARN][-1]
        return msgspec.json.decode(last.payload)
