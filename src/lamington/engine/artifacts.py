"""The objects that stacks on this machine take code and templates from: files, by bucket and key.

It stands where S3 stands on AWS, for the one bucket that `up` fills. S3 itself is not emulated yet.
"""

import os
from collections.abc import Callable
from pathlib import Path

from lamington.core.aws import Scope
from lamington.core.errors import UsageError
from lamington.functions.entities import InvalidParameterValueException

KEPT_PER_BUCKET = 500
"""Objects kept of a bucket; the oldest go first. A rollback may need some that are not current."""


class Artifacts:
    """Objects under a directory; a put is whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, bucket: str, key: str, read: Callable[[], bytes]) -> None:
        """Keep what `read` gives; it is not called where the key is there: keys name contents."""
        path = self._path(bucket, key)
        if path.exists():
            path.touch()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(read())
        partial.rename(path)
        self._prune(bucket)

    async def fetch(self, bucket: str, key: str, version: str, scope: Scope) -> bytes:
        """The object's bytes.

        Raises InvalidParameterValueException with the text that Lambda passes on from S3.
        """
        if not (self._directory / bucket).is_dir():
            raise InvalidParameterValueException(
                "Error occurred while GetObject. S3 Error Code: NoSuchBucket. "
                "S3 Error Message: The specified bucket does not exist",
                hint="S3 is not emulated yet: only what `lamington up` publishes can be fetched",
            )
        try:
            return self._path(bucket, key).read_bytes()
        except FileNotFoundError:
            raise InvalidParameterValueException(
                "Error occurred while GetObject. S3 Error Code: NoSuchKey. "
                "S3 Error Message: The specified key does not exist."
            ) from None

    def _path(self, bucket: str, key: str) -> Path:
        path = Path(os.path.normpath(self._directory / bucket / key))
        if not path.is_relative_to(self._directory / bucket):
            raise UsageError(f"`{key}` is not the key of an artifact")
        return path

    def _prune(self, bucket: str) -> None:
        objects = [path for path in (self._directory / bucket).rglob("*") if path.is_file()]
        if len(objects) > KEPT_PER_BUCKET:
            objects.sort(key=lambda path: path.stat().st_mtime)
            for path in objects[:-KEPT_PER_BUCKET]:
                path.unlink()
