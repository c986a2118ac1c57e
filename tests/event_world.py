"""An event queue for tests: attempts that answer as told, and a clock to be turned by hand."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes_aws import FakeAws
from lamington.core.aws import AwsCaller, Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.errors import AwsError
from lamington.core.store import Store
from lamington.functions.entities import (
    Alias,
    Code,
    Function,
    FunctionVersion,
    ResourceNotFoundException,
)
from lamington.functions.event_store import AcceptedEvent
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.queue import EventQueue, EventSettings

SCOPE = Scope(account_id="111111111111")
ARN = SCOPE.arn("lambda", "function:f")
QUEUE = SCOPE.arn("sqs", "q")
ID = "11111111-2222-4333-8444-555555555555"
TRACE = "Root=1-6b0463ae-15f3d2fdb2d0002ff786a1fa;Parent=939b002ff786a1fb;Sampled=0"


@dataclass
class Event:
    """An invocation as `put` takes it."""

    function_arn: str = ARN
    payload: bytes = b'{"a": 1}'
    request_id: str = ID
    trace_id: str = TRACE


@dataclass
class Answer:
    payload: bytes = b'"done"'
    function_error: str = ""
    executed_version: str = "$LATEST"


FAILED = Answer(payload=b'{"errorMessage":"no","errorType":"E"}', function_error="Unhandled")


@dataclass
class EventWorld:
    """A queue whose function answers with `answer`, or raises it, or does what it does."""

    store: Store
    clock: ManualClock = field(default_factory=ManualClock)
    aws: FakeAws = field(default_factory=FakeAws)
    answer: Answer | AwsError | Callable[[AcceptedEvent], Any] = field(default_factory=Answer)
    settings: dict[str, EventSettings] = field(default_factory=dict)
    default: EventSettings | None = field(default_factory=EventSettings)
    attempts: list[tuple[float, AcceptedEvent]] = field(default_factory=list)
    told: list[tuple[str, float, str]] = field(default_factory=list)
    caller: AwsCaller = field(init=False)
    queue: EventQueue = field(init=False)

    def __post_init__(self) -> None:
        self.caller = self.aws
        self.open()
        self.aws.queues["us-east-1/111111111111/q"] = []

    def open(self) -> None:
        self.queue = EventQueue(
            store=self.store,
            clock=self.clock,
            ids=Ids(),
            attempt=self.attempt,
            configuration=self,
            caller=self.caller,
            notice=self.notice,
        )

    async def reopen(self) -> None:
        """End the queue, and start one over what it left."""
        await self.queue.close()
        self.open()
        await self.queue.start()

    async def pass_time(self, seconds: float) -> None:
        """Turn the clock on in small steps: what one sets off is done before the next."""
        steps = max(round(seconds * 2), 1)
        for _ in range(steps):
            await self.clock.advance(seconds / steps)

    def settings_of(self, function_arn: str) -> EventSettings:
        found = self.settings.get(function_arn, self.default)
        if found is None:
            raise ResourceNotFoundException(f"Function not found: {function_arn}")
        return found

    async def attempt(self, event: AcceptedEvent) -> Answer:
        self.attempts.append((self.clock.monotonic(), event))
        if isinstance(self.answer, AwsError):
            raise self.answer
        if isinstance(self.answer, Answer):
            return self.answer
        result: Answer = await self.answer(event)
        return result

    def notice(self, function_arn: str, metric: str, value: float, text: str = "") -> None:
        self.told.append((metric, value, text))

    def times(self) -> list[float]:
        return [moment for moment, _ in self.attempts]

    def count(self, metric: str) -> float:
        return sum(value for name, value, _ in self.told if name == metric)

    def messages(self) -> list[dict[str, Any]]:
        """What the queue `q` has been sent."""
        return self.aws.queues["us-east-1/111111111111/q"]

    def rows(self) -> int:
        """Events on disk."""
        found: int = self.store.database.execute("SELECT count(*) FROM lambda_events").fetchone()[0]
        return found


@contextlib.asynccontextmanager
async def event_world(directory: Path, **members: Any) -> AsyncIterator[EventWorld]:
    store = Store(directory)
    world = EventWorld(store, **members)
    await world.queue.start()
    try:
        yield world
    finally:
        await world.queue.close()
        store.close()


def functions_registry(store: Store, clock: ManualClock) -> FunctionRegistry:
    """The functions "f", with version 1 and the alias "prod", and "g": rows, and no code."""
    registry = FunctionRegistry(store, clock, Ids())
    for name, version in (("f", "$LATEST"), ("f", "1"), ("g", "$LATEST")):
        registry.functions.put(SCOPE, Function(function_name=name))
        row = FunctionVersion(
            function_name=name,
            version=version,
            runtime="python3.12",
            handler="app.handler",
            role="arn:aws:iam::111111111111:role/r",
            code=Code(blob="", size_bytes=0, sha256_base64=""),
            settings={"DeadLetterConfig": {"TargetArn": QUEUE}} if version == "1" else {},
            last_modified="2026-01-01T00:00:00.000+0000",
            revision_id="r",
        )
        registry.versions.put(SCOPE, row)
    alias = Alias(function_name="f", name="prod", function_version="1", revision_id="r")
    registry.aliases.put(SCOPE, alias)
    return registry
