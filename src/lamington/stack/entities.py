"""What CloudFormation is made of, as rows: stacks, resources, events; statuses, quotas, errors.

Left to others: what a template says (`template`), what happens to the rows (`executor`), what
the API shows of them (`operations/`).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from lamington.core.aws import Scope
from lamington.core.errors import AwsError, Position
from lamington.core.store import SEPARATOR, Store, Table

TEMPLATE_BODY_BYTES_MAX = 51_200
TEMPLATE_BYTES_MAX = 1_000_000
RESOURCES_MAX = 500
PARAMETERS_MAX = 200
OUTPUTS_MAX = 200
MAPPINGS_MAX = 200
TAGS_MAX = 50
NAME_LENGTH_MAX = 255
STACK_NAME_LENGTH_MAX = 128
PARAMETER_VALUE_BYTES_MAX = 4096
DESCRIPTION_BYTES_MAX = 1024
PAGE_MAX = 100
DELETED_DAYS_KEPT = 90
EVENTS_KEPT = 10_000
EVENT_PROPERTIES_BYTES_MAX = 4096
"""What is longer is left out of events: an API's whole definition would be in three of them."""

STACK_TYPE = "AWS::CloudFormation::Stack"

CREATE_IN_PROGRESS = "CREATE_IN_PROGRESS"
CREATE_FAILED = "CREATE_FAILED"
CREATE_COMPLETE = "CREATE_COMPLETE"
ROLLBACK_IN_PROGRESS = "ROLLBACK_IN_PROGRESS"
ROLLBACK_FAILED = "ROLLBACK_FAILED"
ROLLBACK_COMPLETE = "ROLLBACK_COMPLETE"
DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS"
DELETE_FAILED = "DELETE_FAILED"
DELETE_COMPLETE = "DELETE_COMPLETE"
DELETE_SKIPPED = "DELETE_SKIPPED"
UPDATE_IN_PROGRESS = "UPDATE_IN_PROGRESS"
UPDATE_CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
UPDATE_COMPLETE = "UPDATE_COMPLETE"
UPDATE_FAILED = "UPDATE_FAILED"
UPDATE_ROLLBACK_IN_PROGRESS = "UPDATE_ROLLBACK_IN_PROGRESS"
UPDATE_ROLLBACK_FAILED = "UPDATE_ROLLBACK_FAILED"
UPDATE_ROLLBACK_CLEANUP = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"
UPDATE_ROLLBACK_COMPLETE = "UPDATE_ROLLBACK_COMPLETE"
REVIEW_IN_PROGRESS = "REVIEW_IN_PROGRESS"

UPDATABLE = frozenset(
    {CREATE_COMPLETE, UPDATE_COMPLETE, UPDATE_ROLLBACK_COMPLETE, CREATE_FAILED, UPDATE_FAILED}
)
"""Statuses in which a stack takes an update; the failed ones only without rollback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackDefinition:
    """All that a request says a stack shall be.

    `parameters` are the values as text, `hidden` the names of those that clients may not see.
    """

    template: str = ""
    description: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    notification_arns: tuple[str, ...] = ()
    role_arn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOutput:
    key: str
    value: str
    description: str = ""
    export_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack. Its status says which phase is under way, so that a start can take it up again.

    `previous` is what a running update goes back to. `retained` are the logical ids that a
    running delete leaves alone.
    """

    stack_id: str
    stack_name: str
    status: str
    created: datetime
    definition: StackDefinition
    status_reason: str = ""
    updated: datetime | None = None
    deleted: datetime | None = None
    previous: StackDefinition | None = None
    outputs: tuple[StackOutput, ...] = ()
    on_failure: str = "ROLLBACK"
    disable_rollback: bool = False
    timeout_minutes: int = 0
    termination_protection: bool = False
    client_token: str = ""
    change_set_id: str = ""
    retained: tuple[str, ...] = ()

    @property
    def unique(self) -> str:
        """The last part of the stack's id."""
        return self.stack_id.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incarnation:
    """One physical resource under a logical id, with what it was made from.

    `token` and `started` are written before the create is called; `physical_id` is "" until it
    answered.
    """

    token: str
    started: datetime | None = None
    physical_id: str = ""
    reference: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    dependencies: tuple[str, ...] = ()
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"
    metadata: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackResource:
    """A logical id of a stack.

    While an operation runs, `change` says what it does: "added", "updated", "replaced",
    "removed" or "" for nothing; `before` is what it was, `doomed` what the cleanup deletes.
    """

    stack_id: str
    logical_id: str
    resource_type: str
    status: str
    changed_at: datetime
    now: Incarnation
    status_reason: str = ""
    description: str = ""
    change: str = ""
    before: Incarnation | None = None
    doomed: Incarnation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackEvent:
    """What happened; `sequence` counts the events of a stack, `properties` is JSON text."""

    stack_id: str
    stack_name: str
    sequence: int
    event_id: str
    logical_id: str
    physical_id: str
    resource_type: str
    status: str
    at: datetime
    reason: str = ""
    properties: str = ""
    client_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSet:
    """A plan on display: what a definition would change, and whether it may still be executed."""

    change_set_id: str
    name: str
    stack_id: str
    stack_name: str
    kind: str
    definition: StackDefinition
    created: datetime
    status: str
    status_reason: str = ""
    execution_status: str = "UNAVAILABLE"
    description: str = ""
    on_failure: str = ""
    changes: tuple[dict[str, Any], ...] = ()


