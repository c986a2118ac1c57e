"""The Lambda API of layers: their versions, who may use them, and what a function attaches.

Left to others: how layers are merged into `/opt` (`packages`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import (
    CODE_UNZIPPED_MAX_BYTES,
    LAYERS_MAX,
    POLICY_MAX_BYTES,
    AccessDeniedException,
    Code,
    InvalidParameterValueException,
    Layer,
    LayerPolicy,
    LayerRef,
    LayerVersion,
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
    ValidationException,
)
from lamington.functions.operations.constraints import refuse, require_valid
from lamington.functions.operations.paging import limit_of, marker_of, next_marker
from lamington.functions.operations.registry import FunctionRegistry, version_key
from lamington.functions.operations.sources import PackageSource
from lamington.functions.packages import Packages

LAYER_VERSION_ARN_PATTERN = (
    r"((arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}"
    r":layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+))"
)
_LAYER_ARN = re.compile(
    r"arn:[a-zA-Z0-9-]+:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12})"
    r":layer:(?P<name>[a-zA-Z0-9-_]+)(?::(?P<version>[0-9]+))?"
)
_ABSENT = "The resource you requested does not exist."
_REVISION_MISMATCH = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API"
    " to retrieve the latest Revision Id"
)
_ACTION = "lambda:GetLayerVersion"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReference:
    """What a request names: a layer, as seen by its own account and region."""

    layer_name: str
    scope: Scope

    @property
    def arn(self) -> str:
        return self.scope.arn("lambda", f"layer:{self.layer_name}")

    def version_arn(self, version: int) -> str:
        return f"{self.arn}:{version}"


def parse_layer(text: str, scope: Scope) -> LayerReference:
    """Read a layer's name or ARN, whose version is left out of account."""
    form = _LAYER_ARN.fullmatch(text)
    if form is None:
        return LayerReference(layer_name=text, scope=scope)
    owner = Scope(account_id=form["account"], region=form["region"])
    return LayerReference(layer_name=form["name"], scope=owner)


