"""A version's row and the configuration that the API shows of it, each made from the other.

Pure. `NOT_EMULATED` lists what is kept and shown but not acted on. Left to others: bounds of
the members (`constraints`), rows (`registry`), the operations (`functions`, `versions`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from lamington.core.aws import Params, Scope
from lamington.functions.entities import FunctionVersion, InvalidParameterValueException
from lamington.functions.operations.constraints import (
    EPHEMERAL_STORAGE_MIN_MB,
    RUNTIMES_CLOSED,
    require_runtime,
    require_variables,
)

KEPT_MEMBERS = (
    "VpcConfig",
    "DeadLetterConfig",
    "KMSKeyArn",
    "TracingConfig",
    "FileSystemConfigs",
    "SnapStart",
    "CodeSigningConfigArn",
    "TenancyConfig",
    "CapacityProviderConfig",
    "DurableConfig",
    "RuntimeConfig",
    "AcceleratorConfig",
)
"""Members that go into `FunctionVersion.settings` as given."""

NOT_EMULATED: Mapping[str, str] = {
    "VpcConfig": "is in no VPC: it reaches what this machine reaches",
    "DeadLetterConfig": "has no dead-letter queue: failed asynchronous events are dropped",
    "KMSKeyArn": "keeps its environment variables unencrypted on this machine",
    "TracingConfig": "sends no traces to X-Ray",
    "FileSystemConfigs": "has no file system mounted",
    "SnapStart": "starts without snapshots",
    "CodeSigningConfigArn": "runs code whose signature is not checked",
    "TenancyConfig": "shares its execution environments between tenants",
    "CapacityProviderConfig": "runs on this machine, not on a capacity provider",
    "DurableConfig": "has no durable executions",
    "RuntimeConfig": "runs on the interpreter that is installed here",
    "AcceleratorConfig": "has no accelerator",
    "Architectures": "runs on this machine's own processor",
    "EphemeralStorage": "has no limit on /tmp but the disk's",
    "SystemLogLevel": "logs the platform's events of level INFO",
}
"""What is accepted, kept and shown, but not acted on, as the end of a sentence."""

LAYERS_REFUSED = (
    "Layers are not supported by Lamington yet: put the layer's content into the function's"
    " deployment package."
)
IMAGES_REFUSED = (
    "Functions from container images are not supported by Lamington: use PackageType Zip with a"
    " deployment package."
)
_LEVELS_WITH_TEXT = (
    'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request'
    ' or change the LogFormat to "JSON" and try again.'
)
_LEVELS = ("ApplicationLogLevel", "SystemLogLevel")


def unemulated(version: FunctionVersion) -> list[str]:
    """What of this version's configuration is not acted on here, one sentence each."""
    settings = version.settings
    logging = settings.get("LoggingConfig", {})
    given = {
        **settings,
        "VpcConfig": settings.get("VpcConfig", {}).get("SubnetIds"),
        "TracingConfig": settings.get("TracingConfig", {}).get("Mode") == "Active",
        "SnapStart": settings.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions",
        "Architectures": "arm64" in version.architectures,
        "EphemeralStorage": version.ephemeral_storage_mb != EPHEMERAL_STORAGE_MIN_MB,
        "SystemLogLevel": logging.get("SystemLogLevel", "INFO") != "INFO",
    }
    sentences = [
        f"`{version.function_name}` {end} ({member})"
        for member, end in NOT_EMULATED.items()
        if given.get(member)
    ]
    if version.runtime in RUNTIMES_CLOSED:
        sentences.append(
            f"`{version.function_name}` has runtime `{version.runtime}`, for which AWS creates no"
            " function any more"
        )
    return sentences


def configured(version: FunctionVersion, params: Params) -> FunctionVersion:
    """The version with the members of CreateFunction or UpdateFunctionConfiguration applied.

    A member that is absent changes nothing; one that is given replaces the whole of it.

    AWS: UpdateFunctionConfiguration; empty values of Layers, DeadLetterConfig and KMSKeyArn clear.
    Differs: layers and container images are refused.
    """
    if params.get("Layers"):
        raise InvalidParameterValueException(LAYERS_REFUSED)
    if params.get("ImageConfig"):
        raise InvalidParameterValueException(IMAGES_REFUSED)
    changes: dict[str, Any] = {
        field: params[member]
        for member, field in (
            ("Runtime", "runtime"),
            ("Handler", "handler"),
            ("Role", "role"),
            ("Description", "description"),
            ("Timeout", "timeout_s"),
            ("MemorySize", "memory_size_mb"),
        )
        if params.get(member) is not None
    }
    if "runtime" in changes:
        require_runtime(changes["runtime"])
    if params.get("EphemeralStorage") is not None:
        changes["ephemeral_storage_mb"] = params["EphemeralStorage"]["Size"]
    if params.get("Architectures"):
        changes["architectures"] = require_architectures(params["Architectures"])
    if params.get("Environment") is not None:
        variables = dict(params["Environment"].get("Variables") or {})
        require_variables(variables)
        changes["environment"] = variables
    settings = _settings(version.settings, params)
    if params.get("LoggingConfig") is not None:
        logging = _logging(version, params["LoggingConfig"])
        changes["log_format"] = logging["LogFormat"]
        changes["log_group"] = logging["LogGroup"]
        settings["LoggingConfig"] = {each: logging[each] for each in _LEVELS if each in logging}
    return replace(version, settings=settings, **changes)


