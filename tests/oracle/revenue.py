"""What is earned of each contract line in each accounting month, beside what was billed.

Approved work and accepted milestones are earned whether or not anybody has billed them. A line's method says how
its fee is earned; what no act causes (a retainer's month, the expiry of a lot) is earned once its month is closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from .books import Books
from .earned import Month, Sums, first_of
from .exact import ZERO, round_money
from .rows import ContractLine, Milestone, Period, PlanRevision, PrepaidLot, Rows

ONE_DAY: Final = timedelta(days=1)
THIRTY_YEARS: Final = timedelta(days=30 * 366)  # no fee is spread over more
METHOD_OF: Final = {"milestone": "milestone", "retainer": "straight_line", "prepaid": "as_consumed"}
FEE_METHODS: Final = ("percent_complete", "straight_line", "as_consumed")


class RevenueKey(NamedTuple):
    """A contract line under an engagement, and the first day of an accounting month."""

    root: str
    line: str
    month: date


@dataclass(frozen=True, slots=True)
class Revenue:
    """A month of a line. What depends on terms that are ``missing`` is None: unknown, not 0."""

    method: str | None
    currency: str | None
    recognised: Decimal | None
    breakage: Decimal | None
    to_date: Decimal | None
    billed: Decimal
    billed_to_date: Decimal
    asset: Decimal | None
    deferred: Decimal | None
    price: Decimal | None
    remaining: Decimal | None
    scheduled: Decimal | None
    progress: int | None
    planned: int | None
    parked_items: int
    parked_seconds: int
    missing: tuple[str, ...]


class _Plan(NamedTuple):
    fee: Decimal
    planned: int | None
    ends_on: date | None


@dataclass(slots=True)
class _Fee:
    """How the fee is earned: money by month, and its progress."""

    recognised: dict[date, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    breakage: dict[date, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    scheduled: dict[date, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    planned_anew: set[date] = field(default_factory=set)


def recognise(sums: Sums, rows: Rows, books: Books) -> dict[RevenueKey, Revenue]:
    """Every month of every contract line in which something is earned, billed, planned, or parked.

    Example: 10 h at 150 approved in March and posted in April: March 1,500 earned and a contract asset of
    1,500; April 0 earned, 1,500 billed, and no asset.
    """
    places = set(sums) | {(line.engagement_id, line.id) for line in rows.contract_lines.values()}
    out = {}
    for root, line_id in places:
        months = sums.get((root, line_id), {})
        for month, revenue in _Line(root, line_id, months, rows, books).rows().items():
            out[RevenueKey(root, line_id, month)] = revenue
    return out


class _Line:
    """One contract line under one engagement. A line of another engagement has no fee here."""

    def __init__(
        self, root: str, line_id: str, months: Mapping[date, Month], rows: Rows, books: Books
    ) -> None:
        self.months = {month: of_month for month, of_month in months.items() if of_month != Month()}
        self.engagement = rows.engagements.get(root)
        self.line = rows.contract_lines.get(line_id)
        self.books = books
        self.is_own = self.line is not None and self.line.engagement_id == root
        self.method = _method(self.line, self.is_own)
        self.lots: list[PrepaidLot] = []
        if self.method == "as_consumed":
            self.lots = [lot for lot in rows.prepaid_lots.values() if lot.contract_line_id == line_id]
        self.missing = self._missing(root, line_id)
        self.revisions: list[tuple[date, PlanRevision]] = []
        self.due: list[Milestone] = []
        self.closed: list[Period] = []
        self.first_period: Period | None = None
        if self.engagement is not None and self.is_own:
            entity = self.engagement.legal_entity_id
            periods = [period for period in rows.periods.values() if period.legal_entity_id == entity]
            self.first_period = min(periods, key=lambda period: (period.starts_on, period.id), default=None)
            of_line = [one for one in rows.plan_revisions.values() if one.contract_line_id == line_id]
            for one in sorted(of_line, key=lambda one: (one.decided_at, one.id)):
                day = self._not_before_the_books(one)
                self.revisions.append((books.accounting_date(entity, day, one.decided_at), one))
            self.closed = [period for period in periods if period.closed_at is not None]
            if self.method not in FEE_METHODS:
                self.due = [
                    one
                    for one in rows.milestones.values()
                    if (one.engagement_id, one.contract_line_id) == (root, line_id)
                    and one.status != "cancelled"
                    and not (one.status == "accepted" and one.accepted_on and one.accepted_at)
                ]

    def _not_before_the_books(self, one: PlanRevision) -> date:
        """When a decision takes effect; before the first period it is that period, if it was closed by then."""
        first = self.first_period
        if first is None or first.closed_at is None or first.closed_at > one.decided_at:
            return one.effective_on
        return max(one.effective_on, first.starts_on)

    def _missing(self, root: str, line_id: str) -> tuple[str, ...]:
        if self.line is None:
            return (f"line:{line_id}",)
        line, missing = self.line, []
        if self.engagement is None:
            missing.append(f"engagement:{root}")
        only_lots = bool(self.lots) and line.fee is None and not line.included_seconds
        if self.method in FEE_METHODS and not only_lots:
            if line.fee is None:
                missing.append(f"fee:{line_id}")
            if self.method == "percent_complete" and not line.planned_seconds:
                missing.append(f"planned_hours:{line_id}")
            if self.method == "as_consumed" and not line.included_seconds:
                missing.append(f"included_hours:{line_id}")
            if self.method == "straight_line":
                if line.starts_on is None:
                    missing.append(f"starts_on:{line_id}")
                starts, ends = line.starts_on, line.ends_on
                if ends is None or (starts is not None and not starts < ends <= starts + THIRTY_YEARS):
                    missing.append(f"ends_on:{line_id}")
        return tuple(sorted(missing))

    def rows(self) -> dict[date, Revenue]:
        """By month, the ones in which nothing happens left out."""
        if self.missing:
            return self._unknown()
        fee = self._fee()
        planned_total = sum((milestone.amount for milestone in self.due), ZERO)
        accepted_total = sum((month.accepted for month in self.months.values()), ZERO)
        for milestone in self.due:
            fee.scheduled[first_of(milestone.due_on)] += milestone.amount
        out = {}
        to_date = billed_to_date = delivered_to_date = ZERO
        progress = 0
        known = {*self.months, *fee.recognised, *fee.breakage, *fee.scheduled, *fee.planned_anew}
        for month in sorted(known):
            of_month = self.months.get(month, Month())
            delivered = ZERO if self.method == "percent_complete" else of_month.delivered
            delivered += of_month.expenses  # extra, whatever the fee pays for
            accepted = ZERO if self.method in FEE_METHODS else of_month.accepted
            consumed = of_month.covered + sum(of_month.lots.values())
            moved = {"percent_complete": of_month.worked, "as_consumed": consumed}.get(self.method, 0)
            recognised = fee.recognised[month] + delivered + accepted
            breakage, scheduled = fee.breakage[month], fee.scheduled[month]
            to_date += recognised + breakage
            billed_to_date += of_month.billed
            delivered_to_date += delivered
            progress += moved
            price = delivered_to_date
            planned = None
            if self.method in FEE_METHODS:
                plan = self._plan_on(_next(month) - ONE_DAY)
                price += plan.fee
                if self.method == "percent_complete":
                    planned = plan.planned
                elif self.method == "as_consumed":
                    assert self.line is not None
                    planned = self.line.included_seconds or 0
                    for lot in self.lots:
                        if self._bought_in(lot) <= month:
                            planned += lot.seconds
                            price += self._round(Fraction(lot.fee))
            else:
                price += accepted_total + planned_total
            something = recognised or breakage or scheduled or of_month.billed or moved
            if something or of_month.parked_items or month in fee.planned_anew:
                out[month] = Revenue(
                    self.method,
                    self._currency(),
                    recognised,
                    breakage,
                    to_date,
                    of_month.billed,
                    billed_to_date,
                    max(ZERO, to_date - billed_to_date),
                    max(ZERO, billed_to_date - to_date),
                    price,
                    price - to_date,
                    scheduled,
                    None if planned is None else progress,
                    planned,
                    of_month.parked_items,
                    of_month.parked_seconds,
                    (),
                )
        return out

    def _unknown(self) -> dict[date, Revenue]:
        """What is billed is known, and what is parked; nothing else. A fee shows from the line's first month on."""
        out, billed_to_date = {}, ZERO
        first = self.line.starts_on if self.line is not None else None
        if first is None and self.engagement is not None:
            first = self.engagement.starts_on
        begins = set() if first is None or self.method not in FEE_METHODS else {first_of(first)}
        for month in sorted({*self.months, *begins}):
            of_month = self.months.get(month, Month())
            billed_to_date += of_month.billed
            if of_month != Month() or month in begins:
                parked = (of_month.parked_items, of_month.parked_seconds)
                out[month] = Revenue(
                    self.method, self._currency(), None, None, None, of_month.billed, billed_to_date,
                    None, None, None, None, None, None, None, *parked, self.missing,
                )  # fmt: skip
        return out

    def _currency(self) -> str | None:
        return None if self.engagement is None else self.engagement.currency

    def _plan_on(self, day: date) -> _Plan:
        """The line's own plan with all that was decided of it, as of an accounting date; no fee has fractions of the
        currency's minor unit."""
        assert self.line is not None
        plan = _Plan(self.line.fee or ZERO, self.line.planned_seconds, self.line.ends_on)
        for from_day, one in self.revisions:
            if from_day <= day:
                plan = _Plan(
                    plan.fee if one.fee is None else one.fee,
                    one.planned_seconds or plan.planned,
                    plan.ends_on if one.ends_on is None else one.ends_on,
                )
        return plan._replace(fee=self._round(Fraction(plan.fee)))

    def _is_closed(self, month: date) -> bool:
        """A month before the first period that is known is closed with any of them."""
        if self.first_period is not None and month < self.first_period.starts_on:
            return bool(self.closed)
        return any(period.starts_on <= month < period.ends_on for period in self.closed)

    def _round(self, amount: Fraction) -> Decimal:
        """Half up, away from zero, to the minor unit."""
        return round_money(amount, self._currency() or "")

    def _fee(self) -> _Fee:
        fee = _Fee()
        if self.method not in FEE_METHODS:
            return fee
        fee.planned_anew = {first_of(day) for day, _ in self.revisions}
        if self.method == "straight_line":
            self._spread(fee)
            return fee
        assert self.line is not None
        assert self.engagement is not None
        line = self.line
        expiry = None
        if self.method == "as_consumed" and line.expires_on is not None:
            expiry = first_of(line.expires_on)
        months = {*self.months, *fee.planned_anew} | ({expiry} if expiry is not None else set())
        done, earned, lost = 0, ZERO, ZERO
        for month in sorted(months):
            plan = self._plan_on(_next(month) - ONE_DAY)
            of_month = self.months.get(month, Month())
            done += of_month.worked if self.method == "percent_complete" else of_month.covered
            whole = plan.planned if self.method == "percent_complete" else line.included_seconds
            now = ZERO
            if whole:  # else there are only lots
                now = self._round(Fraction(plan.fee) * min(Fraction(1), Fraction(done, whole)))
            is_over = expiry is not None and month >= expiry and self._is_closed(expiry)
            now_lost = plan.fee - now if is_over else ZERO
            fee.recognised[month] += now - earned
            fee.breakage[month] += now_lost - lost
            earned, lost = now, now_lost
        last = self._plan_on(date.max)
        rest = last.fee - earned - lost
        if rest:
            ends = [line.expires_on] if self.method == "as_consumed" else [_day_before(last.ends_on)]
            known = [first_of(day) for day in ends if day is not None] or [
                first_of(self.engagement.starts_on)
            ]
            fee.scheduled[max([*known, *self.months, *fee.planned_anew])] += rest
        for lot in self.lots:
            self._consume(lot, fee)
        return fee

    def _bought_in(self, lot: PrepaidLot) -> date:
        """The month from which on a lot is part of the price."""
        days = [day for day in (lot.starts_on, lot.expires_on) if day is not None]
        return date.min if lot.starts_on is None else first_of(min(days))

    def _consume(self, lot: PrepaidLot, fee: _Fee) -> None:
        """A lot's own fee as its hours are used; what is left at its expiry is breakage once that month is closed."""
        assert self.engagement is not None
        whole_fee = self._round(Fraction(lot.fee))
        expiry = None if lot.expires_on is None else first_of(lot.expires_on)
        done, earned, lost = 0, ZERO, ZERO
        for month in sorted({*self.months} | ({expiry} if expiry is not None else set())):
            done += self.months.get(month, Month()).lots.get(lot.id, 0)
            now = self._round(Fraction(whole_fee) * min(Fraction(1), Fraction(done, lot.seconds)))
            is_over = expiry is not None and month >= expiry and self._is_closed(expiry)
            now_lost = whole_fee - now if is_over else ZERO
            fee.recognised[month] += now - earned
            fee.breakage[month] += now_lost - lost
            earned, lost = now, now_lost
        rest = whole_fee - earned - lost
        if rest:
            end = expiry or first_of(lot.starts_on or self.engagement.starts_on)
            fee.scheduled[max([end, *self.months])] += rest

    def _spread(self, fee: _Fee) -> None:
        """Day by day: what is not earned yet, over the days that the plan in force leaves for it."""
        assert self.line is not None
        assert self.line.starts_on is not None
        day = self.line.starts_on
        ends = [self._plan_on(from_day).ends_on or day for from_day in (day, *(d for d, _ in self.revisions))]
        last_day = max(*ends, *(from_day + ONE_DAY for from_day, _ in self.revisions), day + ONE_DAY)
        earned, plan, by_month = Fraction(0), None, {}
        since, before = day, Fraction(0)
        while day < last_day:
            if self._plan_on(day) != plan:
                plan, since, before = self._plan_on(day), day, earned
            assert plan.ends_on is not None
            days = (plan.ends_on - since).days
            if days <= 0:
                earned = Fraction(plan.fee)
            elif day < plan.ends_on:
                earned = before + (Fraction(plan.fee) - before) * Fraction((day - since).days + 1, days)
            by_month[first_of(day)] = earned
            day += ONE_DAY
        so_far = ZERO
        for month, exact in by_month.items():
            part = self._round(exact) - so_far
            so_far += part
            (fee.recognised if self._is_closed(month) else fee.scheduled)[month] += part


def _method(line: ContractLine | None, is_own: bool) -> str:
    if line is None or not is_own:
        return "as_delivered"
    return line.revenue_method or METHOD_OF.get(line.billing_method, "as_delivered")


def _next(month: date) -> date:
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def _day_before(day: date | None) -> date | None:
    return None if day is None else day - ONE_DAY
