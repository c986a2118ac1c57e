"""Copies of the examples, which a test may change."""

import shutil
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


class ExampleCopies:
    """Makes copies in one directory, without state from earlier runs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, name: str) -> Path:
        copy = self._directory / name
        shutil.copytree(EXAMPLES / name, copy, ignore=shutil.ignore_patterns(".lamington"))
        return copy
