"""What is approved, time or an expense, as it stands or in a version that stands no more: read from its row, and rated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from agents.billing.entities import Record
from agents.billing.expenses import Expense, rate_expense
from agents.billing.inputs import Entry
from agents.billing.rating import rate_entry
from agents.billing.reference import BillingReference
from agents.billing.results import RatedResult

Approved = Entry | Expense

# Canonical entities of what stood until its row's ``ended_at``.
VERSIONS: Final = ("time_entry_version", "expense_version")
_READERS: Final[Mapping[str, Callable[[Record], Approved | None]]] = {
    "time_entry": Entry.from_record,
    "time_entry_version": Entry.from_version,
    "expense": Expense.from_record,
    "expense_version": Expense.from_version,
}


def is_approved_kind(entity: str) -> bool:
    """Whether rows of a canonical entity are read here."""
    return entity in _READERS


def approved(entity: str, row: Record) -> Approved | None:
    """What a decoded row of a canonical entity says; None where it is nothing to bill."""
    return _READERS[entity](row)


def rate_approved(
    one: Approved | None, ref: BillingReference, known_at: datetime | None = None
) -> RatedResult:
    """`rate_entry` or `rate_expense`."""
    return rate_expense(one, ref, known_at) if isinstance(one, Expense) else rate_entry(one, ref, known_at)


def name_and_end(entity: str, row: Record) -> tuple[str, datetime | None]:
    """What names the row among all that are approved, and when it stood no more (None: it stands)."""
    return (f"{entity}:{row['id']}", row["ended_at"]) if entity in VERSIONS else (row["id"], None)
