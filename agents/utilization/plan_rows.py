"""Rows of ``utilization.plan``: a consultant's week on a project, planned against worked.

A week has a row while time is planned in it on the project, or has an approved entry. Variance is planned
less worked: work that nobody planned is all negative, a plan that nobody worked all positive.

Example: 30 h planned, 34 h worked: -4 h.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from agents.utilization.contributions import ConsultantState, Content
from agents.utilization.touches import Window

Record: TypeAlias = dict[str, Any]
_GONE: Final[Content] = (None, 0, None)


def plan_rows(
    state: ConsultantState, week: Window, planned_on: Mapping[str, int | None], common: Record
) -> list[Record]:
    """Rows of a week that changed; ``planned_on`` are the seconds planned in it, by project."""
    rows = []
    for project_id in sorted({*planned_on, *state.projects_of(week.starts_on)}):
        content = _content(state, week, project_id, planned_on.get(project_id, 0))
        revision = state.publish_plan(week.starts_on, project_id, content)
        if revision is not None:
            planned, worked, variance = content or _GONE
            rows.append(
                {
                    "project_id": project_id,
                    "starts_on": week.starts_on,
                    "ends_on": week.ends_on,
                    "revision": revision,
                    "deleted": content is None,
                    "planned_seconds": planned,
                    "worked_seconds": worked,
                    "variance_seconds": variance,
                    **common,
                }
            )
    return rows


def _content(state: ConsultantState, week: Window, project_id: str, planned: int | None) -> Content | None:
    entries, worked = state.spent(week.starts_on, project_id)
    if not entries and not planned:
        return None
    return (planned, worked, None if planned is None else planned - worked)
