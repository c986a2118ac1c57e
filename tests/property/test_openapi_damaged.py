"""A definition with anything in the place of anything is imported or refused, and never a crash."""

import copy
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.core.errors import AwsError
from lamington.gateway.definition_unsupported import unsupported
from lamington.gateway.entities import Resource, RestApi, Stage
from lamington.gateway.export import ExportForm, export_definition
from lamington.gateway.openapi import Mode, import_definition, parse_definition
from lamington.gateway.operations.authorizers import authorizer_result

API = RestApi(
    api_id="abcdefghij",
    name="before",
    created="2026-01-01T00:00:00+00:00",
    resources={"rootrootro": Resource(resource_id="rootrootro", path="/")},
)
STAGE = Stage(
    api_id="abcdefghij", stage_name="live", deployment_id="d", created="", last_updated=""
)
FORMS: tuple[ExportForm, ...] = ("swagger", "oas30")
OPERATION: dict[str, Any] = {
    "parameters": [{"$ref": "#/parameters/Q"}, {"in": "body", "name": "b", "schema": {}}],
    "requestBody": {"content": {"a/b": {"schema": {"$ref": "#/components/schemas/Cake"}}}},
    "consumes": ["a/b"],
    "security": [{"token": ["x"]}],
    "responses": {"200": {"headers": {"X": {}}, "schema": {"items": [{"type": "string"}]}}},
    "x-amazon-apigateway-auth": {"type": "aws_iam"},
    "x-amazon-apigateway-request-validator": "all",
    "x-amazon-apigateway-integration": {
        "type": "mock",
        "timeoutInMillis": 100,
        "tlsConfig": {"insecureSkipVerification": True},
        "requestParameters": {"integration.request.header.q": "'q'"},
        "requestTemplates": {"application/json": "{}"},
        "responses": {
            "default": {
                "statusCode": 200,
                "responseParameters": {"method.response.header.X": "'y'"},
                "responseTemplates": {"a/b": None},
            }
        },
    },
}
REST: dict[str, Any] = {
    "info": {"title": "cakes", "version": 1},
    "basePath": "/v1",
    "servers": [
        {
            "url": "http://x/{basePath}",
            "variables": {"basePath": {"default": "v1"}},
            "x-amazon-apigateway-endpoint-configuration": {"disableExecuteApiEndpoint": True},
            "x-amazon-apigateway-security-policy": "TLS_1_2",
        }
    ],
    "tags": [{"name": "a", "x-amazon-apigateway-tag-value": "b"}],
    "security": [{"token": []}],
    "paths": {
        "/a/{b}": {"parameters": [], "get": OPERATION},
        "/c": {"get": OPERATION},
        "/d": {
            "x-amazon-apigateway-any-method": {
                **OPERATION,
                "parameters": [{"$ref": "#/components/parameters/P"}],
                "requestBody": {"$ref": "#/components/requestBodies/B"},
                "responses": {"200": {"$ref": "#/components/responses/R"}, "default": {}},
            }
        },
    },
    "parameters": {"Q": {"name": "q", "in": "query", "required": True}},
    "definitions": {"Cake": {"type": "object", "properties": {"a": {"$ref": "#/definitions/X"}}}},
    "components": {
        "schemas": {
            "Cake": {},
            "Tin": {
                "type": ["object", "null"],
                "properties": {"of": {"$ref": "#/components/schemas/Cake"}, "n": {"const": 1}},
                "exclusiveMinimum": 1,
                "minimum": 0,
                "prefixItems": [{"$ref": "#/components/schemas/Tin/properties/n"}],
                "items": {"allOf": [{"nullable": True}]},
                "dependentRequired": {"a": ["b"]},
                "$defs": {"A": True},
            },
        },
        "parameters": {"P": {"name": "p", "in": "header", "schema": {"pattern": "a"}}},
        "requestBodies": {"B": {"content": {"a/b": {"schema": {"type": "string"}}}}},
        "responses": {"R": {"headers": {"X": {}}, "content": {"a/b": {"schema": {}}}}},
        "securitySchemes": {
            "token": {
                "type": "apiKey",
                "name": "X-Token",
                "in": "header",
                "x-amazon-apigateway-authtype": "custom",
                "x-amazon-apigateway-authorizer": {
                    "type": "request",
                    "authorizerUri": "u",
                    "authorizerResultTtlInSeconds": 60,
                    "identitySource": "method.request.header.A,context.b",
                    "providerARNs": ["a"],
                },
            },
            "bearer": {"type": "http", "scheme": "bearer"},
        },
    },
    "securityDefinitions": {
        "token": {"type": "apiKey", "x-amazon-apigateway-authorizer": {"type": "token"}}
    },
    "x-amazon-apigateway-request-validators": {"all": {"validateRequestBody": True}},
    "x-amazon-apigateway-gateway-responses": {"THROTTLED": {"statusCode": 420}},
    "x-amazon-apigateway-binary-media-types": ["image/*"],
    "x-amazon-apigateway-minimum-compression-size": 1,
    "x-amazon-apigateway-policy": {"Statement": [{"Resource": ["execute-api:/a"]}]},
    "x-amazon-apigateway-api-key-source": "HEADER",
    "x-amazon-apigateway-documentation": {
        "version": "1",
        "documentationParts": [{"location": {"type": "API"}, "properties": {"a": 1}}],
    },
    "x-amazon-apigateway-endpoint-configuration": {"vpcEndpointIds": ["a"]},
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, member in members:
        found.append((*path, key))
        if isinstance(member, (dict, list)):
            found += _places(member, (*path, key))
    return found


@settings(max_examples=300, deadline=None)
@given(
    version=st.sampled_from([{"swagger": "2.0"}, {"openapi": "3.0.1"}, {"openapi": "3.1.0"}]),
    damage=st.lists(
        st.tuples(st.sampled_from(_places(REST)), ANYTHING, st.booleans()), min_size=1, max_size=3
    ),
    base_path=st.sampled_from(["ignore", "prepend", "split"]),
    mode=st.sampled_from(["merge", "overwrite"]),
)
def test_a_damaged_definition_is_imported_or_refused(
    version: dict[str, Any],
    damage: list[tuple[tuple[Any, ...], Any, bool]],
    base_path: str,
    mode: Mode,
) -> None:
    document = copy.deepcopy({**version, **REST})
    for path, value, is_key in damage:
        place: Any = document
        for part in path[:-1]:
            try:
                place = place[part]
            except (KeyError, IndexError, TypeError):
                place = None
        if is_key and isinstance(place, dict) and path[-1] in place:
            place[str(value)] = place.pop(path[-1])
        elif isinstance(place, dict) or (isinstance(place, list) and path[-1] in range(len(place))):
            place[path[-1]] = value
    read = parse_definition(msgspec.json.encode(document))
    assert all(isinstance(warning, str) for warning in unsupported(read))
    try:
        api, warnings = import_definition(
            read,
            api=API,
            mode=mode,
            base_path=base_path,
            scope=Scope(),
            ids=Ids(),
        )
    except AwsError:
        return
    for authorizer in api.authorizers.values():
        authorizer_result(authorizer)
    for form in FORMS:
        export_definition(api, STAGE, Scope(), form=form, extensions={"apigateway"})
    assert all(isinstance(warning, str) for warning in warnings)
    assert msgspec.json.decode(msgspec.json.encode(api), type=RestApi) == api
