"""The CloudWatch Logs API, so far as functions and those who read after them need it.

Left to others: where events are kept (`telemetry`), what a filter pattern means
(`filter_pattern`).
"""

from collections.abc import Sequence
from typing import Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock
from lamington.core.errors import AwsError
from lamington.functions.log_store import EventPage, LogGroup, LogStore, LogStream
from lamington.functions.operations.constraints import Constraint, constraint_failures
from lamington.functions.operations.filter_pattern import (
    InvalidParameterException,
    compile_pattern,
)

DESCRIBE_MAX = 50
EVENTS_MAX = 10_000
BATCH_MAX_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26
OLDEST_EVENT_MS = 14 * 86_400_000
NEWEST_EVENT_MS = 2 * 3_600_000
BATCH_SPAN_MS = 86_400_000
RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545),
    *(731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)

_CONSTRAINTS = {
    "logGroupName": Constraint(length=(1, 512), pattern=r"[\.\-_/#A-Za-z0-9]+"),
    "logStreamName": Constraint(length=(1, 512), pattern="[^:*]*"),
    "logStreamNamePrefix": Constraint(length=(1, 512), pattern="[^:*]*"),
    "filterPattern": Constraint(length=(0, 1024)),
    "orderBy": Constraint(options=("LogStreamName", "LastEventTime")),
}
_GROUP_MISSING = "The specified log group does not exist."
_STREAM_MISSING = "The specified log stream does not exist."
_SEQUENCE_TOKEN = "49039859595963585984000000000000000000000000000000000000"


class ResourceNotFoundException(AwsError):
    """Logs' own: unlike Lambda's it has status 400."""

    status = 400


class ResourceAlreadyExistsException(AwsError):
    """The name of a new log group or stream is taken."""

    status = 400


