"""MySQL's GTIDs, events and binary JSON, as bytes in and values out."""

from __future__ import annotations

import contextlib
import struct
import uuid
import zlib
from typing import Any

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.mariadb.binlog import Begin, Commit, Prepared, Rows, Statement
from connectors.sources.mariadb.documents import document
from connectors.sources.mariadb.envelope import value_schema
from connectors.sources.mariadb.position import Progress
from connectors.sources.mysql.binlog import MysqlDecoder
from connectors.sources.mysql.gtids import GtidSet, MysqlGtid
from connectors.sources.mysql.server import renamed_status
from streams.errors import PoisonRecord, PositionLost

A, B = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "aaaaaaaa-71ca-11e1-9e33-c80aa9429562"
START = 1_700_000_000
NUMBERS = st.lists(st.integers(1, 40), max_size=40)


def event(kind: int, body: bytes, *, checksum: bool = True, end: int = 500) -> bytes:
    """An event as the server sends it."""
    size = 19 + len(body) + (4 if checksum else 0)
    raw = struct.pack("<IBIIIH", START, kind, 7, size, end, 0) + body
    return raw + struct.pack("<I", zlib.crc32(raw)) if checksum else raw


def gtid_event(number: int) -> bytes:
    return event(33, struct.pack("<B16sQ", 1, uuid.UUID(A).bytes, number) + bytes(30))


def query(text: str, *, checksum: bool = True) -> bytes:
    return event(2, struct.pack("<IIBHH", 1, 0, 3, 0, 2) + b"vverp\0" + text.encode(), checksum=checksum)


def payload(data: bytes, method: int = 0, size: int | None = None) -> bytes:
    """A transaction payload event around the uncompressed events of ``data``."""
    body = bytes(cramjam.zstd.compress(data)) if method == 0 else data
    fields = b"".join(
        bytes((field, 9, 254)) + struct.pack("<Q", value)
        for field, value in ((2, method), (3, len(data) if size is None else size), (1, len(body)))
    )
    whole = fields + b"\0" + body
    return event(40, whole, end=1000 + 19 + len(whole) + 4)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_gtid_sets_are_sets(some: list[int], others: list[int], elsewhere: list[int]) -> None:
    """Adding, covering and reaching are what they are for sets; the text reads back as the same set."""
    one, other = GtidSet(), GtidSet()
    for number in some:
        one.add(MysqlGtid(A, number, 1))
    for number in elsewhere:
        one.add(MysqlGtid(B, number, 1))
    for number in others:
        other.add(MysqlGtid(A, number, 1))
    assert [number for number in range(45) if one.covers(MysqlGtid(A, number, 9))] == sorted(set(some))
    assert one.reaches(other) == (set(others) <= set(some))
    assert GtidSet(str(one)) == one
    assert one.reaches(GtidSet(str(one)))


def test_the_text_and_the_wire_form_of_gtids() -> None:
    """As the server has them, in any order and case; intervals merge, and end behind their last on the wire."""
    assert str(GtidSet(f"{B.upper()}:3,\n{A}:7:1-5:6")) == f"{A}:1-7,{B}:3"
    assert str(MysqlGtid(A, 5, 1)) == f"{A}:5"
    assert GtidSet(f"{A}:1-5:9").encoded() == (
        struct.pack("<Q", 1) + uuid.UUID(A).bytes + struct.pack("<QQQQQ", 2, 1, 6, 9, 10)
    )
    assert GtidSet().encoded() == bytes(8)


@pytest.mark.parametrize("text", ["0-1-5", f"{A}", f"{A}:", f"{A}:0", f"{A}:5-1", f"{A}:tag:1-5", "x:1"])
def test_what_is_no_gtid_set(text: str) -> None:
    """Among it MariaDB's, and those with tags."""
    with pytest.raises(ValueError, match=r"UUID|numbers|tag|interval|literal"):
        GtidSet(text)
    with pytest.raises(PositionLost, match="cannot be read"):
        Progress.from_json(Progress(A, 1, gtid=text).to_json(), GtidSet)


def test_a_group_begins_with_its_first_statement() -> None:
    """BEGIN opens a transaction; DDL is one by itself, unless it says that rows follow."""
    decoder = MysqlDecoder(True)
    gtid = MysqlGtid(A, 9, 7)
    assert decoder.decode(gtid_event(9)) == ()
    assert decoder.decode(query("BEGIN")) == (Begin(gtid, False, False, START),)
    assert decoder.decode(event(16, bytes(8))) == (Commit(500, START),)
    for text, alone in (("TRUNCATE line", True), ("CREATE TABLE t (\n  a int\n) START TRANSACTION", False)):
        assert decoder.decode(gtid_event(9)) == ()
        statement = Statement("erp", text, 500, START)
        assert decoder.decode(query(text)) == (Begin(gtid, alone, False, START), statement)
        assert decoder.decode(query("SAVEPOINT `a`")) == (Statement("erp", "SAVEPOINT `a`", 500, START),)


