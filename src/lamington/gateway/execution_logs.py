"""Execution logs of REST APIs: the steps of one request as API Gateway's own sentences.

One rendering serves the log group of a stage and TestInvokeMethod. Left to others: to record the
steps (whoever does them), to keep the lines (`journal`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from lamington.core.clock import MONTHS
from lamington.gateway.mapping import (
    MethodRequest,
    RouteConstants,
    decoded_path_parameters,
    query_values,
)
from lamington.gateway.recording import Step
from lamington.gateway.responses import MethodResponse, Refusal

LINE_MAX = 1024
"""AWS: so much of a line is kept, without its request id (recorded)."""

TRUNCATED = " [TRUNCATED]"
SHOWN_OF_SECRETS = 6

ERROR, INFO, TRACE = 1, 2, 3
"""What a line is for: the level that a method logs at must not be below it."""

SECRET_HEADERS = frozenset({"authorization", "x-api-key", "x-amz-security-token"})

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_AFTER_STARTING = frozenset(
    {
        "validation",
        "cache",
        "request_parameters",
        "request_template",
        "integration_request",
        "integration_response",
    }
)
_REFUSED_BEFORE = frozenset(
    {
        "ACCESS_DENIED",
        "AUTHORIZER_CONFIGURATION_ERROR",
        "AUTHORIZER_FAILURE",
        "EXPIRED_TOKEN",
        "INVALID_API_KEY",
        "INVALID_SIGNATURE",
        "MISSING_AUTHENTICATION_TOKEN",
        "QUOTA_EXCEEDED",
        "REQUEST_TOO_LARGE",
        "THROTTLED",
        "UNAUTHORIZED",
        "WAF_FILTERED",
    }
)
_EVERY_RESPONSE = frozenset({"x-amzn-requestid", "x-amz-apigw-id"})


class Line(NamedTuple):
    """One line without its request id; `at_s` counts from the beginning of the request."""

    at_s: float
    text: str
    level: int = INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What a log says of a request beside its steps.

    `took_s` is how long it all took; `tracing` tells whether the stage traces.
    """

    request: MethodRequest
    route: RouteConstants
    http_method: str
    region: str = ""
    steps: Sequence[Step]
    refusal: Refusal | None
    answer: MethodResponse
    took_s: float = 0.0
    tracing: bool = False


def render_log(execution: Execution, level: int, data_trace: bool) -> Iterator[tuple[int, str]]:
    """The events of a stage's log as (milliseconds, text): what the method's level takes.

    AWS: API Gateway developer guide, CloudWatch logs; recorded lines. A method that logs errors
    alone logs nothing of a request without one; a request that does not come as far as its
    Lambda authorizer, for want of a token, is not logged at all.
    Differs: which of the lines stay without data trace is not all recorded; a cache hit has no
    line of its own.
    """
    if _is_untold(execution):
        return
    lines = [Line(0.0, f"Extended Request Id: {execution.request.extended_request_id}")]
    lines += _execution_lines(execution, plans=True)
    lines += _closing_lines(execution)
    most = TRACE if level >= INFO and data_trace else level
    if most < INFO:
        taken = [line for line in lines if line.level <= most]
        lines = [lines[0], *taken] if taken else []
    else:
        lines = [line for line in lines if line.level <= most]
    prefix = f"({execution.request.request_id}) "
    began_ms = execution.request.moment.epoch_ms
    for line in lines:
        yield began_ms + int(line.at_s * 1000), prefix + cut(line.text)


def _is_untold(execution: Execution) -> bool:
    """AWS: configure a Lambda authorizer: a token that is missing or fails validation."""
    refusal = execution.refusal
    return (
        refusal is not None
        and refusal.response_type == "UNAUTHORIZED"
        and _last(execution.steps, "authorizer") is None
    )


