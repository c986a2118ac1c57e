"""A stage with a canary: which program serves, what it may read, and how it is promoted."""

from pathlib import Path

import msgspec
import pytest

from gateway_world import GatewayWorld
from lamington.core.http import Request
from lamington.gateway.entities import BadRequestException

DEFINITION = {
    "swagger": "2.0",
    "info": {"title": "canaries"},
    "paths": {
        "/": {
            "get": {
                "responses": {"200": {"description": ""}},
                "x-amazon-apigateway-integration": {
                    "type": "mock",
                    "requestTemplates": {"application/json": '{"statusCode": 200}'},
                    "responses": {
                        "default": {
                            "statusCode": "200",
                            "responseTemplates": {
                                "application/json": "$context.isCanaryRequest"
                                " $stageVariables.name $context.deploymentId"
                            },
                        }
                    },
                },
            }
        }
    },
}


class CanaryWorld(GatewayWorld):
    api_id = ""

    async def deployed(self, **params: object) -> str:
        result = await self.call(
            "apigateway:CreateDeployment", {"restApiId": self.api_id, "stageName": "v1", **params}
        )
        return str(result["id"])

    async def answer(self) -> str:
        response = await self.data_plane.handle(Request(method="GET", path="/"), *self.root)
        return response.body.decode()

    @property
    def root(self) -> tuple[str, str, str]:
        return self.api_id, "v1", "/"

    async def patch(self, *operations: dict[str, str]) -> None:
        await self.call(
            "apigateway:UpdateStage",
            {"restApiId": self.api_id, "stageName": "v1", "patchOperations": list(operations)},
        )


@pytest.fixture
async def world(tmp_path: Path) -> CanaryWorld:
    world = CanaryWorld(tmp_path)
    world.api_id = (await world.import_api(msgspec.json.encode(DEFINITION)))["id"]
    return world


async def test_a_canary_serves_its_share_with_variables_of_its_own(world: CanaryWorld) -> None:
    first = await world.deployed(variables={"name": "stage"})
    assert await world.answer() == f" stage {first}"
    second = await world.deployed(
        canarySettings={"percentTraffic": 100.0, "stageVariableOverrides": {"name": "canary"}}
    )
    assert await world.answer() == f"true canary {second}"
    await world.patch({"op": "replace", "path": "/canarySettings/percentTraffic", "value": "0.0"})
    assert await world.answer() == f"false stage {first}"


async def test_a_deployment_to_a_stage_with_a_canary_is_the_canarys(world: CanaryWorld) -> None:
    first = await world.deployed(variables={"name": "n"})
    await world.deployed(canarySettings={"percentTraffic": 0.0})
    third = await world.deployed()
    assert await world.answer() == f"false n {first}"
    stage = await world.call("apigateway:GetStage", {"restApiId": world.api_id, "stageName": "v1"})
    assert stage["deploymentId"] == first
    assert stage["canarySettings"]["deploymentId"] == third


async def test_a_canary_is_promoted_by_copying_and_removed(world: CanaryWorld) -> None:
    await world.deployed(variables={"name": "stage", "kept": "k"})
    second = await world.deployed(
        canarySettings={"percentTraffic": 5.0, "stageVariableOverrides": {"name": "canary"}}
    )
    await world.patch(
        {"op": "replace", "path": "/canarySettings/percentTraffic", "value": "0.0"},
        {"op": "copy", "from": "/canarySettings/stageVariableOverrides", "path": "/variables"},
        {"op": "copy", "from": "/canarySettings/deploymentId", "path": "/deploymentId"},
    )
    assert await world.answer() == f"false canary {second}"
    await world.patch({"op": "remove", "path": "/canarySettings"})
    assert await world.answer() == f" canary {second}"


async def test_a_deployment_that_a_canary_serves_is_not_deleted(world: CanaryWorld) -> None:
    await world.deployed()
    second = await world.deployed(canarySettings={"percentTraffic": 5.0})
    with pytest.raises(BadRequestException, match="Active stages pointing"):
        await world.call(
            "apigateway:DeleteDeployment", {"restApiId": world.api_id, "deploymentId": second}
        )


@pytest.mark.parametrize("percent", [-1.0, 100.5])
async def test_a_share_outside_0_to_100_percent_is_refused(
    world: CanaryWorld, percent: float
) -> None:
    await world.deployed()
    with pytest.raises(BadRequestException, match="percentTraffic"):
        await world.deployed(canarySettings={"percentTraffic": percent})


async def test_a_canary_needs_a_stage_that_is_there(world: CanaryWorld) -> None:
    with pytest.raises(BadRequestException, match="Invalid stage identifier"):
        await world.deployed(canarySettings={"percentTraffic": 5.0})
