"""Tokens that hold and tokens that do not, and how often an issuer is asked for its keys."""

import asyncio
import os
from pathlib import Path

import pytest

from lamington.core.clock import ManualClock
from lamington.core.errors import UsageError
from lamington.gateway.authorization.json_web_tokens import (
    DOCUMENT_MAX_BYTES,
    KeyFiles,
    TokenError,
    TokenVerifier,
    bearer_token,
    scopes_of,
)
from token_world import ISSUER, Issuer, key_set

HOUR_S = 3600


class World:
    def __init__(self, files: str = "") -> None:
        self.clock = ManualClock()
        self.issuer = Issuer(self.clock)
        self.verifier = TokenVerifier(
            clock=self.clock, files=KeyFiles(files), fetch=self.issuer.fetch
        )

    async def verify(self, token: str, *audiences: str) -> object:
        claims = await self.verifier.verify(token, issuer=ISSUER, audiences=audiences)
        return claims["sub"]

    async def refusal(self, token: str, *audiences: str) -> TokenError:
        with pytest.raises(TokenError) as refused:
            await self.verify(token, *audiences)
        return refused.value


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
async def test_token_of_the_issuer_holds(world: World, algorithm: str) -> None:
    assert await world.verify(world.issuer.token(algorithm=algorithm)) == "user-1"


async def test_token_of_another_algorithm_does_not_hold(world: World) -> None:
    refusal = await world.refusal(world.issuer.token(algorithm="HS256"))
    assert refusal.message == "signing method HS256 is invalid"
    assert world.issuer.asked == []


async def test_token_that_is_changed_does_not_hold(world: World) -> None:
    head, body, signature = world.issuer.token().split(".")
    other = world.issuer.token(sub="user-2").split(".")[1]
    assert body != other
    assert "signature" in (await world.refusal(f"{head}.{other}.{signature}")).message


async def test_token_signed_by_another_key_of_the_same_id_does_not_hold(world: World) -> None:
    world.issuer.documents[f"{ISSUER}/.well-known/jwks.json"] = key_set("other").replace(
        b'"kid": "other"', b'"kid": "first"'
    )
    assert "signature" in (await world.refusal(world.issuer.token())).message


async def test_token_expires_by_the_clock(world: World) -> None:
    token = world.issuer.token()
    await world.verify(token)
    await world.clock.advance(HOUR_S - 1)
    await world.verify(token)
    await world.clock.advance(1)
    assert (await world.refusal(token)).message == "the token has expired"


async def test_token_without_an_expiry_does_not_hold(world: World) -> None:
    assert (await world.refusal(world.issuer.token(exp=None))).message == "the token has expired"


async def test_client_id_counts_only_without_an_audience(world: World) -> None:
    assert await world.verify(world.issuer.token(client_id="a"), "a", "b") == "user-1"
    refusal = await world.refusal(world.issuer.token(aud="other", client_id="a"), "a")
    assert refusal.message == "the token does not have a valid audience"


async def test_one_of_several_audiences_is_enough(world: World) -> None:
    assert await world.verify(world.issuer.token(aud=["x", "a"]), "a") == "user-1"


async def test_token_for_one_audience_is_not_remembered_for_another(world: World) -> None:
    token = world.issuer.token(aud="a")
    await world.verify(token, "a")
    await world.refusal(token, "b")


async def test_issuer_is_asked_once_for_many_tokens_at_once(world: World) -> None:
    tokens = [world.issuer.token(sub=str(index)) for index in range(5)]
    await asyncio.gather(*map(world.verify, tokens))
    assert world.issuer.asked == [
        f"{ISSUER}/.well-known/openid-configuration",
        f"{ISSUER}/.well-known/jwks.json",
    ]


async def test_keys_are_asked_for_again_after_two_hours(world: World) -> None:
    await world.verify(world.issuer.token())
    await world.clock.advance(2 * HOUR_S)
    await world.verify(world.issuer.token())
    assert len(world.issuer.asked) == 4


