"""What was decided before a close and came after the period was final, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.finality.late import (
    ADJUSTMENT,
    FACTS,
    INVOICE_LINE,
    LEDGER,
    LONG_AGO,
    MILESTONE,
    TIME_ENTRY,
    VERSION,
    FinalBooks,
    decided,
)
from agents.finality.records import from_record, reports, to_record
from agents.finality.states import FINAL, Late, Period, PeriodState, with_late
from streams.contracts import load_schema
from streams.serde.codec import Decoder, Encoder
from streams.testing.registry import MemoryRegistry
from tests.unit.sinks.sink_builders import record_of

CLOSE = datetime(2026, 4, 3, 18, tzinfo=UTC)
BEFORE, AFTER = CLOSE - timedelta(days=4), CLOSE + timedelta(days=7)
MARCH = Period("erp:2026-03", "erp:LE", date(2026, 3, 1), date(2026, 4, 1), None, CLOSE)
ENDS = {(topic, 0): 10 for topic in (*FACTS, LEDGER)}
STATE = PeriodState(MARCH, FINAL, (), CLOSE + timedelta(minutes=1), {"erp": AFTER}, ENDS)


def entry(approved_at: datetime | None, **values: Any) -> dict[str, Any]:
    """Approved time."""
    return record_of(TIME_ENTRY, id="time:1", status="approved", approved_at=approved_at, **values)


def line(hours: int, amount: int, **values: Any) -> dict[str, Any]:
    """A line of March of the entry."""
    shared = {"entry_id": "time:1", "legal_entity_id": "erp:LE", "accounting_date": date(2026, 3, 30)}
    money = {"bucket": "unbilled", "seconds": 3600 * hours, "amount": Decimal(amount), "currency": "EUR"}
    return record_of(LEDGER, **{**shared, **money, **values})


Take = tuple[str, int, dict[str, Any]]


def late(*taken: Take, state: PeriodState = STATE) -> tuple[Late, ...]:
    """What is late of records, each with its topic and offset."""
    books = FinalBooks()
    books.follow(state)
    for topic, offset, row in taken:
        books.take((topic, 0), offset, row)
    return books.late(MARCH.id)


def test_time_that_is_dated_back_is_late_with_its_money() -> None:
    """2 h at 150, approved on 30 March and entered on 10 April."""
    assert late((TIME_ENTRY, 12, entry(BEFORE)), (LEDGER, 14, line(2, 300))) == (
        Late("time:1", "EUR", 7200, Decimal(300)),
    )


def test_what_was_there_when_it_became_final_is_not_late() -> None:
    """Neither the fact nor the line alone make it so."""
    assert late((TIME_ENTRY, 9, entry(BEFORE)), (LEDGER, 14, line(2, 300))) == ()
    assert late((TIME_ENTRY, 12, entry(BEFORE)), (LEDGER, 9, line(2, 300))) == ()


def test_what_is_decided_after_the_close_is_not_late() -> None:
    """As entries that share a cap are booked: invoiced in April, and moved in March."""
    assert late((TIME_ENTRY, 12, entry(AFTER)), (LEDGER, 14, line(-2, -300))) == ()


def test_a_row_that_came_again_moves_nothing() -> None:
    """Lines of another month or another entity are not of the period."""
    april = line(2, 300, accounting_date=date(2026, 4, 1))
    other = line(2, 300, legal_entity_id="erp:LE2")
    assert late((TIME_ENTRY, 12, entry(BEFORE)), (LEDGER, 14, april), (LEDGER, 15, other)) == ()


def test_a_draft_moves_nothing_and_a_write_off_what_it_takes() -> None:
    """Of 300 unbilled 100 go on a draft; then 200 are written off, dated back."""
    drafted = [
        (LEDGER, 14, line(-2, -300)),
        (LEDGER, 15, line(1, 200)),
        (LEDGER, 16, line(1, 100, bucket="on_draft")),
    ]
    fact = (TIME_ENTRY, 12, entry(BEFORE))
    assert late(fact, *drafted) == ()
    off = [(LEDGER, 17, line(-1, -200)), (LEDGER, 18, line(1, 200, bucket="written_off"))]
    assert late(fact, *drafted, *off) == (Late("time:1", "EUR", 3600, Decimal(200)),)


@pytest.mark.parametrize(
    ("topic", "values", "at"),
    [
        (TIME_ENTRY, {"id": "E", "status": "approved", "approved_at": BEFORE}, BEFORE),
        (TIME_ENTRY, {"id": "E", "status": "submitted"}, None),
        (TIME_ENTRY, {"id": "E", "deleted": True}, LONG_AGO),
        (VERSION, {"entry_id": "E", "approved_at": BEFORE, "ended_at": AFTER}, AFTER),
        (MILESTONE, {"id": "E", "status": "accepted", "accepted_at": BEFORE}, BEFORE),
        (MILESTONE, {"id": "E", "status": "planned"}, None),
        (MILESTONE, {"id": "E", "deleted": True}, LONG_AGO),
        (INVOICE_LINE, {"entry_id": "E", "status": "posted", "posted_at": AFTER}, AFTER),
        (INVOICE_LINE, {"entry_id": "E", "status": "draft"}, None),
        (INVOICE_LINE, {"status": "posted", "posted_at": AFTER}, None),
        (ADJUSTMENT, {"entry_id": "E", "decided_at": BEFORE, "released_at": AFTER}, AFTER),
        (ADJUSTMENT, {"entry_id": "E", "decided_at": BEFORE}, BEFORE),
    ],
)
def test_when_a_fact_was_decided(topic: str, values: dict[str, Any], at: datetime | None) -> None:
    """Approval, end of a version, acceptance, posting, decision and release; a deletion says no time."""
    assert decided(topic, record_of(topic, **values)) == (None if at is None else ("E", at))


@given(st.permutations([0, 1, 2, 3, 4]))
def test_the_order_of_topics_does_not_matter(order: list[int]) -> None:
    """Facts and lines are read from topics of their own."""
    taken: list[Take] = [
        (TIME_ENTRY, 12, entry(BEFORE)),
        (LEDGER, 14, line(2, 300)),
        (LEDGER, 15, line(-2, -300)),
        (LEDGER, 16, line(3, 450)),
        (TIME_ENTRY, 11, entry(AFTER, consultant_id="erp:X")),
    ]
    assert late(*(taken[at] for at in order)) == (Late("time:1", "EUR", 10_800, Decimal(450)),)


def test_what_was_late_is_remembered_over_a_restart() -> None:
    """The entry's later record, decided after the close, has taken the place of the late one in its topic."""
    before = with_late(STATE, (Late("time:1", "EUR", 7200, Decimal(300)),))
    assert late((TIME_ENTRY, 19, entry(AFTER)), (LEDGER, 14, line(2, 300)), state=before) == before.late


