"""The zygote: the interpreter that is started once, and from which sandboxes are forked.

It has loaded what functions commonly need, is alone in its mount namespace where the machine
allows for one, and holds nothing but its socket to the engine. Which interpreter it runs in is the
engine's choice, one for each Python in use; it knows the standard library only.
"""

from __future__ import annotations

import _socket
import contextlib
import gc
import os
import signal
import sys
import time

import lamington_bootstrap  # noqa: F401  # for those that are forked
import lamington_init as init
import lamington_kernel as kernel
import lamington_root as root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

COMMON = (  # noqa: SIM905  # one name a line would be a page
    "base64 binascii bisect collections collections.abc contextlib copy datetime decimal enum"
    " errno fcntl functools hashlib heapq importlib.util io itertools keyword linecache math"
    " operator random re resource select selectors signal socket stat string struct threading"
    " tokenize traceback types typing uuid warnings weakref"
    " encodings.ascii encodings.idna encodings.latin_1 logging"
).split()
"""What handlers import most: it costs nothing to have it, for its memory is shared."""


class Zygote:
    """Serves the engine's orders for sandboxes."""

    def __init__(self, control: _socket.socket, given: dict[str, Any]) -> None:
        self._control = control
        self._layout = init.Layout(given)
        self._own_pids = -1

    def enter(self, sdk: dict[str, str]) -> None:
        """Go behind the walls, and try whether a sandbox can be made there; raises OSError."""
        layout = self._layout
        if not layout.namespaces:
            self._count_processes()
            return
        kernel.require()
        kernel.control(kernel.PR_SET_DUMPABLE, 1)
        kernel.control(kernel.PR_SET_CHILD_SUBREAPER, 1)
        user = layout.first_user
        try:
            kernel.unshare(kernel.NEW_MOUNTS)
            layout.privileged = True
        except OSError:
            _enter_user_namespace(kernel.NEW_MOUNTS)
            user = root.FIRST_USER
        if layout.privileged:
            self._own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY)
        root.build(layout.shown, layout.hidden, sdk, user, layout.users)
        self._try()

    @property
    def is_privileged(self) -> bool:
        """Whether sandboxes may have users of their own."""
        return self._layout.privileged or not self._layout.namespaces

    def _try(self) -> None:
        reading, writing = os.pipe()
        pid = self._fork()
        if pid == 0:
            text = b""
            try:
                self._close_in()
                os.chroot(root.SANDBOX)
            except OSError as error:
                text = str(error).encode()
            os.write(writing, text or b"well")
            os._exit(0)
        os.close(writing)
        text = os.read(reading, 4096)
        os.close(reading)
        os.waitpid(pid, 0)
        if text != b"well":
            raise OSError(1, text.decode() or "a process in its own namespaces ends at once")

    def _fork(self) -> int:
        """Fork the first process of a sandbox; 0 in it."""
        layout = self._layout
        if not layout.namespaces:
            return os.fork()
        if layout.privileged:
            kernel.unshare(kernel.NEW_PIDS)
            pid = os.fork()
            if pid:
                kernel.enter_namespace(self._own_pids, kernel.NEW_PIDS)
            return pid
        pid = os.fork()
        if pid:
            return pid
        # Processes are counted by user namespace: each has one, so that each has the limit.
        _enter_user_namespace(kernel.NEW_MOUNTS | kernel.NEW_PIDS | kernel.NEW_IPC, root.FIRST_USER)
        if os.fork():
            os._exit(0)
        return 0

    def _close_in(self) -> None:
        """Take the namespaces that a sandbox has for its own."""
        if not self._layout.namespaces:
            return
        if self._layout.privileged:
            kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_IPC)
        closed = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("proc", root.SANDBOX + "/proc", "proc", closed)

    def serve(self) -> Callable[[], None]:
        """Serve until the engine is gone; in a process of a sandbox, come back with its work."""
        signal.signal(signal.SIGCHLD, _reap)
        while True:
            order, descriptors = init.receive(self._control)
            if not order:
                os._exit(0)
            if self._fork() == 0:
                return self._be_init(order, descriptors)
            for each in descriptors:
                os.close(each)

    def _be_init(self, order: dict[str, Any], descriptors: list[int]) -> Callable[[], None]:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        if self._own_pids >= 0:
            os.close(self._own_pids)
        family, kind = _socket.AF_UNIX, _socket.SOCK_SEQPACKET
        control = _socket.socket(family, kind, 0, fileno=descriptors[0])
        try:
            if self._layout.namespaces:
                kernel.control(kernel.PR_SET_DUMPABLE, 0)
                self._close_in()
            else:
                with contextlib.suppress(OSError):
                    kernel.control(kernel.PR_SET_CHILD_SUBREAPER, 1)
        except OSError as error:
            _report(control, {"did": "failed", "why": str(error)})
            os._exit(1)
        work: Callable[[], None] | None
        work = init.Init(self._layout, control, order["user"], descriptors[1:]).run()
        assert work is not None, "it comes back only as a process to be"
        return work

    def _count_processes(self) -> None:
        """Allow for the processes that this user has already: without a namespace they count."""
        if os.geteuid() == 0:
            return
        running = 0
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    if os.stat(f"/proc/{name}").st_uid == os.geteuid():
                        running += len(os.listdir(f"/proc/{name}/task"))
                except OSError:
                    continue
        self._layout.processes_max += running


def _enter_user_namespace(others: int, user: int = -1) -> None:
    """Get the privileges of a user namespace, in which functions are AWS's user."""
    outer, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.NEW_USER | others)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{root.FIRST_USER} {outer} 1"),
        ("gid_map", f"{root.FIRST_USER} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "wb", 0) as file:
            file.write(text.encode())


def _reap(*_: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _report(control: _socket.socket, message: dict[str, Any]) -> None:
    """Tell the engine; where it is gone, this process goes too."""
    try:
        init.send(control, message)
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)


def main() -> Callable[[], None]:
    """Run the zygote; what comes back is the work of a process of a sandbox."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fileno=descriptor)
    given, _ = init.receive(control)
    import importlib

    for name in COMMON:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    import lamington_process  # noqa: F401

    sys.path[:2] = []
    time.tzset()
    zygote = Zygote(control, given)
    try:
        zygote.enter(given["sdk"])
    except OSError as error:
        _report(control, {"did": "failed", "why": str(error)})
        os._exit(1)
    sys.path_importer_cache.clear()
    gc.collect()
    gc.disable()
    gc.freeze()
    _report(control, {"did": "up", "privileged": zygote.is_privileged})
    return zygote.serve()
