"""Selection expressions: which route a message takes, which template, which model.

Pure: an expression is compiled once to a function of what it may read. What the answer selects
is the caller's to look up.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import msgspec

from lamington.gateway.mapping import ContextValues, context_text
from lamington.gateway.vtl.jsonpath import MISSING, compile_json_path
from lamington.gateway.vtl.limits import TemplateError
from lamington.gateway.vtl.values import json_text

DEFAULT_KEY = "$default"

_DECODER = msgspec.json.Decoder()
_NO_FIELDS: Mapping[str, str] = MappingProxyType({})


def _no_fields() -> Mapping[str, str]:
    return _NO_FIELDS


@dataclass(frozen=True, slots=True)
class _Unparsed:
    """Stands where nobody has asked yet what a text is as JSON."""


_UNPARSED: Final = _Unparsed()


class Body:
    """A text that may be JSON; parsed when first asked for, and once only."""

    __slots__ = ("_value", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._value: Any = _UNPARSED

    def value(self) -> Any:
        """The value of the JSON text, MISSING for a text that is none."""
        if self._value is _UNPARSED:
            try:
                self._value = _DECODER.decode(self.text)
            except (ValueError, RecursionError):
                self._value = MISSING
        return self._value


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What expressions read: of a message, or of the answer of an integration.

    `headers` have their names in lower case.
    """

    body: Body
    headers: Mapping[str, str] = field(default_factory=_no_fields)
    query: Mapping[str, str] = field(default_factory=_no_fields)
    status: str = ""
    context: Callable[[], ContextValues] = dict
    variables: Mapping[str, str] = field(default_factory=_no_fields)


Selector = Callable[[Subject], str]

_Part = Callable[[Subject], str]

_PATH = r"(?:\.[A-Za-z0-9_@-]+|\[\d+\]|\['[^']*'\])*"
_VARIABLE = re.compile(
    r"\$(?P<brace>\{)?(?P<root>(?:route\.)?request|integration\.response|context|stageVariables)"
    rf"(?P<path>{_PATH})(?(brace)\}})"
)


def compile_selection(expression: str) -> Selector:
    r"""Compile an expression: variables in `$x` or `${x}`, the rest as it stands.

    Raises TemplateError for a path that cannot be read.

    AWS: API Gateway developer guide, WebSocket selection expressions: what is missing gives
    nothing, objects and arrays are written as JSON; `\$` stands for a dollar sign.
    """
    parts: list[str | _Part] = []
    end = 0
    for found in _VARIABLE.finditer(expression):
        if found.start() and expression[found.start() - 1] == "\\":
            continue
        parts.append(_literal(expression[end : found.start()]))
        parts.append(_reader(found["root"].removeprefix("route."), found["path"]))
        end = found.end()
    parts.append(_literal(expression[end:]))
    kept = [part for part in parts if part]
    if len(kept) == 1:
        only = kept[0]
        if not isinstance(only, str):
            return only
        return lambda subject: only
    return lambda subject: "".join(
        part if isinstance(part, str) else part(subject) for part in kept
    )


def reads_body(expression: str) -> bool:
    """Whether an expression needs the message to be JSON."""
    return any(
        found["root"].endswith("request") and found["path"].startswith((".body", "['body']"))
        for found in _VARIABLE.finditer(expression)
    )


def _literal(text: str) -> str:
    return text.replace("\\$", "$")


def _reader(root: str, path: str) -> _Part:
    name = path.removeprefix(".")
    if root == "context":
        return lambda subject: context_text(subject.context(), name) or ""
    if root == "stageVariables":
        return lambda subject: subject.variables.get(name, "")
    place, _, rest = name.partition(".")
    match place:
        case "header":
            lower = rest.lower()
            return lambda subject: subject.headers.get(lower, "")
        case "querystring":
            return lambda subject: subject.query.get(rest, "")
        case "statuscode":
            return lambda subject: subject.status
        case _ if place == "body" or place.startswith("body["):
            return _body_reader(name.removeprefix("body"))
        case _:
            return lambda subject: ""


def _body_reader(path: str) -> _Part:
    if not path:
        return lambda subject: subject.body.text
    walk = compile_json_path(f"${path}")

    def read(subject: Subject) -> str:
        value = subject.body.value()
        return "" if value is MISSING else value_text(walk(value))

    return read


def value_text(value: Any) -> str:
    """A value of JSON as text: strings as they are, nothing for null and for what is missing."""
    if value is MISSING or value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return str(json_text(value))
    except TemplateError:
        return ""
