"""The bakery, whole: what callers send arrives as plain values, what functions say goes out."""

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from example_copies import EXAMPLES, ExampleCopies
from lamington.core.errors import AwsError
from lamington.testing import Answer, RunningEngine, RunningService, running_engine, running_service
from processes import run_lamington, start_up

CAKES = json.loads((EXAMPLES / "bakery" / "common" / "cakes.json").read_text())
IDS = [cake["id"] for cake in CAKES]
JSON = {"Content-Type": "application/json"}

# A function that returns its event shows what arrives.
ECHO_PYTHON = "def handler(event, context):\n    return {'cakes': [], 'count': 0, 'event': event}\n"
ECHO_NODE = "exports.handler = async (event) => event;\n"

HOSTILE = (
    '"',
    "'",
    "\\",
    '\\"',
    '", "admin": true, "x": "',
    '"}, {"',
    "line\nbreak\r\n\ttab",
    "\u2028\u2029\x7f",
    "$context.identity.sourceIp",
    "${context.stage}",
    "$input.body",
    "$util.escapeJavaScript('x')",
    "#set($p1 = 'owned')$p1",
    "#if(true)yes#end",
    "#* comment *# ## #[[raw]]#",
    "{{7*7}} %{x} <script>",
    "Ünïcödé 漢字 🍰",
    "null",
    "[1, 2]",
    "\\u0022",
    "a,b",
    "1e999",
)


@pytest.fixture(scope="module")
def bakery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running_service(ExampleCopies(tmp_path_factory.mktemp("bakery"))("bakery")) as service:
        yield service


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The bakery's API before functions that return their events."""
    root = ExampleCopies(tmp_path_factory.mktemp("echo"))("bakery")
    for name in ("list", "get"):
        (root / "functions" / name / "handler.py").write_text(ECHO_PYTHON)
    (root / "functions" / "quote" / "index.js").write_text(ECHO_NODE)
    with running_service(root) as service:
        yield service


def listed(service: RunningService, **query: Any) -> Answer:
    return service.get(f"/cakes?{urllib.parse.urlencode(query)}")


def ids_of(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [cake["id"] for cake in json.loads(answer.body)["cakes"]]


def quoted(service: RunningService, cake: str, body: Any, **headers: str) -> Answer:
    content = json.dumps(body).encode()
    return service.request("POST", f"/cakes/{cake}/quote", content, {**JSON, **headers})


def message_of(answer: Answer) -> Any:
    assert answer.headers.get("content-type") == "application/json"
    parsed = json.loads(answer.body)
    assert list(parsed) == ["message"]
    return parsed["message"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, IDS),
        ({"tags": "nuts"}, ["carrot-cake", "banana-bread"]),
        ({"tags": "fruit,nuts"}, ["banana-bread"]),
        ({"price_max": "4.25"}, ["lamington", "carrot-cake", "banana-bread"]),
        ({"price_max": "3"}, ["banana-bread"]),
        ({"vegan": "true"}, ["carrot-cake", "banana-bread"]),
        ({"vegan": "false"}, ["lamington", "pavlova", "black-forest"]),
        ({"limit": "2"}, IDS[:2]),
        ({"tags": "nuts", "vegan": "true", "price_max": "3", "limit": "1"}, ["banana-bread"]),
    ],
    ids=lambda value: urllib.parse.urlencode(value) or "all" if isinstance(value, dict) else "",
)
def test_list_takes_its_parameters(
    bakery: RunningService, query: Mapping[str, str], ids: list[str]
) -> None:
    assert ids_of(listed(bakery, **query)) == ids


def test_parameters_arrive_in_their_types(echo: RunningService) -> None:
    answer = listed(echo, tags="a,b", price_max="-1.5e2", vegan="true", limit="7")
    assert json.loads(answer.body)["event"] == {
        "tags": ["a", "b"],
        "price_max": -150.0,
        "vegan": True,
        "limit": 7,
    }


def test_parameters_that_are_not_sent_are_null_or_their_default(echo: RunningService) -> None:
    event = json.loads(echo.get("/cakes").body)["event"]
    assert event == {"tags": None, "price_max": None, "vegan": None, "limit": 10}


def test_count_is_a_header(bakery: RunningService) -> None:
    assert listed(bakery, limit="1").headers.get("x-count") == "5"


def test_cake_is_got_by_its_id(bakery: RunningService) -> None:
    answer = bakery.get("/cakes/black-forest")
    assert (answer.status, json.loads(answer.body)) == (200, CAKES[3])
    assert answer.headers.get("content-type") == "application/json"


