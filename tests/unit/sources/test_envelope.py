"""Envelopes: compiled bytes read back by fastavro, headers, tombstones, widening."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from decimal import Decimal
from io import BytesIO
from operator import itemgetter
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources import avro
from connectors.sources import envelope as shared
from connectors.sources.postgres.pgoutput.messages import Row
from connectors.sources.postgres.pgoutput.transactions import Change, Transaction
from connectors.sources.postgres.snapshot.snapshot import parse_line
from connectors.sources.postgres.tables import envelope as e
from connectors.sources.postgres.tables import records as r
from connectors.sources.postgres.types.mapping import TypeInfo, column_type
from streams.errors import ContractViolation

TOPIC = "cdc.erp.public.order-line"
INT = column_type(TypeInfo(23, "int4"), -1)
TEXT = column_type(TypeInfo(25, "text"), -1)
MONEY = column_type(TypeInfo(1700, "numeric"), 4 + (12 << 16 | 2))
FREE = column_type(TypeInfo(1700, "numeric"), -1)
STAMP = e.Stamp(
    commit_us=1_700_000_000_123_456, capture_us=1_700_000_000_200_001, xid=7, previous_commit_end=50
)


class FakeTable:
    """A table of id, cost, note and two free numbers, without a registry."""

    topic = TOPIC
    full_name = "public.order-line"
    field_names = ("id", "cost", "note", "a", "b")
    not_in_identity = ("cost", "note", "a", "b")
    key_of: Callable[[Row], Hashable] | None = itemgetter(0)

    def __init__(self) -> None:
        self.widened: list[str] = []
        self.compile()

    def compile(self) -> None:
        self.fields = [
            e.Field("id", "id", INT, False),
            e.Field("cost", "cost", MONEY, "cost" in self.widened),
            e.Field("note", "note", TEXT, True),
            e.Field("a", "a", FREE, True),
            e.Field("b", "b", FREE, True),
        ]
        self.schema = e.value_schema(TOPIC, self.fields)
        self.rows = e.RowEncoder(self.fields)
        self.envelope = e.EnvelopeEncoder(9, "erp", "erpdb", "public", "order-line")
        self.encode_key: Callable[[Row], bytes] | None = e.encode_key(8, self.fields[:1], [0])

    def widen(self, column: str) -> None:
        self.widened.append(column)
        self.compile()

    def read(self, value: bytes | None) -> Any:
        assert value is not None
        assert value[:5] == b"\0\0\0\0\x09"
        stream = BytesIO(value[5:])
        decoded = schemaless_reader(stream, parse_schema(self.schema), None)
        assert not stream.read()
        return decoded


def publish(table: FakeTable, *changes: Change[FakeTable]) -> list[r.Record]:
    done = Transaction(7, 100, 108, STAMP.commit_us, list(changes), bytearray([1] * len(changes)))
    return list(r.transaction_records(done, 3, STAMP))


def test_the_envelope_is_debeziums() -> None:
    """Field order, source block and times of an update with its old row."""
    table = FakeTable()
    old, new = (b"1", b"0.00", None, None, None), (b"1", b"5.50", b"x", b"1.0", b"2")
    (record,) = publish(table, Change(table, "u", old, new, 95))
    assert [field["name"] for field in table.schema["fields"]] == [
        "before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns",
    ]  # fmt: skip
    assert table.schema["connect.name"] == "cdc.erp.public.order_line.Envelope"
    assert table.read(record.value) == {
        "before": {"id": 1, "cost": Decimal("0.00"), "note": None, "a": None, "b": None},
        "after": {
            "id": 1,
            "cost": Decimal("5.50"),
            "note": "x",
            "a": {"scale": 1, "value": b"\x0a"},
            "b": {"scale": 0, "value": b"\x02"},
        },
        "source": {
            "version": e.VERSION,
            "connector": "postgresql",
            "name": "cdc.erp",
            "ts_ms": 1_700_000_000_123,
            "snapshot": "false",
            "db": "erpdb",
            "sequence": '["50","95"]',
            "ts_us": 1_700_000_000_123_456,
            "ts_ns": 1_700_000_000_123_456_000,
            "schema": "public",
            "table": "order-line",
            "txId": 7,
            "lsn": 95,
            "xmin": None,
        },
        "transaction": None,
        "op": "u",
        "ts_ms": 1_700_000_000_200,
        "ts_us": 1_700_000_000_200_001,
        "ts_ns": 1_700_000_000_200_001_000,
    }
    assert record.key == b"\0\0\0\0\x08\x02"
    assert record.headers == [(shared.POSITION, b"3/100/0"), (shared.LAST_FOR_KEY, b"1")]


def test_the_bytes_are_those_fastavro_writes() -> None:
    """The compiled encoder and fastavro agree byte for byte."""
    table = FakeTable()
    (record,) = publish(table, Change(table, "c", None, (b"-5", b"-12.50", "ü".encode(), b"0.001", None), 95))
    again = BytesIO()
    schemaless_writer(again, parse_schema(table.schema), table.read(record.value))
    assert record.value == b"\0\0\0\0\x09" + again.getvalue()


def test_a_delete_is_followed_by_its_tombstone() -> None:
    """Both stand at the same position."""
    table = FakeTable()
    delete, tombstone = publish(table, Change(table, "d", (b"1", b"1.00", None, None, None), None, 95))
    assert table.read(delete.value)["op"] == "d"
    assert (tombstone.key, tombstone.value, tombstone.headers) == (delete.key, None, delete.headers)


def test_an_identity_of_the_key_alone_names_what_is_absent() -> None:
    """Columns of `before` that the log does not have are null and named."""
    table = FakeTable()
    table.widened.append("cost")
    table.compile()
    delete, _ = publish(table, Change(table, "d", (b"1", None, None, None, None), None, 95, True))
    assert dict(delete.headers)[shared.ABSENT] == b'["cost","note","a","b"]'


def test_a_change_of_key_carries_the_other_key() -> None:
    """Debezium's headers, with the framed key."""
    table = FakeTable()
    old, new = (b"1", b"1.00", None, None, None), (b"2", b"1.00", None, None, None)
    records = publish(
        table, Change(table, "d", old, None, 95, False, new), Change(table, "c", None, new, 95, False, old)
    )
    assert dict(records[0].headers)[shared.NEW_KEY] == records[2].key
    assert dict(records[2].headers)[shared.OLD_KEY] == records[0].key


