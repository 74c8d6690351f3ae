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
    unit = minor_unit(currency)
    return f"(sign({over}) * div(2 * abs({over}) + {unit} * ({under}), 2 * {unit} * ({under})) * {unit})"


def last_spot(from_currency: str, to_currency: str, day: str) -> str:
    """The spot rate of a day, published on it or at most five days before; a subquery, null without one."""
    return f"""(
    SELECT CASE WHEN {from_currency} = {to_currency} THEN 1 ELSE (
        SELECT fx.rate FROM dim_fx_rate AS fx
        WHERE fx.is_current AND NOT fx.deleted AND fx.rate_type IS NULL
          AND fx.from_currency = {from_currency} AND fx.to_currency = {to_currency}
          AND fx.day BETWEEN {day} - 5 AND {day}
        ORDER BY fx.day DESC, fx.id COLLATE "C" DESC LIMIT 1) END)"""


def ratio(over: str, under: str, places: int) -> str:
    """``over / under`` to so many places, half away from zero; null unless ``under`` is positive."""
    unit = f"0.{'0' * (places - 1)}1"
    return (
        f"(CASE WHEN {under} > 0 THEN "
        f"sign({over}) * div(2 * abs({over}) + {unit} * ({under}), 2 * {unit} * ({under})) * {unit} END)"
    )
