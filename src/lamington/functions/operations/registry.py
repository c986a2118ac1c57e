"""The functions that exist: rows of functions, versions, aliases and policies, and who finds them.

Left to others: what the API says of them (`functions`, `versions`, `permissions`).
"""

from dataclasses import replace

from lamington.core.aws import Scope
from lamington.core.clock import Clock, Ids
from lamington.core.store import Store, Table
from lamington.functions.entities import (
    LATEST,
    Alias,
    Function,
    FunctionVersion,
    ResourceNotFoundException,
    ResourcePolicy,
)
from lamington.functions.operations.configuration import fingerprint
from lamington.functions.operations.names import FunctionReference, reference_of
from lamington.functions.operations.policies import permits_gateway


class FunctionRegistry:
    """Every function, version, alias and policy of this engine.

    `policy_version` counts the changes of policies: who keeps an answer of `permits` compares it.
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
        self.policy_version = 0

    def find(self, function_arn: str) -> tuple[list[tuple[float, FunctionVersion]], int | None]:
        """The versions that an ARN stands for with their shares, and the reserved concurrency.

        One version has the share 1.0; an alias with routing has two. Raises
        ResourceNotFoundException with the ARN as AWS names it.
        """
        reference = reference_of(function_arn)
        function = self.require(reference)
        return self._shares(reference), function.reserved_concurrency

    def _shares(self, reference: FunctionReference) -> list[tuple[float, FunctionVersion]]:
        alias = self.alias(reference)
        if alias is None:
            return [(1.0, self.version(reference))]
        rest = 1.0 - sum(alias.routing.values())
        return [
            (share, self._require_version(reference, version))
            for version, share in {alias.function_version: rest, **alias.routing}.items()
            if share > 0
        ]

    def require(self, reference: FunctionReference) -> Function:
        """The function; raises ResourceNotFoundException."""
        found = self.functions.get(reference.scope, reference.function_name)
        if found is None:
            raise reference.not_found()
        return found

    def version(self, reference: FunctionReference) -> FunctionVersion:
        """The version that a qualifier stands for, an alias's first; raises if there is none."""
        alias = self.alias(reference)
        version = alias.function_version if alias else reference.qualifier or LATEST
        return self._require_version(reference, version)

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
            self.policies.delete(scope, name, version)
        self.policy_version += 1

    def delete_alias(self, reference: FunctionReference, alias: str) -> None:
        """Delete the alias with its policy, where there is one."""
        with self.transaction():
            self.aliases.delete(reference.scope, reference.function_name, alias)
            self.policies.delete(reference.scope, reference.function_name, alias)
        self.policy_version += 1

    def delete_function(self, reference: FunctionReference) -> None:
        """Delete the function with its versions, aliases and policies, all or nothing."""
        scope, name = reference.scope, reference.function_name
        with self.transaction():
            for version in self.versions.all(scope, name):
                self.versions.delete(scope, name, version_key(version.version))
            for alias in self.aliases.all(scope, name):
                self.aliases.delete(scope, name, alias.name)
            for policy in self.policies.all(scope, name):
                self.policies.delete(scope, name, policy.qualifier)
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
        return [row for row in found if row is not None], page.marker

    def publish(self, reference: FunctionReference, description: str = "") -> FunctionVersion:
        """Make a version of `$LATEST` as it is, or return the last one where nothing changed.

        AWS: PublishVersion; numbers are never used twice while the function lives.
        """
        scope = reference.scope
        function, latest = self.require(reference), self.latest(reference)
        unchanged = fingerprint(latest)
        last = self.numbered(reference, str(function.last_version_number))
        if last is not None and function.published == unchanged:
            return last
        number = function.last_version_number + 1
        version = replace(
            latest,
            version=str(number),
            description=description or latest.description,
            revision_id=self.revision_id(),
        )
        with self.transaction():
            self.versions.put(scope, version)
            self.versions.put(scope, replace(latest, revision_id=self.revision_id()))
            self.functions.put(
                scope, replace(function, last_version_number=number, published=unchanged)
            )
        return version

    def code_location(self, version: FunctionVersion) -> str:
        """Where the deployment package of a version can be fetched."""
        return self._store.blobs.path(version.code.blob).resolve().as_uri()

    def used_blobs(self) -> frozenset[str]:
        """The blobs of every version of every account and region: what must be kept."""
        return frozenset(version.code.blob for _, version in self.versions.everywhere())

    def revision_id(self) -> str:
        return self._ids.uuid()

    def timestamp(self) -> str:
        """Now, as Lambda writes it: `2026-01-02T03:04:05.678+0000`."""
        now = self._clock.now()
        return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}+0000"


def version_key(version: str) -> str:
    """A key by which `$LATEST` comes first and numbers in their order."""
    return version if version == LATEST else version.zfill(12)
