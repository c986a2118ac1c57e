"""The functions that exist: rows of functions, versions, aliases and policies, and who finds them.

A version that something is still to be done about has a row among the changes: `find` gives what
serves meanwhile, `version` what the API shows. Left to others: what the API says of them
(`functions`, `versions`, `permissions`), who carries the changes out (`changes`).
"""

from collections.abc import Callable
from dataclasses import replace

from lamington.core.aws import Scope
from lamington.core.clock import Clock, Ids
from lamington.core.store import Store, Table
from lamington.functions.entities import (
    LATEST,
    Alias,
    CodeSigningConfig,
    Function,
    FunctionChange,
    FunctionVersion,
    Layer,
    LayerPolicy,
    LayerRef,
    LayerVersion,
    ProvisionedConcurrency,
    ResourceConflictException,
    ResourceNotFoundException,
    ResourcePolicy,
    RuntimeManagement,
)
from lamington.functions.operations.configuration import fingerprint
from lamington.functions.operations.names import FunctionReference, reference_of
from lamington.functions.operations.policies import permits_gateway

_NOT_NOW = "The operation cannot be performed at this time. "

Dependant = Callable[[FunctionReference], None]
"""Deletes what belongs to a function, or to the version or alias that the qualifier names."""


class FunctionRegistry:
    """Every function, version, alias and policy of this engine.

    `policy_version` counts the changes of policies: who keeps an answer of `permits` compares it.
    `dependants` are called within the transaction that deletes a function, version or alias.
    """

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self.transaction = store.transaction
        self.functions: Table[Function] = Table(
            store, "lambda_functions", Function, lambda row: (row.function_name,)
        )
        self.versions: Table[FunctionVersion] = Table(
            store,
            "lambda_versions",
            FunctionVersion,
            lambda row: (row.function_name, version_key(row.version)),
        )
        self.aliases: Table[Alias] = Table(
            store, "lambda_aliases", Alias, lambda row: (row.function_name, row.name)
        )
        self.policies: Table[ResourcePolicy] = Table(
            store, "lambda_policies", ResourcePolicy, lambda row: (row.function_name, row.qualifier)
        )
        self.changes: Table[FunctionChange] = Table(
            store,
            "lambda_changes",
            FunctionChange,
            lambda row: (row.function_name, version_key(row.version)),
        )
        self.layers: Table[Layer] = Table(
            store, "lambda_layers", Layer, lambda row: (row.layer_name,)
        )
        self.layer_versions: Table[LayerVersion] = Table(
            store,
            "lambda_layer_versions",
            LayerVersion,
            lambda row: (row.layer_name, version_key(str(row.version))),
        )
        self.layer_policies: Table[LayerPolicy] = Table(
            store,
            "lambda_layer_policies",
            LayerPolicy,
            lambda row: (row.layer_name, version_key(str(row.version))),
        )
        self.code_signing_configs: Table[CodeSigningConfig] = Table(
            store, "lambda_code_signing_configs", CodeSigningConfig, lambda row: (row.config_id,)
        )
        self.provisioned: Table[ProvisionedConcurrency] = Table(
            store,
            "lambda_provisioned_concurrency",
            ProvisionedConcurrency,
            lambda row: (row.function_name, row.qualifier),
        )
        self.runtime_management: Table[RuntimeManagement] = Table(
            store,
            "lambda_runtime_management",
            RuntimeManagement,
            lambda row: (row.function_name, row.qualifier),
        )
        self._changing = {
            (scope, row.function_name, row.version) for scope, row in self.changes.everywhere()
        }
        """Where there may be a change: every invocation through the API asks."""
        self.policy_version = 0
        self.dependants: list[Dependant] = []

    def find(self, function_arn: str) -> tuple[list[tuple[float, FunctionVersion]], int | None]:
        """The versions that an ARN stands for with their shares, and the reserved concurrency.

        One version has the share 1.0; an alias with routing has two. Raises
        ResourceNotFoundException with the ARN as AWS names it, and ResourceConflictException
        for a version that is not active yet.
        """
        reference = reference_of(function_arn)
        function = self.require(reference)
        return self._shares(reference), function.reserved_concurrency

    def _shares(self, reference: FunctionReference) -> list[tuple[float, FunctionVersion]]:
        alias = self.alias(reference)
        if alias is None:
            return [(1.0, self._require_active(reference, reference.qualifier or LATEST))]
        rest = 1.0 - sum(alias.routing.values())
        return [
            (share, self._require_active(reference, version))
            for version, share in {alias.function_version: rest, **alias.routing}.items()
            if share > 0
        ]

    def _require_active(self, reference: FunctionReference, version: str) -> FunctionVersion:
        """The version that serves, whatever is under way."""
        found = self._require_version(reference, version)
        change = self.change(reference, version)
        if change is not None and change.desired is None:
            raise ResourceConflictException(
                f"{_NOT_NOW}The function is currently in the following state:"
                f" {'Failed' if change.failure_code else 'Pending'}"
            )
        return found

    def change(self, reference: FunctionReference, version: str) -> FunctionChange | None:
        """What is still to be done about a version, or how it failed."""
        key = (reference.scope, reference.function_name, version)
        if key not in self._changing:
            return None
        found = self.changes.get(reference.scope, reference.function_name, version_key(version))
        if found is None:
            self._changing.discard(key)
        return found

    def put_change(self, scope: Scope, change: FunctionChange) -> None:
        """Keep what is to be done about a version."""
        self._changing.add((scope, change.function_name, change.version))
        self.changes.put(scope, change)

    def require_settled(self, reference: FunctionReference) -> None:
        """Raise ResourceConflictException while `$LATEST` is being created or updated."""
        change = self.change(reference, LATEST)
        if change is None or change.failure_code:
            return
        if change.desired is None:
            raise ResourceConflictException(
                f"{_NOT_NOW}The function is currently in the following state: Pending"
            )
        raise ResourceConflictException(
            f"{_NOT_NOW}An update is in progress for resource: {reference.function_arn}"
        )

    def require(self, reference: FunctionReference) -> Function:
        """The function; raises ResourceNotFoundException."""
        found = self.functions.get(reference.scope, reference.function_name)
        if found is None:
            raise reference.not_found()
        return found

    def version(self, reference: FunctionReference) -> FunctionVersion:
        """The version that a qualifier stands for, an alias's first; raises if there is none.

        An update of `$LATEST` that is under way shows already.
        """
        alias = self.alias(reference)
        version = alias.function_version if alias else reference.qualifier or LATEST
        found = self._require_version(reference, version)
        change = self.change(reference, version)
        return shown_version(found, change)

    def alias(self, reference: FunctionReference) -> Alias | None:
        """The alias that the qualifier names, None where it names none."""
        qualifier = reference.qualifier
        if not qualifier or qualifier == LATEST or qualifier.isdigit():
            return None
        return self.aliases.get(reference.scope, reference.function_name, qualifier)

    def latest(self, reference: FunctionReference) -> FunctionVersion:
        return self._require_version(reference, LATEST)

    def numbered(self, reference: FunctionReference, version: str) -> FunctionVersion | None:
        """The version of this number, `$LATEST` included, whatever the reference's qualifier."""
        if version != LATEST and not version.isdigit():
            return None
        return self.versions.get(reference.scope, reference.function_name, version_key(version))

    def _require_version(self, reference: FunctionReference, version: str) -> FunctionVersion:
        found = self.numbered(reference, version)
        if found is None:
            raise reference.not_found()
        return found

    def policy(self, reference: FunctionReference) -> ResourcePolicy | None:
        """The policy of exactly what the reference names: function, version or alias."""
        return self.policies.get(reference.scope, reference.function_name, reference.qualifier)

    def put_policy(self, scope: Scope, policy: ResourcePolicy) -> None:
        """Keep the policy; one without statements is gone."""
        if policy.statements:
            self.policies.put(scope, policy)
        else:
            self.policies.delete(scope, policy.function_name, policy.qualifier)
        self.policy_version += 1

    def permits(self, function_arn: str, source_arn: str, scope: Scope) -> bool:
        """Whether the function's policy lets API Gateway invoke it for this source.

        The qualifier counts: a policy of the function says nothing of its aliases.

        AWS: Lambda developer guide, resource-based policies.
        """
        try:
            reference = reference_of(function_arn)
        except ResourceNotFoundException:
            return False
        qualifier = "" if reference.qualifier == LATEST else reference.qualifier
        policy = self.policies.get(reference.scope, reference.function_name, qualifier)
        return policy is not None and any(
            permits_gateway(statement, source_arn, scope.account_id)
            for statement in policy.statements
        )

    def delete_version(self, reference: FunctionReference) -> None:
        """Delete the version that the qualifier numbers, with its policy."""
        scope, name, version = reference.scope, reference.function_name, reference.qualifier
        with self.transaction():
            self.versions.delete(scope, name, version_key(version))
            self.changes.delete(scope, name, version_key(version))
            self._delete_dependants(reference)
        self.policy_version += 1

    def _delete_dependants(self, reference: FunctionReference) -> None:
        """Delete what belongs to the version or alias that the qualifier names."""
        scope, key = reference.scope, (reference.function_name, reference.qualifier)
        self.policies.delete(scope, *key)
        self.provisioned.delete(scope, *key)
        self.runtime_management.delete(scope, *key)
        for delete in self.dependants:
            delete(reference)

    def delete_alias(self, reference: FunctionReference, alias: str) -> None:
        """Delete the alias with its policy, where there is one."""
        with self.transaction():
            self.aliases.delete(reference.scope, reference.function_name, alias)
            self._delete_dependants(replace(reference, qualifier=alias))
        self.policy_version += 1

    def delete_function(self, reference: FunctionReference) -> None:
        """Delete the function with all that is its own, all or nothing."""
        scope, name = reference.scope, reference.function_name
        with self.transaction():
            for version in self.versions.all(scope, name):
                self.versions.delete(scope, name, version_key(version.version))
            for alias in self.aliases.all(scope, name):
                self.aliases.delete(scope, name, alias.name)
            for policy in self.policies.all(scope, name):
                self.policies.delete(scope, name, policy.qualifier)
            for change in self.changes.all(scope, name):
                self.changes.delete(scope, name, version_key(change.version))
            for provisioned in self.provisioned.all(scope, name):
                self.provisioned.delete(scope, name, provisioned.qualifier)
            for managed in self.runtime_management.all(scope, name):
                self.runtime_management.delete(scope, name, managed.qualifier)
            for delete in self.dependants:
                delete(reference)
            self.functions.delete(scope, name)
        self.policy_version += 1

    def page_latest(
        self, scope: Scope, *, marker: str | None, limit: int
    ) -> tuple[list[FunctionVersion], str | None]:
        """The `$LATEST` of each function in the order of their names, and where to go on."""
        page = self.functions.page(scope, marker=marker, limit=limit)
        found = [
            self.versions.get(scope, row.function_name, version_key(LATEST)) for row in page.rows
        ]
        return self.shown(scope, [row for row in found if row is not None]), page.marker

    def shown(self, scope: Scope, rows: list[FunctionVersion]) -> list[FunctionVersion]:
        """The versions as the API shows them: with the updates that are under way."""
        changes = {(row.function_name, row.version): row for row in self.changes.all(scope)}
        return [shown_version(row, changes.get((row.function_name, row.version))) for row in rows]

    def publish(
        self,
        reference: FunctionReference,
        source: FunctionVersion,
        description: str = "",
        *,
        pending: bool = False,
    ) -> FunctionVersion:
        """Make a version of what `$LATEST` is or becomes; the last one where nothing changed.

        With `pending` the version serves only when what is to be done about it is done.

        AWS: PublishVersion; numbers are never used twice while the function lives.
        """
        scope, function = reference.scope, self.require(reference)
        unchanged = fingerprint(source)
        last = self.numbered(reference, str(function.last_version_number))
        if last is not None and function.published == unchanged:
            return last
        number = function.last_version_number + 1
        version = replace(
            source,
            version=str(number),
            description=description or source.description,
            revision_id=self.revision_id(),
        )
        with self.transaction():
            self.versions.put(scope, version)
            self.functions.put(
                scope, replace(function, last_version_number=number, published=unchanged)
            )
            if pending:
                self.put_change(
                    scope,
                    FunctionChange(function_name=reference.function_name, version=version.version),
                )
        return version

    def touch(self, reference: FunctionReference) -> None:
        """Give `$LATEST` another revision: something about it changed."""
        latest = self.latest(reference)
        self.versions.put(reference.scope, replace(latest, revision_id=self.revision_id()))

    def code_location(self, version: FunctionVersion) -> str:
        """Where the deployment package of a version can be fetched."""
        return self.blob_location(version.code.blob)

    def blob_location(self, blob: str) -> str:
        return self._store.blobs.path(blob).resolve().as_uri()

    def used_blobs(self) -> frozenset[str]:
        """The blobs of every account and region that must be kept.

        They are those of versions, of what versions are to become, and of layers; a function
        keeps a layer whose version is deleted.
        """
        versions = self._every_version()
        return frozenset(
            [version.code.blob for version in versions]
            + [layer.blob for version in versions for layer in version.layers]
            + [row.code.blob for _, row in self.layer_versions.everywhere()]
        )

    def stored_bytes(self, scope: Scope) -> int:
        """The archives of all versions and layers of an account and region, zipped."""
        return sum(row.code.size_bytes for row in self.versions.all(scope)) + sum(
            row.code.size_bytes for row in self.layer_versions.all(scope)
        )

    def used_layers(self) -> list[tuple[LayerRef, ...]]:
        """The layers of every version that has some."""
        return [version.layers for version in self._every_version() if version.layers]

    def _every_version(self) -> list[FunctionVersion]:
        desired = [change.desired for _, change in self.changes.everywhere()]
        return [version for _, version in self.versions.everywhere()] + [
            version for version in desired if version is not None
        ]

    def revision_id(self) -> str:
        return self._ids.uuid()

    def token(self, length: int) -> str:
        """Lower-case letters and digits at random, as AWS makes ids of them."""
        return self._ids.token(length)

    def timestamp(self) -> str:
        """Now, as Lambda writes it: `2026-01-02T03:04:05.678+0000`."""
        now = self._clock.now()
        return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}+0000"


def shown_version(version: FunctionVersion, change: FunctionChange | None) -> FunctionVersion:
    """What the API shows: what an update that is under way makes of the version."""
    if change is None or change.desired is None or change.failure_code:
        return version
    return change.desired


def version_key(version: str) -> str:
    """A key by which `$LATEST` comes first and numbers in their order."""
    return version if version == LATEST else version.zfill(12)
