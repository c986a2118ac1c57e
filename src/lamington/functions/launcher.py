"""Where sandboxes come from: the zygotes, a spare sandbox of each, and what is watched in all.

A zygote (`bootstraps/launcher`) is an interpreter that is started once and forks sandboxes; there
is one for each Python interpreter in use. One sandbox is made ahead, so that the next cold start
finds its namespaces and its first process there. Left to others: the sandbox (`sandbox`), which
runtimes are started ahead of need in sandboxes of their own (`spares`).
"""

import asyncio
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamington.core.settings import Settings
from lamington.functions.cgroups import Cgroups
from lamington.functions.isolation import Isolation
from lamington.functions.packets import PacketSocket
from lamington.functions.runtimes import BOOTSTRAPS, python_sdk, sdk_modules
from lamington.functions.sandbox import WALLED_PLACES, Places, Sandbox, SandboxPlan
from lamington.functions.spares import SpareCommand, SpareProcesses

FIRST_USER = 1_610_000_000
"""The first number of the users that functions run under, far from those of anybody."""

SPARE_DELAY_S = 0.03
"""After a cold start the next spare one waits a little: the function has the machine first."""

LOOK_S = 0.04
LOOK_S_MAX = 0.25
"""Between two looks at the memory of what may work; the longer one while nothing changes."""
START_LIMIT_S = 10.0
ATTEMPTS_MAX = 3


