"""The rows of authorization: who may call, and what the others get."""

import json
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from authorization_world import AuthorizedGateway, FakeSigners, allowing
from fakes_gateway import HandlerFailed, header
from lamington.core.clock import ManualClock
from lamington.core.http import Headers, Request, Response
from lamington.core.policies import compile_policy
from lamington.core.sigv4 import Signer

CASES = [
    pytest.param(case, id=case["id"])
    for case in tomllib.loads((Path(__file__).parent / "gateway_authorization.toml").read_text())[
        "case"
    ]
]
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = ManualClock().now()


def _statement(effect: str) -> dict[str, Any]:
    return {"Effect": effect, "Action": "execute-api:Invoke", "Resource": "*"}


SILENT = compile_policy({"Statement": [{**_statement("Allow"), "Action": "s3:*"}]})
DENYING = compile_policy({"Statement": [_statement("Allow"), _statement("Deny")]})
ALLOWING = compile_policy({"Statement": [_statement("Allow")]})


def _signer(key: str, user: str, account_id: str = "123456789012", **members: Any) -> Signer:
    return Signer(
        access_key=key,
        secret=SECRET,
        account_id=account_id,
        arn=f"arn:aws:iam::{account_id}:user/{user}",
        user_id=f"AIDA{user.upper()}",
        **members,
    )


SIGNERS = (
    _signer("AKIAKNOWN", "me", policies=lambda: [ALLOWING]),
    _signer("AKIASILENT", "silent", policies=lambda: [SILENT]),
    _signer("AKIADENIED", "denied", policies=lambda: [DENYING]),
    _signer("AKIAFOREIGN", "far", "210987654321", policies=lambda: [ALLOWING]),
    _signer("AKIAFOREIGNSILENT", "far", "210987654321", policies=lambda: [SILENT]),
    _signer("ASIAEXPIRED", "late", expires=NOW),
)


def _gateway(given: dict[str, Any]) -> AuthorizedGateway:
    def answer(event: Any) -> Any:
        if "fails" in given:
            raise HandlerFailed(given["fails"])
        if "returns" in given:
            return given["returns"].encode()
        resource = "x" * given["long_resource"] if "long_resource" in given else "*"
        return allowing(
            given.get("resource", resource),
            given.get("effect", "Allow"),
            context=given.get("context", {}),
        )

    known = {each.access_key: each for each in SIGNERS}
    route = given.get("route", given.get("request", "GET /pets").partition(" ")[2])
    return AuthorizedGateway(
        authorization=given.get("authorization", "CUSTOM"),
        kind=given.get("kind", "TOKEN"),
        definition=given.get("definition"),
        answer=answer,
        policy=json.dumps({"Version": "2012-10-17", "Statement": given["policy"]})
        if "policy" in given
        else "",
        paths=(route.partition("?")[0],),
        permitted=given.get("permitted", True),
        variables=given.get("variables"),
        signers=FakeSigners(known, believes=given.get("believes", True)),
    )


def _signed_request(signed: Mapping[str, Any]) -> Request:
    """A request that botocore signs."""
    credentials = Credentials(signed.get("key", "AKIAKNOWN"), signed.get("secret", SECRET))
    service = signed.get("service", "execute-api")
    made = AWSRequest("GET", "http://localhost:3000/dev/pets")
    age = timedelta(seconds=signed.get("age_s", 0))
    when = (NOW - age).strftime("%Y%m%dT%H%M%SZ")
    if signed.get("presigned"):
        _sign(SigV4QueryAuth(credentials, service, "eu-west-1", expires=60), made, when)
    else:
        _sign(SigV4Auth(credentials, service, "eu-west-1"), made, when)
    path, _, query = str(made.url).removeprefix("http://localhost:3000").partition("?")
    fields = [("Host", "localhost:3000"), *((str(k), str(v)) for k, v in made.headers.items())]
    return Request(method="GET", path=path, query=query, headers=Headers(fields))


def _sign(signer: Any, made: AWSRequest, when: str) -> None:
    """Sign as botocore's signer does, at a time of ours."""
    made.context["timestamp"] = when
    signer._modify_request_before_signing(made)
    text = signer.string_to_sign(made, signer.canonical_request(made))
    signer._inject_signature_to_request(made, signer.signature(text, made))


async def _send(gateway: AuthorizedGateway, given: dict[str, Any]) -> Response:
    if "signed" in given:
        return await gateway.send_request(_signed_request(given["signed"]))
    target = given.get("request", "GET /pets")
    if "long_path" in given:
        target = "GET /" + "x" * given["long_path"]
    headers = given.get("headers", {"Authorization": given.get("token", "letmein")})
    return await gateway.send(target, headers)


@pytest.mark.parametrize("case", CASES)
async def test_authorization(case: dict[str, Any]) -> None:
    gateway = _gateway(case["given"])
    response = await _send(gateway, case["given"])
    expect = case["expect"]
    assert response.status == expect["status"], response.body
    for name, value in expect.get("headers", {}).items():
        assert header(response, name) == value
    if "body" in expect:
        assert response.body.decode() == expect["body"]
    if "message_starts" in expect:
        assert json.loads(response.body)["message"].startswith(expect["message_starts"])
    for name, value in expect.get("json", {}).items():
        assert json.loads(response.body)[name] == value
    if "calls" in expect:
        assert len(gateway.calls) == expect["calls"]
    for name, value in expect.get("input", {}).items():
        assert gateway.calls[0][name] == value
    if "input_members" in expect:
        assert list(gateway.calls[0]) == expect["input_members"]
    if "authorizer" in expect:
        assert gateway.event["requestContext"]["authorizer"] == expect["authorizer"]
    for name, value in expect.get("identity", {}).items():
        assert gateway.event["requestContext"]["identity"][name] == value
