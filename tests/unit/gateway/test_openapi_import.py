from typing import Any

import msgspec
import pytest

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.gateway.entities import BadRequestException, Method, Resource, RestApi
from lamington.gateway.openapi import Mode, import_definition, parse_definition

SCOPE = Scope(account_id="123456789012", region="eu-west-1")
URI = (
    "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
    "arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:function:hello/invocations"
)
MOCK = {"x-amazon-apigateway-integration": {"type": "mock"}}

ARTICLE = {
    "responses": {"200": {"description": "Hello", "schema": {"type": "string"}, "headers": {}}},
    "parameters": [],
    "x-amazon-apigateway-auth": {"type": "none"},
    "x-amazon-apigateway-integration": {
        "type": "aws",
        "uri": URI,
        "credentials": "arn:aws:iam::123456789012:role/run",
        "httpMethod": "POST",
        "requestParameters": {},
        "requestTemplates": {"application/json": '{"path": "$context.resourcePath"}'},
        "responses": {
            "default": {
                "statusCode": "200",
                "responseTemplates": {"application/json": ""},
                "responseParameters": {},
            }
        },
    },
}


def an_api() -> RestApi:
    return RestApi(
        api_id="abcdefghij",
        name="before",
        created="2026-01-01T00:00:00+00:00",
        resources={"rootrootro": Resource(resource_id="rootrootro", path="/")},
    )


