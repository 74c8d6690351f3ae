"""No silent zero: what waits for a reference is shown after its grace period, and releases itself."""

from __future__ import annotations

from decimal import Decimal

from stage_builders import GRACE_SECONDS, Firm, entry_row, some


def parked_entry(firm: Firm) -> None:
    """An entry of a project that nobody knows yet."""
    firm.live_through()
    firm.insert("time_entry", **entry_row(900_100, project_code="PNEW", task_code=None, hours=Decimal(2)))
    firm.run()


def arrive(firm: Firm) -> None:
    """The project comes."""
    firm.insert("project", **some("project", id="PNEW"))
    firm.run()


def test_an_entry_waits_then_shows_then_releases_itself() -> None:
    """Waiting, open once the grace period is over, resolved and billed when the project arrives."""
    firm = Firm(seed=7)
    parked_entry(firm)
    found = firm.exceptions("billing")["time:900100"]
    assert (found["exception_class"], found["state"]) == ("MISSING_REFERENCE", "waiting")
    assert "project:erp:PNEW" in found["missing_keys"]
    firm.driver.tick(GRACE_SECONDS - 1)
    assert firm.exceptions("billing")["time:900100"]["state"] == "waiting"
    firm.driver.tick(2)
    assert firm.exceptions("billing")["time:900100"]["state"] == "open"
    arrive(firm)
    found = firm.exceptions("billing")["time:900100"]
    assert found["state"] == "resolved"
    billed = [r for r in firm.driver.records("billing.events") if r["entry_id"] == "time:900100"]
    assert {r["bucket"] for r in billed} > {"parked"}


def test_a_reference_inside_the_grace_period_bothers_nobody() -> None:
    """Resolved without ever having been open, and a later tick does not open it."""
    firm = Firm(seed=8)
    parked_entry(firm)
    arrive(firm)
    firm.driver.tick(GRACE_SECONDS * 2)
    states = [r["state"] for r in firm.driver.records("exceptions") if r["subject"] == "time:900100"]
    assert states == ["waiting", "resolved"]


def test_a_grace_period_survives_a_restart() -> None:
    """Timers are rebuilt from the state: a killed worker still shows what is due."""
    firm = Firm(seed=9)
    parked_entry(firm)
    firm.driver.crash_all()
    firm.driver.tick(GRACE_SECONDS + 1)
    assert firm.exceptions("billing")["time:900100"]["state"] == "open"
