"""Roles, policies and callers, as IAM and STS tell of them."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from lamington.core.aws import Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.errors import AwsError
from lamington.core.store import Store
from lamington.wire.dispatch import Dispatcher
from lamington.wire.identity import IdentityOperations
from lamington.wire.services import account_of

SCOPE = Scope(account_id="111122223333", region="eu-west-1")
DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]})
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


class Iam:
    """Calls operations by name in one scope."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory)
        self.clock = ManualClock()
        operations = IdentityOperations(self.store, self.clock, Ids()).operations()
        self.dispatcher = Dispatcher(operations, Ids())

    async def call(self, operation: str, scope: Scope = SCOPE, **params: Any) -> dict[str, Any]:
        return await self.dispatcher.call(operation, params, scope)

    async def role(self, name: str = "baker", **params: Any) -> dict[str, Any]:
        created = await self.call(
            "iam:CreateRole", RoleName=name, AssumeRolePolicyDocument=DOCUMENT, **params
        )
        role: dict[str, Any] = created["Role"]
        return role


@pytest.fixture
def iam(tmp_path: Path) -> Iam:
    return Iam(tmp_path)


async def refused(iam: Iam, operation: str, **params: Any) -> tuple[str, str]:
    with pytest.raises(AwsError) as error:
        await iam.call(operation, **params)
    return error.value.code, error.value.message


async def test_the_caller_is_the_account_of_the_scope(iam: Iam) -> None:
    assert await iam.call("sts:GetCallerIdentity") == {
        "UserId": "111122223333",
        "Account": "111122223333",
        "Arn": "arn:aws:iam::111122223333:root",
    }


async def test_a_role_is_shown_as_it_was_made(iam: Iam) -> None:
    role = await iam.role(Path="/cakes/", Description="d", Tags=[{"Key": "a", "Value": "b"}])
    assert re.fullmatch("AROA[A-Z0-9]{17}", role.pop("RoleId"))
    assert unquote(role.pop("AssumeRolePolicyDocument")) == DOCUMENT
    assert role == {
        "Path": "/cakes/",
        "RoleName": "baker",
        "Arn": "arn:aws:iam::111122223333:role/cakes/baker",
        "CreateDate": iam.clock.now(),
        "MaxSessionDuration": 3600,
        "Description": "d",
        "Tags": [{"Key": "a", "Value": "b"}],
    }


async def test_a_role_is_in_every_region_of_its_account_and_in_no_other_account(iam: Iam) -> None:
    await iam.role()
    other_region = Scope(account_id=SCOPE.account_id, region="us-east-1")
    assert (await iam.call("iam:GetRole", other_region, RoleName="baker"))["Role"]
    with pytest.raises(AwsError, match="cannot be found"):
        await iam.call("iam:GetRole", Scope(region=SCOPE.region), RoleName="baker")


async def test_a_role_outlives_the_engine(tmp_path: Path) -> None:
    first = Iam(tmp_path)
    made = await first.role()
    first.store.close()
    assert (await Iam(tmp_path).call("iam:GetRole", RoleName="baker"))["Role"] == made


async def test_a_name_is_taken_once(iam: Iam) -> None:
    await iam.role()
    assert await refused(
        iam, "iam:CreateRole", RoleName="baker", AssumeRolePolicyDocument=DOCUMENT
    ) == ("EntityAlreadyExists", "Role with name baker already exists.")


async def test_what_is_not_there_is_told_by_name(iam: Iam) -> None:
    await iam.role()
    arn = "arn:aws:iam::111122223333:policy/p"
    assert await refused(iam, "iam:GetRole", RoleName="x") == (
        "NoSuchEntity",
        "The role with name x cannot be found.",
    )
    assert await refused(iam, "iam:GetRolePolicy", RoleName="baker", PolicyName="p") == (
        "NoSuchEntity",
        "The role policy with name p cannot be found.",
    )
    assert await refused(iam, "iam:AttachRolePolicy", RoleName="baker", PolicyArn=arn) == (
        "NoSuchEntity",
        f"Policy {arn} does not exist or is not attachable.",
    )
    assert await refused(iam, "iam:DetachRolePolicy", RoleName="baker", PolicyArn=arn) == (
        "NoSuchEntity",
        f"Policy {arn} was not found.",
    )


async def test_a_role_with_policies_is_not_deleted(iam: Iam) -> None:
    await iam.role()
    await iam.call("iam:AttachRolePolicy", RoleName="baker", PolicyArn=BASIC)
    assert await refused(iam, "iam:DeleteRole", RoleName="baker") == (
        "DeleteConflict",
        "Cannot delete entity, must detach all policies first.",
    )
    await iam.call("iam:DetachRolePolicy", RoleName="baker", PolicyArn=BASIC)
    await iam.call("iam:PutRolePolicy", RoleName="baker", PolicyName="p", PolicyDocument=DOCUMENT)
    assert await refused(iam, "iam:DeleteRole", RoleName="baker") == (
        "DeleteConflict",
        "Cannot delete entity, must delete policies first.",
    )
    await iam.call("iam:DeleteRolePolicy", RoleName="baker", PolicyName="p")
    await iam.call("iam:DeleteRole", RoleName="baker")
    assert (await iam.call("iam:ListRoles"))["Roles"] == []


