from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_world import LAMBDA_URI, SCOPE, GatewayWorld
from lamington.core.errors import AwsError, ResourceError
from lamington.gateway.entities import RestApi
from lamington.stack.providers.base import Finder, Physical, ProviderRegistry, ResourceContext
from lamington.stack.providers.gateway import gateway_providers

LOG_GROUP = "arn:aws:logs:eu-west-1:123456789012:log-group:x"
MOCK = {"x-amazon-apigateway-integration": {"type": "mock"}}


def a_body(*paths: str, **rest: Any) -> dict[str, Any]:
    operation = {"responses": {"200": {"description": ""}}, **MOCK}
    return {
        "swagger": "2.0",
        "info": {"title": "from the body"},
        "paths": {path: {"get": operation} for path in paths},
        **rest,
    }


class StackOfOne:
    """Creates, updates and deletes resources of one stack, with their facts applied."""

    def __init__(self, world: GatewayWorld) -> None:
        self.world = world
        self.registry = ProviderRegistry(gateway_providers(world))

    def context(self, name: str) -> ResourceContext:
        return ResourceContext(
            scope=SCOPE,
            stack_name="cakes",
            stack_id="arn:aws:cloudformation:eu-west-1:123456789012:stack/cakes/1",
            logical_id=name,
            token=name,
            tags={"team": "buns"},
        )

    async def create(self, name: str, properties: dict[str, Any]) -> Physical:
        provider = self.registry[f"AWS::ApiGateway::{name}"]
        assert provider.facts.problems(properties) == []
        return await provider.create(provider.facts.converted(properties), self.context(name))

    async def update(
        self, name: str, physical_id: str, after: dict[str, Any], before: dict[str, Any]
    ) -> Physical:
        provider = self.registry[f"AWS::ApiGateway::{name}"]
        convert = provider.facts.converted
        return await provider.update(
            physical_id, convert(after), convert(before), self.context(name)
        )

    async def delete(self, name: str, physical_id: str, properties: dict[str, Any]) -> None:
        provider = self.registry[f"AWS::ApiGateway::{name}"]
        await provider.delete(physical_id, properties, self.context(name))

    async def find(self, name: str, properties: dict[str, Any]) -> str | None:
        provider = self.registry[f"AWS::ApiGateway::{name}"]
        assert isinstance(provider, Finder)
        return await provider.find(properties, self.context(name))

    def api(self, api_id: str) -> RestApi:
        return self.world.api(api_id)

    async def deployed(self, *paths: str) -> tuple[str, str]:
        api = await self.create("RestApi", {"Body": a_body(*(paths or ("/a",)))})
        deployment = await self.create("Deployment", {"RestApiId": api.physical_id})
        return api.physical_id, deployment.physical_id


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackOfOne]:
    world = GatewayWorld(tmp_path)
    yield StackOfOne(world)
    world.store.close()


def paths_of(api: RestApi) -> set[str]:
    return {each.path for each in api.resources.values()}


async def test_a_body_makes_an_api(stack: StackOfOne) -> None:
    made = await stack.create("RestApi", {"Body": a_body("/a", "/b")})
    api = stack.api(made.physical_id)
    assert made.reference == api.api_id
    assert made.attributes == {"RestApiId": api.api_id, "RootResourceId": api.root.resource_id}
    assert paths_of(api) == {"/", "/a", "/b"}
    assert api.name == "from the body"


async def test_properties_win_over_the_body(stack: StackOfOne) -> None:
    key = "x-amazon-apigateway-binary-media-types"
    properties = {
        "Body": a_body("/a", **{key: ["image/png"]}),
        "Name": "named",
        "Description": "of cakes",
        "BinaryMediaTypes": ["font/*"],
        "EndpointConfiguration": {"Types": ["REGIONAL"]},
        "MinimumCompressionSize": "10",
        "Tags": [{"Key": "a", "Value": "b"}],
    }
    made = await stack.create("RestApi", properties)
    api = stack.api(made.physical_id)
    assert (api.name, api.description) == ("named", "of cakes")
    assert api.binary_media_types == ("image/png", "font/*")
    assert api.endpoint_types == ("REGIONAL",)
    assert api.minimum_compression_size == 10
    assert api.tags["a"] == "b"
    assert api.tags["team"] == "buns"
    assert api.tags["aws:cloudformation:logical-id"] == "RestApi"


