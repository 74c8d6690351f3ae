"""What waits behind all others is cut into pieces that are together what was delivered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from lane_builders import TOPIC, record

from streams.lanes.background import Background
from streams.lanes.records import Chunk
from streams.lanes.tickets import Ticket


@given(
    st.lists(st.lists(st.integers(1, 5), max_size=30), min_size=1, max_size=4),
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
)
def test_the_pieces_are_the_chunks(gaps: list[list[int]], sizes: list[int]) -> None:
    """All records in order, each piece from where the one before ended, and a ticket behind each chunk."""
    background, at, given_out = Background(), 0, []
    for steps in gaps:
        base, records = at, []
        for step in steps:
            at += step
            records.append(record(at))
        at += 2  # where markers are
        made = Chunk(TOPIC, 0, base, at, 1, records)
        handed = Ticket((TOPIC, 0), 1, base, at)
        background.add(made, handed)
        given_out.append((made, handed))
    pieces = []
    while background:
        (piece,) = background.take(sizes[len(pieces) % len(sizes)])
        pieces.append(piece)
    assert background.take(1) == []
    assert [r for piece, _ in pieces for r in piece.records] == [r for c, _ in given_out for r in c.records]
    assert [handed for _, handed in pieces if handed is not None] == [handed for _, handed in given_out]
    reached = 0
    for piece, handed in pieces:
        assert piece.base == reached
        assert all(piece.base <= r.offset < piece.end for r in piece.records)
        assert handed is None or handed.end == piece.end
        reached = piece.end
    assert reached == at
