"""Custom domain names: what a host and a path lead to, and the operations of both versions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway_world import SCOPE
from lamington.core.aws import Params, Result
from lamington.core.clock import Ids, ManualClock
from lamington.core.errors import AwsError
from lamington.core.http import Headers
from lamington.core.store import Store
from lamington.gateway.domains import Domains, require_mapping_key
from lamington.gateway.entities import (
    BadRequestException,
    ConflictException,
    NotFoundException,
    Resource,
    RestApi,
    Stage,
)
from lamington.gateway.operations.domains import DomainOperations
from lamington.gateway.operations.tables import GatewayTables
from lamington.gateway.v2.operations.domains import DomainOperations as DomainOperationsV2

NOW = "2026-01-01T00:00:00+00:00"


@dataclass
class World:
    """Domain names over a store, with two APIs of one stage each to lead to."""

    directory: Path
    domains: Domains = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.directory)
        self.domains = Domains(self.store)
        tables = GatewayTables(self.store)
        for api_id in ("first", "second"):
            root = Resource(resource_id="root", path="/")
            tables.apis.put(
                SCOPE, RestApi(api_id=api_id, name="", created=NOW, resources={"root": root})
            )
            stage = Stage(
                api_id=api_id, stage_name="v1", deployment_id="d", created=NOW, last_updated=NOW
            )
            tables.stages.put(SCOPE, stage)
        clock, ids = ManualClock(), Ids()
        self._operations = {
            **DomainOperations(
                domains=self.domains, tables=tables, clock=clock, ids=ids
            ).operations(),
            **DomainOperationsV2(
                domains=self.domains,
                has_stage=lambda scope, api_id, stage: (
                    tables.stages.get(scope, api_id, stage) is not None
                ),
                clock=clock,
                ids=ids,
            ).operations(),
        }

    async def v1(self, operation: str, **params: Any) -> Result:
        return await self._call(f"apigateway:{operation}", params)

    async def v2(self, operation: str, **params: Any) -> Result:
        return await self._call(f"apigatewayv2:{operation}", params)

    async def _call(self, operation: str, params: Params) -> Result:
        return await self._operations[operation](params, SCOPE)

    async def mapped(self, **stages: str) -> None:
        """`cakes.example.com` with a mapping for each API by its key, written with `_` for `/`."""
        await self.v2("CreateDomainName", DomainName="cakes.example.com")
        for key, api_id in stages.items():
            await self.v2(
                "CreateApiMapping",
                DomainName="cakes.example.com",
                ApiId=api_id,
                Stage="v1",
                ApiMappingKey=key.strip("_").replace("_", "/"),
            )

    def leads(self, path: str, host: str = "cakes.example.com", **headers: str) -> tuple[str, str]:
        found = self.domains.match(host, path, Headers(headers.items()))
        return ("", "") if found is None else (found.api_id, found.path)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/orders/v2/items", ("second", "/items")),
        ("/orders/v2", ("second", "/")),
        ("/orders/v20", ("first", "/orders/v20")),
        ("/orders", ("first", "/orders")),
        ("/", ("first", "/")),
    ],
)
async def test_the_longest_mapping_is_taken_and_taken_off(
    world: World, path: str, expected: tuple[str, str]
) -> None:
    await world.mapped(_="first", orders_v2="second")
    assert world.leads(path) == expected


async def test_without_a_mapping_for_the_path_nothing_is_found(world: World) -> None:
    await world.mapped(orders="first")
    assert world.leads("/other") == ("", "")
    assert world.leads("/orders", host="other.example.com") == ("", "")


async def test_a_host_is_found_with_a_port_and_in_any_case(world: World) -> None:
    await world.mapped(_="first")
    assert world.leads("/a", host="CAKES.example.com:4566") == ("first", "/a")


async def test_a_wildcard_stands_for_one_label(world: World) -> None:
    await world.v1("CreateDomainName", domainName="*.example.com")
    await world.v1(
        "CreateBasePathMapping", domainName="*.example.com", restApiId="first", stage="v1"
    )
    assert world.leads("/a", host="any.example.com") == ("first", "/a")
    assert world.leads("/a", host="a.b.example.com") == ("", "")


async def test_a_name_of_either_version_is_shown_by_both(world: World) -> None:
    await world.mapped(orders="first")
    shown = await world.v1("GetDomainName", domainName="cakes.example.com")
    assert shown["endpointConfiguration"]["types"] == ["REGIONAL"]
    mappings = await world.v1("GetBasePathMappings", domainName="cakes.example.com")
    assert mappings["items"] == [{"basePath": "orders", "restApiId": "first", "stage": "v1"}]
    await world.v1("CreateDomainName", domainName="b.example.com", certificateArn="arn:c")
    listed = await world.v2("GetDomainNames")
    assert [each["DomainName"] for each in listed["Items"]] == [
        "b.example.com",
        "cakes.example.com",
    ]
    assert listed["Items"][0]["DomainNameConfigurations"][0]["CertificateArn"] == "arn:c"


async def test_a_base_path_mapping_is_changed_and_deleted(world: World) -> None:
    await world.mapped(orders="first")
    where = {"domainName": "cakes.example.com", "basePath": "orders"}
    patches = [
        {"op": "replace", "path": "/basePath", "value": "(none)"},
        {"op": "replace", "path": "/restapiId", "value": "second"},
    ]
    changed = await world.v1("UpdateBasePathMapping", **where, patchOperations=patches)
    assert changed == {"basePath": "(none)", "restApiId": "second", "stage": "v1"}
    assert world.leads("/orders") == ("second", "/orders")
    await world.v1("DeleteBasePathMapping", domainName="cakes.example.com", basePath="(none)")
    assert world.leads("/orders") == ("", "")


async def test_rules_go_before_mappings_in_the_order_of_their_priority(world: World) -> None:
    await world.mapped(_="first")
    await world.v2(
        "UpdateDomainName",
        DomainName="cakes.example.com",
        RoutingMode="ROUTING_RULE_THEN_API_MAPPING",
    )
    rule = {
        "DomainName": "cakes.example.com",
        "Conditions": [
            {"MatchHeaders": {"AnyOf": [{"Header": "X-Version", "ValueGlob": "beta*"}]}},
            {"MatchBasePaths": {"AnyOf": ["orders"]}},
        ],
        "Actions": [{"InvokeApi": {"ApiId": "second", "Stage": "v1", "StripBasePath": True}}],
    }
    made = await world.v2("CreateRoutingRule", **rule, Priority=50)
    headers = {"x-version": "beta-2"}
    assert world.leads("/orders/1", **headers) == ("second", "/1")
    assert world.leads("/orders/1") == ("first", "/orders/1")
    assert world.leads("/cakes", **headers) == ("first", "/cakes")
    with pytest.raises(ConflictException):
        await world.v2("CreateRoutingRule", **rule, Priority=50)
    which = {"DomainName": "cakes.example.com", "RoutingRuleId": made["RoutingRuleId"]}
    kept = {"ApiId": "second", "Stage": "v1", "StripBasePath": False}
    changed = {**rule, "Actions": [{"InvokeApi": kept}]}
    await world.v2("PutRoutingRule", **{**changed, **which}, Priority=1)
    assert world.leads("/orders/1", **headers) == ("second", "/orders/1")
    shown = await world.v2("GetRoutingRule", **which)
    assert (shown["Priority"], shown["Actions"]) == (1, [{"InvokeApi": kept}])
    listed = await world.v2("ListRoutingRules", DomainName="cakes.example.com")
    assert [each["RoutingRuleId"] for each in listed["RoutingRules"]] == [which["RoutingRuleId"]]
    await world.v2("DeleteRoutingRule", **which)
    assert world.leads("/orders/1", **headers) == ("first", "/orders/1")


async def test_a_name_is_deleted_with_all_that_leads_from_it(world: World) -> None:
    await world.mapped(_="first")
    await world.v1("DeleteDomainName", domainName="cakes.example.com")
    assert not world.domains.known
    await world.mapped()
    assert (await world.v2("GetApiMappings", DomainName="cakes.example.com"))["Items"] == []


async def test_names_are_known_again_after_a_restart(world: World) -> None:
    await world.mapped(_="first")
    again = Domains(world.store)
    found = again.match("cakes.example.com", "/a", Headers())
    assert found is not None
    assert found.api_id == "first"


async def test_an_access_association_is_kept_until_it_is_rejected(world: World) -> None:
    made = await world.v1(
        "CreateDomainName",
        domainName="private.example.com",
        endpointConfiguration={"types": ["PRIVATE"]},
    )
    association = await world.v1(
        "CreateDomainNameAccessAssociation",
        domainNameArn=made["domainNameArn"],
        accessAssociationSourceType="VPCE",
        accessAssociationSource="vpce-1",
    )
    arn = association["domainNameAccessAssociationArn"]
    assert len((await world.v1("GetDomainNameAccessAssociations"))["items"]) == 1
    await world.v1(
        "RejectDomainNameAccessAssociation",
        domainNameAccessAssociationArn=arn,
        domainNameArn=made["domainNameArn"],
    )
    assert (await world.v1("GetDomainNameAccessAssociations"))["items"] == []


REFUSALS: list[tuple[str, dict[str, Any], type[AwsError]]] = [
    ("apigateway:CreateDomainName", {"domainName": "cakes.example.com"}, BadRequestException),
    ("apigateway:GetDomainName", {"domainName": "x"}, NotFoundException),
    (
        "apigateway:CreateBasePathMapping",
        {"domainName": "cakes.example.com", "restApiId": "none"},
        BadRequestException,
    ),
    (
        "apigateway:CreateBasePathMapping",
        {"domainName": "cakes.example.com", "restApiId": "first", "stage": "none"},
        BadRequestException,
    ),
    (
        "apigateway:CreateBasePathMapping",
        {"domainName": "cakes.example.com", "restApiId": "first", "basePath": "orders"},
        ConflictException,
    ),
    (
        "apigateway:GetBasePathMapping",
        {"domainName": "cakes.example.com", "basePath": "none"},
        NotFoundException,
    ),
    (
        "apigateway:UpdateDomainName",
        {
            "domainName": "cakes.example.com",
            "patchOperations": [{"op": "replace", "path": "/x", "value": ""}],
        },
        BadRequestException,
    ),
    (
        "apigatewayv2:CreateApiMapping",
        {"DomainName": "cakes.example.com", "ApiId": "first", "Stage": "none"},
        BadRequestException,
    ),
    (
        "apigatewayv2:GetApiMapping",
        {"DomainName": "cakes.example.com", "ApiMappingId": "none"},
        NotFoundException,
    ),
    (
        "apigatewayv2:CreateRoutingRule",
        {"DomainName": "cakes.example.com", "Conditions": [], "Actions": [], "Priority": 1},
        BadRequestException,
    ),
]


@pytest.mark.parametrize(("operation", "params", "refusal"), REFUSALS)
async def test_what_cannot_be_is_refused_in_the_words_of_aws(
    world: World, operation: str, params: dict[str, Any], refusal: type[AwsError]
) -> None:
    await world.mapped(orders="first")
    with pytest.raises(refusal):
        await world._call(operation, params)


@pytest.mark.parametrize("key", ["a b", "a//b", "x" * 301, "ü"])
def test_a_mapping_key_that_aws_does_not_take_is_refused(key: str) -> None:
    with pytest.raises(BadRequestException):
        require_mapping_key(key)