async def test_parameters_are_the_imports(stack: StackOfOne) -> None:
    properties = {
        "Body": a_body("/a", basePath="/v1"),
        "Parameters": {"basepath": "prepend", "endpointConfigurationTypes": "REGIONAL"},
    }
    made = await stack.create("RestApi", properties)
    assert paths_of(stack.api(made.physical_id)) == {"/", "/v1", "/v1/a"}
    assert stack.api(made.physical_id).endpoint_types == ("REGIONAL",)


async def test_a_refused_body_leaves_no_api_behind(stack: StackOfOne) -> None:
    with pytest.raises(AwsError, match="Errors found during import"):
        await stack.create("RestApi", {"Body": a_body("/a{b}")})
    assert (await stack.world.call("apigateway:GetRestApis", {}))["items"] == []


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({}, "RestApi needs a `Name`, or a `Body` with `info.title`"),
        ({"Body": "{"}, r"Invalid OpenAPI input\."),
        ({"BodyS3Location": {"Bucket": "b", "Key": "k"}}, "BodyS3Location is not emulated yet"),
    ],
)
async def test_an_api_that_cannot_be_made_is_refused(
    stack: StackOfOne, properties: dict[str, Any], message: str
) -> None:
    with pytest.raises(ResourceError, match=message):
        await stack.create("RestApi", properties)


async def test_an_updated_body_overwrites_and_tags_follow(stack: StackOfOne) -> None:
    before: dict[str, Any] = {"Body": a_body("/a"), "Tags": [{"Key": "a", "Value": "1"}]}
    after: dict[str, Any] = {"Body": a_body("/b"), "Tags": [{"Key": "b", "Value": "2"}]}
    api_id = (await stack.create("RestApi", before)).physical_id
    updated = await stack.update("RestApi", api_id, after, before)
    api = stack.api(api_id)
    assert updated.physical_id == api_id
    assert paths_of(api) == {"/", "/b"}
    assert "a" not in api.tags
    assert api.tags["b"] == "2"
    assert api.tags["aws:cloudformation:stack-name"] == "cakes"


async def test_a_new_name_does_not_import_again(stack: StackOfOne) -> None:
    before = {"Body": a_body("/a"), "Name": "one"}
    api_id = (await stack.create("RestApi", before)).physical_id
    stack.world.calls.clear()
    await stack.update("RestApi", api_id, {**before, "Name": "two"}, before)
    assert stack.api(api_id).name == "two"
    assert "apigateway:PutRestApi" not in stack.world.calls


async def test_a_property_that_goes_takes_its_effect_with_it(stack: StackOfOne) -> None:
    before = {
        "Name": "one",
        "Description": "of cakes",
        "Policy": {"Statement": []},
        "EndpointConfiguration": {"Types": ["PRIVATE"], "VpcEndpointIds": ["vpce-1"]},
        "BinaryMediaTypes": ["image/*"],
    }
    after = {
        "Name": "one",
        "Body": a_body("/a"),
        "EndpointConfiguration": {"Types": ["REGIONAL"], "IpAddressType": "dualstack"},
    }
    api_id = (await stack.create("RestApi", before)).physical_id
    assert stack.api(api_id).policy == '{"Statement":[]}'
    await stack.update("RestApi", api_id, after, before)
    api = stack.api(api_id)
    assert (api.name, api.description, api.policy, api.binary_media_types) == ("one", "", "", ())
    assert api.endpoint_types == ("REGIONAL",)
    assert (api.vpc_endpoint_ids, api.ip_address_type) == ((), "dualstack")


async def test_a_create_that_was_cut_off_is_found_by_its_tags(stack: StackOfOne) -> None:
    properties = {"Body": a_body("/a")}
    assert await stack.find("RestApi", properties) is None
    made = await stack.create("RestApi", properties)
    assert await stack.find("RestApi", properties) == made.physical_id


