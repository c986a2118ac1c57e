"""Processes that are started ahead of need: which ones, how many, and for how long.

The runtimes that are no zygote's children (Node.js, Java) take long to start. One process is kept
for each command that was lately needed, in a sandbox of its own, with no function yet. Left to
others: what a function's command is (`launch`), the sandboxes (`launcher`), and how a process
becomes the function's (`bootstraps/launcher`, `bootstraps/node`, `bootstraps/java`).
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final

from lamington.functions.sandbox import Sandbox

SPARES_MAX: Final = 2
"""An idle one costs some 50 MB; beyond these the least recently needed one goes."""

START_DELAY_S: Final = 0.5
"""After a need, and between two starts: the function and its caller have the machine first."""

ATTEMPTS_MAX: Final = 3
"""A process that ends so many times before anybody took it is not started again."""

MEMORY_LEAST_KB: Final = 1024 * 1024
"""Where the machine has less memory to give, no process is started ahead of need."""

MEMORY: Final = Path("/proc/meminfo")

CONFIGURE: Final = 3
_HEADER: Final = Struct("<IB")
_LONG_HEADER: Final = Struct("<IBHHHHd")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpareCommand:
    """How a spare process is started; functions of the same command may have it."""

    argv: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    """What a program reads of its variables when it starts, and the same for all functions."""
    long_header: bool
    """Whether its configuration has the header of an invocation."""

    def render_configuration(
        self, variables: Mapping[str, str], task_root: str, layers_root: str
    ) -> bytes:
        """The frame that tells the process what it becomes."""
        told = {"variables": dict(variables), "task_root": task_root, "layers_root": layers_root}
        payload = json.dumps(told).encode()
        if self.long_header:
            size = _LONG_HEADER.size - 4 + len(payload)
            return _LONG_HEADER.pack(size, CONFIGURE, 0, 0, 0, 0, 0.0) + payload
        return _HEADER.pack(1 + len(payload), CONFIGURE) + payload


class _Need:
    """One command that is needed now and then, and its spare process where there is one."""

    def __init__(self, paths: frozenset[str], at: float) -> None:
        self.paths = paths
        self.at = at
        self.sandbox: Sandbox | None = None
        self.attempts = 0


class SpareProcesses:
    """The spare processes of a launcher.

    They are sealed in like any other, but for what is the function's own: its code, its layers, its
    /tmp and its limit of memory follow when they are taken.

    Differs: a Node.js or Java process may be older than its environment, which shows in the time
    since its start, in /proc/self/environ and /proc/self/cmdline, and in the modules that Node.js
    has loaded. What a Java function starts by a ProcessBuilder that was not asked for its
    `environment()`, and native code in Java, sees the variables of the start only, without the
    function's and the credentials. `LAMINGTON_PRESTART=false` has all start cold; so does, for one
    function, an own variable that is read at a process's start, such as NODE_OPTIONS or
    JAVA_TOOL_OPTIONS.
    """

    def __init__(
        self,
        make: Callable[[frozenset[str]], tuple[Sandbox, frozenset[str]] | None],
        idle_s: float,
    ) -> None:
        """`make` makes a sandbox that shows these paths at least, and tells which it shows.

        It gives None where there are no namespaces.
        """
        self._make = make
        self._idle_s = idle_s
        self._needs: dict[SpareCommand, _Need] = {}
        """The one that was needed last is the last."""
        self._timer: asyncio.TimerHandle | None = None
        self._closings: set[asyncio.Task[None]] = set()
        self._closed = False

    def holds(self, sandbox: Sandbox) -> bool:
        """Whether this is a spare process's sandbox."""
        return any(each.sandbox is sandbox for each in self._needs.values())

    @property
    def ready(self) -> list[SpareCommand]:
        """The commands of which there is a spare process."""
        return [command for command, need in self._needs.items() if need.sandbox is not None]

    def take(self, command: SpareCommand, paths: frozenset[str]) -> Sandbox | None:
        """The sandbox of a spare process, where there is one that shows these paths."""
        need = self._needs.get(command)
        if need is None or need.sandbox is None or not paths <= need.paths:
            return None
        sandbox, need.sandbox = need.sandbox, None
        need.attempts = 0
        return sandbox

    def need(self, command: SpareCommand, paths: frozenset[str]) -> None:
        """Have one of these soon, for it is likely to be needed."""
        now = asyncio.get_running_loop().time()
        need = self._needs.pop(command, None) or _Need(paths, now)
        need.at = now
        if not paths <= need.paths:
            need.paths |= paths
            self._end(need)
        self._needs[command] = need
        self._arm(START_DELAY_S)

    def close(self) -> None:
        """Start no more; the sandboxes are their launcher's to close."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + delay_s
        if self._closed or (self._timer is not None and self._timer.when() <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(at, self._tend)

    def _tend(self) -> None:
        """End what is not needed any more, and start one that is missing."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for command, need in list(self._needs.items()):
            if now - need.at >= self._idle_s or len(self._needs) > SPARES_MAX:
                del self._needs[command]
                self._end(need)
        missing = [
            (command, need)
            for command, need in self._needs.items()
            if need.sandbox is None and need.attempts < ATTEMPTS_MAX
        ]
        if missing and memory_available_kb() >= MEMORY_LEAST_KB:
            self._start(*missing[-1])
        if len(missing) > 1:
            self._arm(START_DELAY_S)
        elif self._needs:
            oldest = next(iter(self._needs.values()))
            self._arm(max(oldest.at + self._idle_s - now, 0.0) + 0.01)

    def _start(self, command: SpareCommand, need: _Need) -> None:
        made = self._make(need.paths)
        if made is None:
            return
        need.attempts += 1
        sandbox, need.paths = made
        need.sandbox = sandbox

        def ended() -> None:
            if need.sandbox is sandbox:
                self._end(need)
                if not self._closed:
                    self._arm(START_DELAY_S)

        sandbox.spawn_spare(command.argv, dict(command.variables), ended)

    def _end(self, need: _Need) -> None:
        sandbox, need.sandbox = need.sandbox, None
        if sandbox is not None and not self._closed:
            self._closings = {each for each in self._closings if not each.done()}
            self._closings.add(asyncio.get_running_loop().create_task(sandbox.close()))


def memory_available_kb() -> int:
    """What the machine says that can be had without swapping; plenty where it does not say."""
    try:
        text = MEMORY.read_text()
        return int(text[text.index("MemAvailable:") + 13 :].split(maxsplit=1)[0])
    except (OSError, ValueError):
        return MEMORY_LEAST_KB