def test_a_state_survives_its_record() -> None:
    """As it is written and read, by its schema."""
    state = with_late(
        STATE, (Late("time:a b", None, 7200, Decimal(0)), Late("time:1", "EUR", -1, Decimal("-0.01")))
    )
    registry = MemoryRegistry()
    schema = load_schema("events/period_state")
    data = Encoder(schema, registry.register("billing.period_state-value", schema)).encode(
        to_record(state, AFTER)
    )
    assert from_record(Decoder(registry).decode(data)) == state


def test_what_is_late_is_raised_once_and_cleared() -> None:
    """By entry and currency, with the time and the money; another sum is another report."""
    first = with_late(STATE, (Late("time:1", "EUR", 7200, Decimal(300)),))
    (raised,) = reports(STATE, first, AFTER)
    assert (raised["op"], raised["exception_class"], raised["flow"]) == ("RAISE", "LATE_FACT", "close")
    assert (raised["subject"], raised["seconds"], raised["amount"]) == ("erp:2026-03:time:1:EUR", 7200, 300)
    assert (
        "closed, on 2026-04-03 18:00 UTC, came when it was final: its books moved by 2.0000 h and 300 EUR"
        in (raised["message"])
    )
    assert list(reports(first, first, AFTER)) == []
    (cleared,) = reports(first, with_late(first, ()), AFTER)
    assert (cleared["op"], cleared["subject"], cleared["amount"]) == ("CLEAR", raised["subject"], None)
    assert cleared["revision"] > raised["revision"]
    schema = load_schema("events/exception_raised")
    for report in (raised, cleared):
        Encoder(schema, 1).encode(report)
