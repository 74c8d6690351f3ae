"""Rows of ``utilization.daily`` and ``utilization.windows`` for the days that changed, and only those.

A day has a row while it has an approved entry; a week (from Monday), a calendar month and a calendar quarter
likewise, and also while time is planned in it. (Quarters are the calendar's, whatever the fiscal year of a
legal entity.) A window's capacity is that of all its days, worked or not. Utilization is the ratio of sums,
billable by capacity, to six places half up; null where capacity is zero or unknown. Forecast is the same of
what is planned to be billable. Attributes are the consultant's of the day, those of a window of its last day;
target and shortfall are those
of `agents.utilization.targets`, the plan is that of `agents.utilization.plans`. A row's revision grows if and
only if its business content changes; when the last entry goes, the row is published once as deleted, and
keeps counting if it comes back.

Days whose capacity is unknown raise one MISSING_CALENDAR a consultant, which blocks utilization only,
and which clears when the consultant and the calendar are there (or the days are gone). Days without a cost
raise one of their own: see `agents.utilization.costs`.

Example: FTE 0.5, five days of 8 h, one of them a holiday, 14 billable hours: 14 / 16 = 0.875000.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, TypeAlias

from agents.utilization.capacity import UtilizationReference
from agents.utilization.contributions import ConsultantState, Content
from agents.utilization.costs import COST_RULES, cost_report
from agents.utilization.groups import members_of
from agents.utilization.measures import Measure, measure
from agents.utilization.parts import parts_of
from agents.utilization.plan_rows import plan_rows
from agents.utilization.ratio import utilization
from agents.utilization.touches import WEEK, Touch, Window, windows_between, windows_of

Record: TypeAlias = dict[str, Any]

DEFINITION: Final = "utilization/4"
RULES: Final = f"{DEFINITION}|{COST_RULES}"
FLOW: Final = "utilization"
MISSING_CALENDAR: Final = "MISSING_CALENDAR"

_DAY_FIELDS: Final = (
    "worked_seconds",
    "billable_seconds",
    "unclassified_seconds",
    "capacity_seconds",
    "practice",
    "region",
    "role",
    "grade",
)
_WINDOW_FIELDS: Final = (
    "worked_seconds",
    "billable_seconds",
    "unclassified_seconds",
    "capacity_seconds",
    "practice",
    "region",
    "target_seconds",
    "shortfall_seconds",
    "planned_seconds",
    "planned_billable_seconds",
    "planned_unclassified_seconds",
    "variance_seconds",
)
_NO_SECONDS: Final = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Times of the change that caused the rows; ``snapshot``: no latency is to be measured on it."""

    occurred_at: datetime
    captured_at: datetime
    published_at: datetime
    rated_at: datetime
    snapshot: bool

    @classmethod
    def of_contribution(cls, record: Mapping[str, Any]) -> Lineage:
        """Of a decoded ``utilization.contribution``."""
        return cls(
            record["occurred_at"],
            record["captured_at"],
            record["published_at"],
            record["rated_at"],
            record["snapshot"],
        )

    @classmethod
    def of_reference(cls, occurred_at: datetime, captured_at: datetime, published_at: datetime) -> Lineage:
        """Of a reference change, which was rated by nobody: its publication stands for that."""
        return cls(occurred_at, captured_at, published_at, published_at, True)

    def fields(self) -> Record:
        """As a record carries it."""
        return {
            "occurred_at": self.occurred_at,
            "captured_at": self.captured_at,
            "published_at": self.published_at,
            "rated_at": self.rated_at,
            "snapshot": self.snapshot,
        }


@dataclass(slots=True)
class Facts:
    """What to publish: rows of the topics, what groups get of them, and reports for ``exceptions.raised``."""

    daily: list[Record] = field(default_factory=list)
    windows: list[Record] = field(default_factory=list)
    plans: list[Record] = field(default_factory=list)
    members: list[Record] = field(default_factory=list)
    reports: list[Record] = field(default_factory=list)


def recompute(
    state: ConsultantState,
    reference: UtilizationReference,
    days: Iterable[date],
    lineage: Lineage,
    now: datetime,
    planned: Iterable[tuple[date, date]] = (),
) -> Facts:
    """Rows that changed because the sums of ``days`` did: those days, and the windows they are in.

    ``planned`` are ranges of days whose plan changed.
    """
    touched = sorted(set(days))
    windows = {window for day in touched for window in windows_of(day)}
    windows.update(*(windows_between(start, end) for start, end in planned))
    return _facts(state, reference, touched, windows, lineage, now)


