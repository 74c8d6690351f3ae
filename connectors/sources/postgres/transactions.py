"""One source transaction at a time: its changes in order, and which is the last of its key. Pure.

Downstream takes, of a source transaction, per key only the last state: an ERP that inserts a line
with cost 0 and then updates it must never be seen half done. So a transaction is held until its
commit, and each change then carries its ordinal and whether a later one of the same key follows.

A transaction is held in memory until its commit has been read, about 1 KB for a row of nine columns:
a process that must take transactions of a million rows needs a gigabyte.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from connectors.sources.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    LogMessage,
    Message,
    Origin,
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
    """A whole source transaction. A change's ordinal is its index in ``changes``.

    ``last_for_key`` has one byte a change, 1 where no later change of the same key follows.
    """

    xid: int
    commit_lsn: int
    end_lsn: int
    commit_us: int
    changes: list[Change[T]]
    last_for_key: bytearray


class TransactionBuffer(Generic[T]):
    """Collects the messages of the open transaction.

    Tables are made known by `define`, as relation messages come; changes of relations that were
    defined as None (not included) are left out. Only protocol 1 is understood: transactions come
    whole, in commit order, never interleaved.
    """

    def __init__(self) -> None:
        self._tables: dict[int, T | None] = {}
        self._begin: Begin | None = None
        self._changes: list[Change[T]] = []
        self._latest: dict[tuple[int, Hashable], int] = {}
        self._last = bytearray()

    def define(self, relation: int, table: T | None) -> None:
        """From here on, ``relation`` has the shape of ``table``; None leaves its changes out."""
        self._tables[relation] = table

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
            table = self._table(message.relation)
            if table is not None:
                self._add(message.relation, Change(table, CREATE, None, message.new, lsn))
        elif isinstance(message, Update):
            table = self._table(message.relation)
            if table is not None:
                self._update(table, message, lsn)
        elif isinstance(message, Delete):
            table = self._table(message.relation)
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
        else:
            assert isinstance(message, Origin | Message), "relations and types are for `define`"
        return None

    def _table(self, relation: int) -> T | None:
        try:
            return self._tables[relation]
        except KeyError:
            raise PoisonRecord(
                f"pgoutput: a change of relation {relation}, which was not described"
            ) from None

    def _add(self, relation: int, change: Change[T]) -> None:
        ordinal = len(self._changes)
        self._changes.append(change)
        self._last.append(1)
        key_of = change.table.key_of
        if key_of is None:  # no identity: nothing later can be known to be about the same row
            return
        row = change.after if change.after is not None else change.before
        assert row is not None
        key = (relation, key_of(row))
        earlier = self._latest.get(key)
        if earlier is not None:
            self._last[earlier] = 0
        self._latest[key] = ordinal

    def _update(self, table: T, update: Update, lsn: int) -> None:
        old, new = update.old, update.new
        unchanged: tuple[int, ...] = ()
        if UNCHANGED in new:
            unchanged = tuple(index for index, cell in enumerate(new) if cell is UNCHANGED)
            known = old if old is not None else (None,) * len(new)
            new = tuple(was if cell is UNCHANGED else cell for cell, was in zip(new, known, strict=True))
        key_of = table.key_of
        if old is not None and key_of is not None and key_of(old) != key_of(new):
            self._add(update.relation, Change(table, DELETE, old, None, lsn, update.old_is_key, new))
            self._add(update.relation, Change(table, CREATE, None, new, lsn, False, old, unchanged))
        else:
            change = Change(table, UPDATE, old, new, lsn, update.old_is_key, None, unchanged)
            self._add(update.relation, change)

    def _truncate(self, truncate: Truncate, lsn: int) -> None:
        for relation in truncate.relations:
            table = self._table(relation)
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
        done = Transaction(
            begin.xid, commit.commit_lsn, commit.end_lsn, commit.commit_us, self._changes, self._last
        )
        self._begin, self._changes, self._latest, self._last = None, [], {}, bytearray()
        return done
