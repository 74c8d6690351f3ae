"""A small firm's outputs as the oracle expects them, to be changed by tests."""

from __future__ import annotations

from dataclasses import replace

from oracle import Actual, Current, Expected, FoldKey, Ledger, Rows
from unit.oracle.builders import HOUR, D, charge, engagement, entry, expect, firm, milestone, put


def a_firm() -> Rows:
    """Billed, unbilled, over-cap, due and parked segments, a parked milestone, and a quarantined entry."""
    return put(
        firm(
            engagement(cap_money=D(1000)),
            entry(1, "03-05", 6 * HOUR),
            entry(2, "03-06", 6 * HOUR),
            entry(3, "03-07", HOUR, project_id="erp:GONE"),
            entry(4, "03-04", HOUR, status="withdrawn"),
            charge("I1", "time:1", 6 * HOUR, "600.00"),
            charge("I2", "time:4", HOUR, "100.00"),
        ),
        replace(milestone(), contract_line_id="erp:GONE"),
    )


def expected() -> Expected:
    """What the oracle makes of it."""
    return expect(a_firm())


def actual(of: Expected) -> Actual:
    """Outputs that are right; each mapping is a copy that a test may change."""
    live = {key.entry for key in of.billing if key.bucket == "parked"}
    return Actual(
        Ledger(dict(of.billing), {}),
        Current(dict(of.billing), {e: why for e, why in of.parked.items() if e in live}, dict(of.drafts)),
        dict(of.daily),
        dict(of.windows),
        dict(of.proposals),
        dict(of.groups),
        dict(of.plans),
        dict(of.revenue),
        dict(of.incidents),
    )


def key_of(of: Expected, entry_id: str, bucket: str) -> FoldKey:
    """The only fold of an entry in a bucket."""
    (key,) = (key for key in of.billing if key.entry == entry_id and key.bucket == bucket)
    return key
