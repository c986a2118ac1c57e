"""Which Java runs a function, and our bootstrap for it: compiled once, archived for fast starts.

The bootstrap is shipped as source. The machine's own compiler makes a jar of it in the engine's
data directory, which any Java from 8 on runs; a process of rehearsal then leaves an archive of
loaded classes (AppCDS), by which later starts take half of the time. Left to others: what a
runtime identifier asks for (`runtimes`), and the process itself (`isolation`).
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from struct import Struct
from typing import Final

from lamington.core.settings import java_home
from lamington.functions.entities import InvalidRuntimeException

SOURCES: Final = Path(__file__).parent / "bootstraps" / "java"

JAVA_LEAST: Final = 8
ARCHIVE_LEAST: Final = 13
"""From this release on a JVM can leave an archive of its classes when it ends."""

SPARE_LEAST: Final = 9
"""From this release on a module can be opened, so that a process takes its variables later."""

HEAP_SHARE: Final = 0.86
"""AWS: what share of a function's memory its heap may take."""

ANSWER_LIMIT_S: Final = 20.0
COMPILE_LIMIT_S: Final = 120.0
REHEARSAL_LIMIT_S: Final = 60.0

DIRECTORIES: Final = (
    "/usr/lib/jvm/*",
    "/usr/java/*",
    "/opt/java/*",
    "/opt/jdk*",
    "~/.sdkman/candidates/java/*",
    "~/.jdks/*",
    "~/.asdf/installs/java/*",
    "~/.local/share/mise/installs/java/*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
)

_MANIFEST: Final = (
    "Manifest-Version: 1.0\r\n"
    "Main-Class: lamington.runtime.Bootstrap\r\n"
    # The channel is an inherited descriptor. Said here, not by --add-opens, which would cost the
    # JVM its archive of modules.
    "Add-Opens: java.base/java.io\r\n\r\n"
)
_STAMP: Final = (1980, 1, 1, 0, 0, 0)
_INVOCATION_HEADER: Final = Struct("<IBHHHHd")


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaInstallation:
    """A Java on this machine; `compiles` tells a JDK from a JRE."""

    home: Path
    release: int
    version: str
    compiles: bool

    @property
    def java(self) -> str:
        return str(self.home / "bin" / "java")

    @property
    def javac(self) -> str:
        return str(self.home / "bin" / "javac")


def find_installations(
    variables: Mapping[str, str], directories: Iterable[str] = DIRECTORIES
) -> tuple[JavaInstallation, ...]:
    """Every Java of JAVA_HOME, the PATH and the usual directories, each home once."""
    found: dict[Path, JavaInstallation] = {}
    for home in _homes(variables, directories):
        if home not in found and (home / "bin" / "java").is_file():
            installation = _examine(home)
            if installation is not None:
                found[home] = installation
    return tuple(found.values())


def _homes(variables: Mapping[str, str], directories: Iterable[str]) -> Iterator[Path]:
    if variables.get("JAVA_HOME"):
        yield Path(variables["JAVA_HOME"]).resolve()
    for directory in variables.get("PATH", "").split(os.pathsep):
        if directory and (Path(directory) / "java").is_file():
            yield (Path(directory) / "java").resolve().parent.parent
    for pattern in directories:
        expanded = Path(pattern.replace("~", variables.get("HOME", "~"), 1))
        for home in sorted(Path(expanded.anchor).glob(str(expanded).lstrip("/"))):
            yield home.resolve()


def _examine(home: Path) -> JavaInstallation | None:
    """What the file `release` of an installation says, or else the program itself."""
    version = ""
    with contextlib.suppress(OSError):
        said = re.search(r'^JAVA_VERSION="([^"]+)"', (home / "release").read_text(), re.MULTILINE)
        version = said[1] if said else ""
    if not version:
        version = _ask_version(home)
    release = release_of(version)
    if release < JAVA_LEAST:
        return None
    return JavaInstallation(
        home=home,
        release=release,
        version=version,
        compiles=os.access(home / "bin" / "javac", os.X_OK),
    )


