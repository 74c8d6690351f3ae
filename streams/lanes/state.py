"""Keyed state of one lane: bytes to bytes, ordered by key."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

# So many keys are put into their order one by one; more are sorted together.
FEW_KEYS: Final = 16


class Store(Protocol):
    """Local copy of a lane's state; its truth is the lane's state topic."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Items whose key begins with ``prefix``, in key order, from ``start`` on."""

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes together; None deletes."""

    def load(self, items: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply restored items in order, in bulk."""

    def close(self, offset: int | None) -> None:
        """Flush; ``offset`` is the state topic's position that the store corresponds to."""


class MemoryStore:
    """A store in memory, for the test driver and for small state."""

    def __init__(self) -> None:
        self.items: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        return self.items.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Items whose key begins with ``prefix``, in key order, from ``start`` on."""
        keys = sorted(key for key in self.items if key.startswith(prefix) and key >= start)
        return iter([(key, self.items[key]) for key in keys])

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes together; None deletes."""
        self.load(changes.items())

    def load(self, items: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Apply items in order."""
        for key, value in items:
            if value is None:
                self.items.pop(key, None)
            else:
                self.items[key] = value

    def close(self, offset: int | None) -> None:
        """Nothing to flush."""


class Overlay:
    """A store with the pending changes of one slice on top; thrown away if the slice fails."""

    __slots__ = ("_new", "_ordered", "_store", "changes")

    def __init__(self, store: Store) -> None:
        self._store = store
        self.changes: dict[bytes, bytes | None] = {}
        # The changed keys in order, and those that are not among them yet: a scan costs what it finds.
        self._ordered: list[bytes] = []
        self._new: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        """The value of a key as this slice sees it."""
        changes = self.changes
        return changes[key] if key in changes else self._store.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        if key not in self.changes:
            self._new.append(key)
        self.changes[key] = value

    def delete(self, key: bytes) -> None:
        """Delete a key."""
        if key not in self.changes:
            self._new.append(key)
        self.changes[key] = None

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Items whose key begins with ``prefix``, in key order, as this slice sees them."""
        fresh = self._pending(prefix, start)
        if not fresh:
            yield from self._store.scan(prefix, start)
            return
        for key, value in self._store.scan(prefix, start):
            while fresh and fresh[-1][0] < key:
                new_key, new_value = fresh.pop()
                if new_value is not None:
                    yield new_key, new_value
            if fresh and fresh[-1][0] == key:
                new_value = fresh.pop()[1]
                if new_value is not None:
                    yield key, new_value
            else:
                yield key, value
        for new_key, new_value in reversed(fresh):
            if new_value is not None:
                yield new_key, new_value

    def _pending(self, prefix: bytes, start: bytes) -> list[tuple[bytes, bytes | None]]:
        """The changes that a scan must show, the first of them last."""
        ordered, new = self._ordered, self._new
        if len(new) <= FEW_KEYS:
            for key in new:
                insort(ordered, key)
        else:
            ordered += new
            ordered.sort()
        new.clear()
        first = last = bisect_left(ordered, max(prefix, start))
        while last < len(ordered) and ordered[last].startswith(prefix):
            last += 1
        return [(key, self.changes[key]) for key in reversed(ordered[first:last])]
