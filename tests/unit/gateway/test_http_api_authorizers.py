"""Who may call a route of an HTTP API."""

import json
from typing import Any

import pytest

from fakes_gateway import SCOPE
from http_api_world import AUTHORIZER_ARN, SmallHttpApi, jwt_authorizer, lambda_authorizer
from lamington.core.clock import ManualClock
from lamington.core.policies import compile_policy
from lamington.core.sigv4 import Signer
from lamington.gateway.authorization.json_web_tokens import TokenVerifier
from token_world import Issuer

CUSTOM = {"authorization_type": "CUSTOM"}
ARN = "arn:aws:execute-api:eu-west-1:123456789012:abc123"
SIGNED = {
    "X-Amz-Date": "20260101T000000Z",
    "Authorization": (
        "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/execute-api/aws4_request,"
        " SignedHeaders=host;x-amz-date, Signature=00"
    ),
}


def _asked(api: SmallHttpApi) -> Any:
    """The event of the last authorizer invocation."""
    return json.loads(
        [each.payload for each in api.invoker.invocations if each.function_arn == AUTHORIZER_ARN][
            -1
        ]
    )


async def test_authorizer_gets_the_event_of_format_two() -> None:
    api = SmallHttpApi(
        "GET /pets/{id}",
        stages=["dev"],
        variables={"v": "1"},
        authorizer=lambda_authorizer(
            identity_source=("$request.header.Authorization", "$request.querystring.q")
        ),
        route=CUSTOM,
    )
    await api.send("GET /dev/pets/7?q=x", headers={"Authorization": "t", "Cookie": "c=1"})
    event = _asked(api)
    assert event["version"] == "2.0"
    assert event["type"] == "REQUEST"
    assert event["routeArn"] == f"{ARN}/dev/GET/pets/7"
    assert event["identitySource"] == ["t", "x"]
    assert event["routeKey"] == "GET /pets/{id}"
    assert event["rawPath"] == "/dev/pets/7"
    assert event["cookies"] == ["c=1"]
    assert event["pathParameters"] == {"id": "7"}
    assert event["stageVariables"] == {"v": "1"}
    assert event["requestContext"]["http"]["method"] == "GET"
    assert "body" not in event


async def test_authorizer_gets_the_event_of_format_one() -> None:
    api = SmallHttpApi(
        "GET /pets/{id}",
        authorizer=lambda_authorizer(
            payload_format_version="1.0",
            identity_source=("$request.header.Authorization", "$request.querystring.q"),
        ),
        authorizer_handler=lambda event: _policy("Allow", event["methodArn"]),
        route=CUSTOM,
    )
    response = await api.send("GET /pets/7?q=x", headers={"Authorization": "t"})
    event = _asked(api)
    assert response.status == 200
    assert event["version"] == "1.0"
    assert event["methodArn"] == f"{ARN}/$default/GET/pets/7"
    assert event["identitySource"] == event["authorizationToken"] == "t,x"
    assert event["resource"] == "/pets/{id}"
    assert event["httpMethod"] == "GET"
    assert event["headers"]["Authorization"] == "t"


def _policy(effect: str, resource: str) -> dict[str, Any]:
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource}
    return {
        "principalId": "me",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }


async def test_kept_policy_is_asked_anew_for_each_route() -> None:
    api = SmallHttpApi(
        "GET /a",
        "GET /b",
        authorizer=lambda_authorizer(enable_simple_responses=False, result_ttl_s=60),
        authorizer_handler=lambda event: _policy("Allow", f"{ARN}/$default/GET/a"),
        route=CUSTOM,
    )
    headers = {"Authorization": "t"}
    statuses = [(await api.send(f"GET /{name}", headers=headers)).status for name in "abab"]
    assert statuses == [200, 403, 200, 403]
    assert sum(each.function_arn == AUTHORIZER_ARN for each in api.invoker.invocations) == 1


