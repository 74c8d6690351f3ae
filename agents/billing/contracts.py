"""Engagements and their contract lines: what rating reads, and the terms that allocation reads.

Each `from_record` takes the decoded canonical record of a row that is not deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from agents.billing.entities import Record
from agents.billing.fx import INVERSE, SPOT, FxRule
from agents.billing.quantities import QuantityRule

HALF_UP: Final = "half_up"

# Billing methods of a contract line.
TM: Final = "tm"
MILESTONE: Final = "milestone"
RETAINER: Final = "retainer"
PREPAID: Final = "prepaid"
PER_DIEM: Final = "per_diem"
# (non_billable is also a task's billing class, and named there.)

# What happens to work beyond a cap.
HOLD: Final = "hold"
WRITE_OFF: Final = "write_off"
BILL: Final = "bill"

# What happens to unused hours of a retainer's month; otherwise they expire.
ROLL_OVER: Final = "roll_over"


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that may be billed, in money (excluding tax), in seconds, in both or (no limit) neither."""

    money: Decimal | None = None
    seconds: int | None = None
    over_cap_action: str = HOLD

    @property
    def is_set(self) -> bool:
        """Whether there is any limit."""
        return self.money is not None or self.seconds is not None

    @classmethod
    def from_record(cls, record: Record) -> Cap:
        """The cap of a decoded contract line or engagement; what is beyond it is held by default."""
        return cls(record["cap_money"], record["cap_seconds"], record["over_cap_action"] or HOLD)


NO_CAP: Final = Cap()


# Hours of a retainer that nobody asked for in two years are no promise that a firm keeps open.
MOST_MONTHS: Final = 24


@dataclass(frozen=True, slots=True)
class Rollover:
    """How the unused hours of a retainer's month go on; ``ends_on`` is exclusive, None is without a limit.

    For `MOST_MONTHS` at most: each entry of a month looks at all months that may still serve it.
    """

    starts_on: date
    ends_on: date | None = None
    seconds: int | None = None
    months: int | None = None

    @classmethod
    def from_record(cls, record: Record) -> Rollover | None:
        """That of a decoded ``canonical.contract_line``; None where hours expire with their month."""
        if record["unused_hours"] != ROLL_OVER or record["starts_on"] is None:
            return None
        return cls(
            record["starts_on"], record["ends_on"], record["rollover_seconds"], record["rollover_months"]
        )

    def months_before(self, month: date) -> list[date]:
        """First days of the earlier months whose hours still serve a month, oldest first."""
        first = self.starts_on.replace(day=1)
        found: list[date] = []
        if self.ends_on is None or month < self.ends_on:
            while len(found) < (MOST_MONTHS if self.months is None else self.months):
                month = (month - timedelta(days=1)).replace(day=1)
                if month < first:
                    break
                found.append(month)
        return found[::-1]


@dataclass(frozen=True, slots=True)
class Lot:
    """Hours bought of a prepaid line, for work from ``starts_on`` to ``expires_on``, both included."""

    id: str
    contract_line_id: str
    seconds: int
    starts_on: date | None = None
    expires_on: date | None = None

    def is_valid_on(self, day: date) -> bool:
        """Whether it covers work of a day."""
        return (self.starts_on is None or self.starts_on <= day) and (
            self.expires_on is None or day <= self.expires_on
        )

    @classmethod
    def from_record(cls, record: Record) -> Lot:
        """The lot of a decoded ``canonical.prepaid_lot``."""
        return cls(
            record["id"],
            record["contract_line_id"],
            record["seconds"],
            record["starts_on"],
            record["expires_on"],
        )


@dataclass(frozen=True, slots=True)
class Payer:
    """Somebody who pays a share of a contract, and whom a draft of it may therefore be for."""

    engagement_id: str
    client_id: str

    @classmethod
    def from_record(cls, record: Record) -> Payer:
        """The payer of a decoded ``canonical.payer_split``; shares and days are no matter of billing."""
        return cls(record["engagement_id"], record["client_id"])


