"""A source transaction as records, and where in a large one a Kafka transaction may end. Pure.

Up to `PART_CHANGES` changes are published in one Kafka transaction with their position. A larger one
spans several, each of which stores what it came to. The records of such a transaction carry the header
``tallystream.partial``: ``1`` while more of it follows in a later Kafka transaction, ``0`` in the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from connectors.sources.envelope import DELETE, Header, Record
from connectors.sources.mariadb.changes import Change
from connectors.sources.mariadb.envelope import Stamp
from connectors.sources.mariadb.records import Encode, change_records
from connectors.sources.mariadb.transactions import Transaction
from connectors.sources.postgres.log.parts import PART_CHANGES, PARTIAL

_MARKS: tuple[tuple[Header, ...], ...] = (((PARTIAL, b"1"),), ((PARTIAL, b"0"),))


class Reached(NamedTuple):
    """Up to which change of a transaction is published: its place in the log, and its ordinal.

    By its place it is found again when other tables are captured by then, and ordinals go on from it.
    """

    position: int
    row: int
    ordinal: int


def parts(
    transaction: Transaction, place: str, stamp: Stamp, skip: frozenset[str], done: Reached | None
) -> Iterator[tuple[Change, Iterator[Record]] | Reached]:
    """Each change with its records, in order, and `Reached` where a Kafka transaction is to end.

    ``place``: ``<epoch>/<transaction>/``. What is ``done`` is left out. So are changes of the tables
    named in ``skip``, whose ordinals stay free.
    """
    encoders: dict[int, Encode] = {}
    prefix = place.encode()
    last, count = transaction.last_for_key, len(transaction.changes)
    final = (count - 1) // PART_CHANGES * PART_CHANGES if transaction.in_order else 0
    ordinal = -1 if done is None else done.ordinal
    more: tuple[Header, ...] = ()
    before: Change | None = None
    for index, change in enumerate(transaction.changes):
        at = change.position, change.row
        if done is not None and at <= (done.position, done.row):
            continue
        if final:
            # A change of key is one row of the log and two changes: it is not parted.
            moves = change.op == DELETE and change.moved is not None
            end = index % PART_CHANGES == 0 or (moves and (index + 1) % PART_CHANGES == 0)
            if end and before is not None and (before.position, before.row) != at:
                yield Reached(before.position, before.row, ordinal)
            more = _MARKS[index >= final or (moves and index == final - 1)]
            before = change
        ordinal += 1
        if change.table.full_name in skip:
            continue
        yield change, change_records(change, b"%b%d" % (prefix, ordinal), last[index], encoders, stamp, *more)
