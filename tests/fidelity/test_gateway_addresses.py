"""The rows of `gateway_addresses.toml`: which API, stage and path a request is addressed to."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway_world import SCOPE
from lamington.core.clock import Ids, ManualClock
from lamington.core.errors import AwsError
from lamington.core.http import Headers, Request
from lamington.core.store import Store
from lamington.engine.doors import parse_api_address, split_stage
from lamington.gateway.domains import Domains
from lamington.gateway.v2.operations.domains import DomainOperations

CASES = tomllib.loads((Path(__file__).parent / "gateway_addresses.toml").read_text())["case"]


async def _by_domain(host: str, path: str, mappings: Mapping[str, str], store: Store) -> list[str]:
    domains = Domains(store)
    operations = DomainOperations(
        domains=domains, has_stage=lambda *_: True, clock=ManualClock(), ids=Ids()
    ).operations()
    await operations["apigatewayv2:CreateDomainName"]({"DomainName": host}, SCOPE)
    for key, api_id in mappings.items():
        mapping = {"DomainName": host, "ApiId": api_id, "Stage": "v1", "ApiMappingKey": key}
        await operations["apigatewayv2:CreateApiMapping"](mapping, SCOPE)
    found = domains.match(host, path, Headers())
    return [""] if found is None else [found.api_id, found.stage, found.path]


def _by_address(host: str, path: str) -> list[str]:
    address = parse_api_address(Request(method="GET", path=path, headers=Headers([("Host", host)])))
    return [""] if address is None else [address.api_id, *split_stage(address.path)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
async def test_request_is_addressed_as_on_aws(case: dict[str, Any], tmp_path: Path) -> None:
    given, expect = case["given"], case["expect"]
    mappings = given.get("mappings", {})
    if "long_mapping" in given:
        mappings = {"a" * given["long_mapping"]: "first"}
    if not mappings:
        assert _by_address(given["host"], given["path"]) == list(expect.values())
        return
    store = Store(tmp_path)
    try:
        if "error" in expect:
            with pytest.raises(AwsError):
                await _by_domain(given["host"], given["path"], mappings, store)
        else:
            found = await _by_domain(given["host"], given["path"], mappings, store)
            assert found == list(expect.values())
    finally:
        store.close()
