"""Positions: their header, their fallbacks, their order, and the stored state of a row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.canonical import Position, RowState, parse_position, position_of
from streams.errors import ContractViolation, PoisonRecord, SchemaMismatch

POSITIONS = st.builds(
    Position, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 1)
)
STATES = st.builds(
    RowState,
    POSITIONS,
    st.integers(1, 10**6),
    st.integers(0, 2**60),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.text()),
)


@given(st.builds(Position, st.integers(0, 10**9 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 1)))
def test_header_round_trip(position: Position) -> None:
    """The header names the position exactly."""
    assert parse_position("/".join(map(str, position)).encode()) == position


@pytest.mark.parametrize(
    "header", [b"", b"1/2", b"1/2/3/4", b"-1/2/3", b"a/b/c", b"1/2/3 ", b"1/" + b"9" * 30 + b"/0"]
)
def test_header_that_is_none(header: bytes) -> None:
    """Anything but three numbers is poison, not position 0."""
    with pytest.raises(PoisonRecord, match=r"tallystream\.position"):
        parse_position(header)


@given(POSITIONS, POSITIONS)
def test_order(left: Position, right: Position) -> None:
    """Epoch first, then LSN, then ordinal; never as text."""
    expected = (left.epoch, left.lsn, left.ordinal) < (right.epoch, right.lsn, right.ordinal)
    assert (left < right) is expected
    assert parse_position(b"1/9/0") < parse_position(b"1/10/0") < parse_position(b"2/1/0")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"lsn": 500, "snapshot": "false"}, Position(0, 500, 1)),
        ({"lsn": 500, "snapshot": "last"}, Position(0, 500, 0)),
        ({"lsn": 500, "snapshot": None}, Position(0, 500, 1)),
        ({"lsn": None, "sequence": '["400","500"]', "snapshot": "false"}, Position(0, 500, 1)),
        ({"file": "mysql-bin.000003", "pos": 4711, "row": 2, "snapshot": "false"}, Position(3, 4711, 2)),
    ],
)
def test_fallbacks(source: dict[str, Any], expected: Position) -> None:
    """Debezium's records without our header are placed by their source block."""
    assert position_of(source, None) == expected
    assert position_of(source, b"7/8/9") == Position(7, 8, 9)


@pytest.mark.parametrize(
    "source", [{}, {"lsn": None, "sequence": "[null,null]"}, {"sequence": "{"}, {"file": "x"}]
)
def test_no_position_at_all(source: dict[str, Any]) -> None:
    """A change without any place in a log can't be ordered, and is not guessed."""
    with pytest.raises(SchemaMismatch, match="log position"):
        position_of(source, None)


def test_first_change_after_a_snapshot_may_share_its_lsn() -> None:
    """A streamed change at the very LSN of the snapshot is newer than the snapshot's row."""
    snapshot = position_of({"lsn": 500, "snapshot": "true"}, None)
    streamed = position_of({"lsn": 500, "snapshot": "false"}, None)
    assert snapshot < streamed


@given(STATES)
def test_state_round_trip(state: RowState) -> None:
    """What a lane remembers of a row survives as bytes."""
    assert RowState.from_bytes(state.to_bytes()) == state


def test_state_of_another_format() -> None:
    """State of a newer format is refused, not misread."""
    data = bytearray(RowState(Position(1, 2, 3), 1).to_bytes())
    data[0] = 9
    with pytest.raises(ContractViolation, match="format 9"):
        RowState.from_bytes(bytes(data))


@given(STATES, POSITIONS, st.integers(1, 5))
def test_what_supersedes(state: RowState, position: Position, version: int) -> None:
    """Only later positions count, and the same position only under a newer mapping."""
    assert state.supersedes(state.position, state.mapping_version)
    assert not state.supersedes(state.position, state.mapping_version + 1)
    if position != state.position:
        assert state.supersedes(position, version) is (position < state.position)
