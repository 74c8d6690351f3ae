"""State of one consultant: what each approved entry contributes, sums a day, and the rows last published.

Contributions arrive re-keyed from the entries' own lanes, so an entry that moved from this consultant to
another and back may have its messages here in any order. Each carries the revision of its entry: what is
not older than what is stored is applied, and a removal is stored like any other contribution, for
forgetting it would let an older PUT back in.

State is kept in pieces, so that a change writes a few hundred bytes and not the consultant's years:

    e<entry id>               revision, day (null: removed), worked, billable, unclassified seconds, project
    a<assignment id>          an assignment of the resource plan
    d<YYYY-MM-DD>             revision, the row last published
    w<kind>|<YYYY-MM-DD>       the same of a window, by its kind and first day
    g<kind>|<YYYY-MM-DD>       the same of what its groups were last given of it
    p<YYYY-MM-DD>|<project>    the same of a week on a project, planned against worked
    x                         the exception last reported
    c                         the one of days without a cost

Sums of days, of windows, and of a week on a project are not stored: they follow from the entries.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple, TypeAlias

from agents.utilization.costs import Uncosted
from agents.utilization.plans import Assignment
from agents.utilization.touches import Window, week_of, windows_between, windows_of
from streams.packing import packed

Content: TypeAlias = tuple[Any, ...]

_ENTRY, _ASSIGNMENT, _DAY, _WINDOW, _MEMBER, _PLAN, _REPORT, _COST = "e", "a", "d", "w", "g", "p", "x", "c"
REMOVE: Final = "REMOVE"


class Contribution(NamedTuple):
    """One entry's part: ``day`` None when the entry was removed. Seconds are whole."""

    revision: int
    day: date | None
    worked: int
    billable: int
    unclassified: int
    project_id: str | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Contribution:
        """The contribution in a decoded record of ``utilization.contribution``."""
        if record["op"] == REMOVE:
            return cls(record["revision"], None, 0, 0, 0)
        return cls(
            record["revision"],
            record["work_date"],
            record["worked_seconds"] or 0,
            record["billable_seconds"] or 0,
            record["unclassified_seconds"] or 0,
            record["project_id"],
        )


@dataclass(slots=True)
class DaySum:
    """Sums over the entries of a day."""

    entries: int = 0
    worked: int = 0
    billable: int = 0
    unclassified: int = 0

    def add(self, part: Contribution, sign: int) -> None:
        """Add a contribution, or with sign -1 take it out."""
        self.entries += sign
        self.worked += sign * part.worked
        self.billable += sign * part.billable
        self.unclassified += sign * part.unclassified


@dataclass(slots=True)
class WindowSum(DaySum):
    """Sums over the entries of a window; ``days`` are those that have one."""

    days: int = 0


class Published(NamedTuple):
    """A row as last published: its revision and business content; content None: published as deleted."""

    revision: int
    content: Content | None


NEVER: Final = Published(0, None)


