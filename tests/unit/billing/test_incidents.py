"""What billing says aloud, by the agents and by the oracle. 8 h at 100, all of it posted, unless stated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Incident
from source_databases import HOUR, D, Sources, at
from two_judges import Agents, Judge, Oracle

PRICE, BASE = "erp:E:time:1:price", "erp:E:time:1:base"
RATE_CHANGED, CREDIT_DUE = "RATE_CHANGED_AFTER_POSTING", "CREDIT_DUE"


def posted(hours: int = 8, amount: int = 800) -> Sources:
    """8 h, of which so many hours are posted."""
    return Sources().work(1, "03-05", 8).charge("I1", 1, hours, amount)


def changed(hours: int, amount: str | int) -> dict[str, Incident]:
    """That so many posted hours are worth so much more than what was posted."""
    return {PRICE: Incident(RATE_CHANGED, hours * HOUR, D(amount), "EUR")}


def due(amount: str | int, subject: str = BASE, hours: int = 0) -> dict[str, Incident]:
    """That so much goes back."""
    return {subject: Incident(CREDIT_DUE, hours * HOUR, D(amount), "EUR")}


def test_what_is_posted_at_its_price_is_no_incident(judge: Judge) -> None:
    """Nor is what is posted in part."""
    assert judge(posted()).incidents == {}
    assert judge(posted(5, 500)).incidents == {}


@pytest.mark.parametrize(("hours", "price", "difference"), [(8, 120, 160), (8, 90, -80), (4, 150, 200)])
def test_a_rate_change_on_posted_work(judge: Judge, hours: int, price: int, difference: int) -> None:
    """8 h posted at 100, 120 now: 160 is not billed; 90: 80 too much is; 4 h of 8 at 150: 200."""
    sources = posted(hours, 100 * hours).put("rate", "R", price=D(price))
    assert judge(sources).incidents == changed(hours, difference)


def test_a_rate_that_goes_back_ends_it(judge: Judge) -> None:
    """120 for a while."""
    sources = posted().put("rate", "R", price=D(120))
    assert judge(sources).incidents == changed(8, 160)
    assert judge(sources.put("rate", "R", price=D(100))).incidents == {}


def test_credited_and_billed_again(judge: Judge) -> None:
    """The credit ends it, and the line at the new price says nothing new."""
    sources = posted().put("rate", "R", price=D(120)).credit("C1", "I1")
    assert judge(sources).incidents == {}
    assert judge(sources.charge("I2", 1, 8, 960)).incidents == {}


def test_a_rate_that_applies_to_invoiced_time(judge: Judge) -> None:
    """Up: 160 more are to be billed, which is no incident. Down: 80 are due as a credit."""
    sources = posted().put("rate", "R", price=D(120), applies_to_invoiced=True)
    assert judge(sources).incidents == {}
    assert judge(sources.put("rate", "R", price=D(90))).incidents == due(-80)


def test_a_correction_is_due_not_repriced(judge: Judge) -> None:
    """8 h posted, 6 h since: 8 h/800 are due on the line; that the rate has changed, too, is no matter of it."""
    sources = posted().put("rate", "R", price=D(120)).work(1, "03-05", 6, version=2)
    assert judge(sources).incidents == due(-800, "erp:E:time:1:due:erp:I1", -8)


def test_a_discount_after_the_posting(judge: Judge) -> None:
    """Of 200: they are due, until the discount is released or the credit of them is posted."""
    discount: dict[str, Any] = {"kind": "discount", "entry_id": "time:1", "amount": D(200)}
    sources = posted().put("bill_adjustment", "D", **discount, decided_at=at("04-02 09:00"))
    assert judge(sources).incidents == due(-200)
    sources.put(
        "invoice_line", "C1", kind="credit", credits_line_id="I1", entry_id="time:1", seconds=0,
        amount=D(200), posted_at=at("04-03 09:00"),
    )  # fmt: skip
    assert judge(sources).incidents == {}
    sources.drop("invoice_line", "C1").put("bill_adjustment", "D", released_at=at("04-04 09:00"))
    assert judge(sources).incidents == {}


def test_a_discount_and_a_rate_change(judge: Judge) -> None:
    """Each for itself: at 150 the posted 8 h would be 400 more; the discount of 200 goes back as a whole."""
    discount: dict[str, Any] = {"kind": "discount", "entry_id": "time:1", "amount": D(200)}
    sources = posted().put("bill_adjustment", "D", **discount, decided_at=at("04-02 09:00"))
    sources.put("rate", "R", price=D(150))
    assert judge(sources).incidents == changed(8, 400) | due(-200)


def test_an_uplift_too_many(judge: Judge) -> None:
    """E7: 3 h at a minimum of 4 h, the uplift of 100 posted; late half an hour of the day: 50 go back; 2 h: all 100."""
    sources = Sources().put("contract_line", "L", day_minimum_hours=D(4)).work(1, "03-05", 3)
    uplift = "day:erp:C:erp:L:2026-03-05"
    sources.put("invoice_line", "U", entry_id=uplift, seconds=0, amount=D(100), posted_at=at("03-31 10:00"))
    assert judge(sources).incidents == {}
    assert judge(sources.work(2, "03-05", "0.5")).incidents == due(-50, f"erp:E:{uplift}:uplift")
    assert judge(sources.work(2, "03-05", 2)).incidents == due(-100, f"erp:E:{uplift}:due:erp:U")


def capped(action: str = "hold", **terms: Any) -> Sources:
    """E4: cap 1,000; 5 March X 6 h, 6 March Y 6 h, of which 2 h/200 are over."""
    terms = terms or {"cap_money": D(1000)}
    sources = Sources().put("engagement", "E", over_cap_action=action, **terms)
    return sources.work(1, "03-05", 6).work(2, "03-06", 6)


def over(hours: str | int, amount: int, of: str = "engagement") -> dict[str, Incident]:
    """That so much is over a cap."""
    return {f"erp:E:over-cap:{of}": Incident("OVER_CAP", int(D(hours) * HOUR), D(amount), "EUR")}


def below(hours: int | None, amount: int | None, of: str = "engagement") -> dict[str, Incident]:
    """That so much more is posted than a cap lets pass."""
    seconds, money = None if hours is None else hours * HOUR, None if amount is None else D(amount)
    return {f"erp:E:below-billed:{of}": Incident("CAP_BELOW_BILLED", seconds, money, "EUR")}


@pytest.mark.parametrize("action", ["hold", "write_off", "bill"])
def test_what_is_over_a_cap_is_one_alert(judge: Judge, action: str) -> None:
    """2 h/200, whatever becomes of them; a late W of 3 h makes it 5 h/500; a raise to 1,500 ends it."""
    sources = capped(action)
    assert judge(sources).incidents == over(2, 200)
    assert judge(sources.work(3, "03-04", 3)).incidents == over(5, 500)
    assert judge(sources.put("engagement", "E", cap_money=D(1500))).incidents == {}


def test_a_cap_of_hours(judge: Judge) -> None:
    """Of 10 h: 2 h/200 over it."""
    assert judge(capped(cap_hours=D(10))).incidents == over(2, 200)


def test_a_line_and_its_engagement_are_told_apart(judge: Judge) -> None:
    """E5: line cap 500, engagement 800; 600 on the line, 400 on another: 1 h/100 over each."""
    sources = Sources().put("engagement", "E", cap_money=D(800)).put("contract_line", "L", cap_money=D(500))
    sources.put("contract_line", "L2").put("project", "P2", contract_line_id="L2")
    sources.work(1, "03-05", 6).work(2, "03-06", 4, project_code="P2")
    assert judge(sources).incidents == over(1, 100, "erp:L") | over(1, 100)


def test_what_is_on_hold_or_on_a_draft_is_over_the_cap_all_the_same(judge: Judge) -> None:
    """Y billed anyway: its 2 h/200 over the cap are drafted, or held back by an adjustment."""
    sources = capped("bill")
    sources.charge("D1", 2, 6, 600, status="draft", posted_at=None)
    assert judge(sources).incidents == over(2, 200)
    sources.drop("invoice_line", "D1").put("bill_adjustment", "H", kind="hold", entry_id="time:2")
    assert judge(sources).incidents == over(2, 200)


def test_what_is_billed_anyway_stays_over_the_cap(judge: Judge) -> None:
    """All 12 h/1,200 posted: 200 of the cap's money are over it; of a cap of hours it is 2 h."""
    sources = capped("bill").charge("I1", 1, 6, 600).charge("I2", 2, 6, 600)
    assert judge(sources).incidents == over(0, 200)
    assert judge(sources.work(3, "03-07", 1)).incidents == over(1, 300)
    sources.put("engagement", "E", cap_money=None, cap_hours=D(10))
    assert judge(sources).incidents == over(3, 100)
    assert judge(sources.credit("C2", "I2").drop("time_entry", 3)).incidents == over(2, 200)


