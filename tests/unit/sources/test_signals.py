"""Signals: what their contents ask for, and which messages of the log come with their transaction."""

from __future__ import annotations

import json

import pytest
from unit.sources.test_assembly import LINE, Stream

from connectors.sources.postgres.log.between import SIGNALS
from connectors.sources.postgres.pgoutput.bounds import Message, StreamAbort, StreamCommit
from connectors.sources.postgres.pgoutput.messages import Insert
from connectors.sources.postgres.snapshot.signals import EXECUTE, message_tables, row_tables

ROW = Insert(1, (b"a", b"x"))


def signal(content: bytes, *, transactional: bool = True, prefix: str = SIGNALS) -> Message:
    return Message(transactional, 7, prefix, content)


MIXED = (
    LINE,
    signal(b"one"),
    ROW,
    signal(b"of no transaction", transactional=False),
    signal(b"of another prefix", prefix="tallystream.once"),
    signal(b"two"),
)


@pytest.mark.parametrize("limit", [1 << 20, 1], ids=["memory", "disk"])
def test_messages_come_with_their_transaction(limit: int) -> None:
    """In their order, of the one prefix, transactional ones only; and none in the next transaction."""
    stream = Stream(limit)
    stream.whole(1, 100, *MIXED)
    stream.whole(2, 200, ROW)
    stream.whole(3, 300, signal(b"alone"))
    assert [whole.messages for whole, _, _ in stream.done] == [(b"one", b"two"), (), (b"alone",)]
    assert [len(changes) for _, changes, _ in stream.done] == [1, 1, 0]


def test_a_message_of_a_part_that_was_rolled_back_is_not_heard() -> None:
    """Streamed while in progress: sub-transaction 12 falls, and with it what it said."""
    stream = Stream(1 << 20)
    stream.block(11, (11, LINE), (11, signal(b"stays")), (12, signal(b"falls")), (12, ROW), first=True)
    stream.feed(StreamAbort(11, 12, None, None))
    stream.block(11, (11, ROW), (13, signal(b"stays too")))
    stream.feed(StreamCommit(11, 100, 108, 5))
    assert [whole.messages for whole, _, _ in stream.done] == [(b"stays", b"stays too")]


def content(data: object, **changes: object) -> bytes:
    return json.dumps({"id": "1", "type": EXECUTE, "data": data, **changes}).encode()


def test_what_a_message_asks_for() -> None:
    """The tables, in their order; none where it is for another source of the database."""
    data = {"data-collections": ["public.b", "public.a"], "type": "incremental"}
    assert message_tables(content(data), "erp") == ["public.b", "public.a"]
    assert message_tables(content(data, source="erp"), "erp") == ["public.b", "public.a"]
    assert message_tables(content(data, source="crm"), "erp") == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "type is not execute-snapshot"),
        (content({"data-collections": ["a.b"]}, type="stop-snapshot"), "type is not execute-snapshot"),
        (content(None), "data-collections"),
        (content("public.a"), "data-collections"),
        (content({"data-collections": []}), "data-collections"),
        (content({"data-collections": "public.a"}), "data-collections"),
        (content({"data-collections": ["public.a", 1]}), "data-collections"),
    ],
)
def test_a_mistaken_message_says_what_is_wrong(message: bytes, reason: str) -> None:
    """Nothing else is raised, whatever somebody has written."""
    with pytest.raises(ValueError, match=reason):
        message_tables(message, "erp")


@pytest.mark.parametrize("data", [None, "", "[]", "{}", '{"data-collections": "x"}', "{"])
def test_a_row_without_tables(data: str | None) -> None:
    """Nothing is asked for, and why is said."""
    with pytest.raises(ValueError, match="its data are not"):
        row_tables(data)
