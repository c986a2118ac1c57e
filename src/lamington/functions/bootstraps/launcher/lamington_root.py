"""The root directory that functions see: AWS's places, and of this machine its programs only.

It is built once, in a mount namespace of the zygote's own. `SANDBOX` is what functions get as
their root; beside it, out of their sight, lies what the zygote binds into it later.
"""

from __future__ import annotations

import os
import sys

import lamington_kernel as kernel

SANDBOX = "/sandbox"
HIDDEN = "/hidden"
STAGE = "/stage"
OLD = "/old"

PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/nix", "/gnu")
"""Seen by functions as they are: programs, libraries, certificates, time zones, name service."""

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
"""AWS: there is no /dev/shm, so that semaphores of `multiprocessing` are not to be had."""

PLACES = ("dev", "proc", "tmp", "opt", "run", "home", "var/task", "var/runtime", "var/tmp", "mnt")

COVERED = ("/tmp", "/opt", "/var/task")
"""What each sandbox has for itself: a directory of the machine's beneath is bound once more."""

STAGED = ("/tmp", "/opt")
"""Those that are made aside and put in their places whole: who runs sees no gap."""

FIRST_USER = 1051


def build(shown: list[str], hidden: list[str], sdk: dict[str, str], user: int, users: int) -> None:
    """Build it, move there and leave the machine's own root behind.

    `shown` are directories that functions see at their own path, `hidden` those that are bound
    for single sandboxes, by their index; `sdk` names the packages of /var/runtime. `user` is the
    first of as many numbers of users as there are names for.
    """
    seen = [*shown, *_resolver()]
    real = {each: os.path.realpath(each) for each in [*seen, *hidden, *sdk.values()]}
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755")
    os.chdir("/tmp")
    os.umask(0o022)
    os.mkdir("old")
    kernel.pivot_root(".", "old")
    os.chdir("/")
    for place in PLACES:
        os.makedirs(f"{SANDBOX}/{place}")
    for place in STAGED:
        os.makedirs(STAGE + place)
    os.mkdir("/proc")
    # An unprivileged process may mount a /proc of its own only where it sees a whole one.
    kernel.mount(f"{OLD}/proc", "/proc", "", kernel.MS_BIND | kernel.MS_REC)
    _show_programs(user, users)
    for each in seen:
        if not is_seen(each):
            _show(each, real[each])
    for index, path in enumerate([*hidden, *shown]):
        _bind_like(OLD + real[path], f"{HIDDEN}/{index}", read_only=False)
    for name, path in sdk.items():
        _bind_like(OLD + real[path], f"{SANDBOX}/var/runtime/{name}")
    # Scripts of layers name the interpreter as AWS does: /var/lang/bin/python3.12.
    os.symlink(sys.base_prefix, f"{SANDBOX}/var/lang")
    masked = _mask(hidden)
    for each in seen:
        # Java's bootstrap lies in the engine's data, of which functions see nothing else.
        if any(each.startswith(path + "/") for path in masked):
            _show(each, real[each])
    for path in masked:
        kernel.remount(SANDBOX + path, kernel.MS_RDONLY)
    kernel.remount("/", kernel.MS_RDONLY)
    kernel.unmount(OLD)


def is_seen(path: str) -> bool:
    """Whether functions see a path of the machine's anyway."""
    return any(path == each or path.startswith(each + "/") for each in PROGRAMS)


def is_covered(path: str) -> bool:
    """Whether a path lies where each sandbox has something of its own."""
    return any(path == each or path.startswith(each + "/") for each in COVERED)


def show_covered(paths: list[str], hidden: list[str]) -> None:
    """Bind, in a sandbox, what its own /tmp or /opt is going to cover."""
    for path in paths:
        if is_covered(path):
            base = STAGE if path.startswith(STAGED) else SANDBOX
            _bind_like(f"{HIDDEN}/{hidden.index(path)}", base + path)


def put_in_place(path: str) -> None:
    """Show what was made aside."""
    kernel.mount(STAGE + path, SANDBOX + path, "", kernel.MS_MOVE)


def _mask(paths: list[str]) -> list[str]:
    """Cover what would be seen for lying among the programs, as a project in /usr/src does."""
    masked = []
    for path in paths:
        if os.path.isdir(SANDBOX + path) and os.listdir(SANDBOX + path):
            kernel.mount("tmpfs", SANDBOX + path, "tmpfs", 0, "size=4k,mode=0555")
            masked.append(path)
    return masked


def _show_programs(user: int, users: int) -> None:
    for place in PROGRAMS:
        if os.path.islink(OLD + place):
            os.symlink(os.readlink(OLD + place), SANDBOX + place)
        elif os.path.isdir(OLD + place):
            _show(place, place)
    for name in DEVICES:
        if os.path.exists(f"{OLD}/dev/{name}"):
            _bind_like(f"{OLD}/dev/{name}", f"{SANDBOX}/dev/{name}", read_only=False)
    os.symlink("/proc/self/fd", f"{SANDBOX}/dev/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{SANDBOX}/dev/{name}")
    names = [f"sbx_user{FIRST_USER + each}" for each in range(users)]
    _replace(
        "passwd",
        ["root:x:0:0:root:/root:/sbin/nologin"]
        + [f"{name}:x:{user + n}:{user + n}::/:/sbin/nologin" for n, name in enumerate(names)],
    )
    _replace("group", ["root:x:0:"] + [f"{name}:x:{user + n}:" for n, name in enumerate(names)])


def _replace(name: str, lines: list[str]) -> None:
    """Put a file of ours in the place of one of the machine's /etc."""
    target = f"{SANDBOX}/etc/{name}"
    if os.path.exists(target):
        with open(f"/{name}", "wb", 0) as file:
            file.write(("\n".join(lines) + "\n").encode())
        kernel.bind(f"/{name}", target)


def _show(path: str, source: str) -> None:
    if os.path.exists(OLD + source):
        _bind_like(OLD + source, SANDBOX + path)


def _bind_like(source: str, target: str, *, read_only: bool = True) -> None:
    """Bind a file or a directory to a place that is made for it."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    # Devices stay what they are: a mount that forbids them would make them useless.
    devices = 0 if source.startswith(f"{OLD}/dev/") else kernel.MS_NODEV
    kernel.bind(source, target, read_only=read_only, flags=kernel.MS_NOSUID | devices)


def _resolver() -> list[str]:
    """The directory that /etc/resolv.conf leads to, if that is not in /etc itself.

    The directory and not the file: the file is replaced when the machine's network changes.
    """
    target = os.path.realpath("/etc/resolv.conf")
    return [] if is_seen(target) or not os.path.exists(target) else [os.path.dirname(target)]
