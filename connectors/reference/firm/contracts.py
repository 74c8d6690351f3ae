"""Engagements, contract lines, projects, tasks and milestones, written from the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from connectors.reference.firm.catalogue import Cap, EngagementSpec, LineSpec, catalogue
from connectors.reference.firm.clients import Client, Clients
from connectors.reference.firm.days import month_of, next_month
from connectors.reference.firm.entities import ENTITIES
from connectors.reference.firm.world import Draft, World

# Rough, for sizing caps only: billable hours of a full-time week, and what an hour is worth.
_WEEKLY_HOURS: Final = 29
_HOUR_WORTH: Final = {"EUR": 120, "USD": 132, "GBP": 102}
_DAYS_OF_MONTH: Final = Fraction("30.45")
_SERVICE_LINES: Final = ("advisory", "engineering", "operations")
_DELIVERY: Final = ("onsite", "remote", "hybrid")
_AFTER_THE_RUN: Final = 45  # days that retainers and fixed prices go on
INTERNAL: Final = ("Presales", "Training", "Bench")


@dataclass(slots=True)
class Line:
    """A contract line as the simulation knows it."""

    id: str
    engagement: Engagement
    spec: LineSpec


@dataclass(slots=True)
class Project:
    """Where time is booked. ``line`` None is internal work."""

    id: str
    line: Line | None
    weight: int
    specialists: bool
    billable_tasks: list[str] = field(default_factory=list)
    other_tasks: list[str] = field(default_factory=list)
    is_open: bool = True


@dataclass(slots=True)
class Engagement:
    """A contract with its lines and projects."""

    id: str
    tag: str
    client: Client
    entity: str
    currency: str
    lines: list[Line] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)


class Contracts:
    """Everything that is sold, findable by tag."""

    def __init__(self, world: World, clients: Clients) -> None:
        self._world = world
        self._clients = clients
        self._rng = world.rng("contracts")
        self.engagements: list[Engagement] = []
        self.internal: list[Project] = []
        self._turns: dict[str, int] = {}
        specs = catalogue(world.settings.consultants)
        total = sum(line.weight for spec in specs for line in spec.lines)
        days = (world.settings.end - world.settings.history_start).days
        self._unit_hours = world.settings.consultants * days * _WEEKLY_HOURS // (7 * total)
        self._months = max(1, round(Fraction(days) / _DAYS_OF_MONTH))
        self._specs = specs

    def find(self, tag: str, turn: int = 0) -> Engagement:
        """The engagement of a tag; of several, by turn."""
        tagged = [engagement for engagement in self.engagements if engagement.tag == tag]
        return tagged[turn % len(tagged)]

    @property
    def projects(self) -> list[Project]:
        """Client projects, in order of creation."""
        return [project for engagement in self.engagements for project in engagement.projects]

    def seed(self, tx: Draft) -> None:
        """Insert the catalogue and the internal projects."""
        for spec in self._specs:
            turn = self._turns[spec.currency] = self._turns.get(spec.currency, -1) + 1
            self.sign(tx, spec, self._clients.of_currency(spec.currency, turn))
        for name in INTERNAL:
            project = self._project(tx, None, name, None)
            self.internal.append(project)

    def sign(
        self,
        tx: Draft,
        spec: EngagementSpec,
        client: Client,
        starts_on: date | None = None,
        opportunity: str | None = None,
    ) -> Engagement:
        """Insert an engagement with its lines, projects, tasks and milestones."""
        settings = self._world.settings
        number = self._world.number("engagement")
        entity = next(entity for entity in ENTITIES if entity.currency == spec.currency)
        if number % 7 == 0:  # some contracts are signed by a company with another currency
            entity = ENTITIES[number % len(ENTITIES)]
        engagement = Engagement(f"E-{number:03}", spec.tag, client, entity.id, spec.currency)
        money, hours, action = self._cap(spec.cap, sum(line.weight for line in spec.lines), spec.currency)
        tx.insert(
            "engagement",
            id=engagement.id,
            client_id=client.id,
            legal_entity_id=entity.id,
            opportunity_id=opportunity or f"O-{number:03}",
            name=f"{client.name}: {spec.lines[0].name}",
            currency=spec.currency,
            cap_money=money,
            cap_hours=hours,
            over_cap_action=action,
            fx_rate_type=spec.fx[0],
            fx_direction=spec.fx[1],
            po_number=f"PO-{self._rng.randrange(10**5, 10**6)}" if number % 3 else None,
            status="active",
            starts_on=starts_on or settings.history_start - timedelta(days=self._rng.randrange(20, 200)),
            ends_on=None if spec.ends_percent is None else settings.day_at(spec.ends_percent),
        )
        for line_spec in spec.lines:
            self._line(tx, engagement, line_spec)
        self.engagements.append(engagement)
        return engagement

    def _line(self, tx: Draft, engagement: Engagement, spec: LineSpec) -> None:
        line = self._insert_line(tx, engagement, spec)
        project = self._project(tx, line, f"{engagement.client.name} {spec.name}", engagement)
        if spec.extra_line:
            extra = self._insert_line(tx, engagement, LineSpec("Change requests", weight=1))
            project.billable_tasks.append(self._task(tx, project, "Change request", True, extra.id))
        for number in range(1, spec.milestones + 1):
            percent = 100 * number // (spec.milestones + 1)
            tx.insert(
                "milestone",
                id=f"M-{self._world.number('milestone'):03}",
                engagement_id=engagement.id,
                contract_line_id=line.id,
                name=f"Deliverable {number}",
                amount=Decimal(self._rng.randrange(800_000, 2_000_000)).scaleb(-2),
                status="planned",
                due_on=self._world.settings.day_at(percent),
            )

    def _insert_line(self, tx: Draft, engagement: Engagement, spec: LineSpec) -> Line:
        line = Line(f"L-{engagement.id[2:]}-{len(engagement.lines) + 1}", engagement, spec)
        money, hours, action = self._cap(spec.cap, spec.weight, engagement.currency)
        included = None
        if spec.included_percent is not None:
            share = self._unit_hours * spec.weight * spec.included_percent
            included = Decimal(max(4, share // 100 // (self._months if spec.included_monthly else 1)))
        rollover: dict[str, Any] = {}
        if spec.rollover is not None and included is not None:
            percent, months = spec.rollover
            rollover = {
                "unused_hours": "roll_over",
                "rollover_hours": (included * percent / Decimal(100)).quantize(Decimal("0.25")),
                "rollover_months": months,
            }
        tx.insert(
            "contract_line",
            id=line.id,
            engagement_id=engagement.id,
            name=spec.name,
            billing_method=spec.method,
            cap_money=money,
            cap_hours=hours,
            over_cap_action=action,
            included_hours=included,
            per_diem_amount=spec.per_diem,
            day_minimum_hours=spec.day_minimum,
            quantity_increment_seconds=spec.increment,
            quantity_rounding=spec.quantity_rounding,
            minimum_quantity_hours=spec.minimum,
            rounding=spec.rounding,
            status="active",
            expense_markup=spec.expense_markup,
            expenses_billed=spec.expenses_billed,
            **rollover,
            **self._revenue_terms(spec, engagement.currency),
        )
        engagement.lines.append(line)
        return line

    def _revenue_terms(self, spec: LineSpec, currency: str) -> dict[str, Any]:
        """How the line's fee is earned; nothing of a line without one."""
        if spec.fee_percent is None:
            return {}
        settings = self._world.settings
        hours = self._unit_hours * spec.weight
        terms: dict[str, Any] = {
            "revenue_method": spec.revenue,
            "fee": Decimal(hours * _HOUR_WORTH[currency] * spec.fee_percent // 100) + Decimal("0.99"),
            "starts_on": month_of(settings.history_start),
            "ends_on": settings.end + timedelta(days=_AFTER_THE_RUN),
        }
        if spec.revenue == "percent_complete":
            terms["planned_hours"] = Decimal(hours)
        if spec.expires_months is not None:
            month = month_of(settings.history_start)
            for _ in range(spec.expires_months + 1):
                month = next_month(month)
            terms["expires_on"] = month - timedelta(days=1)
        return terms

    def _cap(self, cap: Cap | None, weight: int, currency: str) -> tuple[Decimal | None, Decimal | None, str]:
        """(money, hours, action) of a cap; odd amounts, so that splits do not fall on round figures."""
        if cap is None:
            return None, None, "hold"
        hours = max(5, self._unit_hours * weight * cap.percent // 100)
        if cap.kind == "hours":
            return None, Decimal(hours) + Decimal("0.5"), cap.action
        return Decimal(hours * _HOUR_WORTH[currency]) + Decimal("49.99"), None, cap.action

    def _project(self, tx: Draft, line: Line | None, name: str, engagement: Engagement | None) -> Project:
        number = self._world.number("project")
        project = Project(
            f"P-{number:03}",
            line,
            weight=line.spec.weight if line else 0,
            specialists=line.spec.specialists if line else True,
        )
        tx.insert(
            "project",
            id=project.id,
            engagement_id=engagement.id if engagement else None,
            contract_line_id=line.id if line else None,
            name=name,
            service_line=_SERVICE_LINES[number % 3] if line else "internal",
            delivery_model=_DELIVERY[number % 3],
            status="active",
        )
        self.add_tasks(tx, project)
        if engagement:
            engagement.projects.append(project)
        return project

    def add_tasks(self, tx: Draft, project: Project) -> None:
        """Insert a project's usual tasks: delivery, workshops and, not billed, administration."""
        for name in ("Delivery", "Workshops"):
            project.billable_tasks.append(self._task(tx, project, name, True))
        project.other_tasks.append(self._task(tx, project, "Administration", False))

    def _task(self, tx: Draft, project: Project, name: str, billable: bool, line: str | None = None) -> str:
        task = f"T-{self._world.number('task'):04}"
        tx.insert(
            "task",
            id=task,
            project_id=project.id,
            contract_line_id=line,
            name=name,
            billing_class="billable" if billable else "non_billable",
            status="active",
        )
        return task
