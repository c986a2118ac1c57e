"""Fixtures that more than one folder of tests uses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from example_copies import ExampleCopies
from lamington.testing import RunningEngine, running_engine


@pytest.fixture(scope="module")
def live_engine() -> Iterator[RunningEngine]:
    """One engine for a module; its tests name what they make apart."""
    with running_engine() as engine:
        yield engine


@pytest.fixture
def example(tmp_path: Path) -> ExampleCopies:
    """Copies of the examples, which a test may change."""
    return ExampleCopies(tmp_path)
