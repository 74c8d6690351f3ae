"""The difference that changes make: the same present facts, rated and allocated before and after them.

Nothing is emitted and no clock is asked. Allocation and the books of periods are functions of the facts alone, so what
they give with the changed rows is what the ledger comes to once they are made. Facts are gone through twice: first all
of them are rated both ways, to find the roots that something happens to; then the facts of those are kept. What
is held grows with the facts of these roots: a change of the default price holds all that it prices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from agents.billing.closes import Version
from agents.billing.entrybooks import Booking
from agents.billing.inputs import APPROVED
from agents.billing.items import Item
from agents.billing.reference import BillingReference
from agents.billing.segments import Key, Segment
from agents.preview.changefile import ENTITIES, FACT_ENTITIES, VERSIONED, Change
from agents.preview.following import Check, Effect, Following
from agents.preview.world import Meaning, World, meanings, root_of
from streams.errors import RecordError, UsageError

Row = dict[str, Any]
# All latest rows of an entity, as often as it is asked.
Scan = Callable[[str], Iterable[Row]]


class SegmentChange(NamedTuple):
    """A segment that would be another one, None where there is none, or would be booked otherwise.

    ``booked`` is what is booked more (1) or less (-1) of it, each on its accounting date: after a close that is in
    another month than the segment's own.
    """

    key: Key
    before: Segment | None
    after: Segment | None
    booked: tuple[tuple[int, Segment], ...] = ()


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
        before, after = self._before.terms_history, self._after.terms_history
        return {root for root in engagements if before(root) != after(root)} | self._closed_anew()

    def _closed_anew(self) -> set[str]:
        """The roots whose legal entity would close at other times."""
        entities = {one.legal_entity_id for one in self._after.engagements.values()}
        before, after = self._before.periods.hard_closes, self._after.periods.hard_closes
        others = {entity for entity in entities if before(entity) != after(entity)}
        return {root for root, one in self._after.engagements.items() if one.legal_entity_id in others}

    def _moved(self, entity: str, row: Row | None, other: Row) -> set[str]:
        """The roots where a fact is another one."""
        before = [] if row is None else _meanings_or_none(entity, row, self._before)
        after: list[Meaning] = []
        try:
            after = [*meanings(entity, other, self._after), *self._kept(entity, row, other)]
        except RecordError as error:
            if row is not other:
                raise UsageError(
                    f"with these changes {entity} {other['id']!r} would be invalid: {error}"
                ) from None
        return set() if before == after else {root_of(one) for one in (*before, *after)}

    def _kept(self, entity: str, row: Row | None, other: Row) -> list[Meaning]:
        """What the source keeps of an approved row that is corrected, and approved again later: the version before."""
        if row is None or row is other or entity not in VERSIONED or other["status"] != APPROVED:
            return []
        if (
            row["approved_at"] is None
            or other["approved_at"] is None
            or other["approved_at"] <= row["approved_at"]
        ):
            return []
        was = _meanings_or_none(entity, row, self._after)
        return [
            Version(f"preview:{row['id']}", one, other["approved_at"]) for one in was if isinstance(one, Item)
        ]

    def _compare(self, scan: Scan, roots: set[str]) -> Iterator[SegmentChange]:
        before, after = World(self._before), World(self._after)
        for entity in FACT_ENTITIES:
            for row, other in self._following[entity].both(scan(entity)):
                was = [] if row is None else _meanings_or_none(entity, row, self._before)
                will_be = [*_meanings_or_none(entity, other, self._after), *self._kept(entity, row, other)]
                before.take(was, roots)
                # Most facts of a root are the same on both sides, and held once.
                after.take(was if was == will_be else will_be, roots)
        for root_id in sorted(roots):
            old, new = before.outcome(root_id), after.outcome(root_id)
            keys = {*old.segments, *new.segments, *old.bookings, *new.bookings}
            for key in sorted(keys):
                segments = old.segments.get(key), new.segments.get(key)
                booked = _difference(old.bookings.get(key, ()), new.bookings.get(key, ()))
                if booked or segments[0] != segments[1]:
                    yield SegmentChange(key, *segments, booked)


def _difference(before: Iterable[Booking], after: Iterable[Booking]) -> tuple[tuple[int, Segment], ...]:
    """What is booked more, or less; what is taken back counts as less."""
    sums: Counter[Segment] = Counter()
    for sign, some in ((-1, before), (1, after)):
        for segment, is_back in some:
            sums[segment] += -sign if is_back else sign
    return tuple((times, segment) for segment, times in sums.items() if times)


def _meanings_or_none(entity: str, row: Row, reference: BillingReference) -> list[Meaning]:
    """What a row says; nothing if it is invalid."""
    with suppress(RecordError):
        return meanings(entity, row, reference)
    return []