class Zygote:
    """The engine's end of one zygote."""

    def __init__(
        self,
        interpreter: str,
        paths: frozenset[str],
        setup: dict[str, Any],
        heard: Callable[["Zygote"], None],
    ) -> None:
        """`setup` is what it is told first; `heard` is called when it has said something."""
        self.interpreter = interpreter
        self.paths = paths
        self.spare: Sandbox | None = None
        self.refilling: asyncio.TimerHandle | None = None
        self.alive = True
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        script = BOOTSTRAPS / "launcher" / "zygote.py"
        with theirs:
            self.process = subprocess.Popen(
                [
                    interpreter or own_interpreter(),
                    "-S",
                    "-s",
                    "-X",
                    "utf8",
                    str(script),
                    str(theirs.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={"LANG": "en_US.UTF-8", "TZ": ":UTC", "PATH": "/usr/local/bin:/usr/bin:/bin"},
                cwd="/",
                start_new_session=True,
            )
        self.packets = PacketSocket(ours, lambda: heard(self))
        self.packets.send(json.dumps(setup).encode(), [])

    def order(self, user: int, descriptors: list[int]) -> None:
        """Have a sandbox made of a socket and of what its processes join."""
        self.packets.send(json.dumps({"user": user}).encode(), descriptors)

    def close(self) -> None:
        """Let it end: it makes no more sandboxes, and those it has made live on."""
        self.alive = False
        if self.refilling is not None:
            self.refilling.cancel()
            self.refilling = None
        self.packets.close()


class Launcher:
    """Makes sandboxes, one for each execution environment; there is one launcher to an engine.

    AWS: /var/task, /opt, /var/runtime and the root are read-only, /tmp is private and of the size
    of the ephemeral storage; the user is sbx_userNNNN and may nothing; 1,024 open files and as
    many processes and threads; there is no /dev/shm.
    Differs: the network is the machine's own; the share of the processors does not follow the
    memory size; /usr, /etc and the interpreter are those of the machine; each environment has a
    user number of its own where the engine runs as root; where Lamington itself, or an interpreter,
    is installed below /tmp or /opt, functions see it there.
    """

    def __init__(self, directory: Path, settings: Settings) -> None:
        """`directory` is the engine's data directory, resolved."""
        self._directory = directory
        self._settings = settings
        self._cgroups = Cgroups(directory)
        self._zygotes: dict[str, Zygote] = {}
        self._sandboxes: set[Sandbox] = set()
        self._interpreters: dict[Sandbox, tuple[str, frozenset[str], int]] = {}
        self._users: set[int] = set()
        self._ending: list[subprocess.Popen[bytes]] = []
        self._closings: set[asyncio.Task[None]] = set()
        self.spares = SpareProcesses(self._make_for, settings.idle_s)
        self._looking: asyncio.TimerHandle | None = None
        self._look_s = LOOK_S
        self._held_kb = 0
        self._runtime_root = ""
        self._closed = False
        self._undecided: list[asyncio.Future[None]] = []
        self._decided = settings.isolation == "process"
        self.isolation = Isolation(
            level="process" if self._decided else "namespace",
            memory="cgroup" if self._cgroups.available else "watched",
            reason="the setting `isolation` says so" if self._decided else "",
            own_users=self._may_change_users("process" if self._decided else "namespace"),
        )

    async def start(self) -> None:
        """Start the first zygote, and end what a killed engine has left."""
        self._cgroups.end_leftovers()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._zygote("", frozenset())

    def open(
        self, plan: SandboxPlan, temporary: Path, spare: SpareCommand | None = None
    ) -> Sandbox:
        """Give an environment its sandbox, without waiting for it.

        `temporary` is a directory of the environment's own: its /tmp where there are no
        namespaces. The sandbox `has_spare` where there is a process of the command `spare`; there
        will be one soon where there is none. Nothing waits but the very first one, for the first
        zygote to be up.
        """
        if not self._decided:
            self._await_decision()
        plan = _resolved(plan)
        sandbox = None
        if spare is not None:
            sandbox = self.spares.take(spare, self._paths(plan))
            self.expect(plan, spare)
        if sandbox is None:
            sandbox = self._take_or_make(plan)
        temporary.mkdir(parents=True, exist_ok=True)
        temporary.chmod(0o700)
        if self.isolation.level == "process" and sandbox.user >= 0:
            os.chown(temporary, sandbox.user, sandbox.user)
        sandbox.open(plan, temporary, self._places(plan, temporary))
        return sandbox

    def expect(self, plan: SandboxPlan, spare: SpareCommand) -> None:
        """Have a process of this command started ahead of need, soon.

        Not without namespaces: there the loader would have to know at a process's start where the
        function's libraries are.
        """
        if self._settings.prestart and self.isolation.level == "namespace" and not self._closed:
            self.spares.need(spare, self._paths(_resolved(plan)))

    async def close(self) -> None:
        """End all sandboxes and the zygotes."""
        self._closed = True
        self.spares.close()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        for zygote in self._zygotes.values():
            self._end_zygote(zygote)
        self._zygotes.clear()
        await asyncio.gather(*(each.close() for each in list(self._sandboxes)))
        for _ in range(100):
            self._reap_zygotes()
            if not self._ending:
                break
            await asyncio.sleep(0.01)
        for each in self._ending:
            each.kill()
            each.wait()

    # What sandboxes tell

    def ended(self, sandbox: Sandbox) -> None:
        """Forget it; a zygote that did not make it in all that time is of no use any more."""
        if sandbox not in self._sandboxes:
            return
        self._sandboxes.discard(sandbox)
        self._users.discard(sandbox.user)
        interpreter, _, _ = self._interpreters.pop(sandbox)
        zygote = self._zygotes.get(interpreter)
        if sandbox.is_overdue and zygote is not None and not self._closed:
            zygote.process.kill()
            self._end_zygote(zygote)

    def lost(self, sandbox: Sandbox) -> bool:
        """Make a sandbox anew whose zygote has died before it began."""
        interpreter, paths, attempts = self._interpreters[sandbox]
        if self._closed or attempts >= ATTEMPTS_MAX or self.spares.holds(sandbox):
            return False
        for zygote in self._zygotes.values():
            if zygote.spare is sandbox:
                return False
        self._interpreters[sandbox] = (interpreter, paths, attempts + 1)
        self.remake(sandbox)
        return True

    def remake(self, sandbox: Sandbox) -> None:
        """Have a sandbox's first process started again."""
        interpreter, paths, _ = self._interpreters[sandbox]
        theirs, groups = sandbox.connect()
        self._zygote(interpreter, paths).order(sandbox.user, [theirs.detach(), *groups])

    # Zygotes

    def _paths(self, plan: SandboxPlan) -> frozenset[str]:
        """The directories of the machine that a plan needs beside the engine's own."""
        roots = [plan.task_root, *([plan.layers_root] if plan.layers_root else [])]
        hidden = [f"-{each}" for each in roots if not each.is_relative_to(self._directory)]
        shown = [
            f"+{each}"
            for each in plan.programs
            if not each.startswith("/usr/") or Path(each).is_relative_to(self._directory)
        ]
        return frozenset([*hidden, *shown])

    def _zygote(self, interpreter: str, paths: frozenset[str]) -> Zygote:
        """The zygote of an interpreter that has these paths; one is started where none has."""
        if not self._runtime_root and self.isolation.level == "process":
            self._runtime_root = str(python_sdk(self._directory / "runtime"))
        zygote = self._zygotes.get(interpreter)
        if zygote is not None and zygote.alive and zygote.process.poll() is not None:
            self._end_zygote(zygote)
        if zygote is not None and zygote.alive and paths <= zygote.paths:
            return zygote
        if zygote is not None:
            paths |= zygote.paths
            self._end_zygote(zygote)
        setup = self._setup(interpreter or own_interpreter(), paths)
        zygote = self._zygotes[interpreter] = Zygote(interpreter, paths, setup, self._hear)
        return zygote

    def _setup(self, program: str, paths: frozenset[str]) -> dict[str, Any]:
        shown = [str(BOOTSTRAPS.absolute()), *interpreter_directories(program)]
        shown += sorted(each[1:] for each in paths if each.startswith("+"))
        hidden = [str(self._directory), *sorted(e[1:] for e in paths if e.startswith("-"))]
        return {
            "level": self.isolation.level,
            "shown": shown,
            "hidden": hidden,
            "sdk": sdk_modules(),
            "first_user": FIRST_USER,
            "users": max(self._settings.environments_max * 2, 256),
            "attend_s": self._settings.attend_us / 1e6,
        }

    def _hear(self, zygote: Zygote) -> None:
        """Take what a zygote says: that it is up, or why it cannot be; or that it is gone."""
        packet = zygote.packets.receive()
        if packet is None:
            return
        data, _ = packet
        if data:
            self._take(json.loads(data), zygote)
        else:
            self._end_zygote(zygote)

    def _take(self, report: dict[str, Any], zygote: Zygote) -> None:
        if report["did"] == "up":
            if not report["privileged"]:
                self.isolation = replace(self.isolation, own_users=False)
            self._decide()
            if not self._closed and zygote.spare is None:
                self._refill(zygote)
        elif not self._decided:
            self.isolation = Isolation(
                level="process",
                memory=self.isolation.memory,
                reason=report["why"],
                own_users=self._may_change_users("process"),
            )
            self._decide()
            self._end_zygote(zygote)
            self._zygote(zygote.interpreter, zygote.paths)

    def _decide(self) -> None:
        self._decided = True
        for waiting in self._undecided:
            if not waiting.done():
                waiting.set_result(None)
        self._undecided.clear()

    async def settled(self) -> Isolation:
        """What this machine turns out to allow, once the first zygote has tried."""
        if not self._decided:
            self._undecided.append(asyncio.get_running_loop().create_future())
            await self._undecided[-1]
        return self.isolation

    def _await_decision(self) -> None:
        """Wait until the first zygote says whether the machine allows for namespaces."""
        while not self._decided:
            zygote = self._zygote("", frozenset())
            waiting = select.poll()
            waiting.register(zygote.packets, select.POLLIN)
            why = ""
            if not waiting.poll(START_LIMIT_S * 1000):
                why = "the launcher is silent"
            else:
                self._hear(zygote)
                if not self._decided and not zygote.alive:
                    why = "the launcher ended"
            if why:
                self._take({"did": "failed", "why": why}, zygote)

    def _end_zygote(self, zygote: Zygote) -> None:
        if zygote.alive:
            zygote.close()
            self._ending.append(zygote.process)
        self._reap_zygotes()
        spare, zygote.spare = zygote.spare, None
        if spare is not None and not self._closed:
            self._closings.add(asyncio.get_running_loop().create_task(spare.close()))

    def _reap_zygotes(self) -> None:
        self._ending = [each for each in self._ending if each.poll() is None]
        self._closings = {each for each in self._closings if not each.done()}

    # Sandboxes

    def _take_or_make(self, plan: SandboxPlan) -> Sandbox:
        """The spare sandbox of the plan's zygote, which gets another one soon."""
        interpreter = "" if plan.interpreter == own_interpreter() else plan.interpreter
        zygote = self._zygote(interpreter, self._paths(plan))
        sandbox, zygote.spare = zygote.spare, None
        if zygote.refilling is None:
            loop = asyncio.get_running_loop()
            zygote.refilling = loop.call_later(SPARE_DELAY_S, self._refill, zygote)
        return sandbox or self._make(zygote)

    def _make_for(self, paths: frozenset[str]) -> tuple[Sandbox, frozenset[str]] | None:
        """A sandbox for a spare process, with all that its zygote shows."""
        if not self._decided or self.isolation.level != "namespace":
            return None
        zygote = self._zygote("", paths)
        return self._make(zygote), zygote.paths

    def _make(self, zygote: Zygote) -> Sandbox:
        sandbox = Sandbox(self, self._new_user(), self._cgroups.make())
        self._sandboxes.add(sandbox)
        self._interpreters[sandbox] = (zygote.interpreter, zygote.paths, 1)
        theirs, groups = sandbox.connect()
        zygote.order(sandbox.user, [theirs.detach(), *groups])
        return sandbox

    def _refill(self, zygote: Zygote) -> None:
        zygote.refilling = None
        if zygote.alive and zygote.spare is None and not self._closed:
            zygote.spare = self._make(zygote)

    def _new_user(self) -> int:
        if not self.isolation.own_users:
            return -1
        user = FIRST_USER
        while user in self._users:
            user += 1
        self._users.add(user)
        return user

    def _may_change_users(self, level: str) -> bool:
        """Whether each environment gets a user of its own.

        Without namespaces that user has to reach the code through the directories of the machine.
        """
        if os.geteuid() != 0:
            return False
        if level == "namespace":
            return True
        needed = [self._directory, BOOTSTRAPS, Path(own_interpreter())]
        return all(
            each.stat().st_mode & 0o001
            for path in needed
            for each in (path, *path.parents)
            if each.exists()
        )

    def _places(self, plan: SandboxPlan, temporary: Path) -> Places:
        if self.isolation.level == "namespace":
            return WALLED_PLACES
        return Places(
            task_root=str(plan.task_root),
            layers_root=str(plan.layers_root or "/opt"),
            temporary=str(temporary),
            runtime_root=self._runtime_root,
        )

    # Memory

    def woken(self, sandbox: Sandbox) -> None:
        """Look at its memory from now on."""
        if self._looking is not None:
            if self._look_s == LOOK_S:
                return
            self._looking.cancel()
        self._look_s = LOOK_S
        if not self._closed:
            self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """Look at those that may work; ever less often while nothing changes in any of them."""
        self._looking = None
        watched = [each for each in self._sandboxes if each.active]
        held = sum(each.check_memory() for each in watched)
        self._look_s = LOOK_S if held != self._held_kb else min(self._look_s * 2, LOOK_S_MAX)
        self._held_kb = held
        if watched and not self._closed:
            self._looking = asyncio.get_running_loop().call_later(self._look_s, self._look)


def _resolved(plan: SandboxPlan) -> SandboxPlan:
    """A plan with directories as they are, whatever links lead there."""
    layers = plan.layers_root
    return replace(
        plan,
        task_root=Path(os.path.realpath(plan.task_root)),
        layers_root=None if layers is None else Path(os.path.realpath(layers)),
    )


def own_interpreter() -> str:
    """The engine's interpreter without its virtual environment."""
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def interpreter_directories(program: str) -> list[str]:
    """The directories that an interpreter needs to be seen in."""
    directories = {str(Path(program).resolve().parent.parent)}
    if program == own_interpreter():
        directories |= {sys.base_prefix, sys.base_exec_prefix}
    return sorted(directories)
