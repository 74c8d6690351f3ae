"""What consultants are from day to day, as views join it to work."""

from __future__ import annotations

from types import MappingProxyType

# Days before any position, and of what has no day: the consultant's own row holds.
_ALWAYS = "'-infinity'::date"

POSITIONS = MappingProxyType(
    {
        # One row for each range of days `[first_day, end_day)` on which a consultant is the same, of all days. Of
        # positions that overlap the one that begins last holds; what it leaves open is as in the consultant's row.
        "v_consultant_of_day": f"""
WITH own AS (
    SELECT id, practice, role, grade, region FROM dim_consultant WHERE is_current AND NOT deleted
),
positions AS (
    SELECT id, consultant_id, effective_from, effective_to, practice, role, grade, region
    FROM dim_consultant_position
    WHERE is_current AND NOT deleted
),
starts AS (
    SELECT id AS consultant_id, {_ALWAYS} AS first_day FROM own
    UNION
    SELECT consultant_id, effective_from FROM positions
    UNION
    SELECT consultant_id, effective_to FROM positions WHERE effective_to IS NOT NULL
),
steps AS (
    SELECT consultant_id, first_day,
           lead(first_day, 1, 'infinity'::date) OVER (PARTITION BY consultant_id ORDER BY first_day) AS end_day
    FROM starts
)
SELECT own.id AS consultant_id, steps.first_day, steps.end_day,
       coalesce(held.practice, own.practice) AS practice, coalesce(held.role, own.role) AS role,
       coalesce(held.grade, own.grade) AS grade, coalesce(held.region, own.region) AS region
FROM own
JOIN steps ON steps.consultant_id = own.id
LEFT JOIN LATERAL (
    SELECT one.practice, one.role, one.grade, one.region
    FROM positions AS one
    WHERE one.consultant_id = own.id AND one.effective_from <= steps.first_day
      AND (one.effective_to IS NULL OR steps.first_day < one.effective_to)
    ORDER BY one.effective_from DESC, one.id COLLATE "C" DESC
    LIMIT 1
) AS held ON true""",
    }
)


def person_on(who: str, day: str) -> str:
    """The join, as ``person``, of what a consultant is on a day; on none it is their own row.

    Example: ``person_on("line.consultant_id", "line.work_date")`` gives ``person.practice``.
    """
    return f"""LEFT JOIN v_consultant_of_day AS person
       ON person.consultant_id = {who} AND person.first_day <= coalesce({day}, {_ALWAYS})
      AND coalesce({day}, {_ALWAYS}) < person.end_day"""
