"""Aggregates of the Logs Insights query language: what `stats` keeps of the rows of one group.

Pure. Percentiles are those of a sketch: right to 0.8 %, in bounded room.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lamington.functions.distribution import Distribution
from lamington.functions.query_expressions import Row, as_number, text_of

DISTINCT_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """How an aggregate takes a value, and what it makes of all of them."""

    take: Callable[["Fold", Any, Row], None]
    result: Callable[["Fold"], Any]


class Fold:
    """One aggregate over the rows of one group."""

    __slots__ = ("_aggregate", "_evaluate", "best", "count", "numbers", "seen", "share", "squares")

    def __init__(
        self, aggregate: Aggregate, evaluate: Callable[[Row], Any] | None, share: float
    ) -> None:
        """Without `evaluate` rows are counted; `share` is the percentile that is asked for."""
        self._aggregate = aggregate
        self._evaluate = evaluate
        self.share = share
        self.count = 0
        self.numbers = Distribution()
        self.squares = 0.0
        self.seen: set[str] = set()
        self.best: Any = None

    def add(self, row: Row) -> None:
        if self._evaluate is None:
            self.count += 1
        elif (value := self._evaluate(row)) is not None:
            self.count += 1
            self._aggregate.take(self, value, row)

    def result(self) -> Any:
        return self._aggregate.result(self)


def rank_of(value: Any) -> tuple[int, float, str]:
    """What values are sorted by: numbers come before text."""
    number = as_number(value)
    return (0, number, "") if number is not None else (1, 0.0, text_of(value))


def _take_nothing(fold: Fold, value: Any, row: Row) -> None:
    """The count is enough."""


def _take_number(fold: Fold, value: Any, row: Row) -> None:
    number = as_number(value)
    if number is not None:
        fold.numbers.add(float(number))
        fold.squares += number * number


def _take_text(fold: Fold, value: Any, row: Row) -> None:
    if len(fold.seen) < DISTINCT_MAX:
        fold.seen.add(text_of(value))


def _take_least(fold: Fold, value: Any, row: Row) -> None:
    if fold.best is None or rank_of(value) < rank_of(fold.best):
        fold.best = value


def _take_most(fold: Fold, value: Any, row: Row) -> None:
    if fold.best is None or rank_of(value) > rank_of(fold.best):
        fold.best = value


def _take_earliest(fold: Fold, value: Any, row: Row) -> None:
    at = row.get("@timestamp") or 0
    if fold.best is None or at < fold.best[0]:
        fold.best = (at, value)


def _take_latest(fold: Fold, value: Any, row: Row) -> None:
    at = row.get("@timestamp") or 0
    if fold.best is None or at > fold.best[0]:
        fold.best = (at, value)


def _average(fold: Fold) -> Any:
    return fold.numbers.average if fold.numbers.count else None


def _percentile(fold: Fold) -> Any:
    return fold.numbers.percentile(fold.share) if fold.numbers.count else None


def _deviation(fold: Fold) -> float:
    count = fold.numbers.count
    if count < 2:
        return 0.0
    spread = fold.squares - fold.numbers.total**2 / count
    return math.sqrt(max(spread, 0.0) / (count - 1))


def _best(fold: Fold) -> Any:
    return fold.best


def _best_value(fold: Fold) -> Any:
    return None if fold.best is None else fold.best[1]


_PERCENTILE = Aggregate(take=_take_number, result=_percentile)
_LEAST = Aggregate(take=_take_least, result=_best)
_MOST = Aggregate(take=_take_most, result=_best)

AGGREGATES: Mapping[str, Aggregate] = {
    "count": Aggregate(take=_take_nothing, result=lambda fold: fold.count),
    "count_distinct": Aggregate(take=_take_text, result=lambda fold: len(fold.seen)),
    "sum": Aggregate(take=_take_number, result=lambda fold: fold.numbers.total),
    "avg": Aggregate(take=_take_number, result=_average),
    "min": _LEAST,
    "max": _MOST,
    "pct": _PERCENTILE,
    "percentile": _PERCENTILE,
    "median": _PERCENTILE,
    "stddev": Aggregate(take=_take_number, result=_deviation),
    "earliest": Aggregate(take=_take_earliest, result=_best_value),
    "latest": Aggregate(take=_take_latest, result=_best_value),
    "sortsfirst": _LEAST,
    "sortslast": _MOST,
}
"""By the names of the language, in lower case."""
