"""The Lambda API of functions: create, read, list, update, delete."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import ARN, ROLE, SCOPE, LambdaWorld, archive, fetched, lambda_world
from lamington.core.errors import AwsError
from lamington.functions.entities import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
    ValidationException,
)
from lamington.functions.operations.configuration import unemulated


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        yield made


async def test_create_answers_pending_then_the_function_is_active(world: LambdaWorld) -> None:
    code = archive()
    created = await world.create(Code={"ZipFile": code})
    revision = created.pop("RevisionId")
    arn = created.pop("RuntimeVersionConfig")["RuntimeVersionArn"]
    assert arn.startswith("arn:aws:lambda:us-east-1::runtime:")
    assert created == {
        "FunctionName": "f",
        "FunctionArn": f"{ARN}:f",
        "Runtime": "python3.12",
        "Role": ROLE,
        "Handler": "app.handler",
        "CodeSize": len(code),
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "LastModified": "2026-01-01T00:00:00.000+0000",
        "CodeSha256": base64.b64encode(hashlib.sha256(code).digest()).decode(),
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "State": "Pending",
        "StateReason": "The function is being created.",
        "StateReasonCode": "Creating",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"},
    }
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")
    assert "StateReason" not in shown
    assert shown["RevisionId"] != revision


async def test_create_twice_is_a_conflict(world: LambdaWorld) -> None:
    await world.create()
    with pytest.raises(ResourceConflictException, match=r"^Function already exist: f$"):
        await world.create()


async def test_code_comes_from_a_bucket(world: LambdaWorld) -> None:
    world.objects["artifacts", "f.zip"] = code = archive("x = 1")
    created = await world.create(Code={"S3Bucket": "artifacts", "S3Key": "f.zip"})
    assert created["CodeSize"] == len(code)


async def test_create_with_publish_answers_the_version(world: LambdaWorld) -> None:
    created = await world.create(Publish=True)
    assert (created["Version"], created["FunctionArn"]) == ("1", f"{ARN}:f:1")


async def test_refused_creations_leave_nothing(world: LambdaWorld) -> None:
    with pytest.raises(AwsError):
        await world.create(Code={"ZipFile": b"no zip"})
    assert (await world.call("ListFunctions"))["Functions"] == []


async def test_images_are_refused_clearly(world: LambdaWorld) -> None:
    with pytest.raises(InvalidParameterValueException, match="PackageType Zip"):
        await world.create(PackageType="Image", Code={"ImageUri": "repo"})


async def test_get_function_shows_code_tags_and_concurrency(world: LambdaWorld) -> None:
    code = archive()
    await world.create(Code={"ZipFile": code}, Tags={"team": "cakes"})
    await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=5)
    shown = await world.call("GetFunction", FunctionName="f")
    assert shown["Tags"] == {"team": "cakes"}
    assert shown["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    assert fetched(shown["Code"]["Location"]) == code


async def test_get_function_without_tags_shows_none(world: LambdaWorld) -> None:
    await world.create()
    assert set(await world.call("GetFunction", FunctionName="f")) == {"Configuration", "Code"}


@pytest.mark.parametrize(
    "name",
    ["f", "111111111111:f", "111111111111:function:f", "function:f", f"{ARN}:f"],
)
async def test_every_form_of_a_name_finds_the_function(world: LambdaWorld, name: str) -> None:
    await world.create()
    shown = await world.call("GetFunctionConfiguration", FunctionName=name)
    assert shown["FunctionArn"] == f"{ARN}:f"


async def test_qualifier_shows_in_the_arn(world: LambdaWorld) -> None:
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="prod", FunctionVersion="1")
    latest = await world.call("GetFunctionConfiguration", FunctionName="f", Qualifier="$LATEST")
    assert (latest["FunctionArn"], latest["Version"]) == (f"{ARN}:f:$LATEST", "$LATEST")
    alias = await world.call("GetFunctionConfiguration", FunctionName="f:prod")
    assert (alias["FunctionArn"], alias["Version"]) == (f"{ARN}:f:prod", "1")


async def test_lists_leave_out_states_and_page_by_fifty(world: LambdaWorld) -> None:
    for number in range(52):
        await world.create(f"f{number:02}")
    first = await world.call("ListFunctions", MaxItems=10_000)
    assert len(first["Functions"]) == 50
    assert not {"State", "LastUpdateStatus", "RuntimeVersionConfig"} & set(first["Functions"][0])
    second = await world.call("ListFunctions", Marker=first["NextMarker"])
    assert [each["FunctionName"] for each in second["Functions"]] == ["f50", "f51"]
    assert "NextMarker" not in second


async def test_list_all_shows_versions(world: LambdaWorld) -> None:
    await world.create(Publish=True)
    shown = await world.call("ListFunctions", FunctionVersion="ALL")
    assert [each["FunctionArn"] for each in shown["Functions"]] == [
        f"{ARN}:f:$LATEST",
        f"{ARN}:f:1",
    ]


async def test_functions_of_another_region_are_not_seen(world: LambdaWorld) -> None:
    await world.create()
    elsewhere = type(SCOPE)(account_id=SCOPE.account_id, region="eu-west-1")
    list_functions = world.caller.operations["lambda:ListFunctions"]
    assert (await list_functions({}, elsewhere))["Functions"] == []


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("DeleteFunction", {}),
        ("PutFunctionConcurrency", {"ReservedConcurrentExecutions": 1}),
        ("CreateAlias", {"Name": "prod", "FunctionVersion": "$LATEST"}),
        ("DeleteAlias", {"Name": "prod"}),
    ],
)
async def test_invoker_is_told_of_a_change(
    world: LambdaWorld, operation: str, params: dict[str, Any]
) -> None:
    await world.create()
    del world.invoker.forgotten[:]
    await world.call(operation, FunctionName="f", **params)
    assert world.invoker.forgotten == ["f"]


async def test_invoker_may_prepare_for_what_was_created(world: LambdaWorld) -> None:
    await world.create()
    assert world.invoker.expected == ["f"]


async def test_dry_run_of_an_update_changes_nothing(world: LambdaWorld) -> None:
    before = (await world.create())["CodeSha256"]
    answered = await world.call(
        "UpdateFunctionCode", FunctionName="f", ZipFile=archive("y = 2"), DryRun=True
    )
    assert answered["CodeSha256"] != before
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert shown["CodeSha256"] == before


async def test_update_configuration_merges_at_the_top(world: LambdaWorld) -> None:
    await world.create(Environment={"Variables": {"A1": "1", "B1": "2"}}, Timeout=9)
    await world.call(
        "UpdateFunctionConfiguration", FunctionName="f", Environment={"Variables": {"C1": "3"}}
    )
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert shown["Environment"] == {"Variables": {"C1": "3"}}
    assert shown["Timeout"] == 9


async def test_empty_members_clear(world: LambdaWorld) -> None:
    await world.create(
        DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:111111111111:q"},
        KMSKeyArn="arn:aws:kms:us-east-1:111111111111:key/k",
        VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
    )
    shown = await world.call(
        "UpdateFunctionConfiguration",
        FunctionName="f",
        DeadLetterConfig={"TargetArn": ""},
        KMSKeyArn="",
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
    )
    assert "DeadLetterConfig" not in shown
    assert "KMSKeyArn" not in shown
    assert shown["VpcConfig"] == {
        "SubnetIds": [],
        "SecurityGroupIds": [],
        "VpcId": "",
        "Ipv6AllowedForDualStack": False,
    }


async def test_json_logs_have_levels_by_themselves(world: LambdaWorld) -> None:
    created = await world.create(LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN"})
    assert created["LoggingConfig"] == {
        "LogFormat": "JSON",
        "LogGroup": "/aws/lambda/f",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "WARN",
    }


@pytest.mark.parametrize("operation", ["UpdateFunctionCode", "UpdateFunctionConfiguration"])
async def test_update_means_one_revision(world: LambdaWorld, operation: str) -> None:
    await world.create()
    with pytest.raises(PreconditionFailedException, match="Call the GetFunction/GetAlias API"):
        await world.call(operation, FunctionName="f", RevisionId="other", ZipFile=archive())


async def test_delete_takes_versions_aliases_and_policies(world: LambdaWorld) -> None:
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="prod", FunctionVersion="1")
    await world.call(
        "AddPermission", FunctionName="f", StatementId="s", Action="lambda:*", Principal="*"
    )
    assert await world.call("DeleteFunction", FunctionName="f") == {"StatusCode": 204}
    await world.create()
    assert (await world.call("ListAliases", FunctionName="f"))["Aliases"] == []
    assert len((await world.call("ListVersionsByFunction", FunctionName="f"))["Versions"]) == 1
    with pytest.raises(ResourceNotFoundException, match=r"^The resource you requested does not"):
        await world.call("GetPolicy", FunctionName="f")


async def test_delete_of_a_version_that_is_not_there_succeeds(world: LambdaWorld) -> None:
    await world.create()
    answer = await world.call("DeleteFunction", FunctionName="f", Qualifier="7")
    assert answer == {"StatusCode": 204}


async def test_version_with_an_alias_is_not_deleted(world: LambdaWorld) -> None:
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="prod", FunctionVersion="1")
    with pytest.raises(ResourceConflictException, match=r"reference it: \[prod\]"):
        await world.call("DeleteFunction", FunctionName="f:1")


async def test_functions_outlive_the_engine(tmp_path: Path) -> None:
    with lambda_world(tmp_path) as first:
        await first.create(Environment={"Variables": {"KEY": "v"}}, Tags={"a": "b"})
        before = await first.call("GetFunction", FunctionName="f")
    with lambda_world(tmp_path) as second:
        assert await second.call("GetFunction", FunctionName="f") == before


async def test_what_is_not_emulated_is_announced(world: LambdaWorld) -> None:
    network = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    await world.create(TracingConfig={"Mode": "Active"}, VpcConfig=network)
    await world.create("old", Runtime="nodejs4.3", TracingConfig={"Mode": "PassThrough"})
    [(_, version)] = world.registry.find(f"{ARN}:f")[0]
    assert unemulated(version) == [
        "`f` is in no VPC: it reaches what this machine reaches (VpcConfig)",
        "`f` sends no traces to X-Ray (TracingConfig)",
    ]
    [(_, old)] = world.registry.find(f"{ARN}:old")[0]
    assert [line.partition(",")[0] for line in unemulated(old)] == ["`old` has runtime `nodejs4.3`"]


async def test_tags_come_and_go(world: LambdaWorld) -> None:
    await world.create(Tags={"a": "1", "b": "2"})
    await world.call("TagResource", Resource=f"{ARN}:f", Tags={"b": "3", "c": "4"})
    await world.call("UntagResource", Resource=f"{ARN}:f", TagKeys=["a"])
    assert await world.call("ListTags", Resource=f"{ARN}:f") == {"Tags": {"b": "3", "c": "4"}}


async def test_reserved_concurrency_is_kept_and_released(world: LambdaWorld) -> None:
    await world.create()
    assert await world.call("GetFunctionConcurrency", FunctionName="f") == {}
    await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=0)
    assert world.registry.find(f"{ARN}:f")[1] == 0
    await world.call("DeleteFunctionConcurrency", FunctionName="f")
    assert world.registry.find(f"{ARN}:f")[1] is None


async def test_account_settings_count_functions(world: LambdaWorld) -> None:
    size = (await world.create())["CodeSize"]
    await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=100)
    shown = await world.call("GetAccountSettings")
    assert shown["AccountUsage"] == {"TotalCodeSize": size, "FunctionCount": 1}
    assert shown["AccountLimit"]["UnreservedConcurrentExecutions"] == 900


async def test_two_wrong_members_are_told_at_once(world: LambdaWorld) -> None:
    with pytest.raises(ValidationException, match=r"^2 validation errors detected: .*; .*"):
        await world.create(Timeout=1200, MemorySize=1)
