"""The first process of a sandbox: starts its processes, reaps them, and ends them all.

In a PID namespace it is process 1, so that nothing outlives it; without one it adopts what its
processes leave behind. It ends when the engine's end of its socket is closed, however that came.
The engine's orders and its own reports are JSON, one a packet:

- `open` (where the code and the layers are, the size of /tmp), `spawn` (with two descriptors at
  most: the output, the channel), `configure` (what a process that was spawned as a spare becomes,
  with the engine's end of its channel), `adopt` (a process that one of them has forked and left
  to this one), `kill` (one process with what it started; 0: everything)
- `hello`, `opened`, `spawned`, `exited`, `failed`
"""

# ruff: noqa: SIM105  # contextlib is not loaded for what is this small

from __future__ import annotations

import _socket
import json
import os
import resource
import select
import signal
import struct
import time

import lamington_kernel as kernel
import lamington_root as root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MESSAGE_BYTES = 262_144
DESCRIPTORS_MAX = 8
SCM_RIGHTS, SCM_CREDENTIALS = 1, 2

OPEN_FILES_MAX = 1024
PROCESSES_MAX = 1024
LOCKED_BYTES_MAX = 65_536

CHANNEL = 3
KILL_ROUNDS_MAX = 400
STRAYS_MAX = 256


class Layout:
    """What the zygote knows of the machine, the same for all its sandboxes."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.namespaces: bool = given["level"] == "namespace"
        self.privileged = False
        self.hidden: list[str] = given["hidden"]
        self.shown: list[str] = given["shown"]
        self.first_user: int = given["first_user"]
        self.users: int = given["users"]
        self.attend_s: float = given["attend_s"]
        self.processes_max = PROCESSES_MAX


def receive(control: _socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next message with its descriptors; an empty one where the other end is closed."""
    size = _socket.CMSG_SPACE(4 * DESCRIPTORS_MAX)
    try:
        data, ancillary, _, _ = control.recvmsg(MESSAGE_BYTES, size)
    except ConnectionResetError:
        return {}, []
    descriptors: list[int] = []
    for level, kind, content in ancillary:
        if level == _socket.SOL_SOCKET and kind == SCM_RIGHTS:
            count = len(content) // 4
            descriptors += struct.unpack(f"{count}i", content[: 4 * count])
    return (json.loads(data) if data else {}), descriptors


def send(
    control: _socket.socket, message: dict[str, Any], descriptors: Any = (), process: int = 0
) -> None:
    """Send a message; `process` comes out as the engine's own number of that process."""
    ancillary: list[tuple[int, int, bytes]] = []
    if descriptors:
        packed = struct.pack(f"{len(descriptors)}i", *descriptors)
        ancillary.append((_socket.SOL_SOCKET, SCM_RIGHTS, packed))
    if process:
        credentials = struct.pack("iII", process, os.geteuid(), os.getegid())
        ancillary.append((_socket.SOL_SOCKET, SCM_CREDENTIALS, credentials))
    control.sendmsg([json.dumps(message).encode()], ancillary)


