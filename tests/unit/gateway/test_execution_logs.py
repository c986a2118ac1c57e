from dataclasses import replace
from pathlib import Path
from typing import Any

from fakes_gateway import FUNCTION_ARN, HandlerFailed, lambda_method
from lamington.gateway.completed import Completed, execution_of
from lamington.gateway.execution_logs import INFO, cut, mask, render_log
from lamington.gateway.recording import Step
from lamington.gateway.responses import Refusal
from observed_gateway import observed_gateway

GROUP = "API-Gateway-Execution-Logs_abc123/dev"
URI = f"https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/{FUNCTION_ARN}/invocations"


def logging(level: str, *, trace: bool = False, key: str = "*/*") -> dict[str, Any]:
    settings = {"loggingLevel": level, "dataTraceEnabled": trace}
    return {"method_settings": {key: settings}}


async def logged(tmp_path: Path, stage: dict[str, Any], target: str = "GET /pets/7") -> list[str]:
    with observed_gateway(tmp_path, stage=stage) as world:
        response = await world.gateway.send(target, headers={"x-api-key": "0123456789"})
        prefix = f"({dict(response.headers)['x-amzn-RequestId']}) "
        lines = world.lines(GROUP)
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


async def test_whole_log_tells_the_steps_in_order(tmp_path: Path) -> None:
    lines = await logged(tmp_path, logging("INFO", trace=True), "GET /pets/7?a=1")
    openings = [line.partition(":")[0].partition(". ")[0] for line in lines]
    assert openings == [
        "Extended Request Id",
        "Verifying Usage Plan for request",
        "API Key  authorized because method 'GET /pets/{id}' does not require API Key",
        "Usage Plan check succeeded for API Key  and API Stage abc123/dev",
        "Starting execution for request",
        "HTTP Method",
        "Method request path",
        "Method request query string",
        "Method request headers",
        "Method request body before transformations",
        "Endpoint request URI",
        "Endpoint request headers",
        "Endpoint request body after transformations",
        "Sending request to https",
        "Received response",
        "Endpoint response headers",
        "Endpoint response body before transformations",
        "Method response body after transformations",
        "Method response headers",
        "Successfully completed execution",
        "Method completed with status",
    ]
    assert "HTTP Method: GET, Resource Path: /pets/7" in lines
    assert "Method request path: {id=7}" in lines
    assert "Method request query string: {a=1}" in lines
    assert f"Sending request to {URI}" in lines
    assert "Received response. Status: 200, Integration latency: 0 ms" in lines
    assert "Method response body after transformations: made" in lines
    assert lines[-1] == "Method completed with status: 201"


async def test_secret_headers_are_masked(tmp_path: Path) -> None:
    lines = await logged(tmp_path, logging("INFO", trace=True))
    (headers,) = [line for line in lines if line.startswith("Method request headers")]
    assert "x-api-key=****456789" in headers


async def test_bodies_are_left_out_without_data_trace(tmp_path: Path) -> None:
    lines = await logged(tmp_path, logging("INFO"))
    assert "Successfully completed execution" in lines
    assert not [line for line in lines if "body" in line or "headers" in line]


async def test_level_error_logs_nothing_of_a_success(tmp_path: Path) -> None:
    assert await logged(tmp_path, logging("ERROR", trace=True)) == []


async def test_level_error_logs_what_failed(tmp_path: Path) -> None:
    def fail(event: Any) -> Any:
        raise HandlerFailed({"errorMessage": "told to"})

    with observed_gateway(tmp_path, handler=fail, stage=logging("ERROR")) as world:
        await world.gateway.send("GET /pets/7")
        lines = [line.partition(") ")[2] for line in world.lines(GROUP)]
    assert lines[0].startswith("Extended Request Id: ")
    assert lines[1].startswith(
        "Lambda execution failed with status 200 due to customer function error: told to."
        " Lambda request id: "
    )
    assert lines[2] == "Gateway response type: INTEGRATION_FAILURE with status code: 502"
    assert len(lines) == 3


async def test_only_the_methods_that_log_are_recorded(tmp_path: Path) -> None:
    methods = {"GET /a": lambda_method(), "GET /b": lambda_method()}
    stage = logging("INFO", key="~1a/GET")
    with observed_gateway(tmp_path, methods, stage=stage) as world:
        assert [program.recorded for program in world.gateway.program.methods.values()] == [
            True,
            False,
        ]
        await world.gateway.send("GET /b")
        assert world.lines(GROUP) == []


