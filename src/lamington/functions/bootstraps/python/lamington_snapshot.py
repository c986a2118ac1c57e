"""SnapStart in the Python runtime: the hooks, and the copies of this process that serve.

A process is ready when its handler is loaded and the hooks before the snapshot have run. Then it
waits: for orders to fork, each of which makes a process that serves (the process itself never
does), or for the one order to go on by itself, where it cannot be forked. What an order to fork
brings are the descriptors of the new process's socket and output. Left to others: which of the two
it is to be (the engine), serving (`lamington_bootstrap`).
"""

# ruff: noqa: BLE001  # hooks are the function's code, and may raise anything
# ruff: noqa: SIM105  # contextlib is not loaded for what is this small

from __future__ import annotations

import _socket
import gc
import json
import os
import select
import stat
import sys
import time
from _struct import Struct

import lamington_bootstrap as bootstrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORK, RESTORE = 4, 5
FORKED = 9

HOOK_FAILED = 64

AHEAD_MS = 50
"""A copy is made ahead when nobody has asked for one for so long."""

ATTEMPTS_MAX = 3
ORDER_BYTES_MAX = 65_536

HEADER_BYTES = 4 + bootstrap.INVOCATION.size
DESCRIPTORS = Struct("2i")
SO_DOMAIN, SO_ACCEPTCONN = 39, 30

REOPENED = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK | os.O_SYNC | os.O_CLOEXEC
"""Of how a file was opened, what counts when it is opened again."""


class Snapshot:
    """The process of one environment from the end of its init to its first invocation."""

    def __init__(self, runtime: bootstrap.Runtime) -> None:
        self._runtime = runtime
        self._loops: list[Any] = []
        self._hindrance = ""
        self._next: _socket.socket | None = None
        """To the copy that waits for its order."""

    def take(self) -> bytes:
        """Get ready to be copied: the hooks, and what no copy may have. What READY is to tell."""
        try:
            hooks = _registered("get_before_snapshot")
            while hooks:
                function, args, kwargs = hooks.pop()
                function(*args, **kwargs)
        except Exception as error:
            self._fail(error)
        _cut_connections()
        self._hindrance = _hindrance()
        if not self._hindrance and "asyncio" in sys.modules:
            from asyncio.selector_events import BaseSelectorEventLoop

            known = gc.get_objects()
            self._loops = [each for each in known if isinstance(each, BaseSelectorEventLoop)]
        gc.collect()
        gc.freeze()
        return json.dumps({"hindrance": self._hindrance}).encode()

    def wait(self) -> None:
        """Serve orders to fork; come back in the process that is to serve invocations."""
        channel = select.poll()
        channel.register(bootstrap.CHANNEL, select.POLLIN)
        while True:
            idle = not self._hindrance and self._next is None and not channel.poll(AHEAD_MS)
            if idle and self._fork():
                break
            kind, body, descriptors = self._receive()
            if kind == RESTORE or (kind == FORK and self._hand_over(body, descriptors)):
                break
            for each in descriptors:
                os.close(each)
        self._run_hooks()
        sys.stdout.flush()
        sys.stderr.flush()
        self._runtime.send(bootstrap.READY, b"")

    def _receive(self) -> tuple[int, bytes, list[int]]:
        """The next order; descriptors come with its first byte."""
        data = b""
        descriptors: list[int] = []
        while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "little"):
            wanted = 4 + int.from_bytes(data[:4], "little") if len(data) >= 4 else 4
            part, ancillary, _, _ = self._runtime.socket.recvmsg(
                wanted - len(data), _socket.CMSG_SPACE(DESCRIPTORS.size)
            )
            if not part:
                os._exit(0)
            data += part
            for level, kind, content in ancillary:
                if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                    descriptors += DESCRIPTORS.unpack(content)
        return data[4], data[HEADER_BYTES:], descriptors

    # Forking

    def _hand_over(self, body: bytes, descriptors: list[int]) -> bool:
        """Let the copy that waits serve; True in a copy that has had to be made for it."""
        given = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, DESCRIPTORS.pack(*descriptors))
        for _ in range(ATTEMPTS_MAX):
            if self._next is None and self._fork():
                for each in descriptors:
                    os.close(each)
                return True
            assert self._next is not None, "it was just made"
            orders, self._next = self._next, None
            try:
                orders.sendmsg([body], [given])
            except OSError:
                # It has been killed while it waited.
                continue
            finally:
                orders.close()
            break
        return False

    def _fork(self) -> bool:
        """Make the copy that serves next, ahead of the order; True in the copy, when it has it.

        Its parent is the sandbox's first process.
        """
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid:
            theirs.close()
            self._next = ours
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass
            return False
        between = os.getpid()
        if os.fork():
            os._exit(0)
        ours.close()
        os.setsid()
        # The engine's channel is the template's alone: until it has one, this is the copy's.
        os.dup2(theirs.fileno(), bootstrap.CHANNEL, False)
        theirs.close()
        _own_descriptors(self._loops)
        # Who adopts it has to have done so before anybody asks about it.
        while os.getppid() == between:
            time.sleep(0.0001)
        self._begin()
        return True

    def _begin(self) -> None:
        """Wait for the order, and become the process of another environment."""
        body, ancillary, _, _ = self._runtime.socket.recvmsg(
            ORDER_BYTES_MAX, _socket.CMSG_SPACE(DESCRIPTORS.size)
        )
        if not body:
            os._exit(0)
        channel, output = DESCRIPTORS.unpack(ancillary[0][2])
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(channel, bootstrap.CHANNEL, False)
        os.close(output)
        os.close(channel)
        os.environ.update(json.loads(body)["variables"])
        bootstrap.Declared.configure()
        self._runtime.begin_again()
        self._runtime.send(FORKED, str(os.getpid()).encode())

    def _run_hooks(self) -> None:
        try:
            for function, args, kwargs in _registered("get_after_restore"):
                function(*args, **kwargs)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Report what a hook has raised, and end.

        AWS: the runtime reports it and exits, whether the snapshot is to be made or was restored.
        """
        payload = bootstrap.error_payload(error, "")
        bootstrap.log_payload(payload)
        sys.stdout.flush()
        self._runtime.send(bootstrap.INIT_ERROR, json.dumps(payload).encode())
        os._exit(HOOK_FAILED)


def _registered(name: str) -> Any:
    """Hooks of the function, whichever copy of AWS's module it has loaded."""
    module = sys.modules.get("snapshot_restore_py")
    return getattr(module, name)() if module is not None else []


