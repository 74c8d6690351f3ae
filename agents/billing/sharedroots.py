"""The roots of a lane whose entries share something, each allocated as a whole, kept up to date by what changes.

In memory only: what is kept of a root is made anew from the books of its entries when it is not there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from agents.billing.allocation import Segments
from agents.billing.book import EntryBook
from agents.billing.caps import CapUse
from agents.billing.closes import Facts
from agents.billing.drafts import put_on_draft
from agents.billing.entrybooks import EntryBooks, as_it_is
from agents.billing.inclusions import Limit
from agents.billing.reference import BillingReference
from agents.billing.rootstates import RootStates


@dataclass(frozen=True, slots=True)
class AllocatedRoot:
    """What a change has come to: ``segments`` of ``entries``, those that changed or may have, drafts among them.

    ``books`` are None where all of them are in the books as they are. ``last`` is the root's latest decision, ``uses``
    how its caps are used.
    """

    entries: Collection[str]
    segments: Segments
    books: EntryBooks | None
    last: datetime
    uses: Mapping[Limit, CapUse]


class SharedRoots:
    """Roots by id. The books that it is given are all of a root's."""

    def __init__(self, reference: BillingReference) -> None:
        self._reference = reference
        self._roots: dict[str, RootStates] = {}

    def forget(self, root_id: str) -> None:
        """Keep nothing of a root, of which something has changed that is not told here, or that is not needed."""
        self._roots.pop(root_id, None)

    def allocate(
        self, root_id: str, books: Mapping[str, EntryBook], changed: Collection[str] | None
    ) -> AllocatedRoot:
        """Take in entries that changed; None is whatever there is."""
        history, periods = self._reference.terms_history(root_id), self._reference.periods
        terms, entity = history.now, history.now.legal_entity_id
        closes = () if entity is None else periods.hard_closes(entity)
        root = self._roots.get(root_id)
        facts = {} if changed is None else {entry_id: self._facts(books, entry_id) for entry_id in changed}
        if root is not None and changed is not None and root.takes(history, closes, facts):
            found = root.update(closes, facts)
        else:
            is_late = root is not None and changed is not None and root.is_of(history, closes)
            root = self._roots[root_id] = RootStates(history, closes)
            facts = {entry_id: self._facts(books, entry_id) for entry_id in books}
            found = root.replay(facts, keep=is_late)
        segments: Segments = {}
        own = EntryBooks({}, {}, {})
        special: set[str] = set()
        for entry_id, now in found.items():
            if closes:
                one = facts.get(entry_id) or self._facts(books, entry_id)
                booked = root.books(one, now, periods)
                if booked is not None:
                    special.add(entry_id)
                    own.add(booked)
            segments |= now
            book = books.get(entry_id)
            if book is not None and book.drafts:
                put_on_draft(segments, book.item, book.drafts.values(), terms)
        if special:
            plain = {key: segment for key, segment in segments.items() if key[0] not in special}
            own.bookings.update(as_it_is(plain))
        return AllocatedRoot(found.keys(), segments, own if special else None, root.last, root.uses())

    def _facts(self, books: Mapping[str, EntryBook], entry_id: str) -> Facts:
        book = books.get(entry_id)
        if book is None:  # a day line's first
            return Facts(entry_id, None)
        return book.facts(entry_id).limited(self._reference.limits)
