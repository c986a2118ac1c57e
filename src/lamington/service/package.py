"""Packages of functions, reproducible: the same files give the same bytes, wherever and whenever.

A function whose files did not change (by modification time and size) is not packed again. Left
to others: what refers to the packages (`template`), and sending them (`local`, `deploy`).
"""

import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from lamington.core.errors import Position, UsageError
from lamington.functions.entities import CODE_UNZIPPED_MAX_BYTES, CODE_ZIPPED_MAX_BYTES
from lamington.service.definition import (
    Artifact,
    BuiltService,
    build_definition,
    with_packages,
)
from lamington.service.functions import SETTINGS_NAMES, Function
from lamington.service.problems import Problems
from lamington.service.project import Project, load_project
from lamington.service.sources import Sources

FINGERPRINTS_FILE = "fingerprints.json"
FORMAT = 1
"""Raise it when the same files are packed to other bytes than before."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEVEL = 6
_IGNORED_NAMES = frozenset(
    {".git", ".hg", ".svn", ".lamington", "__pycache__", ".DS_Store", ".idea", ".vscode"}
    | {".venv", "venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".gitignore"}
    | set(SETTINGS_NAMES)
)
_IGNORED_SUFFIXES = (".pyc", ".pyo", ".swp", "~")
_PIP_TIMEOUT_S = 600.0
_PIP_LINES_SHOWN = 6


class Fingerprint(msgspec.Struct, frozen=True):
    """What a package was made of, and what came of it."""

    inputs: str
    sha256: str
    size_bytes: int


class Packager:
    """Packs functions into a directory; keep one to pack only what changed."""

    def __init__(self, project_root: Path, out: Path) -> None:
        self._root = project_root
        self._out = out
        self._known = _read_fingerprints(out)

    def pack(self, project: Project, function: Function) -> Artifact:
        """The function's package, made anew where its files changed.

        Raises UsageError where it is larger than Lambda takes.
        """
        files = self.files(project, function)
        inputs = _fingerprint(files)
        path = self._out / f"{function.name}.zip"
        known = self._known.get(function.name)
        if known is None or known.inputs != inputs or not path.is_file():
            content = render_archive(files, function.where)
            known = Fingerprint(
                inputs=inputs,
                sha256=hashlib.sha256(content).hexdigest(),
                size_bytes=len(content),
            )
            _write(path, content)
            self._known[function.name] = known
            _write(self._out / FINGERPRINTS_FILE, msgspec.json.encode(self._known))
        return Artifact(
            function=function.name,
            path=path,
            key=f"{project.name}/{function.name}-{known.sha256}.zip",
            sha256=known.sha256,
            size_bytes=known.size_bytes,
        )

    def files(self, project: Project, function: Function) -> dict[str, Path]:
        """Package path to file: requirements, then common, then the function's own on top."""
        files: dict[str, Path] = {}
        if function.requirements is not None:
            files.update(_tree(install_requirements(function, self._root)))
        if project.common is not None:
            files.update(_tree(project.common))
        if function.root.is_dir():
            files.update(_tree(function.root))
        else:
            files[function.root.name] = function.root
        return files


class Builder:
    """Loads and builds one service again and again, reading and packing only what changed."""

    def __init__(self, root: Path, out: Path, *, check_javascript: bool = True) -> None:
        self._root = root.resolve()
        self._out = out
        self._sources = Sources(self._root)
        self._packager = Packager(self._root, out)
        self._check_javascript = check_javascript
        self._last: tuple[Project, str, BuiltService] | None = None

    def build(self, stage: str = "") -> BuiltService:
        """Raises ServiceInvalid with everything that is wrong on disk and in what it says."""
        problems = Problems()
        project = load_project(
            self._root,
            sources=self._sources,
            problems=problems,
            check_javascript=self._check_javascript,
        )
        if not project.complete:
            problems.close()
        before = self._last
        if before is not None and before[0] == project and before[1] == stage:
            # Only code may have changed: the definition and the template say the same as before.
            artifacts = _pack(project, self._packager, problems)
            problems.close()
            built = with_packages(before[2], project, artifacts)
            _write_built(built, self._out)
        else:
            built = build(project, self._out, stage, packager=self._packager, problems=problems)
        self._last = (project, stage, built)
        return built


def build(
    project: Project,
    out: Path,
    stage: str = "",
    *,
    packager: Packager | None = None,
    problems: Problems | None = None,
) -> BuiltService:
    """Write swagger.json, template.json and a zip for each function; the build of everything.

    Each file is whole or not written at all. Raises ServiceInvalid with everything wrong, with
    what `problems` holds already; the last good build then stays.
    """
    problems = Problems() if problems is None else problems
    packager = Packager(project.root, out) if packager is None else packager
    artifacts = _pack(project, packager, problems)
    built = build_definition(project, stage, artifacts=artifacts, problems=problems)
    problems.close()
    _write_built(built, out)
    return built


def _pack(project: Project, packager: Packager, problems: Problems) -> dict[str, Artifact]:
    artifacts: dict[str, Artifact] = {}
    for function in project.functions:
        with problems.gathered():
            artifacts[function.name] = packager.pack(project, function)
    return artifacts


