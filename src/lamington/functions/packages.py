"""Deployment packages and layers: checked, kept as blobs, unpacked once for all environments.

Left to others: where the bytes come from (the API's `ZipFile`, or S3).
"""

import base64
import hashlib
import io
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from lamington.core.store import Store
from lamington.functions.entities import (
    CODE_UNZIPPED_MAX_BYTES,
    CODE_ZIPPED_MAX_BYTES,
    REQUEST_MAX_BYTES,
    Code,
    InvalidParameterValueException,
    LayerRef,
    RequestEntityTooLargeException,
)

ENTRIES_MAX = 100_000
"""Files in one package; AWS states no number, but each costs a system call to unpack."""

RATIO_MAX = 1032
"""Deflate cannot do better; an archive that claims more is not one."""


class Packages:
    """The code archives of all functions, in the engine's store."""

    def __init__(self, store: Store) -> None:
        self._blobs = store.blobs
        self._tasks = store.directory / "tasks"
        self._layers = store.directory / "layers"

    def store_upload(self, content: bytes, operation: str) -> Code:
        """Check a zip archive that came in a request, whose size is bounded, and keep it.

        Raises InvalidParameterValueException or RequestEntityTooLargeException.

        AWS: the request with the archive in base64 has a bound, and the archive has one.
        """
        if len(content) * 4 // 3 > REQUEST_MAX_BYTES:
            raise RequestEntityTooLargeException(
                f"Request must be smaller than {REQUEST_MAX_BYTES} bytes for the {operation}"
                " operation"
            )
        if len(content) > CODE_ZIPPED_MAX_BYTES:
            raise RequestEntityTooLargeException(
                f"Zipped size must be smaller than {CODE_ZIPPED_MAX_BYTES} bytes"
            )
        return self.store_archive(content)

    def store_archive(self, content: bytes) -> Code:
        """Check a zip archive and keep it; raises InvalidParameterValueException."""
        check_archive(content)
        digest = hashlib.sha256(content).digest()
        return Code(
            blob=self._blobs.put(content),
            size_bytes=len(content),
            sha256_base64=base64.b64encode(digest).decode(),
        )

    def task_root(self, code: Code) -> Path:
        """The directory of the unpacked code, made when first asked for.

        Versions of the same bytes share it. It appears whole: a start that was cut short leaves
        nothing that could be taken for it.

        Differs: without namespaces functions see it under its own name, not as `/var/task`, and
        what keeps it from being written to is its permissions, which root does not heed.
        """
        root = self._tasks / code.blob[:32]
        if not root.is_dir():
            self._unpack([code.blob], root)
        return root

    def layers_root(self, layers: Sequence[LayerRef]) -> Path | None:
        """The directory that is `/opt` to functions with these layers, None where there are none.

        It is made once for each combination, whole or not at all.

        AWS: layers are merged in the order of the list; a later file takes an earlier one's place.
        """
        if not layers:
            return None
        root = self._layers / _combination(layers)
        if not root.is_dir():
            self._unpack([layer.blob for layer in layers], root)
        return root

    def is_unpacked(self, code: Code, layers: Sequence[LayerRef]) -> bool:
        """Whether the directories of this code and these layers stand already."""
        return (self._tasks / code.blob[:32]).is_dir() and (
            not layers or (self._layers / _combination(layers)).is_dir()
        )

    def unpack(self, code: Code, layers: Sequence[LayerRef]) -> None:
        """Make the directories of a version; for another thread, as large ones take seconds."""
        self.task_root(code)
        self.layers_root(layers)

    def unzipped_bytes(self, blob: str) -> int:
        """What an archive that is kept says that it holds."""
        with zipfile.ZipFile(self._blobs.path(blob)) as archive:
            return sum(entry.file_size for entry in archive.infolist())

    def _unpack(self, blobs: Sequence[str], root: Path) -> None:
        root.parent.mkdir(exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=root.parent))
        try:
            _unpack([self._blobs.path(blob) for blob in blobs], partial)
        except (OSError, InvalidParameterValueException) as error:
            remove_tree(partial)
            if isinstance(error, InvalidParameterValueException):
                raise
            raise InvalidParameterValueException(
                f"Could not unzip uploaded file: {error.strerror}"
            ) from error
        try:
            partial.rename(root)
        except OSError:
            # Somebody else was first, with the same bytes.
            remove_tree(partial)

    def remove_unused(
        self, used: frozenset[str], combinations: Iterable[Sequence[LayerRef]] = ()
    ) -> None:
        """Remove archives that nothing uses, as they are and unpacked, and what a kill left.

        `combinations` are the layers of every version that has some.
        """
        self._blobs.keep_only(used)
        _keep_only(self._tasks, {blob[:32] for blob in used})
        _keep_only(self._layers, {_combination(layers) for layers in combinations})


def _combination(layers: Sequence[LayerRef]) -> str:
    """The name of the directory for a list of layers: the same archives in the same order."""
    return hashlib.sha256(" ".join(layer.blob for layer in layers).encode()).hexdigest()[:32]


