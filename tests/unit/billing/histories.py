"""What counts no more of entries, from the canonical records, for the bookings of the agents' pure code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agents.billing import (
    Adjustment,
    BillingReference,
    DraftLine,
    Item,
    PostedLine,
)
from agents.billing.allocation import Segments
from agents.billing.approved import approved, is_approved_kind, name_and_end, rate_approved
from agents.billing.atclose import at_closes
from agents.billing.caps import CapUse
from agents.billing.closes import Facts, Released, Version
from agents.billing.entrybooks import EntryBooks, book_entry
from agents.billing.inclusions import Limit
from agents.billing.rootstates import RootStates
from agents.billing.termshistory import TermsHistory

Records = Sequence[tuple[str, dict[str, Any]]]


@dataclass
class Kept:
    """The states of roots, brought up to date by what changed wherever that is possible."""

    segments: dict[str, dict[str, Segments]] = field(default_factory=dict)
    keep: bool = True
    updates: int = 0
    _roots: dict[str, RootStates] = field(default_factory=dict)
    _facts: dict[str, dict[str, Facts]] = field(default_factory=dict)

    def uses(self, root: str) -> dict[Limit, CapUse]:
        """How the caps of a root are used."""
        return self._roots[root].uses()

    def update(
        self, root: str, terms: TermsHistory, closes: Sequence[datetime], facts: dict[str, Facts]
    ) -> RootStates:
        """As they are now; ``segments`` are of each entry."""
        before, states = self._facts.get(root, {}), self._roots.get(root)
        self._facts[root] = facts
        gone = {entry_id: Facts(entry_id, None) for entry_id in before.keys() - facts.keys()}
        changed = gone | {entry_id: of for entry_id, of in facts.items() if before.get(entry_id) != of}
        if states is not None and states.takes(terms, closes, changed):
            self.updates += 1
            self.segments[root] |= states.update(closes, changed)
        else:
            states = self._roots[root] = RootStates(terms, closes)
            self.segments[root] = states.replay(facts, keep=self.keep)
        return states


@dataclass(frozen=True)
class History:
    """Versions that ended and adjustments that were released."""

    versions: list[Version]
    released: list[Released]

    @classmethod
    def of(cls, records: Records, reference: BillingReference) -> History:
        """Those of the canonical records, rated."""
        versions, released = [], []
        for entity, record in records:
            if is_approved_kind(entity):
                one, (name, ended) = approved(entity, record), name_and_end(entity, record)
                result = rate_approved(one, reference)
                if ended is not None:
                    assert result.item is not None
                    versions.append(Version(record["id"], _kept(result.item), ended))
                then = at_closes(name, one, result, reference, ended)
                versions += [of._replace(item=_kept(of.item)) for of in then.versions]
            if entity == "bill_adjustment" and record["released_at"] is not None:
                adjustment = Adjustment.as_decided(record)
                assert adjustment is not None
                [limited] = reference.limits.limited([adjustment])
                released.append(Released(limited, record["released_at"]))
        return cls(versions, released)

    @property
    def roots(self) -> set[str]:
        """Roots that something of it was on."""
        return {version.item.root_id for version in self.versions}

    def books(
        self,
        root: str,
        items: Sequence[Item],
        lines: Sequence[PostedLine],
        adjustments: Sequence[Adjustment],
        drafts: Sequence[DraftLine],
        *,
        reference: BillingReference,
        kept: Kept | None = None,
    ) -> dict[str, EntryBooks]:
        """The books of the entries of a root that are not in them as they are; ``kept`` is of an earlier time."""
        history, periods = reference.terms_history(root), reference.periods
        terms = history.now
        facts = {one.entry_id: one for one in self.by_entry(root, items, lines, adjustments, drafts)}
        found: dict[str, EntryBooks | None] = {}
        if history.is_independent:
            for entry_id, one in facts.items():
                found[entry_id] = book_entry(one, one.allocate(terms), terms, periods)
        else:
            closes = periods.hard_closes(terms.legal_entity_id or "")
            kept = Kept() if kept is None else kept
            states = kept.update(root, history, closes, facts)
            for entry_id, now in kept.segments[root].items():
                found[entry_id] = states.books(facts.get(entry_id) or Facts(entry_id, None), now, periods)
        return {entry_id: books for entry_id, books in found.items() if books is not None}

    def by_entry(
        self,
        root: str,
        items: Sequence[Item],
        lines: Sequence[PostedLine],
        adjustments: Sequence[Adjustment],
        drafts: Sequence[DraftLine],
    ) -> Iterator[Facts]:
        """The facts of each entry of a root."""
        charges = {line.id: line.entry_id for line in lines if line.kind == "charge"}
        of_line = {line.id: charges.get(line.credits_line_id or "", line.entry_id) for line in lines}
        here = [version for version in self.versions if version.item.root_id == root]
        entries = {item.entry_id: item for item in items}
        names = entries.keys() | set(of_line.values()) | {draft.entry_id for draft in drafts}
        names |= {version.item.entry_id for version in here}
        for entry_id in sorted(names):
            yield Facts(
                entry_id,
                entries.get(entry_id),
                [line for line in lines if of_line[line.id] == entry_id],
                [one for one in adjustments if one.entry_id == entry_id],
                [draft for draft in drafts if draft.entry_id == entry_id],
                [version for version in here if version.item.entry_id == entry_id],
                [
                    one
                    for one in self.released
                    if (one.adjustment.root_id, one.adjustment.entry_id) == (root, entry_id)
                ],
            )


def _kept(item: Item) -> Item:
    """As it comes out of its record."""
    return Item.from_record(item.fields())
