"""The cache of a stage: what it holds, for how long, and who empties it."""

from dataclasses import replace
from typing import Any

import pytest

from authorization_world import FakeSigners
from fakes_gateway import SCOPE, SmallGateway, lambda_method, small_api, small_stage
from lamington.core.clock import Ids, ManualClock
from lamington.core.http import Response
from lamington.core.policies import compile_policy
from lamington.core.sigv4 import Signer
from lamington.gateway import cache
from lamington.gateway.authorization.invalidation import compile_invalidation
from lamington.gateway.cache import CacheStore, compile_cache
from lamington.gateway.entities import Stage
from lamington.gateway.mapping import MethodRequest
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.responses import MethodResponse

CALLER = "arn:aws:iam::123456789012:user/baker"
ENABLED: dict[str, dict[str, Any]] = {"*/*": {"cachingEnabled": True}}


def cached_stage(**members: Any) -> Stage:
    return small_stage(cache_cluster_enabled=True, method_settings=ENABLED, **members)


def answering(*bodies: str) -> Any:
    left = list(bodies)
    return lambda event: {"body": left.pop(0), "headers": {"X-A": "1"}}


def gateway(*bodies: str, **integration: Any) -> SmallGateway:
    return SmallGateway(
        {"GET /a": lambda_method(**integration)},
        answering(*bodies),
        stage=cached_stage(),
    )


def own(response: Response) -> list[tuple[str, str]]:
    """The headers that are not of the request."""
    return [pair for pair in response.headers if not pair[0].lower().startswith("x-am")]


async def test_an_answer_from_the_cache_is_the_same_with_ids_of_its_own() -> None:
    small = gateway("one", "two")
    first, second = [await small.send("GET /a") for _ in range(2)]
    assert (first.status, first.body, own(first)) == (second.status, second.body, own(second))
    assert dict(first.headers)["x-amzn-RequestId"] != dict(second.headers)["x-amzn-RequestId"]


async def test_a_flush_forgets_the_answers_of_its_stage_alone() -> None:
    small = gateway("one", "two")
    await small.send("GET /a")
    small.cache.flush("abc123", "other")
    assert (await small.send("GET /a")).body == b"one"
    small.cache.flush("abc123", "dev")
    assert (await small.send("GET /a")).body == b"two"


async def test_values_of_two_parameters_do_not_run_together() -> None:
    keys = ("method.request.querystring.a", "method.request.querystring.b")
    small = gateway("one", "two", cache_key_parameters=keys)
    for query in ("a=x%00b%00y", "a=x&b=y"):
        await small.send(f"GET /a?{query}")
    assert len(small.invoker.invocations) == 2


async def test_an_absent_parameter_is_as_no_query_at_all() -> None:
    small = gateway("one", "two", cache_key_parameters=("method.request.querystring.a",))
    for target in ("GET /a", "GET /a?b=1"):
        await small.send(target)
    assert len(small.invoker.invocations) == 1


async def test_headers_and_context_may_be_keys() -> None:
    small = gateway(
        *("one", "two", "three"),
        cache_key_parameters=("method.request.header.X", "integration.request.header.Y"),
        request_parameters={"integration.request.header.Y": "context.httpMethod"},
    )
    for value in ("1", "2", "1"):
        await small.send("GET /a", headers={"X": value})
    assert len(small.invoker.invocations) == 2


async def test_methods_share_what_is_in_one_namespace() -> None:
    method = lambda_method(cache_namespace="shared")
    small = SmallGateway(
        {"GET /a": method, "GET /b": method}, answering("one", "two"), stage=cached_stage()
    )
    assert [(await small.send(f"GET /{name}")).body for name in "ab"] == [b"one", b"one"]


async def test_methods_of_one_namespace_need_not_list_their_keys_alike() -> None:
    keys = ("method.request.querystring.a", "method.request.header.X")
    small = SmallGateway(
        {
            "GET /a": lambda_method(cache_namespace="s", cache_key_parameters=keys),
            "GET /b": lambda_method(cache_namespace="s", cache_key_parameters=keys[::-1]),
        },
        answering("one", "two"),
        stage=cached_stage(),
    )
    for name in "ab":
        await small.send(f"GET /{name}?a=1", headers={"X": "2"})
    assert len(small.invoker.invocations) == 1


@pytest.mark.parametrize(
    ("canary_settings", "calls"),
    [
        ({"deploymentId": "new"}, 2),
        ({"deploymentId": "new", "useStageCache": True}, 1),
        ({"deploymentId": "dep123"}, 1),
    ],
)
async def test_a_canary_of_another_deployment_has_entries_of_its_own(
    canary_settings: dict[str, Any], calls: int
) -> None:
    stage = cached_stage(canary_settings=canary_settings)
    canary = replace(stage, deployment_id=canary_settings["deploymentId"])
    store = CacheStore(ManualClock())
    small = gateway("one")
    request = await asked(small)
    answer = MethodResponse(200, [], b"one")
    found = 0
    for each in (stage, canary):
        kept = compiled(store, each)
        found += kept.find(request) is not None
        kept.keep(request, answer)
    assert 2 - found == calls


