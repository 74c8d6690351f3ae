"""The terms of an allocation root as they were: what closed months are told from.

An amendment keeps the row of the engagement or the contract line as it was, with the time at which it ended. At a close
it was what the first version says that ended no earlier, and without one what it is now. Versions are of caps,
inclusions and amounts of a day; lots, and all that rating reads, are as they are now.

Example: a cap of 1,000 that is raised to 1,300 on 10 April was 1,000 at the close of 3 April.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from agents.billing.contracts import Cap, LineTerms
from agents.billing.entities import Record
from agents.billing.terms import Terms


class EngagementVersion(NamedTuple):
    """The cap of an engagement until ``ended_at``."""

    id: str
    engagement_id: str
    cap: Cap
    ended_at: datetime

    @classmethod
    def from_record(cls, record: Record) -> EngagementVersion:
        """That of a decoded ``canonical.engagement_version``."""
        return cls(record["id"], record["engagement_id"], Cap.from_record(record), record["ended_at"])


class LineVersion(NamedTuple):
    """What the work of a contract line shared until ``ended_at``; method, lots and rounding are no matter of it."""

    id: str
    contract_line_id: str
    terms: LineTerms
    ended_at: datetime

    @classmethod
    def from_record(cls, record: Record) -> LineVersion:
        """That of a decoded ``canonical.contract_line_version``."""
        terms = LineTerms.from_record({**record, "rounding": None}, method="")
        return cls(record["id"], record["contract_line_id"], terms, record["ended_at"])


@dataclass(frozen=True, slots=True)
class TermsHistory:
    """The terms of a root ``now``, and as they were until each end of a version, in order."""

    now: Terms
    ended: tuple[tuple[datetime, Terms], ...] = ()

    @classmethod
    def of(
        cls, now: Terms, engagement: Iterable[EngagementVersion], lines: Iterable[LineVersion]
    ) -> TermsHistory:
        """What versions of the engagement and of its lines make of the terms; versions come in any order."""
        versions: list[EngagementVersion | LineVersion] = [*engagement, *lines]
        versions.sort(key=lambda one: (one.ended_at, one.id))
        ends = sorted({one.ended_at for one in versions})
        return cls(now, tuple((end, _until(end, now, versions)) for end in ends))

    @property
    def is_independent(self) -> bool:
        """Whether no item's segments depend, or depended, on another item."""
        return self.now.is_independent and all(terms.is_independent for _, terms in self.ended)

    def as_of(self, close: datetime) -> Terms:
        """As they were at a close."""
        return next((terms for end, terms in self.ended if end >= close), self.now)


def _until(end: datetime, now: Terms, versions: Iterable[EngagementVersion | LineVersion]) -> Terms:
    """The terms when a version ended; the versions come by their ends."""
    cap: Cap | None = None
    were: dict[str, LineTerms] = {}
    for one in versions:
        if one.ended_at < end:
            continue
        if isinstance(one, LineVersion):
            were.setdefault(one.contract_line_id, one.terms)
        else:
            cap = cap or one.cap
    return replace(now, cap=cap or now.cap, lines=_lines(now.lines, were))


def _lines(now: Mapping[str, LineTerms], were: Mapping[str, LineTerms]) -> dict[str, LineTerms]:
    return {
        line_id: replace(were[line_id], method=terms.method, lots=terms.lots, rounding=terms.rounding)
        if line_id in were
        else terms
        for line_id, terms in now.items()
    }
