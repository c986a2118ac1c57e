"""What a start of the engine does not pay for."""

import subprocess
import sys


def test_botocore_is_not_loaded_before_the_first_aws_request() -> None:
    program = (
        "import sys, asyncio\n"
        "from lamington.core.aws import Scope\n"
        "from lamington.core.clock import Ids\n"
        "from lamington.wire.dispatch import Dispatcher\n"
        "import lamington.wire.identity\n"
        "async def answer(params, scope): return {}\n"
        "ours = Dispatcher({'sts:AssumeRole': answer}, Ids())\n"
        "asyncio.run(ours.call('sts:AssumeRole', {}, Scope()))\n"
        "assert not [name for name in sys.modules if name.startswith('boto')]\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()
