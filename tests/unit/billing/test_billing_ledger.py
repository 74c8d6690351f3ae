"""The ledger: lines that turn one state into another, ids that are never used twice."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from billing_builders import (
    ROOT,
    allocated,
    credit,
    field_names,
    fold,
    fold_ledger,
    item,
    money,
    posted,
    small_firm,
)

from agents.billing import LiveSegment, Segment, diff
from agents.billing.ledger import LedgerLine

Live = dict[tuple[str, str], LiveSegment]


def show(line: LedgerLine) -> tuple[str, str | None, int, Decimal | None]:
    """A line at a glance."""
    return (line.event_id, line.reverses, line.segment.seconds, line.segment.amount)


def segments(hours: int, version: int = 1) -> dict[tuple[str, str], Segment]:
    """The segments of one entry."""
    firm = small_firm()
    return allocated(firm, [item(firm, 1, "03-02", hours, version=version)])


def test_a_change_is_a_reversal_and_a_new_charge() -> None:
    """Ids name root, entry, segment, revision and kind; the reversal names what it takes back."""
    first = diff({}, segments(8))
    live = first.live({})
    second = diff(live, segments(6, 2))
    assert [show(line) for line in (*first.lines, *second.lines)] == [
        ("erp:E1:time:1:base:1:CHARGE", None, 28800, Decimal(800)),
        ("erp:E1:time:1:base:1:REVERSAL", "erp:E1:time:1:base:1:CHARGE", -28800, Decimal(-800)),
        ("erp:E1:time:1:base:2:CHARGE", None, 21600, Decimal(600)),
    ]
    assert [line.revision for line in second.lines] == [1, 2]


def test_a_reversal_copies_all_but_the_figures() -> None:
    """Price, rate, dates and dimensions are those of the original."""
    live = diff({}, segments(8)).live({})
    (reversal,) = diff(live, {}).lines
    original = live["time:1", "base"].segment
    assert original is not None
    assert reversal.segment == original._replace(seconds=-28800, amount=Decimal(-800))


def test_the_same_content_gives_no_line() -> None:
    """Also when decimals come back from Avro with more places."""
    live = diff({}, segments(8)).live({})
    wire = {key: s._replace(amount=money(s.amount or 0)) for key, s in segments(8).items()}  # type: ignore[arg-type]
    assert diff(live, wire).lines == ()
    assert diff(live, wire).changed == {}


def test_a_segment_that_comes_back_goes_on_counting() -> None:
    """Gone is revision 2, back is 3: an id never used before."""
    live = diff({}, segments(8)).live({})
    gone = diff(live, {})
    assert gone.changed == {("time:1", "base"): LiveSegment(None, 2, "erp:E1:time:1:base:1:REVERSAL")}
    assert diff(gone.live(live), {}).lines == ()
    back = diff(gone.live(live), segments(8))
    assert [line.event_id for line in back.lines] == ["erp:E1:time:1:base:3:CHARGE"]


def test_a_parked_amount_is_reversed_as_unknown() -> None:
    """What was never known can't be negated."""
    firm = small_firm().drop("rate", "erp:R-default")
    live = diff({}, allocated(firm, [item(firm, 1, "03-02", 8)])).live({})
    lines = diff(live, segments(8)).lines
    assert [(line.kind, line.segment.seconds, line.segment.amount) for line in lines] == [
        ("REVERSAL", -28800, None),
        ("CHARGE", 28800, Decimal(800)),
    ]


def test_segments_name_the_kinds_of_their_lines() -> None:
    """Rounding and uplift have kinds of their own."""
    firm = small_firm(quantity_increment_seconds=3600, day_minimum_seconds=14400)
    lines = diff({}, allocated(firm, [item(firm, 1, "03-02", 0, seconds=4000)])).lines
    assert [(line.segment.segment, line.kind) for line in lines] == [
        ("uplift", "UPLIFT"),
        ("base", "CHARGE"),
        ("rounding", "ROUNDING"),
    ]


def test_a_line_has_the_fields_of_the_schema() -> None:
    """All business fields of the event, none besides."""
    (line,) = diff({}, segments(8)).lines
    assert set(line.fields()) <= set(field_names("events/billing_event"))
    rest = set(field_names("events/billing_event")) - set(line.fields())
    assert rest == {
        "rule_version", "occurred_at", "captured_at", "published_at", "rated_at", "snapshot",
        "allocated_at", "source_system", "source_epoch", "source_lsn", "source_ordinal",
    }  # fmt: skip


