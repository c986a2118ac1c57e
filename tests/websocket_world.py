"""WebSocket APIs over a server of a test's own: a plane, functions in its process, real clients."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import websockets

from fakes_gateway import FakeInvoker, FakePermissions
from lamington.core.aws import Scope
from lamington.core.clock import Clock, Ids, ManualClock
from lamington.core.http import Headers, Request, Response
from lamington.core.sigv4 import Signer
from lamington.engine.server import HttpServer, ServerLimits
from lamington.gateway.http_client import HttpClient
from lamington.gateway.throttling import Buckets
from lamington.gateway.v2 import entities
from lamington.gateway.v2.websocket.parts import WebSocketParts
from lamington.gateway.v2.websocket.plane import WebSocketDataPlane

SCOPE = Scope(account_id="123456789012", region="eu-west-1")
API_ID = "wsapi12345"
CREATED = "2026-01-01T00:00:00Z"
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/execute-api/aws4_request,"
    " SignedHeaders=host;x-amz-date, Signature=00"
)


def function_arn(name: str) -> str:
    return SCOPE.arn("lambda", f"function:{name}")


def function_uri(name: str) -> str:
    return (
        "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/"
        f"{function_arn(name)}/invocations"
    )


def integration(name: str, kind: str = "AWS_PROXY", **members: Any) -> entities.Integration:
    """An integration with the function of its name."""
    uri = members.pop("uri", function_uri(name))
    return entities.Integration(
        integration_id=name,
        integration_type=kind,
        integration_method="POST",
        integration_uri=uri,
        **members,
    )


def route(key: str, target: str, *, replies: bool = False, **members: Any) -> entities.Route:
    """A route to the integration of a function; `replies` gives it a route response."""
    responses = {}
    if replies:
        responses["r1"] = entities.RouteResponse(
            route_response_id="r1", route_response_key="$default"
        )
    return entities.Route(
        route_id=f"route-{key}",
        route_key=key,
        target=f"integrations/{target}",
        responses=responses,
        **members,
    )


def web_socket_api(
    routes: list[entities.Route], integrations: list[entities.Integration], **members: Any
) -> entities.Api:
    given = {"route_selection_expression": "$request.body.action", **members}
    return entities.Api(
        api_id=API_ID,
        name="talk",
        protocol_type="WEBSOCKET",
        created=CREATED,
        routes={each.route_id: each for each in routes},
        integrations={each.integration_id: each for each in integrations},
        **given,
    )


def stage(**members: Any) -> entities.Stage:
    return entities.Stage(
        api_id=API_ID, stage_name="dev", created=CREATED, last_updated=CREATED, **members
    )


class EveryKey:
    """Signers that believe every access key."""

    def find(self, access_key: str, session_token: str) -> Signer | None:
        return Signer(access_key=access_key)


@dataclass
class SocketWorld:
    """One stage in service behind a server; `invoker.handlers` are the functions."""

    plane: WebSocketDataPlane
    invoker: FakeInvoker
    permissions: FakePermissions
    clock: Clock
    server: HttpServer
    url: str = ""
    signers: Any = field(default_factory=EveryKey)

    def deploy(self, api: entities.Api, **members: Any) -> None:
        self.plane.deploy(api, stage(**members), SCOPE)

    def serve(
        self,
        handler: Callable[[Any], Any],
        *keys: str,
        replies: bool = True,
        stage_members: Mapping[str, Any] | None = None,
        **members: Any,
    ) -> None:
        """Deploy an API whose routes all lead to one function by proxy."""
        self.invoker.handlers[function_arn("f")] = handler
        routes = [
            route(key, "f", replies=replies and key not in ("$connect", "$disconnect"))
            for key in keys or ("$connect", "$disconnect", "$default")
        ]
        self.deploy(web_socket_api(routes, [integration("f")], **members), **(stage_members or {}))

    def connect(self, query: str = "", **options: Any) -> Any:
        return websockets.connect(f"{self.url}{query}", **{"open_timeout": 5, **options})

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        found = [json.loads(each.payload) for each in self.invoker.invocations]
        return [each for each in found if not kind or event_type(each) == kind]

    async def event(self, kind: str) -> dict[str, Any]:
        """The first event of its kind, once it has come."""
        for _ in range(500):
            if found := self.events(kind):
                return found[0]
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {kind} event")

    async def manage(
        self, method: str, connection_id: str, body: bytes = b"", *, signed: bool = True
    ) -> Response:
        fields = [("Host", "localhost")]
        if signed:
            fields += [("Authorization", SIGNED), ("X-Amz-Date", "20260101T000000Z")]
        path = f"/@connections/{quote(connection_id, safe='')}"
        request = Request(method=method, path=f"/dev{path}", headers=Headers(fields), body=body)
        return await self.plane.handle(request, API_ID, "dev", path)


def event_type(event: dict[str, Any]) -> str:
    return str(event.get("requestContext", {}).get("eventType", ""))


@asynccontextmanager
async def socket_world(
    *, clock: Clock | None = None, limits: ServerLimits | None = None, **parts: Any
) -> AsyncIterator[SocketWorld]:
    """A world on a free port of this machine; everything ends with it."""
    clock = clock or ManualClock()
    invoker = FakeInvoker({})
    permissions = FakePermissions()
    client = HttpClient()
    plane = WebSocketDataPlane(
        WebSocketParts(
            **{
                "invoker": invoker,
                "permitted": permissions,
                "clock": clock,
                "ids": Ids(),
                "signers": EveryKey(),
                "buckets": Buckets(clock),
                "client": client,
                **parts,
            }
        )
    )

    async def answer(request: Request) -> Response:
        path = request.path
        if path.startswith("/dev"):
            return await plane.handle(request, API_ID, "dev", path.removeprefix("/dev") or "/")
        return Response(body=b"plain")

    server = HttpServer(answer, limits=limits)
    port = await server.start("127.0.0.1", 0)
    world = SocketWorld(plane, invoker, permissions, clock, server, f"ws://127.0.0.1:{port}/dev")
    try:
        yield world
    finally:
        await plane.close()
        await server.stop(1.0)
        await client.close()
