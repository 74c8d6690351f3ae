"""How far event time is known to have come, over several input partitions.

A partition's own mark is the latest event time seen in it, less the allowed disorder; the watermark is
the least of them. A partition that has been silent for ``idle_after`` of the worker's clock is left out,
visibly (`idle`), so that one quiet partition does not hold back every window; what it brings later for
a window that has closed is counted as late. While every partition is silent the watermark does not
follow the clock: silence may be an upstream that has stopped, and its backlog is not to be late. It
never goes back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from streams.packing import packed

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO: Final = timedelta(microseconds=1)


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC."""
    return (moment - EPOCH) // _MICRO


def moment_of(micros: int) -> datetime:
    """The inverse of `micros_of`."""
    return EPOCH + timedelta(microseconds=micros)


@dataclass(slots=True)
class _Partition:
    seen: int | None
    active_at: datetime


class Watermark:
    """Event time in microseconds since the epoch; None until something is known."""

    def __init__(self, idle_after: timedelta, disorder: timedelta = timedelta(0)) -> None:
        self._idle_after = idle_after
        self._disorder = disorder // _MICRO
        self._partitions: dict[str, _Partition] = {}
        self.value: int | None = None

    def assign(self, partitions: Iterable[str], now: datetime) -> None:
        """The partitions that are read from now on; a new one holds the watermark until it has spoken
        or is idle."""
        names = list(partitions)
        for name in self._partitions.keys() - set(names):
            del self._partitions[name]
        for name in names:
            known = self._partitions.get(name)
            if known is None:
                self._partitions[name] = _Partition(None, now)
            else:
                known.active_at = now  # the time without an owner was no silence of the partition

    def observe(self, partition: str, event_time: int, now: datetime) -> None:
        """Note an event of a partition."""
        known = self._partitions.get(partition)
        if known is None:
            self._partitions[partition] = _Partition(event_time, now)
            return
        known.active_at = now
        if known.seen is None or event_time > known.seen:
            known.seen = event_time

    def advance(self, now: datetime) -> int | None:
        """The watermark at ``now``."""
        active = [p for p in self._partitions.values() if now - p.active_at < self._idle_after]
        marks = [p.seen for p in active]
        known = [seen for seen in marks if seen is not None]
        if known and len(known) == len(marks):
            mark = min(known) - self._disorder
            if self.value is None or mark > self.value:
                self.value = mark
        return self.value

    def idle(self, now: datetime) -> list[str]:
        """The partitions that are left out at ``now``."""
        return sorted(
            name for name, known in self._partitions.items() if now - known.active_at >= self._idle_after
        )

    def silent(self, now: datetime) -> bool:
        """Whether every partition is idle at ``now``."""
        return bool(self._partitions) and len(self.idle(now)) == len(self._partitions)

    def to_bytes(self) -> bytes:
        """The watermark and each partition's latest event time; idleness starts anew with the process."""
        seen = {name: known.seen for name, known in self._partitions.items()}
        return packed([self.value, seen])

    def restore(self, data: bytes, now: datetime) -> None:
        """Take over what `to_bytes` saved."""
        self.value, seen = json.loads(data)
        self._partitions = {name: _Partition(latest, now) for name, latest in seen.items()}