async def test_inline_policies_are_kept_as_given(iam: Iam) -> None:
    await iam.role()
    await iam.call("iam:PutRolePolicy", RoleName="baker", PolicyName="p", PolicyDocument=DOCUMENT)
    shown = await iam.call("iam:GetRolePolicy", RoleName="baker", PolicyName="p")
    assert unquote(shown["PolicyDocument"]) == DOCUMENT
    assert (await iam.call("iam:ListRolePolicies", RoleName="baker"))["PolicyNames"] == ["p"]


async def test_attaching_twice_is_attaching_once(iam: Iam) -> None:
    await iam.role()
    for _ in range(2):
        await iam.call("iam:AttachRolePolicy", RoleName="baker", PolicyArn=BASIC)
    assert (await iam.call("iam:ListAttachedRolePolicies", RoleName="baker"))[
        "AttachedPolicies"
    ] == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}]


@pytest.mark.parametrize("document", ["{", "[]", '{"Version": "2012-10-17"}'])
async def test_a_text_that_is_no_policy_is_refused(iam: Iam, document: str) -> None:
    code, _ = await refused(iam, "iam:CreateRole", RoleName="r", AssumeRolePolicyDocument=document)
    assert code == "MalformedPolicyDocument"


async def test_updates_change_what_they_name_and_nothing_else(iam: Iam) -> None:
    before = await iam.role(Description="d")
    await iam.call("iam:UpdateRole", RoleName="baker", MaxSessionDuration=7200)
    await iam.call("iam:TagRole", RoleName="baker", Tags=[{"Key": "a", "Value": "b"}])
    after = (await iam.call("iam:GetRole", RoleName="baker"))["Role"]
    assert after == before | {"MaxSessionDuration": 7200, "Tags": [{"Key": "a", "Value": "b"}]}
    await iam.call("iam:UntagRole", RoleName="baker", TagKeys=["a"])
    assert (await iam.call("iam:ListRoleTags", RoleName="baker"))["Tags"] == []


async def test_lists_come_in_pages(iam: Iam) -> None:
    for number in range(5):
        await iam.role(f"r{number}")
    names: list[str] = []
    params: dict[str, Any] = {"MaxItems": 2}
    while True:
        page = await iam.call("iam:ListRoles", **params)
        names += [role["RoleName"] for role in page["Roles"]]
        if not page["IsTruncated"]:
            break
        params["Marker"] = page["Marker"]
    assert names == ["r0", "r1", "r2", "r3", "r4"]


async def test_a_managed_policy_counts_those_it_is_attached_to(iam: Iam) -> None:
    await iam.role()
    made = (await iam.call("iam:CreatePolicy", PolicyName="p", PolicyDocument=DOCUMENT))["Policy"]
    arn = made["Arn"]
    assert arn == "arn:aws:iam::111122223333:policy/p"
    await iam.call("iam:AttachRolePolicy", RoleName="baker", PolicyArn=arn)
    assert (await iam.call("iam:GetPolicy", PolicyArn=arn))["Policy"]["AttachmentCount"] == 1
    assert await refused(iam, "iam:DeletePolicy", PolicyArn=arn) == (
        "DeleteConflict",
        "Cannot delete a policy attached to entities.",
    )
    await iam.call("iam:DetachRolePolicy", RoleName="baker", PolicyArn=arn)
    await iam.call("iam:DeletePolicy", PolicyArn=arn)
    assert (await iam.call("iam:ListPolicies"))["Policies"] == []


async def test_policies_of_aws_exist_by_their_arn(iam: Iam) -> None:
    policy = (await iam.call("iam:GetPolicy", PolicyArn=BASIC))["Policy"]
    assert policy["PolicyName"] == "AWSLambdaBasicExecutionRole"
    assert policy["Path"] == "/service-role/"


async def test_credentials_of_a_role_mean_its_account(iam: Iam) -> None:
    role = await iam.role()
    answer = await iam.call(
        "sts:AssumeRole", RoleArn=role["Arn"], RoleSessionName="s", DurationSeconds=900
    )
    credentials = answer["Credentials"]
    assert re.fullmatch("ASIA[A-Z0-9]{16}", credentials["AccessKeyId"])
    assert account_of(credentials["AccessKeyId"]) == "111122223333"
    assert (credentials["Expiration"] - iam.clock.now()).total_seconds() == 900
    assert answer["AssumedRoleUser"] == {
        "AssumedRoleId": f"{role['RoleId']}:s",
        "Arn": "arn:aws:sts::111122223333:assumed-role/baker/s",
    }


@pytest.mark.parametrize(
    "arn", ["baker", "arn:aws:iam::1:role/r", "arn:aws:iam::" + "1" * 12 + ":x"]
)
async def test_only_a_role_s_arn_can_be_assumed(iam: Iam, arn: str) -> None:
    assert await refused(iam, "sts:AssumeRole", RoleArn=arn, RoleSessionName="s") == (
        "ValidationError",
        f"{arn} is invalid",
    )