def _ask_version(home: Path) -> str:
    try:
        answer = subprocess.run(
            [str(home / "bin" / "java"), "-version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    said = re.search(r'version "([^"]+)"', answer.stderr)
    return said[1] if answer.returncode == 0 and said else ""


def release_of(version: str) -> int:
    """The release of a version: 8 of `1.8.0_392`, 17 of `17.0.15+6`; 0 where it is none."""
    said = re.match(r"(?:1\.)?(\d+)", version)
    return int(said[1]) if said else 0


def choose_installation(
    runtime: str, release: int, installations: Sequence[JavaInstallation]
) -> tuple[JavaInstallation, str]:
    """The Java for a runtime: the nearest release from it upwards, else the highest; a warning.

    Raises InvalidRuntimeException where there is none, or nothing that compiles.

    Differs: Java functions run on the machine's own JDK; where no release from the declared one on
    is installed, classes compiled for it fail with UnsupportedClassVersionError.
    """
    if not installations:
        raise InvalidRuntimeException(
            f"The runtime `{runtime}` needs Java, and none was found on this machine",
            hint=f"install a JDK, release {release} or later, or set JAVA_HOME to the one to use",
        )
    if not any(each.compiles for each in installations):
        raise InvalidRuntimeException(
            f"The runtime `{runtime}` needs a JDK: "
            f"`{installations[0].home}` is a JRE, without `javac`",
            hint="install a JDK of the same release, or set JAVA_HOME to one",
        )
    # Of two of the same release a JDK is the better one, and JAVA_HOME's comes first.
    later = [each for each in installations if each.release >= release]
    if later:
        chosen = min(later, key=lambda each: (each.release, not each.compiles))
    else:
        chosen = max(installations, key=lambda each: (each.release, each.compiles))
    warning = ""
    if chosen.release != release:
        warning = f"`{runtime}` is not installed here: its functions run on Java {chosen.version}"
    if chosen.release < release:
        warning += f"; classes compiled for a release after {chosen.release} are refused"
    return chosen, warning


@cache
def installed() -> tuple[JavaInstallation, ...]:
    """Every Java of this machine, looked for once."""
    variables = {"PATH": os.pathsep.join(os.get_exec_path()), "HOME": str(Path.home())}
    return find_installations({**variables, "JAVA_HOME": java_home()})


def compiler_for(
    chosen: JavaInstallation, installations: Sequence[JavaInstallation]
) -> JavaInstallation:
    """The JDK that compiles the bootstrap: the chosen one, or any other beside a JRE."""
    return chosen if chosen.compiles else next(each for each in installations if each.compiles)


def heap_mb(memory_mb: int) -> int:
    """The heap of a function of so much memory."""
    return int(memory_mb * HEAP_SHARE)


class JavaBootstrap:
    """Our bootstrap for one Java, as files in a directory that engines may share.

    Files are complete when they have their names, and their names tell what they were made of.

    Differs: the interfaces of `aws-lambda-java-core` come from the function's archive, where AWS's
    runtime brings them along; JSON is read and written by Lamington, so that the causes of an
    error of JSON have the JDK's classes, not Jackson's.
    """

    def __init__(
        self, installation: JavaInstallation, compiler: JavaInstallation, directory: Path
    ) -> None:
        self._installation = installation
        self._compiler = compiler
        self._directory = directory
        mark = hashlib.sha256(_MANIFEST.encode())
        for source in sorted(SOURCES.rglob("*.java")):
            mark.update(source.read_bytes())
        self._mark = mark.hexdigest()[:16]
        compiled = f"{self._mark}-{_file_name(compiler.version)}"
        self.jar = directory / f"bootstrap-{compiled}.jar"
        home = hashlib.sha256(str(installation.home).encode()).hexdigest()[:8]
        run = f"{_file_name(installation.version)}-{home}"
        self.archive = directory / f"bootstrap-{compiled}-{run}.jsa"
        self._lock = asyncio.Lock()
        self._prepared = False
        self._rehearsal: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def prepare(self) -> None:
        """Compile the bootstrap where that was not done yet; its archive follows by itself.

        Raises InvalidRuntimeException where the compiler fails.
        """
        if self._prepared:
            return
        async with self._lock:
            if not self.jar.exists():
                await asyncio.to_thread(self.compile)
            if self._rehearsal is None and self.may_archive:
                self._rehearsal = asyncio.create_task(asyncio.to_thread(self.rehearse))
            self._prepared = True

    @property
    def may_archive(self) -> bool:
        return self._installation.release >= ARCHIVE_LEAST and not self.archive.exists()

    @property
    def takes_spares(self) -> bool:
        """Whether a process can be given its variables after its start, and is there to be had."""
        return self._installation.release >= SPARE_LEAST and self._prepared

    async def settle(self) -> None:
        """Wait until the archive is there, or will not be."""
        await self.prepare()
        if self._rehearsal is not None:
            await asyncio.shield(self._rehearsal)

    async def close(self) -> None:
        """End the rehearsal, if one is going on."""
        if self._process is not None:
            self._process.kill()
        if self._rehearsal is not None:
            await self._rehearsal

    def compile(self) -> None:
        """Make the jar: blocks for a second or two."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._directory, prefix=".java-") as temporary:
            classes = Path(temporary) / "classes"
            classes.mkdir()
            level = (
                ["-source", "8", "-target", "8"]
                if self._compiler.release == JAVA_LEAST
                else ["--release", "8"]
            )
            command = [
                self._compiler.javac,
                "-J-XX:TieredStopAtLevel=1",
                *level,
                "-nowarn",
                "-encoding",
                "UTF-8",
                "-g:source,lines",
                "-d",
                str(classes),
                *(str(source) for source in sorted(SOURCES.rglob("*.java"))),
            ]
            try:
                subprocess.run(
                    command, capture_output=True, text=True, check=True, timeout=COMPILE_LIMIT_S
                )
            except (OSError, subprocess.SubprocessError) as error:
                said = str(getattr(error, "stderr", None) or error).strip()
                raise InvalidRuntimeException(
                    f"`{self._compiler.javac}` cannot compile the Java bootstrap: {said[:400]}",
                    hint="check that the JDK is complete, or set JAVA_HOME to another one",
                ) from None
            whole = Path(temporary) / "bootstrap.jar"
            write_jar(whole, classes)
            whole.replace(self.jar)

    def rehearse(self) -> None:
        """Run a function that does what functions do, and keep the classes that it loaded.

        It is no matter where this fails: starts are slower then.
        """
        with (
            tempfile.TemporaryDirectory(dir=self._directory, prefix=".java-") as temporary,
            contextlib.suppress(OSError, subprocess.SubprocessError),
        ):
            task_root = Path(temporary) / "task"
            (task_root / "lib").mkdir(parents=True)
            with zipfile.ZipFile(task_root / "lib" / "one.jar", "w") as jar:
                jar.writestr("one.txt", "one")
            archive = Path(temporary) / "classes.jsa"
            self._run_rehearsal(task_root, archive)
            if archive.exists() and archive.stat().st_size:
                archive.chmod(0o644)
                archive.replace(self.archive)

    def _run_rehearsal(self, task_root: Path, archive: Path) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = process = subprocess.Popen(
                [
                    # A shell's redirection knows descriptors below ten only: it goes through 0.
                    "/bin/sh",
                    "-c",
                    'exec "$0" "$@" 3<&0 </dev/null',
                    self._installation.java,
                    *_FLAGS,
                    f"-XX:ArchiveClassesAtExit={archive}",
                    "-Xshare:auto",
                    "-Dlamington.rehearsal=1",
                    "-jar",
                    str(self.jar),
                    "0.0",
                    "/opt",
                ],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={
                    "PATH": os.defpath,
                    "_HANDLER": "lamington.runtime.Rehearsal::handle",
                    "LAMBDA_TASK_ROOT": str(task_root),
                },
                cwd=task_root,
            )
            theirs.close()
            try:
                event = json.dumps({"name": "rehearsal", "sizes": [1, 2]}).encode()
                ours.sendall(_invocation(event) * 2)
                ours.shutdown(socket.SHUT_WR)
                process.wait(REHEARSAL_LIMIT_S)
            finally:
                process.kill()
                process.wait()
                self._process = None

    def argv(
        self,
        memory_mb: int,
        attend_s: float,
        layers_root: str = "/opt",
        *,
        temporary: str = "/tmp",
        spare: bool = False,
    ) -> tuple[str, ...]:
        """The command of a process; what it says of the archive is right at this moment only.

        A `spare` loads nothing before it got a CONFIGURE frame, see `Bootstrap.java`.

        AWS: serial collector, the first compiler only, a heap of 0.86 of the memory.
        """
        archived = (f"-XX:SharedArchiveFile={self.archive}",) if self.archive.exists() else ()
        return (
            self._installation.java,
            f"-Xmx{heap_mb(memory_mb)}m",
            *_FLAGS,
            *archived,
            *(("--add-opens", "java.base/java.util=ALL-UNNAMED") if spare else ()),
            *((f"-Djava.io.tmpdir={temporary}",) if temporary != "/tmp" else ()),
            "-jar",
            str(self.jar),
            str(attend_s),
            "--spare" if spare else layers_root,
        )


class JavaBootstraps:
    """The bootstraps of an engine, one for each Java in use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[str, JavaBootstrap] = {}

    def of(self, java: str) -> JavaBootstrap:
        """The bootstrap for the Java whose program this is (`RuntimeProgram.interpreter`)."""
        made = self._made.get(java)
        if made is None:
            known = installed()
            chosen = next(each for each in known if each.java == java)
            made = JavaBootstrap(chosen, compiler_for(chosen, known), self._directory)
            self._made[java] = made
        return made

    async def close(self) -> None:
        for each in self._made.values():
            await each.close()


_FLAGS: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


def _invocation(event: bytes) -> bytes:
    header = _INVOCATION_HEADER
    return header.pack(header.size - 4 + len(event), 1, 0, 0, 0, 0, 0.0) + event


def _file_name(version: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", version)


def write_jar(path: Path, classes: Path) -> None:
    """Write a jar of a directory, the same bytes for the same classes."""
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF", _STAMP), _MANIFEST)
        for file in sorted(classes.rglob("*.class")):
            name = file.relative_to(classes).as_posix()
            # Stored, not deflated: the JVM has nothing to inflate at each start.
            jar.writestr(zipfile.ZipInfo(name, _STAMP), file.read_bytes())
