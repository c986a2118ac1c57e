"""One client of a WebSocket API without a socket: what it hears, and what its functions get."""

import json
from typing import Any

from fakes_gateway import FakeInvoker, FakePermissions
from lamington.core.clock import Ids, ManualClock
from lamington.core.http import Headers, Request, Response
from lamington.gateway.http_client import HttpClient
from lamington.gateway.throttling import Buckets
from lamington.gateway.v2 import entities
from lamington.gateway.v2.websocket.connections import Connection
from lamington.gateway.v2.websocket.parts import WebSocketParts
from lamington.gateway.v2.websocket.plane import WebSocketDataPlane
from websocket_world import (
    API_ID,
    SCOPE,
    SIGNED,
    EveryKey,
    function_arn,
    function_uri,
    integration,
    route,
    stage,
    web_socket_api,
)

KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="


class Ear:
    """The client's end of a connection; `full` stands for one that reads nothing."""

    def __init__(self, *, full: bool = False) -> None:
        self.heard: list[str] = []
        self.closed: list[Any] = []
        self.full = full
        self.connection: Connection | None = None

    def send(self, message: bytes) -> bool:
        if not self.full:
            self.heard.append(message.decode())
        return not self.full

    def close(self, code: int, reason: str) -> None:
        self.closed = [code, reason]

    def abort(self) -> None: ...

    def hold(self) -> None: ...

    def go_on(self) -> None: ...


class Talk:
    """One API in service and one client of it, without a socket."""

    def __init__(self, given: dict[str, Any], **parts: Any) -> None:
        clock = parts.setdefault("clock", ManualClock())
        answer = given.get("answer", '{"statusCode":200}').encode()

        def handle(event: Any) -> bytes:
            answered = "CONNECT" if "handshake" in given else "MESSAGE"
            is_asked = event["requestContext"]["eventType"] == answered
            return answer if is_asked else b'{"statusCode":200}'

        def authorize(event: Any) -> Any:
            statement = {"Effect": given["decides"], "Action": "*", "Resource": event["methodArn"]}
            document = {"Version": "2012-10-17", "Statement": [statement]}
            return {"principalId": "ada", "policyDocument": document, "context": {"n": 1}}

        handlers = {function_arn("f"): handle, function_arn("door"): authorize}
        self.invoker = FakeInvoker(handlers)
        self.permissions = FakePermissions(permitted=given.get("permitted", True))
        self.plane = WebSocketDataPlane(
            WebSocketParts(
                invoker=self.invoker,
                permitted=self.permissions,
                ids=Ids(),
                signers=EveryKey(),
                buckets=Buckets(clock),
                client=HttpClient(),
                **parts,
            )
        )
        keys = given.get("routes", ["$disconnect", "$default"])
        routes = [
            route(key, "f", replies=True, **(given.get("guard", {}) if key == "$connect" else {}))
            for key in keys
        ]
        door = entities.Authorizer(
            authorizer_id="door",
            name="door",
            authorizer_type="REQUEST",
            authorizer_uri=function_uri("door"),
            identity_source=tuple(given.get("identity_source", ())),
        )
        self.plane.deploy(
            web_socket_api(routes, [integration("f")], authorizers={"door": door}),
            stage(variables={"color": "red"}, **given.get("stage", {})),
            SCOPE,
        )
        self.ear = Ear(full=given.get("full", False))

    async def shake_hands(self, given: dict[str, Any]) -> Response:
        """Answer a handshake; `given` may have further `headers` and a `query`."""
        fields = [
            ("Host", "localhost"),
            ("User-Agent", "browser"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
            *given.get("headers", {}).items(),
        ]
        query = given.get("query", "")
        request = Request(
            method="GET", path="/dev", query=query, headers=Headers(fields), source_ip="1.2.3.4"
        )
        return await self.plane.connect(request, API_ID, given.get("called_stage", "dev"))

    async def connect(self) -> Connection:
        response = await self.shake_hands({})
        assert response.upgrade is not None
        connection = response.upgrade.conversation
        assert isinstance(connection, Connection)
        connection.opened(self.ear)
        return connection

    async def manage(self, connection: Connection, given: dict[str, Any]) -> Response:
        fields = [("Host", "localhost")]
        if given.get("signed", True):
            fields += [("Authorization", SIGNED), ("X-Amz-Date", "20260101T000000Z")]
        connection_id = given.get("id", connection.client.connection_id)
        body = given.get("body", "x" * given.get("body_bytes", 0)).encode()
        path = f"/@connections/{connection_id.replace('=', '%3D')}"
        request = Request(
            method=given["manage"], path=f"/dev{path}", headers=Headers(fields), body=body
        )
        return await self.plane.handle(request, API_ID, "dev", path)

    @property
    def context(self) -> dict[str, Any]:
        """The request context of the last event."""
        found: dict[str, Any] = json.loads(self.invoker.invocations[-1].payload)["requestContext"]
        return found
