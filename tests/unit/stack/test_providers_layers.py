"""Layers, their permissions and code signing configurations as resources."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import SCOPE, LambdaWorld, archive, lambda_world
from lamington.core.errors import AwsError
from lamington.stack.providers.base import Finder, Provider, ResourceContext
from lamington.stack.providers.function_layers import layer_providers

LAYER = "AWS::Lambda::LayerVersion"
PERMISSION = "AWS::Lambda::LayerVersionPermission"
SIGNING = "AWS::Lambda::CodeSigningConfig"
PUBLISHERS = {"SigningProfileVersionArns": ["arn:aws:signer:us-east-1:1:/signing-profiles/p/1"]}
CONTENT = {"S3Bucket": "artifacts", "S3Key": "layer.zip"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        made.objects["artifacts", "layer.zip"] = archive("x = 1")
        yield made


def _provider(world: LambdaWorld, resource_type: str) -> Provider:
    return {each.resource_type: each for each in layer_providers(world.caller)}[resource_type]


def _context(token: str = "token", **given: Any) -> ResourceContext:
    return ResourceContext(
        scope=SCOPE,
        stack_name="bakery",
        stack_id="arn:aws:cloudformation:us-east-1:111111111111:stack/bakery/1",
        logical_id="Tools",
        token=token,
        **given,
    )


async def test_layer_version_has_the_arn_of_its_number(world: LambdaWorld) -> None:
    desired = {"Content": CONTENT, "LayerName": "tools", "CompatibleRuntimes": ["python3.12"]}
    made = await _provider(world, LAYER).create(desired, _context())
    arn = "arn:aws:lambda:us-east-1:111111111111:layer:tools:1"
    assert (made.physical_id, made.reference) == (arn, arn)
    assert made.attributes == {"LayerVersionArn": arn}


async def test_layer_without_a_name_has_one_of_its_stack(world: LambdaWorld) -> None:
    made = await _provider(world, LAYER).create({"Content": CONTENT}, _context())
    assert ":layer:bakery-Tools-" in made.reference


async def test_layer_version_may_be_shared(world: LambdaWorld) -> None:
    layer = await _provider(world, LAYER).create({"Content": CONTENT}, _context())
    provider = _provider(world, PERMISSION)
    desired = {
        "LayerVersionArn": layer.reference,
        "Action": "lambda:GetLayerVersion",
        "Principal": "*",
    }
    made = await provider.create(desired, _context())
    named = {"LayerName": layer.reference.rpartition(":")[0], "VersionNumber": 1}
    policy = json.loads((await world.call("GetLayerVersionPolicy", **named))["Policy"])
    assert [each["Principal"] for each in policy["Statement"]] == ["*"]
    await provider.delete(made.physical_id, desired, _context())
    with pytest.raises(AwsError, match="No policy"):
        await world.call("GetLayerVersionPolicy", **named)


async def test_signing_configuration_follows_its_properties(world: LambdaWorld) -> None:
    provider = _provider(world, SIGNING)
    before = {"AllowedPublishers": PUBLISHERS, "Tags": [{"Key": "a", "Value": "1"}]}
    made = await provider.create(before, _context())
    after = {
        "AllowedPublishers": PUBLISHERS,
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Enforce"},
        "Tags": [{"Key": "b", "Value": "2"}],
    }
    changed = await provider.update(made.physical_id, after, before, _context("another"))
    assert changed == made
    shown = await world.call("GetCodeSigningConfig", CodeSigningConfigArn=made.reference)
    assert shown["CodeSigningConfig"]["CodeSigningPolicies"] == after["CodeSigningPolicies"]
    tags = (await world.call("ListTags", Resource=made.reference))["Tags"]
    assert {key for key in tags if not key.startswith("aws:")} == {"b"}


@pytest.mark.parametrize(
    ("resource_type", "desired"),
    [(LAYER, {"Content": CONTENT}), (SIGNING, {"AllowedPublishers": PUBLISHERS})],
)
async def test_what_a_create_left_is_found_and_deleted(
    world: LambdaWorld, resource_type: str, desired: dict[str, Any]
) -> None:
    provider, context = _provider(world, resource_type), _context(started=world.clock.now())
    assert isinstance(provider, Finder)
    assert await provider.find(desired, context) is None
    made = await provider.create(desired, context)
    assert await provider.find(desired, context) == made.physical_id
    for _ in range(2):
        await provider.delete(made.physical_id, desired, context)
    assert await provider.find(desired, context) is None


async def test_layer_that_was_there_before_is_not_this_stack_s(world: LambdaWorld) -> None:
    desired = {"Content": CONTENT, "LayerName": "tools"}
    await world.publish_layer("tools")
    await world.clock.advance(60)
    provider = _provider(world, LAYER)
    assert isinstance(provider, Finder)
    context = replace(_context(), started=world.clock.now())
    assert await provider.find(desired, context) is None
