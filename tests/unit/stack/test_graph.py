"""Order and cycles."""

import pytest

from lamington.stack.graph import CycleError, order_of, reversed_edges


def test_free_nodes_keep_their_order() -> None:
    assert order_of({"b": [], "a": [], "c": ["b"]}) == ["b", "a", "c"]


def test_a_node_comes_after_all_that_it_waits_for() -> None:
    assert order_of({"a": ["b", "c"], "b": ["c"], "c": []}) == ["c", "b", "a"]


def test_what_is_not_in_the_graph_is_not_waited_for() -> None:
    assert order_of({"a": ["gone"]}) == ["a"]


def test_a_cycle_names_its_nodes_and_not_those_behind_it() -> None:
    with pytest.raises(CycleError) as caught:
        order_of({"behind": ["a"], "a": ["b"], "b": ["a"], "before": []})
    assert caught.value.nodes == ["a", "b"]


def test_edges_reverse() -> None:
    assert reversed_edges({"a": ["b"], "b": []}) == {"a": [], "b": ["a"]}
