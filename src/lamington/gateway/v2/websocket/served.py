"""A stage of a WebSocket API in service: all that was decided of it when it was deployed.

Left to others: to serve it (`plane`), and what each of its parts is made of.
"""

from dataclasses import dataclass, replace

from lamington.core.aws import Scope
from lamington.gateway.templates import Problem
from lamington.gateway.v2 import entities
from lamington.gateway.v2.websocket.exchange import CONNECT_ROUTE
from lamington.gateway.v2.websocket.handshake import Admit, compile_admission
from lamington.gateway.v2.websocket.parts import WebSocketParts
from lamington.gateway.v2.websocket.program import SocketProgram, compile_socket_program
from lamington.gateway.v2.websocket.records import (
    RouteRecords,
    SocketRecords,
    compile_route_records,
    compile_socket_records,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedSockets:
    """One stage in service; `traced` where the log of one of its routes has to be recorded."""

    program: SocketProgram
    admission: tuple[Admit, ...]
    records: SocketRecords
    routes: dict[str, RouteRecords]
    traced: bool

    @property
    def is_closed(self) -> bool:
        return self.program.api.disable_execute_api_endpoint


def compile_served(
    api: entities.Api, stage: entities.Stage, scope: Scope, parts: WebSocketParts
) -> ServedSockets:
    """Compile an API, as its deployment holds it, for a stage; raises nothing."""
    problems: list[Problem] = []

    def note(message: str, template: str = "", line: int = 0, column: int = 0) -> None:
        problems.append(Problem(method="WEBSOCKET", path=CONNECT_ROUTE, message=message))

    admission = compile_admission(api, stage, scope, parts, note)
    program = compile_socket_program(api=api, stage=stage, scope=scope, parts=parts)
    routes = {
        key: compile_route_records(api, stage, scope, key)
        for key in (*program.routes, CONNECT_ROUTE, "")
    }
    return ServedSockets(
        program=replace(program, problems=(*problems, *program.problems)),
        admission=admission,
        records=compile_socket_records(api, stage, scope),
        routes=routes,
        traced=parts.journal is not None and any(each.traced for each in routes.values()),
    )
