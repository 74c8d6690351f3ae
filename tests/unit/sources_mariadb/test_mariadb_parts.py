"""Events, positions, transactions, envelopes and configuration of the MariaDB source, without a server."""

from __future__ import annotations

import builtins
import importlib
import operator
import struct
import sys
import zlib
from collections.abc import Callable, Hashable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader

from connectors.sources.kinds import load_source, make_source
from connectors.sources.mariadb import binlog, tablemap
from connectors.sources.mariadb.binlog import Begin, Commit, Decoder, Gtid, Rows, Statement
from connectors.sources.mariadb.config import MariadbConfig
from connectors.sources.mariadb.envelope import EnvelopeEncoder, Stamp, value_schema
from connectors.sources.mariadb.position import GtidState, Progress
from connectors.sources.mariadb.records import transaction_records
from connectors.sources.mariadb.transactions import TransactionBuffer
from connectors.sources.mariadb.types import Column, column_type
from connectors.sources.postgres.envelope import Field, RowEncoder, encode_key
from connectors.sources.running import Surroundings
from streams.errors import ConfigurationError, PoisonRecord, PositionLost

ID = Field("id", "id", column_type(Column("id", "int", False)), False)
NOTE = Field("note", "note", column_type(Column("note", "string", True)), True)
TOPIC = "cdc.erp.erp.line"


def event(kind: int, body: bytes, *, flags: int = 0, checksum: bool = True) -> bytes:
    """An event as the server sends it."""
    size = 19 + len(body) + (4 if checksum else 0)
    raw = struct.pack("<IBIIIH", 1_700_000_000, kind, 7, size, 500, flags) + body
    return raw + struct.pack("<I", zlib.crc32(raw)) if checksum else raw


class FakeTable:
    """A table of two columns that needs no registry."""

    topic = TOPIC
    full_name = "erp.line"

    def __init__(self) -> None:
        self.rows = RowEncoder([ID, NOTE])
        self.envelope = EnvelopeEncoder(1, "erp", "erp", "line")
        self.encode_key: Callable[[Any], bytes] | None = encode_key(2, [ID], [0])

    @property
    def key_of(self) -> Callable[[Any], Hashable] | None:
        return operator.itemgetter(0)

    def widen(self, column: str) -> None:
        raise AssertionError(column)


def test_events() -> None:
    """A group of a domain: begin, statement, commit."""
    decoder = Decoder(checksum=True)
    assert decoder.decode(event(162, struct.pack("<QIB", 9, 3, 1) + bytes(6))) == Begin(
        Gtid(3, 7, 9), True, False, 1_700_000_000
    )
    query = struct.pack("<IIBHH", 1, 0, 3, 0, 2) + b"vv" + b"erp\0" + b"TRUNCATE line"
    assert decoder.decode(event(2, query)) == Statement("erp", "TRUNCATE line", 500, 1_700_000_000)
    packed = b"\x81\x0d" + zlib.compress(b"TRUNCATE line")
    compressed = struct.pack("<IIBHH", 1, 0, 3, 0, 0) + b"erp\0" + packed
    assert decoder.decode(event(165, compressed)) == Statement("erp", "TRUNCATE line", 500, 1_700_000_000)
    assert decoder.decode(event(16, bytes(8))) == Commit(500, 1_700_000_000)
    assert decoder.decode(event(27, b"bin.000001")) is None


def test_row_events_say_when_columns_are_missing() -> None:
    """The bits of columns present, of both images of an update."""
    head = (5).to_bytes(6, "little") + bytes(2)
    whole = Decoder(True).decode(event(24, head + b"\x03" + b"\x07" + b"\x07" + b"rows"))
    assert isinstance(whole, Rows)
    assert (whole.what, whole.table_id, whole.columns, whole.complete) == ("update", 5, 3, True)
    assert whole.data[whole.start :] == b"rows"
    for present in (b"\x05\x07", b"\x07\x05"):
        partial = Decoder(True).decode(event(24, head + b"\x03" + present + b"rows"))
        assert isinstance(partial, Rows)
        assert not partial.complete


@pytest.mark.parametrize(
    "raw",
    [
        event(16, bytes(8))[:-1] + b"?",  # its checksum is wrong
        event(26, b"\x01\x00\x00"),  # an incident: the server says that it lost changes
        event(99, b"what"),  # a kind that nobody knows
        event(162, b"\x01"),  # cut short
    ],
)
def test_what_cannot_be_read_halts(raw: bytes) -> None:
    """Nothing that might carry changes is passed over."""
    with pytest.raises(PoisonRecord, match="binary log"):
        Decoder(True).decode(raw)


def test_unknown_events_that_may_be_ignored_are() -> None:
    """The server marks them so."""
    assert Decoder(True).decode(event(99, b"what", flags=0x80)) is None


def test_a_table_map_without_names_says_what_to_do() -> None:
    """binlog_row_metadata was not FULL when it was written."""
    body = b"\x03erp\0\x04line\0\x01\x03\x00\x00"
    with pytest.raises(PoisonRecord, match="binlog_row_metadata"):
        tablemap.describe(body)


def test_gtid_states() -> None:
    """Domains are apart; within one the number counts, whatever server wrote it."""
    state = GtidState("1-2-5, 0-1-100")
    assert str(state) == "0-1-100,1-2-5"
    assert state.covers(Gtid(0, 9, 100))
    assert not state.covers(Gtid(0, 1, 101))
    assert not state.covers(Gtid(2, 1, 1))
    assert state.reaches(GtidState("0-1-99"))
    assert not state.reaches(GtidState("0-1-99,2-1-1"))
    state.add(Gtid(0, 3, 101))
    assert str(state) == "0-3-101,1-2-5"
    assert GtidState("") == GtidState()


