"""The rows of integrations with AWS services: what a service gets, and its client of it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import SCOPE, FakeInvoker, FakePermissions, lambda_method, small_api, small_stage
from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.http import Headers, Request, Response
from lamington.gateway.assumed_roles import AssumedRoles
from lamington.gateway.deployment import compile_stage
from lamington.gateway.entities import IntegrationResponse
from lamington.gateway.http_client import HttpClient
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.service_integrations import ServiceParts
from lamington.gateway.stage_parts import StageParts

CASES = [
    pytest.param(case, id=case["id"])
    for case in tomllib.loads((Path(__file__).parent / "gateway_services.toml").read_text())["case"]
]
ROLE = SCOPE.global_arn("iam", "role/r")


class Door:
    """An AWS endpoint that has every service and gives one answer."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self.requests: list[Request] = []

    def emulates(self, service: str, operation: str = "") -> bool:
        return True

    async def handle(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(
            status=self._given.get("answers_status", 200),
            headers=[("Content-Type", self._given.get("answers_type", "application/json"))],
            body=self._given.get("answers", "{}").encode(),
        )


class Caller:
    """IAM and STS with one role."""

    def __init__(self, trusted: str) -> None:
        self._trusted = trusted

    async def call(self, operation: str, params: Params, scope: Scope) -> Result:
        if operation == "iam:GetRole":
            statement = {
                "Effect": "Allow",
                "Principal": {"Service": self._trusted},
                "Action": "sts:AssumeRole",
            }
            return {"Role": {"AssumeRolePolicyDocument": json.dumps({"Statement": [statement]})}}
        key = {"AccessKeyId": "ASIAROLE", "SecretAccessKey": "s", "SessionToken": "t"}
        return {"Credentials": key}


async def _exchange(given: dict[str, Any]) -> tuple[Response, Door, RestDataPlane]:
    door, clock = Door(given), ManualClock()
    caller = Caller(given.get("trusts", "apigateway.amazonaws.com"))
    responses = given.get("responses", [{"status_code": "200"}])
    method = lambda_method(
        "POST",
        kind="AWS",
        uri=f"arn:aws:apigateway:eu-west-1:{given['uri']}",
        http_method=given.get("http_method", "POST"),
        credentials=ROLE,
        statuses=tuple(each["status_code"] for each in responses),
        responses=tuple(IntegrationResponse(**each) for each in responses),
        request_parameters=given.get("parameters", {}),
        request_templates={"application/json": given["template"]} if "template" in given else {},
    )
    plane = RestDataPlane(clock=clock, ids=Ids())
    client = HttpClient()
    plane.deploy(
        compile_stage(
            api=small_api({"POST /x": method}),
            stage=small_stage(),
            scope=SCOPE,
            parts=StageParts(
                invoker=FakeInvoker({}),
                permitted=FakePermissions(),
                services=ServiceParts(client=client, door=door, roles=AssumedRoles(caller, clock)),
            ),
        )
    )
    request = Request(
        method="POST",
        path="/dev/x",
        headers=Headers([("Host", "h"), ("Content-Type", "application/json")]),
        body=given.get("body", "").encode(),
    )
    response = await plane.handle(request, "abc123", "dev", "/x")
    await client.close()
    return response, door, plane


def _require_sent(sent: dict[str, Any], request: Request) -> None:
    for name in ("method", "path", "query"):
        if name in sent:
            assert getattr(request, name) == sent[name], name
    if "body" in sent:
        assert request.body.decode() == sent["body"]
    for name, value in sent.get("headers", {}).items():
        assert request.headers.get(name) == value, name
    for name, start in sent.get("header_begins", {}).items():
        assert request.headers.get(name).startswith(start), name
    for name in sent.get("absent", ()):
        assert not request.headers.get(name)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return value


@pytest.mark.parametrize("case", CASES)
async def test_service_is_called_as_on_aws(case: dict[str, Any]) -> None:
    given, expect = case["given"], case["expect"]
    response, door, plane = await _exchange(given)
    reason = plane.failures[-1].reason if plane.failures else ""
    assert response.status == expect.get("status", 200), reason
    assert reason.startswith(expect.get("reason", ""))
    if "sent" in expect:
        _require_sent(expect["sent"], door.requests[0])
    if "body" in expect:
        assert response.body.decode() == expect["body"]
    if "json" in expect:
        assert _without_nulls(json.loads(response.body)) == expect["json"]
    names = {name for name, _ in response.headers}
    assert names.issuperset(expect.get("present", ()))
