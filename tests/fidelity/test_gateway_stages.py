"""The rows of stages: what is called and answered, and what a stage then serves."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import header
from gateway_world import GatewayWorld
from lamington.core.errors import AwsError
from lamington.core.http import Headers, Request, Response

CASES = [
    pytest.param(case, id=case["id"])
    for case in tomllib.loads((Path(__file__).parent / "gateway_stages.toml").read_text())["case"]
]


class Served:
    """An API of `GET /`, a mock that answers a text and a stage variable, in service as `dev`."""

    def __init__(self, directory: Path) -> None:
        self.world = GatewayWorld(directory)
        self.ids: dict[str, str] = {}

    async def call(self, operation: str, params: dict[str, Any]) -> Any:
        text = json.dumps(params)
        for name, found in self.ids.items():
            text = text.replace(f"<{name}>", found)
        return await self.world.call(f"apigateway:{operation}", json.loads(text))

    async def make(self) -> None:
        api = await self.call("CreateRestApi", {"name": "a"})
        self.ids = {"api": api["id"], "root": api["rootResourceId"]}
        await self.call("PutMethod", {**self.method, "authorizationType": "NONE"})
        await self.answer("first")
        made = await self.call("CreateDeployment", {"restApiId": "<api>", "stageName": "dev"})
        self.ids["deployment"] = made["id"]

    async def answer(self, text: str) -> None:
        """Let the API, not yet its stage, answer this text."""
        templates = {"application/json": '{"statusCode": 200}'}
        await self.call(
            "PutIntegration", {**self.method, "type": "MOCK", "requestTemplates": templates}
        )
        status = {**self.method, "statusCode": "200"}
        if text == "first":
            await self.call("PutMethodResponse", status)
        answers = {"application/json": f"{text} $!stageVariables.color"}
        await self.call("PutIntegrationResponse", {**status, "responseTemplates": answers})

    @property
    def method(self) -> dict[str, str]:
        return {"restApiId": "<api>", "resourceId": "<root>", "httpMethod": "GET"}

    async def patch(self, patches: list[list[str]]) -> Any:
        operations = [{"op": "replace", "path": path, "value": value} for path, value in patches]
        stage = {"restApiId": "<api>", "stageName": "dev", "patchOperations": operations}
        return await self.call("UpdateStage", stage)

    async def send(self) -> Response:
        request = Request(
            method="GET", path="/dev/", query="", headers=Headers([("Host", "localhost")]), body=b""
        )
        return await self.world.data_plane.handle(request, self.ids["api"], "dev", "/")


async def _called(served: Served, given: dict[str, Any]) -> Any:
    """The result of the last call."""
    result: Any = None
    if "answers" in given:
        await served.answer(given["answers"])
    if "patch" in given:
        result = await served.patch(given["patch"])
    if "integration" in given:
        result = await served.call("PutIntegration", {**served.method, **given["integration"]})
    for operation, params in given.get("calls", ()):
        result = await served.call(operation, params)
    return result


@pytest.mark.parametrize("case", CASES)
async def test_stage_does_as_on_aws(case: dict[str, Any], tmp_path: Path) -> None:
    given, expect = case["given"], case["expect"]
    served = Served(tmp_path)
    await served.make()
    if "error" in expect:
        with pytest.raises(AwsError) as caught:
            await _called(served, given)
        assert caught.value.code == expect["error"]
        assert caught.value.message.startswith(expect.get("begins", ""))
        return
    result = await _called(served, given)
    wanted = expect.get("result", {})
    deployment = served.ids["deployment"]
    for name, value in wanted.items():
        assert result[name] == (deployment if value == "<deployment>" else value), name
    if "settings" in expect:
        assert result["methodSettings"] == expect["settings"]
    lines = [line.partition(" : ")[2] or line for line in result.get("log", "").splitlines()]
    for text in expect.get("log", ()):
        assert any(re.fullmatch(text, line) for line in lines), (text, lines)
    for text in expect.get("log_without", ()):
        assert not any(text in line for line in lines), text
    if "setting" in expect:
        key, name, value = expect["setting"]
        assert result["methodSettings"][key][name] == value
    if given.get("send"):
        response = await served.send()
        assert response.status == expect.get("status", 200)
        assert response.body.decode() == expect["body"]
        assert header(response, "x-amzn-ErrorType") == expect.get("error_type", "")
