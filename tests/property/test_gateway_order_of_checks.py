"""Whatever is wrong with a request, it hears of what AWS looks at first: a model against ours."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guarded_world import ORDER, TOKENS_WRONG, GuardedGateway, first_refusal
from lamington.core.store import Store

FAULTS = st.builds(
    lambda token, others: frozenset({*others, *token}),
    st.sets(st.sampled_from(TOKENS_WRONG), max_size=1),
    st.sets(st.sampled_from([each for each in ORDER if each not in TOKENS_WRONG])),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(faults=FAULTS)
def test_refusal_is_that_of_the_first_check(faults: frozenset[str], store: Store) -> None:
    gateway = GuardedGateway(store, faults)
    response = asyncio.run(gateway.send(faults))
    assert gateway.refused_for == first_refusal(faults)
    assert (response.status == 200) is (not faults)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(faults=FAULTS.filter(bool))
def test_what_was_refused_comes_through_once_its_faults_are_mended(
    faults: frozenset[str], store: Store
) -> None:
    """Mending what is told, one thing after the other, ends: no fault hides behind itself."""
    left = set(faults)
    while left:
        gateway = GuardedGateway(store, left)
        asyncio.run(gateway.send(left))
        told = gateway.refused_for
        assert told
        left.discard(next(fault for fault in ORDER if fault in left and ORDER[fault] == told))
    gateway = GuardedGateway(store)
    assert asyncio.run(gateway.send()).status == 200
