"""`lamington explain` of HTTP and WebSocket APIs that boto3 has made, as somebody types it."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from lamington.testing import RunningEngine
from processes import run_lamington
from url_world import make_function

HANDLER = """
def handler(event, context):
    if event.get("type") == "REQUEST":
        return {"isAuthorized": event["identitySource"] == ["open sesame"]}
    return {"statusCode": 200, "body": "heard"}
"""


def integration_uri(engine: RunningEngine) -> str:
    scope = engine.scope
    arn = scope.arn("lambda", "function:explained")
    return f"arn:aws:apigateway:{scope.region}:lambda:path/2015-03-31/functions/{arn}/invocations"


@pytest.fixture(scope="module")
def function(live_engine: RunningEngine) -> None:
    make_function(live_engine, "explained", {"app.py": HANDLER})
    live_engine.client("lambda").add_permission(
        FunctionName="explained",
        StatementId="gateway",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )


def make_api(
    engine: RunningEngine, name: str, protocol: str, keys: list[str], **members: Any
) -> str:
    client = engine.client("apigatewayv2")
    api_id = str(client.create_api(Name=name, ProtocolType=protocol, **members)["ApiId"])
    extra = {"PayloadFormatVersion": "2.0"} if protocol == "HTTP" else {}
    made = client.create_integration(
        ApiId=api_id,
        IntegrationType="AWS_PROXY",
        IntegrationUri=integration_uri(engine),
        **extra,
    )
    for key in keys:
        client.create_route(
            ApiId=api_id, RouteKey=key, Target=f"integrations/{made['IntegrationId']}"
        )
    return api_id


@pytest.fixture(scope="module")
def http_api(live_engine: RunningEngine, function: None) -> str:
    api_id = make_api(live_engine, "told-http", "HTTP", ["GET /pets/{id}", "$default"])
    client = live_engine.client("apigatewayv2")
    authorizer = client.create_authorizer(
        ApiId=api_id,
        Name="door",
        AuthorizerType="REQUEST",
        AuthorizerUri=integration_uri(live_engine),
        AuthorizerPayloadFormatVersion="2.0",
        EnableSimpleResponses=True,
        IdentitySource=["$request.header.Authorization"],
        AuthorizerResultTtlInSeconds=300,
    )
    (route,) = [
        each
        for each in client.get_routes(ApiId=api_id)["Items"]
        if each["RouteKey"] == "GET /pets/{id}"
    ]
    client.update_route(
        ApiId=api_id,
        RouteId=route["RouteId"],
        AuthorizationType="CUSTOM",
        AuthorizerId=authorizer["AuthorizerId"],
    )
    client.create_stage(ApiId=api_id, StageName="live", AutoDeploy=True)
    return api_id


@pytest.fixture(scope="module")
def socket_api(live_engine: RunningEngine, function: None) -> str:
    api_id = make_api(
        live_engine,
        "told-sockets",
        "WEBSOCKET",
        ["$connect", "say", "$disconnect"],
        RouteSelectionExpression="$request.body.action",
    )
    live_engine.client("apigatewayv2").create_stage(ApiId=api_id, StageName="dev", AutoDeploy=True)
    return api_id


def get(engine: RunningEngine, path: str) -> None:
    with urllib.request.urlopen(engine.endpoint_url + path, timeout=10) as answer:
        assert answer.status == 200


def until_told(explain: "Explain", method: str) -> list[Any]:
    """What live requests there are, once one of a method is among them."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found = explain.live()
        if any(each["request"]["method"] == method for each in found):
            return found
    raise AssertionError(f"no {method} was told")


