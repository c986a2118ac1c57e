"""Whose a key is, and what its owner may do: the file of keys, sessions, roles and permissions."""

import json
from pathlib import Path
from typing import Any

import pytest

from lamington.core.aws import Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.errors import UsageError
from lamington.core.http import Headers, Request
from lamington.core.policies import compile_policy
from lamington.core.sigv4 import Signer
from lamington.core.store import Store
from lamington.wire.identity import IdentityOperations
from lamington.wire.managed_policies import managed_policy
from lamington.wire.permissions import decide, denial, required_permission
from lamington.wire.signers import KnownSigners, load_credentials

SCOPE = Scope(account_id="123456789012", region="eu-west-1")
ROLE = "arn:aws:iam::123456789012:role/reader"
FILE = """
[default]
aws_access_key_id = AKIAROOT
aws_secret_access_key = secret
[user]
aws_access_key_id = AKIAUSER
aws_secret_access_key = secret
user_arn = arn:aws:iam::123456789012:user/me
policy = me.json
[role]
aws_access_key_id = AKIAROLE
aws_secret_access_key = secret
aws_session_token = token
role_arn = arn:aws:iam::123456789012:role/reader
"""
POLICY = '{"Statement": {"Effect": "Allow", "Action": "lambda:List*", "Resource": "*"}}'


class World:
    def __init__(self, directory: Path, *, enforce: bool = True) -> None:
        self.identity = IdentityOperations(Store(directory / "state"), ManualClock(), Ids())
        (directory / "keys").write_text(FILE)
        (directory / "me.json").write_text(POLICY)
        self.signers = KnownSigners(
            self.identity,
            load_credentials(str(directory / "keys")),
            enforce=enforce,
            default_account_id="000000000000",
        )

    def require(self, key: str) -> Signer:
        found = self.signers.find(key, "")
        assert found is not None
        return found

    async def make_role(self, **policies: str) -> None:
        trust = {"RoleName": "reader", "AssumeRolePolicyDocument": POLICY}
        await self.identity.create_role(trust, SCOPE)
        for name, document in policies.items():
            await self.put(name, document)

    async def put(self, name: str, document: str) -> None:
        params = {"RoleName": "reader", "PolicyName": name, "PolicyDocument": document}
        await self.identity.put_role_policy(params, SCOPE)


def decision(signer: Signer, operation: str, **params: Any) -> str:
    request = Request(method="GET", path="/")
    return decide(signer, "lambda", operation, request, params, SCOPE)[0]


# Keys.


def test_key_without_an_arn_is_the_account(tmp_path: Path) -> None:
    signer = World(tmp_path).require("AKIAROOT")
    assert (signer.account_id, signer.arn, signer.policies) == ("000000000000", "", None)


def test_key_of_a_user_has_the_policy_of_its_file(tmp_path: Path) -> None:
    signer = World(tmp_path).require("AKIAUSER")
    assert signer.arn == "arn:aws:iam::123456789012:user/me"
    assert decision(signer, "ListFunctions") == "allow"
    assert decision(signer, "DeleteFunction", FunctionName="f") == "silent"


def test_no_policy_is_asked_when_trusting(tmp_path: Path) -> None:
    world = World(tmp_path, enforce=False)
    assert world.require("AKIAUSER").policies is None
    assert world.require("AKIAROLE").policies is None


def test_unknown_key_is_nobody_when_enforcing(tmp_path: Path) -> None:
    assert World(tmp_path).signers.find("nobody", "") is None


def test_believed_key_tells_its_account(tmp_path: Path) -> None:
    world = World(tmp_path, enforce=False)
    assert world.require("nobody") == Signer(access_key="nobody")
    assert world.require("210987654321").account_id == "210987654321"


async def test_key_of_a_role_has_the_policies_of_the_role(tmp_path: Path) -> None:
    world = World(tmp_path)
    signer = world.require("AKIAROLE")
    assert signer.session_token == "token"
    assert decision(signer, "ListFunctions") == "silent"
    await world.make_role(list=POLICY)
    assert decision(signer, "ListFunctions") == "allow"
    await world.put("deny", POLICY.replace("Allow", "Deny"))
    assert decision(signer, "ListFunctions") == "deny"


