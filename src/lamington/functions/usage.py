"""What functions use, for each minute: derived from log entries when these are written.

AWS/Lambda's metrics and the bill are read from it. Left to others: log texts (`log_entries`),
metrics that functions or clients put themselves (`metrics`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from lamington.functions.distribution import Distribution
from lamington.functions.log_entries import (
    INVOCATION,
    PROVISIONED,
    SNAP_START,
    Entry,
    billed_duration,
)

STORAGE_FREE_MB = 512
"""AWS: ephemeral storage up to this is not charged for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFacts:
    """What one execution environment's invocations have in common, as the bill needs it."""

    function_name: str
    version: str
    architecture: str
    memory_size_mb: int
    ephemeral_storage_mb: int


class Usage(msgspec.Struct, array_like=True):
    """What one function version used in one minute, by one qualifier; kept as a short array."""

    duration: Distribution = msgspec.field(default_factory=Distribution)
    errors: int = 0
    timeouts: int = 0
    billed_ms: int = 0
    inits: int = 0
    init_ms: float = 0.0
    memory_mb_ms: int = 0
    """Billed milliseconds times megabytes, of environments that were started on demand."""
    provisioned: int = 0
    provisioned_mb_ms: int = 0
    storage_mb_ms: int = 0
    environments: int = 0
    """How many environments were at work in this minute."""

    def merge(self, other: "Usage") -> None:
        """Add what the other one holds, as of another minute or another part."""
        self.duration.merge(other.duration)
        self.errors += other.errors
        self.timeouts += other.timeouts
        self.billed_ms += other.billed_ms
        self.inits += other.inits
        self.init_ms += other.init_ms
        self.memory_mb_ms += other.memory_mb_ms
        self.provisioned += other.provisioned
        self.provisioned_mb_ms += other.provisioned_mb_ms
        self.storage_mb_ms += other.storage_mb_ms

    @property
    def invocations(self) -> int:
        return int(self.duration.count)


def group_invocations(entries: Sequence[Entry]) -> dict[tuple[int, str], list[Entry]]:
    """The invocations among the entries by minute of their start and the ARN that was called."""
    found = [entry for entry in entries if entry[0] == INVOCATION]
    if not found:
        return {}
    first_minute = found[0][1] // 60_000
    if found[-1][1] // 60_000 == first_minute and len({entry[9] for entry in found}) == 1:
        return {(first_minute, found[0][9]): found}
    groups: dict[tuple[int, str], list[Entry]] = {}
    for entry in found:
        groups.setdefault((entry[1] // 60_000, entry[9]), []).append(entry)
    return groups


def add_invocations(usage: Usage, invocations: Sequence[Entry], facts: UsageFacts) -> None:
    """Count invocations of one environment.

    AWS: init time is billed with the duration, since August 2025; time on provisioned
    concurrency has a price of its own, and its inits are part of that.
    """
    durations = [entry[3] for entry in invocations]
    usage.duration.add_all(durations)
    if min(durations) < 0.01:
        durations = [max(each, 0.01) for each in durations]
    # The texts show two decimals, and what they show is rounded up.
    billed = sum(map(math.ceil, [each - 0.005 for each in durations]))
    # An environment has been started in one way for all of its life.
    provisioned = invocations[0][11] == PROVISIONED
    if provisioned:
        usage.provisioned += len(invocations)
    else:
        for entry in [each for each in invocations if each[5] >= 0]:
            usage.inits += 1
            usage.init_ms += entry[5]
            duration_ms, init_ms = entry[3], entry[5]
            billed += _billed_cold(duration_ms, init_ms, entry[11])
            billed -= billed_duration(duration_ms, -1.0)
    for entry in [each for each in invocations if each[8] or each[7]]:
        usage.errors += 1
        usage.timeouts += entry[7] == "timeout"
    usage.billed_ms += billed
    if provisioned:
        usage.provisioned_mb_ms += billed * facts.memory_size_mb
    else:
        usage.memory_mb_ms += billed * facts.memory_size_mb
    usage.storage_mb_ms += billed * max(facts.ephemeral_storage_mb - STORAGE_FREE_MB, 0)


def _billed_cold(duration_ms: float, init_ms: float, init_type: str) -> int:
    if init_type == SNAP_START:
        return billed_duration(duration_ms, -1.0) + math.ceil(round(init_ms, 2))
    return billed_duration(duration_ms, init_ms)


def resource_of(function_arn: str, function_name: str) -> str:
    """AWS: the dimension Resource, `function` or `function:qualifier` as the caller named it."""
    qualifier = function_arn.split(":", 7)[7:]
    return f"{function_name}:{qualifier[0]}" if qualifier else function_name
