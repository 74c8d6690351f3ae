"""What stands is reported once a change, with numbers that grow."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from agents.billing.incidents import Incident
from agents.billing.standing import settle
from streams.lanes.state import MemoryStore, Overlay

DUE = Incident("CREDIT_DUE", "200 too much", 0, Decimal("-200.00"), "EUR")


def told(state: Overlay, entry: str, **wanted: Incident) -> list[tuple[Any, ...]]:
    """What `settle` reports: operation, number, subject and money."""
    reports = settle(state, "erp:E", entry, wanted)
    return [
        tuple(one.record.get(name) for name in ("op", "revision", "subject", "amount")) for one in reports
    ]


def test_each_change_is_told_once() -> None:
    """Raised, raised with another amount, cleared, and raised again: also from what was stored."""
    state = Overlay(MemoryStore())
    subject = "erp:E:time:1:base"
    assert told(state, "time:1") == []
    assert told(state, "time:1", base=DUE) == [("RAISE", 1, subject, Decimal("-200.00"))]
    assert told(state, "time:1", base=DUE) == []
    less = DUE._replace(amount=Decimal("-50.00"))
    assert told(state, "time:1", base=less) == [("RAISE", 2, subject, Decimal("-50.00"))]
    assert told(state, "time:1") == [("CLEAR", 3, subject, None)]
    assert told(state, "time:1") == []
    assert told(state, "time:1", base=DUE) == [("RAISE", 4, subject, Decimal("-200.00"))]


def test_entries_and_the_root_stand_apart() -> None:
    """What is told of one says nothing of the others."""
    state = Overlay(MemoryStore())
    assert told(state, "", cap=DUE) == [("RAISE", 1, "erp:E:cap", Decimal("-200.00"))]
    assert told(state, "time:1", price=DUE, base=DUE) == [
        ("RAISE", 1, "erp:E:time:1:base", Decimal("-200.00")),
        ("RAISE", 1, "erp:E:time:1:price", Decimal("-200.00")),
    ]
    assert told(state, "time:2") == []
    assert told(state, "time:1", price=DUE) == [("CLEAR", 2, "erp:E:time:1:base", None)]
    assert told(state, "") == [("CLEAR", 2, "erp:E:cap", None)]
