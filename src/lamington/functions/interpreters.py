"""Which Python and Node.js interpreters this machine has, and which of them fits a release best.

They are looked for on the PATH and where version managers put them (pyenv, asdf, mise, uv; nvm,
n, fnm, volta, nodenv). Left to others: what a runtime identifier asks for (`runtimes`).
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

Release = tuple[int, int]

PYTHON_LEAST: Release = (3, 8)
NODE_LEAST: Release = (16, 0)
ANSWER_LIMIT_S = 10
MORE_RELEASES = 20
"""How many releases after our own the PATH is searched for."""

_PYTHONS_AT_HOME = (
    ".pyenv/versions/*/bin",
    ".asdf/installs/python/*/bin",
    ".local/share/mise/installs/python/*/bin",
    ".local/share/uv/python/*/bin",
)
_NODES_AT_HOME = (
    ".nvm/versions/node/*/bin",
    ".config/nvm/versions/node/*/bin",
    "n/n/versions/node/*/bin",
    ".fnm/node-versions/*/installation/bin",
    ".local/share/fnm/node-versions/*/installation/bin",
    ".volta/tools/image/node/*/bin",
    ".asdf/installs/nodejs/*/bin",
    ".local/share/mise/installs/node/*/bin",
    ".nodenv/versions/*/bin",
)
_NODES_OF_ALL = "usr/local/n/versions/node/*/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """An interpreter that was seen to run; `version` is its own word for it."""

    path: str
    release: Release
    version: str


def find_python(wanted: Release, path: str | None = None) -> Interpreter:
    """The Python for a release: the nearest from it upwards, else the highest below it.

    There is always one: the engine's own. `path` is searched in the stead of the PATH and of what
    version managers have.
    """
    for release, paths in _in_order(_python_candidates(path), wanted):
        if release == sys.version_info[:2]:
            return _own_python()
        for path in paths:
            found = _running_python(path, release)
            if found is not None:
                return found
    return _own_python()


def find_node(wanted: Release, path: str | None = None) -> Interpreter | None:
    """The Node.js for a release, by the same rule; None where the machine has none that serves."""
    found = [each for each in _nodes(path) if each.release >= NODE_LEAST]
    by_release: dict[Release, list[Interpreter]] = {}
    for each in found:
        by_release.setdefault((each.release[0], 0), []).append(each)
    for _, fitting in _in_order(by_release, (wanted[0], 0)):
        return max(fitting, key=lambda each: each.release)
    return None


def _in_order(by_release: dict[Release, Found], wanted: Release) -> Iterator[tuple[Release, Found]]:
    """Releases from the wanted one upwards, then downwards from it."""
    above = sorted(release for release in by_release if release >= wanted)
    below = sorted((release for release in by_release if release < wanted), reverse=True)
    for release in above + below:
        yield release, by_release[release]


def _own_python() -> Interpreter:
    """The engine's interpreter without its virtual environment."""
    path = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
    release = (sys.version_info.major, sys.version_info.minor)
    return Interpreter(path=path, release=release, version=f"{release[0]}.{release[1]}")


def _python_candidates(path: str | None) -> dict[Release, list[str]]:
    """Paths that look like a Python that we can use, by release; a shim comes last."""
    own = (sys.version_info.major, sys.version_info.minor)
    found: dict[Release, list[str]] = {own: []}
    if path is not None:
        directories = [Path(each) for each in path.split(os.pathsep) if each]
    else:
        directories = [*_directories(_PYTHONS_AT_HOME), *map(Path, os.get_exec_path())]
    for minor in range(PYTHON_LEAST[1], own[1] + MORE_RELEASES):
        name = f"python3.{minor}"
        for directory in directories:
            if _is_file(directory / name):
                found.setdefault((PYTHON_LEAST[0], minor), []).append(str(directory / name))
    return found


@cache
def _running_python(path: str, release: Release) -> Interpreter | None:
    """The interpreter behind a path, None where it is but a shim that refuses to run."""
    question = (
        "import sys; print(*sys.version_info[:2], getattr(sys, '_base_executable', sys.executable))"
    )
    answer = _ask([path, "-S", "-c", question])
    major, _, rest = answer.partition(" ")
    minor, _, executable = rest.partition(" ")
    if (major, minor) != (str(release[0]), str(release[1])) or not executable:
        return None
    return Interpreter(path=executable, release=release, version=f"{major}.{minor}")


@cache
def _nodes(path: str | None) -> tuple[Interpreter, ...]:
    if path is not None:
        directories = [Path(each) for each in path.split(os.pathsep) if each]
    else:
        machine = sorted(Path("/").glob(_NODES_OF_ALL))
        directories = [*map(Path, os.get_exec_path()), *_directories(_NODES_AT_HOME), *machine]
    found: dict[str, Interpreter] = {}
    for command in _commands(directories):
        answer = _ask([command, "-p", "process.execPath + ' ' + process.versions.node"])
        executable, _, version = answer.rpartition(" ")
        numbers = re.match(r"(\d+)\.(\d+)", version)
        if executable and numbers:
            release = (int(numbers[1]), int(numbers[2]))
            found.setdefault(
                executable, Interpreter(path=executable, release=release, version=version)
            )
    return tuple(found.values())


def _commands(directories: Iterable[Path]) -> list[str]:
    """The different files that are called `node`; a link to one that is known is left out."""
    found: dict[str, str] = {}
    for directory in directories:
        for name in ("node", "nodejs"):
            command = directory / name
            if _is_file(command) and os.access(command, os.X_OK):
                found.setdefault(str(command.resolve()), str(command))
    return list(found.values())


def _is_file(path: Path) -> bool:
    """Whether it is a file, as far as can be seen: some directories on a PATH cannot be read."""
    try:
        return path.is_file()
    except PermissionError:
        return False


def _directories(patterns: Iterable[str]) -> list[Path]:
    try:
        home = Path.home()
    except RuntimeError:
        return []
    return [found for pattern in patterns for found in sorted(home.glob(pattern), reverse=True)]


def _ask(command: list[str]) -> str:
    """The first line that a command prints, "" where it fails."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=ANSWER_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
