"""The reference time tracker: entries with their history, and absences.

People, projects and tasks are named by ERP codes, which the time tracker does not check.
"""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped

from connectors.reference.columns import (
    Code,
    Day,
    Hours,
    Instant,
    Key,
    Number,
    OptionalCode,
    OptionalInstant,
    Seconds,
)


class Time(DeclarativeBase):
    """Base of the time tracker's tables (database ``time``, schema ``public``)."""


class TimeEntry(Time):
    """Current state of an entry. ``version`` grows with every change of content after submission."""

    __tablename__ = "time_entry"
    id: Mapped[Number]
    consultant_code: Mapped[Code]
    project_code: Mapped[Code]
    task_code: Mapped[OptionalCode]
    work_date: Mapped[Day]  # local date of the consultant
    hours: Mapped[Hours]
    kind: Mapped[Code]  # standard | overtime | weekend
    status: Mapped[Code]  # draft | submitted | approved | rejected | withdrawn
    version: Mapped[Seconds]
    note: Mapped[OptionalCode]
    submitted_at: Mapped[OptionalInstant]
    approved_at: Mapped[OptionalInstant]  # of this version
    approved_by: Mapped[OptionalCode]


class TimeEntryEvent(Time):
    """Append-only history of an entry: who did what to which version, when."""

    __tablename__ = "time_entry_event"
    id: Mapped[Number]
    entry_id: Mapped[Seconds]
    version: Mapped[Seconds]
    action: Mapped[Code]  # drafted | submitted | approved | rejected | corrected | withdrawn | deleted
    hours: Mapped[Hours]
    actor: Mapped[Code]
    at: Mapped[Instant]


class TimeEntryVersion(Time):
    """What an approved entry was until it was corrected, withdrawn or deleted, which ended it. Append-only.

    Closed months are told from it: what stood at a close is what was approved before and ended no earlier.
    """

    __tablename__ = "time_entry_version"
    id: Mapped[Number]
    entry_id: Mapped[Seconds]
    version: Mapped[Seconds]
    consultant_code: Mapped[Code]
    project_code: Mapped[Code]
    task_code: Mapped[OptionalCode]
    work_date: Mapped[Day]
    hours: Mapped[Hours]
    kind: Mapped[Code]  # standard | overtime | weekend
    approved_at: Mapped[OptionalInstant]
    approved_by: Mapped[OptionalCode]
    ended_at: Mapped[Instant]


class Absence(Time):
    """Hours of a day that a consultant is away."""

    __tablename__ = "absence"
    id: Mapped[Key]
    consultant_code: Mapped[Code]
    day: Mapped[Day]
    hours: Mapped[Hours]
    kind: Mapped[Code]  # vacation | sick
