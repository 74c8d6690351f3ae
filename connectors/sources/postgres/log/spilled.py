"""A source transaction that is kept as it came, decoded at its commit in two passes: one finds the last
change of each key, the other makes the changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from connectors.sources.lastkeys import LastOfKeys
from connectors.sources.postgres.log.spill import Spool
from connectors.sources.postgres.pgoutput.bounds import Begin, Message, Origin
from connectors.sources.postgres.pgoutput.messages import (
    Delete,
    Insert,
    Relation,
    Truncate,
    Type,
    Update,
    decode,
)
from connectors.sources.postgres.pgoutput.transactions import (
    CREATE,
    DELETE,
    TRUNCATE,
    Change,
    KeyedTable,
    Transaction,
    key_of_change,
    table_of,
    update_changes,
)
from connectors.sources.spill import SpillArea
from streams.errors import PoisonRecord

T = TypeVar("T", bound=KeyedTable)
TICK_EVERY = 4096  # changes between two signs of life


@dataclass(frozen=True, slots=True)
class Shapes(Generic[T]):
    """What becomes of relations and types that messages describe."""

    table: Callable[[Relation], T | None]
    announce: Callable[[Type], None]


class SpilledTransaction(Generic[T]):
    """A whole source transaction that is kept as it came. To be closed."""

    def __init__(
        self,
        begin: Begin,
        end_lsn: int,
        spool: Spool,
        tables: dict[int, T | None],
        shapes: Shapes[T],
        prefix: str | None,
    ) -> None:
        self.commit_lsn = begin.commit_lsn
        self.end_lsn = end_lsn
        self.size = spool.size
        self._begin = begin
        self._spool = spool
        self._tables = tables
        self._shapes = shapes
        self._prefix = prefix
        self._messages: list[bytes] = []  # found in the first pass
        # What each description of a relation became in the first pass. It is not asked again in the
        # second: a table that was halted meanwhile must not change the ordinals of the others.
        self._described: list[T | None] | None = None

    def tables(self) -> set[T]:
        """The tables that its changes may be of; after `read`."""
        assert self._described is not None
        return {table for table in (*self._tables.values(), *self._described) if table is not None}

    def read(
        self, area: SpillArea, left_out: Callable[[T], bool] | None, tick: Callable[[], None]
    ) -> Transaction[T]:
        """Find the last changes; the changes themselves are decoded when they are iterated over.

        ``left_out`` tables take no ordinals; ``tick`` is called now and then.
        """
        index = LastOfKeys(area, self._spool.messages)
        try:
            count = 0
            described: list[T | None] = []
            for relation, change in self._changes(left_out, described):
                if change.op == TRUNCATE:
                    index.truncate(relation, count)
                elif change.table.key_of is not None:
                    index.add(relation, key_of_change(change), count)
                count += 1
                if not count % TICK_EVERY:
                    tick()
            last = index.finish(count, tick)
        finally:
            index.close()
        self._described = described
        begin, messages = self._begin, tuple(self._messages)
        changes = _Again(lambda: (change for _, change in self._changes(left_out)))
        return Transaction(
            begin.xid, begin.commit_lsn, self.end_lsn, begin.commit_us, changes, last, messages
        )

    def _changes(
        self, left_out: Callable[[T], bool] | None, describe: list[T | None] | None = None
    ) -> Iterator[tuple[int, Change[T]]]:
        """Each change with its relation, by the shapes that were in force when it was made."""
        tables = dict(self._tables)
        described = iter(self._described or ())
        for lsn, payload in self._spool.frames():
            message = decode(payload)
            if isinstance(message, Insert | Update | Delete):
                table = table_of(tables, message.relation)
                if table is None or (left_out is not None and left_out(table)):
                    continue
                if isinstance(message, Insert):
                    yield message.relation, Change(table, CREATE, None, message.new, lsn)
                elif isinstance(message, Update):
                    for change in update_changes(table, message, lsn):
                        yield message.relation, change
                else:
                    deleted = Change(table, DELETE, message.old, None, lsn, message.old_is_key)
                    yield message.relation, deleted
            elif isinstance(message, Relation):
                if describe is None:
                    tables[message.oid] = next(described)
                else:
                    tables[message.oid] = self._shapes.table(message)
                    describe.append(tables[message.oid])
            elif isinstance(message, Type):
                self._shapes.announce(message)
            elif isinstance(message, Truncate):
                for relation in message.relations:
                    table = table_of(tables, relation)
                    if table is not None and not (left_out is not None and left_out(table)):
                        yield relation, Change(table, TRUNCATE, None, None, lsn)
            elif isinstance(message, Message):
                if describe is not None and message.transactional and message.prefix == self._prefix:
                    self._messages.append(message.content)
            elif not isinstance(message, Origin):
                raise PoisonRecord(f"pgoutput: {type(message).__name__} within another transaction")

    def close(self) -> None:
        """Give its space back."""
        self._spool.close()


class _Again(Generic[T]):
    """Something to iterate over more than once."""

    def __init__(self, start: Callable[[], Iterator[Change[T]]]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[Change[T]]:
        return self._start()
