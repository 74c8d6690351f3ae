"""Whether a bill adjustment was approved by somebody who might do so. One that was not has no effect.

Two rules, and the first that is broken is the exception:

- nobody approves what they prepared themselves (SELF_APPROVAL);
- who has limits for a kind of adjustment approves it up to the limit that was effective when it was decided, in
  the currency of the contract; where none was, nothing (APPROVAL_LIMIT). Who has none at all is not limited.

A limit is for each adjustment by itself; where the ERP doesn't say who prepared one, nobody is taken to have. The
worth is today's: an entry that is corrected to be worth more may take an adjustment beyond the limit.

Held against the limit is what the adjustment asks for, at what its entry is worth before any adjustment: the money
of a discount or of a write-off of an expense, the worth of the hours of another write-off or a hold, all of it for a
hold of everything.

The adjustment shows as a segment ``adj:<id>`` of nothing, in the bucket ``refused``, with the class and the keys. It
takes effect when the ERP names another approver, or when the limit is raised as of then. Example, of 8 h at 150 and a
limit of 250: a write-off of 2 h is worth 300 and refused, 8 h/1,200 stay to bill; one of 1 h is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from agents.billing.adjustments import DISCOUNT_KIND, WRITE_OFF_KIND, Adjustment
from agents.billing.entities import ApprovalLimit
from agents.billing.items import EXPENSE, Item
from agents.billing.results import APPROVAL_LIMIT, SELF_APPROVAL, Parking
from agents.billing.rounding import share
from agents.billing.touches import Touch
from agents.owned import OwnedRows
from streams.money import ZERO, round_money

LIMIT: Final = "limit"


class LimitTable:
    """Approvers' limits, by person and kind of adjustment."""

    def __init__(self) -> None:
        self._limits = OwnedRows(_place)

    def replace(self, limit_id: str, new: ApprovalLimit | None) -> list[Touch]:
        """Put, change or (None) take away a limit; it reaches what its holder has approved."""
        holders = {one.approver_id for one in self._limits.replace(limit_id, new)}
        return [Touch(f"{LIMIT}:{holder}") for holder in sorted(holders)]

    def limited(self, adjustments: Iterable[Adjustment]) -> list[Adjustment]:
        """The adjustments, each with what its approver could decide then.

        Of several limits of a currency the one that begins last counts, then that of the greatest id.
        """
        return [self._limited(one) for one in adjustments] if self._limits else list(adjustments)

    def _limited(self, one: Adjustment) -> Adjustment:
        known = self._limits.of((one.approver_id or "", one.kind))
        if not known or one.decided_at is None:
            return one
        effective = [limit for limit in known if limit.is_effective_at(one.decided_at)]
        effective.sort(key=lambda limit: (limit.effective_from, limit.id))
        by_currency = {limit.currency: limit.amount for limit in effective}
        return replace(one, limits=tuple(sorted(by_currency.items())))


def refusal(adjustment: Adjustment, item: Item, rounding: str) -> Parking | None:
    """Why an adjustment of a priced entry has no effect; None where it has."""
    approver = adjustment.approver_id
    if approver is not None and approver == adjustment.preparer_id:
        return Parking(SELF_APPROVAL, (f"approver:{approver}",))
    if adjustment.limits is None:
        return None
    most = dict(adjustment.limits).get(item.currency or "")
    if most is not None and worth(adjustment, item, rounding) <= most:
        return None
    return Parking(APPROVAL_LIMIT, (f"{LIMIT}:{approver}/{adjustment.kind}/{item.currency}",))


def worth(adjustment: Adjustment, item: Item, rounding: str) -> Decimal:
    """What an adjustment asks for, of an entry that is priced: 2 of 8 h that are worth 1,200 are 300."""
    assert item.amount is not None
    currency, quantity = item.currency or "", item.quantity_seconds
    if adjustment.kind == DISCOUNT_KIND or (item.item_kind, adjustment.kind) == (EXPENSE, WRITE_OFF_KIND):
        return round_money(adjustment.amount, currency, rounding)
    if adjustment.seconds is None or adjustment.seconds >= quantity:
        return item.amount
    return share(item.amount, adjustment.seconds, quantity, currency, rounding) if quantity > 0 else ZERO


def asked_seconds(adjustment: Adjustment, item: Item) -> int:
    """The hours that an adjustment asks for, as far as the entry has them."""
    if adjustment.kind == DISCOUNT_KIND:
        return 0
    quantity = item.quantity_seconds
    return quantity if adjustment.seconds is None else min(adjustment.seconds, quantity)


def standing(item: Item, adjustments: Sequence[Adjustment], rounding: str) -> Sequence[Adjustment]:
    """Those that have an effect."""
    if not adjustments:
        return adjustments
    return [one for one in adjustments if refusal(one, item, rounding) is None]


def _place(limit: ApprovalLimit) -> tuple[str, str]:
    return (limit.approver_id, limit.kind)
