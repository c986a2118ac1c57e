"""Path and method to route: one structure, built when a stage is deployed, asked for each request.

Pure. What a route is, is the caller's: the router carries it. How a path comes to be the part
after the stage is the pipeline's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar

from lamington.gateway.entities import ANY, VERBS

Target = TypeVar("Target")

_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class Match(Generic[Target]):
    """A route found, with the path parameters as sent: percent-encoding is kept."""

    target: Target
    parameters: Mapping[str, str]


@dataclass(slots=True)
class _Leaf(Generic[Target]):
    """Where a path template ends; `parameters` are names with the places of their segments.

    `rest` is the name of a greedy parameter and where it begins.
    """

    targets: dict[str, Target]
    parameters: tuple[tuple[str, int], ...]
    rest: tuple[str, int] | None = None

    def match(self, segments: list[str], method: str) -> Match[Target] | None:
        target = self.targets.get(method)
        if target is None:
            return None
        parameters = {name: segments[place] for name, place in self.parameters}
        if self.rest is not None:
            name, place = self.rest
            parameters[name] = "/".join(segments[place:])
        return Match(target, parameters)


@dataclass(slots=True)
class _Node(Generic[Target]):
    static: "dict[str, _Node[Target]]" = field(default_factory=dict)
    parameter: "_Node[Target] | None" = None
    leaf: _Leaf[Target] | None = None
    greedy: _Leaf[Target] | None = None


class Router(Generic[Target]):
    """Finds the route of a request; the number of routes does not slow it down."""

    __slots__ = ("_literal", "_root")

    def __init__(
        self, literal: dict[str, dict[str, Match[Target]]], root: _Node[Target] | None
    ) -> None:
        self._literal = literal
        self._root = root

    def match(self, method: str, path: str) -> Match[Target] | None:
        """Find the most specific route that has a method for this request.

        At each level a static segment goes before `{name}`, that before `{name+}`; a path whose
        resource has neither the method nor `ANY` falls back to a less specific one.
        """
        methods = self._literal.get(path)
        if methods is not None:
            found = methods.get(method)
            if found is not None:
                return found
        if path.endswith("/") and len(path) > 1:
            stripped = path.rstrip("/") or "/"
            found = self._literal.get(stripped, {}).get(method)
            if found is not None:
                return found
            path = stripped
        if self._root is None:
            return None
        segments = path[1:].split("/") if len(path) > 1 else []
        return _walk(self._root, segments, method) or _descend(self._root, segments, 0, method)


def _walk(node: _Node[Target], segments: list[str], method: str) -> Match[Target] | None:
    """Try the most specific way alone, which is nearly always the right one."""
    for segment in segments:
        below = node.static.get(segment)
        if below is None:
            below = node.parameter
            if below is None or not segment:
                return None
        node = below
    return None if node.leaf is None else node.leaf.match(segments, method)


def _descend(
    node: _Node[Target], segments: list[str], depth: int, method: str
) -> Match[Target] | None:
    """Try every way, the most specific first."""
    if depth == len(segments):
        return None if node.leaf is None else node.leaf.match(segments, method)
    segment = segments[depth]
    found: Match[Target] | None = None
    below = node.static.get(segment)
    if below is not None:
        found = _descend(below, segments, depth + 1, method)
    if found is None and node.parameter is not None and segment:
        found = _descend(node.parameter, segments, depth + 1, method)
    if found is None and node.greedy is not None:
        found = node.greedy.match(segments, method)
    return found


def compile_router(routes: Iterable[tuple[str, str, Target]]) -> Router[Target]:
    """Build the router of (path template, method, target); `ANY` stands for the seven methods.

    A path without parameters becomes an entry of a dict, so that it is found by one look-up; the
    others share a tree of segments, walked only where the dict has no answer.

    AWS: API Gateway developer guide, method request set-up; an exact method beats `ANY`.
    """
    paths: dict[str, dict[str, Target]] = {}
    for path, method, target in routes:
        paths.setdefault(path, {})[method] = target
    literal: dict[str, dict[str, Match[Target]]] = {}
    root: _Node[Target] = _Node()
    has_parameters = False
    for path, declared in paths.items():
        targets = _expand_any(declared)
        if "{" not in path:
            literal[path] = {
                method: Match(target, _NO_PARAMETERS) for method, target in targets.items()
            }
        else:
            has_parameters = True
        _plant(root, path, targets)
    return Router(literal, root if has_parameters else None)


def _expand_any(declared: Mapping[str, Target]) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    if ANY in declared:
        targets = dict.fromkeys(VERBS, declared[ANY])
    targets.update({method: target for method, target in declared.items() if method != ANY})
    return targets


def _plant(root: _Node[Target], path: str, targets: dict[str, Target]) -> None:
    node = root
    parameters: list[tuple[str, int]] = []
    for place, segment in enumerate(path[1:].split("/") if path != "/" else []):
        if segment.startswith("{") and segment.endswith("+}"):
            node.greedy = _Leaf(targets, tuple(parameters), (segment[1:-2], place))
            return
        if segment.startswith("{") and segment.endswith("}"):
            parameters.append((segment[1:-1], place))
            node.parameter = node.parameter or _Node()
            node = node.parameter
        else:
            node = node.static.setdefault(segment, _Node())
    node.leaf = _Leaf(targets, tuple(parameters))
