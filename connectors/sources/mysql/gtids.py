"""MySQL's names of transactions, and sets of them. Pure."""

from __future__ import annotations

import bisect
import struct
import uuid
from typing import NamedTuple

_COUNT = struct.Struct("<Q").pack
_INTERVAL = struct.Struct("<QQ").pack


class MysqlGtid(NamedTuple):
    """``uuid:number``: the server that a transaction was first committed at, and its number there.

    ``server`` is the number of the server that logged it.
    """

    source: str
    number: int
    server: int

    def __str__(self) -> str:
        return f"{self.source}:{self.number}"


class GtidSet:
    """Transactions by their servers' uuids, as intervals of numbers.

    Reads ``uuid:1-5:7,uuid:1``; `ValueError` if it is none, or has tags, which this source can't read.
    """

    def __init__(self, text: str = "") -> None:
        self._intervals: dict[str, list[tuple[int, int]]] = {}
        for part in filter(None, ("".join(part.split()) for part in text.split(","))):
            source, *intervals = part.split(":")
            source = str(uuid.UUID(source))
            if not intervals:
                raise ValueError(f"{part!r} has no numbers")
            for interval in intervals:
                first, _, last = interval.partition("-")
                if not first.isdecimal():
                    raise ValueError(f"GTIDs with a tag: {part!r}")
                self._insert(source, int(first), int(last or first))

    def add(self, gtid: MysqlGtid) -> None:
        """The transaction is behind us."""
        intervals = self._intervals.get(gtid.source)
        if intervals and intervals[-1][1] + 1 == gtid.number:  # nearly always
            intervals[-1] = intervals[-1][0], gtid.number
        elif not self.covers(gtid):
            self._insert(gtid.source, gtid.number, gtid.number)

    def covers(self, gtid: MysqlGtid) -> bool:
        """Whether the transaction is one of them."""
        return self._contains(gtid.source, gtid.number, gtid.number)

    def reaches(self, other: GtidSet) -> bool:
        """Whether all of ``other`` is covered."""
        return all(
            self._contains(source, first, last)
            for source, intervals in other._intervals.items()
            for first, last in intervals
        )

    def encoded(self) -> bytes:
        """As a replica tells a server what it has: intervals are without their end there."""
        parts = [_COUNT(len(self._intervals))]
        for source, intervals in sorted(self._intervals.items()):
            parts += [uuid.UUID(source).bytes, _COUNT(len(intervals))]
            parts += [_INTERVAL(first, last + 1) for first, last in intervals]
        return b"".join(parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GtidSet) and self._intervals == other._intervals

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        """``uuid:1-5:7``, in the order of the uuids; empty when there is no transaction."""
        return ",".join(
            ":".join([source, *(f"{a}-{b}" if b > a else str(a) for a, b in intervals)])
            for source, intervals in sorted(self._intervals.items())
        )

    def _contains(self, source: str, first: int, last: int) -> bool:
        intervals = self._intervals.get(source, [])
        place = bisect.bisect_right(intervals, first, key=lambda interval: interval[0]) - 1
        return place >= 0 and last <= intervals[place][1]

    def _insert(self, source: str, first: int, last: int) -> None:
        """Merged with what it overlaps or touches."""
        if not 1 <= first <= last:
            raise ValueError(f"no interval: {first}-{last}")
        kept = []
        for one in self._intervals.get(source, []):
            if one[1] + 1 < first or last + 1 < one[0]:
                kept.append(one)
            else:
                first, last = min(first, one[0]), max(last, one[1])
        bisect.insort(kept, (first, last))
        self._intervals[source] = kept
