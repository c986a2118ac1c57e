"""HTTP and WebSocket APIs by boto3 and the AWS CLI, unchanged, against one live engine."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from lamington.gateway.v2.operations.refusals import PORTAL_OPERATIONS
from lamington.testing import RunningEngine, running_engine
from processes import AWS, aws_environment

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:hello"
INVOCATION = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{FUNCTION}/invocations"
ISSUER = {"Issuer": "https://issuer.example", "Audience": ["cakes"]}
DEFINITION = {
    "openapi": "3.0.1",
    "info": {"title": "walked", "version": "1"},
    "paths": {
        "/pets": {
            "get": {
                "responses": {"200": {"description": "ok"}},
                "x-amazon-apigateway-integration": {
                    "type": "aws_proxy",
                    "uri": FUNCTION,
                    "payloadFormatVersion": "2.0",
                },
            }
        }
    },
}

API = {"ApiId": "<api>"}
SOCKET = {"ApiId": "<socket>"}
SOCKET_ROUTE = {**SOCKET, "RouteId": "<socket_route>"}
SOCKET_INTEGRATION = {**SOCKET, "IntegrationId": "<socket_integration>"}
STAGE = {**API, "StageName": "dev"}
WALK: tuple[tuple[str, dict[str, Any]], ...] = (
    ("CreateApi", {"Name": "walked", "ProtocolType": "HTTP", "Tags": {"a": "1"}}),
    ("GetApi", API),
    ("GetApis", {}),
    (
        "UpdateApi",
        {**API, "Description": "d", "CorsConfiguration": {"AllowOrigins": ["*"], "MaxAge": 5}},
    ),
    (
        "CreateIntegration",
        {
            **API,
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": FUNCTION,
            "PayloadFormatVersion": "2.0",
        },
    ),
    ("GetIntegration", {**API, "IntegrationId": "<integration>"}),
    ("GetIntegrations", API),
    ("UpdateIntegration", {**API, "IntegrationId": "<integration>", "TimeoutInMillis": 5000}),
    (
        "CreateAuthorizer",
        {
            **API,
            "Name": "tokens",
            "AuthorizerType": "JWT",
            "IdentitySource": ["$request.header.Authorization"],
            "JwtConfiguration": ISSUER,
        },
    ),
    ("GetAuthorizer", {**API, "AuthorizerId": "<authorizer>"}),
    ("GetAuthorizers", API),
    ("UpdateAuthorizer", {**API, "AuthorizerId": "<authorizer>", "Name": "renamed"}),
    ("CreateRoute", {**API, "RouteKey": "GET /pets", "Target": "integrations/<integration>"}),
    ("GetRoute", {**API, "RouteId": "<route>"}),
    ("GetRoutes", API),
    ("UpdateRoute", {**API, "RouteId": "<route>", "OperationName": "listPets"}),
    ("CreateModel", {**API, "Name": "Pet", "Schema": '{"type": "object"}'}),
    ("GetModel", {**API, "ModelId": "<model>"}),
    ("GetModels", API),
    ("GetModelTemplate", {**API, "ModelId": "<model>"}),
    ("UpdateModel", {**API, "ModelId": "<model>", "Description": "d"}),
    ("CreateDeployment", {**API, "Description": "first"}),
    ("GetDeployment", {**API, "DeploymentId": "<deployment>"}),
    ("GetDeployments", API),
    ("UpdateDeployment", {**API, "DeploymentId": "<deployment>", "Description": "d"}),
    ("CreateStage", {**STAGE, "DeploymentId": "<deployment>"}),
    ("GetStage", STAGE),
    ("GetStages", API),
    (
        "UpdateStage",
        {
            **STAGE,
            "RouteSettings": {"GET /pets": {"ThrottlingBurstLimit": 3}},
            "AccessLogSettings": {
                "DestinationArn": "arn:aws:logs:us-east-1:000000000000:log-group:cakes",
                "Format": "$context.requestId",
            },
        },
    ),
    ("DeleteRouteSettings", {**STAGE, "RouteKey": "GET /pets"}),
    ("DeleteAccessLogSettings", STAGE),
    ("ResetAuthorizersCache", STAGE),
    ("DeleteCorsConfiguration", API),
    ("TagResource", {"ResourceArn": "<arn>", "Tags": {"b": "2"}}),
    ("GetTags", {"ResourceArn": "<arn>"}),
    ("UntagResource", {"ResourceArn": "<arn>", "TagKeys": ["a"]}),
    ("ExportApi", {**API, "Specification": "OAS30", "OutputType": "JSON"}),
    ("ReimportApi", {**API, "Body": json.dumps(DEFINITION)}),
    ("ImportApi", {"Body": json.dumps(DEFINITION), "FailOnWarnings": True}),
    ("CreateVpcLink", {"Name": "link", "SubnetIds": ["subnet-1"]}),
    ("GetVpcLink", {"VpcLinkId": "<link>"}),
    ("GetVpcLinks", {}),
    ("UpdateVpcLink", {"VpcLinkId": "<link>", "Name": "other"}),
    ("DeleteVpcLink", {"VpcLinkId": "<link>"}),
    (
        "+CreateApi",
        {
            "Name": "socket",
            "ProtocolType": "WEBSOCKET",
            "RouteSelectionExpression": "$request.body.action",
        },
    ),
    (
        "+CreateIntegration",
        {**SOCKET, "IntegrationType": "AWS", "IntegrationUri": INVOCATION},
    ),
    (
        "CreateIntegrationResponse",
        {**SOCKET_INTEGRATION, "IntegrationResponseKey": "$default"},
    ),
    ("GetIntegrationResponse", {**SOCKET_INTEGRATION, "IntegrationResponseId": "<answer>"}),
    ("GetIntegrationResponses", SOCKET_INTEGRATION),
    (
        "UpdateIntegrationResponse",
        {
            **SOCKET_INTEGRATION,
            "IntegrationResponseId": "<answer>",
            "IntegrationResponseKey": "/4\\d\\d/",
        },
    ),
    ("DeleteIntegrationResponse", {**SOCKET_INTEGRATION, "IntegrationResponseId": "<answer>"}),
    (
        "+CreateRoute",
        {
            **SOCKET,
            "RouteKey": "$connect",
            "RequestParameters": {"route.request.querystring.who": {"Required": True}},
        },
    ),
    (
        "DeleteRouteRequestParameter",
        {**SOCKET_ROUTE, "RequestParameterKey": "route.request.querystring.who"},
    ),
    ("CreateRouteResponse", {**SOCKET_ROUTE, "RouteResponseKey": "$default"}),
    ("GetRouteResponse", {**SOCKET_ROUTE, "RouteResponseId": "<reply>"}),
    ("GetRouteResponses", SOCKET_ROUTE),
    (
        "UpdateRouteResponse",
        {**SOCKET_ROUTE, "RouteResponseId": "<reply>", "ResponseModels": {"$default": "Empty"}},
    ),
    ("DeleteRouteResponse", {**SOCKET_ROUTE, "RouteResponseId": "<reply>"}),
    ("DeleteStage", STAGE),
    ("DeleteDeployment", {**API, "DeploymentId": "<deployment>"}),
    ("+CreateRoute", {**API, "RouteKey": "GET /again"}),
    ("DeleteRoute", {**API, "RouteId": "<socket_route>"}),
    (
        "+CreateIntegration",
        {
            **API,
            "IntegrationType": "HTTP_PROXY",
            "IntegrationMethod": "GET",
            "IntegrationUri": "https://example.com",
            "PayloadFormatVersion": "1.0",
        },
    ),
    ("DeleteIntegration", {**API, "IntegrationId": "<socket_integration>"}),
    (
        "+CreateAuthorizer",
        {
            **API,
            "Name": "last",
            "AuthorizerType": "JWT",
            "JwtConfiguration": ISSUER,
            "IdentitySource": ["$request.header.Authorization"],
        },
    ),
    ("DeleteAuthorizer", {**API, "AuthorizerId": "<authorizer>"}),
    ("+CreateModel", {**API, "Name": "Cake", "Schema": "{}"}),
    ("DeleteModel", {**API, "ModelId": "<model>"}),
    ("DeleteApi", API),
)
"""In an order in which each finds what it needs; `<name>` is what an earlier answer gave. A `+`
begins a second call, which is for what the next ones need."""

LATER = frozenset(
    {
        *("CreateDomainName", "GetDomainName", "GetDomainNames", "UpdateDomainName"),
        *("DeleteDomainName", "CreateApiMapping", "GetApiMapping", "GetApiMappings"),
        *("UpdateApiMapping", "DeleteApiMapping", "CreateRoutingRule", "GetRoutingRule"),
        *("ListRoutingRules", "PutRoutingRule", "DeleteRoutingRule"),
    }
)
"""Operations on domain names, which have a walk of their own."""


@dataclass
class Outcome:
    """What came of one call: an answer, or an error's code, text and status."""

    answer: Mapping[str, Any]
    code: str = ""
    message: str = ""
    status: int = 0


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    with running_engine() as running:
        yield running


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, known) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, known) for each in value]
    if isinstance(value, str):
        for name, found in known.items():
            value = value.replace(f"<{name}>", found)
    return value


