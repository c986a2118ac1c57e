"""Control groups: the memory and the number of processes of an execution environment, limited.

Both versions are used, where a directory of ours can be made in them. Left to others: which
processes join (`sandbox`), and what is done where there are none (`isolation` says so).

Differs: the kernel counts the pages of /tmp with a group's memory, so the hard limit is the memory
size and the ephemeral storage together; that no process takes its memory from what is meant for
/tmp is watched.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
from pathlib import Path

MEBIBYTE = 1024 * 1024
SLACK_MB = 16
"""For page tables, sockets and what else the kernel counts with a process's memory."""

PROCESSES_MAX = 1024
STATISTICS_BYTES = 8192
MOUNTS = Path("/proc/self/mountinfo")


class Cgroup:
    """The groups of one execution environment."""

    def __init__(self, directories: dict[str, Path], version: int) -> None:
        """`directories` holds `memory`, `pids` and `freezer` as far as they are there."""
        self._directories = directories
        self._version = version
        self._statistics = os.open(directories["memory"] / "memory.stat", os.O_RDONLY)
        self._events = -1
        self._key = b"\ntotal_rss " if version == 1 else b"\nanon "

    def join_descriptors(self) -> list[int]:
        """Open what a process writes `0` to in order to join; the caller closes them."""
        distinct = dict.fromkeys(self._directories.values())
        return [os.open(each / "cgroup.procs", os.O_WRONLY) for each in distinct]

    def limit(self, memory_mb: int, storage_mb: int) -> None:
        """Set the limits of memory; may be called again."""
        memory = self._directories["memory"]
        whole = (memory_mb + storage_mb + SLACK_MB) * MEBIBYTE
        if self._version == 1:
            _write(memory / "memory.limit_in_bytes", whole)
            return
        _write(memory / "memory.max", whole)
        with contextlib.suppress(OSError):
            _write(memory / "memory.swap.max", 0)

    def limit_processes(self) -> None:
        if "pids" in self._directories:
            _write(self._directories["pids"] / "pids.max", PROCESSES_MAX)

    def watch(self) -> int:
        """A descriptor that is readable once the kernel has ended a process; -1 without one."""
        if self._version != 1:
            return -1
        memory = self._directories["memory"]
        self._events = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        oom = os.open(memory / "memory.oom_control", os.O_RDONLY)
        try:
            _write(memory / "cgroup.event_control", f"{self._events} {oom}")
        finally:
            os.close(oom)
        return self._events

    def anonymous_kb(self) -> int:
        """What its processes hold of memory, without /tmp and cached files."""
        text = b"\n" + os.pread(self._statistics, STATISTICS_BYTES, 0)
        start = text.find(self._key)
        if start < 0:
            return 0
        start += len(self._key)
        return int(text[start : text.index(b"\n", start)]) // 1024

    def kills(self) -> int:
        """How many of its processes the kernel has ended for want of memory."""
        name = "memory.oom_control" if self._version == 1 else "memory.events"
        text = (self._directories["memory"] / name).read_bytes()
        for line in text.splitlines():
            key, _, value = line.partition(b" ")
            if key == b"oom_kill":
                return int(value)
        return 0

    def close(self) -> bool:
        """Remove the groups; False where a process has yet to leave one."""
        for each in (self._statistics, self._events):
            if each >= 0:
                os.close(each)
        self._statistics = self._events = -1
        gone = True
        for directory in dict.fromkeys(self._directories.values()):
            try:
                directory.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        return gone


