"""Requests over HTTP: through a proxy integration and through mapping templates, and the peers."""

import argparse
import contextlib
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks import servers, table
from benchmarks.load import Measurement, Target, measure

CLIENTS = (1, 16, 64)
KILOBYTE = '{"text": "' + "x" * 1000 + '"}'


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(servers.service_copy())
        ours = stack.enter_context(servers.lamington(root))
        fastapi = stack.enter_context(servers.fastapi())
        floor = stack.enter_context(servers.floor())
        hello = [
            Target(name="proxy", url=ours.url("/proxy/hello"), process_id=ours.process_id),
            Target(name="mapped", url=ours.url("/mapped/hello"), process_id=ours.process_id),
            Target(name="fastapi", url=fastapi.url("/hello"), process_id=fastapi.process_id),
            Target(name="floor", url=floor.url("/hello"), process_id=floor.process_id),
        ]
        echo = [
            Target(
                name=target.name,
                url=target.url.replace("hello", "echo"),
                process_id=target.process_id,
                method="POST",
                body=KILOBYTE,
            )
            for target in hello
        ]
        return {
            "hello": compare("GET hello", hello, arguments),
            "echo_1_kb": compare("POST echo, 1 KB", echo, arguments),
        }


def compare(
    title: str,
    targets: list[Target],
    arguments: argparse.Namespace,
    clients: Sequence[int] = CLIENTS,
) -> dict[str, Any]:
    """Load the targets in turn; `fastapi` and `floor` are the others' yardsticks."""
    for target in targets:
        measure(target, 16, 1)
    results: dict[str, Any] = {}
    rows = []
    for at_once in clients:
        rounds: dict[str, list[Measurement]] = {target.name: [] for target in targets}
        for number in range(arguments.rounds):
            # Each round begins with another target, so that none always follows the same one.
            turn = number % len(targets)
            for target in (*targets[turn:], *targets[:turn]):
                rounds[target.name].append(measure(target, at_once, arguments.seconds))
        for name, measured in rounds.items():
            figures = _figures(measured, rounds["fastapi"], rounds["floor"])
            results[f"{name}, {at_once} clients"] = figures
            rows.append((name, at_once, *figures.values()))
    columns = ("target", "clients", "req/s", "p50 ms", "p99 ms", "CPU us/req")
    table.show(title, (*columns, "/ fastapi", "/ floor", "bad"), rows)
    return results


def _figures(
    measured: list[Measurement], fastapi: list[Measurement], floor: list[Measurement]
) -> dict[str, float]:
    def median_ratio(others: list[Measurement]) -> float:
        return statistics.median(
            ours.requests_per_s / theirs.requests_per_s
            for ours, theirs in zip(measured, others, strict=True)
        )

    return {
        "requests_per_s": round(statistics.median(m.requests_per_s for m in measured)),
        "p50_ms": round(statistics.median(m.p50_ms for m in measured), 2),
        "p99_ms": round(statistics.median(m.p99_ms for m in measured), 2),
        "cpu_us_per_request": round(statistics.median(m.cpu_us_per_request for m in measured), 1),
        "ratio_to_fastapi": round(median_ratio(fastapi), 2),
        "ratio_to_floor": round(median_ratio(floor), 2),
        "bad": sum(m.bad for m in measured),
    }
