"""Change sets: a plan on display, kept until it is executed. `deploy` of the AWS CLI uses them.

Left to others: the plan itself (`planner`), executing it (`stacks` begins it).

Differs: a change set is made before its request is answered; nested stacks, imports, and
property values before and after are not shown.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.stack import entities as status
from lamington.stack.directions import existing_of
from lamington.stack.entities import (
    AlreadyExistsException,
    ChangeSet,
    ChangeSetNotFound,
    InvalidChangeSetStatus,
    Stack,
    StackDefinition,
    StackResource,
    StackTables,
    ValidationError,
)
from lamington.stack.executor import StackExecutor
from lamington.stack.intrinsics import Evaluation
from lamington.stack.operations.definitions import Definitions, Prepared, require_stack_name
from lamington.stack.operations.descriptions import StackDescriptions, parameters_of, tags_of
from lamington.stack.planner import Change, Create, Delete, Existing, Replace, Step, Update

NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a"
    " change set."
)

_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")

Begin = Callable[[Scope, Stack, str, Evaluation | None], None]
"""Starts an operation of a stack: scope, the row as it shall be, the first status."""


class ChangeSetOperations:
    """The change sets of every stack."""

    def __init__(
        self,
        *,
        tables: StackTables,
        definitions: Definitions,
        descriptions: StackDescriptions,
        executor: StackExecutor,
        begin: Begin,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._tables = tables
        self._definitions = definitions
        self._descriptions = descriptions
        self._executor = executor
        self._begin = begin
        self._clock = clock
        self._ids = ids

    async def create_change_set(self, params: Params, scope: Scope) -> Result:
        name, stack_name = params["ChangeSetName"], params["StackName"]
        if not _NAME.fullmatch(name):
            raise ValidationError(
                f"1 validation error detected: Value '{name}' at 'changeSetName' failed to satisfy"
                " constraint: Member must satisfy regular expression pattern:"
                " [a-zA-Z][-a-zA-Z0-9]*"
            )
        kind = params.get("ChangeSetType", "UPDATE")
        if kind == "IMPORT" or params.get("ResourcesToImport"):
            raise ValidationError(
                "Change sets of type IMPORT are not supported.",
                hint="Lamington does not emulate imports yet",
            )
        stack = self._stack_for(kind, stack_name, name, scope)
        is_update = kind == "UPDATE"
        prepared = await self._definitions.prepare(params, scope, stack, is_update=is_update)
        if self._tables.change_sets.get(scope, stack.unique, name) is not None:
            raise AlreadyExistsException(f"ChangeSet {name} already exists")
        if self._tables.find(stack.stack_id, scope) is None:
            self._executor.mark(scope, stack, status.REVIEW_IN_PROGRESS, "User Initiated")
        change_set = self._change_set(params, scope, stack, prepared, kind)
        self._tables.change_sets.put(scope, change_set)
        return {"Id": change_set.change_set_id, "StackId": stack.stack_id}

    def _stack_for(self, kind: str, stack_name: str, name: str, scope: Scope) -> Stack:
        found = self._tables.find(stack_name, scope)
        if kind == "UPDATE":
            if found is None or found.status in (status.REVIEW_IN_PROGRESS, status.DELETE_COMPLETE):
                raise ValidationError(f"Stack [{stack_name}] does not exist")
            if found.status not in status.UPDATABLE:
                raise ValidationError(
                    f"Stack:{found.stack_id} is in {found.status} state and can not be updated."
                )
            return found
        if found is None:
            require_stack_name(stack_name)
            return Stack(
                stack_id=scope.arn("cloudformation", f"stack/{stack_name}/{self._ids.uuid()}"),
                stack_name=stack_name,
                status=status.REVIEW_IN_PROGRESS,
                created=self._clock.now(),
                definition=StackDefinition(),
            )
        if found.status != status.REVIEW_IN_PROGRESS:
            raise ValidationError(
                f"Stack [{stack_name}] already exists and cannot be created again with the"
                f" changeSet [{name}]."
            )
        return found

    def _change_set(
        self, params: Params, scope: Scope, stack: Stack, prepared: Prepared, kind: str
    ) -> ChangeSet:
        name = params["ChangeSetName"]
        rows = {row.logical_id: row for row in self._tables.resources.all(scope, stack.unique)}
        changes = rendered_changes(self._definitions.plan(rows, prepared, stack).steps, rows)
        is_empty = kind == "UPDATE" and not self._definitions.is_change(rows, prepared, stack)
        return ChangeSet(
            change_set_id=scope.arn("cloudformation", f"changeSet/{name}/{self._ids.uuid()}"),
            name=name,
            stack_id=stack.stack_id,
            stack_name=stack.stack_name,
            kind=kind,
            definition=prepared.definition,
            created=self._clock.now(),
            status="FAILED" if is_empty else "CREATE_COMPLETE",
            status_reason=NO_CHANGES if is_empty else "",
            execution_status="UNAVAILABLE" if is_empty else "AVAILABLE",
            description=params.get("Description", ""),
            on_failure=params.get("OnStackFailure", ""),
            changes=tuple(changes),
        )

    async def describe_change_set(self, params: Params, scope: Scope) -> Result:
        each = self._require(params, scope)
        definition = each.definition
        result: Result = {
            **_summary(each),
            "NotificationARNs": list(definition.notification_arns),
            "RollbackConfiguration": {},
            "Capabilities": list(definition.capabilities),
            "Changes": list(each.changes),
        }
        if definition.parameters:
            result["Parameters"] = parameters_of(definition.parameters, definition.hidden)
        if definition.tags:
            result["Tags"] = tags_of(definition.tags)
        if each.on_failure:
            result["OnStackFailure"] = each.on_failure
        return result

    async def execute_change_set(self, params: Params, scope: Scope) -> Result:
        each = self._require(params, scope)
        if each.execution_status != "AVAILABLE":
            state = each.status if each.status == "FAILED" else each.execution_status
            raise InvalidChangeSetStatus(
                f"ChangeSet [{each.change_set_id}] cannot be executed in its current status of"
                f" [{state}]"
            )
        stack = self._tables.find(each.stack_id, scope)
        assert stack is not None, "a change set goes with its stack"
        on_failure = each.on_failure or "ROLLBACK"
        if params.get("DisableRollback"):
            on_failure = "DO_NOTHING"
        is_update = each.kind == "UPDATE"
        if is_update and stack.status not in status.UPDATABLE:
            raise ValidationError(
                f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated."
            )
        for other in self._tables.change_sets.all(scope, stack.unique):
            if other.name != each.name:
                self._tables.change_sets.delete(scope, stack.unique, other.name)
        self._tables.change_sets.put(scope, replace(each, execution_status="EXECUTE_COMPLETE"))
        desired = replace(
            stack,
            definition=each.definition,
            previous=stack.definition if is_update else None,
            updated=self._clock.now(),
            on_failure=on_failure,
            disable_rollback=bool(params.get("DisableRollback")),
            client_token=params.get("ClientRequestToken", ""),
            change_set_id=each.change_set_id,
        )
        first = status.UPDATE_IN_PROGRESS if is_update else status.CREATE_IN_PROGRESS
        self._begin(scope, desired, first, None)
        return {}

    async def delete_change_set(self, params: Params, scope: Scope) -> Result:
        name, stack_name = params["ChangeSetName"], params.get("StackName", "")
        if not name.startswith("arn:"):
            self._descriptions.require_stack(
                stack_name, scope, f"Stack [{stack_name}] does not exist"
            )
        try:
            each = self._require(params, scope)
        except ChangeSetNotFound:
            return {}
        self._tables.change_sets.delete(scope, each.stack_id.rpartition("/")[2], each.name)
        return {}

    async def list_change_sets(self, params: Params, scope: Scope) -> Result:
        name = params["StackName"]
        stack = self._descriptions.require_stack(name, scope, f"Stack [{name}] does not exist")
        found = self._tables.change_sets.all(scope, stack.unique)
        return {"Summaries": [_summary(each) for each in found]}

    def _require(self, params: Params, scope: Scope) -> ChangeSet:
        return self._descriptions.require_change_set(
            params["ChangeSetName"], params.get("StackName", ""), scope
        )


def _summary(each: ChangeSet) -> dict[str, Any]:
    result: dict[str, Any] = {
        "StackId": each.stack_id,
        "StackName": each.stack_name,
        "ChangeSetId": each.change_set_id,
        "ChangeSetName": each.name,
        "ExecutionStatus": each.execution_status,
        "Status": each.status,
        "CreationTime": each.created,
        "IncludeNestedStacks": False,
    }
    if each.status_reason:
        result["StatusReason"] = each.status_reason
    if each.description:
        result["Description"] = each.description
    return result


def rendered_changes(
    steps: tuple[Step, ...], rows: Mapping[str, StackResource]
) -> list[dict[str, Any]]:
    """A plan in the words of DescribeChangeSet, by logical id."""
    existing = existing_of(rows.values())
    return [
        {"Type": "Resource", "ResourceChange": _resource_change(step, existing)}
        for step in sorted(steps, key=lambda step: step.logical_id)
    ]


def _resource_change(step: Step, existing: Mapping[str, Existing]) -> dict[str, Any]:
    change: dict[str, Any] = {
        "LogicalResourceId": step.logical_id,
        "ResourceType": step.resource_type,
        "Scope": [],
        "Details": [],
    }
    if not isinstance(step, Create):
        change["PhysicalResourceId"] = existing[step.logical_id].incarnation.physical_id
    if isinstance(step, Create):
        change["Action"] = "Add"
    elif isinstance(step, Delete):
        change["Action"] = "Remove"
        policy = existing[step.logical_id].incarnation.deletion_policy
        change["PolicyAction"] = "Delete" if policy == "Delete" else "Retain"
    else:
        change["Action"] = "Modify"
        change["Replacement"] = _replacement(step)
        change["Scope"] = sorted({each.attribute for each in step.changes})
        change["Details"] = [_detail(each) for each in step.changes]
        if change["Replacement"] == "True":
            policy = existing[step.logical_id].incarnation.update_replace_policy
            change["PolicyAction"] = f"ReplaceAnd{policy}"
    return change


def _replacement(step: Update | Replace) -> str:
    if isinstance(step, Replace) and step.is_certain:
        return "True"
    if any(each.recreation != "Never" for each in step.changes):
        return "Conditional"
    return "False"


def _detail(change: Change) -> dict[str, Any]:
    target: dict[str, Any] = {"Attribute": change.attribute, "RequiresRecreation": "Never"}
    if change.attribute == "Properties":
        recreation = "Always" if change.recreation == "Conditionally" else change.recreation
        target |= {"Name": change.name, "RequiresRecreation": recreation}
    detail: dict[str, Any] = {
        "Target": target,
        "Evaluation": "Static" if change.certain else "Dynamic",
        "ChangeSource": change.source,
    }
    if change.cause:
        detail["CausingEntity"] = change.cause
    return detail
