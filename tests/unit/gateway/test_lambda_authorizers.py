"""Lambda authorizers: what is asked again and what is remembered, and what others learn of it."""

from typing import Any

import msgspec
import pytest

from authorization_world import METHOD_ARN, AuthorizedGateway, allowing
from lamington.core.clock import ManualClock
from lamington.gateway.authorization.authorizer_results import (
    RESULTS_KEPT,
    AuthorizerCache,
    AuthorizerCaches,
)
from lamington.gateway.recording import Recording


async def test_result_is_kept_for_its_time() -> None:
    gateway = AuthorizedGateway(definition={"authorizerResultTtlInSeconds": 60})
    for _ in range(3):
        assert (await gateway.send()).status == 200
    assert len(gateway.calls) == 1
    await gateway.clock.advance(60)
    await gateway.send()
    assert len(gateway.calls) == 2


async def test_result_is_kept_for_five_minutes_unless_told() -> None:
    gateway = AuthorizedGateway()
    await gateway.send()
    await gateway.clock.advance(299)
    await gateway.send()
    assert len(gateway.calls) == 1
    await gateway.clock.advance(1)
    await gateway.send()
    assert len(gateway.calls) == 2


async def test_time_of_zero_keeps_nothing() -> None:
    gateway = AuthorizedGateway(definition={"authorizerResultTtlInSeconds": 0})
    await gateway.send()
    await gateway.send()
    assert len(gateway.calls) == 2


async def test_each_token_has_its_own_result() -> None:
    gateway = AuthorizedGateway()
    for token in ("a", "b", "a"):
        await gateway.send(headers={"Authorization": token})
    assert [each["authorizationToken"] for each in gateway.calls] == ["a", "b"]


async def test_all_identity_sources_make_the_key() -> None:
    gateway = AuthorizedGateway(
        kind="REQUEST",
        definition={"identitySource": "method.request.header.Who,method.request.querystring.q"},
    )
    for who, query in (("a", "1"), ("a", "2"), ("b", "1"), ("a", "1")):
        await gateway.send(f"GET /pets?q={query}", {"who": who})
    assert len(gateway.calls) == 3


async def test_kept_policy_is_asked_for_each_method() -> None:
    gateway = AuthorizedGateway(
        answer=lambda event: allowing(event["methodArn"]), paths=("/pets", "/cats")
    )
    assert (await gateway.send("GET /pets")).status == 200
    assert (await gateway.send("GET /cats")).status == 403
    assert (await gateway.send("GET /pets")).status == 200
    assert len(gateway.calls) == 1


async def test_denial_is_kept() -> None:
    gateway = AuthorizedGateway(answer=lambda event: allowing(effect="Deny"))
    assert [(await gateway.send()).status for _ in range(2)] == [403, 403]
    assert len(gateway.calls) == 1


async def test_failure_is_not_kept() -> None:
    gateway = AuthorizedGateway(answer=lambda event: "nonsense")
    assert [(await gateway.send()).status for _ in range(2)] == [500, 500]
    assert len(gateway.calls) == 2


async def test_kept_results_outlive_a_deployment_and_are_flushed() -> None:
    gateway = AuthorizedGateway()
    await gateway.send()
    gateway.plane.deploy(gateway.compile(gateway.api))
    await gateway.send()
    assert len(gateway.calls) == 1
    gateway.caches.flush("abc123", "prod")
    await gateway.send()
    assert len(gateway.calls) == 1
    gateway.caches.flush("abc123", "dev")
    await gateway.send()
    assert len(gateway.calls) == 2


def test_each_stage_keeps_its_own_results() -> None:
    caches = AuthorizerCaches(ManualClock())
    assert caches.of("api", "dev", "a") is caches.of("api", "dev", "a")
    assert caches.of("api", "dev", "a") is not caches.of("api", "prod", "a")


def test_oldest_results_go_first() -> None:
    cache: AuthorizerCache[int] = AuthorizerCache(ManualClock())
    for number in range(RESULTS_KEPT + 1):
        cache.keep(number, number, 60)
    assert cache.find(0) is None
    assert cache.find(RESULTS_KEPT) == RESULTS_KEPT


