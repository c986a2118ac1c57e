"""What AWS Lambda is made of, as rows: functions, versions, aliases, permissions; quotas; errors.

Left to others: what the API shows of them (`operations/`), and what runs them (`environment`).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from lamington.core.errors import AwsError

LATEST = "$LATEST"

TIMEOUT_DEFAULT_S = 3
TIMEOUT_MAX_S = 900
MEMORY_SIZE_DEFAULT_MB = 128
REQUEST_PAYLOAD_MAX_BYTES = 6_291_456
RESPONSE_PAYLOAD_MAX_BYTES = 6_291_556
STREAMED_RESPONSE_MAX_BYTES = 209_715_200
EVENT_PAYLOAD_MAX_BYTES = 1_048_576
PAGE_MAX = 50
CODE_ZIPPED_MAX_BYTES = 52_428_800
CODE_UNZIPPED_MAX_BYTES = 262_144_000
ENVIRONMENT_VARIABLES_MAX_BYTES = 4096
LOG_TAIL_BYTES = 4096
TAGS_MAX = 50
POLICY_MAX_BYTES = 20_480
CONCURRENT_EXECUTIONS = 1000
UNRESERVED_CONCURRENT_EXECUTIONS_MIN = 100
CODE_STORAGE_BYTES = 80_530_636_800
CLIENT_CONTEXT_MAX_BYTES = 3583
RETRY_AFTER_S = "1"
"""When a throttled caller may try again; AWS documents the header, not its value."""
LAYERS_MAX = 5
REQUEST_MAX_BYTES = 70_167_211
"""A request that creates or updates, its deployment package in base64 included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A deployment package: the blob's name (hexadecimal SHA-256) and size."""

    blob: str
    size_bytes: int
    sha256_base64: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRef:
    """A layer version as a function uses it: it stays usable when the layer version is deleted."""

    arn: str
    code_size: int
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionVersion:
    """One version of a function, `$LATEST` included: all that an execution environment needs.

    `settings` holds the members of CreateFunction that are kept and shown as given (VpcConfig,
    TracingConfig, Layers ...), under AWS's names. Versions that differ in nothing but the revision
    id are equal: they may share execution environments.
    """

    function_name: str
    version: str = LATEST
    runtime: str
    handler: str
    role: str
    code: Code
    description: str = ""
    timeout_s: int = TIMEOUT_DEFAULT_S
    memory_size_mb: int = MEMORY_SIZE_DEFAULT_MB
    ephemeral_storage_mb: int = 512
    environment: dict[str, str] | None = None
    architectures: tuple[str, ...] = ("x86_64",)
    log_format: str = "Text"
    log_group: str = ""
    layers: tuple[LayerRef, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    last_modified: str
    revision_id: str = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What belongs to a function as a whole rather than to one version.

    `published` is the fingerprint of `$LATEST` when it was last published: nothing changed
    since means that publishing again makes no new version.
    """

    function_name: str
    last_version_number: int = 0
    published: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    reserved_concurrency: int | None = None
    recursive_loop: Literal["Allow", "Terminate"] = "Terminate"
    code_signing_config_arn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionChange:
    """What is still to be done until a version serves, or why that failed; else there is no row.

    A version that is being created has no `desired`: it is in its own table already. An update
    of `$LATEST` is what `desired` says; its row in the table of versions serves until then.
    `failure_code` is AWS's reason code, "" while the change is under way.
    """

    function_name: str
    version: str
    desired: FunctionVersion | None = None
    failure_code: str = ""
    failure_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name for a version; `routing` gives further versions their share of the invocations."""

    function_name: str
    name: str
    function_version: str
    description: str = ""
    routing: dict[str, float] = field(default_factory=dict)
    revision_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePolicy:
    """The statements of one function, version or alias; `qualifier` is "" for the function."""

    function_name: str
    qualifier: str
    statements: tuple[dict[str, Any], ...]
    revision_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer as a whole: numbers of its versions are never used twice, so it outlives them."""

    layer_name: str
    last_version_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerVersion:
    """One immutable version of a layer."""

    layer_name: str
    version: int
    code: Code
    description: str
    created_date: str
    compatible_runtimes: tuple[str, ...] | None = None
    compatible_architectures: tuple[str, ...] | None = None
    license_info: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPolicy:
    """Who may use one layer version."""

    layer_name: str
    version: int
    statements: tuple[dict[str, Any], ...]
    revision_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSigningConfig:
    """Which signing profiles the code of functions should be signed by; `policy` is AWS's word."""

    config_id: str
    description: str
    publishers: tuple[str, ...]
    policy: str
    last_modified: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedConcurrency:
    """How many environments of a version or alias are to be kept ready."""

    function_name: str
    qualifier: str
    requested: int
    last_modified: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeManagement:
    """When a version's runtime is updated; kept and shown."""

    function_name: str
    qualifier: str
    update_on: str
    runtime_version_arn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventInvokeConfig:
    """How asynchronous invocations of one version or alias are treated; `$LATEST` for none.

    None is what was not given; destinations are ARNs, "" for none.
    """

    function_name: str
    qualifier: str
    retry_attempts_max: int | None = None
    event_age_max_s: int | None = None
    on_success: str = ""
    on_failure: str = ""
    last_modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionUrlConfig:
    """The URL of a function or of one of its aliases; `qualifier` is "" for the function.

    `cors` holds AWS's members. `invoke_mode` is "" until it is given, and means BUFFERED then.
    """

    function_name: str
    qualifier: str
    url_id: str
    auth_type: str
    invoke_mode: str = ""
    cors: dict[str, Any] | None = None
    created: datetime
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSourceMapping:
    """One event source mapping; `settings` holds the members of its kind under AWS's names.

    `change` is the state that is passed through until a moment after `changed`: Creating,
    Enabling, Disabling, Updating or Deleting.
    """

    mapping_id: str
    function_name: str
    function_arn: str
    event_source_arn: str
    kind: str
    enabled: bool
    change: str
    changed: datetime
    settings: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)


