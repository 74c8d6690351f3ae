"""One source transaction at a time: its changes in order, and which is the last of its key. Pure.

A transaction is held in memory until its commit has been read, about 1 KB for a row of nine columns.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from connectors.sources.mariadb import binlog
from connectors.sources.mariadb.binlog import Gtid
from connectors.sources.mariadb.cells import Row
from connectors.sources.mariadb.envelope import EnvelopeEncoder
from connectors.sources.postgres.envelope import RowEncoder
from connectors.sources.postgres.transactions import CREATE, DELETE, TRUNCATE, UPDATE


class EncodedTable(Protocol):
    """What is needed of a table; its encoders are replaced by `widen`."""

    topic: str
    full_name: str
    rows: RowEncoder
    envelope: EnvelopeEncoder
    encode_key: Callable[[Row], bytes] | None

    @property
    def key_of(self) -> Callable[[Row], Hashable] | None:
        """Takes the key out of a row; None when the table has no key."""

    def widen(self, column: str) -> None:
        """Make the column's field nullable, by a new version of the schema."""


class Change(NamedTuple):
    """One record to publish. ``position`` is where its event ends in the log, ``row`` its place in that.

    ``moved``: on a change of key, which is a delete and a create, the row at the other end.
    """

    table: EncodedTable
    op: str
    before: Row | None
    after: Row | None
    position: int
    row: int
    moved: Row | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """A whole source transaction; a change's ordinal is its index.

    ``last_for_key`` has one byte a change, 1 where no later change of the same key follows.
    """

    gtid: Gtid
    timestamp: int
    changes: list[Change]
    last_for_key: bytearray


class TransactionBuffer:
    """Collects the changes of the open transaction."""

    def __init__(self, gtid: Gtid) -> None:
        self._gtid = gtid
        self._changes: list[Change] = []
        self._latest: dict[tuple[str, Hashable], int] = {}
        self._last = bytearray()

    def __len__(self) -> int:
        return len(self._changes)

    def rows(self, table: EncodedTable, what: str, images: list[Row], position: int) -> None:
        """Take the row images of an event: of an update they alternate, before and after."""
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

    def truncate(self, table: EncodedTable, position: int) -> None:
        """All rows of the table are gone: none of its earlier changes is a last state."""
        for key in [key for key in self._latest if key[0] == table.full_name]:
            self._last[self._latest.pop(key)] = 0
        self._changes.append(Change(table, TRUNCATE, None, None, position, 0))
        self._last.append(1)

    def finish(self, timestamp: int) -> Transaction:
        """The whole of it. ``timestamp`` in seconds."""
        return Transaction(self._gtid, timestamp, self._changes, self._last)

    def _add(self, change: Change) -> None:
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
