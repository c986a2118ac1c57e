"""Every operation of API Gateway's three service models, by boto3: a result, or a proper refusal.

Each is called for things that are not there, for things that are, and with any parameters that the
model allows. No call answers 500.
"""

from typing import Any

import pytest
from botocore import xform_name
from hypothesis import HealthCheck, Phase, given, seed, settings
from websockets.sync.client import connect

from gateway_walk import (
    CERTIFICATE,
    DOCUMENT,
    URI,
    Outcome,
    World,
    any_of,
    called,
    in_walking_order,
    rest_world,
    smallest,
    v2_world,
)
from lamington.testing import RunningEngine

PORTALS = "a developer portal is a web site that AWS hosts"
UNEMULATED = {
    **dict.fromkeys(("CreatePortal", "GetPortal", "UpdatePortal", "DeletePortal"), PORTALS),
    **dict.fromkeys(("ListPortals", "PublishPortal", "DisablePortal", "PreviewPortal"), PORTALS),
    **dict.fromkeys(("CreatePortalProduct", "GetPortalProduct", "UpdatePortalProduct"), PORTALS),
    **dict.fromkeys(("DeletePortalProduct", "ListPortalProducts"), PORTALS),
    **dict.fromkeys(("PutPortalProductSharingPolicy", "GetPortalProductSharingPolicy"), PORTALS),
    "DeletePortalProductSharingPolicy": PORTALS,
    **dict.fromkeys(("CreateProductPage", "GetProductPage", "UpdateProductPage"), PORTALS),
    **dict.fromkeys(("DeleteProductPage", "ListProductPages"), PORTALS),
    **dict.fromkeys(("CreateProductRestEndpointPage", "GetProductRestEndpointPage"), PORTALS),
    **dict.fromkeys(("UpdateProductRestEndpointPage", "DeleteProductRestEndpointPage"), PORTALS),
    "ListProductRestEndpointPages": PORTALS,
}
"""What answers 501, and why."""

REFUSED = {"GetSdk": "no code is generated here: the definition is exported instead"}
"""What answers no request, and why; the refusal is one that AWS has."""

