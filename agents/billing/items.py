"""What enters an allocation root: a rated time entry, milestone or expense."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol

from agents.billing.entities import Record

# Item kinds.
ENTRY: Final = "entry"
MILESTONE_ITEM: Final = "milestone"
EXPENSE: Final = "expense"

# Which caps an expense counts against, beside (none): that of the engagement, or first that of the line, as work does.
NO_SCOPE: Final = "none"
LINE_SCOPE: Final = "line"
ENGAGEMENT_SCOPE: Final = "engagement"

# Dispositions: what rating made of it.
PRICED: Final = "priced"
FIXED_FEE: Final = "fixed_fee"
NON_CHARGEABLE: Final = "non_chargeable"
PARKED: Final = "parked"

# Systems rank in the order of items; others come after.
_SYSTEM_RANK: Final = {"time": 0, "erp": 1}

OrderKey = tuple[date, int, int, int, str, str]


class Item(NamedTuple):
    """The business content of a ``billing.rated`` record.

    ``seconds`` are as approved, ``quantity_seconds`` after the quantity rounding of the contract line,
    ``amount`` is the document amount of the latter (None: not priced), ``rounding_amount`` what the
    difference is worth (None where there is none). ``decided_at`` is the time of the approval or acceptance.
    ``cap_scope`` is that of an expense; None is `LINE_SCOPE`.
    """

    root_id: str
    entry_id: str
    item_kind: str
    consultant_id: str | None
    project_id: str | None
    task_id: str | None
    client_id: str | None
    contract_line_id: str | None
    legal_entity_id: str | None
    work_date: date
    accounting_date: date
    version: int
    method: str | None
    disposition: str
    seconds: int
    quantity_seconds: int
    price: Decimal | None
    price_unit_seconds: int | None
    rate_id: str | None
    rate_currency: str | None
    multiplier: Decimal | None
    fx_rate: Decimal | None
    fx_divides: bool | None
    currency: str | None
    amount: Decimal | None
    rounding_amount: Decimal | None
    applies_to_invoiced: bool
    exception_class: str | None
    missing_keys: tuple[str, ...] | None
    decided_at: datetime | None = None
    cap_scope: str | None = None

    @classmethod
    def from_record(cls, record: Record) -> Item:
        """The item of a decoded ``billing.rated`` record whose ``op`` is PUT."""
        *values, applies_to_invoiced, exception_class, keys, decided_at, cap_scope = _values(record)
        keys = None if keys is None else tuple(keys)
        return cls._make((*values, bool(applies_to_invoiced), exception_class, keys, decided_at, cap_scope))

    def fields(self) -> dict[str, Any]:
        """The business fields of the ``billing.rated`` record, by name."""
        return {
            "root_id": self.root_id,
            "entry_id": self.entry_id,
            "item_kind": self.item_kind,
            "consultant_id": self.consultant_id,
            "project_id": self.project_id,
            "task_id": self.task_id,
            "client_id": self.client_id,
            "contract_line_id": self.contract_line_id,
            "legal_entity_id": self.legal_entity_id,
            "work_date": self.work_date,
            "accounting_date": self.accounting_date,
            "version": self.version,
            "method": self.method,
            "disposition": self.disposition,
            "seconds": self.seconds,
            "quantity_seconds": self.quantity_seconds,
            "price": self.price,
            "price_unit_seconds": self.price_unit_seconds,
            "rate_id": self.rate_id,
            "rate_currency": self.rate_currency,
            "multiplier": self.multiplier,
            "fx_rate": self.fx_rate,
            "fx_divides": self.fx_divides,
            "currency": self.currency,
            "amount": self.amount,
            "rounding_amount": self.rounding_amount,
            "applies_to_invoiced": self.applies_to_invoiced,
            "exception_class": self.exception_class,
            "missing_keys": None if self.missing_keys is None else list(self.missing_keys),
            "decided_at": self.decided_at,
            "cap_scope": self.cap_scope,
        }


_values: Final = itemgetter(*Item._fields)


class Ordered(Protocol):
    """What has a place in the order of items."""

    @property
    def work_date(self) -> date: ...
    @property
    def entry_id(self) -> str: ...


def order_key(item: Ordered) -> OrderKey:
    """The order in which items draw on caps and inclusions: work date, system, native id.

    Time entries come before ERP rows (milestones, expenses) of the same day; ids of digits compare as numbers,
    before others: ``time:9``, ``time:10``, ``time:A1``, ``erp:M-1``. The id itself makes the order total.
    """
    system, _, native = item.entry_id.partition(":")
    rank = _SYSTEM_RANK.get(system, 2)
    if native.isascii() and native.isdigit():
        return (item.work_date, rank, 0, int(native), "", item.entry_id)
    return (item.work_date, rank, 1, 0, native, item.entry_id)


def order_bytes(item: Ordered) -> bytes:
    """`order_key` as bytes that sort the same, for keys of a store; the entry's id is behind the last ``\\0``.

    Example: ``2026-03-02 0 0 0002 10`` and the id of ``time:10``, which lies behind ``… 0001 9``.
    """
    day, rank, kind, number, text, entry_id = order_key(item)
    digits = str(number)
    return f"{day.isoformat()}{rank}{kind}{len(digits):04}{digits}{text}\0{entry_id}".encode()
