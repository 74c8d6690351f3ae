"""What controllers ask for, over rows made by hand, on a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from connectors.sinks.warehouse.schema import create_schema
from tests.integration.sinks.sink_world import World
from tests.integration.sinks.test_close_cockpit_cases import APRIL, MARCH, erp, firm, line
from tests.integration.sinks.test_executive_cases import HOUR, put, rows, segment
from tests.unit.sinks.sink_builders import ledger_line

WORKED = date(2026, 3, 5)
COST = "SELECT cost, margin, uncosted_seconds FROM v_margin_month WHERE practice = 'data'"


def at(month: int, day: int) -> datetime:
    """Noon of a day of 2026."""
    return datetime(2026, month, day, 12, tzinfo=UTC)


def test_a_credit_counts_in_the_month_of_its_charge(bi: Engine) -> None:
    """1,200 posted in March, 200 credited in April: 0.166667 in March; a credit of nothing is in no ratio."""
    with bi.begin() as connection:
        firm(connection)
        erp(connection, "I1", "charge", 1200, date(2026, 3, 20), client_id="C")
        erp(connection, "I2", "credit", 200, date(2026, 4, 2), credits_line_id="I1", client_id="C")
        erp(connection, "I3", "credit", 50, date(2026, 4, 2), client_id="C")
        erp(connection, "I4", "charge", 900, date(2026, 3, 20), client_id="C", status="draft")
    found = rows(
        bi,
        "SELECT legal_entity_id, client_id, month, billed, credited, unlinked_credits, credited_ratio "
        "FROM v_billing_accuracy_month ORDER BY month",
    )
    assert found == [
        ("LE", "C", MARCH, 1200, 200, 0, Decimal("0.166667")),
        ("LE", "C", APRIL, 0, 0, 50, None),
    ]


def test_of_ten_decisions_two_reject_and_one_approval_is_corrected(bi: Engine) -> None:
    """Eight entries approved, one of them corrected and not approved again: 0.2 and 0.125; a ninth was withdrawn."""
    who = {"consultant_id": "A", "work_date": WORKED}
    with bi.begin() as connection:
        put(connection, "canonical.consultant", id="A", practice="data")
        for number in range(1, 8):
            put(
                connection,
                "canonical.time_entry",
                id=f"time:{number}",
                version=1,
                status="approved",
                approved_at=at(3, 9),
                **who,
            )
        put(connection, "canonical.time_entry", id="time:8", version=2, status="submitted", **who)
        past = {"version": 1, "approved_at": at(3, 9), **who}
        put(connection, "canonical.time_entry_version", id="V8", entry_id="time:8", **past)
        for number in (1, 2):
            put(
                connection,
                "canonical.time_entry_event",
                id=f"E{number}",
                entry_id=f"time:{number}",
                action="rejected",
                at=at(3, 7),
            )
    query = (
        "SELECT practice, month, approved, rejected, corrected, taken_back, rejected_rate, corrected_rate "
        "FROM v_approval_quality_month"
    )
    assert rows(bi, query) == [("data", MARCH, 8, 2, 1, 0, Decimal("0.2"), Decimal("0.125"))]
    with bi.begin() as connection:
        put(connection, "canonical.time_entry", id="time:9", version=1, status="withdrawn", **who)
        put(connection, "canonical.time_entry_version", id="V9", entry_id="time:9", **past)
    assert rows(bi, query) == [("data", MARCH, 9, 2, 1, 1, Decimal("0.181818"), Decimal("0.111111"))]


def test_an_entry_is_billed_for_its_own_hours_at_most(bi: Engine) -> None:
    """8 h posted and corrected to 6 h, 2 h unbilled of another entry: 6 of 8 h; covered hours are a fee's."""
    with bi.begin() as connection:
        put(connection, "canonical.consultant", id="A", practice="data")
        segment(connection, "time:1", "billed", 8, 1200)
        segment(connection, "time:1", "unbilled", -8, -1200)
        segment(connection, "time:1", "unbilled", 6, 900)
        segment(connection, "time:2", "unbilled", 2, 300)
        segment(connection, "time:3", "covered", 5, 0)
        segment(connection, "time:4", "non_chargeable", 3, 0)
    assert rows(
        bi, "SELECT billable_seconds, captured_seconds, fee_seconds, capture FROM v_billable_capture_month"
    ) == [(8 * HOUR, 6 * HOUR, 5 * HOUR, Decimal("0.75"))]


