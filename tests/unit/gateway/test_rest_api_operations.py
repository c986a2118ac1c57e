from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_world import SCOPE, GatewayWorld
from lamington.core.aws import Scope
from lamington.gateway.entities import BadRequestException, NotFoundException

MOCK_API = b"""{"swagger": "2.0", "info": {"title": "cakes", "version": "7"}, "paths": {"/a":
{"get": {"responses": {"200": {"description": ""}},
"x-amazon-apigateway-integration": {"type": "mock"}}}}}"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GatewayWorld]:
    made = GatewayWorld(tmp_path)
    yield made
    made.store.close()


async def test_an_imported_api_is_shown_as_it_was_answered(world: GatewayWorld) -> None:
    answered = await world.import_api(MOCK_API)
    assert answered["name"] == "cakes"
    assert answered["version"] == "7"
    assert len(answered["id"]) == 10
    assert answered["createdDate"] == world.clock.now()
    assert answered["endpointConfiguration"] == {"types": ["EDGE"], "ipAddressType": "ipv4"}
    assert await world.call("apigateway:GetRestApi", {"restApiId": answered["id"]}) == answered


async def test_the_endpoint_type_is_a_parameter_of_the_import(world: GatewayWorld) -> None:
    parameters = {"endpointConfigurationTypes": "REGIONAL"}
    answered = await world.import_api(MOCK_API, parameters=parameters)
    assert answered["endpointConfiguration"]["types"] == ["REGIONAL"]


async def test_warnings_are_answered_and_refuse_the_import_on_request(world: GatewayWorld) -> None:
    body = MOCK_API.replace(b'{"200": {"description": ""}}', b"{}")
    warning = "Parse issue: attribute paths.'/a'(get).responses is missing"
    assert (await world.import_api(body))["warnings"] == [warning]
    with pytest.raises(BadRequestException) as caught:
        await world.import_api(body, failOnWarnings=True)
    assert caught.value.message == f"Warnings found during import:\n\t{warning}"


async def test_put_merges_unless_told_to_overwrite(world: GatewayWorld) -> None:
    api_id = (await world.import_api(MOCK_API))["id"]
    other = {"restApiId": api_id, "body": MOCK_API.replace(b"/a", b"/b")}
    await world.call("apigateway:PutRestApi", other)
    assert {it.path for it in world.api(api_id).resources.values()} == {"/", "/a", "/b"}
    await world.call("apigateway:PutRestApi", {**other, "mode": "overwrite"})
    assert {it.path for it in world.api(api_id).resources.values()} == {"/", "/b"}


async def test_a_refused_definition_changes_nothing(world: GatewayWorld) -> None:
    api_id = (await world.import_api(MOCK_API))["id"]
    before = world.api(api_id)
    with pytest.raises(BadRequestException, match="Errors found during import"):
        await world.call(
            "apigateway:PutRestApi",
            {"restApiId": api_id, "body": MOCK_API.replace(b"/a", b"/a{b}")},
        )
    assert world.api(api_id) == before


async def test_a_new_api_has_a_root_and_two_models(world: GatewayWorld) -> None:
    answered = await world.call("apigateway:CreateRestApi", {"name": "cakes"})
    api = world.api(answered["id"])
    assert [it.path for it in api.resources.values()] == ["/"]
    assert answered["rootResourceId"] == api.root.resource_id
    assert sorted(api.models) == ["Empty", "Error"]


async def test_an_api_that_is_not_there_is_named_with_its_account(world: GatewayWorld) -> None:
    with pytest.raises(NotFoundException) as caught:
        await world.call("apigateway:GetRestApi", {"restApiId": "nothing"})
    assert caught.value.message == "Invalid API identifier specified 123456789012:nothing"


async def test_apis_of_another_region_are_not_seen(world: GatewayWorld) -> None:
    await world.import_api(MOCK_API)
    elsewhere = Scope(account_id=SCOPE.account_id, region="us-west-2")
    assert await world.call("apigateway:GetRestApis", {}, elsewhere) == {"items": []}


async def test_pages_follow_each_other_by_position(world: GatewayWorld) -> None:
    made = [(await world.import_api(MOCK_API))["id"] for _ in range(5)]
    seen: list[str] = []
    position = None
    for _ in range(3):
        page = await world.call(
            "apigateway:GetRestApis", {"limit": 2, **({"position": position} if position else {})}
        )
        seen += [api["id"] for api in page["items"]]
        position = page.get("position")
    assert position is None
    assert seen == sorted(made)


async def test_patches_change_an_api(world: GatewayWorld) -> None:
    api_id = (await world.import_api(MOCK_API))["id"]
    patches = [
        {"op": "replace", "path": "/name", "value": "buns"},
        {"op": "add", "path": "/binaryMediaTypes/image~1png"},
        {"op": "replace", "path": "/minimumCompressionSize", "value": "100"},
        {"op": "replace", "path": "/endpointConfiguration/types/EDGE", "value": "REGIONAL"},
    ]
    answered = await world.call(
        "apigateway:UpdateRestApi", {"restApiId": api_id, "patchOperations": patches}
    )
    assert answered["name"] == "buns"
    assert answered["binaryMediaTypes"] == ["image/png"]
    assert answered["minimumCompressionSize"] == 100
    assert answered["endpointConfiguration"]["types"] == ["REGIONAL"]


async def test_a_patch_of_an_unknown_path_is_refused(world: GatewayWorld) -> None:
    api_id = (await world.import_api(MOCK_API))["id"]
    patches = [{"op": "replace", "path": "/flavour", "value": "buns"}]
    with pytest.raises(BadRequestException, match="Invalid patch path  '/flavour' specified for"):
        await world.call(
            "apigateway:UpdateRestApi", {"restApiId": api_id, "patchOperations": patches}
        )


async def test_deleting_an_api_takes_its_stages_out_of_service(world: GatewayWorld) -> None:
    api_id = (await world.import_api(MOCK_API))["id"]
    await world.call("apigateway:CreateDeployment", {"restApiId": api_id, "stageName": "live"})
    assert (api_id, "live") in world.serving
    await world.call("apigateway:DeleteRestApi", {"restApiId": api_id})
    assert world.serving == {}
    assert world.tables.stages.all(SCOPE, api_id) == []
    assert world.tables.deployments.all(SCOPE, api_id) == []


async def test_tags_come_and_go_by_arn(world: GatewayWorld) -> None:
    api_id = (await world.import_api(MOCK_API))["id"]
    arn = f"arn:aws:apigateway:eu-west-1::/restapis/{api_id}"
    await world.call("apigateway:TagResource", {"resourceArn": arn, "tags": {"a": "1", "b": "2"}})
    await world.call("apigateway:UntagResource", {"resourceArn": arn, "tagKeys": ["a"]})
    assert await world.call("apigateway:GetTags", {"resourceArn": arn}) == {"tags": {"b": "2"}}


async def test_the_account_keeps_its_role(world: GatewayWorld) -> None:
    assert "cloudwatchRoleArn" not in await world.call("apigateway:GetAccount", {})
    patches = [{"op": "replace", "path": "/cloudwatchRoleArn", "value": "arn:aws:iam::1:role/r"}]
    await world.call("apigateway:UpdateAccount", {"patchOperations": patches})
    account = await world.call("apigateway:GetAccount", {})
    assert account["cloudwatchRoleArn"] == "arn:aws:iam::1:role/r"
    assert account["throttleSettings"] == {"burstLimit": 5000, "rateLimit": 10000.0}


async def test_a_gateway_response_is_the_default_until_it_is_put(world: GatewayWorld) -> None:
    api_id = (await world.import_api(MOCK_API))["id"]
    where = {"restApiId": api_id, "responseType": "THROTTLED"}
    default = await world.call("apigateway:GetGatewayResponse", where)
    assert (default["defaultResponse"], default["statusCode"]) == (True, "429")
    await world.call("apigateway:PutGatewayResponse", {**where, "statusCode": "420"})
    assert (await world.call("apigateway:GetGatewayResponse", where))["statusCode"] == "420"
    listed = await world.call("apigateway:GetGatewayResponses", {"restApiId": api_id})
    assert len(listed["items"]) == 21
    await world.call("apigateway:DeleteGatewayResponse", where)
    assert await world.call("apigateway:GetGatewayResponse", where) == default
