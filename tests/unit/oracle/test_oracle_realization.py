"""The oracle's realization, effective rate and leakage, by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from builders import HOUR, D, charge, consultant, day, entry, firm, fx, line, milestone, rate
from oracle import Rows, compute_from_rows
from oracle.executive import ExecutiveKey
from oracle.realization import Realization, leakage, realize

MARCH, ZERO = date(2026, 3, 1), D(0)
AT = ExecutiveKey("erp:A", "data", MARCH, "EUR")
PER_LINE = {"contract_line_id": "erp:L", "role": "dev"}


def realized(rows: Rows) -> dict[ExecutiveKey, Realization]:
    """What the oracle says."""
    return realize(compute_from_rows(rows), rows)


def test_realization_is_billed_over_the_value_at_list_rate() -> None:
    """10 h of a card of 100, sold at 90, 8 h of them billed: 720 of 1,000 or 0.72, and 90 an hour billed."""
    rows = firm(
        rate("R1", "90", **PER_LINE), entry(1, "03-05", 10 * HOUR), charge("I", "time:1", 8 * HOUR, "720")
    )
    assert realized(rows) == {AT: Realization(D(1000), D(720), 0, D(720), 8 * HOUR)}
    assert (realized(rows)[AT].realization, realized(rows)[AT].effective_rate) == (D("0.72"), D(90))


def test_hours_without_one_list_price_are_left_out() -> None:
    """A tie on the card: what is billed of those hours shows, and is in no ratio; without any value it is null."""
    rows = firm(
        rate("R1", "90", **PER_LINE), rate("R2"), entry(1, "03-05", HOUR), charge("I", "time:1", HOUR, "90")
    )
    assert realized(rows) == {AT: Realization(ZERO, ZERO, HOUR, D(90), HOUR)}
    assert realized(rows)[AT].realization is None
    assert realized(firm(entry(1, "03-05", HOUR)))[AT].effective_rate is None


def test_the_card_that_fits_best_is_the_list_price() -> None:
    """Role and region before role; by the day; converted at spot: 4 h of 880 USD a day of 8 h at 0.9 is 396.00."""
    of_day = rate("R2", "880", "USD", unit="day", day_seconds=8 * HOUR, role="dev", region="eu")
    dollars = fx("F", "03-04", "0.9", "USD:EUR")
    rows = firm(
        rate("R1", "70", **PER_LINE),
        rate("R3", "60", role="dev"),
        of_day,
        dollars,
        entry(1, "03-05", 4 * HOUR),
    )
    assert realized(rows)[AT].value == D(396)


def test_a_milestone_is_spread_over_the_hours_of_its_line() -> None:
    """100 billed in April of 2 h of cloud and 1 h of data in March: 66.67 and 33.33 of their months, all hours paid."""
    posted = charge("I", "erp:M", 0, "100", posted_at=datetime(2026, 4, 2, tzinfo=UTC), entry_version=1)
    rows = firm(
        line(method="milestone"),
        milestone(amount="100"),
        consultant("N", practice="cloud"),
        entry(1, "03-04", 2 * HOUR, consultant_id="erp:N"),
        entry(2, "03-05", HOUR),
        posted,
    )
    assert realized(rows) == {
        AT._replace(practice="cloud"): Realization(D(200), D("66.67"), 0, D("66.67"), 2 * HOUR),
        AT: Realization(D(100), D("33.33"), 0, D("33.33"), HOUR),
    }


@pytest.mark.parametrize(("on", "found"), [("04-29", 0), ("04-30", 1)])
def test_leakage_is_what_could_be_billed_long_ago(on: str, found: int) -> None:
    """Approved on 31 March: 30 days later it leaks. Posted time does not, nor what is not chargeable."""
    rows = firm(entry(1, "03-05", HOUR), entry(2, "03-05", HOUR), charge("I", "time:2", HOUR, "100"))
    leaking = leakage(compute_from_rows(rows), rows, day(on))
    assert [(key.entry, since) for key, since in leaking.items()] == [("time:1", day("03-31"))] * found


def test_lines_of_a_day_and_milestones_leak_too() -> None:
    """An uplift from its day's first approval, a milestone from its acceptance."""
    first = datetime(2026, 3, 7, tzinfo=UTC)
    rows = firm(
        line(day_minimum_seconds=4 * HOUR),
        milestone(accepted="03-10"),
        entry(1, "03-05", HOUR, approved_at=first),
        entry(2, "03-05", HOUR),
    )
    leaking = leakage(compute_from_rows(rows), rows, day("04-30"), 5)
    assert {key.entry: since for key, since in leaking.items()} == {
        "time:1": day("03-07"),
        "time:2": day("03-31"),
        "day:erp:C:erp:L:2026-03-05": day("03-07"),
        "erp:M": day("03-10"),
    }
