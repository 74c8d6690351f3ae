"""Events, positions, transactions, envelopes and configuration of the MariaDB source, without a server."""

from __future__ import annotations

import builtins
import importlib
import itertools
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
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.kinds import load_source, make_source
from connectors.sources.mariadb import binlog, tablemap
from connectors.sources.mariadb.binlog import Begin, Commit, Decoder, Event, Gtid, Prepared, Rows, Statement
from connectors.sources.mariadb.config import MariadbConfig
from connectors.sources.mariadb.envelope import EnvelopeEncoder, Origin, Stamp, value_schema
from connectors.sources.mariadb.parts import Reached, parts
from connectors.sources.mariadb.position import GtidState, Progress
from connectors.sources.mariadb.snapshotrun import SnapshotRun, TableDone
from connectors.sources.mariadb.transactions import TransactionBuffer
from connectors.sources.mariadb.types import Column, column_type
from connectors.sources.postgres.tables.envelope import Field, RowEncoder, encode_key
from connectors.sources.running import Surroundings
from connectors.sources.spill import SpillArea
from streams.errors import ConfigurationError, PoisonRecord, PositionLost

ID = Field("id", "id", column_type(Column("id", "int", False)), False)
NOTE = Field("note", "note", column_type(Column("note", "string", True)), True)
TOPIC = "cdc.erp.erp.line"
ORIGIN = Origin("mariadb", "erp")


def event(kind: int, body: bytes, *, flags: int = 0, checksum: bool = True) -> bytes:
    """An event as the server sends it."""
    size = 19 + len(body) + (4 if checksum else 0)
    raw = struct.pack("<IBIIIH", 1_700_000_000, kind, 7, size, 500, flags) + body
    return raw + struct.pack("<I", zlib.crc32(raw)) if checksum else raw


def read_event(decoder: Decoder, raw: bytes) -> Event:
    """What an event says, which is one thing."""
    (one,) = decoder.decode(raw)
    return one


class FakeTable:
    """A table of two columns that needs no registry."""

    topic = TOPIC
    full_name = "erp.line"

    def __init__(self) -> None:
        self.rows = RowEncoder([ID, NOTE])
        self.envelope = EnvelopeEncoder(1, ORIGIN, "erp", "line")
        self.encode_key: Callable[[Any], bytes] | None = encode_key(2, [ID], [0])

    @property
    def key_of(self) -> Callable[[Any], Hashable] | None:
        return operator.itemgetter(0)

    def widen(self, column: str) -> None:
        raise AssertionError(column)


def test_events() -> None:
    """A group of a domain: begin, statement, commit."""
    decoder = Decoder(checksum=True)
    started = event(162, struct.pack("<QIB", 9, 3, 1) + bytes(6))
    assert read_event(decoder, started) == Begin(Gtid(3, 7, 9), True, False, 1_700_000_000)
    query = struct.pack("<IIBHH", 1, 0, 3, 0, 2) + b"vv" + b"erp\0" + b"TRUNCATE line"
    assert read_event(decoder, event(2, query)) == Statement("erp", "TRUNCATE line", 500, 1_700_000_000)
    packed = b"\x81\x0d" + zlib.compress(b"TRUNCATE line")
    compressed = struct.pack("<IIBHH", 1, 0, 3, 0, 0) + b"erp\0" + packed
    assert read_event(decoder, event(165, compressed)) == Statement(
        "erp", "TRUNCATE line", 500, 1_700_000_000
    )
    assert read_event(decoder, event(16, bytes(8))) == Commit(500, 1_700_000_000)
    assert decoder.decode(event(27, b"bin.000001")) == ()


def test_xa_events() -> None:
    """A prepared group and the statement that ends it name the same transaction; one phase is a commit."""
    decoder = Decoder(checksum=True)
    name = struct.pack("<IBB", 7, 1, 2) + b"abb"
    for group, committed in ((64, b""), (64 | 2, bytes(8)), (128 | 1, b"")):
        group_event = event(162, struct.pack("<QIB", 9, 3, group) + committed + name + b"\x01\xff")
        begin = read_event(decoder, group_event)
        assert begin == Begin(Gtid(3, 7, 9), group & 1 == 1, group & 64 == 64, 1_700_000_000, name)
    assert read_event(decoder, event(38, b"\0" + name)) == Prepared(500, 1_700_000_000)
    assert read_event(decoder, event(38, b"\1" + name)) == Commit(500, 1_700_000_000)
    with pytest.raises(PoisonRecord, match="malformed"):
        decoder.decode(event(162, struct.pack("<QIB", 9, 3, 64) + name[:-1]))


def test_row_events_say_when_columns_are_missing() -> None:
    """The bits of columns present, of both images of an update."""
    head = (5).to_bytes(6, "little") + bytes(2)
    whole = read_event(Decoder(True), event(24, head + b"\x03" + b"\x07" + b"\x07" + b"rows"))
    assert isinstance(whole, Rows)
    assert (whole.what, whole.table_id, whole.columns, whole.complete) == ("update", 5, 3, True)
    assert whole.data[whole.start :] == b"rows"
    for present in (b"\x05\x07", b"\x07\x05"):
        partial = read_event(Decoder(True), event(24, head + b"\x03" + present + b"rows"))
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
    assert Decoder(True).decode(event(99, b"what", flags=0x80)) == ()


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
    done = TableDone(True, False, ("id int",), ("31",), "0-1-4", True)
    run = SnapshotRun("0-1-5", "bin.000001", 4, 7, {"erp.line": done})
    progress = Progress(
        "uid",
        2,
        7,
        "0-1-100",
        "bin.000002",
        345,
        True,
        (9, 8, 7),
        "0-1-90",
        "0-1-5",
        run,
        {"erp.log": "0-1-5"},
        ("erp.line",),
    )
    assert Progress.from_json(progress.to_json()) == progress
    for other in (b"{}", b"[]", b'{"epoch":1,"slot":"s"}', b'{"server_uid":"u","epoch":1,"gtid":"x"}'):
        with pytest.raises(PositionLost):
            Progress.from_json(other)