class Cgroups:
    """Where groups can be made on this machine; `available` is False where nowhere."""

    def __init__(self, directory: Path) -> None:
        """`directory` is the engine's data directory: leftovers are known by it."""
        mark = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
        self._prefix = f"lamington-{mark}-"
        self._count = 0
        self.version = 1
        self._parents = _version_1()
        if "memory" not in self._parents:
            self.version = 2
            self._parents = _version_2(self._prefix + "trial")
        self.available = "memory" in self._parents

    def make(self) -> Cgroup | None:
        """Make the groups of one environment; None where there are none to be had (any more)."""
        if not self.available:
            return None
        self._count += 1
        name = f"{self._prefix}{os.getpid()}-{self._count}"
        made: dict[str, Path] = {}
        try:
            for kind, parent in self._parents.items():
                made[kind] = parent / name
                made[kind].mkdir(exist_ok=True)
            group = Cgroup(made, self.version)
            group.limit_processes()
        except OSError:
            for each in dict.fromkeys(made.values()):
                with contextlib.suppress(OSError):
                    each.rmdir()
            return None
        return group

    def names(self) -> list[str]:
        """The groups that there are, of this data directory's engines."""
        parents = dict.fromkeys(self._parents.values())
        return sorted({each.name for parent in parents for each in parent.glob(f"{self._prefix}*")})

    def end_leftovers(self) -> int:
        """Kill what is in the groups of an engine that was killed, and remove them.

        Only one engine at a time works in a data directory, so all that bear its mark are left.
        Groups of engines elsewhere go too, when neither the engine nor a process is there.
        """
        ended = 0
        for parent in dict.fromkeys(self._parents.values()):
            for group in parent.glob("lamington-*-*-*"):
                engine = group.name.split("-")[2]
                with contextlib.suppress(OSError):
                    if group.name.startswith(self._prefix):
                        ended += _end_all(group)
                    elif engine.isdigit() and Path("/proc", engine).exists():
                        continue
                    group.rmdir()
        return ended


def _end_all(group: Path) -> int:
    ended = 0
    for line in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line), signal.SIGKILL)
            ended += 1
    return ended


def _version_1() -> dict[str, Path]:
    """Our own groups in the hierarchies of version 1, those in which a group can be made."""
    mounted: dict[str, Path] = {}
    for fields, kind, options in _mounts():
        if kind == "cgroup":
            root, point = fields[3], fields[4]
            for name in ("memory", "pids"):
                if name in options.split(","):
                    own = os.path.relpath(_own_groups().get(name, "/"), root)
                    mounted[name] = Path(point) if own.startswith("..") else Path(point) / own
    return {name: path for name, path in mounted.items() if os.access(path, os.W_OK)}


def _version_2(trial: str) -> dict[str, Path]:
    """The nearest group above us that may have groups of ours with memory limits."""
    point = next((Path(fields[4]) for fields, kind, _ in _mounts() if kind == "cgroup2"), None)
    if point is None:
        return {}
    own = point / _own_groups().get("", "/").lstrip("/")
    for candidate in (own, *own.parents):
        if not candidate.is_relative_to(point):
            break
        if os.access(candidate, os.W_OK) and _works(candidate, trial):
            return {"memory": candidate, "pids": candidate}
    return {}


def _works(candidate: Path, trial: str) -> bool:
    """Whether a group below has limits, and a process of ours can be put into it."""
    group = candidate / trial
    try:
        with contextlib.suppress(OSError):
            _write(candidate / "cgroup.subtree_control", "+memory +pids")
        group.mkdir(exist_ok=True)
        try:
            if not (group / "memory.max").exists():
                return False
            with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as process:
                _write(group / "cgroup.procs", process.pid)
            return True
        finally:
            group.rmdir()
    except OSError:
        return False


def _own_groups() -> dict[str, str]:
    """The groups that this process is in, by controller; "" is version 2."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            for name in names.split(","):
                found[name] = path
    return found


def _mounts() -> list[tuple[list[str], str, str]]:
    """Fields, type and options of what is mounted."""
    found = []
    with contextlib.suppress(OSError):
        for line in MOUNTS.read_text().splitlines():
            before, _, after = line.partition(" - ")
            kind, _, rest = after.partition(" ")
            found.append((before.split(" "), kind, rest.rpartition(" ")[2]))
    return found


def _write(path: Path, value: object) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)
