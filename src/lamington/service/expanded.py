"""The same API as single resources and methods: for endpoints whose CloudFormation does not import
a definition.

AWS imports the `Body` of a RestApi; some stand-ins (moto's server) make an empty API of it. The
template made here is right for AWS as well, only longer. Left to others: when to use it (`deploy`).
"""

import re
from collections.abc import Iterator
from typing import Any

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.core.errors import UsageError
from lamington.gateway.entities import (
    INTEGRATION_TIMEOUT_MAX_MS,
    Method,
    MethodIntegration,
    RestApi,
)
from lamington.gateway.entities import Resource as ApiResource
from lamington.gateway.openapi import import_definition
from lamington.service.api import INTEGRATION_KEY
from lamington.service.definition import BuiltService
from lamington.service.paths import ANY_KEY
from lamington.service.template import API_ID

JsonObject = dict[str, Any]


def expand_api(built: BuiltService) -> JsonObject:
    """The service's template with a resource for each path and method instead of a `Body`.

    Raises UsageError for what can be said in a definition only.
    """
    if built.swagger is None:
        return built.template
    empty = RestApi(api_id="expanded", name=built.name, created="")
    api, _ = import_definition(
        built.swagger,
        api=empty,
        mode="overwrite",
        base_path="ignore",
        scope=Scope(),
        ids=Ids(),
        timeout_max_ms=INTEGRATION_TIMEOUT_MAX_MS,
    )
    _require_expandable(api)
    resources: JsonObject = dict(built.template["Resources"])
    rest_api = resources[API_ID]
    properties = {key: each for key, each in rest_api["Properties"].items() if key != "Body"}
    body = rest_api["Properties"]["Body"]
    resources[API_ID] = {**rest_api, "Properties": properties}
    ids = {each.resource_id: _logical_id(each) for each in api.resources.values()}
    methods: JsonObject = {}
    for resource in sorted(api.resources.values(), key=lambda each: each.path):
        if resource.path != "/":
            resources[ids[resource.resource_id]] = _resource(resource, ids, api)
        for verb, method in resource.methods.items():
            key = ANY_KEY if verb == "ANY" else verb.lower()
            uri = body["paths"][resource.path][key][INTEGRATION_KEY].get("uri")
            name = f"{ids[resource.resource_id].removesuffix('Resource')}{verb.title()}Method"
            methods[name] = _method(method, _reference(resource, ids, api), uri)
    resources |= methods
    for name, resource_value in resources.items():
        if resource_value["Type"] == "AWS::ApiGateway::Deployment":
            resources[name] = {**resource_value, "DependsOn": sorted(methods)}
    return {**built.template, "Resources": resources}


def _require_expandable(api: RestApi) -> None:
    parts = {
        "authorizers": api.authorizers,
        "request validators": api.request_validators,
        "gateway responses": api.gateway_responses,
        "binary media types": api.binary_media_types,
        "a resource policy": api.policy,
    }
    for what, value in parts.items():
        if value:
            raise UsageError(
                f"an API with {what} cannot be written as single resources",
                hint="deploy it as a definition, which AWS takes",
            )


def _logical_id(resource: ApiResource) -> str:
    """Such as `ApiCakesIdQuoteResource` for `/cakes/{id}/quote`."""
    words = re.findall(r"[a-zA-Z0-9]+", resource.path)
    return API_ID + "".join(word[:1].upper() + word[1:] for word in words) + "Resource"


def _reference(resource: ApiResource, ids: dict[str, str], api: RestApi) -> JsonObject:
    if resource.resource_id == api.root.resource_id:
        return {"Fn::GetAtt": [API_ID, "RootResourceId"]}
    return {"Ref": ids[resource.resource_id]}


def _resource(resource: ApiResource, ids: dict[str, str], api: RestApi) -> JsonObject:
    return {
        "Type": "AWS::ApiGateway::Resource",
        "Properties": {
            "RestApiId": {"Ref": API_ID},
            "ParentId": _reference(api.resources[resource.parent_id], ids, api),
            "PathPart": resource.path_part,
        },
    }


def _method(method: Method, resource: JsonObject, uri: Any) -> JsonObject:
    assert method.integration is not None
    properties: JsonObject = {
        "RestApiId": {"Ref": API_ID},
        "ResourceId": resource,
        "HttpMethod": method.http_method,
        "AuthorizationType": method.authorization_type,
        "ApiKeyRequired": method.api_key_required,
        "OperationName": method.operation_name,
        "RequestParameters": method.request_parameters,
        "MethodResponses": [
            {"StatusCode": each.status_code, "ResponseParameters": each.response_parameters}
            for each in method.responses
        ],
        "Integration": dict(_integration(method.integration, uri)),
    }
    filled = {key: value for key, value in properties.items() if value not in ("", {})}
    return {"Type": "AWS::ApiGateway::Method", "Properties": filled}


def _integration(integration: MethodIntegration, uri: Any) -> Iterator[tuple[str, Any]]:
    members = {
        "Type": integration.type,
        "Uri": uri,
        "IntegrationHttpMethod": integration.http_method,
        "Credentials": integration.credentials,
        "PassthroughBehavior": integration.passthrough_behavior,
        "RequestParameters": integration.request_parameters,
        "RequestTemplates": integration.request_templates,
        "ContentHandling": integration.content_handling,
        "TimeoutInMillis": integration.timeout_ms,
        "IntegrationResponses": [
            {
                key: value
                for key, value in {
                    "StatusCode": each.status_code,
                    "SelectionPattern": each.selection_pattern,
                    "ResponseParameters": each.response_parameters,
                    "ResponseTemplates": each.response_templates,
                    "ContentHandling": each.content_handling,
                }.items()
                if value not in ("", {})
            }
            for each in integration.responses
        ],
    }
    yield from ((key, value) for key, value in members.items() if value not in ("", {}, [], None))