LEARNT = {
    "CreateApi": ("api", "ApiId"),
    "CreateIntegration": ("integration", "IntegrationId"),
    "CreateAuthorizer": ("authorizer", "AuthorizerId"),
    "CreateRoute": ("route", "RouteId"),
    "CreateModel": ("model", "ModelId"),
    "CreateDeployment": ("deployment", "DeploymentId"),
    "CreateVpcLink": ("link", "VpcLinkId"),
    "CreateIntegrationResponse": ("answer", "IntegrationResponseId"),
    "CreateRouteResponse": ("reply", "RouteResponseId"),
    "+CreateApi": ("socket", "ApiId"),
    "+CreateIntegration": ("socket_integration", "IntegrationId"),
    "+CreateRoute": ("socket_route", "RouteId"),
    "+CreateAuthorizer": ("authorizer", "AuthorizerId"),
    "+CreateModel": ("model", "ModelId"),
}


def _learn(operation: str, answer: Mapping[str, Any], known: dict[str, str]) -> None:
    if operation in LEARNT:
        name, member = LEARNT[operation]
        known[name] = answer[member]
    if operation == "CreateApi":
        known["arn"] = f"arn:aws:apigateway:us-east-1::/apis/{known['api']}"


def _called(client: Any, operation: str, params: dict[str, Any]) -> Outcome:
    try:
        return Outcome(answer=getattr(client, xform_name(operation))(**params))
    except ClientError as refused:
        error = refused.response["Error"]
        status = refused.response["ResponseMetadata"]["HTTPStatusCode"]
        return Outcome({}, error.get("Code", ""), error.get("Message", ""), status)


