"""One process of a sandbox on its way from the zygote's privileges to the function's program.

A program that is started ahead of need has an usher: a process that shares its current directory,
leads it into the function's code when that is in its place, and ends.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

import lamington_init as init
import lamington_kernel as kernel
import lamington_root as root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ASIDE = 200
"""Descriptors are put above this number while those they are to have are still taken."""

USHERED = ASIDE + 32
"""The usher's descriptor is above this number."""

NOT_FOUND, NOT_EXECUTABLE = 127, 126

READ_AT_START = ("LD_PRELOAD", "LD_AUDIT", "GLIBC_TUNABLES", "MALLOC_")
"""Variables that a program reads when it is executed, and never again."""

OURS = ("lamington_zygote", "lamington_init", "lamington_process", "lamington_root")


class Process:
    """What an order to spawn says."""

    def __init__(
        self, layout: init.Layout, user: int, order: dict[str, Any], descriptors: list[int]
    ) -> None:
        self._layout = layout
        self._user = user
        self._order = order
        self._descriptors = descriptors
        self._usher_orders = -1
        """Where a usher hears of the function, -1 where there is to be none."""

    def run(self) -> None:
        """Become the function's process."""
        os.setsid()
        self._take_descriptors()
        init.limit(self._layout.processes_max)
        if self._layout.namespaces:
            os.chroot(root.SANDBOX)
        os.umask(0o022)
        self._drop_privileges()
        # Should the whole machine run out of memory, it is not the engine that goes.
        try:
            with open("/proc/self/oom_score_adj", "wb", 0) as file:
                file.write(b"500")
        except OSError:
            pass
        directory = self._order["cwd"]
        try:
            os.chdir(directory)
        except OSError as error:
            _give_up(f"{directory}: {error.strerror}", NOT_FOUND)
        if self._order["forked"] and not self._needs_a_program_of_its_own():
            self._run_bootstrap()
        else:
            if self._usher_orders >= 0:
                self._leave_usher()
            self._execute()

    def _take_descriptors(self) -> None:
        import fcntl

        if self._order.get("spare"):
            given = self._descriptors.pop()
            self._usher_orders = fcntl.fcntl(given, fcntl.F_DUPFD_CLOEXEC, USHERED)
        aside = [fcntl.fcntl(each, fcntl.F_DUPFD, ASIDE) for each in self._descriptors]
        output = aside[0]
        os.dup2(output, 1)
        os.dup2(output, 2)
        if len(aside) > 1:
            os.dup2(aside[1], init.CHANNEL)
        os.closerange(init.CHANNEL + (len(aside) > 1), ASIDE + 16)

    def _drop_privileges(self) -> None:
        """Become the environment's user, who may nothing.

        Behind walls all of it must succeed; without them it is done as far as it goes.
        """
        try:
            if self._user >= 0:
                os.setgroups([])
                os.setresgid(self._user, self._user, self._user)
                os.setresuid(self._user, self._user, self._user)
            elif self._layout.namespaces:
                kernel.drop_capabilities()
            kernel.control(kernel.PR_SET_NO_NEW_PRIVS, 1)
            # What is not dumpable could not even read its own /proc.
            kernel.control(kernel.PR_SET_DUMPABLE, 1)
            if not self._layout.namespaces:
                kernel.control(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        except OSError as error:
            if self._layout.namespaces:
                _give_up(str(error), NOT_EXECUTABLE)

    def _needs_a_program_of_its_own(self) -> bool:
        """Whether a fork would not do: what is read at an interpreter's start is not the default.

        The dynamic loader looks at LD_LIBRARY_PATH, and at the directories in it, but once.
        """
        variables: dict[str, str] = self._order["env"]
        for name in variables:
            if name.startswith(READ_AT_START):
                return True
            if name.startswith("PYTHON") and name != "PYTHONPATH":
                return True
        libraries = variables.get("LD_LIBRARY_PATH", "").split(":")
        task = self._order["cwd"]
        return any(
            _holds_libraries(each)
            for each in libraries
            if each.startswith((task, self._order["layers"] or task))
        )

    def _leave_usher(self) -> None:
        """Fork the usher, as a child of the sandbox's first process and not of this one."""
        try:
            pid = kernel.fork_beside()
            if pid:
                os.waitpid(pid, 0)
                return
            if kernel.fork_beside():
                os._exit(0)
        except OSError as error:
            _give_up(str(error), NOT_EXECUTABLE)
        _usher(self._usher_orders)

    def _execute(self) -> None:
        # Python ignores these two; a program starts with the defaults.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        argv, variables = self._order["argv"], self._order["env"]
        try:
            os.execvpe(argv[0], argv, variables)
        except FileNotFoundError as error:
            _give_up(f"{argv[0]}: {error.strerror}", NOT_FOUND)
        except OSError as error:
            _give_up(f"{argv[0]}: {error.strerror}", NOT_EXECUTABLE)

    def _run_bootstrap(self) -> None:
        import lamington_bootstrap

        os.environ.clear()
        os.environ.update(self._order["env"])
        for name in OURS:
            sys.modules.pop(name, None)
        sys.argv = ["/var/runtime/bootstrap.py"]
        gc.enable()
        lamington_bootstrap.run(self._layout.attend_s)


def _usher(descriptor: int) -> None:
    """Wait for the function of the process beside, lead it there, and tell it what it is."""
    import _socket

    # The output and the channel end when the process beside ends, whoever else there is.
    os.closerange(0, descriptor)
    orders = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fileno=descriptor)
    order, descriptors = init.receive(orders)
    if order:
        channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fileno=descriptors[0])
        try:
            os.chdir(order["cwd"])
            channel.sendall(order["frame"].encode("latin-1"))
        except OSError:
            channel.shutdown(_socket.SHUT_RDWR)
    os._exit(0)


def _holds_libraries(directory: str) -> bool:
    try:
        return any(".so" in name and name.startswith("lib") for name in os.listdir(directory))
    except OSError:
        return False


def _give_up(text: str, status: int) -> None:
    os.write(2, text.encode("utf-8", "surrogateescape") + b"\n")
    os._exit(status)