class ConsultantState:
    """Mutable state of one consultant; `take_writes` says what changed since it was last asked."""

    def __init__(self, consultant_id: str) -> None:
        self.consultant_id = consultant_id
        self.days: dict[date, DaySum] = {}
        self.windows: dict[Window, WindowSum] = {}
        self.uncosted = Uncosted()
        self._entries: dict[str, Contribution] = {}
        self._assignments: dict[str, Assignment] = {}
        self._planned: dict[Window, dict[str, Assignment]] = {}
        # By Monday and project: entries and seconds; and the projects that a week ever had a row of.
        self._spent: dict[tuple[date, str], tuple[int, int]] = {}
        self._projects: dict[date, set[str]] = {}
        self._rows: dict[str, Published] = {}
        self._writes: dict[str, bytes] = {}

    @classmethod
    def restore(cls, consultant_id: str, pieces: Iterable[tuple[str, bytes]]) -> ConsultantState:
        """Rebuild the state from its stored pieces, in any order."""
        state = cls(consultant_id)
        for name, data in pieces:
            values = json.loads(data)
            if name[0] == _ENTRY:
                day = date.fromisoformat(values[1]) if values[1] else None
                part = Contribution(values[0], day, *values[2:])
                state._entries[name[1:]] = part
                state._count(part, 1)
            elif name[0] == _ASSIGNMENT:
                state._assignments[name[1:]] = assignment = Assignment.restored(values)
                state._place(name[1:], assignment)
            else:
                revision, content = values
                state._rows[name] = Published(revision, None if content is None else tuple(content))
                if name[0] == _PLAN:
                    monday, project_id = name[1:].split("|", 1)
                    state._projects.setdefault(date.fromisoformat(monday), set()).add(project_id)
        return state

    def apply(self, entry_id: str, part: Contribution) -> set[date]:
        """Apply one contribution; returns the days whose sums changed (none for old news)."""
        stored = self._entries.get(entry_id)
        if stored is not None and (part.revision < stored.revision or part == stored):
            return set()
        self._entries[entry_id] = part
        day = part.day.isoformat() if part.day is not None else None
        self._writes[_ENTRY + entry_id] = packed((part.revision, day, *part[2:]))
        if stored is not None and stored[1:] == part[1:]:
            return set()
        touched = set()
        for one, sign in ((stored, -1), (part, 1)):
            if one is not None and one.day is not None:
                self._count(one, sign)
                touched.add(one.day)
        return touched

    def _count(self, part: Contribution, sign: int) -> None:
        """Add an entry's part to the sums that it is in, or with sign -1 take it out."""
        if part.day is None:
            return
        is_new = part.day not in self.days
        total = self.days.setdefault(part.day, DaySum())
        total.add(part, sign)
        is_gone = total.entries == 0
        if is_gone:
            del self.days[part.day]
        for window in windows_of(part.day):
            sums = self.windows.setdefault(window, WindowSum())
            sums.add(part, sign)
            sums.days += is_new - is_gone
            if sums.entries == 0:
                del self.windows[window]
        if part.project_id is not None:
            monday = week_of(part.day).starts_on
            entries, worked = self.spent(monday, part.project_id)
            self._spent[monday, part.project_id] = entries + sign, worked + sign * part.worked
            self._projects.setdefault(monday, set()).add(part.project_id)

    def assign(self, assignment_id: str, assignment: Assignment) -> list[tuple[date, date]]:
        """Apply one assignment; returns the ranges of days whose plan changed (none for old news)."""
        stored = self._assignments.get(assignment_id)
        if stored is not None and (assignment.position < stored.position or assignment == stored):
            return []
        self._assignments[assignment_id] = assignment
        if stored is not None:
            for window in windows_between(stored.starts_on, stored.ends_on):
                del self._planned[window][assignment_id]
        self._place(assignment_id, assignment)
        self._writes[_ASSIGNMENT + assignment_id] = packed(assignment.stored())
        if stored is not None and stored[1:] == assignment[1:]:
            return []
        changed = (one for one in (stored, assignment) if one is not None and one.project_id is not None)
        return [(one.starts_on, one.ends_on) for one in changed]

    def _place(self, assignment_id: str, assignment: Assignment) -> None:
        """Note an assignment in the windows that it has days in; one that counts for nothing has none."""
        for window in windows_between(assignment.starts_on, assignment.ends_on):
            self._planned.setdefault(window, {})[assignment_id] = assignment

    def planned_in(self, window: Window) -> Collection[Assignment]:
        """The assignments that have a day in a window."""
        return self._planned.get(window, {}).values()

    def measured(self) -> set[Window]:
        """The windows with an entry or an assignment."""
        return {*self.windows, *(window for window, planned in self._planned.items() if planned)}

    def assignments(self) -> Collection[Assignment]:
        """All assignments, those that count for nothing too."""
        return self._assignments.values()

    def spent(self, monday: date, project_id: str) -> tuple[int, int]:
        """Approved entries of a week on a project, and their seconds."""
        return self._spent.get((monday, project_id), (0, 0))

    def projects_of(self, monday: date) -> Collection[str]:
        """The projects that were worked on in a week, or that it has or had a row of."""
        return self._projects.get(monday, ())

    def contributions(self) -> list[tuple[str, Contribution]]:
        """Every entry's part, removed ones too."""
        return list(self._entries.items())

    def worked_seconds(self) -> int:
        """Worked seconds of all days: what is at stake when nothing can be measured."""
        return sum(total.worked for total in self.days.values())

    def published_day(self, day: date) -> Published:
        """The day's row as last published."""
        return self._rows.get(_day_name(day), NEVER)

    def published_window(self, window: Window) -> Published:
        """The window's row as last published."""
        return self._rows.get(_window_name(window), NEVER)

    def published_member(self, window: Window) -> Published:
        """What the groups of the window were last given."""
        return self._rows.get(_window_name(window, _MEMBER), NEVER)

    def reported(self) -> Published:
        """The exception as last reported; content None: cleared."""
        return self._rows.get(_REPORT, NEVER)

    def publish_day(self, day: date, content: Content | None) -> int | None:
        """Note a day's row; its new revision, or None if nothing of its content changed."""
        return self._publish(_day_name(day), content)

    def publish_window(self, window: Window, content: Content | None) -> int | None:
        """Note a window's row; its new revision, or None if nothing of its content changed."""
        return self._publish(_window_name(window), content)

    def publish_plan(self, monday: date, project_id: str, content: Content | None) -> int | None:
        """Note a week on a project; its new revision, or None if nothing of its content changed."""
        self._projects.setdefault(monday, set()).add(project_id)
        return self._publish(f"{_PLAN}{monday.isoformat()}|{project_id}", content)

    def publish_member(self, window: Window, content: Content | None) -> int | None:
        """Note what the groups of a window are given; its new revision, or None if nothing of it changed."""
        return self._publish(_window_name(window, _MEMBER), content)

    def report(self, content: Content | None) -> int | None:
        """Note the exception report; its new revision, or None if it says nothing new."""
        return self._publish(_REPORT, content)

    def report_cost(self, content: Content | None) -> int | None:
        """Note the report of days without a cost; its new revision, or None if it says nothing new."""
        return self._publish(_COST, content)

    def _publish(self, name: str, content: Content | None) -> int | None:
        last = self._rows.get(name, NEVER)
        if last.content == content:
            return None
        self._rows[name] = Published(last.revision + 1, content)
        self._writes[name] = packed((last.revision + 1, content))
        return last.revision + 1

    def take_writes(self) -> dict[str, bytes]:
        """The pieces that changed since the last call, by name; no piece is ever deleted."""
        writes, self._writes = self._writes, {}
        return writes


def piece_key(consultant_id: str, name: str = "") -> bytes:
    """Where a lane stores a piece; without a name, the prefix of all of a consultant's pieces."""
    return f"{consultant_id}\x00{name}".encode()


def _day_name(day: date) -> str:
    return _DAY + day.isoformat()


def _window_name(window: Window, piece: str = _WINDOW) -> str:
    return f"{piece}{window.kind}|{window.starts_on.isoformat()}"
