"""The reverse index: from a dependency to the entries that examined it.

Entries of one consultant, project and task examine the same coordinates, apart from the work date. So the
index has two levels: dependency → signature, and signature → entries ordered by work date, of which a
touch's date range visits only its part; an entry's key there is its **place**. A signature's dependencies
only grow: visiting an entry for nothing costs time, missing one costs money.

Keys: ``d\\0<dependency>\\0<signature>`` and ``i\\0<signature>\\0<work date>\\0<entry key>``, without values.
All of it is in the lane's state. In memory there are hashes of what entries of a signature examined lately: who
examines the same again has nothing to look up or to write.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import TypeAlias

from agents.billing.touches import Touch
from streams.lanes.state import Overlay

DEPENDENCY = b"d\0"
PLACE = b"i\0"
NOTHING = b""
# At the end of a touch's dependency: all that begin so. For changes whose reach is not known any more.
ANY = "*"
# Days are compared as they are in the keys.
DAY_LENGTH = len("2026-03-01")
BEHIND_ALL_DAYS = b"~"
# Days, both inclusive.
Range: TypeAlias = tuple[bytes, bytes]
# How many are remembered in memory, at about 100 bytes each.
REMEMBERED = 200_000


class DependencyIndex:
    """One lane's index. The state it is given is the slice's."""

    def __init__(self) -> None:
        # Of signature and dependencies. One new pair in 2**64 by the number of these would pass for known.
        self._known: set[int] = set()

    def learn(self, state: Overlay, signature: str, dependencies: Sequence[str]) -> None:
        """Index what an entry of a signature examined."""
        examined = hash((signature, *dependencies))
        if examined in self._known:
            return
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known.add(examined)
        for dependency in dependencies:
            item = DEPENDENCY + f"{dependency}\0{signature}".encode()
            if state.get(item) is None:
                state.put(item, NOTHING)

    def place(self, state: Overlay, key: bytes, signature: str, day: date) -> None:
        """Index an entry under its signature."""
        state.put(_place(signature, day, key), NOTHING)

    def remove(self, state: Overlay, key: bytes, signature: str, day: date) -> None:
        """Take an entry out; what its signature examined stays."""
        state.delete(_place(signature, day, key))

    def affected(self, touches: Iterable[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Places of the entries that the touches reach, ascending and each once; those behind ``after`` alone."""
        ranges = _ranges_by_signature(touches, state)
        # Whole prefixes are compared: a signature may begin with another.
        prefixes = sorted(PLACE + signature + b"\0" for signature in ranges)
        first = max(bisect_right(prefixes, after) - 1, 0)
        for prefix in prefixes[first:]:
            for first_day, last_day in ranges[prefix[len(PLACE) : -1]]:
                for place, _ in state.scan(prefix, max(prefix + first_day, after)):
                    if place[len(prefix) :][:DAY_LENGTH] > last_day:
                        break
                    if place > after:
                        yield place


def entry_of(place: bytes) -> bytes:
    """Key of the entry at a place of the index."""
    return place.split(b"\0", 3)[3]


def _ranges_by_signature(touches: Iterable[Touch], state: Overlay) -> dict[bytes, list[Range]]:
    """Of each signature that looked at what changed the ranges of days, ascending and apart."""
    by_dependency: dict[str, list[Range]] = {}
    for touch in touches:
        first = touch.first_day.isoformat().encode() if touch.first_day else b""
        last = touch.last_day.isoformat().encode() if touch.last_day else BEHIND_ALL_DAYS
        by_dependency.setdefault(touch.dependency, []).append((first, last))
    found: dict[bytes, list[Range]] = {}
    for dependency, ranges in by_dependency.items():
        for signature in _users(dependency, state):
            found.setdefault(signature, []).extend(ranges)
    return {signature: _apart(ranges) for signature, ranges in found.items()}


def _apart(ranges: Iterable[Range]) -> list[Range]:
    """Ranges without those that others hold, and joined where they meet."""
    apart: list[Range] = []
    for first, last in sorted(ranges):
        if apart and first <= apart[-1][1]:
            apart[-1] = apart[-1][0], max(apart[-1][1], last)
        else:
            apart.append((first, last))
    return apart


def _users(dependency: str, state: Overlay) -> set[bytes]:
    """Signatures that looked at a dependency."""
    stem = dependency.removesuffix(ANY).encode() if dependency.endswith(ANY) else f"{dependency}\0".encode()
    return {item.rpartition(b"\0")[2] for item, _ in state.scan(DEPENDENCY + stem)}


def _place(signature: str, day: date, key: bytes) -> bytes:
    return PLACE + f"{signature}\0{day.isoformat()}\0".encode() + key