async def test_session_has_the_policies_of_its_role(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.make_role(list=POLICY)
    key, secret, token = world.identity.role_credentials(ROLE, SCOPE, "me")
    signer = world.require(key)
    assert (signer.secret, signer.session_token) == (secret, token)
    assert signer.arn == "arn:aws:sts::123456789012:assumed-role/reader/me"
    assert signer.names == {ROLE}
    assert decision(signer, "ListFunctions") == "allow"


async def test_managed_policies_count(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.make_role()
    signer = world.require("AKIAROLE")
    for name, allowed in (("AmazonUnheardOf", "silent"), ("AdministratorAccess", "allow")):
        params = {"RoleName": "reader", "PolicyArn": f"arn:aws:iam::aws:policy/{name}"}
        await world.identity.attach_role_policy(params, SCOPE)
        assert decision(signer, "ListFunctions") == allowed


async def test_assumed_session_expires(tmp_path: Path) -> None:
    world = World(tmp_path)
    params = {"RoleArn": ROLE, "RoleSessionName": "me", "DurationSeconds": 900}
    made = await world.identity.assume_role(params, SCOPE)
    signer = world.require(made["Credentials"]["AccessKeyId"])
    assert signer.expires == made["Credentials"]["Expiration"]


def test_every_managed_policy_compiles() -> None:
    for name in ("AdministratorAccess", "service-role/AWSLambdaBasicExecutionRole"):
        text = managed_policy(f"arn:aws:iam::aws:policy/{name}")
        assert compile_policy(json.loads(text)).statements


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no section", "cannot be read"),
        ("[a]\naws_access_key_id = x", "has no key"),
        ("[a]\naws_access_key_id=x\naws_secret_access_key=y\nuser_arn=me", "no user and no role"),
        ("[a]\naws_access_key_id=x\naws_secret_access_key=y\npolicy=none.json", "is no policy"),
    ],
)
def test_file_of_keys_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_credentials(str(tmp_path / "keys"))


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_credentials(str(tmp_path / "none"))
    assert load_credentials("") == {}


# Permissions.

LAMBDA = "arn:aws:lambda:eu-west-1:123456789012:"
LOGS = "arn:aws:logs:eu-west-1:123456789012:log-group:"


@pytest.mark.parametrize(
    ("operation", "params", "action", "resources"),
    [
        ("lambda:Invoke", {"FunctionName": "f"}, "lambda:InvokeFunction", [f"{LAMBDA}function:f"]),
        (
            "lambda:Invoke",
            {"FunctionName": "123456789012:function:f", "Qualifier": "live"},
            "lambda:InvokeFunction",
            [f"{LAMBDA}function:f:live"],
        ),
        (
            "lambda:GetFunction",
            {"FunctionName": f"{LAMBDA}function:f:1"},
            "lambda:GetFunction",
            [f"{LAMBDA}function:f:1"],
        ),
        ("lambda:ListFunctions", {}, "lambda:ListFunctions", ["*"]),
        (
            "lambda:GetLayerVersion",
            {"LayerName": "l", "VersionNumber": 2},
            "lambda:GetLayerVersion",
            [f"{LAMBDA}layer:l:2"],
        ),
        (
            "lambda:GetEventSourceMapping",
            {"UUID": "u"},
            "lambda:GetEventSourceMapping",
            [f"{LAMBDA}event-source-mapping:u"],
        ),
        (
            "logs:PutLogEvents",
            {"logGroupName": "/a", "logStreamName": "s"},
            "logs:PutLogEvents",
            [f"{LOGS}/a:log-stream:s"],
        ),
        (
            "logs:CreateLogGroup",
            {"logGroupName": "/a"},
            "logs:CreateLogGroup",
            [f"{LOGS}/a", f"{LOGS}/a:*"],
        ),
        (
            "cloudformation:CreateStack",
            {"StackName": "s"},
            "cloudformation:CreateStack",
            ["arn:aws:cloudformation:eu-west-1:123456789012:stack/s/*"],
        ),
        ("iam:GetRole", {"RoleName": "reader"}, "iam:GetRole", [ROLE]),
        ("sts:AssumeRole", {"RoleArn": ROLE}, "sts:AssumeRole", [ROLE]),
        ("monitoring:PutMetricData", {}, "cloudwatch:PutMetricData", ["*"]),
        (
            "apigateway:GetRestApis",
            {},
            "apigateway:PATCH",
            ["arn:aws:apigateway:eu-west-1::/restapis"],
        ),
        (
            "apigatewayv2:GetApis",
            {},
            "apigateway:PATCH",
            ["arn:aws:apigateway:eu-west-1::/restapis"],
        ),
    ],
)
def test_required_permission(
    operation: str, params: dict[str, Any], action: str, resources: list[str]
) -> None:
    service, _, name = operation.partition(":")
    request = Request(method="PATCH", path="/restapis", headers=Headers())
    found = required_permission(service, name, request, params, SCOPE)
    assert found == (action, tuple(resources))


def test_denial_tells_why() -> None:
    assert denial("me", "lambda:X", "arn:f", "silent") == (
        "User: me is not authorized to perform: lambda:X on resource: arn:f because no"
        " identity-based policy allows the lambda:X action"
    )
    assert denial("me", "lambda:X", "*", "deny") == (
        "User: me is not authorized to perform: lambda:X with an explicit deny in an"
        " identity-based policy"
    )
