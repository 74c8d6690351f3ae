"""Two judges of the same source rows: the utilization agents' pure code, and the oracle."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from oracle import canonical_rows, compute_from_rows
from unit.billing.source_databases import Sources, all_records

from agents.billing import REFERENCE_ENTITIES, BillingReference, Entry, rate_entry
from agents.utilization import ConsultantState, Contribution, Lineage, UtilizationReference, recompute
from agents.utilization.groups import GroupSum, figures_of
from agents.utilization.idle import Place, idle
from agents.utilization.plans import Assignment

NOW = datetime(2026, 4, 30, tzinfo=UTC)
LINEAGE = Lineage(NOW, NOW, NOW, NOW, False)
POSITION = {"source_epoch": 1, "source_lsn": 1, "source_ordinal": 0}


class Window(NamedTuple):
    """Seconds of a consultant's window, and the ratio of billable to capacity."""

    worked: int
    billable: int
    capacity: int | None
    ratio: Decimal | None
    target: int | None
    shortfall: int | None
    planned: int | None
    planned_billable: int | None
    planned_unclassified: int | None
    forecast: Decimal | None
    variance: int | None


class Group(NamedTuple):
    """Sums of a group's window."""

    consultants: int
    idle: int
    without_capacity: int
    days: int
    worked: int
    billable: int
    unclassified: int
    capacity: int | None
    ratio: Decimal | None
    planned: int
    planned_billable: int
    planned_unclassified: int
    forecast: Decimal | None


@dataclass(frozen=True)
class Verdict:
    """What a judge says: windows by (consultant, kind, first day), or by (dimension, value, kind, first day)."""

    windows: dict[tuple[str, str, date], Window]
    groups: dict[tuple[str, str, str, date], Group]
    plans: dict[tuple[str, str, date], tuple[int | None, int, int | None]]
    """Planned, worked and variance by consultant, project and Monday."""

    def week(self, starts_on: date, consultant: str = "erp:C") -> Window:
        """A consultant's week."""
        return self.windows[consultant, "week", starts_on]

    def weeks_of_groups(self, starts_on: date) -> dict[tuple[str, str], Group]:
        """A week of all groups, by dimension and value."""
        return {key[:2]: group for key, group in self.groups.items() if key[2:] == ("week", starts_on)}


class Judge(Protocol):
    """Reads the databases as they are now."""

    def __call__(self, sources: Sources) -> Verdict: ...


def agents(sources: Sources) -> Verdict:
    """Map, classify, and compute each consultant's facts."""
    records = all_records(sources)
    prices, people = BillingReference(), UtilizationReference()
    for entity, record in records:
        people.apply(entity, record["id"], record)
        if entity in REFERENCE_ENTITIES:
            prices.apply(entity, record["id"], record)
    states: dict[str, ConsultantState] = {}
    for entity, record in records:
        entry = Entry.from_record(record) if entity == "time_entry" else None
        if entry is None:
            continue
        part = rate_entry(entry, prices).contribution
        assert part is not None
        state = states.setdefault(entry.consultant_id, ConsultantState(entry.consultant_id))
        state.apply(entry.id, Contribution(1, entry.work_date, *part, entry.project_id))
    planned: dict[str, list[tuple[date, date]]] = defaultdict(list)
    for entity, record in records:
        if entity == "assignment":
            who = record["consultant_id"]
            state = states.setdefault(who, ConsultantState(who))
            planned[who] += state.assign(record["id"], Assignment.from_record({**POSITION, **record}))
    facts = [
        recompute(state, people, list(state.days), LINEAGE, NOW, planned[who])
        for who, state in states.items()
    ]
    return Verdict(
        windows={
            (row["consultant_id"], row["window"], row["starts_on"]): Window(
                row["worked_seconds"],
                row["billable_seconds"],
                row["capacity_seconds"],
                row["utilization"],
                row["target_seconds"],
                row["shortfall_seconds"],
                row["planned_seconds"],
                row["planned_billable_seconds"],
                row["planned_unclassified_seconds"],
                row["forecast"],
                row["variance_seconds"],
            )
            for of_one in facts
            for row in of_one.windows
        },
        groups=_summed([row for of_one in facts for row in of_one.members], people),
        plans={
            (row["consultant_id"], row["project_id"], row["starts_on"]): (
                row["planned_seconds"],
                row["worked_seconds"],
                row["variance_seconds"],
            )
            for of_one in facts
            for row in of_one.plans
        },
    )


def _summed(
    members: list[dict[str, Any]], people: UtilizationReference
) -> dict[tuple[str, str, str, date], Group]:
    sums: dict[tuple[str, str, str, date], GroupSum] = {}
    active: dict[Place, set[str]] = defaultdict(set)
    for row in members:
        figures = figures_of(row)
        assert figures is not None
        key = row["dimension"], row["value"], row["window"], row["starts_on"]
        sums.setdefault(key, GroupSum()).add(figures, 1)
        active[Place(*key, row["ends_on"])].add(row["consultant_id"])
    for place, who in active.items():
        for person in set(people.consultants()) - who:
            found = idle(place, person, people)
            if found is not None:
                sums[place[:4]].add_idle(found.capacity, 1)
    return {key: Group(*of_group.fields().values()) for key, of_group in sums.items()}


def oracle(sources: Sources) -> Verdict:
    """The independent batch pass."""
    out = compute_from_rows(canonical_rows(*(sources.of(system) for system in ("erp", "crm", "time"))))
    return Verdict(
        windows={
            key: Window(
                row.worked,
                row.billable,
                row.capacity,
                row.ratio,
                row.target,
                row.shortfall,
                row.planned,
                row.planned_billable,
                row.planned_unclassified,
                row.forecast,
                row.variance,
            )
            for key, row in out.windows.items()
        },
        groups={key: Group(*astuple(row)) for key, row in out.groups.items()},
        plans={key: (row.planned, row.worked, row.variance) for key, row in out.plans.items()},
    )
