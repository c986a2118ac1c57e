"""Interpreters are chosen by their own word, from programs that say what a test has them say."""

import os
import tempfile
from pathlib import Path

import pytest

from lamington.functions.interpreters import find_node, find_python

NOBODY = 65534


def node_saying(root: Path, version: str) -> str:
    """A directory with a `node` that says that it is of the version."""
    directory = root / version
    directory.mkdir(parents=True)
    (directory / "node").write_text(f'#!/bin/sh\necho "$0 {version}"\n')
    (directory / "node").chmod(0o755)
    return str(directory)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [(18, "18.19.1"), (20, "22.4.0"), (22, "22.4.0"), (24, "22.4.0"), (0, "16.20.2")],
)
def test_nearest_later_node_runs_a_runtime(tmp_path: Path, wanted: int, chosen: str) -> None:
    versions = ("14.21.3", "22.4.0", "18.2.0", "16.20.2", "18.19.1")
    path = ":".join(node_saying(tmp_path, version) for version in versions)
    found = find_node((wanted, 0), path)
    assert found is not None
    assert found.version == chosen
    assert found.path == f"{tmp_path}/{chosen}/node"


def test_node_that_is_too_old_is_none(tmp_path: Path) -> None:
    assert find_node((14, 0), node_saying(tmp_path, "14.21.3")) is None


def test_node_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    shim = tmp_path / "shim"
    shim.mkdir()
    (shim / "node").write_text("#!/bin/sh\nexit 126\n")
    (shim / "node").chmod(0o755)
    found = find_node((20, 0), f"{shim}:{node_saying(tmp_path, '20.1.0')}")
    assert found is not None
    assert found.version == "20.1.0"


def test_directory_that_cannot_be_read_is_passed_over() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        good = node_saying(root, "20.1.0")
        locked = root / "locked"
        (locked / "bin").mkdir(parents=True)
        locked.chmod(0)
        is_root = os.geteuid() == 0
        try:
            if is_root:
                os.seteuid(NOBODY)  # Root may read everything.
            found = find_node((20, 0), f"{locked}/bin:{good}")
        finally:
            if is_root:
                os.seteuid(0)
            locked.chmod(0o700)
        assert found is not None
        assert found.version == "20.1.0"


def test_python_shim_that_refuses_is_passed_over(tmp_path: Path) -> None:
    for minor, text in ((27, "exit 127"), (28, 'echo "3 28 $0"')):
        program = tmp_path / f"python3.{minor}"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    assert find_python((3, 26), str(tmp_path)).release == (3, 28)


def test_own_python_is_there_where_no_other_is(tmp_path: Path) -> None:
    import sys

    assert find_python((3, 6), str(tmp_path)).release == sys.version_info[:2]
