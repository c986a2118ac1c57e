"""The AWS::ApiGatewayV2 types over the control plane: what they make, change, find and delete."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lamington.core.errors import AwsError, ResourceError
from lamington.gateway.v2.entities import Api
from lamington.stack.providers.base import Finder, Physical, ProviderRegistry, ResourceContext
from lamington.stack.providers.gateway_v2 import gateway_v2_providers
from v2_world import FUNCTION, INVOCATION, SCOPE, V2World

HTTP = {"Name": "cakes", "ProtocolType": "HTTP"}
SOCKET = {
    "Name": "cakes",
    "ProtocolType": "WEBSOCKET",
    "RouteSelectionExpression": "$request.body.action",
}
PROXY = {
    "IntegrationType": "AWS_PROXY",
    "IntegrationUri": FUNCTION,
    "PayloadFormatVersion": 2.0,
}


def a_body(*paths: str) -> dict[str, Any]:
    operation = {
        "responses": {"default": {"description": ""}},
        "x-amazon-apigateway-integration": {
            "type": "aws_proxy",
            "uri": FUNCTION,
            "payloadFormatVersion": "2.0",
        },
    }
    return {
        "openapi": "3.0.1",
        "info": {"title": "from the body"},
        "tags": [{"name": "made", "x-amazon-apigateway-tag-value": "by hand"}],
        "paths": {path: {"get": operation} for path in paths},
    }


class StackOfOne:
    """Creates, updates and deletes resources of one stack, with their facts applied."""

    def __init__(self, world: V2World) -> None:
        self.world = world
        self.registry = ProviderRegistry(gateway_v2_providers(world))

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
        provider = self.registry[f"AWS::ApiGatewayV2::{name}"]
        assert provider.facts.problems(properties) == []
        made = await provider.create(provider.facts.converted(properties), self.context(name))
        assert made.attributes.keys() >= provider.facts.attributes
        return made

    async def update(
        self, name: str, physical_id: str, after: dict[str, Any], before: dict[str, Any]
    ) -> Physical:
        provider = self.registry[f"AWS::ApiGatewayV2::{name}"]
        convert = provider.facts.converted
        return await provider.update(
            physical_id, convert(after), convert(before), self.context(name)
        )

    async def delete(self, name: str, physical_id: str, properties: dict[str, Any]) -> None:
        provider = self.registry[f"AWS::ApiGatewayV2::{name}"]
        for _ in range(2):
            await provider.delete(physical_id, properties, self.context(name))

    async def find(self, name: str, properties: dict[str, Any]) -> str | None:
        provider = self.registry[f"AWS::ApiGatewayV2::{name}"]
        assert isinstance(provider, Finder)
        return await provider.find(provider.facts.converted(properties), self.context(name))

    async def api(self, properties: dict[str, Any] | None = None) -> str:
        return (await self.create("Api", properties or HTTP)).physical_id

    def row(self, api_id: str) -> Api:
        return self.world.row(api_id)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackOfOne]:
    world = V2World(tmp_path)
    yield StackOfOne(world)
    world.store.close()


async def test_api_of_properties(stack: StackOfOne) -> None:
    made = await stack.create("Api", {**HTTP, "CorsConfiguration": {"MaxAge": "5"}})
    assert made.attributes == {
        "ApiId": made.physical_id,
        "ApiEndpoint": f"https://{made.physical_id}.execute-api.eu-west-1.amazonaws.com",
        "ExecuteApiArn": f"arn:aws:execute-api:eu-west-1:123456789012:{made.physical_id}",
    }
    api = stack.row(made.physical_id)
    assert api.cors is not None
    assert api.cors.max_age_s == 5
    assert api.tags["team"] == "buns"


async def test_api_of_a_body_has_its_name_and_both_tags(stack: StackOfOne) -> None:
    api = stack.row(await stack.api({"Body": a_body("/a"), "Tags": {"own": 1}}))
    assert (api.name, [route.route_key for route in api.routes.values()]) == (
        "from the body",
        ["GET /a"],
    )
    assert {"own": "1", "team": "buns", "made": "by hand"}.items() <= api.tags.items()


async def test_properties_win_over_the_body(stack: StackOfOne) -> None:
    properties = {"Body": json.dumps(a_body("/a")), "Name": "named", "Description": "of cakes"}
    api = stack.row(await stack.api(properties))
    assert (api.name, api.description) == ("named", "of cakes")


async def test_body_that_is_wrong_leaves_no_api(stack: StackOfOne) -> None:
    with pytest.raises(AwsError):
        await stack.create("Api", {"Body": {**a_body("/a"), "openapi": "2"}})
    assert (await stack.world.call("GetApis", {}))["Items"] == []


@pytest.mark.parametrize("properties", [{}, {"Name": "a"}, {"Body": "{"}, {"Body": "[]"}])
async def test_api_of_nothing_is_refused(stack: StackOfOne, properties: dict[str, Any]) -> None:
    with pytest.raises(ResourceError):
        await stack.create("Api", properties)


async def test_changed_body_is_imported_again(stack: StackOfOne) -> None:
    before, after = {"Body": a_body("/a", "/b")}, {"Body": a_body("/a", "/c")}
    api_id = await stack.api(before)
    kept = next(each for each in stack.row(api_id).routes.values() if each.route_key == "GET /a")
    await stack.update("Api", api_id, after, before)
    routes = stack.row(api_id).routes
    assert routes[kept.route_id] == kept
    assert {each.route_key for each in routes.values()} == {"GET /a", "GET /c"}


async def test_what_is_gone_from_an_api_is_gone(stack: StackOfOne) -> None:
    before = {
        **HTTP,
        "Description": "d",
        "DisableExecuteApiEndpoint": True,
        "CorsConfiguration": {"AllowOrigins": ["*"]},
        "Tags": {"a": "1"},
    }
    api_id = await stack.api(before)
    await stack.update("Api", api_id, HTTP, before)
    api = stack.row(api_id)
    assert (api.description, api.disable_execute_api_endpoint, api.cors) == ("", False, None)
    assert "a" not in api.tags


async def test_route_with_its_integration_and_authorizer(stack: StackOfOne) -> None:
    api = {"ApiId": await stack.api()}
    integration = await stack.create("Integration", {**api, **PROXY})
    authorizer = await stack.create(
        "Authorizer",
        {
            **api,
            "Name": "tokens",
            "AuthorizerType": "JWT",
            "IdentitySource": ["$request.header.Authorization"],
            "JwtConfiguration": {"Issuer": "https://issuer.example", "Audience": ["a"]},
        },
    )
    before = {
        **api,
        "RouteKey": "GET /a",
        "Target": f"integrations/{integration.physical_id}",
        "AuthorizationType": "JWT",
        "AuthorizerId": authorizer.physical_id,
        "OperationName": "a",
    }
    made = await stack.create("Route", before)
    row = stack.row(api["ApiId"]).routes[made.reference]
    assert (row.authorizer_id, row.integration_id) == (authorizer.reference, integration.reference)

    bare = {name: before[name] for name in ("ApiId", "RouteKey", "Target")}
    await stack.update("Route", made.physical_id, bare, before)
    row = stack.row(api["ApiId"]).routes[made.reference]
    # As on AWS: only the type NONE takes an authorizer away.
    assert (row.authorization_type, row.operation_name) == ("JWT", "")
    await stack.update("Route", made.physical_id, {**bare, "AuthorizationType": "NONE"}, bare)
    assert stack.row(api["ApiId"]).routes[made.reference].authorizer_id == ""

    await stack.delete("Route", made.physical_id, before)
    await stack.delete("Integration", integration.physical_id, api)
    await stack.delete("Authorizer", authorizer.physical_id, api)
    assert stack.row(api["ApiId"]).routes == {}


async def test_mappings_of_an_integration_come_and_go(stack: StackOfOne) -> None:
    api = {"ApiId": await stack.api()}
    before: dict[str, Any] = {
        **api,
        **PROXY,
        "TimeoutInMillis": "5000",
        "RequestParameters": {"append:header.a": "1", "append:header.b": "2"},
        "ResponseParameters": {
            "200": {
                "ResponseParameters": [{"Destination": "overwrite:statuscode", "Source": "201"}]
            },
            "404": {"ResponseParameters": [{"Destination": "append:header.x", "Source": "y"}]},
        },
    }
    made = await stack.create("Integration", before)
    row = stack.row(api["ApiId"]).integrations[made.physical_id]
    assert row.response_parameters["200"] == {"overwrite:statuscode": "201"}
    assert (row.timeout_ms, row.payload_format_version) == (5000, "2.0")
    after = {
        **api,
        **PROXY,
        "RequestParameters": {"append:header.b": "3"},
        "ResponseParameters": {"404": before["ResponseParameters"]["404"]},
    }
    await stack.update("Integration", made.physical_id, after, before)
    row = stack.row(api["ApiId"]).integrations[made.physical_id]
    assert row.request_parameters == {"append:header.b": "3"}
    assert row.response_parameters == {"404": {"append:header.x": "y"}}


async def test_parts_of_a_socket_api(stack: StackOfOne) -> None:
    api = {"ApiId": await stack.api(SOCKET)}
    integration = await stack.create(
        "Integration", {**api, "IntegrationType": "AWS", "IntegrationUri": INVOCATION}
    )
    answer = await stack.create(
        "IntegrationResponse",
        {**api, "IntegrationId": integration.reference, "IntegrationResponseKey": "$default"},
    )
    before = {
        **api,
        "RouteKey": "$connect",
        "Target": f"integrations/{integration.reference}",
        "RequestParameters": {"route.request.querystring.who": {"Required": "true"}},
    }
    route = await stack.create("Route", before)
    reply = await stack.create(
        "RouteResponse", {**api, "RouteId": route.reference, "RouteResponseKey": "$default"}
    )
    model = await stack.create("Model", {**api, "Name": "Cake", "Schema": {"type": "object"}})
    row = stack.row(api["ApiId"])
    assert set(row.routes[route.reference].responses) == {reply.reference}
    assert set(row.integrations[integration.reference].responses) == {answer.reference}
    assert row.routes[route.reference].request_parameters == {"route.request.querystring.who": True}
    assert row.models[model.reference].schema == '{"type":"object"}'
    after = {name: before[name] for name in ("ApiId", "RouteKey", "Target")}
    await stack.update("Route", route.physical_id, after, before)
    assert stack.row(api["ApiId"]).routes[route.reference].request_parameters == {}


async def test_stage_serves_and_is_changed(stack: StackOfOne) -> None:
    api = {"ApiId": await stack.api()}
    await stack.create("Route", {**api, "RouteKey": "GET /a"})
    deployment = await stack.create("Deployment", api)
    before = {
        **api,
        "StageName": "dev",
        "DeploymentId": deployment.reference,
        "StageVariables": {"a": 1, "b": 2},
        "RouteSettings": {"GET /a": {"ThrottlingBurstLimit": "3", "ThrottlingRateLimit": "2"}},
        "AccessLogSettings": {
            "DestinationArn": "arn:aws:logs:us-east-1:000000000000:log-group:cakes",
            "Format": "$context.requestId",
        },
        "Tags": {"a": "1"},
    }
    made = await stack.create("Stage", before)
    _, stage = stack.world.http.served[api["ApiId"], "dev"]
    assert (made.reference, stage.variables) == ("dev", {"a": "1", "b": "2"})
    assert stage.route_settings["GET /a"].throttling_burst_limit == 3
    after = {
        **api,
        "StageName": "dev",
        "DeploymentId": deployment.reference,
        "StageVariables": {"b": 3},
    }
    await stack.update("Stage", "dev", after, before)
    _, stage = stack.world.http.served[api["ApiId"], "dev"]
    assert (stage.variables, stage.route_settings, stage.access_log) == ({"b": "3"}, {}, {})
    assert "a" not in stack.world.tables.require_stage(SCOPE, api["ApiId"], "dev").tags
    await stack.delete("Stage", "dev", after)
    await stack.delete("Deployment", deployment.physical_id, api)
    assert stack.world.http.served == {}


async def test_stage_that_deploys_itself_is_updated(stack: StackOfOne) -> None:
    api = {"ApiId": await stack.api()}
    await stack.create("Route", {**api, "RouteKey": "GET /a"})
    before = {**api, "StageName": "$default", "AutoDeploy": "true"}
    await stack.create("Stage", before)
    await stack.update("Stage", "$default", {**before, "Description": "d"}, before)
    _, stage = stack.world.http.served[api["ApiId"], "$default"]
    assert (stage.auto_deploy, stage.description) == (True, "d")


async def test_what_a_create_left_is_found(stack: StackOfOne) -> None:
    assert await stack.find("Api", HTTP) is None
    api_id = await stack.api()
    assert await stack.find("Api", HTTP) == api_id
    api = {"ApiId": api_id}
    link = {"Name": "a", "SubnetIds": ["s"]}
    for name, properties in (
        ("Integration", {**api, **PROXY}),
        ("Route", {**api, "RouteKey": "GET /a"}),
        ("Deployment", {**api, "Description": "d"}),
        ("Model", {**api, "Name": "Cake", "Schema": {}}),
        ("Stage", {**api, "StageName": "dev"}),
        ("VpcLink", link),
    ):
        assert await stack.find(name, properties) is None, name
        made = await stack.create(name, properties)
        assert await stack.find(name, properties) == made.physical_id, name


async def test_vpc_link_is_renamed(stack: StackOfOne) -> None:
    before = {"Name": "a", "SubnetIds": ["s"], "Tags": {"x": "1"}}
    made = await stack.create("VpcLink", before)
    await stack.update("VpcLink", made.physical_id, {**before, "Name": "b", "Tags": {}}, before)
    link = await stack.world.call("GetVpcLink", {"VpcLinkId": made.physical_id})
    assert (link["Name"], "x" in link["Tags"]) == ("b", False)
    await stack.delete("VpcLink", made.physical_id, before)
