"""The difference that changes make: the same present facts, rated and allocated before and after them.

Nothing is emitted and no clock is asked. Allocation is a function of the present facts alone, so what it gives
with the changed rows is what the ledger comes to once they are made. Facts are gone through twice: first all
of them are rated both ways, to find the roots that something happens to; then the facts of those are kept. What
is held grows with the facts of these roots: a change of the default price holds all that it prices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agents.billing.adjustments import Adjustment
from agents.billing.allocation import allocate
from agents.billing.drafts import DraftLine
from agents.billing.expenses import Expense, rate_expense
from agents.billing.inputs import Entry, Milestone
from agents.billing.items import Item
from agents.billing.posted import PostedLine
from agents.billing.rating import rate_entry, rate_milestone
from agents.billing.reference import BillingReference
from agents.billing.segments import Key, Segment
from agents.preview.changefile import ENTITIES, FACT_ENTITIES, Change
from agents.preview.following import Check, Effect, Following
from streams.errors import RecordError, UsageError

Row = dict[str, Any]
Meaning = Item | PostedLine | DraftLine | Adjustment
# All latest rows of an entity, as often as it is asked.
Scan = Callable[[str], Iterable[Row]]


class SegmentChange(NamedTuple):
    """A segment that would be another one; None where there is none."""

    key: Key
    before: Segment | None
    after: Segment | None


@dataclass(slots=True)
class _Side:
    """The facts of some roots, before or after. A row that is invalid counts for nothing."""

    reference: BillingReference
    items: dict[str, list[Item]] = field(default_factory=lambda: defaultdict(list))
    lines: dict[str, list[PostedLine]] = field(default_factory=lambda: defaultdict(list))
    drafts: dict[str, list[DraftLine]] = field(default_factory=lambda: defaultdict(list))
    adjustments: dict[str, list[Adjustment]] = field(default_factory=lambda: defaultdict(list))

    def take(self, meaning: Meaning | None, roots: set[str]) -> None:
        """Keep a fact of one of the roots."""
        if meaning is None or meaning.root_id not in roots:
            return
        if isinstance(meaning, PostedLine):
            self.lines[meaning.root_id].append(meaning)
        elif isinstance(meaning, DraftLine):
            self.drafts[meaning.root_id].append(meaning)
        elif isinstance(meaning, Adjustment):
            self.adjustments[meaning.root_id].append(meaning)
        else:
            self.items[meaning.root_id].append(meaning)

    def segments(self, root_id: str) -> dict[Key, Segment]:
        """All segments of a root, whose facts are then let go."""
        return allocate(
            self.items.pop(root_id, ()),
            self.lines.pop(root_id, ()),
            self.adjustments.pop(root_id, ()),
            self.reference.terms(root_id),
            self.drafts.pop(root_id, ()),
        )


class WhatIf:
    """Two worlds: the reference tables as they are, and after the changes."""

    def __init__(self, changes: Sequence[Change], check: Check) -> None:
        self._following = {entity: Following(entity, changes, check) for entity in ENTITIES}
        self._changes = changes
        self._before, self._after = BillingReference(), BillingReference()

    def reference_rows(self, entity: str, rows: Iterable[Row]) -> None:
        """Take in all rows of a reference entity."""
        for row, other in self._following[entity].both(rows):
            if row is not None:
                self._before.apply(entity, row["id"], row)
            self._after.apply(entity, other["id"], other)

    def difference(self, scan: Scan) -> list[SegmentChange]:
        """All segments that the changes move, by root, entry and segment. `UsageError` for a change of nothing,
        and for one that makes a row invalid."""
        roots = self._terms_moved()
        for entity in FACT_ENTITIES:
            for row, other in self._following[entity].both(scan(entity)):
                roots |= self._moved(entity, row, other)
        for effect in self.effects:
            if effect.is_nothing:
                raise UsageError(f"{effect.change.place} concerns no {effect.change.entity} that there is")
        return list(self._compare(scan, roots))

    @property
    def effects(self) -> list[Effect]:
        """What each change came to, in the order of the file."""
        by_place = {one.change.place: one for of in self._following.values() for one in of.effects}
        return [by_place[change.place] for change in self._changes]

    def _terms_moved(self) -> set[str]:
        engagements = self._before.engagements.keys() | self._after.engagements.keys()
        return {root for root in engagements if self._before.terms(root) != self._after.terms(root)}

    def _moved(self, entity: str, row: Row | None, other: Row) -> set[str]:
        """The roots where a fact is another one."""
        before = None if row is None else _meaning_or_none(entity, row, self._before)
        after = None
        try:
            after = _meaning(entity, other, self._after)
        except RecordError as error:
            if row is not other:
                raise UsageError(
                    f"with these changes {entity} {other['id']!r} would be invalid: {error}"
                ) from None
        return set() if before == after else {one.root_id for one in (before, after) if one is not None}

    def _compare(self, scan: Scan, roots: set[str]) -> Iterator[SegmentChange]:
        before, after = _Side(self._before), _Side(self._after)
        for entity in FACT_ENTITIES:
            for row, other in self._following[entity].both(scan(entity)):
                was = None if row is None else _meaning_or_none(entity, row, self._before)
                will_be = _meaning_or_none(entity, other, self._after)
                before.take(was, roots)
                # Most facts of a root are the same on both sides, and held once.
                after.take(was if was == will_be else will_be, roots)
        for root_id in sorted(roots):
            old, new = before.segments(root_id), after.segments(root_id)
            for key in sorted(old.keys() | new.keys()):
                if old.get(key) != new.get(key):
                    yield SegmentChange(key, old.get(key), new.get(key))


def _meaning(entity: str, row: Row, reference: BillingReference) -> Meaning | None:
    """What a fact says to allocation; None where it counts for nothing. `RecordError` if it is invalid."""
    if entity == "invoice_line":
        return PostedLine.from_record(row) or DraftLine.from_record(row)
    if entity == "bill_adjustment":
        decided = Adjustment.from_record(row)
        return None if decided is None else reference.limits.limited([decided])[0]
    if entity == "milestone":
        return rate_milestone(Milestone.from_record(row), reference).item
    if entity == "expense":
        return rate_expense(Expense.from_record(row), reference).item
    return rate_entry(Entry.from_record(row), reference).item


def _meaning_or_none(entity: str, row: Row, reference: BillingReference) -> Meaning | None:
    """Likewise; None also if it is invalid."""
    with suppress(RecordError):
        return _meaning(entity, row, reference)
    return None
