"""Asynchronous invocation through a running engine: real functions, real clients."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lamington.testing import RunningEngine, running_engine

ROLE = "arn:aws:iam::000000000000:role/r"

RECORDER = """
def handler(event, context):
    print("RECORD", __import__("json").dumps(event))
"""

LOOP = """
import os, boto3

client = boto3.client("lambda", endpoint_url=os.environ["AWS_ENDPOINT_URL"])

def handler(event, context):
    print("ROUND", event["round"], os.environ["_X_AMZN_TRACE_ID"])
    client.invoke(
        FunctionName=context.function_name,
        InvocationType="Event",
        Payload='{"round": %d}' % (event["round"] + 1),
    )
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    with running_engine() as running:
        yield running


def _create(engine: RunningEngine, name: str, text: str) -> Any:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as zipped:
        entry = zipfile.ZipInfo("app.py")
        entry.external_attr = 0o644 << 16
        zipped.writestr(entry, text)
    client = engine.client("lambda")
    client.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="app.handler",
        Role=ROLE,
        Timeout=30,
        Code={"ZipFile": written.getvalue()},
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    return client


def _messages(engine: RunningEngine, name: str, mark: str) -> list[str]:
    logs = engine.client("logs")
    try:
        found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [each["message"].strip() for each in found["events"] if each["message"].startswith(mark)]


def _eventually(read: Callable[[], list[str]], count: int) -> list[str]:
    for _ in range(300):
        found = read()
        if len(found) >= count:
            return found
        time.sleep(0.05)
    return read()


def test_result_of_an_event_goes_to_a_function(engine: RunningEngine) -> None:
    _create(engine, "recorder", RECORDER)
    client = _create(engine, "working", "def handler(event, context): return event['a'] + 1")
    recorder = "arn:aws:lambda:us-east-1:000000000000:function:recorder"
    shown = client.put_function_event_invoke_config(
        FunctionName="working",
        MaximumRetryAttempts=0,
        DestinationConfig={
            "OnSuccess": {"Destination": recorder},
            "OnFailure": {"Destination": recorder},
        },
    )
    assert shown["LastModified"].year >= 2026
    accepted = client.invoke(FunctionName="working", InvocationType="Event", Payload=b'{"a": 1}')
    assert (accepted["StatusCode"], accepted["Payload"].read()) == (202, b"")
    [message] = _eventually(lambda: _messages(engine, "recorder", "RECORD"), 1)
    record = json.loads(message.removeprefix("RECORD "))
    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["requestId"] == accepted["ResponseMetadata"]["RequestId"]
    assert record["responsePayload"] == 2

    failing = client.invoke(FunctionName="working", InvocationType="Event", Payload=b"{}")
    record = json.loads(
        _eventually(lambda: _messages(engine, "recorder", "RECORD"), 2)[1].removeprefix("RECORD ")
    )
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["requestId"] == failing["ResponseMetadata"]["RequestId"]
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorType"] == "KeyError"


def test_api_of_2014_hands_over_an_event(engine: RunningEngine) -> None:
    client = _create(engine, "old", RECORDER)
    answer = client.invoke_async(FunctionName="old", InvokeArgs=b'{"old": true}')
    assert answer["Status"] == 202
    assert _eventually(lambda: _messages(engine, "old", "RECORD"), 1) == ['RECORD {"old": true}']


def test_function_that_invokes_itself_is_stopped(engine: RunningEngine) -> None:
    client = _create(engine, "loop", LOOP)
    client.invoke(FunctionName="loop", InvocationType="Event", Payload=b'{"round": 1}')
    rounds = _eventually(lambda: _messages(engine, "loop", "ROUND"), 16)
    time.sleep(0.5)
    rounds = _messages(engine, "loop", "ROUND")
    assert len(rounds) == 16
    assert rounds[-1].startswith("ROUND 16 Root=1-")
    assert len({each.split("Root=")[1][:35] for each in rounds}) == 1, "one trace"
    client.put_function_recursion_config(FunctionName="loop", RecursiveLoop="Allow")
    shown = client.get_function_recursion_config(FunctionName="loop")
    assert shown["RecursiveLoop"] == "Allow"


def test_event_that_was_being_run_when_the_engine_ended_is_run_by_the_next(
    tmp_path: Path,
) -> None:
    with running_engine(tmp_path) as first:
        client = _create(
            first, "slow", "import time\ndef handler(e, c): time.sleep(1.5); print('RAN')"
        )
        client.invoke(FunctionName="slow", InvocationType="Event")
        time.sleep(0.3)
    with running_engine(tmp_path) as second:
        assert _eventually(lambda: _messages(second, "slow", "RAN"), 1) == ["RAN"]
