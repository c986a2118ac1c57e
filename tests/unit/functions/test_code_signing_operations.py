"""Code signing configurations, tags of everything, runtime management: kept and shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes_functions import ARN, SCOPE, LambdaWorld, lambda_world
from lamington.functions.entities import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lamington.functions.operations.configuration import unemulated

PUBLISHERS = {"SigningProfileVersionArns": ["arn:aws:signer:us-east-1:1:/signing-profiles/p/1"]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        yield made


async def _config(world: LambdaWorld) -> str:
    made = await world.call("CreateCodeSigningConfig", AllowedPublishers=PUBLISHERS)
    arn: str = made["CodeSigningConfig"]["CodeSigningConfigArn"]
    return arn


async def test_configuration_is_made_changed_and_deleted(world: LambdaWorld) -> None:
    arn = await _config(world)
    config_id = arn.rpartition(":")[2]
    assert len(config_id) == len("csc-") + 17
    changed = await world.call(
        "UpdateCodeSigningConfig",
        CodeSigningConfigArn=arn,
        Description="mine",
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )
    assert changed == {
        "CodeSigningConfig": {
            "CodeSigningConfigId": config_id,
            "CodeSigningConfigArn": arn,
            "AllowedPublishers": PUBLISHERS,
            "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Enforce"},
            "LastModified": "2026-01-01T00:00:00.000+0000",
            "Description": "mine",
        }
    }
    assert await world.call("GetCodeSigningConfig", CodeSigningConfigArn=arn) == changed
    await world.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn)
    assert await world.call("ListCodeSigningConfigs") == {"CodeSigningConfigs": []}


async def test_function_has_a_configuration_until_it_is_taken_off(world: LambdaWorld) -> None:
    arn = await _config(world)
    await world.create(CodeSigningConfigArn=arn)
    named = {"CodeSigningConfigArn": arn}
    shown = await world.call("GetFunctionCodeSigningConfig", FunctionName="f")
    assert shown == {**named, "FunctionName": "f"}
    listed = await world.call("ListFunctionsByCodeSigningConfig", **named)
    assert listed == {"FunctionArns": [f"{ARN}:f"]}
    with pytest.raises(ResourceConflictException, match="in use"):
        await world.call("DeleteCodeSigningConfig", **named)
    await world.call("DeleteFunctionCodeSigningConfig", FunctionName="f")
    assert await world.call("GetFunctionCodeSigningConfig", FunctionName="f") == {}
    put = await world.call("PutFunctionCodeSigningConfig", FunctionName="f", **named)
    assert put == {**named, "FunctionName": "f"}


async def test_unverified_signatures_are_announced(world: LambdaWorld) -> None:
    await world.create(CodeSigningConfigArn=await _config(world))
    [(_, version)] = world.registry.find(f"{ARN}:f")[0]
    assert unemulated(version, world.registry.functions.get(SCOPE, "f")) == [
        "`f` runs code whose signature is not checked (CodeSigningConfigArn)"
    ]


async def test_configurations_have_tags_of_their_own(world: LambdaWorld) -> None:
    arn = await _config(world)
    await world.call("TagResource", Resource=arn, Tags={"a": "1", "b": "2"})
    await world.call("UntagResource", Resource=arn, TagKeys=["a"])
    assert await world.call("ListTags", Resource=arn) == {"Tags": {"b": "2"}}


@pytest.mark.parametrize(
    "resource",
    [
        "code-signing-config:csc-00000000000000000",
        "event-source-mapping:00000000-0000-0000-0000-000000000000",
        "capacity-provider:c",
        "function:f",
    ],
)
async def test_what_is_not_there_has_no_tags(world: LambdaWorld, resource: str) -> None:
    with pytest.raises(ResourceNotFoundException):
        await world.call("ListTags", Resource=SCOPE.arn("lambda", resource))


@pytest.mark.parametrize(
    "tags",
    [
        {f"key{number}": "" for number in range(51)},
        {"k" * 129: ""},
        {"": ""},
        {"key": "v" * 257},
    ],
)
async def test_too_many_or_too_long_tags_are_refused(
    world: LambdaWorld, tags: dict[str, str]
) -> None:
    await world.create()
    with pytest.raises(InvalidParameterValueException):
        await world.call("TagResource", Resource=f"{ARN}:f", Tags=tags)


async def test_tags_change_the_revision(world: LambdaWorld) -> None:
    await world.create()
    before = await world.call("GetFunctionConfiguration", FunctionName="f")
    await world.call("TagResource", Resource=f"{ARN}:f", Tags={"a": "1"})
    after = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert before["RevisionId"] != after["RevisionId"]


async def test_runtimes_are_managed_per_version(world: LambdaWorld) -> None:
    await world.create(Publish=True)
    unset = await world.call("GetRuntimeManagementConfig", FunctionName="f")
    assert unset == {"UpdateRuntimeOn": "Auto", "FunctionArn": f"{ARN}:f:$LATEST"}
    manual = {
        "UpdateRuntimeOn": "Manual",
        "RuntimeVersionArn": "arn:aws:lambda:us-east-1::runtime:abc",
    }
    put = await world.call("PutRuntimeManagementConfig", FunctionName="f", Qualifier="1", **manual)
    assert put == {**manual, "FunctionArn": f"{ARN}:f:1"}
    assert await world.call("GetRuntimeManagementConfig", FunctionName="f:1") == put
    assert await world.call("GetRuntimeManagementConfig", FunctionName="f") == unset


@pytest.mark.parametrize(
    "params",
    [
        {"UpdateRuntimeOn": "Manual"},
        {"UpdateRuntimeOn": "Auto", "RuntimeVersionArn": "arn:aws:lambda:us-east-1::runtime:abc"},
    ],
)
async def test_manual_management_names_a_runtime_version(
    world: LambdaWorld, params: dict[str, str]
) -> None:
    await world.create()
    with pytest.raises(InvalidParameterValueException, match="RuntimeVersionArn"):
        await world.call("PutRuntimeManagementConfig", FunctionName="f", **params)
