"""Fixtures that more than one folder of tests uses."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamington.testing import RunningEngine, running_engine

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def live_engine() -> Iterator[RunningEngine]:
    """One engine for a module; its tests name what they make apart."""
    with running_engine() as engine:
        yield engine


@pytest.fixture
def example(tmp_path: Path) -> "ExampleCopies":
    """Copies of the examples, which a test may change."""
    return ExampleCopies(tmp_path)


class ExampleCopies:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, name: str) -> Path:
        copy = self._directory / name
        shutil.copytree(EXAMPLES / name, copy, ignore=shutil.ignore_patterns(".lamington"))
        return copy
