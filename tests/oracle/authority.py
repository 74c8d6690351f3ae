"""Whether who approved a bill adjustment might do so."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal

from .caps import share
from .exact import ZERO, round_money
from .rating import Item
from .rows import BillAdjustment, Rows
from .segments import Reason


def refused(adjustment: BillAdjustment, item: Item, rows: Rows) -> Reason | None:
    """Why an adjustment of a priced entry counts for nothing; None where it counts.

    Nobody approves what they prepared. Who has any limit for its kind may approve what the limit of the day allows
    in the currency of the contract, and nothing where there is none: of two that overlap, the one that begins last,
    then that of the greatest id. Who has no limit for it at all may approve anything.

    Example: 8 h are worth 1,200; a write-off of 2 h, 300, is beyond a limit of 250.
    """
    approver = adjustment.approver_id
    if approver is not None and adjustment.preparer_id == approver:
        return Reason("SELF_APPROVAL", (f"approver:{approver}",))
    limits = [
        one
        for one in rows.approval_limits.values()
        if (one.approver_id, one.kind) == (approver, adjustment.kind)
    ]
    if not limits or adjustment.decided_at is None:
        return None
    day = adjustment.decided_at.astimezone(UTC).date()
    effective = [
        one
        for one in limits
        if one.currency == item.currency
        and one.effective_from <= day
        and (one.effective_to is None or day < one.effective_to)
    ]
    if effective:
        limit = max(effective, key=lambda one: (one.effective_from, one.id))
        if _asked_for(adjustment, item) <= limit.amount:
            return None
    return Reason("APPROVAL_LIMIT", (f"limit:{approver}/{adjustment.kind}/{item.currency}",))


def _asked_for(adjustment: BillAdjustment, item: Item) -> Decimal:
    """A discount's money, a write-off's of an expense, or what the hours are worth, all of them where it says none."""
    assert item.amount is not None
    assert item.currency is not None
    if adjustment.kind == "discount" or (item.kind, adjustment.kind) == ("expense", "write_off"):
        return round_money(adjustment.amount or ZERO, item.currency, item.rounding)
    hours = item.quantity if adjustment.seconds is None else min(adjustment.seconds, item.quantity)
    return share(item.amount, hours, item.quantity, item.currency, item.rounding)