@pytest.mark.parametrize("action", ["hold", "write_off"])
def test_a_cap_cut_below_what_is_billed(judge: Judge, action: str) -> None:
    """X 600 and Y 400 posted, cut to 700: 300 too much is billed, the 2 h/200 stay over, nothing is credited."""
    sources = capped(action).charge("I1", 1, 6, 600).charge("I2", 2, 4, 400)
    assert judge(sources).incidents == over(2, 200)
    sources.put("engagement", "E", cap_money=D(700))
    judgement = judge(sources)
    assert judgement.incidents == over(2, 200) | below(None, 300)
    assert not [key for key in judgement.figures if key[1].startswith("due:")]
    assert judge(sources.put("engagement", "E", cap_money=D(1000))).incidents == over(2, 200)
    sources.put("engagement", "E", cap_money=D(700)).credit("C2", "I2")
    assert judge(sources).incidents == over(5, 500)


def test_a_line_cut_in_hours(judge: Judge) -> None:
    """6 h posted on a line that is cut to 4 h; without a cap there is nothing to say."""
    sources = Sources().put("contract_line", "L", cap_hours=D(4)).work(1, "03-05", 6).charge("I1", 1, 6, 600)
    assert judge(sources).incidents == below(2, None, "erp:L")
    assert judge(sources.put("contract_line", "L", cap_hours=None)).incidents == {}


