"""States of functions: what is answered at once, what is true later, what is refused between."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import ARN, LambdaWorld, archive, archive_with_link, lambda_world
from lamington.core.errors import AwsError
from lamington.functions.entities import ResourceConflictException
from lamington.functions.link import InitFailure
from lamington.functions.operations.registry import FunctionRegistry

UPDATES: list[tuple[str, dict[str, Any]]] = [
    ("UpdateFunctionCode", {"ZipFile": archive("y = 2")}),
    ("UpdateFunctionConfiguration", {"Timeout": 9}),
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        yield made


def _serving(registry: FunctionRegistry, qualifier: str = "") -> Any:
    return registry.find(f"{ARN}:f{qualifier}")[0][0][1]


async def _state(world: LambdaWorld, qualifier: str = "") -> dict[str, Any]:
    """What GetFunctionConfiguration shows now, whatever is under way."""
    shown = await world.begin("GetFunctionConfiguration", FunctionName=f"f{qualifier}")
    names = ("State", "StateReasonCode", "LastUpdateStatus", "LastUpdateStatusReasonCode")
    return {name: shown[name] for name in names if name in shown}


async def test_pending_function_is_not_invoked(world: LambdaWorld) -> None:
    await world.begin("CreateFunction", **world.creation("f"))
    assert await _state(world) == {"State": "Pending", "StateReasonCode": "Creating"}
    with pytest.raises(ResourceConflictException, match=r"in the following state: Pending$"):
        _serving(world.registry)
    await world.functions.settled()
    assert await _state(world) == {"State": "Active", "LastUpdateStatus": "Successful"}
    assert _serving(world.registry).version == "$LATEST"


@pytest.mark.parametrize(("operation", "params"), [*UPDATES, ("PublishVersion", {})])
async def test_pending_function_is_not_changed(
    world: LambdaWorld, operation: str, params: dict[str, Any]
) -> None:
    await world.begin("CreateFunction", **world.creation("f"))
    with pytest.raises(ResourceConflictException) as refused:
        await world.begin(operation, FunctionName="f", **params)
    assert refused.value.message == (
        "The operation cannot be performed at this time. The function is currently in the"
        " following state: Pending"
    )
    await world.functions.settled()


async def test_code_of_an_active_function_is_unpacked(world: LambdaWorld, tmp_path: Path) -> None:
    await world.begin("CreateFunction", **world.creation("f"))
    assert not (tmp_path / "tasks").exists()
    await world.functions.settled()
    [root] = (tmp_path / "tasks").iterdir()
    assert (root / "app.py").is_file()


async def test_version_that_is_published_with_its_function_waits_for_it(
    world: LambdaWorld,
) -> None:
    created = await world.begin("CreateFunction", **world.creation("f"), Publish=True)
    assert (created["Version"], created["State"]) == ("1", "Pending")
    assert (await _state(world, ":1"))["State"] == "Pending"
    await world.functions.settled()
    assert (await _state(world, ":1"))["State"] == "Active"
    assert _serving(world.registry, ":1").version == "1"


@pytest.mark.parametrize(("operation", "params"), UPDATES)
async def test_old_code_serves_until_the_new_is_loaded(
    world: LambdaWorld, operation: str, params: dict[str, Any]
) -> None:
    before = await world.create()
    world.invoker.may_replace.clear()
    answered = await world.begin(operation, FunctionName="f", **params)
    in_progress = {
        "State": "Active",
        "LastUpdateStatus": "InProgress",
        "LastUpdateStatusReasonCode": "Creating",
    }
    assert in_progress.items() <= answered.items()
    assert answered["LastUpdateStatusReason"] == "The function is being created."
    assert await _state(world) == in_progress
    assert world.invoker.replaced == []
    shown = await world.begin("GetFunctionConfiguration", FunctionName="f")
    assert shown["RevisionId"] == answered["RevisionId"]
    assert (shown["CodeSha256"], shown["Timeout"]) != (before["CodeSha256"], before["Timeout"])
    world.invoker.may_replace.set()
    await world.functions.settled()
    assert world.invoker.replaced == ["f"]
    after = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert after["LastUpdateStatus"] == "Successful"
    assert len({each["RevisionId"] for each in (before, answered, after)}) == 3


async def test_update_serves_old_code_while_it_is_unpacked(world: LambdaWorld) -> None:
    await world.create()
    before = _serving(world.registry)
    await world.begin("UpdateFunctionCode", FunctionName="f", ZipFile=archive("y = 2"))
    assert _serving(world.registry) == before
    await world.functions.settled()
    assert _serving(world.registry) != before


@pytest.mark.parametrize(("operation", "params"), [*UPDATES, ("PublishVersion", {})])
async def test_second_update_waits_for_the_first(
    world: LambdaWorld, operation: str, params: dict[str, Any]
) -> None:
    await world.create()
    world.invoker.may_replace.clear()
    await world.begin("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    with pytest.raises(ResourceConflictException) as refused:
        await world.begin(operation, FunctionName="f", **params)
    assert refused.value.message == (
        "The operation cannot be performed at this time. An update is in progress for resource:"
        f" {ARN}:f"
    )
    world.invoker.may_replace.set()
    await world.functions.settled()
    await world.call(operation, FunctionName="f", **params)


async def test_code_that_cannot_be_unpacked_fails_the_creation(world: LambdaWorld) -> None:
    await world.create(Code={"ZipFile": archive_with_link("/etc/passwd")})
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InvalidZipFileException")
    assert "points outside of the package" in shown["StateReason"]
    with pytest.raises(ResourceConflictException, match=r"in the following state: Failed$"):
        _serving(world.registry)
    await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=archive())
    assert (await _state(world))["State"] == "Active"


async def test_code_that_cannot_be_unpacked_leaves_the_old_code(world: LambdaWorld) -> None:
    before = (await world.create())["CodeSha256"]
    await world.call(
        "UpdateFunctionCode", FunctionName="f", ZipFile=archive_with_link("/etc/passwd")
    )
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert shown["LastUpdateStatus"] == "Failed"
    assert shown["LastUpdateStatusReasonCode"] == "InvalidZipFileException"
    assert (shown["State"], shown["CodeSha256"]) == ("Active", before)
    assert _serving(world.registry).code.sha256_base64 == before


async def test_function_deleted_while_it_is_made_is_gone(world: LambdaWorld) -> None:
    await world.begin("CreateFunction", **world.creation("f"))
    await world.begin("DeleteFunction", FunctionName="f")
    await world.begin("CreateFunction", **world.creation("f", Timeout=7))
    await world.functions.settled()
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["Timeout"]) == ("Active", 7)


async def test_function_deleted_while_it_is_updated_is_gone(world: LambdaWorld) -> None:
    await world.create()
    world.invoker.may_replace.clear()
    await world.begin("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    await world.begin("GetFunction", FunctionName="f")
    await world.begin("DeleteFunction", FunctionName="f")
    world.invoker.may_replace.set()
    await world.functions.settled()
    assert (await world.call("ListFunctions"))["Functions"] == []
    with pytest.raises(AwsError, match=r"^Function not found"):
        await world.call("ListVersionsByFunction", FunctionName="f")


async def test_next_start_finishes_what_was_pending(tmp_path: Path) -> None:
    with lambda_world(tmp_path) as first:
        await first.create("updated")
        first.invoker.may_replace.clear()
        await first.begin("UpdateFunctionConfiguration", FunctionName="updated", Timeout=9)
        await first.begin("CreateFunction", **first.creation("created"), Publish=True)
        await first.functions.close()
    with lambda_world(tmp_path) as second:
        second.functions.resume()
        await second.functions.settled()
        updated = await second.call("GetFunctionConfiguration", FunctionName="updated")
        assert (updated["LastUpdateStatus"], updated["Timeout"]) == ("Successful", 9)
        for name in ("created", "created:1"):
            shown = await second.call("GetFunctionConfiguration", FunctionName=name)
            assert shown["State"] == "Active"


async def test_update_with_publish_answers_the_version(world: LambdaWorld) -> None:
    await world.create(Publish=True)
    code = archive("y = 2")
    answered = await world.begin("UpdateFunctionCode", FunctionName="f", ZipFile=code, Publish=True)
    assert (answered["Version"], answered["FunctionArn"]) == ("2", f"{ARN}:f:2")
    assert answered["LastUpdateStatus"] == "InProgress"
    await world.functions.settled()
    latest, second = _serving(world.registry), _serving(world.registry, ":2")
    assert latest.code == second.code
    again = await world.call("PublishVersion", FunctionName="f")
    assert again["Version"] == "2"


async def test_lists_show_an_update_without_its_state(world: LambdaWorld) -> None:
    await world.create()
    world.invoker.may_replace.clear()
    await world.begin("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    for operation, member in (
        ("ListFunctions", "Functions"),
        ("ListVersionsByFunction", "Versions"),
    ):
        [shown] = (await world.begin(operation, FunctionName="f"))[member]
        assert shown["Timeout"] == 5
        assert not any(name.startswith(("State", "LastUpdate")) for name in shown)
    world.invoker.may_replace.set()
    await world.functions.settled()


async def test_snapshot_is_there_when_its_version_is_active(world: LambdaWorld) -> None:
    await world.create(SnapStart={"ApplyOn": "PublishedVersions"})
    published = await world.begin("PublishVersion", FunctionName="f")
    assert published["State"] == "Pending"
    assert published["SnapStart"]["OptimizationStatus"] == "Off"
    await world.functions.settled()
    shown = await world.call("GetFunctionConfiguration", FunctionName="f:1")
    assert shown["State"] == "Active"
    assert shown["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    latest = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert latest["SnapStart"]["OptimizationStatus"] == "Off"


@pytest.mark.parametrize(
    ("error_type", "status", "code"),
    [
        ("Runtime.ImportModuleError", "error", "FunctionError.RuntimeInitError"),
        ("Sandbox.Timedout", "timeout", "FunctionError.InitTimeout"),
        ("Extension.Crash", "error", "FunctionError.ExtensionInitError"),
    ],
)
async def test_version_whose_snapshot_fails_is_failed_and_refuses_invocations(
    world: LambdaWorld, error_type: str, status: str, code: str
) -> None:
    await world.create(SnapStart={"ApplyOn": "PublishedVersions"})
    world.invoker.snapshot_failure = InitFailure(error_type=error_type, message="", status=status)
    await world.call("PublishVersion", FunctionName="f")
    await world.functions.settled()
    shown = await world.call("GetFunctionConfiguration", FunctionName="f:1")
    assert (shown["State"], shown["StateReasonCode"]) == ("Failed", code)
    assert shown["SnapStart"]["OptimizationStatus"] == "Off"
    with pytest.raises(ResourceConflictException, match="state: Failed"):
        _serving(world.registry, ":1")


async def test_snapshot_is_made_of_published_versions_only(world: LambdaWorld) -> None:
    await world.create(SnapStart={"ApplyOn": "PublishedVersions"}, Publish=True)
    await world.functions.settled()
    assert world.invoker.snapshots == ["f:1"]
