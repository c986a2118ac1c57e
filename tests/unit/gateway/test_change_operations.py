"""What may be changed of methods and integrations, models, validators and gateway responses."""

import json
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


class Api:
    """An API with `GET /` before a function, whose answers have the status 200."""

    def __init__(self, world: GatewayWorld, made: dict[str, Any]) -> None:
        self.world = world
        self.api_id: str = made["id"]
        self.root_id: str = made["rootResourceId"]

    async def call(self, operation: str, **params: Any) -> dict[str, Any]:
        return await self.world.call(
            f"apigateway:{operation}", {"restApiId": self.api_id, **params}
        )

    async def method(self, operation: str, **params: Any) -> dict[str, Any]:
        where = {"resourceId": self.root_id, "httpMethod": "GET"}
        return await self.call(operation, **{**where, **params})

    async def resource(self, path_part: str, parent_id: str = "") -> str:
        made = await self.call(
            "CreateResource", parentId=parent_id or self.root_id, pathPart=path_part
        )
        return str(made["id"])


@pytest.fixture
async def api(world: GatewayWorld) -> Api:
    api = Api(world, await world.call("apigateway:CreateRestApi", {"name": "cakes"}))
    await api.method("PutMethod", authorizationType="NONE")
    await api.method("PutMethodResponse", statusCode="200")
    await api.method("PutIntegration", type="AWS", integrationHttpMethod="POST", uri=LAMBDA_URI)
    await api.method("PutIntegrationResponse", statusCode="200")
    return api


def patch(op: str, path: str, value: str | None = None) -> list[dict[str, str]]:
    each = {"op": op, "path": path}
    return [each if value is None else {**each, "value": value}]


# Resources


async def test_a_renamed_resource_takes_all_below_it_along(api: Api) -> None:
    top = await api.resource("a")
    below = await api.resource("b", top)
    await api.call(
        "UpdateResource", resourceId=top, patchOperations=patch("replace", "/pathPart", "x")
    )
    assert (await api.call("GetResource", resourceId=below))["path"] == "/x/b"


async def test_a_resource_moves_under_another(api: Api) -> None:
    top, other = await api.resource("a"), await api.resource("o")
    below = await api.resource("b", top)
    moved = await api.call(
        "UpdateResource", resourceId=top, patchOperations=patch("replace", "/parentId", other)
    )
    assert (moved["path"], moved["parentId"]) == ("/o/a", other)
    assert (await api.call("GetResource", resourceId=below))["path"] == "/o/a/b"


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        (
            patch("replace", "/path", "x"),
            r"Invalid patch path  '/path' specified for op 'replace'. Must be one of: "
            r"\[/parentId, /pathPart\]",
        ),
        (
            patch("add", "/pathPart", "x"),
            "Invalid patch path  '/pathPart' specified for op 'add'. Please choose supported",
        ),
        (patch("replace", "/parentId", "{below}"), "Resources cannot be cyclical."),
        (patch("replace", "/parentId", "none"), "Invalid Resource identifier specified"),
        (
            patch("replace", "/pathPart", "taken"),
            "Another resource with the same parent already has this name: taken",
        ),
    ],
)
async def test_a_resource_that_cannot_go_there_stays(
    api: Api, operations: list[dict[str, str]], error: str
) -> None:
    await api.resource("taken")
    top = await api.resource("a")
    below = await api.resource("b", top)
    operations = [{**each, "value": each["value"].format(below=below)} for each in operations]
    with pytest.raises(AwsError, match=error):
        await api.call("UpdateResource", resourceId=top, patchOperations=operations)
    assert (await api.call("GetResource", resourceId=below))["path"] == "/a/b"


# Methods


