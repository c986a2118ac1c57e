from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from gateway_world import LAMBDA_URI, SCOPE, GatewayWorld
from lamington.core.clock import Ids
from lamington.gateway.entities import BadRequestException
from lamington.gateway.openapi import import_definition, parse_definition

CAKE = {"type": "object", "properties": {"of": {"$ref": "#/definitions/Flour"}}}
DEFINITION: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "cakes", "version": "7"},
    "paths": {
        "/cakes/{name}": {
            "put": {
                "operationId": "bake",
                "consumes": ["application/json"],
                "parameters": [
                    {"name": "q", "in": "query", "required": True},
                    {"name": "cake", "in": "body", "schema": {"$ref": "#/definitions/Cake"}},
                ],
                "responses": {
                    "200": {"schema": {"type": "string"}, "headers": {"X": {"type": "string"}}},
                    "404": {"description": "none"},
                },
                "security": [{"token": [], "key": []}],
                "x-amazon-apigateway-request-validator": "all",
                "x-amazon-apigateway-integration": {
                    "type": "aws",
                    "uri": LAMBDA_URI,
                    "requestParameters": {
                        "integration.request.header.q": "method.request.querystring.q"
                    },
                    "requestTemplates": {"application/json": "{}", "text/plain": ""},
                    "responses": {
                        "default": {
                            "statusCode": "200",
                            "responseParameters": {"method.response.header.X": "'y'"},
                        },
                        ".*none.*": {"statusCode": "404"},
                    },
                },
            },
            "x-amazon-apigateway-any-method": {
                "responses": {},
                "x-amazon-apigateway-integration": {"type": "mock"},
            },
        }
    },
    "definitions": {"Cake": CAKE, "Flour": {"type": "string"}},
    "securityDefinitions": {
        "key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
        "token": {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "x-amazon-apigateway-authtype": "custom",
            "x-amazon-apigateway-authorizer": {"type": "token", "authorizerUri": LAMBDA_URI},
        },
    },
    "x-amazon-apigateway-request-validators": {"all": {"validateRequestBody": True}},
    "x-amazon-apigateway-gateway-responses": {"THROTTLED": {"statusCode": "420"}},
    "x-amazon-apigateway-binary-media-types": ["image/*"],
    "x-amazon-apigateway-minimum-compression-size": 0,
    "x-amazon-apigateway-policy": {"Statement": []},
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GatewayWorld]:
    made = GatewayWorld(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
async def api_id(world: GatewayWorld) -> str:
    api_id = str((await world.import_api(msgspec.json.encode(DEFINITION)))["id"])
    await world.call("apigateway:CreateDeployment", {"restApiId": api_id, "stageName": "live"})
    return api_id


async def exported(world: GatewayWorld, api_id: str, **params: Any) -> dict[str, Any]:
    where = {"restApiId": api_id, "stageName": "live", "exportType": "swagger"}
    return await world.call("apigateway:GetExport", {**where, **params})


@pytest.mark.parametrize("accepts", ["application/json", "application/yaml"])
@pytest.mark.parametrize("form", ["swagger", "oas30"])
async def test_what_is_exported_whole_is_the_same_api_again(
    world: GatewayWorld, api_id: str, accepts: str, form: str
) -> None:
    export = await exported(
        world,
        api_id,
        parameters={"extensions": "apigateway"},
        accepts=accepts,
        exportType=form,
    )
    api = world.api(api_id)
    again, warnings = import_definition(
        parse_definition(export["body"]),
        api=api,
        mode="overwrite",
        base_path="ignore",
        scope=SCOPE,
        ids=Ids(),
    )
    assert warnings == ["Parse issue: attribute paths.'/cakes/{name}'(any).responses is missing"]
    # An export describes each response as AWS does, and descriptions are documentation.
    assert replace(again, documentation_parts={}) == replace(api, documentation_parts={})


async def test_an_export_says_where_the_stage_is(world: GatewayWorld, api_id: str) -> None:
    export = await exported(world, api_id)
    document = yaml.safe_load(export["body"])
    assert export["contentDisposition"] == 'attachment; filename="swagger_7.json"'
    assert document["host"] == f"{api_id}.execute-api.eu-west-1.amazonaws.com"
    assert document["basePath"] == "/live"
    assert document["definitions"]["Cake"] == CAKE


async def test_without_extensions_there_are_none(world: GatewayWorld, api_id: str) -> None:
    text = (await exported(world, api_id))["body"].decode()
    found = {line.strip() for line in text.splitlines() if '"x-amazon' in line}
    assert found == {'"x-amazon-apigateway-any-method": {'}


async def test_an_openapi_3_export_has_the_stage_as_a_server_variable(
    world: GatewayWorld, api_id: str
) -> None:
    export = await exported(world, api_id, exportType="oas30")
    document = yaml.safe_load(export["body"])
    assert export["contentDisposition"] == 'attachment; filename="oas30_7.json"'
    assert document["servers"] == [
        {
            "url": f"https://{api_id}.execute-api.eu-west-1.amazonaws.com/{{basePath}}",
            "variables": {"basePath": {"default": "/live"}},
        }
    ]
    put = document["paths"]["/cakes/{name}"]["put"]
    assert put["requestBody"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/Cake"}}
    }
    assert document["components"]["schemas"]["Cake"]["properties"]["of"] == {
        "$ref": "#/components/schemas/Flour"
    }


async def test_the_documentation_of_the_stages_version_is_exported(
    world: GatewayWorld, api_id: str
) -> None:
    part = {"location": {"type": "METHOD", "path": "/cakes"}, "properties": '{"description":"d"}'}
    await world.call("apigateway:CreateDocumentationPart", {"restApiId": api_id, **part})
    version = {"restApiId": api_id, "documentationVersion": "v1", "stageName": "live"}
    await world.call("apigateway:CreateDocumentationVersion", version)
    export = await exported(world, api_id, parameters={"extensions": "documentation"})
    documentation = yaml.safe_load(export["body"])["x-amazon-apigateway-documentation"]
    assert documentation["version"] == "v1"
    assert {
        "location": {"type": "METHOD", "path": "/cakes", "method": "*"},
        "properties": {"description": "d"},
    } in documentation["documentationParts"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"exportType": "raml"}, "Invalid export type: raml"),
        ({"parameters": {"extensions": "everything"}}, "Invalid extensions: everything"),
    ],
)
async def test_what_cannot_be_exported_is_refused(
    world: GatewayWorld, api_id: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRequestException, match=message):
        await exported(world, api_id, **params)
