"""What happened to one request, step by step, for whoever wants to see it.

A request is recorded only where its stage logs executions or somebody asks for an explanation;
every other one has no `Recording`, and its steps cost nothing. Left to others: to show the steps.
"""

from dataclasses import dataclass
from typing import Any

from lamington.core.clock import Clock


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened; `at_s` counts from the beginning of the request.

    `values` are what went in, what came out and why, each as JSON would have it.
    """

    name: str
    at_s: float
    values: dict[str, Any]


class Recording:
    """The steps of one request in order."""

    __slots__ = ("_began", "_clock", "steps")

    def __init__(self, clock: Clock) -> None:
        self.steps: list[Step] = []
        self._clock = clock
        self._began = clock.monotonic()

    def add(self, name: str, /, **values: Any) -> None:
        self.steps.append(Step(name, self._clock.monotonic() - self._began, values))
