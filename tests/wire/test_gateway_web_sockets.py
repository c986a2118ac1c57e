"""A WebSocket API from boto3 to a client: real functions, `@connections` by AWS's own client."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from lamington.testing import RunningEngine, running_engine
from url_world import make_function

TALK = """
import json

def handler(event, context):
    kind = event["requestContext"]["eventType"]
    if kind == "CONNECT" and "refuse" in (event.get("queryStringParameters") or {}):
        return {"statusCode": 403}
    if kind == "MESSAGE":
        return {"statusCode": 200, "body": json.dumps(event)}
    print("event", kind, event["requestContext"]["connectionId"])
    return {"statusCode": 200}
"""


@dataclass(frozen=True, kw_only=True)
class Talk:
    """An API that is deployed; `url` is where clients connect, `endpoint` where backends do."""

    engine: RunningEngine
    api_id: str

    @property
    def url(self) -> str:
        host = self.engine.endpoint_url.partition("://")[2]
        return f"ws://{host}/_aws/execute-api/{self.api_id}/dev"

    def connections(self, endpoint: str = "") -> Any:
        import boto3

        session: Any = boto3.Session(
            region_name=self.engine.scope.region,
            aws_access_key_id=self.engine.scope.account_id,
            aws_secret_access_key="test",
        )
        url = endpoint or f"{self.engine.endpoint_url}/_aws/execute-api/{self.api_id}/dev"
        return session.client("apigatewaymanagementapi", endpoint_url=url)


@pytest.fixture(scope="module")
def talk(live_engine: RunningEngine) -> Talk:
    make_function(live_engine, "talk", {"app.py": TALK})
    client = live_engine.client("apigatewayv2")
    api = client.create_api(
        Name="talk", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
    )
    scope = live_engine.scope
    arn = scope.arn("lambda", "function:talk")
    made = client.create_integration(
        ApiId=api["ApiId"],
        IntegrationType="AWS_PROXY",
        IntegrationUri=f"arn:aws:apigateway:{scope.region}:lambda:path/2015-03-31/functions/"
        f"{arn}/invocations",
    )
    for key in ("$connect", "$disconnect", "$default", "say"):
        route = client.create_route(
            ApiId=api["ApiId"],
            RouteKey=key,
            Target=f"integrations/{made['IntegrationId']}",
            RouteResponseSelectionExpression="$default",
        )
        if key == "say":
            client.create_route_response(
                ApiId=api["ApiId"], RouteId=route["RouteId"], RouteResponseKey="$default"
            )
    live_engine.client("lambda").add_permission(
        FunctionName="talk",
        StatementId="gateway",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=scope.arn("execute-api", f"{api['ApiId']}/*"),
    )
    client.create_stage(ApiId=api["ApiId"], StageName="dev", AutoDeploy=True)
    return Talk(engine=live_engine, api_id=api["ApiId"])


def said(client: ClientConnection, message: Any) -> Any:
    client.send(json.dumps(message))
    return json.loads(client.recv(10))


def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(250):
        if condition():
            return
        time.sleep(0.02)
    assert condition()


def logged(talk: Talk, words: str) -> bool:
    logs = talk.engine.client("logs")
    found = logs.filter_log_events(logGroupName="/aws/lambda/talk", filterPattern=f'"{words}"')
    return bool(found["events"])


def test_function_talks_with_a_client(talk: Talk) -> None:
    with connect(talk.url) as client:
        event = said(client, {"action": "say", "text": "hi"})
        assert json.loads(event["body"]) == {"action": "say", "text": "hi"}
        context = event["requestContext"]
        assert (context["routeKey"], context["stage"], context["apiId"]) == (
            "say",
            "dev",
            talk.api_id,
        )
    eventually(lambda: logged(talk, f"DISCONNECT {context['connectionId']}"))


def test_function_refuses_a_client(talk: Talk) -> None:
    with pytest.raises(InvalidStatus) as refusal, connect(f"{talk.url}?refuse=1"):
        pass
    assert refusal.value.response.status_code == 403


def test_page_of_any_origin_connects_and_controls_nothing(talk: Talk) -> None:
    page = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    with connect(talk.url, additional_headers=page) as client:
        assert said(client, {"action": "say"})
    root = talk.engine.endpoint_url.replace("http", "ws")
    with pytest.raises(InvalidStatus) as refusal:
        connect(f"{root}/v2/apis", additional_headers=page)
    assert refusal.value.response.status_code == 403


def test_backend_reaches_a_client_by_its_connection(talk: Talk) -> None:
    connections = talk.connections()
    with connect(talk.url) as client:
        identity = said(client, {"action": "say"})["requestContext"]["connectionId"]
        connections.post_to_connection(ConnectionId=identity, Data=b"from behind")
        assert client.recv(10) == "from behind"
        described = connections.get_connection(ConnectionId=identity)
        assert described["Identity"]["SourceIp"] == "127.0.0.1"
        assert described["ConnectedAt"] <= described["LastActiveAt"]
        connections.delete_connection(ConnectionId=identity)
        with pytest.raises(ConnectionClosed, match="1000"):
            client.recv(10)
    with pytest.raises(connections.exceptions.GoneException) as gone:
        connections.post_to_connection(ConnectionId=identity, Data=b"x")
    assert gone.value.response["ResponseMetadata"]["HTTPStatusCode"] == 410


def test_errors_are_those_of_the_service_model(talk: Talk) -> None:
    connections = talk.connections()
    with pytest.raises(ClientError, match=r"BadRequestException.*Invalid connectionId: nobody"):
        connections.post_to_connection(ConnectionId="nobody", Data=b"x")
    with connect(talk.url) as client:
        identity = said(client, {"action": "say"})["requestContext"]["connectionId"]
        with pytest.raises(connections.exceptions.PayloadTooLargeException):
            connections.post_to_connection(ConnectionId=identity, Data=b"x" * 131_073)


def test_address_of_the_engine_is_enough_for_a_backend(talk: Talk) -> None:
    connections = talk.connections(talk.engine.endpoint_url)
    with connect(talk.url) as client:
        identity = said(client, {"action": "say"})["requestContext"]["connectionId"]
        connections.post_to_connection(ConnectionId=identity, Data=b"short way")
        assert client.recv(10) == "short way"


def test_unknown_stage_is_forbidden(talk: Talk) -> None:
    with pytest.raises(InvalidStatus) as refusal, connect(f"{talk.url}x"):
        pass
    assert refusal.value.response.status_code == 403


def test_host_of_the_api_is_enough_for_a_client(talk: Talk) -> None:
    host = talk.engine.endpoint_url.partition("://")[2]
    name = f"{talk.api_id}.execute-api.localhost"
    with connect(f"ws://{name}/dev", sock=_socket(host)) as client:
        assert said(client, {"action": "say"})["requestContext"]["domainName"] == name


def _socket(host: str) -> Any:
    import socket

    name, _, port = host.partition(":")
    return socket.create_connection((name, int(port)))


def test_service_port_serves_a_web_socket_at_its_root(talk: Talk) -> None:
    port = talk.engine.run(talk.engine.engine.serve(talk.api_id, "dev"))
    with connect(f"ws://127.0.0.1:{port}/") as client:
        context = said(client, {"action": "say"})["requestContext"]
    assert (context["stage"], context["domainName"]) == ("dev", f"127.0.0.1:{port}")


def test_engine_says_good_bye_when_it_stops() -> None:
    with ExitStack() as stack:
        engine = stack.enter_context(running_engine())
        client = engine.client("apigatewayv2")
        api_id = client.create_api(
            Name="quiet", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.a"
        )["ApiId"]
        made = client.create_integration(ApiId=api_id, IntegrationType="MOCK")
        target = f"integrations/{made['IntegrationId']}"
        client.create_route(ApiId=api_id, RouteKey="$default", Target=target)
        client.create_stage(ApiId=api_id, StageName="dev", AutoDeploy=True)
        with connect(Talk(engine=engine, api_id=api_id).url) as waiting:
            stack.close()
            with pytest.raises(ConnectionClosed, match="1001"):
                waiting.recv(10)


def test_route_may_call_an_aws_service(live_engine: RunningEngine) -> None:
    client = live_engine.client("apigatewayv2")
    api_id = client.create_api(
        Name="who", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.a"
    )["ApiId"]
    region = live_engine.scope.region
    trust: dict[str, Any] = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    trust |= {"Principal": {"Service": "apigateway.amazonaws.com"}}
    live_engine.client("iam").create_role(
        RoleName="gateway",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    made = client.create_integration(
        ApiId=api_id,
        IntegrationType="AWS",
        IntegrationMethod="POST",
        IntegrationUri=f"arn:aws:apigateway:{region}:sts:action/GetCallerIdentity",
        CredentialsArn=live_engine.scope.global_arn("iam", "role/gateway"),
    )
    route = client.create_route(
        ApiId=api_id, RouteKey="$default", Target=f"integrations/{made['IntegrationId']}"
    )
    client.create_route_response(
        ApiId=api_id, RouteId=route["RouteId"], RouteResponseKey="$default"
    )
    client.create_stage(ApiId=api_id, StageName="dev", AutoDeploy=True)
    with connect(Talk(engine=live_engine, api_id=api_id).url) as waiting:
        waiting.send("{}")
        assert "assumed-role/gateway" in str(waiting.recv(20))
