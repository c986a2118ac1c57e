"""A definition of an HTTP API with anything in the place of anything: imported or refused."""

import copy
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.gateway.entities import BadRequestException
from lamington.gateway.v2.definition import import_definition
from lamington.gateway.v2.entities import Api
from lamington.gateway.v2.export import export_definition, render_definition

SCOPE = Scope(account_id="123456789012", region="eu-west-1")
API = Api(api_id="abcdefghij", name="before", protocol_type="HTTP", created="2026-01-01T00:00:00Z")
OPERATION: dict[str, Any] = {
    "operationId": "a",
    "security": [{"token": ["x"]}],
    "responses": {"200": {"content": {"a/b": {"schema": {"$ref": "#/components/schemas/Cake"}}}}},
    "x-amazon-apigateway-integration": {
        "type": "http_proxy",
        "httpMethod": "GET",
        "uri": "https://example.com",
        "payloadFormatVersion": "1.0",
        "connectionType": "INTERNET",
        "timeoutInMillis": 100,
        "tlsConfig": {"serverNameToVerify": "example.com"},
        "requestParameters": {"append:header.q": "q"},
        "responseParameters": {"200": {"append:header.q": "q"}},
    },
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.1",
    "info": {"title": "cakes", "version": 1},
    "servers": [
        {
            "url": "http://x/{basePath}",
            "variables": {"basePath": {"default": "v1"}},
            "x-amazon-apigateway-endpoint-configuration": {"ipAddressType": "ipv4"},
        }
    ],
    "tags": [{"name": "a", "x-amazon-apigateway-tag-value": "b"}],
    "paths": {
        "/a/{b}": {"parameters": [], "get": OPERATION},
        "/c": {
            "get": {
                "responses": {},
                "x-amazon-apigateway-auth": {"type": "aws_iam"},
                "x-amazon-apigateway-integration": {
                    "$ref": "#/components/x-amazon-apigateway-integrations/shared"
                },
            },
            "x-amazon-apigateway-any-method": {"isDefaultRoute": True, "security": []},
        },
    },
    "components": {
        "schemas": {"Cake": {"type": "object"}},
        "x-amazon-apigateway-integrations": {
            "shared": OPERATION["x-amazon-apigateway-integration"]
        },
        "securitySchemes": {
            "token": {
                "type": "openIdConnect",
                "openIdConnectUrl": "https://issuer.example/.well-known/openid-configuration",
                "x-amazon-apigateway-authorizer": {
                    "type": "jwt",
                    "identitySource": "$request.header.a",
                    "authorizerResultTtlInSeconds": 5,
                    "jwtConfiguration": {"audience": ["a"]},
                },
            }
        },
    },
    "x-amazon-apigateway-cors": {"allowOrigins": ["https://a"], "maxAge": 5},
    "x-amazon-apigateway-importexport-version": "1.0",
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


def _damaged(place: tuple[Any, ...], anything: Any, is_key: bool) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    *way, last = place
    found: Any = document
    for key in way:
        found = found[key]
    if is_key and isinstance(found, dict):
        found[str(anything)] = found.pop(last)
    else:
        found[last] = anything
    return document


def _imported(document: dict[str, Any], base_path: str = "ignore") -> Api:
    return import_definition(
        document, api=API, base_path=base_path, fail_on_warnings=False, scope=SCOPE, ids=Ids()
    )


def test_whole_definition_is_imported() -> None:
    assert len(_imported(DOCUMENT).routes) == 3


@settings(max_examples=400, deadline=None)
@given(
    place=st.sampled_from(_places(DOCUMENT)),
    anything=ANYTHING,
    is_key=st.booleans(),
    base_path=st.sampled_from(["ignore", "prepend", "split"]),
)
def test_damaged_definition_is_imported_or_refused(
    place: tuple[Any, ...], anything: Any, is_key: bool, base_path: str
) -> None:
    try:
        api = _imported(_damaged(place, anything, is_key), base_path)
    except BadRequestException:
        return
    assert msgspec.json.decode(msgspec.json.encode(api), type=Api) == api
    for with_extensions in (True, False):
        document = export_definition(api, "dev", SCOPE, with_extensions=with_extensions)
        assert render_definition(document, as_yaml=False)
    assert {route.route_key for route in _imported(document_of(api)).routes.values()} == {
        route.route_key for route in api.routes.values()
    }


def document_of(api: Api) -> dict[str, Any]:
    return export_definition(api, "", SCOPE, with_extensions=True)
