"""What Lambda needs of the services that it sends to, for every AwsCaller that offers them."""

import pytest

from fakes_aws import FakeAws
from lamington.core.aws import Arn, AwsCaller, Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.errors import AwsError
from lamington.functions.destinations import (
    RETRIES_EXHAUSTED,
    Destinations,
    Outcome,
    Response,
    queue_url,
)

SCOPE = Scope(account_id="111111111111", region="eu-west-1")
FUNCTION = SCOPE.arn("lambda", "function:sign")
TRACE = "Root=1-6b0463ae-15f3d2fdb2d0002ff786a1fa;Parent=939b002ff786a1fb;Sampled=0"


@pytest.fixture(params=[FakeAws])
def aws(request: pytest.FixtureRequest) -> AwsCaller:
    made: AwsCaller = request.param()
    return made


def outcome(condition: str = RETRIES_EXHAUSTED) -> Outcome:
    return Outcome(
        function_arn=FUNCTION,
        request_id="11111111-2222-4333-8444-555555555555",
        condition=condition,
        invocations=3,
        payload=b'{"a": 1}',
        response=Response(payload=b'{"errorMessage":"no"}', function_error="Unhandled"),
        trace_id=TRACE,
    )


def destinations(aws: AwsCaller) -> Destinations:
    return Destinations(aws, ManualClock(), Ids())


async def messages(aws: AwsCaller, queue: str) -> list[dict[str, object]]:
    params = {
        "QueueUrl": queue_url(Arn.parse(queue)),
        "MaxNumberOfMessages": 10,
        "MessageAttributeNames": ["All"],
        "AttributeNames": ["All"],
    }
    found: list[dict[str, object]] = (await aws.call("sqs:ReceiveMessage", params, SCOPE))[
        "Messages"
    ]
    return found


async def test_queue_is_found_by_the_url_that_its_arn_gives(aws: AwsCaller) -> None:
    await aws.call("sqs:CreateQueue", {"QueueName": "failed"}, SCOPE)
    queue = SCOPE.arn("sqs", "failed")
    await destinations(aws).send_letter(queue, outcome())
    [message] = await messages(aws, queue)
    assert message["Body"] == '{"a": 1}'
    assert isinstance(message["MessageAttributes"], dict)
    assert set(message["MessageAttributes"]) == {"RequestID", "ErrorCode", "ErrorMessage"}
    assert isinstance(message["Attributes"], dict)
    assert message["Attributes"]["AWSTraceHeader"] == TRACE


async def test_topic_hands_on_the_letter_and_its_attributes(aws: AwsCaller) -> None:
    await aws.call("sqs:CreateQueue", {"QueueName": "read"}, SCOPE)
    queue = SCOPE.arn("sqs", "read")
    topic = (await aws.call("sns:CreateTopic", {"Name": "failed"}, SCOPE))["TopicArn"]
    subscription = {
        "TopicArn": topic,
        "Protocol": "sqs",
        "Endpoint": queue,
        "Attributes": {"RawMessageDelivery": "true"},
    }
    await aws.call("sns:Subscribe", subscription, SCOPE)
    await destinations(aws).send_letter(topic, outcome())
    [message] = await messages(aws, queue)
    assert message["Body"] == '{"a": 1}'
    assert isinstance(message["MessageAttributes"], dict)
    assert set(message["MessageAttributes"]) == {"RequestID", "ErrorCode", "ErrorMessage"}


async def test_bucket_takes_records_by_day(aws: AwsCaller) -> None:
    await aws.call("s3:CreateBucket", {"Bucket": "records"}, SCOPE)
    await destinations(aws).send_record("arn:aws:s3:::records", outcome())
    [found] = (await aws.call("s3:ListObjectsV2", {"Bucket": "records"}, SCOPE))["Contents"]
    assert found["Key"].startswith("aws/lambda/async/sign/2026/01/01/2026-01-01T00.00.00-")


async def test_bus_takes_a_record(aws: AwsCaller) -> None:
    await destinations(aws).send_record(SCOPE.arn("events", "event-bus/default"), outcome())


@pytest.mark.parametrize(
    "destination",
    [SCOPE.arn("sqs", "none"), SCOPE.arn("sns", "none"), "arn:aws:s3:::none", "no-arn"],
)
async def test_what_is_not_there_takes_nothing(aws: AwsCaller, destination: str) -> None:
    with pytest.raises(AwsError):
        await destinations(aws).send_record(destination, outcome())
