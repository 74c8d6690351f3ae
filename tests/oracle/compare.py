"""Compare what is with what must be, row by row and cent by cent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, TypeVar

from .actual import Actual, Current, Ledger
from .exact import ZERO
from .expected import Expected, Fold, FoldKey, Parked
from .revenue import Revenue, RevenueKey
from .segments import Draft
from .utilization import Utilization

# Enough to see a pattern, few enough to read.
DEFAULT_LISTED: Final = 20

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome.

    ``rows_compared`` and ``rows_different`` count folds, segments, days, windows, entries (for
    conservation) and repeated events. ``money_difference`` adds the absolute differences of amounts
    over the ledger, the current state and revenue, whatever their currencies: 0 or there is something to find.
    ``differences`` are the first few as readable lines, ``by_check`` is (compared, different) of each.
    """

    rows_compared: int
    rows_different: int
    money_difference: Decimal
    differences: tuple[str, ...]
    by_check: dict[str, tuple[int, int]]

    @property
    def equal(self) -> bool:
        """Whether nothing at all differs."""
        return self.rows_different == 0 and self.money_difference == 0


@dataclass(slots=True)
class _Tally:
    listed: int
    money: Decimal = ZERO
    lines: list[str] = field(default_factory=list)
    by_check: dict[str, tuple[int, int]] = field(default_factory=dict)

    def count(self, check: str, compared: int, lines: list[str]) -> None:
        """Add a check: how many rows it looked at, and a line for each that differs."""
        self.by_check[check] = (compared, len(lines))
        self.lines += lines[: max(0, self.listed - len(self.lines))]


def compare(expected: Expected, actual: Actual, listed: int = DEFAULT_LISTED) -> Comparison:
    """Compare everything that ``actual`` holds; list the first ``listed`` differences."""
    tally = _Tally(listed)
    if actual.ledger is not None:
        _compare_folds("ledger", expected.booked, actual.ledger.folds, tally)
        _check_conservation(expected, actual.ledger, tally)
        _check_duplicates(actual.ledger, tally)
    if actual.current is not None:
        _compare_folds("current", expected.billing, actual.current.folds, tally)
        _compare_parked(expected, actual.current, tally)
        _compare_rows("drafts", expected.drafts, actual.current.drafts, tally)
        _compare_rows("refused", expected.refused, actual.current.refused, tally)
    if actual.daily is not None:
        _compare_rows("daily", expected.daily, actual.daily, tally)
    if actual.windows is not None:
        _compare_rows("windows", expected.windows, actual.windows, tally)
    if actual.proposals is not None:
        _compare_rows("proposals", expected.proposals, actual.proposals, tally)
    if actual.groups is not None:
        _compare_rows("groups", expected.groups, actual.groups, tally)
    if actual.plans is not None:
        _compare_rows("plans", expected.plans, actual.plans, tally)
    if actual.revenue is not None:
        _compare_revenue(expected.revenue, actual.revenue, tally)
    if actual.incidents is not None:
        _compare_rows("incidents", expected.incidents, actual.incidents, tally)
    return Comparison(
        rows_compared=sum(compared for compared, _ in tally.by_check.values()),
        rows_different=sum(different for _, different in tally.by_check.values()),
        money_difference=tally.money,
        differences=tuple(tally.lines),
        by_check=tally.by_check,
    )


def _compare_folds(
    check: str, wanted: Mapping[FoldKey, Fold], found: Mapping[FoldKey, Fold], tally: _Tally
) -> None:
    """Seconds and amounts by fold key. A fold of nothing equals no fold."""
    wanted = {key: fold for key, fold in wanted.items() if not fold.is_nothing}
    found = {key: fold for key, fold in found.items() if not fold.is_nothing}
    lines = []
    for key in _ordered({*wanted, *found}):
        want, have = wanted.get(key), found.get(key)
        if _figures(want) == _figures(have):
            continue
        tally.money += abs(_money(have) - _money(want))
        lines.append(
            f"{check} {_words(key)}: expected {_fold_words(want, key)}, found {_fold_words(have, key)}"
        )
    tally.count(check, len({*wanted, *found}), lines)


