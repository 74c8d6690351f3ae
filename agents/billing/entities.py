"""Reference rows as billing sees them: only the fields that can change a price or an allocation.

Each `from_record` takes the decoded canonical record (dates are `date`, decimals `Decimal`,
timestamps aware `datetime`) of a row that is not deleted. Fields that billing doesn't use are left out
on purpose: a renamed project or a consultant's new time zone compares equal and touches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from agents.consultant_positions import Position
from streams.money import FIXED, SECONDS_PER_HOUR

Record = Mapping[str, Any]

# Units of a rate.
PER_DAY: Final = "day"
FIXED_PRICE: Final = "fixed"

BY_RIGHT: Final = "by_right"  # late acts of a legal entity
NON_BILLABLE: Final = "non_billable"  # billing class of a task; also a contract line's method


@dataclass(frozen=True, slots=True)
class Consultant:
    """A person who logs time; role, grade and region choose the rate."""

    id: str
    role: str | None
    grade: str | None
    region: str | None

    @classmethod
    def from_record(cls, record: Record) -> Consultant:
        """The consultant of a decoded ``canonical.consultant``."""
        return cls(record["id"], record["role"], record["grade"], record["region"])

    def in_position(self, position: Position | None) -> Consultant:
        """The consultant on a day with a position, which says otherwise where it says anything; or without."""
        if position is None:
            return self
        return Consultant(
            self.id,
            self.role if position.role is None else position.role,
            self.grade if position.grade is None else position.grade,
            self.region if position.region is None else position.region,
        )


@dataclass(frozen=True, slots=True)
class Project:
    """Where time is booked. No engagement means internal work."""

    id: str
    engagement_id: str | None
    contract_line_id: str | None

    @classmethod
    def from_record(cls, record: Record) -> Project:
        """The project of a decoded ``canonical.project``."""
        return cls(record["id"], record["engagement_id"], record["contract_line_id"])


@dataclass(frozen=True, slots=True)
class Task:
    """Work inside a project; its contract line, where set, overrides the project's."""

    id: str
    project_id: str | None
    contract_line_id: str | None
    non_billable: bool

    @classmethod
    def from_record(cls, record: Record) -> Task:
        """The task of a decoded ``canonical.task``."""
        return cls(
            record["id"],
            record["project_id"],
            record["contract_line_id"],
            record["billing_class"] == NON_BILLABLE,
        )


@dataclass(frozen=True, slots=True)
class Client:
    """A customer; billing asks only whether finance knows it."""

    id: str

    @classmethod
    def from_record(cls, record: Record) -> Client:
        """The client of a decoded ``canonical.client``."""
        return cls(record["id"])


@dataclass(frozen=True, slots=True)
class LegalEntity:
    """A company of the group, owner of accounting periods; ``by_right``: only some may act on closed ones."""

    id: str
    by_right: bool = False
    currency: str | None = None

    @classmethod
    def from_record(cls, record: Record) -> LegalEntity:
        """The legal entity of a decoded ``canonical.legal_entity``."""
        return cls(record["id"], record["late_acts"] == BY_RIGHT, record["currency"])


@dataclass(frozen=True, slots=True)
class Rate:
    """A price, effective on ``[effective_from, effective_to)``; its scope is which ids are set.

    ``unit_seconds`` is the time it is for, 0 where it is fixed: for an entry, however long. It is what it is since
    ``decided_at`` (None: long ago).
    """

    id: str
    task_id: str | None
    project_id: str | None
    contract_line_id: str | None
    client_id: str | None
    consultant_id: str | None
    role: str | None
    grade: str | None
    region: str | None
    currency: str
    price: Decimal
    overtime_multiplier: Decimal
    weekend_multiplier: Decimal
    effective_from: date | None
    effective_to: date | None
    applies_to_invoiced: bool
    unit_seconds: int = SECONDS_PER_HOUR
    decided_at: datetime | None = None

    def is_effective_on(self, day: date) -> bool:
        """Whether the price holds on the day; the end is exclusive, an end that is not set is open."""
        return (self.effective_from is None or self.effective_from <= day) and (
            self.effective_to is None or day < self.effective_to
        )

    @classmethod
    def from_record(cls, record: Record) -> Rate:
        """The rate of a decoded ``canonical.rate``; a multiplier that is not set is 1."""
        return cls(
            record["id"],
            record["task_id"],
            record["project_id"],
            record["contract_line_id"],
            record["client_id"],
            record["consultant_id"],
            record["role"],
            record["grade"],
            record["region"],
            record["currency"],
            record["price"],
            record["overtime_multiplier"] or Decimal(1),
            record["weekend_multiplier"] or Decimal(1),
            record["effective_from"],
            record["effective_to"],
            bool(record["applies_to_invoiced"]),
            _unit_seconds(record["unit"], record["day_seconds"]),
            record["decided_at"],
        )


