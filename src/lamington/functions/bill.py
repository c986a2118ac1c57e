"""What AWS would charge for what functions used on this machine.

Pure, but for the price table that it reads. Left to others: the usage itself (`metrics`), how a
bill is shown (the command line).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lamington.core.errors import UsageError
from lamington.functions.usage import Usage

MONTH_S = 30 * 86_400.0
MB_MS_IN_GB_S = 1024 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges:
    """US dollars by what they are for."""

    requests: float = 0.0
    duration: float = 0.0
    provisioned: float = 0.0
    ephemeral_storage: float = 0.0

    @property
    def total(self) -> float:
        return self.requests + self.duration + self.provisioned + self.ephemeral_storage


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One function's use in the span of a bill, or that of all of them."""

    function_name: str
    requests: int
    errors: int
    timeouts: int
    cold_starts: int
    init_ms: float
    billed_ms: int
    average_ms: float
    median_ms: float
    p95_ms: float
    p99_ms: float
    longest_ms: float
    gb_seconds: float
    charges: Charges
    """Without the free tier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What was used from `start` to `end`, and what that and a month of it would cost."""

    start: datetime
    end: datetime
    lines: tuple[BillLine, ...]
    total: BillLine
    free_requests: float
    free_gb_seconds: float
    """What the free tier covers of `total`, if nothing else was used in the month."""
    to_pay: float
    """US dollars, after the free tier."""
    month_to_pay: float
    """US dollars, after the free tier, were a whole month like this span."""
    month_charges: float
    prices_date: str
    prices_region: str

    def document(self) -> dict[str, Any]:
        """The bill for programs."""
        return {
            "from": self.start.isoformat(),
            "to": self.end.isoformat(),
            "currency": "USD",
            "prices": {"date": self.prices_date, "region": self.prices_region},
            "functions": [_document(line) for line in self.lines],
            "total": _document(self.total),
            "free_tier": {
                "requests": self.free_requests,
                "gb_seconds": round(self.free_gb_seconds, 6),
                "saves": _dollars(self.total.charges.total - self.to_pay),
            },
            "to_pay": _dollars(self.to_pay),
            "month": {
                "charges": _dollars(self.month_charges),
                "to_pay": _dollars(self.month_to_pay),
            },
        }


def load_prices() -> dict[str, Any]:
    """The price table that comes with Lamington: `prices.toml`."""
    import tomllib
    from importlib import resources

    text = resources.files("lamington.functions").joinpath("prices.toml").read_text()
    return tomllib.loads(text)


