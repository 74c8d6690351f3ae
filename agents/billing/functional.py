"""Money of the books: what a segment is worth in the currency of its legal entity, beside that of the contract.

    functional amount = document amount, rounded as it is, x the rate from the contract's currency on the work date

rounded half up to the entity's minor unit. The rate is of the contract's type (null: spot) and direct, the last one
published, not older than five days. What is posted, due back or credited has the rate of its work, whenever that
happens: what goes back is what was booked. While no rate serves the functional amount is unknown.

Example (E10): USD 1,083.67 at 0.79 are GBP 856.10; credited when the rate is 0.81: GBP -856.10.
"""

from __future__ import annotations

from agents.billing.fx import FxRule, FxTable
from agents.billing.segments import Segment
from agents.billing.terms import Terms
from streams.money import EXACT, round_money


def in_functional(segment: Segment, terms: Terms, fx: FxTable) -> Segment:
    """The segment with its functional money; as it is where it has no money, or the entity is not known."""
    currency = terms.functional_currency
    if currency is None or segment.currency is None or segment.amount is None:
        return segment
    if segment.currency == currency:
        return segment._replace(functional_currency=currency, functional_amount=segment.amount)
    rate = None
    if segment.work_date is not None:
        rate = fx.convert(rule_of(terms), segment.currency, currency, segment.work_date)
    if rate is None:
        return segment._replace(functional_currency=currency)
    amount = round_money(EXACT.multiply(segment.amount, rate), currency)
    return segment._replace(functional_currency=currency, functional_rate=rate, functional_amount=amount)


def rule_of(terms: Terms) -> FxRule:
    """By which type of rate a contract's money gets into the books."""
    return FxRule(terms.fx_rate_type)
