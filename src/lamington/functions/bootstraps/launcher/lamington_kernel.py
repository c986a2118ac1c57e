"""The system calls that Python's library does not offer, raised as OSError where they fail.

Interpreters from 3.8 on run this, so it knows the standard library only.
"""

from __future__ import annotations

import os

try:
    import ctypes
except ImportError:
    ctypes = None  # type: ignore[assignment]  # a Python that was built without it

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_NOATIME, MS_NODIRATIME, MS_BIND = 32, 1024, 2048, 4096
MS_MOVE, MS_REC, MS_PRIVATE, MS_RELATIME = 8192, 16384, 1 << 18, 1 << 21
MNT_DETACH = 2

NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS = 0x00020000, 0x08000000, 0x10000000, 0x20000000

ST_RELATIME = 4096
"""The one flag of a mount that `statvfs` numbers otherwise than `mount` does."""

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CAPABILITY_VERSION = 0x20080522

PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220}
CLONE_FS, SIGCHLD = 0x00000200, 17

_library = None if ctypes is None else ctypes.CDLL(None, use_errno=True)


def require() -> None:
    """Raises OSError where this interpreter cannot make such calls at all."""
    if _library is None:
        raise OSError(38, "this Python has no ctypes")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    _check(_library.unshare(flags), "unshare")


def enter_namespace(descriptor: int, kind: int) -> None:
    _check(_library.setns(descriptor, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    result = _library.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _check(result, f"mount {target}")


def bind(source: str, target: str, *, read_only: bool = True, flags: int = 0) -> None:
    """Show a file or directory at another place."""
    mount(source, target, "", MS_BIND | MS_REC)
    if read_only:
        flags |= MS_RDONLY
    if flags:
        remount(target, flags)


def remount(target: str, flags: int) -> None:
    """Add flags to a mount; those it has are kept, for inside a user namespace they must be."""
    has = os.statvfs(target).f_flag
    kept = has & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME)
    if has & ST_RELATIME:
        kept |= MS_RELATIME
    mount("none", target, "", MS_REMOUNT | MS_BIND | kept | flags)


def unmount(target: str) -> None:
    _check(_library.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    number = PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(38, "pivot_root: not known on this kind of machine")
    result = _library.syscall(ctypes.c_long(number), os.fsencode(new), os.fsencode(old))
    _check(result, "pivot_root")


def fork_beside() -> int:
    """Fork a process that shares its root, its current directory and its umask with this one.

    They share them still when one of the two has executed another program: where the other then
    goes, it goes too. Only for processes of a single thread: nothing but the system call is done.
    """
    number = CLONE.get(os.uname().machine)
    if number is None:
        raise OSError(38, "clone: not known on this kind of machine")
    zero = ctypes.c_ulong(0)
    flags = ctypes.c_ulong(CLONE_FS | SIGCHLD)
    result = _library.syscall(ctypes.c_long(number), flags, zero, zero, zero, zero)
    _check(result, "clone")
    return int(result)


def control(option: int, value: int) -> None:
    """`prctl`."""
    require()
    zero = ctypes.c_ulong(0)
    _check(_library.prctl(option, ctypes.c_ulong(value), zero, zero, zero), "prctl")


def drop_capabilities() -> None:
    """Give up all privileges, for this process and for whatever it executes."""
    for each in range(64):
        try:
            control(PR_CAPBSET_DROP, each)
        except OSError:
            break
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    _check(_library.capset(header, (ctypes.c_uint32 * 6)()), "capset")