def test_every_operation_answers_or_is_refused_with_its_reason(engine: RunningEngine) -> None:
    client = engine.client("apigatewayv2")
    model = client.meta.service_model
    known: dict[str, str] = {}
    answered, wrong = set(), []
    for operation, params in WALK:
        name = operation.removeprefix("+")
        outcome = _called(client, name, _filled(params, known))
        if outcome.code:
            wrong.append(f"{name}: {outcome.status} {outcome.code}: {outcome.message}")
            continue
        expected = model.operation_model(name).http.get("responseCode", 200)
        if outcome.answer["ResponseMetadata"]["HTTPStatusCode"] != expected:
            wrong.append(f"{name}: {outcome.answer['ResponseMetadata']}")
        answered.add(name)
        _learn(operation, outcome.answer, known)
    assert wrong == []
    left = set(model.operation_names) - answered - LATER
    assert left <= set(PORTAL_OPERATIONS), "newer than what this table was made for"
    print(f"implemented ({len(answered)}), refused ({len(left)}), of others ({len(LATER)})")


@pytest.mark.parametrize("operation", PORTAL_OPERATIONS)
def test_portals_are_refused_by_name(engine: RunningEngine, operation: str) -> None:
    client = engine.client("apigatewayv2")
    if operation not in client.meta.service_model.operation_names:
        pytest.skip(f"the installed model has no {operation} yet")
    shape = client.meta.service_model.operation_model(operation).input_shape
    outcome = _called(client, operation, _least(shape))
    assert (outcome.status, outcome.code) == (501, "NotImplemented")
    assert f"`{operation}`" in outcome.message