class Explain:
    """The command, against the live engine."""

    def __init__(self, engine: RunningEngine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory

    def run(self, *words: str) -> Any:
        return run_lamington(
            "explain", *words, "--endpoint-url", self._engine.endpoint_url, cwd=self._directory
        )

    def live(self) -> list[Any]:
        ended = self.run("--live", "--json")
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.fixture
def explain(live_engine: RunningEngine, tmp_path: Path) -> Iterator[Explain]:
    command = Explain(live_engine, tmp_path)
    yield command
    command.run("--live", "--off")


def test_request_to_an_http_api_is_explained(explain: Explain, http_api: str) -> None:
    secret = ("-H", "Authorization: open sesame")
    ended = explain.run("GET", "/pets/7?a=1", "--api", http_api, *secret)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("GET /live/pets/7?a=1 → 200  ")
    assert "  match  GET /pets/{id} it matches the whole path" in ended.stdout
    assert "  authorizer  door REQUEST allow  " in ended.stdout
    assert "  response selection  200 the answer has a `statusCode`" in ended.stdout
    assert "open sesame" not in ended.stdout

    again = json.loads(explain.run("GET", "/pets/8", "--api", http_api, *secret, "--json").stdout)
    (authorizer,) = [each for each in again["steps"] if each["name"] == "authorizer"]
    assert authorizer["cached"] is True


def test_refused_request_to_an_http_api_is_exit_status_1(explain: Explain, http_api: str) -> None:
    ended = explain.run("GET", "/pets/7", "--api", "told-http", "-H", "Authorization: let me in")
    assert ended.returncode == 1
    assert "refused  ACCESS_DENIED: The authorizer denies the request" in ended.stdout


def test_handshake_is_explained_and_its_client_goes_again(
    explain: Explain, socket_api: str
) -> None:
    explain.live()
    ended = explain.run("GET", "/", "--api", socket_api, "--json")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert document["protocol"] == "WEBSOCKET"
    assert document["resource"]["path"] == "$connect"
    assert document["response"]["status"] == 101
    (gone,) = [
        each
        for each in until_told(explain, "DISCONNECT")
        if each["request"]["method"] == "DISCONNECT"
    ]
    assert gone["connection_id"] == document["connection_id"]


def test_documents_of_all_protocols_have_the_same_members(
    explain: Explain, live_engine: RunningEngine, http_api: str, socket_api: str
) -> None:
    rest = live_engine.client("apigateway")
    api_id = rest.create_rest_api(name="told-rest")["id"]
    (root,) = rest.get_resources(restApiId=api_id)["items"]
    given = {"restApiId": api_id, "resourceId": root["id"], "httpMethod": "GET"}
    rest.put_method(**given, authorizationType="NONE")
    rest.put_method_response(**given, statusCode="200")
    rest.put_integration(
        **given, type="MOCK", requestTemplates={"application/json": '{"statusCode":200}'}
    )
    rest.put_integration_response(**given, statusCode="200")
    rest.create_deployment(restApiId=api_id, stageName="dev")
    documents = [
        json.loads(explain.run("GET", path, "--api", each, "--json").stdout)
        for each, path in ((api_id, "/"), (http_api, "/other"), (socket_api, "/"))
    ]
    assert [each["protocol"] for each in documents] == ["REST", "HTTP", "WEBSOCKET"]
    assert [each["response"]["status"] for each in documents] == [200, 200, 101]
    assert {tuple(each) for each in documents} == {tuple(documents[0])}


def test_live_shows_requests_and_messages_as_they_came(
    explain: Explain, live_engine: RunningEngine, http_api: str, socket_api: str
) -> None:
    explain.live()
    get(live_engine, f"/_aws/execute-api/{http_api}/live/other")
    host = live_engine.endpoint_url.partition("://")[2]
    with connect(f"ws://{host}/_aws/execute-api/{socket_api}/dev") as socket:
        socket.send('{"action":"say"}')
        socket.send('{"action":"nothing"}')
        assert json.loads(socket.recv(timeout=10))["message"] == "Forbidden"
    found = until_told(explain, "DISCONNECT")
    told = {(each["request"]["method"], (each["resource"] or {}).get("path")) for each in found}
    assert told == {
        ("GET", "$default"),
        ("CONNECT", "$connect"),
        ("MESSAGE", "say"),
        ("MESSAGE", None),
        ("DISCONNECT", "$disconnect"),
    }
    assert [each["number"] for each in found] == sorted(each["number"] for each in found)
    shown = explain.run("--live").stdout
    assert "  match  say the expression gives its key" in shown
    assert "  no route of the API takes it; there are:\n    $connect\n" in shown


def test_nothing_is_recorded_while_live_is_off(
    explain: Explain, live_engine: RunningEngine, http_api: str
) -> None:
    get(live_engine, f"/_aws/execute-api/{http_api}/live/other")
    assert explain.live() == []
