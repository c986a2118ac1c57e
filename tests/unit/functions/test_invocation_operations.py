"""The Lambda API's Invoke: what goes to the invoker, and what comes back."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import ARN, SCOPE, FakeStream, LambdaWorld, lambda_world
from lamington.core.http import Headers
from lamington.functions.entities import (
    InvalidParameterValueException,
    InvalidRequestContentException,
    RequestTooLargeException,
    ResourceNotFoundException,
    UnsupportedMediaTypeException,
    ValidationException,
)
from lamington.functions.invoke import InvocationResult
from lamington.functions.operations.invocations import InvocationOperations


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LambdaWorld]:
    with lambda_world(tmp_path) as made:
        yield made


async def test_payload_goes_through_untouched(world: LambdaWorld) -> None:
    await world.create()
    answer = await world.call("Invoke", FunctionName="f", Payload=b'{ "a" : 1 }')
    [invocation] = world.invoker.invocations
    assert (invocation.payload, invocation.function_arn) == (b'{ "a" : 1 }', f"{ARN}:f")
    assert answer == {
        "StatusCode": 200,
        "Payload": b'"done"',
        "ExecutedVersion": "$LATEST",
        "ResponseMetadata": {"RequestId": "id-1"},
    }


@pytest.mark.parametrize(
    ("name", "qualifier", "arn"),
    [
        ("f", "$LATEST", f"{ARN}:f:$LATEST"),
        ("f:prod", None, f"{ARN}:f:prod"),
        (f"{ARN}:f", "1", f"{ARN}:f:1"),
        (f"{ARN}:f:1", "1", f"{ARN}:f:1"),
    ],
)
async def test_arn_is_as_called(
    world: LambdaWorld, name: str, qualifier: str | None, arn: str
) -> None:
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="prod", FunctionVersion="1")
    await world.call("Invoke", FunctionName=name, Qualifier=qualifier)
    assert world.invoker.invocations[0].function_arn == arn


async def test_error_and_tail_are_shown(world: LambdaWorld) -> None:
    await world.create()
    world.invoker.result = InvocationResult(
        status=200, payload=b"{}", function_error="Unhandled", log_tail=b"START\n"
    )
    answer = await world.call("Invoke", FunctionName="f", LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    assert base64.b64decode(answer["LogResult"]) == b"START\n"
    assert world.invoker.invocations[0].log_tail


async def test_event_shows_no_version(world: LambdaWorld) -> None:
    await world.create()
    world.invoker.result = InvocationResult(status=202, request_id="id-2")
    context = base64.b64encode(b"{}").decode()
    answer = await world.call(
        "Invoke", FunctionName="f", InvocationType="Event", LogType="Tail", ClientContext=context
    )
    assert answer == {
        "StatusCode": 202,
        "Payload": b"",
        "ResponseMetadata": {"RequestId": "id-2"},
    }
    [invocation] = world.invoker.invocations
    assert (invocation.client_context, invocation.log_tail) == ("", False)


async def test_dry_run_runs_nothing(world: LambdaWorld) -> None:
    await world.create()
    answer = await world.call("Invoke", FunctionName="f", InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    assert world.invoker.invocations == []


async def test_client_context_is_decoded(world: LambdaWorld) -> None:
    await world.create()
    context = base64.b64encode(b'{"custom": {}}').decode()
    await world.call("Invoke", FunctionName="f", ClientContext=context)
    assert world.invoker.invocations[0].client_context == '{"custom": {}}'


@pytest.mark.parametrize("context", ["no base64!", base64.b64encode(b"no json").decode()])
async def test_client_context_is_base64_of_json(world: LambdaWorld, context: str) -> None:
    await world.create()
    with pytest.raises(InvalidParameterValueException):
        await world.call("Invoke", FunctionName="f", ClientContext=context)


async def test_unknown_function_is_told_before_a_bad_payload(world: LambdaWorld) -> None:
    with pytest.raises(ResourceNotFoundException, match=f"^Function not found: {ARN}:f$"):
        await world.call("Invoke", FunctionName="f", Payload=b"{")


@pytest.mark.parametrize(("kind", "limit"), [("RequestResponse", 6_291_456), ("Event", 1_048_576)])
async def test_payload_has_a_largest_size(world: LambdaWorld, kind: str, limit: int) -> None:
    await world.create()
    payload = b'"' + b"x" * (limit - 2) + b'"'
    await world.call("Invoke", FunctionName="f", InvocationType=kind, Payload=payload)
    text = (
        f"{limit + 1} byte payload is too large for the {kind} invocation type"
        f" (limit {limit} bytes)"
    )
    with pytest.raises(RequestTooLargeException, match=f"^{re.escape(text)}$"):
        await world.call("Invoke", FunctionName="f", InvocationType=kind, Payload=payload + b" ")


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"hello", "Unrecognized token 'hello': was expecting (JSON String, Number, Array"),
        (b"<a/>", "Unexpected character ('<' (code 60)): expected a valid value (JSON String"),
        (b'{"a": ', "Unexpected end-of-input"),
        (b"\xff", "Unexpected character"),
        (b"{'a': 1}", "Unexpected character (''' (code 39)): was expecting double-quote to"),
        (b"[" * 5000, "Unexpected"),
    ],
)
async def test_payload_is_json(world: LambdaWorld, payload: bytes, complaint: str) -> None:
    await world.create()
    start = "Could not parse request body into json: Could not parse payload into json: "
    with pytest.raises(InvalidRequestContentException, match=re.escape(start + complaint)):
        await world.call("Invoke", FunctionName="f", Payload=payload)


@pytest.mark.parametrize("payload", [b"1e400", b'"\\ud800"'])
async def test_payload_may_be_what_python_cannot_hold(world: LambdaWorld, payload: bytes) -> None:
    await world.create()
    await world.call("Invoke", FunctionName="f", Payload=payload)
    assert world.invoker.invocations[-1].payload == payload


async def test_invocation_type_is_one_of_three(world: LambdaWorld) -> None:
    await world.create()
    with pytest.raises(
        ValidationException,
        match=r"Value 'Later' at 'invocationType' failed .* \[Event, RequestResponse, DryRun\]$",
    ):
        await world.call("Invoke", FunctionName="f", InvocationType="Later")


def metadata(**headers: str) -> dict[str, Any]:
    """What the dispatcher tells of a request with these headers."""
    fields = Headers.of({name.replace("_", "-"): value for name, value in headers.items()})
    return {"HTTPHeaders": fields, "SourceIp": "127.0.0.1"}


async def test_trace_of_the_request_goes_on_and_is_answered(world: LambdaWorld) -> None:
    await world.create()
    sent = "Root=1-67891233-abcdef012345678912345678"
    answer = await world.call(
        "Invoke", FunctionName="f", RequestMetadata=metadata(x_amzn_trace_id=sent)
    )
    assert world.invoker.invocations[0].trace_id == sent
    assert answer["ResponseMetadata"]["HTTPHeaders"] == {"X-Amzn-Trace-Id": sent}


async def test_request_without_a_trace_gets_one(world: LambdaWorld) -> None:
    await world.create()
    operations = InvocationOperations(world.registry, world.invoker, lambda: "Root=1-a-b")
    await operations.invoke({"FunctionName": "f"}, SCOPE)
    assert world.invoker.invocations[0].trace_id == "Root=1-a-b"


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/octet-stream",
        "application/vnd.api+json",
        "application/x-amz-json-1.1",
        "application/x-www-form-urlencoded",
    ],
)
async def test_body_may_be_of_a_type_that_clients_say(world: LambdaWorld, kind: str) -> None:
    await world.create()
    sent = metadata(content_type=kind)
    answer = await world.call("Invoke", FunctionName="f", Payload=b"{}", RequestMetadata=sent)
    assert answer["StatusCode"] == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data"])
async def test_body_of_another_type_is_refused(world: LambdaWorld, kind: str) -> None:
    await world.create()
    sent = metadata(content_type=kind)
    with pytest.raises(UnsupportedMediaTypeException):
        await world.call("Invoke", FunctionName="f", Payload=b"{}", RequestMetadata=sent)
    assert (await world.call("Invoke", FunctionName="f", RequestMetadata=sent))["StatusCode"] == 200


@pytest.mark.parametrize("member", ["TenantId", "DurableExecutionName"])
async def test_what_no_function_has_is_refused(world: LambdaWorld, member: str) -> None:
    await world.create()
    with pytest.raises(InvalidParameterValueException, match="Remove the"):
        await world.call("Invoke", FunctionName="f", **{member: "a"})


async def test_client_context_has_a_largest_size(world: LambdaWorld) -> None:
    await world.create()
    context = base64.b64encode(b'"' + b"x" * 2700 + b'"').decode()
    with pytest.raises(InvalidRequestContentException, match="3583 bytes"):
        await world.call("Invoke", FunctionName="f", ClientContext=context)


# Streamed


async def streamed(world: LambdaWorld, **params: Any) -> tuple[dict[str, Any], list[Any]]:
    answer = await world.call("InvokeWithResponseStream", FunctionName="f", **params)
    return answer, [event async for event in answer["EventStream"]]


async def test_stream_is_passed_on_in_pieces(world: LambdaWorld) -> None:
    await world.create()
    world.invoker.streamed = FakeStream([b"a", b"b"], "text/plain")
    answer, events = await streamed(world, Payload=b'{"a": 1}')
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert answer["ResponseMetadata"]["RequestId"] == "id-1"
    assert events == [
        {"PayloadChunk": {"Payload": b"a"}},
        {"PayloadChunk": {"Payload": b"b"}},
        {"InvokeComplete": {}},
    ]
    assert world.invoker.invocations[0].payload == b'{"a": 1}'


async def test_end_of_a_stream_tells_of_the_error_and_the_log(world: LambdaWorld) -> None:
    await world.create()
    world.invoker.streamed = FakeStream([b"a"], failure="Unhandled")
    _, events = await streamed(world, LogType="Tail")
    assert events[-1] == {
        "InvokeComplete": {
            "ErrorCode": "Unhandled",
            "ErrorDetails": '{"errorType":"Error","errorMessage":"no"}',
            "LogResult": base64.b64encode(b"START\n").decode(),
        }
    }


async def test_dry_run_streams_nothing(world: LambdaWorld) -> None:
    await world.create()
    answer = await world.call("InvokeWithResponseStream", FunctionName="f", InvocationType="DryRun")
    assert answer == {"StatusCode": 204}
    assert world.invoker.invocations == []


async def test_event_cannot_be_streamed(world: LambdaWorld) -> None:
    await world.create()
    with pytest.raises(ValidationException, match=r"\[RequestResponse, DryRun\]$"):
        await world.call("InvokeWithResponseStream", FunctionName="f", InvocationType="Event")