CAPS = st.fixed_dictionaries(
    {
        "cap_money": st.sampled_from([None, D(500), D(1000)]),
        "cap_hours": st.sampled_from([None, None, D(4), D(9)]),
        "over_cap_action": st.sampled_from(["hold", "bill", "write_off"]),
    }
)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_both_judges_say_the_same(data: st.DataObject) -> None:
    """Of entries that are posted, credited, corrected, discounted and priced anew in any way, under any caps, which
    change; the agents take in each change."""
    agents, oracle, sources = Agents(), Oracle(), Sources()
    for _ in range(data.draw(st.integers(1, 3))):
        _change(sources, data)
        assert agents(sources).incidents == oracle(sources).incidents


def _change(sources: Sources, data: st.DataObject) -> None:
    sources.put("engagement", "E", **data.draw(CAPS)).put("contract_line", "L", **data.draw(CAPS))
    for number in range(1, data.draw(st.integers(1, 3)) + 1):
        sources.work(number, "03-05", data.draw(st.integers(1, 8)), version=data.draw(st.integers(1, 2)))
        for line in range(data.draw(st.integers(0, 2))):
            hours, amount = data.draw(st.integers(0, 8)), data.draw(st.sampled_from([0, 100, 400, 777]))
            sources.charge(f"I{number}{line}", number, hours, amount)
            if data.draw(st.integers(0, 3)) == 0:
                sources.credit(f"C{number}{line}", f"I{number}{line}")
        if data.draw(st.booleans()):
            decided = at(data.draw(st.sampled_from(["03-30 09:00", "04-02 09:00"])))
            kind = data.draw(st.sampled_from(["discount", "write_off", "hold"]))
            amount = D(data.draw(st.integers(1, 300)))
            told = {"kind": kind, "entry_id": f"time:{number}", "amount": amount, "hours": D(1)}
            sources.put("bill_adjustment", f"B{number}", **told, decided_at=decided)
    price, applies = data.draw(st.sampled_from([100, 90, 120])), data.draw(st.booleans())
    sources.put("rate", "R", price=D(price), applies_to_invoiced=applies)
