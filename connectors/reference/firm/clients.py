"""Clients: companies in the CRM, customers in the ERP, and the groups they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connectors.reference.firm.world import Draft, World

_NAMES: Final = (
    *("Nordwind Energie", "Nordwind Netz", "Atlas Freight", "Atlas Rail", "Blue Harbor Bank", "Kestrel Air"),
    *(
        "Montrose Foods",
        "Ōtaki Dairy",
        "Sainte-Claire Santé",
        "Lakeshore Health",
        "Pennine Water",
        "Q&A Media",
    ),
)
_PARENTS: Final = {1: 0, 3: 2, 9: 8}  # who belongs to whom, by place in _NAMES
_CURRENCIES: Final = ("EUR", "EUR", "USD", "USD", "GBP", "USD", "GBP", "USD", "EUR", "USD", "GBP", "EUR")
_TAX_REGIONS: Final = {"EUR": "EU", "USD": "US", "GBP": "UK"}


@dataclass(frozen=True, slots=True)
class Client:
    """A customer and the account behind it."""

    id: str
    account: str
    name: str
    currency: str
    domain: str


class Clients:
    """All customers; a dozen, and one more for every ten people beyond forty."""

    def __init__(self, world: World) -> None:
        count = len(_NAMES) + max(0, world.settings.consultants - 40) // 10
        self.all = [self._client(number) for number in range(count)]

    def _client(self, number: int) -> Client:
        turn, place = divmod(number, len(_NAMES))
        name = _NAMES[place] + (f" {turn + 1}" if turn else "")
        domain = f"client{number + 1:02}.example"
        return Client(f"C-{number + 1:02}", f"A-{number + 1:03}", name, _CURRENCIES[place], domain)

    def of_currency(self, currency: str, turn: int) -> Client:
        """Clients that pay in a currency, in turn."""
        paying = [client for client in self.all if client.currency == currency]
        return paying[turn % len(paying)]

    def seed_accounts(self, tx: Draft) -> None:
        """Insert the CRM's accounts, some prospects among them."""
        for number, client in enumerate(self.all):
            parent = _PARENTS.get(number)
            tx.insert(
                "account",
                id=client.account,
                name=client.name,
                parent_id=None if parent is None else self.all[parent].account,
                domain=client.domain,
                status="active",
            )
        for number in range(3):
            tx.insert("account", id=f"A-8{number:02}", name=f"Prospect {number + 1}", status="active")

    def seed_clients(self, tx: Draft) -> None:
        """Insert the ERP's customers."""
        for number, client in enumerate(self.all):
            parent = _PARENTS.get(number)
            tx.insert(
                "client",
                id=client.id,
                name=client.name,
                parent_id=None if parent is None else self.all[parent].id,
                crm_account_id=client.account,
                tax_region=_TAX_REGIONS[client.currency],
                currency=client.currency,
                status="active",
            )
