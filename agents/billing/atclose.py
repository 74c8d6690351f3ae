"""What an entry was worth by the prices that each hard close after its approval knew.

A rate or an exchange rate that is changed after a close doesn't change what stood in the closed month: until the
change was decided the entry was worth what the old price says. So where a close knew other prices than the next one
(or than is known now), the entry as the close knew it is one more `Version` of it, which ends at that close; the
books of periods are made from those as from corrections (`agents.billing.closes`).

An entry that no price had been decided for at the close was parked then: the closed month keeps its hours as parked,
of unknown worth, and all its money is booked in the first period open when the price was decided.

Milestones have no price by the hour, and what a fixed fee pays has none: there is nothing to know otherwise. Of an
expense it is the exchange rate that may have been another.

It costs nothing where no price that was looked at was decided or ended after the approval. Else the entry is rated
again for each close that such a moment parts from the next.

Example: 8 h at 150 of 30 March, approved on 1 April; March closes on 3 April 18:00, and the rate is changed to 160 on
10 April. The close knew 8 h/1,200: a version that ends on 3 April 18:00. Had the change been decided on 2 April, and
arrived on 10 April, there would be none.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from typing import Final, NamedTuple

from agents.billing.approved import Approved, rate_approved
from agents.billing.closes import OF_CLOSE, Version
from agents.billing.reference import BillingReference
from agents.billing.results import RatedResult


class AtCloses(NamedTuple):
    """The versions, latest first, and what was looked at to find them.

    ``last`` is the last moment at which a price that was looked at was decided or ended: closes after it change nothing.
    """

    versions: tuple[Version, ...]
    dependencies: tuple[str, ...]
    last: datetime | None


NO_OTHER: Final = AtCloses((), (), None)


def at_closes(
    name: str,
    entry: Approved | None,
    now: RatedResult,
    ref: BillingReference,
    ended_at: datetime | None = None,
) -> AtCloses:
    """How an entry or expense, or a version of one that stood until ``ended_at``, was priced at closes.

    ``now`` is what rating makes of it. Ids of versions are ``close:<close>:<name>``.
    """
    if entry is None or now.item is None or now.item.legal_entity_id is None or not now.moments:
        return NO_OTHER
    closes = ref.periods.hard_closes(now.item.legal_entity_id)
    first = 0 if entry.approved_at is None else bisect_right(closes, entry.approved_at)
    end = len(closes) if ended_at is None else bisect_right(closes, ended_at)
    moments, dependencies = set(now.moments), dict.fromkeys(now.dependencies)
    versions: list[Version] = []
    known, later = now.item, None
    for close in reversed(closes[first:end]):
        if any(close <= moment and (later is None or moment < later) for moment in moments):
            then = rate_approved(entry, ref, close)
            moments |= then.moments
            dependencies |= dict.fromkeys(then.dependencies)
            if then.item is not None and then.item != known:
                versions.append(Version(f"{OF_CLOSE}{close.isoformat()}:{name}", then.item, close))
                known = then.item
        later = close
    return AtCloses(tuple(versions), tuple(dependencies), max(moments))
