"""What a controller sees of an accounting period before closing it, and what must tie.

Balances are those of the ledger at the period's end, written off is what the period did. Work is as old on the last
day of the period as its work date says. The ERP's posted lines are held against what billing has as billed, each
charge with the credits that name it; what differs counts in the period of the charge.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from .exact import ZERO
from .expected import Expected, Fold
from .rating import line_id_of, task_of
from .rows import InvoiceLine, Period, Rows, TimeEntry


@dataclass(slots=True)
class Money:
    """The figures of a period in one currency. What ``None`` says can't be told: a line's terms are missing."""

    ages: list[Decimal] = field(default_factory=lambda: [ZERO] * 4)  # to 30, 60 and 90 days, and older
    credit_due: Decimal = ZERO
    on_draft: Decimal = ZERO
    over_cap: Decimal = ZERO
    on_hold: Decimal = ZERO
    stale_draft: Decimal = ZERO
    written_off: Decimal = ZERO
    asset_opening: Decimal | None = ZERO
    deferred_opening: Decimal | None = ZERO
    recognised: Decimal | None = ZERO
    asset_closing: Decimal | None = ZERO
    deferred_closing: Decimal | None = ZERO
    billed_on_contracts: Decimal = ZERO
    unknown_lines: int = 0
    billed: Decimal = ZERO
    erp_posted: Decimal = ZERO
    difference: Decimal = ZERO


@dataclass(slots=True)
class Cockpit:
    """The counts of a period, and its money by currency."""

    unapproved: int = 0
    unapproved_seconds: int = 0
    parked: int = 0
    parked_seconds: int = 0
    unassigned: int = 0
    over_cap_seconds: int = 0
    on_hold_seconds: int = 0
    drafts: int = 0
    stale_drafts: int = 0
    money: dict[str | None, Money] = field(default_factory=lambda: defaultdict(Money))


class _Stand(NamedTuple):
    root: str
    entry: str
    segment: str
    bucket: str
    currency: str | None
    day: date | None


def cockpits(expected: Expected, rows: Rows) -> dict[str, Cockpit]:
    """By period.

    Example: 8 h at 150 of 5 March, unbilled: in March 1,200 of at most 30 days, in April 1,200 of at most 60 days.
    """
    return {period.id: _Close(expected, rows, period).cockpit() for period in rows.periods.values()}


class _Close:
    def __init__(self, expected: Expected, rows: Rows, period: Period) -> None:
        self.expected, self.rows, self.period = expected, rows, period
        self.entity = period.legal_entity_id
        self.out = Cockpit()

    def cockpit(self) -> Cockpit:
        self._unapproved()
        self._parked()
        self._ledger()
        self._stale()
        self._roll()
        self._tie()
        return self.out

    def _is_within(self, day: date | None) -> bool:
        return day is not None and self.period.starts_on <= day < self.period.ends_on

    def _entity_of(self, root: str) -> str | None:
        engagement = self.rows.engagements.get(root)
        return None if engagement is None else engagement.legal_entity_id

    def _unapproved(self) -> None:
        for entry in self.rows.time_entries.values():
            if entry.status in ("draft", "submitted", "rejected") and self._is_within(entry.work_date):
                self._unapproved_entry(entry)

    def _unapproved_entry(self, entry: TimeEntry) -> None:
        project = self.rows.projects.get(entry.project_id)
        if project is not None and project.engagement_id is None:
            return  # internal
        line_id = None if project is None else line_id_of(project, task_of(entry, self.rows))
        line = self.rows.contract_lines.get(line_id or "")
        entity = None if line is None else self._entity_of(line.engagement_id)
        if entity is None:
            self.out.unassigned += 1
        elif entity == self.entity:
            self.out.unapproved += 1
            self.out.unapproved_seconds += entry.seconds

    def _parked(self) -> None:
        for key, fold in self.expected.billing.items():
            if key.bucket != "parked":
                continue
            assert key.month is not None
            entity = self._entity_of(key.root)
            if entity is None:
                self.out.unassigned += self._is_within(_first(key.month))
            elif entity == self.entity and _first(key.month) < self.period.ends_on:
                self.out.parked += 1
                self.out.parked_seconds += fold.seconds

    def _ledger(self) -> None:
        stands: dict[_Stand, Fold] = {}
        since: dict[_Stand, date] = {}
        for key, fold in self.expected.booked.items():
            if self._entity_of(key.root) != self.entity or key.month is None:
                continue
            month = _first(key.month)
            if key.bucket == "billed" and self._is_within(month):
                self.out.money[key.currency].billed += fold.amount or ZERO
            if key.bucket == "written_off" and self._is_within(month):
                self.out.money[key.currency].written_off += fold.amount or ZERO
            if month < self.period.ends_on:
                stand = _Stand(key.root, key.entry, key.segment, key.bucket, key.currency, key.day)
                stands[stand] = stands[stand] + fold if stand in stands else fold
                since[stand] = min(since.get(stand, month), month)
        for stand, fold in stands.items():
            if not fold.is_nothing:
                self._stands(stand, fold, since[stand])

    def _stands(self, stand: _Stand, fold: Fold, since: date) -> None:
        money, amount = self.out.money[stand.currency], fold.amount or ZERO
        if stand.bucket == "unbilled" and (amount, fold.seconds) < (ZERO, 0):
            money.credit_due += amount
        elif stand.bucket == "unbilled":
            days = (self.period.ends_on - timedelta(days=1) - (stand.day or since)).days
            money.ages[(days > 30) + (days > 60) + (days > 90)] += amount
        elif stand.bucket == "on_draft":
            money.on_draft += amount
            self.out.drafts += fold.live
        elif stand.bucket == "over_cap":
            money.over_cap += amount
            self.out.over_cap_seconds += fold.seconds
        elif stand.bucket == "on_hold":
            money.on_hold += amount
            self.out.on_hold_seconds += fold.seconds

    def _stale(self) -> None:
        of_segment = {
            (key.root, key.entry, key.segment): (key, f) for key, f in self.expected.billing.items()
        }
        for of, draft in self.expected.drafts.items():
            if draft.is_stale and self._entity_of(of.root) == self.entity:
                key, fold = of_segment[of.root, of.entry, f"draft:{of.line}"]
                if key.month is not None and _first(key.month) < self.period.ends_on:
                    self.out.stale_drafts += 1
                    self.out.money[key.currency].stale_draft += fold.amount or ZERO

    def _roll(self) -> None:
        of_line: dict[tuple[str, str], list[tuple[date, str | None, tuple[Decimal | None, ...]]]]
        of_line = defaultdict(list)
        for key, month in self.expected.revenue.items():
            if self._entity_of(key.root) == self.entity and key.month < self.period.ends_on:
                earned = None
                if month.recognised is not None and month.breakage is not None:
                    earned = month.recognised + month.breakage
                figures = (month.asset, month.deferred, earned, month.billed)
                of_line[key.root, key.line].append((key.month, month.currency, figures))
        for months in of_line.values():
            self._roll_line(sorted(months, key=lambda one: one[0]))

    def _roll_line(self, months: list[tuple[date, str | None, tuple[Decimal | None, ...]]]) -> None:
        money = self.out.money[months[-1][1]]
        within = [figures for month, _, figures in months if month >= self.period.starts_on]
        money.billed_on_contracts += sum((billed or ZERO for *_, billed in within), ZERO)
        if any(figures[0] is None for _, _, figures in months):
            money.unknown_lines += 1
            money.asset_opening = money.deferred_opening = money.recognised = None
            money.asset_closing = money.deferred_closing = None
            return
        if money.recognised is None:
            return
        before = [figures for month, _, figures in months if month < self.period.starts_on]
        opening = before[-1] if before else (ZERO, ZERO, ZERO, ZERO)
        closing = months[-1][2]
        money.asset_opening = _add(money.asset_opening, opening[0])
        money.deferred_opening = _add(money.deferred_opening, opening[1])
        money.asset_closing = _add(money.asset_closing, closing[0])
        money.deferred_closing = _add(money.deferred_closing, closing[1])
        money.recognised += sum((earned or ZERO for _, _, earned, _ in within), ZERO)

    def _tie(self) -> None:
        posted = [line for line in self.rows.invoice_lines.values() if line.status == "posted"]
        charges = {line.id: line for line in posted if line.kind == "charge"}
        differs: dict[str, Decimal] = defaultdict(lambda: ZERO)
        about: dict[str, tuple[date, str]] = {}
        for line in posted:
            charge = charges.get(line.credits_line_id or "") if line.kind == "credit" else None
            if charge is None or charge.engagement_id != line.engagement_id:
                charge = line
            amount = -line.amount if line.kind == "credit" else line.amount
            engagement = self.rows.engagements.get(line.engagement_id)
            if engagement is None:
                self.out.unassigned += self._is_within(_posted_on(line))
            elif engagement.legal_entity_id == self.entity:
                differs[charge.id] -= amount
                about[charge.id] = _posted_on(charge), engagement.currency
                if self._is_within(_posted_on(line)):
                    self.out.money[engagement.currency].erp_posted += amount
        for key, fold in self.expected.booked.items():
            if key.bucket == "billed" and self._entity_of(key.root) == self.entity:
                line_id = key.segment.removeprefix("inv:")
                differs[line_id] += fold.amount or ZERO
                assert line_id in about, f"{line_id} is billed, and the ERP has not posted it"
        for line_id, amount in differs.items():
            day, currency = about[line_id]
            if self._is_within(day):
                self.out.money[currency].difference += amount


def _add(one: Decimal | None, other: Decimal | None) -> Decimal:
    assert one is not None
    assert other is not None
    return one + other


def _first(month: str) -> date:
    return date.fromisoformat(f"{month}-01")


def _posted_on(line: InvoiceLine) -> date:
    assert isinstance(line.posted_at, datetime)
    return line.posted_at.astimezone(UTC).date()
