"""Recursive loops: the sixteenth invocation of a chain is the last."""

import pytest

from lamington.core.clock import Ids, ManualClock
from lamington.functions.entities import RecursiveInvocationException
from lamington.functions.recursion import RecursionGuard
from lamington.functions.tracing import Tracer

ARN = "arn:aws:lambda:us-east-1:111111111111:function:f"


class Chain:
    """A function that invokes itself, in a chain that carries the trace header on."""

    def __init__(self, allowed: bool) -> None:
        self.told: list[str] = []
        self.guard = RecursionGuard(lambda _: allowed, self.notice)
        self.tracer = Tracer(ManualClock(), Ids())

    def notice(self, function_arn: str, metric: str, value: float, text: str = "") -> None:
        self.told.append(metric)

    def run(self, rounds: int, *arns: str) -> int:
        """How many invocations there were before one was refused."""
        header = ""
        for number in range(rounds):
            arn = arns[number % len(arns)]
            try:
                self.guard.require_no_loop(header, arn)
            except RecursiveInvocationException:
                return number
            header = self.tracer.trace_for_invocation(header, arn)
        return rounds


def test_chain_is_stopped_after_sixteen_invocations() -> None:
    chain = Chain(allowed=False)
    assert chain.run(100, ARN) == 16
    assert chain.told == ["RecursiveInvocationsDropped"]


def test_loop_of_two_functions_is_stopped_as_well() -> None:
    assert Chain(allowed=False).run(100, ARN, f"{ARN}2") == 32


def test_allowed_loop_goes_on() -> None:
    chain = Chain(allowed=True)
    assert chain.run(100, ARN) == 100
    assert chain.told == []


def test_refusal_is_the_services() -> None:
    chain = Chain(allowed=False)
    header = ""
    for _ in range(16):
        header = chain.tracer.trace_for_invocation(header, ARN)
    with pytest.raises(RecursiveInvocationException) as refused:
        chain.guard.require_no_loop(header, ARN)
    assert (refused.value.status, refused.value.members) == (400, {"Type": "User"})
