"""Tells when the files of a service change: by the system's own notices, so that waiting is free.

Left to others: what a change means (`up`).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from asyncinotify import Event, Inotify, Mask

QUIET_S = 0.01
SETTLE_MAX_S = 0.2
"""One save is several notices: changes are told once none has come for a while, or in the end."""

_CHANGES = (
    Mask.CREATE | Mask.CLOSE_WRITE | Mask.DELETE | Mask.MOVED_FROM | Mask.MOVED_TO | Mask.ATTRIB
)


class Watch:
    """A watch on a service's own files; editors' leftovers and what we write are passed over."""

    def __init__(self, root: Path) -> None:
        """Begins at once: nothing that is saved after this is missed."""
        self._root = root.resolve()
        self._inotify = Inotify()
        self._add(self._root)

    def close(self) -> None:
        self._inotify.close()

    async def changes(self) -> AsyncIterator[set[Path]]:
        """The paths that changed, relative to the root, as often as some did."""
        while True:
            found = set(self._own(await self._inotify.get()))
            try:
                async with asyncio.timeout(SETTLE_MAX_S):
                    while True:
                        async with asyncio.timeout(QUIET_S):
                            event = await self._inotify.get()
                        found.update(self._own(event))
            except TimeoutError:
                pass
            if found:
                yield found

    def _own(self, event: Event) -> Iterator[Path]:
        path = event.path
        if path is None or not _is_own(path.name):
            return
        if Mask.ISDIR in event.mask:
            if event.mask & (Mask.CREATE | Mask.MOVED_TO):
                self._add(path)
                # What was put into it before the watch began would be missed.
                for directory, _, files in os.walk(path):
                    for name in filter(_is_own, files):
                        yield (Path(directory) / name).relative_to(self._root)
            elif event.mask & (Mask.DELETE | Mask.MOVED_FROM):
                yield path.relative_to(self._root)
            return
        if not event.mask & Mask.CREATE:
            # A file that is created is not written yet; its notice follows when it is.
            yield path.relative_to(self._root)

    def _add(self, top: Path) -> None:
        for directory, directories, _ in os.walk(top):
            directories[:] = filter(_is_own, directories)
            self._inotify.add_watch(directory, _CHANGES)


def _is_own(name: str) -> bool:
    return not name.startswith(".") and name != "__pycache__" and not name.endswith(_LEFTOVERS)


_LEFTOVERS = ("~", ".swp", ".pyc")
