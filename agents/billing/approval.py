"""Whether who approved an entry might do so.

Two rules, and the first that is broken is the exception:

- nobody approves what they did themselves (SELF_APPROVAL);
- where the legal entity asks for a right to late acts, who acts on a closed period must have held it at the
  decision (CLOSED_PERIOD). A soft close is a close to everybody else.

Example: March is closed softly on 2 April 18:00, and work of 30 March approved an hour later by somebody without
the right: the entry waits for an approval by somebody who has it, or for the right to be granted as of then.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Protocol

from agents.billing.reference import BillingReference
from agents.billing.results import CLOSED_PERIOD, SELF_APPROVAL, Parking
from agents.billing.rights import dependency


class Approved(Protocol):
    """An entry or an expense that somebody has approved."""

    @property
    def work_date(self) -> date: ...
    @property
    def approved_at(self) -> datetime | None: ...
    @property
    def approved_by(self) -> str | None: ...
    @property
    def is_self_approved(self) -> bool: ...


def approval_refused(
    entry: Approved, legal_entity_id: str, dependencies: list[str], ref: BillingReference
) -> Parking | None:
    """The parking of an entry whose approval does not count; None where it does.

    ``legal_entity_id`` is a known one's. What was looked at is added to ``dependencies``.
    """
    if entry.is_self_approved:
        return Parking(SELF_APPROVAL, (f"approver:{entry.approved_by}",))
    if not ref.legal_entities[legal_entity_id].by_right or entry.approved_at is None:
        return None
    dependencies.append(f"period:{legal_entity_id}")
    period = ref.periods.closed_at_decision(legal_entity_id, entry.work_date, entry.approved_at)
    if period is None:
        return None
    right = dependency(legal_entity_id, entry.approved_by)
    dependencies.append(right)
    if ref.rights.has(legal_entity_id, entry.approved_by, entry.approved_at):
        return None
    return Parking(CLOSED_PERIOD, (f"period:{period.id}", right))