def render_test_log(execution: Execution) -> str:
    """The log that TestInvokeMethod returns: every line, each with its time.

    AWS: recorded logs; there are no lines of usage plans. The hint of a refusal is ours.
    """
    request_id = execution.request.request_id
    lines = [f"Execution log for request {request_id}"]
    began_s = execution.request.moment.epoch_ms / 1000
    for line in _execution_lines(execution, plans=False):
        at = datetime.fromtimestamp(began_s + line.at_s, UTC)
        lines.append(
            f"{_WEEKDAYS[at.weekday()]} {MONTHS[at.month - 1]} {at.day:02d}"
            f" {at.hour:02d}:{at.minute:02d}:{at.second:02d} UTC {at.year} : {cut(line.text)}"
        )
    return "\n".join(lines) + "\n"


def cut(text: str) -> str:
    """A line as long as AWS keeps it."""
    return text if len(text) <= LINE_MAX else text[:LINE_MAX] + TRUNCATED


def mask(secret: str) -> str:
    """Hide a secret but for its last characters, as AWS does in its logs."""
    hidden = max(0, len(secret) - SHOWN_OF_SECRETS)
    return "*" * hidden + secret[hidden:]


def _refused_while_authorizing(execution: Execution) -> bool:
    refusal = execution.refusal
    return refusal is not None and refusal.response_type in (
        _REFUSED_BEFORE - {"INVALID_API_KEY", "QUOTA_EXCEEDED", "THROTTLED"}
    )


def _usage_lines(execution: Execution, at_s: float) -> Iterator[Line]:
    """AWS: recorded lines; a method that needs no key says so."""
    request, route = execution.request, execution.route
    step = _last(execution.steps, "usage_plan")
    key = mask(str(step.values.get("key") or "")) if step else ""
    stage = f"{route.api_id}/{route.stage}"
    if step is not None:
        at_s = step.at_s
    yield Line(
        at_s,
        f"Verifying Usage Plan for request: {request.request_id}. API Key: {key} API Stage:"
        f" {stage}",
    )
    if execution.refusal is not None and execution.refusal.response_type in (
        *("INVALID_API_KEY", "QUOTA_EXCEEDED"),
        "THROTTLED",
    ):
        return
    if not key:
        yield Line(
            at_s,
            f"API Key {key} authorized because method"
            f" '{execution.http_method} {route.resource_path}' does not require API Key. Request"
            " will not contribute to throttle or quota limits",
        )
    yield Line(at_s, f"Usage Plan check succeeded for API Key {key} and API Stage {stage}")


def _execution_lines(execution: Execution, *, plans: bool) -> Iterator[Line]:
    """The lines up to the method's end; `plans` are those of usage plans, too."""
    refusal = execution.refusal
    for step in execution.steps:
        if step.name == "authorizer":
            yield from _authorizer_lines(execution, step)
    begun = [step.at_s for step in execution.steps if step.name in _AFTER_STARTING]
    at_s = begun[0] if begun else execution.took_s
    if plans and not _refused_while_authorizing(execution):
        yield from _usage_lines(execution, at_s)
    if begun or refusal is None or refusal.response_type not in _REFUSED_BEFORE:
        yield from _starting_lines(execution, at_s)
    for step in execution.steps:
        yield from _step_lines(execution, step)
    if refusal is None:
        yield from _answer_lines(execution)
    else:
        yield from _refusal_lines(execution, refusal, hinted=not plans)
    yield Line(execution.took_s, f"Method completed with status: {execution.answer.status}")


def _closing_lines(execution: Execution) -> Iterator[Line]:
    answered = _last(execution.steps, "integration_response")
    if answered is not None and answered.values.get("request_id"):
        text = f"AWS Integration Endpoint RequestId : {answered.values['request_id']}"
        yield Line(execution.took_s, text)
    if execution.tracing:
        root = execution.request.trace_id.partition(";")[0].removeprefix("Root=")
        yield Line(execution.took_s, f"X-ray Tracing ID : {root}")


def _starting_lines(execution: Execution, at_s: float) -> Iterator[Line]:
    request = execution.request
    yield Line(at_s, f"Starting execution for request: {request.request_id}")
    yield Line(at_s, f"HTTP Method: {request.method}, Resource Path: {request.path}")
    step = _last(execution.steps, "usage_plan")
    if step is not None and step.values.get("key"):
        yield Line(at_s, f"API Key: {mask(str(step.values['key']))}")
    body = request.body.decode("utf-8", "replace")
    query = query_values(request.query)[0]
    for text in (
        f"Method request path: {braced(decoded_path_parameters(request))}",
        f"Method request query string: {braced(query)}",
        f"Method request headers: {braced(request.headers)}",
        f"Method request body before transformations: {body}",
    ):
        yield Line(at_s, text, TRACE)


