"""The ratio that utilization is."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from streams.money import EXACT

_PLACES: Final = Decimal("0.000001")


def utilization(billable: int, capacity: int | None) -> Decimal | None:
    """Billable by capacity, six places half up; None where capacity is zero or unknown.

    Example: 14 h of 16 h are 0.875000.
    """
    if not capacity:
        return None
    return EXACT.divide(Decimal(billable), Decimal(capacity)).quantize(
        _PLACES, rounding=ROUND_HALF_UP, context=EXACT
    )
