"""The suite that every Provider passes: what it makes it can find, change and end, twice over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fakes_stack import SCOPE, FakeAws, FakeProvider, World, fake_context
from lamington.core.errors import AwsError, ResourceError
from lamington.stack.providers.base import Finder, Provider, ProviderRegistry
from lamington.stack.providers.delegated import delegated_providers

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def inline(name: str, action: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {"PolicyName": name, "PolicyDocument": {"Statement": [statement]}}


@dataclass
class Subject:
    """A provider with properties before and after an update, and all that exists of it."""

    provider: Provider
    before: dict[str, Any]
    after: dict[str, Any]
    left: Callable[[], list[str]]


def delegated(resource_type: str, aws: FakeAws) -> Provider:
    return ProviderRegistry(delegated_providers(aws))[resource_type]


def role() -> Subject:
    aws = FakeAws()
    return Subject(
        provider=delegated("AWS::IAM::Role", aws),
        before={
            "AssumeRolePolicyDocument": TRUST,
            "Policies": [inline("a", "s3:*"), inline("b", "sqs:*")],
            "ManagedPolicyArns": ["arn:aws:iam::aws:policy/One"],
            "Tags": [{"Key": "old", "Value": "1"}],
        },
        after={
            "AssumeRolePolicyDocument": {**TRUST, "Version": "2008-10-17"},
            "Description": "new",
            "Policies": [inline("b", "sns:*")],
            "ManagedPolicyArns": ["arn:aws:iam::aws:policy/Two"],
            "Tags": [{"Key": "new", "Value": "1"}],
        },
        left=lambda: list(aws.roles),
    )


def log_group() -> Subject:
    aws = FakeAws()
    return Subject(
        provider=delegated("AWS::Logs::LogGroup", aws),
        before={"RetentionInDays": 7, "Tags": [{"Key": "old", "Value": "1"}]},
        after={},
        left=lambda: list(aws.groups),
    )


def policy() -> Subject:
    aws = FakeAws(roles={"r": {"inline": {}, "attached": []}})
    return Subject(
        provider=delegated("AWS::IAM::Policy", aws),
        before={**inline("p", "s3:*"), "Roles": ["r"]},
        after={**inline("renamed", "s3:*"), "Roles": ["r"]},
        left=lambda: list(aws.roles["r"]["inline"]),
    )


def cdk_metadata() -> Subject:
    return Subject(
        provider=delegated("AWS::CDK::Metadata", FakeAws()),
        before={"Analytics": "a"},
        after={"Analytics": "b"},
        left=list,
    )


def fake() -> Subject:
    world = World()
    return Subject(
        provider=FakeProvider(world),
        before={"Size": 1},
        after={"Size": 2},
        left=lambda: list(world.resources),
    )


SUBJECTS = (role, log_group, policy, cdk_metadata, fake)


@pytest.fixture(params=SUBJECTS, ids=lambda make: make.__name__)
def subject(request: pytest.FixtureRequest) -> Subject:
    make: Callable[[], Subject] = request.param
    return make()


async def test_its_facts_hold_its_properties(subject: Subject) -> None:
    for properties in (subject.before, subject.after):
        assert subject.provider.facts.problems(properties) == []
    assert subject.provider.facts.create_only <= subject.provider.facts.properties | {
        "Nested.Fixed"
    }


async def test_it_gives_every_attribute_that_it_promises(subject: Subject) -> None:
    physical = await subject.provider.create(subject.before, fake_context())
    assert physical.physical_id
    assert physical.attributes.keys() >= subject.provider.facts.attributes


async def test_an_update_keeps_the_physical_id(subject: Subject) -> None:
    provider, context = subject.provider, fake_context()
    made = await provider.create(subject.before, context)
    changed = await provider.update(made.physical_id, subject.after, subject.before, context)
    assert changed.physical_id == made.physical_id
    back = await provider.update(made.physical_id, subject.before, subject.after, context)
    assert back == made


async def test_delete_leaves_nothing_and_may_be_said_twice(subject: Subject) -> None:
    provider, context = subject.provider, fake_context()
    made = await provider.create(subject.before, context)
    for _ in range(2):
        await provider.delete(made.physical_id, subject.before, context)
    assert subject.left() == []


async def test_what_a_create_left_is_found_by_the_same_context(subject: Subject) -> None:
    provider, context = subject.provider, fake_context()
    assert isinstance(provider, Finder)
    made = await provider.create(subject.before, context)
    assert await provider.find(subject.before, context) == made.physical_id


async def test_a_role_ends_as_it_is_described() -> None:
    aws = FakeAws()
    provider, context = delegated("AWS::IAM::Role", aws), fake_context(tags={"team": "cake"})
    given = role()
    made = await provider.create(given.before, context)
    await provider.update(made.physical_id, given.after, given.before, context)
    kept = aws.roles[made.physical_id]
    assert list(kept["inline"]) == ["b"]
    assert "sns:*" in kept["inline"]["b"]
    assert kept["attached"] == ["arn:aws:iam::aws:policy/Two"]
    assert kept["tags"] == {"team": "cake", "new": "1"}
    assert kept["description"] == "new"
    assert "2008" in kept["trust"]


async def test_a_create_that_fails_half_way_leaves_nothing() -> None:
    aws = FakeAws(failing="iam:AttachRolePolicy")
    with pytest.raises(AwsError):
        await delegated("AWS::IAM::Role", aws).create(role().before, fake_context())
    assert aws.roles == {}


async def test_a_role_of_this_name_that_was_there_before_is_not_ours() -> None:
    aws = FakeAws()
    provider = delegated("AWS::IAM::Role", aws)
    named = {**role().before, "RoleName": "mine"}
    await provider.create(named, fake_context())
    aws.roles["mine"]["CreateDate"] = aws.roles["mine"]["CreateDate"].replace(year=2020)
    assert isinstance(provider, Finder)
    assert await provider.find(named, fake_context()) is None


async def test_a_change_that_no_call_can_make_is_refused() -> None:
    aws = FakeAws()
    provider, context = delegated("AWS::Logs::LogGroup", aws), fake_context()
    made = await provider.create({}, context)
    with pytest.raises(ResourceError, match="KmsKeyId cannot be changed in place"):
        await provider.update(made.physical_id, {"KmsKeyId": "k"}, {}, context)


async def test_a_log_groups_arn_ends_in_a_star() -> None:
    made = await log_group().provider.create({"LogGroupName": "/aws/lambda/f"}, fake_context())
    assert made.reference == "/aws/lambda/f"
    assert made.attributes["Arn"] == SCOPE.arn("logs", "log-group:/aws/lambda/f:*")
