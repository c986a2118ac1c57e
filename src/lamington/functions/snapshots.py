"""SnapStart: the initialised environments that those of a version are restored from.

A snapshot is a live environment, initialised as far as the hooks before the snapshot. Where its
process can be copied it is the template of all environments of its version; where it cannot, it is
handed over to the first that needs one, and the next is begun. Left to others: how an environment
is restored (`environment`), how a process is forked (the Python bootstrap), when a version is
published (`operations/changes`).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from lamington.functions.entities import LATEST, FunctionVersion
from lamington.functions.environment import PREPARE_LIMIT_S, Environment, Released, State
from lamington.functions.link import SANDBOX_FAILURE, InitFailure
from lamington.functions.pool import Pool
from lamington.functions.processes import Processes

LAST_USE_S = 1.0
SNAPSHOTS_MAX: Final = 16
"""So many versions have their snapshot ready; that of the one unused for longest is made anew."""


def starts_from_snapshot(version: FunctionVersion) -> bool:
    """Whether environments of this version are restored; `$LATEST` is always initialised."""
    settings = version.settings.get("SnapStart") or {}
    return version.version != LATEST and settings.get("ApplyOn") == "PublishedVersions"


class VersionSnapshot:
    """The snapshot of one version.

    AWS: the snapshot outlasts everything, and is copied memory and disk.
    Differs: it is a process, made anew at the next need when it has died, the engine was started
    anew, or more versions than `SNAPSHOTS_MAX` have one. Python is forked; what has several
    threads, external extensions or another runtime is initialised ahead, one environment at a
    time, and a burst initialises the rest when it comes.
    """

    def __init__(
        self,
        name: str,
        launch: Callable[[Released], Environment],
        timeout_s: float,
        restore_limit_s: float,
        made: Callable[["VersionSnapshot"], None],
    ) -> None:
        """`launch` makes an environment to prepare; `made` is told of each that is."""
        self._name = name
        self._launch = launch
        self._limit_s = max(PREPARE_LIMIT_S, timeout_s)
        self._made = made
        self._current: Environment | None = None
        self._making: asyncio.Task[InitFailure | None] | None = None
        self._preparing: Environment | None = None
        self._leaving: set[Environment] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired = self._closed = False
        self.hindrance: str | None = None
        """Why its process cannot be copied, "" where it can; None before that is known."""
        self.restore_limit_s = restore_limit_s
        self.used_at = time.monotonic()

    @property
    def is_ready(self) -> bool:
        return self._current is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing of it lives, now that it is retired."""
        alive = self._current or self._making or self._leaving or self._tasks
        return self._retired and not alive

    async def ready(self) -> InitFailure | None:
        """Wait until there is one; returns how its init has failed, if it did."""
        self.used_at = time.monotonic()
        if self._current is not None:
            return None
        if self._closed:
            return SANDBOX_FAILURE
        return await asyncio.shield(self._make_ready())

    async def template(self) -> Processes | InitFailure | None:
        if self.hindrance:
            return None
        failure = await self.ready()
        if failure is not None:
            return failure
        current = self._current
        return current.processes if current is not None and not self.hindrance else None

    def take(self, released: Released) -> Environment | None:
        """The initialised environment itself, where it cannot be copied and there is one."""
        environment = self._current
        if environment is None or not self.hindrance:
            return None
        self.used_at = time.monotonic()
        self._current = None
        environment.belong_to(released)
        if not self._retired:
            self._make_ready()
        return environment

    def let_go(self) -> None:
        """End what is ready, once nobody lives by it; it is made anew when there is need."""
        current, self._current = self._current, None
        if current is not None:
            self._leave(current)

    def retire(self) -> None:
        """Its version is gone, or is another: keep nothing ready any more."""
        self._retired = True
        self.let_go()

    async def close(self) -> None:
        """End everything, and let nobody wait for it."""
        self._retired = self._closed = True
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait([self._making])
        ending = {*self._leaving}
        if self._current is not None:
            ending.add(self._current)
        if self._preparing is not None:
            ending.add(self._preparing)
        self._current = self._preparing = None
        self._leaving.clear()
        await asyncio.gather(*(each.end() for each in ending))
        if self._tasks:
            await asyncio.wait(self._tasks)

    # Within

    def _make_ready(self) -> "asyncio.Task[InitFailure | None]":
        if self._making is None:
            self._making = asyncio.get_running_loop().create_task(self._make())
            self._making.add_done_callback(self._end_making)
        return self._making

    def _end_making(self, _: object) -> None:
        self._making = None

    async def _make(self) -> InitFailure | None:
        environment = self._preparing = self._launch(self._released)
        failure = await environment.prepare(self._limit_s)
        if failure is not None or environment.state is not State.PREPARED:
            self._preparing = None
            await environment.end()
            return failure or InitFailure(
                error_type="Runtime.ExitError", message="", status="error"
            )
        self._preparing = None
        processes = environment.processes
        if self.hindrance is None and processes.hindrance:
            logging.getLogger("lamington.functions").warning(
                "%s starts from environments that are initialised ahead: %s",
                self._name,
                processes.hindrance,
            )
        self.hindrance = processes.hindrance
        self._current = environment
        if processes.sandbox is not None:
            processes.sandbox.on_vacant = lambda: self._vacated(environment)
        self._made(self)
        if self._retired:
            # Whoever has waited for it may still use it.
            asyncio.get_running_loop().call_later(LAST_USE_S, self.let_go)
        return None

    def _released(self, environment: Environment) -> None:
        """It has died: whoever lives in its sandbox goes on, the next one needs another."""
        if environment is self._current:
            self._current = None
            self._leave(environment)

    def _leave(self, environment: Environment) -> None:
        sandbox = environment.processes.sandbox
        if sandbox is not None and sandbox.is_shared:
            self._leaving.add(environment)
        else:
            self._end(environment)

    def _vacated(self, environment: Environment) -> None:
        if environment in self._leaving:
            self._leaving.discard(environment)
            self._end(environment)
        elif self._retired and environment is self._current:
            self.let_go()

    def _end(self, environment: Environment) -> None:
        task = asyncio.get_running_loop().create_task(environment.end())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Snapshots:
    """The snapshots of all versions that have one; not too many of them ready at a time."""

    def __init__(self, limit: int = SNAPSHOTS_MAX) -> None:
        self._limit = limit
        self._all: dict[Pool, VersionSnapshot] = {}
        self._retired: set[VersionSnapshot] = set()

    def add(self, pool: Pool, snapshot: VersionSnapshot) -> None:
        self._all[pool] = snapshot

    def of(self, pool: Pool) -> VersionSnapshot | None:
        return self._all.get(pool)

    def retire(self, pool: Pool) -> None:
        """The pool takes no more part."""
        snapshot = self._all.pop(pool, None)
        if snapshot is not None:
            self._retired = {each for each in self._retired if not each.is_over}
            self._retired.add(snapshot)
            snapshot.retire()

    def made(self, snapshot: VersionSnapshot) -> None:
        """Let go of the one that was unused for longest where there are too many."""
        ready = [each for each in self._all.values() if each.is_ready and each is not snapshot]
        if len(ready) >= self._limit:
            min(ready, key=lambda each: each.used_at).let_go()

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in (*self._all.values(), *self._retired)))
        self._all.clear()
        self._retired.clear()
