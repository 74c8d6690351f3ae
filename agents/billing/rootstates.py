"""What each entry of a root was at each close, where entries share something: a cap, a lot, a day line.

Late work that takes room of a cap changes what others are now, not what they were at a close (`agents.billing.closes`):
the whole root has an S(c) for each close c, and an S(now). These differ by what was decided between the closes, so
one running allocation that takes in the facts in the order of the closes comes past each of them, and says which
entries have changed on the way. Of each entry the states are kept that differ: mostly one.

What is decided after the last close changes S(now) alone, at the cost of that change. A close that arrives before
anything that was decided after it costs nothing. Whatever else arrives late, or changes what was decided before a
close, makes it all be done again, as terms that changed do: `RootStates.takes` says no. S(c) is by the terms of c.

Example: cap 1,000 at 100 an hour. X of 5 March, 6 h, and Y of 6 March, 6 h, are approved in March, which closes on
3 April; W of 4 March, 3 h, on 5 April. States: of W 3 h/300 from the close on, of X 6 h/600, of Y first 4 h/400 with
2 h/200 over the cap, then 1 h/100 with 5 h/500 over.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from agents.billing.allocation import Segments
from agents.billing.closes import LONG_AGO, Facts
from agents.billing.entrybooks import State, content
from agents.billing.running import RunningAllocation
from agents.billing.terms import Terms
from agents.billing.termshistory import TermsHistory


class RootStates:
    """One root as it was at ``closes``, those of its legal entity in order, and as it is now.

    ``last`` is the latest decision about any of its entries, or about its terms.
    """

    def __init__(self, history: TermsHistory, closes: Sequence[datetime]) -> None:
        self.last = max((end for end, _ in history.ended), default=LONG_AGO)
        self._history = history
        self._closes = tuple(closes)
        self._running = RunningAllocation(self._terms(0))
        self._facts: dict[str, Facts] = {}
        self._states: dict[str, tuple[State, ...]] = {}

    def replay(self, facts: Mapping[str, Facts]) -> dict[str, Segments]:
        """Take in all entries of the root, of which nothing was known; their segments as they are now."""
        by_interval: dict[int, list[str]] = defaultdict(list)
        for entry_id, of in facts.items():
            for interval in self._note(entry_id, of):
                by_interval[interval].append(entry_id)
        found: dict[str, Segments] = {entry_id: {} for entry_id in facts}
        amended = {bisect_right(self._closes, end) for end, _ in self._history.ended}
        for interval in sorted(by_interval.keys() | amended):
            terms, changed = self._terms(interval), by_interval[interval]
            were: Iterable[str] = ()
            if terms != self._running.terms:
                self._running, changed, were = RunningAllocation(terms), list(facts), self._states
            here = {entry_id: self._as_of(facts[entry_id], interval) for entry_id in changed}
            found |= self._update(here, interval, were)
        return found

    def takes(self, history: TermsHistory, closes: Sequence[datetime], changes: Mapping[str, Facts]) -> bool:
        """Whether `update` can take in changes: if they, and closes that are new, leave all that was as it was."""
        known = len(self._closes)
        if history != self._history or tuple(closes[:known]) != self._closes:
            return False
        if len(closes) > known and self.last >= closes[known]:
            return False
        return not any(self._was_otherwise(of, closes) for of in changes.values())

    def update(self, closes: Sequence[datetime], changes: Mapping[str, Facts]) -> dict[str, Segments]:
        """Take in entries as they are now; what `RunningAllocation.update` says of them and of others."""
        self._closes = tuple(closes)
        for entry_id, of in changes.items():
            self._note(entry_id, of)
        return self._update(changes, len(closes))

    def states(self, entry_id: str) -> Sequence[State]:
        """What an entry was, one after the other, each other than the one before; none of what never was."""
        return self._states.get(entry_id, ())

    def _note(self, entry_id: str, facts: Facts) -> set[int]:
        self._facts[entry_id] = facts
        decisions = facts.decisions()
        self.last = max(self.last, *decisions) if decisions else self.last
        return {bisect_right(self._closes, moment) for moment in decisions}

    def _was_otherwise(self, new: Facts, closes: Sequence[datetime]) -> bool:
        """Whether it changes what an entry was at any close."""
        old = self._facts.get(new.entry_id)
        decisions = new.decisions() if old is None else new.decisions() | old.decisions()
        intervals = {bisect_right(closes, moment) for moment in decisions} - {len(closes)}
        nothing = Facts(new.entry_id, None)
        return any(
            (nothing if old is None else old).as_of(closes[at]) != new.as_of(closes[at]) for at in intervals
        )

    def _terms(self, interval: int) -> Terms:
        return (
            self._history.as_of(self._closes[interval]) if interval < len(self._closes) else self._history.now
        )

    def _as_of(self, facts: Facts, interval: int) -> Facts:
        return facts.as_of(self._closes[interval]) if interval < len(self._closes) else facts

    def _update(
        self, changes: Mapping[str, Facts], interval: int, were: Iterable[str] = ()
    ) -> dict[str, Segments]:
        """Take in changes; of entries that ``were`` there, such as lines of a day, nothing may be left."""
        found = {entry_id: Segments() for entry_id in were} | self._running.update(changes)
        for entry_id, segments in found.items():
            before = self._states.get(entry_id, ())
            if before and before[-1].interval == interval:
                before = before[:-1]
            if not _is_same(before[-1].segments if before else {}, segments):
                item = changes[entry_id].item if entry_id in changes else None
                before = (*before, State(interval, item or self._running.item_of(entry_id), segments))
            self._states[entry_id] = before
        return found


def _is_same(some: Segments, others: Segments) -> bool:
    return some.keys() == others.keys() and all(
        content(segment) == content(others[key]) for key, segment in some.items()
    )
