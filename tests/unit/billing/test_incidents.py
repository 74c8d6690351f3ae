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


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_both_judges_say_the_same(data: st.DataObject) -> None:
    """Of entries that are posted, credited, corrected, discounted and priced anew in any way."""
    sources = Sources().put(
        "engagement", "E", cap_money=data.draw(st.sampled_from([None, D(500), D(1000)])),
        over_cap_action=data.draw(st.sampled_from(["hold", "bill", "write_off"])),
    )  # fmt: skip
    for number in range(1, data.draw(st.integers(1, 3)) + 1):
        sources.work(number, "03-05", data.draw(st.integers(1, 8)), version=data.draw(st.integers(1, 2)))
        for line in range(data.draw(st.integers(0, 2))):
            hours, amount = data.draw(st.integers(0, 8)), data.draw(st.sampled_from([0, 100, 400, 777]))
            sources.charge(f"I{number}{line}", number, hours, amount)
            if data.draw(st.integers(0, 3)) == 0:
                sources.credit(f"C{number}{line}", f"I{number}{line}")
        if data.draw(st.booleans()):
            sources.put(
                "bill_adjustment", f"B{number}", kind=data.draw(st.sampled_from(["discount", "write_off"])),
                entry_id=f"time:{number}", amount=D(data.draw(st.integers(1, 300))), hours=D(1),
                decided_at=at(data.draw(st.sampled_from(["03-30 09:00", "04-02 09:00"]))),
            )  # fmt: skip
    price, applies = data.draw(st.sampled_from([100, 90, 120])), data.draw(st.booleans())
    sources.put("rate", "R", price=D(price), applies_to_invoiced=applies)
    assert Agents()(sources).incidents == Oracle()(sources).incidents
