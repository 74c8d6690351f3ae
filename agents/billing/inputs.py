"""What gets rated: approved time entries and accepted milestones."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from agents.billing.entities import Record
from streams.errors import InvalidValue

# Kinds of time.
STANDARD: Final = "standard"
OVERTIME: Final = "overtime"
WEEKEND: Final = "weekend"

APPROVED: Final = "approved"
ACCEPTED: Final = "accepted"


class Entry(NamedTuple):
    """An approved time entry: a consultant's seconds on a project, on a local date."""

    id: str
    consultant_id: str
    project_id: str
    task_id: str | None
    work_date: date
    seconds: int
    kind: str
    version: int
    approved_at: datetime | None
    approved_by: str | None = None

    @property
    def is_self_approved(self) -> bool:
        """Whether who did the work has approved it."""
        return self.approved_by == self.consultant_id

    @classmethod
    def from_record(cls, record: Record) -> Entry | None:
        """The entry of a decoded ``canonical.time_entry``; None where it counts for nothing.

        Only an approved entry that is not deleted counts. Raises InvalidValue for an approved entry
        without a consultant, project, work date or quantity.
        """
        if record["deleted"] or record["status"] != APPROVED:
            return None
        return cls(
            record["id"],
            required(record, "consultant_id"),
            required(record, "project_id"),
            record["task_id"],
            required(record, "work_date"),
            required(record, "seconds"),
            record["kind"] or STANDARD,
            record["version"] or 1,
            record["approved_at"],
            record["approved_by"],
        )

    @classmethod
    def from_version(cls, record: Record) -> Entry | None:
        """The entry that a decoded ``canonical.time_entry_version`` was; None if it is deleted."""
        if record["entry_id"] is None:
            return None
        return cls.from_record({**record, "id": record["entry_id"], "status": APPROVED})


class Milestone(NamedTuple):
    """An accepted deliverable; ``amount`` is in the engagement's currency."""

    id: str
    engagement_id: str
    contract_line_id: str
    amount: Decimal
    accepted_on: date
    accepted_at: datetime

    @classmethod
    def from_record(cls, record: Record) -> Milestone | None:
        """The milestone of a decoded ``canonical.milestone``; None where it is not accepted or is deleted.

        Accepted means that status, day and time of the acceptance are all there. Raises InvalidValue
        for an accepted milestone without an engagement, contract line or amount.
        """
        if record["deleted"] or record["status"] != ACCEPTED:
            return None
        if record["accepted_on"] is None or record["accepted_at"] is None:
            return None
        return cls(
            record["id"],
            required(record, "engagement_id"),
            required(record, "contract_line_id"),
            required(record, "amount"),
            record["accepted_on"],
            record["accepted_at"],
        )


def required(record: Record, field: str) -> Any:
    """A field of a record that counts; raises InvalidValue where it is null."""
    value = record[field]
    if value is None:
        raise InvalidValue(f"{record['id']} has no {field}")
    return value