class LayerOperations:
    """Layer versions and their policies; finds the layers that a function names."""

    def __init__(
        self, registry: FunctionRegistry, packages: Packages, source: PackageSource
    ) -> None:
        self._registry = registry
        self._packages = packages
        self._source = source

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:PublishLayerVersion": self.publish_layer_version,
            "lambda:ListLayers": self.list_layers,
            "lambda:ListLayerVersions": self.list_layer_versions,
            "lambda:GetLayerVersion": self.get_layer_version,
            "lambda:GetLayerVersionByArn": self.get_layer_version_by_arn,
            "lambda:DeleteLayerVersion": self.delete_layer_version,
            "lambda:AddLayerVersionPermission": self.add_layer_version_permission,
            "lambda:GetLayerVersionPolicy": self.get_layer_version_policy,
            "lambda:RemoveLayerVersionPermission": self.remove_layer_version_permission,
        }

    async def publish_layer_version(self, params: Params, scope: Scope) -> Result:
        """Make a version, and with the first one the layer.

        AWS: PublishLayerVersion; numbers are never used twice, also after deletion.
        """
        require_valid(params, ["Description", "LicenseInfo"])
        reference = _own(parse_layer(params["LayerName"], scope), scope, params["LayerName"])
        code = await self._source.store(params["Content"], scope, "PublishLayerVersion")
        layer = self._registry.layers.get(scope, reference.layer_name)
        number = layer.last_version_number + 1 if layer else 1
        version = LayerVersion(
            layer_name=reference.layer_name,
            version=number,
            code=code,
            description=params.get("Description") or "",
            created_date=self._registry.timestamp(),
            compatible_runtimes=_optional(params.get("CompatibleRuntimes")),
            compatible_architectures=_optional(params.get("CompatibleArchitectures")),
            license_info=params.get("LicenseInfo"),
        )
        with self._registry.transaction():
            self._registry.layers.put(
                scope, Layer(layer_name=reference.layer_name, last_version_number=number)
            )
            self._registry.layer_versions.put(scope, version)
        return self._render(reference, version)

    async def list_layers(self, params: Params, scope: Scope) -> Result:
        """Each layer with its newest version that fits the filters; the others are left out."""
        marker, limit = marker_of(params), limit_of(params)
        shown: list[Result] = []
        more: str | None = marker
        while len(shown) < limit:
            page = self._registry.layers.page(scope, marker=more, limit=1)
            for layer in page.rows:
                reference = LayerReference(layer_name=layer.layer_name, scope=scope)
                fitting = self._fitting(reference, params)
                if fitting:
                    shown.append(
                        {
                            "LayerName": layer.layer_name,
                            "LayerArn": reference.arn,
                            "LatestMatchingVersion": _listed(reference, fitting[0]),
                        }
                    )
            more = page.marker
            if more is None:
                break
        return {"Layers": shown, **next_marker(more)}

    async def list_layer_versions(self, params: Params, scope: Scope) -> Result:
        """The versions of a layer, the newest first; none where there is no such layer."""
        reference = parse_layer(params["LayerName"], scope)
        marker, limit = marker_of(params), limit_of(params)
        found = [
            version
            for version in self._fitting(reference, params)
            if not marker or version_key(str(version.version)) < marker
        ]
        page, rest = found[:limit], found[limit:]
        key = version_key(str(page[-1].version)) if rest else None
        return {
            "LayerVersions": [_listed(reference, version) for version in page],
            **next_marker(key),
        }

    def _fitting(self, reference: LayerReference, params: Params) -> list[LayerVersion]:
        """The versions that fit a request's filters, the newest first.

        AWS: ListLayerVersions; a version that states no runtimes is compatible with none.
        """
        runtime, architecture = (
            params.get("CompatibleRuntime"),
            params.get("CompatibleArchitecture"),
        )
        versions = self._registry.layer_versions.all(reference.scope, reference.layer_name)
        return [
            version
            for version in reversed(versions)
            if (not runtime or runtime in (version.compatible_runtimes or ()))
            and (not architecture or architecture in (version.compatible_architectures or ()))
        ]

    async def get_layer_version(self, params: Params, scope: Scope) -> Result:
        reference = parse_layer(params["LayerName"], scope)
        number = _require_number(params["VersionNumber"])
        return self._render(reference, self._require(reference, number, scope))

    async def get_layer_version_by_arn(self, params: Params, scope: Scope) -> Result:
        form = _LAYER_ARN.fullmatch(params["Arn"])
        if form is None or not form["version"]:
            refuse(
                [
                    f"Value '{params['Arn']}' at 'arn' failed to satisfy constraint: Member must"
                    f" satisfy regular expression pattern: {LAYER_VERSION_ARN_PATTERN}"
                ]
            )
        assert form is not None
        reference = parse_layer(params["Arn"], scope)
        return self._render(reference, self._require(reference, int(form["version"]), scope))

    async def delete_layer_version(self, params: Params, scope: Scope) -> Result:
        """Delete a version; functions that have it keep it, and that there is none is success."""
        reference = parse_layer(params["LayerName"], scope)
        number = _require_number(params["VersionNumber"])
        key = (_own(reference, scope, params["LayerName"]).layer_name, version_key(str(number)))
        with self._registry.transaction():
            self._registry.layer_versions.delete(scope, *key)
            self._registry.layer_policies.delete(scope, *key)
        return {}

    async def add_layer_version_permission(self, params: Params, scope: Scope) -> Result:
        """Let another account, or everybody, use a layer version."""
        reference, number = self._require_version(params, scope)
        policy = self._policy(reference, number)
        statements = policy.statements if policy else ()
        if any(each["Sid"] == params["StatementId"] for each in statements):
            raise ResourceConflictException(
                f"The statement id ({params['StatementId']}) provided already exists. Please"
                " provide a new statement id, or remove the existing statement."
            )
        _require_revision(params, policy)
        statement = _statement(params, reference.version_arn(number), scope)
        changed = LayerPolicy(
            layer_name=reference.layer_name,
            version=number,
            statements=(*statements, statement),
            revision_id=self._registry.revision_id(),
        )
        size = len(_render_policy(changed).encode())
        if size > POLICY_MAX_BYTES:
            raise PolicyLengthExceededException(
                f"The final policy size ({size}) is bigger than the limit ({POLICY_MAX_BYTES})."
            )
        self._registry.layer_policies.put(scope, changed)
        return {
            "Statement": msgspec.json.encode(statement).decode(),
            "RevisionId": changed.revision_id,
        }

    async def get_layer_version_policy(self, params: Params, scope: Scope) -> Result:
        reference, number = self._require_version(params, scope)
        policy = self._policy(reference, number)
        if policy is None:
            raise ResourceNotFoundException("No policy is associated with the given resource.")
        return {"Policy": _render_policy(policy), "RevisionId": policy.revision_id}

    async def remove_layer_version_permission(self, params: Params, scope: Scope) -> Result:
        reference, number = self._require_version(params, scope)
        policy = self._policy(reference, number)
        if policy is None:
            raise ResourceNotFoundException("No policy is associated with the given resource.")
        _require_revision(params, policy)
        left = tuple(each for each in policy.statements if each["Sid"] != params["StatementId"])
        if len(left) == len(policy.statements):
            raise ResourceNotFoundException(
                f"Statement {params['StatementId']} is not found in resource policy."
            )
        if left:
            revision_id = self._registry.revision_id()
            changed = replace(policy, statements=left, revision_id=revision_id)
            self._registry.layer_policies.put(scope, changed)
        else:
            key = version_key(str(number))
            self._registry.layer_policies.delete(scope, reference.layer_name, key)
        return {}

    def resolve(
        self, arns: Sequence[str], code: Code, scope: Scope, attached: Sequence[LayerRef] = ()
    ) -> tuple[LayerRef, ...]:
        """What the layers of a function are; `attached` are those that it has already.

        AWS: a layer that is attached stays usable after its version is deleted; the limits are
        those of a function with all its layers.
        Differs: layers of other accounts on AWS cannot be fetched.
        """
        if len(arns) > LAYERS_MAX:
            raise InvalidParameterValueException(f"Cannot reference more than {LAYERS_MAX} layers.")
        known = {layer.arn: layer for layer in attached}
        seen: dict[str, str] = {}
        found = []
        for arn in arns:
            layer = self._attachable(arn, scope, known)
            name = arn.rpartition(":")[0]
            if name in seen:
                raise InvalidParameterValueException(
                    "Two different versions of the same layer are not allowed to be referenced in"
                    f" the same function. {arn} and {seen[name]} are versions of the same layer."
                )
            seen[name] = arn
            found.append(layer)
        self.require_fitting(code, found)
        return tuple(found)

    def require_fitting(self, code: Code, layers: Sequence[LayerRef]) -> None:
        """Raise where a function and its layers hold more than 250 MB unzipped.

        AWS: Lambda quotas; the texts are the service's, from memory.
        """
        if not layers:
            return
        size = sum(self._packages.unzipped_bytes(layer.blob) for layer in layers)
        if size > CODE_UNZIPPED_MAX_BYTES:
            raise InvalidParameterValueException(
                f"Layers consume more than the available size of {CODE_UNZIPPED_MAX_BYTES} bytes"
            )
        size += self._packages.unzipped_bytes(code.blob)
        if size > CODE_UNZIPPED_MAX_BYTES:
            raise InvalidParameterValueException(
                "Function code combined with layers exceeds the maximum allowed size of"
                f" {CODE_UNZIPPED_MAX_BYTES} bytes. The actual size is {size} bytes."
            )

    def _attachable(self, arn: str, scope: Scope, known: Mapping[str, LayerRef]) -> LayerRef:
        form = _LAYER_ARN.fullmatch(arn)
        if form is None or not form["version"]:
            raise ValidationException(
                f"1 validation error detected: Value '[{arn}]' at 'layers' failed to satisfy"
                " constraint: Member must satisfy constraint: [Member must have length less than"
                " or equal to 2048, Member must have length greater than or equal to 1, Member"
                f" must satisfy regular expression pattern: {LAYER_VERSION_ARN_PATTERN}, Member"
                " must not be null]"
            )
        if form["region"] != scope.region:
            raise InvalidParameterValueException(
                "Layers are not in the same region as the function. Layers are expected to be in"
                f" region {scope.region}."
            )
        reference = parse_layer(arn, scope)
        version = self._find(reference, int(form["version"]))
        if version is None and reference.scope == scope:
            if arn in known:
                return known[arn]
            raise InvalidParameterValueException(f"Layer version {arn} does not exist.")
        if version is None or not self._permits(reference, version.version, scope):
            if arn in known:
                return known[arn]
            raise AccessDeniedException(
                _denied(arn, scope),
                hint="layers of other accounts are not fetched from AWS: publish the layer here",
            )
        return LayerRef(arn=arn, code_size=version.code.size_bytes, blob=version.code.blob)

    # Within

    def _find(self, reference: LayerReference, number: int) -> LayerVersion | None:
        key = version_key(str(number))
        return self._registry.layer_versions.get(reference.scope, reference.layer_name, key)

    def _require(self, reference: LayerReference, number: int, caller: Scope) -> LayerVersion:
        version = self._find(reference, number)
        if version is None:
            raise ResourceNotFoundException(_ABSENT)
        if not self._permits(reference, number, caller):
            raise AccessDeniedException(_denied(reference.version_arn(number), caller))
        return version

    def _require_version(self, params: Params, scope: Scope) -> tuple[LayerReference, int]:
        """The layer version of a request about its policy, which only its owner may make."""
        reference, number = parse_layer(params["LayerName"], scope), params["VersionNumber"]
        _require_number(number)
        require_valid(params, ["StatementId"])
        if self._find(_own(reference, scope, params["LayerName"]), number) is None:
            raise ResourceNotFoundException(
                f"Layer version {reference.version_arn(number)} does not exist."
            )
        return reference, number

    def _policy(self, reference: LayerReference, number: int) -> LayerPolicy | None:
        key = version_key(str(number))
        return self._registry.layer_policies.get(reference.scope, reference.layer_name, key)

    def _permits(self, reference: LayerReference, number: int, caller: Scope) -> bool:
        """Whether an account may use the version: its owner, or whom the policy names."""
        if reference.scope.account_id == caller.account_id:
            return True
        policy = self._policy(reference, number)
        principals = ("*", {"AWS": f"arn:{caller.partition}:iam::{caller.account_id}:root"})
        return policy is not None and any(
            statement["Principal"] in principals and "Condition" not in statement
            for statement in policy.statements
        )

    def _render(self, reference: LayerReference, version: LayerVersion) -> Result:
        """A version as GetLayerVersion shows it.

        Differs: the content's Location is a file URL of this machine, which does not run out.
        """
        return {
            "Content": {
                "Location": self._registry.blob_location(version.code.blob),
                "CodeSha256": version.code.sha256_base64,
                "CodeSize": version.code.size_bytes,
            },
            "LayerArn": reference.arn,
            **_listed(reference, version),
        }


