"""Carries out what a plan says: all that is ready at once, events, rollback, recovery.

A stack's status says which phase is under way and its rows say how far it came, so a phase that
a kill cut off is taken up again by running it again. Left to others: what to do
(`planner`), what a type does (`providers`), what is written and when (`progress`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from lamington.core.aws import Scope
from lamington.core.clock import Clock, Ids
from lamington.core.errors import LamingtonError, ResourceError
from lamington.stack import entities as status
from lamington.stack.directions import (
    Deletion,
    Outcome,
    Rollback,
    Work,
    all_incarnations,
    evaluation_for,
    may_exist,
    settle,
)
from lamington.stack.entities import (
    DELETED_DAYS_KEPT,
    EVENTS_KEPT,
    Incarnation,
    Stack,
    StackEvent,
    StackOutput,
    StackTables,
    ValidationError,
)
from lamington.stack.forward import Forward
from lamington.stack.intrinsics import Evaluation
from lamington.stack.progress import Progress
from lamington.stack.providers.base import ProviderRegistry

log = logging.getLogger("lamington.stack")

PARALLEL_MAX = 256
"""Resources of one stack that are worked on at once."""


class StackExecutor:
    """Runs the operations of every stack, each in a task of its own."""

    def __init__(
        self, *, tables: StackTables, providers: ProviderRegistry, clock: Clock, ids: Ids
    ) -> None:
        self.tables = tables
        self.providers = providers
        self.subscribers: list[Callable[[StackEvent], None]] = []
        self._clock = clock
        self._ids = ids
        self._running: dict[str, tuple[Progress, asyncio.Task[None]]] = {}

    def begin(
        self,
        scope: Scope,
        stack: Stack,
        first_status: str,
        *,
        evaluation: Evaluation | None = None,
    ) -> None:
        """Write the first status of an operation and run it in the background.

        `stack` is the row as it shall be, `evaluation` its definition's where that is at hand. A
        running operation is overtaken: what is in flight
        ends, nothing new begins, and then this one goes on.
        """
        running = self._running.get(stack.stack_id)
        if running is not None:
            progress = running[0]
            progress.is_stopping = True
            progress.change_stack(
                client_token=stack.client_token, retained=stack.retained, updated=stack.updated
            )
        else:
            self.tables.forget_events(scope, stack, EVENTS_KEPT)
            progress = self._progress(scope, stack)
            progress.evaluation = evaluation
        progress.set_stack(first_status, "User Initiated")
        progress.commit()
        if running is None:
            self._start(progress)

    def mark(self, scope: Scope, stack: Stack, new_status: str, reason: str) -> None:
        """Write a status that starts nothing, such as REVIEW_IN_PROGRESS, with its event."""
        progress = self._progress(scope, stack)
        progress.set_stack(new_status, reason)
        progress.commit()

    def amend(self, scope: Scope, stack: Stack, **members: Any) -> None:
        """Change members of a stack's row, whether an operation runs on it or not."""
        running = self._running.get(stack.stack_id)
        progress = running[0] if running is not None else self._progress(scope, stack)
        progress.change_stack(**members)
        progress.commit()

    async def recover(self) -> None:
        """Take up each operation that the end of an earlier engine cut off.

        Stacks that were deleted long ago are forgotten.
        """
        forgotten = self._clock.now() - timedelta(days=DELETED_DAYS_KEPT)
        for scope, stack in list(self.tables.stacks.everywhere()):
            if stack.status == status.DELETE_COMPLETE and (stack.deleted or forgotten) <= forgotten:
                self.tables.forget(scope, stack)
            if stack.status in self._phases() and stack.stack_id not in self._running:
                self._start(self._progress(scope, stack))
        # One stack that cannot be taken up must not keep the engine from starting.
        tasks = [task for _, task in self._running.values()]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self, stack_id: str) -> None:
        """Return when no operation runs on the stack."""
        while (running := self._running.get(stack_id)) is not None:
            await asyncio.wait([running[1]])

    async def close(self) -> None:
        """Stop working; what is under way is taken up by the next start."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _progress(self, scope: Scope, stack: Stack) -> Progress:
        return Progress(
            scope=scope,
            stack=stack,
            tables=self.tables,
            clock=self._clock,
            ids=self._ids,
            notice=self._tell,
        )

    def _tell(self, event: StackEvent) -> None:
        for subscriber in list(self.subscribers):
            subscriber(event)

    def _start(self, progress: Progress) -> None:
        task = asyncio.create_task(self._run(progress), name=progress.stack.stack_id)
        task.add_done_callback(_log_failure)
        self._running[progress.stack.stack_id] = progress, task

    async def _run(self, progress: Progress) -> None:
        phases = self._phases()
        try:
            while (phase := phases.get(progress.stack.status)) is not None:
                progress.is_stopping = False
                await phase(progress)
                progress.commit()
        finally:
            del self._running[progress.stack.stack_id]

    def _phases(self) -> dict[str, Callable[[Progress], Awaitable[None]]]:
        """What to do in each status; a status that is not here ends an operation."""
        return {
            status.CREATE_IN_PROGRESS: self._go_forward,
            status.UPDATE_IN_PROGRESS: self._go_forward,
            status.UPDATE_CLEANUP: self._clean_up,
            status.ROLLBACK_IN_PROGRESS: self._delete_resources,
            status.UPDATE_ROLLBACK_IN_PROGRESS: self._roll_back_update,
            status.UPDATE_ROLLBACK_CLEANUP: self._clean_up,
            status.DELETE_IN_PROGRESS: self._delete_resources,
        }

    async def _go_forward(self, progress: Progress) -> None:
        forward = Forward(progress, self.providers, self._ids)
        outputs: tuple[StackOutput, ...] = ()
        try:
            evaluation = progress.evaluation or evaluation_for(
                progress.stack, progress.stack.definition, progress.scope
            )
            forward.prepare(evaluation, self._foreign_exports(progress, evaluation))
            if not forward.failed:
                await _Walk(progress, forward.waits, forward).run()
            if not forward.failed and not progress.is_stopping:
                outputs = forward.outputs()
        except (ValidationError, ResourceError) as error:
            forward.problem = error.message
        if progress.is_stopping:
            return
        if forward.problem or forward.failed:
            self._fail(progress, forward)
        else:
            self._complete_forward(progress, outputs)

    def _foreign_exports(self, progress: Progress, evaluation: Evaluation) -> dict[str, str]:
        """The export names that other stacks hold, where the template exports anything."""
        if all(output.export_name is None for output in evaluation.outputs.values()):
            return {}
        return {
            output.export_name: stack.stack_id
            for stack in self.tables.stacks.all(progress.scope)
            if stack.stack_id != progress.stack.stack_id and stack.status != status.DELETE_COMPLETE
            for output in stack.outputs
            if output.export_name
        }

    def _complete_forward(self, progress: Progress, outputs: tuple[StackOutput, ...]) -> None:
        if progress.stack.status == status.CREATE_IN_PROGRESS:
            settle(progress)
            progress.set_stack(status.CREATE_COMPLETE, outputs=outputs)
            return
        for row in list(progress.rows.values()):
            if row.change == "replaced":
                progress.change_row(row.logical_id, doomed=row.before)
        progress.set_stack(status.UPDATE_CLEANUP, outputs=outputs)

    def _fail(self, progress: Progress, forward: Forward) -> None:
        """Decide what follows a failed create or update."""
        reason = forward.reason()
        stack = progress.stack
        if stack.status == status.UPDATE_IN_PROGRESS:
            if stack.disable_rollback:
                settle(progress)
                progress.set_stack(status.UPDATE_FAILED, reason, previous=None)
            else:
                progress.set_stack(status.UPDATE_ROLLBACK_IN_PROGRESS, reason)
        elif stack.on_failure == "DO_NOTHING":
            settle(progress)
            progress.set_stack(status.CREATE_FAILED, reason)
        elif stack.on_failure == "DELETE":
            progress.set_stack(
                status.DELETE_IN_PROGRESS, f"{reason.rstrip(' ')} Delete requested by user."
            )
        else:
            progress.set_stack(
                status.ROLLBACK_IN_PROGRESS, f"{reason.rstrip(' ')} Rollback requested by user."
            )

    async def _roll_back_update(self, progress: Progress) -> None:
        """Give back what changed its old properties, and its old self what was replaced."""
        rollback = Rollback(progress, self.providers, self._ids)
        await _Walk(progress, rollback.waits(), rollback).run()
        if progress.is_stopping:
            return
        if rollback.failed:
            names = ", ".join(rollback.failed)
            progress.set_stack(
                status.UPDATE_ROLLBACK_FAILED,
                f"The following resource(s) failed to update: [{names}]. ",
            )
            return
        previous = progress.stack.previous
        assert previous is not None, "an update keeps what it goes back to"
        progress.set_stack(status.UPDATE_ROLLBACK_CLEANUP, definition=previous)

    async def _clean_up(self, progress: Progress) -> None:
        """Delete what an update replaced and removed, or what a rolled back one had made."""
        is_rollback = progress.stack.status == status.UPDATE_ROLLBACK_CLEANUP
        kept = "added" if is_rollback else "removed"
        doomed: dict[str, list[Incarnation]] = {}
        for name, row in progress.rows.items():
            if row.change == kept and may_exist(row):
                doomed[name] = [row.now]
            elif row.change != kept and row.doomed is not None:
                doomed[name] = [row.doomed]
        deletion = Deletion(progress, self.providers, self._ids, is_cleanup=True)
        deletion.prepare(doomed, is_rollback)
        await _Walk(progress, deletion.waits, deletion).run()
        if progress.is_stopping:
            return
        for name, row in list(progress.rows.items()):
            if row.change == kept:
                progress.drop_row(name)
        settle(progress)
        progress.set_stack(
            status.UPDATE_ROLLBACK_COMPLETE if is_rollback else status.UPDATE_COMPLETE,
            previous=None,
        )

    async def _delete_resources(self, progress: Progress) -> None:
        """Delete every resource: of a stack that is deleted, or of a create that failed."""
        is_rollback = progress.stack.status == status.ROLLBACK_IN_PROGRESS
        deletion = Deletion(progress, self.providers, self._ids, is_cleanup=False)
        deletion.prepare(all_incarnations(progress, self.providers), is_rollback)
        await _Walk(progress, deletion.waits, deletion).run()
        if progress.is_stopping:
            return
        for name, row in list(progress.rows.items()):
            if row.status == status.CREATE_FAILED and not row.now.physical_id:
                progress.drop_row(name)
        if deletion.failed:
            progress.set_stack(
                status.ROLLBACK_FAILED if is_rollback else status.DELETE_FAILED,
                f"The following resource(s) failed to delete: [{', '.join(deletion.failed)}]. ",
            )
            return
        settle(progress)
        if not is_rollback:
            progress.forget_change_sets()
        progress.set_stack(
            status.ROLLBACK_COMPLETE if is_rollback else status.DELETE_COMPLETE,
            deleted=self._clock.now(),
            outputs=(),
        )


def _log_failure(task: asyncio.Task[None]) -> None:
    """An operation ends in a status; one that ends in an exception met a bug of ours."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the operation of %s broke off", task.get_name(), exc_info=error)


