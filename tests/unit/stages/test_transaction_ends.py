"""Debezium's changes wait for the end of their transaction: no state in between is published."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from stage_builders import WHEN, Firm, entry_row
from support.changes import Change

from connectors.reference.firm import Insert, Transaction, Update

TIME = "time_entry"
TOPIC = "cdc.time.public.time_entry"
LONG = 60.0


def two_steps(key: int) -> Transaction:
    """A draft of no hours and its approval, committed together."""
    row = entry_row(key)
    return Transaction(
        "time",
        WHEN,
        (
            Insert(TIME, {**row, "hours": Decimal(0), "status": "draft", "approved_at": None}),
            Update(TIME, key, {name: row[name] for name in ("hours", "status", "approved_at")}),
        ),
        "test",
    )


def published(firm: Firm, key: int) -> list[dict[str, Any]]:
    """The entry's canonical records."""
    return [r for r in firm.driver.records("canonical.time_entry") if r["id"] == f"time:{key}"]


@pytest.mark.parametrize(("crash", "seed"), [(0.0, 1), (0.02, 2), (0.02, 3)])
def test_a_firm_by_debezium(crash: float, seed: int) -> None:
    """The whole firm, all outputs to the cent, with and without crashes."""
    firm = Firm(seed, crash, debezium=True)
    firm.live_through()
    firm.run()
    for _ in range(5 if crash else 0):  # a crash forgets announcements, and may come again
        firm.driver.tick(LONG)
    firm.driver.tick(1)  # what no later transaction releases
    firm.run()
    firm.assert_oracle()


def test_a_state_in_between_is_never_published() -> None:
    """The row is published once, as the transaction leaves it, when its end is announced."""
    firm = Firm(debezium=True)
    firm.live_through()
    firm.run()
    firm.commit(two_steps(900_100))
    firm.run()
    assert published(firm, 900_100) == []
    firm.driver.tick(1)
    (record,) = published(firm, 900_100)
    assert record["status"] == "approved"
    assert record["seconds"] > 0


def test_the_next_transaction_of_the_topic_tells_too() -> None:
    """Nobody has to announce anything while changes flow on the same partition."""
    firm = Firm(debezium=True, announced=False)
    firm.live_through()
    firm.run()
    firm.commit(two_steps(900_101))
    firm.run()
    assert published(firm, 900_101) == []
    later = [firm.insert(TIME, **entry_row(key)) for key in range(900_200, 900_220)]
    assert {change.topic for change in later} == {TOPIC}
    firm.run()
    assert [record["status"] for record in published(firm, 900_101)] == ["approved"]


def test_what_waits_outlives_a_crash() -> None:
    """A change that was read and not decided on is in the state; whoever restores it decides."""
    firm = Firm(debezium=True, announced=False)
    firm.live_through()
    firm.run()
    firm.commit(two_steps(900_102))
    firm.run()
    firm.driver.crash_all()
    firm.driver.tick(1)
    assert published(firm, 900_102) == []
    firm.driver.tick(LONG)  # nobody announces ends: it waits no longer than that
    assert [record["status"] for record in published(firm, 900_102)] == ["approved"]


def test_an_end_that_is_heard_first() -> None:
    """Topics are read side by side: an end may come before the changes that it is about."""
    firm = Firm(debezium=True, announced=False)
    firm.live_through()
    firm.run()
    transaction = two_steps(900_103)
    changes: list[Change] = list(firm.log.changes(transaction))
    end = firm.log.end(transaction)
    firm.driver.produce(end.topic, end.key, end.value)
    firm.run()
    for change in changes:
        firm.driver.produce(change.topic, change.key, change.value)
        firm.run()
        assert published(firm, 900_103) == []
    firm.driver.tick(1)
    assert [record["status"] for record in published(firm, 900_103)] == ["approved"]


def test_a_delivery_that_is_repeated_changes_nothing() -> None:
    """Debezium sends a transaction again after a restart, from its beginning."""
    firm = Firm(debezium=True)
    firm.live_through()
    firm.run()
    changes = firm.commit(two_steps(900_104))
    firm.run()
    firm.driver.tick(1)
    for change in (changes[0], *changes):
        firm.driver.produce(change.topic, change.key, change.value)
    firm.run()
    firm.driver.tick(LONG)
    assert len(published(firm, 900_104)) == 1


def test_a_boundary_that_is_none_is_rejected() -> None:
    """One exception with the bytes, and the flow goes on."""
    firm = Firm(debezium=True)
    firm.live_through()
    change = firm.insert(TIME, **entry_row(900_105))
    firm.driver.produce("cdc.time.transaction", b"x", change.value)
    firm.run()
    (found,) = [r for r in firm.exceptions().values() if r["raw_topic"] == "cdc.time.transaction"]
    assert found["exception_class"] == "SCHEMA"
    assert "no boundary of a transaction" in found["message"]