async def test_result_is_kept_for_its_time_and_its_identity() -> None:
    api = SmallHttpApi("$default", authorizer=lambda_authorizer(result_ttl_s=60), route=CUSTOM)

    async def asked(token: str) -> int:
        await api.send("GET /", headers={"Authorization": token})
        return sum(each.function_arn == AUTHORIZER_ARN for each in api.invoker.invocations)

    assert [await asked("x"), await asked("x"), await asked("y")] == [1, 1, 2]
    await api.clock.advance(60)
    assert await asked("x") == 3


async def test_route_key_in_the_identity_keeps_results_by_route() -> None:
    api = SmallHttpApi(
        "GET /a",
        "GET /b",
        authorizer=lambda_authorizer(
            result_ttl_s=60,
            identity_source=("$request.header.Authorization", "$context.routeKey"),
        ),
        authorizer_handler=lambda event: {"isAuthorized": event["routeKey"] == "GET /a"},
        route=CUSTOM,
    )
    headers = {"Authorization": "t"}
    assert [(await api.send(f"GET /{name}", headers=headers)).status for name in "abab"] == [
        200,
        403,
        200,
        403,
    ]


async def test_authorizer_without_identity_sources_is_always_asked() -> None:
    api = SmallHttpApi(
        "$default", authorizer=lambda_authorizer(identity_source=(), result_ttl_s=60), route=CUSTOM
    )
    for _ in range(2):
        assert (await api.send("GET /")).status == 200
    assert len(api.invoker.invocations) == 4


async def test_authorizer_needs_a_permission_of_its_own() -> None:
    api = SmallHttpApi("$default", authorizer=lambda_authorizer(), route=CUSTOM, permitted=False)
    assert (await api.send("GET /", headers={"Authorization": "x"})).status == 500
    assert api.permissions.asked == [f"{ARN}/authorizers/a"]


async def test_role_of_an_authorizer_needs_no_permission() -> None:
    api = SmallHttpApi(
        "$default",
        authorizer=lambda_authorizer(credentials_arn="arn:aws:iam::123456789012:role/r"),
        route=CUSTOM,
        permitted=False,
    )
    await api.send("GET /", headers={"Authorization": "x"})
    assert len(api.invoker.invocations) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"no json",
        {"isAuthorized": "true"},
        {"isAuthorized": True, "context": []},
        {},
    ],
)
async def test_simple_answer_of_another_form_is_500(answer: Any) -> None:
    api = SmallHttpApi(
        "$default",
        authorizer=lambda_authorizer(),
        authorizer_handler=lambda event: answer,
        route=CUSTOM,
    )
    assert (await api.send("GET /", headers={"Authorization": "x"})).status == 500


@pytest.mark.parametrize(
    "answer",
    [
        {"principalId": 1, "policyDocument": {}},
        {"principalId": "me"},
        {"principalId": "me", "policyDocument": {"Statement": []}},
        {"isAuthorized": True},
    ],
)
async def test_policy_answer_of_another_form_is_500(answer: Any) -> None:
    api = SmallHttpApi(
        "$default",
        authorizer=lambda_authorizer(enable_simple_responses=False),
        authorizer_handler=lambda event: answer,
        route=CUSTOM,
    )
    assert (await api.send("GET /", headers={"Authorization": "x"})).status == 500


@pytest.mark.parametrize(
    ("route", "authorizer"),
    [
        (CUSTOM, None),
        ({"authorization_type": "COGNITO"}, None),
        (CUSTOM, lambda_authorizer(authorizer_uri="nothing")),
        (CUSTOM, lambda_authorizer(identity_source=("$request.body.a..b",))),
    ],
)
async def test_authorizer_that_cannot_be_asked_lets_nobody_pass(
    route: dict[str, str], authorizer: Any
) -> None:
    api = SmallHttpApi("$default", route=route, authorizer=authorizer)
    assert (await api.send("GET /", headers={"Authorization": "x"})).status == 500
    assert api.program.problems


# Tokens.


async def test_verified_token_is_not_verified_again() -> None:
    api = SmallHttpApi("$default", authorizer=jwt_authorizer(), route={"authorization_type": "JWT"})
    api.tokens.claims = {"t": {"sub": "me"}}
    for _ in range(2):
        assert (await api.send("GET /", headers={"Authorization": "bearer t"})).status == 200
    assert api.tokens.asked == [("https://issuer.example", ("pets",))]


