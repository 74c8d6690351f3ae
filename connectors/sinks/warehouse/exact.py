"""SQL of money that comes out as `streams.money` has it: exact, and rounded once, half away from zero."""

from __future__ import annotations

from streams.money import UNUSUAL_PLACES


def minor_unit(currency: str) -> str:
    """The smallest amount of the currency that an expression gives."""
    whole = ", ".join(f"'{code}'" for code, places in sorted(UNUSUAL_PLACES.items()) if places == 0)
    mills = ", ".join(f"'{code}'" for code, places in sorted(UNUSUAL_PLACES.items()) if places == 3)
    return f"(CASE WHEN {currency} IN ({whole}) THEN 1 WHEN {currency} IN ({mills}) THEN 0.001 ELSE 0.01 END)"


def rounded(over: str, under: str, currency: str) -> str:
    """``over / under`` to the currency's minor unit. PostgreSQL's own division keeps too few places to round by.

    ``under`` is positive. Example: 1000 over 3 in EUR is 333.33, -0.005 over 1 is -0.01.
    """
    return f"({_half_away(over, under, minor_unit(currency))})"


def last_spot(from_currency: str, to_currency: str, day: str) -> str:
    """What to multiply by and what to divide by at the spot rate of a day; an array of the two, null without a rate.

    It is the last rate published on the day or at most five days before it; where the pair has none, that of the
    reverse pair, which divides.
    """

    def published(of: str, to: str, value: str) -> str:
        return f"""(
        SELECT {value} FROM dim_fx_rate AS fx
        WHERE fx.is_current AND NOT fx.deleted AND fx.rate_type IS NULL
          AND fx.from_currency = {of} AND fx.to_currency = {to}
          AND fx.day BETWEEN {day} - 5 AND {day} AND fx.rate > 0
        ORDER BY fx.day DESC, fx.id COLLATE "C" DESC LIMIT 1)"""

    return f"""(
    SELECT CASE WHEN {from_currency} = {to_currency} THEN ARRAY[1::numeric, 1] ELSE coalesce({
        published(from_currency, to_currency, "ARRAY[fx.rate, 1]")
    }, {published(to_currency, from_currency, "ARRAY[1, fx.rate]")}) END)"""


def ratio(over: str, under: str, places: int) -> str:
    """``over / under`` to so many places, half away from zero; null unless ``under`` is positive."""
    unit = f"0.{'0' * (places - 1)}1"
    return f"(CASE WHEN {under} > 0 THEN {_half_away(over, under, unit)} END)"


def _half_away(over: str, under: str, unit: str) -> str:
    return f"sign({over}) * div(2 * abs({over}) + {unit} * ({under}), 2 * {unit} * ({under})) * {unit}"