class StackTables:
    """The rows of every stack. A deleted stack keeps its rows under its id alone."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.stacks = Table(store, "stacks", Stack, _stack_key)
        self.resources = Table(
            store,
            "stack_resources",
            StackResource,
            lambda row: (row.stack_id.rpartition("/")[2], row.logical_id),
        )
        self.events = Table(
            store,
            "stack_events",
            StackEvent,
            lambda row: (row.stack_id.rpartition("/")[2], event_key(row.sequence)),
        )
        self.change_sets = Table(
            store,
            "stack_change_sets",
            ChangeSet,
            lambda row: (row.stack_id.rpartition("/")[2], row.name),
        )

    def find(self, name_or_id: str, scope: Scope) -> Stack | None:
        """The stack by name, where it lives, or by id, where it may be deleted."""
        if not name_or_id.startswith("arn:"):
            return self.stacks.get(scope, name_or_id, "live")
        name, _, unique = name_or_id.partition(":stack/")[2].partition("/")
        for key in ("live", unique):
            found = self.stacks.get(scope, name, key)
            if found is not None and found.stack_id == name_or_id:
                return found
        return None

    def put(self, scope: Scope, stack: Stack) -> None:
        """Write the stack; one that is deleted gives its name free."""
        if stack.status == DELETE_COMPLETE:
            self.stacks.delete(scope, stack.stack_name, "live")
        self.stacks.put(scope, stack)

    def forget(self, scope: Scope, stack: Stack) -> None:
        """Delete every row of a deleted stack."""
        with self.store.transaction():
            for row in self.resources.all(scope, stack.unique):
                self.resources.delete(scope, stack.unique, row.logical_id)
            self.forget_events(scope, stack, 0)
            self.stacks.delete(scope, *_stack_key(stack))

    def forget_events(self, scope: Scope, stack: Stack, kept: int) -> None:
        """Delete the events of a stack but the newest."""
        newest = self.events.page(scope, stack.unique, marker=None, limit=1).rows
        if not newest or newest[0].sequence <= kept:
            return
        oldest_kept = event_key(newest[0].sequence - kept + 1)
        marker = SEPARATOR.join((stack.unique, oldest_kept))
        old = self.events.page(scope, stack.unique, marker=marker, limit=2**31).rows
        with self.store.transaction():
            for event in old:
                self.events.delete(scope, stack.unique, event_key(event.sequence))


def event_key(sequence: int) -> str:
    """Keys in descending order: the newest event is read first."""
    return f"{10**12 - sequence:012d}"


def _stack_key(stack: Stack) -> tuple[str, str]:
    return stack.stack_name, stack.unique if stack.status == DELETE_COMPLETE else "live"


class ValidationError(AwsError):
    """A request or a template is wrong."""


class TemplateError(ValidationError):
    """A template is wrong; `where` points into its text."""

    def __init__(self, message: str, *, where: Position | None = None, hint: str = "") -> None:
        super().__init__(message, hint)
        self.where = where

    @property
    def code(self) -> str:
        return "ValidationError"


class AlreadyExistsException(AwsError):
    """The name is taken."""


class InsufficientCapabilitiesException(AwsError):
    """The template can do more than the request allows."""


class InvalidChangeSetStatus(AwsError):
    """The change set cannot be executed as it is."""


class ChangeSetNotFound(AwsError):
    """There is no such change set."""

    status: ClassVar[int] = 404


class TokenAlreadyExistsException(AwsError):
    """The client request token was used for another operation."""
