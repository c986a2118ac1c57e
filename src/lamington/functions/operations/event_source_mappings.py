"""The Lambda API of event source mappings: which source is to invoke which function, and how.

What each kind of source takes is `event_sources`' part. Differs: nothing polls yet; a mapping is
kept and shown, and the engine says at start-up that its records do not arrive.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.core.store import Store, Table
from lamington.functions.entities import (
    EventSourceMapping,
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from lamington.functions.operations.event_sources import (
    KINDS,
    NOT_UPDATABLE,
    kind_of,
    require_valid,
)
from lamington.functions.operations.names import FunctionReference, parse_reference
from lamington.functions.operations.paging import limit_of, marker_of, next_marker
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.operations.tagging import require_tags

LOGGER = logging.getLogger("lamington.functions")

SETTLES_AFTER = timedelta(seconds=0.2)
"""How long a change is shown as under way; AWS takes up to a minute."""

_NO_FUNCTION = "Function does not exist"
_REMOVABLE = ("LoggingConfig", "MetricsConfig", "ProvisionedPollerConfig", "ScalingConfig")


class EventSourceMappingOperations:
    """Keeps event source mappings, and their tags."""

    def __init__(self, *, registry: FunctionRegistry, store: Store, clock: Clock, ids: Ids) -> None:
        self._registry = registry
        self._clock = clock
        self._ids = ids
        self._mappings: Table[EventSourceMapping] = Table(
            store,
            "lambda_event_source_mappings",
            EventSourceMapping,
            lambda row: (row.mapping_id,),
        )

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:CreateEventSourceMapping": self.create_event_source_mapping,
            "lambda:GetEventSourceMapping": self.get_event_source_mapping,
            "lambda:ListEventSourceMappings": self.list_event_source_mappings,
            "lambda:UpdateEventSourceMapping": self.update_event_source_mapping,
            "lambda:DeleteEventSourceMapping": self.delete_event_source_mapping,
        }

    def unpolled(self, scope: Scope) -> list[str]:
        """One sentence for each mapping whose records do not arrive."""
        return [
            _unpolled(row)
            for row in self._mappings.all(scope)
            if row.enabled and self._current(scope, row) is not None
        ]

    def announce(self) -> None:
        """Say of every mapping that its records do not arrive: what a start does."""
        for scope, row in list(self._mappings.everywhere()):
            if row.enabled and self._current(scope, row) is not None:
                LOGGER.warning("%s", _unpolled(row))

    async def create_event_source_mapping(self, params: Params, scope: Scope) -> Result:
        """Map a source to a function, version or alias.

        AWS: CreateEventSourceMapping; a source has one mapping for a function.
        """
        kind = kind_of(params)
        require_valid(kind, params)
        reference = self._function(params["FunctionName"], scope)
        source = params.get("EventSourceArn") or ""
        self._require_new(scope, kind, source, reference)
        tags = dict(params.get("Tags") or {})
        require_tags(tags)
        rules = KINDS[kind]
        mapping = EventSourceMapping(
            mapping_id=self._ids.uuid(),
            function_name=reference.function_name,
            function_arn=reference.arn,
            event_source_arn=source,
            kind=kind,
            enabled=params.get("Enabled") is not False,
            change="" if params.get("Enabled") is False else "Creating",
            changed=self._clock.now(),
            settings=_settings(rules.defaults, params, rules.members),
            tags=tags,
        )
        if rules.consumer_group:
            mapping.settings[rules.consumer_group] = {
                "ConsumerGroupId": mapping.mapping_id,
                **(params.get(rules.consumer_group) or {}),
            }
        self._mappings.put(scope, mapping)
        if mapping.enabled:
            LOGGER.warning("%s", _unpolled(mapping))
        return self._shown(scope, mapping)

    async def get_event_source_mapping(self, params: Params, scope: Scope) -> Result:
        return self._shown(scope, self._require(params["UUID"], scope))

    async def list_event_source_mappings(self, params: Params, scope: Scope) -> Result:
        """The mappings of a function, of a source, of both or of everything."""
        wanted = ""
        if params.get("FunctionName"):
            wanted = parse_reference(params["FunctionName"], scope).arn
        source = params.get("EventSourceArn") or ""
        limit, marker = limit_of(params), marker_of(params) or ""
        found = [
            row
            for row in self._mappings.all(scope)
            if row.mapping_id > marker
            and (not source or row.event_source_arn == source)
            and (not wanted or f"{row.function_arn}:".startswith(f"{wanted}:"))
            and self._current(scope, row) is not None
        ]
        more = found[limit - 1].mapping_id if len(found) > limit else None
        shown = [self._shown(scope, row) for row in found[:limit]]
        return {"EventSourceMappings": shown, **next_marker(more)}

    async def update_event_source_mapping(self, params: Params, scope: Scope) -> Result:
        """Change what is given.

        AWS: UpdateEventSourceMapping; a mapping that is changing cannot be changed.
        """
        mapping = self._require(params["UUID"], scope)
        self._require_settled(mapping, "update")
        members = KINDS[mapping.kind].members - NOT_UPDATABLE
        given = {name: params[name] for name in members if params.get(name) is not None}
        kept = {**mapping.settings, "EventSourceArn": mapping.event_source_arn}
        require_valid(mapping.kind, params, kept)
        function_name, function_arn = mapping.function_name, mapping.function_arn
        if params.get("FunctionName"):
            reference = self._function(params["FunctionName"], scope)
            function_name, function_arn = reference.function_name, reference.arn
        enabled = mapping.enabled if params.get("Enabled") is None else bool(params["Enabled"])
        change = "Updating"
        if enabled != mapping.enabled:
            change = "Enabling" if enabled else "Disabling"
        changed = replace(
            mapping,
            function_name=function_name,
            function_arn=function_arn,
            enabled=enabled,
            change=change,
            changed=self._clock.now(),
            settings=_settings(mapping.settings, given, members),
        )
        self._mappings.put(scope, changed)
        return self._shown(scope, changed)

    async def delete_event_source_mapping(self, params: Params, scope: Scope) -> Result:
        """Delete a mapping; it is shown as `Deleting` for a moment.

        AWS: DeleteEventSourceMapping.
        """
        mapping = self._require(params["UUID"], scope)
        self._require_settled(mapping, "delete")
        deleted = replace(mapping, change="Deleting", changed=self._clock.now())
        self._mappings.put(scope, deleted)
        return self._shown(scope, deleted)

    # Tags, for the operations on them.

    def tags(self, resource_id: str, scope: Scope) -> dict[str, str]:
        return self._require(resource_id, scope).tags

    def put_tags(self, resource_id: str, tags: dict[str, str], scope: Scope) -> None:
        self._mappings.put(scope, replace(self._require(resource_id, scope), tags=tags))

    # Within

    def _function(self, name: str, scope: Scope) -> FunctionReference:
        reference = parse_reference(name, scope)
        try:
            self._registry.version(reference)
        except ResourceNotFoundException:
            raise InvalidParameterValueException(_NO_FUNCTION) from None
        return reference

    def _require_new(
        self, scope: Scope, kind: str, source: str, reference: FunctionReference
    ) -> None:
        """AWS: the texts differ by the kind of source, spaces included."""
        for row in self._mappings.all(scope):
            if (
                not source
                or (row.event_source_arn, row.function_arn) != (source, reference.arn)
                or self._current(scope, row) is None
            ):
                continue
            pair = f'arn (" {source} ") and function (" {reference.function_name} ")'
            existing = (
                f"An event source mapping with SQS {pair} already exists."
                if kind == "sqs"
                else f"The event source {pair} provided mapping already exists."
            )
            raise ResourceConflictException(
                f"{existing} Please update or delete the existing mapping with UUID"
                f" {row.mapping_id}"
            )

    def _require(self, mapping_id: str, scope: Scope) -> EventSourceMapping:
        found = self._mappings.get(scope, mapping_id)
        found = None if found is None else self._current(scope, found)
        if found is None:
            raise ResourceNotFoundException("The resource you requested does not exist.")
        return found

    def _current(self, scope: Scope, mapping: EventSourceMapping) -> EventSourceMapping | None:
        """The mapping, None when the moment of its deletion is over: then its row goes too."""
        if mapping.change == "Deleting" and self._is_settled(mapping):
            self._mappings.delete(scope, mapping.mapping_id)
            return None
        return mapping

    def _is_settled(self, mapping: EventSourceMapping) -> bool:
        return not mapping.change or self._clock.now() >= mapping.changed + SETTLES_AFTER

    def _require_settled(self, mapping: EventSourceMapping, verb: str) -> None:
        if not self._is_settled(mapping):
            raise ResourceInUseException(
                f"Cannot {verb} the event source mapping because it is in use."
            )

    def _shown(self, scope: Scope, mapping: EventSourceMapping) -> Result:
        rules = KINDS[mapping.kind]
        state = "Enabled" if mapping.enabled else "Disabled"
        shown: Result = {
            "UUID": mapping.mapping_id,
            "EventSourceMappingArn": scope.arn(
                "lambda", f"event-source-mapping:{mapping.mapping_id}"
            ),
            "FunctionArn": mapping.function_arn,
            "LastModified": mapping.changed,
            "State": state if self._is_settled(mapping) else mapping.change,
            "StateTransitionReason": rules.reason,
            **mapping.settings,
        }
        if mapping.event_source_arn:
            shown["EventSourceArn"] = mapping.event_source_arn
        if rules.tells_result:
            shown["LastProcessingResult"] = "No records processed"
        return shown


def _unpolled(mapping: EventSourceMapping) -> str:
    return (
        f"the event source mapping {mapping.mapping_id} is kept, but nothing polls its source"
        f" `{mapping.event_source_arn or mapping.kind}` for `{mapping.function_name}` yet"
    )


def _settings(
    before: Mapping[str, Any], given: Mapping[str, Any], members: frozenset[str]
) -> dict[str, Any]:
    """What is given over what was there before; an empty structure takes away what was."""
    settings = dict(before)
    settings |= {
        name: value.timestamp() if isinstance(value, datetime) else value
        for name in members
        if (value := given.get(name)) is not None
    }
    if not (settings.get("FilterCriteria") or {}).get("Filters"):
        settings.pop("FilterCriteria", None)
    for name in _REMOVABLE:
        if not settings.get(name):
            settings.pop(name, None)
    if "DestinationConfig" in settings:
        settings["DestinationConfig"] = {"OnFailure": {}, **settings["DestinationConfig"]}
    return settings