def recompute_touch(
    state: ConsultantState,
    reference: UtilizationReference,
    touch: Touch,
    lineage: Lineage,
    now: datetime,
) -> Facts:
    """Rows that changed because of the reference change behind ``touch``.

    A window that holds a touched day may change although that day has no entry of its own.
    """
    days = [day for day in state.days if touch.holds(day)]
    if touch.first_day is not None and touch.first_day == touch.last_day:
        # A holiday or an absence: by far the most frequent change, and it needs no look at all windows.
        windows = set(windows_of(touch.first_day))
    else:
        windows = {window for window in state.measured() if touch.reaches(window.starts_on, window.ends_on)}
    return _facts(state, reference, sorted(days), windows, lineage, now)


def _facts(
    state: ConsultantState,
    reference: UtilizationReference,
    days: Collection[date],
    windows: Iterable[Window],
    lineage: Lineage,
    now: datetime,
) -> Facts:
    facts = Facts()
    common = {"consultant_id": state.consultant_id, "definition": DEFINITION, "computed_at": now}
    common |= lineage.fields()
    member = {"consultant_id": state.consultant_id, **lineage.fields()}
    for day in days:
        content = _day_content(state, reference, day)
        revision = state.publish_day(day, content)
        if revision is not None:
            row = _named(_DAY_FIELDS, content)
            facts.daily.append(
                {"day": day, "revision": revision, "deleted": content is None, **row, **common}
            )
    for window in sorted(windows):
        found = measure(state, reference, window)
        if window.kind == WEEK:
            facts.plans += plan_rows(state, window, {} if found is None else found.planned_on, common)
        facts.members += members_of(state, window, parts_of(state, reference, window, found), member)
        content = _window_content(found)
        revision = state.publish_window(window, content)
        if revision is not None:
            facts.windows.append(_window_row(window, revision, content, common))
    report = _report(state, reference, lineage)
    if report is not None:
        facts.reports.append(report)
    uncosted = state.uncosted.look(state.consultant_id, state.days, days, reference.costs)
    cost_revision = state.report_cost(uncosted)
    if cost_revision is not None:
        facts.reports.append(cost_report(state.consultant_id, cost_revision, uncosted) | lineage.fields())
    return facts


def _named(names: tuple[str, ...], content: Content | None) -> Record:
    """Content by its fields' names; what is gone has no seconds, and nothing else."""
    if content is None:
        content = (*_NO_SECONDS, *[None] * (len(names) - len(_NO_SECONDS)))
    return dict(zip(names, content, strict=True))


def _day_content(state: ConsultantState, reference: UtilizationReference, day: date) -> Content | None:
    total = state.days.get(day)
    if total is None:
        return None
    capacity = reference.day_capacity(state.consultant_id, day)
    who = reference.consultant_on(state.consultant_id, day)
    attributes = (who.practice, who.region, who.role, who.grade) if who is not None else (None,) * 4
    return (total.worked, total.billable, total.unclassified, capacity, *attributes)


def _window_content(found: Measure | None) -> Content | None:
    if found is None:
        return None
    total, who = found.total, found.who
    attributes = (who.practice, who.region) if who is not None else (None, None)
    seconds = (total.worked, total.billable, total.unclassified, found.capacity)
    plan = (None, None, None) if found.plan is None else found.plan
    return (*seconds, *attributes, found.target, found.shortfall, *plan, found.variance)


def _window_row(window: Window, revision: int, content: Content | None, common: Record) -> Record:
    row = _named(_WINDOW_FIELDS, content)
    row["utilization"] = utilization(row["billable_seconds"], row["capacity_seconds"])
    planned = row["planned_billable_seconds"]
    row["forecast"] = None if planned is None else utilization(planned, row["capacity_seconds"])
    row |= {"window": window.kind, "starts_on": window.starts_on, "ends_on": window.ends_on}
    return {"revision": revision, "deleted": content is None, **row, **common}


def _report(state: ConsultantState, reference: UtilizationReference, lineage: Lineage) -> Record | None:
    measured = state.days or any(one.project_id is not None for one in state.assignments())
    missing = reference.missing_keys(state.consultant_id) if measured else []
    content: Content | None = (*missing, state.worked_seconds()) if missing else None
    revision = state.report(content)
    if revision is None:
        return None
    return {
        "op": "RAISE" if missing else "CLEAR",
        "revision": revision,
        "flow": FLOW,
        "subject": state.consultant_id,
        "exception_class": MISSING_CALENDAR if missing else None,
        "message": f"no capacity without {missing[0]}" if missing else None,
        "blocks": "utilization" if missing else None,
        "missing_keys": missing or None,
        "seconds": state.worked_seconds() if missing else None,
        **lineage.fields(),
    }
