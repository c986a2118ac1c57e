"""JSON text to values, as leniently as AWS reads it.

API Gateway parses with json-smart in its permissive mode: names without quotes, single quotes,
trailing commas, and a text that is no JSON at all is one string. The strict and fast parser is
tried first.
"""

import re
from typing import Any

import msgspec

from lamington.gateway.vtl.limits import TemplateError

_DEPTH_MAX = 200
_SPACE = re.compile(r"[ \t\r\n]*")
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*+)\"|'((?:[^'\\]|\\.)*+)'", re.DOTALL)
_BARE_KEY = re.compile(r"[^:,{}\[\]]+")
_BARE_VALUE = re.compile(r"[^,}\]]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


_DECODER = msgspec.json.Decoder()


def parse_json(text: str) -> Any:
    """Parse JSON text; what does not begin as an object or array and is no JSON is one string.

    Raises `TemplateError` for an object or array that even the lenient reading cannot follow.
    """
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        pass
    if text.lstrip(" \t\r\n")[:1] not in ("{", "["):
        return text
    try:
        return _Lenient(text).document()
    except _Unreadable as problem:
        raise TemplateError(f"The text is not JSON: {problem}.") from None


class _Unreadable(ValueError):
    """The lenient reading found no sense; the message says where."""


class _Lenient:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def unreadable(self, expected: str) -> _Unreadable:
        found = self.text[self.position : self.position + 1]
        what = f"`{found}`" if found else "the end"
        return _Unreadable(f"{expected} expected at character {self.position + 1}, found {what}")

    def peek(self) -> str:
        match = _SPACE.match(self.text, self.position)
        assert match is not None
        self.position = match.end()
        return self.text[self.position : self.position + 1]

    def document(self) -> Any:
        value = self.value(0)
        if self.peek():
            raise self.unreadable("nothing more")
        return value

    def value(self, depth: int) -> Any:
        if depth > _DEPTH_MAX:
            raise self.unreadable(f"a depth below {_DEPTH_MAX}")
        match self.peek():
            case "{":
                return self.object(depth + 1)
            case "[":
                return self.array(depth + 1)
            case '"' | "'":
                return self.quoted()
            case _:
                return self.bare()

    def object(self, depth: int) -> dict[str, Any]:
        self.position += 1
        entries: dict[str, Any] = {}
        while True:
            character = self.peek()
            if character == "}":
                self.position += 1
                return entries
            if character == ",":
                self.position += 1
                continue
            key = self.quoted() if character in ("'", '"') and character else self.bare_key()
            if self.peek() != ":":
                raise self.unreadable("`:`")
            self.position += 1
            entries[key] = self.value(depth)
            if self.peek() not in (",", "}"):
                raise self.unreadable("`,` or `}`")

    def array(self, depth: int) -> list[Any]:
        self.position += 1
        items: list[Any] = []
        while True:
            character = self.peek()
            if character == "]":
                self.position += 1
                return items
            if character == ",":
                self.position += 1
                continue
            items.append(self.value(depth))
            if self.peek() not in (",", "]"):
                raise self.unreadable("`,` or `]`")

    def quoted(self) -> str:
        match = _QUOTED.match(self.text, self.position)
        if match is None:
            raise self.unreadable("a closed string")
        self.position = match.end()
        inner = match.group(1) if match.group(1) is not None else match.group(2)
        return _ESCAPE.sub(_unescape, inner) if "\\" in inner else inner

    def bare_key(self) -> str:
        match = _BARE_KEY.match(self.text, self.position)
        if match is None:
            raise self.unreadable("a name")
        self.position = match.end()
        return match.group().strip()

    def bare(self) -> Any:
        match = _BARE_VALUE.match(self.text, self.position)
        if match is None:
            raise self.unreadable("a value")
        self.position = match.end()
        word = match.group().strip()
        if word in _WORDS:
            return _WORDS[word]
        number = _NUMBER.fullmatch(word)
        if number is None or len(word) > 400:
            return word
        return float(word) if number.group(1) or number.group(2) else int(word)


def _unescape(match: "re.Match[str]") -> str:
    escape = match.group(1)
    if len(escape) == 5:
        return chr(int(escape[1:], 16))
    return _ESCAPED.get(escape, escape)
