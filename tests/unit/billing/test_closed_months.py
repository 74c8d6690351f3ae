"""Closed months do not move: what stood in one at its close stays, later acts are booked in the first open period."""

from __future__ import annotations

import random

from closing import APRIL, MARCH, MAY, closing, histories
from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import HOUR, D, Sources, at, day
from two_judges import Agents, Booked, Judge, Oracle

from agents.explain.eventid import read_event_id
from agents.explain.neighbours import Neighbours

BASE = "base"


def of(booked: Booked, bucket: str = "unbilled") -> dict[tuple[str, str | None], tuple[int, object]]:
    """Hours and money of entry 1 by segment and month, in a bucket."""
    return {
        (segment, month): (seconds // HOUR, amount)
        for (entry, segment, of_bucket, month), (seconds, amount) in booked.items()
        if (entry, of_bucket) == ("time:1", bucket)
    }


def test_a_correction_after_the_close_is_a_difference(judge: Judge) -> None:
    """8 h/1,200 of March, corrected to 6 h after its close: March stays, April has -2 h/-300."""
    sources = closing()
    assert of(judge(sources).booked) == {(BASE, MARCH): (8, D(1200))}
    sources.correct(1, "04-05 09:00", hours=D(6), approved_at=at("04-05 10:00"))
    assert of(judge(sources).booked) == {(BASE, MARCH): (8, D(1200)), (BASE, APRIL): (-2, D(-300))}


def test_the_ledger_shows_both_sides() -> None:
    """-1,200 and +900, both in April."""
    agents, sources = Agents(), closing()
    agents(sources)
    agents(sources.correct(1, "04-05 09:00", hours=D(6), approved_at=at("04-05 10:00")))
    assert [
        (line.kind, line.reverses is not None, line.segment.accounting_date, line.segment.amount)
        for line in agents.lines
    ] == [("REVERSAL", True, day("04-01"), D(-1200)), ("CHARGE", False, day("04-01"), D(900))]


def test_a_correction_before_the_close_is_none(judge: Judge) -> None:
    """Decided before the close, it is March's, whenever it arrives; decided at the close, it is April's."""
    sources = closing().correct(1, "04-03 09:00", hours=D(6), approved_at=at("04-03 17:59"))
    assert of(judge(sources).booked) == {(BASE, MARCH): (6, D(900))}
    sources = closing().correct(1, "04-03 18:00", hours=D(6), approved_at=at("04-03 18:00"))
    assert of(judge(sources).booked) == {(BASE, MARCH): (8, D(1200)), (BASE, APRIL): (-2, D(-300))}


def test_corrected_over_a_close(judge: Judge) -> None:
    """Corrected before the close and approved after it: at the close nothing stood."""
    sources = closing().correct(1, "04-03 09:00", hours=D(6), approved_at=at("04-05 10:00"))
    assert of(judge(sources).booked) == {(BASE, APRIL): (6, D(900))}


def test_a_withdrawal_after_the_close(judge: Judge) -> None:
    """March keeps what it had; April takes it back."""
    sources = closing().correct(1, "04-05 09:00", status="withdrawn", approved_at=None)
    assert of(judge(sources).booked) == {(BASE, MARCH): (8, D(1200)), (BASE, APRIL): (-8, D(-1200))}


def test_a_deletion_after_the_close(judge: Judge) -> None:
    """The row is gone, its version tells."""
    sources = closing().correct(1, "04-05 09:00").drop("time_entry", 1)
    assert of(judge(sources).booked) == {(BASE, MARCH): (8, D(1200)), (BASE, APRIL): (-8, D(-1200))}


def test_two_closes(judge: Judge) -> None:
    """Corrected in April and again in May: each month has its own difference."""
    sources = closing().correct(1, "04-05 09:00", hours=D(6), approved_at=at("04-05 10:00"))
    sources.correct(1, "05-06 09:00", hours=D(7), approved_at=at("05-06 10:00"))
    assert of(judge(sources).booked) == {
        (BASE, MARCH): (8, D(1200)),
        (BASE, APRIL): (-2, D(-300)),
        (BASE, MAY): (1, D(150)),
    }


def test_moved_to_another_contract(judge: Judge) -> None:
    """Taken back in April where it was, and charged in April where it is now."""
    sources = closing().put("engagement", "E2").put("contract_line", "L2", engagement_id="E2")
    sources.put("project", "P2", engagement_id="E2", contract_line_id="L2")
    sources.correct(1, "04-05 09:00", project_code="P2", approved_at=at("04-05 10:00"))
    assert of(judge(sources).booked) == {(BASE, MARCH): (8, D(1200))}


def test_a_write_off_after_the_close(judge: Judge) -> None:
    """2 h/300 of 8 h/1,200: less to bill in April, and what was given away is April's too."""
    sources = closing().put(
        "bill_adjustment", "W", entry_id="time:1", hours=D(2), decided_at=at("04-10 09:00")
    )
    booked = judge(sources).booked
    assert of(booked) == {(BASE, MARCH): (8, D(1200)), (BASE, APRIL): (-2, D(-300))}
    assert of(booked, "written_off") == {("adj:erp:W", APRIL): (2, D(300))}


def test_a_hold_released_after_the_close(judge: Judge) -> None:
    """At the close of March it was on hold."""
    hold = {"kind": "hold", "hours": None, "decided_at": at("04-02 09:00"), "released_at": at("04-10 09:00")}
    booked = judge(closing().put("bill_adjustment", "H", entry_id="time:1", **hold)).booked
    assert of(booked) == {(BASE, APRIL): (8, D(1200))}
    assert of(booked, "on_hold") == {
        ("adj:erp:H", MARCH): (8, D(1200)),
        ("adj:erp:H", APRIL): (-8, D(-1200)),
    }


def test_a_posting_after_the_close(judge: Judge) -> None:
    """Work in progress of March is taken back in April, where it is billed (E12)."""
    booked = judge(closing().charge("I", 1, 8, 1200, posted_at=at("04-10 09:00"))).booked
    assert of(booked) == {(BASE, MARCH): (8, D(1200)), (BASE, APRIL): (-8, D(-1200))}
    assert of(booked, "billed") == {("inv:erp:I", APRIL): (8, D(1200))}


def test_a_credit_after_the_close(judge: Judge) -> None:
    """Billed in April, credited in May: April's billing stays."""
    sources = closing().charge("I", 1, 8, 1200, posted_at=at("04-10 09:00")).credit("C", "I")
    sources.put("invoice_line", "C", posted_at=at("05-10 09:00"))
    booked = judge(sources).booked
    assert of(booked, "billed") == {("inv:erp:I", APRIL): (8, D(1200)), ("inv:erp:I", MAY): (-8, D(-1200))}
    assert of(booked) == {
        (BASE, MARCH): (8, D(1200)),
        (BASE, APRIL): (-8, D(-1200)),
        (BASE, MAY): (8, D(1200)),
    }


def test_a_draft_decides_nothing(judge: Judge) -> None:
    """It names a part of what is to be billed, in the month where that stands now."""
    draft = {"status": "draft", "posted_at": None}
    booked = judge(closing().charge("I", 1, 8, 1200, **draft)).booked
    assert (of(booked), of(booked, "on_draft")) == ({}, {("draft:erp:I", MARCH): (8, D(1200))})
    sources = closing().correct(1, "04-05 09:00", hours=D(6), approved_at=at("04-05 10:00"))
    booked = judge(sources.charge("I", 1, 6, 900, **draft, entry_version=2)).booked
    assert of(booked) == {(BASE, MARCH): (8, D(1200)), (BASE, APRIL): (-8, D(-1200))}
    assert of(booked, "on_draft") == {("draft:erp:I", APRIL): (6, D(900))}


@settings(max_examples=120, deadline=None)
@given(histories(), st.integers(0, 2**32))
def test_both_judges_agree_in_any_order(
    rows: list[tuple[str, str | int, dict[str, object]]], seed: int
) -> None:
    """Whatever arrives first: the books, the present, and the ledger's laws."""
    agents, rng, sources = Agents(), random.Random(seed), Sources()
    for table in sources.tables.values():
        table.clear()
    for table_name, native, row in rows:
        sources.tables[table_name][native] = row
        if rng.random() < 0.15:
            agents(sources)
    said, expected = agents(sources), Oracle()(sources)
    assert (said.booked, said.figures) == (expected.booked, expected.figures)
    agents(sources)
    assert agents.lines == ()


def test_explain_knows_which_lines_are_in_force() -> None:
    """The correction arrives before the row of what it corrected: the reversal is of a later line than what stands."""
    agents, sources = Agents(), closing()
    sources.correct(1, "04-05 09:00", hours=D(6), approved_at=at("04-05 10:00"))
    version = sources.tables["time_entry_version"].pop(1)
    agents(sources)
    sources.tables["time_entry_version"][1] = version
    agents(sources)
    neighbours = Neighbours(next(iter(read_event_id(agents.ledger[-1].event_id))))
    for line in agents.ledger:
        neighbours.take(line.fields())
    assert [line.event_id for line in neighbours.live] == ["erp:E:time:1:base:1:CHARGE"]
    assert {line.reverses for line in agents.ledger} == {None, "erp:E:time:1:base:2:CHARGE"}


def test_what_is_names_a_line_in_force_after_a_late_close() -> None:
    """On hold over the close, which arrives last: the line that was there is taken back, and another one named."""
    hold = {"kind": "hold", "hours": None, "decided_at": at("04-02 09:00"), "released_at": at("04-10 09:00")}
    sources = closing().put("bill_adjustment", "H", entry_id="time:1", **hold)
    sources.put("accounting_period", MARCH, status="open", closed_at=None)
    agents = Agents()
    agents(sources)
    agents(sources.put("accounting_period", MARCH, status="closed", closed_at=at("04-03 18:00")))
    live = agents._live["erp:E"]["time:1", BASE]
    assert live.event_id not in {line.reverses for line in agents.ledger}
    assert live.event_id in {line.event_id for line in agents.ledger if line.kind == "CHARGE"}
