"""Slowly changing dimensions: laws of the ranges, and the cases that break naive loaders."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sinks.warehouse.history import State, fold
from tests.unit.sinks.sink_builders import T0, entity

Table = dict[tuple[str, Any], State]


def load(table: Table, records: Iterable[dict[str, Any]]) -> int:
    """Do to ``table`` what the sink does to the real one; the number of stale records."""
    current = {state["id"]: state for state in table.values() if state["is_current"]}
    folded = fold(current, records)
    for state in folded.states:
        table[state["id"], state["valid_from"]] = state
        assert sum(s["is_current"] for s in table.values() if s["id"] == state["id"]) <= 1
    return folded.stale


def ranges(table: Table, identity: str = "erp:1") -> list[tuple[Any, Any, Any]]:
    """Name, start and end of each state, in seconds after `T0`."""
    states = sorted((s for s in table.values() if s["id"] == identity), key=lambda s: s["valid_from"])
    return [(s["name"], _seconds(s["valid_from"]), _seconds(s["valid_to"])) for s in states]


def _seconds(at: Any) -> int | None:
    return None if at is None else int((at - T0).total_seconds())


def test_a_change_closes_and_opens() -> None:
    """Two names of a project become two adjoining ranges, the last one open."""
    table: Table = {}
    load(table, [entity("project", "erp:1", 1, name="a"), entity("project", "erp:1", 5, name="b")])
    assert ranges(table) == [("a", 1, 5), ("b", 5, None)]


def test_lineage_alone_is_no_change() -> None:
    """A source update without a business change extends the state and refreshes where it came from."""
    table: Table = {}
    load(table, [entity("project", "erp:1", 1, name="a"), entity("project", "erp:1", 5, name="a")])
    assert ranges(table) == [("a", 1, None)]
    (state,) = table.values()
    assert state["source_lsn"] == 5


def test_a_deletion_is_a_state_and_may_end() -> None:
    """A deleted row that comes back has three states."""
    table: Table = {}
    load(
        table,
        [entity("project", "erp:1", 1, name="a"), entity("project", "erp:1", 2, name="a", deleted=True)],
    )
    load(table, [entity("project", "erp:1", 3, name="a")])
    assert ranges(table) == [("a", 1, 2), ("a", 2, 3), ("a", 3, None)]
    assert [s["deleted"] for s in sorted(table.values(), key=lambda s: s["valid_from"])] == [
        False,
        True,
        False,
    ]


def test_the_same_position_again_corrects_in_place() -> None:
    """A new mapping version of the same source row changes the state, not its range."""
    table: Table = {}
    load(table, [entity("project", "erp:1", 1, name="a")])
    load(table, [entity("project", "erp:1", 1, name="A", mapping_version="2")])
    assert ranges(table) == [("A", 1, None)]


def test_a_clock_set_back_leaves_no_negative_range() -> None:
    """A later commit with an earlier time replaces the state that it can't follow."""
    table: Table = {}
    load(table, [entity("project", "erp:1", 5, name="a")])
    load(table, [entity("project", "erp:1", 6, name="b", occurred_at=T0 + timedelta(seconds=3))])
    assert ranges(table) == [("b", 5, None)]


def test_a_new_log_continues() -> None:
    """After a restore the log's positions start low again in a higher epoch, and still are later."""
    table: Table = {}
    load(table, [entity("project", "erp:1", 9, name="a")])
    later = T0 + timedelta(seconds=20)
    load(table, [entity("project", "erp:1", 2, name="b", source_epoch=2, occurred_at=later)])
    assert ranges(table) == [("a", 9, 20), ("b", 20, None)]


def test_what_a_move_left_behind_is_stale_whichever_comes_first() -> None:
    """An invoice line that moves to another engagement leaves its deletion in the old partition."""
    moved = entity("invoice_line", "erp:1", 5, engagement_id="erp:B")
    left = entity("invoice_line", "erp:1", 5, engagement_id="erp:A", deleted=True)
    withdrawn = entity("invoice_line", "erp:1", 5, engagement_id="erp:B", deleted=True)
    before = entity("invoice_line", "erp:1", 1, engagement_id="erp:A")
    for records, gone in (((moved, left), False), ((left, moved), False), ((moved, withdrawn), True)):
        states = fold({}, [before, *records], "engagement_id").states
        (current,) = (state for state in states if state["is_current"])
        assert (current["engagement_id"], current["deleted"]) == ("erp:B", gone)


changes = st.lists(
    st.tuples(st.sampled_from(["erp:1", "erp:2"]), st.sampled_from("abc"), st.booleans()), max_size=20
)


@settings(deadline=None)  # times a busy machine, not the code
@given(changes, st.data())
def test_batches_and_replays_make_no_difference(
    items: list[tuple[str, str, bool]], data: st.DataObject
) -> None:
    """However records are cut into batches, and read again from any point, the history is the same."""
    records = [
        entity("project", identity, lsn, name=name, deleted=deleted)
        for lsn, (identity, name, deleted) in enumerate(items)
    ]
    whole: Table = {}
    load(whole, records)
    cut = data.draw(st.integers(0, len(records)))
    again = data.draw(st.integers(0, cut))
    table: Table = {}
    load(table, records[:cut])
    load(table, records[again:])
    assert table == whole


@settings(deadline=None)  # times a busy machine, not the code
@given(changes)
def test_ranges_tile_time(items: list[tuple[str, str, bool]]) -> None:
    """An entity's ranges adjoin without gap or overlap, and exactly the last one is current and open."""
    table: Table = {}
    load(table, [entity("project", i, lsn, name=n, deleted=d) for lsn, (i, n, d) in enumerate(items)])
    for identity in {i for i, _, _ in items}:
        found = ranges(table, identity)
        assert all(before[2] == after[1] for before, after in pairwise(found))
        assert found[-1][2] is None
        assert sum(s["is_current"] for s in table.values() if s["id"] == identity) == 1
