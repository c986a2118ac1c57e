"""Each example: raised, called, changed, deleted; nothing is left behind."""

import json
from pathlib import Path

from websockets.sync.client import connect

from example_copies import ExampleCopies
from lamington.testing import RunningService, running_service

EVENT_HANDLER = "exports.handler = function (event, context) { context.succeed(event); };\n"


def test_hello_answers_as_the_article_says(example: ExampleCopies) -> None:
    with running_service(example("hello")) as service:
        answer = service.get("/hello")
    assert (answer.status, answer.body) == (200, b'"Hello, World!"')
    assert answer.headers.get("content-type") == "application/json"


def test_request_template_of_the_article_makes_the_event(example: ExampleCopies) -> None:
    root = example("hello")
    handler = next((root / "functions").rglob("*.js"))
    handler.write_text(EVENT_HANDLER)
    with running_service(root) as service:
        answer = service.get("/hello?ignored=1")
    assert answer.body == b'{"path":"/hello"}'


def test_unknown_path_is_refused_as_aws_does(example: ExampleCopies) -> None:
    with running_service(example("hello")) as service:
        answer = service.get("/nothing")
    assert answer.status == 403
    assert json.loads(answer.body) == {"message": "Missing Authentication Token"}
    assert answer.headers.get("x-amzn-errortype") == "MissingAuthenticationTokenException"


def test_deleted_service_leaves_nothing_behind(example: ExampleCopies, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_service(example("bakery"), data=data) as service:
        client = service.client("cloudformation")
        name = client.describe_stacks()["Stacks"][0]["StackName"]
        client.delete_stack(StackName=name)
        client.get_waiter("stack_delete_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
        assert service.client("lambda").list_functions()["Functions"] == []
        assert service.client("apigateway").get_rest_apis()["items"] == []
        assert service.client("iam").list_roles()["Roles"] == []
        assert service.client("logs").describe_log_groups()["logGroups"] == []


def order(service: RunningService, body: object, **headers: str) -> tuple[int, object]:
    sent = {"Content-Type": "application/json", "Authorization": "Member ada", **headers}
    named = {name.replace("_", "-"): value for name, value in sent.items()}
    answer = service.request("POST", "/orders", json.dumps(body).encode(), named)
    return answer.status, json.loads(answer.body)


def key_of(service: RunningService) -> str:
    keys = service.client("apigateway").get_api_keys(includeValues=True)["items"]
    return str(keys[0]["value"])


def test_stall_takes_orders_of_members_with_a_key(example: ExampleCopies) -> None:
    with running_service(example("stall")) as service:
        key = key_of(service)
        pavlova = {"cake": "pavlova"}
        taken = {"cake": "pavlova", "for": "ada", "discount": "10"}
        assert order(service, pavlova, X_API_Key=key) == (202, taken)
        assert order(service, pavlova) == (403, {"message": "Forbidden"})
        stranger = order(service, pavlova, X_API_Key=key, Authorization="Member nobody")
        assert stranger == (401, {"message": "Unauthorized"})
        wrong = order(service, {"cake": "pie"}, X_API_Key=key)
        assert wrong == (400, {"message": "Invalid request body"})


def test_stall_rings_the_bell_of_who_waits(example: ExampleCopies) -> None:
    with running_service(example("stall")) as service:
        apis = service.client("apigatewayv2").get_apis()["Items"]
        host = service.engine.endpoint_url.partition("://")[2]
        with connect(f"ws://{host}/_aws/execute-api/{apis[0]['ApiId']}/live") as bell:
            bell.send(json.dumps({"action": "wait"}))
            connection = json.loads(bell.recv(10))["bell"]
            wanted = {"cake": "lamington", "slices": 2, "bell": connection}
            status, taken = order(service, wanted, X_API_Key=key_of(service))
            assert (status, json.loads(bell.recv(10))) == (202, taken)


def test_deleted_stall_leaves_no_key_and_no_bell(example: ExampleCopies) -> None:
    with running_service(example("stall")) as service:
        client = service.client("cloudformation")
        client.delete_stack(StackName="stall")
        client.get_waiter("stack_delete_complete").wait(
            StackName="stall", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
        gateway = service.client("apigateway")
        assert gateway.get_api_keys()["items"] == []
        assert gateway.get_usage_plans()["items"] == []
        assert service.client("apigatewayv2").get_apis()["Items"] == []
