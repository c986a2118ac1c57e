"""AWS::Lambda::* as resources, against the Lambda API itself."""

import importlib.util
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import (
    ARN,
    ROLE,
    SCOPE,
    LambdaWorld,
    archive,
    archive_with_link,
    fetched,
    lambda_world,
)
from lamington.core.errors import AwsError, ResourceError
from lamington.functions.entities import ResourceNotFoundException
from lamington.stack.providers.base import Finder, Physical, Provider, ResourceContext
from lamington.stack.providers.functions import function_providers

FUNCTION, VERSION, ALIAS, PERMISSION = (
    f"AWS::Lambda::{name}" for name in ("Function", "Version", "Alias", "Permission")
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        made.objects["artifacts", "one.zip"] = archive("x = 1")
        made.objects["artifacts", "two.zip"] = archive("x = 2")
        yield made


def _provider(world: LambdaWorld, resource_type: str) -> Provider:
    [found] = [
        provider
        for provider in function_providers(world.caller)
        if provider.resource_type == resource_type
    ]
    return found


def _context(logical_id: str = "Sign", **given: Any) -> ResourceContext:
    return ResourceContext(
        scope=SCOPE,
        stack_name="bakery",
        stack_id="arn:aws:cloudformation:us-east-1:111111111111:stack/bakery/1",
        logical_id=logical_id,
        token="token",
        **given,
    )


def _function(**given: Any) -> dict[str, Any]:
    return {
        "Code": {"S3Bucket": "artifacts", "S3Key": "one.zip"},
        "Role": ROLE,
        "Handler": "app.handler",
        "Runtime": "python3.12",
        **given,
    }


async def _create(
    world: LambdaWorld, resource_type: str, desired: dict[str, Any], **context: Any
) -> Physical:
    provider = _provider(world, resource_type)
    return await provider.create(provider.facts.converted(desired), _context(**context))


async def _update(
    world: LambdaWorld, physical: Physical, desired: dict[str, Any], previous: dict[str, Any]
) -> list[str]:
    """Update a function and return the operations that it took."""
    del world.caller.called[:]
    provider = _provider(world, FUNCTION)
    await provider.update(physical.physical_id, desired, previous, _context())
    return [
        name
        for name in world.caller.names()
        if name not in ("GetFunctionConfiguration", "ListTags")
    ]


async def test_function_gets_a_name_and_the_tags_of_the_stack(world: LambdaWorld) -> None:
    desired = _function(Tags=[{"Key": "team", "Value": 7}])
    made = await _create(world, FUNCTION, desired, tags={"stage": "dev"})
    assert made.physical_id == _context().physical_name(63)
    assert made.reference == made.physical_id
    assert made.attributes == {
        "Arn": f"{ARN}:{made.physical_id}",
        "SnapStartResponse.ApplyOn": "None",
        "SnapStartResponse.OptimizationStatus": "Off",
    }
    tags = (await world.call("ListTags", Resource=made.attributes["Arn"]))["Tags"]
    assert tags == {"team": "7", "stage": "dev", **_context().system_tags}


async def test_attributes_are_those_of_the_facts(world: LambdaWorld) -> None:
    made = await _create(world, FUNCTION, _function())
    assert set(made.attributes) == _provider(world, FUNCTION).facts.attributes


async def test_texts_become_numbers(world: LambdaWorld) -> None:
    made = await _create(
        world,
        FUNCTION,
        _function(
            Timeout="30",
            MemorySize="256",
            ReservedConcurrentExecutions="2",
            Environment={"Variables": {"COUNT": 3, "DEBUG": True}},
        ),
    )
    shown = await world.call("GetFunction", FunctionName=made.physical_id)
    assert (shown["Configuration"]["Timeout"], shown["Configuration"]["MemorySize"]) == (30, 256)
    assert shown["Configuration"]["Environment"]["Variables"] == {"COUNT": "3", "DEBUG": "true"}
    assert shown["Concurrency"] == {"ReservedConcurrentExecutions": 2}


@pytest.mark.parametrize(
    ("runtime", "file"), [("python3.12", "index.py"), ("nodejs22.x", "index.js")]
)
async def test_inline_code_is_an_index_file(world: LambdaWorld, runtime: str, file: str) -> None:
    desired = _function(Code={"ZipFile": "the code"}, Runtime=runtime, Handler="index.handler")
    made = await _create(world, FUNCTION, desired)
    shown = await world.call("GetFunction", FunctionName=made.physical_id)
    with zipfile.ZipFile(io.BytesIO(fetched(shown["Code"]["Location"]))) as zipped:
        assert {name: zipped.read(name) for name in zipped.namelist()} == {file: b"the code"}


async def test_inline_code_needs_a_language_that_has_it(world: LambdaWorld) -> None:
    desired = _function(Code={"ZipFile": "code"}, Runtime="java21")
    with pytest.raises(ResourceError, match="not with `java21`"):
        await _create(world, FUNCTION, desired)


async def test_failed_create_leaves_no_function(world: LambdaWorld) -> None:
    with pytest.raises(AwsError):
        await _create(world, FUNCTION, _function(ReservedConcurrentExecutions=5000))
    assert (await world.call("ListFunctions"))["Functions"] == []


@pytest.mark.parametrize(
    ("change", "operations"),
    [
        ({"Code": {"S3Bucket": "artifacts", "S3Key": "two.zip"}}, ["UpdateFunctionCode"]),
        ({"Timeout": 30}, ["UpdateFunctionConfiguration"]),
        ({"ReservedConcurrentExecutions": 3}, ["PutFunctionConcurrency"]),
        ({"Tags": [{"Key": "a", "Value": "b"}]}, ["TagResource"]),
        ({"Architectures": ["arm64"]}, ["UpdateFunctionCode"]),
        ({}, []),
    ],
)
async def test_update_does_what_changed(
    world: LambdaWorld, change: dict[str, Any], operations: list[str]
) -> None:
    made = await _create(world, FUNCTION, _function())
    assert await _update(world, made, _function(**change), _function()) == operations


async def test_what_is_given_no_more_goes_back_to_its_default(world: LambdaWorld) -> None:
    given = _function(
        Timeout=30,
        Environment={"Variables": {"KEY": "v"}},
        KmsKeyArn="arn:aws:kms:us-east-1:111111111111:key/k",
        LoggingConfig={"LogFormat": "JSON", "LogGroup": "mine"},
        ReservedConcurrentExecutions=3,
        Tags=[{"Key": "a", "Value": "b"}],
    )
    made = await _create(world, FUNCTION, given)
    await _update(world, made, _function(), given)
    shown = await world.call("GetFunction", FunctionName=made.physical_id)
    configuration = shown["Configuration"]
    assert configuration["Timeout"] == 3
    assert configuration["Environment"] == {"Variables": {}}
    assert "KMSKeyArn" not in configuration
    group = f"/aws/lambda/{made.physical_id}"
    assert configuration["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": group}
    assert "Concurrency" not in shown
    assert "a" not in shown["Tags"]


async def test_failed_update_is_taken_back(world: LambdaWorld) -> None:
    made = await _create(world, FUNCTION, _function())
    broken = _function(Timeout=30, Code={"S3Bucket": "artifacts", "S3Key": "gone.zip"})
    with pytest.raises(AwsError, match="NoSuchKey"):
        await _update(world, made, broken, _function())
    shown = await world.call("GetFunctionConfiguration", FunctionName=made.physical_id)
    assert shown["Timeout"] == 3


async def test_version_is_published_and_deleted(world: LambdaWorld) -> None:
    function = await _create(world, FUNCTION, _function())
    desired = {"FunctionName": function.reference, "Description": "first"}
    made = await _create(world, VERSION, desired)
    arn = f"{ARN}:{function.reference}:1"
    assert made == Physical(
        physical_id=arn, reference=arn, attributes={"Version": "1", "FunctionArn": arn}
    )
    await _provider(world, VERSION).delete(arn, desired, _context())
    with pytest.raises(ResourceNotFoundException):
        await world.call("GetFunction", FunctionName=arn)


async def test_version_without_a_change_fails(world: LambdaWorld) -> None:
    function = await _create(world, FUNCTION, _function())
    await _create(world, VERSION, {"FunctionName": function.reference})
    with pytest.raises(ResourceError, match=r"^A version for this Lambda function exists \( 1 \)"):
        await _create(world, VERSION, {"FunctionName": function.reference})


async def test_alias_follows_its_properties(world: LambdaWorld) -> None:
    function = await _create(world, FUNCTION, _function())
    for key in ("one.zip", "two.zip"):
        await world.call(
            "UpdateFunctionCode", FunctionName=function.reference, S3Bucket="artifacts", S3Key=key
        )
        await world.call("PublishVersion", FunctionName=function.reference)
    desired: dict[str, Any] = {
        "FunctionName": function.reference,
        "Name": "prod",
        "FunctionVersion": 1,
        "RoutingConfig": {
            "AdditionalVersionWeights": [{"FunctionVersion": 2, "FunctionWeight": "0.5"}]
        },
    }
    provider = _provider(world, ALIAS)
    made = await _create(world, ALIAS, desired)
    assert made.reference == f"{ARN}:{function.reference}:prod"
    shown = await world.call("GetAlias", FunctionName=function.reference, Name="prod")
    assert shown["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.5}}
    plain = {**desired, "FunctionVersion": "2"}
    del plain["RoutingConfig"]
    await provider.update(made.physical_id, plain, desired, _context())
    shown = await world.call("GetAlias", FunctionName=function.reference, Name="prod")
    assert (shown["FunctionVersion"], "RoutingConfig" in shown) == ("2", False)
    await provider.delete(made.physical_id, plain, _context())
    assert (await world.call("ListAliases", FunctionName=function.reference))["Aliases"] == []


async def test_permission_is_a_statement(world: LambdaWorld) -> None:
    function = await _create(world, FUNCTION, _function())
    desired = {
        "FunctionName": function.attributes["Arn"],
        "Action": "lambda:InvokeFunction",
        "Principal": "apigateway.amazonaws.com",
        "SourceAccount": 111111111111,
    }
    made = await _create(world, PERMISSION, desired, logical_id="Permission")
    assert made.reference.startswith("bakery-Permission-")
    assert made.attributes == {"Id": made.reference}
    policy = json.loads((await world.call("GetPolicy", FunctionName=function.reference))["Policy"])
    assert [each["Sid"] for each in policy["Statement"]] == [made.reference]
    await _provider(world, PERMISSION).delete(
        made.physical_id, desired, _context(logical_id="Permission")
    )
    with pytest.raises(ResourceNotFoundException):
        await world.call("GetPolicy", FunctionName=function.reference)


@pytest.mark.parametrize(
    ("resource_type", "physical_id"),
    [
        (FUNCTION, "gone"),
        (VERSION, f"{ARN}:gone:1"),
        (ALIAS, f"{ARN}:gone:prod"),
        (PERMISSION, "statement"),
    ],
)
async def test_deleting_what_is_gone_succeeds(
    world: LambdaWorld, resource_type: str, physical_id: str
) -> None:
    provider = _provider(world, resource_type)
    await provider.delete(physical_id, {"FunctionName": "gone"}, _context())


async def test_function_of_a_create_that_was_cut_off_is_found(world: LambdaWorld) -> None:
    provider = _provider(world, FUNCTION)
    assert isinstance(provider, Finder)
    desired = _function(FunctionName="sign")
    assert await provider.find(desired, _context()) is None
    await world.create("sign")
    assert await provider.find(desired, _context()) is None, "somebody else's"
    await world.call("DeleteFunction", FunctionName="sign")
    made = await _create(world, FUNCTION, desired)
    assert await provider.find(desired, _context()) == made.physical_id


async def test_what_cannot_be_provided_is_refused(world: LambdaWorld) -> None:
    function = await _create(world, FUNCTION, _function())
    scaling = {"MaxExecutionEnvironments": 1}
    with pytest.raises(ResourceError, match=r"^Property FunctionScalingConfig is not supported"):
        await _create(
            world,
            VERSION,
            {"FunctionName": function.reference, "FunctionScalingConfig": scaling},
        )


async def test_version_has_its_environments_when_it_is_made(world: LambdaWorld) -> None:
    function = await _create(world, FUNCTION, _function())
    desired = {
        "FunctionName": function.reference,
        "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": "2"},
        "RuntimePolicy": {"UpdateRuntimeOn": "FunctionUpdate"},
    }
    made = await _create(world, VERSION, desired)
    assert world.invoker.kept_ready == {(function.reference, "1"): 2}
    managed = await world.call("GetRuntimeManagementConfig", FunctionName=made.reference)
    assert managed["UpdateRuntimeOn"] == "FunctionUpdate"


async def test_version_whose_environments_fail_is_not_left(world: LambdaWorld) -> None:
    function = await _create(world, FUNCTION, _function())
    world.invoker.unready = "FUNCTION_ERROR_INIT_FAILURE"
    provisioned = {"ProvisionedConcurrentExecutions": 2}
    desired = {"FunctionName": function.reference, "ProvisionedConcurrencyConfig": provisioned}
    with pytest.raises(ResourceError, match="FUNCTION_ERROR_INIT_FAILURE") as failed:
        await _create(world, VERSION, desired)
    assert failed.value.handler_code == "NotStabilized"
    listed = await world.call("ListVersionsByFunction", FunctionName=function.reference)
    assert len(listed["Versions"]) == 1


async def test_alias_has_environments_as_long_as_the_template_says(world: LambdaWorld) -> None:
    function = await _create(world, FUNCTION, _function())
    await _create(world, VERSION, {"FunctionName": function.reference})
    plain = {"FunctionName": function.reference, "Name": "prod", "FunctionVersion": "1"}
    ready = {**plain, "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1}}
    provider = _provider(world, ALIAS)
    made = await _create(world, ALIAS, plain)
    await provider.update(made.physical_id, ready, plain, _context())
    assert world.invoker.kept_ready == {(function.reference, "1"): 1}
    await provider.update(made.physical_id, plain, ready, _context())
    assert world.invoker.kept_ready == {(function.reference, "1"): 0}


async def test_function_that_cannot_be_unpacked_is_not_left(world: LambdaWorld) -> None:
    world.objects["artifacts", "broken.zip"] = archive_with_link("/etc")
    broken = {"S3Bucket": "artifacts", "S3Key": "broken.zip"}
    with pytest.raises(ResourceError, match="points outside") as failed:
        await _create(world, FUNCTION, _function(Code=broken))
    assert failed.value.handler_code == "NotStabilized"
    assert (await world.call("ListFunctions"))["Functions"] == []


async def test_update_is_made_when_the_new_code_serves(world: LambdaWorld) -> None:
    made = await _create(world, FUNCTION, _function())
    two = {"S3Bucket": "artifacts", "S3Key": "two.zip"}
    await _update(world, made, _function(Code=two, Timeout=9), _function())
    assert world.invoker.replaced == [made.physical_id, made.physical_id]
    [(_, version)] = world.registry.find(f"{ARN}:{made.physical_id}")[0]
    assert version.timeout_s == 9


async def test_settings_beside_the_configuration_follow_the_template(world: LambdaWorld) -> None:
    signing = await world.call(
        "CreateCodeSigningConfig",
        AllowedPublishers={"SigningProfileVersionArns": ["arn:aws:signer:us-east-1:1:/p/1"]},
    )
    arn = signing["CodeSigningConfig"]["CodeSigningConfigArn"]
    given = _function(
        CodeSigningConfigArn=arn, RuntimeManagementConfig={"UpdateRuntimeOn": "FunctionUpdate"}
    )
    made = await _create(world, FUNCTION, given)
    named = {"FunctionName": made.physical_id}
    shown = await world.call("GetFunctionCodeSigningConfig", **named)
    assert shown["CodeSigningConfigArn"] == arn
    managed = await world.call("GetRuntimeManagementConfig", **named)
    assert managed["UpdateRuntimeOn"] == "FunctionUpdate"
    await _update(world, made, _function(), given)
    assert await world.call("GetFunctionCodeSigningConfig", **named) == {}
    managed = await world.call("GetRuntimeManagementConfig", **named)
    assert managed["UpdateRuntimeOn"] == "Auto"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"Timeout": "soon"}, "#/Timeout: expected type: Integer, found: String"),
        (
            {"Environment": {"Variables": {"KEY": {"a": 1}}}},
            "#/Environment/Variables/KEY: expected type: String, found: JSONObject",
        ),
        (
            {"Tags": [{"Key": "k", "Value": ["v"]}]},
            "#/Tags/0/Value: expected type: String, found: JSONArray",
        ),
    ],
)
async def test_value_of_another_type_is_refused(
    world: LambdaWorld, given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ResourceError) as refused:
        await _create(world, FUNCTION, _function(**given))
    assert refused.value.message == problem


@pytest.mark.parametrize("resource_type", [FUNCTION, VERSION, ALIAS, PERMISSION])
def test_facts_are_those_of_the_registry(world: LambdaWorld, resource_type: str) -> None:
    schema = _registry_schema(resource_type)
    facts = _provider(world, resource_type).facts
    read_only = {_top(path) for path in schema["readOnlyProperties"]}
    assert facts.create_only == {_top(path) for path in schema["createOnlyProperties"]}
    assert facts.required == set(schema["required"])
    assert facts.properties == set(schema["properties"]) - read_only
    assert {name.partition(".")[0] for name in facts.attributes} == read_only


def _top(path: str) -> str:
    return path.split("/")[2]


def _registry_schema(resource_type: str) -> dict[str, Any]:
    """The schema as cfn-lint carries it; read as a file, since its import takes a second."""
    package = importlib.util.find_spec("cfnlint")
    assert package is not None
    assert package.origin is not None
    schemas = Path(package.origin).parent / "data" / "schemas"
    region = json.loads((schemas / "providers" / "us-east-1.json").read_text())
    name = region.get("types", region)[resource_type]
    schema: dict[str, Any] = json.loads((schemas / "resources" / f"{name}.json").read_text())
    return schema
