"""The terms that revenue reads of contract lines, the decisions that changed them, and milestones to come.

Each `from_record` takes the decoded canonical record of a row that is not deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from agents.billing.contracts import MILESTONE, PREPAID, RETAINER
from agents.billing.inputs import ACCEPTED
from streams.money import ZERO

Record = Mapping[str, Any]

# Revenue methods.
AS_DELIVERED: Final = "as_delivered"
ON_ACCEPTANCE: Final = "milestone"
PERCENT_COMPLETE: Final = "percent_complete"
STRAIGHT_LINE: Final = "straight_line"
AS_CONSUMED: Final = "as_consumed"
# Those of a fee that is agreed beforehand: what is invoiced of it, by milestones, does not say when it is earned.
FEE_METHODS: Final = (PERCENT_COMPLETE, STRAIGHT_LINE, AS_CONSUMED)

_METHOD_OF: Final = {MILESTONE: ON_ACCEPTANCE, RETAINER: STRAIGHT_LINE, PREPAID: AS_CONSUMED}
CANCELLED: Final = "cancelled"
# A fee has a row for each of its months; what is longer has a mistyped end.
LONGEST: Final = timedelta(days=30 * 366)


class Plan(NamedTuple):
    """What may be planned anew. ``ends_on`` is exclusive."""

    fee: Decimal
    planned_seconds: int | None
    ends_on: date | None


@dataclass(frozen=True, slots=True)
class LineTerms:
    """A contract line as revenue sees it; ``expires_on`` is the last day of what a prepaid line includes itself.

    ``has_lots``: beside that it has lots, each with a fee of its own.
    """

    id: str
    engagement_id: str
    method: str
    fee: Decimal | None = None
    planned_seconds: int | None = None
    included_seconds: int | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    expires_on: date | None = None
    has_lots: bool = False

    @classmethod
    def from_record(cls, record: Record) -> LineTerms:
        """The terms of a decoded ``canonical.contract_line``.

        A line that names no revenue method has the one of its billing method: milestones are earned on
        acceptance, retainers straight-line, prepaid lots as consumed, everything else as delivered.
        """
        return cls(
            record["id"],
            record["engagement_id"] or "",
            record["revenue_method"] or _METHOD_OF.get(record["billing_method"], AS_DELIVERED),
            record["fee"],
            record["planned_seconds"],
            record["included_seconds"],
            record["starts_on"],
            record["ends_on"],
            record["expires_on"],
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """What the method needs and the line does not say, as ``<column>:<line>``, sorted.

        Example: a retainer without a fee and an end lacks ``ends_on:erp:L`` and ``fee:erp:L``. An end that is not
        after the start, or more than thirty years after it, is none.
        """
        needed: dict[str, bool] = {}
        if self.has_lots and self.fee is None and not self.included_seconds:
            return ()
        if self.method in FEE_METHODS:
            needed["fee"] = self.fee is not None
        if self.method == PERCENT_COMPLETE:
            needed["planned_hours"] = bool(self.planned_seconds)
        if self.method == AS_CONSUMED:
            needed["included_hours"] = bool(self.included_seconds)
        if self.method == STRAIGHT_LINE:
            starts, ends = self.starts_on, self.ends_on
            needed["starts_on"] = starts is not None
            needed["ends_on"] = ends is not None and (starts is None or _spreads(starts, ends))
        return tuple(sorted(f"{name}:{self.id}" for name, is_there in needed.items() if not is_there))


def _spreads(starts_on: date, ends_on: date) -> bool:
    return timedelta(0) < ends_on - starts_on <= LONGEST


@dataclass(frozen=True, slots=True)
class Revision:
    """A decision to plan a line anew from an accounting date on; what is None stays."""

    id: str
    contract_line_id: str
    fee: Decimal | None
    planned_seconds: int | None
    ends_on: date | None
    effective_on: date
    decided_at: datetime

    @classmethod
    def from_record(cls, record: Record) -> Revision:
        """The revision of a decoded ``canonical.plan_revision``."""
        return cls(
            record["id"],
            record["contract_line_id"],
            record["fee"],
            record["planned_seconds"],
            record["ends_on"],
            record["effective_on"],
            record["decided_at"],
        )


class DatedRevision(NamedTuple):
    """A revision with the accounting date from which it counts."""

    counts_from: date
    revision: Revision


def plan_on(terms: LineTerms, revisions: Sequence[DatedRevision], day: date) -> Plan:
    """The plan in force on an accounting date: the line's own, changed by each decision, in their order.

    Example: 1,000 h planned, and 1,250 h by a decision of 4 April about 31 March, when March was closed: up
    to 31 March it is 1,000 h, from 1 April on 1,250 h.
    """
    plan = Plan(terms.fee or ZERO, terms.planned_seconds, terms.ends_on)
    for counts_from, one in revisions:
        if counts_from > day:
            continue
        if one.fee is not None:
            plan = plan._replace(fee=one.fee)
        if one.planned_seconds:
            plan = plan._replace(planned_seconds=one.planned_seconds)
        if one.ends_on is not None:
            plan = plan._replace(ends_on=one.ends_on)
    return plan


class LotFee(NamedTuple):
    """What was paid for a lot of so many seconds; ``expires_on`` is its last day."""

    id: str
    contract_line_id: str
    seconds: int
    fee: Decimal
    starts_on: date | None
    expires_on: date | None

    @property
    def bought_on(self) -> date:
        """The day from which on it is part of the price."""
        if self.starts_on is None:
            return date.min
        return self.starts_on if self.expires_on is None else min(self.starts_on, self.expires_on)

    @classmethod
    def from_record(cls, record: Record) -> LotFee:
        """Of a decoded ``canonical.prepaid_lot``."""
        return cls(*(record[name] for name in cls._fields))


class ToCome(NamedTuple):
    """A milestone of a line that may still be accepted; ``amount`` is in the engagement's currency."""

    root_id: str
    contract_line_id: str
    amount: Decimal
    due_on: date

    @classmethod
    def from_record(cls, record: Record) -> ToCome | None:
        """Of a decoded ``canonical.milestone``; None once it is accepted, with day and time, or cancelled."""
        accepted = (
            record["status"] == ACCEPTED
            and record["accepted_on"] is not None
            and record["accepted_at"] is not None
        )
        if accepted or record["status"] == CANCELLED:
            return None
        return cls(record["engagement_id"], record["contract_line_id"], record["amount"], record["due_on"])