class LogOperations:
    """Log groups, streams and events for API clients."""

    def __init__(self, logs: LogStore, clock: Clock) -> None:
        self._logs = logs
        self._clock = clock

    def operations(self) -> dict[str, Operation]:
        return {
            "logs:CreateLogGroup": self.create_log_group,
            "logs:DeleteLogGroup": self.delete_log_group,
            "logs:DescribeLogGroups": self.describe_log_groups,
            "logs:CreateLogStream": self.create_log_stream,
            "logs:DeleteLogStream": self.delete_log_stream,
            "logs:DescribeLogStreams": self.describe_log_streams,
            "logs:PutLogEvents": self.put_log_events,
            "logs:GetLogEvents": self.get_log_events,
            "logs:FilterLogEvents": self.filter_log_events,
            "logs:PutRetentionPolicy": self.put_retention_policy,
            "logs:DeleteRetentionPolicy": self.delete_retention_policy,
            "logs:TagResource": self.tag_resource,
            "logs:UntagResource": self.untag_resource,
            "logs:ListTagsForResource": self.list_tags_for_resource,
            "logs:TagLogGroup": self.tag_log_group,
            "logs:UntagLogGroup": self.untag_log_group,
            "logs:ListTagsLogGroup": self.list_tags_log_group,
        }

    # Groups

    async def create_log_group(self, params: Params, scope: Scope) -> Result:
        """Create a group of class STANDARD.

        Differs: encryption by a key and the other classes are refused.
        """
        _require_valid(params)
        if params.get("kmsKeyId"):
            raise InvalidParameterException("kmsKeyId is not supported by Lamington.")
        if params.get("logGroupClass", "STANDARD") != "STANDARD":
            raise InvalidParameterException("Lamington has log groups of class STANDARD only.")
        tags = dict(params.get("tags") or {})
        if not self._logs.create_group(scope, params["logGroupName"], tags=tags):
            raise ResourceAlreadyExistsException("The specified log group already exists")
        return {}

    async def delete_log_group(self, params: Params, scope: Scope) -> Result:
        if not self._logs.delete_group(scope, params["logGroupName"]):
            raise ResourceNotFoundException(_GROUP_MISSING)
        return {}

    async def describe_log_groups(self, params: Params, scope: Scope) -> Result:
        """Groups in the order of their names, by prefix or by a part of the name."""
        prefix, part = params.get("logGroupNamePrefix"), params.get("logGroupNamePattern")
        if prefix and part:
            raise InvalidParameterException(
                "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
            )
        groups = [
            group
            for group in self._logs.groups(scope, prefix or "")
            if not part or part.lower() in group.name.lower()
        ]
        shown, token = _page(
            [_render_group(each, scope) for each in groups], "logGroupName", params
        )
        return {"logGroups": shown, **token}

    # Streams

    async def create_log_stream(self, params: Params, scope: Scope) -> Result:
        _require_valid(params)
        group = self._require_group(params, scope)
        if not self._logs.create_stream(scope, group, params["logStreamName"]):
            raise ResourceAlreadyExistsException("The specified log stream already exists")
        return {}

    async def delete_log_stream(self, params: Params, scope: Scope) -> Result:
        group = self._require_group(params, scope)
        if not self._logs.delete_stream(scope, group, params["logStreamName"]):
            raise ResourceNotFoundException(_STREAM_MISSING)
        return {}

    async def describe_log_streams(self, params: Params, scope: Scope) -> Result:
        """Streams in the order of their names or of their last events."""
        _require_valid(params)
        group = self._require_group(params, scope)
        prefix = params.get("logStreamNamePrefix") or ""
        by_time = params.get("orderBy") == "LastEventTime"
        if by_time and prefix:
            raise InvalidParameterException(
                "Cannot order by LastEventTime with a logStreamNamePrefix."
            )
        streams = self._logs.streams(scope, group, prefix)
        if by_time:
            streams.sort(key=lambda each: (each.last_event_ms or 0, each.name))
        if params.get("descending"):
            streams.reverse()
        shown, token = _page(
            [_render_stream(each, group, scope) for each in streams], "logStreamName", params
        )
        return {"logStreams": shown, **token}

    # Events

    async def put_log_events(self, params: Params, scope: Scope) -> Result:
        """Append events; those too old or too new are left out and told of.

        AWS: PutLogEvents; sequence tokens are accepted and mean nothing any more.
        """
        _require_valid(params)
        events: Sequence[Params] = params["logEvents"]
        _require_batch(events)
        group = self._require_group(params, scope)
        self._require_stream(scope, group, params["logStreamName"])
        now = int(self._clock.now().timestamp() * 1000)
        times = [event["timestamp"] for event in events]
        old = sum(time < now - OLDEST_EVENT_MS for time in times)
        fresh = sum(time <= now + NEWEST_EVENT_MS for time in times)
        accepted = [(event["timestamp"], event["message"]) for event in events[old:fresh]]
        if accepted:
            self._logs.put_events(scope, group, params["logStreamName"], accepted)
        rejected: dict[str, int] = {}
        if old:
            rejected["tooOldLogEventEndIndex"] = old
        if fresh < len(times):
            rejected["tooNewLogEventStartIndex"] = fresh
        answer: Result = {"nextSequenceToken": _SEQUENCE_TOKEN}
        return answer | ({"rejectedLogEventsInfo": rejected} if rejected else {})

    async def get_log_events(self, params: Params, scope: Scope) -> Result:
        """Events of one stream, the newest page first unless asked otherwise.

        AWS: GetLogEvents; a token that comes back unchanged means the end of the stream.
        """
        _require_valid(params)
        group = self._require_group(params, scope)
        name = params["logStreamName"]
        self._require_stream(scope, group, name)
        direction, _, token = (params.get("nextToken") or "").partition("/")
        if direction not in ("", "f", "b"):
            raise InvalidParameterException("The specified nextToken is invalid.")
        backwards = direction == "b" or (not direction and not params.get("startFromHead"))
        page = self._read(
            scope,
            group,
            stream_names=[name],
            start_ms=params.get("startTime"),
            end_ms=params.get("endTime"),
            limit=_limit(params),
            token=token,
            backwards=backwards,
        )
        return {
            "events": [
                {
                    "timestamp": event.timestamp_ms,
                    "message": event.message,
                    "ingestionTime": event.ingestion_ms,
                }
                for event in page.events
            ],
            "nextForwardToken": f"f/{page.after}",
            "nextBackwardToken": f"b/{page.before}",
        }

    async def filter_log_events(self, params: Params, scope: Scope) -> Result:
        """Events of a group in order of time, by stream, time and pattern.

        AWS: FilterLogEvents; events at `endTime` are included, unlike with GetLogEvents.
        """
        _require_valid(params)
        group = self._require_group(params, scope)
        names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix") or ""
        if names and prefix:
            raise InvalidParameterException(
                "logStreamNamePrefix and logStreamNames are mutually exclusive parameters."
            )
        for name in names or ():
            self._require_stream(scope, group, name)
        pattern, end = params.get("filterPattern") or "", params.get("endTime")
        page = self._read(
            scope,
            group,
            stream_names=names or None,
            stream_prefix=prefix,
            start_ms=params.get("startTime"),
            end_ms=None if end is None else end + 1,
            limit=_limit(params),
            token=params.get("nextToken") or "",
            matches=compile_pattern(pattern) if pattern else None,
        )
        events = [
            {
                "logStreamName": event.stream_name,
                "timestamp": event.timestamp_ms,
                "message": event.message,
                "ingestionTime": event.ingestion_ms,
                "eventId": event.event_id,
            }
            for event in page.events
        ]
        answer: Result = {"events": events, "searchedLogStreams": []}
        return answer | ({"nextToken": page.after} if page.more else {})

    def _read(self, scope: Scope, group: str, **selection: Any) -> EventPage:
        try:
            return self._logs.read_events(scope, group, **selection)
        except ValueError:
            raise InvalidParameterException("The specified nextToken is invalid.") from None

    # Retention and tags

    async def put_retention_policy(self, params: Params, scope: Scope) -> Result:
        """Keep events for so many days from now on; older ones are gone at once.

        Differs: AWS takes up to 72 hours to delete them. A group ends at its size here too.
        """
        days = params["retentionInDays"]
        if days not in RETENTION_DAYS:
            options = ", ".join(str(each) for each in RETENTION_DAYS)
            raise InvalidParameterException(
                f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to"
                f" satisfy constraint: Member must satisfy enum value set: [{options}]"
            )
        self._logs.set_retention(scope, self._require_group(params, scope), days)
        self._logs.expire()
        return {}

    async def delete_retention_policy(self, params: Params, scope: Scope) -> Result:
        self._logs.set_retention(scope, self._require_group(params, scope), None)
        return {}

    async def tag_resource(self, params: Params, scope: Scope) -> Result:
        group = self._tagged(params, scope)
        self._logs.set_tags(scope, group.name, {**group.tags, **params["tags"]})
        return {}

    async def untag_resource(self, params: Params, scope: Scope) -> Result:
        group = self._tagged(params, scope)
        gone = params["tagKeys"]
        left = {key: value for key, value in group.tags.items() if key not in gone}
        self._logs.set_tags(scope, group.name, left)
        return {}

    async def list_tags_for_resource(self, params: Params, scope: Scope) -> Result:
        return {"tags": self._tagged(params, scope).tags}

    async def tag_log_group(self, params: Params, scope: Scope) -> Result:
        """AWS: the older form of TagResource, by name."""
        return await self.tag_resource({**params, "resourceArn": params["logGroupName"]}, scope)

    async def untag_log_group(self, params: Params, scope: Scope) -> Result:
        """AWS: the older form of UntagResource, by name."""
        older = {"resourceArn": params["logGroupName"], "tagKeys": params["tags"]}
        return await self.untag_resource(older, scope)

    async def list_tags_log_group(self, params: Params, scope: Scope) -> Result:
        """AWS: the older form of ListTagsForResource, by name."""
        return {"tags": self._tagged({"resourceArn": params["logGroupName"]}, scope).tags}

    def _tagged(self, params: Params, scope: Scope) -> LogGroup:
        group = self._group(scope, group_name_of(params["resourceArn"]))
        if group is None:
            raise ResourceNotFoundException(_GROUP_MISSING)
        return group

    # What must exist

    def _require_group(self, params: Params, scope: Scope) -> str:
        name, identifier = params.get("logGroupName"), params.get("logGroupIdentifier")
        if bool(name) == bool(identifier):
            raise InvalidParameterException(
                "Exactly one of logGroupName and logGroupIdentifier must be given."
            )
        group = name or group_name_of(str(identifier))
        if self._group(scope, group) is None:
            raise ResourceNotFoundException(_GROUP_MISSING)
        return group

    def _group(self, scope: Scope, name: str) -> LogGroup | None:
        # A group may be no more than buffered; reading the list writes the buffer first.
        return next((each for each in self._logs.groups(scope, name) if each.name == name), None)

    def _require_stream(self, scope: Scope, group: str, name: str) -> None:
        if self._logs.stream(scope, group, name) is None:
            raise ResourceNotFoundException(_STREAM_MISSING)