def test_records_of_a_transaction() -> None:
    """Order, ordinals, last of its key, tombstones, change of key and the source block."""
    table = FakeTable()
    buffer = TransactionBuffer(SpillArea(None, 1 << 20))
    buffer.rows(table, binlog.INSERT, [(b"1", b"a"), (b"2", None)], 100)
    buffer.rows(table, binlog.UPDATE, [(b"1", b"a"), (b"1", b"b"), (b"2", None), (b"3", None)], 200)
    buffer.rows(table, binlog.DELETE, [(b"1", b"b")], 300)
    stamp = Stamp(1_700_000_000_000_000, 1_700_000_000_500_000, 1, "0-1-42", "bin.000001")
    transaction = buffer.finish()
    records = [
        record for _, found in parts(transaction, "1/8/", stamp, frozenset(), None) for record in found
    ]
    schema = parse_schema(value_schema(TOPIC, [ID, NOTE], "mariadb"))
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


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(2, 5), st.data())
def test_parts_of_a_transaction(rows: list[int], size: int, data: st.DataObject) -> None:
    """Begun again after any part, it goes on with the next change; a change of key stays in one part."""
    table = FakeTable()
    buffer = TransactionBuffer(SpillArea(None, 1 << 20))
    for number, kind in enumerate(rows):
        key = b"%d" % number
        if kind == 0:
            buffer.rows(table, binlog.UPDATE, [(key, b"a"), (b"-%d" % number, b"a")], number + 1)
        else:
            buffer.rows(table, binlog.INSERT, [(key, b"a")] * kind, number + 1)
    transaction = buffer.finish()
    stamp = Stamp(0, 0, 1, "0-1-42", "bin.000001")

    def read(done: Reached | None) -> list[Any]:
        found: list[Any] = []
        for part in parts(transaction, "1/8/", stamp, frozenset(), done):
            found.append(part if isinstance(part, Reached) else list(part[1]))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("connectors.sources.mariadb.parts.PART_CHANGES", size)
        whole = read(None)
        ends = [place for place, one in enumerate(whole) if isinstance(one, Reached)]
        assert bool(ends) == (len(transaction.changes) > size)
        if ends:
            end = data.draw(st.sampled_from(ends))
            assert read(whole[end]) == whole[end + 1 :]
            marks = [
                dict(one[0].headers)["tallystream.partial"] for one in whole if not isinstance(one, Reached)
            ]
            assert marks == [b"1"] * (ends[-1] - len(ends) + 1) + [b"0"] * (len(whole) - ends[-1] - 1)
            for place in ends:
                assert dict(whole[place + 1][0].headers).get("__debezium.oldkey") is None
                assert isinstance(whole[place + 1], list)
            bounds = [-1, *ends, len(whole)]
            assert all(0 < b - a - 1 <= size + 1 for a, b in itertools.pairwise(bounds))
        else:
            assert not any("tallystream.partial" in dict(one[0].headers) for one in whole)


def test_the_source_block() -> None:
    """The fields and their order are those of Debezium's connector for MariaDB."""
    encode = EnvelopeEncoder(1, ORIGIN, "erp", "line").begin(
        Stamp(1_700_000_000_000_000, 1_700_000_000_500_001, 4, "0-4-42", "bin.000001")
    )
    schema = parse_schema(value_schema(TOPIC, [ID, NOTE], "mariadb"))
    value = schemaless_reader(BytesIO(encode("c", None, b"\x02\x00", 77, 3)[5:]), schema, None)
    assert list(value) == ["before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns"]
    assert value["source"] == {
        "version": "1",
        "connector": "mariadb",
        "name": "cdc.erp",
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
    buffer = TransactionBuffer(SpillArea(None, 1 << 20))
    buffer.rows(table, binlog.INSERT, [(b"1", b"a")], 1)
    buffer.truncate(table, 2)
    buffer.rows(table, binlog.INSERT, [(b"1", b"b")], 3)
    assert list(buffer.finish().last_for_key) == [0, 1, 1]


def test_a_large_transaction_is_the_same_from_disk() -> None:
    """Changes and last states are equal whether it is held in memory or was spilled on the way."""
    table = FakeTable()
    finished = []
    buffers = [TransactionBuffer(SpillArea(None, limit)) for limit in (1 << 30, 200_000)]
    for buffer in buffers:
        for number in range(5_000):
            key = b"%d" % number
            buffer.rows(table, binlog.INSERT, [(key, None)], number)
            if number == 4_000:
                buffer.truncate(table, number)
            if number % 3 == 0:
                buffer.rows(table, binlog.UPDATE, [(key, None), (key, b"b")], number)
            if number % 7 == 0:
                buffer.rows(table, binlog.UPDATE, [(key, b"b"), (b"-%d" % number, b"c")], number)
        whole = buffer.finish()
        finished.append((len(buffer), list(whole.changes), list(whole.changes), list(whole.last_for_key)))
        assert buffer.spilled_to_disk == (buffer is buffers[1])
        buffer.close()
    assert finished[0] == finished[1]
    assert 0 < sum(finished[0][3]) < len(finished[0][3])


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
