"""The oracle's figures for controllers, by hand: the numbers that the warehouse's views give for the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from builders import (
    HOUR,
    D,
    adjustment,
    charge,
    credit,
    day,
    engagement,
    entry,
    expect,
    firm,
    line,
    project,
    put,
    rate,
)
from oracle.backlog import backlog
from oracle.controlling import (
    Accuracy,
    AccuracyKey,
    Capture,
    Quality,
    WriteOffKey,
    accuracy,
    approval_quality,
    capture,
    write_offs,
)
from oracle.rows import TimeEntryEvent, TimeEntryVersion

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)


def at(month: int, on: int) -> datetime:
    """Noon of a day of 2026."""
    return datetime(2026, month, on, 12, tzinfo=UTC)


def test_a_credit_counts_in_the_month_of_its_charge() -> None:
    """1,200 posted in March, 200 credited in April: 0.166667 in March; a credit of nothing is in no ratio."""
    posted = charge("I1", "time:1", 8 * HOUR, "1200", posted_at=at(3, 20))
    back = credit("I2", "I1", "time:1", 0, "200", posted_at=at(4, 2))
    lost = credit("I3", "I9", "time:1", 0, "50", posted_at=at(4, 2))
    draft = charge("I4", "time:2", HOUR, "900", status="draft", posted_at=None)
    found = accuracy(firm(posted, back, lost, draft))
    of_client = AccuracyKey("erp:LE", "erp:A", MARCH, "EUR")
    assert found == {
        of_client: Accuracy(D(1200), D(200)),
        of_client._replace(month=APRIL): Accuracy(unlinked=D(50)),
    }
    assert found[of_client].ratio == Decimal("0.166667")


def test_of_ten_decisions_two_reject_and_one_approval_is_corrected() -> None:
    """Eight entries approved, one of them corrected and not approved again: 0.2 and 0.125; a ninth was withdrawn."""
    march = at(3, 9)
    rows = firm(*(entry(number, "03-05", approved_at=march) for number in range(1, 8)))
    once = entry(8, "03-05", approved_at=march)
    put(rows, replace(once, version=2, status="submitted", approved_at=None))
    rows.entry_versions["time:V8"] = TimeEntryVersion("time:V8", once, at(3, 10))
    for name in ("time:1", "time:2"):
        rows.entry_events[f"of {name}"] = TimeEntryEvent(f"of {name}", name, "rejected", at(3, 7))
    found = approval_quality(rows)
    assert found == {("data", MARCH): Quality(approved=8, corrected=1, rejected=2)}
    figures = found["data", MARCH]
    assert (figures.rejected_rate, figures.corrected_rate) == (Decimal("0.2"), Decimal("0.125"))
    gone = entry(9, "03-05", approved_at=march)
    put(rows, replace(gone, status="withdrawn", approved_at=None))
    rows.entry_versions["time:V9"] = TimeEntryVersion("time:V9", gone, at(3, 10))
    assert approval_quality(rows)["data", MARCH] == Quality(9, 1, 1, 2)


def test_an_entry_is_billed_for_its_own_hours_at_most() -> None:
    """8 h posted and corrected to 6 h, 2 h unbilled of another entry: 6 of 8 h."""
    rows = firm(
        entry(1, "03-05", 6 * HOUR, version=2),
        entry(2, "03-05", 2 * HOUR),
        charge(
            "I1", "time:1", 8 * HOUR, "800", client_id="erp:A", consultant_id="erp:C", work_date=day("03-05")
        ),
    )
    found = capture(expect(rows), rows)
    assert found == {("erp:A", "data", MARCH): Capture(billable=8 * HOUR, captured=6 * HOUR)}
    assert found["erp:A", "data", MARCH].capture == Decimal("0.75")


def test_write_offs_are_told_by_who_decided_them_and_why() -> None:
    """2 of 8 h at 150 written off by Q: 300 in March, by reason and approver."""
    decided = replace(adjustment("W", "time:1", 2 * HOUR), reason="goodwill", approver_id="erp:Q")
    rows = firm(rate("R0", "150"), entry(1, "03-05", 8 * HOUR), decided)
    key = WriteOffKey("erp:LE", "erp:A", "2026-03", "EUR", "write_off", "goodwill", None, "erp:Q")
    assert write_offs(expect(rows), rows) == {key: (2 * HOUR, D(300))}


def test_the_backlog_is_what_is_contracted_and_not_delivered() -> None:
    """A cap of 10,000 with 1,200 unbilled: 8,800 to go; without one nothing is known; a fixed price of 20,000 for
    100 h of which 60 are worked: 8,000 and 40 h. The cap of the contract counts what its lines bill by the hour."""
    fixed = line("F", method="milestone", revenue_method="percent_complete", fee=D(20_000))
    rows = firm(
        engagement(cap_money=D(50_000)),
        line(cap_money=D(10_000)),
        replace(fixed, planned_seconds=100 * HOUR),
        line("N"),
        project("PF", line="F"),
        rate("R0", "150"),
        entry(1, "03-05", 8 * HOUR),
        *(entry(number, f"03-{number:02}", 10 * HOUR, project_id="erp:PF") for number in range(9, 15)),
    )
    found = backlog(expect(rows), rows)
    assert {of: (one.backlog, one.backlog_seconds) for (_, of), one in found.items()} == {
        "erp:L": (D(8800), None),
        "erp:F": (D(8000), 40 * HOUR),
        "erp:N": (None, None),
        None: (D(48_800), None),
    }
