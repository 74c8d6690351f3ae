"""From whole source transactions to Kafka records: keys, envelopes, tombstones and headers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Protocol, TypeAlias, TypeVar

from connectors.sources.envelope import (
    ABSENT,
    CREATE,
    DELETE,
    LAST_MARKS,
    NEW_KEY,
    OLD_KEY,
    POSITION,
    SPECIAL,
    TRUNCATE,
    Header,
    Record,
    header_json,
)
from connectors.sources.postgres.pgoutput.messages import Row
from connectors.sources.postgres.pgoutput.transactions import Change, Transaction
from connectors.sources.postgres.tables.envelope import EnvelopeEncoder, NeedsOptional, RowEncoder, Stamp

# TOASTed columns the log left out; null in `after` unless `before` had them
UNCHANGED = "tallystream.unchanged"


class EncodedTable(Protocol):
    """What is needed of a table; its encoders are replaced by `widen`."""

    topic: str
    full_name: str
    rows: RowEncoder
    envelope: EnvelopeEncoder
    encode_key: Callable[[Row], bytes] | None
    not_in_identity: tuple[str, ...]
    field_names: tuple[str, ...]

    @property
    def key_of(self) -> Callable[[Row], Hashable] | None:
        """As in `KeyedTable`."""

    def widen(self, column: str) -> None:
        """Make the column's field nullable, by a new version of the schema."""


T = TypeVar("T", bound=EncodedTable)
Encode: TypeAlias = Callable[[str, "bytes | None", "bytes | None", int], bytes]


def transaction_records(
    transaction: Transaction[T], epoch: int, stamp: Stamp, skip: frozenset[str] = frozenset()
) -> Iterator[Record]:
    """The records of a transaction, in order. A delete is followed by its tombstone.

    Changes of the tables named in ``skip`` are left out; the others keep their ordinals.
    """
    encoders: dict[int, Encode] = {}
    place = f"{epoch}/{transaction.commit_lsn}/".encode()
    last = transaction.last_for_key
    for ordinal, change in enumerate(transaction.changes):
        if skip and change.table.full_name in skip:
            continue
        headers: list[Header] = [(POSITION, b"%b%d" % (place, ordinal)), LAST_MARKS[last[ordinal]]]
        yield from _records(change, headers, encoders, stamp)


def snapshot_headers(place: bytes, ordinal: int, special: bytes | None) -> list[Header]:
    """The headers of a snapshot's row. ``place`` is ``<epoch>/<lsn>/``; ``special`` is `header_json`'s."""
    headers: list[Header] = [(POSITION, b"%b%d" % (place, ordinal)), LAST_MARKS[1]]
    if special:
        headers.append((SPECIAL, special))
    return headers


def _records(
    change: Change[T], headers: list[Header], encoders: dict[int, Encode], stamp: Stamp
) -> Iterator[Record]:
    table = change.table
    while True:
        encode = encoders.get(id(table))
        if encode is None:
            encode = encoders[id(table)] = table.envelope.begin(stamp)
        try:
            key, value, special = _encode(change, table, encode)
            break
        except NeedsOptional as need:
            table.widen(need.column)
            del encoders[id(table)]
    if special:
        headers.append((SPECIAL, header_json(special)))
    if change.unchanged:
        headers.append((UNCHANGED, header_json([table.field_names[index] for index in change.unchanged])))
    if change.before_is_key:
        headers.append((ABSENT, header_json(table.not_in_identity)))
    if change.moved is not None and table.encode_key is not None:
        headers.append((OLD_KEY if change.op == CREATE else NEW_KEY, table.encode_key(change.moved)))
    yield Record(table.topic, key, value, headers, change.op == TRUNCATE)
    if change.op == DELETE and key is not None:
        yield Record(table.topic, key, None, headers)


def _encode(change: Change[T], table: T, encode: Encode) -> tuple[bytes | None, bytes, dict[str, str] | None]:
    special: dict[str, str] | None = None
    before = after = None
    if change.before is not None:
        before, aside = table.rows.encode(change.before)
        if aside:
            special = {f"before.{name}": text for name, text in aside.items()}
    if change.after is not None:
        after, aside = table.rows.encode(change.after)
        if aside:
            special = {**(special or {}), **{f"after.{name}": text for name, text in aside.items()}}
    row = change.after if change.after is not None else change.before
    key = None if table.encode_key is None or row is None else table.encode_key(row)
    return key, encode(change.op, before, after, change.lsn), special
