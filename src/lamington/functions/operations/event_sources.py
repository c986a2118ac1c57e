"""What an event source mapping may be, by the kind of its source: a table first, and pure.

Left to others: keeping mappings (`event_source_mappings`), and polling, which is not built yet.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from lamington.core.aws import Params
from lamington.functions.entities import InvalidParameterValueException
from lamington.functions.operations.constraints import Constraint, constraint_failures, refuse

FILTERS_MAX = 5
SQS_BATCH_WITHOUT_WINDOW_MAX = 10
RECORD_AGE_MIN_S = 60

_EVERY_KIND = frozenset(
    {
        *("BatchSize", "FilterCriteria", "KMSKeyArn", "MetricsConfig", "LoggingConfig"),
        "ProvisionedPollerConfig",
    }
)
_ON_RECORDS = frozenset(
    {
        *("BisectBatchOnFunctionError", "DestinationConfig", "MaximumRecordAgeInSeconds"),
        *("MaximumRetryAttempts", "FunctionResponseTypes"),
    }
)
_POSITION = frozenset({"StartingPosition", "StartingPositionTimestamp"})
_WINDOW = frozenset({"MaximumBatchingWindowInSeconds"})
_ACCESS = frozenset({"SourceAccessConfigurations"})

NOT_UPDATABLE = frozenset(
    {
        *("EventSourceArn", "SelfManagedEventSource", "StartingPosition", "Topics", "Queues"),
        "StartingPositionTimestamp",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind:
    """The rules of one kind of source; `defaults` are shown where nothing is given."""

    members: frozenset[str]
    defaults: Mapping[str, Any]
    positions: tuple[str, ...] = ()
    """Starting positions that it takes; where there are some, one must be given."""
    required: tuple[str, ...] = ()
    reason: str = "USER_INITIATED"
    tells_result: bool = False
    """Whether a mapping tells how its last batch went."""
    consumer_group: str = ""
    """The member whose `ConsumerGroupId` is made up where none is given."""


_STREAM = SourceKind(
    members=_EVERY_KIND
    | _ON_RECORDS
    | _POSITION
    | _WINDOW
    | {"ParallelizationFactor", "TumblingWindowInSeconds"},
    defaults={
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "BisectBatchOnFunctionError": False,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0,
        "DestinationConfig": {"OnFailure": {}},
        "FunctionResponseTypes": [],
    },
    positions=("LATEST", "TRIM_HORIZON"),
    reason="User action",
    tells_result=True,
)
_KAFKA_MEMBERS = _EVERY_KIND | _ON_RECORDS | _POSITION | _WINDOW | _ACCESS | {"Topics"}
_ALL_POSITIONS = ("LATEST", "AT_TIMESTAMP", "TRIM_HORIZON")

KINDS: Mapping[str, SourceKind] = {
    "dynamodb": _STREAM,
    "kinesis": SourceKind(
        members=_STREAM.members,
        defaults=_STREAM.defaults,
        positions=_ALL_POSITIONS,
        reason=_STREAM.reason,
        tells_result=True,
    ),
    "sqs": SourceKind(
        members=_EVERY_KIND | _WINDOW | {"FunctionResponseTypes", "ScalingConfig"},
        defaults={
            "BatchSize": 10,
            "MaximumBatchingWindowInSeconds": 0,
            "FunctionResponseTypes": [],
        },
    ),
    "kafka": SourceKind(
        members=_KAFKA_MEMBERS | {"AmazonManagedKafkaEventSourceConfig"},
        defaults={"BatchSize": 100},
        positions=_ALL_POSITIONS,
        required=("Topics",),
        tells_result=True,
        consumer_group="AmazonManagedKafkaEventSourceConfig",
    ),
    "self-managed-kafka": SourceKind(
        members=_KAFKA_MEMBERS | {"SelfManagedEventSource", "SelfManagedKafkaEventSourceConfig"},
        defaults={"BatchSize": 100},
        positions=_ALL_POSITIONS,
        required=("SourceAccessConfigurations", "Topics"),
        tells_result=True,
        consumer_group="SelfManagedKafkaEventSourceConfig",
    ),
    "mq": SourceKind(
        members=_EVERY_KIND | _WINDOW | _ACCESS | {"Queues"},
        defaults={"BatchSize": 100},
        required=("Queues", "SourceAccessConfigurations"),
    ),
    "rds": SourceKind(
        members=_EVERY_KIND | _POSITION | _WINDOW | _ACCESS | {"DocumentDBEventSourceConfig"},
        defaults={"BatchSize": 100},
        positions=_ALL_POSITIONS,
        required=("DocumentDBEventSourceConfig", "SourceAccessConfigurations"),
        tells_result=True,
    ),
}
"""By the service in the source's ARN. AWS: Lambda developer guide, event source mappings."""

