"""What happened to one request, step by step, for whoever wants to see it.

A request is recorded only where its stage logs executions or somebody asks for an explanation;
every other one has no `Recording`, and its steps cost nothing. The steps that every kind of API
has are written here, so that they look alike. Left to others: to show the steps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lamington.core.clock import Clock


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened; `at_s` counts from the beginning of the request.

    `values` are what went in, what came out and why, each as JSON would have it.
    """

    name: str
    at_s: float
    values: dict[str, Any]


class Recording:
    """The steps of one request in order.

    `hidden` are texts that are secrets although nothing in the request says so, such as a token
    in a query string.
    """

    __slots__ = ("_began", "_clock", "hidden", "steps")

    def __init__(self, clock: Clock) -> None:
        self.steps: list[Step] = []
        self.hidden: list[str] = []
        self._clock = clock
        self._began = clock.monotonic()

    def add(self, name: str, /, **values: Any) -> None:
        self.steps.append(Step(name, self.elapsed_s, values))

    @property
    def elapsed_s(self) -> float:
        """The time since the request began."""
        return self._clock.monotonic() - self._began


Fields = Iterable[tuple[str, str]]


def record_parameters(
    recording: Recording,
    sources: Mapping[str, str],
    mapped: Mapping[str, Mapping[str, str]],
) -> None:
    """Record what parameters were mapped to: the expressions, and the values for the backend."""
    after = {place: dict(values) for place, values in mapped.items() if values}
    recording.add("request_parameters", before=dict(sources), after=after)


def record_integration_request(
    recording: Recording, *, uri: str, method: str, headers: Fields, body: bytes
) -> None:
    """Record what is sent to the integration; one that is called by no address has none."""
    called = {"method": method or "POST", "uri": uri} if uri else {}
    recording.add("integration_request", **called, headers=dict(headers), body=body_text(body))


def record_integration_response(
    recording: Recording,
    *,
    status: int,
    headers: Fields,
    body: bytes,
    latency_s: float,
    function_error: str = "",
    request_id: str = "",
) -> None:
    """Record what the integration answered, before anything is made of it."""
    recording.add(
        "integration_response",
        status=status,
        headers=dict(headers),
        body=body_text(body),
        latency_ms=round(latency_s * 1000),
        function_error=function_error,
        request_id=request_id,
    )


def record_answer(
    recording: Recording, name: str, *, status: int, headers: Fields, body: bytes, **values: object
) -> None:
    """Record what the client gets: `method_response`, or `gateway_response` with its reason."""
    recording.add(name, **values, status=status, headers=dict(headers), body=body_text(body))


class Limit(Protocol):
    """A token bucket, as far as people are told of it."""

    rate: float
    burst: int


def record_throttle(
    recording: Recording, level: str, limit: Limit, *, admitted: bool = True
) -> None:
    """Record that one limit let a request through, or did not."""
    recording.add(
        "throttle",
        level=level,
        rate=limit.rate,
        burst=limit.burst,
        decision="admitted" if admitted else "throttled",
    )


def body_text(body: bytes) -> str:
    """A body as people are shown it."""
    return body.decode("utf-8", "replace")
