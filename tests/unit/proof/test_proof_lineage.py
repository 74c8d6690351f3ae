"""Where a difference comes from, and what to do about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from oracle import Actual, Expected, Parked, Quarantined, Rows
from unit.oracle.builders import D, expense, put
from unit.proof.doctored import a_firm, actual, expected, key_of

from connectors.proof import lineage
from connectors.proof.differences import Difference, Place, find
from connectors.proof.lineage import Captured, LedgerLine, Position, SourceRow

SEEN = Position("time", 1, 0x1_0000_00A0, 3)
ACTIONS = {
    "MISSING_RATE": "enter a rate",
    "MISSING_REFERENCE": "create the row",
    "INVALID_VALUE": "correct it",
}


def a_cent_off(of: Expected, found: Actual, side: str = "warehouse") -> Difference:
    assert found.ledger is not None
    key = key_of(of, "time:2", "unbilled")
    fold = found.ledger.folds[key]
    found.ledger.folds[key] = replace(fold, amount=(fold.amount or 0) + Decimal("0.01"))
    (one,) = find(side, of, found)
    return one


def record(row: SourceRow, **other: Any) -> dict[str, Any]:
    """The canonical record of a row, as captured."""
    position = {"source_system": "time", "source_epoch": 1, "source_lsn": SEEN.lsn, "source_ordinal": 3}
    return {"deleted": False, **row.facts, **position, **other}


def advice(
    difference: Difference,
    of: Expected,
    found: Actual,
    rows: Rows | None = None,
    captured: dict[str, Captured | None] | None = None,
    agrees: bool = False,
    stayed: bool = True,
) -> str:
    rows = rows or a_firm()
    return lineage.advise(
        difference,
        lineage.sources_of(difference, rows),
        captured or {},
        rows,
        of,
        found,
        ACTIONS,
        other_side_agrees=agrees,
        stayed=stayed,
    )


def test_an_entry_is_traced_to_its_row_and_segments() -> None:
    """The row by its native id with what it says, the roots, and all segments on both sides."""
    of = expected()
    found = actual(of)
    one = a_cent_off(of, found)
    assert found.ledger is not None
    assert lineage.entry_of(one) == "time:2"
    (source,) = lineage.sources_of(one, a_firm())
    assert (source.system, source.table, source.id) == ("time", "time_entry", "2")
    assert source.facts["seconds"] == 6 * 3600
    assert lineage.roots_of("time:2", of.billing) == ["erp:E"]
    wanted = lineage.segments_of("time:2", of.billing)
    assert [(s.bucket, s.seconds, s.amount) for s in wanted] == [
        ("unbilled", 10800, Decimal(300)),
        ("over_cap", 10800, Decimal(300)),
    ]
    assert [s.amount for s in lineage.segments_of("time:2", found.ledger.folds)] == [
        Decimal("300.01"),
        Decimal(300),
    ]


@pytest.mark.parametrize(
    ("subject", "entry"),
    [
        ("erp:E1:time:5:price", "time:5"),
        ("erp:E1:time:5:due:erp:IL-1", "time:5"),
        ("erp:E1:day:erp:C1:erp:L1:2026-03-05:uplift", "day:erp:C1:erp:L1:2026-03-05"),
        ("erp:E1:over-cap:engagement", None),
        ("erp:E1:below-billed:erp:L1", None),
    ],
)
def test_the_entry_of_an_incident(subject: str, entry: str | None) -> None:
    """It is in the subject; those of caps are about all entries."""
    one = Difference(Place("topics", "incidents", (subject,)), None, None)
    assert lineage.entry_of(one) == entry


def test_a_day_and_a_window_are_traced_to_the_entries_on_them() -> None:
    """Of the person, from the first day to the last; days that are lines of the ledger likewise."""
    of = expected()
    found = actual(of)
    assert found.daily is not None
    assert found.windows is not None
    found.daily.clear()
    found.windows.clear()
    of_day = {
        tuple(row.id for row in lineage.sources_of(one, a_firm()))
        for one in find("topics", of, found)
        if one.place.check == "daily"
    }
    assert of_day == {("1",), ("2",), ("3",)}
    week = next(one for one in find("topics", of, found) if one.place.key[1:2] == ("week",))
    month = next(one for one in find("topics", of, found) if one.place.key[1:2] == ("month",))
    quarter = next(one for one in find("topics", of, found) if one.place.key[1:2] == ("quarter",))
    for window in (week, month, quarter):
        assert {row.id for row in lineage.sources_of(window, a_firm())} >= {"1", "2", "3"}
    assert found.groups is not None
    found.groups.clear()
    of_group = {
        (one.place.key[:2]): len(lineage.sources_of(one, a_firm()))
        for one in find("topics", of, found)
        if one.place.check == "groups" and one.place.key[2] == "week"
    }
    assert of_group == dict.fromkeys(of_group, 4)
    assert {dimension for dimension, _ in of_group} == {"firm", "practice", "region", "grade"}
    stranger = Difference(Place("topics", "groups", ("grade", "none", "week", date(2026, 3, 2))), None, None)
    assert lineage.sources_of(stranger, a_firm()) == ()
    uplift = Difference(Place("topics", "parked", ("day:erp:C:erp:L:2026-03-05",)), None, None)
    assert [row.id for row in lineage.sources_of(uplift, a_firm())] == ["1"]


def test_a_milestone_and_a_row_that_is_gone_are_named_too() -> None:
    """A row without facts is not there."""
    milestone = Difference(Place("topics", "parked", ("erp:M",)), None, None)
    gone = Difference(Place("topics", "conservation", ("time:77",)), None, None)
    assert [(s.table, s.id) for s in lineage.sources_of(milestone, a_firm())] == [("milestone", "M")]
    assert lineage.sources_of(gone, a_firm()) == (SourceRow("time", "time_entry", "77", {}),)


def test_an_expense_is_named_with_what_it_is_billed_by() -> None:
    """Its facts are those of its canonical record."""
    rows = put(a_firm(), expense("X", "03-05", "200", markup=D(10)))
    parked = Difference(Place("topics", "parked", ("erp:X",)), None, None)
    (source,) = lineage.sources_of(parked, rows)
    assert (source.table, source.id, source.facts["markup"]) == ("expense", "X", D(10))
    assert lineage.captured_of(source, record(source, amount=D(1))) == Captured(SEEN, ("amount",))


def test_the_capture_of_a_row_is_compared_with_the_row() -> None:
    """Fields that differ, a deletion that is not captured, a row that is not captured at all."""
    of = expected()
    (source,) = lineage.sources_of(a_cent_off(of, actual(of)), a_firm())
    gone = replace(source, facts={})
    assert lineage.captured_of(source, None) is None
    assert lineage.captured_of(source, record(source)) == Captured(SEEN, ())
    assert lineage.captured_of(source, record(source, seconds=1, version=9)) == Captured(
        SEEN, ("seconds", "version")
    )
    assert lineage.captured_of(source, record(source, deleted=True)) == Captured(SEEN, ("deleted",))
    assert lineage.captured_of(gone, record(source)) == Captured(SEEN, ("deleted",))
    assert lineage.captured_of(gone, record(source, deleted=True)) == Captured(SEEN, ())
    assert str(SEEN) == "time epoch 1 lsn 1/A0 ordinal 3"


def test_advice_for_a_row_in_flight() -> None:
    """Captured otherwise, or not yet: wait and run it again."""
    of = expected()
    found = actual(of)
    one = a_cent_off(of, found)
    stale = advice(one, of, found, captured={"time:2": Captured(SEEN, ("version",))})
    assert "still in flight" in stale
    assert "version" in stale
    assert "time epoch 1 lsn 1/A0 ordinal 3" in stale
    missing = advice(one, of, found, captured={"time:2": None})
    assert "not captured yet" in missing
    assert "--wait" in advice(one, of, found, stayed=False)


def test_advice_for_what_is_parked_or_left_out() -> None:
    """Its class, the missing keys, and what the class's owner does."""
    of = expected()
    found = actual(of)
    assert found.current is not None
    found.current.parked["time:2"] = Parked("MISSING_RATE", ("rate:x",))
    (one,) = find("topics", of, found)
    assert advice(one, of, found) == "the system parks it as MISSING_RATE (rate:x): enter a rate"
    found = actual(of)
    assert found.current is not None
    del found.current.parked["time:3"]
    (one,) = find("topics", of, found)
    said = advice(one, of, found)
    assert said == "the oracle parks it as MISSING_REFERENCE (project:erp:GONE): create the row"
    rows = a_firm()
    rows.quarantined.append(Quarantined("time_entry", "time:2", "hours 25 is not in [0, 24]"))
    said = advice(a_cent_off(of, actual(of)), of, actual(of), rows=rows)
    assert said.startswith("time.time_entry 2 breaks a rule (hours 25 is not in [0, 24])")


def test_advice_for_the_warehouse_alone_and_for_what_has_no_cause() -> None:
    """The sink, where the topics agree; a fault, where everything was captured and stayed."""
    of = expected()
    found = actual(of)
    one = a_cent_off(of, found)
    captured: dict[str, Captured | None] = {"time:2": Captured(SEEN, ())}
    assert "sink reset warehouse" in advice(one, of, found, captured=captured, agrees=True)
    assert "it is a fault" in advice(one, of, found, captured=captured)


def test_ledger_lines_that_the_warehouse_has_otherwise() -> None:
    """Altered, missing and invented ones, by their event ids."""

    def line(event: str, amount: str = "1.00") -> LedgerLine:
        return LedgerLine(event, "CHARGE", "unbilled", 60, Decimal(amount), "EUR", SEEN)

    topic = [line("a"), line("b"), line("c", "1.0000")]
    assert lineage.unlike([line("a"), line("b"), line("c")], topic) == ()
    assert lineage.unlike([line("a", "1.01"), line("c"), line("d")], topic) == ("a", "b", "d")
