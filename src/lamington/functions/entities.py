"""What AWS Lambda is made of, as rows: functions, versions, aliases, permissions; quotas; errors.

Left to others: what the API shows of them (`operations/`), and what runs them (`environment`).
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from lamington.core.errors import AwsError

LATEST = "$LATEST"

TIMEOUT_DEFAULT_S = 3
TIMEOUT_MAX_S = 900
MEMORY_SIZE_DEFAULT_MB = 128
REQUEST_PAYLOAD_MAX_BYTES = 6_291_456
RESPONSE_PAYLOAD_MAX_BYTES = 6_291_556
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A deployment package: the blob's name (hexadecimal SHA-256) and size."""

    blob: str
    size_bytes: int
    sha256_base64: str


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


class InvalidRequestContentException(LambdaError):
    status = 400


class RequestTooLargeException(LambdaError):
    status = 413


class RequestEntityTooLargeException(LambdaError):
    status = 413


class TooManyRequestsException(LambdaError):
    """`Reason` is one of AWS's, such as `ReservedFunctionConcurrentInvocationLimitExceeded`."""

    status = 429


class PolicyLengthExceededException(LambdaError):
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
