"""The firm of the benchmark: its reference rows, by a seed.

Engagements come in two cohorts, A and B, that share consultants, rates by role and calendar but no
allocation root. The entries of cohort A are complete in themselves, so a slower program can be given
them alone and must come to the same rows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

Row = dict[str, Any]

FIRST_DAY: Final = date(2026, 1, 5)  # a Monday
WEEKS: Final = 26
MONTHS: Final = 12
# Time of a new row; benchmarks are repeatable, so it is no clock's.
STARTED: Final = datetime(2026, 1, 5, 8, tzinfo=UTC)

# Most time is billed by the hour without a cap. Roots with a cap are allocated as a whole, so they are
# kept at the size that such contracts have in practice.
CAPPED_SHARE: Final = 0.05
ENTRIES_OF_CAPPED: Final = 60
ENTRIES_OF_UNCAPPED: Final = 600

ROLES: Final = ("developer", "analyst", "architect", "manager", "designer")
GRADES: Final = ("junior", "senior", "principal")
CURRENCIES: Final = ("EUR", "EUR", "EUR", "USD", "GBP")
LEGAL_ENTITY: Final = "erp:LE-1"

EMPTY_POSITION: Final = {
    "deleted": False,
    "source_epoch": 1,
    "source_ordinal": 0,
    "snapshot": False,
    "mapping_version": "1",
}


@dataclass(frozen=True, slots=True)
class Work:
    """Where time can be booked: a project with its tasks (None: without one)."""

    project_id: str
    task_ids: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Cohort:
    """One set of allocation roots; ``weights`` say how much of the time goes to each of ``work``."""

    name: str
    roots: frozenset[str]
    work: tuple[Work, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Firm:
    """Reference rows as (entity, row) in an order that can be written, and what entries choose from."""

    rows: tuple[tuple[str, Row], ...]
    consultants: tuple[str, ...]
    cohorts: tuple[Cohort, ...]


def make_firm(seed: int, consultants: int, entries: dict[str, int]) -> Firm:
    """The firm of a seed; ``entries`` is about how many entries each cohort will have."""
    rng = random.Random(seed)  # noqa: S311 -- a firm to repeat, not a secret
    builder = _Builder(rng)
    people = builder.people(consultants)
    cohorts = tuple(builder.cohort(name, people, count) for name, count in entries.items() if count)
    rows = tuple(
        (entity, stamped(row, "erp", position)) for position, (entity, row) in enumerate(builder.rows, 1)
    )
    return Firm(rows, people, cohorts)


def stamped(row: Row, system: str, lsn: int) -> Row:
    """A canonical record of a row, with its position and times: a row a millisecond."""
    at = STARTED + timedelta(milliseconds=lsn)
    times = {"occurred_at": at, "captured_at": at, "published_at": at}
    return {**EMPTY_POSITION, "source_system": system, "source_lsn": lsn, **times, **row}


class _Builder:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.rows: list[tuple[str, Row]] = []
        self._add("legal_entity", LEGAL_ENTITY, name="Firm", currency="EUR", time_zone="UTC", region="emea")
        for month in range(1, MONTHS + 1):
            ends_on = date(2026, month + 1, 1) if month < MONTHS else date(2027, 1, 1)
            self._add(
                "period",
                f"erp:P-{month:02}",
                legal_entity_id=LEGAL_ENTITY,
                starts_on=date(2026, month, 1),
                ends_on=ends_on,
                status="open",
                # The first months are closed some days later: what is approved then is dated to the next.
                closed_at=datetime(2026, month + 1, 5, 18, tzinfo=UTC) if month <= 3 else None,
            )
        for day in range(WEEKS * 7):
            on = FIRST_DAY + timedelta(days=day)
            for pair, base in (("EUR:USD", "1.08"), ("EUR:GBP", "0.85")):
                source, target = pair.split(":")
                rate = Decimal(base) + Decimal(rng.randint(-300, 300)) / 10_000
                self._add(
                    "fx_rate",
                    f"erp:FX-{pair}-{on}",
                    from_currency=source,
                    to_currency=target,
                    day=on,
                    rate=rate,
                )
        for role in ROLES:  # the default card: by role, and by role and grade
            self._rate(f"default-{role}", role=role)
            self._rate(f"default-{role}-senior", role=role, grade="senior")

    def _add(self, entity: str, row_id: str, **fields: Any) -> None:
        self.rows.append((entity, {"id": row_id, **fields}))

    def _rate(self, name: str, **scope: str) -> None:
        """Two prices in a row, with the change in the middle of the time that is worked."""
        price = Decimal(self._rng.randint(600, 2400)) / 10
        change = FIRST_DAY + timedelta(weeks=WEEKS // 2)
        for number, (start, end) in enumerate(((None, change), (change, None)), start=1):
            self._add(
                "rate",
                f"erp:R-{name}-{number}",
                currency="EUR",
                price=price + number,
                overtime_multiplier=Decimal("1.5"),
                weekend_multiplier=Decimal("2"),
                effective_from=start,
                effective_to=end,
                **scope,
            )

    def people(self, count: int) -> tuple[str, ...]:
        """Consultants of all roles and grades."""
        ids = []
        for number in range(count):
            ids.append(f"erp:C-{number:04}")
            self._add(
                "consultant",
                ids[-1],
                name=f"Consultant {number}",
                role=self._rng.choice(ROLES),
                grade=self._rng.choice(GRADES),
                region="emea",
                legal_entity_id=LEGAL_ENTITY,
                fte=Decimal(1),
                time_zone="UTC",
            )
        return tuple(ids)

    def cohort(self, name: str, people: tuple[str, ...], entries: int) -> Cohort:
        """Engagements enough for so many entries, with projects and tasks, and internal work."""
        capped = max(1, round(entries * CAPPED_SHARE / ENTRIES_OF_CAPPED))
        uncapped = max(2, round(entries * (1 - CAPPED_SHARE) / ENTRIES_OF_UNCAPPED))
        roots, work, weights = [], [], []
        for number in range(capped + uncapped):
            is_capped = number < capped
            places = list(self._engagement(f"{name}{number:04}", number, is_capped, people))
            roots.append(f"erp:E-{name}{number:04}")
            share = CAPPED_SHARE / capped if is_capped else (0.93 - CAPPED_SHARE) / uncapped
            work += places
            weights += [share / len(places)] * len(places)
        self._add("project", f"erp:PR-{name}-internal", name="Internal")
        # A project that the ERP does not know yet: its entries are parked.
        for project, weight in ((f"erp:PR-{name}-internal", 0.065), (f"erp:PR-{name}-unknown", 0.005)):
            work.append(Work(project, (None,)))
            weights.append(weight)
        return Cohort(name, frozenset(roots), tuple(work), tuple(weights))

    def _engagement(self, name: str, number: int, capped: bool, people: tuple[str, ...]) -> Iterator[Work]:
        """An engagement with a client and two projects; every third has a milestone line too."""
        rng = self._rng
        root, client = f"erp:E-{name}", f"erp:CL-{name}"
        by_line = capped and number % 2 == 1
        self._add("client", client, currency="EUR", status="active")
        self._add(
            "engagement",
            root,
            client_id=client,
            legal_entity_id=LEGAL_ENTITY,
            name=name,
            currency=rng.choice(CURRENCIES),
            # Reached by some, so that work beyond it is held.
            cap_money=Decimal(rng.randint(15_000, 60_000)) if capped and not by_line else None,
            over_cap_action="hold",
            status="active",
        )
        self._line(root, f"{name}-tm", "tm", cap_seconds=rng.randint(150, 500) * 3600 if by_line else None)
        if number % 4 == 0:  # prices of this client
            self._rate(f"cl-{name}", client_id=client, role=rng.choice(ROLES))
        for letter in ("a", "b"):
            project = f"erp:PR-{name}{letter}"
            line = f"{name}-tm"
            if number % 3 == 2 and letter == "b":
                line = f"{name}-ms"
                self._line(root, line, "milestone")
            self._add("project", project, engagement_id=root, contract_line_id=f"erp:L-{line}", name=project)
            tasks = [f"erp:T-{name}{letter}{task}" for task in (1, 2, 3)]
            for task, billing_class in zip(tasks, ("billable", "billable", "non_billable"), strict=True):
                self._add("task", task, project_id=project, name=task, billing_class=billing_class)
            for role in rng.sample(ROLES, 3):
                self._rate(f"pr-{project[4:]}-{role}", project_id=project, role=role)
            person = rng.choice(people)
            self._rate(f"pc-{project[4:]}", project_id=project, consultant_id=person)
            self._rate(f"tc-{project[4:]}", task_id=tasks[0], consultant_id=rng.choice(people))
            # Most work is on billable tasks.
            yield Work(project, (None, *tasks[:2] * 5, tasks[2]))
        self._rate(f"lr-{name}", contract_line_id=f"erp:L-{name}-tm", role=rng.choice(ROLES))

    def _line(self, root: str, name: str, method: str, cap_seconds: int | None = None) -> None:
        self._add(
            "contract_line",
            f"erp:L-{name}",
            engagement_id=root,
            name=name,
            billing_method=method,
            cap_seconds=cap_seconds,
            over_cap_action="hold",
            # Some contracts bill quarters of an hour.
            quantity_increment_seconds=900 if self._rng.random() < 0.2 else None,
            rounding="half_up",
            status="active",
        )
