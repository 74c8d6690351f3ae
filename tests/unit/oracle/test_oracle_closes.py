"""Closed months where entries share something: what the ledger of each month would say of all that was decided."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from oracle.books import Books
from oracle.closes import Closes, book
from oracle.expected import fold_bookings
from oracle.rows import Rows, TimeEntryVersion
from unit.oracle.builders import HOUR, D, charge, day, engagement, entry, firm, line, period, put

MARCH, APRIL = "2026-03", "2026-04"
CLOSE = datetime(2026, 4, 3, 18, tzinfo=UTC)
BEFORE = datetime(2026, 4, 1, 9, tzinfo=UTC)
AFTER = datetime(2026, 4, 5, 9, tzinfo=UTC)

Booked = dict[tuple[str, str, str, str | None], tuple[int, Decimal | None]]


def closing(*more: object) -> Rows:
    """A firm that closed March on 3 April."""
    return firm(period(3, CLOSE), period(4), *more)


def booked(rows: Rows) -> Booked:
    """Hours and money by entry, segment, bucket and month, of contracts that share something, too."""
    folds = fold_bookings(book(Closes(rows, Books(rows))), rows)
    return {
        (key.entry, key.segment, key.bucket, key.month): (fold.seconds // HOUR, fold.amount)
        for key, fold in folds.items()
        if not fold.is_nothing
    }


def test_early_work_that_comes_late_takes_from_the_cap_in_april() -> None:
    """E4: cap 1,000, X 600 and Y 400 + 200 over in March; W of 4 March after the close: Y gives 300 of it in April."""
    rows = closing(engagement(cap_money=D(1000)))
    put(
        rows,
        entry(10, "03-05", 6 * HOUR, approved_at=BEFORE),
        entry(11, "03-06", 6 * HOUR, approved_at=BEFORE),
    )
    march: Booked = {
        ("time:10", "base", "unbilled", MARCH): (6, D(600)),
        ("time:11", "base", "unbilled", MARCH): (4, D(400)),
        ("time:11", "over-engagement", "over_cap", MARCH): (2, D(200)),
    }
    assert booked(rows) == march
    put(rows, entry(12, "03-04", 3 * HOUR, approved_at=AFTER))
    assert booked(rows) == {
        **march,
        ("time:12", "base", "unbilled", APRIL): (3, D(300)),
        ("time:11", "base", "unbilled", APRIL): (-3, D(-300)),
        ("time:11", "over-engagement", "over_cap", APRIL): (3, D(300)),
    }


def test_a_withdrawal_after_the_close_frees_the_cap_in_april() -> None:
    """X is withdrawn: April takes its 600 back, and has Y's 200 that were over the cap."""
    rows = closing(engagement(cap_money=D(1000)))
    first = entry(10, "03-05", 6 * HOUR, approved_at=BEFORE)
    put(rows, entry(11, "03-06", 6 * HOUR, approved_at=BEFORE), replace(first, status="withdrawn"))
    rows.entry_versions["time:1"] = TimeEntryVersion("time:1", first, AFTER)
    assert booked(rows) == {
        ("time:10", "base", "unbilled", MARCH): (6, D(600)),
        ("time:10", "base", "unbilled", APRIL): (-6, D(-600)),
        ("time:11", "base", "unbilled", MARCH): (4, D(400)),
        ("time:11", "base", "unbilled", APRIL): (2, D(200)),
        ("time:11", "over-engagement", "over_cap", MARCH): (2, D(200)),
        ("time:11", "over-engagement", "over_cap", APRIL): (-2, D(-200)),
    }


def test_a_day_line_that_later_work_changes() -> None:
    """E7: minimum 4 h, 1 h + 2 h with an uplift of 100 in March; late 2 h of that day: April +200, uplift -100."""
    rows = closing(line(day_minimum_seconds=4 * HOUR))
    for number, hours in ((1, 1), (2, 2)):
        put(rows, entry(number, "03-30", hours * HOUR, approved_at=BEFORE))
    uplift = f"day:erp:C:erp:L:{day('03-30')}"
    march: Booked = {
        ("time:1", "base", "unbilled", MARCH): (1, D(100)),
        ("time:2", "base", "unbilled", MARCH): (2, D(200)),
        (uplift, "uplift", "unbilled", MARCH): (0, D(100)),
    }
    assert booked(rows) == march
    put(rows, entry(3, "03-30", 2 * HOUR, approved_at=AFTER))
    assert booked(rows) == {
        **march,
        ("time:3", "base", "unbilled", APRIL): (2, D(200)),
        (uplift, "uplift", "unbilled", APRIL): (0, D(-100)),
    }


def test_a_posting_after_the_close_takes_from_the_cap_in_april() -> None:
    """Y is invoiced whole in April, though 200 of it were over: X has 200 less to bill then."""
    rows = closing(engagement(cap_money=D(1000)))
    put(
        rows,
        entry(10, "03-05", 6 * HOUR, approved_at=BEFORE),
        entry(11, "03-06", 6 * HOUR, approved_at=BEFORE),
    )
    put(rows, charge("I", "time:11", 6 * HOUR, "600", posted_at=AFTER))
    found = booked(rows)
    assert found["time:10", "base", "unbilled", MARCH] == (6, D(600))
    assert found["time:10", "base", "unbilled", APRIL] == (-2, D(-200))
    assert found["time:11", "inv:erp:I", "billed", APRIL] == (6, D(600))
    assert sum(amount or 0 for (*_, month), (_, amount) in found.items() if month == MARCH) == D(1200)
