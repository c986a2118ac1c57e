"""What is sent when an asynchronous invocation has ended: records and dead letters.

Everything goes through AwsCaller. Left to others: when to send, and what happens where a service
does not take it (`queue`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from lamington.core.aws import Arn, AwsCaller, Params, Scope
from lamington.core.clock import Clock, Ids
from lamington.core.errors import LamingtonError
from lamington.core.http import Headers
from lamington.functions.entities import LATEST, ServiceException
from lamington.functions.tracing import TRACE_HEADER

SUCCESS = "Success"
RETRIES_EXHAUSTED = "RetriesExhausted"
EVENT_AGE_EXCEEDED = "EventAgeExceeded"
ZERO_RESERVED_CONCURRENCY = "ZeroReservedConcurrency"

DESTINATION_SERVICES = frozenset({"sqs", "sns", "lambda", "events", "s3"})
ERROR_MESSAGE_MAX_BYTES = 1024

_DECODER = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the last attempt came to: the function's own answer, or how Lambda refused to run it.

    `status` is 200 for every answer of the function; `payload` is its bytes.
    """

    payload: bytes
    function_error: str = ""
    executed_version: str = ""
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an asynchronous invocation ended; `response` is None where the function never ran.

    `function_arn` is as invoked; `trace_id` is the trace header that goes on with the record.
    """

    function_arn: str
    request_id: str
    condition: str
    invocations: int
    payload: bytes
    response: Response | None
    trace_id: str

    @property
    def qualified_arn(self) -> str:
        """The ARN as records have it: with a qualifier always."""
        if self.function_arn.count(":") > 6:
            return self.function_arn
        return f"{self.function_arn}:{LATEST}"


def render_record(outcome: Outcome, moment: datetime) -> bytes:
    """The record of an invocation that destinations get.

    AWS: Lambda developer guide, destinations; recorded for SQS.
    """
    context: dict[str, Any] = {
        "requestId": outcome.request_id,
        "functionArn": outcome.qualified_arn,
        "condition": outcome.condition,
        "approximateInvokeCount": outcome.invocations,
    }
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": moment.astimezone(UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "requestContext": context,
        "requestPayload": _embedded(outcome.payload or b"{}"),
    }
    response = outcome.response
    if response is not None:
        record["responseContext"] = {
            "statusCode": response.status,
            "executedVersion": response.executed_version or LATEST,
        }
        if response.function_error:
            record["responseContext"]["functionError"] = response.function_error
        record["responsePayload"] = _embedded(response.payload or b"null")
    return msgspec.json.encode(record)


def render_letter_attributes(outcome: Outcome) -> dict[str, Params]:
    """The message attributes of a dead letter, as SQS and SNS take them.

    AWS: RequestID, ErrorCode and ErrorMessage with the first 1 KB of the error's message.
    """
    response = outcome.response
    status, message = (
        (200, _error_message(response.payload))
        if response is not None
        else (429, _WITHOUT_RESPONSE.get(outcome.condition, outcome.condition))
    )
    if response is not None and response.status != 200:
        status = response.status
    return {
        "RequestID": {"DataType": "String", "StringValue": outcome.request_id},
        "ErrorCode": {"DataType": "Number", "StringValue": str(status)},
        "ErrorMessage": {"DataType": "String", "StringValue": message or "null"},
    }


_WITHOUT_RESPONSE: Mapping[str, str] = {
    ZERO_RESERVED_CONCURRENCY: "Rate Exceeded.",
    EVENT_AGE_EXCEEDED: "Rate Exceeded.",
}


class Destinations:
    """Sends records and dead letters; raises the AwsError of a service that does not take one."""

    def __init__(self, caller: AwsCaller, clock: Clock, ids: Ids) -> None:
        self._caller = caller
        self._clock = clock
        self._ids = ids

    async def send_record(self, destination_arn: str, outcome: Outcome) -> None:
        """Send the record of an invocation to its destination.

        AWS: SQS, SNS, Lambda and EventBridge; S3 takes failures.
        """
        arn = _parse(destination_arn)
        moment = self._clock.now()
        record = render_record(outcome, moment)
        match arn.service:
            case "sqs":
                await self._send_message(arn, record.decode(), {}, outcome.trace_id)
            case "sns":
                await self._publish(destination_arn, record.decode(), {})
            case "lambda":
                await self._invoke(destination_arn, record, outcome.trace_id)
            case "events":
                await self._put_event(destination_arn, record, outcome, moment)
            case "s3":
                await self._put_object(arn, record, outcome, moment)
            case _:
                raise ServiceException(f"The destination ARN {destination_arn} is invalid.")

    async def send_letter(self, target_arn: str, outcome: Outcome) -> None:
        """Send the event of an invocation that failed to its dead-letter queue or topic."""
        arn = _parse(target_arn)
        text = (outcome.payload or b"{}").decode("utf-8", "replace")
        attributes = render_letter_attributes(outcome)
        match arn.service:
            case "sqs":
                await self._send_message(arn, text, attributes, outcome.trace_id)
            case "sns":
                await self._publish(target_arn, text, attributes)
            case _:
                raise ServiceException(f"The dead-letter target {target_arn} is invalid.")

    async def _send_message(
        self, arn: Arn, text: str, attributes: Mapping[str, Params], trace_id: str
    ) -> None:
        scope = _scope_of(arn)
        params: dict[str, Any] = {"QueueUrl": queue_url(arn), "MessageBody": text}
        if attributes:
            params["MessageAttributes"] = attributes
        if trace_id:
            params["MessageSystemAttributes"] = {
                "AWSTraceHeader": {"DataType": "String", "StringValue": trace_id}
            }
        await self._caller.call("sqs:SendMessage", params, scope)

    async def _publish(self, topic: str, text: str, attributes: Mapping[str, Params]) -> None:
        params: dict[str, Any] = {"TopicArn": topic, "Message": text}
        if attributes:
            params["MessageAttributes"] = attributes
        await self._caller.call("sns:Publish", params, _scope_of(_parse(topic)))

    async def _invoke(self, function_arn: str, record: bytes, trace_id: str) -> None:
        params = {
            "FunctionName": function_arn,
            "InvocationType": "Event",
            "Payload": record,
            "RequestMetadata": {
                "HTTPHeaders": Headers([(TRACE_HEADER, trace_id)] if trace_id else []),
                "SourceIp": "127.0.0.1",
            },
        }
        await self._caller.call("lambda:Invoke", params, _scope_of(_parse(function_arn)))

    async def _put_event(
        self, bus_arn: str, record: bytes, outcome: Outcome, moment: datetime
    ) -> None:
        result = "Success" if outcome.condition == SUCCESS else "Failure"
        entry = {
            "Time": moment,
            "Source": "lambda",
            "Resources": [bus_arn, outcome.qualified_arn],
            "DetailType": f"Lambda Function Invocation Result - {result}",
            "Detail": record.decode(),
            "EventBusName": bus_arn,
        }
        if outcome.trace_id:
            entry["TraceHeader"] = outcome.trace_id
        answer = await self._caller.call(
            "events:PutEvents", {"Entries": [entry]}, _scope_of(_parse(bus_arn))
        )
        if answer.get("FailedEntryCount"):
            [failed] = answer["Entries"]
            raise ServiceException(f"{failed.get('ErrorCode')}: {failed.get('ErrorMessage')}")

    async def _put_object(
        self, arn: Arn, record: bytes, outcome: Outcome, moment: datetime
    ) -> None:
        function = Arn.parse(outcome.function_arn)
        params = {
            "Bucket": arn.resource,
            "Key": object_key(outcome.function_arn, moment, self._ids.uuid()),
            "Body": record,
        }
        # A bucket's ARN names neither account nor region.
        await self._caller.call("s3:PutObject", params, _scope_of(function))


def queue_url(arn: Arn) -> str:
    """The URL of the queue that an ARN names."""
    scope = _scope_of(arn)
    return f"https://sqs.{scope.region}.{scope.url_suffix}/{scope.account_id}/{arn.resource}"


def object_key(function_arn: str, moment: datetime, unique: str) -> str:
    """The key of a record in S3: `aws/lambda/async/NAME/2026/01/02/2026-01-02T03.04.05-UUID`."""
    name = function_arn.split(":")[6]
    moment = moment.astimezone(UTC)
    return f"aws/lambda/async/{name}/{moment:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{unique}"


def _embedded(payload: bytes) -> Any:
    """The payload as part of a record: JSON as it is, anything else as text."""
    try:
        _DECODER.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return payload.decode("utf-8", "replace")
    return msgspec.Raw(payload)


def _error_message(payload: bytes) -> str:
    """The first 1 KB of what an error says of itself."""
    try:
        value = _DECODER.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError):
        value = None
    said = value.get("errorMessage") if isinstance(value, dict) else None
    text = said if isinstance(said, str) else payload.decode("utf-8", "replace")
    return text.encode()[:ERROR_MESSAGE_MAX_BYTES].decode("utf-8", "ignore")


def _parse(text: str) -> Arn:
    try:
        return Arn.parse(text)
    except LamingtonError:
        raise ServiceException(f"The destination ARN {text} is invalid.") from None


def _scope_of(arn: Arn) -> Scope:
    return Scope(account_id=arn.account_id, region=arn.region)
