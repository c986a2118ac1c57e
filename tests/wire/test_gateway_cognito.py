"""A user pool as the authorizer of a deployed API, its keys from a file: no network, no Cognito."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lamington.core.clock import ManualClock
from lamington.testing import RunningEngine, running_engine
from token_world import POOL_ARN, POOL_ISSUER, Issuer, key_set

TEMPLATE = (
    '{"sub": "$context.authorizer.claims.sub",'
    ' "groups": "$context.authorizer.claims[\'cognito:groups\']",'
    ' "verified": "$context.authorizer.claims.email_verified"}'
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    keys: Path = tmp_path_factory.mktemp("keys")
    (keys / "eu-west-1_Abc123.json").write_bytes(key_set("first"))
    with running_engine(jwks=str(keys)) as running:
        yield running


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer(ManualClock(datetime.now(UTC)), POOL_ISSUER)


def deploy(engine: RunningEngine, *scopes: str) -> str:
    """The address of a mock API that answers with what it knows of its caller."""
    client: Any = engine.client("apigateway")
    api_id = client.create_rest_api(name="pool")["id"]
    [root] = client.get_resources(restApiId=api_id)["items"]
    authorizer = client.create_authorizer(
        restApiId=api_id,
        name="pool",
        type="COGNITO_USER_POOLS",
        providerARNs=[POOL_ARN],
        identitySource="method.request.header.Authorization",
    )
    method = {"restApiId": api_id, "resourceId": root["id"], "httpMethod": "GET"}
    client.put_method(
        **method,
        authorizationType="COGNITO_USER_POOLS",
        authorizerId=authorizer["id"],
        authorizationScopes=list(scopes),
    )
    client.put_integration(
        **method, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'}
    )
    client.put_method_response(**method, statusCode="200")
    client.put_integration_response(
        **method, statusCode="200", responseTemplates={"application/json": TEMPLATE}
    )
    client.create_deployment(restApiId=api_id, stageName="dev")
    return f"{engine.endpoint_url}/_aws/execute-api/{api_id}/dev/"


def get(url: str, token: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, headers={"Authorization": token} if token else {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_identity_token_opens_the_method_and_its_claims_reach_it(
    engine: RunningEngine, issuer: Issuer
) -> None:
    url = deploy(engine)
    claims: dict[str, Any] = {"email_verified": True, "cognito:groups": ["a", "b"]}
    token = issuer.token(token_use="id", aud="client-1", **claims)
    expected = (200, {"sub": "user-1", "groups": "a,b", "verified": "true"})
    assert get(url, token) == expected
    assert get(url, f"Bearer {token}") == expected
    assert get(url, token) == expected


def test_other_tokens_are_unauthorized(engine: RunningEngine, issuer: Issuer) -> None:
    url = deploy(engine)
    now = int(issuer.clock.now().timestamp())
    unauthorized = (401, {"message": "Unauthorized"})
    assert get(url, "") == unauthorized
    assert get(url, "nonsense") == unauthorized
    assert get(url, issuer.token(token_use="access", client_id="client-1")) == unauthorized
    assert get(url, issuer.token(key="second", token_use="id", aud="client-1")) == unauthorized
    expired = issuer.token(token_use="id", aud="client-1", exp=now - 10)
    assert get(url, expired) == (401, {"message": "The incoming token has expired"})


def test_scopes_of_the_method_ask_for_an_access_token(
    engine: RunningEngine, issuer: Issuer
) -> None:
    url = deploy(engine, "pets/read")
    good = issuer.token(token_use="access", client_id="client-1", scope="openid pets/read")
    other = issuer.token(token_use="access", client_id="client-1", scope="openid")
    assert get(url, good)[0] == 200
    assert get(url, other)[0] == 401
