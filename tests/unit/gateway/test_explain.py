import json
from pathlib import Path
from typing import Any

from fakes_gateway import lambda_method
from lamington.gateway.completed import Completed
from lamington.gateway.entities import IntegrationResponse
from lamington.gateway.explain import Document, Explained, LiveRequests, explain
from observed_gateway import ObservedGateway, observed_gateway

TOKEN = "Bearer abcdefghijklmnopqrst"
KEY = "0123456789abcdefghij"
TEMPLATE = '{\n#set($id = $input.params("id"))\n"id": "$id"\n}'


def mapped_method() -> Any:
    return lambda_method(
        kind="AWS",
        request_templates={"application/json": TEMPLATE},
        request_parameters={"integration.request.header.X-Id": "method.request.path.id"},
        statuses=("200", "400"),
        responses=(
            IntegrationResponse(status_code="200"),
            IntegrationResponse(
                status_code="400",
                selection_pattern="Bad.*",
                response_parameters={"method.response.header.X-Why": "'bad'"},
                response_templates={"application/json": "no: $input.path('$.errorMessage')"},
            ),
        ),
    )


async def explained(
    world: ObservedGateway, target: str, *, show_secrets: bool = False, **request: Any
) -> Document:
    seen: list[Explained] = []
    world.gateway.plane.watch = seen.append
    await world.gateway.send(target, **request)
    world.gateway.plane.watch = None
    document = explain(seen[0], show_secrets=show_secrets)
    assert json.loads(json.dumps(document)) == document
    return document


def step(document: Document, name: str) -> Document:
    (found,) = [each for each in document["steps"] if each["name"] == name]
    return dict(found)


async def test_mapped_method_is_told_step_by_step(tmp_path: Path) -> None:
    def fail(event: Any) -> Any:
        return {"errorMessage": f"Bad {event['id']}"}

    with observed_gateway(tmp_path, {"GET /pets/{id}": mapped_method()}, fail) as world:
        document = await explained(world, "GET /pets/7?a=1")
    names = [each["name"] for each in document["steps"]]
    assert names == [
        "match",
        "request_parameters",
        "request_template",
        "integration_request",
        "integration_response",
        "response_selection",
        "response_parameters",
        "response_template",
        "method_response",
    ]
    assert step(document, "match")["path_parameters"] == {"id": "7"}
    assert step(document, "request_parameters")["after"] == {"header": {"X-Id": "7"}}
    template = step(document, "request_template")
    assert template["lines"] == [[1, "{\n"], [3, '"id": "7"\n'], [4, "}"]]
    assert template["output"] == step(document, "integration_request")["body"]
    selection = step(document, "response_selection")
    assert (selection["subject"], selection["pattern"], selection["status"]) == (
        "Bad 7",
        "Bad.*",
        400,
    )
    assert step(document, "response_template")["output"] == "no: Bad 7"
    assert document["response"]["status"] == 400
    assert document["request"]["query"] == [["a", "1"]]


async def test_recording_changes_nothing_of_the_answer(tmp_path: Path) -> None:
    with observed_gateway(tmp_path, {"GET /pets/{id}": mapped_method()}) as world:
        plain = await world.gateway.send("GET /pets/7")
        document = await explained(world, "GET /pets/7")
    assert document["response"]["status"] == plain.status
    assert document["response"]["body"] == plain.body.decode()


async def test_template_that_fails_tells_where(tmp_path: Path) -> None:
    method = lambda_method(
        kind="AWS", request_templates={"application/json": "a\n$input.body.substring(9)"}
    )
    with observed_gateway(tmp_path, {"GET /pets/{id}": method}) as world:
        document = await explained(world, "GET /pets/7")
    template = step(document, "request_template")
    assert template["lines"] == [[1, "a\n"]]
    assert template["error"].startswith("line 2, column ")
    assert document["refusal"]["type"] == "API_CONFIGURATION_ERROR"
    assert step(document, "gateway_response")["status"] == 500


async def test_secrets_are_masked_wherever_they_stand(tmp_path: Path) -> None:
    headers = {"Authorization": TOKEN, "x-api-key": KEY}
    with observed_gateway(tmp_path) as world:
        document = await explained(world, "GET /pets/7", headers=headers)
        shown = await explained(world, "GET /pets/7", headers=headers, show_secrets=True)
    hidden = json.dumps(document)
    assert "abcdefghijkl" not in hidden
    assert KEY not in hidden
    assert ["x-api-key", "**************efghij"] in document["request"]["headers"]
    assert TOKEN in json.dumps(shown)


async def test_request_that_no_method_takes_is_told_too(tmp_path: Path) -> None:
    with observed_gateway(tmp_path) as world:
        document = await explained(world, "GET /nowhere")
    assert document["resource"] is None
    assert document["refusal"]["type"] == "MISSING_AUTHENTICATION_TOKEN"


async def test_live_requests_are_the_last_ones(tmp_path: Path) -> None:
    with observed_gateway(tmp_path) as world:
        live = LiveRequests(2)
        world.gateway.plane.watch = live.take
        for number in range(3):
            await world.gateway.send(f"GET /pets/{number}")
        world.gateway.plane.watch = None
        await world.gateway.send("GET /pets/later")
    paths = [(each["number"], each["request"]["path"]) for each in live.behind(0)]
    assert paths == [(2, "/dev/pets/1"), (3, "/dev/pets/2")]
    assert [each["number"] for each in live.behind(2)] == [3]


async def test_nothing_is_recorded_while_nobody_watches(tmp_path: Path) -> None:
    with observed_gateway(tmp_path) as world:
        seen: list[Completed] = []
        world.gateway.plane._journal = seen.append
        await world.gateway.send("GET /pets/7")
    assert seen[0].request.recording is None
