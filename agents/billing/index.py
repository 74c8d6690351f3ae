"""The reverse index: from a dependency to the entries that examined it.

Entries of one consultant, project and task examine the same coordinates, apart from the work date. So the
index has two levels: dependency → signature (kept in memory too, it is small), and signature → entries
ordered by work date, of which a touch's date range visits only its part. A signature's dependencies only
grow: visiting an entry for nothing costs time, missing one costs money.

Keys: ``d\\0<dependency>\\0<signature>`` and ``i\\0<signature>\\0<work date>\\0<entry key>``, without values.
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


class DependencyIndex:
    """One lane's index. The state it is given is the slice's."""

    def __init__(self) -> None:
        self._signatures: dict[str, set[str]] = {}
        self._known: dict[str, set[str]] = {}

    def open(self, state: Overlay) -> None:
        """Read the first level."""
        for key, _ in state.scan(DEPENDENCY):
            _, dependency, signature = key.decode().split("\0")
            self._learn(dependency, signature)

    def _learn(self, dependency: str, signature: str) -> None:
        self._signatures.setdefault(dependency, set()).add(signature)
        self._known.setdefault(signature, set()).add(dependency)

    def place(
        self, state: Overlay, key: bytes, signature: str, day: date, dependencies: Sequence[str]
    ) -> None:
        """Index an entry, and what it examined."""
        known = self._known.get(signature, ())
        for dependency in dependencies:
            if dependency not in known:
                state.put(DEPENDENCY + f"{dependency}\0{signature}".encode(), NOTHING)
                self._learn(dependency, signature)
        state.put(_entry_key(signature, day, key), NOTHING)

    def remove(self, state: Overlay, key: bytes, signature: str, day: date) -> None:
        """Take an entry out; what its signature examined stays."""
        state.delete(_entry_key(signature, day, key))

    def affected(self, touches: Iterable[Touch], state: Overlay) -> Iterator[bytes]:
        """Keys of the entries that the touches reach, each once."""
        seen: set[bytes] = set()
        for touch in touches:
            for signature in sorted(self._users(touch.dependency)):
                prefix = ENTRY + signature.encode() + b"\0"
                start = prefix + touch.first_day.isoformat().encode() if touch.first_day else prefix
                for item, _ in state.scan(prefix, start):
                    rest = item[len(prefix) :]
                    if touch.last_day is not None and rest[:10].decode() > touch.last_day.isoformat():
                        break
                    key = rest[11:]
                    if key not in seen:
                        seen.add(key)
                        yield key

    def _users(self, dependency: str) -> set[str]:
        """Signatures that looked at a dependency."""
        if not dependency.endswith(ANY):
            return self._signatures.get(dependency, set())
        stem = dependency.removesuffix(ANY)
        found = [users for name, users in self._signatures.items() if name.startswith(stem)]
        return set().union(*found)


def _entry_key(signature: str, day: date, key: bytes) -> bytes:
    return ENTRY + f"{signature}\0{day.isoformat()}\0".encode() + key
