"""Watermarks: the least over partitions, idle ones left out, never back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from streams.windows import Watermark
from streams.windows.watermarks import micros_of, moment_of

NOW = datetime(2024, 5, 6, 12, tzinfo=UTC)
IDLE = timedelta(seconds=30)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_least_over_partitions() -> None:
    """The slowest partition decides."""
    mark = Watermark(IDLE)
    mark.assign(["0", "1"], NOW)
    mark.observe("0", 500, NOW)
    mark.observe("1", 200, NOW)
    assert mark.advance(NOW) == 200


def test_silent_new_partition_holds_until_idle() -> None:
    """A partition that has said nothing yet holds the watermark until it counts as idle."""
    mark = Watermark(IDLE)
    mark.assign(["0", "1"], NOW)
    mark.observe("0", 500, at(29))
    assert mark.advance(at(29)) is None
    assert mark.idle(at(29)) == []
    assert mark.advance(at(31)) == 500
    assert mark.idle(at(31)) == ["1"]


def test_idle_partition_comes_back() -> None:
    """A partition that speaks again takes part again, without moving the watermark back."""
    mark = Watermark(IDLE)
    mark.observe("0", 100, NOW)
    mark.observe("1", 100, NOW)
    mark.observe("0", 900, at(40))
    assert mark.advance(at(40)) == 900
    mark.observe("1", 300, at(41))
    assert mark.advance(at(41)) == 900
    mark.observe("0", 2000, at(42))
    assert mark.advance(at(42)) == 900
    mark.observe("1", 1500, at(43))
    assert mark.advance(at(43)) == 1500


def test_all_idle_stands_still() -> None:
    """When every partition is silent, time passing moves nothing."""
    mark = Watermark(IDLE)
    mark.observe("0", 100, NOW)
    assert mark.advance(NOW) == 100
    assert mark.advance(at(3600)) == 100
    assert mark.silent(at(3600))
    assert not mark.silent(NOW)
    assert not Watermark(IDLE).silent(NOW)


def test_disorder_is_allowed_for() -> None:
    """The watermark stays behind the latest event time by the allowed disorder."""
    mark = Watermark(IDLE, timedelta(seconds=10))
    mark.observe("0", 25_000_000, NOW)
    assert mark.advance(NOW) == 15_000_000


def test_revoked_partition_no_longer_counts() -> None:
    """A partition that another worker took neither holds nor is idle; being handed back is no silence."""
    mark = Watermark(IDLE)
    mark.assign(["0", "1"], NOW)
    mark.observe("0", 700, NOW)
    mark.observe("1", 300, NOW)
    mark.assign(["0"], NOW)
    assert mark.advance(NOW) == 700
    mark.assign(["0"], at(100))
    assert mark.idle(at(100)) == []


def test_restore() -> None:
    """Watermark and event times survive as bytes."""
    mark = Watermark(IDLE)
    mark.assign(["0", "1"], NOW)
    mark.observe("0", 700, NOW)
    mark.observe("1", 300, NOW)
    mark.advance(NOW)
    again = Watermark(IDLE)
    again.restore(mark.to_bytes(), at(500))
    assert again.value == 300
    again.observe("1", 650, at(501))
    assert again.advance(at(501)) == 650


@given(st.lists(st.tuples(st.sampled_from("012"), st.integers(0, 10**6), st.integers(0, 60)), max_size=60))
def test_never_back(events: list[tuple[str, int, int]]) -> None:
    """Whatever comes in whatever order, the watermark never goes back and never beyond what was seen."""
    mark = Watermark(IDLE)
    mark.assign("012", NOW)
    clock, last, top = NOW, None, 0
    for partition, moment, pause in events:
        clock += timedelta(seconds=pause)
        mark.observe(partition, moment, clock)
        top = max(top, moment)
        value = mark.advance(clock)
        assert last is None or (value is not None and value >= last)
        assert value is None or value <= top
        last = value


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  # hypothesis wants naive bounds
def test_micros_round_trip(moment: datetime) -> None:
    """Event times become microseconds and back exactly."""
    assert moment_of(micros_of(moment)) == moment
