"""Whatever stands where a token should be: it is refused in words, and nothing else is raised."""

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lamington.core.clock import ManualClock
from lamington.gateway.authorization.cognito import claim_texts, unverified_claims
from lamington.gateway.authorization.json_web_tokens import (
    TokenError,
    TokenVerifier,
    audiences_of,
    bearer_token,
    scopes_of,
)
from token_world import ISSUER, Issuer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


TOKENS = st.text(max_size=80) | st.builds(
    lambda header, claims, signature: f"{segment(header)}.{segment(claims)}.{signature}",
    st.builds(lambda more, alg: {**more, "alg": alg, "kid": "first"},
              st.dictionaries(st.text(max_size=5), JSON, max_size=3),
              st.sampled_from(["RS256", "none", "HS256", ""])) | JSON,
    JSON,
    st.text(alphabet="abcAB01-_=", max_size=40),
)  # fmt: skip


@given(token=TOKENS)
@settings(deadline=None, max_examples=300)
@example(token="\ud800.a.b")
def test_what_was_not_signed_is_refused_in_words(token: str) -> None:
    issuer = Issuer(ManualClock())
    verifier = TokenVerifier(clock=issuer.clock, fetch=issuer.fetch)

    async def verify() -> None:
        await verifier.verify(bearer_token(token), issuer=ISSUER)

    with pytest.raises(TokenError):
        asyncio.run(verify())
    assert isinstance(unverified_claims(token), dict)


@given(claims=st.dictionaries(st.sampled_from(["exp", "aud", "scope", "scp", "x"]), JSON))
@settings(deadline=None)
def test_claims_of_any_form_become_texts(claims: dict[str, Any]) -> None:
    assert all(isinstance(text, str) for text in claim_texts(claims).values())
    assert all(isinstance(each, str) for each in (*audiences_of(claims), *scopes_of(claims)))