def compiled(store: CacheStore, stage: Stage) -> cache.MethodCache:
    api = small_api({"GET /a": lambda_method()})
    resource = next(iter(api.resources.values()))
    made = compile_cache(
        api=api,
        stage=stage,
        resource=resource,
        method=resource.methods["GET"],
        store=store,
        variables={},
        may_invalidate=lambda request: False,
    )
    assert made is not None
    return made


async def asked(small: SmallGateway) -> MethodRequest:
    """A request as the pipeline makes one."""
    seen: list[MethodRequest] = []

    def see(request: MethodRequest) -> None:
        seen.append(request)

    [method] = small.program.methods.values()
    object.__setattr__(method, "gates", (see,))
    await small.send("GET /a")
    return seen[0]


async def test_another_size_of_the_cluster_is_an_empty_one() -> None:
    store = CacheStore(ManualClock())
    request = await asked(gateway("one"))
    answer = MethodResponse(200, [], b"one")
    compiled(store, cached_stage(cache_cluster_size="0.5")).keep(request, answer)
    assert compiled(store, cached_stage(cache_cluster_size="0.5")).find(request) is not None
    assert compiled(store, cached_stage(cache_cluster_size="1.6")).find(request) is None


async def test_a_cluster_that_is_switched_off_forgets_everything() -> None:
    store = CacheStore(ManualClock())
    request = await asked(gateway("one"))
    compiled(store, cached_stage()).keep(request, MethodResponse(200, [], b"one"))
    api = small_api({"GET /a": lambda_method()})
    resource = next(iter(api.resources.values()))
    off = compile_cache(
        api=api,
        stage=small_stage(),
        resource=resource,
        method=resource.methods["GET"],
        store=store,
        variables={},
        may_invalidate=lambda request: False,
    )
    assert off is None
    assert compiled(store, cached_stage()).find(request) is None


async def test_what_nobody_asked_for_longest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CLUSTER_MAX_BYTES", 3 * 2_000)
    small = gateway(
        *("x" * 1_000 for _ in range(9)), cache_key_parameters=("method.request.querystring.a",)
    )
    for name in (1, 2, 3, 1, 4, 1, 2):
        await small.send(f"GET /a?a={name}")
    asked_for = [each.payload for each in small.invoker.invocations]
    assert [b'"a":"1"' in each for each in asked_for].count(True) == 1
    assert [b'"a":"2"' in each for each in asked_for].count(True) == 2


async def test_a_change_of_an_answer_does_not_reach_the_cache() -> None:
    small = gateway("one")
    first = await small.send("GET /a")
    first.headers.clear()
    assert dict((await small.send("GET /a")).headers)["X-A"] == "1"


async def test_steps_of_the_cache_are_recorded() -> None:
    store = CacheStore(ManualClock())
    request = await asked(gateway("one"))
    kept = compiled(store, cached_stage())
    steps = cache_steps(request)
    kept.find(request)
    kept.keep(request, MethodResponse(200, [], b"one"))
    kept.find(request)
    assert [step["state"] for step in steps] == ["miss", "hit"]
    assert steps[0]["ttl_s"] == 300


def cache_steps(request: MethodRequest) -> list[dict[str, Any]]:
    """Have a request recorded; its steps as they are added."""
    steps: list[dict[str, Any]] = []

    class Steps:
        def add(self, name: str, **values: Any) -> None:
            assert name == "cache"
            steps.append(values)

    object.__setattr__(request, "recording", Steps())
    return steps


@pytest.mark.parametrize(
    ("action", "resource", "may"),
    [
        ("execute-api:InvalidateCache", "*", True),
        ("execute-api:*", "arn:aws:execute-api:eu-west-1:123456789012:abc123/dev/GET/*", True),
        ("execute-api:Invoke", "*", False),
        ("execute-api:*", "arn:aws:execute-api:eu-west-1:123456789012:abc123/live/*", False),
    ],
)
async def test_who_has_leave_to_invalidate_does(action: str, resource: str, may: bool) -> None:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    policy = compile_policy({"Version": "2012-10-17", "Statement": [statement]})
    signer = Signer(access_key="AKIA", arn=CALLER, policies=lambda: [policy])
    may_invalidate = compile_invalidation(
        api_id="abc123",
        stage_name="dev",
        scope=SCOPE,
        signers=FakeSigners(known={"AKIA": signer}, believes=False),
    )
    request = await asked(gateway("one"))
    assert not may_invalidate(request), "nobody signed it"
    request.identity, request.principal_arn = {"accessKey": "AKIA"}, CALLER
    assert may_invalidate(request) is may
    request.identity = {"accessKey": "nobody's"}
    assert not may_invalidate(request)


async def test_a_stage_that_is_withdrawn_takes_its_cache_along() -> None:
    store = CacheStore(ManualClock())
    plane = RestDataPlane(clock=ManualClock(), ids=Ids(), forget=store.discard)
    request = await asked(gateway("one"))
    compiled(store, cached_stage()).keep(request, MethodResponse(200, [], b"one"))
    plane.withdraw("abc123", "dev")
    assert compiled(store, cached_stage()).find(request) is None
