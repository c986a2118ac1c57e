"""What a definition can say is the same API after an export and an import, in both forms."""

from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.gateway.entities import Resource, RestApi, Stage
from lamington.gateway.export import ExportForm, export_definition
from lamington.gateway.openapi import import_definition, parse_definition

SCOPE = Scope(account_id="123456789012", region="eu-west-1")
EMPTY = RestApi(
    api_id="abcdefghij",
    name="before",
    created="2026-01-01T00:00:00+00:00",
    resources={"rootrootro": Resource(resource_id="rootrootro", path="/")},
)
STAGE = Stage(
    api_id="abcdefghij", stage_name="live", deployment_id="d", created="", last_updated=""
)
FUNCTION = (
    "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/"
    "arn:aws:lambda:eu-west-1:123456789012:function:hello/invocations"
)
NAMES = st.sampled_from(["a", "X-Token", "b_c", "d.e"])
MEDIA_TYPES = st.sampled_from(["application/json", "text/plain", "image/*"])
TEMPLATES = st.dictionaries(MEDIA_TYPES, st.sampled_from(["", "{}", "$input.body"]), max_size=2)
HANDLING = st.sampled_from([None, "CONVERT_TO_TEXT", "CONVERT_TO_BINARY"])
STATUSES = ("200", "404", "500")
SCHEMES: dict[str, Any] = {
    "token": {
        "type": "apiKey",
        "name": "X-Token",
        "in": "header",
        "x-amazon-apigateway-authorizer": {"type": "token", "authorizerUri": FUNCTION},
    },
    "request": {
        "type": "apiKey",
        "name": "Unused",
        "in": "header",
        "x-amazon-apigateway-authtype": "custom",
        "x-amazon-apigateway-authorizer": {
            "type": "request",
            "authorizerUri": FUNCTION,
            "identitySource": "method.request.header.A,stageVariables.b",
            "authorizerResultTtlInSeconds": 0,
        },
    },
    "pool": {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "cognito_user_pools",
        "x-amazon-apigateway-authorizer": {"type": "cognito_user_pools", "providerARNs": ["a"]},
    },
    "sigv4": {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
    "api_key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
}


@st.composite
def integrations(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["mock", "aws", "aws_proxy", "http", "http_proxy"]))
    uri = {"aws": FUNCTION, "aws_proxy": FUNCTION, "mock": None}.get(kind, "http://a.example/b")
    responses = {
        "default" if status == "200" else f"{status}|.*{status}.*": {
            "statusCode": status,
            "responseParameters": {"method.response.header.X": draw(st.sampled_from(["'y'"]))},
            "responseTemplates": draw(TEMPLATES),
            "contentHandling": draw(HANDLING),
        }
        for status in draw(st.lists(st.sampled_from(STATUSES), unique=True))
    }
    return {
        "type": kind,
        "uri": uri,
        "httpMethod": draw(st.sampled_from(["GET", "POST", "ANY"])),
        "credentials": draw(st.sampled_from([None, "arn:aws:iam::123456789012:role/r"])),
        "passthroughBehavior": draw(
            st.sampled_from([None, "when_no_match", "when_no_templates", "never"])
        ),
        "requestParameters": {"integration.request.header.h": "'v'"},
        "requestTemplates": draw(TEMPLATES),
        "contentHandling": draw(HANDLING),
        "timeoutInMillis": draw(st.integers(50, 29_000)),
        "cacheNamespace": draw(st.sampled_from([None, "cakes"])),
        "cacheKeyParameters": draw(st.lists(st.just("integration.request.header.h"), max_size=1)),
        "responses": responses,
        "tlsConfig": {"insecureSkipVerification": draw(st.booleans())},
    }


