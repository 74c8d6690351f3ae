"""Looks at a system that is at work: which differences stay, and when it is known.

A change that is under way is a difference until it arrives, so one look proves nothing against a system. The
differences of a look are followed through the next ones, each by its place and figures:

    none left at a look                            EQUAL
    those left stay the same for the time to wait  DIFFERENT, unless it was under way for longer than that
    all of them went, others came meanwhile        followed anew; after the time to wait IN_FLIGHT, if every
                                                   place agreed at one look at least, else in the end UNSETTLED
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from connectors.proof.differences import Difference, Place

# Times to wait after which a place that changes before each look, and so never agrees, is given up.
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

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._started: float | None = None
        self._since = 0.0
        self._never_equal: set[Place] = set()
        self.staying: frozenset[Difference] = frozenset()

    def take(self, differences: Iterable[Difference], now: float) -> Verdict | None:
        """Take in a look; None means that another one is needed."""
        present = frozenset(differences)
        places = {difference.place for difference in present}
        left = self.staying & present
        all_went = False
        if self._started is None:
            self._started, self._since = now, now
            self._never_equal = places
            self.staying = present
        else:
            self._never_equal &= places
            if not left:
                all_went = True
                self.staying, self._since = present, now
            elif left != self.staying:
                self.staying, self._since = left, now
        if not present:
            return Verdict.EQUAL
        if now - self._since >= self._wait_s:
            return Verdict.DIFFERENT
        elapsed = now - self._started
        if all_went and not self._never_equal and elapsed >= self._wait_s:
            return Verdict.IN_FLIGHT
        if all_went and elapsed >= UNSETTLED_AFTER * self._wait_s:
            return Verdict.UNSETTLED
        return None
