"""The paths of an API definition: which of them API Gateway takes, and which are in the way of
others.

Left to others: what stands behind them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lamington.core.documents import Document, Path
from lamington.service.problems import Problems

ANY_KEY = "x-amazon-apigateway-any-method"
VERBS = ("get", "put", "post", "delete", "options", "head", "patch")
_NOT_OPERATIONS = ("parameters", "summary", "description", "servers", "$ref")
_SEGMENT = re.compile(r"[a-zA-Z0-9._\-:,]+|\{[a-zA-Z0-9._\-:]+\+?\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the definition: `method` in upper case or ANY, `place` its document path."""

    method: str
    path: str
    place: tuple[str | int, ...]
    value: dict[str, Any]
    item: dict[str, Any]

    @property
    def title(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def path_parameters(self) -> list[str]:
        return [name.removesuffix("+") for name in re.findall(r"\{([^}]*)\}", self.path)]


def read_operations(
    definition: Mapping[str, Any], document: Document, problems: Problems
) -> list[Operation]:
    """Every operation, in the order of the file; what is none is a problem."""
    paths = definition.get("paths")
    if not isinstance(paths, dict):
        problems.error(
            "the API definition has no `paths`",
            where=document.position(("paths",)),
            hint="write `paths:` with a path and a method below it",
        )
        return []
    check_paths((path for path in paths if not path.startswith("x-")), document, problems)
    return [
        operation
        for path, item in paths.items()
        if path.startswith("/")
        for operation in _operations_of(path, item, document, problems)
    ]


def _operations_of(
    path: str, item: Any, document: Document, problems: Problems
) -> Iterator[Operation]:
    where = document.position(("paths", path))
    if not isinstance(item, dict):
        problems.error(f"`{path}` has no methods", where=where, hint="write `get:` below it")
        return
    for key, value in item.items():
        if key in _NOT_OPERATIONS or (key.startswith("x-") and key != ANY_KEY):
            continue
        place = ("paths", path, key)
        if key.lower() not in VERBS and key != ANY_KEY:
            problems.error(
                f"`{key}` is not a method that API Gateway takes",
                where=document.position(place),
                hint=f"one of {', '.join(VERBS)}, or `{ANY_KEY}` for all",
            )
        elif key != ANY_KEY and key != key.lower():
            problems.error(
                f"`{key}` is written in lower case in an API definition",
                where=document.position(place),
            )
        elif not isinstance(value, dict):
            problems.error(f"`{key} {path}` is not a map", where=document.position(place))
        else:
            method = "ANY" if key == ANY_KEY else key.upper()
            yield Operation(method=method, path=path, place=place, value=value, item=item)


def check_paths(paths: Iterable[str], document: Document, problems: Problems) -> None:
    """Report paths that API Gateway refuses, are there twice, or shadow one another.

    AWS: `A sibling ({x}) of this resource already has a variable path part`.
    """
    seen: dict[tuple[str, ...], str] = {}
    variables: dict[tuple[str, ...], tuple[str, str]] = {}
    for path in paths:
        place: Path = ("paths", path)
        where = document.position(place)
        segments = tuple(segment for segment in path.split("/") if segment)
        problem = _path_problem(path, segments)
        if problem:
            problems.error(f"`{path}` cannot be a path: {problem}", where=where)
            continue
        other = seen.setdefault(segments, path)
        if other != path:
            problems.error(
                f"duplicate route: `{path}` is `{other}` again",
                where=where,
                hint=f"join it with `{other}` at {document.position(('paths', other))}",
            )
            continue
        for length, segment in enumerate(segments):
            if not segment.startswith("{"):
                continue
            first, at = variables.setdefault(segments[:length], (segment, path))
            if first != segment:
                problems.error(
                    f"duplicate route: `{segment}` in `{path}` stands where `{first}` does in"
                    f" `{at}`, and API Gateway takes only one path variable there",
                    where=where,
                    hint=f"name both the same; the other is at {document.position(('paths', at))}",
                )
                break


def _path_problem(path: str, segments: tuple[str, ...]) -> str:
    if not path.startswith("/"):
        return "it begins with `/`"
    if "//" in path:
        return "it has an empty segment"
    for number, segment in enumerate(segments, 1):
        if not _SEGMENT.fullmatch(segment):
            return f"`{segment}` is none of letters, digits and `._-:,`, nor one `{{name}}` alone"
        if segment.endswith("+}") and number < len(segments):
            return f"`{segment}` takes all that follows, so it is the last segment"
    return ""
