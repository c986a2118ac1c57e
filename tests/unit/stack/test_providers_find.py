"""What a create that was cut off left behind is found, and nothing of somebody else's."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import SCOPE, LambdaWorld, archive, lambda_world
from gateway_world import SCOPE as GATEWAY_SCOPE
from gateway_world import GatewayWorld
from lamington.core.aws import AwsCaller, Params, Result, Scope
from lamington.stack.providers.base import Finder, ProviderRegistry, ResourceContext
from lamington.stack.providers.functions import function_providers
from lamington.stack.providers.gateway import gateway_providers


@dataclass
class Owning:
    """An AwsCaller to whom stacks own what is in `owned`: types by physical id."""

    caller: AwsCaller
    owned: dict[str, str] = field(default_factory=dict)

    async def call(self, operation: str, params: Params, scope: Scope) -> Result:
        physical_id = params.get("PhysicalResourceId")
        if operation == "cloudformation:DescribeStackResources" and physical_id in self.owned:
            row = {"PhysicalResourceId": physical_id, "ResourceType": self.owned[physical_id]}
            return {"StackResources": [row]}
        return await self.caller.call(operation, params, scope)


def context(token: str, scope: Scope = SCOPE) -> ResourceContext:
    return ResourceContext(
        scope=scope,
        stack_name="cakes",
        stack_id=scope.arn("cloudformation", "stack/cakes/1"),
        logical_id="It",
        token=token,
    )


@pytest.fixture
def functions(tmp_path: Path) -> Iterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        yield made


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayWorld]:
    made = GatewayWorld(tmp_path)
    yield made
    made.store.close()


async def found(
    caller: AwsCaller, resource_type: str, desired: dict[str, Any], context: ResourceContext
) -> str | None:
    providers = [*function_providers(caller), *gateway_providers(caller)]
    provider = ProviderRegistry(providers)[resource_type]
    assert isinstance(provider, Finder)
    return await provider.find(desired, context)


@pytest.mark.parametrize(
    ("published", "asked", "is_found"),
    [
        ({}, {}, True),
        ({"Description": "of mine"}, {"Description": "of mine"}, True),
        ({"Description": "of hers"}, {"Description": "of mine"}, False),
        ({"Description": "of hers"}, {}, False),
    ],
)
async def test_a_version_is_found_by_what_it_says(
    functions: LambdaWorld, published: dict[str, str], asked: dict[str, str], is_found: bool
) -> None:
    kind, desired = "AWS::Lambda::Version", {"FunctionName": "f", **asked}
    assert await found(functions.caller, kind, desired, context("a")) is None, "no function"
    await functions.create("f")
    assert await found(functions.caller, kind, desired, context("a")) is None, "only $LATEST"
    arn = (await functions.call("PublishVersion", FunctionName="f", **published))["FunctionArn"]
    expected = arn if is_found else None
    assert await found(functions.caller, kind, desired, context("a")) == expected


async def test_a_version_of_other_code_is_not_what_is_looked_for(functions: LambdaWorld) -> None:
    await functions.create("f")
    await functions.call("PublishVersion", FunctionName="f")
    await functions.call("UpdateFunctionCode", FunctionName="f", ZipFile=archive("x = 2"))
    desired = {"FunctionName": "f"}
    assert await found(functions.caller, "AWS::Lambda::Version", desired, context("a")) is None


async def test_a_version_and_an_alias_that_a_stack_has_are_not_found(
    functions: LambdaWorld,
) -> None:
    await functions.create("f")
    version = await functions.call("PublishVersion", FunctionName="f")
    alias = {"FunctionName": "f", "FunctionVersion": "1", "Name": "live"}
    made = await functions.call("CreateAlias", **alias)
    owning = Owning(functions.caller)
    for kind, desired, arn in (
        ("AWS::Lambda::Version", {"FunctionName": "f"}, version["FunctionArn"]),
        ("AWS::Lambda::Alias", alias, made["AliasArn"]),
    ):
        assert await found(owning, kind, desired, context("a")) == arn
        owning.owned[arn] = "AWS::IAM::Role"
        assert await found(owning, kind, desired, context("a")) == arn, "of another type"
        owning.owned[arn] = kind
        assert await found(owning, kind, desired, context("a")) is None


HERE = context("a", GATEWAY_SCOPE)


async def an_api(gateway: GatewayWorld) -> str:
    made = await gateway.call("apigateway:CreateRestApi", {"name": "a"})
    api_id = str(made["id"])
    root = str(made["rootResourceId"])
    where = {"restApiId": api_id, "resourceId": root, "httpMethod": "GET"}
    await gateway.call("apigateway:PutMethod", {**where, "authorizationType": "NONE"})
    await gateway.call("apigateway:PutIntegration", {**where, "type": "MOCK"})
    return api_id


async def test_each_create_that_was_cut_off_finds_a_deployment_of_its_own(
    gateway: GatewayWorld,
) -> None:
    api_id = await an_api(gateway)
    desired = {"RestApiId": api_id}
    made = {
        str((await gateway.call("apigateway:CreateDeployment", {"restApiId": api_id}))["id"])
        for _ in range(2)
    }
    providers = ProviderRegistry(gateway_providers(gateway))
    provider = providers["AWS::ApiGateway::Deployment"]
    assert isinstance(provider, Finder)
    scope = HERE
    found = [await provider.find(desired, replace(scope, token=token)) for token in "abca"]
    assert {found[0], found[1]} == made
    assert found[2] is None
    assert found[3] == found[0]


async def test_a_deployment_that_is_older_served_described_or_owned_is_not_found(
    gateway: GatewayWorld,
) -> None:
    api_id = await an_api(gateway)
    kind, desired = "AWS::ApiGateway::Deployment", {"RestApiId": api_id}
    started = replace(HERE, started=gateway.clock.now())
    await gateway.call("apigateway:CreateDeployment", {"restApiId": api_id})
    await gateway.clock.advance(60)
    late = replace(started, started=gateway.clock.now())
    assert await found(gateway, kind, desired, started) is not None
    assert await found(gateway, kind, desired, late) is None, "older"
    deployed = {"restApiId": api_id, "description": "x", "stageName": "live"}
    made = str((await gateway.call("apigateway:CreateDeployment", deployed))["id"])
    assert await found(gateway, kind, desired, late) is None, "another description"
    assert await found(gateway, kind, {**desired, "Description": "x"}, late) is None, "served"
    own = {**desired, "Description": "x", "StageName": "live"}
    assert await found(gateway, kind, own, late) == made
    assert await found(Owning(gateway, {made: kind}), kind, own, late) is None


async def test_what_is_in_an_api_is_found_where_no_stack_has_it(gateway: GatewayWorld) -> None:
    api_id = await an_api(gateway)
    response = {"RestApiId": api_id, "ResponseType": "THROTTLED"}
    model = {"RestApiId": api_id, "Name": "cake", "Schema": {"type": "object"}}
    kinds = "AWS::ApiGateway::GatewayResponse", "AWS::ApiGateway::Model"
    assert await found(gateway, kinds[0], response, HERE) is None
    assert await found(gateway, kinds[1], model, HERE) is None
    put = {"restApiId": api_id, "responseType": "THROTTLED", "statusCode": "400"}
    await gateway.call("apigateway:PutGatewayResponse", put)
    create = {"restApiId": api_id, "name": "cake", "contentType": "application/json"}
    await gateway.call("apigateway:CreateModel", {**create, "schema": '{"type":"object"}'})
    name = f"{api_id}|THROTTLED"
    assert await found(gateway, kinds[0], response, HERE) == name
    assert await found(Owning(gateway, {name: kinds[0]}), kinds[0], response, HERE) is None
    assert await found(gateway, kinds[1], model, HERE) == "cake"
    other = {**model, "Schema": {"type": "string"}}
    assert await found(gateway, kinds[1], other, HERE) is None


async def test_nothing_is_found_in_an_api_that_is_gone(gateway: GatewayWorld) -> None:
    place = {"RestApiId": "gone", "ParentId": "p", "PathPart": "x", "ResourceId": "r"}
    desired = {**place, "HttpMethod": "GET", "ResponseType": "THROTTLED", "StageName": "live"}
    for kind in ("Resource", "Method", "Model", "GatewayResponse", "Deployment", "Stage"):
        assert await found(gateway, f"AWS::ApiGateway::{kind}", desired, HERE) is None


async def test_the_accounts_settings_need_no_looking_for(gateway: GatewayWorld) -> None:
    name = await found(gateway, "AWS::ApiGateway::Account", {}, HERE)
    assert name == HERE.physical_name(128)
