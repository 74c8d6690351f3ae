"""Money and quantity primitives: exact arithmetic and the one place where rounding happens.

Money is a `Decimal` in major units, rounded to the minor unit of its currency. Quantities are
integer seconds; a price is for a time, an hour unless it is said. Nothing here touches a float.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Final

SECONDS_PER_HOUR: Final = 3600
FIXED: Final = 0  # as the seconds that a price is for: it is for the whole, not for a time

# Wide enough that no product of quantity, price, multiplier and FX rate is ever rounded on the way.
EXACT: Final = Context(prec=60)

# Decimal places of the currencies that have not 2 (ISO 4217).
UNUSUAL_PLACES: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX"), 0),
    **dict.fromkeys(("UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
ROUNDINGS: Final = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN}
ZERO: Final = Decimal(0)


def minor_unit(currency: str) -> Decimal:
    """The smallest amount of a currency: ``Decimal('0.01')`` for EUR, ``Decimal('1')`` for JPY."""
    return Decimal(1).scaleb(-UNUSUAL_PLACES.get(currency, 2))


def round_money(amount: Decimal, currency: str, rounding: str = "half_up") -> Decimal:
    """Round to the currency's minor unit; half up (away from zero) unless the contract says half even."""
    return amount.quantize(minor_unit(currency), rounding=ROUNDINGS[rounding], context=EXACT)


def round_fraction(amount: Fraction, currency: str) -> Decimal:
    """Round an exact fraction half up (away from zero) to the currency's minor unit: 1000/3 EUR is 333.33."""
    unit = minor_unit(currency)
    doubled = abs(amount) / Fraction(unit) * 2
    units = (doubled.numerator // doubled.denominator + 1) // 2
    return unit * (units if amount >= 0 else -units)


def price_seconds(
    seconds: int,
    price: Decimal,
    currency: str,
    *,
    multiplier: Decimal = Decimal(1),
    fx: Decimal = Decimal(1),
    rounding: str = "half_up",
    unit_seconds: int = SECONDS_PER_HOUR,
    fx_divides: bool = False,
) -> Decimal:
    """Document amount of a quantity: seconds x price x multiplier x FX, rounded once.

    With ``fx_divides`` the rate is that of the opposite pair, and divides. ``unit_seconds`` is the time that the
    price is for; 0 is no time at all: the price is for the whole, however long it was. Examples: 1200 s at 1,234.56
    an hour is 411.52; going through 0.3333 h would give 411.48. 3 h at 1,000 a day of 7.5 h is 400.00; 3 h at a
    fixed 250 is 250.00.
    """
    over, under = EXACT.multiply(price, multiplier), Decimal(1)
    if fx_divides:
        under = fx
    else:
        over = EXACT.multiply(over, fx)
    if unit_seconds != FIXED:
        over, under = EXACT.multiply(over, Decimal(seconds)), EXACT.multiply(under, Decimal(unit_seconds))
    # The division may not terminate: 60 digits, then one rounding to the minor unit. The quotient's 60th
    # digit can't decide a half: a quotient that is not exactly a half is further from it than that.
    return round_money(EXACT.divide(over, under), currency, rounding)


def hours_to_seconds(hours: Decimal) -> int:
    """Whole seconds of a decimal number of hours, half up: 0.3333 h is 1200 s."""
    return int((hours * SECONDS_PER_HOUR).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def seconds_to_hours(seconds: int) -> Decimal:
    """Hours for display, to four places: 1200 s is 0.3333 h."""
    return (Decimal(seconds) / SECONDS_PER_HOUR).quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)


def seconds_for_money(money: Decimal, amount: Decimal, seconds: int) -> int:
    """The seconds that ``money`` buys of a quantity of ``seconds`` priced ``amount``, half up.

    Example: 100.00 of 1,100.00 for 28,800 s is 2,618 s.
    """
    share = EXACT.divide(EXACT.multiply(money, Decimal(seconds)), amount)
    return int(share.quantize(Decimal(1), rounding=ROUND_HALF_UP))
