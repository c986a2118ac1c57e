"""What the pages tell a reader to type works when it is typed: each `sh` block, in its order.

The commands of a page are one session in a temporary copy of the examples. They are run as they are
written, save for ports: the session's engines take free ones. `make` is only asked what it would
do, since it makes a virtual environment. `deploy` and `destroy` go to MiniStack, by way of the
profile that the page names.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from documentation import PAGES, ROOT, Block, blocks_of, write_documented_service
from lamington.testing import running_service
from processes import free_port, get, wait_until

SCRIPTS = Path(sys.executable).parent
STEP_LIMIT_S = 60
STOP_LIMIT_S = 20
STATE = Path(".lamington") / "engine.json"
ENDED_BY_THE_TEST = ("up", "run", "start-api", "engine")
ON_AWS = ("deploy", "destroy")

SESSIONS = [page for page in PAGES if any(block.language == "sh" for block in blocks_of(page))]


def commands_of(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a block, with the comment behind it: what it prints, where it is JSON."""
    for line in block.text.replace("\\\n", " ").splitlines():
        command, _, comment = re.sub(r"\s+#\s+", "\0", line, count=1).partition("\0")
        if command.strip() and not command.startswith("#"):
            yield command.strip(), comment.strip()


class Session:
    """A reader at a terminal, with another one open for what keeps running."""

    def __init__(self, home: Path, stand_in: str) -> None:
        self._home = home
        self._stand_in = stand_in
        self._exports: list[str] = []
        self._ports: dict[str, str] = {}
        self._running: subprocess.Popen[bytes] | None = None
        config = home / "aws.ini"
        config.write_text(
            f"[profile shop]\nendpoint_url = {stand_in}\n"
            "aws_access_key_id = test\naws_secret_access_key = test\n"
        )
        self._environment = {
            "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "AWS_CONFIG_FILE": str(config),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }

    def type(self, command: str, printed: str) -> None:
        words = command.split()
        if words[0] == "export":
            self._exports.append(command)
        elif words[0] == "make":
            self._make(words[1])
        elif words[0] == "lamington" and words[1] in ENDED_BY_THE_TEST:
            self._start(command)
        else:
            said = self._run(command)
            if printed.startswith(('"', "{", "[")):
                assert json.loads(said) == json.loads(printed), command

    def close(self) -> None:
        if self._running is not None and self._running.poll() is None:
            self._running.send_signal(signal.SIGINT)
            assert self._running.wait(STOP_LIMIT_S) == 0
        self._running = None

    def _make(self, target: str) -> None:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if target == "up":
            found = re.search(r"lamington (up .*)", done.stdout)
            assert found is not None, done.stdout
            self._start(f"lamington {found[1]}")

    def _run(self, command: str) -> str:
        for port, actual in self._ports.items():
            command = re.sub(
                rf"\b(localhost|127\.0\.0\.1):{port}\b", f"127.0.0.1:{actual}", command
            )
        # A refused request is a failure here, which curl alone does not say.
        command = re.sub(r"^curl ", "curl -sS -f ", command)
        script = "\n".join([*self._exports, command])
        words = command.split()
        environment = dict(self._environment)
        if words[0] == "lamington" and words[1] in ON_AWS and "--profile" not in words:
            environment |= {
                "AWS_ENDPOINT_URL": self._stand_in,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
            }
        done = subprocess.run(
            ["sh", "-e", "-c", script],
            cwd=self._home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=STEP_LIMIT_S,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _start(self, command: str) -> None:
        """Start what runs until it is ended, on free ports, in place of what ran before."""
        self.close()
        port, aws_port = free_port(), free_port()
        self._ports = {"3000": str(port), "4566": str(aws_port)}
        words = command.split()
        taken = ["--aws-port", str(aws_port)]
        taken += [] if words[1] == "engine" else ["--port", str(port)]
        said = self._home / "running.log"
        with said.open("wb") as sink:
            running = subprocess.Popen(
                [str(SCRIPTS / words[0]), *words[1:], *taken],
                cwd=self._home,
                env=self._environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        self._running = running
        awaited = f"http://127.0.0.1:{aws_port if words[1] == 'engine' else port}/_lamington/health"

        def answers() -> bool:
            assert running.poll() is None, f"{command}\n{said.read_text()}"
            try:
                get(awaited)
            except urllib.error.HTTPError as answered:
                answered.close()
            except OSError:
                return False
            # The other commands find the engine by this file.
            return words[1] == "engine" or (self._home / words[2] / STATE).exists()

        wait_until(answers, f"{command} never answered")


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MiniStack, which deploys the examples: what it lacks is in test_deploy.py."""
    port = free_port()
    home = str(tmp_path_factory.mktemp("stand-in"))
    own = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "HOME": home, "TMPDIR": home}
    process = subprocess.Popen(
        [str(SCRIPTS / "ministack")],
        env={**os.environ, **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None
        try:
            get(f"{url}/_ministack/health")
        except urllib.error.HTTPError as answered:
            answered.close()
        except OSError:
            return False
        return True

    try:
        wait_until(answers, "MiniStack did not start")
        yield url
    finally:
        process.terminate()
        process.wait(STOP_LIMIT_S)


@pytest.mark.parametrize("page", SESSIONS, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_the_page_says_can_be_typed(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    typed = [command for block in blocks_of(page) if block.language == "sh"
             for command in commands_of(block)]  # fmt: skip
    needed = any(re.match(rf"lamington ({'|'.join(ON_AWS)})\b", command) for command, _ in typed)
    stand_in: str = request.getfixturevalue("stand_in") if needed else "http://127.0.0.1:1"
    ignored = shutil.ignore_patterns(".lamington")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignored)
    session = Session(tmp_path, stand_in)
    try:
        for command, printed in typed:
            session.type(command, printed)
    finally:
        session.close()


def test_commands_stand_in_blocks_that_are_run() -> None:
    for page in PAGES:
        text = page.read_text()
        shown = re.findall(
            r"^(?: {4})?(?:\$ )?((?:lamington|aws|make|curl) .*)", text, re.MULTILINE
        )
        runnable = "".join(block.text for block in blocks_of(page) if block.language == "sh")
        for command in shown:
            assert command in runnable, f"{page.name} shows a command that no test runs: {command}"


def test_documented_service_answers_as_the_page_says() -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = write_documented_service(Path(directory))
        with running_service(root, {"Shelves": "12"}) as service:
            found = service.get("/books?year=1972")
            assert json.loads(found.body)["count"] == 2
            assert (found.headers.get("x-count"), found.headers.get("x-tone")) == ("2", "polite")
            assert found.headers.get("access-control-allow-origin") == "https://library.example"
            refused = service.get("/books?year=1000")
            assert (refused.status, json.loads(refused.body)) == (
                400,
                {"message": "Bad request: nothing was printed before 1450"},
            )
            json_type = {"Content-Type": "application/json"}
            lent = service.request("POST", "/books/ashby/loan", b'{"reader": "Ada"}', json_type)
            assert (lent.status, json.loads(lent.body)) == (
                201,
                {"id": "ashby", "reader": "Ada", "days": 14},
            )
            out = service.request("POST", "/books/beer/loan", b'{"reader": "Ada"}', json_type)
            assert (out.status, out.body) == (409, b'{"message": "Lent: beer is out"}')
            nobody = service.request("POST", "/books/beer/loan", b"null", json_type)
            assert nobody.status == 400
            text = service.request(
                "POST", "/books/beer/loan", b"hello", {"Content-Type": "text/plain"}
            )
            assert text.status == 415
            file = service.get("/files/a/b")
            assert (file.headers.get("x-served"), json.loads(file.body)) == (
                "yes",
                ["GET", "a/b", None],
            )
            titles = service.get("/titles")
            assert titles.headers.get("content-type") == "text/plain"
            assert titles.body == b"Brain of the Firm (1972)\nDesign for a Brain (1952)\n"
