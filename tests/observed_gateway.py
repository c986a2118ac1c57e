"""A small API in service whose journal writes to a real log store and real metrics."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from fakes_gateway import SCOPE, Handler, SmallGateway, lambda_method, small_stage
from lamington.core.clock import Ids
from lamington.core.store import Store
from lamington.functions.distribution import Distribution
from lamington.functions.log_store import LogStore
from lamington.functions.metrics import Metrics
from lamington.gateway.completed import journaling
from lamington.gateway.entities import Method
from lamington.gateway.journal import NAMESPACE, Journal
from lamington.gateway.pipeline import RestDataPlane

FLUSH_S = 3600.0
"""Longer than any test: what is written is written by `flush`."""


class ObservedGateway:
    """`gateway` answers requests; what is told of them is read back from here."""

    def __init__(self, store: Store, gateway: SmallGateway) -> None:
        self.gateway = gateway
        self.logs = LogStore(store, gateway.clock, 2**30)
        self.metrics = Metrics(store, gateway.clock)
        self.journal = Journal(self.logs, self.metrics, FLUSH_S)
        self.logs.flush_with(self.journal.flush)
        self.metrics.flush_with(self._flush_metrics)
        gateway.plane = RestDataPlane(
            clock=gateway.clock, ids=Ids(), journal=journaling(self.journal)
        )
        gateway.plane.deploy(gateway.program)

    def _flush_metrics(self) -> None:
        self.journal.flush()
        self.metrics.write()

    def lines(self, group: str) -> list[str]:
        return [event.message for event in self.logs.read_events(SCOPE, group).events]

    def values(self, name: str, **dimensions: str) -> Distribution:
        """All values of one metric of AWS/ApiGateway."""
        now = self.gateway.clock.now()
        found = self.metrics.read(
            SCOPE,
            NAMESPACE,
            name,
            tuple(sorted(dimensions.items())),
            now - timedelta(hours=1),
            now + timedelta(hours=1),
        )
        whole = Distribution()
        for each in found.values():
            whole.merge(each)
        return whole


@contextmanager
def observed_gateway(
    directory: Path,
    methods: Mapping[str, Method] | None = None,
    handler: Handler | None = None,
    *,
    stage: Mapping[str, Any] | None = None,
    **members: Any,
) -> Iterator[ObservedGateway]:
    """An API of one Lambda proxy method `GET /pets/{id}` unless `methods` say else."""
    store = Store(directory)
    gateway = SmallGateway(
        methods or {"GET /pets/{id}": lambda_method()},
        handler or _answer,
        stage=small_stage(**(stage or {})),
        **members,
    )
    try:
        yield ObservedGateway(store, gateway)
    finally:
        store.close()


def _answer(event: Any) -> dict[str, Any]:
    return {"statusCode": 201, "body": "made"}
