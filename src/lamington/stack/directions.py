"""What each direction does with one resource: forward, back after a failure, deletion.

Each decides with the values as they are then and writes down what begins and what came of it.
Left to others: the order and the waiting (`executor`), what a type does (`providers`).
"""

from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.core.errors import AwsError, LamingtonError, ResourceError
from lamington.stack import entities as status
from lamington.stack.entities import (
    Incarnation,
    Stack,
    StackDefinition,
    StackOutput,
    StackResource,
    ValidationError,
)
from lamington.stack.intrinsics import (
    NO_VALUE,
    Evaluation,
    check_template,
    evaluation_of,
    pseudo_values,
    references,
)
from lamington.stack.parameters import parameter_values
from lamington.stack.planner import Existing, Plan, changes_between, plan, require_order
from lamington.stack.progress import Progress, unsupported_attribute
from lamington.stack.providers.base import (
    Finder,
    Physical,
    Provider,
    ProviderRegistry,
    ResourceContext,
    handler_code,
)
from lamington.stack.template import parse_template, text_of

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


@dataclass(slots=True, kw_only=True)
class _Kept:
    """What a plan needs of a definition while it runs."""

    evaluation: Evaluation
    plan: Plan
    dependencies: Mapping[str, frozenset[str]]
    existing: Mapping[str, Existing]


class _Steps:
    """What every direction has in common: rows, providers, what failed."""

    def __init__(self, progress: Progress, providers: ProviderRegistry, ids: Ids) -> None:
        self.progress = progress
        self.providers = providers
        self.ids = ids
        self.failed: dict[str, str] = {}

    def provider(self, logical_id: str) -> Provider:
        return self.providers[self.progress.rows[logical_id].resource_type]

    def reason_of(self, error: LamingtonError, logical_id: str, token: str) -> str:
        """A failure in the words of the registry's handlers."""
        if isinstance(error, ValidationError):
            return error.message
        request = self.ids.uuid()
        if isinstance(error, AwsError):
            service = self.progress.rows[logical_id].resource_type.split("::")[1]
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


