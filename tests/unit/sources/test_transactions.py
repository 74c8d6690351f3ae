"""The transaction buffer: order, ordinals, and which change is the last of its key."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.postgres.pgoutput.bounds import Begin, Commit
from connectors.sources.postgres.pgoutput.messages import (
    UNCHANGED,
    Delete,
    Insert,
    LogMessage,
    Row,
    Truncate,
    Update,
)
from connectors.sources.postgres.pgoutput.transactions import Change, Transaction, TransactionBuffer
from streams.errors import PoisonRecord

ROWS = 1


@dataclass(frozen=True)
class FakeTable:
    """A table whose first column is its key."""

    keyed: bool = True

    @property
    def key_of(self) -> Callable[[Row], Hashable] | None:
        return (lambda row: row[0]) if self.keyed else None


def run(*messages: LogMessage, keyed: bool = True) -> Transaction[FakeTable]:
    buffer: TransactionBuffer[FakeTable] = TransactionBuffer()
    buffer.tables = {ROWS: FakeTable(keyed), 2: FakeTable(keyed), 3: None}
    assert buffer.feed(Begin(100, 5_000_000, 7), 90) is None
    for lsn, message in enumerate(messages, 91):
        assert buffer.feed(message, lsn) is None
    done = buffer.feed(Commit(100, 108, 5_000_000), 108)
    assert done is not None
    assert not buffer.open
    return done


def changes_of(transaction: Transaction[FakeTable]) -> list[Change[FakeTable]]:
    return list(transaction.changes)


def test_a_half_done_line_is_not_last() -> None:
    """An insert with cost 0 and its update in the same transaction: only the update is the last state."""
    done = run(
        Insert(ROWS, (b"1", b"0")), Insert(ROWS, (b"2", b"9")), Update(ROWS, None, False, (b"1", b"5"))
    )
    assert [change.op for change in done.changes] == ["c", "c", "u"]
    assert list(done.last_for_key) == [0, 1, 1]
    assert (done.commit_lsn, done.end_lsn, done.commit_us, done.xid) == (100, 108, 5_000_000, 7)
    assert [change.lsn for change in done.changes] == [91, 92, 93]


def test_a_change_of_key_is_a_delete_and_a_create() -> None:
    """Each end knows the row at the other end, and takes an ordinal of its own."""
    done = run(Update(ROWS, (b"1", b"x"), False, (b"2", b"x")))
    first, second = changes_of(done)
    assert (first.op, first.before, first.after, first.moved) == ("d", (b"1", b"x"), None, (b"2", b"x"))
    assert (second.op, second.before, second.after, second.moved) == ("c", None, (b"2", b"x"), (b"1", b"x"))
    assert list(done.last_for_key) == [1, 1]


def test_a_key_that_comes_back() -> None:
    """A → B → A in one transaction: the last state of A is the second create."""
    done = run(Update(ROWS, (b"1",), True, (b"2",)), Update(ROWS, (b"2",), True, (b"1",)))
    assert [change.op for change in done.changes] == ["d", "c", "d", "c"]
    assert list(done.last_for_key) == [0, 0, 1, 1]


def test_truncate_supersedes_what_came_before() -> None:
    """Changes before a truncate of their table are not last; other tables' and later ones are."""
    done = run(
        Insert(ROWS, (b"1",)), Insert(2, (b"1",)), Truncate((ROWS, 3), False, False), Insert(ROWS, (b"1",))
    )
    assert [change.op for change in done.changes] == ["c", "c", "t", "c"]
    assert list(done.last_for_key) == [0, 1, 1, 1]


def test_unchanged_values_come_from_the_old_row() -> None:
    """Under full identity the old image fills what the log left out; the columns stay named."""
    done = run(Update(ROWS, (b"1", b"long", None), False, (b"1", UNCHANGED, b"x")))
    assert changes_of(done)[0].after == (b"1", b"long", b"x")
    assert changes_of(done)[0].unchanged == (1,)


def test_unchanged_values_without_an_old_row_are_null() -> None:
    """Under default identity they are not known: null, and named."""
    done = run(Update(ROWS, None, False, (b"1", UNCHANGED, b"x")))
    assert changes_of(done)[0].after == (b"1", None, b"x")
    assert changes_of(done)[0].unchanged == (1,)


def test_an_unchanged_key_is_no_change_of_key() -> None:
    """A TOASTed key that the log left out is taken from the old key before keys are compared."""
    done = run(Update(ROWS, (b"long key", None), True, (UNCHANGED, b"x")))
    assert [(change.op, change.after) for change in done.changes] == [("u", (b"long key", b"x"))]


def test_without_a_key_every_change_stands_for_itself() -> None:
    """Rows of a table without a key can't be told apart: none is superseded."""
    done = run(Insert(ROWS, (b"1",)), Insert(ROWS, (b"1",)), keyed=False)
    assert list(done.last_for_key) == [1, 1]


def test_tables_that_are_not_included_leave_nothing() -> None:
    """A relation defined as None is left out and takes no ordinal."""
    assert changes_of(run(Insert(3, (b"1",)), Insert(ROWS, (b"1",))))[0].after == (b"1",)


@pytest.mark.parametrize("message", [Insert(9, ()), Commit(1, 2, 3), Begin(2, 0, 0)])
def test_a_stream_out_of_order_is_poison(message: LogMessage) -> None:
    """A row of an unknown relation, a commit of another transaction, a begin within one."""
    buffer: TransactionBuffer[FakeTable] = TransactionBuffer()
    buffer.feed(Begin(100, 0, 7), 0)
    with pytest.raises(PoisonRecord):
        buffer.feed(message, 1)


KEYS = st.sampled_from([b"a", b"b", b"c"])
CHANGES = st.lists(
    st.one_of(
        st.builds(lambda key, value: Insert(ROWS, (key, value)), KEYS, st.binary(max_size=2)),
        st.builds(lambda key, value: Update(ROWS, None, False, (key, value)), KEYS, st.binary(max_size=2)),
        st.builds(lambda old, new: Update(ROWS, (old, b""), False, (new, b"")), KEYS, KEYS),
        st.builds(lambda key: Delete(ROWS, (key, None), True), KEYS),
        st.just(Truncate((ROWS,), False, False)),
    ),
    max_size=12,
)


@given(CHANGES)
def test_the_last_changes_alone_give_the_final_state(messages: list[LogMessage]) -> None:
    """Folding only what is last for its key equals folding everything, and each key is last once."""
    done = run(*messages)

    def fold(everything: bool) -> dict[bytes, Row]:
        state: dict[bytes, Row] = {}
        for change, last in zip(done.changes, done.last_for_key, strict=True):
            if not (everything or last):
                continue
            if change.op == "t":
                state.clear()
            elif change.after is not None:
                state[bytes(change.after[0])] = change.after  # type: ignore[arg-type]
            elif change.before is not None:
                state.pop(bytes(change.before[0]), None)  # type: ignore[arg-type]
        return state

    assert fold(everything=False) == fold(everything=True)
    last_keys = [
        (change.after or change.before or ())[0]
        for change, last in zip(done.changes, done.last_for_key, strict=True)
        if last and change.op != "t"
    ]
    assert len(last_keys) == len(set(last_keys))
