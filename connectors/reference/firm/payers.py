"""Contracts that several clients pay, by percent of the work of a day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final

from connectors.reference.firm.clients import Clients
from connectors.reference.firm.contracts import Contracts, Engagement
from connectors.reference.firm.world import Draft, World, utc
from streams.money import EXACT, ZERO, round_money

if TYPE_CHECKING:
    from connectors.reference.firm.invoicing import Item

_SIXTY_FORTY: Final = (Decimal(60), Decimal(40))
_SEVENTY_THIRTY: Final = (Decimal(70), Decimal(30))
_THIRDS: Final = (Decimal("33.3333"), Decimal("33.3333"), Decimal("33.3334"))
_MISTYPED: Final = Decimal(4)  # instead of 40
_NOBODY: Final = "C-99"
_WHOLE: Final = Decimal(100)
# Percent of the run.
_AGREED_ANEW, _MISTYPED_AT, _MENDED_AT, _NOBODY_AT = 55, 34, 46, 62

Shares = list[tuple[str, Decimal]]
Figures = tuple[int, Decimal]  # seconds and money


class Payers:
    """Who pays which share of which contract."""

    def __init__(self, world: World, clients: Clients, contracts: Contracts) -> None:
        self._world = world
        self._clients = clients
        self._contracts = contracts

    def seed(self, tx: Draft) -> None:
        """Two contracts are shared from the beginning; what happens to others is put on the agenda."""
        settings, find = self._world.settings, self._contracts.find
        for engagement, shares in ((find("standard", 0), _SIXTY_FORTY), (find("standard", 1), _THIRDS)):
            self._share(tx, engagement, shares, settings.history_start - timedelta(days=200))
        self._world.at(utc(settings.day_at(_AGREED_ANEW), 9, 50), self._agree_anew, find("standard", 0))
        by_project, personal = find("by_project"), find("personal")
        self._world.at(utc(settings.day_at(_MISTYPED_AT), 9, 55), self._mistype, by_project)
        self._world.at(utc(settings.day_at(_MENDED_AT), 9, 55), self._mend, by_project)
        self._world.at(utc(settings.day_at(_NOBODY_AT), 9, 58), self._name_nobody, personal)

    def shares(self, engagement: str, day: date) -> Shares:
        """Percent by client on a work date, by client; empty where the contract's client pays alone."""
        found = [
            (row["client_id"], row["share"])
            for row in self._world.rows["payer_split"].values()
            if row["engagement_id"] == engagement
            and row["valid_from"] <= day
            and (row["valid_to"] is None or day < row["valid_to"])
        ]
        return sorted(found)

    def _share(
        self, tx: Draft, engagement: Engagement, shares: tuple[Decimal, ...], valid_from: date
    ) -> None:
        """The contract's own client first, then others who pay in its currency."""
        paying = [one.id for one in self._clients.all if one.currency == engagement.currency]
        own = engagement.client.id
        names = [own, *(name for name in paying if name != own)]
        for name, share in zip(names, shares, strict=False):
            self._insert(tx, engagement, name, share, valid_from)

    def _insert(self, tx: Draft, engagement: Engagement, client: str, share: Decimal, since: date) -> None:
        tx.insert(
            "payer_split",
            id=f"SPLIT-{self._world.number('payer_split'):03}",
            engagement_id=engagement.id,
            client_id=client,
            share=share,
            valid_from=since,
        )

    def _agree_anew(self, engagement: Engagement) -> None:
        """From today on the same clients pay other shares."""
        today = self._world.now.date()
        with self._world.transaction("erp", "payer_split_changed") as tx:
            for key in self._of(engagement):
                tx.update("payer_split", key, valid_to=today)
            self._share(tx, engagement, _SEVENTY_THIRTY, today)
        self._world.features["payer_split_changed"] += 1

    def _mistype(self, engagement: Engagement) -> None:
        since = self._world.now.date() - timedelta(days=7)
        with self._world.transaction("erp", "trouble:payer_share_mistyped") as tx:
            self._share(tx, engagement, (_SIXTY_FORTY[0], _MISTYPED), since)
        self._world.trouble["payer_share_mistyped"] += 1

    def _mend(self, engagement: Engagement) -> None:
        with self._world.transaction("erp", "trouble:payer_share_mended") as tx:
            for key in self._of(engagement):
                if self._world.rows["payer_split"][key]["share"] == _MISTYPED:
                    tx.update("payer_split", key, share=_SIXTY_FORTY[1])
        self._world.trouble["payer_share_mended"] += 1

    def _name_nobody(self, engagement: Engagement) -> None:
        """Half of a contract is to be paid by a client whom the ERP does not have."""
        today, half = self._world.now.date(), Decimal(50)
        with self._world.transaction("erp", "trouble:payer_unknown") as tx:
            self._insert(tx, engagement, engagement.client.id, half, today)
            self._insert(tx, engagement, _NOBODY, half, today)
        self._world.trouble["payer_unknown"] += 1

    def _of(self, engagement: Engagement) -> list[str]:
        rows = self._world.rows["payer_split"]
        return [str(key) for key, row in rows.items() if row["engagement_id"] == engagement.id]


def by_payer(
    item: Item, shares: Shares, billed: Callable[[str | None], Figures], currency: str
) -> Iterator[Item]:
    """What each payer of an item is to be billed still, ``billed`` being what it was (None: all together).

    Shares are cumulated, so that they add up; who was billed more than its share is billed nothing.
    """
    if not shares:
        yield item
        return
    so_far = billed(None)
    whole, money = item.seconds + so_far[0], item.amount + so_far[1]
    cumulated, before = ZERO, (0, ZERO)
    for client, share in shares:
        cumulated += share
        upto = (_seconds(whole, cumulated), round_money(_part(money, cumulated), currency))
        seconds, amount = billed(client)
        left = (upto[0] - before[0] - seconds, upto[1] - before[1] - amount)
        before = upto
        if left[0] >= 0 and left[1] > 0:
            yield replace(item, seconds=left[0], amount=left[1], payer=client)


def _part(amount: Decimal, percent: Decimal) -> Decimal:
    return EXACT.divide(EXACT.multiply(amount, percent), _WHOLE)


def _seconds(seconds: int, percent: Decimal) -> int:
    return int(_part(Decimal(seconds), percent).quantize(Decimal(1), rounding=ROUND_HALF_UP))
