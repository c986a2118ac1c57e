from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_world import LAMBDA_URI, GatewayWorld
from lamington.core.errors import AwsError
from lamington.gateway.entities import BadRequestException, ConflictException, NotFoundException


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GatewayWorld]:
    made = GatewayWorld(tmp_path)
    yield made
    made.store.close()


class HandMade:
    """An API made by hand: each step adds what its name says."""

    def __init__(self, world: GatewayWorld, api_id: str, root_id: str) -> None:
        self.world = world
        self.api_id = api_id
        self.root_id = root_id

    async def resource(self, path_part: str, parent_id: str = "") -> str:
        result = await self.world.call(
            "apigateway:CreateResource",
            {
                "restApiId": self.api_id,
                "parentId": parent_id or self.root_id,
                "pathPart": path_part,
            },
        )
        return str(result["id"])

    async def put(self, operation: str, resource_id: str, **params: Any) -> dict[str, Any]:
        return await self.world.call(
            f"apigateway:{operation}",
            {
                "restApiId": self.api_id,
                "resourceId": resource_id,
                "httpMethod": "GET",
                **params,
            },
        )


@pytest.fixture
async def api(world: GatewayWorld) -> HandMade:
    made = await world.call("apigateway:CreateRestApi", {"name": "cakes"})
    return HandMade(world, made["id"], made["rootResourceId"])


async def test_an_api_can_be_built_by_hand(api: HandMade) -> None:
    resource_id = await api.resource("cakes")
    await api.put(
        "PutMethod",
        resource_id,
        authorizationType="NONE",
        requestParameters={"method.request.querystring.q": False},
        requestModels={"application/json": "Empty"},
    )
    await api.put(
        "PutMethodResponse",
        resource_id,
        statusCode="200",
        responseParameters={"method.response.header.X": False},
    )
    await api.put(
        "PutIntegration",
        resource_id,
        type="AWS",
        integrationHttpMethod="POST",
        uri=LAMBDA_URI,
        requestParameters={"integration.request.header.q": "method.request.querystring.q"},
        requestTemplates={"application/json": "{}"},
    )
    await api.put(
        "PutIntegrationResponse",
        resource_id,
        statusCode="200",
        selectionPattern="",
        responseParameters={"method.response.header.X": "'y'"},
        responseTemplates={"application/json": ""},
    )
    whole = await api.world.call(
        "apigateway:GetResources", {"restApiId": api.api_id, "embed": ["methods"]}
    )
    resource = next(it for it in whole["items"] if it["path"] == "/cakes")
    method = resource["resourceMethods"]["GET"]
    assert method["methodResponses"]["200"]["statusCode"] == "200"
    integration = method["methodIntegration"]
    assert integration["cacheNamespace"] == resource_id
    assert integration["timeoutInMillis"] == 29000
    assert integration["passthroughBehavior"] == "WHEN_NO_MATCH"
    answered = integration["integrationResponses"]["200"]
    assert answered["responseTemplates"] == {"application/json": None}
    assert await api.put("GetIntegration", resource_id) == integration
    assert await api.put("GetMethod", resource_id) == method


async def test_resources_show_the_names_of_their_methods_unless_asked(api: HandMade) -> None:
    await api.put("PutMethod", api.root_id, authorizationType="NONE")
    found = await api.world.call("apigateway:GetResources", {"restApiId": api.api_id})
    assert found["items"] == [{"id": api.root_id, "path": "/", "resourceMethods": {"GET": {}}}]


async def test_deleting_a_resource_deletes_all_below_it(api: HandMade) -> None:
    top = await api.resource("a")
    await api.resource("b", top)
    await api.resource("ab")
    await api.world.call("apigateway:DeleteResource", {"restApiId": api.api_id, "resourceId": top})
    paths = {it.path for it in api.world.api(api.api_id).resources.values()}
    assert paths == {"/", "/ab"}


@pytest.mark.parametrize(
    ("path_part", "error"),
    [
        ("a/b", "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable"),
        ("a{b}", "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable"),
        ("", "Resource's path part must be specified"),
        ("taken", "Another resource with the same parent already has this name: taken"),
        ("{y}", r"A sibling \(\{x\}\) of this resource already has a variable path part"),
    ],
)
async def test_a_path_part_that_cannot_be_is_refused(
    api: HandMade, path_part: str, error: str
) -> None:
    await api.resource("taken")
    await api.resource("{x}")
    with pytest.raises(AwsError, match=error):
        await api.resource(path_part)


async def test_what_is_not_there_is_named(api: HandMade) -> None:
    for operation, message in (
        ("GetMethod", "Invalid Method identifier specified"),
        ("GetIntegration", "Invalid Method identifier specified"),
    ):
        with pytest.raises(NotFoundException, match=message):
            await api.put(operation, api.root_id)
    with pytest.raises(NotFoundException, match="Invalid Resource identifier specified"):
        await api.put("GetMethod", "nothing")
    await api.put("PutMethod", api.root_id, authorizationType="NONE")
    with pytest.raises(NotFoundException, match="Invalid Integration identifier specified"):
        await api.put("GetIntegration", api.root_id)
    with pytest.raises(NotFoundException, match="Invalid Response status code specified"):
        await api.put("GetMethodResponse", api.root_id, statusCode="200")


async def test_a_method_is_put_once(api: HandMade) -> None:
    await api.put("PutMethod", api.root_id, authorizationType="NONE")
    with pytest.raises(ConflictException, match="Method already exists for this resource"):
        await api.put("PutMethod", api.root_id, authorizationType="NONE")


async def test_an_authorizer_must_exist(api: HandMade) -> None:
    with pytest.raises(BadRequestException, match="requires a valid authorizer"):
        await api.put("PutMethod", api.root_id, authorizationType="CUSTOM", authorizerId="none")


async def test_an_integration_response_needs_its_method_response(api: HandMade) -> None:
    await api.put("PutMethod", api.root_id, authorizationType="NONE")
    await api.put("PutIntegration", api.root_id, type="MOCK")
    with pytest.raises(NotFoundException, match="Invalid Response status code specified"):
        await api.put("PutIntegrationResponse", api.root_id, statusCode="200")


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"type": "AWS", "uri": LAMBDA_URI}, "Enumeration value for HttpMethod must be non-empty"),
        (
            {"type": "AWS", "integrationHttpMethod": "POST", "uri": "x"},
            "Invalid ARN specified in the request",
        ),
        (
            {"type": "MOCK", "timeoutInMillis": 49},
            "Timeout should be between 50 ms and 29000 ms",
        ),
    ],
)
async def test_an_integration_that_cannot_be_is_refused(
    api: HandMade, params: dict[str, Any], error: str
) -> None:
    await api.put("PutMethod", api.root_id, authorizationType="NONE")
    with pytest.raises(BadRequestException, match=error):
        await api.put("PutIntegration", api.root_id, **params)


async def test_a_model_in_use_stays(api: HandMade) -> None:
    await api.put(
        "PutMethod",
        api.root_id,
        authorizationType="NONE",
        requestModels={"application/json": "Empty"},
    )
    where = {"restApiId": api.api_id, "modelName": "Empty"}
    with pytest.raises(ConflictException, match="Cannot delete model 'Empty'"):
        await api.world.call("apigateway:DeleteModel", where)
    await api.world.call("apigateway:DeleteModel", {**where, "modelName": "Error"})
    found = await api.world.call("apigateway:GetModels", {"restApiId": api.api_id})
    assert [model["name"] for model in found["items"]] == ["Empty"]
