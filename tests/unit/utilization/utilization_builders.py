"""Reference rows, contributions and a folding reader for the tests of utilization."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from agents.utilization import (
    ConsultantState,
    Contribution,
    Facts,
    Lineage,
    Touch,
    UtilizationReference,
    recompute,
    recompute_touch,
)
from agents.utilization.groups import Figures, figures_of
from agents.utilization.plans import Assignment
from agents.utilization.touches import ProjectTouch

NOW = datetime(2024, 5, 6, 12, tzinfo=UTC)
LINEAGE = Lineage(NOW, NOW, NOW, NOW, False)
HOUR = 3600
ADA = "erp:C-1"


def consultant(fte: str = "1", **changes: Any) -> dict[str, Any]:
    """A canonical consultant."""
    return {
        "deleted": False,
        "calendar_id": "erp:DE",
        "fte": Decimal(fte),
        "hired_on": date(2020, 1, 1),
        "left_on": None,
        "practice": "data",
        "region": "EMEA",
        "role": "engineer",
        "grade": "senior",
        **changes,
    }


def position(start: date, end: date | None = None, **columns: Any) -> dict[str, Any]:
    """A canonical position of Ada's, that says no more than it is told to."""
    names = ("role", "grade", "practice", "region", "calendar_id", "fte")
    row = {
        "deleted": False,
        "id": "erp:CP",
        "consultant_id": ADA,
        "effective_from": start,
        "effective_to": end,
    }
    return {**row, **dict.fromkeys(names), **columns}


def calendar(**hours: float) -> dict[str, Any]:
    """A canonical calendar: five days of 8 h unless said otherwise."""
    days = dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), 8.0)
    week = {**days, "saturday": 0.0, "sunday": 0.0, **hours}
    return {"deleted": False, **{f"{name}_seconds": int(value * HOUR) for name, value in week.items()}}


def holiday(day: date, hours: float | None = None) -> dict[str, Any]:
    """A canonical holiday of the calendar."""
    seconds = None if hours is None else int(hours * HOUR)
    return {"deleted": False, "calendar_id": "erp:DE", "day": day, "seconds": seconds}


def absence(day: date, hours: float, who: str = ADA) -> dict[str, Any]:
    """A canonical absence."""
    return {"deleted": False, "consultant_id": who, "day": day, "seconds": int(hours * HOUR)}


def assignment(start: date, end: date, hours: float, **changes: Any) -> dict[str, Any]:
    """A canonical assignment of Ada to project P."""
    return {
        "deleted": False,
        "project_id": "erp:P",
        "starts_on": start,
        "ends_on": end,
        "seconds_per_day": int(hours * HOUR),
        "status": "planned",
        **changes,
    }


def firm(fte: str = "1") -> UtilizationReference:
    """Ada and her calendar."""
    reference = UtilizationReference()
    reference.apply("calendar", "erp:DE", calendar())
    reference.apply("consultant", ADA, consultant(fte))
    return reference


