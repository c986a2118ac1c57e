"""A world of logs and metrics without processes: environments that only log."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lamington.core.aws import Operation, Result, Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.store import Store
from lamington.functions.entities import Code, FunctionVersion
from lamington.functions.log_store import LogStore
from lamington.functions.metrics import Metrics
from lamington.functions.operations.live_tail import LiveTailOperations
from lamington.functions.operations.log_queries import LogQueryOperations
from lamington.functions.operations.logs import LogOperations
from lamington.functions.operations.metrics import MetricOperations
from lamington.functions.telemetry import EnvironmentLog, Telemetry

SCOPE = Scope(account_id="111111111111")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)
REQUEST_ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"


@dataclass(kw_only=True)
class MetricsWorld:
    """Logs, metrics and their operations over a store of their own; it is noon."""

    store: Store
    clock: ManualClock
    logs: LogStore
    metrics: Metrics
    telemetry: Telemetry
    operations: dict[str, Operation]

    def environment(self, name: str = "f", **members: Any) -> EnvironmentLog:
        """The log of a new environment of a function."""
        version = FunctionVersion(
            **{
                "function_name": name,
                "runtime": "python3.12",
                "handler": "app.handler",
                "role": "r",
                "code": Code(blob="b", size_bytes=1, sha256_base64="s"),
                "last_modified": "",
                "revision_id": "",
                **members,
            }
        )
        return self.telemetry.open(SCOPE, version)

    async def call(self, operation: str, **params: Any) -> Result:
        return await self.operations[operation](params, SCOPE)


def invoke(
    log: EnvironmentLog, duration_ms: float = 10.0, at_ms: int = NOON_MS, **more: Any
) -> None:
    """Log an invocation, a warm one of `f` unless told otherwise."""
    qualifier = more.pop("qualifier", "")
    arn = SCOPE.arn("lambda", f"function:{log.facts.function_name}")
    members = {
        **{"request_id": REQUEST_ID, "memory_kb": 36_000, "init_ms": -1.0, "output": b""},
        **{"status": "", "function_arn": f"{arn}:{qualifier}" if qualifier else arn},
        **{"init_type": "on-demand", **more},
    }
    log.invocation(started_ms=at_ms, duration_ms=duration_ms, **members)


@contextlib.contextmanager
def metrics_world(directory: Path) -> Iterator[MetricsWorld]:
    store, clock, ids = Store(directory), ManualClock(NOON), Ids()
    logs = LogStore(store, clock, 1 << 24)
    metrics = Metrics(store, clock)
    telemetry = Telemetry(logs, clock, 0.01, metrics)
    try:
        yield MetricsWorld(
            store=store,
            clock=clock,
            logs=logs,
            metrics=metrics,
            telemetry=telemetry,
            operations={
                **LogOperations(logs, clock).operations(),
                **LogQueryOperations(logs, clock, ids).operations(),
                **LiveTailOperations(logs, clock, ids).operations(),
                **MetricOperations(metrics, clock).operations(),
            },
        )
    finally:
        telemetry.flush()
        store.close()


async def within(clock: ManualClock, seconds: float, stream: AsyncIterator[Any]) -> Any:
    """The next item of a stream that waits for the clock."""
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await clock.advance(seconds)
    return await waiting
