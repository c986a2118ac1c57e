"""Small HTTP APIs in service, with functions, endpoints and services that are fakes behind them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from fakes_aws import FakeAws
from fakes_gateway import FUNCTION_ARN, SCOPE, FakeInvoker, FakePermissions, Handler
from lamington.core.aws import AwsCaller, Params, Result, Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.http import Headers, Request, Response
from lamington.core.sigv4 import Signer
from lamington.gateway.authorization.authorizer_results import AuthorizerCaches
from lamington.gateway.authorization.json_web_tokens import TokenError, TokenVerifier
from lamington.gateway.http_client import HttpAnswer, HttpClient, Terms
from lamington.gateway.journal import Entry
from lamington.gateway.throttling import Buckets
from lamington.gateway.v2.entities import (
    Api,
    Authorizer,
    Cors,
    Integration,
    Route,
    RouteSettings,
    Stage,
)
from lamington.gateway.v2.http.parts import HttpApiParts
from lamington.gateway.v2.http.plane import HttpDataPlane
from lamington.gateway.v2.http.program import StageProgram

API_ID = "abc123"
AUTHORIZER_ARN = SCOPE.arn("lambda", "function:authorizer")
MOMENT = "2026-01-01T00:00:00Z"
ROLE = "arn:aws:iam::123456789012:role/caller"


class FakeTokens:
    """Knows tokens by their text; what it does not know is refused with the text itself."""

    def __init__(self) -> None:
        self.claims: dict[str, dict[str, Any]] = {}
        self.verified: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def recall(
        self, token: str, *, issuer: str, audiences: tuple[str, ...]
    ) -> Mapping[str, Any] | None:
        return self.verified.get(token)

    async def verify(
        self, token: str, *, issuer: str, audiences: tuple[str, ...]
    ) -> Mapping[str, Any]:
        self.asked.append((issuer, audiences))
        if token not in self.claims:
            raise TokenError(token)
        self.verified[token] = self.claims[token]
        return self.claims[token]


@dataclass
class FakeEndpoint(HttpClient):
    """An HTTP client whose every answer is the same; `sent` is what it was given."""

    answer: HttpAnswer = field(default_factory=lambda: HttpAnswer(200, [], b"ok"))
    failure: Exception | None = None
    sent: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    terms: Terms | None = None

    async def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        terms: Terms,
    ) -> HttpAnswer:
        self.sent.append((method, url, dict(headers), body))
        self.terms = terms
        if self.failure is not None:
            raise self.failure
        answer = self.answer
        return HttpAnswer(answer.status, list(answer.headers), answer.body)


@dataclass
class FakeCaller:
    """An AwsCaller that has every operation and gives each the same result."""

    result: Result
    called: list[tuple[str, Params]] = field(default_factory=list)

    async def call(self, operation: str, params: Params, scope: Scope) -> Result:
        self.called.append((operation, params))
        return self.result


@dataclass
class FakeLinks:
    """VPC links by id."""

    addresses: dict[str, str] = field(default_factory=dict)

    def address(self, connection_id: str, scope: Scope) -> str:
        return self.addresses.get(connection_id, "")


@dataclass
class FakeSigners:
    """Believes every access key; `policies` are those of each signer."""

    signer: Signer | None = None

    def find(self, access_key: str, session_token: str) -> Signer | None:
        return None if self.signer is None else replace(self.signer, access_key=access_key)


def lambda_integration(version: str = "2.0", **members: Any) -> Integration:
    values: dict[str, Any] = {
        "integration_type": "AWS_PROXY",
        "integration_uri": FUNCTION_ARN,
        "payload_format_version": version,
        **members,
    }
    return Integration(integration_id="i", **values)


def endpoint_integration(uri: str = "http://pets.example/all", **members: Any) -> Integration:
    values: dict[str, Any] = {
        "integration_type": "HTTP_PROXY",
        "integration_uri": uri,
        "integration_method": "ANY",
        **members,
    }
    return Integration(integration_id="i", **values)


def service_integration(subtype: str, **parameters: str) -> Integration:
    return Integration(
        integration_id="i",
        integration_type="AWS_PROXY",
        integration_subtype=subtype,
        credentials_arn=ROLE,
        request_parameters=parameters,
    )


class SmallHttpApi:
    """One HTTP API in service; every route has the integration and members that are given."""

    def __init__(
        self,
        *route_keys: str,
        handler: Handler = lambda event: {"ok": True},
        authorizer_handler: Handler = lambda event: {"isAuthorized": True},
        integration: Integration | None = None,
        authorizer: Authorizer | None = None,
        route: Mapping[str, Any] | None = None,
        cors: Cors | None = None,
        stages: Sequence[str] = ("$default",),
        variables: Mapping[str, str] | None = None,
        throttle: RouteSettings | None = None,
        route_settings: Mapping[str, RouteSettings] | None = None,
        access_log: str = "",
        permitted: bool = True,
        emulates: Callable[[str], bool] = lambda operation: True,
        verifier: Callable[[ManualClock], TokenVerifier] | None = None,
        caller: AwsCaller | None = None,
        **members: Any,
    ) -> None:
        self.invoker = FakeInvoker({FUNCTION_ARN: handler, AUTHORIZER_ARN: authorizer_handler})
        self.permissions = FakePermissions(permitted=permitted)
        self.clock = ManualClock()
        self.tokens = FakeTokens()
        self.endpoint = FakeEndpoint()
        self.links = FakeLinks()
        self.aws = FakeAws()
        self.signers = FakeSigners()
        self.entries: list[Entry] = []
        self.reports: list[str] = []
        self.caches = AuthorizerCaches(self.clock)
        self.plane = HttpDataPlane(
            parts=HttpApiParts(
                invoker=self.invoker,
                permitted=self.permissions,
                clock=self.clock,
                caller=caller or self.aws,
                signers=self.signers,
                tokens=self.tokens if verifier is None else verifier(self.clock),
                caches=self.caches,
                buckets=Buckets(self.clock, account_rate=0.0),
                client=self.endpoint,
                vpc_links=self.links,
                emulates=emulates,
            ),
            clock=self.clock,
            ids=Ids(),
            report=lambda method, path, reason: self.reports.append(reason),
            journal=self.entries.append,
        )
        integration = integration or lambda_integration()
        route_members = dict(route or {})
        if authorizer is not None:
            route_members["authorizer_id"] = authorizer.authorizer_id
        self.api = Api(
            api_id=API_ID,
            name="small",
            protocol_type="HTTP",
            created=MOMENT,
            cors=cors,
            routes={
                f"r{number}": Route(
                    route_id=f"r{number}",
                    route_key=key,
                    target="integrations/i",
                    **route_members,
                )
                for number, key in enumerate(route_keys)
            },
            integrations={"i": integration},
            authorizers={} if authorizer is None else {authorizer.authorizer_id: authorizer},
            **members,
        )
        log = {
            "DestinationArn": SCOPE.arn("logs", "log-group:access"),
            "Format": access_log,
        }
        self.stages = [
            Stage(
                api_id=API_ID,
                stage_name=name,
                created=MOMENT,
                last_updated=MOMENT,
                variables=dict(variables or {}),
                default_route_settings=throttle or RouteSettings(),
                route_settings=dict(route_settings or {}),
                access_log=log if access_log else {},
            )
            for name in stages
        ]
        self.deploy()

    def deploy(self) -> None:
        for stage in self.stages:
            self.plane.deploy(self.api, stage, SCOPE)

    @property
    def program(self) -> StageProgram:
        program = self.plane.program(API_ID, self.stages[0].stage_name)
        assert program is not None
        return program

    async def send(
        self,
        target: str,
        *,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        **options: Any,
    ) -> Response:
        """Send `"GET /pets?x=1"`."""
        method, _, address = target.partition(" ")
        path, _, query = address.partition("?")
        fields = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        request = Request(
            method=method,
            path=path,
            query=query,
            headers=Headers([("Host", "abc123.execute-api.localhost:3000"), *fields]),
            body=body,
        )
        return await self.plane.handle(request, API_ID, path, **options)

    @property
    def event(self) -> Any:
        """The event of the last invocation."""
        return msgspec.json.decode(self.invoker.invocations[-1].payload)


def jwt_authorizer(**members: Any) -> Authorizer:
    values: dict[str, Any] = {
        "identity_source": ("$request.header.Authorization",),
        "jwt_issuer": "https://issuer.example",
        "jwt_audience": ("pets",),
        **members,
    }
    return Authorizer(authorizer_id="a", name="tokens", authorizer_type="JWT", **values)


def lambda_authorizer(**members: Any) -> Authorizer:
    values: dict[str, Any] = {
        "identity_source": ("$request.header.Authorization",),
        "authorizer_uri": (
            "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/"
            f"{AUTHORIZER_ARN}/invocations"
        ),
        "payload_format_version": "2.0",
        "enable_simple_responses": True,
        "result_ttl_s": 0,
        **members,
    }
    return Authorizer(authorizer_id="a", name="asks", authorizer_type="REQUEST", **values)
