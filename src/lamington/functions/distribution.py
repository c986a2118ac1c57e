"""Many numbers in little room: how many, their sum, the ends, and a sketch for percentiles.

Pure. A sketch counts values by the first bits of their binary form: six bits of the mantissa, so
that a percentile is right to 0.8 %, at the cost of a shift per value.
"""

import struct
from array import array
from collections import Counter
from collections.abc import Sequence

import msgspec

SHIFT = 46
BUCKETS_MAX = 1024
"""So many buckets in one sketch; neighbours are thrown together beyond it."""


class Distribution(msgspec.Struct, array_like=True):
    """What is known of a set of numbers; kept as a short array."""

    count: float = 0
    total: float = 0.0
    least: float = 0.0
    most: float = 0.0
    sketch: dict[int, float] = {}

    def add(self, value: float, count: float = 1) -> None:
        """Add one value, so many times."""
        self._widen(value, value)
        self.count += count
        self.total += value * count
        bucket = _bits(value) >> SHIFT
        self.sketch[bucket] = self.sketch.get(bucket, 0) + count
        self._keep_bounds()

    def add_all(self, values: Sequence[float]) -> None:
        """Add many values at once: some 100 nanoseconds each."""
        if not values:
            return
        self._widen(min(values), max(values))
        self.count += len(values)
        self.total += sum(values)
        bits = array("q", array("d", values).tobytes())
        sketch = self.sketch
        for bucket, count in Counter([each >> SHIFT for each in bits]).items():
            sketch[bucket] = sketch.get(bucket, 0) + count
        self._keep_bounds()

    def add_summary(self, count: float, total: float, least: float, most: float) -> None:
        """Add numbers of which only this is known; percentiles take them for their mean."""
        if count <= 0:
            return
        self._widen(least, most)
        self.count += count
        self.total += total
        bucket = _bits(total / count) >> SHIFT
        self.sketch[bucket] = self.sketch.get(bucket, 0) + count
        self._keep_bounds()

    def merge(self, other: "Distribution") -> None:
        """Add what the other one holds."""
        if not other.count:
            return
        self._widen(other.least, other.most)
        self.count += other.count
        self.total += other.total
        for bucket, count in other.sketch.items():
            self.sketch[bucket] = self.sketch.get(bucket, 0) + count
        self._keep_bounds()

    @property
    def average(self) -> float:
        return self.total / self.count if self.count else 0.0

    def percentile(self, share: float) -> float:
        """The value that `share` per cent of all values do not pass."""
        wanted = share / 100 * self.count - 1e-9
        seen = 0.0
        for value, count in sorted((_middle(key), count) for key, count in self.sketch.items()):
            seen += count
            if seen >= wanted:
                return min(max(value, self.least), self.most)
        return self.most

    def _widen(self, least: float, most: float) -> None:
        if self.count:
            self.least, self.most = min(self.least, least), max(self.most, most)
        else:
            self.least, self.most = least, most

    def _keep_bounds(self) -> None:
        step = 1
        while len(self.sketch) > BUCKETS_MAX:
            coarser: dict[int, float] = {}
            step *= 2
            for bucket, count in self.sketch.items():
                joined = bucket - bucket % step
                coarser[joined] = coarser.get(joined, 0) + count
            self.sketch = coarser


def one_value(value: float, count: float = 1) -> Distribution:
    """The distribution of one value."""
    made = Distribution()
    made.add(value, count)
    return made


def _bits(value: float) -> int:
    found: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return found


def _middle(bucket: int) -> float:
    """The middle of a bucket; whole numbers as far as their bits are all in it stay whole."""
    low: float = struct.unpack("<d", struct.pack("<q", bucket << SHIFT))[0]
    if low.is_integer() and abs(low) < 64:
        return low
    middle: float = struct.unpack("<d", struct.pack("<q", (bucket << SHIFT) | (1 << SHIFT - 1)))[0]
    return middle