MEMBERS = frozenset().union(*(kind.members for kind in KINDS.values()))
"""Every member that is of some kind of source."""

_CONSTRAINTS: Mapping[str, Constraint] = {
    "BatchSize": Constraint(value=(1, 10_000)),
    "MaximumBatchingWindowInSeconds": Constraint(value=(0, 300)),
    "ParallelizationFactor": Constraint(value=(1, 10)),
    "MaximumRecordAgeInSeconds": Constraint(value=(-1, 604_800)),
    "MaximumRetryAttempts": Constraint(value=(-1, 10_000)),
    "TumblingWindowInSeconds": Constraint(value=(0, 900)),
    "StartingPosition": Constraint(options=("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")),
}


def kind_of(params: Params) -> str:
    """The kind of a new mapping's source; raises where it is none of AWS's.

    AWS: CreateEventSourceMapping, `Unrecognized event source.`
    """
    if params.get("SelfManagedEventSource"):
        return "self-managed-kafka"
    arn = params.get("EventSourceArn") or ""
    parts = arn.split(":", 5)
    kind = parts[2] if len(parts) == 6 else ""
    if kind not in KINDS or (kind == "dynamodb" and "/stream/" not in arn):
        raise InvalidParameterValueException("Unrecognized event source.")
    return kind


def require_valid(kind: str, params: Params, kept: Mapping[str, Any] | None = None) -> None:
    """Raise where the members are not those of the kind, or not within its bounds.

    `kept` is what an update finds; what stays as it was is looked at together with what is new.

    AWS: CreateEventSourceMapping, UpdateEventSourceMapping; recorded texts where there are.
    Differs: whether the source exists, its visibility timeout and the role are not looked at.
    """
    rules = KINDS[kind]
    refuse(
        [
            failure
            for name, constraint in _CONSTRAINTS.items()
            if params.get(name) is not None
            for failure in constraint_failures(name, params[name], constraint)
        ]
    )
    for name in sorted(MEMBERS - rules.members):
        if params.get(name):
            raise InvalidParameterValueException(
                f"Unsupported {name} parameter for given event source mapping type."
            )
    if "OnSuccess" in (params.get("DestinationConfig") or {}):
        raise InvalidParameterValueException(
            "Unsupported DestinationConfig parameter for given event source mapping type."
        )
    if kept is None:
        _require_beginning(rules, params)
    _require_batch(kind, {**rules.defaults, **(kept or {}), **params})
    age = params.get("MaximumRecordAgeInSeconds")
    if age is not None and age != -1 and age < RECORD_AGE_MIN_S:
        raise InvalidParameterValueException(
            f"MaximumRecordAgeInSeconds must be -1 or at least {RECORD_AGE_MIN_S}."
        )
    require_filters(params.get("FilterCriteria"))


def _require_beginning(rules: SourceKind, params: Params) -> None:
    """What a mapping needs when it is made."""
    for name in rules.required:
        if not params.get(name):
            member = name[0].lower() + name[1:]
            raise InvalidParameterValueException(f"Required '{member}' parameter is missing.")
    if not rules.positions:
        return
    position = params.get("StartingPosition")
    if not position:
        raise InvalidParameterValueException(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy"
            " constraint: Member must not be null."
        )
    if position not in rules.positions:
        raise InvalidParameterValueException(
            f"Unsupported starting position for arn type: {params.get('EventSourceArn')}"
        )
    if position == "AT_TIMESTAMP" and params.get("StartingPositionTimestamp") is None:
        raise InvalidParameterValueException(
            "StartingPositionTimestamp must be given where StartingPosition is AT_TIMESTAMP."
        )