async def test_challenge_holds_nothing_that_splits_a_header() -> None:
    api = SmallHttpApi("$default", authorizer=jwt_authorizer(), route={"authorization_type": "JWT"})
    response = await api.send("GET /", headers={"Authorization": "a\r\nSet-Cookie: x=1"})
    challenge = dict(response.headers)["www-authenticate"]
    assert "\r" not in challenge
    assert "\n" not in challenge


def _with_issuer(**members: Any) -> tuple[SmallHttpApi, Issuer]:
    """An API whose tokens are verified by the keys that their issuer publishes."""
    made: list[Issuer] = []

    def verifier(clock: ManualClock) -> TokenVerifier:
        made.append(Issuer(clock))
        return TokenVerifier(clock=clock, fetch=made[0].fetch)

    api = SmallHttpApi(
        "$default",
        authorizer=jwt_authorizer(),
        route={"authorization_type": "JWT", **members},
        verifier=verifier,
    )
    return api, made[0]


async def test_token_of_the_issuer_passes_until_it_expires() -> None:
    api, issuer = _with_issuer()
    headers = {"Authorization": f"Bearer {issuer.token(client_id='pets')}"}
    statuses = [(await api.send("GET /", headers=headers)).status for _ in range(2)]
    await api.clock.advance(3601)
    late = await api.send("GET /", headers=headers)
    assert statuses == [200, 200]
    assert late.status == 401
    assert dict(late.headers)["www-authenticate"] == (
        'Bearer scope="" error="invalid_token" error_description="the token has expired"'
    )


@pytest.mark.parametrize(
    ("claims", "description"),
    [
        ({"aud": "dogs", "client_id": "pets"}, "the token does not have a valid audience"),
        ({"aud": "pets", "iss": "https://other.example"}, "the token does not have a valid issuer"),
    ],
)
async def test_token_that_does_not_hold_is_challenged(
    claims: dict[str, str], description: str
) -> None:
    api, issuer = _with_issuer()
    response = await api.send("GET /", headers={"Authorization": issuer.token(**claims)})
    assert response.status == 401
    assert dict(response.headers)["www-authenticate"] == (
        f'Bearer scope="" error="invalid_token" error_description="{description}"'
    )


async def test_remembered_token_is_held_against_the_scopes_of_each_route() -> None:
    api, issuer = _with_issuer(authorization_scopes=("write",))
    reads = {"Authorization": issuer.token(aud="pets", scope="read")}
    writes = {"Authorization": issuer.token(aud="pets", scope="read write")}
    statuses = [
        (await api.send("GET /", headers=each)).status for each in (reads, reads, writes, writes)
    ]
    assert statuses == [403, 403, 200, 200]


# IAM.


async def test_identity_policy_is_evaluated_where_the_signer_has_some() -> None:
    allowed = compile_policy(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": "execute-api:Invoke",
                "Resource": f"{ARN}/$default/GET/a",
            },
        }
    )
    api = SmallHttpApi("$default", route={"authorization_type": "AWS_IAM"})
    api.signers.signer = Signer(access_key="", policies=lambda: [allowed])
    statuses = [(await api.send(f"GET /{name}", headers=SIGNED)).status for name in "ab"]
    assert statuses == [200, 403]


async def test_unknown_signer_is_refused() -> None:
    api = SmallHttpApi("$default", route={"authorization_type": "AWS_IAM"})
    response = await api.send("GET /", headers=SIGNED)
    assert (response.status, response.body) == (403, b'{"message":"Forbidden"}')


async def test_signer_of_no_account_is_of_the_apis() -> None:
    api = SmallHttpApi("$default", route={"authorization_type": "AWS_IAM"})
    api.signers.signer = Signer(access_key="")
    await api.send("GET /", headers=SIGNED)
    assert api.event["requestContext"]["authorizer"]["iam"]["accountId"] == SCOPE.account_id
