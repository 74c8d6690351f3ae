"""What a segment is worth in the books of the legal entity: in its currency, by the rate of the work date."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from .exact import round_money
from .rows import Rows
from .segments import Segment

FX_MAX_AGE = timedelta(days=5)


def functional(segment: Segment, rows: Rows) -> Decimal | None:
    """The document amount, rounded as it is, x the last rate published in the five days up to the work date.

    None where there is no money, the entity is unknown, or no rate serves. Example (E10): USD 1,083.67 at 0.79 are
    GBP 856.10, also when it is credited and the rate is 0.81.
    """
    engagement = rows.engagements.get(segment.root)
    entity = None if engagement is None else rows.legal_entities.get(engagement.legal_entity_id)
    if engagement is None or entity is None or segment.amount is None or segment.currency is None:
        return None
    if segment.currency == entity.currency:
        return segment.amount
    day = segment.work.day
    if day is None:
        return None
    published = [
        fx
        for fx in rows.fx_rates.values()
        if (fx.from_currency, fx.to_currency) == (segment.currency, entity.currency)
        and fx.rate_type == engagement.fx_rate_type
        and day - FX_MAX_AGE <= fx.day <= day
    ]
    if not published:
        return None
    rate = max(published, key=lambda fx: (fx.day, fx.id)).rate
    return round_money(Fraction(segment.amount) * Fraction(rate), entity.currency)
