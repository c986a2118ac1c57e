"""What the members of the Lambda API may hold, and the service's words where one holds else.

Pure, and a table first. Left to others: names of functions (`names`), and what only the
service can know, such as that a version exists.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from lamington.core.aws import Params
from lamington.functions.entities import (
    ENVIRONMENT_VARIABLES_MAX_BYTES,
    TIMEOUT_MAX_S,
    InvalidParameterValueException,
    ValidationException,
)

MEMORY_SIZE_MIN_MB = 128
MEMORY_SIZE_MAX_MB = 10_240
EPHEMERAL_STORAGE_MIN_MB = 512
EPHEMERAL_STORAGE_MAX_MB = 10_240


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """The bounds of one member; `length` and `value` are (least, most)."""

    length: tuple[int, int] | None = None
    value: tuple[int, int] | None = None
    pattern: str = ""
    options: tuple[str, ...] = ()


_ARN_OR_NONE = r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()"
_ALIAS_NAME = Constraint(length=(1, 128), pattern=r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)")

CONSTRAINTS: Mapping[str, Constraint] = {
    "Role": Constraint(
        pattern=r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
    ),
    "Handler": Constraint(length=(0, 128), pattern=r"[^\s]+"),
    "Description": Constraint(length=(0, 256)),
    "Timeout": Constraint(value=(1, TIMEOUT_MAX_S)),
    "MemorySize": Constraint(value=(MEMORY_SIZE_MIN_MB, MEMORY_SIZE_MAX_MB)),
    "PackageType": Constraint(options=("Zip", "Image")),
    "KMSKeyArn": Constraint(pattern=_ARN_OR_NONE),
    "DeadLetterConfig.TargetArn": Constraint(pattern=_ARN_OR_NONE),
    "TracingConfig.Mode": Constraint(options=("Active", "PassThrough")),
    "EphemeralStorage.Size": Constraint(value=(EPHEMERAL_STORAGE_MIN_MB, EPHEMERAL_STORAGE_MAX_MB)),
    "SnapStart.ApplyOn": Constraint(options=("PublishedVersions", "None")),
    "LoggingConfig.LogFormat": Constraint(options=("JSON", "Text")),
    "LoggingConfig.ApplicationLogLevel": Constraint(
        options=("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
    ),
    "LoggingConfig.SystemLogLevel": Constraint(options=("DEBUG", "INFO", "WARN")),
    "LoggingConfig.LogGroup": Constraint(length=(1, 512), pattern=r"[\.\-_/#A-Za-z0-9]+"),
    "Code.S3Bucket": Constraint(length=(3, 63), pattern=r"[0-9A-Za-z\.\-_]*(?<!\.)"),
    "Code.S3Key": Constraint(length=(1, 1024)),
    "S3Bucket": Constraint(length=(3, 63), pattern=r"[0-9A-Za-z\.\-_]*(?<!\.)"),
    "S3Key": Constraint(length=(1, 1024)),
    "Name": _ALIAS_NAME,
    "FunctionVersion": Constraint(length=(1, 1024), pattern=r"(\$LATEST(\.PUBLISHED)?|[0-9]+)"),
    "StatementId": Constraint(length=(1, 100), pattern=r"([a-zA-Z0-9-_]+)"),
    "Action": Constraint(pattern=r"(lambda:[*]|lambda:[a-zA-Z]+|[*])"),
    "Principal": Constraint(length=(0, 2048), pattern=r"[^\s]+"),
    "SourceAccount": Constraint(length=(0, 12), pattern=r"\d{12}"),
    "EventSourceToken": Constraint(length=(0, 256), pattern=r"[a-zA-Z0-9._\-]+"),
    "FunctionUrlAuthType": Constraint(options=("NONE", "AWS_IAM")),
    "PrincipalOrgID": Constraint(length=(12, 34), pattern=r"o-[a-z0-9]{10,32}"),
    "ReservedConcurrentExecutions": Constraint(value=(0, 2**31)),
    "ProvisionedConcurrentExecutions": Constraint(value=(1, 2**31)),
    "UpdateRuntimeOn": Constraint(options=("Auto", "Manual", "FunctionUpdate")),
    "LicenseInfo": Constraint(length=(0, 512)),
    "MaxItems": Constraint(value=(1, 10_000)),
    "InvocationType": Constraint(options=("Event", "RequestResponse", "DryRun")),
    "LogType": Constraint(options=("None", "Tail")),
}
"""By member, nested ones by path. `FunctionVersion` of ListFunctions has its own: `ALL`."""

LIST_FUNCTIONS_VERSION = Constraint(options=("ALL",))

RUNTIMES_ON_OFFER = (
    "nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x,"
    " java25, python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9,"
    " java17, nodejs16.x, dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2"
)
"""In the order in which the service prints them (recorded in February 2026)."""

RUNTIMES_CLOSED = frozenset(
    {
        *("nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10", "nodejs10.x"),
        *("nodejs12.x", "nodejs14.x", "python2.7", "python3.6", "python3.7", "java8", "go1.x"),
        *("dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1", "ruby2.5"),
        *("ruby2.7", "provided"),
    }
)
"""Identifiers for which AWS creates no function any more (state at the end of 2026)."""

RUNTIMES = (
    frozenset(RUNTIMES_ON_OFFER.replace(" ", "").split(","))
    | RUNTIMES_CLOSED
    | {"ruby4.0", "nodejs26.x", "python3.15", "custom"}
    | {"java8.al2023", "java11.al2023", "java17.al2023"}
)

RESERVED_VARIABLES = frozenset(
    {
        *("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV"),
        *("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
        *("AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE"),
        *("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API"),
        *("AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"),
    }
)

_UNCONFIGURABLE = (
    "Lambda was unable to configure your environment variables because the environment variables"
    " you have provided "
)
_VARIABLE_NAME = "[a-zA-Z]([a-zA-Z0-9_])+"


def require_valid(params: Params, only: Iterable[str] = CONSTRAINTS) -> None:
    """Raise ValidationException telling of every member of the table that is out of bounds.

    AWS: the text of the API's common validation, with the count of errors first.
    """
    failures = [
        failure
        for path in only
        if (value := _value_at(params, path)) is not None
        for failure in constraint_failures(path, value, CONSTRAINTS[path])
    ]
    refuse(failures)


def refuse(failures: list[str]) -> None:
    """Raise ValidationException where there is a failure."""
    if failures:
        count = f"{len(failures)} validation error{'s' if len(failures) > 1 else ''} detected: "
        raise ValidationException(count + "; ".join(failures))


def constraint_failures(path: str, value: Any, constraint: Constraint) -> Iterator[str]:
    """What is wrong with one value, one sentence for each bound that it breaks."""
    member = ".".join(part[0].lower() + part[1:] for part in path.split("."))
    start = f"Value '{value}' at '{member}' failed to satisfy constraint: Member must "
    for bounds, measured, noun in (
        (constraint.length, len(value) if isinstance(value, str) else 0, "length"),
        (constraint.value, value, "value"),
    ):
        if bounds and measured < bounds[0]:
            yield f"{start}have {noun} greater than or equal to {bounds[0]}"
        if bounds and measured > bounds[1]:
            yield f"{start}have {noun} less than or equal to {bounds[1]}"
    if constraint.pattern and not re.fullmatch(constraint.pattern, value):
        yield f"{start}satisfy regular expression pattern: {constraint.pattern}"
    if constraint.options and value not in constraint.options:
        yield f"{start}satisfy enum value set: [{', '.join(constraint.options)}]"


def _value_at(params: Mapping[str, Any], path: str) -> Any:
    head, _, rest = path.partition(".")
    value = params.get(head)
    if not rest:
        return value
    return _value_at(value, rest) if isinstance(value, Mapping) else None


def require_runtime(runtime: str) -> None:
    """Raise InvalidParameterValueException for an identifier that was never AWS's.

    AWS: CreateFunction; the text is recorded.
    Differs: identifiers that AWS has closed are accepted, so that old services run.
    """
    if runtime not in RUNTIMES:
        raise InvalidParameterValueException(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum"
            f" value set: [{RUNTIMES_ON_OFFER}] or be a valid ARN"
        )


def require_variables(variables: Mapping[str, str]) -> None:
    """Raise where environment variables have names or a size that Lambda does not take.

    AWS: Lambda developer guide, defined runtime environment variables; 4 KB as a JSON map.
    """
    if not all(re.fullmatch(_VARIABLE_NAME, name) for name in variables):
        refuse(
            [
                "Value at 'environment.variables' failed to satisfy constraint: Map keys must"
                " satisfy constraint: [Member must satisfy regular expression pattern:"
                f" {_VARIABLE_NAME}]"
            ]
        )
    if reserved := sorted(RESERVED_VARIABLES & variables.keys()):
        raise InvalidParameterValueException(
            _UNCONFIGURABLE + "contains reserved keys that are currently not supported for"
            f" modification. Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = msgspec.json.encode(variables)
    if len(measured) > ENVIRONMENT_VARIABLES_MAX_BYTES:
        raise InvalidParameterValueException(
            f"{_UNCONFIGURABLE}exceeded the 4KB limit. String measured: {measured.decode()}"
        )
