"""A user pool's tokens at a method: which are taken, and what an API sees of them."""

from dataclasses import replace
from typing import Any

import pytest

from lamington.core.aws import Scope
from lamington.core.clock import Calendar, ManualClock
from lamington.gateway.authorization.cognito import claim_texts, compile_cognito
from lamington.gateway.authorization.json_web_tokens import TokenVerifier
from lamington.gateway.entities import Authorizer, Method
from lamington.gateway.mapping import NO_IDENTITY, Gate, MethodRequest
from lamington.gateway.recording import Recording
from lamington.gateway.responses import Refusal
from token_world import POOL_ARN, POOL_ISSUER, Issuer

SCOPE = Scope(account_id="123456789012", region="eu-west-1")
OTHER_POOL = POOL_ARN.replace("Abc123", "Other9")


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.issuer = Issuer(self.clock, POOL_ISSUER)
        self.tokens = TokenVerifier(clock=self.clock, fetch=self.issuer.fetch)

    def gate(self, *scopes: str, **definition: Any) -> Gate:
        return compile_cognito(
            Authorizer(
                authorizer_id="auth1",
                name="pool",
                type="COGNITO_USER_POOLS",
                definition={"providerARNs": [POOL_ARN], **definition},
            ),
            Method(http_method="GET", authorization_scopes=scopes),
            self.tokens,
            self.clock,
        )

    def id_token(self, **claims: Any) -> str:
        return self.issuer.token(**{"token_use": "id", "aud": "client-1", **claims})

    def access_token(self, **claims: Any) -> str:
        return self.issuer.token(**{"token_use": "access", "client_id": "client-1", **claims})

    def request(self, value: str, header: str = "authorization") -> MethodRequest:
        return MethodRequest(
            method="GET",
            path="/pets",
            context_path="/dev/pets",
            path_parameters={},
            query="",
            fields=(),
            headers={},
            known={header: value} if value else {},
            body=b"",
            source_ip="127.0.0.1",
            host="localhost",
            request_id="id-1",
            extended_request_id="extended",
            trace_id="Root=1",
            moment=Calendar(self.clock).moment(),
            identity=NO_IDENTITY,
        )

    async def admitted(self, gate: Gate, value: str, header: str = "authorization") -> Any:
        """The claims that the API sees."""
        request = self.request(value, header)
        pending = gate(request)
        if pending is not None:
            await pending
        assert request.authorizer is not None
        return request.authorizer["claims"]

    async def refusal(self, gate: Gate, value: str) -> Refusal:
        with pytest.raises(Refusal) as refused:
            await self.admitted(gate, value)
        assert refused.value.status == 401
        assert refused.value.response_type == "UNAUTHORIZED"
        return refused.value


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("prefix", ["", "Bearer ", "bearer "])
async def test_identity_token_is_taken_with_bearer_or_without(world: World, prefix: str) -> None:
    claims = await world.admitted(world.gate(), prefix + world.id_token())
    assert claims["sub"] == "user-1"
    assert world.issuer.asked == [f"{POOL_ISSUER}/.well-known/jwks.json"]


async def test_token_is_read_from_the_header_that_the_authorizer_names(world: World) -> None:
    gate = world.gate(identitySource="method.request.header.X-Token")
    assert (await world.admitted(gate, world.id_token(), "x-token"))["sub"] == "user-1"


async def test_access_token_needs_scopes_on_the_method(world: World) -> None:
    refusal = await world.refusal(world.gate(), world.access_token(scope="pets/read"))
    assert refusal.client_message == "Unauthorized"


async def test_access_token_needs_one_of_the_scopes(world: World) -> None:
    gate = world.gate("pets/read", "pets/write")
    await world.admitted(gate, world.access_token(scope="openid pets/write"))
    await world.refusal(gate, world.access_token(scope="openid"))
    await world.refusal(gate, world.id_token())


@pytest.mark.parametrize("value", ["", "Bearer ", "nonsense", "a.b.c"])
async def test_what_is_no_token_is_unauthorized(world: World, value: str) -> None:
    assert (await world.refusal(world.gate(), value)).client_message == "Unauthorized"


async def test_token_of_another_pool_is_unauthorized(world: World) -> None:
    await world.refusal(world.gate(providerARNs=[OTHER_POOL]), world.id_token())


async def test_one_of_several_pools_is_enough(world: World) -> None:
    gate = world.gate(providerARNs=[OTHER_POOL, POOL_ARN])
    assert (await world.admitted(gate, world.id_token()))["sub"] == "user-1"


async def test_expired_token_is_told_so_even_when_it_was_taken_before(world: World) -> None:
    gate = world.gate()
    token = world.id_token()
    await world.admitted(gate, token)
    await world.clock.advance(3600)
    refusal = await world.refusal(gate, token)
    assert refusal.client_message == "The incoming token has expired"


async def test_same_token_again_is_let_in_at_once(world: World) -> None:
    gate = world.gate()
    token = world.id_token()
    await world.admitted(gate, token)
    assert gate(world.request(token)) is None


async def test_expression_is_matched_against_the_audience(world: World) -> None:
    gate = world.gate(identityValidationExpression="client-[0-9]")
    await world.admitted(gate, world.id_token())
    await world.refusal(gate, world.id_token(aud="other"))


async def test_expression_that_is_none_lets_nobody_in(world: World) -> None:
    await world.refusal(world.gate(identityValidationExpression="("), world.id_token())


async def test_keys_that_cannot_be_had_are_told_in_the_hint(world: World) -> None:
    world.issuer.documents.clear()
    assert "--jwks" in (await world.refusal(world.gate(), world.id_token())).hint


async def test_recording_shows_the_decision_and_why(world: World) -> None:
    request = replace(world.request(world.access_token()), recording=Recording(world.clock))
    pending = world.gate()(request)
    assert pending is not None
    with pytest.raises(Refusal):
        await pending
    assert request.recording is not None
    [step] = request.recording.steps
    assert (step.values["decision"], step.values["output"]) == ("deny", "the token is no id token")


def test_claims_are_texts() -> None:
    assert claim_texts(
        {
            "sub": "user-1",
            "email_verified": True,
            "auth_time": 1544112503,
            "exp": 1544116103,
            "cognito:groups": ["admin", "staging-manager"],
            "custom:object": {"a": 1},
        }
    ) == {
        "sub": "user-1",
        "email_verified": "true",
        "auth_time": "1544112503",
        "exp": "Thu Dec 06 17:08:23 UTC 2018",
        "cognito:groups": "admin,staging-manager",
        "custom:object": '{"a":1}',
    }
