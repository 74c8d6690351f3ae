"""What can happen to time entries: all transitions, each with its history event in the same transaction.

    draft ──submit──▶ submitted ──approve──▶ approved
      │ edit │ delete    │ reject               │ correct ─▶ submitted (version + 1)
      ▼                  ▼                      │ withdraw, delete, overwrite
    (gone)            rejected ──fix──▶ submitted (version + 1)

`approved_at` and `approved_by` are those of the current version: null unless it is approved.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from connectors.reference.firm.entities import first_close
from connectors.reference.firm.model import Row
from connectors.reference.firm.people import Person
from connectors.reference.firm.staffing import Booking
from connectors.reference.firm.world import Draft, World
from streams.money import seconds_to_hours

# Ids grow with the day of logging, which is at most a week after the day of work.
_LOGGED_WITHIN: Final = timedelta(days=10)
IMPORTER: Final = "import"  # the actor of changes that no person made


class Entries:
    """Time entries and their history, by id."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng("notes")

    def row(self, entry: int) -> Row | None:
        """The current row, None once deleted."""
        return self._world.rows["time_entry"].get(entry)

    def in_status(self, entries: Sequence[int], status: str) -> list[int]:
        """Those of the entries that exist and have a status."""
        rows = self._world.rows["time_entry"]
        return [entry for entry in entries if entry in rows and rows[entry]["status"] == status]

    def recent(self, since: date) -> list[Row]:
        """Rows of work from a day on, in order of their ids; the cost does not grow with the history."""
        rows = []
        for row in reversed(self._world.rows["time_entry"].values()):
            if row["work_date"] < since - _LOGGED_WITHIN:
                break
            if row["work_date"] >= since:
                rows.append(row)
        return rows[::-1]

    def draft(self, tx: Draft, person: Person, bookings: Sequence[tuple[date, Booking]]) -> list[int]:
        """Log bookings as drafts."""
        entries = []
        for day, booking in bookings:
            entry = self._world.number("time_entry")
            tx.insert(
                "time_entry",
                id=entry,
                consultant_code=person.id,
                project_code=booking.project,
                task_code=booking.task,
                work_date=day,
                hours=seconds_to_hours(booking.seconds),
                kind=booking.kind,
                status="draft",
                version=1,
                note=self._note(),
            )
            entries.append(entry)
        self._event(tx, entries, "drafted", person.id)
        return entries

    def _note(self) -> str | None:
        chance = self._rng.random()
        if chance < 0.75:
            return None
        return "Sprint review, Zürich: “phase 2”" if chance < 0.8 else f"Ticket {self._rng.randrange(1000)}"

    def edit(self, tx: Draft, entry: int, hours: Decimal) -> None:
        """Change a draft; drafts have no versions, and the change no event."""
        tx.update("time_entry", entry, hours=hours)

    def submit(self, tx: Draft, entries: Sequence[int], actor: str) -> None:
        """Hand drafts in."""
        values: Row = {"status": "submitted", "submitted_at": self._world.now}
        for entry in entries:
            tx.update("time_entry", entry, **values)
        self._event(tx, entries, "submitted", actor)

    def approve(self, tx: Draft, entries: Sequence[int], actor: str) -> None:
        """Approve submitted entries."""
        values: Row = {"status": "approved", "approved_at": self._world.now, "approved_by": actor}
        for entry in entries:
            tx.update("time_entry", entry, **values)
        self._event(tx, entries, "approved", actor)
        for entry in entries:
            self._count_late(entry)

    def _count_late(self, entry: int) -> None:
        """Count approvals that come after the first entity has closed the month of the work."""
        if self._world.now >= first_close(self._world.rows["time_entry"][entry]["work_date"]):
            self._world.features["approved_after_close"] += 1

    def reject(self, tx: Draft, entries: Sequence[int], actor: str) -> None:
        """Send submitted entries back."""
        for entry in entries:
            tx.update("time_entry", entry, status="rejected")
        self._event(tx, entries, "rejected", actor)

    def correct(
        self,
        tx: Draft,
        entry: int,
        actor: str,
        *,
        hours: Decimal | None = None,
        project: str | None = None,
        task: str | None = None,
    ) -> None:
        """Change an approved or rejected entry and hand it in again: a new version, not approved yet."""
        row = self._world.rows["time_entry"][entry]
        self._keep_version(tx, row)
        changed = {"hours": row["hours"] if hours is None else hours}
        if project is not None:
            changed |= {"project_code": project, "task_code": task}
        tx.update(
            "time_entry",
            entry,
            **changed,
            version=row["version"] + 1,
            status="submitted",
            submitted_at=self._world.now,
            approved_at=None,
            approved_by=None,
        )
        self._event(tx, [entry], "corrected", actor)
        self._event(tx, [entry], "submitted", actor)

    def overwrite(self, tx: Draft, entry: int, hours: Decimal) -> None:
        """A script changes an approved entry's hours; it stays approved, as a new version."""
        row = self._world.rows["time_entry"][entry]
        self._keep_version(tx, row)
        version = row["version"] + 1
        tx.update("time_entry", entry, hours=hours, version=version, approved_at=self._world.now)
        self._event(tx, [entry], "corrected", IMPORTER)

    def withdraw(self, tx: Draft, entry: int, actor: str) -> None:
        """Take an entry back for good."""
        self._keep_version(tx, self._world.rows["time_entry"][entry])
        tx.update("time_entry", entry, status="withdrawn", approved_at=None, approved_by=None)
        self._event(tx, [entry], "withdrawn", actor)

    def delete(self, tx: Draft, entry: int, actor: str) -> None:
        """Delete the row; its history stays."""
        self._event(tx, [entry], "deleted", actor)
        self._keep_version(tx, self._world.rows["time_entry"][entry])
        tx.delete("time_entry", entry)

    def _keep_version(self, tx: Draft, row: Row) -> None:
        """What stands of an approved entry stands no more; of others nothing did."""
        if row["status"] == "approved":
            names = ("version", "consultant_code", "project_code", "task_code", "work_date", "hours", "kind")
            tx.insert(
                "time_entry_version",
                id=self._world.number("time_entry_version"),
                entry_id=row["id"],
                **{name: row[name] for name in (*names, "approved_at", "approved_by")},
                ended_at=self._world.now,
            )

    def _event(self, tx: Draft, entries: Sequence[int], action: str, actor: str) -> None:
        for entry in entries:
            row = self._world.rows["time_entry"][entry]
            tx.insert(
                "time_entry_event",
                id=self._world.number("time_entry_event"),
                entry_id=entry,
                version=row["version"],
                action=action,
                hours=row["hours"],
                actor=actor,
                at=self._world.now,
            )