def _step_lines(execution: Execution, step: Step) -> Iterator[Line]:
    values = step.values
    match step.name:
        case "validation" if not values.get("errors") and values.get("model"):
            kind = execution.request.known.get("content-type", "application/json")
            yield Line(step.at_s, f"Request validation succeeded for content type {kind}")
        case "integration_request" if values.get("uri"):
            uri = str(values["uri"])
            headers = _endpoint_headers(execution, uri, values.get("headers") or {})
            body = values.get("body", "")
            yield Line(step.at_s, f"Endpoint request URI: {uri}", TRACE)
            yield Line(step.at_s, f"Endpoint request headers: {braced(headers)}", TRACE)
            yield Line(step.at_s, f"Endpoint request body after transformations: {body}", TRACE)
            yield Line(step.at_s, f"Sending request to {uri}", TRACE)
        case "integration_response" if _endpoint(execution):
            status, latency = values.get("status", ""), values.get("latency_ms", 0)
            yield Line(
                step.at_s, f"Received response. Status: {status}, Integration latency: {latency} ms"
            )
            headers = _answered_headers(execution, values)
            yield Line(step.at_s, f"Endpoint response headers: {braced(headers)}", TRACE)
            body = values.get("body", "")
            yield Line(step.at_s, f"Endpoint response body before transformations: {body}", TRACE)
        case _:
            return


def _authorizer_lines(execution: Execution, step: Step) -> Iterator[Line]:
    """AWS: recorded lines of a Lambda authorizer; a cached result has no call."""
    values, at_s = step.values, step.at_s
    request_id = execution.request.request_id
    if not values.get("authorizer_id"):
        return
    yield Line(at_s, f"Starting authorizer: {values['authorizer_id']} for request: {request_id}")
    identity = token_of(step)
    if identity:
        yield Line(at_s, f"Incoming identity: {mask(identity)}", TRACE)
    if values.get("kind") in ("TOKEN", "REQUEST") and not values.get("cached"):
        uri = values.get("uri")
        if uri:
            yield Line(at_s, f"Endpoint request URI: {uri}", TRACE)
            headers = _authorizer_headers(execution)
            yield Line(at_s, f"Endpoint request headers: {braced(headers)}", TRACE)
        text = f"Endpoint request body after transformations: {values.get('input', '')}"
        yield Line(at_s, text, TRACE)
        if uri:
            yield Line(at_s, f"Sending request to {uri}", TRACE)
        text = f"Authorizer result body before parsing: {values.get('output', '')}"
        yield Line(at_s, text, TRACE)
    if execution.refusal is not None and execution.refusal.response_type in (
        *("UNAUTHORIZED", "AUTHORIZER_CONFIGURATION_ERROR"),
        "AUTHORIZER_FAILURE",
    ):
        return
    if values.get("principal"):
        text = f"Using valid authorizer policy for principal: {mask(str(values['principal']))}"
        yield Line(at_s, text)
    yield Line(at_s, "Successfully completed authorizer execution")


def _answer_lines(execution: Execution) -> Iterator[Line]:
    step = _last(execution.steps, "method_response")
    at_s = step.at_s if step is not None else execution.took_s
    if step is not None:
        body = str(step.values.get("body", ""))
        headers = step.values.get("headers") or {}
    else:
        body = execution.answer.body.decode("utf-8", "replace")
        headers = _own_headers(execution.answer)
    yield Line(at_s, f"Method response body after transformations: {body}", TRACE)
    yield Line(at_s, f"Method response headers: {braced(headers)}", TRACE)
    yield Line(at_s, "Successfully completed execution")


