"""Before and after, compared: a Plan of what to create, update, replace and delete, and why.

Pure. What a resource will give is not known before it exists, so a plan says what may happen;
the executor asks `changes_between` again with the values as they are then. Left to others:
carrying it out (`executor`), showing it (`operations`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lamington.stack.entities import Incarnation, TemplateError, ValidationError
from lamington.stack.graph import CycleError, order_of
from lamington.stack.intrinsics import UNKNOWN, Evaluation
from lamington.stack.mentions import Reference, references
from lamington.stack.providers.base import ResourceFacts
from lamington.stack.template import ResourceDefinition

Recreation = Literal["Never", "Conditionally", "Always"]
Source = Literal[
    "DirectModification",
    "ParameterReference",
    "ResourceReference",
    "ResourceAttribute",
    "Automatic",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """A resource as it stands."""

    resource_type: str
    incarnation: Incarnation


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference: `name` is a top-level property where `attribute` is Properties.

    A change that is not `certain` depends on a value that is not known before the run.
    """

    attribute: str
    name: str = ""
    recreation: Recreation = "Never"
    certain: bool = True
    source: Source = "DirectModification"
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    logical_id: str
    resource_type: str
    waits_for: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    logical_id: str
    resource_type: str
    changes: tuple[Change, ...]
    waits_for: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Create anew; the old one is deleted after everything else. May turn out an Update."""

    logical_id: str
    resource_type: str
    changes: tuple[Change, ...]
    waits_for: frozenset[str] = frozenset()

    @property
    def is_certain(self) -> bool:
        return any(each.certain and each.recreation == "Always" for each in self.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete, after every create and update, and after the old resources that need this one."""

    logical_id: str
    resource_type: str
    waits_for: frozenset[str] = frozenset()


