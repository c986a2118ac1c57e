"""The rows of tokens: what a JWT authorizer and a user pool make of one."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from lamington.core.aws import Scope
from lamington.core.clock import Calendar, ManualClock
from lamington.gateway.authorization.cognito import compile_cognito
from lamington.gateway.authorization.json_web_tokens import TokenError, TokenVerifier
from lamington.gateway.entities import Authorizer, Method
from lamington.gateway.mapping import NO_IDENTITY, MethodRequest
from lamington.gateway.responses import Refusal
from token_world import ISSUER, POOL_ARN, POOL_ISSUER, Issuer

SCOPE = Scope(account_id="123456789012", region="eu-west-1")
CASES = tomllib.loads((Path(__file__).parent / "gateway_tokens.toml").read_text())["case"]


def _of(kind: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in CASES if kind in case["given"]]


async def _token(issuer: Issuer, given: dict[str, Any]) -> str:
    """The token of a case, and the clock at the moment when it is sent."""
    token: str = given.get("token") or issuer.token(
        given.get("key", "first"), given.get("algorithm", "RS256"), **given.get("claims", {})
    )
    for url in given.get("without", []):
        del issuer.documents[url]
    await issuer.clock.advance(given.get("after_s", 0))
    return "" if given.get("token") == "" else given.get("prefix", "") + token


@pytest.mark.parametrize("case", _of("audiences"))
async def test_token_of_a_jwt_authorizer_does_as_on_aws(case: dict[str, Any]) -> None:
    given, expect = case["given"], case["expect"]
    issuer = Issuer(ManualClock())
    verifier = TokenVerifier(clock=issuer.clock, fetch=issuer.fetch)
    token = await _token(issuer, given)
    asked = verifier.verify(token, issuer=ISSUER, audiences=given["audiences"])
    if "error" in expect:
        with pytest.raises(TokenError) as refused:
            await asked
        assert refused.value.message == expect["error"]
    else:
        claims = await asked
        assert {name: claims[name] for name in expect["claims"]} == expect["claims"]


@pytest.mark.parametrize("case", _of("pool"))
async def test_token_of_a_user_pool_does_as_on_aws(case: dict[str, Any]) -> None:
    given, expect = case["given"], case["expect"]
    issuer = Issuer(ManualClock(), POOL_ISSUER)
    gate = compile_cognito(
        Authorizer(
            authorizer_id="auth1",
            name="pool",
            type="COGNITO_USER_POOLS",
            definition={
                "providerARNs": [POOL_ARN],
                "identityValidationExpression": given.get("expression", ""),
            },
        ),
        Method(http_method="GET", authorization_scopes=tuple(given.get("scopes", []))),
        TokenVerifier(clock=issuer.clock, fetch=issuer.fetch),
        issuer.clock,
    )
    value = await _token(issuer, given)
    request = MethodRequest(
        method="GET",
        path="/pets",
        context_path="/dev/pets",
        path_parameters={},
        query="",
        fields=(),
        headers={},
        known={"authorization": value} if value else {},
        body=b"",
        source_ip="127.0.0.1",
        host="localhost",
        request_id="id-1",
        extended_request_id="extended",
        trace_id="Root=1",
        moment=Calendar(issuer.clock).moment(),
        identity=NO_IDENTITY,
    )
    pending = gate(request)
    assert pending is not None
    if "status" in expect:
        with pytest.raises(Refusal) as refused:
            await pending
        assert refused.value.status == expect["status"]
        assert refused.value.client_message == expect["message"]
    else:
        await pending
        assert request.authorizer is not None
        claims = request.authorizer["claims"]
        assert {name: claims[name] for name in expect["claims"]} == expect["claims"]