def render_bill(
    used: Iterable[tuple[tuple[str, str, str, str], int, Usage]],
    prices: Mapping[str, Any],
    start: datetime | None,
    end: datetime,
) -> Bill:
    """The bill of `Metrics.usage` from `start`, or else from the first use, to `end`.

    AWS: Lambda pricing. Each request is charged for, a failed one too, a throttled one not.
    Differs: time for which provisioned concurrency is only allocated is not counted.
    """
    functions: dict[str, dict[str, Usage]] = {}
    first = int(end.timestamp() // 60)
    for (name, _, _, architecture), minute, usage in used:
        first = min(first, minute)
        parts = functions.setdefault(name, {})
        parts.setdefault(architecture, Usage()).merge(usage)
    if start is None:
        start = datetime.fromtimestamp(first * 60, end.tzinfo)
    everything: dict[str, Usage] = {}
    for parts in functions.values():
        for architecture, usage in parts.items():
            everything.setdefault(architecture, Usage()).merge(usage)
    lines = tuple(_line(name, parts, prices, 1.0) for name, parts in sorted(functions.items()))
    total = _line("", everything, prices, 1.0)
    months = MONTH_S / max((end - start).total_seconds(), 60.0)
    month = _line("", everything, prices, months)
    free = prices["free"]
    return Bill(
        start=start,
        end=end,
        lines=lines,
        total=total,
        free_requests=min(total.requests, free["requests"]),
        free_gb_seconds=min(_free_of(everything), free["gb_seconds"]),
        to_pay=_to_pay(everything, total.charges, prices, 1.0),
        month_to_pay=_to_pay(everything, month.charges, prices, months),
        month_charges=month.charges.total,
        prices_date=str(prices["date"]),
        prices_region=prices["region"],
    )


def duration_price(gb_seconds: float, table: Mapping[str, Any]) -> float:
    """US dollars for so many GB-seconds of one month, by the tiers."""
    cost, low = 0.0, 0.0
    bounds = [*map(float, table["tiers"]), float("inf")]
    for high, price in zip(bounds, table["prices"], strict=True):
        cost += max(min(gb_seconds, high) - low, 0.0) * price
        low = high
    return cost


def parse_bill_query(query: Mapping[str, str], now: datetime) -> tuple[datetime | None, datetime]:
    """The span that `from` and `to` name, in ISO 8601; None for all that is kept.

    Raises UsageError for what is no time.
    """
    try:
        start = datetime.fromisoformat(query["from"]) if query.get("from") else None
        end = datetime.fromisoformat(query["to"]) if query.get("to") else now
    except ValueError as error:
        raise UsageError(f"not a time: {error}", hint="such as 2026-01-02T03:04:05Z") from None
    start, end = start and _zoned(start), _zoned(end)
    if start is not None and start >= end:
        raise UsageError("the bill's span ends before it begins")
    return start, end


def _zoned(at: datetime) -> datetime:
    """AWS's times are UTC, and so is one without a zone."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _line(
    name: str, parts: Mapping[str, Usage], prices: Mapping[str, Any], scale: float
) -> BillLine:
    """One line; `scale` times what was used, for another span of time."""
    whole = Usage()
    duration_cost = provisioned_cost = 0.0
    for architecture, usage in parts.items():
        whole.merge(usage)
        table = prices["duration"].get(architecture) or prices["duration"]["x86_64"]
        duration_cost += duration_price(_gb_seconds(usage.memory_mb_ms) * scale, table)
        provisioned = prices["provisioned"].get(architecture) or prices["provisioned"]["x86_64"]
        provisioned_cost += (
            _gb_seconds(usage.provisioned_mb_ms) * scale * float(provisioned["duration"])
        )
    duration = whole.duration
    return BillLine(
        function_name=name,
        requests=whole.invocations,
        errors=whole.errors,
        timeouts=whole.timeouts,
        cold_starts=whole.inits,
        init_ms=whole.init_ms,
        billed_ms=whole.billed_ms,
        average_ms=duration.average,
        median_ms=duration.percentile(50),
        p95_ms=duration.percentile(95),
        p99_ms=duration.percentile(99),
        longest_ms=duration.most,
        gb_seconds=_gb_seconds(whole.memory_mb_ms + whole.provisioned_mb_ms),
        charges=Charges(
            requests=whole.invocations * scale * prices["requests_per_million"] / 1_000_000,
            duration=duration_cost,
            provisioned=provisioned_cost,
            ephemeral_storage=_gb_seconds(whole.storage_mb_ms)
            * scale
            * prices["ephemeral_storage"],
        ),
    )


def _to_pay(
    parts: Mapping[str, Usage], charges: Charges, prices: Mapping[str, Any], scale: float
) -> float:
    """The charges less the free tier, which takes off requests and on-demand GB-seconds."""
    free = prices["free"]
    requests = sum(usage.invocations for usage in parts.values()) * scale
    paid_requests = max(requests - free["requests"], 0) * prices["requests_per_million"] / 1_000_000
    gb_seconds = _free_of(parts) * scale
    share = max(1 - free["gb_seconds"] / gb_seconds, 0.0) if gb_seconds else 0.0
    return (
        float(paid_requests)
        + charges.duration * share
        + charges.provisioned
        + charges.ephemeral_storage
    )


def _free_of(parts: Mapping[str, Usage]) -> float:
    return sum(_gb_seconds(usage.memory_mb_ms) for usage in parts.values())


def _gb_seconds(mb_ms: float) -> float:
    return mb_ms / MB_MS_IN_GB_S


def _dollars(amount: float) -> float:
    return round(amount, 10)


def _document(line: BillLine) -> dict[str, Any]:
    charges = line.charges
    return {
        **({"function": line.function_name} if line.function_name else {}),
        "requests": line.requests,
        "errors": line.errors,
        "timeouts": line.timeouts,
        "cold_starts": line.cold_starts,
        "init_ms": round(line.init_ms, 3),
        "billed_ms": line.billed_ms,
        "duration_ms": {
            "average": round(line.average_ms, 3),
            "p50": round(line.median_ms, 3),
            "p95": round(line.p95_ms, 3),
            "p99": round(line.p99_ms, 3),
            "max": round(line.longest_ms, 3),
        },
        "gb_seconds": round(line.gb_seconds, 6),
        "charges": {
            "requests": _dollars(charges.requests),
            "duration": _dollars(charges.duration),
            "provisioned": _dollars(charges.provisioned),
            "ephemeral_storage": _dollars(charges.ephemeral_storage),
            "total": _dollars(charges.total),
        },
    }