async def test_every_member_of_a_method_can_be_changed(api: Api) -> None:
    validator = await api.call("CreateRequestValidator", name="v", validateRequestBody=True)
    changed = await api.method(
        "UpdateMethod",
        patchOperations=[
            *patch("replace", "/apiKeyRequired", "true"),
            *patch("replace", "/operationName", "bake"),
            *patch("replace", "/authorizationType", "AWS_IAM"),
            *patch("replace", "/requestValidatorId", validator["id"]),
            *patch("add", "/requestParameters/method.request.header.X", "true"),
            *patch("add", "/requestModels/application~1json", "Empty"),
            *patch("add", "/authorizationScopes", "read"),
        ],
    )
    assert {key: changed[key] for key in changed if not key.startswith("method")} == {
        "httpMethod": "GET",
        "authorizationType": "AWS_IAM",
        "authorizationScopes": ["read"],
        "apiKeyRequired": True,
        "requestValidatorId": validator["id"],
        "operationName": "bake",
        "requestParameters": {"method.request.header.X": True},
        "requestModels": {"application/json": "Empty"},
    }
    assert await api.method("GetMethod") == changed


async def test_what_a_method_had_can_be_taken_away(api: Api) -> None:
    validator = await api.call("CreateRequestValidator", name="v")
    had = [
        *patch("add", "/requestParameters/method.request.header.X", "true"),
        *patch("add", "/requestModels/application~1json", "Empty"),
        *patch("replace", "/requestValidatorId", validator["id"]),
    ]
    await api.method("UpdateMethod", patchOperations=had)
    changed = await api.method(
        "UpdateMethod",
        patchOperations=[
            *patch("remove", "/requestParameters/method.request.header.X"),
            *patch("remove", "/requestModels/application~1json"),
            *patch("replace", "/requestValidatorId", ""),
        ],
    )
    assert not {"requestParameters", "requestModels", "requestValidatorId"} & changed.keys()


async def test_an_operation_that_a_path_of_a_method_does_not_have_is_passed_over(api: Api) -> None:
    changed = await api.method("UpdateMethod", patchOperations=patch("add", "/operationName", "x"))
    assert "operationName" not in changed


async def test_an_authorizer_is_ignored_where_nobody_asks_for_one(api: Api) -> None:
    changed = await api.method(
        "UpdateMethod", patchOperations=patch("replace", "/authorizerId", "none")
    )
    assert "authorizerId" not in changed


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        (patch("replace", "/httpMethod", "POST"), "Invalid patch path /httpMethod"),
        (
            patch("replace", "/authorizationType", "CUSTOM"),
            "Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a valid",
        ),
        (
            patch("replace", "/requestValidatorId", "none"),
            "Invalid Request Validator identifier specified",
        ),
        (
            patch("add", "/requestModels/application~1json", "None"),
            "Invalid model identifier specified: None",
        ),
        (
            [
                *patch("add", "/requestParameters/method.request.header.a", "true"),
                *patch("add", "/requestParameters/method.request.querystring.a", "true"),
            ],
            "Parameter names must be unique across querystring, header and path",
        ),
    ],
)
async def test_a_method_refuses_what_aws_refuses(
    api: Api, operations: list[dict[str, str]], error: str
) -> None:
    with pytest.raises(BadRequestException, match=error):
        await api.method("UpdateMethod", patchOperations=operations)


async def test_a_method_response_can_be_changed(api: Api) -> None:
    changed = await api.method(
        "UpdateMethodResponse",
        statusCode="200",
        patchOperations=[
            *patch("add", "/responseParameters/method.response.header.X", "true"),
            *patch("add", "/responseModels/application~1json", "Error"),
        ],
    )
    assert changed == {
        "statusCode": "200",
        "responseParameters": {"method.response.header.X": True},
        "responseModels": {"application/json": "Error"},
    }
    with pytest.raises(NotFoundException, match="Invalid Response status code specified"):
        await api.method("UpdateMethodResponse", statusCode="404", patchOperations=[])


# Integrations


