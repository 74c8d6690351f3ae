"""Windows of groups: the sums over the people of a practice, a region, a grade, and of the whole firm.

Each consultant's window is one member of the windows of their groups. It is sent to each of them apart
(``utilization.member``): put where its figures changed, removed from where it no longer belongs, all under
one revision. The receiver applies what is not older than what it has, and keeps removals, so that a person
who went to another practice and back counts once, whatever arrives first. It keeps the sum beside the
members: a change costs that one member, however many there are.

A day counts for the groups of that day: who moves within a window is a member of the old practice and of the
new one, each with its days. Someone nobody knows (an open MISSING_CALENDAR) belongs to the firm, and to no other
group. Members have an approved entry on the group's days, or time planned; those who are employed then and have
neither count with their capacity (`agents.utilization.idle`).

Utilization is the ratio of sums, over the people whose capacity is known.

Example: 30 of 40 h and 10 of 20 h are 40 of 60 h, 0.666667, not the mean of 0.75 and 0.5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from agents.utilization.contributions import REMOVE, ConsultantState, Content
from agents.utilization.ratio import utilization
from agents.utilization.touches import Window
from streams.packing import packed

Record: TypeAlias = dict[str, Any]
Group: TypeAlias = tuple[str, str]  # dimension and value: ("grade", "G4")

PUT: Final = "PUT"
FIRM: Final[Group] = ("firm", "firm")
DIMENSIONS: Final = ("practice", "region", "grade")


class Figures(NamedTuple):
    """What a member adds to its groups; seconds, and days with an approved entry."""

    days: int
    worked: int
    billable: int
    unclassified: int
    capacity: int | None
    planned: int | None
    planned_billable: int | None
    planned_unclassified: int | None


# As the records of ``utilization.member`` name them.
_NAMES: Final = ("days", *(f"{name}_seconds" for name in Figures._fields[1:]))


def members_of(
    state: ConsultantState, window: Window, parts: Mapping[Group, Figures], common: Record
) -> list[Record]:
    """Records for the groups of a consultant's window that changed in what it adds to them.

    ``common`` are the fields of every record: the consultant and the times of the cause.
    """
    old = state.published_member(window).content
    revision = state.publish_member(window, _content(parts))
    if revision is None:
        return []
    before, after = _placed(old), parts
    changed = [group for group in (*before, *after) if before.get(group) != after.get(group)]
    common = common | {
        "revision": revision,
        "window": window.kind,
        "starts_on": window.starts_on,
        "ends_on": window.ends_on,
    }
    return [_record(group, window, after.get(group)) | common for group in dict.fromkeys(changed)]


def _content(parts: Mapping[Group, Figures]) -> Content | None:
    """As it is stored: the groups' names and the figures of all; of somebody who moves, of each group apart."""
    whole = parts.get(FIRM)
    if whole is None:
        return None
    names = dict(group for group in parts if group != FIRM)
    alike = len(names) == len(parts) - 1 and all(part == whole for part in parts.values())
    content = (*(names.get(dimension) for dimension in DIMENSIONS), *whole)
    if alike:
        return content
    # Text, so that it is the same when it was stored and read.
    apart = packed([[*group, *part] for group, part in sorted(parts.items()) if group != FIRM]).decode()
    return (*(None for _ in DIMENSIONS), *whole, apart)


def _placed(content: Content | None) -> dict[Group, Figures]:
    """Figures by the groups that they belong to."""
    if content is None:
        return {}
    first, last = len(DIMENSIONS), len(DIMENSIONS) + len(Figures._fields)
    whole = Figures(*content[first:last])
    if len(content) > last:
        apart = json.loads(content[last])
        return {FIRM: whole} | {(name, value): Figures(*part) for name, value, *part in apart}
    groups = [(name, value) for name, value in zip(DIMENSIONS, content, strict=False) if value is not None]
    return dict.fromkeys([FIRM, *groups], whole)


def _record(group: Group, window: Window, figures: Figures | None) -> Record:
    dimension, value = group
    record: Record = {
        "op": REMOVE if figures is None else PUT,
        "group_window": group_window(dimension, value, window.kind, window.starts_on),
        "dimension": dimension,
        "value": value,
    }
    if figures is not None:
        record |= zip(_NAMES, figures, strict=True)
    return record


# As many groups as a lane's people have in the windows that live input is about.
@lru_cache(maxsize=4096)
def group_window(*parts: object) -> str:
    """The key of a group's window, as its published record has it: parts with ``|`` between them."""
    return "|".join(str(part).replace("%", "%25").replace("|", "%7C") for part in parts)


def figures_of(record: Mapping[str, Any]) -> Figures | None:
    """Figures in a decoded ``utilization.member``; None for a removal."""
    if record["op"] == REMOVE:
        return None
    return Figures(*(record[name] for name in _NAMES))


@dataclass(slots=True)
class GroupSum:
    """Sums over the members of a group's window. ``measured`` is billable time of those of known capacity.

    The plan is of those, too. Beside the members are those who are ``idle``.
    """

    consultants: int = 0
    without_capacity: int = 0
    days: int = 0
    worked: int = 0
    billable: int = 0
    unclassified: int = 0
    capacity: int = 0
    measured: int = 0
    planned: int = 0
    planned_billable: int = 0
    planned_unclassified: int = 0
    idle: int = 0
    idle_without_capacity: int = 0
    idle_capacity: int = 0

    def add(self, part: Figures, sign: int) -> None:
        """Add a member's figures, or with sign -1 take them out."""
        self.consultants += sign
        self.days += sign * part.days
        self.worked += sign * part.worked
        self.billable += sign * part.billable
        self.unclassified += sign * part.unclassified
        if part.capacity is None:
            self.without_capacity += sign
        else:
            self.capacity += sign * part.capacity
            self.measured += sign * part.billable
            self.planned += sign * (part.planned or 0)
            self.planned_billable += sign * (part.planned_billable or 0)
            self.planned_unclassified += sign * (part.planned_unclassified or 0)

    def add_idle(self, capacity: int | None, sign: int) -> None:
        """Add somebody without an entry or a plan, or with sign -1 take them out."""
        self.idle += sign
        if capacity is None:
            self.idle_without_capacity += sign
        else:
            self.idle_capacity += sign * capacity

    def values(self) -> tuple[int, ...]:
        """All sums, as they are stored."""
        return astuple(self)

    def content(self) -> tuple[int | str | None, ...]:
        """What is published of them, as it can be stored: sums may move between members and who is idle unseen."""
        return tuple(str(v) if isinstance(v, Decimal) else v for v in self.fields().values())

    def fields(self) -> Record:
        """As the published record has them."""
        people = self.consultants + self.idle
        unknown = self.without_capacity + self.idle_without_capacity
        capacity = self.capacity + self.idle_capacity if people > unknown else None
        return {
            "consultants": people,
            "idle_consultants": self.idle,
            "consultants_without_capacity": unknown,
            "days": self.days,
            "worked_seconds": self.worked,
            "billable_seconds": self.billable,
            "unclassified_seconds": self.unclassified,
            "capacity_seconds": capacity,
            "utilization": utilization(self.measured, capacity),
            "planned_seconds": self.planned,
            "planned_billable_seconds": self.planned_billable,
            "planned_unclassified_seconds": self.planned_unclassified,
            "forecast": utilization(self.planned_billable, capacity),
        }
