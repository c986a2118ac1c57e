"""Streamed invocations by boto3, which parses the event stream with its own parser."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lamington.testing import RunningEngine
from url_world import make_function

STREAMING = """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  stream.setContentType("text/plain");
  for (let i = 0; i < 3; i++) {
    stream.write("piece " + i + ";");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (event.fail) throw new Error("half way");
  stream.end();
});
"""
WHOLE = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("no")
    return {"got": event, "id": context.aws_request_id}
"""


@pytest.fixture(scope="module")
def engine(live_engine: RunningEngine) -> RunningEngine:
    make_function(live_engine, "whole", {"app.py": WHOLE})
    make_function(live_engine, "pieces", {"app.js": STREAMING}, Runtime="nodejs20.x", Timeout=10)
    return live_engine


def invoke(engine: RunningEngine, name: str, **more: Any) -> tuple[Any, bytes, dict[str, Any]]:
    """The answer, all that was streamed, and what the last event says."""
    answer = engine.client("lambda").invoke_with_response_stream(FunctionName=name, **more)
    events = list(answer["EventStream"])
    assert [*events[-1]] == ["InvokeComplete"]
    chunks = [event["PayloadChunk"]["Payload"] for event in events[:-1]]
    return answer, b"".join(chunks), events[-1]["InvokeComplete"]


def test_function_that_does_not_stream_answers_in_one_chunk(engine: RunningEngine) -> None:
    answer, body, complete = invoke(engine, "whole", Payload=b'{"a": 1}', LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert json.loads(body) == {"got": {"a": 1}, "id": request_id}
    assert answer["ExecutedVersion"] == "$LATEST"
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-trace-id"].startswith("Root=1-")
    assert "ErrorCode" not in complete
    assert complete["LogResult"]


def test_failure_is_told_by_the_last_event(engine: RunningEngine) -> None:
    _, body, complete = invoke(engine, "whole", Payload=b'{"fail": true}')
    assert body == b""
    assert complete["ErrorCode"] == "Unhandled"
    assert json.loads(complete["ErrorDetails"])["errorType"] == "ValueError"


def test_function_streams_to_the_client(engine: RunningEngine) -> None:
    _, body, complete = invoke(engine, "pieces", Payload=b"{}")
    assert body == b"piece 0;piece 1;piece 2;"
    assert complete == {}


def test_failure_in_mid_stream_keeps_what_was_sent(engine: RunningEngine) -> None:
    _, body, complete = invoke(engine, "pieces", Payload=b'{"fail": true}')
    assert body.startswith(b"piece 0;")
    assert "half way" in complete["ErrorDetails"]


def test_streamed_answer_of_a_plain_invoke_is_whole(engine: RunningEngine) -> None:
    answer = engine.client("lambda").invoke(FunctionName="pieces", Payload=b"{}")
    assert answer["Payload"].read() == b"piece 0;piece 1;piece 2;"


def test_dry_run_answers_204(engine: RunningEngine) -> None:
    answer = engine.client("lambda").invoke_with_response_stream(
        FunctionName="whole", InvocationType="DryRun"
    )
    answer["EventStream"].close()
    assert answer["StatusCode"] == 204


def test_unknown_function_is_refused_before_any_event(engine: RunningEngine) -> None:
    with pytest.raises(ClientError) as refused:
        engine.client("lambda").invoke_with_response_stream(FunctionName="nobody")
    assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"
