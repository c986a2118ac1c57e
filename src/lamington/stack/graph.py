"""Nodes and what each waits for: order, cycles, reversal. Knows nothing of AWS.

Left to others: what the nodes are, and what a cycle means to a user.
"""

from collections.abc import Iterable, Mapping

from lamington.core.errors import LamingtonError

Edges = Mapping[str, Iterable[str]]
"""Each node, and the nodes that it waits for."""


class CycleError(LamingtonError):
    """Nodes that wait for each other, in the order of the graph; never seen by a user as it is."""

    def __init__(self, nodes: list[str]) -> None:
        super().__init__(", ".join(nodes))
        self.nodes = nodes


def order_of(edges: Edges) -> list[str]:
    """Every node after all that it waits for; nodes that are free keep the graph's order.

    Raises CycleError.
    """
    waiting = {node: {each for each in waits if each in edges} for node, waits in edges.items()}
    followers = reversed_edges(waiting)
    ready = [node for node, waits in waiting.items() if not waits]
    order: list[str] = []
    while ready:
        following: list[str] = []
        for node in ready:
            order.append(node)
            for follower in followers[node]:
                waiting[follower].discard(node)
                if not waiting[follower]:
                    following.append(follower)
        ready = following
    if len(order) < len(edges):
        raise CycleError(_on_cycles(edges, set(order)))
    return order


def reversed_edges(edges: Edges) -> dict[str, list[str]]:
    """Each node, and the nodes that wait for it."""
    result: dict[str, list[str]] = {node: [] for node in edges}
    for node, waits in edges.items():
        for each in waits:
            if each in result:
                result[each].append(node)
    return result


def _on_cycles(edges: Edges, ordered: set[str]) -> list[str]:
    """Of the nodes that found no order, those on a cycle: those behind one are innocent."""
    left = {
        node: {each for each in waits if each in edges and each not in ordered}
        for node, waits in edges.items()
        if node not in ordered
    }
    while True:
        needed = {each for waits in left.values() for each in waits}
        innocent = [node for node in left if node not in needed]
        if not innocent:
            return list(left)
        for node in innocent:
            del left[node]
