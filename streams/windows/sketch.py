"""Quantiles of durations in bounded memory, with a stated error, that survive as bytes.

A DDSketch: for a sample of n values, quantile q is within `RELATIVE_ERROR` (1%) of the exact value at
rank floor(q x (n - 1)), at most another half microsecond by rounding; count and maximum are exact.
Memory grows with the range of the values and not with their number: under 1,300 bins from a
microsecond to a day. Durations may be negative, as they are when clocks disagree.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, Final

from ddsketch import DDSketch

from streams.packing import packed

RELATIVE_ERROR: Final = 0.01


class LatencySketch:
    """Durations in whole microseconds. Sketches of the same error merge exactly."""

    __slots__ = ("_sketch", "count", "maximum")

    def __init__(self) -> None:
        self._sketch: Any = DDSketch(RELATIVE_ERROR)
        self.count = 0
        self.maximum = 0

    def add(self, micros: int, times: int = 1) -> None:
        """Add a duration, ``times`` times."""
        self._sketch.add(float(micros), float(times))
        self.maximum = micros if self.count == 0 else max(self.maximum, micros)
        self.count += times

    def quantile(self, q: float) -> int:
        """The duration at quantile ``q`` from 0 to 1; 0 for an empty sketch."""
        value = self._sketch.get_quantile_value(q)
        return 0 if value is None else min(round(value), self.maximum)

    def merge(self, other: LatencySketch) -> None:
        """Take in all durations of another sketch, which stays as it is."""
        if other.count == 0:
            return
        self._sketch.merge(other._sketch)
        self.maximum = other.maximum if self.count == 0 else max(self.maximum, other.maximum)
        self.count += other.count

    def to_bytes(self) -> bytes:
        """Compressed: the counts of the non-empty bins, a few hundred bytes for a typical window."""
        sketch = self._sketch
        values = [
            self.count,
            self.maximum,
            int(sketch._zero_count),
            _bins(sketch._store),
            _bins(sketch._negative_store),
        ]
        return zlib.compress(packed(values))

    @classmethod
    def from_bytes(cls, data: bytes) -> LatencySketch:
        """The inverse of `to_bytes`: each bin comes back as its middle value, which falls into it again."""
        count, maximum, zeros, positive, negative = json.loads(zlib.decompress(data))
        restored = cls()
        sketch = restored._sketch
        value_of = sketch._mapping.value
        if zeros:
            sketch.add(0.0, float(zeros))
        for sign, bins in ((1.0, positive), (-1.0, negative)):
            key = 0
            for step, times in bins:
                key += step
                sketch.add(sign * value_of(key), float(times))
        restored.count, restored.maximum = count, maximum
        return restored


def _bins(store: Any) -> list[tuple[int, int]]:
    """(distance from the last key, count) of the bins that are not empty, by ascending key."""
    pairs = []
    last = 0
    for index, times in enumerate(store.bins):
        if times:
            key = index + store.offset
            pairs.append((key - last, int(times)))
            last = key
    return pairs
