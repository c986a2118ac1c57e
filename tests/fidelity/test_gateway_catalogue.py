"""The rows of the catalogue of refusals: AWS's own words, and an API's own in their place."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import FUNCTION_ARN, HandlerFailed, header
from guarded_world import GuardedGateway
from lamington.core.http import Response
from lamington.core.store import Store
from lamington.gateway.responses import GATEWAY_RESPONSE_TYPES

ROWS = tomllib.loads((Path(__file__).parent / "gateway_catalogue.toml").read_text())["case"]
CASES = [pytest.param(case, id=case["id"]) for case in ROWS]
OWN = {
    "status_code": "418",
    "response_parameters": {"gatewayresponse.header.X-Own": "'own'"},
    "response_templates": {
        "application/json": '{"type": "$context.error.responseType", "said":'
        " $context.error.messageString}"
    },
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


async def _refused(
    given: Mapping[str, Any], store: Store, own: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[Response, GuardedGateway]:
    gateway = GuardedGateway(
        store,
        given.get("faults", ()),
        raises=given.get("raises", ""),
        kind=given.get("kind", "AWS"),
        authorization=given.get("authorization", "CUSTOM"),
        gateway_responses=own,
    )
    if "answers" in given:
        gateway.invoker.handlers[FUNCTION_ARN] = lambda event: given["answers"].encode()
    if given.get("fails"):
        gateway.invoker.handlers[FUNCTION_ARN] = _fail
    if given.get("hangs"):
        gateway.held.free.clear()
    response = await gateway.send(given.get("faults", ()))
    gateway.held.free.set()
    return response, gateway


def _fail(event: Any) -> Any:
    raise HandlerFailed({"errorMessage": "broken", "errorType": "Error"})


@pytest.mark.parametrize("case", CASES)
async def test_refusal_has_the_words_of_aws(case: dict[str, Any], store: Store) -> None:
    response, gateway = await _refused(case["given"], store)
    expect = case["expect"]
    assert gateway.refused_for == expect["type"]
    assert response.status == expect["status"]
    assert response.body.decode() == expect["body"]
    assert header(response, "x-amzn-ErrorType") == expect["error_type"]
    assert header(response, "Content-Type") == "application/json"


@pytest.mark.parametrize("case", CASES)
async def test_refusal_can_be_the_apis_own(case: dict[str, Any], store: Store) -> None:
    expect = case["expect"]
    response, _ = await _refused(case["given"], store, {expect["type"]: OWN})
    if not expect.get("customised", True):
        assert response.body.decode() == expect["body"]
        return
    said = json.loads(expect["body"])
    assert response.status == 418
    assert header(response, "X-Own") == "own"
    assert json.loads(response.body) == {
        "type": expect["type"],
        "said": said.get("message", said.get("Message")),
    }


@pytest.mark.parametrize("case", CASES)
async def test_refusal_falls_back_to_its_family(case: dict[str, Any], store: Store) -> None:
    expect = case["expect"]
    families = {"DEFAULT_4XX": {**OWN, "status_code": "411"}, "DEFAULT_5XX": OWN}
    response, _ = await _refused(case["given"], store, families)
    if expect.get("customised", True):
        assert response.status == (411 if expect["status"] < 500 else 418)
        assert json.loads(response.body)["type"] == expect["type"]


def test_every_type_has_a_row() -> None:
    assert {row["expect"]["type"] for row in ROWS} == GATEWAY_RESPONSE_TYPES.keys() - {
        "DEFAULT_5XX"
    }
