"""The router against the plainest reading of the rules, on APIs and requests made at random."""

from hypothesis import given, settings
from hypothesis import strategies as st

from lamington.gateway.entities import VERBS
from lamington.gateway.router import compile_router

SEGMENTS = st.sampled_from(["a", "b", "{x}"])
PATHS = st.tuples(st.lists(SEGMENTS, max_size=3), st.booleans()).map(
    lambda made: "/" + "/".join([*_named(made[0]), *(["{rest+}"] if made[1] else [])])
)
ROUTES = st.lists(st.tuples(PATHS, st.sampled_from(["GET", "POST", "ANY"])), max_size=8)
REQUESTS = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


def _named(parts: list[str]) -> list[str]:
    return [f"{{x{place}}}" if part == "{x}" else part for place, part in enumerate(parts)]


def _rank(template: str, path: str) -> tuple[tuple[int, ...], dict[str, str]] | None:
    """How specific a template is for a path, level by level, with its parameters."""
    wanted = template[1:].split("/") if template != "/" else []
    sent = path[1:].split("/") if path != "/" else []
    ranks: list[int] = []
    parameters: dict[str, str] = {}
    for place, part in enumerate(wanted):
        if place >= len(sent):
            return None
        if part.endswith("+}"):
            return (*ranks, 2), {**parameters, part[1:-2]: "/".join(sent[place:])}
        if part.startswith("{"):
            if not sent[place]:
                return None
            parameters[part[1:-1]] = sent[place]
            ranks.append(1)
        elif part == sent[place]:
            ranks.append(0)
        else:
            return None
    return (tuple(ranks), parameters) if len(wanted) == len(sent) else None


@settings(max_examples=300, deadline=None)
@given(ROUTES, REQUESTS, st.sampled_from(["GET", "PUT", "PROPFIND"]))
def test_the_most_specific_route_with_a_method_is_taken(
    routes: list[tuple[str, str]], path: str, verb: str
) -> None:
    router = compile_router((template, method, (template, method)) for template, method in routes)
    stripped = path.rstrip("/") or "/"
    candidates = []
    for template, method in dict.fromkeys(routes):
        ranked = _rank(template, stripped)
        if ranked and (method == verb or (method == "ANY" and verb in VERBS)):
            candidates.append((ranked[0], method != verb, (template, method), ranked[1]))
    found = router.match(verb, path)
    if not candidates:
        assert found is None
    else:
        _, _, target, parameters = min(candidates, key=lambda each: each[:2])
        assert found is not None
        assert found.target == target
        assert found.parameters == parameters
