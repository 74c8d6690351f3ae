"""One source transaction as the records of one or more Kafka transactions, from any ordinal on. Pure.

Up to `PART_CHANGES` changes a source transaction is published whole, in one Kafka transaction with its
position. A larger one spans several, each of which stores the ordinal it came to: after a kill the
next change is the next ordinal. The changes of such a transaction carry the header
``tallystream.partial``: ``1`` while more of it follows in a later Kafka transaction, ``0`` in the last
one. A reader that wants whole source transactions only holds those with ``1`` back until a ``0``, or
any change with a later commit LSN, has come. Other transactions have no such header.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from connectors.sources.envelope import POSITION, Record
from connectors.sources.postgres.log.metadata import Orders
from connectors.sources.postgres.pgoutput.transactions import Change, Transaction
from connectors.sources.postgres.tables.envelope import Stamp
from connectors.sources.postgres.tables.records import transaction_records
from connectors.sources.postgres.tables.table import Table

PARTIAL = "tallystream.partial"
# Of nine columns they take some seconds to encode and send, well within the minute that the broker
# gives a Kafka transaction, and their commit a fraction of a percent of that.
PART_CHANGES = 100_000


class Parts:
    """The parts of a transaction, from the ordinal ``first`` on; each is to be used up before the next.

    Changes of the tables named in ``skip`` are left out; the others keep their ordinals.
    """

    def __init__(
        self,
        transaction: Transaction[Table],
        epoch: int,
        stamp: Stamp,
        first: int,
        orders: Orders | None,
        skip: frozenset[str] = frozenset(),
    ) -> None:
        self._transaction = transaction
        self._epoch = epoch
        self._stamp = stamp
        self._first = first
        self._orders = orders
        self._skip = skip
        self._place = f"{epoch}/{transaction.commit_lsn}/".encode()
        self._ordinal = first - 1
        self._table = ""
        self._counts: Counter[tuple[str, str]] = Counter()

    def take_counts(self) -> Counter[tuple[str, str]]:
        """Changes made into records since this was last asked, by table and operation."""
        counts, self._counts = self._counts, Counter()
        return counts

    def __iter__(self) -> Iterator[tuple[int, Iterable[Record]]]:
        """The ordinal after each part's last change, and the part's records."""
        count, first = self._transaction.count, self._first
        changes = iter(self._transaction.changes)
        for change in islice(changes, first):
            if self._orders is not None:
                self._orders.count(change.table.full_name)
        if not first and count <= PART_CHANGES:
            yield count, self._records(changes, 0, count, None)
            return
        while first < count:
            end = min(first + PART_CHANGES, count)
            yield end, self._records(changes, first, end, b"1" if end < count else b"0")
            first = end

    def _records(
        self, changes: Iterator[Change[Table]], first: int, end: int, partial: bytes | None
    ) -> Iterator[Record]:
        last = self._transaction.last_for_key
        part = replace(
            self._transaction,
            changes=self._counted(islice(changes, end - first)),
            last_for_key=last if partial is None else last[first:end],
        )
        records = transaction_records(part, self._epoch, self._stamp, self._skip)
        if partial is None and self._orders is None:
            return records
        return self._labelled(records, partial)

    def _counted(self, changes: Iterable[Change[Table]]) -> Iterator[Change[Table]]:
        orders = self._orders
        for change in changes:
            self._ordinal += 1
            self._table = change.table.full_name
            self._counts[self._table, change.op] += 1
            if orders is not None:
                orders.count(self._table)
            yield change

    def _labelled(self, records: Iterable[Record], partial: bytes | None) -> Iterator[Record]:
        headers: object = None  # a delete and its tombstone share theirs
        for record in records:
            if partial is not None and record.headers is not headers:
                headers = record.headers
                assert record.headers[0][0] == POSITION
                record.headers[0] = POSITION, b"%b%d" % (self._place, self._ordinal)
                record.headers.append((PARTIAL, partial))
            if self._orders is not None and record.value is not None:
                record = record._replace(value=self._orders.into(record.value, self._table))
            yield record
