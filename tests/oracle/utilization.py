"""Utilization: worked and billable time of people, against their capacity, by day, week, month and quarter."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from .exact import to_places, whole
from .plans import PlanKey, PlannedDay, PlanWeek, plan_weeks, planned_days, total
from .positions import consultant_on
from .rating import line_id_of, task_of
from .rows import Consultant, Rows, TimeEntry
from .targets import DayOfTarget, goal, target_on

WEEK: Final = "week"
MONTH: Final = "month"
QUARTER: Final = "quarter"
ONE_DAY: Final = timedelta(days=1)


class DayKey(NamedTuple):
    """A consultant's local day."""

    consultant_id: str
    day: date


class WindowKey(NamedTuple):
    """A consultant's week (from Monday), calendar month or calendar quarter."""

    consultant_id: str
    window: str
    starts_on: date


@dataclass(frozen=True, slots=True)
class Utilization:
    """Seconds of a day or a window.

    ``unclassified`` is worked time of which it is not known whether it is billable. ``capacity`` is
    None when the consultant or their calendar is unknown. ``ratio`` is billable / capacity to six
    places, for windows only; None when there is no capacity. The attributes are the consultant's of the
    day, those of a window of its last day; role and grade of days only. ``target`` are the seconds that
    were to be billable, ``shortfall`` those that lack, of windows only; None without a target. ``planned``
    is what the resource plan has, of it ``planned_billable`` on billable projects and
    ``planned_unclassified`` on those of which it is not known, ``forecast`` is planned_billable / capacity,
    and ``variance`` planned less worked; of windows only, None while the capacity is unknown.
    """

    worked: int
    billable: int
    unclassified: int
    capacity: int | None
    ratio: Decimal | None = None
    practice: str | None = None
    region: str | None = None
    role: str | None = None
    grade: str | None = None
    target: int | None = None
    shortfall: int | None = None
    planned: int | None = None
    planned_billable: int | None = None
    planned_unclassified: int | None = None
    forecast: Decimal | None = None
    variance: int | None = None


def is_billable(entry: TimeEntry, rows: Rows) -> bool | None:
    """Whether an entry's time is billable; None when its project, task or contract line is unknown.

    Internal projects, non-billable lines and non-billable tasks are not. Consultant, engagement and
    client don't matter: billable work of an unknown client is billable.
    """
    project = rows.projects.get(entry.project_id)
    task = task_of(entry, rows)
    if project is None or (entry.task_id is not None and task is None):
        return None
    if project.engagement_id is None:
        return False
    line = rows.contract_lines.get(line_id_of(project, task) or "")
    if line is None:
        return None
    return line.billing_method != "non_billable" and (task is None or task.billing_class != "non_billable")


def is_billable_project(project_id: str, rows: Rows) -> bool | None:
    """Whether what is planned on a project is billable: as an entry without a task is."""
    project = rows.projects.get(project_id)
    if project is None:
        return None
    if project.engagement_id is None:
        return False
    line = rows.contract_lines.get(project.contract_line_id or "")
    return None if line is None else line.billing_method != "non_billable"


def window_starts(day: date) -> tuple[tuple[str, date], ...]:
    """The week, the month and the quarter that a day is in, by their first day."""
    quarter = max(first for first in (1, 4, 7, 10) if first <= day.month)
    return (
        (WEEK, day - ONE_DAY * day.weekday()),
        (MONTH, day.replace(day=1)),
        (QUARTER, date(day.year, quarter, 1)),
    )


