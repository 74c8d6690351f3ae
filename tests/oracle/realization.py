"""What work brings against what it is worth by the price list, and what of it could have been billed long ago."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Final, NamedTuple

from .exact import ZERO, round_money, to_places
from .executive import ExecutiveKey, spot
from .expected import Expected, FoldKey
from .positions import consultant_on
from .rows import Rate, Rows

ATTRIBUTES: Final = ("role", "grade", "region")


@dataclass(slots=True)
class Realization:
    """Figures of a client, a practice and a month of work.

    ``value`` is what its chargeable hours are worth by the default card, ``listed`` what was billed of them;
    ``unlisted`` are hours that the card has no one price for, and covered ones of which no
    fee is billed; ``realization`` leaves them out. ``paid`` are the
    hours behind ``billed``: those billed, and those of a fixed price of which something was billed.
    """

    value: Decimal = ZERO
    listed: Decimal = ZERO
    unlisted: int = 0
    billed: Decimal = ZERO
    paid: int = 0

    @property
    def realization(self) -> Decimal | None:
        """Billed / value at list rate, six places half up; None where nothing has a list rate."""
        return _ratio(self.listed, self.value, 6) if self.value else None

    @property
    def effective_rate(self) -> Decimal | None:
        """Billed / hours billed, four places half up; None without hours."""
        return _ratio(self.billed * 3600, Decimal(self.paid), 4) if self.paid > 0 else None


def _ratio(over: Decimal, under: Decimal, places: int) -> Decimal:
    return to_places(Fraction(over) / Fraction(under), places)


@dataclass(slots=True)
class _Entry:
    seconds: int = 0
    by_fee: int = 0
    covered: int = 0
    billed_seconds: int = 0
    billed: Decimal = ZERO


class _Pot(NamedTuple):
    root: str
    line: str | None
    client: str | None
    month: date
    currency: str | None


class _Cell(NamedTuple):
    """Hours that a fee pays for."""

    month: date
    client: str | None
    practice: str | None
    is_listed: bool

    def order(self) -> tuple[object, ...]:
        """In which order parts are rounded."""
        by_client = self.client is None, self.client or ""
        return self.month, *by_client, self.practice is None, self.practice or "", self.is_listed


def realize(expected: Expected, rows: Rows) -> dict[ExecutiveKey, Realization]:
    """By client, practice, month of the work and currency.

    Money billed of nobody's work (a milestone, a fee) is spread over the fixed-price and covered hours of its line, of
    all months, and is of the client of the hours. Expenses are no work. Covered hours of a line of which no fee is
    billed are ``unlisted``.
    Example: 10 h at 90 where the card says 100, 8 h of them billed: 720 of 1,000, or 0.72; 90 an hour billed.
    """
    entries: dict[tuple[str, str | None, str, str | None, str, date, str | None], _Entry] = defaultdict(
        _Entry
    )
    pots: dict[_Pot, Decimal] = defaultdict(lambda: ZERO)
    expenses = expense_ids(rows)
    for key, fold in expected.billing.items():
        if key.entry in expenses:
            continue
        if key.consultant is None or key.day is None:
            if key.bucket == "billed" and fold.amount:
                assert key.month is not None
                month = date.fromisoformat(f"{key.month}-01")
                pots[_Pot(key.root, key.line, key.client, month, key.currency)] += fold.amount
            continue
        entry = entries[key.root, key.line, key.entry, key.client, key.consultant, key.day, key.currency]
        if key.bucket != "non_chargeable":
            entry.seconds += fold.seconds
        if key.bucket in ("fixed_fee", "covered"):
            entry.by_fee += fold.seconds
        if key.bucket == "covered":
            entry.covered += fold.seconds
        if key.bucket == "billed":
            entry.billed_seconds += fold.seconds
            entry.billed += fold.amount or ZERO
    out: dict[ExecutiveKey, Realization] = defaultdict(Realization)
    cells_of: dict[tuple[str, str | None], dict[_Cell, int]] = defaultdict(lambda: defaultdict(int))
    has_fee = {(pot.root, pot.line) for pot in pots}
    for (root, line, _, client, person, day, currency), entry in entries.items():
        known = consultant_on(person, day, rows)
        practice = None if known is None else known.practice
        at = ExecutiveKey(client, practice, day.replace(day=1), currency)
        figures = out[at]
        seconds = entry.seconds
        if (root, line) not in has_fee:
            seconds -= entry.covered
            figures.unlisted += entry.covered
        value = _value(person, day, seconds, currency, rows) if seconds else ZERO
        figures.billed += entry.billed
        figures.paid += entry.billed_seconds
        if value is None:
            figures.unlisted += seconds
        else:
            figures.value += value
            figures.listed += entry.billed
        if entry.by_fee > 0:
            cells_of[root, line][_Cell(day.replace(day=1), client, practice, value is not None)] += (
                entry.by_fee
            )
    together: dict[_Pot, Decimal] = defaultdict(lambda: ZERO)
    for pot, money in pots.items():
        if cells_of[pot.root, pot.line]:
            together[pot._replace(client=None)] += money
        else:
            alone = out[ExecutiveKey(pot.client, None, pot.month, pot.currency)]
            alone.billed, alone.listed = alone.billed + money, alone.listed + money
    for pot, money in together.items():
        cells = cells_of[pot.root, pot.line]
        whole, upto, given = sum(cells.values()), 0, ZERO
        for cell in sorted(cells, key=_Cell.order):
            upto += cells[cell]
            due = money
            if upto < whole:
                due = round_money(Fraction(money) * Fraction(upto, whole), pot.currency or "")
            figures = out[ExecutiveKey(cell.client, cell.practice, cell.month, pot.currency)]
            figures.billed += due - given
            if cell.is_listed:
                figures.listed += due - given
            given = due
    for root, line, currency in {(pot.root, pot.line, pot.currency) for pot in together}:
        for cell, worked in cells_of[root, line].items():
            out[ExecutiveKey(cell.client, cell.practice, cell.month, currency)].paid += worked
    return {key: figures for key, figures in out.items() if figures != Realization()}


def _value(person: str, day: date, seconds: int, currency: str | None, rows: Rows) -> Decimal | None:
    """Seconds at the one default rate that fits best, at spot; None without one, with several, or without a spot rate."""
    rate = _list_rate(person, day, rows)
    fx = None if rate is None or currency is None else spot(rate.currency, currency, day, rows)
    if rate is None or fx is None or currency is None:
        return None
    hours = Fraction(seconds, rate.day_seconds if rate.unit == "day" and rate.day_seconds else 3600)
    if rate.unit == "fixed":
        hours = Fraction(1)
    return round_money(hours * Fraction(rate.price) * fx, currency)


def expense_ids(rows: Rows) -> set[str]:
    """All expenses that there are or were."""
    return set(rows.expenses) | {version.expense.id for version in rows.expense_versions.values()}


def _list_rate(person: str, day: date, rows: Rows) -> Rate | None:
    known = consultant_on(person, day, rows)
    of = {} if known is None else {name: getattr(known, name) for name in ATTRIBUTES}
    card = [
        rate
        for rate in rows.rates.values()
        if (rate.task_id, rate.project_id, rate.contract_line_id, rate.client_id, rate.consultant_id)
        == (None,) * 5
        and rate.effective_from <= day
        and (rate.effective_to is None or day < rate.effective_to)
    ]
    for how_many in (3, 2, 1, 0):
        scopes: list[Mapping[str, str]] = [dict(some) for some in combinations(of.items(), how_many)]
        found = [rate for rate in card if any(_is_of(rate, scope) for scope in scopes)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _is_of(rate: Rate, scope: Mapping[str, str]) -> bool:
    return all(getattr(rate, name) == scope.get(name) for name in ATTRIBUTES)


def leakage(expected: Expected, rows: Rows, on: date, days: int = 30) -> dict[FoldKey, date]:
    """Unbilled segments that could be billed ``days`` days before ``on``, or earlier, each with since when.

    An entry can be billed from its first approval (the UTC date), a line of a day from the first approval of its
    entries, a milestone from its acceptance, an expense as an entry. All unbilled segments of an entry together are
    something, or none of them is any: what is due back to the client does not leak.
    Example: posted 8 h/1,200, corrected to 6 h: -1,200 and +900 unbilled, of which nothing leaks.
    """
    of_entry: dict[str, list[date]] = defaultdict(list)
    for entry in [*rows.time_entries.values(), *(one.entry for one in rows.entry_versions.values())]:
        if entry.approved_at is not None:
            of_entry[entry.id].append(entry.approved_at.astimezone(UTC).date())
    of_expense: dict[str, list[date]] = defaultdict(list)
    for one in [*rows.expenses.values(), *(version.expense for version in rows.expense_versions.values())]:
        if one.approved_at is not None:
            of_expense[one.id].append(one.approved_at.astimezone(UTC).date())
    of_day: dict[tuple[str, str | None, str | None, date | None], list[date]] = defaultdict(list)
    money: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    seconds: dict[tuple[str, str], int] = defaultdict(int)
    for key, fold in expected.billing.items():
        of_day[key.root, key.line, key.consultant, key.day] += of_entry.get(key.entry, [])
        if key.bucket == "unbilled":
            money[key.root, key.entry] += fold.amount or ZERO
            seconds[key.root, key.entry] += fold.seconds
    found = {}
    for key in expected.billing:
        due = money[key.root, key.entry], seconds[key.root, key.entry]
        if key.bucket != "unbilled" or due <= (ZERO, 0):
            continue
        since = min([*of_entry.get(key.entry, []), *of_expense.get(key.entry, [])], default=None)
        if since is None and key.consultant is not None:
            since = min(of_day[key.root, key.line, key.consultant, key.day], default=None)
        since = since or key.day
        if since is not None and since + timedelta(days=days) <= on:
            found[key] = since
    return found
