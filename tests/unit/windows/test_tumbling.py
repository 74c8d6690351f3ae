"""Tumbling windows: when they close, what is late, and that their state survives."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from streams.windows import RELATIVE_ERROR, ClosedWindow, TumblingWindows, Watermark

NOW = datetime(2024, 5, 6, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def windows(disorder: float = 0) -> TumblingWindows:
    return TumblingWindows(MINUTE, Watermark(timedelta(seconds=30), timedelta(seconds=disorder)))


def shape(closed: list[ClosedWindow]) -> list[tuple[str, datetime, int, int]]:
    return [(one.name, one.start, one.sketch.count, one.late) for one in closed]


def test_closes_when_the_watermark_passes() -> None:
    """A window closes once, when event time has reached its end, and not by the clock."""
    open_windows = windows()
    open_windows.add("0", "hop", at(59.9), 10, NOW)
    open_windows.add("0", "hop", at(0), 20, NOW)
    assert open_windows.close(at(25)) == []
    open_windows.add("0", "hop", at(60), 30, at(26))
    closed = open_windows.close(at(26))
    assert shape(closed) == [("hop", NOW, 2, 0)]
    assert closed[0].end == at(60)
    assert closed[0].sketch.maximum == 20
    assert open_windows.close(at(27)) == []
    assert len(open_windows) == 1


def test_late_samples_are_counted_not_mixed_in() -> None:
    """A sample of a closed window appears only as a count, in the next window of its name."""
    open_windows = windows()
    open_windows.add("0", "hop", at(1), 10, NOW)
    open_windows.add("0", "hop", at(61), 10, NOW)
    assert len(open_windows.close(NOW)) == 1
    assert not open_windows.add("0", "hop", at(2), 99, NOW)
    assert not open_windows.add("0", "hop", at(3), 99, NOW)
    assert open_windows.add("0", "other", at(62), 1, NOW)
    open_windows.add("0", "hop", at(121), 10, NOW)
    assert shape(open_windows.close(NOW)) == [("hop", at(60), 1, 2), ("other", at(60), 1, 0)]
    open_windows.add("0", "hop", at(181), 10, NOW)
    assert shape(open_windows.close(NOW)) == [("hop", at(120), 1, 0)]


def test_disorder_within_the_bound_is_not_late() -> None:
    """Event times that go back by no more than the allowed disorder are all counted."""
    open_windows = windows(disorder=10)
    open_windows.add("0", "hop", at(65), 10, NOW)
    assert open_windows.close(NOW) == []
    assert open_windows.add("0", "hop", at(56), 10, NOW)
    open_windows.add("0", "hop", at(70), 10, NOW)
    assert shape(open_windows.close(NOW)) == [("hop", NOW, 1, 0)]


def test_slow_partition_holds_windows_open() -> None:
    """While one partition is behind, its window stays open, and its samples are no late ones."""
    open_windows = windows()
    open_windows.watermark.assign(["0", "1"], NOW)
    open_windows.add("0", "hop", at(200), 10, NOW)
    assert open_windows.close(NOW) == []
    assert open_windows.add("1", "hop", at(5), 10, NOW)
    open_windows.add("1", "hop", at(130), 10, NOW)
    assert shape(open_windows.close(NOW)) == [("hop", NOW, 1, 0)]


def test_silence_closes_what_is_open() -> None:
    """After the idle bound without any event the last window is shown, and the next one is not late."""
    open_windows = windows()
    open_windows.add("0", "hop", at(5), 10, NOW)
    assert open_windows.close(at(29)) == []
    assert shape(open_windows.close(at(30))) == [("hop", NOW, 1, 0)]
    assert open_windows.add("0", "hop", at(61), 10, at(3600))
    assert not open_windows.add("0", "hop", at(6), 10, at(3600))


def test_flush() -> None:
    """At the end of a bounded input every open window closes."""
    open_windows = windows()
    open_windows.add("0", "b", at(5), 10, NOW)
    open_windows.add("0", "a", at(70), 10, NOW)
    assert shape(open_windows.flush()) == [("b", NOW, 1, 0), ("a", at(60), 1, 0)]
    assert open_windows.flush() == []


EVENTS = st.lists(
    st.tuples(st.sampled_from("01"), st.integers(0, 400), st.integers(0, 10**7), st.integers(0, 5)),
    max_size=80,
)


@given(EVENTS, st.integers(0, 80))
def test_restart_changes_nothing(events: list[tuple[str, int, int, int]], cut: int) -> None:
    """Restoring from the pieces written so far gives the same windows as never having stopped."""

    def run(restart: bool) -> list[tuple[object, ...]]:
        stored: dict[str, bytes] = {}
        current, out, clock = windows(5), [], NOW
        current.watermark.assign("01", NOW)
        for number, (partition, moment, micros, pause) in enumerate(events):
            clock += timedelta(seconds=pause)
            if number == cut and restart:
                current = windows(5)
                current.restore(stored.items(), clock)
                current.watermark.assign("01", clock)
            elif number == cut:
                current.watermark.assign("01", clock)
            current.add(partition, "hop", at(moment), micros, clock)
            out += current.close(clock)
            for name, data in current.take_writes().items():
                if data is None:
                    stored.pop(name, None)
                else:
                    stored[name] = data
        out += current.flush()
        return [(w.name, w.start, w.late, w.sketch.count, w.sketch.quantile(0.95)) for w in out]

    assert run(restart=True) == run(restart=False)


@given(EVENTS)
def test_every_sample_is_counted_once(events: list[tuple[str, int, int, int]]) -> None:
    """Samples in closed windows plus late ones are all samples, and in-window quantiles are within bound."""
    current, clock = windows(), NOW
    kept: dict[datetime, list[int]] = {}
    closed, late = [], 0
    for partition, moment, micros, pause in events:
        clock += timedelta(seconds=pause)
        if current.add(partition, "hop", at(moment), micros, clock):
            kept.setdefault(at(moment - moment % 60), []).append(micros)
        else:
            late += 1
        closed += current.close(clock)
    closed += current.flush()
    reported = sum(one.late for one in closed)
    assert reported <= late
    assert {one.start: one.sketch.count for one in closed} == {start: len(v) for start, v in kept.items()}
    for one in closed:
        values = sorted(kept[one.start])
        truth = values[math.floor(0.95 * (len(values) - 1))]
        assert abs(one.sketch.quantile(0.95) - truth) <= truth * RELATIVE_ERROR * (1 + 1e-9) + 0.5
