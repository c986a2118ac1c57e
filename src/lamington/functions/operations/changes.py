"""Brings functions from what was asked for to what serves: the work between answer and state.

A change is a row before its request is answered, so that the next start finishes what a crash
cut off. Left to others: what a change is of (`functions`, `versions`), how it shows
(`configuration`), how code is loaded while the old one serves (the invoker).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from lamington.core.aws import Scope
from lamington.core.errors import AwsError
from lamington.functions.entities import (
    LATEST,
    FunctionChange,
    FunctionVersion,
    InvalidParameterValueException,
    InvalidRuntimeException,
)
from lamington.functions.link import InitFailure
from lamington.functions.operations.registry import FunctionRegistry, version_key
from lamington.functions.packages import Packages
from lamington.functions.snapshots import starts_from_snapshot

_INIT_CODES: Mapping[str, str] = {
    "Runtime.InvalidEntrypoint": "FunctionError.InvalidEntryPoint",
    "Extension.Crash": "FunctionError.ExtensionInitError",
    "Extension.InitError": "FunctionError.ExtensionInitError",
}
_INIT_FAILED = "The function failed to initialize: {}"


class ChangeHost(Protocol):
    """Who runs the functions, and has to be told when one changes."""

    def forget(self, function_name: str, scope: Scope) -> None:
        """Take the function's versions and aliases from the lookup again."""
        ...

    async def replace(self, function_name: str, scope: Scope) -> object:
        """The same, but let the old code serve until the new code is loaded."""
        ...

    async def prepare_snapshot(self, version: FunctionVersion, scope: Scope) -> InitFailure | None:
        """Initialise what environments of the version are restored from; how it failed."""
        ...

    def expect(self, function_name: str, scope: Scope) -> None:
        """Get ready for the first invocation of a function that is there now."""
        ...


class FunctionChanges:
    """Carries out the changes of all functions, those of one function one after the other."""

    def __init__(
        self,
        registry: FunctionRegistry,
        packages: Packages,
        host: ChangeHost,
        on_end: Callable[[str, Scope], None],
    ) -> None:
        """`on_end` is called with the name of each function of which a change is over."""
        self._registry = registry
        self._packages = packages
        self._host = host
        self._on_end = on_end
        self._tasks: dict[tuple[Scope, str], asyncio.Task[None]] = {}
        self._unpacking = asyncio.Lock()

    def begin(self, function_name: str, scope: Scope) -> None:
        """Carry out what the registry says is still to be done about the function."""
        key = (scope, function_name)
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._carry_out_all(scope, function_name))

    def resume(self) -> None:
        """Carry out what the last engine did not come to."""
        for scope, change in self._registry.changes.everywhere():
            if not change.failure_code:
                self.begin(change.function_name, scope)

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def close(self) -> None:
        """Stop; what is not done is done by the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out_all(self, scope: Scope, function_name: str) -> None:
        try:
            while changes := self._under_way(scope, function_name):
                for change in changes:
                    await self._carry_out(scope, change)
        finally:
            del self._tasks[scope, function_name]

    def _under_way(self, scope: Scope, function_name: str) -> list[FunctionChange]:
        changes = self._registry.changes.all(scope, function_name)
        return [change for change in changes if not change.failure_code]

    async def _carry_out(self, scope: Scope, change: FunctionChange) -> None:
        version = self._target(scope, change)
        if version is None:
            self._registry.changes.delete(scope, *_key(change))
            return
        failed = await self._unpack(version)
        if not self._is_current(scope, change, version):
            return  # Deleted meanwhile, and perhaps made again: the next round sees to that.
        if change.desired is not None and failed is None:
            self._registry.versions.put(scope, version)
            failed = await self._replace(scope, change.function_name)
            if not self._is_current(scope, change, version):
                return
        if failed is None and starts_from_snapshot(version):
            failed = await self._prepare_snapshot(scope, version)
            if not self._is_current(scope, change, version):
                return
        if failed is not None:
            code, reason = failed
            row = replace(change, failure_code=code, failure_reason=reason)
            self._registry.put_change(scope, row)
        else:
            self._finish(scope, change, version)
        self._host.forget(change.function_name, scope)
        if failed is None:
            self._host.expect(change.function_name, scope)
        self._on_end(change.function_name, scope)

    def _target(self, scope: Scope, change: FunctionChange) -> FunctionVersion | None:
        """What the version is to be; None where it is not there any more."""
        row = self._registry.versions.get(scope, *_key(change))
        return None if row is None else change.desired or row

    def _is_current(self, scope: Scope, change: FunctionChange, version: FunctionVersion) -> bool:
        """Whether the change still stands as it was taken up."""
        row = self._registry.changes.get(scope, *_key(change))
        if row is None:
            return False
        target = self._target(scope, row)
        return target is not None and target.revision_id == version.revision_id

    async def _unpack(self, version: FunctionVersion) -> tuple[str, str] | None:
        """Make the directories of the version; the code and text of the reason why not."""
        try:
            if not self._packages.is_unpacked(version.code, version.layers):
                # One at a time: functions of one archive need it once, and the disk is one.
                async with self._unpacking:
                    if not self._packages.is_unpacked(version.code, version.layers):
                        await asyncio.to_thread(self._packages.unpack, version.code, version.layers)
        except InvalidParameterValueException as refusal:
            return "InvalidZipFileException", refusal.message
        except OSError as error:
            return "InternalError", f"The code could not be unpacked: {error.strerror}"
        return None

    async def _replace(self, scope: Scope, function_name: str) -> tuple[str, str] | None:
        try:
            await self._host.replace(function_name, scope)
        except AwsError as refusal:
            return "InvalidRuntime", refusal.message
        return None

    async def _prepare_snapshot(
        self, scope: Scope, version: FunctionVersion
    ) -> tuple[str, str] | None:
        """Have the snapshot made of a version that is published; code and text if it fails.

        AWS: the version is pending meanwhile, and fails with its function.
        """
        try:
            failure = await self._host.prepare_snapshot(version, scope)
        except InvalidRuntimeException as refusal:
            return "InvalidRuntime", refusal.message
        except AwsError as refusal:
            return "InternalError", refusal.message
        if failure is None:
            return None
        if failure.outcome == "timeout":
            return "FunctionError.InitTimeout", _INIT_FAILED.format(failure.error_type)
        code = _INIT_CODES.get(failure.error_type, "FunctionError.RuntimeInitError")
        return code, _INIT_FAILED.format(failure.error_type)

    def _finish(self, scope: Scope, change: FunctionChange, version: FunctionVersion) -> None:
        """Let the version serve under a new revision.

        AWS: the revision that a request was answered with ends with the change.
        """
        with self._registry.transaction():
            self._registry.changes.delete(scope, *_key(change))
            if change.version == LATEST:
                version = replace(version, revision_id=self._registry.revision_id())
                self._registry.versions.put(scope, version)


def _key(change: FunctionChange) -> tuple[str, str]:
    return change.function_name, version_key(change.version)
