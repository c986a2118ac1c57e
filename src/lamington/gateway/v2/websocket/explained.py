"""What a watched handshake, message or departure is told as: its route, its limits, its end.

What happens between is recorded where it happens. Left to others: the document (`gateway.explain`).
"""

from lamington.gateway.explain import Answer, Asked, Explained, ServedStage
from lamington.gateway.recording import record_answer
from lamington.gateway.responses import Refusal
from lamington.gateway.v2.websocket.exchange import (
    CONNECT_ROUTE,
    DISCONNECT_ROUTE,
    Exchange,
)
from lamington.gateway.v2.websocket.program import (
    ROUTE_SELECTION_DEFAULT,
    RouteProgram,
    SocketProgram,
)
from lamington.gateway.v2.websocket.selection import DEFAULT_KEY
from lamington.gateway.vtl.jsonpath import MISSING


def record_match(program: SocketProgram, exchange: Exchange, route: RouteProgram | None) -> None:
    """Record which route an exchange takes, or none, and how it was selected."""
    recording = exchange.recording
    assert recording is not None
    key = "" if route is None else route.route.route_key
    if exchange.event_type != "MESSAGE":
        why = "a handshake takes it" if exchange.event_type == "CONNECT" else _why_ended(exchange)
        recording.add(
            "match",
            resource=key,
            method="",
            path_parameters={},
            why=why if key else f"there is no {CONNECT_ROUTE}: everybody may connect",
        )
        return
    selected, why = _selected(program, exchange)
    recording.add(
        "match",
        resource=key,
        method="",
        path_parameters={},
        expression=program.api.route_selection_expression or ROUTE_SELECTION_DEFAULT,
        selected=selected,
        candidates=[each for each in program.routes if each in (selected, DEFAULT_KEY)],
        why=why if key else f"{why}, and there is no {DEFAULT_KEY}",
    )


def _why_ended(exchange: Exchange) -> str:
    departure = exchange.departure
    assert departure is not None
    return f"the connection ended: {departure.code} {departure.reason}".rstrip()


def _selected(program: SocketProgram, exchange: Exchange) -> tuple[str, str]:
    """What the route selection expression gives for a message, and what that means."""
    if program.selects_by_body and exchange.body.value() is MISSING:
        return "", "the message is no JSON"
    selected = program.select(exchange.subject())
    if selected in (CONNECT_ROUTE, DISCONNECT_ROUTE):
        return selected, f"no message takes {selected}"
    if selected in program.routes:
        return selected, "the expression gives its key"
    return selected, f"no route has the key `{selected}`"


def record_end(exchange: Exchange, answer: Answer, refusal: Refusal | None, why: str = "") -> None:
    """Record what the client gets, and why where it is the gateway's own answer, or nothing."""
    recording = exchange.recording
    assert recording is not None
    name, values = "method_response", {"why": why} if why else {}
    if refusal is not None:
        name = "gateway_response"
        values = {
            "type": refusal.response_type,
            "why": refusal.message,
            "hint": refusal.hint,
        }
    record_answer(
        recording,
        name,
        status=answer.status,
        headers=answer.headers,
        body=answer.body or b"",
        **values,
    )


def explained_of(
    program: SocketProgram, exchange: Exchange, answer: Answer, refusal: Refusal | None
) -> Explained:
    """What is told of a recorded exchange to those who watch."""
    client, request, recording = exchange.client, exchange.request, exchange.recording
    assert recording is not None
    taken = exchange.route_key in program.routes
    latency_ms = exchange.integration_latency_ms
    return Explained(
        protocol="WEBSOCKET",
        at=served_stage(program),
        request_id=exchange.request_id,
        connection_id=client.connection_id,
        time=exchange.moment.text,
        asked=Asked(
            method=exchange.event_type,
            path=f"/{client.stage}" if request is None else request.path,
            query="" if request is None else request.query,
            headers=() if request is None else request.headers.fields,
            body=exchange.body.text.encode("utf-8", "replace"),
        ),
        taken_by=("", exchange.route_key) if taken else None,
        there=lambda: program.routes,
        recording=recording,
        refusal=refusal,
        answer=answer,
        latency_s=recording.elapsed_s,
        integration_s=None if latency_ms < 0 else latency_ms / 1000,
        secrets=(str(client.identity.get("apiKey") or ""),),
    )


def served_stage(program: SocketProgram) -> ServedStage:
    """The stage that a program is of."""
    api = program.api
    return ServedStage(api_id=api.api_id, api_name=api.name, stage=program.stage.stage_name)