def window_end(window: str, starts_on: date) -> date:
    """The day after the last of a window."""
    if window == WEEK:
        return starts_on + 7 * ONE_DAY
    if window == QUARTER:
        return date(starts_on.year + starts_on.month // 10, (starts_on.month + 3) % 12, 1)
    return (starts_on + 31 * ONE_DAY).replace(day=1)


def days_of(window: str, starts_on: date) -> list[date]:
    """All days of a window."""
    return [starts_on + ONE_DAY * n for n in range((window_end(window, starts_on) - starts_on).days)]


class Capacity:
    """Working time of people on days: (calendar - holidays) x FTE - absences, never below 0.

    Calendar and FTE are those of the day.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._holidays: dict[tuple[str, date], list[int | None]] = defaultdict(list)
        for holiday in rows.holidays.values():
            self._holidays[holiday.calendar_id, holiday.day].append(holiday.seconds)
        self._absent: dict[DayKey, int] = defaultdict(int)
        for absence in rows.absences.values():
            self._absent[DayKey(absence.consultant_id, absence.day)] += absence.seconds

    def of_day(self, consultant: Consultant | None, day: date) -> int | None:
        """Seconds of capacity, half up to a second; 0 outside employment; None without a calendar.

        Example: a day of 8 h at FTE 0.5 is 4 h; with 4 h absent at FTE 1, 4 h.
        """
        consultant = None if consultant is None else consultant_on(consultant.id, day, self._rows)
        if consultant is None:
            return None
        calendar = self._rows.calendars.get(consultant.calendar_id)
        if calendar is None:
            return None
        if day < consultant.hired_on or (consultant.left_on is not None and day >= consultant.left_on):
            return 0
        whole_day = calendar.weekday_seconds[day.weekday()]
        holidays = self._holidays.get((calendar.id, day), [])
        off = sum(whole_day if seconds is None else seconds for seconds in holidays)
        absent = self._absent.get(DayKey(consultant.id, day), 0)
        at_work = max(0, whole_day - off) * Fraction(consultant.fte) - absent
        return max(0, whole(at_work))

    def of_window(self, consultant: Consultant | None, window: str, starts_on: date) -> int | None:
        """The sum over all days of the window, worked or not."""
        total = 0
        for day in days_of(window, starts_on):
            seconds = self.of_day(consultant, day)
            if seconds is None:
                return None
            total += seconds
        return total


def utilize(
    entries: list[TimeEntry], rows: Rows
) -> tuple[dict[DayKey, Utilization], dict[WindowKey, Utilization], dict[PlanKey, PlanWeek]]:
    """Days of people with an approved entry; their windows with one, or with time planned; plan by project.

    Example: FTE 0.5, a week of five days of 8 h with one holiday, 14 billable hours: 14 / 16 = 0.875.
    """
    days: dict[DayKey, list[TimeEntry]] = defaultdict(list)
    windows: dict[WindowKey, list[TimeEntry]] = defaultdict(list)
    for entry in entries:
        days[DayKey(entry.consultant_id, entry.work_date)].append(entry)
        for window, starts_on in window_starts(entry.work_date):
            windows[WindowKey(entry.consultant_id, window, starts_on)].append(entry)
    capacity = Capacity(rows)
    plan = planned_days(rows, capacity.of_day)
    planned: dict[WindowKey, list[PlannedDay]] = defaultdict(list)
    for planned_day in plan:
        for window, starts_on in window_starts(planned_day.day):
            planned[WindowKey(planned_day.consultant_id, window, starts_on)].append(planned_day)
    daily = {}
    for key, of_day in days.items():
        consultant = consultant_on(key.consultant_id, key.day, rows)
        of_person = _sum(of_day, rows, consultant, capacity.of_day(consultant, key.day))
        if consultant is not None:
            of_person = replace(of_person, role=consultant.role, grade=consultant.grade)
        daily[key] = of_person
    windowed = {}
    for at in {*windows, *(key for key, of_plan in planned.items() if total(of_plan))}:
        of_window = windows[at]
        consultant = rows.consultants.get(at.consultant_id)
        seconds = capacity.of_window(consultant, at.window, at.starts_on)
        last_day = window_end(at.window, at.starts_on) - ONE_DAY
        worked = _sum(of_window, rows, consultant_on(at.consultant_id, last_day, rows), seconds)
        target, shortfall = _goal(at, daily, rows, capacity)
        actual = replace(worked, ratio=ratio(worked.billable, seconds), target=target, shortfall=shortfall)
        windowed[at] = _with_plan(actual, planned[at], rows)
    return daily, windowed, plan_weeks(plan, entries)


def _with_plan(window: Utilization, planned: list[PlannedDay], rows: Rows) -> Utilization:
    """A window with what is planned in it; null while the capacity is unknown, and 0 without a plan."""
    seconds = total(planned)
    if seconds is None:
        return window
    verdicts = [(day, is_billable_project(day.project_id, rows)) for day in planned]
    billable = total(day for day, verdict in verdicts if verdict is True)
    return replace(
        window,
        planned=seconds,
        planned_billable=billable,
        planned_unclassified=total(day for day, verdict in verdicts if verdict is None),
        forecast=None if billable is None else ratio(billable, window.capacity),
        variance=seconds - window.worked,
    )


def _goal(
    at: WindowKey, daily: dict[DayKey, Utilization], rows: Rows, capacity: Capacity
) -> tuple[int | None, int | None]:
    """Target and shortfall of a window, day by day; null where the capacity is unknown."""
    days = []
    for day in days_of(at.window, at.starts_on):
        consultant = consultant_on(at.consultant_id, day, rows)
        seconds = capacity.of_day(consultant, day)
        if consultant is None or seconds is None:
            return None, None
        of_day = daily.get(DayKey(at.consultant_id, day))
        billable = 0 if of_day is None else of_day.billable
        days.append(DayOfTarget(seconds, billable, target_on(consultant, day, rows)))
    return goal(days)


def ratio(billable: int, capacity: int | None) -> Decimal | None:
    """Billable / capacity, six places half up; None when the capacity is zero or unknown."""
    if not capacity:
        return None
    return to_places(Fraction(billable, capacity), 6)


def _sum(
    entries: list[TimeEntry], rows: Rows, consultant: Consultant | None, capacity: int | None
) -> Utilization:
    """Add up entries; practice and region are the consultant's as given."""
    verdicts = [(entry.seconds, is_billable(entry, rows)) for entry in entries]
    return Utilization(
        worked=sum(seconds for seconds, _ in verdicts),
        billable=sum(seconds for seconds, verdict in verdicts if verdict is True),
        unclassified=sum(seconds for seconds, verdict in verdicts if verdict is None),
        capacity=capacity,
        practice=None if consultant is None else consultant.practice,
        region=None if consultant is None else consultant.region,
    )