def _require_batch(kind: str, params: Params) -> None:
    if kind != "sqs":
        return
    size, window = params["BatchSize"], params["MaximumBatchingWindowInSeconds"]
    if str(params.get("EventSourceArn", "")).endswith(".fifo"):
        if size > SQS_BATCH_WITHOUT_WINDOW_MAX:
            raise InvalidParameterValueException(
                f"Maximum batch size for FIFO queues is {SQS_BATCH_WITHOUT_WINDOW_MAX}."
            )
        if window:
            raise InvalidParameterValueException(
                "Batching window is not supported for FIFO queues."
            )
    if size > SQS_BATCH_WITHOUT_WINDOW_MAX and not window:
        raise InvalidParameterValueException(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is"
            " greater than 10"
        )


# Filters.


def require_filters(criteria: Mapping[str, Any] | None) -> None:
    """Raise for a filter that is no event pattern.

    AWS: Lambda developer guide, event filtering; an array of values for each key, not empty.
    """
    filters = (criteria or {}).get("Filters") or []
    if len(filters) > FILTERS_MAX:
        raise InvalidParameterValueException(
            f"The number of filters exceeds the limit of {FILTERS_MAX}."
        )
    for each in filters:
        try:
            pattern = msgspec.json.decode(each.get("Pattern") or "")
            is_valid = isinstance(pattern, dict) and all(_pattern_parts(pattern))
        except (msgspec.DecodeError, RecursionError):
            is_valid = False
        if not is_valid:
            raise InvalidParameterValueException("Invalid filter pattern definition.")


def _pattern_parts(pattern: Mapping[str, Any]) -> Iterator[bool]:
    """Whether each key's value is of the form that an event pattern has."""
    for key, value in pattern.items():
        if key == "$or" and isinstance(value, list):
            yield bool(value)
            for each in value:
                yield isinstance(each, dict) and all(_pattern_parts(each))
        elif isinstance(value, dict):
            yield bool(value) and all(_pattern_parts(value))
        else:
            yield isinstance(value, list) and bool(value) and all(map(_is_matcher, value))


def _is_matcher(value: Any) -> bool:
    if isinstance(value, list):
        return False
    if not isinstance(value, dict):
        return True
    if len(value) != 1:
        return False
    [(operator, operand)] = value.items()
    check = _OPERATORS.get(operator)
    return check is not None and check(operand)


def _is_text(operand: Any) -> bool:
    return isinstance(operand, str)


def _is_affix(operand: Any) -> bool:
    if isinstance(operand, dict):
        return operand.keys() == {"equals-ignore-case"} and _is_text(*operand.values())
    return _is_text(operand)


def _is_exclusion(operand: Any) -> bool:
    if isinstance(operand, list):
        return bool(operand) and not any(isinstance(each, list | dict) for each in operand)
    if isinstance(operand, dict):
        known = {"prefix", "suffix", "equals-ignore-case", "wildcard"}
        return len(operand) == 1 and operand.keys() <= known
    return operand is not None


def _is_range(operand: Any) -> bool:
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        return False
    return all(
        comparison in ("=", "<", "<=", ">", ">=")
        and isinstance(number, int | float)
        and not isinstance(number, bool)
        for comparison, number in zip(operand[::2], operand[1::2], strict=True)
    )


_OPERATORS: Mapping[str, Callable[[Any], bool]] = {
    "prefix": _is_affix,
    "suffix": _is_affix,
    "equals-ignore-case": _is_text,
    "wildcard": _is_text,
    "cidr": _is_text,
    "anything-but": _is_exclusion,
    "numeric": _is_range,
    "exists": lambda operand: isinstance(operand, bool),
}