class Forward(_Steps):
    """Create and update towards the definition."""

    problem = ""

    def prepare(self, evaluation: Evaluation, foreign_exports: Mapping[str, str]) -> None:
        """Plan, and mark what goes. Raises ValidationError where nothing must be begun."""
        progress = self.progress
        self._is_rollback_coming = _rolls_back(progress.stack)
        existing = existing_of(progress.rows.values())
        self._kept = _Kept(
            evaluation=evaluation,
            plan=plan(
                existing,
                evaluation,
                self.providers.facts(),
                tags_changed=tags_changed(progress.stack),
            ),
            dependencies=require_order(evaluation),
            existing=existing,
        )
        self.waits = self._kept.dependencies
        self._check_attributes(evaluation)
        self._check_exports(evaluation, foreign_exports)
        for name, row in list(progress.rows.items()):
            if name not in self.waits and name in existing:
                progress.change_row(name, change="removed")
            elif row.change and row.status == status.CREATE_FAILED:
                self.failed[name] = "create"
            elif row.change and row.status == status.UPDATE_FAILED:
                self.failed[name] = "update"

    def _check_attributes(self, evaluation: Evaluation) -> None:
        live = evaluation.resources
        values: list[tuple[tuple[str, ...], Any]] = [
            (("Resources", name, "Properties"), each.properties) for name, each in live.items()
        ]
        values += [
            (("Outputs", name, "Value"), each.value) for name, each in evaluation.outputs.items()
        ]
        for path, value in values:
            for mention in references(value, path, conditions=evaluation.conditions):
                if not mention.attribute or mention.attribute == "*":
                    continue
                kind = live[mention.name].resource_type
                if mention.attribute not in self.providers[kind].facts.attributes:
                    place = "/".join(str(part) for part in mention.path)
                    error = unsupported_attribute(kind, mention.attribute)
                    raise ValidationError(f"[Error] /{place}: {error.message}")

    def _check_exports(self, evaluation: Evaluation, foreign: Mapping[str, str]) -> None:
        for name, output in evaluation.outputs.items():
            if output.export_name is None:
                continue
            path = ("Outputs", name, "Export", "Name")
            if any(
                mention.name in evaluation.resources
                for mention in references(
                    output.export_name, path, conditions=evaluation.conditions
                )
            ):
                raise ValidationError(
                    "Template format error: Output Export Name must not depend on any resources,"
                    " imported values, or Fn::GetAZs."
                )
            export = evaluation.evaluate(output.export_name, self.progress, path)
            if export in foreign:
                raise ValidationError(
                    f"Export with name {export} is already exported by stack {foreign[export]}."
                )

    def begin(self, logical_id: str) -> Work | LamingtonError | None:
        """Decide what becomes of a resource with the values as they are now, and write it down."""
        if self.failed:
            return None
        row = self.progress.rows.get(logical_id)
        done = (status.CREATE_COMPLETE, status.UPDATE_COMPLETE)
        if row is not None and row.change in ("added", "updated", "replaced"):
            if row.status in done:
                return None
        elif logical_id not in self._kept.plan.by_id:
            self._note_silently(logical_id)
            return None
        try:
            desired = self._desired(logical_id)
        except LamingtonError as error:
            self._begin_anyway(logical_id)
            return error
        before = self._kept.existing.get(logical_id)
        if before is None:
            return self._begin_create(logical_id, desired)
        return self._begin_update(logical_id, before.incarnation, desired)

    def _desired(self, logical_id: str) -> Incarnation:
        evaluation = self._kept.evaluation
        resource = evaluation.template.resources[logical_id]
        facts = self.providers[resource.resource_type].facts
        properties = facts.converted(evaluation.properties(resource, self.progress))
        metadata = evaluation.evaluate(
            resource.metadata, self.progress, ("Resources", logical_id, "Metadata")
        )
        return Incarnation(
            token="",
            properties=properties,
            dependencies=tuple(sorted(self.waits[logical_id])),
            deletion_policy=resource.deletion_policy,
            update_replace_policy=resource.update_replace_policy,
            metadata=None if metadata is NO_VALUE else metadata,
        )

    def _begin_anyway(self, logical_id: str) -> None:
        """A resource whose properties cannot be resolved begins and fails at once."""
        before = self._kept.existing.get(logical_id)
        if before is None:
            self._begin_row(logical_id, Incarnation(token=self.ids.uuid()))
        else:
            now = before.incarnation
            self.progress.set_row(
                logical_id, status.UPDATE_IN_PROGRESS, change="updated", before=now, now=now
            )

    def _begin_row(self, logical_id: str, now: Incarnation) -> None:
        resource = self._kept.evaluation.template.resources[logical_id]
        earlier = self.progress.rows.get(logical_id)
        stack = self.progress.stack
        self.progress.add_row(
            StackResource(
                stack_id=stack.stack_id,
                logical_id=logical_id,
                resource_type=resource.resource_type,
                status=status.CREATE_IN_PROGRESS,
                changed_at=earlier.changed_at if earlier else stack.created,
                now=now,
                change="added",
            )
        )
        self.progress.set_row(logical_id, status.CREATE_IN_PROGRESS)

    def _begin_create(self, logical_id: str, desired: Incarnation) -> Work | LamingtonError:
        """Write down the token, then create; a create that a crash cut off is undone first."""
        leftover = self.progress.rows.get(logical_id)
        if leftover is not None and leftover.status != status.CREATE_IN_PROGRESS:
            leftover = None
        if leftover is None:
            token = self.ids.uuid()
            self._begin_row(logical_id, replace(desired, token=token))
        else:
            # The row keeps the time of the first try: by it what that left is known as ours.
            token = leftover.now.token
            self.progress.change_row(logical_id, now=replace(desired, token=token))
        problem = self._schema_problem(logical_id, desired.properties)
        if problem is not None:
            return problem
        context = self.progress.context(logical_id, token)
        provider = self.provider(logical_id)
        return _create(provider, desired.properties, context, is_repeated=leftover is not None)

    def _begin_update(
        self, logical_id: str, before: Incarnation, desired: Incarnation
    ) -> Work | LamingtonError | None:
        provider = self.provider(logical_id)
        changes = changes_between(before.properties, desired.properties, provider.facts)
        if any(change.recreation == "Always" for change in changes):
            return self._begin_replacement(logical_id, before, desired)
        touches = bool(changes) or (
            tags_changed(self.progress.stack) and "Tags" in provider.facts.properties
        )
        if not touches and desired.metadata == before.metadata:
            self._note_silently(logical_id)
            return None
        now = replace(
            desired,
            token=before.token,
            physical_id=before.physical_id,
            reference=before.reference,
            attributes=before.attributes,
        )
        self.progress.set_row(
            logical_id, status.UPDATE_IN_PROGRESS, change="updated", before=before, now=now
        )
        problem = self._schema_problem(logical_id, desired.properties)
        if problem is not None:
            return problem
        if not touches:
            return _unchanged(now)
        context = self.progress.context(logical_id, before.token)
        return provider.update(before.physical_id, desired.properties, before.properties, context)

    def _begin_replacement(
        self, logical_id: str, before: Incarnation, desired: Incarnation
    ) -> Work | LamingtonError:
        row = self.progress.rows[logical_id]
        provider = self.provider(logical_id)
        is_repeated = row.change == "replaced"
        token = row.now.token if is_repeated else self.ids.uuid()
        if not is_repeated:
            self.progress.note(logical_id, before, status.UPDATE_IN_PROGRESS, REPLACEMENT_REASON)
        name = provider.facts.custom_name
        problem = self._schema_problem(logical_id, desired.properties)
        if name and name in desired.properties:
            custom = desired.properties[name]
            if custom == before.properties.get(name):
                problem = ValidationError(
                    "CloudFormation cannot update a stack when a custom-named resource requires"
                    f" replacing. Rename {custom} and update the stack again."
                )
        self.progress.change_row(
            logical_id,
            status=status.UPDATE_IN_PROGRESS,
            changed_at=(
                row.changed_at if is_repeated else self.progress.time_after(row.changed_at)
            ),
            change="updated" if problem else "replaced",
            before=before,
            now=before if problem else replace(desired, token=token),
        )
        if problem is not None:
            return problem
        context = self.progress.context(logical_id, token)
        return _create(provider, desired.properties, context, is_repeated=is_repeated)

    def _schema_problem(
        self, logical_id: str, properties: Mapping[str, Any]
    ) -> ValidationError | None:
        problems = self.provider(logical_id).facts.problems(properties)
        if not problems:
            return None
        return ValidationError(
            f"Properties validation failed for resource {logical_id} with message:\n"
            f"[{', '.join(problems)}]"
        )

    def _note_silently(self, logical_id: str) -> None:
        """Policies and dependencies change without touching the resource: no event tells it."""
        resource = self._kept.evaluation.template.resources[logical_id]
        row = self.progress.rows[logical_id]
        before = row.before or row.now
        now = replace(
            before,
            dependencies=tuple(sorted(self.waits[logical_id])),
            deletion_policy=resource.deletion_policy,
            update_replace_policy=resource.update_replace_policy,
        )
        if now != before:
            self.progress.change_row(logical_id, change="noted", before=before, now=now)

    def finish(self, logical_id: str, outcome: Outcome) -> bool:
        """Write down what came of it; what ends after a failure counts as cancelled."""
        progress = self.progress
        row = progress.rows[logical_id]
        is_new = row.change in ("added", "replaced")
        verb = "CREATE" if row.change == "added" else "UPDATE"
        if not isinstance(outcome, Physical):
            assert outcome is not None, "create and update give a Physical"
            self.failed[logical_id] = "create" if row.change == "added" else "update"
            reason = self.reason_of(outcome, logical_id, row.now.token)
            progress.set_row(logical_id, f"{verb}_FAILED", reason)
            return False
        now = replace(
            row.now,
            physical_id=outcome.physical_id,
            reference=outcome.reference,
            attributes=outcome.attributes,
        )
        if is_new:
            progress.set_row(
                logical_id, f"{verb}_IN_PROGRESS", "Resource creation Initiated", now=now
            )
        if self.failed and self._is_rollback_coming:
            word = "creation" if row.change == "added" else "update"
            self.failed[logical_id] = "create" if row.change == "added" else "update"
            progress.set_row(logical_id, f"{verb}_FAILED", f"Resource {word} cancelled", now=now)
            return False
        progress.set_row(logical_id, f"{verb}_COMPLETE", now=now)
        return True

    def outputs(self) -> tuple[StackOutput, ...]:
        """The outputs' values. Raises ValidationError."""
        evaluation = self._kept.evaluation
        return outputs_of(evaluation, self.progress)

    def reason(self) -> str:
        """Why the stack failed, in CloudFormation's words."""
        if self.problem:
            return f"{self.problem.rstrip('.')}. "
        reason = ""
        for verb in ("create", "update"):
            names = [name for name, each in self.failed.items() if each == verb]
            if names:
                reason += f"The following resource(s) failed to {verb}: [{', '.join(names)}]. "
        return reason