async def test_unknown_key_has_the_issuer_asked_again_but_not_at_once(world: World) -> None:
    await world.verify(world.issuer.token())
    world.issuer.documents[f"{ISSUER}/.well-known/jwks.json"] = key_set("first", "second")
    refusal = await world.refusal(world.issuer.token(key="second"))
    assert refusal.message == "the token is signed by an unknown key"
    await world.clock.advance(10)
    assert await world.verify(world.issuer.token(key="second")) == "user-1"


async def test_remembered_token_is_told_at_once_until_it_expires(world: World) -> None:
    token = world.issuer.token()
    assert world.verifier.recall(token, issuer=ISSUER) is None
    await world.verify(token)
    claims = world.verifier.recall(token, issuer=ISSUER)
    assert claims is not None
    assert claims["sub"] == "user-1"
    await world.clock.advance(HOUR_S)
    assert world.verifier.recall(token, issuer=ISSUER) is None


async def test_issuer_that_does_not_answer_is_told_with_what_to_do(world: World) -> None:
    world.issuer.documents.clear()
    refusal = await world.refusal(world.issuer.token())
    assert refusal.message == "OIDC discovery endpoint communication error"
    assert "Name or service not known" in refusal.hint
    assert f"--jwks {ISSUER}=keys.json" in refusal.hint


async def test_keys_that_do_not_come_are_another_error(world: World) -> None:
    del world.issuer.documents[f"{ISSUER}/.well-known/jwks.json"]
    assert (await world.refusal(world.issuer.token())).message == "JWKS communication error"


async def test_issuer_that_is_slow_is_given_up(world: World) -> None:
    async def never(url: str) -> bytes:
        raise TimeoutError

    verifier = TokenVerifier(clock=world.clock, fetch=never)
    with pytest.raises(TokenError) as refused:
        await verifier.verify(world.issuer.token(), issuer=ISSUER)
    assert "did not answer in time" in refused.value.hint


async def test_keys_of_a_file_need_no_network(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set("first"))
    world = World(f"{ISSUER}={path}")
    assert await world.verify(world.issuer.token()) == "user-1"
    path.write_bytes(key_set("second"))
    os.utime(path, (1, 1))
    assert await world.verify(world.issuer.token(key="second")) == "user-1"
    assert world.issuer.asked == []


async def test_directory_has_a_file_for_each_issuer(tmp_path: Path) -> None:
    (tmp_path / "issuer.example.json").write_bytes(key_set("first"))
    world = World(str(tmp_path))
    assert await world.verify(world.issuer.token()) == "user-1"
    assert world.issuer.asked == []


async def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    world = World(f"{ISSUER}={tmp_path / 'none.json'}")
    assert "none.json" in (await world.refusal(world.issuer.token())).hint


def test_setting_of_another_form_is_refused() -> None:
    with pytest.raises(UsageError):
        KeyFiles("https://issuer.example=")


def test_limit_of_documents_is_the_one_of_aws() -> None:
    assert DOCUMENT_MAX_BYTES == 150_000


@pytest.mark.parametrize("value", ["a.b.c", "Bearer a.b.c", "bearer  a.b.c "])
def test_token_may_have_bearer_before_it(value: str) -> None:
    assert bearer_token(value) == "a.b.c"


def test_scopes_are_a_text_or_a_list() -> None:
    assert scopes_of({"scope": "a b"}) == ("a", "b")
    assert scopes_of({"scp": ["a", "b"]}) == ("a", "b")
    assert scopes_of({}) == ()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b",
        "a.b.c",
        "....",
        "e30.e30.e30",
        "\u00e9.\u00e9.\u00e9",
        "e30..",
        "W10.W10.W10",
    ],
)
async def test_what_is_no_token_is_refused_in_words(world: World, token: str) -> None:
    assert (await world.refusal(token)).message
