"""Debezium envelopes of rows that are Python values, for the sources that read no log.

Only the key's columns are required: a before image may hold nothing else. The source block says in
``not_captured`` what this kind of source cannot see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from connectors.sources import avro, envelope
from connectors.sources.avro import NULL, SOME, long
from connectors.sources.envelope import ABSENT, DELETE, SPECIAL, Header, Record, RowField, header_json
from connectors.sources.polling.values import Form, NoForm
from connectors.sources.subjects import Subjects
from connectors.sources.topics import topic_name
from streams.errors import ContractViolation

ROW_HASH = "tallystream.row_hash"  # of the after image: what a lost state file is made again from
HASH_BYTES = 16  # two of a billion rows of one key's history are alike with probability 1e-21

Values: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A captured column: its name in the database and in Avro, and its form."""

    column: str
    field: str
    form: Form


@dataclass(frozen=True, slots=True)
class Stamp:
    """When and how a row was come by. Times are microseconds since 1970 in UTC.

    ``changed_us``: of the change where it is known, else of the reading. ``found_by`` is initial,
    poll, comparison, or trigger. ``number``: of the poll, or of the row in the change table.
    """

    changed_us: int
    captured_us: int
    snapshot: str
    found_by: str
    number: int


class Image(NamedTuple):
    """A row as Avro, the hash of what it says, and the values it could not hold, by field."""

    encoded: bytes
    row_hash: bytes
    special: dict[str, str]