def _check_conservation(expected: Expected, ledger: Ledger, tally: _Tally) -> None:
    """Whatever happened to an entry, its lines add up to its approved seconds, or to 0 without any."""
    booked: dict[str, int] = defaultdict(int)
    for key, fold in ledger.folds.items():
        booked[key.entry] += fold.seconds
    lines = []
    for entry in sorted({*expected.approved, *booked}):
        approved = expected.approved.get(entry, 0)
        if booked.get(entry, 0) != approved:
            lines.append(
                f"conservation {entry}: {approved} s approved, {booked.get(entry, 0)} s in the ledger"
            )
    tally.count("conservation", len({*expected.approved, *booked}), lines)


def _check_duplicates(ledger: Ledger, tally: _Tally) -> None:
    lines = [f"duplicate event {event}: {times} times" for event, times in sorted(ledger.duplicates.items())]
    tally.count("duplicates", len(lines), lines)


def _compare_parked(expected: Expected, current: Current, tally: _Tally) -> None:
    """Why each live parked segment is parked; an item whose parked time is all posted has none."""
    live = {key.entry for key in expected.billing if key.bucket == "parked"}
    wanted: dict[str, Parked] = {e: parked for e, parked in expected.parked.items() if e in live}
    _compare_rows("parked", wanted, current.parked, tally)


def _compare_rows(check: str, wanted: Mapping[V, object], found: Mapping[V, object], tally: _Tally) -> None:
    lines = []
    for key in _ordered({*wanted, *found}):
        want, have = wanted.get(key), found.get(key)
        if want != have:
            lines.append(f"{check} {_words(key)}: expected {_row_words(want)}, found {_row_words(have)}")
    tally.count(check, len({*wanted, *found}), lines)


def _compare_revenue(
    wanted: Mapping[RevenueKey, Revenue], found: Mapping[RevenueKey, Revenue], tally: _Tally
) -> None:
    """All figures of each month of a line; what is earned of it counts as money."""
    _compare_rows("revenue", wanted, found, tally)
    for key in {*wanted, *found}:
        want, have = wanted.get(key), found.get(key)
        tally.money += abs(
            (ZERO if have is None else have.recognised or ZERO)
            - (ZERO if want is None else want.recognised or ZERO)
        )


def _ordered(keys: set[V]) -> list[V]:
    """Keys in a stable order, nulls as the empty text."""

    def text(key: V) -> tuple[str, ...]:
        parts = key if isinstance(key, tuple) else (key,)
        return tuple("" if part is None else str(part) for part in parts)

    return sorted(keys, key=text)


def _figures(fold: Fold | None) -> tuple[int, Decimal | None, Decimal | None] | None:
    return None if fold is None else (fold.seconds, fold.amount, fold.functional)


def _money(fold: Fold | None) -> Decimal:
    return ZERO if fold is None or fold.amount is None else fold.amount


def _words(key: object) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return " ".join("-" if part is None else str(part) for part in parts)


def _fold_words(fold: Fold | None, key: FoldKey) -> str:
    if fold is None:
        return "nothing"
    if fold.amount is None:
        return f"{fold.seconds} s of unknown worth"
    books = "" if fold.functional in (None, fold.amount) else f" ({fold.functional} in the books)"
    return f"{fold.seconds} s {fold.amount} {key.currency or ''}".rstrip() + books


def _row_words(row: object) -> str:
    if row is None:
        return "nothing"
    if isinstance(row, Draft):
        return f"{row.seconds} s {row.amount}{', stale' if row.is_stale else ''}"
    if isinstance(row, Parked):
        return f"{row.exception_class} {', '.join(row.missing_keys)}"
    if isinstance(row, Utilization):
        figures = f"worked {row.worked} billable {row.billable} unclassified {row.unclassified}"
        return (
            f"{figures} capacity {row.capacity} ratio {row.ratio} practice {row.practice} region {row.region}"
            f" target {row.target} shortfall {row.shortfall} planned {row.planned} billable"
            f" {row.planned_billable} unclassified {row.planned_unclassified} forecast {row.forecast}"
        )
    if isinstance(row, Revenue):
        return (
            f"recognised {row.recognised} breakage {row.breakage} billed {row.billed} to date {row.to_date} "
            f"price {row.price} scheduled {row.scheduled} progress {row.progress}/{row.planned} "
            f"parked {row.parked_items} missing {', '.join(row.missing) or 'nothing'}"
        )
    return str(row)
