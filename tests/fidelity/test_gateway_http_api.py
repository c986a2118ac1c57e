"""The rows of HTTP APIs: what a request gets, through the whole data plane.

`given` says what the API is and what is sent, `expect` what of the answer counts: members of the
function's event by a path of `/`, members that are `absent`, status, body, headers.
"""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import HandlerFailed
from http_api_world import (
    SmallHttpApi,
    endpoint_integration,
    jwt_authorizer,
    lambda_authorizer,
    lambda_integration,
    service_integration,
)
from lamington.core.http import Headers, Response
from lamington.core.sigv4 import Signer
from lamington.gateway.http_client import HttpAnswer, NetworkError
from lamington.gateway.v2.entities import Cors, Integration, RouteSettings

OPEN = pytest.mark.xfail(strict=True, reason="an open row that passes is no open row")
CASES = [
    pytest.param(case, id=case["id"], marks=[OPEN] if case.get("verdict") == "open" else [])
    for case in tomllib.loads(
        (Path(__file__).parent / "gateway_http_api.toml").read_text(encoding="utf-8")
    )["case"]
]


def _integration(given: dict[str, Any]) -> Integration:
    members = dict(given.get("integration", {}))
    if "subtype" in given:
        return service_integration(given["subtype"], **given.get("parameters", {}))
    if "uri" in members:
        return endpoint_integration(members.pop("uri"), **members)
    return lambda_integration(given.get("version", "2.0"), **members)


def _handler(answer: Any, failure: Any) -> Any:
    def handle(event: Any) -> Any:
        if failure is not None:
            raise HandlerFailed(failure)
        return answer.encode()

    return handle


def _api(given: dict[str, Any]) -> SmallHttpApi:
    authorizer = None
    members = dict(given.get("authorizer", {}))
    if members:
        kind = members.pop("type")
        if "identity_source" in members:
            members["identity_source"] = tuple(members["identity_source"])
        authorizer = (jwt_authorizer if kind == "JWT" else lambda_authorizer)(**members)
    cors = given.get("cors")
    tuples: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (cors or {}).items()
    }
    route = dict(given.get("route", {}))
    if "authorization_scopes" in route:
        route["authorization_scopes"] = tuple(route["authorization_scopes"])
    throttle = given.get("throttle")
    api = SmallHttpApi(
        *given.get("routes", ["$default"]),
        handler=_handler(given.get("returns", "{}"), given.get("fails")),
        authorizer_handler=_handler(
            given.get("authorizer_returns", '{"isAuthorized":true}'), given.get("authorizer_fails")
        ),
        integration=_integration(given),
        authorizer=authorizer,
        route=route,
        cors=Cors(**tuples) if cors is not None else None,
        stages=given.get("stages", ["$default"]),
        variables=given.get("variables", {}),
        throttle=None if throttle is None else RouteSettings(**throttle),
        permitted=given.get("permitted", True),
        disable_execute_api_endpoint=given.get("endpoint_disabled", False),
    )
    api.tokens.claims = given.get("tokens", {})
    api.links.addresses = given.get("links", {})
    api.deploy()
    if "signer" in given:
        api.signers.signer = Signer(access_key="", **given["signer"])
    if "endpoint" in given:
        answer = dict(given["endpoint"])
        if "failure" in answer:
            failures = {"timeout": TimeoutError(), "network": NetworkError("refused")}
            api.endpoint.failure = failures[answer["failure"]]
        else:
            headers = [(name, value) for name, value in answer.get("headers", [])]
            api.endpoint.answer = HttpAnswer(
                answer.get("status", 200), headers, answer.get("body", "").encode()
            )
    return api


def _found(value: Any, path: str) -> Any:
    for part in path.split("/"):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def _wanted(value: Any) -> Any:
    """TOML has no null: a table of it stands for one."""
    return None if value == {"null": True} else value


def _body(given: dict[str, Any]) -> bytes:
    if "body_hex" in given:
        return bytes.fromhex(given["body_hex"])
    body = given.get("body", "") * int(given.get("body_times", 1))
    return str(body).encode()


@pytest.mark.parametrize("case", CASES)
async def test_http_api_does_as_aws_does(case: dict[str, Any]) -> None:
    given, expect = case["given"], case["expect"]
    api = _api(given)
    for _ in range(given.get("times", 1)):
        response = await api.send(
            given["request"],
            headers=[(name, value) for name, value in given.get("headers", [])],
            body=_body(given),
        )
    _require_event(api, expect)
    _require_response(response, expect)
    _require_sent(api, expect)


def _require_event(api: SmallHttpApi, expect: dict[str, Any]) -> None:
    """Hold what the function got against a row."""
    for path, value in expect.get("event", {}).items():
        assert _found(api.event, path) == _wanted(value), path
    for path in expect.get("absent", []):
        above, _, name = path.rpartition("/")
        assert name not in (_found(api.event, above) if above else api.event)
    if "invocations" in expect:
        assert len(api.invoker.invocations) == expect["invocations"]
    if "source_arn" in expect:
        assert api.permissions.asked == [expect["source_arn"]]


def _require_response(response: Response, expect: dict[str, Any]) -> None:
    """Hold what the client got against a row."""
    read: dict[str, Callable[[], Any]] = {
        "status": lambda: response.status,
        "body": response.body.decode,
        "body_hex": response.body.hex,
        "json": lambda: json.loads(response.body),
    }
    for name, value in read.items():
        if name in expect:
            assert value() == expect[name]
    headers = Headers(response.headers)
    for name, values in expect.get("headers", {}).items():
        assert headers.all(name) == (values if isinstance(values, list) else [values]), name
    for name in expect.get("without", []):
        assert name not in headers


def _require_sent(api: SmallHttpApi, expect: dict[str, Any]) -> None:
    """Hold what an endpoint or a service got, and what the user is told, against a row."""
    if "sent" in expect:
        method, url, sent, _ = api.endpoint.sent[-1]
        assert f"{method} {url}" == expect["sent"]
        for name, value in expect.get("sent_headers", {}).items():
            assert sent[name] == value
        for name in expect.get("unsent_headers", []):
            assert name not in sent
    if "events" in expect:
        assert api.aws.events == expect["events"]
    if "reported" in expect:
        assert any(expect["reported"] in each for each in api.reports)