def test_the_live_map_is_read_back_from_the_current_state() -> None:
    """A deleted record is remembered for its revision."""
    live = diff({}, segments(8)).live({})
    (state,) = live.values()
    assert state.segment is not None
    fields = {
        **state.segment.fields(),
        "revision": state.revision,
        "event_id": state.event_id,
        "earned": None,
    }
    assert LiveSegment.from_record({**fields, "deleted": False}) == state
    assert LiveSegment.from_record({**fields, "deleted": True}) == state._replace(segment=None)


PRINTED = {
    "client_id": "erp:CL1",
    "project_id": "erp:P1",
    "consultant_id": "erp:C1",
    "work_date": date(2026, 3, 2),
}


def test_a_billed_line_does_not_move_with_its_entry() -> None:
    """Another consultant, then a withdrawal: the billed line stays as it was billed, and so does its due."""
    firm = small_firm().put("consultant", "erp:C2", role="dev")
    line = posted("erp:I1", "time:1", 8, 800, **PRINTED)
    live = diff({}, allocated(firm, [item(firm, 1, "03-02", 8)], [line])).live({})

    moved = item(firm, 1, "03-03", 8, version=2, consultant_id="erp:C2")
    corrected = diff(live, allocated(firm, [moved], [line]))
    assert [(x.kind, x.segment.segment, x.segment.consultant_id) for x in corrected.lines] == [
        ("CHARGE", "base", "erp:C2"),
        ("CHARGE", "due:erp:I1", "erp:C1"),
    ]
    live = corrected.live(live)
    withdrawn = diff(live, allocated(firm, [], [line]))
    assert [(x.kind, x.segment.segment) for x in withdrawn.lines] == [("REVERSAL", "base")]


@pytest.mark.parametrize("printed", [PRINTED, {}])
def test_what_is_billed_does_not_depend_on_what_came_first(printed: dict[str, Any]) -> None:
    """The posted line before the correction of its entry, or behind it: whose work it is comes out the same."""
    firm = small_firm().put("consultant", "erp:C2", role="dev")
    line = posted("erp:I1", "time:1", 8, 800, **printed)
    moved = item(firm, 1, "03-03", 8, version=2, consultant_id="erp:C2")
    late = diff({}, allocated(firm, [moved], [line])).live({})
    live = diff({}, allocated(firm, [item(firm, 1, "03-02", 8)], [line])).live({})
    early = diff(live, allocated(firm, [moved], [line])).live(live)
    assert {key: state.segment for key, state in early.items()} == {
        key: state.segment for key, state in late.items()
    }
    billed = late["time:1", "inv:erp:I1"].segment
    assert billed is not None
    assert billed.consultant_id == ("erp:C1" if printed else "erp:C2")
    assert billed.work_date == date(2026, 3, 2 if printed else 3)


def test_a_credit_moves_the_billed_line() -> None:
    """Billed moves with posted credits: 8 h are reversed and 5 h are billed, the folds agree."""
    firm = small_firm()
    line = posted("erp:I1", "time:1", 8, 800)
    made = item(firm, 1, "03-02", 8)
    first = diff({}, allocated(firm, [made], [line]))
    target = allocated(firm, [made], [line, credit("erp:I2", line, 3, 300)])
    second = diff(first.live({}), target)
    assert [(x.segment.segment, x.kind, x.segment.amount) for x in second.lines] == [
        ("base", "CHARGE", Decimal(300)),
        ("inv:erp:I1", "REVERSAL", Decimal(-800)),
        ("inv:erp:I1", "CHARGE", Decimal(500)),
    ]
    assert fold_ledger((*first.lines, *second.lines)) == fold(target.values())


def test_lines_are_ordered_by_entry_and_segment() -> None:
    """Whatever the order of the maps."""
    firm = small_firm()
    target = allocated(firm, [item(firm, n, "03-02", 1) for n in (3, 1, 2)])
    assert [line.segment.entry_id for line in diff({}, target).lines] == ["time:1", "time:2", "time:3"]
    assert all(line.segment.root_id == ROOT for line in diff({}, target).lines)
