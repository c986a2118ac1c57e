"""What became of one request, for people: every step with its values, as a document.

One form for all kinds of API: each makes an `Explained` of a request, a handshake or a message
that it recorded. For one that somebody asks about, or for the last ones of real traffic. Left to
others: to record the steps, and to show the document (`cli/explain`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from lamington.core.errors import GatewayError
from lamington.core.http import parse_query
from lamington.gateway.execution_logs import SECRET_HEADERS, mask, token_of
from lamington.gateway.recording import Recording, Step, body_text

Document = dict[str, Any]

Protocol = Literal["REST", "HTTP", "WEBSOCKET"]

SECRET_MEMBERS = SECRET_HEADERS | {
    "authorizationtoken",
    "apikey",
    "cookie",
    "set-cookie",
}
"""Members of steps, in lower case, whose texts are secrets wherever they stand."""

METHODS_SHOWN = 100

SECRET_CHARS_MIN = 8
"""Shorter texts are hidden in their own headers only: they may be words of anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client sent; `method` is CONNECT, MESSAGE or DISCONNECT on a WebSocket."""

    method: str
    path: str
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the client got; `body` is None where it was streamed."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedStage:
    """One stage that a data plane serves."""

    api_id: str
    api_name: str
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A recorded request that is over, in words that fit every kind of API.

    `taken_by` are the method and the path of what took it, None where nothing did: `there` tells
    then what there is. A route that has no method has "". `integration_s` is None where nothing
    behind was called, `connection_id` "" where there is no WebSocket. `secrets` are texts to hide
    beside those of headers that always are.
    """

    protocol: Protocol
    at: ServedStage
    request_id: str
    time: str
    asked: Asked
    taken_by: tuple[str, str] | None
    there: Callable[[], Iterable[str]]
    recording: Recording
    refusal: GatewayError | None
    answer: Answer
    latency_s: float
    integration_s: float | None
    is_canary: bool = False
    connection_id: str = ""
    secrets: tuple[str, ...] = ()


Watch = Callable[[Explained], None]
"""Is shown a request when it has been answered."""


def explain(told: Explained, *, show_secrets: bool = False) -> Document:
    """The document of one request, of the same form for every kind of API.

    Members: `protocol`, `request_id`, `connection_id`, `api`, `api_name`, `stage`, `canary`,
    `time`, `request`, `resource`, `steps` (each with `name`, `at_ms` and its own values),
    `refusal`, `response`, `latency_ms`, `integration_ms`, and where nothing took it `methods`,
    those that there are. Secrets are masked but for their last characters unless they are asked
    for.
    """
    asked, answer, refusal = told.asked, told.answer, told.refusal
    steps = told.recording.steps
    document: Document = {
        "protocol": told.protocol,
        "request_id": told.request_id,
        "connection_id": told.connection_id,
        "api": told.at.api_id,
        "api_name": told.at.api_name,
        "stage": told.at.stage,
        "canary": told.is_canary,
        "time": told.time,
        "request": {
            "method": asked.method,
            "path": asked.path,
            "query": [list(pair) for pair in parse_query(asked.query)],
            "headers": [list(pair) for pair in asked.headers],
            "body": body_text(asked.body),
        },
        "resource": None,
        "steps": [_shown(step) for step in steps],
        "refusal": None,
        "response": {
            "status": answer.status,
            "headers": [list(pair) for pair in answer.headers],
            "body": "(streamed)" if answer.body is None else body_text(answer.body),
        },
        "latency_ms": round(told.latency_s * 1000, 3),
        "integration_ms": None,
    }
    if told.integration_s is not None:
        document["integration_ms"] = round(told.integration_s * 1000, 3)
    if told.taken_by is not None:
        document["resource"] = {"method": told.taken_by[0], "path": told.taken_by[1]}
    else:
        document["methods"] = list(islice(told.there(), METHODS_SHOWN))
    if refusal is not None:
        document["refusal"] = {
            "type": refusal.response_type,
            "message": refusal.message,
            "hint": refusal.hint,
        }
    if show_secrets:
        return document
    tokens = (*told.secrets, *told.recording.hidden, *map(token_of, steps))
    hidden = secrets_of((*asked.headers, *answer.headers), tokens)
    masked: Document = _masked(document, hidden)
    return masked


def _shown(step: Step) -> Document:
    """A step; what has a name of its own, such as an authorizer, has it as `authorizer_name`."""
    shown: Document = {"name": step.name, "at_ms": round(step.at_s * 1000, 3)}
    for key, value in step.values.items():
        shown[f"{step.name}_name" if key == "name" else key] = value
    return shown


def secrets_of(fields: Iterable[tuple[str, str]], tokens: Iterable[str] = ()) -> tuple[str, ...]:
    """The texts that are hidden wherever they turn up, such as within an event's JSON.

    The longest first, so that a part of one never uncovers the rest.
    """
    found = {part for name, value in fields for part in _secret_parts(name.lower(), value)}
    found |= {part for value in tokens for part in (value, value.rpartition(" ")[2])}
    found = {part for part in found if len(part) >= SECRET_CHARS_MIN}
    return tuple(sorted(found, key=len, reverse=True))


def _secret_parts(name: str, value: str) -> Iterable[str]:
    """What of a header is a secret: of a credential what follows its scheme, too."""
    if name in SECRET_HEADERS:
        return (value, value.rpartition(" ")[2])
    if name == "cookie":
        return (value, *(each.strip() for each in value.split(";")))
    return (value, value.partition(";")[0]) if name == "set-cookie" else ()


def _masked(value: Any, hidden: tuple[str, ...], name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(each, hidden, str(key)) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        if len(value) == 2 and all(isinstance(each, str) for each in value):
            return [value[0], _masked(value[1], hidden, value[0])]
        return [_masked(each, hidden, name) for each in value]
    if not isinstance(value, str):
        return value
    if name.lower() in SECRET_MEMBERS:
        return mask(value)
    for secret in hidden:
        if secret in value:
            value = value.replace(secret, mask(secret))
    return value


class LiveRequests:
    """The last requests of real traffic, numbered from 1; empty and idle until it is turned on."""

    def __init__(self, kept: int) -> None:
        """`kept` requests are kept, the oldest go."""
        self._kept: deque[tuple[int, Explained]] = deque(maxlen=kept)
        self._count = 0

    def take(self, told: Explained) -> None:
        """Keep a request that was answered."""
        self._count += 1
        self._kept.append((self._count, told))

    def behind(self, number: int, *, show_secrets: bool = False) -> list[Document]:
        """The documents of requests with a higher number, each with its own as `number`."""
        return [
            {"number": each, **explain(told, show_secrets=show_secrets)}
            for each, told in self._later(number)
        ]

    def clear(self) -> None:
        """Forget the requests; their numbers go on."""
        self._kept.clear()

    def _later(self, number: int) -> Iterable[tuple[int, Explained]]:
        return [pair for pair in self._kept if pair[0] > number]