class LambdaError(AwsError):
    """A refusal that tells whose fault it is, as Lambda's shapes do."""

    default_members: ClassVar[dict[str, Any]] = {"Type": "User"}


class ResourceNotFoundException(LambdaError):
    status = 404


class InvalidParameterValueException(LambdaError):
    status = 400


class ValidationException(AwsError):
    status = 400


class AccessDeniedException(AwsError):
    """The function is another account's."""

    status = 403


class ResourceConflictException(LambdaError):
    status = 409


class PreconditionFailedException(LambdaError):
    status = 412


class RecursiveInvocationException(LambdaError):
    """The same chain of requests has invoked the function too often."""

    status = 400


class InvalidRequestContentException(LambdaError):
    status = 400


class RequestTooLargeException(LambdaError):
    status = 413


class RequestEntityTooLargeException(LambdaError):
    status = 413


class TooManyRequestsException(LambdaError):
    """`Reason` is one of AWS's, such as `ReservedFunctionConcurrentInvocationLimitExceeded`."""

    status = 429


class SnapStartException(LambdaError):
    """A hook after the restore has failed."""

    status = 400


class SnapStartTimeoutException(LambdaError):
    """A restore took too long."""

    status = 408


class UnsupportedMediaTypeException(LambdaError):
    status = 415


class ResourceInUseException(LambdaError):
    status = 400


def rate_exceeded(reason: str, hint: str = "") -> TooManyRequestsException:
    """The refusal of an invocation that is one too many, for one of AWS's reasons.

    AWS: the answer has a Retry-After; which seconds it tells is not documented.
    """
    return TooManyRequestsException(
        "Rate Exceeded.", hint=hint, Reason=reason, retryAfterSeconds=RETRY_AFTER_S
    )


class PolicyLengthExceededException(LambdaError):
    status = 400


class CodeSigningConfigNotFoundException(LambdaError):
    status = 404


class ProvisionedConcurrencyConfigNotFoundException(LambdaError):
    status = 404


class CodeStorageExceededException(LambdaError):
    status = 400


class InvalidRuntimeException(AwsError):
    """The machine has no interpreter for the function's runtime."""

    status = 502
    fault = "Receiver"
    default_members: ClassVar[dict[str, Any]] = {"Type": "Service"}


class ServiceException(AwsError):
    status = 500
    fault = "Receiver"
    default_members: ClassVar[dict[str, Any]] = {"Type": "Service"}