async def test_an_api_can_be_made_of_resources_and_methods(stack: StackOfOne) -> None:
    api = await stack.create("RestApi", {"Name": "by hand"})
    resource_properties = {
        "RestApiId": api.physical_id,
        "ParentId": api.attributes["RootResourceId"],
        "PathPart": "cakes",
    }
    resource = await stack.create("Resource", resource_properties)
    assert resource.attributes == {"ResourceId": resource.reference}
    assert await stack.find("Resource", resource_properties) == resource.physical_id
    properties: dict[str, Any] = {
        "RestApiId": api.physical_id,
        "ResourceId": resource.reference,
        "HttpMethod": "get",
        "RequestParameters": {"method.request.querystring.q": "true"},
        "MethodResponses": [
            {"StatusCode": 200, "ResponseParameters": {"method.response.header.X": True}}
        ],
        "Integration": {
            "Type": "AWS",
            "IntegrationHttpMethod": "POST",
            "Uri": LAMBDA_URI,
            "RequestTemplates": {"application/json": {"a": 1}},
            "IntegrationResponses": [
                {"StatusCode": 200, "ResponseParameters": {"method.response.header.X": "'y'"}}
            ],
        },
    }
    assert await stack.find("Method", properties) is None
    method = await stack.create("Method", properties)
    assert await stack.find("Method", properties) == method.physical_id
    kept = stack.api(api.physical_id).resources[resource.reference].methods["GET"]
    assert kept.authorization_type == "NONE"
    assert kept.request_parameters == {"method.request.querystring.q": True}
    assert kept.integration is not None
    assert kept.integration.request_templates == {"application/json": '{"a":1}'}
    assert kept.integration.responses[0].response_parameters == {"method.response.header.X": "'y'"}

    after = {**properties, "Integration": {"Type": "MOCK"}}
    assert await stack.update("Method", method.physical_id, after, properties) == method
    changed = stack.api(api.physical_id).resources[resource.reference].methods["GET"]
    assert changed.integration is not None
    assert changed.integration.type == "MOCK"

    bad = {**properties, "Integration": {"Type": "HTTP", "Uri": "nowhere"}}
    with pytest.raises(AwsError, match="HttpMethod must be non-empty"):
        await stack.update("Method", method.physical_id, bad, after)
    restored = stack.api(api.physical_id).resources[resource.reference].methods["GET"]
    assert restored == changed

    await stack.delete("Method", method.physical_id, after)
    await stack.delete("Resource", resource.physical_id, resource_properties)
    assert paths_of(stack.api(api.physical_id)) == {"/"}


async def test_a_deployment_with_a_stage_takes_its_stage_with_it(stack: StackOfOne) -> None:
    api = await stack.create("RestApi", {"Body": a_body("/a")})
    properties: dict[str, Any] = {
        "RestApiId": api.physical_id,
        "StageName": "live",
        "StageDescription": {
            "Variables": {"of": "coconut"},
            "LoggingLevel": "INFO",
            "MethodSettings": [
                {"ResourcePath": "/a", "HttpMethod": "GET", "ThrottlingRateLimit": "5"}
            ],
        },
    }
    first = await stack.create("Deployment", properties)
    assert first.attributes == {"DeploymentId": first.reference}
    _, stage = stack.world.serving[api.physical_id, "live"]
    assert stage.variables == {"of": "coconut"}
    assert stage.method_settings == {
        "*/*": {"loggingLevel": "INFO"},
        "a/GET": {"throttlingRateLimit": 5.0},
    }
    second = await stack.create("Deployment", {**properties, "Description": "second"})
    await stack.delete("Deployment", first.physical_id, properties)
    _, stage = stack.world.serving[api.physical_id, "live"]
    assert stage.deployment_id == second.physical_id
    await stack.delete("Deployment", second.physical_id, properties)
    assert stack.world.serving == {}


async def test_a_deployment_changes_only_what_is_said_of_it(stack: StackOfOne) -> None:
    api_id, deployment_id = await stack.deployed()
    before = {"RestApiId": api_id}
    updated = await stack.update(
        "Deployment", deployment_id, {**before, "Description": "new"}, before
    )
    assert updated.physical_id == deployment_id
    found = stack.world.tables.require_deployment(SCOPE, api_id, deployment_id)
    assert found.description == "new"


async def test_a_deployment_keeps_its_stage(stack: StackOfOne) -> None:
    api_id, deployment_id = await stack.deployed()
    before = {"RestApiId": api_id, "StageName": "live"}
    with pytest.raises(ResourceError, match="The stage of a deployment cannot be changed"):
        await stack.update("Deployment", deployment_id, {**before, "StageName": "new"}, before)


async def test_a_stage_description_needs_a_stage_name(stack: StackOfOne) -> None:
    api_id, _ = await stack.deployed()
    with pytest.raises(ResourceError, match="StageDescription cannot be specified"):
        await stack.create(
            "Deployment", {"RestApiId": api_id, "StageDescription": {"Description": "x"}}
        )


