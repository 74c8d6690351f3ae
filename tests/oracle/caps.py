"""Limited allowances (caps, lots) and how an amount of time and money is split at their edge."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from .exact import ZERO, round_money, seconds_for_money


@dataclass(slots=True)
class Allowance:
    """A limit on seconds, on money, on both or (None) on neither, and what has been used of it."""

    limit_seconds: int | None
    limit_money: Decimal | None
    used_seconds: int = 0
    used_money: Decimal = ZERO

    def use(self, seconds: int, money: Decimal) -> None:
        """Count something against the limits."""
        self.used_seconds += seconds
        self.used_money += money

    def passed(self) -> tuple[int, Decimal]:
        """Time and money used beyond the limits; nothing without one."""
        return (
            0 if self.limit_seconds is None else max(0, self.used_seconds - self.limit_seconds),
            ZERO if self.limit_money is None else max(ZERO, self.used_money - self.limit_money),
        )

    def left_seconds(self) -> int | None:
        """Seconds left, at least 0; None without a limit."""
        return None if self.limit_seconds is None else max(0, self.limit_seconds - self.used_seconds)

    def left_money(self) -> Decimal | None:
        """Money left, at least 0; None without a limit."""
        return None if self.limit_money is None else max(ZERO, self.limit_money - self.used_money)


@dataclass(frozen=True, slots=True)
class Split:
    """Two parts of an amount: what fits into an allowance and what passes it. They add up to the whole."""

    seconds: int
    money: Decimal
    over_seconds: int
    over_money: Decimal


def share(amount: Decimal, part: int, whole: int, currency: str, rounding: str) -> Decimal:
    """The money of ``part`` of ``whole`` seconds that are worth ``amount``, to the minor unit as the line rounds.

    All of it is worth all of it: what an invoice left may have fractions of a minor unit.
    """
    if part == whole:
        return amount
    return round_money(Fraction(amount) * part / whole, currency, rounding)


def split(seconds: int, money: Decimal, allowance: Allowance, currency: str, rounding: str) -> Split:
    """Split time and its money at an allowance; the passing part is the rest by subtraction.

    A limit of time gives its share of the money. A limit of money splits the money exactly and gives
    the seconds that it buys, half up. A negative amount always fits.

    Example: 28,800 s worth 1,100.00 with 100.00 left: 2,618 s/100.00, and 26,182 s/1,000.00 over.
    """
    if money < 0:
        return Split(seconds, money, 0, ZERO)
    fits_seconds, fits_money = seconds, money
    left_seconds, left_money = allowance.left_seconds(), allowance.left_money()
    if left_seconds is not None and left_seconds < seconds:
        fits_seconds = left_seconds
        fits_money = share(money, fits_seconds, seconds, currency, rounding)
    if left_money is not None and left_money < fits_money:
        fits_money = left_money
        # A difference in price alone has no seconds to split.
        fits_seconds = min(fits_seconds, seconds_for_money(fits_money, money, seconds)) if seconds else 0
    return Split(fits_seconds, fits_money, seconds - fits_seconds, money - fits_money)