def test_quote_counts_the_discount(bakery: RunningService) -> None:
    answer = quoted(bakery, "lamington", {"quantity": 12, "note": "for Ada"})
    assert (answer.status, json.loads(answer.body)) == (
        200,
        {
            "id": "lamington",
            "quantity": 12,
            "total": 37.8,
            "currency": "AUD",
            "note": "for Ada",
        },
    )


@pytest.mark.parametrize("name", ["X-Currency", "x-currency", "X-CURRENCY"])
def test_header_is_found_in_any_case(bakery: RunningService, name: str) -> None:
    answer = quoted(bakery, "lamington", {"quantity": 1}, **{name: "USD"})
    assert json.loads(answer.body)["currency"] == "USD"


@pytest.mark.parametrize(
    ("cake", "body", "status", "message"),
    [
        ("lamington", {"quantity": 0}, 400, "Bad request: quantity is a whole number from 1 on"),
        ("lamington", {}, 400, "Bad request: quantity is a whole number from 1 on"),
        ("sachertorte", {"quantity": 1}, 404, "No cake is called sachertorte"),
        ("pavlova", {"quantity": 3}, 409, "Sold out: 2 of Pavlova left"),
        (
            "banana-bread",
            {"quantity": 1},
            409,
            'Sold out: 0 of Grandma\'s "banana" bread left',
        ),
    ],
)
def test_exception_becomes_the_declared_response(
    bakery: RunningService, cake: str, body: Any, status: int, message: str
) -> None:
    answer = quoted(bakery, cake, body)
    assert (answer.status, message_of(answer)) == (status, message)


def test_python_exception_becomes_the_declared_response(bakery: RunningService) -> None:
    absent, senseless = bakery.get("/cakes/none"), listed(bakery, limit="51")
    assert (absent.status, message_of(absent)) == (404, "No cake is called none")
    assert (senseless.status, message_of(senseless)) == (
        400,
        "Bad request: limit is a whole number from 1 to 50",
    )


def test_value_of_another_type_arrives_as_the_text_that_was_sent(bakery: RunningService) -> None:
    assert listed(bakery, limit="many").status == 400


