"""Which route of an HTTP API a request takes: both routers are built when a stage is deployed."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Generic, TypeVar
from urllib.parse import unquote

from lamington.gateway.router import Match, Router, compile_router
from lamington.gateway.v2.entities import DEFAULT_ROUTE
from lamington.gateway.v2.http.requests import NO_PARAMETERS

Target = TypeVar("Target")

ROUTES_KEPT = 1_000
"""Route keys that are kept compiled alone, to tell which others a request might have taken."""

_NOTHING = "\0"
"""Stands for the empty segment after a trailing slash: no path as sent has this character."""


class Routes(Generic[Target]):
    """Finds routes; their number does not slow it down."""

    __slots__ = ("_default", "_full", "_greedy")

    def __init__(
        self, full: Router[Target], greedy: Router[Target] | None, default: Target | None
    ) -> None:
        self._full = full
        self._greedy = greedy
        self._default = default

    def find(self, method: str, path: str) -> tuple[Target, Mapping[str, str]] | None:
        """The route for an undecoded path without its stage, and its path parameters, decoded.

        AWS: API Gateway developer guide, HTTP API routes: a full match goes before a greedy one,
        that before `$default`; a static part before a parameter, a method before `ANY`. A
        trailing slash is a part of the path: `/pets/` is no `/pets` (community reports).
        Differs: that `/pets/` is one for `/pets/{proxy+}`, with an empty parameter, and that `/`
        is none for `/{proxy+}`, are no more than likely.
        """
        found: Match[Target] | None = None
        if len(path) > 1 and path[-1] == "/":
            if self._greedy is not None:
                found = self._greedy.match(method, path + _NOTHING)
        else:
            found = self._full.match(method, path)
            if found is None and self._greedy is not None:
                found = self._greedy.match(method, path)
        if found is None:
            return None if self._default is None else (self._default, NO_PARAMETERS)
        parameters = found.parameters
        if parameters:
            parameters = {
                name: unquote(value).removesuffix(_NOTHING) for name, value in parameters.items()
            }
        return found.target, parameters


def candidates(keys: Sequence[str], method: str, path: str) -> list[str]:
    """Those of some route keys that would take a request if there were no others."""
    return [key for key in keys if _alone(key).find(method, path) is not None]


@lru_cache(maxsize=ROUTES_KEPT)
def _alone(key: str) -> Routes[str]:
    return compile_routes([(key, key)])


def why_found(key: str, others: bool) -> str:
    """Why a request took a route, where `others` would have taken it, too.

    AWS: see `Routes.find`.
    """
    if key == DEFAULT_ROUTE:
        return "no other route takes it"
    if key.endswith("+}"):
        reason = "no route matches the whole path, and the longest greedy one goes first"
    else:
        reason = "it matches the whole path, its static parts first, and a method goes before `ANY`"
    return reason if others else "no other route takes it"


def compile_routes(routes: Iterable[tuple[str, Target]]) -> Routes[Target]:
    """Build the routes of pairs of a route key, such as `ANY /pets/{id}`, and a target."""
    full: list[tuple[str, str, Target]] = []
    greedy: list[tuple[str, str, Target]] = []
    default: Target | None = None
    for key, target in routes:
        if key == DEFAULT_ROUTE:
            default = target
            continue
        method, _, path = key.partition(" ")
        (greedy if path.endswith("+}") else full).append((path, method, target))
    return Routes(compile_router(full), compile_router(greedy) if greedy else None, default)
