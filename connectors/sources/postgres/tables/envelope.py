"""The Debezium envelope of a table: its key and value schemas, and the compiled encoders for both.

A value is put together from bytes that are made once a transaction (most of the source block, the
tail) and the two row images; see `connectors.sources.avro` for why that is sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from connectors.sources import avro, envelope
from connectors.sources.avro import NULL, SOME, long
from connectors.sources.envelope import CREATE, DELETE, READ, TRUNCATE, UPDATE, VERSION, RowField, header_json
from connectors.sources.postgres.pgoutput.messages import Cell, Row
from connectors.sources.postgres.types.values import ColumnType, NewLabel, SpecialValue, nothing

__all__ = [
    "VERSION",
    "EnvelopeEncoder",
    "Field",
    "NeedsOptional",
    "PartialRowEncoder",
    "RowEncoder",
    "Stamp",
    "encode_key",
    "header_json",
    "key_schema",
    "value_schema",
]

CONNECTOR = "postgresql"

CellEncoder: TypeAlias = Callable[[Any], bytes]

_SOURCE = envelope.source_schema(
    "io.debezium.connector.postgresql",
    [
        {"name": "schema", "type": "string"},
        {"name": "table", "type": "string"},
        {"name": "txId", **avro.optional("long")},
        {"name": "lsn", **avro.optional("long")},
        {"name": "xmin", **avro.optional("long")},
    ],
)


@dataclass(frozen=True, slots=True)
class Field:
    """A column as a field of the row record. ``column`` is PostgreSQL's name, ``name`` Avro's."""

    column: str
    name: str
    type: ColumnType
    optional: bool


@dataclass(frozen=True, slots=True)
class NeedsOptional(Exception):
    """A null, or a value without an Avro form, in a column whose field is not nullable, or a new label
    of an enum; internal.

    The catalog we read may be newer than the log, and NaN has no decimal: the table then gets a
    schema version in which the field is nullable, and the row is encoded again.
    """

    column: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """What all changes of one transaction share. Times are microseconds since 1970 in UTC.

    ``previous_commit_end``: LSN at which the commit before ends, None for the first transaction.

    ``snapshot`` is ``false`` in the stream, ``true`` for snapshot rows, ``last`` for the last one.
    """

    commit_us: int
    capture_us: int
    xid: int | None
    previous_commit_end: int | None
    snapshot: str = "false"


def key_schema(topic: str, fields: Sequence[Field]) -> dict[str, Any]:
    """Schema of the key: the key's columns, none of them nullable."""
    return envelope.key_schema(topic, _row_fields(fields))


def value_schema(topic: str, fields: Sequence[Field]) -> dict[str, Any]:
    """Schema of the envelope."""
    return envelope.value_schema(topic, _row_fields(fields), _SOURCE)


def _row_fields(fields: Sequence[Field]) -> list[RowField]:
    return [RowField(one.name, one.type.schema, one.optional) for one in fields]


def _optional(encode: Callable[[bytes], bytes]) -> CellEncoder:
    if encode is nothing:
        return lambda cell: NULL
    if encode is avro.data:  # strings are most columns: one call instead of two

        def encode_data(cell: bytes | None) -> bytes:
            return NULL if cell is None else SOME + long(len(cell)) + cell

        return encode_data

    def encode_optional(cell: bytes | None) -> bytes:
        return NULL if cell is None else SOME + encode(cell)

    return encode_optional


def _required(encode: Callable[[bytes], bytes]) -> CellEncoder:
    """Null is refused here, not left to the encoder: some would make a value of it."""
    if encode is avro.data:

        def encode_data(cell: bytes | None) -> bytes:
            if cell is None:
                raise SpecialValue
            return long(len(cell)) + cell

        return encode_data

    def encode_required(cell: bytes | None) -> bytes:
        if cell is None:
            raise SpecialValue
        return encode(cell)

    return encode_required


def _cell_encoder(field: Field) -> CellEncoder:
    return _optional(field.type.encode) if field.optional else _required(field.type.encode)