SOCKET_SELECTION = "$request.body.action"
TELLING: dict[str, dict[str, Any]] = {
    "apigateway.CreateAuthorizer": {
        **{"name": "door", "type": "TOKEN", "authorizerUri": URI},
        "identitySource": "method.request.header.Authorization",
    },
    "apigateway.CreateDocumentationPart": {
        "location": {"type": "RESOURCE", "path": "/cakes"},
        "properties": '{"description": "d"}',
    },
    "apigateway.CreateDocumentationVersion": {"documentationVersion": "2"},
    "apigateway.CreateDomainName": {"domainName": "new.walked.example"},
    "apigateway.CreateModel": {"name": "Bun", "schema": "{}"},
    "apigateway.CreateRequestValidator": {"name": "body"},
    "apigateway.CreateStage": {"stageName": "beta"},
    "apigateway.CreateUsagePlanKey": {"keyId": "$another"},
    "apigateway.CreateBasePathMapping": {"basePath": "beta"},
    "apigateway.CreateResource": {"pathPart": "buns"},
    "apigateway.GetExport": {"exportType": "oas30"},
    "apigateway.GetSdk": {"sdkType": "java"},
    "apigateway.GetSdkType": {"id": "java"},
    "apigateway.GetUsage": {"startDate": "2026-01-01", "endDate": "2026-01-02"},
    "apigateway.ImportApiKeys": {"body": b"name,key\nimported,a-key-of-twenty-letters"},
    "apigateway.ImportDocumentationParts": {"body": DOCUMENT.encode()},
    "apigateway.PutIntegration": {"type": "MOCK"},
    "apigateway.PutMethod": {"httpMethod": "POST"},
    "apigateway.PutMethodResponse": {"statusCode": "400"},
    "apigateway.PutIntegrationResponse": {"statusCode": "200"},
    "apigatewayv2.CreateApi": {
        **{"ProtocolType": "WEBSOCKET", "RouteSelectionExpression": SOCKET_SELECTION},
    },
    "apigatewayv2.CreateAuthorizer": {
        **{"AuthorizerType": "JWT", "IdentitySource": ["$request.header.Authorization"]},
        "JwtConfiguration": {"Issuer": "https://other.example", "Audience": ["a"]},
    },
    "apigatewayv2.CreateDomainName": {
        "DomainName": "new.v.walked.example",
        "DomainNameConfigurations": [{"CertificateArn": CERTIFICATE}],
    },
    "apigatewayv2.CreateApiMapping": {"ApiMappingKey": "beta"},
    "apigatewayv2.CreateIntegration": {
        **{"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "GET"},
        **{"IntegrationUri": "https://example.com", "PayloadFormatVersion": "1.0"},
    },
    "apigatewayv2.CreateIntegrationResponse": {"IntegrationResponseKey": "/200/"},
    "apigatewayv2.CreateModel": {"Name": "Bun", "Schema": "{}"},
    "apigatewayv2.CreateRoute": {"RouteKey": "GET /buns"},
    "apigatewayv2.CreateRouteResponse": {"RouteResponseKey": "$default"},
    "apigatewayv2.CreateRoutingRule": {"Priority": 2},
    "apigatewayv2.CreateStage": {"StageName": "beta"},
    "apigatewayv2.ExportApi": {"OutputType": "JSON", "Specification": "OAS30"},
    "apigatewayv2.ImportApi": {"Body": DOCUMENT},
    "apigatewayv2.ReimportApi": {"Body": DOCUMENT},
}
"""What a result takes that the model does not say; `$another` is a second API key."""

WORLDS = {"apigateway": rest_world, "apigatewayv2": v2_world}
ANY = settings(
    max_examples=10,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


def call(client: Any, operation: str, params: dict[str, Any]) -> Outcome:
    return called(client, xform_name(operation), params)


def told(operation: str, outcome: Outcome) -> str:
    return f"{operation}: {outcome.status} {outcome.code}: {outcome.message}"


@pytest.mark.parametrize("service", WORLDS)
def test_what_is_not_there_is_refused_properly(live_engine: RunningEngine, service: str) -> None:
    client = live_engine.client(service, account_id="111111111111")
    model = client.meta.service_model
    wrong, unemulated = [], set()
    for operation in model.operation_names:
        outcome = call(client, operation, smallest(model.operation_model(operation), {}))
        if outcome.status == 501:
            unemulated.add(operation)
        elif not outcome.is_proper:
            wrong.append(told(operation, outcome))
    assert wrong == []
    assert unemulated == UNEMULATED.keys() & model.operation_names


@pytest.mark.parametrize("service", WORLDS)
def test_every_operation_has_a_result(live_engine: RunningEngine, service: str) -> None:
    client = live_engine.client(service)
    model = client.meta.service_model
    world = WORLDS[service](live_engine)
    if service == "apigateway":
        another = client.create_api_key(name="another")["id"]
        telling = {**TELLING, "apigateway.CreateUsagePlanKey": {"keyId": another}}
    else:
        telling = _v2_telling(live_engine, world)
    refused = []
    for operation in in_walking_order(set(model.operation_names) - UNEMULATED.keys()):
        params = smallest(model.operation_model(operation), world.known(operation))
        outcome = call(client, operation, params | telling.get(f"{service}.{operation}", {}))
        if operation in REFUSED:
            assert outcome.is_proper
            assert outcome.code
        elif outcome.code:
            refused.append(told(operation, outcome))
    assert refused == []


def _v2_telling(engine: RunningEngine, world: World) -> dict[str, dict[str, Any]]:
    """A route has one response: another route of the WebSocket API takes the new one."""
    api = world.known("RouteResponse")["ApiId"]
    client = engine.client("apigatewayv2")
    route = client.create_route(ApiId=api, RouteKey="another")["RouteId"]
    response = {"RouteId": route, "RouteResponseKey": "$default"}
    return {**TELLING, "apigatewayv2.CreateRouteResponse": response}


def failures(client: Any, operation: str, world: World) -> list[str]:
    """What came of calls with any parameters and was no proper answer."""
    wrong: list[str] = []
    model = client.meta.service_model.operation_model(operation)

    @seed(20261123)
    @ANY
    @given(params=any_of(model, world.known(operation)))
    def attempt(params: dict[str, Any]) -> None:
        outcome = call(client, operation, params)
        if not outcome.is_proper:
            wrong.append(f"{told(operation, outcome)}\n    {params}")

    attempt()
    return wrong


@pytest.mark.parametrize("service", WORLDS)
def test_no_parameters_make_it_fail(live_engine: RunningEngine, service: str) -> None:
    """The world is made anew after what changes it: some take apart what they are called for."""
    client = live_engine.client(service)
    model = client.meta.service_model
    wrong: list[str] = []
    world = WORLDS[service](live_engine)
    for operation in sorted(set(model.operation_names) - UNEMULATED.keys()):
        wrong += failures(client, operation, world)
        if not operation.startswith("Get"):
            world = WORLDS[service](live_engine)
    assert not wrong, "\n".join(wrong)


def test_connections_are_managed(live_engine: RunningEngine) -> None:
    import boto3

    world = v2_world(live_engine)
    api = world.known("RouteResponse")["ApiId"]
    address = live_engine.endpoint_url
    session: Any = boto3.Session("test", "test", region_name="us-east-1")
    client = session.client(
        "apigatewaymanagementapi", endpoint_url=f"{address}/_aws/execute-api/{api}/live"
    )
    operations = client.meta.service_model.operation_names
    assert sorted(operations) == ["DeleteConnection", "GetConnection", "PostToConnection"]
    gone = {"ConnectionId": "L0SM9cOFvHcCIhw="}
    for operation in operations:
        params = smallest(client.meta.service_model.operation_model(operation), gone)
        outcome = call(client, operation, params)
        assert (outcome.status, outcome.code) == (410, "GoneException"), outcome
    with connect(f"{address.replace('http', 'ws')}/_aws/execute-api/{api}/live") as socket:
        socket.send("who am I?")
        identity = socket.recv(timeout=10)
        sent = call(client, "PostToConnection", {"ConnectionId": identity, "Data": b"hello"})
        assert sent.code == ""
        assert socket.recv(timeout=10) == "hello"
        shown = call(client, "GetConnection", {"ConnectionId": identity})
        assert shown.answer["Identity"]["SourceIp"] == "127.0.0.1"
        for operation in ("GetConnection", "PostToConnection"):
            assert failures(client, operation, World({"ConnectionId": identity})) == []
        assert call(client, "DeleteConnection", {"ConnectionId": identity}).code == ""
        assert failures(client, "DeleteConnection", World({"ConnectionId": identity})) == []


@pytest.mark.parametrize(
    ("operation", "params", "code"),
    [
        ("UntagResource", {"resourceArn": "$resourceArn", "tagKeys": []}, ""),
        ("ImportApiKeys", {"format": "csv", "body": b""}, "BadRequestException"),
        ("ImportApiKeys", {"format": "csv", "body": b"\ra\xfe\x86"}, "BadRequestException"),
        (
            "ImportApiKeys",
            {"format": "csv", "body": b"name,key\r" + b"n" * 200_000},
            "BadRequestException",
        ),
    ],
)
def test_what_failed_once(
    live_engine: RunningEngine, operation: str, params: dict[str, Any], code: str
) -> None:
    """Parameters that the walk, with many more examples than above, found to answer 500."""
    arn = rest_world(live_engine).names["resourceArn"]
    given = params | ({"resourceArn": arn} if "resourceArn" in params else {})
    outcome = call(live_engine.client("apigateway"), operation, given)
    assert outcome.is_proper
    assert outcome.code == code
