"""A fake of the AWS services that Lambda sends to: queues, topics, buses and buckets in memory.

It passes `contract/test_destination_services.py`, as whatever else takes its place must.
"""

from dataclasses import dataclass, field
from typing import Any

from lamington.core.aws import Arn, Params, Result, Scope
from lamington.core.errors import AwsError


class QueueDoesNotExist(AwsError):
    status = 400


class NotFoundException(AwsError):
    status = 404


class NoSuchBucket(AwsError):
    status = 404


class NotEmulated(AwsError):
    status = 501
    fault = "Receiver"


@dataclass
class FakeAws:
    """An AwsCaller that keeps what it is sent; `failing` operations raise the error given."""

    queues: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    topics: dict[str, list[str]] = field(default_factory=dict)
    published: list[Params] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    buckets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    invoked: list[Params] = field(default_factory=list)
    failing: dict[str, AwsError] = field(default_factory=dict)
    called: list[tuple[str, Scope]] = field(default_factory=list)

    async def call(self, operation: str, params: Params, scope: Scope) -> Result:
        self.called.append((operation, scope))
        if operation in self.failing:
            raise self.failing[operation]
        match operation.split(":"):
            case ["sqs", name]:
                return self._queue(name, params, scope)
            case ["sns", name]:
                return self._topic(name, params, scope)
            case ["s3", name]:
                return self._bucket(name, params)
            case ["events", "PutEvents"]:
                self.events += params["Entries"]
                entries = [{"EventId": str(number)} for number, _ in enumerate(params["Entries"])]
                return {"FailedEntryCount": 0, "Entries": entries}
            case ["lambda", "Invoke"]:
                self.invoked.append(params)
                return {"StatusCode": 202, "Payload": b""}
        raise NotEmulated(f"`{operation}` is not emulated")

    def _queue(self, name: str, params: Params, scope: Scope) -> Result:
        if name == "CreateQueue":
            self.queues[_queue_path(scope, params["QueueName"])] = []
            return {"QueueUrl": f"https://sqs.local/{scope.account_id}/{params['QueueName']}"}
        path = f"{scope.region}/" + "/".join(params["QueueUrl"].split("/")[-2:])
        if path not in self.queues:
            raise QueueDoesNotExist("The specified queue does not exist.")
        if name == "SendMessage":
            system = params.get("MessageSystemAttributes", {})
            self.queues[path].append(
                {
                    "Body": params["MessageBody"],
                    "MessageAttributes": params.get("MessageAttributes", {}),
                    "Attributes": {key: value["StringValue"] for key, value in system.items()},
                }
            )
            return {"MessageId": str(len(self.queues[path]))}
        assert name == "ReceiveMessage"
        messages, self.queues[path] = self.queues[path], []
        return {"Messages": messages}

    def _topic(self, name: str, params: Params, scope: Scope) -> Result:
        if name == "CreateTopic":
            arn = scope.arn("sns", params["Name"])
            self.topics[arn] = []
            return {"TopicArn": arn}
        if params["TopicArn"] not in self.topics:
            raise NotFoundException("Topic does not exist")
        if name == "Subscribe":
            self.topics[params["TopicArn"]].append(params["Endpoint"])
            return {"SubscriptionArn": params["TopicArn"] + ":1"}
        assert name == "Publish"
        self.published.append(params)
        for endpoint in self.topics[params["TopicArn"]]:
            target = Arn.parse(endpoint)
            path = f"{target.region}/{target.account_id}/{target.resource}"
            message = {
                "Body": params["Message"],
                "MessageAttributes": params.get("MessageAttributes", {}),
            }
            self.queues[path].append(message)
        return {"MessageId": str(len(self.published))}

    def _bucket(self, name: str, params: Params) -> Result:
        if name == "CreateBucket":
            self.buckets[params["Bucket"]] = {}
            return {}
        if params["Bucket"] not in self.buckets:
            raise NoSuchBucket("The specified bucket does not exist")
        bucket = self.buckets[params["Bucket"]]
        if name == "PutObject":
            bucket[params["Key"]] = params["Body"]
            return {}
        assert name == "ListObjectsV2"
        return {"Contents": [{"Key": key} for key in sorted(bucket)]}


def _queue_path(scope: Scope, name: str) -> str:
    return f"{scope.region}/{scope.account_id}/{name}"
