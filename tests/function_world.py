"""Real execution environments for tests: an invoker over a store of its own, and code in a line."""

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fakes_aws import FakeAws
from lamington.core.aws import Scope
from lamington.core.clock import Clock, Ids, SystemClock
from lamington.core.settings import Settings
from lamington.core.store import Store
from lamington.functions.entities import FunctionVersion, ResourceNotFoundException
from lamington.functions.invoke import FunctionInvoker, Invocation, InvocationResult
from lamington.functions.log_store import LogStore
from lamington.functions.packages import Packages
from lamington.functions.queue import EventQueue, EventSettings
from lamington.functions.telemetry import Telemetry
from processes import processes_in

SCOPE = Scope(account_id="111111111111")


def archive(files: dict[str, str]) -> bytes:
    """A deployment package of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            # The default is for nobody but the owner, whom a function is not: here as on AWS.
            entry.external_attr = 0o644 << 16
            opened.writestr(entry, text)
    return buffer.getvalue()


class GivenVersions:
    """A VersionLookup over what a test has given."""

    def __init__(self) -> None:
        self.rows: dict[str, FunctionVersion] = {}
        self.reserved: dict[str, int] = {}

    def find(self, function_arn: str) -> tuple[list[tuple[float, FunctionVersion]], int | None]:
        name = function_arn.split(":")[6]
        if name not in self.rows:
            raise ResourceNotFoundException(f"Function not found: {function_arn}")
        return [(1.0, self.rows[name])], self.reserved.get(name)


class OrdinaryEvents:
    """An EventConfiguration that leaves everything as it is by default."""

    def settings_of(self, function_arn: str) -> EventSettings:
        return EventSettings()


class FunctionWorld:
    """An invoker whose functions are a test's own."""

    def __init__(self, directory: Path, clock: Clock, **settings: Any) -> None:
        self.ids = Ids()
        self.store = Store(directory)
        self.logs = LogStore(self.store, clock, 1 << 24)
        self.packages = Packages(self.store)
        self.versions = GivenVersions()
        self.aws = FakeAws()
        self.invoker = FunctionInvoker(
            versions=self.versions,
            packages=self.packages,
            telemetry=Telemetry(self.logs, clock),
            clock=clock,
            ids=self.ids,
            settings=Settings(data=directory, **settings),
        )
        self.events = EventQueue(
            store=self.store,
            clock=clock,
            ids=self.ids,
            attempt=self.invoker.attempt,
            configuration=OrdinaryEvents(),
            caller=self.aws,
            notice=lambda function_arn, metric, value, text="": None,
        )
        self.invoker.events = self.events

    def deploy(self, content: bytes, name: str = "f", **members: Any) -> str:
        """A function whose deployment package is given; returns its ARN."""
        self.versions.rows[name] = FunctionVersion(
            **{
                "function_name": name,
                "handler": "app.handler",
                "role": "arn:aws:iam::111111111111:role/r",
                "code": self.packages.store_archive(content),
                "last_modified": "2026-01-02T03:04:05.678+0000",
                "revision_id": self.ids.uuid(),
                **members,
            }
        )
        return SCOPE.arn("lambda", f"function:{name}")

    def python(self, text: str, name: str = "f", **members: Any) -> str:
        """A function in Python whose `app.py` is the text; returns its ARN."""
        return self.function({"app.py": text}, name, runtime="python3.11", **members)

    def node(self, text: str, name: str = "f", **members: Any) -> str:
        """A function in Node.js whose `app.js` is the text; returns its ARN."""
        return self.function({"app.js": text}, name, **{"runtime": "nodejs20.x", **members})

    def function(self, files: dict[str, str], name: str = "f", **members: Any) -> str:
        return self.deploy(archive(files), name, **members)

    async def invoke(self, arn: str, event: Any = None, **members: Any) -> InvocationResult:
        payload = json.dumps({} if event is None else event).encode()
        invocation = Invocation(**{"function_arn": arn, "payload": payload, **members})
        return await self.invoker.invoke(invocation)

    async def answer(self, arn: str, event: Any = None, **members: Any) -> Any:
        """What the function answers, decoded."""
        return json.loads((await self.invoke(arn, event, **members)).payload)

    def messages(self, name: str = "f") -> list[str]:
        """The function's log, one item for each event."""
        page = self.logs.read_events(SCOPE, f"/aws/lambda/{name}")
        return [event.message for event in page.events]


async def eventually(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Wait until something outside of this process has come about; fails after the limit."""
    for _ in range(int(limit_s / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    assert condition()


def processes_of(directory: Path) -> list[int]:
    """The functions' processes whose engine has its data in the directory."""
    return processes_in(directory)


@asynccontextmanager
async def function_world(directory: Path, **settings: Any) -> AsyncIterator[FunctionWorld]:
    """A world that ends all its processes with the test."""
    world = FunctionWorld(directory, settings.pop("clock", SystemClock()), **settings)
    await world.invoker.start()
    try:
        yield world
    finally:
        await world.events.close()
        await world.invoker.close()
        world.store.close()
