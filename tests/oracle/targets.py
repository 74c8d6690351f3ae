"""Targets of utilization: which holds for a person on a day, and by how much a window falls short of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from .exact import ZERO, whole
from .rows import Consultant, Rows, Target


class DayOfTarget(NamedTuple):
    """A day of a window: its capacity, its billable seconds, and the target in effect on it, if any."""

    capacity: int
    billable: int
    target: Decimal | None


def target_on(consultant: Consultant, day: date, rows: Rows) -> Decimal | None:
    """The consultant's own target in effect on a day, else that of their grade, else of their practice.

    Of two of one scope, the one that starts later holds, then the one with the higher id.
    """
    subjects = (
        ("consultant", consultant.id),
        ("grade", consultant.grade),
        ("practice", consultant.practice),
    )
    for subject in subjects:
        found = [
            target
            for target in rows.targets.values()
            if _subject(target) == subject
            and target.effective_from <= day
            and (target.effective_to is None or day < target.effective_to)
        ]
        if found:
            return max(found, key=lambda target: (target.effective_from, target.id)).ratio
    return None


def goal(days: Iterable[DayOfTarget]) -> tuple[int | None, int | None]:
    """Seconds that were to be billable, half up, and those that lack; null without a target on any day.

    Days without a target count in neither. Example: 0.75 of 40 h, 28 h billable: 30 h, and 2 h short.
    """
    aimed = [day for day in days if day.target is not None]
    if not aimed:
        return None, None
    exact = sum((day.target * day.capacity for day in aimed if day.target is not None), ZERO)
    seconds = whole(Fraction(exact))
    return seconds, max(0, seconds - sum(day.billable for day in aimed))


def _subject(target: Target) -> tuple[str, str | None]:
    names = {"consultant": target.consultant_id, "grade": target.grade, "practice": target.practice}
    return target.scope, names[target.scope]
