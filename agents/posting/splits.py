"""Payer splits: which clients pay which percent of a contract's work, by work date.

A contract without any row is its client's, and so is a day that none of its rows is for. The shares of a day are right
if they are 100 % together, each of a client who is there; rows of one client add up.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

from agents.owned import OwnedRows
from streams.money import ZERO

WHOLE: Final = Decimal(100)

Shares = tuple[tuple[str, Decimal], ...]  # client and percent, by client; empty: the day can't be divided


@dataclass(frozen=True, slots=True)
class PayerSplit:
    """The percent of a contract's work dates in ``[effective_from, effective_to)`` that a client pays."""

    engagement_id: str
    client_id: str
    share: Decimal
    effective_from: date
    effective_to: date | None

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> PayerSplit:
        """The row of a decoded ``canonical.payer_split``."""
        return cls(
            record["engagement_id"],
            record["client_id"],
            record["share"],
            record["effective_from"],
            record["effective_to"],
        )

    def holds_on(self, day: date) -> bool:
        """Whether a work date is one of its days."""
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)


class Splits:
    """The splits of all contracts; ``clients`` are those who are there, as its owner keeps them."""

    def __init__(self, clients: Container[str]) -> None:
        self._clients = clients
        self._of_contract: OwnedRows[str, PayerSplit] = OwnedRows(attrgetter("engagement_id"))
        self._of_payer: OwnedRows[str, PayerSplit] = OwnedRows(attrgetter("client_id"))

    def replace(self, row_id: str, new: PayerSplit | None) -> set[str]:
        """Put, change or (None) take away a row; returns the contracts that are divided otherwise now."""
        self._of_payer.replace(row_id, new)
        return {row.engagement_id for row in self._of_contract.replace(row_id, new)}

    def has(self, root_id: str) -> bool:
        """Whether a contract has payers on any day."""
        return bool(self._of_contract.of(root_id))

    @property
    def roots(self) -> set[str]:
        """The contracts that have payers on any day."""
        return self._of_contract.owners

    def paid_by(self, client_id: str) -> set[str]:
        """The contracts that a client pays a part of."""
        return {row.engagement_id for row in self._of_payer.of(client_id)}

    def on(self, root_id: str, day: date) -> Shares | None:
        """Who pays what of a day's work: None where it is the client's alone, empty where the shares are not right.

        Example: rows of 60 % for ``erp:A`` and 40 % for ``erp:B`` are ``(("erp:A", 60), ("erp:B", 40))``; of 60 % and
        30 % they are empty.
        """
        shares = self._shares(root_id, day)
        if not shares:
            return None
        return tuple(sorted(shares.items())) if self._are_right(shares) else ()

    def wrong(self, root_id: str) -> tuple[str, ...]:
        """What keeps days of a contract from being divided, by name.

        Example: ``client:erp:Z`` is not there; from ``payer_split:erp:E/2026-03-01`` on the shares are not 100 %.
        """
        rows = self._of_contract.of(root_id)
        found = {f"client:{row.client_id}" for row in rows if row.client_id not in self._clients}
        turns = {row.effective_from for row in rows}
        turns |= {row.effective_to for row in rows if row.effective_to is not None}
        for day in turns:
            shares = self._shares(root_id, day)
            if shares and sum(shares.values()) != WHOLE:
                found.add(f"payer_split:{root_id}/{day}")
        return tuple(sorted(found))

    def _shares(self, root_id: str, day: date) -> dict[str, Decimal]:
        shares: dict[str, Decimal] = {}
        for row in self._of_contract.of(root_id):
            if row.holds_on(day):
                shares[row.client_id] = shares.get(row.client_id, ZERO) + row.share
        return shares

    def _are_right(self, shares: dict[str, Decimal]) -> bool:
        return sum(shares.values()) == WHOLE and all(client in self._clients for client in shares)
