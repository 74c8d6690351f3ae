"""The pgoutput decoder, on bytes made by hand and on random messages."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.sources import wire

from connectors.sources.postgres.pgoutput import bounds as b
from connectors.sources.postgres.pgoutput import messages as p
from streams.errors import PoisonRecord

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
OIDS = st.integers(0, 2**32 - 1)
LSNS = st.integers(0, 2**64 - 1)
TIMES = st.integers(0, 2**52)
CELLS = st.one_of(st.none(), st.just(p.UNCHANGED), st.binary(max_size=20))
ROWS = st.lists(CELLS, max_size=6).map(tuple)
COLUMNS = st.builds(p.Column, NAMES, OIDS, st.integers(-1, 2**31 - 1), st.booleans())
MESSAGES = st.one_of(
    st.builds(b.Begin, LSNS, TIMES, OIDS),
    st.builds(b.Commit, LSNS, LSNS, TIMES),
    st.builds(b.Origin, LSNS, NAMES),
    st.builds(b.Message, st.booleans(), LSNS, NAMES, st.binary(max_size=30)),
    st.builds(b.StreamStart, OIDS, st.booleans()),
    st.just(b.StreamStop()),
    st.builds(b.StreamCommit, OIDS, LSNS, LSNS, TIMES),
    st.builds(b.StreamAbort, OIDS, OIDS),
    st.builds(b.StreamAbort, OIDS, OIDS, LSNS, TIMES),
    *(
        st.builds(kind, LSNS, LSNS, TIMES, OIDS, NAMES)
        for kind in (b.BeginPrepare, b.Prepare, b.CommitPrepared, b.StreamPrepare)
    ),
    st.builds(b.RollbackPrepared, LSNS, LSNS, TIMES, TIMES, OIDS, NAMES),
    st.builds(p.Type, OIDS, NAMES, NAMES),
    st.builds(p.Truncate, st.lists(OIDS, max_size=4).map(tuple), st.booleans(), st.booleans()),
    st.builds(
        p.Relation, OIDS, NAMES, NAMES, st.sampled_from("dnfi"), st.lists(COLUMNS, max_size=5).map(tuple)
    ),
    st.builds(p.Insert, OIDS, ROWS),
    st.builds(p.Update, OIDS, ROWS, st.booleans(), ROWS),
    st.builds(lambda oid, new: p.Update(oid, None, False, new), OIDS, ROWS),
    st.builds(p.Delete, OIDS, ROWS, st.booleans()),
)


@given(MESSAGES)
def test_every_message_survives_the_round_trip(message: p.LogMessage) -> None:
    """Decoding what the manual's layout encodes gives the message back."""
    assert p.decode(wire.encode(message)) == message


@given(MESSAGES, st.data())
def test_a_cut_message_is_poison_never_another_error(message: p.LogMessage, data: st.DataObject) -> None:
    """Any prefix of a message is refused as poison, or is itself whole."""
    encoded = wire.encode(message)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    with contextlib.suppress(PoisonRecord):
        p.decode(cut)


@given(MESSAGES, OIDS)
def test_a_streamed_message_gives_its_transaction_and_itself(message: p.LogMessage, xid: int) -> None:
    """Within a block the transaction id stands after the type of changes, shapes and log messages only."""
    if isinstance(message, p.Insert | p.Update | p.Delete | p.Truncate | p.Relation | p.Type | b.Message):
        found, inner = p.split_streamed(wire.streamed(xid, message))
        assert (found, p.decode(inner)) == (xid, message)
    else:
        assert p.split_streamed(wire.encode(message)) == (0, wire.encode(message))


@pytest.mark.parametrize(
    ("message", "offset"),
    [
        (b"I\0\0\0\1N\0\2t\0\0\0\1xq", 14),
        (b"I\0\0\0\1N\0\1t\0\0\0\5x", 13),
        (b"I\0\0\0\1N\0\1nn", 9),
        (b"Y\0\0\0\1abc", 5),
        (b"A\0\0\0\1\0\0\0\2\0", 10),
        (b"M\0\0\0\0\0\0\0\0\1p\0\0\0\0\5x", 16),
    ],
)
def test_poison_says_where(message: bytes, offset: int) -> None:
    """The offset of the cell, string or field that can't be read."""
    with pytest.raises(PoisonRecord, match=f"at offset {offset}: "):
        p.decode(message)


def test_a_streamed_message_without_room_for_its_transaction_is_poison() -> None:
    """Cut within the transaction id."""
    with pytest.raises(PoisonRecord, match="offset 1"):
        p.split_streamed(b"I\0\0")


def test_an_insert_by_hand() -> None:
    """The bytes of one insert, spelled out."""
    message = b"I\x00\x00\x40\x00N\x00\x03t\x00\x00\x00\x0242nu"
    assert p.decode(message) == p.Insert(16384, (b"42", None, p.UNCHANGED))


def test_times_count_from_1970() -> None:
    """The server's microseconds since 2000 become microseconds since 1970."""
    message = b"B" + (0x16_B374D848).to_bytes(8, "big") + (1).to_bytes(8, "big") + (7).to_bytes(4, "big")
    assert p.decode(message) == b.Begin(0x16_B374D848, 946_684_800_000_001, 7)


def test_the_empty_namespace_is_pg_catalog() -> None:
    """The server leaves the name of its own schema out."""
    relation = p.decode(b"R\x00\x00\x00\x01\x00t\x00d\x00\x00")
    assert relation == p.Relation(1, "pg_catalog", "t", "d", ())


@pytest.mark.parametrize(
    "message",
    [b"", b"?", b"I\0\0\0\1X\0\0", b"D\0\0\0\1N\0\0", b"I\0\0\0\1N\0\1b\0\0\0\1x", b"U\0\0\0\1K\0\0X\0\0"],
)
def test_unknown_bytes_are_poison(message: bytes) -> None:
    """An unknown type, tuple or cell is refused by name."""
    with pytest.raises(PoisonRecord, match="pgoutput"):
        p.decode(message)
