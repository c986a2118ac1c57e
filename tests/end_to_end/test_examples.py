"""Each example: raised, called, changed, deleted; nothing is left behind."""

import json
from pathlib import Path

from example_copies import ExampleCopies
from lamington.testing import running_service

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