def test_write_offs_are_told_by_who_decided_them_and_why(bi: Engine) -> None:
    """2 h written off, a discount of 100, a hold that is released in April, and a cap that writes off."""
    with bi.begin() as connection:
        firm(connection)
        for name, kind in (("W", "write_off"), ("D", "discount"), ("H", "hold")):
            decision = {"kind": kind, "reason": f"why {kind}", "preparer_id": "P", "approver_id": "Q"}
            put(connection, "canonical.bill_adjustment", id=name, **decision)
        of_client: dict[str, Any] = {"client_id": "C"}
        line(connection, "time:1", "written_off", 2, 300, segment="adj:W", **of_client)
        line(connection, "time:2", "written_off", 0, 100, segment="adj:D", **of_client)
        line(connection, "time:3", "on_hold", 4, 600, segment="adj:H", **of_client)
        released = {"accounting_date": APRIL} | of_client
        line(connection, "time:3", "on_hold", -4, -600, segment="adj:H", **released)
        line(connection, "time:4", "written_off", 1, 150, segment="over-line", **of_client)
        line(connection, "time:5", "written_off", 1, 140, segment="adj:gone", **of_client)
    assert rows(
        bi,
        "SELECT month, kind, reason, approver_id, seconds, amount FROM v_write_offs_month ORDER BY 1, 2 NULLS LAST",
    ) == [
        (MARCH, "discount", "why discount", "Q", 0, 100),
        (MARCH, "hold", "why hold", "Q", 4 * HOUR, 600),
        (MARCH, "over_cap", None, None, HOUR, 150),
        (MARCH, "write_off", "why write_off", "Q", 2 * HOUR, 300),
        (MARCH, None, None, None, HOUR, 140),
        (APRIL, "hold", "why hold", "Q", -4 * HOUR, -600),
    ]


def reversal(connection: Connection, event: str, of: str | None, **values: Any) -> None:
    """A line that takes back one of 8 h and 1,200."""
    values = {"kind": "REVERSAL", "seconds": -8 * HOUR, "amount": Decimal(-1200), **values}
    put(connection, "billing.events", event_id=event, reverses=of, **(_SEGMENT | values))


_SEGMENT: dict[str, Any] = {
    "root_id": "R",
    "entry_id": "time:1",
    "segment": "base",
    "revision": 1,
    "bucket": "unbilled",
    "currency": "EUR",
}
_CHARGE = _SEGMENT | {"kind": "CHARGE", "seconds": 8 * HOUR, "amount": Decimal(1200)}


def test_originals_and_reversals_name_each_other(bi: Engine) -> None:
    """Both ways; the table refuses a second reversal of a line, and one of a reversal."""
    with bi.begin() as connection:
        put(connection, "billing.events", event_id="a:CHARGE", **_CHARGE)
        reversal(connection, "a:REVERSAL", "a:CHARGE")
        put(connection, "billing.events", event_id="b:CHARGE", **_CHARGE)
    query = "SELECT event_id, reverses, reversed_by FROM v_ledger_line ORDER BY 1"
    assert rows(bi, query) == [
        ("a:CHARGE", None, "a:REVERSAL"),
        ("a:REVERSAL", "a:CHARGE", None),
        ("b:CHARGE", None, None),
    ]
    assert rows(bi, "SELECT * FROM v_ledger_violations") == []
    for of, refused in (("a:CHARGE", "ix_fact_billing_event_reverses"), ("a:REVERSAL", "ck_fact_billing")):
        with pytest.raises(IntegrityError, match=refused), bi.begin() as connection:
            reversal(connection, "c:REVERSAL", of)


def test_the_sink_sets_a_second_reversal_aside(world: World) -> None:
    """What came before and after it is loaded, and the first reversal stays the only one, read again, too."""
    charge = ledger_line(1)
    back = {"kind": "REVERSAL", "reverses": charge["event_id"], "seconds": -HOUR, "amount": Decimal(-150)}
    first, second = (ledger_line(1, event_id=f"{n}:REVERSAL", **back) for n in (1, 2))
    world.send("billing.events", charge, first, first, second, ledger_line(2))
    world.load()
    found = world.rows("SELECT event_id, reversed_by FROM v_ledger_line WHERE entry_id = 'time:1' ORDER BY 1")
    assert found == [("1:REVERSAL", None), (charge["event_id"], "1:REVERSAL")]
    assert world.count("fact_billing_event") == 3
    ((message,),) = world.rows("SELECT message FROM sink_dead_letter")
    assert "ix_fact_billing_event_reverses" in message


