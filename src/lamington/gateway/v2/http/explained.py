"""What a watched request to an HTTP API is told as: its route, its origin, its end.

What happens between is recorded where it happens. Left to others: the document (`gateway.explain`).
"""

from collections.abc import Sequence

from lamington.core.http import Response
from lamington.gateway.explain import Answer, Asked, Explained, ServedStage
from lamington.gateway.recording import record_answer
from lamington.gateway.v2.http.cors import PREFIX
from lamington.gateway.v2.http.program import StageProgram
from lamington.gateway.v2.http.refusals import HttpRefusal
from lamington.gateway.v2.http.requests import HttpRequest
from lamington.gateway.v2.http.routes import candidates, why_found

Fields = Sequence[tuple[str, str]]


def record_match(request: HttpRequest, program: StageProgram, path: str) -> None:
    """Record which route a request takes, or none, and which others it might have taken.

    `path` is undecoded and without the stage.
    """
    route, recording = request.route, request.recording
    assert recording is not None
    found = candidates(program.route_keys, request.method, path)
    recording.add(
        "match",
        resource=route.resource_path,
        method=route.verb,
        path_parameters=dict(request.path_parameters),
        candidates=found,
        why=why_found(route.route_key, len(found) > 1) if route.route_key else "no route takes it",
    )


def record_cors(request: HttpRequest, before: Fields, after: Fields, *, preflight: bool) -> None:
    """Record what the CORS configuration made of the headers of an answer.

    A `preflight` is answered by the gateway itself, as every OPTIONS that no route takes is.
    """
    recording = request.recording
    assert recording is not None
    origin = request.headers.get("origin", "")
    allowed = {name: value for name, value in after if name.startswith(PREFIX)}
    dropped = () if preflight else before
    if not origin:
        decision = "no origin"
    else:
        decision = "allowed" if f"{PREFIX}allow-origin" in allowed else "not allowed"
    recording.add(
        "cors",
        decision=f"preflight: {decision}" if preflight else decision,
        origin=origin,
        headers=allowed,
        dropped={name: value for name, value in dropped if name.startswith(PREFIX)},
    )


def record_end(request: HttpRequest, response: Response, refusal: HttpRefusal | None) -> None:
    """Record what the client gets, and why where it is the gateway's own answer."""
    recording = request.recording
    assert recording is not None
    name, values = "method_response", {}
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
        status=response.status,
        headers=response.headers,
        body=response.body,
        **values,
    )


def explained_of(
    program: StageProgram,
    request: HttpRequest,
    response: Response,
    refusal: HttpRefusal | None,
    latency_s: float,
) -> Explained:
    """What is told of a recorded request to those who watch."""
    route, sent = request.route, request.sent
    assert request.recording is not None
    return Explained(
        protocol="HTTP",
        at=served_stage(program),
        request_id=request.request_id,
        time=request.moment.text,
        asked=Asked(
            method=request.method,
            path=request.context_path,
            query=sent.query,
            headers=sent.headers.fields,
            body=sent.body,
        ),
        taken_by=(route.verb, route.resource_path) if route.route_key else None,
        there=lambda: program.route_keys,
        recording=request.recording,
        refusal=refusal,
        answer=Answer(status=response.status, headers=response.headers, body=response.body),
        latency_s=latency_s,
        integration_s=request.integration_s,
    )


def served_stage(program: StageProgram) -> ServedStage:
    """The stage that a program is of."""
    constants = program.constants
    return ServedStage(api_id=constants.api_id, api_name=program.api_name, stage=constants.stage)