def group_name_of(identifier: str) -> str:
    """The name in a log group's ARN, with or without its `:*`, or the name itself."""
    _, found, rest = identifier.partition(":log-group:")
    return rest.removesuffix(":*") if found else identifier


def _render_group(group: LogGroup, scope: Scope) -> dict[str, Any]:
    arn = scope.arn("logs", f"log-group:{group.name}")
    retention = {} if group.retention_days is None else {"retentionInDays": group.retention_days}
    return {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        **retention,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "storedBytes": group.stored_bytes,
        "logGroupClass": "STANDARD",
        "logGroupArn": arn,
    }


def _render_stream(stream: LogStream, group: str, scope: Scope) -> dict[str, Any]:
    times = {
        "firstEventTimestamp": stream.first_event_ms,
        "lastEventTimestamp": stream.last_event_ms,
        "lastIngestionTime": stream.last_ingestion_ms,
    }
    return {
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        **{name: time for name, time in times.items() if time is not None},
        "uploadSequenceToken": _SEQUENCE_TOKEN,
        "arn": scope.arn("logs", f"log-group:{group}:log-stream:{stream.name}"),
        "storedBytes": 0,
    }


def _page(
    items: list[dict[str, Any]], name: str, params: Params
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The items behind the token, which is the last name of the page before, and the next token."""
    token = params.get("nextToken")
    start = 0
    if token:
        names = [item[name] for item in items]
        if token not in names:
            raise InvalidParameterException("The specified nextToken is invalid.")
        start = names.index(token) + 1
    end = start + min(params.get("limit") or DESCRIBE_MAX, DESCRIBE_MAX)
    shown = items[start:end]
    return shown, {"nextToken": shown[-1][name]} if end < len(items) else {}


def _limit(params: Params) -> int:
    return min(params.get("limit") or EVENTS_MAX, EVENTS_MAX)


def _require_batch(events: Sequence[Params]) -> None:
    """Raise for a batch that PutLogEvents does not take as a whole."""
    if not 1 <= len(events) <= EVENTS_MAX:
        bound = (
            "greater than or equal to 1" if not events else f"less than or equal to {EVENTS_MAX}"
        )
        raise InvalidParameterException(
            "1 validation error detected: Value '[]' at 'logEvents' failed to satisfy constraint:"
            f" Member must have length {bound}"
        )
    times = [event["timestamp"] for event in events]
    if times != sorted(times):
        raise InvalidParameterException(
            "Log events in a single PutLogEvents request must be in chronological order."
        )
    if times[-1] - times[0] > BATCH_SPAN_MS:
        raise InvalidParameterException(
            "The batch of log events in a single PutLogEvents request cannot span more than 24"
            " hours."
        )
    size = sum(len(event["message"].encode()) + EVENT_OVERHEAD_BYTES for event in events)
    if size > BATCH_MAX_BYTES:
        raise InvalidParameterException(
            f"Upload too large: {size} bytes exceeds limit of {BATCH_MAX_BYTES}"
        )


def _require_valid(params: Params) -> None:
    failures = [
        failure
        for name, constraint in _CONSTRAINTS.items()
        if params.get(name) is not None
        for failure in constraint_failures(name, params[name], constraint)
    ]
    if failures:
        count = f"{len(failures)} validation error{'s' if len(failures) > 1 else ''} detected: "
        raise InvalidParameterException(count + "; ".join(failures))
