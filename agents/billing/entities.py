"""Reference rows as billing sees them: only the fields that can change a price or an allocation.

Each `from_record` takes the decoded canonical record (dates are `date`, decimals `Decimal`,
timestamps aware `datetime`) of a row that is not deleted. Fields that billing doesn't use are left out
on purpose: a renamed project or a consultant's new time zone compares equal and touches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

Record = Mapping[str, Any]

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
    """A company of the group, owner of accounting periods; billing asks only whether it is known."""

    id: str

    @classmethod
    def from_record(cls, record: Record) -> LegalEntity:
        """The legal entity of a decoded ``canonical.legal_entity``."""
        return cls(record["id"])


@dataclass(frozen=True, slots=True)
class Rate:
    """A price an hour, effective on ``[effective_from, effective_to)``; its scope is which ids are set."""

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
        )


@dataclass(frozen=True, slots=True)
class FxRate:
    """Units of ``to_currency`` for one unit of ``from_currency``, as published for ``day``."""

    id: str
    from_currency: str
    to_currency: str
    day: date
    rate: Decimal

    @classmethod
    def from_record(cls, record: Record) -> FxRate:
        """The row of a decoded ``canonical.fx_rate``."""
        return cls(
            record["id"], record["from_currency"], record["to_currency"], record["day"], record["rate"]
        )


@dataclass(frozen=True, slots=True)
class Period:
    """An accounting period of a legal entity, ``[starts_on, ends_on)``; ``closed_at`` is its hard close."""

    id: str
    legal_entity_id: str
    starts_on: date
    ends_on: date
    closed_at: datetime | None

    @classmethod
    def from_record(cls, record: Record) -> Period:
        """The period of a decoded ``canonical.period``."""
        return cls(
            record["id"],
            record["legal_entity_id"],
            record["starts_on"],
            record["ends_on"],
            record["closed_at"],
        )
