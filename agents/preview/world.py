"""The facts of some roots, before or after a change, and what they come to: segments, and the books of periods.

The books are made as the allocation stage makes them (`agents.billing.closes`): what was decided after a close is
booked in the first period open then. So a write-off that is decided on 10 April takes from April, if March was closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from agents.billing.adjustments import Adjustment
from agents.billing.allocation import Segments
from agents.billing.approved import approved, name_and_end, rate_approved
from agents.billing.atclose import at_closes
from agents.billing.closes import Facts, Released, Version
from agents.billing.drafts import DraftLine, put_on_draft
from agents.billing.entrybooks import Booking, as_it_is, book_entry
from agents.billing.inputs import Milestone
from agents.billing.items import Item
from agents.billing.posted import CHARGE_LINE, PostedLine
from agents.billing.rating import rate_milestone
from agents.billing.reference import BillingReference
from agents.billing.rootstates import RootStates
from agents.billing.segments import Key

Row = dict[str, Any]
Meaning = Item | PostedLine | DraftLine | Adjustment | Released | Version


class Outcome(NamedTuple):
    """The segments of a root as they are now, and how each was booked."""

    segments: Segments
    bookings: dict[Key, list[Booking]]


def meanings(entity: str, row: Row, reference: BillingReference) -> list[Meaning]:
    """What a row says to allocation, none where it counts for nothing. `RecordError` if it is invalid."""
    if entity == "invoice_line":
        line = PostedLine.from_record(row) or DraftLine.from_record(row)
        return [] if line is None else [line]
    if entity == "bill_adjustment":
        decided = Adjustment.as_decided(row)
        if decided is None:
            return []
        [limited] = reference.limits.limited([decided])
        return [limited if row["released_at"] is None else Released(limited, row["released_at"])]
    if entity == "milestone":
        item = rate_milestone(Milestone.from_record(row), reference).item
        return [] if item is None else [item]
    return _rated(entity, row, reference)


def _rated(entity: str, row: Row, reference: BillingReference) -> list[Meaning]:
    """An entry or expense, or a version of one; beside it, what it was worth by the prices that closes knew."""
    one = approved(entity, row)
    result = rate_approved(one, reference)
    if result.item is None:
        return []
    name, ended_at = name_and_end(entity, row)
    stands = result.item if ended_at is None else Version(row["id"], result.item, ended_at)
    return [stands, *at_closes(name, one, result, reference, ended_at).versions]


def root_of(meaning: Meaning) -> str:
    """The root that a fact is on."""
    if isinstance(meaning, Version):
        return meaning.item.root_id
    return meaning.adjustment.root_id if isinstance(meaning, Released) else meaning.root_id


class World:
    """The facts of some roots, as they would be with some reference tables."""

    def __init__(self, reference: BillingReference) -> None:
        self._reference = reference
        self._facts: dict[str, list[Meaning]] = defaultdict(list)

    def take(self, facts: Iterable[Meaning], roots: set[str]) -> None:
        """Keep those of the roots."""
        for one in facts:
            root_id = root_of(one)
            if root_id in roots:
                self._facts[root_id].append(one)

    def outcome(self, root_id: str) -> Outcome:
        """What a root comes to; its facts are let go."""
        history, periods = self._reference.terms_history(root_id), self._reference.periods
        terms, facts = history.now, dict(_by_entry(self._facts.pop(root_id, [])))
        segments: Segments = {}
        bookings: dict[Key, list[Booking]] = {}
        if history.is_independent:
            now = {entry_id: one.allocate(terms) for entry_id, one in facts.items()}
            books = {
                entry_id: book_entry(one, now[entry_id], terms, periods) for entry_id, one in facts.items()
            }
        else:
            root = RootStates(history, periods.hard_closes(terms.legal_entity_id or ""))
            now, books = root.replay(facts), {}
            for entry_id, own in now.items():
                books[entry_id] = root.books(facts.get(entry_id) or Facts(entry_id, None), own, periods)
        for entry_id, own in now.items():
            if entry_id in facts:
                put_on_draft(own, facts[entry_id].item, facts[entry_id].drafts, terms)
            of_entry = books[entry_id]
            bookings |= as_it_is(own) if of_entry is None else of_entry.bookings
            segments |= own
        return Outcome(segments, bookings)


def _by_entry(facts: Iterable[Meaning]) -> Iterator[tuple[str, Facts]]:
    """The facts of each entry; a credit is its charge's, whatever entry it carries itself."""
    parts: dict[str, dict[type, list[Any]]] = defaultdict(lambda: defaultdict(list))
    lines = [one for one in facts if isinstance(one, PostedLine)]
    charges = {line.id: line.entry_id for line in lines if line.kind == CHARGE_LINE}
    for one in facts:
        if isinstance(one, PostedLine):
            entry_id = charges.get(one.credits_line_id or "", one.entry_id)
        elif isinstance(one, Version):
            entry_id = one.item.entry_id
        else:
            entry_id = one.adjustment.entry_id if isinstance(one, Released) else one.entry_id
        parts[entry_id][type(one)].append(one)
    for entry_id, of in parts.items():
        item = of[Item][0] if of[Item] else None
        kept = (of[kind] for kind in (PostedLine, Adjustment, DraftLine, Version, Released))
        yield entry_id, Facts(entry_id, item, *kept)
