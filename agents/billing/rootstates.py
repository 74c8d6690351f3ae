"""What each entry of a root was at each close, where entries share something: a cap, a lot, a day line.

Late work that takes room of a cap changes what others are now, not what they were at a close (`agents.billing.closes`):
the whole root has an S(c) for each close c, and an S(now). These differ by what was decided between the closes, so
one running allocation that takes in the facts in the order of the closes comes past each of them, and says which
entries have changed on the way. Of each entry the states are kept that differ: mostly one.

What is decided after the last close changes S(now) alone, at the cost of that change, and a close that arrives before
anything that was decided after it costs nothing. What arrives late, or changes what was decided before a close, makes
it all be done again. Mostly more of the kind follows: then a running allocation is kept of each close, which share what
they have in common, and a late fact costs what it changes of each. Other terms or closes begin anew. S(c) is by the
terms of c.

Example: cap 1,000 at 100 an hour. X of 5 March, 6 h, and Y of 6 March, 6 h, are approved in March, which closes on
3 April; W of 4 March, 3 h, on 5 April. States: of W 3 h/300 from the close on, of X 6 h/600, of Y first 4 h/400 with
2 h/200 over the cap, then 1 h/100 with 5 h/500 over.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from agents.billing.allocation import Segments
from agents.billing.caps import CapUse
from agents.billing.closes import Facts
from agents.billing.entrybooks import EntryBooks, State, book_states, content
from agents.billing.inclusions import Limit
from agents.billing.items import Item
from agents.billing.known import LONG_AGO
from agents.billing.periods import PeriodTable
from agents.billing.running import RunningAllocation
from agents.billing.terms import Terms
from agents.billing.termshistory import TermsHistory

# Of so many closes running allocations are kept at most, each of which holds 100 bytes an entry of its own.
KEPT_CLOSES: Final = 12


class RootStates:
    """One root as it was at ``closes``, those of its legal entity in order, and as it is now.

    ``last`` is the latest decision about any of its entries, or about its terms.
    """

    def __init__(self, history: TermsHistory, closes: Sequence[datetime]) -> None:
        self.history = history
        self.closes = tuple(closes)
        self.last = max((end for end, _ in history.ended), default=LONG_AGO)
        # By interval, the last of them as it is now; those before are there only while late facts come.
        self._running: dict[int, RunningAllocation] = {}
        self._late = 0  # facts since these were made
        self._facts: dict[str, Facts] = {}
        self._states: dict[str, tuple[State, ...]] = {}

    def replay(self, facts: Mapping[str, Facts], keep: bool = False) -> dict[str, Segments]:
        """Take in all entries of the root, of which nothing was known; their segments as they are now.

        With ``keep``, late facts can be taken in afterwards.
        """
        by_interval: dict[int, list[str]] = defaultdict(list)
        for entry_id, of in facts.items():
            for interval in self._note(entry_id, of):
                by_interval[interval].append(entry_id)
        found: dict[str, Segments] = {entry_id: {} for entry_id in facts}
        running = RunningAllocation(self._terms(0))
        now = len(self.closes)
        for interval in range(now + 1):
            terms, changed = self._terms(interval), by_interval[interval]
            here: dict[str, Segments] = {}
            if terms != running.terms:
                # With them may go what nothing else tells of, such as lines of a day.
                running, changed, here = RunningAllocation(terms), list(facts), {e: {} for e in self._states}
            changes = {entry_id: self._as_of(facts[entry_id], interval) for entry_id in changed}
            here |= running.update(changes)
            for entry_id, segments in here.items():
                states = list(self._states.get(entry_id, ()))
                _append(states, interval, _state(interval, entry_id, segments, changes, running))
                self._states[entry_id] = tuple(states)
            found |= here
            if keep and now - KEPT_CLOSES <= interval < now:
                self._running[interval] = running
                running = running.fork()
        self._running[now] = running
        return found

    def is_of(self, history: TermsHistory, closes: Sequence[datetime]) -> bool:
        """Whether terms and closes are those that it was made for."""
        return history == self.history and tuple(closes) == self.closes

    def takes(self, history: TermsHistory, closes: Sequence[datetime], changes: Mapping[str, Facts]) -> bool:
        """Whether `update` can take in changes: if these, and closes that are new, leave all that was as it was; or if
        what they change is kept."""
        known = len(self.closes)
        if history != self.history or tuple(closes[:known]) != self.closes:
            return False
        if len(closes) > known and self.last >= closes[known]:
            return False
        first = min((self._changed_from(of, closes) for of in changes.values()), default=len(closes))
        if first == len(closes):
            return True
        # Kept allocations have less and less in common: now and then all are made anew.
        return tuple(closes) == self.closes and first in self._running and self._late * 2 < len(self._facts)

    def update(self, closes: Sequence[datetime], changes: Mapping[str, Facts]) -> dict[str, Segments]:
        """Take in entries as they are now; the segments, as they are now, of what is or was otherwise than before."""
        if len(closes) > len(self.closes):
            self._running = {len(closes): self._running[len(self.closes)]}
            self.closes = tuple(closes)
        now = len(closes)
        since = {entry_id: self._changed_from(of, closes) for entry_id, of in changes.items()}
        self._late += sum(interval < now for interval in since.values())
        for entry_id, of in changes.items():
            self._note(entry_id, of)
        values: dict[str, dict[int, State]] = defaultdict(dict)
        found: dict[str, Segments] = {}
        for interval, running in self._running.items():
            here = {e: self._as_of(changes[e], interval) for e, first in since.items() if first <= interval}
            if here:
                found = running.update(here)
                for entry_id, segments in found.items():
                    values[entry_id][interval] = _state(interval, entry_id, segments, here, running)
        for entry_id, of_entry in values.items():
            self._restate(entry_id, of_entry)
            if entry_id not in found:  # only what it was
                found[entry_id] = self._running[now].segments(entry_id)
        return found

    def states(self, entry_id: str) -> Sequence[State]:
        """What an entry was, one after the other, each other than the one before; none of what never was."""
        return self._states.get(entry_id, ())

    def uses(self) -> dict[Limit, CapUse]:
        """How its caps are used now."""
        return self._running[len(self.closes)].uses()

    def books(self, facts: Facts, now: Segments, periods: PeriodTable) -> EntryBooks | None:
        """`book_states` of an entry whose segments are ``now``."""
        states, first = self.states(facts.entry_id), self.first_of_day(facts.entry_id)
        return book_states(facts, states, now, self.history.now, periods, first)

    def first_of_day(self, entry_id: str) -> Item | None:
        """The item that dates a day line now."""
        return self._running[len(self.closes)].first_of_day(entry_id)

    def _note(self, entry_id: str, facts: Facts) -> set[int]:
        self._facts[entry_id] = facts
        decisions = facts.decisions()
        self.last = max(self.last, *decisions) if decisions else self.last
        return {bisect_right(self.closes, moment) for moment in decisions}

    def _changed_from(self, new: Facts, closes: Sequence[datetime]) -> int:
        """The first interval that an entry was otherwise in, or the last: whatever has changed is of now."""
        old = self._facts.get(new.entry_id) or Facts(new.entry_id, None)
        intervals = {bisect_right(closes, moment) for moment in new.decisions() | old.decisions()}
        for at in sorted(intervals - {len(closes)}):
            if old.as_of(closes[at]) != new.as_of(closes[at]):
                return at
        return len(closes)

    def _terms(self, interval: int) -> Terms:
        return self.history.as_of(self.closes[interval]) if interval < len(self.closes) else self.history.now

    def _as_of(self, facts: Facts, interval: int) -> Facts:
        return facts.as_of(self.closes[interval]) if interval < len(self.closes) else facts

    def _restate(self, entry_id: str, values: Mapping[int, State]) -> None:
        """Put what an entry was in some intervals in the place of what was known of them."""
        known = list(self._states.get(entry_id, ()))
        first = min(values)
        states = [state for state in known if state.interval < first]
        was, later = states[-1] if states else None, known[len(states) :]
        for interval in range(first, len(self.closes) + 1):
            while later and later[0].interval <= interval:
                was = later.pop(0)
            state = values.get(interval, was)
            if state is was and was is not None and interval > was.interval:
                # What it said may have been so by another version by now, or another first of the day.
                state = was._replace(item=self._running[interval].item_of(entry_id) or was.item)
            _append(states, interval, state)
        self._states[entry_id] = tuple(states)


def _append(states: list[State], interval: int, state: State | None) -> None:
    """Add what an entry was from an interval on, unless it was so before."""
    segments = {} if state is None else state.segments
    if not _is_same(states[-1].segments if states else {}, segments):
        states.append(State(interval, None if state is None else state.item, segments))


def _state(
    interval: int, entry_id: str, segments: Segments, facts: Mapping[str, Facts], running: RunningAllocation
) -> State:
    """What an entry was; ``facts`` are those that it was made of, if they have changed."""
    item = facts[entry_id].item if entry_id in facts else None
    return State(interval, item or running.item_of(entry_id), segments)


def _is_same(some: Segments, others: Segments) -> bool:
    return some.keys() == others.keys() and all(
        content(segment) == content(others[key]) for key, segment in some.items()
    )
