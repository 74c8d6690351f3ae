"""The cursor's stored form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import ContractViolation
from streams.lanes.cursor import Cursor, UnderWay, reference_key

POSITIONS = st.dictionaries(st.text(max_size=20), st.integers(0, 2**63 - 1), max_size=4)
UNDER_WAY = st.none() | st.builds(UnderWay, st.text(max_size=20), POSITIONS, st.binary(max_size=40))


@given(POSITIONS, POSITIONS, st.text(max_size=20), UNDER_WAY)
def test_a_cursor_survives_its_stored_form(
    inputs: dict[str, int], references: dict[str, int], rules: str, under_way: UnderWay | None
) -> None:
    """Reading what was written gives the same cursor."""
    cursor = Cursor(inputs, references, rules, under_way=under_way)
    assert Cursor.from_bytes(cursor.to_bytes()) == cursor


def test_a_cursor_of_a_newer_format_is_refused() -> None:
    """A downgraded worker says so instead of guessing where it was."""
    with pytest.raises(ContractViolation, match="format 2, this version reads 1"):
        Cursor.from_bytes(b'{"format":2}')


def test_reference_positions_are_named_by_partition() -> None:
    """The key that lanes and reference tables share."""
    assert reference_key("rate", 3) == "rate/3"