@dataclass(frozen=True, slots=True)
class LineTerms:
    """The part of a contract line that allocation reads; of it rating reads ``rounding``, that of money, too.

    ``included_seconds`` are covered in all (prepaid) or in each calendar month (retainer). Those of a prepaid line
    are valid from ``starts_on`` to ``expires_on``, both included, None being without a limit; beside them it may have
    ``lots``.
    """

    method: str
    cap: Cap = NO_CAP
    included_seconds: int = 0
    per_diem_amount: Decimal = Decimal(0)
    day_minimum_seconds: int = 0
    starts_on: date | None = None
    expires_on: date | None = None
    rollover: Rollover | None = None
    lots: tuple[Lot, ...] = ()
    rounding: str = HALF_UP

    @classmethod
    def from_record(cls, record: Record, method: str) -> LineTerms:
        """The terms of a decoded ``canonical.contract_line``, or a version of it; an amount that is not set is none."""
        return cls(
            method,
            Cap.from_record(record),
            record["included_seconds"] or 0,
            record["per_diem_amount"] or Decimal(0),
            record["day_minimum_seconds"] or 0,
            record["starts_on"],
            record["expires_on"],
            Rollover.from_record(record),
            rounding=record["rounding"] or HALF_UP,
        )


@dataclass(frozen=True, slots=True)
class ContractLine:
    """One way of billing inside an engagement: what rating reads, and its ``terms`` for allocation."""

    id: str
    engagement_id: str
    method: str
    quantity: QuantityRule
    terms: LineTerms
    expenses_billed: bool = True
    expense_markup: Decimal | None = None  # percent

    @property
    def rounding(self) -> str:
        """How money is rounded."""
        return self.terms.rounding

    @property
    def rating_part(self) -> tuple[str, str, QuantityRule, str, bool, Decimal | None]:
        """What a rated item depends on; a change of anything else re-allocates without re-rating."""
        of_time = (self.engagement_id, self.method, self.quantity, self.rounding)
        return (*of_time, self.expenses_billed, self.expense_markup)

    @classmethod
    def from_record(cls, record: Record) -> ContractLine:
        """The line of a decoded ``canonical.contract_line``."""
        return cls(
            record["id"],
            record["engagement_id"] or "",
            record["billing_method"] or "",
            QuantityRule.from_record(record),
            LineTerms.from_record(record, record["billing_method"] or ""),
            record["expenses_billed"] is not False,
            record["expense_markup"],
        )


@dataclass(frozen=True, slots=True)
class Engagement:
    """A contract with a client, active on ``[starts_on, ends_on)``; the root that its caps are shared in."""

    id: str
    client_id: str
    legal_entity_id: str
    currency: str
    starts_on: date | None
    ends_on: date | None
    cap: Cap
    fx_rule: FxRule = SPOT

    @property
    def rating_part(self) -> tuple[str, str, str, date | None, date | None, FxRule]:
        """What a rated item depends on; a change of the cap re-allocates without re-rating."""
        parties = (self.client_id, self.legal_entity_id, self.currency)
        return (*parties, self.starts_on, self.ends_on, self.fx_rule)

    @property
    def terms_part(self) -> tuple[str, str, str, Cap, str | None]:
        """What the segments of the root depend on."""
        return (self.client_id, self.legal_entity_id, self.currency, self.cap, self.fx_rule.rate_type)

    def is_active_on(self, day: date) -> bool:
        """Whether the day is inside the contract; an end that is not set is open."""
        return (self.starts_on is None or self.starts_on <= day) and (
            self.ends_on is None or day < self.ends_on
        )

    @classmethod
    def from_record(cls, record: Record) -> Engagement:
        """The engagement of a decoded ``canonical.engagement``."""
        return cls(
            record["id"],
            record["client_id"] or "",
            record["legal_entity_id"] or "",
            record["currency"] or "",
            record["starts_on"],
            record["ends_on"],
            Cap.from_record(record),
            FxRule(record["fx_rate_type"], record["fx_direction"] == INVERSE),
        )
