"""The operations of CloudFormation that change a stack; each answers at once and runs on.

Left to others: what a request's definition is (`definitions`), reading (`descriptions`), change
sets (`change_sets`), the running itself (`executor`).

Differs: `RoleARN`, `NotificationARNs` and `TimeoutInMinutes` are kept and shown, and have no
effect; `RollbackConfiguration` is neither kept nor shown.
"""

from collections.abc import Callable
from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.core.store import Store
from lamington.stack import entities as status
from lamington.stack.entities import (
    AlreadyExistsException,
    Stack,
    StackDefinition,
    StackEvent,
    StackTables,
    TokenAlreadyExistsException,
    ValidationError,
)
from lamington.stack.executor import StackExecutor
from lamington.stack.intrinsics import Evaluation
from lamington.stack.operations.change_sets import ChangeSetOperations
from lamington.stack.operations.definitions import Definitions, FetchObject, require_stack_name
from lamington.stack.operations.descriptions import StackDescriptions
from lamington.stack.providers.base import ProviderRegistry


class StackOperations:
    """CloudFormation."""

    def __init__(
        self,
        *,
        store: Store,
        providers: ProviderRegistry,
        clock: Clock,
        ids: Ids,
        fetch_object: FetchObject,
    ) -> None:
        self._tables = StackTables(store)
        self._clock = clock
        self._ids = ids
        self._executor = StackExecutor(
            tables=self._tables, providers=providers, clock=clock, ids=ids
        )
        self._definitions = Definitions(providers=providers, fetch_object=fetch_object)
        self._descriptions = StackDescriptions(tables=self._tables, definitions=self._definitions)
        self._change_sets = ChangeSetOperations(
            tables=self._tables,
            definitions=self._definitions,
            descriptions=self._descriptions,
            executor=self._executor,
            begin=self._begin,
            clock=clock,
            ids=ids,
        )

    def operations(self) -> dict[str, Operation]:
        """Every operation of CloudFormation that this engine has."""
        return {
            "cloudformation:CreateStack": self.create_stack,
            "cloudformation:UpdateStack": self.update_stack,
            "cloudformation:DeleteStack": self.delete_stack,
            "cloudformation:CancelUpdateStack": self.cancel_update_stack,
            "cloudformation:ContinueUpdateRollback": self.continue_update_rollback,
            "cloudformation:UpdateTerminationProtection": self.update_termination_protection,
            "cloudformation:DescribeStacks": self._descriptions.describe_stacks,
            "cloudformation:DescribeStackEvents": self._descriptions.describe_stack_events,
            "cloudformation:DescribeStackResource": self._descriptions.describe_stack_resource,
            "cloudformation:DescribeStackResources": self._descriptions.describe_stack_resources,
            "cloudformation:ListStackResources": self._descriptions.list_stack_resources,
            "cloudformation:ListStacks": self._descriptions.list_stacks,
            "cloudformation:ListExports": self._descriptions.list_exports,
            "cloudformation:GetTemplate": self._descriptions.get_template,
            "cloudformation:GetTemplateSummary": self._descriptions.get_template_summary,
            "cloudformation:ValidateTemplate": self._descriptions.validate_template,
            "cloudformation:CreateChangeSet": self._change_sets.create_change_set,
            "cloudformation:DescribeChangeSet": self._change_sets.describe_change_set,
            "cloudformation:ExecuteChangeSet": self._change_sets.execute_change_set,
            "cloudformation:DeleteChangeSet": self._change_sets.delete_change_set,
            "cloudformation:ListChangeSets": self._change_sets.list_change_sets,
        }

    async def recover(self) -> None:
        """At a start: finish or roll back what the end of an earlier engine cut off."""
        await self._executor.recover()

    async def wait(self, stack_name: str, scope: Scope) -> str:
        """Return the status in which the stack's running operation ends.

        Raises ValidationError where there is no such stack; one that is deleted meanwhile ends
        as DELETE_COMPLETE.
        """
        stack = self._require(stack_name, scope)
        await self._executor.wait(stack.stack_id)
        ended = self._tables.find(stack.stack_id, scope)
        assert ended is not None, "a deleted stack is found by its id"
        return ended.status

    def subscribe(self, callback: Callable[[StackEvent], None]) -> Callable[[], None]:
        """Call back with each event once it is written; the result ends it."""
        self._executor.subscribers.append(callback)
        return lambda: self._executor.subscribers.remove(callback)

    async def close(self) -> None:
        """Stop; what is under way is taken up by `recover` at the next start."""
        await self._executor.close()

    async def create_stack(self, params: Params, scope: Scope) -> Result:
        name = params["StackName"]
        require_stack_name(name)
        if "OnFailure" in params and "DisableRollback" in params:
            raise ValidationError(
                "You can specify either DisableRollback or OnFailure, but not both."
            )
        token = params.get("ClientRequestToken", "")
        existing = self._tables.find(name, scope)
        if existing is not None and existing.status != status.REVIEW_IN_PROGRESS:
            if _is_repeated(existing, token, "CREATE"):
                return {"StackId": existing.stack_id}
            raise AlreadyExistsException(f"Stack [{name}] already exists")
        disable_rollback = bool(params.get("DisableRollback"))
        stack = Stack(
            stack_id=(
                existing.stack_id
                if existing is not None
                else scope.arn("cloudformation", f"stack/{name}/{self._ids.uuid()}")
            ),
            stack_name=name,
            status=status.CREATE_IN_PROGRESS,
            created=self._clock.now(),
            definition=StackDefinition(),
            on_failure="DO_NOTHING" if disable_rollback else params.get("OnFailure", "ROLLBACK"),
            disable_rollback=disable_rollback,
            timeout_minutes=params.get("TimeoutInMinutes", 0),
            termination_protection=bool(params.get("EnableTerminationProtection")),
            client_token=token,
        )
        prepared = await self._definitions.prepare(params, scope, stack, is_update=False)
        taken = self._tables.find(name, scope)
        if taken is not None and taken.status != status.REVIEW_IN_PROGRESS:
            raise AlreadyExistsException(f"Stack [{name}] already exists")
        self._forget_change_sets(stack, scope)
        stack = replace(stack, definition=prepared.definition)
        self._begin(scope, stack, status.CREATE_IN_PROGRESS, prepared.evaluation)
        return {"StackId": stack.stack_id}

    async def update_stack(self, params: Params, scope: Scope) -> Result:
        name = params["StackName"]
        stack = self._require_updatable(name, scope)
        token = params.get("ClientRequestToken", "")
        if _is_repeated(stack, token, "UPDATE"):
            return {"StackId": stack.stack_id}
        if stack.status not in status.UPDATABLE:
            raise _wrong_state(stack)
        disable_rollback = bool(params.get("DisableRollback"))
        if stack.status.endswith("_FAILED") and not disable_rollback:
            raise _wrong_state(stack)
        for member in ("StackPolicyDuringUpdateBody", "StackPolicyBody"):
            if params.get(member):
                raise ValidationError(
                    f"{member} is not supported.",
                    hint="Lamington does not emulate stack policies yet",
                )
        prepared = await self._definitions.prepare(params, scope, stack, is_update=True)
        if self._require_updatable(name, scope) != stack:
            raise _wrong_state(self._require_updatable(name, scope))
        rows = {row.logical_id: row for row in self._tables.resources.all(scope, stack.unique)}
        if not stack.status.endswith("_FAILED") and not self._definitions.is_change(
            rows, prepared, stack
        ):
            raise ValidationError("No updates are to be performed.")
        self._forget_change_sets(stack, scope)
        desired = replace(
            stack,
            definition=prepared.definition,
            previous=stack.definition,
            updated=self._clock.now(),
            disable_rollback=disable_rollback,
            client_token=token,
            change_set_id="",
        )
        self._begin(scope, desired, status.UPDATE_IN_PROGRESS, prepared.evaluation)
        return {"StackId": stack.stack_id}

    async def delete_stack(self, params: Params, scope: Scope) -> Result:
        stack = self._tables.find(params["StackName"], scope)
        if stack is None or stack.status in (status.DELETE_COMPLETE, status.DELETE_IN_PROGRESS):
            return {}
        if stack.termination_protection:
            raise ValidationError(
                f"Stack [{stack.stack_name}] cannot be deleted while TerminationProtection is"
                " enabled",
                hint="turn it off by `update-termination-protection`",
            )
        retained = tuple(params.get("RetainResources", ()))
        is_forced = params.get("DeletionMode") == "FORCE_DELETE_STACK"
        if (retained or is_forced) and stack.status != status.DELETE_FAILED:
            raise ValidationError(
                f"Invalid operation on stack [{stack.stack_id}]. RetainResources and"
                " FORCE_DELETE_STACK are valid only for stacks in DELETE_FAILED."
            )
        if is_forced:
            rows = self._tables.resources.all(scope, stack.unique)
            retained += tuple(row.logical_id for row in rows if row.status == status.DELETE_FAILED)
        desired = replace(
            stack, retained=retained, client_token=params.get("ClientRequestToken", "")
        )
        self._begin(scope, desired, status.DELETE_IN_PROGRESS, None)
        return {}

    async def cancel_update_stack(self, params: Params, scope: Scope) -> Result:
        stack = self._require_updatable(params["StackName"], scope)
        if stack.status != status.UPDATE_IN_PROGRESS:
            raise ValidationError("CancelUpdateStack cannot be called from current stack status")
        desired = replace(stack, client_token=params.get("ClientRequestToken", ""))
        self._begin(scope, desired, status.UPDATE_ROLLBACK_IN_PROGRESS, None)
        return {}

    async def continue_update_rollback(self, params: Params, scope: Scope) -> Result:
        stack = self._require(params["StackName"], scope)
        if stack.status != status.UPDATE_ROLLBACK_FAILED:
            raise ValidationError(
                f"Stack:{stack.stack_id} is in {stack.status} state and can not continue rollback."
            )
        if params.get("ResourcesToSkip"):
            raise ValidationError(
                "ResourcesToSkip is not supported.",
                hint="Lamington does not emulate it yet: mend what fails, then try again",
            )
        self._begin(scope, stack, status.UPDATE_ROLLBACK_IN_PROGRESS, None)
        return {}

    async def update_termination_protection(self, params: Params, scope: Scope) -> Result:
        name = params["StackName"]
        stack = self._tables.find(name, scope)
        if stack is None or stack.status.startswith("DELETE_"):
            raise ValidationError(f"Stack [{name}] does not exist")
        self._executor.amend(
            scope, stack, termination_protection=bool(params["EnableTerminationProtection"])
        )
        return {"StackId": stack.stack_id}

    def _begin(
        self, scope: Scope, stack: Stack, first_status: str, evaluation: Evaluation | None
    ) -> None:
        self._executor.begin(scope, stack, first_status, evaluation=evaluation)

    def _require(self, name: str, scope: Scope) -> Stack:
        return self._descriptions.require_stack(name, scope, f"Stack with id {name} does not exist")

    def _require_updatable(self, name: str, scope: Scope) -> Stack:
        stack = self._tables.find(name, scope)
        if stack is None or stack.status == status.DELETE_COMPLETE:
            raise ValidationError(f"Stack [{name}] does not exist")
        return stack

    def _forget_change_sets(self, stack: Stack, scope: Scope) -> None:
        for each in self._tables.change_sets.all(scope, stack.unique):
            self._tables.change_sets.delete(scope, stack.unique, each.name)


def _wrong_state(stack: Stack) -> ValidationError:
    return ValidationError(
        f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated."
    )


def _is_repeated(stack: Stack, token: str, verb: str) -> bool:
    """Whether a request with this token began the stack's operation, and was this operation."""
    if not token or token != stack.client_token:
        return False
    is_create = stack.status.startswith(("CREATE_", "ROLLBACK_"))
    if (verb == "CREATE") != is_create:
        raise TokenAlreadyExistsException(
            f"The client request token {token} was used for another operation."
        )
    return True
