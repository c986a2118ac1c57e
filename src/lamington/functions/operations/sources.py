"""Where the bytes of code and layers come from: the request itself, or S3."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lamington.core.aws import Scope
from lamington.functions.entities import (
    CODE_STORAGE_BYTES,
    Code,
    CodeStorageExceededException,
    InvalidParameterValueException,
)
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.packages import Packages

FetchObject = Callable[[str, str, str, Scope], Awaitable[bytes]]
"""Bytes of an S3 object by bucket, key and version id ("" for the newest), as seen by a scope."""

_LARGE_BYTES = 1_000_000
"""An archive from which on its check is worth another thread."""


class PackageSource:
    """Keeps the archive of a request, which holds it or tells where it is."""

    def __init__(
        self, registry: FunctionRegistry, packages: Packages, fetch_object: FetchObject
    ) -> None:
        self._registry = registry
        self._packages = packages
        self._fetch_object = fetch_object

    async def store(self, given: Mapping[str, Any], scope: Scope, operation: str) -> Code:
        """Keep the archive.

        Raises InvalidParameterValueException, RequestEntityTooLargeException, and
        CodeStorageExceededException where the account's 75 GB are full.
        """
        zipped, bucket, key = given.get("ZipFile"), given.get("S3Bucket"), given.get("S3Key")
        if zipped is not None:
            if bucket or key or given.get("S3ObjectVersion"):
                raise InvalidParameterValueException(
                    "Please do not provide other FunctionCode parameters when providing a ZipFile."
                )
            content = bytes(zipped)
            code = await _aside(content, lambda: self._packages.store_upload(content, operation))
        else:
            if not bucket or not key:
                raise InvalidParameterValueException("Please provide a source for function code.")
            version = given.get("S3ObjectVersion") or ""
            fetched = await self._fetch_object(bucket, key, version, scope)
            code = await _aside(fetched, lambda: self._packages.store_archive(fetched))
        # Small ones are not worth a look at every row: they alone do not fill it.
        if code.size_bytes >= _LARGE_BYTES and (
            code.size_bytes + self._registry.stored_bytes(scope) > CODE_STORAGE_BYTES
        ):
            raise CodeStorageExceededException("Code storage limit exceeded.")
        return code


async def _aside(content: bytes, store: Callable[[], Code]) -> Code:
    """Keep a small archive at once, a large one in another thread."""
    return store() if len(content) < _LARGE_BYTES else await asyncio.to_thread(store)
