"""The Lambda API of resource policies, and whom they permit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import ARN, SCOPE, LambdaWorld, lambda_world
from lamington.functions.entities import (
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceNotFoundException,
)
from lamington.functions.operations.policies import arn_matches

SOURCE = "arn:aws:execute-api:us-east-1:111111111111:a1b2c3/prod/GET/pets"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        yield made


async def _permit(world: LambdaWorld, **params: Any) -> dict[str, Any]:
    defaults = {
        "FunctionName": "f",
        "StatementId": "s",
        "Action": "lambda:InvokeFunction",
        "Principal": "apigateway.amazonaws.com",
    }
    added = await world.call("AddPermission", **(defaults | params))
    statement: dict[str, Any] = json.loads(added["Statement"])
    return statement


async def test_statement_is_aws_own(world: LambdaWorld) -> None:
    await world.create()
    statement = await _permit(
        world, Principal="s3.amazonaws.com", SourceArn="arn:aws:s3:::b", SourceAccount="1" * 12
    )
    assert statement == {
        "Sid": "s",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": f"{ARN}:f",
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": "111111111111"},
            "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"},
        },
    }
    shown = await world.call("GetPolicy", FunctionName="f")
    assert json.loads(shown["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": [statement],
    }
    assert " " not in shown["Policy"]


async def test_account_and_everyone_are_principals(world: LambdaWorld) -> None:
    await world.create()
    account = await _permit(world, Principal="222222222222")
    assert account["Principal"] == {"AWS": "arn:aws:iam::222222222222:root"}
    everyone = await _permit(
        world,
        StatementId="t",
        Principal="*",
        FunctionUrlAuthType="NONE",
        PrincipalOrgID="o-0123456789",
    )
    assert everyone["Principal"] == "*"
    assert everyone["Condition"]["StringEquals"] == {
        "lambda:FunctionUrlAuthType": "NONE",
        "aws:PrincipalOrgID": "o-0123456789",
    }


async def test_each_qualifier_has_its_own_policy(world: LambdaWorld) -> None:
    await world.create(Publish=True)
    statement = await _permit(world, Qualifier="1")
    assert statement["Resource"] == f"{ARN}:f:1"
    with pytest.raises(ResourceNotFoundException):
        await world.call("GetPolicy", FunctionName="f")


async def test_last_statement_takes_the_policy_along(world: LambdaWorld) -> None:
    await world.create()
    await _permit(world)
    await world.call("RemovePermission", FunctionName="f", StatementId="s")
    with pytest.raises(
        ResourceNotFoundException, match=r"^The resource you requested does not exi"
    ):
        await world.call("GetPolicy", FunctionName="f")


async def test_policy_means_one_revision(world: LambdaWorld) -> None:
    await world.create()
    await _permit(world)
    with pytest.raises(PreconditionFailedException, match="Call the GetPolicy API"):
        await _permit(world, StatementId="t", RevisionId="other")


async def test_policy_has_a_longest_length(world: LambdaWorld) -> None:
    await world.create()
    source = "arn:aws:s3:::" + "b" * 9000
    await _permit(world, StatementId="a", SourceArn=source)
    await _permit(world, StatementId="b", SourceArn=source)
    with pytest.raises(PolicyLengthExceededException, match=r"^The final policy size"):
        await _permit(world, StatementId="c", SourceArn=source)


@pytest.mark.parametrize(
    ("statement", "permitted"),
    [
        ({}, True),
        ({"SourceArn": SOURCE}, True),
        ({"SourceArn": "arn:aws:execute-api:us-east-1:111111111111:a1b2c3/*/*/pets"}, True),
        ({"SourceArn": "arn:aws:execute-api:*:*:a1b2c3/*"}, True),
        ({"SourceArn": "arn:aws:execute-api:us-east-1:111111111111:other/*"}, False),
        ({"SourceAccount": "111111111111"}, True),
        ({"SourceAccount": "222222222222"}, False),
        ({"Principal": "s3.amazonaws.com"}, False),
        ({"Principal": "*"}, True),
        ({"Action": "lambda:*"}, True),
        ({"Action": "*"}, True),
        ({"Action": "lambda:GetFunction"}, False),
        ({"EventSourceToken": "token"}, False),
    ],
)
async def test_gateway_is_permitted_by(
    world: LambdaWorld, statement: dict[str, str], permitted: bool
) -> None:
    await world.create()
    await _permit(world, **statement)
    assert world.registry.permits(f"{ARN}:f", SOURCE, SCOPE) is permitted


async def test_policy_of_the_function_says_nothing_of_its_alias(world: LambdaWorld) -> None:
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="prod", FunctionVersion="1")
    await _permit(world)
    assert not world.registry.permits(f"{ARN}:f:prod", SOURCE, SCOPE)
    await _permit(world, Qualifier="prod")
    assert world.registry.permits(f"{ARN}:f:prod", SOURCE, SCOPE)


async def test_policy_version_counts_changes(world: LambdaWorld) -> None:
    await world.create()
    before = world.registry.policy_version
    await _permit(world)
    await world.call("RemovePermission", FunctionName="f", StatementId="s")
    assert world.registry.policy_version == before + 2


def test_arn_wildcards_stay_within_a_part() -> None:
    assert arn_matches("arn:aws:s3:::b*", "arn:aws:s3:::bucket/key")
    assert not arn_matches("arn:aws:*:bucket", "arn:aws:s3:::bucket")
    assert not arn_matches("arn:aws:s?:::bucket", "arn:aws:sns:::bucket")
