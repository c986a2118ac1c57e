"""What one execution environment's processes run in, and these processes, as the engine sees them.

A sandbox is a process of ours (`bootstraps/launcher`) that starts, reaps and ends the others; it
lives as long as the environment, so that /tmp survives the reset of its processes. Orders go to
it without waiting. Left to others: where sandboxes come from (`launcher`), what is said over a
process's channel (`link`).
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lamington.functions.cgroups import Cgroup
from lamington.functions.isolated_process import IsolatedProcess
from lamington.functions.packets import PacketSocket

BEGIN_LIMIT_S = 2.0
END_LIMIT_S = 5.0
END_ROUNDS_MAX = 50
REMOVAL_ROUND_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPlan:
    """What a sandbox is for: its code, its limits, and the interpreter it is forked from."""

    task_root: Path
    layers_root: Path | None
    memory_mb: int
    ephemeral_storage_mb: int
    interpreter: str = ""
    """The Python interpreter whose zygote it is forked from; "" is the engine's own."""
    programs: tuple[str, ...] = ()
    """Directories outside of /usr that its processes need at their own path: Node.js, a JDK."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a sandbox's processes find what is theirs."""

    task_root: str
    layers_root: str
    temporary: str
    runtime_root: str


WALLED_PLACES = Places(
    task_root="/var/task", layers_root="/opt", temporary="/tmp", runtime_root="/var/runtime"
)
"""AWS's own, which are to be had in namespaces."""


class SandboxOwner(Protocol):
    """Whom a sandbox tells of its state: the launcher."""

    def ended(self, sandbox: "Sandbox", /) -> None: ...

    def lost(self, sandbox: "Sandbox", /) -> bool:
        """It ended before it began; True where it is being made anew."""
        ...

    def remake(self, sandbox: "Sandbox", /) -> None:
        """It has ended, though nobody closed it, and is needed again."""
        ...

    def woken(self, sandbox: "Sandbox", /) -> None:
        """Its processes may work, so that its memory is to be looked at."""
        ...


class SharedPart(Protocol):
    """What one environment has of a sandbox that others have too (`forks`)."""

    active: bool

    def check_memory(self) -> int: ...

    def has(self, process: "IsolatedProcess") -> bool: ...

    def killed_for_memory(self) -> None: ...