async def test_a_stage_is_made_changed_and_deleted(stack: StackOfOne) -> None:
    api_id, deployment_id = await stack.deployed()
    before: dict[str, Any] = {
        "RestApiId": api_id,
        "StageName": "live",
        "DeploymentId": deployment_id,
        "Variables": {"a": "1", "b": "2"},
        "MethodSettings": [
            {"ResourcePath": "/*", "HttpMethod": "*", "LoggingLevel": "INFO"},
            {"ResourcePath": "/~1a", "HttpMethod": "GET", "MetricsEnabled": "true"},
        ],
        "AccessLogSetting": {"DestinationArn": LOG_GROUP, "Format": "$context.requestId"},
        "Tags": [{"Key": "k", "Value": "v"}],
    }
    made = await stack.create("Stage", before)
    assert made.reference == "live"
    assert await stack.find("Stage", before) == "live"
    _, stage = stack.world.serving[api_id, "live"]
    assert stage.method_settings == {
        "*/*": {"loggingLevel": "INFO"},
        "~1a/GET": {"metricsEnabled": True},
    }
    assert stage.access_log["format"] == "$context.requestId"
    assert stage.tags["k"] == "v"
    after = {
        **before,
        "Variables": {"a": "3"},
        "MethodSettings": [{"ResourcePath": "/*", "HttpMethod": "*", "LoggingLevel": "ERROR"}],
        "TracingEnabled": True,
    }
    await stack.update("Stage", "live", after, before)
    _, stage = stack.world.serving[api_id, "live"]
    assert stage.variables == {"a": "3"}
    assert stage.method_settings == {"*/*": {"loggingLevel": "ERROR"}}
    assert stage.tracing_enabled
    await stack.delete("Stage", "live", after)
    await stack.delete("Stage", "live", after)
    assert stack.world.serving == {}


async def test_a_stage_that_cannot_be_whole_is_not_there(stack: StackOfOne) -> None:
    api_id, deployment_id = await stack.deployed()
    properties = {
        "RestApiId": api_id,
        "StageName": "live",
        "DeploymentId": deployment_id,
        "MethodSettings": [{"ResourcePath": "/*", "HttpMethod": "*", "CacheTtlInSeconds": "x"}],
    }
    with pytest.raises(AwsError, match="Invalid patch value 'x'"):
        await stack.create("Stage", properties)
    assert stack.world.serving == {}


async def test_the_account_keeps_its_role_when_the_resource_goes(stack: StackOfOne) -> None:
    role = {"CloudWatchRoleArn": "arn:aws:iam::123456789012:role/logs"}
    made = await stack.create("Account", role)
    assert made.attributes == {"Id": made.physical_id}
    await stack.delete("Account", made.physical_id, role)
    account = await stack.world.call("apigateway:GetAccount", {})
    assert account["cloudwatchRoleArn"] == role["CloudWatchRoleArn"]


async def test_models_and_gateway_responses_come_and_go(stack: StackOfOne) -> None:
    api_id = (await stack.create("RestApi", {"Name": "by hand"})).physical_id
    model = {"RestApiId": api_id, "Schema": {"type": "object"}}
    made = await stack.create("Model", model)
    assert stack.api(api_id).models[made.reference].schema == '{"type":"object"}'
    await stack.update("Model", made.physical_id, {**model, "Schema": {"type": "array"}}, model)
    assert stack.api(api_id).models[made.reference].schema == '{"type":"array"}'
    await stack.delete("Model", made.physical_id, model)
    assert made.reference not in stack.api(api_id).models

    response = {"RestApiId": api_id, "ResponseType": "DEFAULT_4XX", "StatusCode": 418}
    put = await stack.create("GatewayResponse", response)
    assert stack.api(api_id).gateway_responses["DEFAULT_4XX"].status_code == "418"
    await stack.delete("GatewayResponse", put.physical_id, response)
    assert stack.api(api_id).gateway_responses == {}


async def test_deleting_what_is_not_there_is_success(stack: StackOfOne) -> None:
    await stack.delete("RestApi", "nothing", {})
    await stack.delete("Deployment", "nothing", {"RestApiId": "none", "StageName": "live"})
    await stack.delete("Resource", "nothing", {"RestApiId": "none"})


def test_a_property_that_no_type_has_is_a_problem(stack: StackOfOne) -> None:
    facts = stack.registry["AWS::ApiGateway::Stage"].facts
    assert facts.problems({"StageNam": "live"}) == [
        "#: required key [RestApiId] not found",
        "#: extraneous key [StageNam] is not permitted",
    ]
