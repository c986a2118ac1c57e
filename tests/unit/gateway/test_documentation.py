"""Documentation parts and versions, as operations and definitions make them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway_world import GatewayWorld
from lamington.core.errors import AwsError
from lamington.gateway.documentation import LOCATION_MEMBERS, read_location, read_parts
from lamington.gateway.entities import (
    BadRequestException,
    ConflictException,
    NotFoundException,
    ValidationException,
)

DEFINITION: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "t", "version": "1", "description": "all of it"},
    "paths": {
        "/cakes": {
            "get": {
                "summary": "list them",
                "x-amazon-apigateway-integration": {"type": "mock"},
                "parameters": [{"in": "query", "name": "q", "description": "which"}],
                "responses": {"200": {"description": "they"}},
            }
        }
    },
    "definitions": {"Cake": {"type": "object", "description": "a cake"}},
    "x-amazon-apigateway-documentation": {
        "version": "1.0",
        "documentationParts": [
            {
                "location": {"type": "METHOD", "path": "/cakes", "method": "GET"},
                "properties": {"description": "from the extension"},
            },
            {"location": {"type": "RESOURCE", "path": "/cakes"}, "properties": {"a": 1}},
        ],
    },
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GatewayWorld]:
    made = GatewayWorld(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
async def api_id(world: GatewayWorld) -> str:
    return str((await world.import_api(msgspec.json.encode(DEFINITION)))["id"])


async def parts_of(world: GatewayWorld, api_id: str, **query: Any) -> list[tuple[Any, Any]]:
    params = {"restApiId": api_id, **query}
    listed = await world.call("apigateway:GetDocumentationParts", params)
    return [(part["location"], msgspec.json.decode(part["properties"])) for part in listed["items"]]


async def test_an_import_makes_parts_of_descriptions_and_of_the_extension(
    world: GatewayWorld, api_id: str
) -> None:
    cakes = {"path": "/cakes", "method": "GET"}
    found = await parts_of(world, api_id)
    for part in (
        ({"type": "API"}, {"info": {"description": "all of it"}}),
        ({"type": "MODEL", "name": "Cake"}, {"description": "a cake"}),
        (
            {"type": "METHOD", **cakes},
            {"description": "from the extension"},
        ),
        ({"type": "QUERY_PARAMETER", **cakes, "name": "q"}, {"description": "which"}),
        ({"type": "RESPONSE", **cakes, "statusCode": "200"}, {"description": "they"}),
        ({"type": "RESOURCE", "path": "/cakes"}, {"a": 1}),
    ):
        assert part in found
    assert len(found) == 6


async def test_an_import_makes_the_version_that_it_names(world: GatewayWorld, api_id: str) -> None:
    version = await world.call(
        "apigateway:GetDocumentationVersion",
        {"restApiId": api_id, "documentationVersion": "1.0"},
    )
    assert version["version"] == "1.0"


async def test_parts_are_imported_by_themselves_merged_or_in_place_of_all(
    world: GatewayWorld, api_id: str
) -> None:
    document = {
        "swagger": "2.0",
        "info": {"title": "t", "version": "1"},
        "paths": {},
        "x-amazon-apigateway-documentation": {
            "documentationParts": [
                {"location": {"type": "RESOURCE", "path": "/cakes"}, "properties": {"b": 2}}
            ]
        },
    }
    body = msgspec.json.encode(document)
    where = {"type": "RESOURCE", "path": "/cakes"}
    imported = await world.call(
        "apigateway:ImportDocumentationParts", {"restApiId": api_id, "body": body}
    )
    assert len(imported["ids"]) == 1
    assert (where, {"a": 1, "b": 2}) in await parts_of(world, api_id)
    await world.call(
        "apigateway:ImportDocumentationParts",
        {"restApiId": api_id, "body": body, "mode": "overwrite"},
    )
    assert await parts_of(world, api_id) == [(where, {"b": 2})]


@pytest.mark.parametrize(
    ("query", "count"),
    [({"type": "METHOD"}, 1), ({"nameQuery": "q"}, 1), ({"path": "/cakes"}, 4), ({"limit": 2}, 2)],
)
async def test_parts_are_found_by_type_name_and_path(
    world: GatewayWorld, api_id: str, query: dict[str, Any], count: int
) -> None:
    assert len(await parts_of(world, api_id, **query)) == count


async def test_a_part_is_changed_and_deleted(world: GatewayWorld, api_id: str) -> None:
    made = await world.call(
        "apigateway:CreateDocumentationPart",
        {"restApiId": api_id, "location": {"type": "AUTHORIZER", "name": "a"}, "properties": "{}"},
    )
    which = {"restApiId": api_id, "documentationPartId": made["id"]}
    patch = {"op": "replace", "path": "/properties", "value": '{"x": 1}'}
    await world.call("apigateway:UpdateDocumentationPart", {**which, "patchOperations": [patch]})
    shown = await world.call("apigateway:GetDocumentationPart", which)
    assert shown["properties"] == '{"x": 1}'
    await world.call("apigateway:DeleteDocumentationPart", which)
    with pytest.raises(NotFoundException, match="Invalid Documentation part identifier specified"):
        await world.call("apigateway:GetDocumentationPart", which)


@pytest.mark.parametrize(
    ("location", "properties", "refusal"),
    [
        ({"type": "CAKE"}, "{}", ValidationException),
        ({"type": "API", "path": "/"}, "{}", BadRequestException),
        ({"type": "API"}, "[]", BadRequestException),
        ({"type": "API"}, "{", BadRequestException),
        ({"type": "RESOURCE", "path": "/cakes"}, "{}", ConflictException),
    ],
)
async def test_a_part_that_cannot_be_is_refused(
    world: GatewayWorld,
    api_id: str,
    location: dict[str, str],
    properties: str,
    refusal: type[AwsError],
) -> None:
    before = await parts_of(world, api_id)
    with pytest.raises(refusal):
        await world.call(
            "apigateway:CreateDocumentationPart",
            {"restApiId": api_id, "location": location, "properties": properties},
        )
    assert await parts_of(world, api_id) == before


async def test_a_version_keeps_the_parts_of_its_time(world: GatewayWorld, api_id: str) -> None:
    which = {"restApiId": api_id, "documentationVersion": "2.0"}
    await world.call("apigateway:CreateDocumentationVersion", {**which, "description": "second"})
    with pytest.raises(ConflictException):
        await world.call("apigateway:CreateDocumentationVersion", which)
    kept = world.api(api_id).documentation_versions["2.0"].parts
    assert kept == world.api(api_id).documentation_parts
    patch = {"op": "replace", "path": "/description", "value": "new"}
    changed = await world.call(
        "apigateway:UpdateDocumentationVersion", {**which, "patchOperations": [patch]}
    )
    assert changed["description"] == "new"
    listed = await world.call("apigateway:GetDocumentationVersions", {"restApiId": api_id})
    assert [each["version"] for each in listed["items"]] == ["1.0", "2.0"]
    await world.call("apigateway:DeleteDocumentationVersion", which)
    with pytest.raises(NotFoundException):
        await world.call("apigateway:GetDocumentationVersion", which)


@pytest.mark.parametrize("kind", LOCATION_MEMBERS)
def test_a_location_has_the_members_of_its_type(kind: str) -> None:
    location = read_location({"type": kind})
    assert set(location) <= {"type", *LOCATION_MEMBERS[kind]}
    assert location.get("path", "/") == "/"
    assert location.get("method", "*") == "*"


def test_openapi_3_is_described_too() -> None:
    document = {
        "openapi": "3.0.1",
        "paths": {
            "/a": {
                "post": {
                    "requestBody": {"description": "what"},
                    "responses": {"200": {"headers": {"X": {"description": "why"}}}},
                }
            }
        },
    }
    assert [location["type"] for location, _ in read_parts(document, 3)] == [
        "REQUEST_BODY",
        "RESPONSE_HEADER",
    ]


async def test_an_sdk_is_refused_with_what_to_do_instead(world: GatewayWorld, api_id: str) -> None:
    types = await world.call("apigateway:GetSdkTypes", {})
    assert "javascript" in [each["id"] for each in types["items"]]
    assert (await world.call("apigateway:GetSdkType", {"id": "java"}))["id"] == "java"
    with pytest.raises(NotFoundException):
        await world.call("apigateway:GetSdkType", {"id": "cobol"})
    await world.call("apigateway:CreateDeployment", {"restApiId": api_id, "stageName": "v1"})
    with pytest.raises(BadRequestException, match="not generated") as refusal:
        await world.call(
            "apigateway:GetSdk", {"restApiId": api_id, "stageName": "v1", "sdkType": "java"}
        )
    assert "GetExport" in refusal.value.hint