def require_architectures(architectures: list[str]) -> tuple[str, ...]:
    """One architecture; both run on this machine's own processor."""
    if len(architectures) != 1 or architectures[0] not in ("x86_64", "arm64"):
        shown = ", ".join(architectures)
        raise InvalidParameterValueException(
            f"1 validation error detected: Value '[{shown}]' at 'architectures' failed to satisfy"
            " constraint: Member must satisfy constraint: [Member must satisfy enum value set:"
            " [x86_64, arm64], Member must not be null]"
        )
    return tuple(architectures)


def _settings(settings: Mapping[str, Any], params: Params) -> dict[str, Any]:
    kept = dict(settings)
    for member in KEPT_MEMBERS:
        if params.get(member) is not None:
            kept[member] = params[member]
    if not kept.get("DeadLetterConfig", {}).get("TargetArn"):
        kept.pop("DeadLetterConfig", None)
    for member in ("KMSKeyArn", "FileSystemConfigs"):
        if not kept.get(member):
            kept.pop(member, None)
    return kept


def _logging(version: FunctionVersion, given: Mapping[str, Any]) -> dict[str, str]:
    form = given.get("LogFormat") or version.log_format
    if form == "Text" and any(given.get(level) for level in _LEVELS):
        raise InvalidParameterValueException(_LEVELS_WITH_TEXT)
    levels = {level: "INFO" for level in _LEVELS} if form == "JSON" else {}
    before = version.settings.get("LoggingConfig", {}) if form == "JSON" else {}
    chosen = {level: given[level] for level in _LEVELS if given.get(level)}
    return {
        "LogFormat": form,
        "LogGroup": given.get("LogGroup") or version.log_group or default_log_group(version),
        **levels,
        **before,
        **chosen,
    }


def default_log_group(version: FunctionVersion) -> str:
    return f"/aws/lambda/{version.function_name}"


def render_configuration(version: FunctionVersion, function_arn: str, scope: Scope) -> Params:
    """The configuration of an active version, as GetFunctionConfiguration shows it.

    AWS: members that are not set are left out.
    """
    shown: dict[str, Any] = {
        "FunctionName": version.function_name,
        "FunctionArn": function_arn,
        "Runtime": version.runtime,
        "Role": version.role,
        "Handler": version.handler,
        "CodeSize": version.code.size_bytes,
        "Description": version.description,
        "Timeout": version.timeout_s,
        "MemorySize": version.memory_size_mb,
        "LastModified": version.last_modified,
        "CodeSha256": version.code.sha256_base64,
        "Version": version.version,
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": version.revision_id,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": list(version.architectures),
        "EphemeralStorage": {"Size": version.ephemeral_storage_mb},
        "SnapStart": {"ApplyOn": "None"},
        "RuntimeVersionConfig": {"RuntimeVersionArn": _runtime_arn(version.runtime, scope)},
    }
    hidden = ("CodeSigningConfigArn", "LoggingConfig")
    shown |= {name: value for name, value in version.settings.items() if name not in hidden}
    shown["SnapStart"] = {**shown["SnapStart"], "OptimizationStatus": "Off"}
    if "VpcConfig" in shown:
        empty = {"SubnetIds": [], "SecurityGroupIds": [], "Ipv6AllowedForDualStack": False}
        shown["VpcConfig"] = {**empty, **shown["VpcConfig"], "VpcId": ""}
    if version.environment is not None:
        shown["Environment"] = {"Variables": version.environment}
    shown["LoggingConfig"] = {
        "LogFormat": version.log_format,
        "LogGroup": version.log_group or default_log_group(version),
        **version.settings.get("LoggingConfig", {}),
    }
    return shown


def _runtime_arn(runtime: str, scope: Scope) -> str:
    digest = hashlib.sha256(runtime.encode()).hexdigest()
    return f"arn:{scope.partition}:lambda:{scope.region}::runtime:{digest}"


def as_being_created(configuration: Params, revision_id: str) -> dict[str, Any]:
    """What CreateFunction answers: pending, under the revision that comes before activation."""
    shown = {name: value for name, value in configuration.items() if name != "LastUpdateStatus"}
    return shown | {
        "RevisionId": revision_id,
        "State": "Pending",
        "StateReason": "The function is being created.",
        "StateReasonCode": "Creating",
    }


def as_being_updated(configuration: Params, revision_id: str) -> dict[str, Any]:
    """What an update answers: in progress, under the revision that comes before its end."""
    return {
        **configuration,
        "RevisionId": revision_id,
        "LastUpdateStatus": "InProgress",
        "LastUpdateStatusReason": "The function is being created.",
        "LastUpdateStatusReasonCode": "Creating",
    }


def as_listed(configuration: Params) -> dict[str, Any]:
    """What the lists show: a configuration without its states and its runtime's version."""
    left_out = ("State", "LastUpdateStatus", "RuntimeVersionConfig")
    return {name: value for name, value in configuration.items() if name not in left_out}


def fingerprint(version: FunctionVersion) -> str:
    """Tells whether anything changed since a version was published: code or configuration."""
    same = replace(version, version="", last_modified="", revision_id="")
    return hashlib.sha256(msgspec.json.encode(same, order="deterministic")).hexdigest()
