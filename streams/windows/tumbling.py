"""Tumbling windows of event time, one sketch a (name, window), closed by a watermark.

A window ``[start, start + size)`` starts at a multiple of the size since 1970-01-01 UTC. It closes, once,
when the watermark reaches its end. A sample for a window that has closed is **late**: it is in no
quantile, it is counted, and the next window of its name to close says how many came since the last.
When every partition has fallen silent, the windows that are open close as they are, so that the last
minute of a working day is not shown the next morning; later windows are still to come in time.

State is kept in pieces, of which `take_writes` gives those that changed: one a window, and ``m`` for
the watermark and the late counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from streams.packing import packed
from streams.windows.sketch import LatencySketch
from streams.windows.watermarks import Watermark, micros_of, moment_of

_META: Final = "m"
_WINDOW: Final = "w"
_MICRO: Final = timedelta(microseconds=1)


class ClosedWindow(NamedTuple):
    """A window whose samples are complete as far as the watermark knows."""

    name: str
    start: datetime
    end: datetime
    sketch: LatencySketch
    late: int


class TumblingWindows:
    """The open windows of several names, such as the hops of a pipeline, on one watermark."""

    def __init__(self, size: timedelta, watermark: Watermark) -> None:
        self._size = size // _MICRO
        self.watermark = watermark
        self._open: dict[tuple[str, int], LatencySketch] = {}
        self._late: dict[str, int] = {}
        self._dirty: set[tuple[str, int]] = set()
        self._gone: set[tuple[str, int]] = set()
        self._meta_dirty = False

    def add(self, partition: str, name: str, event_time: datetime, micros: int, now: datetime) -> bool:
        """Add a sample of a duration; False if it was late.

        The watermark moves only in `close`, so that samples of one record, or of one batch, never make
        each other late.
        """
        moment = micros_of(event_time)
        self.watermark.observe(partition, moment, now)
        self._meta_dirty = True
        start = moment - moment % self._size
        mark = self.watermark.value
        if mark is not None and start + self._size <= mark:
            self._late[name] = self._late.get(name, 0) + 1
            return False
        place = (name, start)
        sketch = self._open.get(place)
        if sketch is None:
            sketch = self._open[place] = LatencySketch()
        sketch.add(micros)
        self._dirty.add(place)
        return True

    def close(self, now: datetime) -> list[ClosedWindow]:
        """Close the windows that the watermark has passed, in order of time and name."""
        before = self.watermark.value
        mark = self.watermark.advance(now)
        if self.watermark.silent(now):
            return self.flush()
        if mark is None:
            return []
        self._meta_dirty |= mark != before
        return self._take([place for place in self._open if place[1] + self._size <= mark])

    def flush(self) -> list[ClosedWindow]:
        """Close every window at once, as at the end of a bounded input; later samples of them are late."""
        if self._open:
            end = max(start for _, start in self._open) + self._size
            self.watermark.value = max(end, self.watermark.value or end)
            self._meta_dirty = True
        return self._take(list(self._open))

    def _take(self, places: list[tuple[str, int]]) -> list[ClosedWindow]:
        closed = []
        for name, start in sorted(places, key=lambda place: (place[1], place[0])):
            sketch = self._open.pop((name, start))
            late = self._late.pop(name, 0)
            closed.append(ClosedWindow(name, moment_of(start), moment_of(start + self._size), sketch, late))
            self._dirty.discard((name, start))
            self._gone.add((name, start))
        return closed

    def __len__(self) -> int:
        """Windows that are open."""
        return len(self._open)

    def take_writes(self) -> dict[str, bytes | None]:
        """The pieces that changed since the last call; None: the piece is gone."""
        writes: dict[str, bytes | None] = {_piece(place): None for place in self._gone}
        writes |= {_piece(place): self._open[place].to_bytes() for place in sorted(self._dirty)}
        if self._meta_dirty:
            late = packed(self._late)
            writes[_META] = len(late).to_bytes(4, "big") + late + self.watermark.to_bytes()
        self._dirty, self._gone, self._meta_dirty = set(), set(), False
        return writes

    def restore(self, pieces: Iterable[tuple[str, bytes]], now: datetime) -> None:
        """Take over the pieces that `take_writes` gave, in any order."""
        for name, data in pieces:
            if name == _META:
                size = int.from_bytes(data[:4], "big")
                self._late = json.loads(data[4 : 4 + size])
                self.watermark.restore(data[4 + size :], now)
            else:
                start, window = name[len(_WINDOW) :].split("|", 1)
                self._open[(window, int(start))] = LatencySketch.from_bytes(data)


def _piece(place: tuple[str, int]) -> str:
    return f"{_WINDOW}{place[1]}|{place[0]}"
