"""The CRM's deals: won, lost, taken back; a deal that is won becomes an engagement an hour later."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from connectors.reference.firm.catalogue import EngagementSpec, LineSpec
from connectors.reference.firm.clients import Client, Clients
from connectors.reference.firm.contracts import Contracts
from connectors.reference.firm.days import monday_of
from connectors.reference.firm.rates import Rates
from connectors.reference.firm.world import Draft, World, utc

_WON = EngagementSpec("won", (LineSpec("New business", weight=2, invoiced=True),))
_SERVICE_LINES: Final = ("advisory", "engineering", "operations")
_LOST_EVERY: Final = 3
# Percent of the run between two stages.
_STAGE_PERCENT: Final = 12


class Opportunities:
    """Seeds the deals behind the engagements and runs the pipeline of new ones."""

    def __init__(self, world: World, clients: Clients, contracts: Contracts, rates: Rates) -> None:
        self._world = world
        self._clients = clients
        self._contracts = contracts
        self._rates = rates
        self._rng = world.rng("opportunities")

    def seed(self, tx: Draft) -> None:
        """Insert won deals for all engagements and schedule new ones."""
        settings = self._world.settings
        for engagement in self._contracts.engagements:
            self._insert(
                tx, f"O-{engagement.id[2:]}", engagement.client, engagement.currency, "won", closed=True
            )
        for number in range(6 + settings.consultants // 10):
            client = self._clients.all[number * 5 % len(self._clients.all)]
            day = settings.day_at(self._rng.randrange(1, 45))
            key = f"O-9{number:02}"
            self._world.at(utc(day, 13, number % 60), self._open, key, client, number)

    def _insert(
        self, tx: Draft, key: str, client: Client, currency: str, stage: str, *, closed: bool = False
    ) -> None:
        tx.insert(
            "opportunity",
            id=key,
            account_id=client.account,
            name=f"{client.name} {self._rng.choice(_SERVICE_LINES)}",
            stage=stage,
            amount=Decimal(self._rng.randrange(2_000_000, 40_000_000)).scaleb(-2),
            currency=currency,
            contract_type=self._rng.choice(("tm", "fixed", "retainer")),
            service_line=self._rng.choice(_SERVICE_LINES),
            delivery_model="remote",
            closed_on=self._world.settings.history_start if closed else None,
        )

    def _stages_later(self, stages: int) -> datetime:
        hours = self._world.settings.days * 24 * _STAGE_PERCENT * stages // 100
        return self._world.now + timedelta(hours=hours)

    def _open(self, key: str, client: Client, number: int) -> None:
        with self._world.transaction("crm", "opportunity") as tx:
            self._insert(tx, key, client, client.currency, "prospect")
        self._world.at(self._stages_later(1), self._propose, key, client, number)

    def _propose(self, key: str, client: Client, number: int) -> None:
        amount = self._world.rows["opportunity"][key]["amount"]
        with self._world.transaction("crm", "opportunity_proposed") as tx:
            tx.update("opportunity", key, stage="proposal", amount=amount - Decimal("1250.50"))
        self._world.at(self._stages_later(1), self._decide, key, client, number)

    def _decide(self, key: str, client: Client, number: int) -> None:
        if number % _LOST_EVERY == 1:
            self._set_stage(key, "lost", closed=True)
            if number == 1:
                self._world.at(self._stages_later(1), self._delete, key)
            return
        self._set_stage(key, "won", closed=True)
        if number == 2:  # won and un-won: nothing was signed
            self._world.at(self._stages_later(1), self._take_back, key)
            return
        self._world.at(self._world.now + timedelta(hours=1), self._sign, key, client)

    def _set_stage(self, key: str, stage: str, *, closed: bool) -> None:
        with self._world.transaction("crm", f"opportunity_{stage}") as tx:
            closed_on = self._world.now.date() if closed else None
            tx.update("opportunity", key, stage=stage, closed_on=closed_on)
        self._world.features[f"opportunity_{stage}"] += 1

    def _take_back(self, key: str) -> None:
        self._set_stage(key, "proposal", closed=False)
        self._world.trouble["opportunity_unwon"] += 1

    def _delete(self, key: str) -> None:
        with self._world.transaction("crm", "opportunity_deleted") as tx:
            tx.delete("opportunity", key)
        self._world.trouble["opportunity_deleted"] += 1

    def _sign(self, key: str, client: Client) -> None:
        spec = EngagementSpec(_WON.tag, _WON.lines, client.currency)
        with self._world.transaction("erp", "engagement_signed") as tx:
            monday = monday_of(self._world.now.date())  # work of this week may be logged later
            engagement = self._contracts.sign(tx, spec, client, starts_on=monday, opportunity=key)
            self._rates.price_engagement(tx, engagement)
        self._world.features["engagement_signed"] += 1
