"""The reverse index: from a dependency to the entries that examined it.

Entries of one consultant, project and task examine the same coordinates, apart from the work date. So the
index has two levels: dependency → signature, and signature → entries ordered by work date, of which a
touch's date range visits only its part. A signature's dependencies only grow: visiting an entry for nothing
costs time, missing one costs money.

Keys: ``d\\0<dependency>\\0<signature>`` and ``i\\0<signature>\\0<work date>\\0<entry key>``, without values.
All of it is in the lane's state. In memory there are hashes of what entries of a signature examined lately: who
examines the same again has nothing to look up or to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from agents.billing.touches import Touch
from streams.lanes.state import Overlay

DEPENDENCY = b"d\0"
ENTRY = b"i\0"
NOTHING = b""
# At the end of a touch's dependency: all that begin so. For changes whose reach is not known any more.
ANY = "*"
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
        state.put(_entry_key(signature, day, key), NOTHING)

    def remove(self, state: Overlay, key: bytes, signature: str, day: date) -> None:
        """Take an entry out; what its signature examined stays."""
        state.delete(_entry_key(signature, day, key))

    def affected(self, touches: Iterable[Touch], state: Overlay) -> Iterator[bytes]:
        """Keys of the entries that the touches reach, each once."""
        seen: set[bytes] = set()
        for touch in touches:
            for signature in sorted(_users(touch.dependency, state)):
                prefix = ENTRY + signature + b"\0"
                start = prefix + touch.first_day.isoformat().encode() if touch.first_day else prefix
                for item, _ in state.scan(prefix, start):
                    rest = item[len(prefix) :]
                    if touch.last_day is not None and rest[:10].decode() > touch.last_day.isoformat():
                        break
                    key = rest[11:]
                    if key not in seen:
                        seen.add(key)
                        yield key


def _users(dependency: str, state: Overlay) -> set[bytes]:
    """Signatures that looked at a dependency."""
    stem = dependency.removesuffix(ANY).encode() if dependency.endswith(ANY) else f"{dependency}\0".encode()
    return {item.rpartition(b"\0")[2] for item, _ in state.scan(DEPENDENCY + stem)}


def _entry_key(signature: str, day: date, key: bytes) -> bytes:
    return ENTRY + f"{signature}\0{day.isoformat()}\0".encode() + key