def a_document(paths: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {
        "swagger": "2.0",
        "info": {"title": "bakery", "version": "1"},
        "paths": paths,
        **rest,
    }


def imported(
    document: dict[str, Any],
    *,
    api: RestApi | None = None,
    mode: Mode = "overwrite",
    base_path: str = "ignore",
) -> tuple[RestApi, list[str]]:
    return import_definition(
        document, api=api or an_api(), mode=mode, base_path=base_path, scope=SCOPE, ids=Ids()
    )


def method_of(api: RestApi, path: str, verb: str = "GET") -> Method:
    return next(it for it in api.resources.values() if it.path == path).methods[verb]


def only(operation: dict[str, Any], **rest: Any) -> tuple[Method, RestApi, list[str]]:
    operation = {"responses": {"200": {"description": ""}}, **operation}
    api, warnings = imported(a_document({"/a": {"get": operation}}, **rest))
    return method_of(api, "/a"), api, warnings


def test_the_articles_operation_is_kept_to_the_letter() -> None:
    api, warnings = imported(a_document({"/hello": {"get": ARTICLE}}))
    method = method_of(api, "/hello")
    integration = method.integration
    assert integration is not None
    assert (integration.type, integration.http_method) == ("AWS", "POST")
    assert integration.request_templates == {
        "application/json": '{"path": "$context.resourcePath"}'
    }
    assert integration.passthrough_behavior == "WHEN_NO_MATCH"
    assert integration.timeout_ms == 29000
    assert [(it.status_code, it.selection_pattern) for it in integration.responses] == [("200", "")]
    assert integration.responses[0].response_templates == {"application/json": ""}
    assert method.authorization_type == "NONE"
    assert [it.status_code for it in method.responses] == ["200"]
    assert warnings == []
    assert api.definition_extensions == ()


def test_a_schema_in_place_becomes_a_model_of_the_response() -> None:
    api, _ = imported(a_document({"/hello": {"get": ARTICLE}}))
    name = method_of(api, "/hello").responses[0].response_models["application/json"]
    assert name.startswith("MODEL")
    assert msgspec.json.decode(api.models[name].schema) == {"type": "string"}


def test_aws_variables_in_a_uri_are_replaced() -> None:
    api, _ = imported(a_document({"/hello": {"get": ARTICLE}}))
    integration = method_of(api, "/hello").integration
    assert integration is not None
    assert ":eu-west-1:lambda:path/" in integration.uri
    assert ":eu-west-1:123456789012:function:hello/" in integration.uri


def test_resources_between_a_path_and_the_root_are_made() -> None:
    api, _ = imported(a_document({"/a/b/{c}": {"get": MOCK}}))
    by_path = {it.path: it for it in api.resources.values()}
    assert list(by_path) == ["/", "/a", "/a/b", "/a/b/{c}"]
    assert by_path["/a/b/{c}"].parent_id == by_path["/a/b"].resource_id
    assert by_path["/a"].methods == {}
    assert by_path["/"].resource_id == "rootrootro"


def test_any_method_and_verbs_stand_side_by_side() -> None:
    item = {"x-amazon-apigateway-any-method": MOCK, "get": MOCK, "x-other": {"a": 1}}
    api, _ = imported(a_document({"/{proxy+}": item}))
    resource = next(it for it in api.resources.values() if it.path == "/{proxy+}")
    assert sorted(resource.methods) == ["ANY", "GET"]


def test_a_path_parameter_is_required_without_being_declared() -> None:
    api, _ = imported(a_document({"/a/{id}": {"get": MOCK}}))
    assert method_of(api, "/a/{id}").request_parameters == {"method.request.path.id": True}


def test_parameters_of_the_path_stand_unless_the_operation_has_its_own() -> None:
    item = {
        "parameters": [
            {"$ref": "#/parameters/Limit"},
            {"name": "x-trace", "in": "header", "required": True, "type": "string"},
        ],
        "get": {
            "parameters": [{"name": "limit", "in": "query", "required": True, "type": "integer"}],
            **MOCK,
        },
        "post": MOCK,
    }
    limit = {"name": "limit", "in": "query", "type": "integer"}
    api, _ = imported(a_document({"/a": item}, parameters={"Limit": limit}))
    assert method_of(api, "/a").request_parameters == {
        "method.request.querystring.limit": True,
        "method.request.header.x-trace": True,
    }
    assert method_of(api, "/a", "POST").request_parameters == {
        "method.request.querystring.limit": False,
        "method.request.header.x-trace": True,
    }


def test_a_body_parameter_becomes_a_model_for_each_type_consumed() -> None:
    cake = {"type": "object", "properties": {"of": {"$ref": "#/definitions/Flour"}}}
    body = {"name": "cake", "in": "body", "schema": {"$ref": "#/definitions/Cake"}}
    method, api, _ = only(
        {"parameters": [body], "consumes": ["application/json", "text/cake"], **MOCK},
        definitions={"Cake": cake, "Flour": {"type": "string"}},
    )
    assert method.request_models == {"application/json": "Cake", "text/cake": "Cake"}
    assert msgspec.json.decode(api.models["Cake"].schema)["properties"]["of"] == {
        "$ref": "https://apigateway.amazonaws.com/restapis/abcdefghij/models/Flour"
    }


def test_a_header_of_a_response_may_be_mapped() -> None:
    operation = {
        "responses": {302: {"description": "", "headers": {"Location": {"type": "string"}}}},
        "x-amazon-apigateway-integration": {
            "type": "MOCK",
            "responses": {
                "default": {
                    "statusCode": 302,
                    "responseParameters": {
                        "method.response.header.Location": "integration.response.header.to"
                    },
                }
            },
        },
    }
    method, _, _ = only(operation)
    assert method.responses[0].response_parameters == {"method.response.header.Location": False}


def test_patterns_keep_their_order_and_may_be_any_text() -> None:
    responses: dict[str, Any] = {str(code): {"description": ""} for code in (200, 400, 404, 500)}
    integration = {
        "type": "aws",
        "uri": URI,
        "responses": {
            "Not Found": {"statusCode": "404"},
            r"4\d{2}": {"statusCode": "400"},
            "default": {"statusCode": "200"},
            r"[\s\S]+": {"statusCode": "500"},
        },
    }
    method, _, _ = only({"responses": responses, "x-amazon-apigateway-integration": integration})
    assert method.integration is not None
    assert [it.selection_pattern for it in method.integration.responses] == [
        "Not Found",
        r"4\d{2}",
        "",
        r"[\s\S]+",
    ]


def test_a_proxy_always_posts_and_has_no_responses() -> None:
    integration = {
        "type": "AWS_PROXY",
        "uri": URI,
        "httpMethod": "GET",
        "responses": {"default": {"statusCode": "200"}},
    }
    method, _, _ = only({"x-amazon-apigateway-integration": integration})
    assert method.integration is not None
    assert method.integration.http_method == "POST"
    assert method.integration.responses == ()


def test_the_operations_own_verb_is_the_backends_where_none_is_said() -> None:
    method, _, _ = only({"x-amazon-apigateway-integration": {"type": "aws", "uri": URI}})
    assert method.integration is not None
    assert method.integration.http_method == "GET"


@pytest.mark.parametrize(
    ("kind", "expected"), [("none", "NONE"), ("AWS_IAM", "AWS_IAM"), ("aws_iam", "AWS_IAM")]
)
def test_auth_is_read_in_any_case(kind: str, expected: str) -> None:
    method, _, _ = only({"x-amazon-apigateway-auth": {"type": kind}, **MOCK})
    assert method.authorization_type == expected


SCHEMES: dict[str, Any] = {
    "sigv4": {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
    "key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
    "token": {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "custom",
        "x-amazon-apigateway-authorizer": {"type": "token", "authorizerUri": URI},
    },
    "pool": {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authorizer": {"type": "cognito_user_pools", "providerARNs": []},
    },
    "oauth": {"type": "oauth2", "flow": "implicit"},
}


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        ([{"sigv4": []}], ("AWS_IAM", "", (), False)),
        ([{"key": []}], ("NONE", "", (), True)),
        ([{"token": [], "key": []}], ("CUSTOM", "token", (), True)),
        ([{"pool": ["read", "write"]}], ("COGNITO_USER_POOLS", "pool", ("read", "write"), False)),
        ([{"oauth": []}], ("NONE", "", (), False)),
        ([], ("NONE", "", (), False)),
    ],
)
def test_security_becomes_authorization(security: Any, expected: tuple[Any, ...]) -> None:
    method, api, _ = only({"security": security, **MOCK}, securityDefinitions=SCHEMES)
    authorizer = api.authorizers.get(method.authorizer_id)
    assert (
        method.authorization_type,
        authorizer.name if authorizer else "",
        method.authorization_scopes,
        method.api_key_required,
    ) == expected