async def test_every_member_of_an_integration_can_be_changed(api: Api) -> None:
    parameter = patch("add", "/requestParameters/method.request.querystring.q", "false")
    await api.method("UpdateMethod", patchOperations=parameter)
    changed = await api.method(
        "UpdateIntegration",
        patchOperations=[
            *patch("replace", "/uri", f"{LAMBDA_URI[: -len('/invocations')]}:live/invocations"),
            *patch("replace", "/timeoutInMillis", "1000"),
            *patch("replace", "/passthroughBehavior", "NEVER"),
            *patch("replace", "/contentHandling", "CONVERT_TO_TEXT"),
            *patch("replace", "/credentials", "arn:aws:iam::123456789012:role/r"),
            *patch("replace", "/cacheNamespace", "shared"),
            *patch("add", "/cacheKeyParameters/method.request.querystring.q"),
            *patch("add", "/requestTemplates/application~1json", "{}"),
            *patch(
                "add", "/requestParameters/integration.request.header.X", "method.request.body.a"
            ),
        ],
    )
    assert changed["uri"].endswith(":hello:live/invocations")
    assert changed["timeoutInMillis"] == 1000
    assert changed["passthroughBehavior"] == "NEVER"
    assert changed["contentHandling"] == "CONVERT_TO_TEXT"
    assert changed["cacheNamespace"] == "shared"
    assert changed["cacheKeyParameters"] == ["method.request.querystring.q"]
    assert changed["requestTemplates"] == {"application/json": "{}"}
    assert changed["requestParameters"] == {"integration.request.header.X": "method.request.body.a"}
    changed = await api.method(
        "UpdateIntegration",
        patchOperations=[
            *patch("remove", "/cacheKeyParameters/method.request.querystring.q"),
            *patch("remove", "/requestTemplates/application~1json"),
            *patch("replace", "/contentHandling", ""),
        ],
    )
    assert changed["cacheKeyParameters"] == []
    assert not {"requestTemplates", "contentHandling"} & changed.keys()


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        (patch("replace", "/colour", "red"), "Must be one of: "),
        (patch("add", "/uri", "x"), "Please choose supported operations"),
        (patch("replace", "/timeoutInMillis", "10"), "Timeout should be between 50 ms and"),
        (patch("replace", "/timeoutInMillis", "soon"), "Invalid patch value 'soon'"),
        (patch("replace", "/passthroughBehavior", "MAYBE"), "Invalid passthrough behavior: MAYBE"),
        (
            patch("add", "/requestParameters/integration.request.header.X", "method.request.x.y"),
            "Invalid mapping expression specified: method.request.x.y",
        ),
        (
            patch("remove", "/requestTemplates/text~1plain"),
            "Invalid parameter name specified",
        ),
    ],
)
async def test_an_integration_refuses_what_aws_refuses(
    api: Api, operations: list[dict[str, str]], error: str
) -> None:
    with pytest.raises(AwsError, match=error):
        await api.method("UpdateIntegration", patchOperations=operations)


async def test_an_integration_response_can_be_changed(api: Api) -> None:
    header = patch("add", "/responseParameters/method.response.header.X", "false")
    await api.method("UpdateMethodResponse", statusCode="200", patchOperations=header)
    changed = await api.method(
        "UpdateIntegrationResponse",
        statusCode="200",
        patchOperations=[
            *patch("replace", "/selectionPattern", "bad.*"),
            *patch("replace", "/contentHandling", "CONVERT_TO_BINARY"),
            *patch("add", "/responseTemplates/application~1json", "{}"),
            *patch("add", "/responseParameters/method.response.header.X", "'y'"),
        ],
    )
    assert changed == {
        "statusCode": "200",
        "selectionPattern": "bad.*",
        "contentHandling": "CONVERT_TO_BINARY",
        "responseTemplates": {"application/json": "{}"},
        "responseParameters": {"method.response.header.X": "'y'"},
    }
    undeclared = patch("add", "/responseParameters/method.response.header.Y", "'y'")
    with pytest.raises(BadRequestException, match=r"method\.response\.header\.Y"):
        await api.method("UpdateIntegrationResponse", statusCode="200", patchOperations=undeclared)
    with pytest.raises(
        NotFoundException, match="Invalid Integration Response identifier specified"
    ):
        await api.method("UpdateIntegrationResponse", statusCode="404", patchOperations=[])


