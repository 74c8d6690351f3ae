"""Which partitions got new records that readers may see, as the gate learns it from what passes it. Pure.

Records of a transaction become visible when it ends, those outside of one when they are acknowledged. A
fetch that found nothing waits for the partitions that it asks for, rather than asking over and over.
"""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from collections.abc import Collection

PRODUCE, END_TRANSACTION = 0, 26
# The last versions in the older encoding, which is the one that is read here.
HIGHEST_PRODUCE, HIGHEST_END = 8, 2
Place = tuple[str, int]


def _text(frame: bytes, at: int) -> tuple[str | None, int]:
    """A nullable string, and where it ends."""
    (length,) = struct.unpack_from(">h", frame, at)
    at += 2
    return (None, at) if length < 0 else (frame[at : at + length].decode(), at + length)


def transaction_of(frame: bytes) -> str | None:
    """The transactional id of a produce or end-transaction request; None outside of a transaction."""
    _, at = _text(frame, 8)
    return _text(frame, at)[0]


def places_produced(frame: bytes) -> list[Place]:
    """Topic and partition of every record set of a produce request of version 3 to 8."""
    _, at = _text(frame, 8)
    _, at = _text(frame, at)
    at += 2 + 4  # acknowledgements, time limit
    (topics,) = struct.unpack_from(">i", frame, at)
    at += 4
    places = []
    for _ in range(topics):
        topic, at = _text(frame, at)
        assert topic is not None
        (partitions,) = struct.unpack_from(">i", frame, at)
        at += 4
        for _ in range(partitions):
            partition, size = struct.unpack_from(">ii", frame, at)
            places.append((topic, partition))
            at += 8 + max(size, 0)
    return places


class Activity:
    """Remembers when records became visible where, and wakes who waits there. One event loop."""

    def __init__(self) -> None:
        self.now = 0
        """Counts what became visible; a reader compares it with what it saw when it asked."""
        self._last: dict[Place, int] = {}
        self._open: dict[str, set[Place]] = {}
        self._waiting: defaultdict[Place, set[asyncio.Event]] = defaultdict(set)

    def produced(self, transaction: str | None, places: Collection[Place]) -> None:
        """The broker acknowledged a produce request."""
        if transaction is None:
            self._show(places)
        else:
            self._open.setdefault(transaction, set()).update(places)

    def ended(self, transaction: str | None) -> None:
        """The broker acknowledged the end of a transaction."""
        if transaction is not None:
            self._show(self._open.pop(transaction, ()))

    def _show(self, places: Collection[Place]) -> None:
        self.now += 1
        for place in places:
            self._last[place] = self.now
            for event in self._waiting.get(place, ()):
                event.set()

    def since(self, places: Collection[Place], then: int) -> bool:
        """Whether anything became visible at one of ``places`` after ``then``."""
        last = self._last
        return any(last.get(place, 0) > then for place in places)

    async def wait(self, places: Collection[Place], then: int, seconds: float) -> bool:
        """Wait until something becomes visible at one of ``places``; whether it did in ``seconds``."""
        if self.since(places, then):
            return True
        event = asyncio.Event()
        for place in places:
            self._waiting[place].add(event)
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            for place in places:
                self._waiting[place].discard(event)
        return True
