"""Prices in every scope, with changes of price on the way.

Whatever is planted here leaves one answer for every entry: roles are complete, ranges do not overlap, and
no two rates of a card match with the same number of attributes. Ties and gaps are planted as trouble.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from connectors.reference.firm.catalogue import RateUnit
from connectors.reference.firm.contracts import Contracts, Engagement, Line, Project
from connectors.reference.firm.people import ROLES, People
from connectors.reference.firm.world import Draft, World, utc

_BASE_CENTS: Final = {
    "manager": 18000, "architect": 15500, "engineer": 12500, "analyst": 9500, "specialist": 21000
}  # fmt: skip
_CURRENCY_PERCENT: Final = {"EUR": 100, "USD": 110, "GBP": 86, "CHF": 96}
_OVERTIME: Final = (Decimal("1.5"), Decimal("1.25"), Decimal("1.75"))
_WEEKEND: Final = (Decimal("2"), Decimal("1.5"), Decimal("1.6"))
_DAY_HOURS: Final = Decimal("7.5")
_UNIT_HOURS: Final = {"hour": Decimal(1), "day": _DAY_HOURS, "fixed": Decimal(2)}
LONG_AGO: Final = date(2024, 1, 1)
DEFAULT_CARD_ROLES: Final = tuple(role for role in ROLES if role != "specialist")


class Rates:
    """Writes rates and knows the ones of (contract line, role), which invoices are made from."""

    def __init__(self, world: World, contracts: Contracts, people: People) -> None:
        self._world = world
        self._contracts = contracts
        self._people = people
        self._rng = world.rng("rates")
        self._by_line_role: dict[tuple[str, str], list[str]] = {}
        self._carded: list[str] = []

    def seed(self, tx: Draft) -> None:
        """Insert the default card and the rates of every engagement; schedule changes of price."""
        for role in DEFAULT_CARD_ROLES:
            self.insert(tx, self.price(role, "EUR"), "EUR", role=role)
        self.insert(tx, self.price("analyst", "EUR"), "EUR", role="analyst", region="apac")
        for number, engagement in enumerate(self._contracts.engagements):
            self.price_engagement(tx, engagement, foreseen_change=number % 4 == 1)
        settings = self._world.settings
        standard = [line for line in self._lines() if line.engagement.tag == "standard"]
        for turn, percent in enumerate((30, 45, 60)):
            when = utc(settings.day_at(percent), 8, 15)
            self._world.at(when, self._change_prices, standard[(2 + turn) % len(standard)])

    def _lines(self) -> list[Line]:
        return [line for engagement in self._contracts.engagements for line in engagement.lines]

    def price(self, role: str, currency: str) -> Decimal:
        """A plausible hourly price; one in five has four decimals."""
        percent = self._rng.randrange(90, 116) * _CURRENCY_PERCENT[currency]
        price = Decimal(_BASE_CENTS[role] * percent // 10_000 + self._rng.randrange(0, 100)).scaleb(-2)
        return price + Decimal("0.0033") if self._rng.random() < 0.2 else price

    def insert(
        self,
        tx: Draft,
        price: Decimal,
        currency: str,
        *,
        since: date = LONG_AGO,
        until: date | None = None,
        applies_to_invoiced: bool = False,
        unit: RateUnit = "hour",
        **scope: str,
    ) -> str:
        """Insert one rate; ``scope`` are the scope columns that are set. Returns its id.

        ``price`` is of an hour: that of a day is for so many hours, and a fixed one for two.
        """
        number = self._world.number("rate")
        key = f"R-{number:05}"
        tx.insert(
            "rate",
            id=key,
            currency=currency,
            price=(price * _UNIT_HOURS[unit]).quantize(Decimal("0.0001")),
            unit=unit if number % 2 or unit != "hour" else None,
            hours_per_day=_DAY_HOURS if unit == "day" else None,
            overtime_multiplier=_OVERTIME[number % 3],
            weekend_multiplier=_WEEKEND[number % 3],
            effective_from=since,
            effective_to=until,
            applies_to_invoiced=applies_to_invoiced,
            decided_at=self._world.decided_at,
            **scope,
        )
        if scope.keys() == {"contract_line_id", "role"}:
            self._by_line_role.setdefault((scope["contract_line_id"], scope["role"]), []).append(key)
        return key

    def price_engagement(self, tx: Draft, engagement: Engagement, foreseen_change: bool = False) -> None:
        """Insert the rates of an engagement as its lines ask; with a change of price half-way, if so."""
        change = self._world.settings.day_at(52) if foreseen_change else None
        for line in engagement.lines:
            spec = line.spec
            roles = ROLES if spec.specialists else DEFAULT_CARD_ROLES
            currency = spec.rate_currency or engagement.currency
            projects = [project for project in engagement.projects if project.line is line]
            if spec.pricing == "project_role":
                for project in projects:
                    for role in roles:
                        self.insert(
                            tx, self.price(role, currency), currency, project_id=project.id, role=role
                        )
            elif spec.pricing == "client_card":
                self._card(tx, engagement)
            elif spec.pricing in ("line_role", "personal"):
                for role in roles:
                    self._line_role(tx, line, role, currency, change)
            if spec.pricing == "personal":
                for project in projects:
                    self._personal(tx, project, currency)

    def _line_role(self, tx: Draft, line: Line, role: str, currency: str, change: date | None) -> None:
        price = self.price(role, currency)
        unit = line.spec.unit
        self.insert(tx, price, currency, until=change, unit=unit, contract_line_id=line.id, role=role)
        if change:
            raised = price + Decimal("3.75")
            self.insert(tx, raised, currency, since=change, unit=unit, contract_line_id=line.id, role=role)

    def _card(self, tx: Draft, engagement: Engagement) -> None:
        """A client's card: all roles; engineers also by grade, analysts by region, managers by both."""
        client, currency = engagement.client.id, engagement.currency
        if client in self._carded:  # a second card would match as often as the first
            return
        self._carded.append(client)
        for role in ROLES:
            self.insert(tx, self.price(role, currency), currency, client_id=client, role=role)
        engineer, analyst = self.price("engineer", currency), self.price("analyst", currency)
        manager = self.price("manager", currency)
        self.insert(tx, engineer, currency, client_id=client, role="engineer", grade="G3")
        self.insert(tx, analyst, currency, client_id=client, role="analyst", region="emea")
        self.insert(tx, manager, currency, client_id=client, role="manager", grade="G5", region="emea")

    def _personal(self, tx: Draft, project: Project, currency: str) -> None:
        """A price of their own for every third person, another for every fourth on the first task."""
        for number, person in enumerate(self._people.staff):
            price = self.price(person.role, currency)
            if number % 3 == 0:
                self.insert(tx, price + 5, currency, project_id=project.id, consultant_id=person.id)
            if number % 4 == 0:
                task = project.billable_tasks[0]
                self.insert(tx, price + 9, currency, task_id=task, consultant_id=person.id)

    def of_line_role(self, line: str, role: str, day: date) -> str | None:
        """The one rate of a (contract line, role) on a day; None if there is none or more than one."""
        rows = self._world.rows["rate"]
        known = (rows[key] for key in self._by_line_role.get((line, role), ()) if key in rows)
        effective = [
            row["id"]
            for row in known
            if row["effective_from"] <= day and (row["effective_to"] is None or day < row["effective_to"])
        ]
        return effective[0] if len(effective) == 1 else None

    def _change_prices(self, line: Line) -> None:
        """All prices of a line go up 4% from three days ago: entries already rated are rated again."""
        day = self._world.now.date() - timedelta(days=3)
        with self._world.transaction("erp", "rate_change") as tx:
            for role in ROLES:
                key = self.of_line_role(line.id, role, day)
                if key is None:
                    continue
                old = self._world.rows["rate"][key]
                tx.decide("rate", key, effective_to=day)
                raised = (old["price"] * Decimal("1.04")).quantize(Decimal("0.01"))
                currency = old["currency"]
                self.insert(tx, raised, currency, since=day, contract_line_id=line.id, role=role)
        self._world.features["rate_change"] += 1
