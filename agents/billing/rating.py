"""Rating: what an approved entry or an accepted milestone is worth, or why that can't be said yet.

Nothing is ever priced 0 for want of a rate or a reference: the item is parked with the keys it waits for.
The steps, of which the first that fails gives the exception:

1. the references must be there (MISSING_REFERENCE, all missing ones together);
2. the work date must be inside the engagement (INACTIVE_CONTRACT);
3. internal and non-billable work is non-chargeable, whoever approved it; other work must have been approved by
   somebody else than who did it (SELF_APPROVAL), and by somebody with the right to act late, where the legal
   entity asks for one and the period was closed (CLOSED_PERIOD);
4. work on a milestone or per-diem line is paid by a fixed fee and needs no rate;
5. otherwise the rate of the work date (MISSING_RATE, AMBIGUOUS_RATE), its multiplier and the exchange
   rate into the engagement's currency (MISSING_FX).

Amount = quantity x price x multiplier x fx, rounded once (see `rounding`). Example: 7.5 h at EUR 133.33 into USD at
1.0837 is 1,083.67; rounding the price first would give 1,083.68. A price is for an hour, for a day of its own length
(3 h at 1,000 a day of 7.5 h are 400.00), or fixed: for the entry, however long it is and of whatever kind, so that
neither its quantity is rounded nor a multiplier applies.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from agents.billing.approval import approval_refused
from agents.billing.chain import Chain, milestone_chain, resolve
from agents.billing.contracts import MILESTONE, PER_DIEM, ContractLine, Engagement
from agents.billing.entities import NON_BILLABLE, Rate
from agents.billing.inputs import OVERTIME, WEEKEND, Entry, Milestone
from agents.billing.items import ENTRY, FIXED_FEE, MILESTONE_ITEM, NON_CHARGEABLE, PARKED, PRICED, Item
from agents.billing.known import LONG_AGO
from agents.billing.quantities import round_quantity
from agents.billing.rates import RateSubject, find_rate
from agents.billing.reference import BillingReference
from agents.billing.results import (
    AMBIGUOUS_RATE,
    INACTIVE_CONTRACT,
    MISSING_FX,
    MISSING_RATE,
    MISSING_REFERENCE,
    NOTHING,
    Contribution,
    Parking,
    RatedResult,
)
from streams.money import FIXED, ZERO, price_seconds

_ONE: Final = Decimal(1)
_SATURDAY: Final = 5


def rate_entry(entry: Entry | None, ref: BillingReference, known_at: datetime | None = None) -> RatedResult:
    """Rate an approved entry; None (see `Entry.from_record`) is nothing to bill.

    By rates and exchange rates as they are now, or as a close knew them; all else is as it is now.
    """
    if entry is None:
        return NOTHING
    chain = resolve(entry.consultant_id, entry.project_id, entry.task_id, ref, entry.work_date)
    contribution = _contribution(entry.seconds, chain)
    if chain.missing:
        parking = Parking(MISSING_REFERENCE, tuple(sorted(set(chain.missing))))
        return _parked(entry, chain, parking, contribution)
    line, engagement = chain.line, chain.engagement
    if line is None or engagement is None:  # nothing is missing, so the work is internal
        item = _entry_item(entry, chain, NON_CHARGEABLE, ZERO, entry.work_date)
        return RatedResult(item, None, contribution, tuple(chain.dependencies))
    if not engagement.is_active_on(entry.work_date):
        parking = Parking(INACTIVE_CONTRACT, (f"engagement:{engagement.id}",))
        return _parked(entry, chain, parking, contribution)
    if line.method == NON_BILLABLE or chain.task_non_billable:
        return _unpriced(entry, chain, NON_CHARGEABLE, contribution, ref)
    refused = approval_refused(entry, engagement.legal_entity_id, chain.dependencies, ref)
    if refused is not None:
        return _parked(entry, chain, refused, contribution)
    if line.method in (MILESTONE, PER_DIEM):
        return _unpriced(entry, chain, FIXED_FEE, contribution, ref)
    return _priced(entry, chain, line, engagement, contribution, ref, known_at)


def rate_milestone(milestone: Milestone | None, ref: BillingReference) -> RatedResult:
    """Rate an accepted milestone; None (see `Milestone.from_record`) is nothing to bill.

    It is worth its amount, as of the day of its acceptance, and has no seconds.
    """
    if milestone is None:
        return NOTHING
    chain = milestone_chain(milestone.contract_line_id, milestone.engagement_id, ref)
    engagement = chain.engagement
    parking = Parking(MISSING_REFERENCE, tuple(sorted(set(chain.missing)))) if chain.missing else None
    accounting_date = milestone.accepted_on
    if parking is None and engagement is not None:
        chain.dependencies.append(f"period:{engagement.legal_entity_id}")
        accounting_date = ref.periods.accounting_date(
            engagement.legal_entity_id, milestone.accepted_on, milestone.accepted_at
        )
    item = Item(
        root_id=f"entry:{milestone.id}" if engagement is None else engagement.id,
        entry_id=milestone.id,
        item_kind=MILESTONE_ITEM,
        consultant_id=None,
        project_id=None,
        task_id=None,
        client_id=None if engagement is None else engagement.client_id,
        contract_line_id=None if chain.line is None or engagement is None else chain.line.id,
        legal_entity_id=None if engagement is None else engagement.legal_entity_id,
        work_date=milestone.accepted_on,
        accounting_date=accounting_date,
        version=1,
        method=MILESTONE,
        disposition=PRICED if parking is None else PARKED,
        seconds=0,
        quantity_seconds=0,
        price=None,
        price_unit_seconds=None,
        rate_id=None,
        rate_currency=None,
        multiplier=None,
        fx_rate=None,
        fx_divides=None,
        currency=None if engagement is None else engagement.currency,
        amount=milestone.amount if parking is None else None,
        rounding_amount=None,
        applies_to_invoiced=False,
        exception_class=None if parking is None else parking.exception_class,
        missing_keys=None if parking is None else parking.missing_keys,
        decided_at=milestone.accepted_at,
    )
    return RatedResult(item, parking, None, tuple(chain.dependencies))


def multiplier_of(kind: str, rate: Rate, is_weekend_day: bool) -> Decimal:
    """The factor of an entry's kind: the higher of overtime and weekend, never their product.

    Example: overtime 1.5, weekend 2: overtime on a Tuesday is 1.5, on a Sunday 2; standard time is 1 even
    on a Sunday, since the kind says that it was not agreed as weekend work.
    """
    if kind == WEEKEND:
        return rate.weekend_multiplier
    if kind == OVERTIME:
        if is_weekend_day:
            return max(rate.overtime_multiplier, rate.weekend_multiplier)
        return rate.overtime_multiplier
    return _ONE


def _priced(
    entry: Entry,
    chain: Chain,
    line: ContractLine,
    engagement: Engagement,
    contribution: Contribution,
    ref: BillingReference,
    known_at: datetime | None,
) -> RatedResult:
    consultant = chain.consultant
    assert consultant is not None  # a missing consultant was parked before
    subject = RateSubject(consultant, entry.project_id, entry.task_id, line.id, engagement.client_id)
    finding = find_rate(ref.rates, subject, entry.work_date, known_at)
    chain.dependencies.extend(finding.examined)
    since = entry.approved_at or LONG_AGO
    moments = ref.rates.moments(subject, entry.work_date, finding.examined, since)
    if len(finding.rates) != 1:
        if finding.rates:
            keys = tuple(sorted(f"rate:{rate.id}" for rate in finding.rates))
            return _parked(entry, chain, Parking(AMBIGUOUS_RATE, keys), contribution, moments)
        parking = Parking(MISSING_RATE, (f"rate:{line.id}/{consultant.id}",))
        return _parked(entry, chain, parking, contribution, moments)
    rate = finding.rates[0]
    currency = engagement.currency
    fx, divides = _ONE, False
    if rate.currency != currency:
        rule = engagement.fx_rule
        chain.dependencies.append(rule.dependency(rate.currency, currency))
        found = ref.fx.convert(rule, rate.currency, currency, entry.work_date, known_at)
        moments |= ref.fx.moments(rule, rate.currency, currency, entry.work_date, since)
        if found is None:
            parking = Parking(MISSING_FX, (rule.missing_key(rate.currency, currency, entry.work_date),))
            return _parked(entry, chain, parking, contribution, moments)
        fx, divides = found, rule.inverse
    seconds, unit = entry.seconds, rate.unit_seconds
    if unit == FIXED:
        multiplier, quantity = _ONE, seconds
    else:
        multiplier = multiplier_of(entry.kind, rate, entry.work_date.weekday() >= _SATURDAY)
        quantity = round_quantity(seconds, line.quantity)

    def worth(of_seconds: int) -> Decimal:
        return price_seconds(
            of_seconds,
            rate.price,
            currency,
            multiplier=multiplier,
            fx=fx,
            fx_divides=divides,
            rounding=line.rounding,
            unit_seconds=unit,
        )

    amount = worth(quantity)
    rounding_amount = None if quantity == seconds else worth(seconds) - amount
    chain.dependencies.append(f"period:{engagement.legal_entity_id}")
    item = Item(
        engagement.id,
        entry.id,
        ENTRY,
        entry.consultant_id,
        entry.project_id,
        entry.task_id,
        engagement.client_id,
        line.id,
        engagement.legal_entity_id,
        entry.work_date,
        ref.periods.accounting_date(engagement.legal_entity_id, entry.work_date, entry.approved_at),
        entry.version,
        line.method,
        PRICED,
        seconds,
        quantity,
        rate.price,
        unit,
        rate.id,
        rate.currency,
        multiplier,
        fx,
        divides or None,
        currency,
        amount,
        rounding_amount,
        rate.applies_to_invoiced,
        None,
        None,
        entry.approved_at,
    )
    return RatedResult(item, None, contribution, tuple(chain.dependencies), frozenset(moments))


def _unpriced(
    entry: Entry, chain: Chain, disposition: str, contribution: Contribution, ref: BillingReference
) -> RatedResult:
    engagement = chain.engagement
    assert engagement is not None
    chain.dependencies.append(f"period:{engagement.legal_entity_id}")
    accounting_date = ref.periods.accounting_date(
        engagement.legal_entity_id, entry.work_date, entry.approved_at
    )
    item = _entry_item(entry, chain, disposition, ZERO, accounting_date)
    return RatedResult(item, None, contribution, tuple(chain.dependencies))


def _parked(
    entry: Entry,
    chain: Chain,
    parking: Parking,
    contribution: Contribution,
    moments: Collection[datetime] = (),
) -> RatedResult:
    item = _entry_item(entry, chain, PARKED, None, entry.work_date, parking)
    return RatedResult(item, parking, contribution, tuple(chain.dependencies), frozenset(moments))


def _contribution(seconds: int, chain: Chain) -> Contribution:
    if chain.chargeable is None:
        return Contribution(seconds, 0, seconds)
    return Contribution(seconds, seconds if chain.chargeable else 0, 0)


def _entry_item(
    entry: Entry,
    chain: Chain,
    disposition: str,
    amount: Decimal | None,
    accounting_date: date,
    parking: Parking | None = None,
) -> Item:
    """An item without a price. Line, client and currency show once line and engagement are both known."""
    line, engagement = chain.line, chain.engagement
    return Item(
        f"entry:{entry.id}" if engagement is None else engagement.id,
        entry.id,
        ENTRY,
        entry.consultant_id,
        entry.project_id,
        entry.task_id,
        None if engagement is None else engagement.client_id,
        None if engagement is None or line is None else line.id,
        None if engagement is None else engagement.legal_entity_id,
        entry.work_date,
        accounting_date,
        entry.version,
        None if line is None else line.method,
        disposition,
        entry.seconds,
        entry.seconds,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None if engagement is None else engagement.currency,
        amount,
        None,
        False,
        None if parking is None else parking.exception_class,
        None if parking is None else parking.missing_keys,
        entry.approved_at,
    )
