"""One operating system process fenced in: how it starts, what it holds, how it ends.

A process leads a session of its own, so that all it started ends with it. Left to others: what
is said over its socket (`environment`).

Differs: there is no namespace around it yet: the file system of the machine is visible, and
memory is not limited, only reported. Open files are limited to AWS's 1024.
"""

import asyncio
import contextlib
import fcntl
import os
import resource
import shutil
import signal
import socket
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

OPEN_FILES_MAX = 1024
OUTPUT_CHUNK_BYTES = 65536
_NOTHING = bytes(4)


class IsolatedProcess:
    """A running process with the engine's ends of its socket and of its output pipe."""

    def __init__(
        self,
        argv: Sequence[str],
        arguments: Sequence[str],
        variables: Mapping[str, str],
        directory: Path,
        exited: Callable[[], None],
    ) -> None:
        """Start `argv`, then the number of its socket, then `arguments`.

        `exited` is called once, in the loop, when the process has ended and was reaped.
        """
        self._loop = asyncio.get_running_loop()
        self._exited = exited
        self.channel, theirs = socket.socketpair()
        self.output, their_output = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*_dies_with_parent(), *argv, str(theirs.fileno()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=their_output,
                stderr=their_output,
                pass_fds=(theirs.fileno(),),
                env=dict(variables),
                cwd=directory,
                start_new_session=True,
            )
        except BaseException:
            self.channel.close()
            os.close(self.output)
            raise
        finally:
            theirs.close()
            os.close(their_output)
        self.pid = self._process.pid
        os.set_blocking(self.output, False)
        self.channel.setblocking(False)
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (OPEN_FILES_MAX, OPEN_FILES_MAX))
        self._watch = os.pidfd_open(self.pid)
        self._loop.add_reader(self._watch, self._reap)
        self.running = True
        self.output_ended = False
        self._pending = bytearray(4)

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
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    @property
    def exit_text(self) -> str:
        """How it ended, in AWS's words: `exit status 1`, `signal: killed`, "" for a clean exit."""
        code = self._process.poll()
        if not code:
            return ""
        if code > 0:
            return f"exit status {code}"
        known = {int(number): text for number, text in SIGNAL_TEXTS.items()}
        return f"signal: {known.get(-code, f'signal {-code}')}"

    def _reap(self) -> None:
        self._loop.remove_reader(self._watch)
        os.close(self._watch)
        # What it started in its session goes with it, as with a sandbox that is reset. It is
        # done before the wait: until then nobody else can have its number.
        self.kill()
        self._process.wait()
        self.running = False
        self._exited()


SIGNAL_TEXTS = {
    signal.SIGHUP: "hangup",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGILL: "illegal instruction",
    signal.SIGTRAP: "trace/breakpoint trap",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGPIPE: "broken pipe",
    signal.SIGALRM: "alarm clock",
    signal.SIGTERM: "terminated",
}
"""Signals as Go names them: AWS's init process is written in it."""


@cache
def _dies_with_parent() -> tuple[str, ...]:
    """The prefix by which a process is killed when the engine is, whatever it does just then.

    Without util-linux's `setpriv` a busy handler ends at its next reply instead.
    """
    found = shutil.which("setpriv")
    if found is None:
        return ()
    works = subprocess.run(
        [found, "--pdeathsig", "KILL", "--", "/bin/true"], check=False, capture_output=True
    )
    return (found, "--pdeathsig", "KILL", "--") if works.returncode == 0 else ()


def end_leftovers(directory: Path) -> int:
    """Kill what an engine that was killed has left running, and say how many there were.

    Ours are the processes whose TMPDIR lies in the directory of environments: nobody else's do.
    """
    if not directory.is_dir() or not any(directory.iterdir()):
        return 0
    mark = f"TMPDIR={directory}/".encode()
    ended = 0
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (each / "environ").read_bytes()
            if any(entry.startswith(mark) for entry in variables.split(b"\0")):
                os.kill(int(each.name), signal.SIGKILL)
                ended += 1
    return ended
