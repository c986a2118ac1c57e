"""HTTP APIs: stages, domains, conditions of operation, what is told of requests."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from http_api_world import (
    API_ID,
    SmallHttpApi,
    endpoint_integration,
    lambda_authorizer,
    lambda_integration,
)
from lamington.core.http import Headers, Request
from lamington.gateway.http_client import AddressError, TooLargeError
from lamington.gateway.journal import Sinks
from lamington.gateway.v2.entities import RouteSettings
from lamington.gateway.v2.http.completed import Logged, Sample, context_of


async def test_withdrawn_stage_is_not_found() -> None:
    api = SmallHttpApi("$default", stages=["$default", "dev"])
    api.plane.withdraw(API_ID, "dev")
    await api.send("GET /dev/pets")
    assert api.event["requestContext"]["stage"] == "$default"


async def test_api_without_stages_is_not_served() -> None:
    api = SmallHttpApi("$default")
    api.plane.withdraw(API_ID, "$default")
    assert not api.plane.serves(API_ID)
    assert (await api.send("GET /pets")).status == 404


async def test_withdrawing_what_is_not_there_does_nothing() -> None:
    api = SmallHttpApi("$default")
    api.plane.withdraw("other", "dev")
    assert api.plane.serves(API_ID)


async def test_stage_itself_is_the_root_path() -> None:
    api = SmallHttpApi("GET /", stages=["dev"])
    assert (await api.send("GET /dev")).status == 200
    assert api.event["rawPath"] == "/dev"


async def test_default_stage_may_be_named_in_an_address() -> None:
    api = SmallHttpApi("GET /pets")
    await api.send("GET /$default/pets")
    assert api.event["rawPath"] == "/pets"


async def test_domain_says_the_stage_and_takes_its_base_path_off() -> None:
    api = SmallHttpApi(
        "GET /pets",
        stages=["dev"],
        disable_execute_api_endpoint=True,
        access_log="$context.customDomain.basePathMatched $context.requestId",
    )
    response = await api.plane.handle(
        Request(method="GET", path="/v1/pets"),
        API_ID,
        "/pets",
        stage="dev",
        base_path="v1",
        default_endpoint=False,
    )
    logged = api.entries[-1]
    assert response.status == 200
    assert api.event["rawPath"] == "/v1/pets"
    assert api.event["requestContext"]["stage"] == "dev"
    assert isinstance(logged, Logged)
    assert logged.log.line(partial(context_of, logged)).startswith("v1 ")


async def test_every_response_has_the_request_id_of_the_event() -> None:
    api = SmallHttpApi("$default")
    response = await api.send("GET /pets")
    request_id = Headers(response.headers).get("apigw-requestid")
    assert request_id == api.event["requestContext"]["requestId"]
    assert len(request_id) == 16
    assert request_id.endswith("=")


async def test_trace_header_of_a_client_is_kept() -> None:
    api = SmallHttpApi("$default")
    await api.send("GET /", headers={"X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793"})
    assert api.invoker.invocations[-1].trace_id == "Root=1-5759e988-bd862e3fe1be46a994272793"


async def test_header_names_are_in_lower_case_and_those_of_the_connection_go() -> None:
    api = SmallHttpApi(
        "$default",
        handler=lambda event: {
            "statusCode": 200,
            "headers": {"X-Upper": "1", "Connection": "close", "Content-Length": "9", "Date": "no"},
        },
    )
    response = await api.send("GET /")
    assert [name for name, _ in response.headers] == ["x-upper", "content-type", "apigw-requestid"]


async def test_large_headers_are_refused() -> None:
    api = SmallHttpApi("$default")
    assert (await api.send("GET /", headers={"X": "x" * 10_300})).status == 431
    assert not api.invoker.invocations


async def test_route_without_an_integration_fails_alone() -> None:
    api = SmallHttpApi("GET /a", "GET /b")
    api.api.integrations.clear()
    api.deploy()
    assert (await api.send("GET /a")).status == 500
    assert "No integration" in api.program.problems[0].message


async def test_slow_function_is_503() -> None:
    api = SmallHttpApi("$default", integration=lambda_integration(timeout_ms=50))
    api.invoker.gate = asyncio.Event()
    response = await api.send("GET /")
    api.invoker.gate.set()
    assert (response.status, response.body) == (503, b'{"message":"Service Unavailable"}')


@pytest.mark.parametrize("failure", [AddressError("bad"), TooLargeError(11, 10)])
async def test_endpoint_that_cannot_answer_is_500(failure: Exception) -> None:
    api = SmallHttpApi("$default", integration=endpoint_integration())
    api.endpoint.failure = failure
    assert (await api.send("GET /")).status == 500
    assert api.plane.failures[-1].reason


async def test_endpoint_that_is_no_address_is_500() -> None:
    api = SmallHttpApi("$default", integration=endpoint_integration("ftp://x"))
    assert (await api.send("GET /")).status == 500
    assert api.program.problems


async def test_endpoint_has_thirty_seconds() -> None:
    api = SmallHttpApi("$default", integration=endpoint_integration())
    await api.send("GET /")
    assert api.endpoint.terms is not None
    assert api.endpoint.terms.timeout_s == 30.0


async def test_cookies_go_to_an_endpoint() -> None:
    api = SmallHttpApi("$default", integration=endpoint_integration())
    await api.send("GET /", headers={"Cookie": "a=1; b=2"})
    assert api.endpoint.sent[-1][2]["cookie"] == "a=1; b=2"


# Throttling.


async def test_bucket_fills_again() -> None:
    settings = RouteSettings(throttling_rate_limit=2.0, throttling_burst_limit=1)
    api = SmallHttpApi("$default", throttle=settings)
    statuses = [(await api.send("GET /")).status for _ in range(2)]
    await api.clock.advance(0.5)
    statuses.append((await api.send("GET /")).status)
    assert statuses == [200, 429, 200]


async def test_route_has_limits_of_its_own() -> None:
    api = SmallHttpApi(
        "GET /a",
        "GET /b",
        throttle=RouteSettings(throttling_rate_limit=1.0, throttling_burst_limit=1),
        route_settings={"GET /b": RouteSettings(throttling_burst_limit=3)},
    )
    a = [(await api.send("GET /a")).status for _ in range(2)]
    b = [(await api.send("GET /b")).status for _ in range(4)]
    assert (a, b) == ([200, 429], [200, 200, 200, 429])


async def test_new_deployment_finds_its_bucket_as_it_was() -> None:
    settings = RouteSettings(throttling_rate_limit=1.0, throttling_burst_limit=1)
    api = SmallHttpApi("$default", throttle=settings)
    await api.send("GET /")
    api.deploy()
    assert (await api.send("GET /")).status == 429


async def test_refused_caller_costs_no_token() -> None:
    api = SmallHttpApi(
        "$default",
        authorizer=lambda_authorizer(),
        route={"authorization_type": "CUSTOM"},
        throttle=RouteSettings(throttling_rate_limit=1.0, throttling_burst_limit=1),
    )
    assert (await api.send("GET /")).status == 401
    assert (await api.send("GET /", headers={"Authorization": "x"})).status == 200


# What is told.


async def test_metrics_are_of_api_and_stage() -> None:
    api = SmallHttpApi("GET /pets")
    await api.send("GET /pets")
    sample = api.entries[0]
    assert isinstance(sample, Sample)
    assert sample.series.sets == (
        (("ApiId", API_ID),),
        (("ApiId", API_ID), ("Stage", "$default")),
    )
    assert sample.integration_s is not None


async def test_detailed_metrics_are_of_the_route() -> None:
    api = SmallHttpApi("GET /pets", throttle=RouteSettings(detailed_metrics_enabled=True))
    await api.send("GET /pets")
    sample = api.entries[0]
    assert isinstance(sample, Sample)
    assert ("Route", "GET /pets") in sample.series.sets[-1]


async def test_error_counts_in_its_class() -> None:
    api = SmallHttpApi("GET /pets")
    await api.send("GET /dogs")
    sinks = Sinks()
    sample = api.entries[0]
    assert isinstance(sample, Sample)
    sample.write(sinks)
    values = sinks.measured(sample.series, sample.at_ms)
    assert values["4xx", "Count"] == [1.0]
    assert values["5xx", "Count"] == [0.0]
    assert ("IntegrationLatency", "Milliseconds") not in values


async def _line(api: SmallHttpApi, target: str, headers: dict[str, str] | None = None) -> str:
    await api.send(target, headers=headers or {})
    logged = api.entries[-1]
    assert isinstance(logged, Logged)
    return logged.log.line(partial(context_of, logged))


async def test_access_log_has_what_the_request_was() -> None:
    api = SmallHttpApi(
        "GET /pets",
        stages=["dev"],
        access_log="$context.routeKey $context.status $context.path $context.identity.sourceIp"
        " $context.stage $context.error.message $context.integrationStatus $context.requestId",
    )
    line = await _line(api, "GET /dev/pets")
    assert line.startswith("GET /pets 200 /dev/pets 127.0.0.1 dev - 200 ")


async def test_access_log_says_why_an_integration_failed() -> None:
    api = SmallHttpApi(
        "$default",
        handler=lambda event: b"\x00",
        access_log="$context.status $context.integrationErrorMessage $context.error.messageString"
        " $context.error.responseType",
    )
    line = await _line(api, "GET /")
    assert line.startswith("500 The response from the Lambda function doesn't match")
    assert line.endswith('"Internal Server Error" DEFAULT_5XX')


async def test_access_log_has_what_the_authorizer_said() -> None:
    api = SmallHttpApi(
        "$default",
        authorizer=lambda_authorizer(),
        authorizer_handler=lambda event: {"isAuthorized": True, "context": {"k": {"n": 1}}},
        route={"authorization_type": "CUSTOM"},
        access_log="$context.authorizer.k.n $context.authorizer.status $context.authorizer.error",
    )
    assert await _line(api, "GET /", {"Authorization": "x"}) == "1 200 -"


async def test_time_of_the_clock_is_in_the_event() -> None:
    api = SmallHttpApi("$default")
    await api.clock.advance(timedelta(hours=1).total_seconds())
    await api.send("GET /")
    assert api.event["requestContext"]["time"] == "01/Jan/2026:01:00:00 +0000"
