"""Fixed prices, retainers and lots that are planned anew while they run."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from connectors.reference.firm.contracts import Contracts, Line
from connectors.reference.firm.days import next_month
from connectors.reference.firm.entities import first_close
from connectors.reference.firm.world import World, utc

# Percent of the run at which each decision falls.
_MORE_HOURS, _HIGHER_FEE, _LONGER, _FEWER_HOURS = 45, 60, 70, 85


class Plans:
    """Decisions about plans, each at its place in the run."""

    def __init__(self, world: World, contracts: Contracts) -> None:
        self._world = world
        self._contracts = contracts

    def schedule(self) -> None:
        """Put all decisions on the agenda."""
        settings = self._world.settings
        fixed, retainer, prepaid = (
            self._contracts.find(tag).lines[0] for tag in ("fixed_price", "retainer", "prepaid")
        )
        for percent, minute, act, line in (
            (_MORE_HOURS, 5, self._more_hours, fixed),
            (_HIGHER_FEE, 10, self._higher_fee, retainer),
            (_HIGHER_FEE, 15, self._higher_fee, prepaid),
            (_LONGER, 20, self._longer, retainer),
        ):
            self._world.at(utc(settings.day_at(percent), 10, minute), act, line)
        closed = next_month(settings.history_start)
        self._world.at(
            max(utc(settings.day_at(_FEWER_HOURS), 10, 25), first_close(settings.history_start) + timedelta(days=1)),
            self._late, fixed, closed - timedelta(days=1),
        )  # fmt: skip

    def _more_hours(self, line: Line) -> None:
        """It takes a quarter more than was planned."""
        planned = self._row(line)["planned_hours"]
        self._decide(line, self._today(), "planned_more", planned_hours=planned + planned // 4)

    def _higher_fee(self, line: Line) -> None:
        fee = self._row(line)["fee"]
        self._decide(line, self._today(), "fee_raised", fee=fee + Decimal("1000.01"))

    def _longer(self, line: Line) -> None:
        """Two weeks more for the same fee."""
        ends_on = self._row(line)["ends_on"] + timedelta(days=14)
        self._decide(line, self._today(), "extended", ends_on=ends_on)

    def _late(self, line: Line, about: date) -> None:
        """What was known at the end of a month, decided when its books are closed."""
        planned = self._row(line)["planned_hours"]
        self._decide(line, about, "planned_after_close", planned_hours=planned)

    def _row(self, line: Line) -> dict[str, Any]:
        return self._world.rows["contract_line"][line.id]

    def _today(self) -> date:
        return self._world.now.date()

    def _decide(self, line: Line, effective_on: date, label: str, **plan: Any) -> None:
        with self._world.transaction("erp", label) as tx:
            tx.insert(
                "plan_revision",
                id=f"PR-{self._world.number('plan_revision'):03}",
                contract_line_id=line.id,
                effective_on=effective_on,
                decided_at=self._world.now,
                **plan,
            )
        self._world.features[label] += 1
