"""Where a side differs from the oracle, as values: one look's differences can be compared with the next one's.

The rules are those of the oracle's own comparison, which counts; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from connectors.proof.conservation import Conservation, Line, conserve
from connectors.proof.words import Figures, in_words

# In the order in which they are looked for: the ledger explains most of what follows.
CHECKS: Final = (
    "ledger",
    "conservation",
    "duplicates",
    "current",
    "parked",
    "drafts",
    "refused",
    "daily",
    "windows",
    "groups",
    "plans",
    "proposals",
    "revenue",
    "incidents",
)


class Place(NamedTuple):
    """A row that is compared: its side (topics or warehouse), its check, and its key in that."""

    side: str
    check: str
    key: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What must be at a place and what is; None is nothing there."""

    place: Place
    expected: Any
    found: Any

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts differences: by side, check, key."""
        side, check, key = self.place
        return (side, CHECKS.index(check), tuple("" if part is None else str(part) for part in key))

    def __str__(self) -> str:
        side, check, key = self.place
        words = " ".join("-" if part is None else str(part) for part in key)
        return f"{side}: {check} {words}: expected {in_words(self.expected)}, found {in_words(self.found)}"


def find(side: str, expected: Any, actual: Any) -> Iterator[Difference]:
    """All differences of a side, in no order."""
    if actual.ledger is not None:
        yield from _of_rows(side, "ledger", _figures(expected.booked), _figures(actual.ledger.folds))
        booked = conserve(expected.approved, ledger_lines(actual.ledger.folds))
        for entry, gap in booked.gaps.items():
            approved = expected.approved.get(entry, 0)
            wanted, found = Figures(approved, None), Figures(approved - gap.seconds, None)
            yield Difference(Place(side, "conservation", (entry,)), wanted, found)
        for event, times in actual.ledger.duplicates.items():
            yield Difference(Place(side, "duplicates", (event,)), 1, times)
    if actual.current is not None:
        yield from _of_rows(side, "current", _figures(expected.billing), _figures(actual.current.folds))
        live = {key.entry for key in expected.billing if key.bucket == "parked"}
        parked = {entry: why for entry, why in expected.parked.items() if entry in live}
        yield from _of_rows(side, "parked", parked, actual.current.parked)
        yield from _of_rows(side, "drafts", expected.drafts, actual.current.drafts)
        yield from _of_rows(side, "refused", expected.refused, actual.current.refused)
    if actual.daily is not None:
        yield from _of_rows(side, "daily", expected.daily, actual.daily)
    if actual.windows is not None:
        yield from _of_rows(side, "windows", expected.windows, actual.windows)
    if actual.proposals is not None:
        yield from _of_rows(side, "proposals", expected.proposals, actual.proposals)
    if actual.groups is not None:
        yield from _of_rows(side, "groups", expected.groups, actual.groups)
    if actual.plans is not None:
        yield from _of_rows(side, "plans", expected.plans, actual.plans)
    if actual.revenue is not None:
        yield from _of_rows(side, "revenue", expected.revenue, actual.revenue)
    if actual.incidents is not None:
        yield from _of_rows(side, "incidents", expected.incidents, actual.incidents)


def ledger_lines(folds: Mapping[Any, Any]) -> Iterator[Line]:
    """Folds as conservation takes them; one of nothing is none, as of a draft that was posted since."""
    for key, fold in folds.items():
        if not fold.is_nothing:
            yield Line(key.entry, key.bucket, fold.seconds, key.currency, fold.amount)


def conservation_of(expected: Any, folds: Mapping[Any, Any]) -> Conservation:
    """Conservation of a side's folds, time and money: entries are worth what the oracle says."""
    return conserve(expected.approved, ledger_lines(folds), worth_of(expected))


def worth_of(expected: Any) -> dict[tuple[str, str], Decimal]:
    """What each (entry, currency) comes to by the oracle."""
    worth: dict[tuple[str, str], Decimal] = {}
    for key, fold in expected.billing.items():
        if key.currency is not None and fold.amount is not None:
            at = (key.entry, key.currency)
            worth[at] = worth[at] + fold.amount if at in worth else fold.amount
    return worth


def _of_rows(
    side: str, check: str, wanted: Mapping[Any, Any], found: Mapping[Any, Any]
) -> Iterator[Difference]:
    for key in _all_keys(wanted, found):
        want, have = wanted.get(key), found.get(key)
        if want != have:
            yield Difference(Place(side, check, key if isinstance(key, tuple) else (key,)), want, have)


def _all_keys(wanted: Mapping[Any, Any], found: Mapping[Any, Any]) -> Iterable[Any]:
    yield from wanted
    yield from (key for key in found if key not in wanted)


def _figures(folds: Mapping[Any, Any]) -> dict[Any, Figures]:
    """Folds by their figures; a fold of nothing is no fold."""
    return {
        key: Figures(fold.seconds, fold.amount, fold.functional)
        for key, fold in folds.items()
        if not fold.is_nothing
    }