def outputs_of(evaluation: Evaluation, lookup: Any) -> tuple[StackOutput, ...]:
    """The outputs whose condition holds, with their values as text. Raises ValidationError."""
    found = []
    for name, output in evaluation.outputs.items():
        path = ("Outputs", name, "Value")
        value = evaluation.evaluate(output.value, lookup, path)
        if value is NO_VALUE or isinstance(value, (list, dict)):
            shape = "Map" if isinstance(value, dict) else "List"
            raise evaluation.template.error(
                "Template format error: The Value field of every Outputs member must evaluate to"
                f" a String and not a {shape}.",
                path,
            )
        export = evaluation.evaluate(output.export_name, lookup, ("Outputs", name, "Export"))
        found.append(
            StackOutput(
                key=name,
                value=text_of(value),
                description=output.description,
                export_name="" if export is None else text_of(export),
            )
        )
    return tuple(found)


def _rolls_back(stack: Stack) -> bool:
    if stack.status == status.UPDATE_IN_PROGRESS:
        return not stack.disable_rollback
    return stack.on_failure != "DO_NOTHING"


async def _create(
    provider: Provider,
    desired: Mapping[str, Any],
    context: ResourceContext,
    *,
    is_repeated: bool,
) -> Physical:
    """Create; where an earlier engine may have, what it left is deleted first."""
    if is_repeated and isinstance(provider, Finder):
        leftover = await provider.find(desired, context)
        if leftover is not None:
            await provider.delete(leftover, desired, context)
    return await provider.create(desired, context)


