"""What a consultant's window adds to each of its groups: the days on which they are in it.

Who moves from one practice to another within a window is in both of them, each with the days spent there, and
once in the firm. Example: practice A until Tuesday, B from Wednesday on: A has the capacity, the hours and the
plan of Monday and Tuesday, B those of the other days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Final, TypeAlias

from agents.utilization.capacity import UtilizationReference
from agents.utilization.contributions import ConsultantState
from agents.utilization.groups import DIMENSIONS, FIRM, Figures, Group
from agents.utilization.measures import Measure
from agents.utilization.plans import Planned, planned, planned_by_project
from agents.utilization.staff import Consultant
from agents.utilization.touches import Window

Span: TypeAlias = tuple[date, date]  # [start, end)
_NO_PLAN: Final = (None, None, None)


def spans_by_group(parts: Iterable[tuple[date, date, Consultant]]) -> dict[Group, list[Span]]:
    """The groups that somebody is in, and when, by what they are part by part."""
    found: dict[Group, list[Span]] = {}
    for start, end, who in parts:
        for dimension in DIMENSIONS:
            value = getattr(who, dimension)
            if value is None:
                continue
            spans = found.setdefault((dimension, value), [])
            if spans and spans[-1][1] == start:
                spans[-1] = spans[-1][0], end
            else:
                spans.append((start, end))
    return found


def parts_of(
    state: ConsultantState, reference: UtilizationReference, window: Window, found: Measure | None
) -> Mapping[Group, Figures]:
    """What a consultant's window adds to each group that it adds anything to."""
    if found is None:
        return {}
    plan = _NO_PLAN if found.plan is None else found.plan
    total = found.total
    whole = Figures(total.days, total.worked, total.billable, total.unclassified, found.capacity, *plan)
    parts = reference.consultant_between(state.consultant_id, window.starts_on, window.ends_on)
    added: dict[Group, Figures] = {FIRM: whole}
    for group, spans in spans_by_group(parts).items():
        if spans == [(window.starts_on, window.ends_on)]:
            added[group] = whole
        else:
            part = _part(state, reference, window, spans)
            if part.days or part.planned:
                added[group] = part
    return added


def _part(
    state: ConsultantState, reference: UtilizationReference, window: Window, spans: list[Span]
) -> Figures:
    """Figures of some of a window's days."""
    worked = [day for span in spans for on in _days(span) if (day := state.days.get(on)) is not None]
    plan = _plan(state, reference, window, spans)
    return Figures(
        len(worked),
        sum(day.worked for day in worked),
        sum(day.billable for day in worked),
        sum(day.unclassified for day in worked),
        capacity_of(state.consultant_id, spans, reference),
        *(_NO_PLAN if plan is None else plan),
    )


def capacity_of(consultant_id: str, spans: list[Span], reference: UtilizationReference) -> int | None:
    """Seconds of capacity of spans; None if those of any are unknown."""
    seconds = [reference.range_capacity(consultant_id, *span) for span in spans]
    return None if None in seconds else sum(part or 0 for part in seconds)


def _plan(
    state: ConsultantState, reference: UtilizationReference, window: Window, spans: list[Span]
) -> Planned | None:
    total = Planned()
    for start, end in spans:
        part = Window(window.kind, start, end)
        by_project = planned_by_project(state.consultant_id, state.planned_in(window), reference, part)
        of_span = planned(by_project, reference)
        if of_span is None:
            return None
        total = Planned(*(one + more for one, more in zip(total, of_span, strict=True)))
    return total


def _days(span: Span) -> Iterator[date]:
    start, end = span
    return (date.fromordinal(ordinal) for ordinal in range(start.toordinal(), end.toordinal()))
