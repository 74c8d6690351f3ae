"""Money in the books of the legal entity: worked examples for both judges."""

from __future__ import annotations

from source_databases import D, Sources, day
from two_judges import Judge

BASE = ("time:1", "base")
POUNDS = {"from_currency": "USD", "to_currency": "GBP"}


def dollars(**rate: object) -> Sources:
    """One hour at USD 1,083.67 for a company whose books are in pounds, and the day's rate of 0.79."""
    sources = Sources().put("legal_entity", "LE", currency="GBP").put("engagement", "E", currency="USD")
    sources.put("rate", "R", currency="USD", price=D("1083.67")).work(1, "03-05", 1)
    return sources.put("fx_rate", "F", **{"day": day("03-05"), "rate": D("0.79"), **POUNDS, **rate})


def test_the_rounded_amount_at_the_rate_of_the_work_date(judge: Judge) -> None:
    """USD 1,083.67 at 0.79: GBP 856.10. Of another type it is no rate; too old, neither."""
    assert judge(dollars()).functional == {BASE: D("856.10")}
    assert judge(dollars(rate_type="corporate")).functional == {BASE: None}
    assert judge(dollars(day=day("02-27"))).functional == {BASE: None}
    sources = dollars(rate_type="corporate").put("engagement", "E", fx_rate_type="corporate")
    assert judge(sources).functional == {BASE: D("856.10")}


def test_books_in_the_currency_of_the_contract(judge: Judge) -> None:
    """Nothing to convert; and without a company that is known, nothing to say."""
    assert judge(Sources().work(1, "03-05", 1)).functional == {BASE: D(100)}
    assert judge(dollars().drop("legal_entity", "LE")).functional == {BASE: None}


def test_what_goes_back_is_what_was_booked(judge: Judge) -> None:
    """Posted, withdrawn when the rate is 0.81: GBP 856.10 billed and -856.10 due; credited, nothing is left."""
    sources = dollars().charge("I", 1, 1, "1083.67", work_date=day("03-05"))
    assert judge(sources).functional == {("time:1", "inv:erp:I"): D("856.10")}
    sources.put("fx_rate", "G", day=day("03-20"), rate=D("0.81"), **POUNDS)
    sources.put("time_entry", 1, status="withdrawn")
    assert judge(sources).functional == {
        ("time:1", "inv:erp:I"): D("856.10"),
        ("time:1", "due:erp:I"): D("-856.10"),
    }
    assert judge(sources.credit("J", "I")).functional == {}


def test_each_line_is_rounded_by_itself(judge: Judge) -> None:
    """A cap of 500 splits 1,083.67: 395.00 and 461.10 of 856.10; half a penny goes up, of what is due back down."""
    sources = dollars().put("engagement", "E", cap_money=D(500))
    found = judge(sources).functional
    assert found == {BASE: D("395.00"), ("time:1", "over-engagement"): D("461.10")}