def _keep_only(directory: Path, names: set[str]) -> None:
    if directory.is_dir():
        for each in directory.iterdir():
            if each.name not in names:
                remove_tree(each)


def check_archive(content: bytes) -> None:
    """Check that bytes are a zip archive that may be unpacked.

    Nothing may leave the directory it is unpacked to: no absolute path, no `..`, no link that
    points outside. Raises InvalidParameterValueException in AWS's words where it has some.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise InvalidParameterValueException(
            "Could not unzip uploaded file. Please check your file, then try to upload again."
        ) from None
    if not entries:
        raise InvalidParameterValueException("Uploaded file must be a non-empty zip")
    if len(entries) > ENTRIES_MAX:
        raise InvalidParameterValueException(
            f"Uploaded file has {len(entries)} entries; {ENTRIES_MAX} are allowed"
        )
    if sum(entry.file_size for entry in entries) > CODE_UNZIPPED_MAX_BYTES:
        raise InvalidParameterValueException(
            f"Unzipped size must be smaller than {CODE_UNZIPPED_MAX_BYTES} bytes"
        )
    for entry in entries:
        path = PurePosixPath(entry.filename)
        names_root = not path.parts and not entry.is_dir()
        if path.is_absolute() or ".." in path.parts or "\x00" in entry.filename or names_root:
            raise InvalidParameterValueException(
                f"The entry `{entry.filename[:200]}` would be unpacked outside of the package"
            )
        if entry.flag_bits & 1:
            raise InvalidParameterValueException(f"The entry `{entry.filename[:200]}` is encrypted")
        if entry.file_size > (entry.compress_size + 1) * RATIO_MAX:
            raise InvalidParameterValueException(
                f"The entry `{entry.filename[:200]}` states a wrong size"
            )


def _unpack(archive_paths: Sequence[Path], root: Path) -> None:
    """Unpack archives over each other, and make what came of it read-only."""
    left = CODE_UNZIPPED_MAX_BYTES
    made: set[Path] = set()
    for path in archive_paths:
        with zipfile.ZipFile(path) as archive:
            left = _unpack_archive(archive, root, left, made)
        for link in made:
            # One link may lead through another that came later, which its own text cannot tell.
            _require_inside(link, root)
    for directory, _, _ in os.walk(root, topdown=False):
        Path(directory).chmod(0o555)


def _unpack_archive(archive: zipfile.ZipFile, root: Path, left: int, made: set[Path]) -> int:
    """Unpack one archive; `left` is how many bytes it may have, and what it leaves of them.

    The links that it makes are added to `made`; they come last, so that no file is written
    through them.
    """
    links: list[tuple[Path, str]] = []
    for entry in archive.infolist():
        target = root.joinpath(*PurePosixPath(entry.filename).parts)
        mode = entry.external_attr >> 16
        if entry.is_dir():
            _make_directory(target, root)
            continue
        _make_directory(target.parent, root)
        _clear(target)
        if stat.S_ISLNK(mode):
            links.append((target, archive.read(entry).decode("utf-8", "surrogateescape")))
            continue
        # What the directory says of sizes need not be true, so the bytes are counted.
        with archive.open(entry) as source, target.open("wb") as sink:
            while chunk := source.read(1 << 16):
                left -= len(chunk)
                if left < 0:
                    raise InvalidParameterValueException(
                        f"Unzipped size must be smaller than {CODE_UNZIPPED_MAX_BYTES} bytes"
                    )
                sink.write(chunk)
        # AWS keeps the modes of the archive; tools that write none mean 0644.
        target.chmod((mode & 0o555 or 0o444) | 0o400)
    for target, destination in links:
        _link(root, target, destination)
        made.add(target)
    return left


def _make_directory(directory: Path, root: Path) -> None:
    """Make a directory in place of files that an earlier layer has on the way to it."""
    if directory.is_dir():
        return
    for each in (*reversed(directory.relative_to(root).parents), directory.relative_to(root)):
        way = root / each
        if not way.is_dir():
            way.unlink(missing_ok=True)
            way.mkdir()


def _clear(target: Path) -> None:
    """Take away what an earlier layer, or an earlier entry of the archive, has in this place."""
    if target.is_dir() and not target.is_symlink():
        remove_tree(target)
    else:
        target.unlink(missing_ok=True)


def _link(root: Path, target: Path, destination: str) -> None:
    inside = os.path.normpath(target.parent / destination)
    if os.path.isabs(destination) or not Path(inside).is_relative_to(root):
        raise _outside(root, target)
    _require_inside(target.parent, root)
    _clear(target)
    target.symlink_to(destination)


def _require_inside(path: Path, root: Path) -> None:
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise _outside(root, path)


def _outside(root: Path, target: Path) -> InvalidParameterValueException:
    return InvalidParameterValueException(
        f"The link `{target.relative_to(root)}` points outside of the package"
    )


def remove_tree(directory: Path) -> None:
    """Remove a directory whose directories may be read-only."""
    for each, _, _ in os.walk(directory):
        Path(each).chmod(0o755)
    shutil.rmtree(directory, ignore_errors=True)