def test_security_of_the_document_is_for_operations_without_their_own() -> None:
    paths = {"/a": {"get": MOCK, "post": {"security": [], **MOCK}}}
    document = a_document(paths, security=[{"sigv4": []}], securityDefinitions=SCHEMES)
    api, _ = imported(document)
    assert method_of(api, "/a").authorization_type == "AWS_IAM"
    assert method_of(api, "/a", "POST").authorization_type == "NONE"


def test_what_has_no_effect_is_said_in_a_sentence_each() -> None:
    operation = {
        "security": [{"token": []}],
        "x-amazon-apigateway-request-validator": "all",
        "x-amazon-apigateway-integration": {
            "type": "http_proxy",
            "uri": "https://example.com",
            "cacheKeyParameters": ["method.request.querystring.q"],
        },
    }
    _, api, _ = only(
        operation,
        securityDefinitions=SCHEMES,
        **{
            "x-amazon-apigateway-request-validators": {"all": {"validateRequestBody": True}},
            "x-amazon-apigateway-policy": {"Version": "2012-10-17", "Statement": []},
            "x-amazon-apigateway-minimum-compression-size": 10,
        },
    )
    said = " ".join(api.definition_extensions)
    assert "`oauth`" in said


def test_merge_replaces_a_method_and_leaves_the_rest() -> None:
    first, _ = imported(a_document({"/a": {"get": MOCK, "post": MOCK}, "/b": {"get": MOCK}}))
    proxy = {"x-amazon-apigateway-integration": {"type": "aws_proxy", "uri": URI}}
    document = a_document({"/a": {"get": proxy}})
    second, _ = imported(document, api=first, mode="merge")
    replaced = method_of(second, "/a").integration
    assert replaced is not None
    assert replaced.type == "AWS_PROXY"
    assert method_of(second, "/a", "POST") == method_of(first, "/a", "POST")
    assert method_of(second, "/b") == method_of(first, "/b")


def test_overwrite_leaves_only_what_the_definition_says() -> None:
    first, _ = imported(a_document({"/a": {"get": MOCK, "post": MOCK}, "/b": {"get": MOCK}}))
    second, _ = imported(a_document({"/a": {"get": MOCK}}), api=first)
    assert [it.path for it in second.resources.values()] == ["/", "/a"]
    resource = next(it for it in second.resources.values() if it.path == "/a")
    assert list(resource.methods) == ["GET"]
    assert resource.resource_id in first.resources


