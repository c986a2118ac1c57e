"""Parameter mapping of HTTP APIs: expressions, and what they change of requests and responses.

Compiled when a stage is deployed. Pure. What may be mapped was checked when it was written
(`v2.rules`). The same expressions are the parameters of integrations
with AWS services (`services`) and the identity sources of authorizers (`authorizers`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple
from urllib.parse import quote, quote_plus

from lamington.core.http import Response, parse_query
from lamington.functions.event_format import joined_query
from lamington.gateway.mapping import scalar_text
from lamington.gateway.templates import Note
from lamington.gateway.v2.http.context import compile_context
from lamington.gateway.v2.http.requests import HttpRequest
from lamington.gateway.vtl.json_text import parse_json
from lamington.gateway.vtl.jsonpath import MISSING, compile_json_path
from lamington.gateway.vtl.limits import TemplateError
from lamington.gateway.vtl.values import json_text

BODY_BYTES_MAX = 100 * 1024
"""AWS: a body is cut here before a path is looked for in it."""

Value = Callable[[HttpRequest, Response | None], str | None]
"""A compiled expression over a request and, in response mappings, its response."""

ChangeRequest = Callable[[HttpRequest], None]
ChangeResponse = Callable[[HttpRequest, Response], None]

_TARGET = re.compile(
    r"(?P<action>append|overwrite|remove):(?P<place>header|querystring)\.(?P<name>.+)"
)
_EXPRESSION = re.compile(r"\$((?:request|response|context|stageVariables)\..+|request\.body)", re.S)
_BRACED = re.compile(r"\$\{((?:request|response|context|stageVariables)\.[^}]+)\}")


# Expressions.


def compile_value(text: str, variables: Mapping[str, str]) -> Value:
    """Compile `$request.header.x`, `${...}` between other text, or text that is sent as it is.

    A single expression whose source is missing gives None; within other text it gives nothing.
    Raises TemplateError for a path that cannot be read.
    """
    whole = _EXPRESSION.fullmatch(text)
    if whole is not None:
        return _compile_source(whole[1], variables)
    pieces: list[str | Value] = []
    end = 0
    for found in _BRACED.finditer(text):
        pieces.append(text[end : found.start()])
        pieces.append(_compile_source(found[1], variables))
        end = found.end()
    pieces.append(text[end:])
    parts = [each for each in pieces if each != ""]
    if len(parts) == 1 and not isinstance(parts[0], str):
        return parts[0]
    if all(isinstance(each, str) for each in parts):
        return lambda request, response: text

    def combine(request: HttpRequest, response: Response | None) -> str:
        return "".join(
            each if isinstance(each, str) else each(request, response) or "" for each in parts
        )

    return combine


def _compile_source(source: str, variables: Mapping[str, str]) -> Value:
    place, _, rest = source.partition(".")
    if place == "stageVariables":
        known = variables.get(rest)
        return lambda request, response: known
    if place == "context":
        read = compile_context(rest)
        return lambda request, response: read(request)
    if place == "response":
        return _compile_response_source(rest)
    return _compile_request_source(rest)


def _compile_request_source(source: str) -> Value:
    """AWS: header names match without case; values of one name are joined by commas."""
    place, _, name = source.partition(".")
    match place:
        case "header":
            lower = name.lower()
            if lower == "cookie":
                return lambda request, response: _cookies(request)
            return lambda request, response: request.headers.get(lower)
        case "querystring":
            return lambda request, response: joined_query(request.query).get(name)
        case "path" if not name:
            return lambda request, response: request.path
        case "path":
            return lambda request, response: request.path_parameters.get(name)
        case "body" if not name:
            return lambda request, response: request.body.decode("utf-8", "replace")
        case "body":
            read_body = _compile_body_path(name)
            return lambda request, response: read_body(request.body)
        case _ if place.startswith("body["):
            read_body = _compile_body_path(source.removeprefix("body"))
            return lambda request, response: read_body(request.body)
        case _:
            return _nothing


def _compile_response_source(source: str) -> Value:
    place, _, name = source.partition(".")
    match place:
        case "header":
            lower = name.lower()
            return lambda request, response: _joined(response, lower)
        case "body" if not name:
            return lambda request, response: (
                response.body.decode("utf-8", "replace") if response else None
            )
        case "body":
            read_body = _compile_body_path(name)
            return lambda request, response: read_body(response.body) if response else None
        case _:
            return _nothing


def _nothing(request: HttpRequest, response: Response | None) -> str | None:
    return None


def _cookies(request: HttpRequest) -> str | None:
    return "; ".join(request.cookies) if isinstance(request.cookies, list) else None


def _joined(response: Response | None, name: str) -> str | None:
    if response is None:
        return None
    found = [value for key, value in response.headers if key.lower() == name]
    return ",".join(found) if found else None


def _compile_body_path(path: str) -> Callable[[bytes], str | None]:
    """AWS: no `..` and no filters; a body over 100 KB is cut there, which leaves no JSON."""
    if ".." in path or "?(" in path:
        raise TemplateError(f"`{path}`: recursive descent and filters are not supported here.")
    walk = compile_json_path(path)

    def read(body: bytes) -> str | None:
        text = body[:BODY_BYTES_MAX].decode("utf-8", "replace")
        try:
            found = walk(parse_json(text)) if text else MISSING
        except TemplateError:
            return None
        if found is MISSING:
            return None
        return json_text(found) if isinstance(found, dict | list) else scalar_text(found)

    return read


# What they change.


class _Change(NamedTuple):
    action: Literal["append", "overwrite", "remove"]
    place: Literal["header", "querystring"]
    name: str
    value: Value


def _compile_changes(
    mappings: Mapping[str, str], variables: Mapping[str, str], note: Note
) -> list[_Change]:
    changes: list[_Change] = []
    for target, source in mappings.items():
        found = _TARGET.fullmatch(target)
        if found is None:
            continue
        place = found["place"]
        name = found["name"].lower() if place == "header" else found["name"]
        changes.append(
            _Change(found["action"], place, name, _compile_noted(source, variables, note))  # type: ignore[arg-type]
        )
    return changes


def _compile_noted(source: str, variables: Mapping[str, str], note: Note) -> Value:
    try:
        return compile_value(source, variables)
    except TemplateError as error:
        note(error.message, source)
        return _nothing


def compile_request_parameters(
    mappings: Mapping[str, str], variables: Mapping[str, str], note: Note
) -> ChangeRequest | None:
    """Compile the changes to a request before it goes to its integration; None for none.

    AWS: API Gateway developer guide, parameter mapping for HTTP APIs. All sources are read before
    anything is changed.
    Differs: a source that is missing leaves its target as it was; no record of AWS's doing.
    """
    changes = _compile_changes(mappings, variables, note)
    source = mappings.get("overwrite:path")
    path = None if source is None else _compile_noted(source, variables, note)
    if not changes and path is None:
        return None

    sources = dict(mappings)

    def change(request: HttpRequest) -> None:
        values = [(each, each.value(request, None)) for each in changes]
        new_path = None if path is None else path(request, None)
        query: list[tuple[str, str]] | None = None
        for each, value in values:
            if each.place == "header":
                _change_header(request, each, value)
            else:
                query = parse_query(request.query) if query is None else query
                query = _changed(query, each, value)
        if query is not None:
            request.query = "&".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in query)
        if new_path is not None:
            request.event_path = new_path if new_path.startswith("/") else f"/{new_path}"
            request.raw_path = quote(request.event_path, safe="/%:@!$&'()*+,;=~-._")
            request.path_overwritten = True
        if request.recording is not None:
            after = _changed_values(request, changes)
            request.recording.add("request_parameters", before=sources, after=after)

    return change


def _changed_values(
    request: HttpRequest, changes: Sequence[_Change]
) -> dict[str, str | dict[str, str | None]]:
    """What the targets of a mapping are after it, None for those that are not there."""
    places: dict[str, dict[str, str | None]] = {"header": {}, "querystring": {}}
    query = joined_query(request.query)
    for each in changes:
        known = request.headers if each.place == "header" else query
        places[each.place][each.name] = known.get(each.name)
    after: dict[str, str | dict[str, str | None]] = {k: v for k, v in places.items() if v}
    if request.path_overwritten:
        after["path"] = request.event_path
    return after


def _change_header(request: HttpRequest, change: _Change, value: str | None) -> None:
    headers, name = request.headers, change.name
    if change.action == "remove":
        headers.pop(name, None)
    elif value is not None:
        if change.action == "append" and name in headers:
            value = f"{headers[name]},{value}"
        headers[name] = value


def _changed(
    pairs: list[tuple[str, str]], change: _Change, value: str | None
) -> list[tuple[str, str]]:
    if change.action == "append":
        return pairs if value is None else [*pairs, (change.name, value)]
    if change.action == "overwrite" and value is None:
        return pairs
    kept = [pair for pair in pairs if pair[0] != change.name]
    return kept if value is None or change.action == "remove" else [*kept, (change.name, value)]


def compile_response_parameters(
    by_status: Mapping[str, Mapping[str, str]], variables: Mapping[str, str], note: Note
) -> ChangeResponse | None:
    """Compile the changes to responses by their status; None for none.

    AWS: same place; `overwrite:statuscode` takes a number from 200 to 599.
    """
    compiled: dict[int, tuple[Sequence[_Change], Value | None]] = {}
    for status, mappings in by_status.items():
        changes = [
            each for each in _compile_changes(mappings, variables, note) if each.place == "header"
        ]
        source = mappings.get("overwrite:statuscode")
        new_status = None if source is None else _compile_noted(source, variables, note)
        if status.isdecimal() and (changes or new_status is not None):
            compiled[int(status)] = (changes, new_status)
    if not compiled:
        return None

    def change(request: HttpRequest, response: Response) -> None:
        found = compiled.get(response.status)
        if found is None:
            return
        changes, new_status = found
        before = response.status
        values = [(each, each.value(request, response)) for each in changes]
        status = None if new_status is None else new_status(request, response)
        headers = response.headers
        for each, value in values:
            if each.action != "append" and (each.action == "remove" or value is not None):
                headers = [pair for pair in headers if pair[0].lower() != each.name]
            if each.action != "remove" and value is not None:
                headers = [*headers, (each.name, value)]
        response.headers = headers
        if status is not None and _STATUS.fullmatch(status):
            response.status = int(status)
        if request.recording is not None:
            request.recording.add(
                "response_parameters",
                before=dict(by_status[str(before)]),
                after={each.name: _joined(response, each.name) for each in changes},
                status=response.status,
            )

    return change


_STATUS = re.compile(r"[2-5]\d\d")
