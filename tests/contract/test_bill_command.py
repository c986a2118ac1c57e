import json
from pathlib import Path

import pytest

from lamington.cli.bill import print_bill
from lamington.cli.output import Output
from lamington.core.errors import UsageError
from metrics_world import invoke, metrics_world


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A service's directory whose engine has run a function twice, and does not run now."""
    state = tmp_path / ".lamington" / "state"
    state.mkdir(parents=True)
    return tmp_path


async def test_bill_of_an_engine_that_has_ended(
    used: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with metrics_world(used / ".lamington" / "state") as world:
        log = world.environment("till", memory_size_mb=1024)
        invoke(log, 99.5, init_ms=400.0)
        invoke(log, 100.0)
    print_bill(used, Output(), since="", from_="2026-01-02", to="2026-01-03")
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "  Function  Requests  Errors  Cold  Init ms  Avg ms  p50    p95     p99     Billed ms"
        "  GB-s   USD",
        "  till      2         0       1     400      99.75   99.50  100.00  100.00  600      "
        "  0.600  $0.0000104",
        "  total     2         0       1     400      99.75   99.50  100.00  100.00  600      "
        "  0.600  $0.0000104",
        "",
        "  2026-01-02T00:00 to 2026-01-03T00:00 UTC, prices of us-east-1, 2026-11-01",
        "  The free tier covers 2 requests and 0.600 GB-s; to pay: $0.00",
        "  A month like this: $0.0003120, after the free tier $0.00",
    ]
    print_bill(used, Output(as_json=True), since="", from_="2026-01-02", to="2026-01-03")
    assert json.loads(capsys.readouterr().out)["total"]["billed_ms"] == 600


def test_span_is_said_in_one_way(used: Path) -> None:
    with pytest.raises(UsageError):
        print_bill(used, Output(), since="1h", from_="2026-01-02", to="")


def test_directory_that_was_never_up_has_no_bill(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="was never up"):
        print_bill(tmp_path, Output(), since="", from_="", to="")
