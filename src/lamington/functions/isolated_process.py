"""One process of a sandbox as the engine sees it: its channel, its output, how it ended.

Left to others: starting and ending it (`sandbox`), what is said over its channel (`link`).
"""

import contextlib
import fcntl
import os
import signal
import socket
import termios
from collections.abc import Callable
from typing import Protocol

from lamington.functions.isolation import exit_text

OUTPUT_CHUNK_BYTES = 65536
_NOTHING = bytes(4)


class ProcessKeeper(Protocol):
    """Who started the process and can end it: its sandbox."""

    def kill(self, process: "IsolatedProcess", /) -> None: ...

    def adopt(self, process: "IsolatedProcess", pid: int, /) -> None: ...


class IsolatedProcess:
    """A process with the engine's ends of its channel and of its output pipe."""

    channel: socket.socket
    """Its socket, where it has one."""

    def __init__(
        self,
        sandbox: ProcessKeeper,
        number: int,
        channel: socket.socket | None,
        output: int,
        exited: Callable[[], None],
    ) -> None:
        self._sandbox = sandbox
        self._exited = exited
        self._status = 0
        self._pending = bytearray(4)
        if channel is not None:
            self.channel = channel
        self.number = number
        self.output = output
        self.pid = 0
        """Its number on this machine, 0 until it has begun."""
        self.running = True
        self.output_ended = False

    def pass_to(self, exited: Callable[[], None]) -> None:
        """Tell somebody else of its end than was to be told."""
        self._exited = exited

    def has_output(self) -> bool:
        """Whether `read_output` has something to return, at a third of its cost."""
        if self.output < 0:
            return False
        fcntl.ioctl(self.output, termios.FIONREAD, self._pending)
        return self._pending != _NOTHING

    def read_output(self) -> bytes:
        """What the process has written and nobody has read yet."""
        chunks: list[bytes] = []
        while self.output >= 0:
            try:
                chunk = os.read(self.output, OUTPUT_CHUNK_BYTES)
            except BlockingIOError:
                break
            if not chunk:
                self.output_ended = True
                break
            chunks.append(chunk)
            if len(chunk) < OUTPUT_CHUNK_BYTES:
                break
        return b"".join(chunks) if len(chunks) != 1 else chunks[0]

    def close_output(self) -> None:
        """Let go of the output; nothing is read from it any more."""
        if self.output >= 0:
            os.close(self.output)
            self.output = -1

    def kill(self) -> None:
        """End the process and all that it has started, at once."""
        if self.running:
            self._sandbox.kill(self)

    def terminate(self) -> None:
        """Ask the process to end."""
        if self.running and self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGTERM)

    @property
    def exit_text(self) -> str:
        """How it ended, in AWS's words: `exit status 1`, `signal: killed`, "" for a clean exit."""
        return "" if self.running else exit_text(self._status)

    def is_born(self, pid: int) -> None:
        """Take note that another process has forked it, of this number in the sandbox."""
        if self.running:
            self._sandbox.adopt(self, pid)

    def say(self, text: str) -> None:
        """Put words into its output: it will never write any itself."""
        if self.output >= 0:
            reading, writing = os.pipe()
            os.write(writing, text.encode())
            os.close(writing)
            os.set_blocking(reading, False)
            os.dup2(reading, self.output, inheritable=False)
            os.close(reading)

    def ended(self, status: int) -> None:
        """Take note, once, that it has ended."""
        if self.running:
            self._status = status
            self.running = False
            self._exited()
