"""Hours that a line includes, of a retainer's months or of a lot, each judged by the agents and by the oracle."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import HOUR, D, Sources, at, day
from two_judges import Agents, Judge, Judgement, Oracle

one_of = st.sampled_from


def retainer(**columns: Any) -> Sources:
    """10 h a month from February on."""
    terms = {"billing_method": "retainer", "included_hours": D(10), "starts_on": day("02-01")}
    return Sources().put("contract_line", "L", **{**terms, **columns})


def rolling(**columns: Any) -> Sources:
    """The same, and what a month leaves rolls over."""
    return retainer(unused_hours="roll_over", **columns)


def covered(judgement: Judgement) -> dict[str, Decimal]:
    """Covered hours by entry."""
    return {
        entry: D(seconds) / HOUR
        for (entry, _), (bucket, seconds, _) in judgement.figures.items()
        if bucket == "covered"
    }


@pytest.mark.parametrize(
    ("terms", "hours"),
    [
        ({}, 10),  # expires, by default
        ({"unused_hours": "expire", "rollover_hours": D(4)}, 10),
        ({"unused_hours": "roll_over"}, 23),  # February's 6 and March's 7 unused hours
        ({"unused_hours": "roll_over", "rollover_months": 2}, 23),
        ({"unused_hours": "roll_over", "rollover_months": 1}, 20),  # March used 3 of February's
        ({"unused_hours": "roll_over", "rollover_months": 0}, 10),
        ({"unused_hours": "roll_over", "rollover_hours": D(4)}, 15),  # 4 - 3 of February's, 4 of March's
        ({"unused_hours": "roll_over", "rollover_hours": D(4), "rollover_months": 1}, 14),
        ({"unused_hours": "roll_over", "rollover_hours": D(0)}, 10),
        ({"unused_hours": "roll_over", "starts_on": day("03-15")}, 17),  # what is before rolls nowhere
        ({"unused_hours": "roll_over", "ends_on": day("04-01")}, 10),  # the last month was March
        ({"unused_hours": "roll_over", "ends_on": day("04-02")}, 23),
    ],
)
def test_what_april_has(judge: Judge, terms: dict[str, Any], hours: int) -> None:
    """10 h a month; 4 h are used in February, 3 h in March; of 24 h in April so many are covered."""
    sources = retainer(**terms).work(1, "02-10", 4).work(2, "03-10", 3).work(3, "04-10", 24)
    judgement = judge(sources)
    assert covered(judgement) == {"time:1": 4, "time:2": 3, "time:3": hours}
    assert judgement.figures["time:3", "covered"] == ("covered", hours * HOUR, D(100 * hours))
    assert judgement.figures["time:3", "base"] == ("unbilled", (24 - hours) * HOUR, D(100 * (24 - hours)))


def test_a_late_entry_takes_its_hours_back(judge: Judge) -> None:
    """April lives on 7 h of March; 9 h of March come late: April keeps its own 10 h, and March has 12 - 10 to bill."""
    sources = rolling(starts_on=day("03-01")).work(1, "03-10", 3).work(2, "04-10", 16)
    assert covered(judge(sources)) == {"time:1": 3, "time:2": 16}
    late = judge(sources.work(3, "03-20", 9))
    assert covered(late) == {"time:1": 3, "time:3": 7, "time:2": 10}
    assert late.figures["time:3", "base"] == ("unbilled", 2 * HOUR, D(200))
    assert late.figures["time:2", "base"] == ("unbilled", 6 * HOUR, D(600))


def test_what_is_covered_is_rounded_once(judge: Judge) -> None:
    """20 min of March and 20 min of April at 100: 66.67 of 100.00, not 33.33 twice."""
    sources = rolling(starts_on=day("03-01"), included_hours=D("0.3333")).work(1, "04-10", 1)
    assert judge(sources).figures == {
        ("time:1", "covered"): ("covered", 2400, D("66.67")),
        ("time:1", "base"): ("unbilled", 1200, D("33.33")),
    }


def test_hours_roll_over_from_a_known_start(judge: Judge) -> None:
    """Without a start nobody can say what was left: the line is quarantined, and its work waits."""
    sources = rolling(starts_on=None).work(1, "03-10", 3)
    assert judge(sources).parked == {"time:1": ("MISSING_REFERENCE", ("line:erp:L",))}
    assert covered(judge(sources.put("contract_line", "L", starts_on=day("03-01")))) == {"time:1": 3}


@pytest.mark.parametrize(
    ("worked_on", "is_covered"),
    [("02-28", False), ("03-01", True), ("03-31", True), ("04-01", False)],
)
def test_a_lot_covers_work_of_its_days(judge: Judge, worked_on: str, is_covered: bool) -> None:
    """From 1 to 31 March, whenever it is approved; other work is billed."""
    terms = {"billing_method": "prepaid", "included_hours": D(10)}
    sources = Sources().put("contract_line", "L", starts_on=day("03-01"), expires_on=day("03-31"), **terms)
    judgement = judge(sources.work(1, worked_on, 2, approved_at=at("04-20 09:00")))
    segment, bucket = ("covered", "covered") if is_covered else ("base", "unbilled")
    assert judgement.figures == {("time:1", segment): (bucket, 2 * HOUR, D(200))}


def lots(**columns: Any) -> Sources:
    """A prepaid line with three lots of 10 h: ``B`` of March, ``A`` until 30 April, ``C`` from April on."""
    sources = Sources().put("contract_line", "L", billing_method="prepaid", **columns)
    for native, starts, expires in (("A", None, "04-30"), ("B", "03-01", "03-31"), ("C", "04-01", None)):
        span = {"starts_on": starts and day(starts), "expires_on": expires and day(expires)}
        sources.put("prepaid_lot", native, contract_line_id="L", hours=D(10), fee=D(1500), **span)
    return sources


def from_lots(judgement: Judgement, number: int) -> dict[str, Decimal]:
    """Covered hours of an entry by segment."""
    return {
        segment: D(seconds) / HOUR
        for (entry, segment), (bucket, seconds, _) in judgement.figures.items()
        if entry == f"time:{number}" and bucket == "covered"
    }


def test_the_lot_that_expires_first_is_used_first(judge: Judge) -> None:
    """18 h of March: B's 10 and 8 of A's; of 14 h of April A's last 2, then C's 10; 2 h are billed."""
    judgement = judge(lots().work(1, "03-10", 18).work(2, "04-10", 14))
    assert from_lots(judgement, 1) == {"lot:erp:B": 10, "lot:erp:A": 8}
    assert from_lots(judgement, 2) == {"lot:erp:A": 2, "lot:erp:C": 10}
    assert judgement.figures["time:1", "lot:erp:A"] == ("covered", 8 * HOUR, D(800))
    assert judgement.figures["time:2", "base"] == ("unbilled", 2 * HOUR, D(200))


def test_lots_that_expire_together_are_used_by_their_ids(judge: Judge) -> None:
    """A, B, then C, though C was bought last; what has no expiry is last."""
    sources = lots()
    for native in "ABC":
        sources.put("prepaid_lot", native, starts_on=None, expires_on=day("04-30"))
    sources.put("prepaid_lot", "0", contract_line_id="L", hours=D(10), fee=D(0), starts_on=None)
    found = from_lots(judge(sources.work(1, "03-10", 24)), 1)
    assert found == {"lot:erp:A": 10, "lot:erp:B": 10, "lot:erp:C": 4}


def test_work_outside_every_lot_is_billed(judge: Judge) -> None:
    """Whenever it is approved: a lot covers by the work date."""
    sources = lots().drop("prepaid_lot", "A")
    sources.work(1, "02-28", 2).work(2, "03-31", 2, approved_at=at("04-20 09:00"))
    judgement = judge(sources)
    assert from_lots(judgement, 1) == {}
    assert from_lots(judgement, 2) == {"lot:erp:B": 2}


def test_what_the_line_includes_is_one_of_its_lots(judge: Judge) -> None:
    """10 h until 15 April: after B, before A."""
    sources = lots(included_hours=D(10), expires_on=day("04-15")).work(1, "03-10", 24)
    assert from_lots(judge(sources), 1) == {"lot:erp:B": 10, "covered": 10, "lot:erp:A": 4}


def test_late_work_takes_the_first_lot_back(judge: Judge) -> None:
    """B covers 10 h of 20 March; 4 h of 10 March come late: B covers them, and A the 4 h that B no longer does."""
    sources = lots().work(1, "03-20", 10)
    assert from_lots(judge(sources), 1) == {"lot:erp:B": 10}
    late = judge(sources.work(2, "03-10", 4))
    assert from_lots(late, 2) == {"lot:erp:B": 4}
    assert from_lots(late, 1) == {"lot:erp:B": 6, "lot:erp:A": 4}


def test_lots_are_of_prepaid_lines_only(judge: Judge) -> None:
    """A line of time and materials is billed."""
    sources = lots().put("contract_line", "L", billing_method="tm").work(1, "03-10", 4)
    assert from_lots(judge(sources), 1) == {}


DAYS = [day(text) for text in ("01-31", "02-01", "02-28", "03-01", "03-31", "04-15", "05-01")]
WORK = st.tuples(one_of(DAYS), one_of([D("0.25"), D(3), D(8), D("9.9999")]), one_of(["P", "P", "P2"]))


@st.composite
def terms(draw: st.DrawFn) -> dict[str, Any]:
    """What a line includes."""

    def maybe(*values: Any) -> Any:
        return draw(one_of([None, *values]))

    return {
        "billing_method": draw(one_of(["retainer", "retainer", "prepaid"])),
        "included_hours": maybe(D(0), D(5), D("10.5")),
        "starts_on": maybe(day("01-15"), day("03-01"), day("03-02"), date(9999, 12, 31)),
        "ends_on": maybe(day("03-15"), day("04-01"), date(9999, 12, 31)),
        "expires_on": maybe(day("03-31"), day("02-28")),
        "unused_hours": maybe("expire", "roll_over", "roll_over"),
        "rollover_hours": maybe(D(0), D("2.5"), D(100)),
        "rollover_months": maybe(0, 1, 2),
        "cap_hours": maybe(D(4)),
    }


LOT = st.fixed_dictionaries(
    {
        "contract_line_id": one_of(["L", "L", "L2"]),
        "hours": one_of([D("0.01"), D(3), D(9)]),
        "fee": st.just(D(100)),
        "starts_on": one_of([None, day("02-01"), day("03-02")]),
        "expires_on": one_of([None, day("02-28"), day("03-31"), day("04-15"), date(9999, 12, 31)]),
    }
)


@given(terms(), terms(), st.lists(WORK, max_size=8), terms(), st.lists(LOT, max_size=4))
@settings(max_examples=200, deadline=None)
def test_both_judges_agree(
    one: dict[str, Any],
    other: dict[str, Any],
    work: list[tuple[date, Decimal, str]],
    later: dict[str, Any],
    bought: list[dict[str, Any]],
) -> None:
    """Entry by entry, lots being bought in between, and after the line's terms have changed."""
    sources = Sources().put("contract_line", "L", **one).put("contract_line", "L2", **other)
    sources.put("project", "P2", contract_line_id="L2")
    agents, oracle = Agents(), Oracle()
    for number, (on, hours, project) in enumerate(work):
        sources.work(number, f"{on:%m-%d}", hours, project_code=project)
        if number < len(bought):
            sources.put("prepaid_lot", f"LOT{number}", **bought[number])
        said = agents(sources)
        assert said == oracle(sources)
        said.check_conservation()
    assert agents(sources.put("contract_line", "L", **later)) == oracle(sources)
