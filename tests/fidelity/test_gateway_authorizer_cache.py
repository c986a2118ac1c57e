"""The rows of what authorizers are asked, and of what is kept of their answers."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from authorization_world import AuthorizedGateway
from fakes_gateway import HandlerFailed

CASES = [
    pytest.param(case, id=case["id"])
    for case in tomllib.loads(
        (Path(__file__).parent / "gateway_authorizer_cache.toml").read_text()
    )["case"]
]
SIGNATURE = (
    "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/execute-api/aws4_request,"
    " SignedHeaders=host;x-amz-date, Signature=00"
)


def _answer(given: dict[str, Any]) -> dict[str, Any]:
    if "fails" in given:
        raise HandlerFailed({"errorMessage": given["fails"], "errorType": "Error"})
    statement = {
        "Action": given.get("action", "execute-api:Invoke"),
        "Effect": given.get("effect", "Allow"),
        "Resource": given.get("resource", "*"),
    }
    if "condition" in given:
        statement["Condition"] = given["condition"]
    answer = {
        "principalId": "me",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }
    if "usage_key" in given:
        answer["usageIdentifierKey"] = given["usage_key"]
    return answer


async def _statuses(gateway: AuthorizedGateway, requests: list[str | int]) -> list[int]:
    statuses = []
    for request in requests:
        if isinstance(request, int):
            await gateway.clock.advance(request)
            continue
        token, _, target = request.partition(" ")
        headers = {"Authorization": token}
        if token == "signed":
            headers = {"Authorization": SIGNATURE, "X-Amz-Date": "20260101T000000Z"}
        statuses.append((await gateway.send(f"GET {target}", headers)).status)
    return statuses


@pytest.mark.parametrize("case", CASES)
async def test_authorizer_is_asked_as_on_aws(case: dict[str, Any]) -> None:
    given, expect = case["given"], case["expect"]
    gateway = AuthorizedGateway(
        authorization=given.get("authorization", "CUSTOM"),
        kind=given.get("kind", "TOKEN"),
        definition=given.get("definition"),
        answer=lambda event: _answer(given),
        paths=("/pets", "/cats"),
    )
    assert await _statuses(gateway, given["requests"]) == expect["statuses"]
    assert len(gateway.calls) == expect["calls"]
    for name in expect.get("unseen", ()):
        assert name not in gateway.event["headers"]