def test_what_breaks_the_ledgers_rules_is_listed(bi: Engine) -> None:
    """In a warehouse of an older version, without the table's own checks: each violation by its name."""
    with bi.begin() as connection:
        connection.execute(text("DROP INDEX ix_fact_billing_event_reverses"))
        connection.execute(
            text("ALTER TABLE fact_billing_event DROP CONSTRAINT ck_fact_billing_event_reverses")
        )
        for event in ("a", "b", "c"):
            put(connection, "billing.events", event_id=f"{event}:CHARGE", **_CHARGE)
        reversal(connection, "a:REVERSAL", "a:CHARGE")
        reversal(connection, "a:2:REVERSAL", "a:CHARGE", occurred_at=at(12, 1))
        reversal(connection, "a:3:REVERSAL", "a:REVERSAL")
        reversal(connection, "b:REVERSAL", "b:CHARGE", amount=Decimal("-1199.99"))
        reversal(connection, "d:REVERSAL", "d:CHARGE")
        reversal(connection, "e:REVERSAL", None)
        reversal(connection, "f:CHARGE", "c:CHARGE", kind="CHARGE")
    assert dict(rows(bi, "SELECT event_id, violation FROM v_ledger_violations")) == {
        "a:2:REVERSAL": "takes back a line that was taken back",
        "a:3:REVERSAL": "takes back a reversal",
        "b:REVERSAL": "is not the opposite of its line",
        "d:REVERSAL": "takes back a line that is not there",
        "e:REVERSAL": "names no line",
        "f:CHARGE": "reverses a line and is no reversal",
    }


def test_an_older_warehouse_gets_the_check(bi: Engine) -> None:
    """The next start of the sink adds what is missing, once."""
    drop = "ALTER TABLE fact_billing_event DROP CONSTRAINT ck_fact_billing_event_reverses"
    with bi.begin() as connection:
        connection.execute(text(drop))
    for _ in range(2):
        with bi.begin() as connection:
            create_schema(connection)
    with pytest.raises(IntegrityError, match="ck_fact_billing"), bi.begin() as connection:
        reversal(connection, "c:REVERSAL", "a:REVERSAL")


def test_the_backlog_is_what_is_contracted_and_not_delivered(bi: Engine) -> None:
    """A cap of 10,000 with 3,000 billed and 1,200 unbilled: 5,800; a fixed price of 20,000, 12,000 earned: 8,000.

    What is over the cap, and an expense that does not count against it, uses nothing of it; without a cap and before
    revenue has a price nothing is known. The cap of the whole contract counts all of its lines.
    """
    with bi.begin() as connection:
        put(connection, "canonical.engagement", id="R", currency="EUR", cap_money=Decimal(50_000))
        capped = {"cap_money": Decimal(10_000), "cap_seconds": 100 * HOUR}
        put(connection, "canonical.contract_line", id="L", engagement_id="R", billing_method="tm", **capped)
        for name in ("F", "N", "X"):
            put(connection, "canonical.contract_line", id=name, engagement_id="R")
        put(connection, "canonical.expense", id="erp:X", cap_scope="none")
        segment(connection, "time:1", "billed", 20, 3000)
        segment(connection, "time:2", "unbilled", 8, 1200)
        segment(connection, "time:3", "over_cap", 9, 1350)
        segment(connection, "erp:X", "unbilled", 0, 400)
        segment(connection, "time:4", "fixed_fee", 60, 0, contract_line_id="F")
        of_fee = {"root_id": "R", "contract_line_id": "F", "revenue_method": "percent_complete"}
        for month, earned, progress in ((MARCH, 5000, 25), (APRIL, 12_000, 60)):
            put(
                connection,
                "revenue.current",
                period_start=month,
                transaction_price=Decimal(20_000),
                recognised_to_date=Decimal(earned),
                progress_seconds=progress * HOUR,
                planned_seconds=100 * HOUR,
                **of_fee,
            )
        missing = {"root_id": "R", "contract_line_id": "X", "revenue_method": "straight_line"}
        put(connection, "revenue.current", period_start=MARCH, **missing)
    assert rows(
        bi,
        "SELECT contract_line_id, basis, contracted, backlog, backlog_hours FROM v_backlog ORDER BY 1 NULLS LAST",
    ) == [
        ("F", "percent_complete", 20_000, 8000, 40),
        ("L", "cap", 10_000, 5800, 72),
        ("N", None, None, None, None),
        ("X", None, None, None, None),
        (None, "cap", 50_000, 45_800, None),
    ]
