"""Trace headers: what a function sees of its request's, and the lineage of a chain."""

import re
from urllib.parse import quote

import pytest

from lamington.core.clock import Ids, ManualClock
from lamington.functions.tracing import LINEAGE_FUNCTIONS_MAX, Trace, Tracer, invocations_in

ARN = "arn:aws:lambda:us-east-1:111111111111:function:f"
GIVEN = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tracer(clock: ManualClock) -> Tracer:
    return Tracer(clock, Ids())


def test_header_of_the_request_goes_on_with_a_lineage(tracer: Tracer) -> None:
    seen = tracer.trace_for_invocation(GIVEN, ARN)
    assert re.fullmatch(re.escape(GIVEN) + r";Lineage=1:[0-9a-f]{8}:0", seen)


def test_request_without_a_header_gets_a_root_of_this_second_unsampled(tracer: Tracer) -> None:
    seen = tracer.trace_for_invocation("", ARN)
    assert re.fullmatch(
        r"Root=1-6955b900-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0;Lineage=1:[0-9a-f]{8}:0", seen
    )


async def test_roots_differ_and_carry_the_time(tracer: Tracer, clock: ManualClock) -> None:
    first = [Trace.parse(tracer.new_header()).root for _ in range(100)]
    await clock.advance(16)
    assert len(set(first)) == 100
    assert tracer.new_header().startswith("Root=1-6955b910-")


@pytest.mark.parametrize(
    "header",
    [
        "Self=1-67891234-12456789abcdef012345678;Root=1-5759e988-bd862e3fe1be46a994272793",
        "Root=1-5759e988-bd862e3fe1be46a994272793",
        "Sampled=?;Root=1-5759e988-bd862e3fe1be46a994272793",
        "root=1-5759e988-bd862e3fe1be46a994272793; CalledFrom=app",
    ],
)
def test_root_of_a_header_with_less_or_more_is_kept(tracer: Tracer, header: str) -> None:
    seen = tracer.trace_for_invocation(header, ARN)
    assert re.fullmatch(
        r"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=[0-9a-f]{16};Sampled=0;Lineage=1:\w{8}:0",
        seen,
    )


@pytest.mark.parametrize("header", ["x", ";;;", "Root=1-zz", "Root=a\r\nSet-Cookie: b", "=;=", "é"])
def test_header_that_is_none_is_replaced(tracer: Tracer, header: str) -> None:
    assert tracer.trace_for_invocation(header, ARN).startswith("Root=1-6955b900-")


async def test_active_tracing_samples_the_first_request_of_a_second(
    tracer: Tracer, clock: ManualClock
) -> None:
    def sampled() -> str | None:
        return Trace.parse(tracer.trace_for_invocation("", ARN, "Active")).sampled

    assert sampled() == "1"
    rest = [sampled() for _ in range(2000)]
    assert 40 < rest.count("1") < 180, "five of a hundred"
    await clock.advance(1)
    assert sampled() == "1"


def test_active_tracing_makes_a_segment_and_keeps_the_decision_of_the_request(
    tracer: Tracer,
) -> None:
    header = GIVEN.replace("Sampled=1", "Sampled=0")
    seen = Trace.parse(tracer.trace_for_invocation(header, ARN, "Active"))
    assert (seen.root, seen.sampled) == ("1-5759e988-bd862e3fe1be46a994272793", "0")
    assert seen.parent != "53995c3f42cd8ad8"


def test_lineage_counts_the_function_whatever_its_qualifier(tracer: Tracer) -> None:
    header = ""
    for times in range(5):
        assert invocations_in(header, ARN) == times
        header = tracer.trace_for_invocation(header, f"{ARN}:prod" if times % 2 else ARN)
    assert invocations_in(header, f"{ARN}:3") == 5
    assert invocations_in(header, f"{ARN}2") == 0


def test_lineage_holds_the_functions_of_the_chain(tracer: Tracer) -> None:
    header = tracer.trace_for_invocation(GIVEN, ARN)
    header = tracer.trace_for_invocation(header, f"{ARN}2")
    assert header.startswith(GIVEN + ";Lineage=1:")
    assert re.search(r"Lineage=1:\w{8}:0\|1:\w{8}:0$", header)


def test_header_as_botocore_sends_it_is_read(tracer: Tracer) -> None:
    header = tracer.trace_for_invocation(GIVEN, ARN)
    header = tracer.trace_for_invocation(header, f"{ARN}2")
    sent = quote(header, safe="-=;:+&[]{}\"',")
    assert "%7C" in sent
    assert invocations_in(sent, ARN) == 1
    assert invocations_in(tracer.trace_for_invocation(sent, ARN), ARN) == 2


def test_lineage_in_the_older_form_is_read(tracer: Tracer) -> None:
    trace = Trace.parse(f"{GIVEN};Lineage=a87bd80c:1|25:68fd508a:5|x:y")
    assert trace.lineage == (("a87bd80c", 1), ("68fd508a", 5))


def test_lineage_has_an_end(tracer: Tracer) -> None:
    header = ""
    for number in range(100):
        header = tracer.trace_for_invocation(header, f"{ARN}{number}")
    assert len(Trace.parse(header).lineage) == LINEAGE_FUNCTIONS_MAX
    assert invocations_in(header, f"{ARN}99") == 1
