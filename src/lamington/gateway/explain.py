"""What became of one request, for people: every step with its values, as a document.

For one request that somebody asks about, or for the last ones of real traffic. Left to others: to
record the steps, and to show the document (`cli/explain`).
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from lamington.core.http import parse_query
from lamington.gateway.completed import Completed
from lamington.gateway.deployment import MethodProgram
from lamington.gateway.execution_logs import SECRET_HEADERS, mask, token_of

Document = dict[str, Any]

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


def explain(completed: Completed, *, show_secrets: bool = False) -> Document:
    """The document of one request; the request is a recorded one.

    Members: `request_id`, `api`, `api_name`, `stage`, `canary`, `request`, `resource`, `steps`
    (each with `name`, `at_ms` and its own values), `refusal`, `response`, `latency_ms`,
    `integration_ms`, and where no method took it `methods`, those that there are. Secrets are
    masked but for their last characters unless they are asked for.
    """
    request, program = completed.request, completed.program
    recording, answer, method = request.recording, completed.answer, completed.method
    records = program.records
    steps = [] if recording is None else recording.steps
    document: Document = {
        "request_id": request.request_id,
        "api": program.api_id,
        "api_name": "" if records is None else records.api_name,
        "stage": program.stage_name,
        "canary": request.is_canary == "true",
        "time": request.moment.text,
        "request": {
            "method": request.method,
            "path": request.context_path,
            "query": parse_query(request.query),
            "headers": [list(pair) for pair in request.fields],
            "body": _shown(request.body),
        },
        "resource": None
        if method is None
        else {"method": method.http_method, "path": method.route.resource_path},
        "steps": [
            {"name": step.name, "at_ms": round(step.at_s * 1000, 3), **step.values}
            for step in steps
        ],
        "refusal": None,
        "response": None,
        "latency_ms": round(completed.latency_s * 1000, 3),
        "integration_ms": None,
    }
    if completed.integration_s is not None:
        document["integration_ms"] = round(completed.integration_s * 1000, 3)
    if method is None:
        there = [f"{each.http_method} {each.route.resource_path}" for each in _methods(completed)]
        document["methods"] = there[:METHODS_SHOWN]
    refusal = completed.refusal
    if refusal is not None:
        document["refusal"] = {
            "type": refusal.response_type,
            "message": refusal.message,
            "hint": refusal.hint,
        }
    if answer is not None:
        document["response"] = {
            "status": answer.status,
            "headers": [list(pair) for pair in answer.headers],
            "body": "(streamed)" if answer.stream is not None else _shown(answer.body),
        }
    if show_secrets:
        return document
    known = (request.usage_key, str(request.identity.get("apiKey") or ""))
    hidden = secrets_of(request.known, (*known, *map(token_of, steps)))
    masked: Document = _masked(document, hidden)
    return masked


def _methods(completed: Completed) -> Iterable[MethodProgram]:
    return completed.program.methods.values()


def secrets_of(headers: Mapping[str, str], tokens: Iterable[str] = ()) -> tuple[str, ...]:
    """The texts that are hidden wherever they turn up, such as within an event's JSON.

    The longest first, so that a part of one never uncovers the rest.
    """
    found = {
        part
        for name, value in headers.items()
        if name in SECRET_HEADERS or name == "cookie"
        for part in (value, value.rpartition(" ")[2])
    }
    found |= {part for value in tokens for part in (value, value.rpartition(" ")[2])}
    found = {part for part in found if len(part) >= SECRET_CHARS_MIN}
    return tuple(sorted(found, key=len, reverse=True))


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


def _shown(body: bytes) -> str:
    return body.decode("utf-8", "replace")


class LiveRequests:
    """The last requests of real traffic, numbered from 1; empty and idle until it is turned on."""

    def __init__(self, kept: int) -> None:
        """`kept` requests are kept, the oldest go."""
        self._kept: deque[tuple[int, Completed]] = deque(maxlen=kept)
        self._count = 0

    def take(self, completed: Completed) -> None:
        """Keep a request that was answered."""
        self._count += 1
        self._kept.append((self._count, completed))

    def behind(self, number: int, *, show_secrets: bool = False) -> list[Document]:
        """The documents of requests with a higher number, each with its own as `number`."""
        return [
            {"number": each, **explain(completed, show_secrets=show_secrets)}
            for each, completed in self._later(number)
        ]

    def clear(self) -> None:
        """Forget the requests; their numbers go on."""
        self._kept.clear()

    def _later(self, number: int) -> Iterable[tuple[int, Completed]]:
        return [pair for pair in self._kept if pair[0] > number]