async def test_kept_result_took_no_time() -> None:
    gateway = AuthorizedGateway(answer=lambda event: allowing(context={"a": 1}))
    await gateway.send()
    await gateway.send()
    assert gateway.event["requestContext"]["authorizer"] == {
        "principalId": "me",
        "integrationLatency": 0,
        "a": "1",
    }


async def test_conditions_of_a_kept_policy_are_asked_each_time() -> None:
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": "Allow",
        "Resource": "*",
        "Condition": {"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:01:00Z"}},
    }
    answer = {"principalId": "me", "policyDocument": {"Statement": statement}}
    gateway = AuthorizedGateway(answer=lambda event: answer)
    assert (await gateway.send()).status == 200
    await gateway.clock.advance(120)
    assert (await gateway.send()).status == 403
    assert len(gateway.calls) == 1


def _request(gateway: AuthorizedGateway, **members: Any) -> Any:
    from lamington.core.http import Headers, Request

    request = Request(
        method="GET", path="/dev/pets", headers=Headers([("Authorization", "letmein")])
    )
    received, match = gateway.plane._receive(gateway.program, request, "/pets", True)
    assert match is not None
    for name, value in members.items():
        setattr(received, name, value)
    return received, match.target.gates[0]


async def test_what_a_request_learns() -> None:
    gateway = AuthorizedGateway(answer=lambda event: allowing(usageIdentifierKey="key-1"))
    recording = Recording(gateway.clock)
    for cached in (False, True):
        request, gate = _request(gateway, recording=recording)
        pending = gate(request)
        assert (pending is None) is cached
        if pending is not None:
            await pending
            assert request.facts["authorizer.status"] == "200"
            assert request.facts["authorizer.latency"] == "0"
        assert request.usage_key == "key-1"
        assert request.authorizer["principalId"] == "me"
    first, second = recording.steps
    assert first.name == second.name == "authorizer"
    assert msgspec.json.decode(first.values["input"])["methodArn"] == METHOD_ARN
    assert (first.values["cached"], second.values["cached"]) == (False, True)
    assert (first.values["decision"], second.values["decision"]) == ("allow", "allow")


async def test_permission_is_asked_for_the_authorizer_itself() -> None:
    gateway = AuthorizedGateway()
    await gateway.send()
    assert gateway.permissions.asked[0] == (
        "arn:aws:execute-api:eu-west-1:123456789012:abc123/authorizers/auth01"
    )


async def test_credentials_of_an_authorizer_need_no_permission() -> None:
    role = "arn:aws:iam::123456789012:role/invoker"
    gateway = AuthorizedGateway(permitted=False, definition={"authorizerCredentials": role})
    await gateway.send()
    assert len(gateway.calls) == 1


async def test_uri_may_hold_a_stage_variable() -> None:
    uri = (
        "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:"
        "123456789012:function:${stageVariables.who}/invocations"
    )
    gateway = AuthorizedGateway(definition={"authorizerUri": uri}, variables={"who": "gatekeeper"})
    assert (await gateway.send()).status == 200


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ({"authorizerUri": "arn:aws:s3:::bucket"}, "`authorizerUri`"),
        ({"identityValidationExpression": "("}, "`identityValidationExpression`"),
        ({"identitySource": "method.request.path.x"}, "is not known"),
    ],
)
async def test_broken_authorizer_lets_nobody_in(definition: dict[str, Any], problem: str) -> None:
    gateway = AuthorizedGateway(definition=definition)
    assert (await gateway.send()).status in (401, 500)
    assert not gateway.calls
    assert any(problem in each.message for each in gateway.program.problems)


@pytest.mark.parametrize("members", [{"authorization": "SOMETHING"}, {"authorizers": {}}])
async def test_unknown_authorization_lets_nobody_in(members: dict[str, Any]) -> None:
    if "authorizers" in members:
        gateway = AuthorizedGateway(kind="OTHER", definition={"authorizerUri": ""})
    else:
        gateway = AuthorizedGateway(**members)
    response = await gateway.send()
    assert (response.status, response.body) == (500, b'{"message":null}')
