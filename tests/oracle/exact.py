"""The oracle's own arithmetic: exact fractions, and one rounding at the end. It shares none with what it judges.

Every amount that is computed is a fraction until it is rounded; a sum of rounded amounts is exact as it is.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Final

ZERO: Final = Decimal(0)
HALF_UP: Final = "half_up"
HALF_EVEN: Final = "half_even"

# ISO 4217: decimal places of the currencies that don't have two.
_NO_PLACES: Final = {
    *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX"),
    *("UYI", "VND", "VUV", "XAF", "XOF", "XPF"),
}
_THREE_PLACES: Final = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}


def minor_unit(currency: str) -> Decimal:
    """The least amount of a currency: 0.01 of EUR, 1 of JPY, 0.001 of TND."""
    if currency in _NO_PLACES:
        return Decimal(1)
    return Decimal("0.001") if currency in _THREE_PLACES else Decimal("0.01")


def whole(exact: Fraction, rounding: str = HALF_UP) -> int:
    """The nearest whole number; of a half the one away from zero, or (half_even) the even one.

    Example: 2.5 is 3, or 2; -2.5 is -3, or -2; 3.5 is 4 in both.
    """
    if rounding == HALF_EVEN:
        return round(exact)
    assert rounding == HALF_UP, rounding
    nearest = floor(abs(exact) + Fraction(1, 2))
    return nearest if exact >= 0 else -nearest


def to_places(exact: Fraction, places: int) -> Decimal:
    """A fraction with so many decimal places, half up: 2/3 to four is 0.6667."""
    return Decimal(whole(exact * 10**places)).scaleb(-places)


def round_money(exact: Decimal | Fraction, currency: str, rounding: str = HALF_UP) -> Decimal:
    """An amount to the minor unit of its currency: 1000/3 EUR are 333.33."""
    unit = minor_unit(currency)
    return unit * whole(Fraction(exact) / Fraction(unit), rounding)


def hours_to_seconds(hours: Decimal) -> int:
    """Whole seconds of decimal hours, half up: 0.3333 h are 1200 s."""
    return whole(Fraction(hours) * 3600)


def seconds_for_money(money: Decimal, amount: Decimal, seconds: int) -> int:
    """The seconds that some money buys, where ``seconds`` cost ``amount``, half up.

    Example: 100.00 of 1,100.00 for 28,800 s are 2,618 s.
    """
    return whole(Fraction(money) * seconds / Fraction(amount))