def _hindrance() -> str:
    """Why this process cannot be forked, "" where it can.

    A fork has but the one thread that forks, and none of the processes that were started.
    """
    threads = os.listdir("/proc/self/task")
    if len(threads) > 1:
        return f"it has {len(threads)} threads"
    try:
        with open(f"/proc/self/task/{threads[0]}/children", "rb", 0) as file:
            if file.read(64).strip():
                return "it has started processes that still run"
    except OSError:
        pass
    return ""


def _open_descriptors() -> list[tuple[int, os.stat_result]]:
    """What the function holds open, beside its channel and its output."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        if int(name) > bootstrap.CHANNEL:
            try:
                found.append((int(name), os.fstat(int(name))))
            except OSError:
                continue
    return found


def _cut_connections() -> None:
    """End the network connections of the init, so that no two environments share one.

    AWS: connections do not outlive the snapshot: functions and SDKs make them anew.
    """
    for number, state in _open_descriptors():
        if not stat.S_ISSOCK(state.st_mode):
            continue
        shared = _socket.socket(fileno=os.dup(number))
        try:
            family = shared.getsockopt(_socket.SOL_SOCKET, SO_DOMAIN)
            listens = shared.getsockopt(_socket.SOL_SOCKET, SO_ACCEPTCONN)
            if family in (_socket.AF_INET, _socket.AF_INET6) and not listens:
                shared.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass
        finally:
            shared.close()


def _own_descriptors(loops: list[Any]) -> None:
    """Give this copy what a fork would share: places in files, event loops, what wakes them."""
    for loop in loops:
        if not loop.is_closed():
            first, second = _socket.socketpair()
            for mine, its in ((first, loop._ssock), (second, loop._csock)):
                mine.setblocking(False)
                os.dup2(mine.fileno(), its.fileno(), False)
                mine.close()
    polls = []
    for number, state in _open_descriptors():
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
            if stat.S_ISREG(state.st_mode):
                _open_again(number)
            elif target == "anon_inode:[eventfd]":
                _put(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC), number)
            elif target == "anon_inode:[eventpoll]":
                polls.append(number)
        except (OSError, AttributeError):
            continue
    for number in polls:
        _poll_again(number)


def _described(number: int) -> list[list[str]]:
    with open(f"/proc/self/fdinfo/{number}", encoding="ascii") as file:
        return [line.replace(":", " ").split() for line in file]


def _open_again(number: int) -> None:
    """Open a file once more, at the same place in it."""
    described = {each[0]: each[1] for each in _described(number) if len(each) == 2}
    again = os.open(f"/proc/self/fd/{number}", int(described["flags"], 8) & REOPENED)
    os.lseek(again, int(described["pos"]), os.SEEK_SET)
    _put(again, number)


def _poll_again(number: int) -> None:
    """Make an epoll object that waits for the same, as far as Python's own kind goes."""
    watched = [each for each in _described(number) if each and each[0] == "tfd"]
    if any(each[1] != str(int(each[5], 16)) for each in watched):
        return
    poll = select.epoll()
    for each in watched:
        try:
            poll.register(int(each[1]), int(each[3], 16))
        except OSError:
            continue
    os.dup2(poll.fileno(), number, os.get_inheritable(number))
    poll.close()


def _put(descriptor: int, number: int) -> None:
    """Put a descriptor in the place of another."""
    os.dup2(descriptor, number, os.get_inheritable(number))
    os.close(descriptor)
