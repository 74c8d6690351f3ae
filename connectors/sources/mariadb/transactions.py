"""One source transaction at a time: its changes in order, and which is the last of its key.

A transaction is held until its commit has been read: in memory, about 1 KB for a row of nine columns,
and beyond the bound of its `SpillArea` on disk.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from connectors.sources.envelope import CREATE, DELETE, TRUNCATE, UPDATE
from connectors.sources.mariadb import binlog
from connectors.sources.mariadb.cells import Row
from connectors.sources.mariadb.changes import Change, Changes, EncodedTable, row_bytes
from connectors.sources.mariadb.spilled import SpilledChanges
from connectors.sources.spill import SpillArea


@dataclass(frozen=True, slots=True)
class Transaction:
    """The changes of a whole source transaction; a change's ordinal is its index.

    ``last_for_key`` has one byte a change, 1 where no later change of the same key follows.
    """

    changes: Changes
    last_for_key: Sequence[int]
    in_order: bool = True
    """Places in the log grow. They do not where the log's 32 bits for them overflow."""


class TransactionBuffer:
    """Collects the changes of one transaction. To be closed when its transaction is done with."""

    def __init__(self, area: SpillArea) -> None:
        self._area = area
        self._held = 0
        self._spilled: SpilledChanges | None = None
        self._changes: list[Change] = []
        self._latest: dict[tuple[str, Hashable], int] = {}
        self._last = bytearray()
        self._position = 0
        self._in_order = True
        area.join(self)

    def __len__(self) -> int:
        return len(self._changes if self._spilled is None else self._spilled)

    @property
    def spilled_to_disk(self) -> bool:
        """The area was over its limit, and this the largest in it."""
        return self._spilled is not None

    @property
    def held(self) -> int:
        """Bytes in memory, about, until it is on disk."""
        return self._held

    def flush(self) -> int:
        """Go on on disk; how many bytes of memory that frees."""
        self._spilled = SpilledChanges(self._area)
        for change in self._changes:
            self._spilled.append(change)
        self._changes = []
        self._latest = {}
        self._last = bytearray()
        freed, self._held = self._held, 0
        return freed

    def rows(self, table: EncodedTable, what: str, images: list[Row], position: int) -> None:
        """Take the row images of an event: of an update they alternate, before and after."""
        self._in_order = self._in_order and position >= self._position
        self._position = position
        if what == binlog.INSERT:
            for row, image in enumerate(images):
                self._add(Change(table, CREATE, None, image, position, row))
        elif what == binlog.DELETE:
            for row, image in enumerate(images):
                self._add(Change(table, DELETE, image, None, position, row))
        else:
            key_of = table.key_of
            for row, (old, new) in enumerate(zip(images[::2], images[1::2], strict=True)):
                if key_of is not None and key_of(old) != key_of(new):
                    self._add(Change(table, DELETE, old, None, position, row, new))
                    self._add(Change(table, CREATE, None, new, position, row, old))
                else:
                    self._add(Change(table, UPDATE, old, new, position, row))
        if self._spilled is None:
            added = sum(map(row_bytes, images))
            self._held += added
            self._area.hold(added)

    def truncate(self, table: EncodedTable, position: int) -> None:
        """All rows of the table are gone: none of its earlier changes is a last state."""
        change = Change(table, TRUNCATE, None, None, position, 0)
        if self._spilled is not None:
            self._spilled.append(change)
            return
        for key in [key for key in self._latest if key[0] == table.full_name]:
            self._last[self._latest.pop(key)] = 0
        self._changes.append(change)
        self._last.append(1)

    def finish(self) -> Transaction:
        """The whole of it."""
        if self._spilled is not None:
            return Transaction(self._spilled, self._spilled.last_for_key(), self._in_order)
        return Transaction(self._changes, self._last, self._in_order)

    def close(self) -> None:
        """Forget it, and give the space back."""
        self._area.release(self)
        if self._spilled is not None:
            self._spilled.close()

    def _add(self, change: Change) -> None:
        if self._spilled is not None:
            self._spilled.append(change)
            return
        ordinal = len(self._changes)
        self._changes.append(change)
        self._last.append(1)
        key_of = change.table.key_of
        if key_of is None:  # no identity: nothing later can be known to be about the same row
            return
        row = change.after if change.after is not None else change.before
        assert row is not None
        key = (change.table.full_name, key_of(row))
        earlier = self._latest.get(key)
        if earlier is not None:
            self._last[earlier] = 0
        self._latest[key] = ordinal
