"""The Lambda API of layers, and layers as functions have them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import SCOPE, LambdaWorld, archive, fetched, lambda_world
from lamington.core.aws import Scope
from lamington.functions.entities import (
    AccessDeniedException,
    FunctionVersion,
    InvalidParameterValueException,
    ResourceNotFoundException,
)
from lamington.functions.packages import Packages

LAYER = "arn:aws:lambda:us-east-1:111111111111:layer"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        yield made


def _version(world: LambdaWorld, qualifier: str = "") -> FunctionVersion:
    arn = SCOPE.arn("lambda", f"function:f{qualifier}")
    return world.registry.find(arn)[0][0][1]


def _opt(world: LambdaWorld, name: str = "app.py") -> bytes:
    """A file of what the function has as `/opt`."""
    root = Packages(world.store).layers_root(_version(world).layers)
    assert root is not None
    return (root / name).read_bytes()


async def test_published_layer_is_shown_as_given(world: LambdaWorld) -> None:
    code = archive("x = 1")
    published = await world.publish_layer(
        Content={"ZipFile": code},
        Description="mine",
        CompatibleRuntimes=["python3.12"],
        CompatibleArchitectures=["x86_64"],
        LicenseInfo="MIT",
    )
    content = published.pop("Content")
    assert published == {
        "LayerArn": f"{LAYER}:l",
        "LayerVersionArn": f"{LAYER}:l:1",
        "Description": "mine",
        "CreatedDate": "2026-01-01T00:00:00.000+0000",
        "Version": 1,
        "CompatibleRuntimes": ["python3.12"],
        "CompatibleArchitectures": ["x86_64"],
        "LicenseInfo": "MIT",
    }
    assert (content["CodeSize"], fetched(content["Location"])) == (len(code), code)
    by_arn = await world.call("GetLayerVersionByArn", Arn=f"{LAYER}:l:1")
    by_number = await world.call("GetLayerVersion", LayerName="l", VersionNumber=1)
    assert by_arn == by_number == {**published, "Content": content}


async def test_layer_shows_nothing_that_was_not_given(world: LambdaWorld) -> None:
    published = await world.publish_layer()
    assert not {"CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"} & set(published)


async def test_layer_comes_from_a_bucket(world: LambdaWorld) -> None:
    world.objects["artifacts", "l.zip"] = code = archive("x = 2")
    published = await world.publish_layer(Content={"S3Bucket": "artifacts", "S3Key": "l.zip"})
    assert published["Content"]["CodeSize"] == len(code)


async def test_numbers_of_layers_are_not_used_twice(world: LambdaWorld) -> None:
    await world.publish_layer()
    await world.call("DeleteLayerVersion", LayerName="l", VersionNumber=1)
    assert (await world.publish_layer())["Version"] == 2


async def test_versions_are_listed_newest_first_by_pages(world: LambdaWorld) -> None:
    for _ in range(12):
        await world.publish_layer()
    first = await world.call("ListLayerVersions", LayerName="l", MaxItems=10)
    assert [each["Version"] for each in first["LayerVersions"]] == list(range(12, 2, -1))
    second = await world.call("ListLayerVersions", LayerName="l", Marker=first["NextMarker"])
    assert [each["Version"] for each in second["LayerVersions"]] == [2, 1]
    assert "NextMarker" not in second


async def test_layers_are_listed_with_the_newest_version_that_fits(world: LambdaWorld) -> None:
    await world.publish_layer("a", CompatibleRuntimes=["python3.12"])
    await world.publish_layer("a", CompatibleRuntimes=["python3.13"])
    await world.publish_layer("b")
    every = await world.call("ListLayers")
    assert [
        (each["LayerName"], each["LatestMatchingVersion"]["Version"]) for each in every["Layers"]
    ] == [("a", 2), ("b", 1)]
    [fitting] = (await world.call("ListLayers", CompatibleRuntime="python3.12"))["Layers"]
    assert fitting["LatestMatchingVersion"]["Version"] == 1
    page = await world.call("ListLayers", MaxItems=1)
    [last] = (await world.call("ListLayers", Marker=page["NextMarker"]))["Layers"]
    assert last["LayerName"] == "b"


async def test_unknown_layer_has_no_versions(world: LambdaWorld) -> None:
    assert await world.call("ListLayerVersions", LayerName="l") == {"LayerVersions": []}


async def test_policy_of_a_layer_comes_and_goes(world: LambdaWorld) -> None:
    await world.publish_layer()
    named = {"LayerName": "l", "VersionNumber": 1}
    added = await world.call(
        "AddLayerVersionPermission",
        **named,
        StatementId="s",
        Action="lambda:GetLayerVersion",
        Principal="222222222222",
    )
    statement = {
        "Sid": "s",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
        "Action": "lambda:GetLayerVersion",
        "Resource": f"{LAYER}:l:1",
    }
    assert json.loads(added["Statement"]) == statement
    shown = await world.call("GetLayerVersionPolicy", **named)
    assert json.loads(shown["Policy"])["Statement"] == [statement]
    assert shown["RevisionId"] == added["RevisionId"]
    await world.call("RemoveLayerVersionPermission", **named, StatementId="s")
    with pytest.raises(ResourceNotFoundException, match=r"^No policy is associated"):
        await world.call("GetLayerVersionPolicy", **named)


async def test_function_shows_its_layers_in_order(world: LambdaWorld) -> None:
    sizes = [
        (await world.publish_layer(name, Content={"ZipFile": archive(name)}))["Content"]["CodeSize"]
        for name in ("a", "b")
    ]
    created = await world.create(Layers=[f"{LAYER}:b:1", f"{LAYER}:a:1"])
    assert created["Layers"] == [
        {"Arn": f"{LAYER}:b:1", "CodeSize": sizes[1]},
        {"Arn": f"{LAYER}:a:1", "CodeSize": sizes[0]},
    ]
    assert _opt(world) == b"a"
    shown = await world.call(
        "UpdateFunctionConfiguration", FunctionName="f", Layers=[f"{LAYER}:a:1", f"{LAYER}:b:1"]
    )
    assert [each["Arn"] for each in shown["Layers"]] == [f"{LAYER}:a:1", f"{LAYER}:b:1"]
    assert _opt(world) == b"b"


async def test_empty_list_takes_layers_off_and_absence_leaves_them(world: LambdaWorld) -> None:
    await world.publish_layer()
    await world.create(Layers=[f"{LAYER}:l:1"])
    kept = await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    assert len(kept["Layers"]) == 1
    cleared = await world.call("UpdateFunctionConfiguration", FunctionName="f", Layers=[])
    assert "Layers" not in cleared


async def test_deleted_layer_stays_with_the_functions_that_have_it(world: LambdaWorld) -> None:
    await world.publish_layer(Content={"ZipFile": archive("kept")})
    await world.create(Layers=[f"{LAYER}:l:1"])
    await world.call("DeleteLayerVersion", LayerName="l", VersionNumber=1)
    Packages(world.store).remove_unused(world.registry.used_blobs(), world.registry.used_layers())
    assert _opt(world) == b"kept"
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Layers=[f"{LAYER}:l:1"])
    with pytest.raises(InvalidParameterValueException, match=r"layer:l:1 does not exist\.$"):
        await world.create("g", Layers=[f"{LAYER}:l:1"])


async def test_layers_of_a_version_are_those_of_its_publication(world: LambdaWorld) -> None:
    await world.publish_layer()
    await world.create(Layers=[f"{LAYER}:l:1"], Publish=True)
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Layers=[])
    assert [layer.arn for layer in _version(world, ":1").layers] == [f"{LAYER}:l:1"]


async def test_layer_of_another_account_needs_its_permission(world: LambdaWorld) -> None:
    owner = Scope(account_id="222222222222", region=SCOPE.region)
    operations = world.caller.operations
    publication: dict[str, Any] = {"LayerName": "theirs", "Content": {"ZipFile": archive()}}
    published = await operations["lambda:PublishLayerVersion"](publication, owner)
    arn = published["LayerVersionArn"]
    with pytest.raises(AccessDeniedException, match="not authorized to perform: lambda:GetLayer"):
        await world.create(Layers=[arn])
    permission = {
        "LayerName": "theirs",
        "VersionNumber": 1,
        "StatementId": "s",
        "Action": "lambda:GetLayerVersion",
        "Principal": SCOPE.account_id,
    }
    await operations["lambda:AddLayerVersionPermission"](permission, owner)
    assert (await world.create(Layers=[arn]))["Layers"][0]["Arn"] == arn
    assert (await world.call("GetLayerVersionByArn", Arn=arn))["Version"] == 1


async def test_layer_counts_in_the_account_s_storage(world: LambdaWorld) -> None:
    before = (await world.call("GetAccountSettings"))["AccountUsage"]["TotalCodeSize"]
    size = (await world.publish_layer())["Content"]["CodeSize"]
    after = (await world.call("GetAccountSettings"))["AccountUsage"]["TotalCodeSize"]
    assert after - before == size
