"""The Lambda API of versions and aliases."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import (
    LATEST,
    Alias,
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lamington.functions.operations.configuration import (
    as_listed,
    has_snapshots,
    render_configuration,
)
from lamington.functions.operations.constraints import require_valid
from lamington.functions.operations.names import FunctionReference, parse_function
from lamington.functions.operations.paging import limit_of, marker_of, next_marker
from lamington.functions.operations.registry import FunctionRegistry

REVISION_MISMATCH = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias"
    " API to retrieve the latest Revision Id"
)

Forget = Callable[[str, Scope], None]
"""Tells the invoker that the versions behind a function's name or its aliases changed."""

Begin = Callable[[str, Scope], None]
"""Has carried out what is still to be done about a function."""


def require_revision(params: Params, actual: str) -> None:
    """Raise PreconditionFailedException where the request means another revision."""
    if params.get("RevisionId") and params["RevisionId"] != actual:
        raise PreconditionFailedException(REVISION_MISMATCH)


class VersionOperations:
    """Publishes versions and points aliases at them."""

    def __init__(self, registry: FunctionRegistry, forget: Forget, begin: Begin) -> None:
        self._registry = registry
        self._forget = forget
        self._begin = begin

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:PublishVersion": self.publish_version,
            "lambda:ListVersionsByFunction": self.list_versions_by_function,
            "lambda:CreateAlias": self.create_alias,
            "lambda:GetAlias": self.get_alias,
            "lambda:ListAliases": self.list_aliases,
            "lambda:UpdateAlias": self.update_alias,
            "lambda:DeleteAlias": self.delete_alias,
        }

    async def publish_version(self, params: Params, scope: Scope) -> Result:
        """Make an immutable copy of `$LATEST`.

        AWS: PublishVersion; where nothing changed since the last one, that one is the answer. A
        version that starts from a snapshot is pending until it is there.
        """
        reference = parse_function(params["FunctionName"], scope)
        require_valid(params, ["Description"])
        latest = self._registry.latest(reference)
        self._registry.require_settled(reference)
        require_revision(params, latest.revision_id)
        wanted, actual = params.get("CodeSha256"), latest.code.sha256_base64
        if wanted and wanted != actual:
            raise InvalidParameterValueException(
                f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({actual})."
                " Please try again with the CodeSHA256 in $LATEST."
            )
        description = params.get("Description") or ""
        with self._registry.transaction():
            version = self._registry.publish(
                reference, latest, description, pending=has_snapshots(latest)
            )
            self._registry.touch(reference)
        change = self._registry.change(reference, version.version)
        if change is not None:
            self._begin(reference.function_name, scope)
        arn = f"{reference.function_arn}:{version.version}"
        return render_configuration(version, arn, scope, change)

    async def list_versions_by_function(self, params: Params, scope: Scope) -> Result:
        """`$LATEST` first, then every version in the order of the numbers."""
        reference = parse_function(params["FunctionName"], scope)
        self._registry.require(reference)
        page = self._registry.versions.page(
            scope, reference.function_name, marker=marker_of(params), limit=limit_of(params)
        )
        shown = [
            as_listed(render_configuration(row, f"{reference.function_arn}:{row.version}", scope))
            for row in self._registry.shown(scope, page.rows)
        ]
        return {"Versions": shown, **next_marker(page.marker)}

    async def create_alias(self, params: Params, scope: Scope) -> Result:
        """Raises ResourceConflictException where the alias exists already."""
        reference = parse_function(params["FunctionName"], scope)
        require_valid(params, ["Name", "FunctionVersion", "Description"])
        name, version = params["Name"], params["FunctionVersion"]
        self._registry.require(reference)
        arn = f"{reference.function_arn}:{name}"
        if self._registry.aliases.get(scope, reference.function_name, name) is not None:
            raise ResourceConflictException(f"Alias already exists: {arn}")
        self._require_version(reference, version)
        alias = Alias(
            function_name=reference.function_name,
            name=name,
            function_version=version,
            description=params.get("Description") or "",
            routing=self._routing(reference, version, params.get("RoutingConfig")),
            revision_id=self._registry.revision_id(),
        )
        self._put(reference, alias)
        return _render_alias(alias, arn)

    async def get_alias(self, params: Params, scope: Scope) -> Result:
        reference = parse_function(params["FunctionName"], scope)
        require_valid(params, ["Name"])
        self._registry.require(reference)
        arn = f"{reference.function_arn}:{params['Name']}"
        alias = self._registry.aliases.get(scope, reference.function_name, params["Name"])
        if alias is None:
            raise ResourceNotFoundException(f"Cannot find alias arn: {arn}")
        return _render_alias(alias, arn)

    async def list_aliases(self, params: Params, scope: Scope) -> Result:
        """Every alias, or those that point at one version, by their main or their second."""
        reference = parse_function(params["FunctionName"], scope)
        require_valid(params, ["FunctionVersion"])
        self._registry.require(reference)
        page = self._registry.aliases.page(
            scope, reference.function_name, marker=marker_of(params), limit=limit_of(params)
        )
        version = params.get("FunctionVersion")
        shown = [
            _render_alias(row, f"{reference.function_arn}:{row.name}")
            for row in page.rows
            if not version or version == row.function_version or version in row.routing
        ]
        return {"Aliases": shown, **next_marker(page.marker)}

    async def update_alias(self, params: Params, scope: Scope) -> Result:
        """Change what is given; `AdditionalVersionWeights` without a version ends the routing."""
        reference = parse_function(params["FunctionName"], scope)
        require_valid(params, ["Name", "FunctionVersion", "Description"])
        self._registry.require(reference)
        arn = f"{reference.function_arn}:{params['Name']}"
        alias = self._registry.aliases.get(scope, reference.function_name, params["Name"])
        if alias is None:
            raise ResourceNotFoundException(f"Alias not found: {arn}")
        require_revision(params, alias.revision_id)
        version = params.get("FunctionVersion") or alias.function_version
        self._require_version(reference, version)
        routing = params.get("RoutingConfig")
        if routing is None and alias.routing:
            routing = {"AdditionalVersionWeights": alias.routing}
        description = params.get("Description")
        changed = replace(
            alias,
            function_version=version,
            description=alias.description if description is None else description,
            routing=self._routing(reference, version, routing),
            revision_id=self._registry.revision_id(),
        )
        self._put(reference, changed)
        return _render_alias(changed, arn)

    async def delete_alias(self, params: Params, scope: Scope) -> Result:
        """Delete the alias and its policy; that there is no such alias is success."""
        reference = parse_function(params["FunctionName"], scope)
        require_valid(params, ["Name"])
        self._registry.require(reference)
        self._registry.delete_alias(reference, params["Name"])
        self._forget(reference.function_name, scope)
        return {}

    def _put(self, reference: FunctionReference, alias: Alias) -> None:
        self._registry.aliases.put(reference.scope, alias)
        self._forget(reference.function_name, reference.scope)

    def _require_version(self, reference: FunctionReference, version: str) -> None:
        if self._registry.numbered(reference, version) is None:
            raise replace(reference, qualifier=version).not_found()

    def _routing(
        self, reference: FunctionReference, version: str, given: Mapping[str, Any] | None
    ) -> dict[str, float]:
        """Check and return the weights of an alias's further versions.

        AWS: one further version at most, neither `$LATEST` nor the alias's own.
        """
        weights: dict[str, float] = dict((given or {}).get("AdditionalVersionWeights") or {})
        if not weights:
            return {}
        if len(weights) > 1:
            raise InvalidParameterValueException(
                "Number of items in AdditionalVersionWeights cannot be greater than 1"
            )
        [(further, weight)] = weights.items()
        if LATEST in (version, further):
            raise InvalidParameterValueException(
                "$LATEST is not supported for an alias pointing to more than 1 version"
            )
        if further == version:
            raise InvalidParameterValueException(
                f"Invalid function version {further}. Function version {further} is already"
                " included in routing configuration."
            )
        if not 0.0 <= weight <= 1.0:
            raise InvalidParameterValueException(
                f"Invalid AdditionalVersionWeights {weight}. A weight is between 0.0 and 1.0."
            )
        self._require_version(reference, further)
        return weights


def _render_alias(alias: Alias, arn: str) -> Result:
    routing = {"RoutingConfig": {"AdditionalVersionWeights": alias.routing}}
    return {
        "AliasArn": arn,
        "Name": alias.name,
        "FunctionVersion": alias.function_version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
        **(routing if alias.routing else {}),
    }