def _write_built(built: BuiltService, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    _write_json(out / "template.json", built.template)
    if built.swagger is not None:
        _write_json(out / "swagger.json", built.swagger)
    else:
        (out / "swagger.json").unlink(missing_ok=True)


def build_archive(project: Project, function: Function) -> bytes:
    """A function's package as bytes, always made anew."""
    packager = Packager(project.root, project.root / ".lamington" / "build")
    return render_archive(packager.files(project, function), function.where)


def render_archive(files: Mapping[str, Path], where: Position) -> bytes:
    """The files as a zip: sorted, one date, two modes, one level of compression.

    Raises UsageError where Lambda would refuse it for its size.
    """
    unzipped = sum(path.stat().st_size for path in files.values())
    if unzipped > CODE_UNZIPPED_MAX_BYTES:
        raise _too_large(unzipped, CODE_UNZIPPED_MAX_BYTES, "unzipped", files, where)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name in sorted(files):
            path = files[name]
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
            entry.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(entry, path.read_bytes(), compresslevel=_LEVEL)
    content = buffer.getvalue()
    if len(content) > CODE_ZIPPED_MAX_BYTES:
        raise _too_large(len(content), CODE_ZIPPED_MAX_BYTES, "zipped", files, where)
    return content


def _too_large(
    size: int, limit: int, form: str, files: Mapping[str, Path], where: Position
) -> UsageError:
    largest = sorted(files, key=lambda name: files[name].stat().st_size, reverse=True)[:3]
    listed = ", ".join(f"`{name}` ({files[name].stat().st_size:,} bytes)" for name in largest)
    return UsageError(
        f"the package is too large: {size:,} bytes {form}, {limit:,} are allowed",
        where=where,
        hint=f"the largest files are {listed}; what is not code belongs into a bucket or a layer",
    )


def _tree(top: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a directory with its path there; links are followed, but not in circles."""
    seen: set[str] = set()
    for directory, directories, names in os.walk(top, followlinks=True):
        real = os.path.realpath(directory)
        if real in seen:
            directories.clear()
            continue
        seen.add(real)
        directories[:] = sorted(each for each in directories if each not in _IGNORED_NAMES)
        relative = os.path.relpath(directory, top)
        for name in names:
            if name in _IGNORED_NAMES or name.endswith(_IGNORED_SUFFIXES):
                continue
            path = Path(directory, name)
            if path.is_file():
                within = name if relative == "." else f"{relative}/{name}"
                yield within.replace(os.sep, "/"), path


def _fingerprint(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256(f"{FORMAT}".encode())
    for name in sorted(files):
        status = files[name].stat()
        executable = bool(status.st_mode & stat.S_IXUSR)
        line = f"{name}\0{files[name]}\0{status.st_size}\0{status.st_mtime_ns}\0{executable}\n"
        digest.update(line.encode())
    return digest.hexdigest()


def _read_fingerprints(out: Path) -> dict[str, Fingerprint]:
    try:
        content = (out / FINGERPRINTS_FILE).read_bytes()
        return msgspec.json.decode(content, type=dict[str, Fingerprint])
    except (OSError, msgspec.DecodeError):
        return {}


def install_requirements(function: Function, root: Path) -> Path:
    """The directory with what requirements.txt names, installed once for each content.

    Only wheels for Lambda's own platform are taken, so that what is packed here runs there; what
    has compiled parts may then not run on this machine.
    """
    assert function.requirements is not None
    version = function.runtime.removeprefix("python")
    architectures = function.properties.get("Architectures", ["x86_64"])
    platform = "aarch64" if "arm64" in architectures else "x86_64"
    text = function.requirements.read_bytes()
    seed = b"\0".join([text, version.encode(), platform.encode()])
    home = root / ".lamington" / "requirements"
    target = home / hashlib.sha256(seed).hexdigest()[:32]
    if target.is_dir():
        return target
    partial = target.with_suffix(f".{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    if text.strip():
        _run_pip(function, version, platform, partial, root)
    partial.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(partial / "bin", ignore_errors=True)
    partial.rename(target)
    return target


def _run_pip(function: Function, version: str, platform: str, target: Path, root: Path) -> None:
    assert function.requirements is not None
    platforms = [f"manylinux{tag}_{platform}" for tag in ("_2_28", "2014", "_2_17")]
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-compile", "--only-binary=:all:", "--implementation", "cp"),
        *("--python-version", version, "--target", str(target)),
        *(part for each in platforms for part in ("--platform", each)),
        *("--requirement", str(function.requirements)),
    ]
    name = function.requirements.relative_to(root).as_posix()
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PIP_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError("pip took too long", where=Position(file=name)) from None
    if done.returncode:
        shutil.rmtree(target, ignore_errors=True)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise UsageError(
            "the requirements cannot be installed: " + "\n".join(lines[-_PIP_LINES_SHOWN:]),
            where=Position(file=name),
            hint=f"each must have a wheel for Python {version} on Linux {platform}",
        )


def _write_json(path: Path, value: object) -> None:
    _write(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
