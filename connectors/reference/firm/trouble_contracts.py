"""Planted trouble in the ERP's and the CRM's own rows: bad caps, ties, moves, duplicates, wrong names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Final

from connectors.reference.firm.clients import Clients
from connectors.reference.firm.contracts import Contracts
from connectors.reference.firm.days import month_of
from connectors.reference.firm.people import ROLES
from connectors.reference.firm.rates import LONG_AGO, Rates
from connectors.reference.firm.world import World, utc

_NAN: Final = Decimal("NaN")
_BAD_CAP: Final = Decimal("-5000.00")
_GOOD_CAP: Final = Decimal("2000000.00")  # never reached


class ContractTrouble:
    """Changes of reference rows that break a rule, conflict, or reach back in time."""

    def __init__(self, world: World, clients: Clients, contracts: Contracts, rates: Rates) -> None:
        self._world = world
        self._clients = clients
        self._contracts = contracts
        self._rates = rates

    def schedule(self) -> None:
        """Put each kind of trouble, and its cure where it has one, on the agenda."""
        find = self._contracts.find
        line = find("negative_cap_fixed").lines[0].id
        self._set(28, "negative_cap_fixed", "contract_line", line, cap_money=_BAD_CAP)
        self._set(44, "negative_cap_released", "contract_line", line, cap_money=_GOOD_CAP)
        self._set(15, "negative_cap_never", "engagement", find("negative_cap_never").id, cap_money=_BAD_CAP)
        self._set(36, "nan_cap", "engagement", find("nan_cap").id, cap_hours=_NAN)
        self._set(43, "nan_cap_released", "engagement", find("nan_cap").id, cap_hours=None)
        overwritten = self._clients.all
        for percent, number in ((24, 6), (58, 7)):
            client = overwritten[number]
            name = f"{client.name.upper()} (ERP)"
            self._set(percent, "client_name_overwritten", "client", client.id, name=name)
        self._set(32, "client_name_restored", "client", overwritten[6].id, name=overwritten[6].name)
        self._act(22, self._tie)
        self._act(38, self._untie)
        self._act(47, self._correct_last_month)
        self._act(57, self._move_project)
        self._act(17, self._duplicate)

    def _act(self, percent: int, act: Callable[[], None]) -> None:
        self._world.at(utc(self._world.settings.day_at(percent), 11, percent % 60), act)

    def _set(self, percent: int, kind: str, table: str, key: str, **values: Decimal | str | None) -> None:
        self._act(percent, lambda: self._update(kind, table, key, values))

    def _update(self, kind: str, table: str, key: str, values: dict[str, Decimal | str | None]) -> None:
        with self._world.transaction("erp", f"trouble:{kind}") as tx:
            tx.update(table, key, **values)
        self._world.trouble[kind] += 1

    def _tie(self) -> None:
        """Two roles of a project get a second price for the same days."""
        engagement = self._contracts.find("ambiguous")
        project = engagement.projects[0].id
        with self._world.transaction("erp", "trouble:ambiguous_rate") as tx:
            for role in ("engineer", "analyst"):
                price = self._rates.price(role, engagement.currency)
                self._rates.insert(tx, price, engagement.currency, project_id=project, role=role)
        self._world.trouble["ambiguous_rate"] += 1

    def _untie(self) -> None:
        """One of the doubles is deleted, the other ended long before any work."""
        project = self._contracts.find("ambiguous").projects[0].id
        doubles = [row for row in self._world.rows["rate"].values() if row["project_id"] == project]
        engineer, analyst = doubles[-2]["id"], doubles[-1]["id"]
        with self._world.transaction("erp", "trouble:ambiguous_rate_fixed") as tx:
            tx.take_away("rate", engineer)
            tx.decide("rate", analyst, effective_to=LONG_AGO + timedelta(days=1))
        self._world.trouble["ambiguous_rate_fixed"] += 1
        self._world.trouble["rate_deleted"] += 1

    def _correct_last_month(self) -> None:
        """Prices of last month were wrong; on one of two contracts that reaches what is invoiced."""
        day = month_of(self._world.now.date()) - timedelta(days=1)
        for turn, applies in ((5, False), (6, True)):
            line = self._contracts.find("standard", turn).lines[0].id
            for role in ROLES:
                rate = self._rates.of_line_role(line, role, day)
                if rate is None:
                    continue
                price = self._world.rows["rate"][rate]["price"] - Decimal("2.5")
                with self._world.transaction("erp", "trouble:rate_corrected") as tx:
                    tx.decide("rate", rate, price=price, applies_to_invoiced=applies)
                self._world.trouble["rate_corrected"] += 1

    def _move_project(self) -> None:
        """A project with all its time goes to another client's contract."""
        project = self._contracts.find("moved").projects[0]
        target = self._contracts.find("destination")
        with self._world.transaction("erp", "trouble:project_moved") as tx:
            tx.update(
                "project",
                project.id,
                engagement_id=target.id,
                contract_line_id=target.lines[0].id,
            )
        self._world.trouble["project_moved"] += 1

    def _duplicate(self) -> None:
        """Somebody enters two companies again, with the domain they already have."""
        for number, client in enumerate((self._clients.all[4], self._clients.all[8]), start=1):
            account = f"A-9{number:02}"
            with self._world.transaction("crm", "trouble:duplicate_account") as tx:
                tx.insert(
                    "account",
                    id=account,
                    name=f"{client.name} (new)",
                    domain=client.domain,
                    status="active",
                )
            self._world.trouble["duplicate_account"] += 1
            with self._world.transaction("erp", "trouble:duplicate_client") as tx:
                original = self._world.rows["client"][client.id]
                tx.insert("client", **(original | {"id": f"C-9{number}", "crm_account_id": account}))
            self._world.trouble["duplicate_client"] += 1
