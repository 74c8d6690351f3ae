"""Who prepares and who approves bill adjustments, up to which worth, and what is signed again by another."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final

from connectors.reference.firm.people import People, Person
from connectors.reference.firm.world import Draft, World, utc

_KINDS: Final = ("write_off", "discount")
_CURRENCIES: Final = ("EUR", "USD", "GBP")
_LIMIT, _RAISED = Decimal("60.00"), Decimal("240.00")
_RAISED_PERCENT: Final = 70
_SIGNED_AFTER: Final = timedelta(days=3)


class ApprovalLimits:
    """The second manager approves little, and some more later; the others are not limited."""

    def __init__(self, world: World, people: People) -> None:
        self._world = world
        self._people = people

    def seed(self, tx: Draft) -> None:
        """Insert the first limits; schedule the higher ones."""
        settings = self._world.settings
        for manager in self._people.managers[1:2]:
            for kind in _KINDS:
                for currency in _CURRENCIES:
                    tx.insert(
                        "approval_limit",
                        id=f"LIMIT-{manager.id}-{kind}-{currency}-1",
                        approver_id=manager.id,
                        kind=kind,
                        currency=currency,
                        amount=_LIMIT,
                        effective_from=settings.history_start,
                    )
            self._world.at(utc(settings.day_at(_RAISED_PERCENT), 8), self._raise, manager)

    def _raise(self, manager: Person) -> None:
        today = self._world.now.date()
        with self._world.transaction("erp", "approval_limit_raised") as tx:
            for key, row in list(self._world.rows["approval_limit"].items()):
                if row["approver_id"] == manager.id:
                    raised = {**row, "id": f"{str(key)[:-1]}2", "amount": _RAISED, "effective_from": today}
                    tx.update("approval_limit", key, effective_to=today)
                    tx.insert("approval_limit", **raised)
        self._world.features["approval_limit_raised"] += 1


class Signatures:
    """The people under a bill adjustment."""

    def __init__(self, world: World, people: People) -> None:
        self._world = world
        self._managers = people.managers

    def of(self, number: int) -> dict[str, str]:
        """Preparer and approver of an adjustment; now and then they are one."""
        approver = self._managers[number % len(self._managers)].id
        preparer = self._managers[(number + 1) % len(self._managers)].id
        return {"preparer_id": approver if number % 6 == 5 else preparer, "approver_id": approver}

    def look_again(self, key: str, number: int) -> None:
        """Some days later the first manager signs some of what they neither prepared nor approved."""
        if number % 4 == 1:
            self._world.at(self._world.now + _SIGNED_AFTER, self._sign, key)

    def _sign(self, key: str) -> None:
        row = self._world.rows["bill_adjustment"].get(key)
        chief = self._managers[0].id
        if row is None or row["released_at"] is not None or chief in (row["preparer_id"], row["approver_id"]):
            return
        with self._world.transaction("erp", "adjustment_signed_again") as tx:
            tx.update("bill_adjustment", key, approver_id=chief, decided_at=self._world.now)
        self._world.features["adjustment_signed_again"] += 1
