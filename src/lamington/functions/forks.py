"""One environment's part of a sandbox that it has in common with others: a fork of its template.

Environments of a version with SnapStart are forked from one process. They share its sandbox; each
of them is frozen, watched and ended by itself. Left to others: the template (`snapshots`), how a
fork comes about (the Python bootstrap, `processes`).
"""

import contextlib
import os
import signal
from collections.abc import Callable

from lamington.functions.isolated_process import IsolatedProcess
from lamington.functions.sandbox import Sandbox, held_kb, highest_resident_kb


class SandboxFork:
    """What an environment has of a sandbox that is also others'.

    AWS: each environment has a /tmp and a memory of its own.
    Differs: environments of one version with SnapStart share /tmp, the user and the number of
    processes; no one's memory is taken for another's, but it is watched only, and ended a moment
    after it has grown beyond its size.
    """

    def __init__(self, host: Sandbox, memory_mb: int) -> None:
        self._host = host
        self._limit_kb = memory_mb * 1024
        self._process: IsolatedProcess | None = None
        self._frozen = False
        self._peak_kb = 0
        self._over = False
        self.active = False
        """Whether its memory is to be looked at."""
        host.add_fork(self)

    def fork(self, exited: Callable[[], None]) -> tuple[IsolatedProcess, list[int]]:
        """A process to be, and the descriptors that it is to get: channel and output."""
        self._over = False
        self._peak_kb = 0
        process, descriptors = self._host.await_fork(exited)
        self._process = process
        self._wake()
        return process, descriptors

    @property
    def out_of_memory(self) -> bool:
        """Whether it was ended for its memory, since it was forked last."""
        return self._over

    def memory_kb(self) -> int:
        """The most memory that it was seen to hold."""
        if self._process is not None and self._process.pid:
            self._peak_kb = max(self._peak_kb, highest_resident_kb(self._process.pid))
        return self._limit_kb if self._over else min(self._peak_kb, self._limit_kb)

    def check_memory(self) -> int:
        """End it if it holds more memory than it may; what it holds, in KiB."""
        process = self._process
        if self._over or process is None or not process.pid or not process.running:
            return 0
        held = held_kb(process.pid)
        self._peak_kb = max(self._peak_kb, held)
        if held > self._limit_kb:
            self._over = True
            process.kill()
        return held

    def killed_for_memory(self) -> None:
        """The kernel has ended it."""
        self._over = True

    def is_of(self, host: Sandbox) -> bool:
        return host is self._host

    def has(self, process: IsolatedProcess) -> bool:
        return process is self._process

    def freeze(self) -> None:
        if not self._frozen:
            self._frozen = True
            self.active = False
            self._host.rest()
            self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on; to be called before each invocation."""
        self._wake()
        if self._frozen:
            self._frozen = False
            self._signal(signal.SIGCONT)

    def _wake(self) -> None:
        self.active = True
        self._host.wake()

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def close(self) -> None:
        """Let go of its part; its process is ended by then."""
        self.active = False
        self._host.remove_fork(self)