def _least(shape: Any) -> Any:
    """The least input that a shape allows."""
    if shape is None:
        return {}
    match shape.type_name:
        case "structure":
            chosen = shape.required_members or (
                list(shape.members)[:1] if getattr(shape, "is_tagged_union", False) else ()
            )
            return {name: _least(shape.members[name]) for name in chosen}
        case "list":
            return [_least(shape.member)] * max(shape.metadata.get("min", 0), 0)
        case "map":
            return {}
        case "integer" | "long":
            return max(shape.metadata.get("min", 1), 1)
        case "boolean":
            return True
    return (getattr(shape, "enum", None) or ["a" * max(shape.metadata.get("min", 1), 1)])[0]


def test_required_members_and_bounds_are_those_of_the_model(engine: RunningEngine) -> None:
    client = engine.client("apigatewayv2")
    api_id = client.create_api(Name="bounds", ProtocolType="HTTP")["ApiId"]
    with pytest.raises(client.exceptions.BadRequestException) as refused:
        client.create_api(Name="a", ProtocolType="HTTP", CorsConfiguration={"MaxAge": 86401})
    assert "Member must have value less than or equal to 86400" in str(refused.value)
    status, body = _sent(engine, "POST", f"/v2/apis/{api_id}/routes", b"{}")
    assert status == 400
    assert "'routeKey' failed to satisfy constraint: Member must not be null" in body["message"]


def test_unsigned_requests_are_told_by_their_path(engine: RunningEngine) -> None:
    client = engine.client("apigatewayv2")
    api_id = client.create_api(Name="plain", ProtocolType="HTTP")["ApiId"]
    status, body = _sent(engine, "GET", f"/v2/apis/{api_id}")
    assert (status, body["apiId"], body["protocolType"]) == (200, api_id, "HTTP")


def _sent(
    engine: RunningEngine, method: str, path: str, body: bytes | None = None
) -> tuple[int, Any]:
    request = urllib.request.Request(f"{engine.endpoint_url}{path}", data=body, method=method)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def test_rest_apis_and_http_apis_are_apart(engine: RunningEngine) -> None:
    rest, http = engine.client("apigateway"), engine.client("apigatewayv2")
    rest_id = rest.create_rest_api(name="rest")["id"]
    http_id = http.create_api(Name="http", ProtocolType="HTTP")["ApiId"]
    assert http_id not in {each["id"] for each in rest.get_rest_apis(limit=500)["items"]}
    assert rest_id not in {each["ApiId"] for each in http.get_apis()["Items"]}
    with pytest.raises(http.exceptions.NotFoundException):
        http.get_api(ApiId=rest_id)


def test_pages_are_followed_by_the_paginator(engine: RunningEngine) -> None:
    client = engine.client("apigatewayv2")
    api_id = client.create_api(Name="pages", ProtocolType="HTTP")["ApiId"]
    for number in range(5):
        client.create_route(ApiId=api_id, RouteKey=f"GET /{number}")
    pages = client.get_paginator("get_routes").paginate(
        ApiId=api_id, PaginationConfig={"PageSize": 2}
    )
    assert [len(page["Items"]) for page in pages] == [2, 2, 1]


def test_imported_definition_is_exported_again(engine: RunningEngine) -> None:
    client = engine.client("apigatewayv2")
    api_id = client.import_api(Body=json.dumps(DEFINITION))["ApiId"]
    body = client.export_api(ApiId=api_id, Specification="OAS30", OutputType="JSON")["body"].read()
    exported = json.loads(body)
    integration = exported["paths"]["/pets"]["get"]["x-amazon-apigateway-integration"]
    assert integration == {
        "payloadFormatVersion": "2.0",
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": FUNCTION,
        "connectionType": "INTERNET",
        "timeoutInMillis": 30000,
    }


