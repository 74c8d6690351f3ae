"""Looks at a system that is at work: which differences stay, and when it is known.

A change that is under way is a difference until it arrives, so one look proves nothing against a system. The
differences of a look are followed through the next ones, each by its place and figures:

    none left at a look                            EQUAL
    those left stay the same for the time to wait  DIFFERENT, unless it was under way for longer than that
    all of them went, others came meanwhile        followed anew, until IN_FLIGHT or UNSETTLED

IN_FLIGHT vouches for the first look after the time to wait: every place that differed at it agreed at a later
look, so it takes three looks at least. What differs at the last look came after that one; none of it may have
been there unchanged for the time to wait. A place that does not agree leads to UNSETTLED in the end, whatever
its figures did meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from connectors.proof.differences import Difference, Place

# Times to wait, and looks, after which a place that changes before each look, and so never agrees, is given up.
UNSETTLED_AFTER = 6


class Verdict(StrEnum):
    """How the looks ended. The first two are a proof."""

    EQUAL = "equal"
    IN_FLIGHT = "equal, with changes in flight"
    DIFFERENT = "different"
    UNSETTLED = "unsettled"

    @property
    def proven(self) -> bool:
        """Whether the system says what it must."""
        return self in (Verdict.EQUAL, Verdict.IN_FLIGHT)


class Looks:
    """Differences over time. ``wait_s`` 0 decides at the first look. The clock is the caller's."""

    def __init__(self, wait_s: float) -> None:  # float: a wait
        self._wait_s = wait_s
        self._looks = 0
        self._started = 0.0  # float: a clock
        self._since = 0.0  # float: a clock
        self._first_seen: dict[Difference, float] = {}  # float: a clock
        self._unconfirmed: set[Place] | None = None
        self.staying: frozenset[Difference] = frozenset()

    def take(self, differences: Iterable[Difference], now: float) -> Verdict | None:  # float: a clock
        """Take in a look; None means that another one is needed."""
        present = frozenset(differences)
        places = {difference.place for difference in present}
        if self._looks == 0:
            self._started = now
        self._looks += 1
        elapsed = now - self._started
        self._first_seen = {one: self._first_seen.get(one, now) for one in present}
        left = self.staying & present
        if not left or left != self.staying:
            self.staying, self._since = left or present, now
        if self._unconfirmed is not None:
            self._unconfirmed &= places
        elif elapsed >= self._wait_s:
            self._unconfirmed = places
        if not present:
            return Verdict.EQUAL
        if now - self._since >= self._wait_s:
            return Verdict.DIFFERENT
        if left:
            return None
        unchanged = any(now - first >= self._wait_s for first in self._first_seen.values())
        if self._unconfirmed is not None and not self._unconfirmed and not unchanged:
            return Verdict.IN_FLIGHT
        if self._looks >= UNSETTLED_AFTER and elapsed >= UNSETTLED_AFTER * self._wait_s:
            return Verdict.UNSETTLED
        return None
