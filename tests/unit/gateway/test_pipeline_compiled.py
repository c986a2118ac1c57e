"""What is decided when a stage is compiled: problems, what is not emulated, what fails later."""

from typing import Any

import pytest

from fakes_gateway import INVOCATION_URI, SmallGateway, header, lambda_method, small_stage
from lamington.gateway.entities import IntegrationResponse as Outcome
from lamington.gateway.entities import Method


def mapped(*outcomes: Outcome, **integration: Any) -> Method:
    return lambda_method(
        kind="AWS", responses=outcomes or (Outcome(status_code="200"),), **integration
    )


FIREHOSE = "arn:aws:firehose:eu-west-1:123456789012:deliverystream/amazon-apigateway-logs"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"access_log": {"destinationArn": FIREHOSE, "format": "$context.requestId"}}, "Access"),
    ],
)
def test_settings_that_have_no_effect_are_told(settings: dict[str, Any], sentence: str) -> None:
    gateway = SmallGateway({"GET /": lambda_method()}, stage=small_stage(**settings))
    [told] = gateway.program.unemulated
    assert told.startswith(sentence)


def test_settings_at_their_defaults_are_not_told() -> None:
    settings: dict[str, Any] = {"throttlingRateLimit": 10_000.0, "loggingLevel": "OFF"}
    stage = small_stage(method_settings={"*/*": settings})
    gateway = SmallGateway({"GET /": lambda_method()}, stage=stage)
    assert gateway.program.unemulated == ()


@pytest.mark.parametrize(
    ("method", "problem"),
    [
        (Method(http_method="GET"), "GET /: No integration is defined for the method"),
        (
            lambda_method(uri=INVOCATION_URI.replace(":pets", ":${stageVariables.a-b}")),
            "GET /: Invalid endpoint address",
        ),
        (
            mapped(Outcome(status_code="200", selection_pattern="(")),
            "GET /: selection pattern of 200: The regular expression `(` is not valid",
        ),
        (
            mapped(request_parameters={"integration.request.cookie.a": "'x'"}),
            "GET /: Invalid mapping expression parameter specified: integration.request.cookie.a",
        ),
        (
            mapped(request_parameters={"integration.request.header.a": "method.request.body.["}),
            "GET /: Invalid mapping expression specified: method.request.body.[",
        ),
        (
            mapped(
                Outcome(
                    status_code="200",
                    response_parameters={"method.response.header.A": "integration.response.body.["},
                )
            ),
            "GET /: Invalid mapping expression specified: integration.response.body.[",
        ),
    ],
)
async def test_a_problem_is_kept_and_the_api_is_served(method: Method, problem: str) -> None:
    gateway = SmallGateway({"GET /": method}, lambda event: {})
    [found] = gateway.program.problems
    assert str(found).startswith(problem)
    assert (await gateway.send("GET /")).status in (200, 500)


async def test_a_header_mapped_from_an_answer_that_is_no_json_is_500() -> None:
    outcome = Outcome(
        status_code="200",
        response_parameters={"method.response.header.A": "integration.response.body.a"},
    )
    gateway = SmallGateway({"GET /": mapped(outcome)}, lambda event: b"{a")
    assert (await gateway.send("GET /")).status == 500
    assert "header `A`" in gateway.reports[0][2]


async def test_a_pattern_is_not_tried_on_a_text_that_could_hang_it() -> None:
    outcome = Outcome(status_code="200", selection_pattern="(a+)+b")
    gateway = SmallGateway({"GET /": mapped(outcome)}, lambda event: {"errorMessage": "a" * 5000})
    assert (await gateway.send("GET /")).status == 500
    assert "regular expression is tried on 5000 characters" in gateway.reports[0][2]


async def test_a_mapping_without_invocation_type_waits_for_the_answer() -> None:
    method = mapped(request_parameters={"integration.request.header.X-Other": "'x'"})
    gateway = SmallGateway({"GET /": method}, lambda event: "done")
    response = await gateway.send("GET /")
    assert response.body == b'"done"'
    assert header(response, "Content-Type") == "application/json"
