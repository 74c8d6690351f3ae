"""The difference that changes make: the same present facts, rated and allocated before and after them.

Nothing is emitted and no clock is asked. Allocation is a function of the present facts alone, so what it gives
with the changed rows is what the ledger comes to once they are made. Facts are gone through twice: first all
of them are rated both ways, to find the roots that something happens to; then the facts of those are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agents.billing.adjustments import Adjustment
from agents.billing.allocation import allocate
from agents.billing.inputs import Entry, Milestone
from agents.billing.items import Item
from agents.billing.posted import PostedLine
from agents.billing.rating import rate_entry, rate_milestone
from agents.billing.reference import BillingReference
from agents.billing.segments import Key, Segment
from agents.preview.changefile import FACT_ENTITIES, Change
from streams.errors import RecordError, UsageError

Row = dict[str, Any]
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
    adjustments: dict[str, list[Adjustment]] = field(default_factory=lambda: defaultdict(list))

    def take(self, entity: str, row: Row, roots: set[str]) -> None:
        """Keep a fact of one of the roots."""
        with suppress(RecordError):
            meaning = _meaning(entity, row, self.reference)
            if meaning is None or meaning.root_id not in roots:
                return
            if isinstance(meaning, PostedLine):
                self.lines[meaning.root_id].append(meaning)
            elif isinstance(meaning, Adjustment):
                self.adjustments[meaning.root_id].append(meaning)
            else:
                self.items[meaning.root_id].append(meaning)

    def segments(self, root_id: str) -> dict[Key, Segment]:
        """All segments of a root."""
        return allocate(
            self.items.get(root_id, ()),
            self.lines.get(root_id, ()),
            self.adjustments.get(root_id, ()),
            self.reference.terms(root_id),
        )


class WhatIf:
    """Two worlds: the reference tables as they are, and after the changes."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes
        self._used: set[str] = set()
        self._before, self._after = BillingReference(), BillingReference()

    def reference_rows(self, entity: str, rows: Iterable[Row]) -> None:
        """Take in all rows of a reference entity."""
        for row, other in self._both(entity, rows):
            if row is not None:
                self._before.apply(entity, row["id"], row)
            self._after.apply(entity, other["id"], other)

    def difference(self, scan: Scan) -> list[SegmentChange]:
        """All segments that the changes move, by root, entry and segment. `UsageError` for a change of nothing,
        and for one that makes a row invalid."""
        roots = self._terms_moved()
        for entity in FACT_ENTITIES:
            for row, other in self._both(entity, scan(entity)):
                roots |= self._moved(entity, row, other)
        for change in self._changes:
            if change.place not in self._used:
                raise UsageError(f"{change.place} concerns no {change.entity} that there is")
        return list(self._compare(scan, roots))

    def _both(self, entity: str, rows: Iterable[Row]) -> Iterator[tuple[Row | None, Row]]:
        """Each row as it is and as it would be; then those that would be new. A deleted row is not there."""
        own = [change for change in self._changes if change.entity == entity]
        fresh = [change for change in own if change.id is not None and not change.deletes]
        for row in rows:
            if own and not row["deleted"]:
                fresh = [change for change in fresh if change.id != row["id"]]
                yield row, self._amended(own, row)
            else:
                yield row, row
        for row_id in dict.fromkeys(change.id for change in fresh):
            first = next(change for change in fresh if change.id == row_id)
            yield None, self._amended(own, first.new_row())

    def _amended(self, own: Sequence[Change], row: Row) -> Row:
        """The row after all changes that concern it, each as the ones before left it."""
        for change in own:
            if change.concerns(row):
                self._used.add(change.place)
                row = change.amended(row)
        return row

    def _terms_moved(self) -> set[str]:
        engagements = self._before.engagements.keys() | self._after.engagements.keys()
        return {root for root in engagements if self._before.terms(root) != self._after.terms(root)}

    def _moved(self, entity: str, row: Row | None, other: Row) -> set[str]:
        """The roots where a fact is another one."""
        before = after = None
        if row is not None:
            with suppress(RecordError):
                before = _meaning(entity, row, self._before)
        try:
            after = _meaning(entity, other, self._after)
        except RecordError as error:
            if row is not other:
                raise UsageError(
                    f"with these changes {entity} {other['id']} would be invalid: {error}"
                ) from None
        return set() if before == after else {one.root_id for one in (before, after) if one is not None}

    def _compare(self, scan: Scan, roots: set[str]) -> Iterator[SegmentChange]:
        before, after = _Side(self._before), _Side(self._after)
        for entity in FACT_ENTITIES:
            for row, other in self._both(entity, scan(entity)):
                if row is not None:
                    before.take(entity, row, roots)
                after.take(entity, other, roots)
        for root_id in sorted(roots):
            was, will_be = before.segments(root_id), after.segments(root_id)
            for key in sorted(was.keys() | will_be.keys()):
                if was.get(key) != will_be.get(key):
                    yield SegmentChange(key, was.get(key), will_be.get(key))


def _meaning(entity: str, row: Row, reference: BillingReference) -> Item | PostedLine | Adjustment | None:
    """What a fact says to allocation; None where it counts for nothing. `RecordError` if it is invalid."""
    if entity == "invoice_line":
        return PostedLine.from_record(row)
    if entity == "bill_adjustment":
        return Adjustment.from_record(row)
    if entity == "milestone":
        return rate_milestone(Milestone.from_record(row), reference).item
    return rate_entry(Entry.from_record(row), reference).item