def test_apis_are_there_after_a_restart(tmp_path: Path) -> None:
    with running_engine(tmp_path) as first:
        client = first.client("apigatewayv2")
        created = client.create_api(Name="kept", ProtocolType="HTTP", Target=FUNCTION)
    with running_engine(tmp_path) as second:
        client = second.client("apigatewayv2")
        again = client.get_api(ApiId=created["ApiId"])
        [stage] = client.get_stages(ApiId=created["ApiId"])["Items"]
    assert {**again, "ResponseMetadata": 0} == {**created, "ResponseMetadata": 0}
    assert stage["StageName"] == "$default"


def test_session_at_a_terminal(engine: RunningEngine, tmp_path: Path) -> None:
    """The AWS CLI from an API to its export: each start of it takes most of a second."""

    def aws(*arguments: str, fails: bool = False) -> Any:
        done = subprocess.run(
            [
                AWS,
                "--endpoint-url",
                engine.endpoint_url,
                "--output",
                "json",
                "apigatewayv2",
                *arguments,
            ],
            cwd=tmp_path,
            env=aws_environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert bool(done.returncode) == fails, done.stderr
        if fails:
            return done.stderr.strip()
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout

    created = aws(
        *("create-api", "--name", "cli", "--protocol-type", "HTTP", "--target", FUNCTION),
        *("--cors-configuration", "AllowOrigins=https://example.com,MaxAge=60"),
    )
    api = ("--api-id", created["ApiId"])
    assert created["CorsConfiguration"] == {"AllowOrigins": ["https://example.com"], "MaxAge": 60}
    [stage] = aws("get-stages", *api)["Items"]
    assert (stage["StageName"], stage["AutoDeploy"]) == ("$default", True)
    route = aws("create-route", *api, "--route-key", "GET /pets")
    assert route["RouteKey"] == "GET /pets"
    aws("export-api", *api, "--output-type", "YAML", "--specification", "OAS30", "api.yaml")
    assert "/pets" in (tmp_path / "api.yaml").read_text()
    said = aws("create-route", *api, "--route-key", "GET /pets", fails=True)
    assert said == (
        "An error occurred (ConflictException) when calling the CreateRoute operation: Route with"
        " key GET /pets already exists for this API"
    )
    aws("delete-api", *api)
    said = aws("get-api", *api, fails=True)
    assert "(NotFoundException)" in said


TEMPLATE = {
    "Resources": {
        "Api": {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {"Name": "stacked", "ProtocolType": "HTTP"},
        },
        "Integration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": FUNCTION,
                "PayloadFormatVersion": "2.0",
            },
        },
        "Route": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "RouteKey": "GET /cakes",
                "Target": {"Fn::Join": ["/", ["integrations", {"Ref": "Integration"}]]},
            },
        },
        "Stage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "DependsOn": "Route",
            "Properties": {"ApiId": {"Ref": "Api"}, "StageName": "$default", "AutoDeploy": True},
        },
    },
    "Outputs": {
        "Id": {"Value": {"Ref": "Api"}},
        "Endpoint": {"Value": {"Fn::GetAtt": ["Api", "ApiEndpoint"]}},
    },
}


def test_stack_raises_an_http_api_and_takes_it_away(engine: RunningEngine) -> None:
    stacks, client = engine.client("cloudformation"), engine.client("apigatewayv2")
    at_once = {"Delay": 0.05, "MaxAttempts": 400}
    stacks.create_stack(StackName="http", TemplateBody=json.dumps(TEMPLATE))
    stacks.get_waiter("stack_create_complete").wait(StackName="http", WaiterConfig=at_once)
    [stack] = stacks.describe_stacks(StackName="http")["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    api_id = outputs["Id"]
    assert outputs["Endpoint"] == f"https://{api_id}.execute-api.us-east-1.amazonaws.com"
    [route] = client.get_routes(ApiId=api_id)["Items"]
    [stage] = client.get_stages(ApiId=api_id)["Items"]
    assert route["RouteKey"] == "GET /cakes"
    assert stage["DeploymentId"]
    stacks.delete_stack(StackName="http")
    stacks.get_waiter("stack_delete_complete").wait(StackName="http", WaiterConfig=at_once)
    with pytest.raises(client.exceptions.NotFoundException):
        client.get_api(ApiId=api_id)
