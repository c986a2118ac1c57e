"""What each direction does with one resource: forward, back after a failure, deletion.

Each decides with the values as they are then and writes down what begins and what came of it.
Left to others: the order and the waiting (`executor`), what a type does (`providers`).
"""

from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import replace

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.core.errors import AwsError, LamingtonError, ResourceError
from lamington.stack import entities as status
from lamington.stack.checks import check_template
from lamington.stack.entities import (
    Incarnation,
    Stack,
    StackDefinition,
    StackResource,
    ValidationError,
)
from lamington.stack.intrinsics import (
    Evaluation,
    evaluation_of,
    pseudo_values,
)
from lamington.stack.parameters import parameter_values
from lamington.stack.planner import Existing
from lamington.stack.progress import Progress
from lamington.stack.providers.base import (
    Finder,
    Physical,
    Provider,
    ProviderRegistry,
    ResourceFacts,
    handler_code,
)
from lamington.stack.template import parse_template

REPLACEMENT_REASON = (
    "Requested update requires the creation of a new physical resource; hence creating one."
)

Work = Awaitable[Physical | None]
Outcome = Physical | LamingtonError | None


def evaluation_for(stack: Stack, definition: StackDefinition, scope: Scope) -> Evaluation:
    """A definition's template with its parameters. Raises ValidationError."""
    template = parse_template(definition.template)
    check_template(template)
    return evaluation_of(
        template,
        parameter_values(template, definition.parameters),
        pseudo_values(
            scope,
            stack_id=stack.stack_id,
            stack_name=stack.stack_name,
            notification_arns=definition.notification_arns,
        ),
    )


def existing_of(rows: Iterable[StackResource]) -> dict[str, Existing]:
    """The resources as they stood when the operation began."""
    return {
        row.logical_id: Existing(resource_type=row.resource_type, incarnation=row.before or row.now)
        for row in rows
        if row.change != "added"
        and row.status not in (status.CREATE_FAILED, status.DELETE_COMPLETE)
    }


def tags_changed(stack: Stack) -> bool:
    """Whether a running update gives the stack other tags."""
    return stack.previous is not None and stack.previous.tags != stack.definition.tags


def settle(progress: Progress) -> None:
    """End an operation on its rows: what is, is what counts from now on."""
    for row in list(progress.rows.values()):
        if row.change or row.before or row.doomed:
            # An update that failed and stays is made again by the next: it goes by the old values.
            failed = row.status == status.UPDATE_FAILED and row.before is not None
            progress.change_row(
                row.logical_id,
                now=row.before if failed else row.now,
                change="",
                before=None,
                doomed=None,
            )


def all_incarnations(
    progress: Progress, providers: ProviderRegistry
) -> dict[str, list[Incarnation]]:
    """Every physical resource under each logical id, those perhaps made before a crash too."""
    found: dict[str, list[Incarnation]] = {}
    for name, row in progress.rows.items():
        if row.status in (status.DELETE_COMPLETE, status.DELETE_SKIPPED):
            continue
        by_token = {
            each.token: each for each in (row.doomed, row.before, row.now) if each is not None
        }
        existing = [
            each
            for each in by_token.values()
            if each.physical_id
            or (
                row.status != status.CREATE_FAILED
                and isinstance(providers[row.resource_type], Finder)
            )
        ]
        if existing:
            found[name] = existing
    return found


def may_exist(row: StackResource) -> bool:
    """Whether there is a physical resource, or was one begun when an engine was killed."""
    return bool(row.now.physical_id) or row.status.endswith("_IN_PROGRESS")


class Types:
    """The providers of a stack's resources, and how their failures are told."""

    def __init__(self, progress: Progress, providers: ProviderRegistry, ids: Ids) -> None:
        self._progress = progress
        self._providers = providers
        self._ids = ids

    def facts(self) -> dict[str, ResourceFacts]:
        return self._providers.facts()

    def of(self, resource_type: str) -> ResourceFacts:
        return self._providers[resource_type].facts

    def provider(self, logical_id: str) -> Provider:
        return self._providers[self._progress.rows[logical_id].resource_type]

    def reason_of(self, error: LamingtonError, logical_id: str, token: str) -> str:
        """A failure in the words of the registry's handlers."""
        if isinstance(error, ValidationError):
            return error.message
        request = self._ids.uuid()
        if isinstance(error, AwsError):
            service = self._progress.rows[logical_id].resource_type.split("::")[1]
            said = (
                f"{error.message} (Service: {_SERVICES.get(service, service)},"
                f" Status Code: {error.status}, Request ID: {request})"
            )
            code = handler_code(error)
        else:
            said = error.message
            code = error.handler_code if isinstance(error, ResourceError) else "InternalFailure"
        return (
            f'Resource handler returned message: "{said}" (RequestToken: {token},'
            f" HandlerErrorCode: {code})"
        )


_SERVICES = {"IAM": "Iam", "Logs": "CloudWatchLogs"}


