"""A segment: the part of an item that is in one state of billing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, NamedTuple

from agents.billing.entities import Record
from agents.billing.items import Item

# Buckets.
BILLED: Final = "billed"
UNBILLED: Final = "unbilled"
ON_DRAFT: Final = "on_draft"
COVERED: Final = "covered"
OVER_CAP: Final = "over_cap"
WRITTEN_OFF: Final = "written_off"
ON_HOLD: Final = "on_hold"
REFUSED: Final = "refused"  # a bill adjustment without effect: no seconds, no money
ROUNDING: Final = "rounding"
# (fixed_fee, non_chargeable and parked are named as the item's disposition.)

# Segment ids. Those that end with a colon are made of what they stand for: `inv:<line>` and `due:<line>` of a posted
# invoice line, `draft:<line>` of one on a draft, `lot:<lot>`, `adj:<adjustment>`.
BASE: Final = "base"
ROUNDING_SEGMENT: Final = "rounding"
COVERED_SEGMENT: Final = "covered"
LOT_SEGMENT: Final = "lot:"
POSTED_SEGMENT: Final = "inv:"
DUE_SEGMENT: Final = "due:"
DRAFT_SEGMENT: Final = "draft:"
ADJUSTMENT_SEGMENT: Final = "adj:"
OVER_LINE: Final = "over-line"
OVER_ENGAGEMENT: Final = "over-engagement"
UPLIFT_SEGMENT: Final = "uplift"
PER_DIEM_SEGMENT: Final = "per-diem"

CREDIT_DUE: Final = "CREDIT_DUE"
STALE_DRAFT: Final = "STALE_DRAFT"

Key = tuple[str, str]  # entry id, segment id


class Segment(NamedTuple):
    """The business content of a ``billing.current`` record, its key included.

    ``amount`` is document money in ``currency``, None while the item is parked. ``price_unit_seconds`` is the
    time that ``price`` is for, 0 where it is for the entry, however long that is. ``draft_seconds`` and
    ``draft_amount`` are what the ERP's draft says, of the part that is on one, or what a refused adjustment asks
    for. ``fx_divides`` says that the rate is of the opposite pair. The functional ones are what it is in the books of
    the legal entity, None while unknown (`agents.billing.functional`).
    """

    root_id: str
    entry_id: str
    segment: str
    bucket: str
    contract_line_id: str | None
    client_id: str | None
    project_id: str | None
    task_id: str | None
    consultant_id: str | None
    legal_entity_id: str | None
    work_date: date | None
    accounting_date: date | None
    seconds: int
    amount: Decimal | None
    currency: str | None
    price: Decimal | None = None
    price_unit_seconds: int | None = None
    rate_id: str | None = None
    multiplier: Decimal | None = None
    fx_rate: Decimal | None = None
    fx_divides: bool | None = None
    invoice_line_id: str | None = None
    exception_class: str | None = None
    missing_keys: tuple[str, ...] | None = None
    draft_seconds: int | None = None
    draft_amount: Decimal | None = None
    functional_currency: str | None = None
    functional_rate: Decimal | None = None
    functional_amount: Decimal | None = None

    @property
    def key(self) -> Key:
        """What names the segment inside its root."""
        return (self.entry_id, self.segment)

    @classmethod
    def from_record(cls, record: Record) -> Segment:
        """The segment of a decoded ``billing.current`` or ``billing.events`` record."""
        found = cls._make(_values(record))
        return found if found.missing_keys is None else found._replace(missing_keys=tuple(found.missing_keys))

    def fields(self) -> dict[str, Any]:
        """The business fields of ``billing.current`` and ``billing.events``, by name."""
        return {
            "root_id": self.root_id,
            "entry_id": self.entry_id,
            "segment": self.segment,
            "bucket": self.bucket,
            "contract_line_id": self.contract_line_id,
            "client_id": self.client_id,
            "project_id": self.project_id,
            "task_id": self.task_id,
            "consultant_id": self.consultant_id,
            "legal_entity_id": self.legal_entity_id,
            "work_date": self.work_date,
            "accounting_date": self.accounting_date,
            "seconds": self.seconds,
            "amount": self.amount,
            "currency": self.currency,
            "price": self.price,
            "price_unit_seconds": self.price_unit_seconds,
            "rate_id": self.rate_id,
            "multiplier": self.multiplier,
            "fx_rate": self.fx_rate,
            "fx_divides": self.fx_divides,
            "invoice_line_id": self.invoice_line_id,
            "exception_class": self.exception_class,
            "missing_keys": None if self.missing_keys is None else list(self.missing_keys),
            "draft_seconds": self.draft_seconds,
            "draft_amount": self.draft_amount,
            "functional_currency": self.functional_currency,
            "functional_rate": self.functional_rate,
            "functional_amount": self.functional_amount,
        }


_values: Final = itemgetter(*Segment._fields)


def item_segment(item: Item, segment: str, bucket: str, seconds: int, amount: Decimal | None) -> Segment:
    """A segment of an item: its dimensions, dates and price, with a part of its quantity and amount."""
    return Segment(
        item.root_id,
        item.entry_id,
        segment,
        bucket,
        item.contract_line_id,
        item.client_id,
        item.project_id,
        item.task_id,
        item.consultant_id,
        item.legal_entity_id,
        item.work_date,
        item.accounting_date,
        seconds,
        amount,
        item.currency,
        item.price,
        item.price_unit_seconds,
        item.rate_id,
        item.multiplier,
        item.fx_rate,
        item.fx_divides,
        None,
        item.exception_class,
        item.missing_keys,
    )
