"""HTTP messages as values: no sockets, no parsing of the wire."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote_plus

from lamington.core.conversation import Upgrade


class Headers:
    """Header fields in the order received; names keep their case and match without it."""

    __slots__ = ("fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.fields: list[tuple[str, str]] = list(fields)

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        return cls(values.items())

    def get(self, name: str, default: str = "") -> str:
        """The last value sent under `name`."""
        wanted = name.lower()
        for key, value in reversed(self.fields):
            if key.lower() == wanted:
                return value
        return default

    def all(self, name: str) -> list[str]:
        wanted = name.lower()
        return [value for key, value in self.fields if key.lower() == wanted]

    def set(self, name: str, value: str) -> None:
        """Replace every value of `name` by one."""
        wanted = name.lower()
        self.fields = [pair for pair in self.fields if pair[0].lower() != wanted]
        self.fields.append((name, value))

    def __contains__(self, name: str) -> bool:
        wanted = name.lower()
        return any(key.lower() == wanted for key, _ in self.fields)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.fields == other.fields

    def __repr__(self) -> str:
        return f"Headers({self.fields!r})"


@dataclass(slots=True, kw_only=True)
class Request:
    """One HTTP request, read whole.

    `path` is as sent, percent-encoding included; `query` is the text after `?`, undecoded. Only
    where the server can go over to a WebSocket do the headers have the offer of it, `Upgrade`.
    """

    method: str
    path: str
    query: str = ""
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    source_ip: str = "127.0.0.1"

    @property
    def host(self) -> str:
        return self.headers.get("host")


@dataclass(slots=True, kw_only=True)
class Response:
    """One HTTP response; the server adds what frames it, `Date` and `Connection`.

    A response with a `stream` is sent piece by piece as the stream gives them, and `body` is not
    looked at. The server closes the stream (`aclose`, where it has one) however it ends. One with
    an `upgrade` turns the connection into a WebSocket, where the request offered that.
    """

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    upgrade: Upgrade | None = None


def parse_query(query: str) -> list[tuple[str, str]]:
    """Decode a query string to its pairs in order; a name without `=` has the value ``""``."""
    if not query:
        return []
    pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            if "%" in part or "+" in part:
                name, value = unquote_plus(name), unquote_plus(value)
            pairs.append((name, value))
    return pairs
