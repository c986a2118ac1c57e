"""Asynchronous invocation: retries, ages, ends and what the next start finds."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from event_world import ARN, FAILED, ID, QUEUE, Answer, Event, EventWorld, event_world
from lamington.core.errors import AwsError
from lamington.functions import queue as queue_module
from lamington.functions.entities import (
    RecursiveInvocationException,
    ResourceNotFoundException,
    ServiceException,
    TooManyRequestsException,
)
from lamington.functions.event_store import AcceptedEvent
from lamington.functions.queue import ATTEMPTS_MAX, EVENTS_MAX, EventSettings

THROTTLED = TooManyRequestsException("Rate Exceeded.")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EventWorld]:
    async with event_world(tmp_path) as made:
        yield made


async def test_event_is_run_once_and_forgotten(world: EventWorld) -> None:
    world.queue.put(Event())
    assert (len(world.queue), world.rows()) == (1, 1), "committed before anything is run"
    await world.pass_time(0)
    [(_, event)] = world.attempts
    assert (event.payload, event.request_id) == (b'{"a": 1}', ID)
    assert (len(world.queue), world.rows()) == (0, 0)
    assert world.count("AsyncEventsReceived") == 1
    assert world.count("AsyncEventsDropped") == 0


async def test_failing_function_is_run_three_times_with_one_request_id(world: EventWorld) -> None:
    world.answer = FAILED
    world.queue.put(Event())
    await world.pass_time(1000)
    assert world.times() == [0, 60, 180]
    assert {event.request_id for _, event in world.attempts} == {ID}
    assert len({event.trace_id for _, event in world.attempts}) == 1
    assert (len(world.queue), world.rows()) == (0, 0)
    assert world.count("AsyncEventsDropped") == 1


@pytest.mark.parametrize(("retries", "times"), [(0, [0]), (1, [0, 60]), (2, [0, 60, 180])])
async def test_retries_are_as_many_as_configured(
    world: EventWorld, retries: int, times: list[float]
) -> None:
    world.answer = FAILED
    world.default = EventSettings(retry_attempts_max=retries)
    world.queue.put(Event())
    await world.pass_time(1000)
    assert world.times() == times


async def test_configuration_is_that_of_the_qualifier_invoked(world: EventWorld) -> None:
    world.answer = FAILED
    world.settings[f"{ARN}:prod"] = EventSettings(retry_attempts_max=0)
    world.queue.put(Event(function_arn=f"{ARN}:prod"))
    world.queue.put(Event())
    await world.pass_time(1000)
    invoked = [event.function_arn for _, event in world.attempts]
    assert (invoked.count(ARN), invoked.count(f"{ARN}:prod")) == (3, 1)


@pytest.mark.parametrize("refusal", [THROTTLED, ServiceException("broken")])
async def test_what_lambda_refuses_is_tried_ever_later_and_costs_no_attempt(
    world: EventWorld, refusal: AwsError
) -> None:
    world.answer = refusal
    world.queue.put(Event())
    await world.pass_time(1200)
    assert world.times() == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111]
    world.answer = FAILED
    await world.pass_time(1000)
    assert world.times()[12:] == [1411, 1471, 1591]


async def test_throttled_event_is_given_up_at_its_age(world: EventWorld) -> None:
    world.answer = THROTTLED
    world.default = EventSettings(event_age_max_s=60, on_failure=QUEUE)
    world.queue.put(Event())
    await world.pass_time(100)
    assert world.times() == [0, 1, 3, 7, 15, 31]
    [message] = world.messages()
    record = json.loads(message["Body"])
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in record


async def test_retry_beyond_the_age_is_not_made_and_the_last_response_is_told(
    world: EventWorld,
) -> None:
    world.answer = FAILED
    world.default = EventSettings(event_age_max_s=90, on_failure=QUEUE)
    world.queue.put(Event())
    await world.pass_time(1000)
    assert world.times() == [0, 60]
    record = json.loads(world.messages()[0]["Body"])
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responsePayload"] == {"errorMessage": "no", "errorType": "E"}


async def test_zero_reserved_concurrency_goes_straight_to_the_destination(
    world: EventWorld,
) -> None:
    world.default = EventSettings(is_disabled=True, on_failure=QUEUE)
    world.queue.put(Event())
    await world.pass_time(0)
    assert world.attempts == []
    record = json.loads(world.messages()[0]["Body"])
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in record


async def test_event_of_a_deleted_function_is_dropped_and_said(world: EventWorld) -> None:
    world.answer = FAILED
    world.queue.put(Event())
    await world.pass_time(10)
    world.default = None
    await world.pass_time(100)
    assert (len(world.attempts), world.rows()) == (1, 0)
    assert world.told[-1] == (
        "AsyncEventsDropped",
        1,
        "an event is dropped: its function is gone",
    )


async def test_function_deleted_between_lookup_and_attempt_drops_the_event(
    world: EventWorld,
) -> None:
    world.answer = ResourceNotFoundException("Function not found: x")
    world.queue.put(Event())
    await world.pass_time(0)
    assert world.rows() == 0
    assert world.count("AsyncEventsDropped") == 1


async def test_recursive_invocation_is_not_tried_again(world: EventWorld) -> None:
    world.answer = RecursiveInvocationException("loop")
    world.default = EventSettings(on_failure=QUEUE)
    world.queue.put(Event())
    await world.pass_time(1000)
    assert len(world.attempts) == 1
    record = json.loads(world.messages()[0]["Body"])
    assert record["responsePayload"]["errorType"] == "RecursiveInvocationException"


async def test_success_goes_to_its_destination(world: EventWorld) -> None:
    world.default = EventSettings(on_success=QUEUE, on_failure="arn:aws:sns:us-east-1:1:none")
    world.queue.put(Event())
    await world.pass_time(0)
    [message] = world.messages()
    assert json.loads(message["Body"])["requestContext"]["condition"] == "Success"
    assert "Lineage=" in message["Attributes"]["AWSTraceHeader"]
    assert world.rows() == 0


async def test_failure_goes_to_the_destination_and_to_the_dead_letter_queue(
    world: EventWorld,
) -> None:
    world.answer = FAILED
    topic = "arn:aws:sns:us-east-1:111111111111:t"
    world.aws.topics[topic] = []
    world.default = EventSettings(retry_attempts_max=0, on_failure=topic, dead_letter=QUEUE)
    world.queue.put(Event())
    await world.pass_time(0)
    record = json.loads(world.aws.published[0]["Message"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    [letter] = world.messages()
    assert letter["Body"] == '{"a": 1}'
    assert letter["MessageAttributes"]["ErrorMessage"]["StringValue"] == "no"


async def test_destination_that_fails_is_tried_three_times_and_then_said(
    world: EventWorld,
) -> None:
    world.answer = FAILED
    world.aws.failing["sqs:SendMessage"] = ServiceException("the queue is down")
    world.default = EventSettings(retry_attempts_max=0, on_failure=QUEUE, dead_letter=QUEUE)
    world.queue.put(Event())
    await world.pass_time(100)
    assert len(world.aws.called) == 6
    assert world.count("DestinationDeliveryFailures") == 1
    assert world.count("DeadLetterErrors") == 1
    assert any(
        text == f"the record of {ID} could not be sent to {QUEUE}: the queue is down"
        for _, _, text in world.told
    )
    assert len(world.attempts) == 1
    assert world.rows() == 0


async def test_only_the_target_that_failed_is_sent_to_again(world: EventWorld) -> None:
    world.answer = FAILED
    topic = "arn:aws:sns:us-east-1:111111111111:t"
    world.default = EventSettings(retry_attempts_max=0, on_failure=topic, dead_letter=QUEUE)
    world.queue.put(Event())
    await world.pass_time(0)
    world.aws.topics[topic] = []
    await world.pass_time(2)
    assert (len(world.messages()), len(world.aws.published)) == (1, 1)
    assert world.count("DestinationDeliveryFailures") == 0


async def test_next_start_keeps_the_times_and_the_count_of_attempts(world: EventWorld) -> None:
    world.answer = FAILED
    world.default = EventSettings(on_failure=QUEUE)
    world.queue.put(Event())
    await world.pass_time(20)
    await world.reopen()
    await world.pass_time(100)
    await world.reopen()
    await world.pass_time(1000)
    assert world.times() == [0, 60, 180]
    record = json.loads(world.messages()[0]["Body"])
    assert record["requestContext"]["approximateInvokeCount"] == 3


async def test_age_goes_on_while_the_engine_is_down(world: EventWorld) -> None:
    world.answer = THROTTLED
    world.default = EventSettings(event_age_max_s=3600, on_failure=QUEUE)
    world.queue.put(Event())
    await world.pass_time(10)
    await world.queue.close()
    await world.pass_time(7200)
    world.open()
    await world.queue.start()
    before = len(world.attempts)
    await world.pass_time(0)
    assert len(world.attempts) == before
    record = json.loads(world.messages()[0]["Body"])
    assert record["requestContext"]["condition"] == "EventAgeExceeded"


async def test_closing_in_an_attempt_leaves_the_event_for_the_next_start(
    world: EventWorld,
) -> None:
    gate = asyncio.Event()

    async def slow(event: AcceptedEvent) -> Answer:
        await gate.wait()
        return Answer()

    world.answer = slow
    world.queue.put(Event())
    await world.pass_time(0)
    await world.reopen()
    gate.set()
    await world.pass_time(0)
    assert len(world.attempts) == 2
    assert world.rows() == 0


async def test_what_is_left_to_be_sent_is_sent_after_a_restart_without_another_run(
    world: EventWorld,
) -> None:
    world.aws.failing["sqs:SendMessage"] = ServiceException("down")
    world.default = EventSettings(on_success=QUEUE)
    world.queue.put(Event())
    await world.pass_time(0)
    del world.aws.failing["sqs:SendMessage"]
    await world.reopen()
    await world.pass_time(5)
    assert (len(world.attempts), len(world.messages())) == (1, 1)


async def test_changed_settings_hold_for_events_that_wait(world: EventWorld) -> None:
    world.answer = FAILED
    world.queue.put(Event())
    await world.pass_time(10)
    world.default = EventSettings(retry_attempts_max=1, on_failure=QUEUE)
    await world.pass_time(1000)
    assert (world.times(), len(world.messages())) == ([0, 60], 1)


async def test_one_function_leaves_room_for_the_others(world: EventWorld) -> None:
    gate = asyncio.Event()

    async def slow(event: AcceptedEvent) -> Answer:
        await gate.wait()
        return Answer()

    world.answer = slow
    for _ in range(1000):
        world.queue.put(Event())
    await world.pass_time(0)
    assert len(world.attempts) == ATTEMPTS_MAX // 2
    world.queue.put(Event(function_arn=f"{ARN}-other"))
    await world.pass_time(0)
    assert world.attempts[-1][1].function_arn == f"{ARN}-other"
    gate.set()
    for _ in range(200):
        await world.pass_time(0)
    assert (len(world.attempts), len(world.queue), world.rows()) == (1001, 0, 0)


async def test_function_that_is_throttled_is_not_overrun(world: EventWorld) -> None:
    running = 0
    refused = 0

    async def reserved(event: AcceptedEvent) -> Answer:
        nonlocal running, refused
        if running:
            refused += 1
            raise THROTTLED
        running += 1
        await world.clock.sleep(0.01)
        running -= 1
        return Answer()

    world.answer = reserved
    for _ in range(300):
        world.queue.put(Event())
    for _ in range(400):
        await world.pass_time(0.5)
    assert (len(world.queue), world.rows()) == (0, 0)
    assert refused < 300


async def test_function_that_takes_nothing_is_asked_once_a_second_at_most(
    world: EventWorld,
) -> None:
    world.answer = THROTTLED
    for _ in range(1000):
        world.queue.put(Event())
    await world.pass_time(0)
    first = len(world.attempts)
    assert first <= ATTEMPTS_MAX
    await world.pass_time(30)
    assert len(world.attempts) - first <= 32


async def test_too_many_events_are_refused(
    world: EventWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "EVENTS_MAX_BYTES", 20)
    world.queue.put(Event())
    world.queue.put(Event())
    with pytest.raises(TooManyRequestsException, match=r"^Rate Exceeded\.$") as refused:
        world.queue.put(Event())
    assert refused.value.members["Reason"] == "CallerRateLimitExceeded"
    assert refused.value.hint == "2 events of 16 bytes wait to be run"
    assert world.rows() == 2
    assert EVENTS_MAX >= 10_000


async def test_attempt_that_breaks_loses_nothing(
    world: EventWorld, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(event: AcceptedEvent) -> Answer:
        raise OSError("no more files")

    world.answer = broken
    world.queue.put(Event())
    await world.pass_time(0)
    assert "could not be run" in caplog.text
    world.answer = Answer()
    await world.pass_time(300)
    assert (len(world.attempts), world.rows()) == (2, 0)


async def test_event_without_a_trace_has_one_root_in_all_attempts(world: EventWorld) -> None:
    world.answer = FAILED
    world.queue.put(Event(trace_id="", request_id=""))
    await world.pass_time(1000)
    [trace] = {event.trace_id for _, event in world.attempts}
    assert trace.startswith("Root=1-")
    assert len({event.request_id for _, event in world.attempts}) == 1


async def test_event_that_the_disk_does_not_take_is_refused(world: EventWorld) -> None:
    [pages] = world.store.database.execute("PRAGMA page_count").fetchone()
    world.store.database.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(ServiceException, match="cannot be kept: database or disk is full"):
        world.queue.put(Event(payload=b'"' + b"x" * 100_000 + b'"'))
    assert (len(world.queue), world.rows()) == (0, 0)
    world.store.database.execute(f"PRAGMA max_page_count={pages + 1000}")
    world.queue.put(Event(payload=b'"' + b"x" * 100_000 + b'"'))
    await world.pass_time(1)
    assert len(world.attempts) == 1


async def test_delivery_to_a_service_that_is_not_emulated_is_given_up_and_said(
    world: EventWorld,
) -> None:
    world.default = EventSettings(on_success="arn:aws:kafka:us-east-1:111111111111:cluster/c")
    world.queue.put(Event())
    await world.pass_time(60)
    assert world.rows() == 0
    assert world.count("DestinationDeliveryFailures") == 1
    assert "The destination ARN arn:aws:kafka" in world.told[-1][2]


async def test_events_of_one_function_are_begun_in_the_order_they_came(world: EventWorld) -> None:
    for number in range(200):
        world.queue.put(Event(payload=str(number).encode()))
    await world.pass_time(10)
    begun = [int(event.payload) for _, event in world.attempts]
    assert begun == list(range(200))


async def test_next_start_takes_up_events_in_the_order_they_came(world: EventWorld) -> None:
    for number in range(200):
        world.queue.put(Event(payload=str(number).encode()))
    await world.reopen()
    assert len(world.queue) == 200
    await world.pass_time(10)
    assert [int(event.payload) for _, event in world.attempts] == list(range(200))


async def test_events_accepted_before_the_start_are_not_run_twice(world: EventWorld) -> None:
    world.queue.put(Event(payload=b"1"))
    await world.queue.close()
    world.open()
    world.queue.put(Event(payload=b"2"))
    await world.queue.start()
    await world.pass_time(10)
    assert sorted(event.payload for _, event in world.attempts) == [b"1", b"2"]
