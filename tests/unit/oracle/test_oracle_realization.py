"""The oracle's realization, effective rate and leakage, by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from builders import HOUR, D, charge, consultant, day, entry, firm, fx, line, milestone, rate
from oracle import Rows, compute_from_rows
from oracle.executive import ExecutiveKey
from oracle.realization import Realization, leakage, realize
from oracle.rows import TimeEntryVersion

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


def test_what_is_due_back_does_not_leak() -> None:
    """E9: posted 8 h/1,200, corrected to 6 h: -1,200 and +900, nothing leaks. Corrected to 9 h, 150 do: -1,200 and 1,350."""
    for hours, leaks in ((6, []), (9, [D(-1200), D(1350)])):
        posted = charge("I", "time:1", 8 * HOUR, "1200", posted_at=datetime(2026, 3, 20, tzinfo=UTC))
        rows = firm(rate("R0", "150"), entry(1, "03-05", hours * HOUR, version=2), posted)
        expected = compute_from_rows(rows)
        found = leakage(expected, rows, day("05-30"))
        assert sorted(expected.billing[key].amount or ZERO for key in found) == leaks


def test_a_correction_does_not_make_it_younger() -> None:
    """Approved on 7 March, corrected and approved again on 20 May: it could be billed since 7 March."""
    first = entry(1, "03-05", HOUR, approved_at=datetime(2026, 3, 7, tzinfo=UTC))
    again = datetime(2026, 5, 20, tzinfo=UTC)
    rows = firm(entry(1, "03-05", 2 * HOUR, version=2, approved_at=again))
    rows.entry_versions["time:1:1"] = TimeEntryVersion("time:1:1", first, again)
    leaking = leakage(compute_from_rows(rows), rows, day("06-01"))
    assert list(leaking.values()) == [day("03-07")]


def test_a_rate_of_the_reverse_pair_divides() -> None:
    """3 h at a list price of 100 USD, published is EUR to USD 1.1: 272.727, so 272.73; a direct rate goes before it."""
    of_dollars = rate("R0", "100", "USD")
    reverse = fx("F", "03-04", "1.1", "EUR:USD")
    sold = rate("R1", "70", **PER_LINE)
    assert realized(firm(of_dollars, reverse, sold, entry(1, "03-05", 3 * HOUR)))[AT].value == D("272.73")
    direct = fx("G", "03-01", "0.9", "USD:EUR")
    rows = firm(of_dollars, reverse, direct, sold, entry(1, "03-05", 3 * HOUR))
    assert realized(rows)[AT].value == D(270)


def test_fees_are_spread_over_the_hours_that_they_cover() -> None:
    """A retainer's fee of 3,000 for 2 h of cloud and 1 h of data of a card of 100: 2,000 of 200 and 1,000 of 100."""
    work = (
        line(method="retainer", included_seconds=4 * HOUR),
        consultant("N", practice="cloud"),
        entry(1, "03-04", 2 * HOUR, consultant_id="erp:N"),
        entry(2, "03-05", HOUR),
    )
    posted = charge("I", "erp:F", 0, "3000")
    assert realized(firm(*work, posted)) == {
        AT._replace(practice="cloud"): Realization(D(200), D(2000), 0, D(2000), 2 * HOUR),
        AT: Realization(D(100), D(1000), 0, D(1000), HOUR),
    }
    assert realized(firm(*work)) == {
        AT._replace(practice="cloud"): Realization(ZERO, ZERO, 2 * HOUR, ZERO, 0),
        AT: Realization(ZERO, ZERO, HOUR, ZERO, 0),
    }
