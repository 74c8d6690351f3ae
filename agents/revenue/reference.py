"""Revenue's reference tables, and which roots a change of one of their rows reaches.

Milestones are no reference entity for billing, which takes each accepted one as an item. Here they are: what is still
to come of a contract is a handful of rows, and has no place among the segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from operator import attrgetter
from typing import Any, Final, NamedTuple

from agents.billing.entities import Period
from agents.billing.periods import PeriodTable
from agents.owned import OwnedRows
from agents.revenue.fees import Fee
from agents.revenue.months import LineFacts
from agents.revenue.sums import Months, first_of
from agents.revenue.terms import (
    AS_CONSUMED,
    AS_DELIVERED,
    FEE_METHODS,
    DatedRevision,
    LineTerms,
    LotFee,
    Record,
    Revision,
    ToCome,
)

ENTITIES: Final = ("contract_line", "engagement", "period", "plan_revision", "prepaid_lot", "milestone")
TIMES: Final = ("occurred_at", "captured_at", "published_at")


class Touch(NamedTuple):
    """What to compute again: all lines of a root (``root``), of all roots that use a line (``line``), or all."""

    kind: str
    id: str = ""


EVERYTHING: Final = Touch("everything")


@dataclass(frozen=True, slots=True)
class Engagement:
    """What revenue needs of an engagement."""

    client_id: str | None
    legal_entity_id: str
    currency: str
    starts_on: date

    @classmethod
    def from_record(cls, record: Record) -> Engagement:
        """The engagement of a decoded ``canonical.engagement``."""
        return cls(
            record["client_id"],
            record["legal_entity_id"] or "",
            record["currency"] or "",
            record["starts_on"] or date.min,
        )


class RevenueReference:
    """Rows by id, with the indexes that a line's facts ask."""

    def __init__(self) -> None:
        self.lines: dict[str, LineTerms] = {}
        self.engagements: dict[str, Engagement] = {}
        self.times: dict[str, dict[str, Any]] = {}
        """When a line's row changed last: commit, capture, publication."""
        self._periods = PeriodTable()
        self._lines_of: dict[str, set[str]] = {}
        self._revisions: OwnedRows[str, Revision] = OwnedRows(_line_of)
        self._lots: OwnedRows[str, LotFee] = OwnedRows(_line_of)
        self._milestones: OwnedRows[tuple[str, str], ToCome] = OwnedRows(
            attrgetter("root_id", "contract_line_id")
        )

    def apply(self, entity: str, row_id: str, record: Record | None) -> Sequence[Touch]:
        """Take a canonical record (None or ``deleted``: gone); what it reaches, nothing if it says nothing new."""
        row = None if record is None or record["deleted"] else record
        match entity:
            case "contract_line":
                if record is not None:
                    self.times[row_id] = {name: record[name] for name in TIMES}
                return self._apply_line(row_id, None if row is None else LineTerms.from_record(row))
            case "engagement":
                return self._apply_engagement(row_id, None if row is None else Engagement.from_record(row))
            case "period":
                return self._apply_period(row_id, None if row is None else Period.from_record(row))
            case "plan_revision":
                revision = None if row is None else Revision.from_record(row)
                return self._of_lines(self._revisions.replace(row_id, revision))
            case "prepaid_lot":
                lot = None if row is None else LotFee.from_record(row)
                return self._of_lines(self._lots.replace(row_id, lot))
            case _:
                return self._apply_milestone(row_id, None if row is None else ToCome.from_record(row))

    def lines_of(self, root_id: str) -> set[str]:
        """Ids of an engagement's contract lines."""
        return self._lines_of.get(root_id, set())

    def facts(self, root_id: str, line_id: str, months: Months) -> LineFacts:
        """All that a line's rows follow from.

        A line that is of another engagement has no fee here: what is delivered on it counts, and no more.
        """
        terms, engagement = self.lines.get(line_id), self.engagements.get(root_id)
        if terms is None:
            return LineFacts(AS_DELIVERED, months, missing=(f"line:{line_id}",))
        if terms.method == AS_CONSUMED and self._lots.of(line_id):
            terms = replace(terms, has_lots=True)
        is_own = terms.engagement_id == root_id
        method = terms.method if is_own else AS_DELIVERED
        missing = terms.missing if is_own else ()
        if engagement is None:
            missing = tuple(sorted((*missing, f"engagement:{root_id}")))
        if missing or engagement is None:
            begins = _begins_in(terms, engagement) if is_own and method in FEE_METHODS else None
            return LineFacts(method, months, missing=missing, begins_in=begins)
        if method in FEE_METHODS:
            return LineFacts(method, months, self._fee(terms, engagement))
        return LineFacts(method, months, to_come=self._milestones.of((root_id, line_id)) if is_own else [])

    def _fee(self, terms: LineTerms, engagement: Engagement) -> Fee:
        entity = engagement.legal_entity_id
        of_entity = [one for one in self._periods.by_id.values() if one.legal_entity_id == entity]
        closed = [(one.starts_on, one.ends_on) for one in of_entity if one.closed_at is not None]
        first = min(of_entity, key=lambda one: (one.starts_on, one.id), default=None)
        revisions = sorted(self._revisions.of(terms.id), key=lambda one: (one.decided_at, one.id))
        dated = [DatedRevision(self._counts_from(entity, first, one), one) for one in revisions]
        return Fee(
            terms,
            dated,
            engagement.currency,
            engagement.starts_on,
            lambda month: _is_closed(month, closed, first),
            self._lots.of(terms.id) if terms.has_lots else (),
        )

    def _counts_from(self, entity: str, first: Period | None, one: Revision) -> date:
        """The accounting date of a decision; what it says of the time before the first period is of that period."""
        day = one.effective_on
        if first is not None and day < first.starts_on and _was_closed(first, one):
            day = first.starts_on
        return self._periods.accounting_date(entity, day, one.decided_at)

    def _apply_line(self, line_id: str, new: LineTerms | None) -> list[Touch]:
        old = self.lines.pop(line_id, None)
        if old is not None:
            self._lines_of[old.engagement_id].discard(line_id)
        if new is not None:
            self.lines[line_id] = new
            self._lines_of.setdefault(new.engagement_id, set()).add(line_id)
        if old == new:
            return []
        roots = sorted({one.engagement_id for one in (old, new) if one is not None})
        return [Touch("line", line_id), *(Touch("root", root_id) for root_id in roots)]

    def _apply_engagement(self, root_id: str, new: Engagement | None) -> list[Touch]:
        old = self.engagements.pop(root_id, None)
        if new is not None:
            self.engagements[root_id] = new
        return [] if old == new else [Touch("root", root_id)]

    def _apply_period(self, period_id: str, new: Period | None) -> list[Touch]:
        """A period decides of its entity's engagements: what is closed, and when a new plan counts."""
        old = self._periods.by_id.get(period_id)
        self._periods.replace(period_id, new)
        if old == new:
            return []
        entities = {one.legal_entity_id for one in (old, new) if one is not None}
        return [
            Touch("root", root_id)
            for root_id, engagement in self.engagements.items()
            if engagement.legal_entity_id in entities
        ]

    def _of_lines(self, changed: Sequence[Revision | LotFee]) -> list[Touch]:
        """The engagements whose lines rows are about."""
        lines = sorted({one.contract_line_id for one in changed})
        return [Touch("root", self.lines[line].engagement_id) for line in lines if line in self.lines]

    def _apply_milestone(self, milestone_id: str, new: ToCome | None) -> list[Touch]:
        roots = {one.root_id for one in self._milestones.replace(milestone_id, new)}
        return [Touch("root", root) for root in sorted(roots)]


def _line_of(row: Revision | LotFee) -> str:
    return row.contract_line_id


def _begins_in(terms: LineTerms, engagement: Engagement | None) -> date | None:
    """The first month of a line, as far as anything says so."""
    day = terms.starts_on or (date.min if engagement is None else engagement.starts_on)
    return None if day == date.min else first_of(day)


def _is_closed(month: date, closed: Sequence[tuple[date, date]], first: Period | None) -> bool:
    """Whether the books of a month are closed: its period's are, or it is before all periods and one of them is."""
    if first is not None and month < first.starts_on:
        return bool(closed)
    return any(starts_on <= month < ends_on for starts_on, ends_on in closed)


def _was_closed(period: Period, one: Revision) -> bool:
    return period.closed_at is not None and period.closed_at <= one.decided_at


class RevenueView:
    """Revenue's reference tables as a view of the reference feed."""

    entities: Sequence[str] = ENTITIES

    def __init__(self) -> None:
        self.reference = RevenueReference()

    def apply(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Set or delete a row; returns what it may affect."""
        return self.reference.apply(entity, row_id, row)

    def missed(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Everything: which line or engagement the row was of before is not known any more.

        Lines are some thousands in a lane, and computing one is a matter of its months.
        """
        return [EVERYTHING]
