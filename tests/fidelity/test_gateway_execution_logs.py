"""The rows of execution logs: what is told of a request, whatever comes of it."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import FUNCTION_ARN, HandlerFailed
from guarded_world import GuardedGateway
from lamington.core.store import Store
from lamington.gateway.completed import execution_of
from lamington.gateway.execution_logs import INFO, render_log

CASES = [
    pytest.param(case, id=case["id"])
    for case in tomllib.loads((Path(__file__).parent / "gateway_execution_logs.toml").read_text())[
        "case"
    ]
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


def _fail(event: Any) -> Any:
    raise HandlerFailed({"errorMessage": "broken", "errorType": "Error"})


@pytest.mark.parametrize("case", CASES)
async def test_request_is_logged_as_on_aws(case: dict[str, Any], store: Store) -> None:
    given, expect = case["given"], case["expect"]
    gateway = GuardedGateway(store, given["faults"], kind=given.get("kind", "AWS"), logged=True)
    if given.get("hangs"):
        gateway.held.free.clear()
    if given.get("fails"):
        gateway.invoker.handlers[FUNCTION_ARN] = _fail
    await gateway.send(given["faults"])
    gateway.held.free.set()
    completed = gateway.completed[-1]
    request_id = completed.request.request_id
    told = [text for _, text in render_log(execution_of(completed), INFO, data_trace=True)]
    assert all(text.startswith(f"({request_id}) ") for text in told)
    lines = [text.removeprefix(f"({request_id}) ") for text in told]
    assert bool(lines) is not expect.get("empty", False)
    following = iter(lines)
    for pattern in expect.get("lines", ()):
        text = pattern.replace("{id}", request_id)
        assert any(re.fullmatch(text, line) or text == line for line in following), (text, lines)
    for text in expect.get("without", ()):
        assert not any(text in line for line in lines), text
