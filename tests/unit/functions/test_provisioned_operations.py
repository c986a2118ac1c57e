"""The Lambda API of provisioned concurrency, over an invoker that only counts."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes_functions import ARN, SCOPE, LambdaWorld, archive, lambda_world
from lamington.core.aws import Result, Scope
from lamington.core.errors import AwsError
from lamington.functions.entities import (
    InvalidParameterValueException,
    InvalidRuntimeException,
    ProvisionedConcurrencyConfigNotFoundException,
    ResourceConflictException,
)
from lamington.functions.operations.provisioned import ProvisionedOperations


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        await made.create(Publish=True)
        await made.call("UpdateFunctionCode", FunctionName="f", ZipFile=archive("y = 2"))
        await made.call("PublishVersion", FunctionName="f")
        await made.call("CreateAlias", FunctionName="f", Name="prod", FunctionVersion="1")
        yield made


async def _put(world: LambdaWorld, qualifier: str, count: int) -> Result:
    return await world.call(
        "PutProvisionedConcurrencyConfig",
        FunctionName="f",
        Qualifier=qualifier,
        ProvisionedConcurrentExecutions=count,
    )


async def _get(world: LambdaWorld, qualifier: str) -> Result:
    return await world.call(
        "GetProvisionedConcurrencyConfig", FunctionName="f", Qualifier=qualifier
    )


async def test_it_is_in_progress_and_then_ready(world: LambdaWorld) -> None:
    put = await _put(world, "1", 3)
    assert put == {
        "RequestedProvisionedConcurrentExecutions": 3,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "AvailableProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
        "LastModified": "2026-01-01T00:00:00.000+0000",
    }
    assert await _get(world, "1") == {
        **put,
        "AllocatedProvisionedConcurrentExecutions": 3,
        "AvailableProvisionedConcurrentExecutions": 3,
        "Status": "READY",
    }
    assert world.invoker.kept_ready == {("f", "1"): 3}


async def test_failure_tells_its_reason(world: LambdaWorld) -> None:
    await _put(world, "1", 3)
    world.invoker.unready = "FUNCTION_ERROR_INIT_FAILURE"
    shown = await _get(world, "1")
    assert (shown["Status"], shown["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")


async def test_it_follows_the_alias(world: LambdaWorld) -> None:
    await _put(world, "prod", 2)
    assert world.invoker.kept_ready == {("f", "1"): 2}
    await world.call("UpdateAlias", FunctionName="f", Name="prod", FunctionVersion="2")
    assert world.invoker.kept_ready == {("f", "1"): 0, ("f", "2"): 2}


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("DeleteAlias", {"Name": "prod"}),
        ("DeleteProvisionedConcurrencyConfig", {"Qualifier": "prod"}),
        ("DeleteFunction", {}),
    ],
)
async def test_it_ends_with_what_it_is_of(
    world: LambdaWorld, operation: str, params: dict[str, str]
) -> None:
    await _put(world, "prod", 2)
    await world.call(operation, FunctionName="f", **params)
    assert world.invoker.kept_ready == {("f", "1"): 0}
    assert world.registry.provisioned.all(SCOPE) == []


async def test_list_names_each_qualifier(world: LambdaWorld) -> None:
    await _put(world, "prod", 2)
    await _put(world, "2", 1)
    listed = await world.call("ListProvisionedConcurrencyConfigs", FunctionName="f")
    assert [
        (each["FunctionArn"], each["RequestedProvisionedConcurrentExecutions"])
        for each in listed["ProvisionedConcurrencyConfigs"]
    ] == [(f"{ARN}:f:2", 1), (f"{ARN}:f:prod", 2)]


async def test_it_counts_against_the_account(world: LambdaWorld) -> None:
    await _put(world, "1", 300)
    limits = (await world.call("GetAccountSettings"))["AccountLimit"]
    assert limits["UnreservedConcurrentExecutions"] == 700
    await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=400)
    limits = (await world.call("GetAccountSettings"))["AccountLimit"]
    assert limits["UnreservedConcurrentExecutions"] == 600


async def test_more_than_is_reserved_is_refused(world: LambdaWorld) -> None:
    await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=3)
    await _put(world, "1", 2)
    with pytest.raises(InvalidParameterValueException, match=r"^Requested Provisioned Concurrency"):
        await _put(world, "2", 2)
    await _put(world, "1", 3)


async def test_snapshots_and_provisioning_exclude_each_other(world: LambdaWorld) -> None:
    await world.call(
        "UpdateFunctionConfiguration", FunctionName="f", SnapStart={"ApplyOn": "PublishedVersions"}
    )
    await world.call("PublishVersion", FunctionName="f")
    with pytest.raises(InvalidParameterValueException, match="SnapStart"):
        await _put(world, "3", 1)


async def test_unset_is_not_found(world: LambdaWorld) -> None:
    with pytest.raises(ProvisionedConcurrencyConfigNotFoundException):
        await _get(world, "prod")


async def test_next_start_keeps_what_was_provisioned(tmp_path: Path) -> None:
    with lambda_world(tmp_path) as first:
        await first.create(Publish=True)
        await _put(first, "1", 2)
    with lambda_world(tmp_path) as second:
        second.functions.resume()
        assert second.invoker.kept_ready == {("f", "1"): 2}


@dataclass
class ChoosyHost:
    """Takes a count, or raises what it is told to."""

    refusal: AwsError | None = None
    counts: list[int] = field(default_factory=list)

    def set_provisioned(self, scope: Scope, function_name: str, version: str, count: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.counts.append(count)

    def provisioned(self, scope: Scope, function_name: str, version: str) -> tuple[int, int, str]:
        return 0, 0, ""


async def test_version_that_is_pending_gets_its_environments_later(world: LambdaWorld) -> None:
    await _put(world, "1", 2)
    host = ChoosyHost(ResourceConflictException("Pending"))
    operations = ProvisionedOperations(world.registry, host)
    operations.resume()
    host.refusal = None
    operations.apply("f", SCOPE)
    operations.apply("f", SCOPE)
    assert host.counts == [2]


async def test_version_that_cannot_run_here_fails_with_the_reason(world: LambdaWorld) -> None:
    await _put(world, "1", 2)
    host = ChoosyHost(InvalidRuntimeException("no interpreter"))
    operations = ProvisionedOperations(world.registry, host)
    operations.resume()
    shown = await operations.get_provisioned_concurrency_config(
        {"FunctionName": "f", "Qualifier": "1"}, SCOPE
    )
    assert (shown["Status"], shown["StatusReason"]) == ("FAILED", "no interpreter")
