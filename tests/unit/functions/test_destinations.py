"""Records and dead letters, where what a function was given or answered is out of the ordinary."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from event_world import ARN, ID, TRACE
from lamington.core.aws import Arn
from lamington.functions.destinations import (
    RETRIES_EXHAUSTED,
    Outcome,
    Response,
    object_key,
    queue_url,
    render_letter_attributes,
    render_record,
)

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


def outcome(payload: bytes = b"{}", answer: bytes = b"null", status: int = 200) -> Outcome:
    return Outcome(
        function_arn=ARN,
        request_id=ID,
        condition=RETRIES_EXHAUSTED,
        invocations=1,
        payload=payload,
        response=Response(payload=answer, function_error="Unhandled", status=status),
        trace_id=TRACE,
    )


def error_message(answer: bytes) -> str:
    message: str = render_letter_attributes(outcome(answer=answer))["ErrorMessage"]["StringValue"]
    return message


@pytest.mark.parametrize(
    ("payload", "shown"),
    [(b"", {}), (b"null", None), (b"[1, 2]", [1, 2]), (b'"\xc3\xa9"', "é"), (b"\xff{", "�{")],
)
def test_any_payload_can_be_in_a_record(payload: bytes, shown: object) -> None:
    record = json.loads(render_record(outcome(payload=payload), MOMENT))
    assert record["requestPayload"] == shown


@pytest.mark.parametrize(
    ("answer", "shown"), [(b"", None), (b"null", None), (b'{"a":1}', {"a": 1}), (b"oops", "oops")]
)
def test_any_answer_can_be_in_a_record(answer: bytes, shown: object) -> None:
    record = json.loads(render_record(outcome(answer=answer), MOMENT))
    assert record["responsePayload"] == shown


def test_record_tells_the_time_in_milliseconds() -> None:
    assert json.loads(render_record(outcome(), MOMENT))["timestamp"] == "2026-01-02T03:04:05.678Z"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b'{"errorMessage":"no"}', "no"),
        (b'{"errorMessage":1}', '{"errorMessage":1}'),
        (b'"text"', '"text"'),
        (b"", "null"),
        (json.dumps({"errorMessage": "é" * 1000}).encode(), "é" * 512),
        (json.dumps({"errorMessage": "x" + "é" * 1000}).encode(), "x" + "é" * 511),
    ],
)
def test_dead_letter_has_the_first_kilobyte_of_the_message(answer: bytes, message: str) -> None:
    assert error_message(answer) == message


def test_dead_letter_of_a_refusal_has_its_status() -> None:
    attributes = render_letter_attributes(outcome(status=400))
    assert attributes["ErrorCode"]["StringValue"] == "400"


def test_dead_letter_of_what_never_ran_tells_of_the_throttling() -> None:
    attributes = render_letter_attributes(replace(outcome(), response=None))
    assert attributes["ErrorCode"]["StringValue"] == "429"


def test_record_of_a_version_names_it() -> None:
    record = json.loads(render_record(replace(outcome(), function_arn=f"{ARN}:3"), MOMENT))
    assert record["requestContext"]["functionArn"] == f"{ARN}:3"


@pytest.mark.parametrize(
    ("arn", "url"),
    [
        (
            "arn:aws:sqs:eu-west-1:111111111111:q",
            "https://sqs.eu-west-1.amazonaws.com/111111111111/q",
        ),
        (
            "arn:aws-cn:sqs:cn-north-1:111111111111:q",
            "https://sqs.cn-north-1.amazonaws.com.cn/111111111111/q",
        ),
    ],
)
def test_queue_has_the_url_of_its_region(arn: str, url: str) -> None:
    assert queue_url(Arn.parse(arn)) == url


def test_object_key_is_by_day() -> None:
    key = object_key(f"{ARN}:prod", MOMENT, ID)
    assert key == f"aws/lambda/async/f/2026/01/02/2026-01-02T03.04.05-{ID}"
