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
from lamington.functions.entities import (
    LATEST,
    Function,
    FunctionChange,
    FunctionVersion,
    InvalidParameterValueException,
    LayerRef,
)
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
    "TenancyConfig",
    "CapacityProviderConfig",
    "DurableConfig",
    "RuntimeConfig",
    "AcceleratorConfig",
)
"""Members that go into `FunctionVersion.settings` as given."""

NOT_EMULATED: Mapping[str, str] = {
    "VpcConfig": "is in no VPC: it reaches what this machine reaches",
    "DeadLetterConfig": "has its dead-letter queue in a service that is not emulated yet: failed"
    " asynchronous events are logged, counted as DeadLetterErrors and dropped",
    "KMSKeyArn": "keeps its environment variables unencrypted on this machine",
    "TracingConfig": "sends no traces to X-Ray",
    "FileSystemConfigs": "has no file system mounted",
    "CodeSigningConfigArn": "runs code whose signature is not checked",
    "TenancyConfig": "shares its execution environments between tenants",
    "CapacityProviderConfig": "runs on this machine, not on a capacity provider",
    "DurableConfig": "has no durable executions",
    "RuntimeConfig": "runs on the interpreter that is installed here",
    "AcceleratorConfig": "has no accelerator",
    "Architectures": "runs on this machine's own processor",
}
"""What is accepted, kept and shown, but not acted on, as the end of a sentence."""

IMAGES_REFUSED = (
    "Functions from container images are not supported by Lamington: use PackageType Zip with a"
    " deployment package."
)
_LEVELS_WITH_TEXT = (
    'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request'
    ' or change the LogFormat to "JSON" and try again.'
)
_LEVELS = ("ApplicationLogLevel", "SystemLogLevel")

SNAPSHOT_RUNTIMES = frozenset(
    {
        *("java11", "java17", "java21", "java25", "java11.al2023", "java17.al2023"),
        *("python3.12", "python3.13", "python3.14", "python3.15", "dotnet8", "dotnet10"),
    }
)
"""Runtimes that may have SnapStart (state at the end of 2026)."""

_BEING_CREATED = "The function is being created."