def _listed(reference: LayerReference, version: LayerVersion) -> Result:
    """A version as the lists show it; what was not given is left out."""
    shown: Result = {
        "LayerVersionArn": reference.version_arn(version.version),
        "Version": version.version,
        "Description": version.description,
        "CreatedDate": version.created_date,
    }
    for member, value in (
        ("CompatibleRuntimes", version.compatible_runtimes),
        ("CompatibleArchitectures", version.compatible_architectures),
    ):
        if value is not None:
            shown[member] = list(value)
    if version.license_info is not None:
        shown["LicenseInfo"] = version.license_info
    return shown


def _statement(params: Params, resource: str, scope: Scope) -> dict[str, Any]:
    """AWS: AddLayerVersionPermission; an account's id stands for its root."""
    principal: Any = params["Principal"]
    if principal != "*":
        account = principal.split(":")[4] if ":" in principal else principal
        principal = {"AWS": f"arn:{scope.partition}:iam::{account}:root"}
    statement = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": principal,
        "Action": _ACTION,
        "Resource": resource,
    }
    if params.get("OrganizationId"):
        condition = {"aws:PrincipalOrgID": params["OrganizationId"]}
        statement["Condition"] = {"StringEquals": condition}
    return statement


def _render_policy(policy: LayerPolicy) -> str:
    document = {"Version": "2012-10-17", "Id": "default", "Statement": policy.statements}
    return msgspec.json.encode(document).decode()


def _require_revision(params: Params, policy: LayerPolicy | None) -> None:
    given = params.get("RevisionId")
    if given and (policy is None or given != policy.revision_id):
        raise PreconditionFailedException(_REVISION_MISMATCH)


def _require_number(number: int) -> int:
    if number < 1:
        raise InvalidParameterValueException("Layer Version Cannot be less than 1")
    return number


def _own(reference: LayerReference, scope: Scope, text: str) -> LayerReference:
    """Only the owner changes a layer."""
    if reference.scope != scope:
        raise AccessDeniedException(_denied(text, scope))
    return reference


def _denied(arn: str, scope: Scope) -> str:
    return (
        f"User: arn:{scope.partition}:iam::{scope.account_id}:root is not authorized to perform:"
        f" {_ACTION} on resource: {arn} because no resource-based policy allows the {_ACTION}"
        " action"
    )


def _optional(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
