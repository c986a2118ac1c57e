"""Forward: create and update towards a definition, one resource at a time.

Decides with the values as they are then, and writes down what begins and what came of it. Left
to others: the order and the waiting (`executor`), the way back and deletion (`directions`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lamington.core.clock import Ids
from lamington.core.errors import LamingtonError
from lamington.stack import entities as status
from lamington.stack.directions import Outcome, Types, Work, existing_of, tags_changed
from lamington.stack.entities import (
    Incarnation,
    Stack,
    StackOutput,
    StackResource,
    ValidationError,
)
from lamington.stack.intrinsics import (
    NO_VALUE,
    Evaluation,
)
from lamington.stack.mentions import references
from lamington.stack.planner import Existing, Plan, changes_between, plan, require_order
from lamington.stack.progress import Progress, unsupported_attribute
from lamington.stack.providers.base import (
    Finder,
    Physical,
    Provider,
    ProviderRegistry,
    ResourceContext,
)
from lamington.stack.template import text_of

REPLACEMENT_REASON = (
    "Requested update requires the creation of a new physical resource; hence creating one."
)


@dataclass(slots=True, kw_only=True)
class _Kept:
    """What a plan needs of a definition while it runs."""

    evaluation: Evaluation
    plan: Plan
    dependencies: Mapping[str, frozenset[str]]
    existing: Mapping[str, Existing]


class Forward:
    """Create and update towards the definition."""

    def __init__(self, progress: Progress, providers: ProviderRegistry, ids: Ids) -> None:
        self.progress = progress
        self.failed: dict[str, str] = {}
        self._types = Types(progress, providers, ids)

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
                self._types.facts(),
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
                if mention.attribute not in self._types.of(kind).attributes:
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
        facts = self._types.of(resource.resource_type)
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
            self._begin_row(logical_id, Incarnation(token=""))
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
            now = self.progress.new_incarnation(desired)
            self._begin_row(logical_id, now)
        else:
            now = replace(desired, token=leftover.now.token, started=leftover.now.started)
            self.progress.change_row(logical_id, now=now)
        problem = self._schema_problem(logical_id, desired.properties)
        if problem is not None:
            return problem
        context = self.progress.context(logical_id, now)
        provider = self._types.provider(logical_id)
        return _create(provider, desired.properties, context, is_repeated=leftover is not None)

    def _begin_update(
        self, logical_id: str, before: Incarnation, desired: Incarnation
    ) -> Work | LamingtonError | None:
        provider = self._types.provider(logical_id)
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
            started=before.started,
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
        context = self.progress.context(logical_id, before)
        return provider.update(before.physical_id, desired.properties, before.properties, context)

    def _begin_replacement(
        self, logical_id: str, before: Incarnation, desired: Incarnation
    ) -> Work | LamingtonError:
        row = self.progress.rows[logical_id]
        provider = self._types.provider(logical_id)
        is_repeated = row.change == "replaced"
        now = self.progress.new_incarnation(desired)
        if is_repeated:
            now = replace(desired, token=row.now.token, started=row.now.started)
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
            now=before if problem else now,
        )
        if problem is not None:
            return problem
        context = self.progress.context(logical_id, now)
        return _create(provider, desired.properties, context, is_repeated=is_repeated)

    def _schema_problem(
        self, logical_id: str, properties: Mapping[str, Any]
    ) -> ValidationError | None:
        problems = self._types.provider(logical_id).facts.problems(properties)
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
            reason = self._types.reason_of(outcome, logical_id, row.now.token)
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