def test_progress_is_read_back() -> None:
    """And another connector's is refused, not misread."""
    progress = Progress("uid", 2, 7, 3, "0-1-100", "bin.000002", 345, True, {"erp.line": "0-1-5"})
    assert Progress.from_json(progress.to_json()) == progress
    for other in (b"{}", b"[]", b'{"epoch":1,"slot":"s"}', b'{"server_uid":"u","epoch":1,"gtid":"x"}'):
        with pytest.raises(PositionLost):
            Progress.from_json(other)


def test_records_of_a_transaction() -> None:
    """Order, ordinals, last of its key, tombstones, change of key and the source block."""
    table = FakeTable()
    buffer = TransactionBuffer(Gtid(0, 1, 42))
    buffer.rows(table, binlog.INSERT, [(b"1", b"a"), (b"2", None)], 100)
    buffer.rows(table, binlog.UPDATE, [(b"1", b"a"), (b"1", b"b"), (b"2", None), (b"3", None)], 200)
    buffer.rows(table, binlog.DELETE, [(b"1", b"b")], 300)
    stamp = Stamp(1_700_000_000_000_000, 1_700_000_000_500_000, 1, "0-1-42", "bin.000001")
    records = list(transaction_records(buffer.finish(1_700_000_000), "1/8/", stamp))
    schema = parse_schema(value_schema(TOPIC, [ID, NOTE]))
    seen = []
    for record in records:
        headers = dict(record.headers)
        value = None
        if record.value is not None:
            stream = BytesIO(record.value[5:])
            value = schemaless_reader(stream, schema, None)
            assert not stream.read()
        assert record.key is not None
        seen.append(
            (
                headers["tallystream.position"],
                value and value["op"],
                record.key[5:],
                headers["tallystream.last_for_key"],
                value and (value["source"]["pos"], value["source"]["row"]),
            )
        )
    assert seen == [
        (b"1/8/0", "c", b"\x02", b"0", (100, 0)),
        (b"1/8/1", "c", b"\x04", b"0", (100, 1)),
        (b"1/8/2", "u", b"\x02", b"0", (200, 0)),
        (b"1/8/3", "d", b"\x04", b"1", (200, 1)),
        (b"1/8/3", None, b"\x04", b"1", None),
        (b"1/8/4", "c", b"\x06", b"1", (200, 1)),
        (b"1/8/5", "d", b"\x02", b"1", (300, 0)),
        (b"1/8/5", None, b"\x02", b"1", None),
    ]


def test_the_source_block() -> None:
    """The fields and their order are those of Debezium's connector for MariaDB."""
    encode = EnvelopeEncoder(1, "erp", "erp", "line").begin(
        Stamp(1_700_000_000_000_000, 1_700_000_000_500_001, 4, "0-4-42", "bin.000001")
    )
    schema = parse_schema(value_schema(TOPIC, [ID, NOTE]))
    value = schemaless_reader(BytesIO(encode("c", None, b"\x02\x00", 77, 3)[5:]), schema, None)
    assert list(value) == ["before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns"]
    assert value["source"] == {
        "version": "1",
        "connector": "mariadb",
        "name": "erp",
        "ts_ms": 1_700_000_000_000,
        "snapshot": "false",
        "db": "erp",
        "sequence": None,
        "ts_us": 1_700_000_000_000_000,
        "ts_ns": 1_700_000_000_000_000_000,
        "table": "line",
        "server_id": 4,
        "gtid": "0-4-42",
        "file": "bin.000001",
        "pos": 77,
        "row": 3,
        "thread": None,
        "query": None,
    }
    assert list(value["source"])[-8:] == [
        "table", "server_id", "gtid", "file", "pos", "row", "thread", "query",
    ]  # fmt: skip
    assert value["ts_us"] == 1_700_000_000_500_001


def test_a_truncate_ends_what_was_last() -> None:
    """Rows before it in the transaction are no last states, those after it are."""
    table = FakeTable()
    buffer = TransactionBuffer(Gtid(0, 1, 1))
    buffer.rows(table, binlog.INSERT, [(b"1", b"a")], 1)
    buffer.truncate(table, 2)
    buffer.rows(table, binlog.INSERT, [(b"1", b"b")], 3)
    assert list(buffer.finish(0).last_for_key) == [0, 1, 1]


def test_configuration(tmp_path: Path) -> None:
    """A file names the connector; the replica's number is made of the name, or given."""
    path = tmp_path / "erp.toml"
    path.write_text('name = "erp"\nconnector = "mariadb"\ndsn = "mysql://u:p@h"\ntables = ["erp.*"]\n')
    config = load_source(path)
    assert isinstance(config, MariadbConfig)
    assert 1_000_000_000 <= config.replica_id < 2_000_000_000
    assert config.model_copy(update={"server_id": 7}).replica_id == 7
    path.write_text(path.read_text() + 'slot = "s"\n')
    with pytest.raises(ConfigurationError, match="unknown key slot"):
        load_source(path)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    for name in [one for one in sys.modules if one.startswith(("pymysql", "connectors.sources.mariadb"))]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pymysql"):
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    config = importlib.import_module("connectors.sources.mariadb.config").MariadbConfig(
        name="erp", connector="mariadb", dsn="mysql://u:p@h", tables=("erp.*",)
    )
    with pytest.raises(ConfigurationError, match=r"pip install 'tallystream\[mariadb\]'") as raised:
        make_source(config, Surroundings("k", "r"))
    assert "\n" not in str(raised.value)
