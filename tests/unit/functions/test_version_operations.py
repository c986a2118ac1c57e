"""The Lambda API of versions and aliases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import ARN, LambdaWorld, archive, lambda_world
from lamington.functions.entities import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceNotFoundException,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        yield made


async def _change(world: LambdaWorld) -> None:
    number = len((await world.call("ListVersionsByFunction", FunctionName="f"))["Versions"])
    await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=archive(f"x = {number}"))


async def test_publish_makes_an_active_copy(world: LambdaWorld) -> None:
    await world.create(Description="mine")
    version = await world.call("PublishVersion", FunctionName="f", Description="first")
    assert (version["Version"], version["FunctionArn"]) == ("1", f"{ARN}:f:1")
    assert (version["Description"], version["State"]) == ("first", "Active")
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    kept = await world.call("GetFunctionConfiguration", FunctionName="f:1")
    assert kept["Timeout"] == 3


async def test_publish_without_a_change_answers_the_last_version(world: LambdaWorld) -> None:
    await world.create()
    first = await world.call("PublishVersion", FunctionName="f")
    again = await world.call("PublishVersion", FunctionName="f", Description="other")
    assert (again["Version"], again["RevisionId"]) == ("1", first["RevisionId"])


async def test_publish_changes_the_revision_of_latest(world: LambdaWorld) -> None:
    await world.create()
    before = await world.call("GetFunctionConfiguration", FunctionName="f")
    await world.call("PublishVersion", FunctionName="f")
    after = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert before["RevisionId"] != after["RevisionId"]


async def test_publish_leaves_the_environments_of_latest(world: LambdaWorld) -> None:
    await world.create()
    before = world.registry.find(f"{ARN}:f")
    await world.call("PublishVersion", FunctionName="f")
    assert world.registry.find(f"{ARN}:f") == before


async def test_numbers_are_not_used_twice(world: LambdaWorld) -> None:
    await world.create(Publish=True)
    await world.call("DeleteFunction", FunctionName="f", Qualifier="1")
    version = await world.call("PublishVersion", FunctionName="f")
    assert version["Version"] == "2"


async def test_publish_means_one_code(world: LambdaWorld) -> None:
    await world.create()
    with pytest.raises(InvalidParameterValueException, match=r"^CodeSHA256 \(x\) is different"):
        await world.call("PublishVersion", FunctionName="f", CodeSha256="x")


async def test_versions_are_listed_in_the_order_of_numbers(world: LambdaWorld) -> None:
    await world.create(Publish=True)
    for _ in range(10):
        await _change(world)
        await world.call("PublishVersion", FunctionName="f")
    listed = await world.call("ListVersionsByFunction", FunctionName="f")
    assert [each["Version"] for each in listed["Versions"]] == [
        "$LATEST",
        *(str(number) for number in range(1, 12)),
    ]
    assert listed["Versions"][0]["FunctionArn"] == f"{ARN}:f:$LATEST"


async def test_alias_shows_routing_only_where_it_has_some(world: LambdaWorld) -> None:
    await _two_versions(world)
    made = await world.call("CreateAlias", FunctionName="f", Name="prod", FunctionVersion="1")
    revision = made.pop("RevisionId")
    assert made == {
        "AliasArn": f"{ARN}:f:prod",
        "Name": "prod",
        "FunctionVersion": "1",
        "Description": "",
    }
    weights = {"AdditionalVersionWeights": {"2": 0.1}}
    changed = await world.call(
        "UpdateAlias", FunctionName="f", Name="prod", RoutingConfig=weights, RevisionId=revision
    )
    assert changed["RoutingConfig"] == weights
    cleared = await world.call(
        "UpdateAlias",
        FunctionName="f",
        Name="prod",
        RoutingConfig={"AdditionalVersionWeights": {}},
    )
    assert "RoutingConfig" not in cleared


async def test_weighted_alias_is_found_with_its_shares(world: LambdaWorld) -> None:
    await _two_versions(world)
    await world.call(
        "CreateAlias",
        FunctionName="f",
        Name="prod",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.25}},
    )
    found, _ = world.registry.find(f"{ARN}:f:prod")
    assert [(share, version.version) for share, version in found] == [(0.75, "1"), (0.25, "2")]


async def test_aliases_are_listed_by_version(world: LambdaWorld) -> None:
    await _two_versions(world)
    for name, version in (("a", "1"), ("b", "2")):
        await world.call("CreateAlias", FunctionName="f", Name=name, FunctionVersion=version)
    listed = await world.call("ListAliases", FunctionName="f", FunctionVersion="2")
    assert [each["Name"] for each in listed["Aliases"]] == ["b"]


async def test_alias_of_another_revision_is_not_changed(world: LambdaWorld) -> None:
    await _two_versions(world)
    await world.call("CreateAlias", FunctionName="f", Name="prod", FunctionVersion="1")
    with pytest.raises(PreconditionFailedException):
        await world.call("UpdateAlias", FunctionName="f", Name="prod", RevisionId="other")


async def test_delete_of_an_unknown_alias_succeeds(world: LambdaWorld) -> None:
    await world.create()
    assert await world.call("DeleteAlias", FunctionName="f", Name="nobody") == {}


async def test_alias_of_an_unknown_version_is_refused(world: LambdaWorld) -> None:
    await world.create()
    with pytest.raises(ResourceNotFoundException, match=f"^Function not found: {ARN}:f:9$"):
        await world.call("CreateAlias", FunctionName="f", Name="prod", FunctionVersion="9")


@pytest.mark.parametrize("qualifier", ["", ":$LATEST", ":1", ":prod"])
async def test_registry_finds_by_every_qualifier(world: LambdaWorld, qualifier: str) -> None:
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="prod", FunctionVersion="1")
    [(share, version)] = world.registry.find(f"{ARN}:f{qualifier}")[0]
    assert (share, version.function_name) == (1.0, "f")


@pytest.mark.parametrize("resource", [f"{ARN}:g", f"{ARN}:f:7", f"{ARN}:f:nobody"])
async def test_registry_names_what_it_does_not_find(world: LambdaWorld, resource: str) -> None:
    await world.create()
    with pytest.raises(ResourceNotFoundException, match=f"^Function not found: {resource}$"):
        world.registry.find(resource)


async def _two_versions(world: LambdaWorld, **params: Any) -> None:
    await world.create(Publish=True, **params)
    await _change(world)
    await world.call("PublishVersion", FunctionName="f")
