"""Deployment packages: checked, kept as blobs, and unpacked once for all environments.

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
from pathlib import Path, PurePosixPath

from lamington.core.store import Store
from lamington.functions.entities import (
    CODE_UNZIPPED_MAX_BYTES,
    CODE_ZIPPED_MAX_BYTES,
    Code,
    InvalidParameterValueException,
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

    def store_archive(self, content: bytes, *, bytes_max: int = CODE_ZIPPED_MAX_BYTES) -> Code:
        """Check a zip archive and keep it.

        `bytes_max` bounds the archive as such: AWS bounds an upload in the request, not one
        from S3. Raises InvalidParameterValueException or RequestEntityTooLargeException.
        """
        if len(content) > bytes_max:
            raise RequestEntityTooLargeException(
                f"Request must be smaller than {bytes_max} bytes for the CreateFunction operation"
            )
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

        Differs: it is a directory of the machine under its own name, not `/var/task`, and what
        keeps it from being written to is its permissions, which root does not heed.
        """
        root = self._tasks / code.blob[:32]
        if root.is_dir():
            return root
        self._tasks.mkdir(exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self._tasks))
        try:
            _unpack(self._blobs.path(code.blob), partial)
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
        return root

    def remove_unused(self, used: frozenset[str]) -> None:
        """Remove archives that no version uses, as they are and unpacked, and what a kill left."""
        self._blobs.keep_only(used)
        if not self._tasks.is_dir():
            return
        names = {blob[:32] for blob in used}
        for each in self._tasks.iterdir():
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
        if path.is_absolute() or ".." in path.parts or "\x00" in entry.filename:
            raise InvalidParameterValueException(
                f"The entry `{entry.filename[:200]}` would be unpacked outside of the package"
            )
        if entry.flag_bits & 1:
            raise InvalidParameterValueException(f"The entry `{entry.filename[:200]}` is encrypted")
        if entry.file_size > (entry.compress_size + 1) * RATIO_MAX:
            raise InvalidParameterValueException(
                f"The entry `{entry.filename[:200]}` states a wrong size"
            )


def _unpack(archive_path: Path, root: Path) -> None:
    links: list[tuple[Path, str]] = []
    left = CODE_UNZIPPED_MAX_BYTES
    with zipfile.ZipFile(archive_path) as archive:
        for entry in archive.infolist():
            target = root.joinpath(*PurePosixPath(entry.filename).parts)
            mode = entry.external_attr >> 16
            if entry.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
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
    for directory, _, _ in os.walk(root, topdown=False):
        Path(directory).chmod(0o555)


def _link(root: Path, target: Path, destination: str) -> None:
    inside = os.path.normpath(target.parent / destination)
    if os.path.isabs(destination) or not Path(inside).is_relative_to(root):
        raise InvalidParameterValueException(
            f"The link `{target.relative_to(root)}` points outside of the package"
        )
    target.symlink_to(destination)


def remove_tree(directory: Path) -> None:
    """Remove a directory whose directories may be read-only."""
    for each, _, _ in os.walk(directory):
        Path(each).chmod(0o755)
    shutil.rmtree(directory, ignore_errors=True)