Step = Create | Update | Replace | Delete


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps in an order that holds; resources without a step are left alone."""

    steps: tuple[Step, ...] = ()
    by_id: Mapping[str, Step] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.steps)


def require_order(after: Evaluation) -> dict[str, frozenset[str]]:
    """What each resource waits for, its keys in an order that holds.

    Raises TemplateError for a cycle.
    """
    dependencies = after.dependencies()
    try:
        order = order_of(dependencies)
    except CycleError as error:
        raise TemplateError(
            f"Circular dependency between resources: [{', '.join(error.nodes)}]",
            where=after.template.position(("Resources", error.nodes[0])),
        ) from None
    return {name: dependencies[name] for name in order}


def plan(
    before: Mapping[str, Existing],
    after: Evaluation,
    types: Mapping[str, ResourceFacts],
    *,
    tags_changed: bool = False,
) -> Plan:
    """Decide what makes `before` into `after`.

    Replacement cascades: what mentions a replaced resource changes with it, and is replaced too
    where it mentions it in a create-only property. Raises ValidationError where a resource's
    type changes, TemplateError where functions cannot be resolved or wait for each other.

    AWS: update behaviors of stack resources.
    """
    dependencies = require_order(after)
    live = after.resources
    modified = [
        name
        for name, each in live.items()
        if name in before and before[name].resource_type != each.resource_type
    ]
    if modified:
        raise ValidationError(
            "Update of resource type is not permitted. The new template modifies resource type"
            f" of the following resources: [{', '.join(modified)}]"
        )
    planning = _Planning(before, after, types, tags_changed)
    steps: dict[str, Step] = {}
    effective: dict[str, frozenset[str]] = {}
    for name, waits in dependencies.items():
        waits_for = _through_unchanged(waits, steps, effective)
        step = planning.step(live[name], waits_for)
        if step is None:
            effective[name] = waits_for
        else:
            steps[name] = step
    for step in _deletions(before, live):
        steps[step.logical_id] = step
    return Plan(steps=tuple(steps.values()), by_id=steps)


def _through_unchanged(
    waits: frozenset[str], steps: Mapping[str, Step], effective: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    """Waiting for what is left alone means waiting for what that waits for."""
    found: frozenset[str] = frozenset(each for each in waits if each in steps)
    for each in waits:
        if each not in steps:
            found |= effective[each]
    return found


def _deletions(
    before: Mapping[str, Existing], live: Mapping[str, ResourceDefinition]
) -> list[Delete]:
    removed = {name: each for name, each in before.items() if name not in live}
    needed_by: dict[str, set[str]] = {name: set() for name in removed}
    for name, each in removed.items():
        for dependency in each.incarnation.dependencies:
            if dependency in needed_by:
                needed_by[dependency].add(name)
    return [
        Delete(
            logical_id=name,
            resource_type=removed[name].resource_type,
            waits_for=frozenset(needed_by[name]),
        )
        for name in order_of(needed_by)
    ]


def changes_between(
    previous: Mapping[str, Any], desired: Mapping[str, Any], facts: ResourceFacts
) -> tuple[Change, ...]:
    """The top-level properties that differ, and whether each forces replacement.

    AWS: adding or removing a create-only property is a change like any other.
    """
    changes = []
    for name in dict.fromkeys((*previous, *desired)):
        old, new = previous.get(name, UNSET), desired.get(name, UNSET)
        if old is not new and (old != new or type(old) is not type(new)):
            changes.append(
                Change(
                    attribute="Properties",
                    name=name,
                    recreation=_recreation(name, previous, desired, facts),
                    certain=not _holds_unknown(new),
                )
            )
    return tuple(changes)


UNSET: Any = object()
"""What stands for a member that is not there; equal to nothing else."""


def _recreation(
    name: str, previous: Mapping[str, Any], desired: Mapping[str, Any], facts: ResourceFacts
) -> Recreation:
    for path in facts.create_only:
        head, *rest = path.split(".")
        if head == name and _at(previous, (head, *rest)) != _at(desired, (head, *rest)):
            return "Always"
    return "Never"


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if value is UNKNOWN:
            return UNKNOWN
        if not isinstance(value, Mapping) or part not in value:
            return UNSET
        value = value[part]
    return value


def _holds_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_unknown(each) for each in value.values())
    if isinstance(value, list):
        return any(_holds_unknown(each) for each in value)
    return value is UNKNOWN


class _Planning:
    """One plan in the making: what is decided already decides what later values are known."""

    def __init__(
        self,
        before: Mapping[str, Existing],
        after: Evaluation,
        types: Mapping[str, ResourceFacts],
        tags_changed: bool,
    ) -> None:
        self._before = before
        self._after = after
        self._types = types
        self._tags_changed = tags_changed
        self._renewed: set[str] = set()
        self._updated: set[str] = set()

    def reference(self, logical_id: str) -> Any:
        if logical_id in self._renewed:
            return UNKNOWN
        return self._before[logical_id].incarnation.reference

    def attribute(self, logical_id: str, attribute: str) -> Any:
        if logical_id in self._renewed:
            return UNKNOWN
        return self._before[logical_id].incarnation.attributes.get(attribute, UNKNOWN)

    def step(self, resource: ResourceDefinition, waits_for: frozenset[str]) -> Step | None:
        name, kind = resource.logical_id, resource.resource_type
        facts = self._types[kind]
        properties = self._after.properties(resource, self)
        existing = self._before.get(name)
        if existing is None:
            self._renewed.add(name)
            return Create(logical_id=name, resource_type=kind, waits_for=waits_for)
        desired = facts.converted(properties)
        changes = self._explained(
            resource, changes_between(existing.incarnation.properties, desired, facts)
        )
        changes += self._attribute_changes(resource, existing.incarnation, facts)
        if any(each.recreation == "Conditionally" for each in changes):
            self._renewed.add(name)
        if any(each.recreation == "Always" for each in changes):
            self._renewed.add(name)
            return Replace(
                logical_id=name, resource_type=kind, changes=changes, waits_for=waits_for
            )
        if changes:
            self._updated.add(name)
            return Update(logical_id=name, resource_type=kind, changes=changes, waits_for=waits_for)
        return None

    def _explained(
        self, resource: ResourceDefinition, changes: tuple[Change, ...]
    ) -> tuple[Change, ...]:
        """Say for each change what it comes from, and add what an updated attribute may change."""
        found = {each.name: each for each in changes}
        explained: list[Change] = []
        for name, value in _members(resource.properties):
            mentions = list(references(value, (name,), conditions=self._after.conditions))
            if name in found:
                change = found.pop(name)
                explained += [self._cause(change, each) for each in mentions] or [change]
            elif any(each.attribute and each.name in self._updated for each in mentions):
                explained += [
                    Change(
                        attribute="Properties",
                        name=name,
                        recreation=self._recreation_of(resource, name),
                        certain=False,
                        source="ResourceAttribute",
                        cause=f"{each.name}.{each.attribute}",
                    )
                    for each in mentions
                    if each.attribute and each.name in self._updated
                ]
        return (*explained, *found.values())

    def _recreation_of(self, resource: ResourceDefinition, name: str) -> Recreation:
        """An attribute that may change forces replacement only if it does."""
        heads = {path.partition(".")[0] for path in self._types[resource.resource_type].create_only}
        return "Conditionally" if name in heads else "Never"

    def _cause(self, change: Change, mention: Reference) -> Change:
        source: Source = "DirectModification"
        cause = ""
        certain = change.certain
        if mention.name in self._after.parameters:
            source, cause = "ParameterReference", mention.name
        elif mention.name in self._renewed:
            certain = True
            source, cause = "ResourceReference", mention.name
            if mention.attribute:
                source, cause = "ResourceAttribute", f"{mention.name}.{mention.attribute}"
        return Change(
            attribute=change.attribute,
            name=change.name,
            recreation=change.recreation,
            certain=certain,
            source=source,
            cause=cause,
        )

    def _attribute_changes(
        self, resource: ResourceDefinition, existing: Incarnation, facts: ResourceFacts
    ) -> tuple[Change, ...]:
        """What differs beside the properties; none of it touches the resource but the tags."""
        metadata = self._after.evaluate(
            resource.metadata, self, ("Resources", resource.logical_id, "Metadata")
        )
        pairs = (
            ("Metadata", metadata, existing.metadata),
            ("DeletionPolicy", resource.deletion_policy, existing.deletion_policy),
            (
                "UpdateReplacePolicy",
                resource.update_replace_policy,
                existing.update_replace_policy,
            ),
        )
        changes = [Change(attribute=name) for name, new, old in pairs if new != old]
        if self._tags_changed and "Tags" in facts.properties:
            changes.append(Change(attribute="Tags"))
        return tuple(changes)


def _members(properties: Any) -> list[tuple[str, Any]]:
    return list(properties.items()) if isinstance(properties, dict) else []
