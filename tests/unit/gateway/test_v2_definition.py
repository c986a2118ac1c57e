"""What an import makes of an OpenAPI 3.0 definition of an HTTP API, and that an export reverses."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lamington.gateway.entities import BadRequestException
from lamington.gateway.v2.entities import Api, Route
from v2_world import FUNCTION, V2World

PROXY = {
    "type": "aws_proxy",
    "httpMethod": "POST",
    "uri": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:hello",
    "payloadFormatVersion": "2.0",
}
ANSWERED = {"responses": {"default": {"description": "ok"}}}
SHARED = "#/components/x-amazon-apigateway-integrations/shared"

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.1",
    "info": {"title": "bakery", "version": "7", "description": "cakes"},
    "servers": [
        {
            "url": "https://example.com/{basePath}",
            "variables": {"basePath": {"default": "a/b"}},
            "x-amazon-apigateway-endpoint-configuration": {"disableExecuteApiEndpoint": True},
        }
    ],
    "tags": [{"name": "team", "x-amazon-apigateway-tag-value": "ovens"}, {"name": "bare"}],
    "paths": {
        "/cakes/{id}": {
            "get": {
                **ANSWERED,
                "operationId": "getCake",
                "security": [{"tokens": ["read"]}],
                "x-amazon-apigateway-integration": PROXY,
            },
            "delete": {
                **ANSWERED,
                "x-amazon-apigateway-auth": {"type": "AWS_IAM"},
                "x-amazon-apigateway-integration": {"$ref": SHARED},
            },
            "x-amazon-apigateway-any-method": {
                **ANSWERED,
                "security": [{"function": []}],
                "x-amazon-apigateway-integration": {"$ref": SHARED},
            },
        },
        "/$default": {
            "x-amazon-apigateway-any-method": {
                **ANSWERED,
                "isDefaultRoute": True,
                "x-amazon-apigateway-integration": {
                    "type": "http_proxy",
                    "httpMethod": "ANY",
                    "uri": "https://example.com/{proxy}",
                    "payloadFormatVersion": "1.0",
                    "requestParameters": {"append:header.a": "$context.requestId"},
                    "responseParameters": {"404": {"overwrite:statuscode": "200"}},
                    "timeoutInMillis": 5000,
                    "tlsConfig": {"serverNameToVerify": "example.com"},
                },
            }
        },
    },
    "components": {
        "schemas": {"Cake": {"type": "object"}},
        "x-amazon-apigateway-integrations": {"shared": PROXY},
        "securitySchemes": {
            "tokens": {
                "type": "openIdConnect",
                "openIdConnectUrl": "https://issuer.example/.well-known/openid-configuration",
                "x-amazon-apigateway-authorizer": {
                    "type": "jwt",
                    "jwtConfiguration": {"audience": ["bakers"]},
                },
            },
            "function": {
                "type": "apiKey",
                "name": "Authorization",
                "in": "header",
                "x-amazon-apigateway-authorizer": {
                    "type": "request",
                    "authorizerUri": "arn:aws:apigateway:eu-west-1:lambda:path/a/invocations",
                    "identitySource": "$request.header.a, $request.querystring.b",
                    "authorizerPayloadFormatVersion": "2.0",
                    "enableSimpleResponses": True,
                    "authorizerResultTtlInSeconds": 60,
                },
            },
        },
    },
    "x-amazon-apigateway-cors": {
        "allowOrigins": ["https://example.com"],
        "allowMethods": ["GET"],
        "maxAge": 60,
        "allowCredentials": True,
    },
    "x-amazon-apigateway-importexport-version": "1.0",
}


@pytest.fixture
def world(tmp_path: Path) -> V2World:
    return V2World(tmp_path)


async def _imported(world: V2World, document: dict[str, Any], **options: Any) -> Api:
    return world.row((await world.import_api(document, **options))["ApiId"])


def _by_key(api: Api) -> dict[str, Route]:
    return {route.route_key: route for route in api.routes.values()}


def _document(**operation: Any) -> dict[str, Any]:
    return {
        "openapi": "3.0.1",
        "info": {"title": "small"},
        "paths": {"/cakes": {"get": {**ANSWERED, **operation}}},
    }


async def test_import_reads_the_whole_definition(world: V2World) -> None:
    created = await world.import_api(DOCUMENT, FailOnWarnings=True)
    api = world.row(created["ApiId"])
    assert (api.name, api.version, api.description) == ("bakery", "7", "cakes")
    assert api.tags == {"team": "ovens", "bare": ""}
    assert api.disable_execute_api_endpoint
    assert api.cors is not None
    assert (api.cors.allow_origins, api.cors.max_age_s) == (("https://example.com",), 60)
    assert [each.name for each in api.models.values()] == ["Cake"]
    assert set(_by_key(api)) == {
        *("GET /cakes/{id}", "DELETE /cakes/{id}", "ANY /cakes/{id}", "$default")
    }


async def test_import_reads_authorizers_and_who_asks_them(world: V2World) -> None:
    api = await _imported(world, DOCUMENT)
    routes = _by_key(api)
    tokens = api.authorizers[routes["GET /cakes/{id}"].authorizer_id]
    function = api.authorizers[routes["ANY /cakes/{id}"].authorizer_id]
    assert routes["GET /cakes/{id}"].authorization_type == "JWT"
    assert routes["GET /cakes/{id}"].authorization_scopes == ("read",)
    assert (tokens.jwt_issuer, tokens.jwt_audience) == ("https://issuer.example", ("bakers",))
    assert tokens.identity_source == ("$request.header.Authorization",)
    assert routes["ANY /cakes/{id}"].authorization_type == "CUSTOM"
    assert function.identity_source == ("$request.header.a", "$request.querystring.b")
    assert (function.result_ttl_s, function.enable_simple_responses) == (60, True)
    assert routes["DELETE /cakes/{id}"].authorization_type == "AWS_IAM"
    assert routes["$default"].authorization_type == "NONE"


async def test_import_reads_a_shared_integration_once(world: V2World) -> None:
    api = await _imported(world, DOCUMENT)
    routes = _by_key(api)
    assert routes["DELETE /cakes/{id}"].target == routes["ANY /cakes/{id}"].target
    assert len(api.integrations) == 3
    assert api.integrations[routes["GET /cakes/{id}"].integration_id].integration_uri == FUNCTION
    url = api.integrations[routes["$default"].integration_id]
    assert url.response_parameters == {"404": {"overwrite:statuscode": "200"}}
    assert (url.timeout_ms, url.tls_server_name) == (5000, "example.com")


@pytest.mark.parametrize(
    ("option", "path"),
    [("ignore", "/cakes"), ("prepend", "/a/b/cakes"), ("split", "/b/cakes")],
)
async def test_base_path_goes_before_each_path(world: V2World, option: str, path: str) -> None:
    document = {**_document(), "servers": DOCUMENT["servers"]}
    api = await _imported(world, document, Basepath=option)
    assert set(_by_key(api)) == {f"GET {path}"}


async def test_document_security_holds_for_operations_without_their_own(world: V2World) -> None:
    document = {**_document(), "security": [{"tokens": []}], "components": DOCUMENT["components"]}
    document["paths"]["/open"] = {"get": {**ANSWERED, "security": []}}
    routes = _by_key(await _imported(world, document))
    assert routes["GET /cakes"].authorization_type == "JWT"
    assert routes["GET /open"].authorization_type == "NONE"


async def test_warnings_are_kept_and_fail_on_request(world: V2World) -> None:
    document = _document(security=[{"unknown": []}])
    assert (await world.import_api(document))["Warnings"] == [
        "Security scheme 'unknown' of 'GET /cakes' not found. Ignoring."
    ]
    with pytest.raises(BadRequestException, match="Warnings found during import:\n\tSecurity"):
        await world.import_api(document, FailOnWarnings=True)


async def test_what_is_of_rest_apis_is_said_to_be_ignored(world: V2World) -> None:
    document = {**_document(), "x-amazon-apigateway-binary-media-types": ["*/*"]}
    created = await world.import_api(document, FailOnWarnings=True)
    assert created["ImportInfo"] == [
        "x-amazon-apigateway-binary-media-types is of REST APIs. Ignoring."
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {**_document(), "openapi": "3.1.0"},
        {"swagger": "2.0", "info": {"title": "a"}, "paths": {}},
        {"openapi": "3.0.1", "info": {"title": "a"}},
        {"openapi": "3.0.1", "info": {}, "paths": {}},
        _document(**{"x-amazon-apigateway-integration": {"type": "mock"}}),
        _document(**{"x-amazon-apigateway-integration": {"$ref": "#/nowhere"}}),
        {**_document(), "x-amazon-apigateway-cors": {"allowOrigins": "*", "maxAge": 1}}
        | {"x-amazon-apigateway-cors": {"allowOrigins": ["*"], "allowCredentials": True}},
        {
            "openapi": "3.0.1",
            "info": {"title": "a"},
            "paths": {"/{a+}/b": {"get": ANSWERED}},
        },
    ],
)
async def test_definition_with_an_error_makes_nothing(
    world: V2World, wrong: dict[str, Any]
) -> None:
    with pytest.raises(BadRequestException):
        await world.import_api(wrong)
    assert (await world.call("GetApis", {}))["Items"] == []


@pytest.mark.parametrize("body", ["", "[]", "{", "a: [", "- 1", "null", "\ud83d: &a [*a]"])
async def test_text_that_is_no_definition_is_refused(world: V2World, body: str) -> None:
    with pytest.raises(BadRequestException):
        await world.call("ImportApi", {"Body": body.encode("utf-8", "replace").decode()})


async def test_yaml_is_a_definition_too(world: V2World) -> None:
    created = await world.call("ImportApi", {"Body": yaml.safe_dump(_document())})
    assert created["Name"] == "small"


async def test_reimport_keeps_ids_and_deploys(world: V2World) -> None:
    api_id = (await world.import_api(DOCUMENT))["ApiId"]
    await world.call("CreateStage", {"ApiId": api_id, "StageName": "$default", "AutoDeploy": True})
    before = _by_key(world.row(api_id))
    document = {**DOCUMENT, "paths": {"/cakes/{id}": DOCUMENT["paths"]["/cakes/{id}"]}}
    await world.call("ReimportApi", {"ApiId": api_id, "Body": json.dumps(document)})
    after, _ = world.http.served[api_id, "$default"]
    assert _by_key(after)["GET /cakes/{id}"] == before["GET /cakes/{id}"]
    assert "$default" not in _by_key(after)


def _without_ids(api: Api) -> dict[str, Any]:
    """An API with each id replaced by what it stands for."""
    integrations = {
        key: (each.integration_type, each.integration_uri, each.request_parameters)
        for key, each in api.integrations.items()
    }
    names = {key: each.name for key, each in api.authorizers.items()}
    return {
        "routes": {
            key: (
                integrations.get(route.integration_id),
                route.authorization_type,
                names.get(route.authorizer_id),
                route.authorization_scopes,
                route.operation_name,
            )
            for key, route in _by_key(api).items()
        },
        "authorizers": sorted(
            (
                each.name,
                each.authorizer_uri,
                each.identity_source,
                each.result_ttl_s,
                each.jwt_issuer,
                each.jwt_audience,
                each.payload_format_version,
            )
            for each in api.authorizers.values()
        ),
        "models": {each.name: each.schema for each in api.models.values()},
        "api": (api.name, api.description, api.version, api.cors, api.tags),
        "disabled": api.disable_execute_api_endpoint,
        "shared": len(api.integrations),
    }


@pytest.mark.parametrize("form", ["JSON", "YAML"])
async def test_export_is_imported_as_the_same_api(world: V2World, form: str) -> None:
    api = await _imported(world, DOCUMENT)
    params = {"ApiId": api.api_id, "Specification": "OAS30", "OutputType": form}
    body = (await world.call("ExportApi", params))["body"].decode()
    again = await world.call("ImportApi", {"Body": body, "FailOnWarnings": True})
    assert _without_ids(world.row(again["ApiId"])) == _without_ids(api)


async def test_export_without_extensions_is_plain_openapi(world: V2World) -> None:
    api = await _imported(world, DOCUMENT)
    params = {"ApiId": api.api_id, "Specification": "OAS30", "OutputType": "JSON"}
    body = (await world.call("ExportApi", {**params, "IncludeExtensions": False}))["body"]
    assert b"x-amazon" not in body
    assert set(json.loads(body)["paths"]) == {"/cakes/{id}"}


async def test_export_of_a_stage_is_what_it_serves(world: V2World) -> None:
    api_id = (await world.import_api(_document()))["ApiId"]
    await world.call("CreateStage", {"ApiId": api_id, "StageName": "dev"})
    await world.call("CreateDeployment", {"ApiId": api_id, "StageName": "dev"})
    await world.route(api_id, "GET /later")
    params = {"ApiId": api_id, "Specification": "OAS30", "OutputType": "JSON"}
    served = json.loads((await world.call("ExportApi", {**params, "StageName": "dev"}))["body"])
    latest = json.loads((await world.call("ExportApi", params))["body"])
    assert set(served["paths"]) == {"/cakes"}
    assert set(latest["paths"]) == {"/cakes", "/later"}
    assert served["servers"][0]["variables"] == {"basePath": {"default": "dev"}}
    assert "variables" not in latest["servers"][0]
