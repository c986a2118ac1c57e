from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway_world import LAMBDA_URI, GatewayWorld
from lamington.gateway.entities import BadRequestException, ConflictException, NotFoundException

DEFINITION = b"""{"swagger": "2.0", "info": {"title": "cakes"}, "paths": {"/a": {"get":
{"responses": {"200": {"description": ""}},
"x-amazon-apigateway-integration": {"type": "mock"}}}}}"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GatewayWorld]:
    made = GatewayWorld(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
async def api_id(world: GatewayWorld) -> str:
    return str((await world.import_api(DEFINITION))["id"])


async def deployed(world: GatewayWorld, api_id: str, **params: Any) -> str:
    result = await world.call("apigateway:CreateDeployment", {"restApiId": api_id, **params})
    return str(result["id"])


async def test_a_cluster_has_a_size_that_there_is(world: GatewayWorld, api_id: str) -> None:
    stage = await staged(world, api_id, cacheClusterEnabled=True)
    assert (stage["cacheClusterSize"], stage["cacheClusterStatus"]) == ("0.5", "AVAILABLE")
    patch = {"op": "replace", "path": "/cacheClusterSize", "value": "7"}
    with pytest.raises(BadRequestException, match="Invalid cache cluster size: 7"):
        await world.call(
            "apigateway:UpdateStage",
            {"restApiId": api_id, "stageName": "live", "patchOperations": [patch]},
        )


async def staged(world: GatewayWorld, api_id: str, **params: Any) -> dict[str, Any]:
    deployment_id = await deployed(world, api_id)
    return await world.call(
        "apigateway:CreateStage",
        {"restApiId": api_id, "stageName": "live", "deploymentId": deployment_id, **params},
    )


async def patched(world: GatewayWorld, api_id: str, *patches: dict[str, str]) -> dict[str, Any]:
    return await world.call(
        "apigateway:UpdateStage",
        {"restApiId": api_id, "stageName": "live", "patchOperations": list(patches)},
    )


async def test_a_stage_serves_the_deployment_not_the_api(world: GatewayWorld, api_id: str) -> None:
    await staged(world, api_id)
    before = world.api(api_id)
    body = DEFINITION.replace(b"/a", b"/b")
    await world.call("apigateway:PutRestApi", {"restApiId": api_id, "body": body})
    assert world.serving[api_id, "live"][0] == before
    await deployed(world, api_id, stageName="live")
    assert world.serving[api_id, "live"][0] == world.api(api_id)


async def test_a_deployment_with_a_stage_name_makes_the_stage(
    world: GatewayWorld, api_id: str
) -> None:
    first = await deployed(world, api_id, stageName="live", variables={"a": "1"})
    second = await deployed(world, api_id, stageName="live")
    stage = await world.call("apigateway:GetStage", {"restApiId": api_id, "stageName": "live"})
    assert first != second
    assert stage["deploymentId"] == second
    assert stage["variables"] == {"a": "1"}


async def test_an_api_without_methods_is_not_deployed(world: GatewayWorld) -> None:
    made = await world.call("apigateway:CreateRestApi", {"name": "bare"})
    with pytest.raises(BadRequestException) as caught:
        await deployed(world, made["id"])
    assert caught.value.message == "The REST API doesn't contain any methods"
    await world.call(
        "apigateway:PutMethod",
        {
            "restApiId": made["id"],
            "resourceId": made["rootResourceId"],
            "httpMethod": "GET",
            "authorizationType": "NONE",
        },
    )
    with pytest.raises(BadRequestException) as caught:
        await deployed(world, made["id"])
    assert caught.value.message == "No integration defined for method"


async def test_a_deployment_in_use_stays(world: GatewayWorld, api_id: str) -> None:
    stage = await staged(world, api_id)
    where = {"restApiId": api_id, "deploymentId": stage["deploymentId"]}
    with pytest.raises(BadRequestException) as caught:
        await world.call("apigateway:DeleteDeployment", where)
    assert (
        caught.value.message == "Active stages pointing to this deployment must be moved or deleted"
    )
    await world.call("apigateway:DeleteStage", {"restApiId": api_id, "stageName": "live"})
    await world.call("apigateway:DeleteDeployment", where)
    with pytest.raises(NotFoundException, match="Invalid Deployment identifier specified"):
        await world.call("apigateway:GetDeployment", where)


async def test_a_deployment_summarises_its_api_on_request(world: GatewayWorld, api_id: str) -> None:
    deployment_id = await deployed(world, api_id)
    where = {"restApiId": api_id, "deploymentId": deployment_id}
    assert "apiSummary" not in await world.call("apigateway:GetDeployment", where)
    found = await world.call("apigateway:GetDeployment", {**where, "embed": ["apisummary"]})
    assert found["apiSummary"] == {
        "/a": {"GET": {"authorizationType": "NONE", "apiKeyRequired": False}}
    }


async def test_a_stage_is_created_once_and_of_a_deployment(
    world: GatewayWorld, api_id: str
) -> None:
    stage = await staged(world, api_id)
    params = {
        "restApiId": api_id,
        "stageName": "live",
        "deploymentId": stage["deploymentId"],
    }
    with pytest.raises(ConflictException, match="Stage already exists"):
        await world.call("apigateway:CreateStage", params)
    with pytest.raises(BadRequestException, match="Deployment id does not exist"):
        await world.call("apigateway:CreateStage", {**params, "deploymentId": "nothing"})
    with pytest.raises(BadRequestException, match="Stage name only allows"):
        await world.call("apigateway:CreateStage", {**params, "stageName": "a/b"})


async def test_stage_variables_act_at_once(world: GatewayWorld, api_id: str) -> None:
    await staged(world, api_id, variables={"a": "1", "b": "2"})
    await world.clock.advance(60)
    stage = await patched(
        world,
        api_id,
        {"op": "replace", "path": "/variables/a", "value": "3"},
        {"op": "remove", "path": "/variables/b"},
    )
    assert stage["variables"] == {"a": "3"}
    assert world.serving[api_id, "live"][1].variables == {"a": "3"}
    assert stage["lastUpdatedDate"] > stage["createdDate"]


async def test_moving_a_stage_to_another_deployment_serves_that(
    world: GatewayWorld, api_id: str
) -> None:
    first = (await staged(world, api_id))["deploymentId"]
    body = DEFINITION.replace(b"/a", b"/b")
    await world.call("apigateway:PutRestApi", {"restApiId": api_id, "body": body})
    await deployed(world, api_id, stageName="live")
    await patched(world, api_id, {"op": "replace", "path": "/deploymentId", "value": first})
    paths = {it.path for it in world.serving[api_id, "live"][0].resources.values()}
    assert paths == {"/", "/a"}


async def test_method_settings_are_kept_with_their_defaults(
    world: GatewayWorld, api_id: str
) -> None:
    await staged(world, api_id)
    stage = await patched(
        world,
        api_id,
        {"op": "replace", "path": "/*/*/logging/loglevel", "value": "INFO"},
        {"op": "replace", "path": "/~1a~1{b}/GET/throttling/rateLimit", "value": "5"},
    )
    assert stage["methodSettings"]["*/*"]["loggingLevel"] == "INFO"
    assert stage["methodSettings"]["~1a~1{b}/GET"]["throttlingRateLimit"] == 5.0
    assert stage["methodSettings"]["~1a~1{b}/GET"]["throttlingBurstLimit"] == 5000
    stage = await patched(world, api_id, {"op": "remove", "path": "/*/*"})
    assert list(stage["methodSettings"]) == ["~1a~1{b}/GET"]


async def test_a_patch_path_that_is_none_is_refused(world: GatewayWorld, api_id: str) -> None:
    await staged(world, api_id)
    with pytest.raises(BadRequestException, match=r"Invalid method setting path: /flavour\. Must"):
        await patched(world, api_id, {"op": "replace", "path": "/flavour", "value": "1"})


async def test_every_stage_serves_again_after_a_restart(world: GatewayWorld, api_id: str) -> None:
    await staged(world, api_id, variables={"a": "1"})
    served = dict(world.serving)
    world.data_plane.programs.clear()
    world.stages.restore()
    assert world.serving == served


async def test_a_deleted_stage_serves_no_more(world: GatewayWorld, api_id: str) -> None:
    await staged(world, api_id)
    await world.call("apigateway:DeleteStage", {"restApiId": api_id, "stageName": "live"})
    assert world.serving == {}
    assert await world.call("apigateway:GetStages", {"restApiId": api_id}) == {"item": []}


async def test_a_method_can_be_tried_before_it_is_deployed(world: GatewayWorld) -> None:
    definition = {
        "swagger": "2.0",
        "info": {"title": "cakes"},
        "paths": {
            "/cakes/{name}": {
                "post": {
                    "responses": {"200": {"description": ""}},
                    "x-amazon-apigateway-integration": {
                        "type": "aws",
                        "uri": LAMBDA_URI,
                        "requestTemplates": {
                            "application/json": '{"name": "$input.params(\'name\')", "of":'
                            ' "$stageVariables.of", "q": "$input.params(\'q\')"}'
                        },
                        "responses": {"default": {"statusCode": "200"}},
                    },
                }
            }
        },
    }
    api_id = (await world.import_api(msgspec.json.encode(definition)))["id"]
    resources = await world.call("apigateway:GetResources", {"restApiId": api_id})
    ran = await world.call(
        "apigateway:TestInvokeMethod",
        {
            "restApiId": api_id,
            "resourceId": next(
                it["id"] for it in resources["items"] if it["path"] == "/cakes/{name}"
            ),
            "httpMethod": "POST",
            "pathWithQueryString": "/cakes/lamington?q=1",
            "body": "{}",
            "stageVariables": {"of": "coconut"},
        },
    )
    assert ran["status"] == 200
    assert msgspec.json.decode(ran["body"]) == {"name": "lamington", "of": "coconut", "q": "1"}
    assert ran["log"].startswith("Execution log for request ")
    assert "Method completed with status: 200" in ran["log"]
    assert world.serving == {}
