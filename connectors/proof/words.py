"""Rows that are compared, in a few words.

The oracle's classes are known by what they have: the oracle is not imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple


class Figures(NamedTuple):
    """Seconds and money of a fold, and what it is in the books of the legal entity; None is unknown money."""

    seconds: int
    amount: Decimal | None
    functional: Decimal | None = None


def in_words(value: Any) -> str:
    """A row of any check."""
    if value is None:
        return "nothing"
    if isinstance(value, Figures):
        money = "" if value.amount is None else f" {money_text(value.amount)}"
        if value.functional not in (None, value.amount):
            money += f" ({money_text(value.functional)} in the books)"
        return f"{value.seconds} s{money}"
    return next((words(value) for mark, words in _WORDS.items() if hasattr(value, mark)), str(value))


def money_text(amount: Decimal) -> str:
    """Two places at least, and nothing less than there is: 137.1400 is 137.14, 1.234 stays."""
    return f"{amount:.2f}" if amount == round(amount, 2) else f"{amount.normalize():f}"


def _draft(of: Any) -> str:
    return f"{of.seconds} s {money_text(of.amount)}, {'stale' if of.is_stale else 'as it is'}"


def _proposal(of: Any) -> str:
    kinds = {
        "unbilled": of.unbilled,
        "on draft": of.on_draft,
        "to be credited": of.credit,
        "billed": of.billed,
    }
    sums = (f"{name} {n.lines} lines {n.seconds} s {money_text(n.amount)}" for name, n in kinds.items())
    stale = f"{of.stale_drafts} stale drafts, PO {of.po_number}, tax region {of.tax_region}"
    return f"{of.state}, {', '.join(sums)}, {stale}"


def _parked(of: Any) -> str:
    return f"{of.exception_class} {', '.join(of.missing_keys)}".rstrip()


def _incident(of: Any) -> str:
    money = "unknown money" if of.amount is None else f"{money_text(of.amount)} {of.currency or ''}".rstrip()
    return f"{of.exception_class} {of.seconds or 0} s, {money}"


def _revenue(of: Any) -> str:
    names = ("recognised", "breakage", "billed", "to_date", "price", "scheduled")
    amounts = ((name, getattr(of, name)) for name in names)
    told = (f"{name} {'unknown' if amount is None else money_text(amount)}" for name, amount in amounts)
    return f"{', '.join(told)}, parked {of.parked_items}"


def _group(of: Any) -> str:
    return f"{_worked(of)} of {of.consultants} consultants on {of.days} days"


def _time(of: Any) -> str:
    words = f"{_worked(of)}, practice {of.practice}, region {of.region}"
    if of.target is not None:
        words += f", target {of.target} s short {of.shortfall} s"
    return f"{words}, planned {of.planned} s" if of.planned else words


def _worked(of: Any) -> str:
    return f"worked {of.worked} s, billable {of.billable} s, capacity {of.capacity} s"


def _plan(of: Any) -> str:
    return f"planned {of.planned} s, worked {of.worked} s"


# By what only rows of that kind have; the first that fits.
_WORDS: Final[dict[str, Callable[[Any], str]]] = {
    "is_stale": _draft,
    "stale_drafts": _proposal,
    "recognised": _revenue,
    "currency": _incident,
    "exception_class": _parked,
    "consultants": _group,
    "capacity": _time,
    "worked": _plan,
}
