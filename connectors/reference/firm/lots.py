"""Hours that clients buy while a prepaid line runs."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from connectors.reference.firm.contracts import Contracts, Line
from connectors.reference.firm.days import next_month
from connectors.reference.firm.world import World, utc

# Percent of the run at which hours are bought, and at which a lot is extended.
_BOUGHT, _BOUGHT_AFTER_EXPIRY, _EXTENDED = 30, 50, 75
_PRICE: Final = Decimal("98.75")


class PrepaidLots:
    """A lot for this month and one without an end, then one for a line whose own hours have expired."""

    def __init__(self, world: World, contracts: Contracts) -> None:
        self._world = world
        self._contracts = contracts

    def schedule(self) -> None:
        """Put all acts on the agenda."""
        settings = self._world.settings
        prepaid, expired = (self._contracts.find(tag).lines[0] for tag in ("prepaid", "prepaid_expired"))
        self._world.at(utc(settings.day_at(_BOUGHT), 10, 30), self._buy_two, prepaid)
        self._world.at(utc(settings.day_at(_BOUGHT_AFTER_EXPIRY), 10, 35), self._buy_for_now, expired)

    def _buy_two(self, line: Line) -> None:
        self._buy_for_now(line)
        self._buy(line, Decimal(60), None)

    def _buy_for_now(self, line: Line) -> None:
        """Of this month; later it is extended by a month."""
        key = self._buy(line, Decimal("12.5"), next_month(self._world.now.date()) - timedelta(days=1))
        later = utc(self._world.settings.day_at(_EXTENDED), 10, 40)
        self._world.at(later, self._extend, key)

    def _buy(self, line: Line, hours: Decimal, expires_on: date | None) -> str:
        key = f"LOT-{self._world.number('prepaid_lot'):03}"
        with self._world.transaction("erp", "lot_bought") as tx:
            tx.insert(
                "prepaid_lot",
                id=key,
                contract_line_id=line.id,
                hours=hours,
                fee=(hours * _PRICE).quantize(Decimal("0.01")),
                starts_on=self._world.now.date(),
                expires_on=expires_on,
            )
        self._world.features["lot_bought"] += 1
        return key

    def _extend(self, key: str) -> None:
        last_day = self._world.rows["prepaid_lot"][key]["expires_on"]
        with self._world.transaction("erp", "lot_extended") as tx:
            later = next_month(last_day + timedelta(days=1)) - timedelta(days=1)
            tx.update("prepaid_lot", key, expires_on=later)
        self._world.features["lot_extended"] += 1
