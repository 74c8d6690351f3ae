"""How a fee that was agreed beforehand is earned, month by month.

    percent_complete   fee x min(1, approved hours / planned hours), to the end of each month; a month has
                       what the total grew by. A new plan counts from its own month on: what it changes of the
                       past is caught up there, and no earlier month moves
    straight_line      by days over the line's dates, ``[starts_on, ends_on)``. A new plan spreads what is not
                       earned yet over the days that it leaves
    as_consumed        fee x covered hours / hours of the lot, like percent_complete; what is left when the
                       lot expires is breakage of that month

No act earns a retainer's month or expires a lot, and there is no clock here: it happens with the close of the
month's accounting period, which the books do say. Until then it is scheduled. Work of a lot's days that is approved
after the close gives back what had become breakage, in the month of its approval. Whether a retainer's unused hours
expire or roll over changes nothing of its fee.

The rest of a fee that no month has is scheduled for the line's last month, or for the last one in which anything
happened if that is later: at the latest it is earned then. So the months always sum to the fee.

Examples: of 100,000 for 1,000 h, 400 h are 40,000; planned anew with 1,250 h, 500 h are 0 more. A lot of 10 h for
1,500 expires on 31 March with 7 h used: 1,050 and, once March is closed, breakage of 450; 2 h of March that are
approved then are 300 in April, and breakage -300.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter
from typing import Final, NamedTuple

from agents.revenue.sums import NOTHING, MonthSums, first_of, month_after
from agents.revenue.terms import (
    AS_CONSUMED,
    PERCENT_COMPLETE,
    DatedRevision,
    LineTerms,
    LotFee,
    Plan,
    plan_on,
)
from streams.money import ZERO, round_fraction, round_money

_DAY: Final = timedelta(days=1)
_WHOLE: Final = Fraction(1)


@dataclass(frozen=True, slots=True)
class Fee:
    """A line's fee with what decides its months. ``terms`` lack nothing; revisions are in order of decision.

    ``begins_on`` is when the engagement does: the last resort for what has no date.
    """

    terms: LineTerms
    revisions: Sequence[DatedRevision]
    currency: str
    begins_on: date
    is_closed: Callable[[date], bool]
    lots: Sequence[LotFee] = ()

    def plan_on(self, day: date) -> Plan:
        """The plan in force on an accounting date; its fee in whole minor units of the currency."""
        plan = plan_on(self.terms, self.revisions, day)
        return plan._replace(fee=round_money(plan.fee, self.currency))

    def plan_of(self, month: date) -> Plan:
        """The plan in force at the end of a month."""
        return self.plan_on(month_after(month) - _DAY)

    def of_lots(self, month: date) -> tuple[Decimal, int]:
        """Fees and seconds of the lots that were bought by the end of a month."""
        bought = [lot for lot in self.lots if lot.bought_on < month_after(month)]
        fees = sum((round_money(lot.fee, self.currency) for lot in bought), ZERO)
        return fees, sum(lot.seconds for lot in bought)

    @property
    def revised(self) -> set[date]:
        """The months in which a new plan begins to count."""
        return {first_of(counts_from) for counts_from, _ in self.revisions}


@dataclass(slots=True)
class Earned:
    """Money of the fee by month."""

    recognised: dict[date, Decimal] = field(default_factory=dict)
    breakage: dict[date, Decimal] = field(default_factory=dict)
    scheduled: dict[date, Decimal] = field(default_factory=dict)

    def add(self, month: date, recognised: Decimal, breakage: Decimal) -> None:
        """Add to a month."""
        self.recognised[month] = self.recognised.get(month, ZERO) + recognised
        self.breakage[month] = self.breakage.get(month, ZERO) + breakage

    def schedule(self, month: date, rest: Decimal) -> None:
        """Add to what is to come in a month."""
        if rest:
            self.scheduled[month] = self.scheduled.get(month, ZERO) + rest


def progress_of(method: str, sums: MonthSums) -> int:
    """The seconds of a month that a method measures its progress by."""
    if method == PERCENT_COMPLETE:
        return sums.worked
    return sums.consumed if method == AS_CONSUMED else 0


def whole_of(terms: LineTerms, plan: Plan) -> int | None:
    """The seconds that the progress is measured against; None where there is no such measure."""
    if terms.method == PERCENT_COMPLETE:
        return plan.planned_seconds
    return terms.included_seconds if terms.method == AS_CONSUMED else None


class _Pot(NamedTuple):
    """Money that is earned as time is done: a fixed price, what the line includes, or one of its lots.

    ``stands`` is the fee and the seconds that it is for at the end of a month, ``fee`` the one in the end; ``done``
    tells the seconds of a month. ``months`` are those in which anything may change, ``ends_in`` is the last one planned.
    """

    fee: Decimal
    stands: Callable[[date], tuple[Decimal, int | None]]
    done: Callable[[MonthSums], int]
    expires_on: date | None
    months: set[date]
    ends_in: date


def by_progress(fee: Fee, months: Mapping[date, MonthSums]) -> Earned:
    """Percent complete, and as consumed."""
    earned = Earned()
    for pot in (_of_line(fee, months), *(_of_lot(lot, fee, months) for lot in fee.lots)):
        _earn(pot, fee, months, earned)
    return earned


def _of_line(fee: Fee, months: Mapping[date, MonthSums]) -> _Pot:
    terms, last = fee.terms, fee.plan_on(date.max)
    is_lot = terms.method == AS_CONSUMED
    end = terms.expires_on
    if not is_lot:
        end = None if last.ends_on is None else last.ends_on - _DAY

    def stands(month: date) -> tuple[Decimal, int | None]:
        plan = fee.plan_of(month)
        return plan.fee, whole_of(terms, plan)

    return _Pot(
        last.fee,
        stands,
        attrgetter("covered" if is_lot else "worked"),
        terms.expires_on if is_lot else None,
        {*months, *fee.revised},
        first_of(end or fee.begins_on),
    )


def _of_lot(lot: LotFee, fee: Fee, months: Mapping[date, MonthSums]) -> _Pot:
    whole_fee = round_money(lot.fee, fee.currency)
    return _Pot(
        whole_fee,
        lambda month: (whole_fee, lot.seconds),
        lambda sums: dict(sums.lots).get(lot.id, 0),
        lot.expires_on,
        {*months},
        first_of(lot.expires_on or lot.starts_on or fee.begins_on),
    )


def _earn(pot: _Pot, fee: Fee, months: Mapping[date, MonthSums], earned: Earned) -> None:
    """Add what is earned as time is done, what is lost with an expiry, and what is to come."""
    expiry = None if pot.expires_on is None else first_of(pot.expires_on)
    expired = expiry is not None and fee.is_closed(expiry)
    done, total, lost = 0, ZERO, ZERO
    for month in sorted(pot.months if expiry is None else {*pot.months, expiry}):
        whole_fee, whole = pot.stands(month)
        done += pot.done(months.get(month, NOTHING))
        so_far = ZERO  # where the line has lots only
        if whole:
            share = min(_WHOLE, Fraction(done, whole))
            so_far = round_fraction(Fraction(whole_fee) * share, fee.currency)
        left = whole_fee - so_far if expired and expiry is not None and month >= expiry else ZERO
        earned.add(month, so_far - total, left - lost)
        total, lost = so_far, left
    earned.schedule(max([pot.ends_in, *pot.months]), pot.fee - total - lost)


class _Stretch(NamedTuple):
    """Days from ``starts_on`` on under one plan, with what was earned before."""

    starts_on: date
    plan: Plan
    before: Fraction

    def earned_before(self, day: date) -> Fraction:
        """What is earned by the morning of a day."""
        assert self.plan.ends_on is not None
        rest, days = Fraction(self.plan.fee) - self.before, (self.plan.ends_on - self.starts_on).days
        if days <= 0:  # the new end is past already
            return self.before + rest
        return self.before + rest * Fraction(min(days, (day - self.starts_on).days), days)


def by_days(fee: Fee) -> Earned:
    """Straight-line: by month, recognised once the month is closed."""
    earned, total = Earned(), ZERO
    for month, exact in _month_ends(list(_stretches(fee))):
        so_far = round_fraction(exact, fee.currency)
        if part := so_far - total:
            (earned.recognised if fee.is_closed(month) else earned.scheduled)[month] = part
        total = so_far
    return earned


def _stretches(fee: Fee) -> Iterable[_Stretch]:
    start = fee.terms.starts_on
    assert start is not None
    last = _Stretch(start, fee.plan_on(start), Fraction(0))
    for day in sorted({counts_from for counts_from, _ in fee.revisions if counts_from > start}):
        yield last
        last = _Stretch(day, fee.plan_on(day), last.earned_before(day))
    yield last


def _month_ends(stretches: Sequence[_Stretch]) -> Iterable[tuple[date, Fraction]]:
    """What is earned by the end of each month, from the first to the last that has any of it."""
    month = first_of(stretches[0].starts_on)
    end = max(max(one.starts_on + _DAY, one.plan.ends_on or one.starts_on) for one in stretches)
    while month < end:
        following = month_after(month)
        stretch = [one for one in stretches if one.starts_on < following][-1]
        yield month, stretch.earned_before(following)
        month = following
