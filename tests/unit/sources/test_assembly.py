"""Assembling transactions: whatever way they come in and wherever they are kept, the same changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.sources import wire

from connectors.sources.postgres.log.assembly import Assembler
from connectors.sources.postgres.log.between import SIGNALS
from connectors.sources.postgres.log.spilled import Shapes, SpilledTransaction
from connectors.sources.postgres.pgoutput.bounds import (
    Begin,
    BeginPrepare,
    Commit,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
)
from connectors.sources.postgres.pgoutput.messages import (
    UNCHANGED,
    Column,
    Delete,
    Insert,
    LogMessage,
    Relation,
    Row,
    Truncate,
    Type,
    Update,
)
from connectors.sources.postgres.pgoutput.transactions import Change, Transaction
from connectors.sources.spill import SpillArea
from streams.errors import ConfigurationError, PoisonRecord

LINE = Relation(1, "public", "line", "f", (Column("id", 23, -1, True), Column("note", 25, -1, True)))
OTHER = Relation(2, "public", "other", "f", LINE.columns)
HIDDEN = Relation(3, "public", "hidden", "f", LINE.columns)
WIDER = Relation(1, "public", "line", "f", (*LINE.columns, Column("more", 25, -1, True)))


@dataclass(frozen=True)
class FakeTable:
    """A table whose first column is its key."""

    relation: Relation

    @property
    def key_of(self) -> Callable[[Row], Hashable] | None:
        return lambda row: row[0]


class Stream:
    """An assembler, and the changes of the transactions that came out of it."""

    def __init__(self, limit: int) -> None:
        self.area = SpillArea(None, limit)
        self.types: list[str] = []
        shapes: Shapes[FakeTable] = Shapes(self._table, lambda message: self.types.append(message.name))
        self.assembler = Assembler(shapes, self.area, SIGNALS)
        self.left_out: Callable[[FakeTable], bool] | None = None
        self.done: list[tuple[Transaction[FakeTable], list[Change[FakeTable]], list[int]]] = []
        self.spilled = 0
        self._lsn = 0

    def _table(self, relation: Relation) -> FakeTable | None:
        return None if relation.table == "hidden" else FakeTable(relation)

    def feed(self, *messages: LogMessage | bytes) -> None:
        for message in messages:
            self._lsn += 1
            payload = message if isinstance(message, bytes) else wire.encode(message)
            done = self.assembler.feed(payload, self._lsn)
            if isinstance(done, SpilledTransaction):
                self.spilled += 1
                try:
                    whole = done.read(self.area, self.left_out, lambda: None)
                    self.done.append((whole, list(whole.changes), list(whole.last_for_key)))
                    assert list(whole.changes) == self.done[-1][1], "the second reading differs"
                finally:
                    done.close()
            elif done is not None:
                whole = done if self.left_out is None else done.without(self.left_out)
                self.done.append((whole, list(whole.changes), list(whole.last_for_key)))

    def whole(self, xid: int, lsn: int, *messages: LogMessage) -> None:
        self.feed(Begin(lsn, 5, xid), *messages, Commit(lsn, lsn + 8, 5))

    def block(self, xid: int, *messages: tuple[int, LogMessage], first: bool = False) -> None:
        self.feed(
            StreamStart(xid, first), *(wire.streamed(sub, message) for sub, message in messages), StreamStop()
        )

    def ops(self) -> list[list[tuple[str, Row | None, int]]]:
        return [
            [(one.op, one.after or one.before, flag) for one, flag in zip(changes, last, strict=True)]
            for _, changes, last in self.done
        ]


KEYS = st.sampled_from([b"a", b"b", b"c"])
CHANGES = st.lists(
    st.one_of(
        st.builds(lambda oid, key, value: Insert(oid, (key, value)), st.integers(1, 3), KEYS, KEYS),
        st.builds(
            lambda oid, old, new: Update(oid, (old, b"x"), False, (new, b"")), st.integers(1, 2), KEYS, KEYS
        ),
        st.builds(lambda key: Update(1, None, False, (key, UNCHANGED)), KEYS),
        st.builds(lambda oid, key: Delete(oid, (key, None), True), st.integers(1, 2), KEYS),
        st.builds(lambda oids: Truncate(oids, False, False), st.sampled_from([(1,), (2, 3), (1, 2)])),
    ),
    max_size=20,
)


@given(CHANGES, st.booleans())
def test_memory_disk_and_streaming_give_the_same(messages: list[LogMessage], leave_out: bool) -> None:
    """The same statements held in memory, spilled after a few bytes, and streamed in two blocks."""
    streams = [Stream(1 << 20), Stream(30), Stream(30), Stream(1 << 20)]
    if leave_out:
        for stream in streams:
            stream.left_out = lambda table: table.relation.table == "other"
    shapes: list[LogMessage] = [LINE, OTHER, HIDDEN, Type(9, "public", "state")]
    for stream in streams[:2]:
        stream.whole(7, 100, *shapes, *messages)
    half = len(messages) // 2
    for stream in streams[2:]:
        stream.block(7, *((7, message) for message in [*shapes, *messages[:half]]), first=True)
        stream.block(7, *((8, message) for message in messages[half:]))
        stream.feed(StreamCommit(7, 100, 108, 5))
    assert [stream.spilled for stream in streams] == [0, 1, 1, 1]
    assert all(stream.ops() == streams[0].ops() for stream in streams[1:])
    for stream in streams:
        whole = stream.done[0][0]
        assert (whole.xid, whole.commit_lsn, whole.end_lsn, whole.commit_us) == (7, 100, 108, 5)
        assert stream.types
        assert stream.area.held == 0
        assert not stream.assembler.open


@pytest.mark.parametrize("limit", [10, 1 << 20])
def test_blocks_of_several_transactions_and_whole_ones_between(limit: int) -> None:
    """Each comes out at its own commit; what a rolled back sub-transaction wrote is gone, and only that."""
    stream = Stream(limit)
    stream.block(10, (10, LINE), (10, Insert(1, (b"1", b"a"))), first=True)
    stream.block(20, (20, LINE), (20, Insert(1, (b"2", b"b"))), first=True)
    stream.block(10, (11, Insert(1, (b"3", b"c"))), (12, Insert(1, (b"4", b"d"))))
    assert not stream.assembler.open
    stream.whole(30, 50, LINE, Insert(1, (b"5", b"e")))
    stream.feed(StreamAbort(10, 11))
    stream.block(10, (10, Update(1, None, False, (b"1", b"z"))))
    stream.feed(StreamAbort(20, 20))
    stream.feed(StreamCommit(10, 100, 108, 5))
    assert stream.ops() == [
        [("c", (b"5", b"e"), 1)],
        [("c", (b"1", b"a"), 0), ("c", (b"4", b"d"), 1), ("u", (b"1", b"z"), 1)],
    ]
    assert stream.area.held == 0
    with pytest.raises(PoisonRecord, match="transaction 20"):
        stream.feed(StreamCommit(20, 200, 208, 5))


def test_rows_have_the_shape_that_was_in_force() -> None:
    """A column added within a spilled transaction concerns the rows after it, and the next transaction."""
    stream = Stream(10)
    stream.whole(1, 10, LINE, Insert(1, (b"1", b"a")))
    stream.whole(2, 20, Insert(1, (b"2", b"b")), WIDER, Insert(1, (b"3", b"c", b"d")))
    stream.whole(3, 30, Insert(1, (b"4", b"e", b"f")))
    shapes = [[len(change.table.relation.columns) for change in changes] for _, changes, _ in stream.done]
    assert shapes == [[2], [2, 3], [3]]
    assert stream.spilled == 3


def test_a_committed_block_makes_its_relations_known() -> None:
    """The server does not describe them again; those of a rolled back transaction it does."""
    stream = Stream(10)
    stream.block(10, (10, LINE), (10, Insert(1, (b"1", b"a"))), first=True)
    stream.feed(StreamCommit(10, 100, 108, 5))
    stream.whole(20, 200, Insert(1, (b"2", b"b")))
    stream.block(30, (30, OTHER), (30, Insert(2, (b"1", b"a"))), first=True)
    stream.feed(StreamAbort(30, 30))
    assert len(stream.done) == 2
    with pytest.raises(PoisonRecord, match="relation 2"):
        stream.whole(40, 300, Insert(2, (b"2", b"b")))


def test_a_prepared_transaction_before_its_commit_is_refused() -> None:
    """A slot with two_phase is not ours: one line says what to do, nothing is published."""
    with pytest.raises(ConfigurationError, match="two_phase") as raised:
        Stream(10).feed(BeginPrepare(1, 2, 3, 4, "gid"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("limit", [20, 1000])
@pytest.mark.parametrize(
    "messages",
    [
        (StreamStop(),),
        (StreamStart(1, False),),
        (StreamCommit(1, 1, 1, 1),),
        (Begin(1, 1, 1), StreamStart(1, True), Commit(1, 2, 3)),
        (Begin(100, 1, 1), LINE, Insert(1, (b"1" * 50, b"")), Commit(1, 2, 3)),
    ],
)
def test_a_stream_out_of_order_is_poison(messages: tuple[LogMessage, ...], limit: int) -> None:
    """Blocks that did not start, or start within a transaction, and a commit of another one."""
    stream = Stream(limit)
    with pytest.raises(PoisonRecord):
        stream.feed(*messages)
    stream.assembler.close()


def test_closing_gives_the_space_back() -> None:
    """Of transactions in progress, streamed and whole."""
    stream = Stream(60)
    stream.block(10, (10, LINE), (10, Insert(1, (b"1", b"a"))), first=True)
    stream.feed(Begin(100, 5, 7), LINE, Insert(1, (b"1" * 90, b"a")))
    stream.assembler.close()
    assert stream.area.held == 0
    assert not stream.assembler.open