def test_line_is_cut_at_1024_characters() -> None:
    assert cut("a" * 1024) == "a" * 1024
    assert cut("a" * 1025) == "a" * 1024 + " [TRUNCATED]"


def test_mask_leaves_the_last_six_characters() -> None:
    assert (mask("0123456789"), mask("abc")) == ("****456789", "abc")


AUTHORIZER = {
    "name": "who",
    "kind": "TOKEN",
    "authorizer_id": "elkw5b",
    "cached": False,
    "input": '{"type":"TOKEN","authorizationToken":"Bearer abc123"}',
    "output": '{"principalId":"ann|24u62kim5mn0slhwigdt7v4ybkwef5"}',
    "decision": "allow",
    "principal": "ann|24u62kim5mn0slhwigdt7v4ybkwef5",
}


async def executed(tmp_path: Path, *steps: Step, refusal: Refusal | None = None) -> list[str]:
    """The whole log of a request that took these steps before its integration."""
    with observed_gateway(tmp_path) as world:
        seen: list[Completed] = []
        world.gateway.plane._journal = seen.append
        world.gateway.plane.watch = lambda told: None
        await world.gateway.send("GET /pets/7")
    execution = execution_of(seen[0])
    own = [] if refusal is not None else execution.steps[1:]
    execution = replace(execution, steps=[*steps, *own], refusal=refusal)
    prefix = f"({seen[0].request.request_id}) "
    lines = [text.removeprefix(prefix) for _, text in render_log(execution, INFO, True)]
    return [line.replace(seen[0].request.request_id, "ID") for line in lines]


async def test_authorizer_is_told_before_the_usage_plan(tmp_path: Path) -> None:
    lines = await executed(tmp_path, Step("authorizer", 0.0, AUTHORIZER))
    assert lines[1:9] == [
        "Starting authorizer: elkw5b for request: ID",
        "Incoming identity: *******abc123",
        f"Endpoint request body after transformations: {AUTHORIZER['input']}",
        f"Authorizer result body before parsing: {AUTHORIZER['output']}",
        "Using valid authorizer policy for principal: ****************************bkwef5",
        "Successfully completed authorizer execution",
        "Verifying Usage Plan for request: ID. API Key:  API Stage: abc123/dev",
        "API Key  authorized because method 'GET /pets/{id}' does not require API Key. Request"
        " will not contribute to throttle or quota limits",
    ]


async def test_refused_caller_is_unauthorized_and_nothing_more_is_asked(tmp_path: Path) -> None:
    refusal = Refusal("denied", response_type="UNAUTHORIZED")
    lines = await executed(tmp_path, Step("authorizer", 0.0, AUTHORIZER), refusal=refusal)
    assert "Unauthorized request: ID" in lines
    assert not [line for line in lines if "Usage Plan" in line or "Starting execution" in line]


async def test_key_is_told_but_for_its_end(tmp_path: Path) -> None:
    plan = Step("usage_plan", 0.0, {"key": "0123456789abMZHBg", "decision": "authorized"})
    lines = await executed(tmp_path, plan)
    assert lines[1:6] == [
        "Verifying Usage Plan for request: ID. API Key: ***********bMZHBg API Stage: abc123/dev",
        "Usage Plan check succeeded for API Key ***********bMZHBg and API Stage abc123/dev",
        "Starting execution for request: ID",
        "HTTP Method: GET, Resource Path: /pets/7",
        "API Key: ***********bMZHBg",
    ]


async def test_throttled_request_ends_behind_its_usage_plan(tmp_path: Path) -> None:
    message = (
        "Key throttle limit exceeded for RestApi abc123, Stage dev, Resource k0w8mc, HttpMethod"
        " GET. Limit: 1.00 Burst: 1"
    )
    refusal = Refusal(message, response_type="THROTTLED")
    lines = await executed(tmp_path, refusal=refusal)
    assert lines[1:4] == [
        "Verifying Usage Plan for request: ID. API Key:  API Stage: abc123/dev",
        message,
        "Gateway response type: THROTTLED with status code: 201",
    ]


async def test_valid_body_is_told(tmp_path: Path) -> None:
    step = Step("validation", 0.0, {"parameters": [], "model": "Pet", "errors": []})
    lines = await executed(tmp_path, step)
    assert "Request validation succeeded for content type application/json" in lines
