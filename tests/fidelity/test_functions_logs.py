"""What Lambda writes to a log, in AWS's own words: each row of `functions_logs.toml`."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lamington.core.aws import Scope
from lamington.core.clock import ManualClock
from lamington.core.store import Store
from lamington.functions.log_entries import LogHeader
from lamington.functions.log_store import LogStore
from lamington.functions.telemetry import EnvironmentLog, Telemetry
from lamington.functions.usage import UsageFacts

CASES = tomllib.loads((Path(__file__).parent / "functions_logs.toml").read_text())["case"]
AT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
AT_MS = int(AT.timestamp() * 1000)
FACTS = UsageFacts(
    function_name="f",
    version="$LATEST",
    architecture="x86_64",
    memory_size_mb=128,
    ephemeral_storage_mb=512,
)


async def written(given: dict[str, Any], directory: Path) -> list[str]:
    """The events that a client reads after this has been logged."""
    store = Store(directory)
    logs = LogStore(store, ManualClock(AT), 1 << 20)
    telemetry = Telemetry(logs, ManualClock(AT))
    header = LogHeader(
        **{
            **{"version": "$LATEST", "memory_size_mb": 128, "log_format": "Text"},
            **given.get("header", {}),
        }
    )
    log = EnvironmentLog(telemetry, Scope(), "g", "s", header, FACTS)
    if "invocation" in given:
        members = {
            **{"request_id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "started_ms": AT_MS},
            **{"memory_kb": 36_000, "init_ms": -1.0, "output": "", "status": ""},
            **given["invocation"],
        }
        log.invocation(**{**members, "output": members["output"].encode()})
    if "output" in given:
        log.event(AT_MS, given["output"].encode())
    if "platform" in given:
        log.platform(AT_MS, given["platform"]["kind"], given["platform"]["record"])
    events = [event.message for event in logs.read_events(Scope(), "g").events]
    store.close()
    return events


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
async def test_log_is_aws_s(case: dict[str, Any], tmp_path: Path) -> None:
    found = await written(case["given"], tmp_path)
    if case.get("verdict") == "open":
        assert found != case["expect"], "an open row passes: make it exact"
        return
    assert found == case["expect"]