class Init:
    """One sandbox."""

    def __init__(
        self, layout: Layout, control: _socket.socket, user: int, groups: list[int]
    ) -> None:
        self._layout = layout
        self._control = control
        self._user = user
        self._groups = groups
        self._running: dict[int, int] = {}
        """The numbers that the engine has given to the processes, by their own."""
        self._strays: dict[int, int] = {}
        """How processes have ended that the engine has not named, or not yet."""
        self._next: tuple[int, _socket.socket] | None = None
        self._usher: _socket.socket | None = None
        """To who waits beside a spare process until that has a function."""
        self._proc = root.SANDBOX + "/proc" if layout.namespaces else "/proc"

    def run(self) -> Callable[[], None] | None:
        """Serve the engine; in a process to be, come back with what that process is to do."""
        wake, woken = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._tell({"did": "hello"})
        waiting = select.poll()
        waiting.register(self._control, select.POLLIN)
        waiting.register(wake, select.POLLIN)
        work = self._prepare_next()
        while work is None:
            for descriptor, _ in waiting.poll():
                if descriptor == wake:
                    os.read(wake, 4096)
                    self._reap()
                    continue
                order, descriptors = receive(self._control)
                if not order:
                    self._end_everything()
                    os._exit(0)
                work = self._carry_out(order, descriptors)
                for each in descriptors:
                    os.close(each)
                if work is not None:
                    break
        return work

    def _carry_out(
        self, order: dict[str, Any], descriptors: list[int]
    ) -> Callable[[], None] | None:
        what = order["do"]
        if what == "open":
            try:
                self._open(order)
            except OSError as error:
                self._tell({"did": "failed", "why": str(error)})
        elif what == "spawn":
            return self._spawn(order, descriptors)
        elif what == "configure":
            self._configure(order, descriptors)
        elif what == "adopt":
            self._adopt(order["id"], order["pid"])
        elif what == "kill":
            self._kill(order["id"])
        return None

    def _open(self, order: dict[str, Any]) -> None:
        """Put the function's code, its layers and its /tmp in their places."""
        if not self._layout.namespaces:
            return
        closed = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.bind(self._hidden(order["task"]), root.SANDBOX + "/var/task", flags=closed)
        covered = [each for each in self._layout.shown if root.is_covered(each)]
        under_opt = any(each.startswith("/opt/") for each in covered)
        if order["layers"] and not under_opt:
            kernel.bind(self._hidden(order["layers"]), root.SANDBOX + "/opt", flags=closed)
        elif under_opt:
            # The machine's own programs are in /opt too: each layer's directory for itself.
            kernel.mount("tmpfs", root.STAGE + "/opt", "tmpfs", closed, "size=64k,mode=0755")
            layers = self._hidden(order["layers"]) if order["layers"] else ""
            for name in os.listdir(layers) if layers else ():
                place = f"{root.STAGE}/opt/{name}"
                if os.path.isdir(f"{layers}/{name}"):
                    os.mkdir(place)
                else:
                    os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o755))
                kernel.bind(f"{layers}/{name}", place, flags=closed)
        # A file for each 4 KiB, as a disk of this size would have at most.
        options = f"size={order['storage_mb']}m,nr_inodes={order['storage_mb'] * 256},mode=1777"
        kernel.mount("tmpfs", root.STAGE + "/tmp", "tmpfs", closed, options)
        root.show_covered(covered, [*self._layout.hidden, *self._layout.shown])
        if under_opt:
            kernel.remount(root.STAGE + "/opt", kernel.MS_RDONLY)
            root.put_in_place("/opt")
        root.put_in_place("/tmp")

    def _configure(self, order: dict[str, Any], descriptors: list[int]) -> None:
        usher, self._usher = self._usher, None
        if usher is None:
            return
        packed = struct.pack(f"{len(descriptors)}i", *descriptors)
        try:
            usher.sendmsg(
                [json.dumps(order).encode()],
                [(_socket.SOL_SOCKET, SCM_RIGHTS, packed)],
            )
        except OSError:
            # It went with the process beside, whose end is told.
            pass
        usher.close()

    def _hidden(self, path: str) -> str:
        """Where a directory of the machine lies that functions do not see."""
        for index, each in enumerate(self._layout.hidden):
            if path == each or path.startswith(each + "/"):
                return f"{root.HIDDEN}/{index}{path[len(each) :]}"
        raise OSError(2, f"{path} is not within this zygote's reach")

    def _tell(self, report: dict[str, Any], process: int = 0) -> None:
        try:
            send(self._control, report, (), process)
        except OSError:
            # The engine is gone, which the next look at the socket tells too.
            pass

    # Processes

    def _prepare_next(self) -> Callable[[], None] | None:
        """Fork the process that is spawned next, ahead of the order.

        What it joins its control groups for takes the kernel milliseconds when nobody has done so
        for a while.
        """
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid:
            theirs.close()
            self._next = (pid, ours)
            return None
        ours.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        for each in self._groups:
            os.write(each, b"0")
            os.close(each)
        order, descriptors = receive(theirs)
        if not order:
            os._exit(0)
        theirs.close()
        from lamington_process import Process

        work: Callable[[], None] = Process(self._layout, self._user, order, descriptors).run
        return work

    def _spawn(self, order: dict[str, Any], descriptors: list[int]) -> Callable[[], None] | None:
        if order.get("spare"):
            self._usher, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            descriptors.append(theirs.detach())
        while True:
            if self._next is None:
                work = self._prepare_next()
                if work is not None:
                    return work
            assert self._next is not None
            pid, orders = self._next
            self._next = None
            try:
                send(orders, order, descriptors)
            except OSError:
                # It has been killed while it waited.
                orders.close()
                continue
            orders.close()
            break
        self._running[pid] = order["id"]
        known = pid if self._layout.namespaces else 0
        self._tell({"did": "spawned", "id": order["id"], "pid": pid}, known)
        return None

    def _adopt(self, number: int, pid: int) -> None:
        """Treat a process as one of those that were spawned; it may have ended already."""
        ended, status = pid, self._strays.pop(pid, signal.SIGKILL)
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
        self._running[pid] = number
        if ended:
            self._ended(pid, int(status))
            return
        known = pid if self._layout.namespaces else 0
        self._tell({"did": "spawned", "id": number, "pid": pid}, known)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        if self._next is not None and self._next[0] == pid:
            self._next[1].close()
            self._next = None
        number = self._running.pop(pid, None)
        if number is None:
            if len(self._strays) >= STRAYS_MAX:
                del self._strays[next(iter(self._strays))]
            self._strays[pid] = status
            return
        # What it has started goes with it, as when a sandbox is reset.
        if self._running:
            self._kill_session(pid)
        else:
            self._end_everything()
        self._tell({"did": "exited", "id": number, "status": status})

    def _kill(self, number: int) -> None:
        pid = next((each for each, given in self._running.items() if given == number), 0)
        if number and not pid:
            return
        if number and len(self._running) > 1:
            for each in [*self._family(pid), pid]:
                _end(each)
            self._kill_session(pid)
        else:
            self._end_everything()

    def _end_everything(self) -> None:
        """Kill all there is but this process, and wait until it is gone."""
        ended: list[tuple[int, int]] = []
        for _ in range(KILL_ROUNDS_MAX):
            self._kill_all()
            try:
                while True:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                    if not pid:
                        break
                    ended.append((pid, status))
            except ChildProcessError:
                break
            time.sleep(0.0005)
        for pid, status in ended:
            self._ended(pid, status)

    def _kill_all(self) -> None:
        if self._layout.namespaces:
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                pass
            return
        if self._user >= 0:
            self._kill_user()
        family = self._family(os.getpid())
        # First they are stopped, for a process that goes on may start more than can be ended.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for each in family:
                _end(each, number)

    def _kill_user(self) -> None:
        """Kill all that runs under this sandbox's own user, in one go."""
        pid = os.fork()
        if pid == 0:
            os.setresgid(self._user, self._user, self._user)
            os.setresuid(self._user, self._user, self._user)
            _end(-1)
            os._exit(0)
        os.waitpid(pid, 0)

    def _family(self, pid: int) -> list[int]:
        """All that a process has started, and these in turn, as far as nobody adopted them."""
        children: dict[int, list[int]] = {}
        for each, (parent, _) in self._processes().items():
            children.setdefault(parent, []).append(each)
        found: list[int] = []
        left = [pid]
        while left:
            of_it = children.get(left.pop(), [])
            found += of_it
            left += of_it
        return found

    def _kill_session(self, leader: int) -> None:
        for each, (_, session) in self._processes().items():
            if session == leader:
                _end(each)

    def _processes(self) -> dict[int, tuple[int, int]]:
        """Parent and session of each process that there is."""
        found = {}
        for name in os.listdir(self._proc):
            if name.isdigit():
                try:
                    with open(f"{self._proc}/{name}/stat", "rb", 0) as file:
                        fields = file.read().rpartition(b")")[2].split()
                except OSError:
                    continue
                found[int(name)] = (int(fields[1]), int(fields[3]))
        return found


def _end(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass


def limit(processes: int) -> None:
    """Set AWS's limits of a process."""
    for kind, value in (
        (resource.RLIMIT_NOFILE, OPEN_FILES_MAX),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, LOCKED_BYTES_MAX),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