def unemulated(version: FunctionVersion, function: Function | None = None) -> list[str]:
    """What of this version's configuration is not acted on here, one sentence each."""
    settings = version.settings
    given = {
        **settings,
        "CodeSigningConfigArn": function and function.code_signing_config_arn,
        "VpcConfig": settings.get("VpcConfig", {}).get("SubnetIds"),
        "TracingConfig": settings.get("TracingConfig", {}).get("Mode") == "Active",
        "Architectures": "arm64" in version.architectures,
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


def configured(
    version: FunctionVersion, params: Params, layers: tuple[LayerRef, ...] | None = None
) -> FunctionVersion:
    """The version with the members of CreateFunction or UpdateFunctionConfiguration applied.

    A member that is absent changes nothing; one that is given replaces the whole of it. `layers`
    are what the member of that name was found to mean, None where it is absent.

    AWS: UpdateFunctionConfiguration; empty values of Layers, DeadLetterConfig and KMSKeyArn clear.
    Differs: container images are refused.
    """
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
    if layers is not None:
        changes["layers"] = layers
    settings = _settings(version.settings, params)
    if params.get("LoggingConfig") is not None:
        logging = _logging(version, params["LoggingConfig"])
        changes["log_format"] = logging["LogFormat"]
        changes["log_group"] = logging["LogGroup"]
        settings["LoggingConfig"] = {each: logging[each] for each in _LEVELS if each in logging}
    changed = replace(version, settings=settings, **changes)
    _require_snapshots(changed)
    return changed


def has_snapshots(version: FunctionVersion) -> bool:
    """Whether versions that are published of this one start from a snapshot."""
    settings: Mapping[str, Any] = version.settings.get("SnapStart", {})
    return settings.get("ApplyOn") == "PublishedVersions"


def _require_snapshots(version: FunctionVersion) -> None:
    """Raise where SnapStart is asked for and cannot be had with the rest.

    AWS: Lambda developer guide, SnapStart supported features and limitations; the text of the
    runtime is recorded, the others are ours.
    """
    if not has_snapshots(version):
        return
    if version.runtime not in SNAPSHOT_RUNTIMES:
        raise InvalidParameterValueException(
            f"{version.runtime} is not supported for SnapStart enabled functions."
        )
    if version.ephemeral_storage_mb > EPHEMERAL_STORAGE_MIN_MB:
        raise InvalidParameterValueException(
            "SnapStart is not supported with more than 512 MB of ephemeral storage."
        )
    if version.settings.get("FileSystemConfigs"):
        raise InvalidParameterValueException("SnapStart is not supported with file systems.")


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
    _require_settings(kept)
    return kept


def _require_settings(settings: Mapping[str, Any]) -> None:
    """Raise InvalidParameterValueException for settings that do not go with each other.

    AWS: API reference, VpcConfig, FileSystemConfig and DeadLetterConfig; the texts of the first
    two are the service's, from memory.
    """
    network = settings.get("VpcConfig", {})
    if bool(network.get("SubnetIds")) != bool(network.get("SecurityGroupIds")):
        raise InvalidParameterValueException(
            "SubnetIds and SecurityIds must coexist or be both empty list."
        )
    if settings.get("FileSystemConfigs") and not network.get("SubnetIds"):
        raise InvalidParameterValueException(
            "Function must be configured to execute in a VPC to reference access points."
        )
    target = settings.get("DeadLetterConfig", {}).get("TargetArn", "")
    if target and target.split(":")[2] not in ("sqs", "sns"):
        raise InvalidParameterValueException(
            f"The target ARN {target} is neither that of an SQS queue nor of an SNS topic."
        )


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


def render_configuration(
    version: FunctionVersion,
    function_arn: str,
    scope: Scope,
    change: FunctionChange | None = None,
) -> dict[str, Any]:
    """The configuration of a version, as GetFunctionConfiguration shows it.

    `change` is what is under way or has failed: a version without one is active.

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
        **_state(change),
        "PackageType": "Zip",
        "Architectures": list(version.architectures),
        "EphemeralStorage": {"Size": version.ephemeral_storage_mb},
        "SnapStart": {"ApplyOn": "None"},
        "RuntimeVersionConfig": {"RuntimeVersionArn": _runtime_arn(version.runtime, scope)},
    }
    shown |= {name: value for name, value in version.settings.items() if name != "LoggingConfig"}
    has_snapshot = has_snapshots(version) and version.version != LATEST and change is None
    shown["SnapStart"] = {
        **shown["SnapStart"],
        "OptimizationStatus": "On" if has_snapshot else "Off",
    }
    if "VpcConfig" in shown:
        shown["VpcConfig"] = _network(shown["VpcConfig"])
    if version.layers:
        shown["Layers"] = [{"Arn": each.arn, "CodeSize": each.code_size} for each in version.layers]
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


def _network(given: Mapping[str, Any]) -> dict[str, Any]:
    """The VpcConfig of an answer, which names the VPC.

    Differs: no network is looked up; the VPC's id is made from those of the subnets.
    """
    subnets = sorted(given.get("SubnetIds") or ())
    network = hashlib.sha256(" ".join(subnets).encode()).hexdigest()[:17]
    return {
        "SubnetIds": [],
        "SecurityGroupIds": [],
        "Ipv6AllowedForDualStack": False,
        **given,
        "VpcId": f"vpc-{network}" if subnets else "",
    }


def _state(change: FunctionChange | None) -> dict[str, str]:
    """The members of a configuration that tell how far a version is.

    AWS: Lambda developer guide, function states.
    """
    if change is None:
        return {"State": "Active", "LastUpdateStatus": "Successful"}
    code, reason = change.failure_code or "Creating", change.failure_reason or _BEING_CREATED
    if change.desired is None:
        state = "Failed" if change.failure_code else "Pending"
        return {"State": state, "StateReason": reason, "StateReasonCode": code}
    return {
        "State": "Active",
        "LastUpdateStatus": "Failed" if change.failure_code else "InProgress",
        "LastUpdateStatusReason": reason,
        "LastUpdateStatusReasonCode": code,
    }


def as_listed(configuration: Params) -> dict[str, Any]:
    """What the lists show: a configuration without its states and its runtime's version."""
    return {
        name: value
        for name, value in configuration.items()
        if not name.startswith(("State", "LastUpdateStatus")) and name != "RuntimeVersionConfig"
    }


def fingerprint(version: FunctionVersion) -> str:
    """Tells whether anything changed since a version was published: code or configuration."""
    same = replace(version, version="", last_modified="", revision_id="")
    return hashlib.sha256(msgspec.json.encode(same, order="deterministic")).hexdigest()
