"""Quantile sketches: their error bound, their bytes, their merging."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from streams.windows import RELATIVE_ERROR, LatencySketch

DURATIONS = st.integers(min_value=-(10**6), max_value=86_400_000_000)
SAMPLES = st.lists(DURATIONS, min_size=1, max_size=200)
QUANTILES = (0.0, 0.5, 0.95, 0.99, 1.0)


def sketch_of(values: list[int]) -> LatencySketch:
    sketch = LatencySketch()
    for value in values:
        sketch.add(value)
    return sketch


def exact(values: list[int], q: float) -> int:
    return sorted(values)[math.floor(q * (len(values) - 1))]


def answers(sketch: LatencySketch) -> tuple[int, ...]:
    return (sketch.count, sketch.maximum, *(sketch.quantile(q) for q in QUANTILES))


@given(SAMPLES)
def test_error_bound(values: list[int]) -> None:
    """Quantiles are within one percent (and half a microsecond) of the exact ones; the maximum is exact."""
    sketch = sketch_of(values)
    assert sketch.maximum == max(values)
    assert sketch.count == len(values)
    for q in QUANTILES:
        truth = exact(values, q)
        assert abs(sketch.quantile(q) - truth) <= abs(truth) * RELATIVE_ERROR * (1 + 1e-9) + 0.5


@given(SAMPLES)
def test_bytes_round_trip(values: list[int]) -> None:
    """A sketch that was stored and restored answers the same, and stores the same again."""
    sketch = sketch_of(values)
    restored = LatencySketch.from_bytes(sketch.to_bytes())
    assert answers(restored) == answers(sketch)
    assert restored.to_bytes() == sketch.to_bytes()


@given(SAMPLES, SAMPLES)
def test_merge_is_addition(left: list[int], right: list[int]) -> None:
    """Merging two sketches, one of them restored, equals one sketch of all values."""
    merged = sketch_of(left)
    merged.merge(LatencySketch.from_bytes(sketch_of(right).to_bytes()))
    assert answers(merged) == answers(sketch_of(left + right))


def test_merge_with_empty() -> None:
    """An empty sketch changes nothing and can be filled by merging."""
    sketch = sketch_of([5, 7])
    sketch.merge(LatencySketch())
    empty = LatencySketch()
    empty.merge(sketch)
    assert answers(empty) == answers(sketch) == (2, 7, 5, 5, 5, 5, 7)
    assert LatencySketch().quantile(0.5) == 0


def test_size_is_bounded() -> None:
    """Ten thousand durations from a microsecond to an hour take a few kilobytes."""
    sketch = sketch_of([int(1.0022**n) for n in range(10_000)])
    assert len(sketch.to_bytes()) < 4096