# Models


def reference(api: Api, name: str) -> dict[str, str]:
    place = f"https://apigateway.amazonaws.com/restapis/{api.api_id}/models/{name}"
    return {"$ref": place}


async def test_a_model_lives_from_creation_to_deletion(api: Api) -> None:
    schema = '{"type": "object"}'
    made = await api.call("CreateModel", name="Cake", contentType="application/json", schema=schema)
    assert {**made, "id": ""} == {
        "id": "",
        "name": "Cake",
        "contentType": "application/json",
        "schema": schema,
    }
    with pytest.raises(ConflictException, match="Model name already exists for this REST API"):
        await api.call("CreateModel", name="Cake", contentType="a/b", schema=schema)
    changed = await api.call(
        "UpdateModel", modelName="Cake", patchOperations=patch("replace", "/description", "d")
    )
    assert changed == {**made, "description": "d"}
    await api.call("DeleteModel", modelName="Cake")
    with pytest.raises(NotFoundException, match="Invalid model name specified: Cake"):
        await api.call("GetModel", modelName="Cake")


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"name": ""}, "Model name must be non-empty"),
        ({"name": "a-b"}, "Model name must be alphanumeric: a-b"),
        ({"schema": ""}, "Model schema must have at least 1 property or array items defined"),
        ({"schema": "[]"}, "Invalid model schema specified"),
        ({"schema": "{"}, "Invalid model schema specified"),
        ({"schema": '{"type": "cake"}'}, "Invalid model schema specified"),
    ],
)
async def test_a_model_that_cannot_be_is_refused(
    api: Api, params: dict[str, str], error: str
) -> None:
    given = {"name": "Cake", "contentType": "application/json", "schema": "{}", **params}
    with pytest.raises(BadRequestException, match=error):
        await api.call("CreateModel", **given)


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        (
            patch("add", "/schema", "{}"),
            "Invalid patch path  '/schema' specified for op 'add'. Please choose supported",
        ),
        (
            patch("replace", "/name", "x"),
            r"Invalid patch path  '/name' specified for op 'replace'. Must be one of: "
            r"\[/description, /schema\]",
        ),
        (patch("replace", "/schema", ""), "Model schema must have at least 1 property"),
    ],
)
async def test_a_model_refuses_what_aws_refuses(
    api: Api, operations: list[dict[str, str]], error: str
) -> None:
    with pytest.raises(BadRequestException, match=error):
        await api.call("UpdateModel", modelName="Empty", patchOperations=operations)


async def test_a_flat_model_has_the_models_that_it_refers_to(api: Api) -> None:
    layer = {"type": "object", "properties": {"on": reference(api, "Layer")}}
    cake = {"type": "array", "items": reference(api, "Layer")}
    for name, schema in (("Layer", layer), ("Cake", cake)):
        await api.call(
            "CreateModel", name=name, contentType="application/json", schema=json.dumps(schema)
        )
    plain = await api.call("GetModel", modelName="Cake")
    flat = await api.call("GetModel", modelName="Cake", flatten=True)
    assert json.loads(plain["schema"]) == cake
    assert json.loads(flat["schema"]) == {
        "type": "array",
        "items": {"$ref": "#/definitions/Layer"},
        "definitions": {
            "Layer": {"type": "object", "properties": {"on": {"$ref": "#/definitions/Layer"}}}
        },
    }


async def test_a_sample_template_has_the_structure_of_its_model(api: Api) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "layers": {"type": "array", "items": {"properties": {"mm": {"type": "integer"}}}},
        },
    }
    await api.call(
        "CreateModel", name="Cake", contentType="application/json", schema=json.dumps(schema)
    )
    template = (await api.call("GetModelTemplate", modelName="Cake"))["value"]
    assert template == (
        "#set($inputRoot = $input.path('$'))\n"
        "{\n"
        '  "name" : "foo",\n'
        '  "layers" : [\n'
        "    ##TODO: Update this foreach loop to reference array from input json\n"
        "    #foreach($elem in $inputRoot.layers)\n"
        "    {\n"
        '      "mm" : 42\n'
        "    }#if($foreach.hasNext),#end\n"
        "    #end\n"
        "  ]\n"
        "}"
    )


