"""The operations of CloudFormation that only read: stacks, resources, events, templates.

Left to others: what changes a stack (`stacks`), change sets (`change_sets`).
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec

from lamington.core.aws import Params, Result, Scope
from lamington.stack.entities import (
    DELETE_COMPLETE,
    PAGE_MAX,
    ChangeSet,
    ChangeSetNotFound,
    Stack,
    StackEvent,
    StackOutput,
    StackResource,
    StackTables,
    ValidationError,
)
from lamington.stack.operations.definitions import Definitions
from lamington.stack.parameters import HIDDEN
from lamington.stack.template import Template, parse_template

NOT_CHECKED = "NOT_CHECKED"


class StackDescriptions:
    """Answers from the rows."""

    def __init__(self, *, tables: StackTables, definitions: Definitions) -> None:
        self._tables = tables
        self._definitions = definitions

    async def describe_stacks(self, params: Params, scope: Scope) -> Result:
        name = params.get("StackName")
        if name:
            stack = self.require_stack(name, scope, f"Stack with id {name} does not exist")
            return {"Stacks": [_stack(stack)]}
        live = [each for each in self._tables.stacks.all(scope) if each.status != DELETE_COMPLETE]
        live.sort(key=lambda each: each.created, reverse=True)
        return _paged("Stacks", [_stack(each) for each in live], params)

    async def list_stacks(self, params: Params, scope: Scope) -> Result:
        wanted = params.get("StackStatusFilter") or ()
        stacks = [
            each for each in self._tables.stacks.all(scope) if not wanted or each.status in wanted
        ]
        stacks.sort(key=lambda each: each.created, reverse=True)
        return _paged("StackSummaries", [_summary(each) for each in stacks], params)

    async def describe_stack_events(self, params: Params, scope: Scope) -> Result:
        name = params.get("StackName", "")
        stack = self.require_stack(name, scope, f"Stack [{name}] does not exist")
        page = self._tables.events.page(scope, stack.unique, marker=_marker(params), limit=PAGE_MAX)
        result: Result = {"StackEvents": [_event(each) for each in page.rows]}
        if page.marker is not None:
            result["NextToken"] = _token(page.marker)
        return result

    async def describe_stack_resources(self, params: Params, scope: Scope) -> Result:
        stack, rows = self._stack_and_rows(params, scope)
        logical_id = params.get("LogicalResourceId")
        found = [each for each in rows if logical_id in (None, each.logical_id)]
        return {"StackResources": [_resource(stack, each) for each in found[:PAGE_MAX]]}

    def _stack_and_rows(self, params: Params, scope: Scope) -> tuple[Stack, list[StackResource]]:
        name, physical_id = params.get("StackName"), params.get("PhysicalResourceId")
        if name:
            stack = self.require_stack(name, scope, f"Stack with id {name} does not exist")
            return stack, self._tables.resources.all(scope, stack.unique)
        for stack in self._tables.stacks.all(scope):
            rows = self._tables.resources.all(scope, stack.unique)
            if stack.status != DELETE_COMPLETE and any(_holds(each, physical_id) for each in rows):
                return stack, rows
        raise ValidationError(f"Stack for {physical_id} does not exist")

    async def describe_stack_resource(self, params: Params, scope: Scope) -> Result:
        name, logical_id = params.get("StackName", ""), params.get("LogicalResourceId", "")
        stack = self.require_stack(name, scope, f"Stack '{name}' does not exist")
        row = self._tables.resources.get(scope, stack.unique, logical_id)
        if row is None:
            raise ValidationError(f"Resource {logical_id} does not exist for stack {name}")
        detail = _resource(stack, row)
        detail["LastUpdatedTimestamp"] = detail.pop("Timestamp")
        if row.now.metadata is not None:
            detail["Metadata"] = msgspec.json.encode(row.now.metadata).decode()
        return {"StackResourceDetail": detail}

    async def list_stack_resources(self, params: Params, scope: Scope) -> Result:
        name = params.get("StackName", "")
        stack = self.require_stack(name, scope, f"Stack with id {name} does not exist")
        rows = self._tables.resources.all(scope, stack.unique)
        summaries = []
        for row in rows:
            summary = _resource(stack, row)
            summary["LastUpdatedTimestamp"] = summary.pop("Timestamp")
            del summary["StackId"], summary["StackName"]
            summaries.append(summary)
        return _paged("StackResourceSummaries", summaries, params)

    async def list_exports(self, params: Params, scope: Scope) -> Result:
        exports = [
            {"ExportingStackId": stack.stack_id, "Name": output.export_name, "Value": output.value}
            for stack in self._tables.stacks.all(scope)
            if stack.status != DELETE_COMPLETE
            for output in stack.outputs
            if output.export_name
        ]
        exports.sort(key=lambda each: each["Name"])
        return _paged("Exports", exports, params)

    async def get_template(self, params: Params, scope: Scope) -> Result:
        name, change_set = params.get("StackName"), params.get("ChangeSetName")
        if not name and not change_set:
            raise ValidationError("StackName is required if ChangeSetName is not specified.")
        if change_set:
            found = self.require_change_set(change_set, name or "", scope)
            text = found.definition.template
        else:
            assert name is not None, "one of the two is given"
            stack = self.require_stack(name, scope, f"Stack with id {name} does not exist")
            text = stack.definition.template
        return {"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}

    async def validate_template(self, params: Params, scope: Scope) -> Result:
        template = await self._definitions.template(params, scope)
        result: Result = {
            "Parameters": [
                _without_empty(
                    {
                        "ParameterKey": each.name,
                        "DefaultValue": each.default,
                        "NoEcho": each.no_echo,
                        "Description": each.description,
                    }
                )
                for each in template.parameters.values()
            ],
            **self._needs(template),
        }
        if template.description:
            result["Description"] = template.description
        return result

    async def get_template_summary(self, params: Params, scope: Scope) -> Result:
        name = params.get("StackName")
        if name:
            stack = self.require_stack(name, scope, f"Stack with id {name} does not exist")
            if not stack.definition.template:
                raise ValidationError(
                    "GetTemplateSummary cannot be called on REVIEW_IN_PROGRESS stacks."
                )
            template = parse_template(stack.definition.template)
        else:
            template = await self._definitions.template(params, scope)
        kinds = {each.resource_type for each in template.resources.values()}
        result: Result = {
            "Parameters": [_declaration(template, each) for each in template.parameters],
            "ResourceTypes": sorted(kinds),
            "Version": "2010-09-09",
            **self._needs(template),
        }
        if template.description:
            result["Description"] = template.description
        if template.metadata is not None:
            result["Metadata"] = msgspec.json.encode(template.metadata).decode()
        return result

    def _needs(self, template: Template) -> Result:
        capabilities, reason = self._definitions.capabilities(template)
        if not capabilities:
            return {}
        return {"Capabilities": capabilities, "CapabilitiesReason": reason}

    def require_stack(self, name_or_id: str, scope: Scope, message: str) -> Stack:
        """The stack, deleted or not; raises ValidationError with the message."""
        stack = self._tables.find(name_or_id, scope)
        if stack is None:
            raise ValidationError(message)
        return stack

    def require_change_set(self, name_or_id: str, stack_name: str, scope: Scope) -> ChangeSet:
        """The change set by its id, or by its name and its stack."""
        if name_or_id.startswith("arn:"):
            for stack in self._tables.stacks.all(scope):
                for each in self._tables.change_sets.all(scope, stack.unique):
                    if each.change_set_id == name_or_id:
                        return each
            raise ChangeSetNotFound(f"ChangeSet [{name_or_id}] does not exist")
        if not stack_name:
            raise ValidationError(
                "StackName must be specified if ChangeSetName is not specified as an ARN."
            )
        stack = self.require_stack(stack_name, scope, f"Stack [{stack_name}] does not exist")
        found = self._tables.change_sets.get(scope, stack.unique, name_or_id)
        if found is None:
            raise ChangeSetNotFound(f"ChangeSet [{name_or_id}] does not exist")
        return found


def _holds(row: StackResource, physical_id: str | None) -> bool:
    """Whether a resource is, was or shall be deleted under this id: an update may hold two."""
    return any(
        each is not None and each.physical_id == physical_id
        for each in (row.now, row.before, row.doomed)
    )


def parameters_of(parameters: dict[str, str], hidden: Sequence[str]) -> list[dict[str, str]]:
    """Parameters as clients may see them."""
    return [
        {"ParameterKey": name, "ParameterValue": HIDDEN if name in hidden else value}
        for name, value in parameters.items()
    ]


def tags_of(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _stack(stack: Stack) -> dict[str, Any]:
    definition = stack.definition
    shows_outputs = stack.status.endswith("_COMPLETE")
    shown = {
        "StackId": stack.stack_id,
        "StackName": stack.stack_name,
        "ChangeSetId": stack.change_set_id,
        "Description": definition.description,
        "Parameters": parameters_of(definition.parameters, definition.hidden),
        "CreationTime": stack.created,
        "DeletionTime": stack.deleted,
        "LastUpdatedTime": stack.updated,
        "StackStatus": stack.status,
        "StackStatusReason": stack.status_reason,
        "TimeoutInMinutes": stack.timeout_minutes,
        "Capabilities": list(definition.capabilities),
        "Outputs": [_output(each) for each in stack.outputs] if shows_outputs else [],
        "RoleARN": definition.role_arn,
    }
    result = _without_empty(shown)
    result |= {
        "RollbackConfiguration": {},
        "DisableRollback": stack.disable_rollback,
        "NotificationARNs": list(definition.notification_arns),
        "Tags": tags_of(definition.tags),
        "DriftInformation": {"StackDriftStatus": NOT_CHECKED},
    }
    if stack.status != DELETE_COMPLETE:
        result["EnableTerminationProtection"] = stack.termination_protection
    return result


def _output(output: StackOutput) -> dict[str, Any]:
    shown = {"OutputKey": output.key, "Description": output.description}
    if output.export_name:
        shown["ExportName"] = output.export_name
    return {**_without_empty(shown), "OutputValue": output.value}


def _summary(stack: Stack) -> dict[str, Any]:
    return {
        **_without_empty(
            {
                "StackId": stack.stack_id,
                "StackName": stack.stack_name,
                "TemplateDescription": stack.definition.description,
                "CreationTime": stack.created,
                "LastUpdatedTime": stack.updated,
                "DeletionTime": stack.deleted,
                "StackStatus": stack.status,
                "StackStatusReason": stack.status_reason,
            }
        ),
        "DriftInformation": {"StackDriftStatus": NOT_CHECKED},
    }


def _event(event: StackEvent) -> dict[str, Any]:
    return {
        **_without_empty(
            {
                "StackId": event.stack_id,
                "EventId": event.event_id,
                "StackName": event.stack_name,
                "LogicalResourceId": event.logical_id,
                "ResourceType": event.resource_type,
                "Timestamp": event.at,
                "ResourceStatus": event.status,
                "ResourceStatusReason": event.reason,
                "ResourceProperties": event.properties,
                "ClientRequestToken": event.client_token,
            }
        ),
        "PhysicalResourceId": event.physical_id,
    }


def _resource(stack: Stack, row: StackResource) -> dict[str, Any]:
    return _without_empty(
        {
            "StackName": stack.stack_name,
            "StackId": stack.stack_id,
            "LogicalResourceId": row.logical_id,
            "PhysicalResourceId": row.now.physical_id,
            "ResourceType": row.resource_type,
            "Timestamp": row.changed_at,
            "ResourceStatus": row.status,
            "ResourceStatusReason": row.status_reason,
            "DriftInformation": {"StackResourceDriftStatus": NOT_CHECKED},
        }
    )


def _declaration(template: Template, name: str) -> dict[str, Any]:
    each = template.parameters[name]
    constraints = {"AllowedValues": list(each.allowed_values)} if each.allowed_values else {}
    return {
        **_without_empty({"DefaultValue": each.default, "Description": each.description}),
        "ParameterKey": name,
        "ParameterType": each.type,
        "NoEcho": each.no_echo,
        "ParameterConstraints": constraints,
    }


def _without_empty(members: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in members.items()
        if (value is not None and value not in ("", [], 0)) or value is False
    }


def _paged(member: str, items: list[dict[str, Any]], params: Params) -> Result:
    marker = _marker(params)
    start = int(marker) if marker and marker.isdigit() else 0
    result: Result = {member: items[start : start + PAGE_MAX]}
    if len(items) > start + PAGE_MAX:
        result["NextToken"] = _token(str(start + PAGE_MAX))
    return result


def _token(marker: str) -> str:
    return base64.urlsafe_b64encode(marker.encode()).decode()


def _marker(params: Params) -> str | None:
    token = params.get("NextToken")
    if not token:
        return None
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValidationError("The specified NextToken is not valid.") from None
