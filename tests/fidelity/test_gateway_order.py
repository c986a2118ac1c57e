"""The rows of the order of checks: which refusal a request gets that fails several."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guarded_world import GuardedGateway
from lamington.core.store import Store

CASES = [
    pytest.param(case, id=case["id"])
    for case in tomllib.loads((Path(__file__).parent / "gateway_order.toml").read_text())["case"]
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("case", CASES)
async def test_first_check_that_fails_answers(case: dict[str, Any], store: Store) -> None:
    faults, expect = case["given"]["faults"], case["expect"]
    gateway = GuardedGateway(store, faults)
    response = await gateway.send(faults)
    assert gateway.refused_for == expect["type"]
    assert response.status == expect["status"]
