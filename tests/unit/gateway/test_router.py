"""Which route a request takes."""

import time

import pytest

from lamington.gateway.router import Router, compile_router


def router(*routes: str) -> Router[str]:
    pairs = [route.partition(" ") for route in routes]
    return compile_router((path, verb, f"{verb} {path}") for verb, _, path in pairs)


def found(routes: Router[str], request: str) -> str | None:
    verb, _, path = request.partition(" ")
    match = routes.match(verb, path)
    return None if match is None else match.target


def test_parameters_are_given_as_sent() -> None:
    match = router("GET /a/{x}/b/{rest+}").match("GET", "/a/1%2F2/b/c/d%20e/")
    assert match is not None
    assert match.parameters == {"x": "1%2F2", "rest": "c/d%20e"}


def test_a_literal_route_has_no_parameters() -> None:
    match = router("GET /a", "GET /{x}").match("GET", "/a")
    assert match is not None
    assert not match.parameters


def test_an_empty_segment_is_no_parameter() -> None:
    assert found(router("GET /a/{x}/b"), "GET /a//b") is None


def test_a_double_slash_stays_within_a_greedy_parameter() -> None:
    match = router("GET /p/{rest+}").match("GET", "/p//x")
    assert match is not None
    assert match.parameters == {"rest": "/x"}


def test_the_root_is_a_route_of_its_own() -> None:
    assert found(router("GET /"), "GET /") == "GET /"
    assert found(router("GET /"), "GET /a") is None
    assert found(router("GET /{rest+}"), "GET /") is None


def test_a_dead_end_below_a_static_segment_falls_back_to_a_parameter() -> None:
    routes = router("GET /a/b/c", "GET /{x}/b/d")
    assert found(routes, "GET /a/b/d") == "GET /{x}/b/d"


def test_any_stands_for_seven_methods_only() -> None:
    routes = router("ANY /a")
    assert found(routes, "PATCH /a") == "ANY /a"
    assert found(routes, "PROPFIND /a") is None


@pytest.mark.parametrize("path", ["/r{n}", "/r{n}/{{id}}"])
def test_cost_does_not_grow_with_the_number_of_routes(path: str) -> None:
    def seconds(count: int) -> float:
        routes = router(*(f"GET {path.format(n=n)}" for n in range(count)))
        sought = f"/r{count - 1}" if "{{" not in path else f"/r{count - 1}/7"
        best = 1.0
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(500):
                routes.match("GET", sought)
            best = min(best, time.perf_counter() - began)
        return best

    assert seconds(2000) < seconds(10) * 4
