"""Where WebSocket APIs begin: a plane that is loaded when the first of them is deployed.

An engine without WebSocket APIs neither waits for their modules nor holds them in memory.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lamington.core.aws import Scope
from lamington.core.http import Request, Response
from lamington.gateway.explain import ServedStage, Watch
from lamington.gateway.v2 import entities
from lamington.gateway.v2.websocket.parts import WebSocketParts

if TYPE_CHECKING:
    from lamington.gateway.v2.websocket.plane import WebSocketDataPlane


class WebSocketEntrance:
    """Does what a `WebSocketDataPlane` does; makes it when it is first needed."""

    def __init__(self, parts: WebSocketParts) -> None:
        self._parts = parts
        self._plane: WebSocketDataPlane | None = None
        self._watch: Watch | None = None

    @property
    def watch(self) -> Watch | None:
        """Is shown every handshake, message and departure while it is not None."""
        return self._watch

    @watch.setter
    def watch(self, watch: Watch | None) -> None:
        self._watch = watch
        if self._plane is not None:
            self._plane.watch = watch

    def stages(self) -> Iterable[ServedStage]:
        """The stages in service."""
        return () if self._plane is None else self._plane.stages()

    def deploy(self, api: entities.Api, stage: entities.Stage, scope: Scope) -> None:
        self._load().deploy(api, stage, scope)

    def withdraw(self, api_id: str, stage_name: str) -> None:
        if self._plane is not None:
            self._plane.withdraw(api_id, stage_name)

    def serves(self, api_id: str) -> bool:
        return self._plane is not None and self._plane.serves(api_id)

    async def handle(
        self,
        request: Request,
        api_id: str,
        stage: str,
        path: str,
        *,
        default_endpoint: bool = True,
        watch: Watch | None = None,
    ) -> Response:
        return await self._load().handle(
            request, api_id, stage, path, default_endpoint=default_endpoint, watch=watch
        )

    def manage(self, request: Request, path: str) -> Response:
        """Answer a request to `@connections` that names no API."""
        return self._load().manage(request, "", "", path)

    def differences(self, api_id: str, stage_name: str) -> list[str]:
        """What of a stage fails at run time or is not emulated, as sentences."""
        if self._plane is None:
            return []
        problems = self._plane.problems(api_id, stage_name)
        failing = [f"`{each.path}` fails, as on AWS: {each.message}" for each in problems]
        return [*self._plane.unemulated(api_id, stage_name), *failing]

    async def close(self, grace_s: float = 2.0) -> None:
        """Close every connection, and let what that sets going end within the grace."""
        if self._plane is not None:
            await self._plane.close(grace_s)

    def _load(self) -> "WebSocketDataPlane":
        if self._plane is None:
            from lamington.gateway.v2.websocket.plane import WebSocketDataPlane

            self._plane = WebSocketDataPlane(self._parts)
            self._plane.watch = self._watch
        return self._plane