class EncodedTable:
    """A captured table with its registered schemas; encodes its rows.

    ``columns`` in the table's order, ``key`` names some of them. `ContractViolation` where the
    registry refuses the schemas or two columns would become one field.
    """

    def __init__(
        self,
        connector: str,
        source: str,
        database: str,
        schema: str,
        table: str,
        columns: Sequence[tuple[str, Form]],
        key: Sequence[str],
        not_captured: str,
        registry: Subjects,
    ) -> None:
        self.full_name = f"{schema}.{table}"
        self.topic = topic = topic_name(source, schema, table)
        fields = avro.distinct([name for name, _ in columns], self.full_name)
        self.columns = tuple(
            Column(name, field, form) for (name, form), field in zip(columns, fields, strict=True)
        )
        by_name = {column.column: column for column in self.columns}
        self.key = tuple(by_name[name] for name in key)
        self._required = frozenset(key)
        self._absent_in_delete = [one.field for one in self.columns if one.column not in self._required]
        fields_of_row = [
            RowField(one.field, one.form.schema, one.column not in self._required) for one in self.columns
        ]
        value = envelope.value_schema(topic, fields_of_row, _source_schema(connector))
        key_fields = [RowField(one.field, one.form.schema, False) for one in self.key]
        key_id = registry.register(f"{topic}-key", envelope.key_schema(topic, key_fields), self.full_name)
        value_id = registry.register(f"{topic}-value", value, self.full_name)
        self._key_framing = avro.framing(key_id)
        self._framing = avro.framing(value_id)
        self._who = envelope.who(connector, source)
        self._database = avro.text(database) + NULL
        self._table = avro.text(schema) + avro.text(table)
        self._not_captured = avro.text(not_captured)

    def key_of(self, row: Values) -> bytes:
        """The key's payload; `ContractViolation` names a value that no key can carry."""
        encoded = b""
        for one in self.key:
            value = row.get(one.column)
            try:
                if value is None:
                    raise NoForm("null")
                encoded += one.form.encode(value)
            except NoForm as error:
                raise ContractViolation(
                    f"{self.full_name}: key column {one.column} holds {str(error)[:60]}, which no key can "
                    "carry; correct the row, or leave the table out"
                ) from None
        return encoded

    def image(self, row: Values) -> Image:
        """The row as Avro. Columns that ``row`` lacks are null."""
        parts: list[bytes] = []
        special: dict[str, str] = {}
        digest = hashlib.blake2b(digest_size=HASH_BYTES)
        for one in self.columns:
            value = row.get(one.column)
            if value is None:
                # Nulls are left out of the hash: a column that is added is no change of old rows.
                parts.append(NULL)
                continue
            try:
                cell = one.form.encode(value)
            except NoForm as error:
                special[one.field] = str(error)
                digest.update(f"{one.field}\0!{len(str(error))}:{error}".encode(errors="surrogateescape"))
                parts.append(NULL)
                continue
            digest.update(f"{one.field}\0{len(cell)}:".encode())
            digest.update(cell)
            parts.append(cell if one.column in self._required else SOME + cell)
        return Image(b"".join(parts), digest.digest(), special)

    def upsert(
        self, op: str, row: Values, image: Image, before: Values | None, stamp: Stamp, headers: list[Header]
    ) -> Record:
        """A row as it now is. ``before`` only where the whole row is known."""
        special = {f"after.{name}": text for name, text in image.special.items()}
        was = None
        if before is not None:
            old = self.image(before)
            was = old.encoded
            special |= {f"before.{name}": text for name, text in old.special.items()}
        headers = [*headers, (ROW_HASH, image.row_hash), *_special(special)]
        return Record(
            self.topic, self.framed(self.key_of(row)), self._value(op, was, image.encoded, stamp), headers
        )

    def delete(self, row: Values, stamp: Stamp, headers: list[Header], *, whole: bool) -> list[Record]:
        """A deleted row and its tombstone. Not ``whole``: ``row`` holds nothing but the key."""
        return self.delete_encoded(self.key_of(row), self.image(row), stamp, headers, whole=whole)

    def delete_encoded(
        self, key: bytes, image: Image, stamp: Stamp, headers: list[Header], *, whole: bool
    ) -> list[Record]:
        """As `delete`, of what is encoded already."""
        headers = [*headers, *_special({f"before.{name}": text for name, text in image.special.items()})]
        if not whole and self._absent_in_delete:
            headers.append((ABSENT, header_json(self._absent_in_delete)))
        framed = self.framed(key)
        value = self._value(DELETE, image.encoded, None, stamp)
        return [Record(self.topic, framed, value, headers), Record(self.topic, framed, None, headers)]

    def image_of_key(self, key: bytes) -> Image:
        """The before image of a row of which only the key's payload is known."""
        cells = dict(zip((one.column for one in self.key), split_key(key, self.key), strict=True))
        encoded = b"".join(cells.get(one.column, NULL) for one in self.columns)
        return Image(encoded, b"", {})

    def framed(self, key: bytes) -> bytes:
        """A key's payload as it is on the wire."""
        return self._key_framing + key

    def _value(self, op: str, before: bytes | None, after: bytes | None, stamp: Stamp) -> bytes:
        return b"".join(
            (
                self._framing,
                NULL if before is None else SOME + before,
                NULL if after is None else SOME + after,
                self._who,
                envelope.changed_at(stamp.changed_us, stamp.snapshot),
                self._database,
                envelope.changed_exactly(stamp.changed_us),
                self._table,
                long(stamp.number) + avro.text(stamp.found_by),
                self._not_captured,
                envelope.tail(op, stamp.captured_us),
            )
        )


def split_key(key: bytes, columns: Sequence[Column]) -> list[bytes]:
    """The cells of a key's payload, each as the bytes of its column's schema."""
    cells, start = [], 0
    for one in columns:
        end = _end(key, start, one.form.schema)
        cells.append(key[start:end])
        start = end
    return cells


def _end(data: bytes, start: int, schema: Any) -> int:
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind == "record":
        for field in schema["fields"]:
            start = _end(data, start, field["type"])
        return start
    if kind in ("boolean", "float", "double"):
        return start + {"boolean": 1, "float": 4, "double": 8}[kind]
    value, shift = 0, 0
    while True:
        byte = data[start]
        start += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    return start if kind in ("int", "long") else start + (value >> 1)  # a length is never negative


def _source_schema(connector: str) -> dict[str, Any]:
    own = [
        {"name": "schema", "type": "string"},
        {"name": "table", "type": "string"},
        {"name": "number", "type": "long"},
        {"name": "found_by", "type": "string"},
        {"name": "not_captured", "type": "string"},
    ]
    return envelope.source_schema(f"io.tallystream.connector.{connector}", own)


def _special(special: dict[str, str]) -> list[Header]:
    return [(SPECIAL, header_json(special))] if special else []
