"""An issuer of tokens: keys of its own, and a stand-in for the network that publishes them."""

import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from lamington.core.clock import ManualClock

POOL_ARN = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_Abc123"
POOL_ISSUER = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Abc123"
ISSUER = "https://issuer.example"


@cache
def private_key(name: str) -> rsa.RSAPrivateKey:
    """The key of a name, made once for a run of tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_set(*names: str) -> bytes:
    """The published key set with these keys."""
    keys = []
    for name in names:
        entry = json.loads(RSAAlgorithm.to_jwk(private_key(name).public_key()))
        keys.append({**entry, "kid": name, "use": "sig", "alg": "RS256"})
    return json.dumps({"keys": keys}).encode()


class Issuer:
    """Signs tokens, and answers for its documents as the network would.

    `documents` are by address; `asked` are the addresses in order. Nothing answers that is not
    there.
    """

    def __init__(self, clock: ManualClock, issuer: str = ISSUER) -> None:
        self.clock = clock
        self.issuer = issuer
        self.asked: list[str] = []
        self.documents: dict[str, bytes] = {
            f"{issuer}/.well-known/openid-configuration": json.dumps(
                {"issuer": issuer, "jwks_uri": f"{issuer}/.well-known/jwks.json"}
            ).encode(),
            f"{issuer}/.well-known/jwks.json": key_set("first"),
        }

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if url not in self.documents:
            raise OSError("Name or service not known")
        return self.documents[url]

    def token(self, key: str = "first", algorithm: str = "RS256", **claims: Any) -> str:
        """A token that is good for an hour, with these claims besides; None takes one away."""
        now = int(self.clock.now().timestamp())
        every = {"iss": self.issuer, "sub": "user-1", "iat": now, "exp": now + 3600, **claims}
        given = {name: value for name, value in every.items() if value is not None}
        secret: Any = private_key(key) if algorithm.startswith("RS") else "s" * 32
        return jwt.encode(given, secret, algorithm=algorithm, headers={"kid": key})
