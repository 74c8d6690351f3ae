"""One source transaction at a time: its changes in order, and which is the last of its key. Pure.

Downstream takes, of a source transaction, per key only the last state: an ERP that inserts a line
with cost 0 and then updates it must never be seen half done. So a transaction is held until its
commit, and each change then carries its ordinal and whether a later one of the same key follows.

A transaction in a `TransactionBuffer` takes about 1 KB for a row of nine columns; those that are too
large for that are `connectors.sources.postgres.log.assembly`'s to keep on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, Protocol, TypeVar

from connectors.sources.postgres.pgoutput.bounds import Begin, Commit, Message, Origin
from connectors.sources.postgres.pgoutput.messages import (
    UNCHANGED,
    Delete,
    Insert,
    LogMessage,
    Row,
    Truncate,
    Update,
)
from streams.errors import PoisonRecord

CREATE, UPDATE, DELETE, TRUNCATE, READ = "c", "u", "d", "t", "r"


class KeyedTable(Protocol):
    """What the buffer must know of a table."""

    @property
    def key_of(self) -> Callable[[Row], Hashable] | None:
        """Takes the key out of a row; None when the table has no key."""


T = TypeVar("T", bound=KeyedTable)


class Change(NamedTuple, Generic[T]):
    """One record to publish. ``lsn`` is the row's own place in the log.

    ``before_is_key``: of ``before`` only the replica identity is known. ``moved``: on a change of
    key, which is a delete and a create, the row at the other end. ``unchanged``: indexes of the
    TOASTed columns that the log left out of ``after``; their value is the one of ``before`` where
    that holds it (REPLICA IDENTITY FULL), else null for "not known".
    """

    table: T
    op: str
    before: Row | None
    after: Row | None
    lsn: int
    before_is_key: bool = False
    moved: Row | None = None
    unchanged: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Transaction(Generic[T]):
    """A whole source transaction. A change's ordinal is its place in ``changes``.

    ``last_for_key`` has one number a change, 1 where no later change of the same key follows.
    ``changes`` of a spilled transaction are read from the disk each time they are iterated over.
    ``messages`` are the contents of its messages of the prefix that was asked for.
    """

    xid: int
    commit_lsn: int
    end_lsn: int
    commit_us: int
    changes: Iterable[Change[T]]
    last_for_key: Sequence[int]
    messages: tuple[bytes, ...] = ()

    @property
    def count(self) -> int:
        """How many changes."""
        return len(self.last_for_key)

    def without(self, left_out: Callable[[T], bool]) -> Transaction[T]:
        """The transaction without the changes of some tables, which then take no ordinals either."""
        kept = [
            (change, last)
            for change, last in zip(self.changes, self.last_for_key, strict=True)
            if not left_out(change.table)
        ]
        return replace(
            self, changes=[change for change, _ in kept], last_for_key=bytearray(last for _, last in kept)
        )


def table_of(tables: Mapping[int, T | None], relation: int) -> T | None:
    """The table of a relation; `PoisonRecord` when no message has described it."""
    try:
        return tables[relation]
    except KeyError:
        raise PoisonRecord(f"pgoutput: a change of relation {relation}, which was not described") from None


def update_changes(table: T, update: Update, lsn: int) -> tuple[Change[T], ...]:
    """One change, or for a change of key two: a delete and a create."""
    old, new = update.old, update.new
    unchanged: tuple[int, ...] = ()
    if UNCHANGED in new:
        unchanged = tuple(index for index, cell in enumerate(new) if cell is UNCHANGED)
        known = old if old is not None else (None,) * len(new)
        new = tuple(was if cell is UNCHANGED else cell for cell, was in zip(new, known, strict=True))
    key_of = table.key_of
    if old is not None and key_of is not None and key_of(old) != key_of(new):
        return (
            Change(table, DELETE, old, None, lsn, update.old_is_key, new),
            Change(table, CREATE, None, new, lsn, False, old, unchanged),
        )
    return (Change(table, UPDATE, old, new, lsn, update.old_is_key, None, unchanged),)


def key_of_change(change: Change[T]) -> Hashable:
    """The key that the change is about, None for a table without one."""
    key_of = change.table.key_of
    if key_of is None:  # no identity: nothing later can be known to be about the same row
        return None
    row = change.after if change.after is not None else change.before
    assert row is not None
    return key_of(row)


class TransactionBuffer(Generic[T]):
    """Collects the messages of one transaction, given whole and in order, begin and commit included.

    ``tables`` says what a relation is at the moment its change is fed; changes of relations that are
    None there (not included) are left out. Messages of ``prefix`` are handed on, others are not.
    """

    def __init__(self, prefix: str | None = None) -> None:
        self._prefix = prefix
        self._messages: list[bytes] = []
        self.tables: Mapping[int, T | None] = {}
        self._begin: Begin | None = None
        self._changes: list[Change[T]] = []
        self._latest: dict[tuple[int, Hashable], int] = {}
        self._last = bytearray()

    @property
    def open(self) -> bool:
        """A transaction has begun and not ended."""
        return self._begin is not None

    def __len__(self) -> int:
        """Changes held of the open transaction."""
        return len(self._changes)

    def feed(self, message: LogMessage, lsn: int) -> Transaction[T] | None:
        """Take the next message; the whole transaction when it was its commit."""
        if isinstance(message, Insert):
            table = table_of(self.tables, message.relation)
            if table is not None:
                self._add(message.relation, Change(table, CREATE, None, message.new, lsn))
        elif isinstance(message, Update):
            table = table_of(self.tables, message.relation)
            if table is not None:
                for change in update_changes(table, message, lsn):
                    self._add(message.relation, change)
        elif isinstance(message, Delete):
            table = table_of(self.tables, message.relation)
            if table is not None:
                change = Change(table, DELETE, message.old, None, lsn, message.old_is_key)
                self._add(message.relation, change)
        elif isinstance(message, Begin):
            if self._begin is not None:
                raise PoisonRecord(f"pgoutput: transaction {message.xid} begins within another")
            self._begin = message
        elif isinstance(message, Commit):
            return self._commit(message)
        elif isinstance(message, Truncate):
            self._truncate(message, lsn)
        elif isinstance(message, Message):
            if message.transactional and message.prefix == self._prefix:
                self._messages.append(message.content)
        else:
            assert isinstance(message, Origin), message
        return None

    def clear(self) -> Begin:
        """Forget the open transaction; how it began."""
        begin = self._begin
        assert begin is not None
        self._begin, self._changes, self._latest, self._last = None, [], {}, bytearray()
        self._messages = []
        return begin

    def _add(self, relation: int, change: Change[T]) -> None:
        ordinal = len(self._changes)
        self._changes.append(change)
        self._last.append(1)
        if change.table.key_of is None:
            return
        key = (relation, key_of_change(change))
        earlier = self._latest.get(key)
        if earlier is not None:
            self._last[earlier] = 0
        self._latest[key] = ordinal

    def _truncate(self, truncate: Truncate, lsn: int) -> None:
        for relation in truncate.relations:
            table = table_of(self.tables, relation)
            if table is None:
                continue
            # The table's earlier changes are all superseded: none of them is a last state.
            for key in [key for key in self._latest if key[0] == relation]:
                self._last[self._latest.pop(key)] = 0
            self._changes.append(Change(table, TRUNCATE, None, None, lsn))
            self._last.append(1)

    def _commit(self, commit: Commit) -> Transaction[T]:
        begin = self._begin
        if begin is None or begin.commit_lsn != commit.commit_lsn:
            raise PoisonRecord(f"pgoutput: commit at {commit.commit_lsn} of a transaction that did not begin")
        changes, last, messages = self._changes, self._last, tuple(self._messages)
        self.clear()
        return Transaction(
            begin.xid, commit.commit_lsn, commit.end_lsn, commit.commit_us, changes, last, messages
        )