async def _unchanged(now: Incarnation) -> Physical:
    return Physical(physical_id=now.physical_id, reference=now.reference, attributes=now.attributes)


class Rollback(_Steps):
    """Bring what an update changed back to what it was."""

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
                doomed=row.now if row.now.physical_id else None,
                change="restored",
            )
            return None
        progress.set_row(logical_id, status.UPDATE_IN_PROGRESS)
        if row.now.properties == before.properties and not tags_changed(progress.stack):
            progress.set_row(logical_id, status.UPDATE_COMPLETE, now=before, change="restored")
            return None
        context = progress.context(logical_id, before.token)
        if progress.stack.previous is not None:
            context = replace(context, tags=progress.stack.previous.tags)
        return self.provider(logical_id).update(
            before.physical_id, before.properties, row.now.properties, context
        )

    def finish(self, logical_id: str, outcome: Outcome) -> bool:
        progress = self.progress
        before = progress.rows[logical_id].before
        assert before is not None, "only what has a past is rolled back"
        if isinstance(outcome, LamingtonError):
            self.failed[logical_id] = "update"
            reason = self.reason_of(outcome, logical_id, before.token)
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


class Deletion(_Steps):
    """Delete physical resources, each after those that need it."""

    def __init__(
        self, progress: Progress, providers: ProviderRegistry, ids: Ids, *, is_cleanup: bool
    ) -> None:
        super().__init__(progress, providers, ids)
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
        provider = self.provider(logical_id)
        for each in incarnations:
            context = self.progress.context(logical_id, each.token)
            physical_id: str | None = each.physical_id
            if not physical_id and isinstance(provider, Finder):
                physical_id = await provider.find(each.properties, context)
            if physical_id:
                await provider.delete(physical_id, each.properties, context)

    def finish(self, logical_id: str, outcome: Outcome) -> bool:
        shown = self._doomed[logical_id][-1]
        if isinstance(outcome, LamingtonError):
            reason = self.reason_of(outcome, logical_id, shown.token)
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
