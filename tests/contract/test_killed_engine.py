"""An engine that is killed leaves no function running."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from function_world import eventually, processes_of

SCRIPT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from function_world import function_world

async def main():
    async with function_world(Path(sys.argv[1])) as world:
        if sys.argv[3] == "python":
            hang = "import time\\ndef handler(e, c):\\n  print('busy')\\n  time.sleep(60)"
            arn = world.python(hang, timeout_s=60)
        else:
            arn = world.node("exports.handler = () => { for (;;); }", timeout_s=60)
        call = asyncio.ensure_future(world.invoke(arn))
        await asyncio.sleep(0.5)
        print("running", flush=True)
        await call

asyncio.run(main())
"""


@pytest.mark.parametrize("language", ["python", "node"])
def test_killed_engine_leaves_no_busy_function_behind(tmp_path: Path, language: str) -> None:
    tests = str(Path(__file__).parents[1])
    engine = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), tests, language], stdout=subprocess.PIPE
    )
    assert engine.stdout is not None
    assert engine.stdout.readline() == b"running\n"
    assert processes_of(tmp_path)
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    engine.stdout.close()
    asyncio.run(eventually(lambda: not processes_of(tmp_path)))
