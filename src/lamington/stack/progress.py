"""One stack's operation under way: its rows and events, written in waves, one transaction each.

What is written is enough to take the operation up again after a kill at any moment. Left to
others: what to do next (`executor`).
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Clock, Ids
from lamington.stack.entities import (
    EVENT_PROPERTIES_BYTES_MAX,
    STACK_TYPE,
    Incarnation,
    Stack,
    StackEvent,
    StackResource,
    StackTables,
    ValidationError,
)
from lamington.stack.intrinsics import Evaluation
from lamington.stack.providers.base import ResourceContext

_MILLISECOND = timedelta(milliseconds=1)

Notice = Callable[[StackEvent], None]


class Progress:
    """The rows of one stack while an operation runs; nothing is on disk before `commit`."""

    def __init__(
        self,
        *,
        scope: Scope,
        stack: Stack,
        tables: StackTables,
        clock: Clock,
        ids: Ids,
        notice: Notice,
    ) -> None:
        self.scope = scope
        self.stack = stack
        self.rows = {row.logical_id: row for row in tables.resources.all(scope, stack.unique)}
        self.is_stopping = False
        """Set when a delete overtakes the operation: nothing new is begun."""
        self.evaluation: Evaluation | None = None
        """The definition's, where the operation has it already; a recovery has not."""
        newest = tables.events.page(scope, stack.unique, marker=None, limit=1).rows
        self._sequence = newest[0].sequence if newest else 0
        self._tables = tables
        self._clock = clock
        self._ids = ids
        self._notice = notice
        self._stack_is_dirty = False
        self._forgets_change_sets = False
        self._dirty: dict[str, None] = {}
        self._dropped: dict[str, None] = {}
        self._events: list[StackEvent] = []

    def reference(self, logical_id: str) -> Any:
        """What `Ref` gives: the lookup of functions, over what exists by now."""
        return self.rows[logical_id].now.reference

    def attribute(self, logical_id: str, attribute: str) -> Any:
        row = self.rows[logical_id]
        if attribute not in row.now.attributes:
            raise unsupported_attribute(row.resource_type, attribute)
        return row.now.attributes[attribute]

    def context(self, logical_id: str, incarnation: Incarnation) -> ResourceContext:
        """For whom a provider works."""
        return ResourceContext(
            scope=self.scope,
            stack_name=self.stack.stack_name,
            stack_id=self.stack.stack_id,
            logical_id=logical_id,
            token=incarnation.token,
            tags=self.stack.definition.tags,
            started=incarnation.started,
        )

    def new_incarnation(self, desired: Incarnation) -> Incarnation:
        """The incarnation to write down before it is created."""
        return replace(desired, token=self._ids.uuid(), started=self._clock.now())

    def set_stack(self, status: str, reason: str = "", **members: Any) -> None:
        """Bring the stack to a status, with its event."""
        self.change_stack(status=status, status_reason=reason, **members)
        self._event(
            self.stack.stack_name,
            STACK_TYPE,
            physical_id=self.stack.stack_id,
            status=status,
            reason=reason,
            at=self._clock.now(),
            event_id=self._ids.uuid(),
        )

    def change_stack(self, **members: Any) -> None:
        """Change the stack's row and nothing else."""
        self.stack = replace(self.stack, **members)
        self._stack_is_dirty = True

    def add_row(self, row: StackResource) -> None:
        """Take a new row in, or a row anew."""
        self.rows[row.logical_id] = row
        self._dirty[row.logical_id] = None
        self._dropped.pop(row.logical_id, None)

    def change_row(self, logical_id: str, **members: Any) -> None:
        """Change a resource's row without an event."""
        self.add_row(replace(self.rows[logical_id], **members))

    def drop_row(self, logical_id: str) -> None:
        del self.rows[logical_id]
        self._dirty.pop(logical_id, None)
        self._dropped[logical_id] = None

    def set_row(self, logical_id: str, status: str, reason: str = "", **members: Any) -> None:
        """Bring a resource to a status, with its event."""
        row = self.rows[logical_id]
        at = self.time_after(row.changed_at)
        self.change_row(logical_id, status=status, status_reason=reason, changed_at=at, **members)
        self.note(logical_id, self.rows[logical_id].now, status, reason, at=at)

    def note(
        self,
        logical_id: str,
        incarnation: Incarnation,
        status: str,
        reason: str = "",
        *,
        at: datetime | None = None,
        shows_properties: bool = True,
    ) -> None:
        """Write an event of a resource without touching its row."""
        row = self.rows[logical_id]
        at = at or self.time_after(row.changed_at)
        self._event(
            logical_id,
            row.resource_type,
            physical_id=incarnation.physical_id,
            status=status,
            reason=reason,
            at=at,
            event_id=f"{logical_id}-{status}-{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
            properties=_shown(incarnation.properties) if shows_properties else "",
        )

    def forget_change_sets(self) -> None:
        """The change sets of a stack that is gone go too, with the next commit."""
        self._forgets_change_sets = True

    def commit(self) -> None:
        """Write all that changed in one transaction, then tell who listens."""
        if not (self._stack_is_dirty or self._dirty or self._dropped or self._events):
            return
        events = self._events
        with self._tables.store.transaction():
            if self._stack_is_dirty:
                self._tables.put(self.scope, self.stack)
            for name in self._dirty:
                self._tables.resources.put(self.scope, self.rows[name])
            for name in self._dropped:
                self._tables.resources.delete(self.scope, self.stack.unique, name)
            for event in events:
                self._tables.events.put(self.scope, event)
            if self._forgets_change_sets:
                for each in self._tables.change_sets.all(self.scope, self.stack.unique):
                    self._tables.change_sets.delete(self.scope, self.stack.unique, each.name)
        self._stack_is_dirty = False
        self._dirty, self._dropped, self._events = {}, {}, []
        for event in events:
            self._notice(event)

    def time_after(self, earlier: datetime) -> datetime:
        """Event ids hold the millisecond: two events of a resource never share one."""
        return max(self._clock.now(), earlier + _MILLISECOND)

    def _event(
        self,
        logical_id: str,
        resource_type: str,
        *,
        physical_id: str,
        status: str,
        reason: str,
        at: datetime,
        event_id: str,
        properties: str = "",
    ) -> None:
        self._sequence += 1
        self._events.append(
            StackEvent(
                stack_id=self.stack.stack_id,
                stack_name=self.stack.stack_name,
                sequence=self._sequence,
                event_id=event_id,
                logical_id=logical_id,
                physical_id=physical_id,
                resource_type=resource_type,
                status=status,
                at=at,
                reason=reason,
                properties=properties,
                client_token=self.stack.client_token,
            )
        )


def _shown(properties: dict[str, Any]) -> str:
    """The properties as an event shows them.

    Differs: properties longer than 4 KiB are left out.
    """
    text = msgspec.json.encode(properties)
    return text.decode() if len(text) <= EVENT_PROPERTIES_BYTES_MAX else ""


def unsupported_attribute(resource_type: str, attribute: str) -> ValidationError:
    """The error for an attribute that a type does not have."""
    return ValidationError(
        f"Resource type {resource_type} does not support attribute {{{attribute}}}."
    )
