"""Closed months do not move: in which period each change of an entry's segments is booked.

A legal entity closes at c1 < c2 < ... Let S(c) be the allocation from all that was decided before c, and S(now) the
one from everything. What differs between S(ck-1) and S(ck) was decided in between, and is booked then: on its own
day (of the work; of the posting, for what is posted or due back), unless that day's period was closed at ck-1; then
on the first day of the first period open at ck-1. So what stood in a month at its close stays there, the bookings of
a segment sum to S(now), and nothing depends on what arrived first: a fact that arrives after the close, but was
decided before it, still goes to the closed month.

S(c) is of the whole contract: what its entries share (a cap, a lot, a day line) is shared as it was then, and what was
posted before c counts against its caps. Early work that is approved after a close takes room of a cap in the open
month, from entries whose closed month stays as it was (`agents.billing.rootstates`).

When things are decided: an entry's version is approved and later ended (corrected, withdrawn, deleted), a milestone
accepted, an invoice or credit line posted, an adjustment decided and released; terms of a contract by the end of the
version before (`agents.billing.termshistory`). What a price was at a close rating says, by a version of the entry
(`agents.billing.atclose`). Lots and all else of a contract are as they are now: their rows don't say when they were
decided. A draft decides nothing: it names a part of what is to be billed, in the month where that stands now.

Only versions of time entries, expenses and prices, and releases of adjustments, are kept as they were: a posting, an
acceptance or an adjustment whose row is changed or deleted later is as if it had always been so.

Revenue goes by the same: what an entry has earned is the difference between what stood at closes, whatever is posted
of it, on the day of the work or in the first period open then. ``billing.current`` has it as ``earned``.

Only intervals between closes in which something about the entry was decided are looked at: mostly one, and then the
books say what ``billing.current`` says, at the cost of a comparison.

Example: 8 h at 150 of 30 March, approved on 1 April; March closes on 3 April 18:00; corrected to 6 h on 5 April.
March keeps 8 h/1,200; April has -8 h/-1,200 and 6 h/900.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from agents.billing.adjustments import Adjustment
from agents.billing.allocation import Segments, allocate_item
from agents.billing.authority import LimitTable
from agents.billing.drafts import DraftLine
from agents.billing.items import PARKED, Item
from agents.billing.known import LONG_AGO
from agents.billing.posted import PostedLine
from agents.billing.terms import Terms

# Ids of versions that are of no row begin so.
OF_CLOSE: Final = "close:"


class Version(NamedTuple):
    """What an entry was from the approval that ``item`` says until ``ended_at``.

    ``id`` is its row's; or that of the version which says how the entry was priced at the close ``ended_at``.
    """

    id: str
    item: Item
    ended_at: datetime

    @property
    def is_of_close(self) -> bool:
        """Whether it says how the entry was priced at a close; it goes before what ended just then."""
        return self.id.startswith(OF_CLOSE)


class Released(NamedTuple):
    """An adjustment that counted until ``released_at``."""

    adjustment: Adjustment
    released_at: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of one entry on one root: as it is now, and what counts no more."""

    entry_id: str
    item: Item | None
    lines: Sequence[PostedLine] = ()
    adjustments: Sequence[Adjustment] = ()
    drafts: Sequence[DraftLine] = ()
    versions: Sequence[Version] = ()
    released: Sequence[Released] = ()

    @property
    def is_dated_by_rating(self) -> bool:
        """See `is_dated_by_rating`."""
        return is_dated_by_rating(self.item, self.lines, self.adjustments, self.versions, self.released)

    @property
    def is_parked_and_posted(self) -> bool:
        """Whether what is posted is earned though the rest is not."""
        return bool(self.lines) and self.item is not None and self.item.disposition == PARKED

    def decisions(self) -> set[datetime]:
        """When something of it was decided; `LONG_AGO` where that is not known."""
        found = {line.posted_at for line in self.lines}
        found |= {one.decided_at or LONG_AGO for one in self.adjustments}
        if self.item is not None:
            found.add(self.item.decided_at or LONG_AGO)
        for version in self.versions:
            found |= {version.item.decided_at or LONG_AGO, version.ended_at}
        for one in self.released:
            found |= {one.adjustment.decided_at or LONG_AGO, one.released_at}
        return found

    def limited(self, limits: LimitTable) -> Facts:
        """The same, each adjustment with what its approver could decide."""
        if not self.adjustments and not self.released:
            return self
        ended = limits.limited(one.adjustment for one in self.released)
        return replace(
            self,
            adjustments=limits.limited(self.adjustments),
            released=[Released(one, of.released_at) for one, of in zip(ended, self.released, strict=True)],
        )

    def as_of(self, close: datetime) -> Facts:
        """What had been decided before a close, drafts left out.

        Of what was approved at once, as it was priced at different closes, it is what ended first.
        """
        ending = sorted(self.versions, key=lambda version: (version.ended_at, not version.is_of_close))
        stood = [version.item for version in ending if version.ended_at >= close]
        if self.item is not None:
            stood.append(self.item)
        stood = [item for item in stood if _before(item.decided_at, close)]
        adjustments = [one for one in self.adjustments if _before(one.decided_at, close)]
        adjustments += [
            one.adjustment
            for one in self.released
            if _before(one.adjustment.decided_at, close) and one.released_at >= close
        ]
        return Facts(
            self.entry_id,
            max(stood, key=lambda item: (item.decided_at or LONG_AGO, item.version), default=None),
            [line for line in self.lines if line.posted_at < close],
            adjustments,
        )

    def allocate(self, terms: Terms) -> Segments:
        """Its segments, nothing of them on a draft."""
        return allocate_item(self.entry_id, self.item, self.lines, self.adjustments, terms)


def is_dated_by_rating(item: Item | None, *decided: Collection[object]) -> bool:
    """Whether an entry is an item that has a period's date, and nothing else: rating knows of closes by itself."""
    return not any(decided) and (item is None or item.disposition != PARKED)


def _before(moment: datetime | None, close: datetime) -> bool:
    return moment is None or moment < close