def test_undeclared_exception_tells_the_caller_nothing(bakery: RunningService) -> None:
    # `price_max` of text cannot be compared with a price: TypeError, which no response declares.
    answer = listed(bakery, price_max="cheap")
    assert (answer.status, answer.body) == (500, b'{"message": "Internal server error"}')
    assert "x-count" not in {name.lower() for name, _ in answer.headers}


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_changes_the_shape_of_the_event(echo: RunningService, text: str) -> None:
    answer = listed(echo, tags=text, price_max=text, vegan=text, limit=text)
    assert json.loads(answer.body)["event"] == {
        "tags": text.split(","),
        "price_max": text,
        "vegan": text,
        "limit": text,
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_no_path_or_body_changes_the_shape_of_the_event(echo: RunningService, text: str) -> None:
    body = {"quantity": text, text: [text, {"deep": text}], "note": None}
    answer = quoted(echo, urllib.parse.quote(text, safe=""), body)
    assert answer.status == 200, answer.body
    assert json.loads(answer.body) == {"id": text, "currency": None, "body": body}


@pytest.mark.parametrize(
    "text", [each for each in HOSTILE if each.isascii() and each.isprintable()]
)
def test_no_header_changes_the_shape_of_the_event(echo: RunningService, text: str) -> None:
    answer = quoted(echo, "x", {}, **{"X-Currency": text})
    assert json.loads(answer.body) == {"id": "x", "currency": text, "body": {}}


@pytest.mark.parametrize("text", HOSTILE)
def test_no_message_changes_the_shape_of_an_error(bakery: RunningService, text: str) -> None:
    by_python = bakery.get(f"/cakes/{urllib.parse.quote(text, safe='')}")
    by_node = quoted(bakery, urllib.parse.quote(text, safe=""), {"quantity": 1})
    # AWS: the Node.js runtime writes the character DEL of a message as `%7F`.
    for answer, seen in ((by_python, text), (by_node, text.replace("\x7f", "%7F"))):
        assert (answer.status, message_of(answer)) == (404, f"No cake is called {seen}")


def test_body_of_another_type_is_refused(bakery: RunningService) -> None:
    answer = bakery.request(
        "POST", "/cakes/lamington/quote", b"<quantity>1</quantity>", {"Content-Type": "text/xml"}
    )
    assert (answer.status, message_of(answer)) == (415, "Unsupported Media Type")


@pytest.mark.parametrize("body", [b'{"quantity": 1', b"[", b'{"quantity": 1} more'])
def test_body_of_broken_json_never_reaches_the_function(
    bakery: RunningService, body: bytes
) -> None:
    answer = bakery.request("POST", "/cakes/lamington/quote", body, JSON)
    assert (answer.status, message_of(answer)) == (500, "Internal server error")


@pytest.mark.parametrize("body", [b"", b"hello", b'"text', b"null", b"7", b"{}"])
def test_body_that_is_no_order_is_the_functions_to_refuse(
    bakery: RunningService, body: bytes
) -> None:
    answer = bakery.request("POST", "/cakes/lamington/quote", body, JSON)
    assert (answer.status, message_of(answer)) == (
        400,
        "Bad request: quantity is a whole number from 1 on",
    )


def test_price_list_written_by_hand_is_what_its_template_says(bakery: RunningService) -> None:
    answer = bakery.get("/prices")
    assert answer.status == 200
    assert answer.headers.get("content-type") == "text/plain; charset=utf-8"
    assert answer.body.decode() == (
        "1. Lamington: 3.5\n"
        "2. Pavlova: 28.0\n"
        "3. Carrot cake: 4.25\n"
        "4. Black Forest gâteau: 5.0\n"
        '5. Grandma\'s "banana" bread: 2.75 (sold out)\n'
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/cookies"), ("DELETE", "/cakes"), ("GET", "/cakes/lamington/quote")],
)
def test_what_is_not_there_is_refused_as_aws_does(
    bakery: RunningService, method: str, path: str
) -> None:
    answer = bakery.request(method, path)
    assert (answer.status, answer.body) == (403, b'{"message":"Missing Authentication Token"}')
    assert answer.headers.get("x-amzn-errortype") == "MissingAuthenticationTokenException"


def retention_of(engine: RunningEngine) -> int:
    groups = engine.client("logs").describe_log_groups(logGroupNamePrefix="/bakery/orders")
    (group,) = groups["logGroups"]
    days: int = group["retentionInDays"]
    return days


def test_parameter_and_condition_of_the_stack_take_effect(example: ExampleCopies) -> None:
    root = example("bakery")
    with running_engine() as engine:
        engine.raise_service(root)
        assert retention_of(engine) == 7
        raised = engine.raise_service(root, {"KeepOrders": "yes", "Currency": "USD"})
        assert raised.changed
        assert retention_of(engine) == 365
        configuration = engine.client("lambda").get_function_configuration(
            FunctionName="bakery-quote"
        )
        assert configuration["Environment"]["Variables"] == {
            "CURRENCY": "USD",
            "ORDERS_LOG": "/bakery/orders",
        }
        assert raised.outputs["CakesUrl"].endswith(
            ".execute-api.us-east-1.amazonaws.com/live/cakes"
        )
        assert not engine.raise_service(root, {"KeepOrders": "yes", "Currency": "USD"}).changed


def test_value_that_is_not_allowed_changes_nothing(example: ExampleCopies) -> None:
    root = example("bakery")
    with running_engine() as engine:
        engine.raise_service(root)
        with pytest.raises(AwsError, match="'Currency' must be one of AllowedValues"):
            engine.raise_service(root, {"Currency": "GBP"})
        stack = engine.client("cloudformation").describe_stacks(StackName="bakery")["Stacks"][0]
        assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_nothing_is_left_after_delete(example: ExampleCopies, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_engine(data) as engine:
        engine.raise_service(example("bakery"), {"KeepOrders": "yes"})
        client = engine.client("cloudformation")
        client.delete_stack(StackName="bakery")
        client.get_waiter("stack_delete_complete").wait(
            StackName="bakery", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
        assert engine.client("lambda").list_functions()["Functions"] == []
        assert engine.client("apigateway").get_rest_apis()["items"] == []
        assert engine.client("iam").list_roles()["Roles"] == []
        assert engine.client("logs").describe_log_groups()["logGroups"] == []
        assert client.list_exports()["Exports"] == []
    with running_engine(data) as engine:
        summaries = engine.client("cloudformation").list_stacks()["StackSummaries"]
        assert [each["StackStatus"] for each in summaries] == ["DELETE_COMPLETE"]


def test_down_deletes_the_stack_of_whichever_stage_is_up(example: ExampleCopies) -> None:
    root = example("bakery")
    with (root / "lamington.toml").open("a") as settings:
        settings.write('\n[stages.test]\nparameters = { KeepOrders = "yes" }\n')
    running = start_up(root, "--stage", "test", "--region", "eu-west-1")
    taken_down = run_lamington("down", ".", cwd=root)
    assert taken_down.stderr.splitlines() == [
        "the engine has stopped",
        "the stack `bakery-test` is deleted",
    ]
    assert running.process.wait(20) == 0
