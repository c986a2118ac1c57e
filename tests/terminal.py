"""The AWS CLI, unchanged, as somebody at a terminal runs it against one engine."""

import json
import subprocess
from pathlib import Path
from typing import Any

from processes import AWS, aws_environment

STEP_LIMIT_S = 60


class Terminal:
    """The CLI in a directory of its own, with the engine as its endpoint."""

    def __init__(self, endpoint_url: str, directory: Path) -> None:
        self._endpoint_url = endpoint_url
        self._directory = directory

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [AWS, "--endpoint-url", self._endpoint_url, "--output", "json", *arguments],
            cwd=self._directory,
            env=aws_environment(),
            capture_output=True,
            text=True,
            timeout=STEP_LIMIT_S,
        )

    def aws(self, *arguments: str) -> Any:
        done = self.run(*arguments)
        assert done.returncode == 0, f"aws {' '.join(arguments)}\n{done.stderr}"
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[", '"')) else done.stdout

    def refused(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 255, done.stdout
        return done.stderr.strip()
