"""Discounts and holds: what a partner decides about an invoice without touching anybody's time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from connectors.reference.firm.contracts import Contracts
from connectors.reference.firm.entries import Entries
from connectors.reference.firm.invoicing import Invoicing
from connectors.reference.firm.people import People
from connectors.reference.firm.signatures import Signatures
from connectors.reference.firm.world import World, utc

_PERSON_DAYS_PER_CONCESSION: Final = 160
_HELD_FOR: Final = timedelta(days=3)
_BEYOND_ANY_ENTRY: Final = Decimal("25000.00")
_RECENT: Final = timedelta(days=14)
_TAGS: Final = ("standard", "by_project", "usd_rates", "line_money_hold")


class Concessions:
    """Each kind in turn, over the run."""

    def __init__(
        self, world: World, contracts: Contracts, people: People, invoicing: Invoicing, entries: Entries
    ) -> None:
        self._world = world
        self._contracts = contracts
        self._signatures = Signatures(world, people)
        self._invoicing = invoicing
        self._entries = entries
        self._rng = world.rng("concessions")

    def schedule(self) -> None:
        """Put all of them on the agenda."""
        settings = self._world.settings
        acts: tuple[Callable[[int], None], ...] = (
            self._discount,
            self._hold_hours,
            self._hold_everything,
            self._discount_of_posted,
        )
        count = max(len(acts), settings.consultants * settings.days // _PERSON_DAYS_PER_CONCESSION)
        for number in range(count):
            day = settings.day_at(25 + 65 * number // count)
            self._world.at(utc(day, 15, number % 60), acts[number % len(acts)], number)

    def _discount(self, number: int) -> None:
        """Of an entry that is not billed yet; now and then of more than it can be worth."""
        row = self._unbilled()
        if row is not None:
            amount = _BEYOND_ANY_ENTRY if number % 12 == 8 else self._some_money()
            self._decide("discount", number, row[0], f"time:{row[1]['id']}", amount=amount)

    def _discount_of_posted(self, number: int) -> None:
        """Of an entry whose invoice is out: the difference is due as a credit."""
        posted = [line for line in self._invoicing.posted() if line["amount"] > 0]
        if posted:
            line = self._rng.choice(posted)
            amount = self._some_money()
            self._decide("discount", number, line["engagement_id"], line["entry_id"], amount=amount)
            self._world.features["discount_after_posting"] += 1

    def _hold_hours(self, number: int) -> None:
        """A quarter of an hour up to all of an entry, for as long as nobody says otherwise."""
        row = self._unbilled()
        if row is not None:
            hours = Decimal(self._rng.randrange(1, 20)) / 4
            self._decide("hold", number, row[0], f"time:{row[1]['id']}", hours=hours)

    def _hold_everything(self, number: int) -> None:
        """Until a question of the client is answered, some days later."""
        row = self._unbilled()
        if row is not None:
            key = self._decide("hold", number, row[0], f"time:{row[1]['id']}")
            self._world.at(self._world.now + _HELD_FOR, self._release, key)

    def _release(self, key: str) -> None:
        with self._world.transaction("erp", "hold_released") as tx:
            tx.update("bill_adjustment", key, released_at=self._world.now)
        self._world.features["hold_released"] += 1

    def _unbilled(self) -> tuple[str, dict[str, Any]] | None:
        """An engagement and an approved entry on it that no invoice has."""
        roots = {
            project.id: engagement.id
            for engagement in self._contracts.engagements
            if engagement.tag in _TAGS
            for project in engagement.projects
        }
        choices = [
            row
            for row in self._entries.recent(self._world.now.date() - _RECENT)
            if row["status"] == "approved"
            and row["project_code"] in roots
            and not self._invoicing.is_billed(row["id"])
        ]
        if not choices:
            return None
        row = self._rng.choice(choices)
        return roots[row["project_code"]], row

    def _some_money(self) -> Decimal:
        return Decimal(self._rng.randrange(500, 20_000)) / 100

    def _decide(
        self,
        kind: str,
        number: int,
        engagement: str,
        entry: str,
        *,
        hours: Decimal | None = None,
        amount: Decimal | None = None,
    ) -> str:
        key = f"BA-{self._world.number('bill_adjustment'):04}"
        with self._world.transaction("erp", kind) as tx:
            tx.insert(
                "bill_adjustment",
                id=key,
                engagement_id=engagement,
                entry_id=entry,
                kind=kind,
                hours=hours,
                amount=amount,
                reason="goodwill" if kind == "discount" else "question of the client",
                **self._signatures.of(number),
                decided_at=self._world.now,
                released_at=None,
            )
        self._world.features[kind] += 1
        self._signatures.look_again(key, number)
        return key