@st.composite
def operations(draw: st.DrawFn) -> dict[str, Any]:
    security: dict[str, list[str]] = {}
    scheme = draw(st.sampled_from([None, "token", "request", "pool", "sigv4"]))
    if scheme is not None:
        security[scheme] = draw(st.lists(NAMES, max_size=2)) if scheme == "pool" else []
    if draw(st.booleans()):
        security["api_key"] = []
    body = draw(st.sampled_from([None, "Cake", "Flour"]))
    model = {"schema": {"$ref": f"#/definitions/{body}"}}
    parameters: list[dict[str, Any]] = [
        {"name": draw(NAMES), "in": place, "required": draw(st.booleans())}
        for place in draw(st.lists(st.sampled_from(["header", "query"]), max_size=3))
    ]
    if body is not None:
        parameters.append({"name": "body", "in": "body", **model})
    return {
        "operationId": draw(st.sampled_from([None, "bake"])),
        "parameters": parameters,
        "consumes": draw(st.lists(MEDIA_TYPES, unique=True, max_size=2)),
        "responses": {status: {"headers": {"X": {}}} for status in STATUSES},
        "security": [security],
        "x-amazon-apigateway-request-validator": draw(st.sampled_from([None, "all"])),
        "x-amazon-apigateway-integration": draw(integrations()),
    }


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    paths = draw(
        st.lists(
            st.sampled_from(["/", "/a", "/a/{id}", "/a/{id}/b", "/c/{rest+}"]),
            unique=True,
            min_size=1,
        )
    )
    verbs = st.sampled_from(["get", "put", "x-amazon-apigateway-any-method"])
    document = {
        "swagger": "2.0",
        "info": {"title": "cakes", "version": "7", "description": draw(st.sampled_from([None]))},
        "paths": {
            path: {
                verb: draw(operations()) for verb in draw(st.lists(verbs, unique=True, min_size=1))
            }
            for path in paths
        },
        "definitions": {
            "Cake": {"type": "object", "properties": {"of": {"$ref": "#/definitions/Flour"}}},
            "Flour": {"type": "string"},
        },
        "securityDefinitions": SCHEMES,
        "x-amazon-apigateway-request-validators": {"all": {"validateRequestBody": True}},
        "x-amazon-apigateway-binary-media-types": draw(st.lists(MEDIA_TYPES, unique=True)),
        "x-amazon-apigateway-minimum-compression-size": draw(st.none() | st.integers(0, 9)),
        "x-amazon-apigateway-api-key-source": draw(st.sampled_from(["HEADER", "AUTHORIZER"])),
        "x-amazon-apigateway-gateway-responses": {
            "THROTTLED": {
                "statusCode": draw(st.sampled_from([None, 420])),
                "responseTemplates": draw(TEMPLATES),
            }
        },
        "x-amazon-apigateway-endpoint-configuration": {
            "disableExecuteApiEndpoint": draw(st.booleans()),
            "ipAddressType": draw(st.sampled_from([None, "dualstack"])),
        },
        "x-amazon-apigateway-endpoint-access-mode": draw(st.sampled_from([None, "STRICT"])),
    }
    used = draw(st.booleans())
    if used:
        document["x-amazon-apigateway-policy"] = {"Statement": [{"Resource": "execute-api:/a"}]}
    return document


def _imported(text: bytes, api: RestApi) -> RestApi:
    found, _ = import_definition(
        parse_definition(text),
        api=api,
        mode="overwrite",
        base_path="ignore",
        scope=SCOPE,
        ids=Ids(),
    )
    # Exports describe each response as AWS does, and parameters have no order of their own.
    return replace(found, documentation_parts={})


@settings(max_examples=150, deadline=None)
@given(document=definitions(), form=st.sampled_from(["swagger", "oas30"]))
def test_what_is_exported_whole_is_the_same_api_again(
    document: dict[str, Any], form: ExportForm
) -> None:
    api = _imported(msgspec.json.encode(document), EMPTY)
    exported = export_definition(api, STAGE, SCOPE, form=form, extensions={"apigateway"})
    again = _imported(msgspec.json.encode(exported), api)
    assert again == api
