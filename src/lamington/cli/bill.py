"""The bill: what functions used, asked of the engine that runs or read from what it left."""

import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from lamington.cli.calls import parse_since
from lamington.cli.output import Output
from lamington.cli.up import is_up, load_engine_state
from lamington.core.errors import UsageError
from lamington.core.settings import load_settings

ANSWER_LIMIT_S = 30.0


def print_bill(root: Path, output: Output, *, since: str, from_: str, to: str) -> None:
    """Print each function's use and charges, the total, and a month's at this rate."""
    if since and from_:
        raise UsageError("`--since` and `--from` both say where to begin", hint="give one of them")
    if since:
        from_ = datetime.fromtimestamp(time.time() - parse_since(since), UTC).isoformat()
    query = {name: value for name, value in (("from", from_), ("to", to)) if value}
    bill = _bill_of_engine(root, query) if is_up(root) else _bill_of_store(root, query)
    if output.as_json:
        output.write_json(bill)
        return
    if not bill["functions"]:
        output.say("no function was invoked in this span")
        return
    total = {**bill["total"], "function": "total"}
    output.table(
        (
            *("Function", "Requests", "Errors", "Cold", "Init ms", "Avg ms", "p50", "p95", "p99"),
            *("Billed ms", "GB-s", "USD"),
        ),
        [_row(line) for line in (*bill["functions"], total)],
    )
    free, month, prices = bill["free_tier"], bill["month"], bill["prices"]
    output.write(
        f"\n  {bill['from'][:16]} to {bill['to'][:16]} UTC, prices of {prices['region']},"
        f" {prices['date']}"
    )
    output.write(
        f"  The free tier covers {free['requests']:,.0f} requests and"
        f" {free['gb_seconds']:,.3f} GB-s; to pay: {_dollars(bill['to_pay'])}"
    )
    output.write(
        f"  A month like this: {_dollars(month['charges'])}, after the free tier"
        f" {_dollars(month['to_pay'])}"
    )


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    duration = line["duration_ms"]
    return (
        line["function"],
        f"{line['requests']:,}",
        f"{line['errors']:,}",
        f"{line['cold_starts']:,}",
        f"{line['init_ms']:,.0f}",
        *(f"{duration[name]:,.2f}" for name in ("average", "p50", "p95", "p99")),
        f"{line['billed_ms']:,}",
        f"{line['gb_seconds']:,.3f}",
        _dollars(line["charges"]["total"]),
    )


def _dollars(amount: float) -> str:
    """Small sums are what a developer's machine runs up: they are shown to their first digits."""
    if amount and amount < 0.01:
        return f"${amount:.7f}"
    return f"${amount:,.2f}"


def _bill_of_engine(root: Path, query: dict[str, str]) -> dict[str, Any]:
    state = load_engine_state(root)
    url = f"{state.aws_endpoint}/_lamington/bill?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_LIMIT_S) as answer:
            found: dict[str, Any] = msgspec.json.decode(answer.read())
            return found
    except urllib.error.HTTPError as error:
        raise UsageError(msgspec.json.decode(error.read())["message"]) from None


def _bill_of_store(root: Path, query: dict[str, str]) -> dict[str, Any]:
    """The bill of an engine that does not run, from what it has on disk."""
    from lamington.engine.engine import Engine

    settings = load_settings(data=root / ".lamington", aws_port=0)
    if not (settings.data / "state").is_dir():
        raise UsageError(f"`{root}` was never up", hint="`lamington up` raises it")
    engine = Engine(settings)
    try:
        return engine.bill(query).document()
    finally:
        engine.close_store()