def _refusal_lines(execution: Execution, refusal: Refusal, *, hinted: bool) -> Iterator[Line]:
    at_s, answer = execution.took_s, execution.answer
    text = refusal.message
    if refusal.response_type == "UNAUTHORIZED":
        text = f"Unauthorized request: {execution.request.request_id}"
    if hinted and refusal.hint:
        text = f"{text}: {refusal.hint}"
    yield Line(at_s, text, ERROR)
    kind = f"Gateway response type: {refusal.response_type} with status code: {answer.status}"
    yield Line(at_s, kind, ERROR)
    body = answer.body.decode("utf-8", "replace")
    yield Line(at_s, f"Gateway response body: {body}", TRACE)
    yield Line(at_s, f"Gateway response headers: {braced(_own_headers(answer))}", TRACE)


def _own_headers(answer: MethodResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers if name.lower() not in _EVERY_RESPONSE}


def _endpoint(execution: Execution) -> str:
    """The address that was called; "" for a mock."""
    step = _last(execution.steps, "integration_request")
    return "" if step is None else str(step.values.get("uri", ""))


def _authorizer_headers(execution: Execution) -> dict[str, str]:
    """Differs: nothing is signed here, so that there is no signature and no token."""
    at = datetime.fromtimestamp(execution.request.moment.epoch_ms / 1000, UTC)
    return {
        "X-Amz-Date": f"{at:%Y%m%dT%H%M%SZ}",
        "x-amzn-apigateway-api-id": execution.route.api_id,
        "Accept": "application/json",
        "User-Agent": f"AmazonAPIGateway_{execution.route.api_id}",
    }


def _endpoint_headers(
    execution: Execution, endpoint: str, mapped: Mapping[str, str]
) -> dict[str, str]:
    """The headers of the call to the backend.

    Differs: nothing is signed here, so that there is no signature and no token.
    """
    request, route = execution.request, execution.route
    if not _is_function(endpoint):
        return dict(mapped)
    at = datetime.fromtimestamp(request.moment.epoch_ms / 1000, UTC)
    source = (
        f"arn:aws:execute-api:{execution.region}:{route.account_id}:{route.api_id}/{route.stage}"
        f"/{execution.http_method}{route.resource_path}"
    )
    return {
        "x-amzn-lambda-integration-tag": request.request_id,
        "X-Amz-Date": f"{at:%Y%m%dT%H%M%SZ}",
        "x-amzn-apigateway-api-id": route.api_id,
        "X-Amz-Source-Arn": source,
        "Accept": "application/json",
        "User-Agent": f"AmazonAPIGateway_{route.api_id}",
        "X-Amzn-Trace-Id": request.trace_id.partition(";")[0],
        **mapped,
    }


def _answered_headers(execution: Execution, values: Mapping[str, Any]) -> dict[str, str]:
    given: dict[str, str] = dict(values.get("headers") or {})
    if given or not _is_function(_endpoint(execution)):
        return given
    at = datetime.fromtimestamp(execution.request.moment.epoch_ms / 1000, UTC)
    headers = {
        "Date": f"{_WEEKDAYS[at.weekday()]}, {at.day:02d} {MONTHS[at.month - 1]} {at:%Y %H:%M:%S}"
        " GMT",
        "Content-Type": "application/json",
        "Content-Length": str(len(str(values.get("body", "")).encode())),
        "Connection": "keep-alive",
        "x-amzn-RequestId": str(values.get("request_id", "")),
        "x-amzn-Remapped-Content-Length": "0",
    }
    if values.get("function_error"):
        headers["X-Amz-Function-Error"] = str(values["function_error"])
    return headers


def _is_function(endpoint: str) -> bool:
    return "/2015-03-31/functions/" in endpoint


def _last(steps: Sequence[Step], name: str) -> Step | None:
    return next((step for step in reversed(steps) if step.name == name), None)


def braced(values: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """Headers and parameters as the log writes them, its secrets masked."""
    pairs = values.items() if isinstance(values, Mapping) else values
    shown = (
        f"{name}={mask(value) if name.lower() in SECRET_HEADERS else value}"
        for name, value in pairs
    )
    return f"{{{', '.join(shown)}}}"


def token_of(step: Step) -> str:
    """The token that a Lambda authorizer of type TOKEN was given; "" for any other step."""
    if step.name != "authorizer" or step.values.get("kind") != "TOKEN":
        return ""
    try:
        return str(msgspec.json.decode(step.values.get("input", ""))["authorizationToken"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""