# Validators


async def test_a_validator_lives_from_creation_to_deletion(api: Api) -> None:
    made = await api.call("CreateRequestValidator", name="v", validateRequestBody=True)
    assert made["validateRequestParameters"] is False
    changed = await api.call(
        "UpdateRequestValidator",
        requestValidatorId=made["id"],
        patchOperations=[
            *patch("replace", "/validateRequestParameters", "true"),
            *patch("replace", "/validateRequestBody", "false"),
            *patch("replace", "/name", "w"),
        ],
    )
    assert changed == {
        "id": made["id"],
        "name": "w",
        "validateRequestBody": False,
        "validateRequestParameters": True,
    }
    assert await api.call("GetRequestValidator", requestValidatorId=made["id"]) == changed
    assert (await api.call("GetRequestValidators"))["items"] == [changed]
    await api.call("DeleteRequestValidator", requestValidatorId=made["id"])
    with pytest.raises(NotFoundException, match="Invalid Request Validator identifier specified"):
        await api.call("GetRequestValidator", requestValidatorId=made["id"])


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        (patch("add", "/name", "x"), "specified for op 'add'. Please choose supported operations"),
        (
            patch("replace", "/colour", "red"),
            r"Must be one of: \[/name, /validateRequestParameters, /validateRequestBody\]",
        ),
        (patch("replace", "/name", ""), "Request Validator name cannot be blank"),
    ],
)
async def test_a_validator_refuses_what_aws_refuses(
    api: Api, operations: list[dict[str, str]], error: str
) -> None:
    made = await api.call("CreateRequestValidator", name="v")
    with pytest.raises(BadRequestException, match=error):
        await api.call(
            "UpdateRequestValidator", requestValidatorId=made["id"], patchOperations=operations
        )


# Gateway responses


async def test_a_default_gateway_response_becomes_the_apis_own_by_a_change(api: Api) -> None:
    changed = await api.call(
        "UpdateGatewayResponse",
        responseType="THROTTLED",
        patchOperations=[
            *patch("replace", "/statusCode", "503"),
            *patch("add", "/responseParameters/gatewayresponse.header.Retry-After", "'1'"),
            *patch("replace", "/responseTemplates/application~1json", "{}"),
        ],
    )
    assert changed == {
        "responseType": "THROTTLED",
        "statusCode": "503",
        "responseParameters": {"gatewayresponse.header.Retry-After": "'1'"},
        "responseTemplates": {"application/json": "{}"},
        "defaultResponse": False,
    }
    assert await api.call("GetGatewayResponse", responseType="THROTTLED") == changed


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        (patch("add", "/statusCode", "500"), "Invalid patch path /statusCode"),
        (patch("replace", "/colour", "red"), "Invalid patch path /colour"),
        (
            patch("replace", "/responseParameters/gatewayresponse.header.X", "'1'"),
            "Invalid parameter name specified",
        ),
        (
            patch("add", "/responseTemplates/application~1xml"),
            "Invalid null or empty value in responseTemplates",
        ),
    ],
)
async def test_a_gateway_response_refuses_what_aws_refuses(
    api: Api, operations: list[dict[str, str]], error: str
) -> None:
    with pytest.raises(AwsError, match=error):
        await api.call(
            "UpdateGatewayResponse", responseType="THROTTLED", patchOperations=operations
        )


# Caches


async def test_a_flush_needs_a_stage(api: Api) -> None:
    for operation in ("FlushStageCache", "FlushStageAuthorizersCache"):
        with pytest.raises(NotFoundException, match="Invalid stage identifier specified"):
            await api.call(operation, stageName="none")
    await api.call("CreateDeployment", stageName="dev")
    assert await api.call("FlushStageCache", stageName="dev") == {}