class Person:
    """State, reference and the fold of what was published of one consultant."""

    def __init__(self, reference: UtilizationReference, who: str = ADA) -> None:
        self.reference = reference
        self.state = ConsultantState(who)
        self.pieces: dict[str, bytes] = {}
        self.daily: dict[date, dict[str, Any]] = {}
        self.windows: dict[tuple[str, date], dict[str, Any]] = {}
        self.plans: dict[tuple[str, date], dict[str, Any]] = {}
        self.members: dict[str, dict[str, Any]] = {}
        self.raised: dict[str, Any] | None = None
        self.uncosted: dict[str, Any] | None = None
        self.records = 0
        self.rows: dict[tuple[str, str], dict[str, Any] | None] = {}

    def put(
        self,
        entry: str,
        day: date | None,
        worked: float,
        billable: float = 0,
        revision: int = 1,
        project: str | None = "erp:P",
    ) -> Facts:
        """Apply a contribution in hours (day None: a removal)."""
        seconds = int(worked * HOUR), int(billable * HOUR)
        days = self.state.apply(entry, Contribution(revision, day, *seconds, 0, project))
        return self.fold(recompute(self.state, self.reference, days, LINEAGE, NOW))

    def plan(self, identifier: str, record: dict[str, Any], lsn: int = 1) -> Facts:
        """Apply an assignment whose row is at a position."""
        position = {"source_epoch": 1, "source_lsn": lsn, "source_ordinal": 0}
        ranges = self.state.assign(identifier, Assignment.from_record({**position, **record}))
        return self.fold(recompute(self.state, self.reference, (), LINEAGE, NOW, ranges))

    def change(
        self, entity: str, identifier: str, record: dict[str, Any] | None
    ) -> list[Touch | ProjectTouch]:
        """Apply a reference change and everything that it touches of this person."""
        touches = self.reference.apply(entity, identifier, record)
        self.rows[entity, identifier] = record
        for touch in touches:
            if isinstance(touch, ProjectTouch):
                touch = Touch(self.state.consultant_id)
            if touch.consultant_id == self.state.consultant_id:
                self.fold(recompute_touch(self.state, self.reference, touch, LINEAGE, NOW))
        return touches

    def fold(self, facts: Facts) -> Facts:
        """Read what was published as a consumer does."""
        for row in facts.daily:
            self._check_revision(self.daily.get(row["day"]), row)
            self.daily[row["day"]] = row
        for row in facts.windows:
            self._check_revision(self.windows.get((row["window"], row["starts_on"])), row)
            self.windows[row["window"], row["starts_on"]] = row
        for row in facts.plans:
            self._check_revision(self.plans.get((row["project_id"], row["starts_on"])), row)
            self.plans[row["project_id"], row["starts_on"]] = row
        for row in facts.members:
            old = self.members.get(row["group_window"])
            assert old is None or row["revision"] > old["revision"]
            assert old is None or figures_of(row) != figures_of(old)
            self.members[row["group_window"]] = row
        for report in facts.reports:
            raised = report if report["op"] == "RAISE" else None
            if report["flow"] == "margin":
                self.uncosted = raised
            else:
                self.raised = raised
        self.pieces |= self.state.take_writes()
        self.records += len(facts.daily) + len(facts.windows) + len(facts.reports)
        return facts

    def restart(self) -> None:
        """Lose everything but the stored pieces."""
        self.state = ConsultantState.restore(self.state.consultant_id, self.pieces.items())

    def anew(self) -> Person:
        """The same person computed from the final state of everything, in one pass."""
        reference = firm()
        for (entity, identifier), record in self.rows.items():
            reference.apply(entity, identifier, record)
        fresh = Person(reference, self.state.consultant_id)
        for entry, part in self.state.contributions():
            fresh.put(entry, part.day, part.worked / HOUR, part.billable / HOUR, project=part.project_id)
        for number, one in enumerate(self.state.assignments()):
            if one.project_id is not None:
                hours = one.seconds_per_day / HOUR
                row = assignment(one.starts_on, one.ends_on, hours, project_id=one.project_id)
                fresh.plan(f"erp:AS-{number}", row)
        return fresh

    def live(self) -> tuple[dict[Any, Any], dict[Any, Any], dict[Any, Any], dict[str, Figures]]:
        """Business content of the rows that are not deleted, and what the groups have."""
        figures = {key: figures_of(row) for key, row in self.members.items()}
        given = {key: of_group for key, of_group in figures.items() if of_group is not None}
        return _content(self.daily), _content(self.windows), _content(self.plans), given

    @staticmethod
    def _check_revision(old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        assert new["revision"] == (old["revision"] + 1 if old else 1)
        assert old is None or _business(old) != _business(new)


def _business(row: dict[str, Any]) -> dict[str, Any]:
    lineage = {"revision", "computed_at", *LINEAGE.fields()}
    return {name: value for name, value in row.items() if name not in lineage}


def _content(rows: dict[Any, dict[str, Any]]) -> dict[Any, Any]:
    return {key: _business(row) for key, row in rows.items() if not row["deleted"]}
