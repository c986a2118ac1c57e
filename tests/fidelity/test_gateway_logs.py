"""Rows of `gateway_logs.toml`: what is told of requests, as AWS tells it."""

import tomllib
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from fakes_gateway import SCOPE
from lamington.core.http import Response
from lamington.gateway.access_logs import require_access_log
from lamington.gateway.entities import BadRequestException
from lamington.gateway.execution_logs import cut, mask
from lamington.gateway.journal import STREAMS, stream_name
from observed_gateway import ObservedGateway, observed_gateway

ROWS = tomllib.loads((Path(__file__).parent / "gateway_logs.toml").read_text(encoding="utf-8"))
GROUP = "API-Gateway-Execution-Logs_abc123/dev"


def stage_of(given: dict[str, Any]) -> dict[str, Any]:
    if "format" in given:
        destination = SCOPE.arn("logs", "log-group:access")
        return {"access_log": {"destinationArn": destination, "format": given["format"]}}
    settings = {
        "loggingLevel": given.get("level", "OFF"),
        "dataTraceEnabled": given.get("data_trace", False),
        "metricsEnabled": given.get("detailed", False),
    }
    return {
        "method_settings": {"*/*": settings},
        "tracing_enabled": given.get("tracing", False),
    }


def filled(text: str, response: Response, trace_root: str) -> str:
    headers = dict(response.headers)
    return (
        text.replace("{requestId}", headers["x-amzn-RequestId"])
        .replace("{extendedRequestId}", headers["x-amz-apigw-id"])
        .replace("{traceRoot}", trace_root)
    )


def told(world: ObservedGateway, case: dict[str, Any], response: Response) -> bool:
    given, expect = case["given"], case["expect"]
    if "format" in given:
        return world.lines("access") == [filled(expect["line"], response, "")]
    if "metrics" in given:
        return all(
            world.values(name, **given["metrics"]).total == total
            for name, total in expect["sums"].items()
        ) and all(
            world.values(name, **given["metrics"]).count == count
            for name, count in expect.get("counts", {}).items()
        )
    trace = dict(response.headers).get("X-Amzn-Trace-Id", "")
    root = trace.partition(";")[0].removeprefix("Root=")
    lines = iter([line.partition(") ")[2] for line in world.lines(GROUP)])
    return all(filled(text, response, root) in lines for text in expect["lines"])


def told_alone(given: dict[str, Any], expect: dict[str, Any]) -> bool | None:
    """The rows that need no request; None for the others."""
    if "refused" in given:
        with pytest.raises(BadRequestException) as refused:
            require_access_log({"format": given["refused"]}, rest=given.get("rest", True))
        return bool(refused.value.message == expect["message"])
    if "cut" in given:
        return bool(len(cut("x" * given["cut"])) == expect["length"])
    if "mask" in given:
        return bool(mask(given["mask"]) == expect["masked"])
    if "numbers" in given:
        named = [md5(str(number).encode()).hexdigest() for number in given["numbers"]]
        ours = {md5(str(number).encode()).hexdigest() for number in range(STREAMS)}
        return named == expect["streams"] and stream_name(GROUP) in ours
    return None


@pytest.mark.parametrize("case", ROWS["case"], ids=lambda case: case["id"])
async def test_request_is_told_as_on_aws(case: dict[str, Any], tmp_path: Path) -> None:
    given = case["given"]
    same = told_alone(given, case["expect"])
    if same is None:
        answer = given.get("answer", {"statusCode": 201, "body": "made"})
        with observed_gateway(tmp_path, handler=lambda _: answer, stage=stage_of(given)) as world:
            response = await world.gateway.send(given.get("request", "GET /pets/7"))
            same = told(world, case, response)
    assert same is (case.get("verdict", "exact") != "open")