class Rollback:
    """Bring what an update changed back to what it was."""

    def __init__(self, progress: Progress, providers: ProviderRegistry, ids: Ids) -> None:
        self.progress = progress
        self.failed: dict[str, str] = {}
        self._types = Types(progress, providers, ids)

    def waits(self) -> dict[str, tuple[str, ...]]:
        """In the order of the old template, as its resources were made."""
        return {
            name: row.before.dependencies
            for name, row in self.progress.rows.items()
            if row.before is not None and row.change in ("updated", "replaced", "noted")
        }

    def begin(self, logical_id: str) -> Work | LamingtonError | None:
        progress = self.progress
        row = progress.rows[logical_id]
        before = row.before
        assert before is not None, "only what has a past is rolled back"
        if row.change == "noted":
            progress.change_row(logical_id, now=before, change="restored")
            return None
        if row.change == "replaced":
            progress.note(logical_id, before, status.UPDATE_IN_PROGRESS)
            progress.set_row(
                logical_id,
                status.UPDATE_COMPLETE,
                now=before,
                doomed=row.now if may_exist(row) else None,
                change="restored",
            )
            return None
        progress.set_row(logical_id, status.UPDATE_IN_PROGRESS)
        if row.now.properties == before.properties and not tags_changed(progress.stack):
            progress.set_row(logical_id, status.UPDATE_COMPLETE, now=before, change="restored")
            return None
        context = progress.context(logical_id, before)
        if progress.stack.previous is not None:
            context = replace(context, tags=progress.stack.previous.tags)
        return self._types.provider(logical_id).update(
            before.physical_id, before.properties, row.now.properties, context
        )

    def finish(self, logical_id: str, outcome: Outcome) -> bool:
        progress = self.progress
        before = progress.rows[logical_id].before
        assert before is not None, "only what has a past is rolled back"
        if isinstance(outcome, LamingtonError):
            self.failed[logical_id] = "update"
            reason = self._types.reason_of(outcome, logical_id, before.token)
            progress.set_row(logical_id, status.UPDATE_FAILED, reason)
            return True
        assert outcome is not None, "an update gives a Physical"
        now = replace(
            before,
            physical_id=outcome.physical_id,
            reference=outcome.reference,
            attributes=outcome.attributes,
        )
        progress.set_row(logical_id, status.UPDATE_COMPLETE, now=now, change="restored")
        return True


class Deletion:
    """Delete physical resources, each after those that need it."""

    def __init__(
        self, progress: Progress, providers: ProviderRegistry, ids: Ids, *, is_cleanup: bool
    ) -> None:
        self.progress = progress
        self.failed: dict[str, str] = {}
        self._types = Types(progress, providers, ids)
        self._is_cleanup = is_cleanup
        self._doomed: Mapping[str, list[Incarnation]] = {}
        self._is_rollback = False
        self.waits: dict[str, set[str]] = {}

    def prepare(self, doomed: Mapping[str, list[Incarnation]], is_rollback: bool) -> None:
        self._doomed = doomed
        self._is_rollback = is_rollback
        self.waits = {name: set() for name in doomed}
        for name, incarnations in doomed.items():
            for dependency in {each for found in incarnations for each in found.dependencies}:
                if dependency in self.waits:
                    self.waits[dependency].add(name)

    def begin(self, logical_id: str) -> Work | LamingtonError | None:
        incarnations = self._doomed[logical_id]
        shown = incarnations[-1]
        if self._is_retained(logical_id, shown):
            self._write(logical_id, shown, status.DELETE_SKIPPED)
            return None
        # What a crash may have left has no id yet, and no event tells of it.
        if shown.physical_id:
            self._write(logical_id, shown, status.DELETE_IN_PROGRESS)
        return self._delete(logical_id, incarnations)

    def _is_retained(self, logical_id: str, shown: Incarnation) -> bool:
        row = self.progress.rows[logical_id]
        if self._is_cleanup and row.doomed is not None:
            return not self._is_rollback and row.now.update_replace_policy == "Retain"
        if logical_id in self.progress.stack.retained:
            return True
        if self._is_rollback:
            return shown.deletion_policy == "Retain"
        return shown.deletion_policy in ("Retain", "RetainExceptOnCreate")

    async def _delete(self, logical_id: str, incarnations: list[Incarnation]) -> None:
        provider = self._types.provider(logical_id)
        for each in incarnations:
            context = self.progress.context(logical_id, each)
            physical_id: str | None = each.physical_id
            if not physical_id and isinstance(provider, Finder):
                physical_id = await provider.find(each.properties, context)
            if physical_id:
                await provider.delete(physical_id, each.properties, context)

    def finish(self, logical_id: str, outcome: Outcome) -> bool:
        shown = self._doomed[logical_id][-1]
        if isinstance(outcome, LamingtonError):
            reason = self._types.reason_of(outcome, logical_id, shown.token)
            self.failed[logical_id] = "delete"
            self._write(logical_id, shown, status.DELETE_FAILED, reason)
            return False
        if shown.physical_id:
            self._write(logical_id, shown, status.DELETE_COMPLETE)
        elif not self._is_cleanup:
            self.progress.drop_row(logical_id)
        return True

    def _write(
        self, logical_id: str, shown: Incarnation, new_status: str, reason: str = ""
    ) -> None:
        """A cleanup tells of the old resource; the row shows the one that is there now."""
        if not self._is_cleanup:
            self.progress.set_row(logical_id, new_status, reason)
            return
        self.progress.note(logical_id, shown, new_status, reason, shows_properties=False)
        if new_status in (status.DELETE_COMPLETE, status.DELETE_SKIPPED):
            row = self.progress.rows[logical_id]
            if row.doomed is not None:
                self.progress.change_row(logical_id, doomed=None)