class RowEncoder:
    """Rows of wire text to the bytes of the row record, for one list of fields."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = tuple(fields)
        self._encoders = [_cell_encoder(field) for field in fields]

    def encode(self, row: Row) -> tuple[bytes, dict[str, str] | None]:
        """The record, and the values it could not hold, by field name; `NeedsOptional` as described."""
        try:
            return b"".join([encode(cell) for encode, cell in zip(self._encoders, row, strict=True)]), None
        except SpecialValue:
            return self._encode_aside(row)

    def _encode_aside(self, row: Row) -> tuple[bytes, dict[str, str]]:
        parts: list[bytes] = []
        special: dict[str, str] = {}
        for field, encode, cell in zip(self._fields, self._encoders, row, strict=True):
            try:
                parts.append(encode(cell))
            except NewLabel:
                raise NeedsOptional(field.column) from None
            except SpecialValue:
                if not field.optional:
                    raise NeedsOptional(field.column) from None
                assert isinstance(cell, bytes)
                special[field.name] = cell.decode()
                parts.append(NULL)
        return b"".join(parts), special


class PartialRowEncoder(RowEncoder):
    """Rows of which some columns are left out; ``places`` tells where in the row the fields are."""

    def __init__(self, fields: Sequence[Field], places: Sequence[int]) -> None:
        super().__init__(fields)
        self._places = tuple(places)

    def encode(self, row: Row) -> tuple[bytes, dict[str, str] | None]:
        """As `RowEncoder.encode`, of the whole row."""
        return super().encode(tuple([row[place] for place in self._places]))


def encode_key(schema_id: int, fields: Sequence[Field], indexes: Sequence[int]) -> Callable[[Row], bytes]:
    """A function from a row to its framed key. ``indexes`` are the key columns' places in the row.

    A special value in a key has no other place to go, so `NeedsOptional` tells of it.
    """
    framing = avro.framing(schema_id)
    places = [
        (index, _required(field.type.encode), field.column)
        for index, field in zip(indexes, fields, strict=True)
    ]

    def encode(row: Row) -> bytes:
        key = framing
        for index, encode_cell, column in places:
            cell: Cell = row[index]
            try:
                key += encode_cell(cell)
            except SpecialValue:
                raise NeedsOptional(column) from None
        return key

    return encode


_OPS = (CREATE, UPDATE, DELETE, TRUNCATE, READ)


class EnvelopeEncoder:
    """Envelopes of one table, for one registered schema."""

    def __init__(self, schema_id: int, name: str, database: str, schema: str, table: str) -> None:
        self._framing = avro.framing(schema_id)
        self._who = envelope.who(CONNECTOR, name)
        self._database = avro.text(database)
        self._table = avro.text(schema) + avro.text(table)

    def begin(self, stamp: Stamp) -> Callable[[str, bytes | None, bytes | None, int], bytes]:
        """The encoder for changes of one transaction: (op, before, after, lsn) → framed value."""
        framing = self._framing
        commit_us = stamp.commit_us
        head = self._who + envelope.changed_at(commit_us, stamp.snapshot) + self._database + SOME
        previous = "null" if stamp.previous_commit_end is None else f'"{stamp.previous_commit_end}"'
        sequence = f'[{previous},"%d"]'
        middle = envelope.changed_exactly(commit_us) + self._table
        middle += (NULL if stamp.xid is None else SOME + long(stamp.xid)) + SOME
        # xmin is not known
        tails = {op: NULL + envelope.tail(op, stamp.capture_us) for op in _OPS}

        def encode(op: str, before: bytes | None, after: bytes | None, lsn: int) -> bytes:
            place = (sequence % lsn).encode()
            return b"".join(
                (
                    framing,
                    NULL if before is None else SOME + before,
                    NULL if after is None else SOME + after,
                    head,
                    long(len(place)),
                    place,
                    middle,
                    long(lsn),
                    tails[op],
                )
            )

        return encode