def test_a_gtid_without_a_transaction_halts() -> None:
    """What it named may have been lost."""
    decoder = MysqlDecoder(True)
    decoder.decode(gtid_event(1))
    with pytest.raises(PoisonRecord, match=f"{A}:1 follows its"):
        decoder.decode(gtid_event(2))


def test_xa_is_named_by_its_statements() -> None:
    """The name at its start is the name at its end, however it is spaced."""
    decoder = MysqlDecoder(True)
    name = b"X'61',X'62',1"
    decoder.decode(gtid_event(1))
    assert decoder.decode(query("XA START X'61',X'62',1")) == (
        Begin(MysqlGtid(A, 1, 7), False, True, START, name),
    )
    assert decoder.decode(event(38, b"\0" + bytes(12))) == (Prepared(500, START),)
    for number, word in ((2, "COMMIT"), (3, "ROLLBACK")):
        decoder.decode(gtid_event(number))
        begin, statement = decoder.decode(query(f"XA {word} X'61', X'62', 1"))
        assert begin == Begin(MysqlGtid(A, number, 7), True, False, START, name)
        assert isinstance(statement, Statement)


@pytest.mark.parametrize("method", [0, 255])
def test_a_compressed_transaction(method: int) -> None:
    """Its events are those inside; their places grow, and the last ends where the whole does."""
    rows = event(30, (5).to_bytes(6, "little") + bytes(2) + b"\2\0" + b"\x01\x01rows", checksum=False)
    decoder = MysqlDecoder(True)
    decoder.decode(gtid_event(4))
    raw = payload(query("BEGIN", checksum=False) + rows + rows + event(16, bytes(8), checksum=False), method)
    begin, first, second, commit = decoder.decode(raw)
    assert isinstance(begin, Begin)
    assert isinstance(first, Rows)
    assert isinstance(second, Rows)
    assert isinstance(commit, Commit)
    assert first.data[first.start :] == b"rows"
    assert 1000 < first.position < second.position
    assert commit.end == 1000 + len(raw)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (event(34, bytes(30)), "gtid_mode"),
        (event(39, bytes(30)), "binlog_row_value_options"),
        (event(42, bytes(30)), "tag"),
        (payload(bytes(30), method=7), "method 7"),
        (payload(b"x", size=2), "not as long"),
        (payload(event(16, bytes(8), checksum=False)[:-1]), "cut short"),
        (event(40, b"\x02\x01\x00\x03\x01\x05\x00nonsense"), "can't be read"),
        (event(99, b"what"), "type 99"),
        (gtid_event(1)[:-1] + b"?", "checksum"),
    ],
)
def test_what_cannot_be_read_halts(raw: bytes, words: str) -> None:
    """One line that says what it is."""
    with pytest.raises(PoisonRecord, match=words) as raised:
        MysqlDecoder(True).decode(raw)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "null"),
        (b"\x04\x01", "true"),
        (b"\x05\xfe\xff", "-2"),
        (b"\x0b" + struct.pack("<d", 1e20), "1e20"),
        (b"\x0b" + struct.pack("<d", -0.0), "-0.0"),
        (b"\x0c\x01\x22", '"\\""'),
        (b"\x02\x02\x00\x0a\x00\x05\x01\x00\x04\x00\x00", "[1, null]"),
        (b"\x00\x01\x00\x0c\x00\x0b\x00\x01\x00\x05\x07\x00a", '{"a": 7}'),
        (b"\x0f\xf6\x04\x04\x02\x8c\x22", '12.34'),
    ],
)  # fmt: skip
def test_binary_json(data: bytes, text: str) -> None:
    """Values of each form; the server's own text of many more is compared where there is a server."""
    assert document(data).decode() == text


@given(st.binary(max_size=60))
def test_binary_json_that_is_none(data: bytes) -> None:
    """Any bytes are read, or refused as the reader of rows expects it: no other error, no endless loop."""
    with contextlib.suppress(ValueError, IndexError, struct.error):
        document(data)


def test_binary_json_that_holds_itself() -> None:
    """An array whose only element is that array."""
    with pytest.raises(ValueError, match="nested too deeply"):
        document(b"\x02\x01\x00\x07\x00\x02\x00\x00")


@pytest.mark.parametrize(
    ("version", "renamed"),
    [("8.0.36", False), ("8.0.36-28.1", False), ("8.2.0", True), ("8.4.0-log", True), ("9.7.4-2", True)],
)
def test_the_statement_for_the_logs_end(version: str, renamed: bool) -> None:
    """It has another name from MySQL 8.2 on."""
    assert renamed_status(version) is renamed


def test_the_connector_of_the_envelope() -> None:
    """The source block's name is that of Debezium's connector for MySQL."""
    fields: dict[str, Any] = {
        one["name"]: one for one in value_schema("cdc.erp.erp.line", [], "mysql")["fields"]
    }
    assert fields["source"]["type"]["connect.name"] == "io.debezium.connector.mysql.Source"