def test_binary_media_types_are_appended_by_merge_and_replaced_by_overwrite() -> None:
    key = "x-amazon-apigateway-binary-media-types"
    first, _ = imported(a_document({}, **{key: ["image/*"]}))
    merged, _ = imported(a_document({}, **{key: ["font/*"]}), api=first, mode="merge")
    replaced, _ = imported(a_document({}, **{key: ["font/*"]}), api=first)
    assert merged.binary_media_types == ("image/*", "font/*")
    assert replaced.binary_media_types == ("font/*",)


def test_importing_again_changes_nothing() -> None:
    document = a_document({"/a/{id}": {"get": ARTICLE}}, securityDefinitions=SCHEMES)
    first, _ = imported(document)
    assert imported(document, api=first)[0] == first
    assert imported(document, api=first, mode="merge")[0] == first


def test_every_error_is_named_and_the_api_stays_as_it_was() -> None:
    bad_arn = {"x-amazon-apigateway-integration": {"type": "aws", "uri": "hello"}}
    bad_type = {"x-amazon-apigateway-integration": {"type": "lambda"}}
    document = a_document(
        {"/a": {"get": bad_arn, "put": bad_type}, "/b{c}": {"get": MOCK}},
        definitions={"My-Cake": {"type": "object"}},
    )
    with pytest.raises(BadRequestException) as caught:
        imported(document)
    assert caught.value.message.split("\n\t") == [
        "Errors found during import:",
        "Unable to create model for 'My-Cake': Model name must be alphanumeric: My-Cake",
        "Unable to put integration on 'GET' for resource at path '/a': Invalid ARN specified in"
        " the request",
        "Unable to put integration on 'PUT' for resource at path '/a': Invalid integration type:"
        " LAMBDA",
        "Unable to create resource at path '/b{c}': Resource's path part only allow"
        " a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning and the"
        " end.",
    ]


def test_two_patterns_with_one_status_are_warned_of() -> None:
    integration = {
        "type": "mock",
        "responses": {"default": {"statusCode": "200"}, "2..": {"statusCode": "200"}},
    }
    method, _, warnings = only({"x-amazon-apigateway-integration": integration})
    assert method.integration is not None
    assert [it.selection_pattern for it in method.integration.responses] == ["2.."]
    assert "takes the place of 'default'" in warnings[0]


def test_openapi_3_reads_as_swagger_does() -> None:
    document = {
        "openapi": "3.0.1",
        "info": {"title": "bakery"},
        "servers": [{"url": "https://x/{basePath}", "variables": {"basePath": {"default": "v1"}}}],
        "paths": {
            "/a": {
                "post": {
                    "parameters": [{"$ref": "#/components/parameters/Q"}],
                    "requestBody": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Cake"}}
                        }
                    },
                    "responses": {
                        "201": {
                            "description": "",
                            "headers": {"Location": {"schema": {"type": "string"}}},
                            "content": {
                                "application/json": {
                                    "schema": {"$ref": "#/components/schemas/Cake"}
                                }
                            },
                        }
                    },
                    "security": [{"token": []}],
                    **MOCK,
                }
            }
        },
        "components": {
            "schemas": {"Cake": {"type": "object"}},
            "parameters": {"Q": {"name": "q", "in": "query"}},
            "securitySchemes": SCHEMES,
        },
    }
    api, warnings = imported(document, base_path="prepend")
    method = method_of(api, "/v1/a", "POST")
    assert method.request_parameters == {"method.request.querystring.q": False}
    assert method.request_models == {"application/json": "Cake"}
    assert method.responses[0].response_models == {"application/json": "Cake"}
    assert method.authorization_type == "CUSTOM"
    assert warnings == []


def test_yaml_reads_as_json_does() -> None:
    text = b"""
swagger: 2.0
info: {title: bakery, version: 2016-04-16}
paths:
  /a:
    get:
      responses:
        200: {description: fine}
      x-amazon-apigateway-integration:
        type: mock
        responses: {default: {statusCode: 200}}
"""
    api, warnings = imported(dict(parse_definition(text)))
    assert method_of(api, "/a").responses[0].status_code == "200"
    assert api.version == "2016-04-16"
    assert warnings == []


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"a: [", b"swagger: '2.0'", b'{"paths": {}}', b"\xff", b"just text"],
)
def test_what_is_no_definition_is_refused_as_aws_refuses_it(body: bytes) -> None:
    with pytest.raises(BadRequestException, match=r"^Invalid OpenAPI input\.$"):
        imported(dict(parse_definition(body)))