def test_nan_is_null_with_its_text_in_a_header() -> None:
    """A number that is none is kept aside, and a NOT NULL column becomes nullable for it."""
    table = FakeTable()
    (record,) = publish(table, Change(table, "c", None, (b"1", b"NaN", None, b"-Infinity", None), 95))
    assert table.widened == ["cost"]
    assert table.read(record.value)["after"]["cost"] is None
    assert json.loads(dict(record.headers)[shared.SPECIAL]) == {"after.cost": "NaN", "after.a": "-Infinity"}


def test_a_null_the_catalog_did_not_expect_widens_the_column() -> None:
    """The catalog may be newer than the log."""
    table = FakeTable()
    (record,) = publish(table, Change(table, "c", None, (b"1", None, None, None, None), 95))
    assert table.widened == ["cost"]
    assert table.read(record.value)["after"]["cost"] is None


def test_unchanged_columns_are_named() -> None:
    """By their field names."""
    table = FakeTable()
    change = Change(table, "u", None, (b"1", b"1.00", None, None, None), 95, False, None, (2,))
    assert dict(publish(table, change)[0].headers)[r.UNCHANGED] == b'["note"]'


def test_a_truncate_goes_everywhere_without_key() -> None:
    """It has no key and concerns each partition."""
    table = FakeTable()
    (record,) = publish(table, Change(table, "t", None, None, 95))
    assert record.key is None
    assert record.everywhere
    assert table.read(record.value)["op"] == "t"


def test_skipped_tables_leave_their_ordinals() -> None:
    """Changes that a later snapshot holds are left out; nobody else's position moves."""
    table = FakeTable()
    row = (b"1", b"1.00", None, None, None)
    done = Transaction(7, 100, 108, 0, [Change(table, "c", None, row, 95)], bytearray([1]))
    assert list(r.transaction_records(done, 3, STAMP, frozenset({table.full_name}))) == []


def test_names_in_avros_alphabet() -> None:
    """Other characters become underscores, a leading digit gets one; a clash is refused."""
    assert avro.name("2nd rate-%") == "_2nd_rate__"
    assert avro.namespace("cdc.erp.public.order-line") == "cdc.erp.public.order_line"
    with pytest.raises(ContractViolation, match=r"'a-b' and 'a\+b'"):
        avro.distinct(["a-b", "a+b"], "public.t")


ESCAPES = {
    "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


@given(
    st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"))), min_size=1)
)
def test_lines_of_copy_read_back(cells: list[str | None]) -> None:
    """Whatever characters a text holds, and nulls apart from the text N."""
    line = "\t".join("\\N" if c is None else "".join(ESCAPES.get(x, x) for x in c) for c in cells) + "\n"
    assert parse_line(line.encode()) == tuple(None if c is None else c.encode() for c in cells)


def test_named_types_are_defined_once() -> None:
    """However often a record type comes up, alone and within arrays: readers refuse a second definition."""
    many = column_type(TypeInfo(1, "_", element=(TypeInfo(1700, "numeric"), -1)), -1)
    fields = [e.Field(name, name, kind, True) for name, kind in (("a", many), ("b", many), ("c", FREE))]
    schema = e.value_schema(TOPIC, fields)
    assert json.dumps(schema).count('"name": "VariableScaleDecimal"') == 1
    parse_schema(schema)
