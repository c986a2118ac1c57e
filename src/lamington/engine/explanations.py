"""The engine's door for explanations: one request told step by step, or the last real ones.

`POST /_lamington/explain` sends a request through a stage, `/_lamington/explain/live` shows real
traffic while that is turned on. Left to others: who may knock (`engine`), the documents
(`gateway/explain`).
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import msgspec

from lamington.core.errors import UsageError
from lamington.core.http import Headers, Request, Response, parse_query
from lamington.gateway.explain import (
    Document,
    Explained,
    LiveRequests,
    ServedStage,
    Watch,
    explain,
)
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.v2.entities import DEFAULT_STAGE
from lamington.gateway.v2.http.plane import HttpDataPlane
from lamington.gateway.v2.websocket.entrance import WebSocketEntrance

DOOR = "/_lamington/explain"
LIVE_DOOR = "/_lamington/explain/live"


class Question(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A request to explain; `path` is the part after the stage, with its query.

    `api` is an id or a name; "" takes the API that is served at the root, or the only one.
    """

    method: str
    path: str
    headers: list[tuple[str, str]] = []
    body: str = ""
    body_base64: str = ""
    api: str = ""
    stage: str = ""
    show_secrets: bool = False


class LiveSwitch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether real traffic is to be recorded."""

    on: bool


class Plane(Protocol):
    """What serves APIs of one kind, and shows what becomes of their requests."""

    watch: Watch | None
    """Is shown every request, each of them recorded, while it is not None."""

    def stages(self) -> Iterable[ServedStage]: ...


Send = Callable[[Request, ServedStage, str, Watch], Awaitable[Response]]
"""Has a plane answer a request to a path below a stage, and show it."""


class Explanations:
    """Explains requests to the stages of every data plane."""

    def __init__(
        self,
        *,
        rest: RestDataPlane,
        http: HttpDataPlane,
        web_socket: WebSocketEntrance,
        kept: int,
    ) -> None:
        """`kept` requests of real traffic are kept while it is recorded."""
        self._planes: tuple[tuple[Plane, Send], ...] = (
            (
                rest,
                lambda request, at, path, watch: rest.handle(
                    request, at.api_id, at.stage, path, True, watch
                ),
            ),
            (
                http,
                lambda request, at, path, watch: http.handle(
                    request, at.api_id, request.path, watch=watch
                ),
            ),
            (
                web_socket,
                lambda request, at, path, watch: _shake_hands(web_socket, request, at, path, watch),
            ),
        )
        self._live = LiveRequests(kept)
        self._is_live = False
        self.served: tuple[str, str] | None = None
        """The API and stage at the root of the service's port."""

    async def explain(self, question: Question) -> Document:
        """Send a request through a stage, gates and functions and all, and tell each step.

        A request to a WebSocket API is a handshake, of a client that goes again at once.

        Raises UsageError where no stage is meant, or more than one.
        """
        at, send = self._find(question)
        path, _, query = question.path.partition("?")
        path = path if path.startswith("/") else f"/{path}"
        headers = Headers(question.headers)
        if "host" not in headers:
            headers.set("Host", f"{at.api_id}.execute-api.localhost")
        request = Request(
            method=question.method.upper(),
            path=path if at.stage == DEFAULT_STAGE else f"/{at.stage}{path}",
            query=query,
            headers=headers,
            body=_body(question),
        )
        seen: list[Explained] = []
        await send(request, at, path, seen.append)
        if not seen:
            raise UsageError(
                f"the stage `{at.stage}` of `{at.api_name}` takes no such request here",
                hint="is its default endpoint disabled, by `disableExecuteApiEndpoint`?",
            )
        return explain(seen[0], show_secrets=question.show_secrets)

    async def answer(self, request: Request) -> Response:
        """Answer at DOOR and LIVE_DOOR."""
        try:
            if request.path == LIVE_DOOR:
                return _json(self._answer_live(request))
            if request.method != "POST":
                return _json({"message": "Method Not Allowed"}, status=405)
            return _json(await self.explain(msgspec.json.decode(request.body, type=Question)))
        except (UsageError, msgspec.DecodeError) as refusal:
            hint = refusal.hint if isinstance(refusal, UsageError) else ""
            return _json({"message": str(refusal), "hint": hint}, status=400)

    def _answer_live(self, request: Request) -> Document:
        if request.method == "POST":
            self.record(msgspec.json.decode(request.body, type=LiveSwitch).on)
        given = dict(parse_query(request.query))
        after = given.get("after", "0")
        if not after.isdecimal():
            raise UsageError(f"`{after}` is not the number of a request")
        return {
            "on": self._is_live,
            "requests": self._live.behind(
                int(after), show_secrets=given.get("show_secrets") == "true"
            ),
        }

    def record(self, on: bool) -> None:
        """Turn the recording of real traffic on or off; off forgets what there was."""
        self._is_live = on
        for plane, _ in self._planes:
            plane.watch = self._live.take if on else None
        if not on:
            self._live.clear()

    def _find(self, question: Question) -> tuple[ServedStage, Send]:
        there = [(at, send) for plane, send in self._planes for at in plane.stages()]
        if not question.api and not question.stage:
            for at, send in there:
                if (at.api_id, at.stage) == self.served:
                    return at, send
        found = [
            (at, send)
            for at, send in there
            if question.api in ("", at.api_id, at.api_name) and question.stage in ("", at.stage)
        ]
        if len(found) == 1:
            return found[0]
        known = ", ".join(f"{at.api_name} ({at.api_id}) {at.stage}" for at, _ in there)
        if not found:
            raise UsageError(
                "no deployed stage is meant by that", hint=f"deployed are: {known or 'none'}"
            )
        raise UsageError(
            "more than one deployed stage may be meant", hint=f"give --api and --stage: {known}"
        )


async def _shake_hands(
    web_socket: WebSocketEntrance, request: Request, at: ServedStage, path: str, watch: Watch
) -> Response:
    """Have a handshake answered; a client that is let in goes away again."""
    if request.method == "GET" and "upgrade" not in request.headers:
        for name, value in _HANDSHAKE:
            request.headers.set(name, value)
    response = await web_socket.handle(request, at.api_id, at.stage, path, watch=watch)
    if response.upgrade is not None:
        response.upgrade.conversation.closed(*_GOES)
    return response


_HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg=="),
)
_GOES = (1005, "")
"""How a client ends that gives no status."""


def _body(question: Question) -> bytes:
    if not question.body_base64:
        return question.body.encode()
    try:
        return b64decode(question.body_base64, validate=True)
    except Base64Error:
        raise UsageError("`body_base64` is not Base64") from None


def _json(value: object, status: int = 200) -> Response:
    return Response(
        status=status,
        headers=[("Content-Type", "application/json")],
        body=msgspec.json.encode(value),
    )