class Sandbox:
    """The engine's end of one sandbox."""

    def __init__(self, owner: SandboxOwner, user: int, group: Cgroup | None) -> None:
        """`user` is the number its processes run under, -1 for the engine's own."""
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._group = group
        self._kills = 0
        self._events = -1
        self._packets: PacketSocket | None = None
        self._processes: dict[int, IsolatedProcess] = {}
        self._spare: IsolatedProcess | None = None
        self._forks: set[SharedPart] = set()
        self._unborn: set[int] = set()
        self.on_vacant: Callable[[], None] | None = None
        """Is called when the last fork of its process is gone."""
        self._count = 0
        self._watch = -1
        self.pid = 0
        """The number of its first process on this machine, 0 until it has begun."""
        self._began = False
        self._made_at = self._loop.time()
        self._closing = False
        self._dead = False
        self._frozen = False
        self._peak_kb = 0
        self._over = False
        self._plan: SandboxPlan
        self._temporary: Path
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self.user = user
        self.failure = ""
        """Why it could not be made as it should be, "" where it could."""
        self.active = False
        """Whether its memory is to be looked at: set while its processes may work."""
        self.task_root = self.layers_root = self.temporary = self.runtime_root = ""

    # Beginning

    def connect(self) -> tuple[socket.socket, list[int]]:
        """Make the socket to it; the other end, and what its processes join, are for the zygote."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        before, self._packets = self._packets, PacketSocket(ours, self._receive)
        self._packets.keep()
        for data, descriptors in before.give_up() if before is not None else ():
            self._packets.send(data, descriptors)
        return theirs, self._group.join_descriptors() if self._group is not None else []

    @property
    def is_overdue(self) -> bool:
        """Whether it should have begun long ago."""
        return not self._began and self._loop.time() - self._made_at > BEGIN_LIMIT_S

    def open(self, plan: SandboxPlan, temporary: Path, places: Places) -> None:
        """Give it its code and its limits; until then it is a spare one."""
        self._plan = plan
        self._temporary = temporary
        self.task_root = places.task_root
        self.layers_root = places.layers_root
        self.temporary = places.temporary
        self.runtime_root = places.runtime_root
        if self._group is not None:
            with contextlib.suppress(OSError):
                self._group.limit(plan.memory_mb, plan.ephemeral_storage_mb)
                self._events = self._group.watch()
                if self._events >= 0:
                    self._loop.add_reader(self._events, self._memory_event)
        self._send_plan()

    def _send_plan(self) -> None:
        plan = self._plan
        self._send(
            {
                "do": "open",
                "task": str(plan.task_root),
                "layers": str(plan.layers_root or ""),
                "storage_mb": plan.ephemeral_storage_mb,
            }
        )

    def _revive(self) -> None:
        """Begin again after its first process has ended; what was in /tmp is lost."""
        if self._watch >= 0:
            self._reaped()
        self._began = self._dead = False
        self.failure = ""
        self.pid = 0
        self._gone = self._loop.create_future()
        self._owner.remake(self)
        self._send_plan()

    def spawn(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str],
        exited: Callable[[], None],
        *,
        forked: bool = False,
        channel: bool = True,
    ) -> IsolatedProcess:
        """Start a process in the directory of the code; `exited` is called once, in the loop.

        `forked` lets the zygote's own child run our Python bootstrap, where that comes to the
        same as executing `argv`. `channel` gives it a socket on descriptor 3.
        """
        if self._dead and not self._closing:
            self._revive()
        if not self._processes:
            self._over = False
            self._peak_kb = 0
            if self._group is not None:
                self._kills = self._group.kills()
        self._wake()
        self._count += 1
        ours: socket.socket | None = None
        descriptors: list[int] = []
        output, theirs_output = os.pipe()
        os.set_blocking(output, False)
        descriptors.append(theirs_output)
        if channel:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            descriptors.append(theirs.detach())
        process = IsolatedProcess(self, self._count, ours, output, exited)
        self._processes[self._count] = process
        environment = dict(variables)
        if self.layers_root != "/opt":
            environment["LAMINGTON_LAYERS_ROOT"] = self.layers_root
        order = {
            "do": "spawn",
            "id": self._count,
            "argv": list(argv),
            "env": environment,
            "cwd": self.task_root,
            "layers": self.layers_root,
            "forked": forked,
        }
        self._send(order, descriptors)
        if self._closing:
            self._loop.call_soon(self._all_ended)
        return process

    def spawn_spare(
        self, argv: Sequence[str], variables: Mapping[str, str], exited: Callable[[], None]
    ) -> None:
        """Start a process, in namespaces, before it is known which function it is for.

        It waits for its configuration; `exited` is called if it ends before that.
        """
        self._count += 1
        output, theirs_output = os.pipe()
        os.set_blocking(output, False)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        process = IsolatedProcess(self, self._count, ours, output, exited)
        self._spare = self._processes[self._count] = process
        order = {
            "do": "spawn",
            "id": self._count,
            "argv": list(argv),
            "env": dict(variables),
            "cwd": WALLED_PLACES.task_root,
            "layers": WALLED_PLACES.layers_root,
            "forked": False,
            "spare": True,
        }
        self._send(order, [theirs_output, theirs.detach()])

    @property
    def has_spare(self) -> bool:
        """Whether a process waits in it for its function."""
        return self._spare is not None

    def take_spare(self, frame: bytes, exited: Callable[[], None]) -> IsolatedProcess | None:
        """Let the spare process be the function's, once, by a frame that says what it becomes.

        None where there is none: then `spawn` starts one. The frame goes by way of the sandbox's
        first process, which has put the code in its place by then.
        """
        process = self._spare
        if process is None or not process.running:
            self._end_spare()
            return None
        self._spare = None
        process.pass_to(exited)
        self._wake()
        order = {"do": "configure", "cwd": self.task_root, "frame": frame.decode("latin-1")}
        self._send(order, [os.dup(process.channel.fileno())])
        return process

    def _end_spare(self) -> None:
        """Let go of a process that nobody took."""
        process, self._spare = self._spare, None
        if process is not None:
            process.close_output()
            process.channel.close()

    # Forks of its process, for environments of their own

    def await_fork(self, exited: Callable[[], None]) -> tuple[IsolatedProcess, list[int]]:
        """A process that one of its own is to fork, with the descriptors that are for it.

        They are its channel and its output; the caller passes them on and closes them.
        """
        self._count += 1
        output, theirs_output = os.pipe()
        os.set_blocking(output, False)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        process = IsolatedProcess(self, self._count, ours, output, exited)
        self._processes[self._count] = process
        self._unborn.add(self._count)
        if self._dead or self._closing:
            self._loop.call_soon(self._all_ended)
        return process, [theirs.detach(), theirs_output]

    def adopt(self, process: IsolatedProcess, pid: int) -> None:
        """Have the first process treat a fork as one that it has spawned."""
        self._unborn.discard(process.number)
        self._send({"do": "adopt", "id": process.number, "pid": pid})

    def add_fork(self, part: SharedPart) -> None:
        self._forks.add(part)
        self._limit_forks()

    def remove_fork(self, part: SharedPart) -> None:
        self._forks.discard(part)
        self._limit_forks()
        self.rest()
        if not self._forks and self.on_vacant is not None:
            self.on_vacant()

    def _limit_forks(self) -> None:
        """Let the group hold what its forks and their template may hold together."""
        if self._group is not None and not self._closing:
            plan = self._plan
            with contextlib.suppress(OSError):
                memory_mb = plan.memory_mb * (len(self._forks) + 1)
                self._group.limit(memory_mb, plan.ephemeral_storage_mb)

    @property
    def is_shared(self) -> bool:
        """Whether environments of their own live in it."""
        return bool(self._forks)

    def wake(self) -> None:
        """Look at the memory of those of its forks that may work."""
        self._wake()

    def rest(self) -> None:
        """Look at the memory of none but the forks that may work."""
        self.active = any(each.active for each in self._forks)

    # Memory

    @property
    def out_of_memory(self) -> bool:
        """Whether a process of it was ended for its memory, since the last reset."""
        return self._over

    def memory_kb(self) -> int:
        """The most memory that its processes were seen to hold since the last reset."""
        self._look()
        resident = sum(highest_resident_kb(each.pid) for each in self._processes.values())
        self._peak_kb = max(self._peak_kb, resident)
        limit_kb = self._plan.memory_mb * 1024
        return limit_kb if self._over else min(self._peak_kb, limit_kb)

    def check_memory(self) -> int:
        """End its processes if they hold more memory than they may; what they hold, in KiB."""
        if self._forks:
            return sum(each.check_memory() for each in list(self._forks) if each.active)
        if self._over or not self._processes or self._closing:
            return 0
        held = self._look()
        if held > self._plan.memory_mb * 1024:
            self._over = True
            self._send({"do": "kill", "id": 0})
        return held

    def _wake(self) -> None:
        self.active = True
        self._owner.woken(self)

    def _look(self) -> int:
        held = 0
        if self._group is not None:
            with contextlib.suppress(OSError):
                held = self._group.anonymous_kb()
        else:
            held = sum(held_kb(each.pid) for each in self._processes.values() if each.pid)
        self._peak_kb = max(self._peak_kb, held)
        return held

    def _memory_event(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._events)
        if self._forks:
            return  # Whose end it is shows when it has ended.
        self._note_kills()
        if self._over and not self._closing:
            # The kernel has ended one of them; the rest would go on without it.
            self._send({"do": "kill", "id": 0})

    def _note_end(self, process: IsolatedProcess) -> None:
        """Take note of the kernel's kills; among forks it was the one that has just ended."""
        before = self._kills
        self._note_kills()
        if self._forks and self._over and self._group is not None:
            self._over = False
            with contextlib.suppress(OSError):
                self._kills = self._group.kills()
            for each in self._forks:
                if self._kills > before and each.has(process):
                    each.killed_for_memory()

    def _note_kills(self) -> None:
        if self._group is not None:
            with contextlib.suppress(OSError):
                if self._group.kills() > self._kills:
                    self._over = True

    # Freezing

    def freeze(self) -> None:
        """Stop its processes, as AWS does between invocations.

        Differs: a child that has left its parent's process group runs on.
        """
        if not self._frozen:
            self._frozen = True
            self.active = False
            self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its processes go on; a frame may be written right after.

        To be called before each invocation: from then on its memory is looked at.
        """
        self._wake()
        if self._frozen:
            self._frozen = False
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for each in self._processes.values():
            if each.pid:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(each.pid, number)

    # Ending

    def kill(self, process: IsolatedProcess) -> None:
        """End one of its processes with all that it has started."""
        if process.number in self._unborn:
            self._unborn.discard(process.number)
            del self._processes[process.number]
            process.ended(signal.SIGKILL)
            return
        self._send({"do": "kill", "id": process.number})

    async def close(self) -> None:
        """End everything in it, wait until it is gone, and remove what was its own."""
        if not self._closing:
            self._closing = True
            self.active = False
            self._end_spare()
            self._close_packets()
            if self._watch < 0 and not self._gone.done():
                # It has not begun: it ends when it finds its socket closed.
                self._gone.set_result(None)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._gone), END_LIMIT_S)
        if not self._gone.done() and self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)
        self._all_ended()
        await self._remove()
        self._owner.ended(self)

    async def _remove(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            if self._events >= 0:
                self._loop.remove_reader(self._events)
                self._events = -1
            for _ in range(END_ROUNDS_MAX):
                if group.close():
                    break
                await asyncio.sleep(REMOVAL_ROUND_S)
        if hasattr(self, "_temporary") and self._temporary.exists():
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _close_packets(self) -> None:
        if self._packets is not None:
            self._packets.close()

    def _all_ended(self) -> None:
        for process in list(self._processes.values()):
            process.ended(signal.SIGKILL)
        self._processes.clear()

    # Orders and reports

    def _send(self, order: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        assert self._packets is not None, "connected when it was made"
        self._packets.send(json.dumps(order).encode(), list(descriptors))

    def _receive(self) -> None:
        packets = self._packets
        while packets is not None and packets is self._packets:
            packet = packets.receive()
            if packet is None:
                return
            data, pid = packet
            if not data:
                self._lost()
                return
            self._take(json.loads(data), pid)

    def _take(self, report: dict[str, Any], pid: int) -> None:
        what = report["did"]
        if what == "hello":
            self._begin(pid)
        elif what == "spawned":
            process = self._processes.get(report["id"])
            if process is not None:
                process.pid = pid if pid != self.pid else report["pid"]
                if self._frozen:
                    self._signal(signal.SIGSTOP)
        elif what == "exited":
            process = self._processes.pop(report["id"], None)
            if process is not None:
                self._note_end(process)
                process.ended(report["status"])
        elif what == "failed":
            self.failure = report["why"]
            for process in self._processes.values():
                process.say(f"The sandbox could not be made: {self.failure}\n")
            self._lost()

    def _begin(self, pid: int) -> None:
        self._began = True
        self.pid = pid
        assert self._packets is not None, "it was heard by it"
        self._packets.forget()
        with contextlib.suppress(OSError):
            self._watch = os.pidfd_open(pid)
            self._loop.add_reader(self._watch, self._reaped)

    def _reaped(self) -> None:
        """Its first process is gone, and with it all the others."""
        self._loop.remove_reader(self._watch)
        os.close(self._watch)
        self._watch = -1
        if not self._gone.done():
            self._gone.set_result(None)

    def _lost(self) -> None:
        """Its end of the socket is closed: nothing runs in it any more."""
        if not self._began and not self._closing and self._owner.lost(self):
            return
        self._dead = True
        self._close_packets()
        self._note_kills()
        self._all_ended()
        if self._watch < 0 and not self._gone.done():
            self._gone.set_result(None)


def highest_resident_kb(pid: int) -> int:
    """The most memory a process has held."""
    try:
        with open(f"/proc/{pid}/status", "rb", 0) as status:
            text = status.read(4096)
        start = text.index(b"VmHWM:") + 6
        return int(text[start : text.index(b"kB", start)])
    except (OSError, ValueError):
        return 0


def held_kb(pid: int) -> int:
    """The memory that a process and what it has started hold, files left aside."""
    total = 0
    left = [pid]
    while left:
        each = left.pop()
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{each}/statm", "rb", 0) as file:
                fields = file.read(256).split()
            total += (int(fields[1]) - int(fields[2])) * 4
            with open(f"/proc/{each}/task/{each}/children", "rb", 0) as file:
                left += [int(child) for child in file.read(65536).split()]
    return total
