"""One stack of each kind of API, made of single resources as SAM, CDK and Serverless write them.

Each is created by CloudFormation, answers requests, is updated in place and leaves nothing.
"""

import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError
from websockets.sync.client import connect

from lamington.testing import RunningEngine

TEMPLATES = Path(__file__).parent / "gateway_stacks"
AT_ONCE = {"Delay": 0.05, "MaxAttempts": 400}
KEY = "a-key-of-twenty-letters-or-more"


class Stack:
    """A stack of this engine, by its name."""

    def __init__(self, engine: RunningEngine, name: str) -> None:
        self._engine = engine
        self._client = engine.client("cloudformation")
        self._name = name

    def deploy(self, template: str, **parameters: str) -> dict[str, str]:
        """Create or update the stack and wait; its outputs."""
        given = [
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
        ]
        asked = {
            "StackName": self._name,
            "TemplateBody": (TEMPLATES / template).read_text(),
            "Parameters": given,
            "Capabilities": ["CAPABILITY_IAM"],
        }
        names = [each["StackName"] for each in self._client.describe_stacks()["Stacks"]]
        verb = "update" if self._name in names else "create"
        getattr(self._client, f"{verb}_stack")(**asked)
        self._wait(verb)
        (stack,) = self._client.describe_stacks(StackName=self._name)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    def delete(self) -> None:
        self._client.delete_stack(StackName=self._name)
        self._wait("delete")

    def _wait(self, verb: str) -> None:
        waiter = self._client.get_waiter(f"stack_{verb}_complete")
        try:
            waiter.wait(StackName=self._name, WaiterConfig=AT_ONCE)
        except WaiterError as failure:
            events = self._client.describe_stack_events(StackName=self._name)["StackEvents"]
            reasons = [
                f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason')}"
                for each in events
                if "FAILED" in each["ResourceStatus"]
            ]
            raise AssertionError(reasons) from failure

    def ids(self) -> dict[str, str]:
        found = self._client.describe_stack_resources(StackName=self._name)["StackResources"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}


@pytest.fixture
def stack(live_engine: RunningEngine, request: pytest.FixtureRequest) -> Stack:
    return Stack(live_engine, request.node.name.replace("_", "-"))


def ask(
    engine: RunningEngine,
    host: str,
    path: str,
    body: Any = None,
    method: str = "",
    **headers: str,
) -> tuple[int, str]:
    """One request with a Host header, as DNS would bring it; status and body."""
    address = engine.endpoint_url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(
            method or ("POST" if body is not None else "GET"),
            path,
            None if body is None else json.dumps(body),
            {
                "Host": host,
                "Content-Type": "application/json",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_rest_api_of_single_resources(live_engine: RunningEngine, stack: Stack) -> None:
    made = stack.deploy("rest.yaml", KeyValue=KEY, Title="Cake")
    api = f"{made['Api']}.execute-api.us-east-1.amazonaws.com"

    def order(host: str, path: str, body: Any, **headers: str) -> tuple[int, str]:
        return ask(live_engine, host, path, body, **headers)

    known = {"x_api_key": KEY, "Authorization": "allow"}
    assert order(api, "/live/cakes", {"name": "bun"}, **known) == (200, '{"made": true}')
    assert order("cakes.example.com", "/shop/cakes", {"name": "bun"}, **known)[0] == 200
    assert order(api, "/live/cakes", {"name": 7}, **known)[0] == 400
    assert order(api, "/live/cakes", {"name": "bun"}, Authorization="allow")[0] == 403
    status, body = order(api, "/live/cakes", {"name": "bun"}, x_api_key=KEY)
    assert (status, json.loads(body)) == (418, {"sorry": "Unauthorized"})
    assert made["KeyId"] != KEY
    assert made["PlanKeyId"] == f"{made['KeyId']}:{made['PlanId']}"
    assert made["RegionalName"].endswith(".execute-api.us-east-1.amazonaws.com")

    ids = stack.ids()
    stack.deploy("rest.yaml", KeyValue=KEY, Title="Bun", Limit="1")
    assert stack.ids() == ids
    assert order(api, "/live/cakes", {"name": "bun"}, **known)[0] == 429

    other = KEY[::-1]
    stack.deploy("rest.yaml", KeyValue=other, Title="Bun", Limit="100")
    changed = {name for name, each in stack.ids().items() if ids[name] != each}
    assert changed == {"Key", "PlanKey"}
    assert order(api, "/live/cakes", {"name": "bun"}, **known)[0] == 403
    assert order(api, "/live/cakes", {"name": "b"}, **{**known, "x_api_key": other})[0] == 200

    stack.delete()
    client = live_engine.client("apigateway")
    for kind in ("rest_apis", "api_keys", "usage_plans", "domain_names", "client_certificates"):
        assert getattr(client, f"get_{kind}")()["items"] == [], kind


def test_http_api_of_single_resources(live_engine: RunningEngine, stack: Stack) -> None:
    made = stack.deploy("http.yaml", Mapping="shop")
    api = f"{made['Api']}.execute-api.us-east-1.amazonaws.com"
    assert ask(live_engine, api, "/cakes/7", Authorization="allow") == (200, "7 of coconut")
    assert ask(live_engine, api, "/cakes/7")[0] == 401
    assert ask(live_engine, api, "/cakes/7", Authorization="no")[0] == 403
    named = ask(live_engine, "buns.example.com", "/shop/cakes/8", Authorization="allow")
    assert named == (200, "8 of coconut")
    assert ask(live_engine, "buns.example.com", "/beta", Authorization="allow")[0] == 403
    ruled = ask(
        live_engine, "buns.example.com", "/beta/cakes/9", Authorization="allow", x_beta="yes"
    )
    assert ruled == (200, "9 of coconut")

    ids = stack.ids()
    stack.deploy("http.yaml", Mapping="store")
    assert stack.ids() == ids
    assert ask(live_engine, "buns.example.com", "/store/cakes/8", Authorization="allow")[0] == 200
    assert ask(live_engine, "buns.example.com", "/shop/cakes/8", Authorization="allow")[0] == 403

    stack.delete()
    client = live_engine.client("apigatewayv2")
    assert client.get_apis()["Items"] == client.get_domain_names()["Items"] == []


def test_quick_create_is_overridden(live_engine: RunningEngine, stack: Stack) -> None:
    made = stack.deploy("quick.yaml")
    assert made["Overrides"] == made["Api"]
    client = live_engine.client("apigatewayv2")
    (integration,) = client.get_integrations(ApiId=made["Api"])["Items"]
    (route,) = client.get_routes(ApiId=made["Api"])["Items"]
    (stage,) = client.get_stages(ApiId=made["Api"])["Items"]
    assert integration["TimeoutInMillis"] == 5000
    assert route["OperationName"] == "Everything"
    assert stage["StageVariables"] == {"of": "coconut"}
    stack.delete()


def test_web_socket_api_of_single_resources(live_engine: RunningEngine, stack: Stack) -> None:
    made = stack.deploy("web_socket.yaml")
    host = live_engine.endpoint_url.partition("://")[2]
    with connect(f"ws://{host}/_aws/execute-api/{made['Api']}/live") as socket:
        socket.send('{"action": "order", "cake": "bun"}')
        assert socket.recv(timeout=20) == '{"ordered": "bun"}'
        socket.send('{"action": "sing"}')
        assert socket.recv(timeout=20) == "what?"
    stack.delete()
    assert live_engine.client("apigatewayv2").get_apis()["Items"] == []