class _Direction(Protocol):
    """What is done with each resource of a walk."""

    def begin(self, logical_id: str) -> Work | LamingtonError | None:
        """Write down what begins; None where there is nothing to wait for."""
        ...

    def finish(self, logical_id: str, outcome: Outcome) -> bool:
        """Write down what came of it; False holds back what waits for it."""
        ...


class _Walk:
    """Runs all that is ready at once.

    Each round writes what ended and what begins in one transaction, before anything of the new
    round is started: what a provider was asked for can always be found again.
    """

    def __init__(
        self, progress: Progress, waits: Mapping[str, Iterable[str]], direction: _Direction
    ) -> None:
        self._progress = progress
        self._direction = direction
        self._waiting = {
            node: {each for each in found if each in waits} for node, found in waits.items()
        }
        self._followers: dict[str, list[str]] = {node: [] for node in self._waiting}
        for node, found in self._waiting.items():
            for each in found:
                self._followers[each].append(node)
        self._ready = deque(node for node, found in self._waiting.items() if not found)
        self._ended: asyncio.Queue[tuple[str, Outcome]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0

    async def run(self) -> None:
        try:
            while True:
                begun = self._begin_ready()
                self._progress.commit()
                for node, work in begun:
                    task = asyncio.create_task(self._attempt(node, work))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                self._running += len(begun)
                if not self._running:
                    return
                await self._take_ended()
        finally:
            for task in self._tasks:
                task.cancel()

    def _begin_ready(self) -> list[tuple[str, Work]]:
        begun: list[tuple[str, Work]] = []
        while self._ready and self._running + len(begun) < PARALLEL_MAX:
            if self._progress.is_stopping:
                break
            node = self._ready.popleft()
            work = self._direction.begin(node)
            if work is None:
                self._release(node)
            elif isinstance(work, LamingtonError):
                self._finish(node, work)
            else:
                begun.append((node, work))
        return begun

    async def _take_ended(self) -> None:
        ended = [await self._ended.get()]
        while not self._ended.empty():
            ended.append(self._ended.get_nowait())
        self._running -= len(ended)
        for node, outcome in ended:
            self._finish(node, outcome)

    def _finish(self, node: str, outcome: Outcome) -> None:
        if self._direction.finish(node, outcome):
            self._release(node)

    def _release(self, node: str) -> None:
        for follower in self._followers[node]:
            self._waiting[follower].discard(node)
            if not self._waiting[follower]:
                self._ready.append(follower)

    async def _attempt(self, node: str, work: Work) -> None:
        outcome: Outcome = ResourceError("Internal Failure", handler_code="InternalFailure")
        try:
            outcome = await work
        except LamingtonError as error:
            outcome = error
        finally:
            # Also where a provider has a bug: the loop logs its traceback, the stack goes on.
            self._ended.put_nowait((node, outcome))
