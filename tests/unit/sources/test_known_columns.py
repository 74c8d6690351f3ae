"""What is remembered of published columns: which changes leave rows in the topic without a value."""

from __future__ import annotations

import pytest

from connectors.sources.positions import parse_position
from connectors.sources.postgres.position import Progress
from connectors.sources.postgres.rules import LEFT_OUT
from connectors.sources.postgres.tables.columns import Carried, KnownColumns
from streams.errors import PositionLost

BEFORE = {"id": Carried(1, "clear"), "note": Carried(2, "clear"), "secret": Carried(3, LEFT_OUT)}


def known(columns: dict[str, Carried]) -> KnownColumns:
    made = KnownColumns()
    made.learn("s.line", columns, frozenset(), whole=True)
    return made


@pytest.mark.parametrize(
    ("change", "given", "gains"),
    [
        ({}, {"note"}, False),
        ({"more": Carried(4, "clear")}, set(), False),
        ({"more": Carried(4, "clear")}, {"more"}, True),
        ({"more": Carried(4, LEFT_OUT)}, {"more"}, False),
        ({"secret": Carried(3, "clear")}, set(), True),
        ({"secret": Carried(3, "hash")}, set(), True),
        ({"note": Carried(2, LEFT_OUT)}, {"note"}, False),
        ({"note": Carried(2, "mask")}, set(), True),
        ({"note": Carried(4, "clear")}, set(), False),
        ({"note": Carried(4, "clear")}, {"note"}, True),
    ],
)
def test_what_is_gained(change: dict[str, Carried], given: set[str], gains: bool) -> None:
    """New with a value, no longer left out, in another form, or dropped and made again with a value."""
    columns = known(BEFORE)
    columns.learn("s.line", BEFORE | change, given, whole=True)
    assert columns.take_gained() == (("s.line",) if gains else ())
    assert columns.take_gained() == ()


def test_a_new_name_is_a_new_field() -> None:
    """Rows in the topic have the value under the old name; the log's older shape of it says nothing."""
    renamed = {"id": Carried(1, "clear"), "remark": Carried(2, "clear"), "secret": Carried(3, LEFT_OUT)}
    for whole in (True, False):
        columns = known(BEFORE)
        columns.learn("s.line", renamed, frozenset(), whole=whole)
        assert columns.take_gained() == ("s.line",)
        columns.learn("s.line", {"id": Carried(1, "clear")}, frozenset(), whole=False)
        assert columns.take_gained() == ()


def test_the_first_shape_gains_nothing() -> None:
    """Of a table that was not known before nothing is published."""
    assert known(BEFORE).take_gained() == ()


def test_what_is_stored_is_known() -> None:
    """By the next session; it is given out only when it has changed."""
    first = known(BEFORE)
    stored = first.take_changed()
    assert stored is not None
    assert first.take_changed() is None
    second = KnownColumns(stored)
    second.learn("s.line", BEFORE, frozenset(), whole=True)
    assert second.take_changed() is None
    second.learn("s.line", {"secret": Carried(3, "clear")}, frozenset(), whole=False)
    assert second.take_gained() == ("s.line",)
    changed = second.take_changed()
    assert changed is not None
    assert parse_position(changed, "postgresql", lambda found: sorted(found["tables"]["s.line"])) == [
        "id",
        "note",
        "secret",
    ]
    with pytest.raises(PositionLost, match="another source or version"):
        KnownColumns(b'{"connector": "sqlite", "tables": {}}')


def test_what_is_left_out_of_the_stream_is_former() -> None:
    """A table that nothing is published of is simply not known any more."""
    progress = Progress("1", 1, 1, "slot", tables={"s.a": 5, "s.b": 6})
    left = progress.without({"s.a", "s.c"})
    assert (left.tables, left.former) == ({"s.b": 6}, ["s.a"])
    assert Progress.from_json(left.to_json()) == left
    assert left.without(set()) == left
