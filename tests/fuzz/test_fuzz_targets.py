"""Each fuzz target runs for some seconds: `make fuzz` runs them for longer."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("target", sorted(path.name for path in HERE.glob("fuzz_*.py")))
def test_target_finds_nothing_within_seconds(target: str, tmp_path: Path) -> None:
    limits = ("-max_total_time=6", "-timeout=10", "-max_len=1000", "-seed=1", "-verbosity=0")
    ran = subprocess.run(
        [sys.executable, str(HERE / target), *limits],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