@dataclass(frozen=True, slots=True)
class FxRate:
    """Units of ``to_currency`` for one unit of ``from_currency``, as published for ``day``.

    ``rate_type`` None is the daily spot rate. It is what it is since ``decided_at`` (None: long ago).
    """

    id: str
    from_currency: str
    to_currency: str
    day: date
    rate: Decimal
    rate_type: str | None = None
    decided_at: datetime | None = None

    @classmethod
    def from_record(cls, record: Record) -> FxRate:
        """The row of a decoded ``canonical.fx_rate``."""
        return cls(
            record["id"],
            record["from_currency"],
            record["to_currency"],
            record["day"],
            record["rate"],
            record["rate_type"],
            record["decided_at"],
        )


@dataclass(frozen=True, slots=True)
class Period:
    """An accounting period of a legal entity, ``[starts_on, ends_on)``; ``closed_at`` is its hard close.

    ``soft_closed_at`` closes it to those without the right to late acts.
    """

    id: str
    legal_entity_id: str
    starts_on: date
    ends_on: date
    closed_at: datetime | None
    soft_closed_at: datetime | None = None

    @property
    def closes(self) -> list[datetime]:
        """When it was closed, softly and hard."""
        return [close for close in (self.soft_closed_at, self.closed_at) if close is not None]

    @classmethod
    def from_record(cls, record: Record) -> Period:
        """The period of a decoded ``canonical.period``."""
        return cls(
            record["id"],
            record["legal_entity_id"],
            record["starts_on"],
            record["ends_on"],
            record["closed_at"],
            record["soft_closed_at"],
        )


@dataclass(frozen=True, slots=True)
class PeriodRight:
    """A person's right to late acts on a legal entity's periods, in ``[granted_at, revoked_at)``."""

    id: str
    legal_entity_id: str
    person_id: str
    granted_at: datetime
    revoked_at: datetime | None

    def holds_at(self, decided_at: datetime) -> bool:
        """Whether it was there when something was decided."""
        return self.granted_at <= decided_at and (self.revoked_at is None or decided_at < self.revoked_at)

    @classmethod
    def from_record(cls, record: Record) -> PeriodRight:
        """The right of a decoded ``canonical.period_right``."""
        return cls(
            record["id"],
            record["legal_entity_id"],
            record["person_id"],
            record["granted_at"],
            record["revoked_at"],
        )


@dataclass(frozen=True, slots=True)
class ApprovalLimit:
    """The most that a person approves of a kind of bill adjustment, on ``[effective_from, effective_to)``."""

    id: str
    approver_id: str
    kind: str
    currency: str
    amount: Decimal
    effective_from: date
    effective_to: date | None

    def is_effective_at(self, decided_at: datetime) -> bool:
        """Whether it was so on the UTC day of a decision."""
        day = decided_at.astimezone(UTC).date()
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)

    @classmethod
    def from_record(cls, record: Record) -> ApprovalLimit:
        """The limit of a decoded ``canonical.approval_limit``."""
        return cls(
            record["id"],
            record["approver_id"],
            record["kind"],
            record["currency"],
            record["amount"],
            record["effective_from"],
            record["effective_to"],
        )


def _unit_seconds(unit: str | None, day_seconds: int | None) -> int:
    """Unit ``day`` always has its length: the mapping refuses it without."""
    if unit == FIXED_PRICE:
        return FIXED
    return day_seconds if unit == PER_DAY and day_seconds else SECONDS_PER_HOUR
