"""The AWS CLI, unchanged, and API Gateway: usage plans, domain names, and version 2.

A start of the CLI takes most of a second, so that the sessions are few and each says a lot.
"""

import http.client
import json
from pathlib import Path

import pytest

from lamington.testing import RunningEngine
from terminal import Terminal

PING = {
    "openapi": "3.0.1",
    "info": {"title": "pings", "version": "1"},
    "paths": {
        "/ping": {
            "get": {
                "security": [{"key": []}],
                "responses": {"200": {"description": "pong"}},
                "x-amazon-apigateway-integration": {
                    "type": "mock",
                    "requestTemplates": {"application/json": '{"statusCode": 200}'},
                    "responses": {"default": {"statusCode": "200"}},
                },
            }
        }
    },
    "components": {
        "securitySchemes": {"key": {"type": "apiKey", "name": "x-api-key", "in": "header"}}
    },
}
KEY = "a-key-of-twenty-letters-or-more"


@pytest.fixture
def terminal(live_engine: RunningEngine, tmp_path: Path) -> Terminal:
    return Terminal(live_engine.endpoint_url, tmp_path)


def status_of(engine: RunningEngine, host: str, path: str, key: str = "") -> int:
    """The status of a request with this Host header, as DNS would bring it."""
    address = engine.endpoint_url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host, "x-api-key": key})
        return connection.getresponse().status
    finally:
        connection.close()


def test_usage_plan_and_domain_name(
    terminal: Terminal, live_engine: RunningEngine, tmp_path: Path
) -> None:
    (tmp_path / "api.json").write_text(json.dumps(PING))
    api = terminal.aws("apigateway", "import-rest-api", "--body", "file://api.json")["id"]
    terminal.aws("apigateway", "create-deployment", "--rest-api-id", api, "--stage-name", "live")
    host = f"{api}.execute-api.us-east-1.amazonaws.com"
    assert status_of(live_engine, host, "/live/ping") == 403

    key = terminal.aws(
        *("apigateway", "create-api-key", "--name", "ours", "--value", KEY, "--enabled")
    )
    plan = terminal.aws(
        *("apigateway", "create-usage-plan", "--name", "small"),
        *("--api-stages", f"apiId={api},stage=live"),
        *("--throttle", "burstLimit=5,rateLimit=10", "--quota", "limit=2,period=DAY"),
    )
    assert plan["throttle"] == {"burstLimit": 5, "rateLimit": 10.0}
    this = ("--usage-plan-id", plan["id"])
    added = terminal.aws(
        *("apigateway", "create-usage-plan-key", *this),
        *("--key-id", key["id"], "--key-type", "API_KEY"),
    )
    assert added == {"id": key["id"], "type": "API_KEY", "value": KEY, "name": "ours"}
    answers = [status_of(live_engine, host, "/live/ping", KEY) for _ in range(3)]
    assert answers == [200, 200, 429]
    patched = terminal.aws(
        *("apigateway", "update-usage-plan", *this),
        *("--patch-operations", "op=replace,path=/quota/limit,value=9"),
    )
    assert patched["quota"] == {"limit": 9, "offset": 0, "period": "DAY"}
    said = terminal.refused("apigateway", "delete-usage-plan", *this)
    assert said == (
        "An error occurred (BadRequestException) when calling the DeleteUsagePlan operation: Cannot"
        f" delete Usage Plan {plan['id']} because there are API Stages associated with it,"
        f" including {api}:live"
    )

    named = ("--domain-name", "pings.example.com")
    made = terminal.aws(
        *("apigateway", "create-domain-name", *named),
        *("--endpoint-configuration", "types=REGIONAL", "--tags", "team=buns"),
    )
    assert made["domainNameArn"] == "arn:aws:apigateway:us-east-1::/domainnames/pings.example.com"
    mapping = terminal.aws(
        *("apigateway", "create-base-path-mapping", *named),
        *("--base-path", "shop", "--rest-api-id", api, "--stage", "live"),
    )
    assert mapping == {"basePath": "shop", "restApiId": api, "stage": "live"}
    assert status_of(live_engine, "pings.example.com", "/shop/ping", KEY) == 200
    tags = terminal.aws("apigateway", "get-tags", "--resource-arn", made["domainNameArn"])
    assert tags == {"tags": {"team": "buns"}}
    terminal.aws("apigateway", "delete-domain-name", *named)
    said = terminal.refused("apigateway", "get-domain-name", *named)
    assert "(NotFoundException)" in said


def test_http_api(terminal: Terminal, live_engine: RunningEngine) -> None:
    api = terminal.aws(
        *("apigatewayv2", "create-api", "--name", "quick", "--protocol-type", "HTTP"),
        *("--target", "http://127.0.0.1:9/", "--cors-configuration", "AllowOrigins=*,MaxAge=5"),
    )
    assert api["CorsConfiguration"] == {"AllowOrigins": ["*"], "MaxAge": 5}
    this = ("--api-id", api["ApiId"])
    (route,) = terminal.aws("apigatewayv2", "get-routes", *this)["Items"]
    assert (route["RouteKey"], route["ApiGatewayManaged"]) == ("$default", True)
    made = terminal.aws("apigatewayv2", "create-route", *this, "--route-key", "GET /cakes/{id}")
    stage = terminal.aws(
        *("apigatewayv2", "update-stage", *this, "--stage-name", "$default"),
        *("--default-route-settings", "ThrottlingBurstLimit=1,ThrottlingRateLimit=2"),
    )
    assert stage["DefaultRouteSettings"]["ThrottlingRateLimit"] == 2.0
    said = terminal.refused("apigatewayv2", "create-route", *this, "--route-key", "nonsense")
    assert "(BadRequestException)" in said
    named = ("--domain-name", "quick.example.com")
    certificate = "arn:aws:acm:us-east-1:000000000000:certificate/1"
    terminal.aws(
        *("apigatewayv2", "create-domain-name", *named),
        *("--domain-name-configurations", f"CertificateArn={certificate},EndpointType=REGIONAL"),
    )
    mapping = terminal.aws(
        *("apigatewayv2", "create-api-mapping", *named, *this),
        *("--stage", "$default", "--api-mapping-key", "a/b"),
    )
    assert mapping["ApiMappingKey"] == "a/b"
    # Nobody listens where the integration leads.
    assert status_of(live_engine, "quick.example.com", "/a/b/anything") == 503
    assert status_of(live_engine, "quick.example.com", "/other") == 403
    terminal.aws("apigatewayv2", "delete-route", *this, "--route-id", made["RouteId"])
    terminal.aws("apigatewayv2", "delete-api", *this)
    assert terminal.aws("apigatewayv2", "get-apis") == {"Items": []}
