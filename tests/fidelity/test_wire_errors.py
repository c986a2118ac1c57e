"""Runs tests/fidelity/wire_*.toml: what clients are told, row by row."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids
from lamington.core.errors import AwsError
from lamington.core.http import Headers, Request, Response
from lamington.wire.dispatch import Dispatcher
from lamington.wire.services import EMULATED, Services

FOLDER = Path(__file__).parent
CASES = [
    case
    for path in sorted(FOLDER.glob("wire_*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]
SERVICES = Services()


def request_of(given: dict[str, Any]) -> Request:
    service = given["service"]
    headers = dict(given.get("headers", {}))
    headers["Authorization"] = f"AWS4 Credential=a/20260101/us-east-1/{service}/aws4_request"
    protocol = SERVICES.require(service).protocol
    if protocol == "query":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    if protocol == "json":
        headers["X-Amz-Target"] = f"Logs_20140328.{given['operation']}"
    return Request(
        method=given.get("method", "GET" if protocol == "rest-json" else "POST"),
        path=given.get("path", "/"),
        headers=Headers.of(headers),
        body=given.get("body", "").encode(),
    )


def code_and_message(response: Response) -> tuple[str, str]:
    text = response.body.decode()
    if text.startswith("<"):
        code = re.search("<Code>(.*?)</Code>", text)
        message = re.search("<Message>(.*?)</Message>", text)
        assert code
        assert message
        return code[1], message[1]
    document = json.loads(text)
    code_text = document.get("__type") or Headers(response.headers).get("x-amzn-ErrorType")
    return code_text, document.get("message") or document.get("Message")


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
async def test_clients_are_told(case: dict[str, Any]) -> None:
    given, expected = case["given"], case["expect"]

    async def answer(params: Params, scope: Scope) -> Result:
        if "raises" in given:
            raise type(given["raises"], (AwsError,), {})("refused", **given.get("members", {}))
        return {}

    operations = {
        f"{name}:{operation}": answer
        for name in EMULATED
        for operation in SERVICES.require(name).operations
    }
    response = await Dispatcher(operations, Ids()).handle(request_of(given))
    code, message = code_and_message(response)
    assert (response.status, code) == (expected["status"], expected["code"])
    assert message == expected.get("message", message)
    assert expected.get("contains", "") in message
    assert response.body.decode() == expected.get("raw", response.body.decode())
    for name, value in expected.get("headers", {}).items():
        assert Headers(response.headers).get(name) == value
