"""Rows by whom they belong to, against plain dictionaries."""

from __future__ import annotations

from operator import itemgetter

from hypothesis import given
from hypothesis import strategies as st

from agents.owned import OwnedRows

Row = tuple[str, int]  # owner and content
CHANGES = st.tuples(
    st.sampled_from(["r1", "r10", "r2"]),
    st.none() | st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 2)),
)


@given(st.lists(CHANGES, max_size=12))
def test_after_any_changes_each_has_the_rows_that_are_theirs(changes: list[tuple[str, Row | None]]) -> None:
    """Also of rows that went from one to another; a change says the old and the new row, one of nothing nothing."""
    owned: OwnedRows[str, Row] = OwnedRows(itemgetter(0))
    rows: dict[str, Row] = {}
    for row_id, new in changes:
        old = rows.pop(row_id, None)
        if new is not None:
            rows[row_id] = new
        said = owned.replace(row_id, new)
        assert said == ([] if old == new else [row for row in (old, new) if row is not None])
        for owner in "abc":
            assert owned.of(owner) == [row for _, row in sorted(rows.items()) if row[0] == owner]
        assert bool(owned) == bool(rows)
