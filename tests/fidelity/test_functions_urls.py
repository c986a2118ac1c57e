"""Runs the rows of `functions_urls.toml` against the API and the data plane of function URLs."""

import base64
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lamington.core.errors import AwsError
from lamington.core.http import Response
from url_world import UrlWorld, url_world

ROWS = tomllib.loads(Path(__file__).with_name("functions_urls.toml").read_text())["case"]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
async def test_row(row: dict[str, Any], tmp_path: Path) -> None:
    given, expected = row["given"], row["expect"]
    with url_world(tmp_path) as world:
        url_id = await world.create(
            permitted=given.get("permitted", True), **given.get("params", {})
        )
        if "call" in given:
            problems = await _problems_of_call(world, given, expected)
        else:
            world.answers(
                given.get("answered", '""').encode(), error="Unhandled" * given.get("failed", False)
            )
            asked = given.get("asked", {})
            body = base64.b64decode(asked.get("base64", "")) or asked.get("body", "").encode()
            response = await world.ask(
                given.get("url_id", url_id),
                asked.get("path", "/"),
                asked.get("method", "GET"),
                asked.get("headers"),
                body,
            )
            problems = _problems_of_response(response, expected)
            problems += _problems_of_event(world, expected)
    if row.get("verdict") == "open":
        assert problems, "this row holds now: take `open` from it"
    else:
        assert not problems


async def _problems_of_call(
    world: UrlWorld, given: dict[str, Any], expected: dict[str, Any]
) -> list[str]:
    try:
        result = await world.api.call(
            given["call"], **{"FunctionName": "f", **given.get("with", {})}
        )
    except AwsError as error:
        actual = {"code": error.code, "message": error.message}
        return [] if actual == expected else [str(actual)]
    return [] if expected.get("result", {"": 0}).items() <= result.items() else [str(result)]


def _problems_of_response(response: Response, expected: dict[str, Any]) -> list[str]:
    found: dict[str, Any] = {"status": response.status, "body": response.body.decode()}
    problems = [
        f"{name}: {found[name]!r}"
        for name in ("status", "body")
        if name in expected and found[name] != expected[name]
    ]
    headers = {name.lower(): value for name, value in response.headers}
    return problems + [
        f"{name}: {headers.get(name)!r}"
        for name, value in expected.get("headers", {}).items()
        if headers.get(name) != value
    ]


def _problems_of_event(world: UrlWorld, expected: dict[str, Any]) -> list[str]:
    problems = [
        f"{path}: {actual!r}"
        for path, value in expected.get("event", {}).items()
        if (actual := _at(world.event(), path)) != value
    ]
    return problems + [
        f"{path} is there"
        for path in expected.get("absent", [])
        if _at(world.event(), path) is not None
    ]


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
