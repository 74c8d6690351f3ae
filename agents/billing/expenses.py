"""Expenses: what an approved one is to be billed for, its net cost with a markup.

The net cost is without recoverable tax: of tax basis gross it is the amount less its tax, of basis net it is the
amount, whatever tax came on top. The markup is the expense's own, else the contract line's, else none. Money is

    net cost x (1 + markup / 100) x exchange rate of the day on which it was incurred

rounded once, as the contract line rounds. Example: EUR 200.00 at a markup of 10% and 1.0837 are USD 238.41. An
expense has no time: it is no utilization and draws on no hours, neither those that a line includes nor a cap of them.
Whatever pays for the time of its line (a fee, a retainer, a per diem), it is billed beside it.

The first step that fails parks it: MISSING_REFERENCE, INACTIVE_CONTRACT, SELF_APPROVAL, CLOSED_PERIOD, INVALID_VALUE
(a tax that is more than the amount), MISSING_FX. On an internal project, a non-billable line, or a line that bills no
expenses it is non-chargeable, whoever approved it; that shows as a segment of nothing.

A posted line freezes what it billed: what an exchange rate, a markup or a new amount of the same version says
differently later is to be billed or goes back to the client.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from agents.billing.approval import approval_refused
from agents.billing.chain import Chain, resolve
from agents.billing.contracts import ContractLine, Engagement
from agents.billing.entities import NON_BILLABLE, Record
from agents.billing.inputs import APPROVED, required
from agents.billing.items import EXPENSE, LINE_SCOPE, NON_CHARGEABLE, PARKED, PRICED, Item
from agents.billing.known import LONG_AGO
from agents.billing.reference import BillingReference
from agents.billing.results import (
    INACTIVE_CONTRACT,
    INVALID_VALUE,
    MISSING_FX,
    MISSING_REFERENCE,
    NOTHING,
    Parking,
    RatedResult,
)
from streams.money import EXACT, FIXED, ZERO, price_seconds, round_money

GROSS: Final = "gross"
_ONE: Final = Decimal(1)
_PERCENT: Final = Decimal(100)


class Expense(NamedTuple):
    """An approved expense. ``work_date`` is the day on which it was incurred, ``net`` its cost in ``currency``."""

    id: str
    consultant_id: str
    project_id: str
    work_date: date
    net: Decimal
    currency: str
    markup: Decimal | None
    cap_scope: str
    version: int
    approved_at: datetime | None
    approved_by: str | None

    @property
    def is_self_approved(self) -> bool:
        """Whether who paid it has approved it."""
        return self.approved_by == self.consultant_id

    @classmethod
    def from_record(cls, record: Record) -> Expense | None:
        """The expense of a decoded ``canonical.expense``; None where it is deleted or not approved.

        Raises InvalidValue for an approved one without a consultant, project, day, amount or currency.
        """
        if record["deleted"] or record["status"] != APPROVED:
            return None
        net = required(record, "amount")
        if record["tax_basis"] == GROSS:
            net -= record["tax_amount"] or ZERO
        return cls(
            record["id"],
            required(record, "consultant_id"),
            required(record, "project_id"),
            required(record, "incurred_on"),
            net,
            required(record, "currency"),
            record["markup"],
            record["cap_scope"] or LINE_SCOPE,
            record["version"] or 1,
            record["approved_at"],
            record["approved_by"],
        )

    @classmethod
    def from_version(cls, record: Record) -> Expense | None:
        """The expense that a decoded ``canonical.expense_version`` was; None if it is deleted."""
        if record["expense_id"] is None:
            return None
        return cls.from_record({**record, "id": record["expense_id"], "status": APPROVED})


def rate_expense(
    expense: Expense | None, ref: BillingReference, known_at: datetime | None = None
) -> RatedResult:
    """Rate an approved expense; None (see `Expense.from_record`) is nothing to bill.

    By exchange rates as they are now, or as a close knew them; all else is as it is now.
    """
    if expense is None:
        return NOTHING
    chain = resolve(expense.consultant_id, expense.project_id, None, ref, expense.work_date)
    line, engagement = chain.line, chain.engagement
    if chain.missing:
        return _parked(expense, chain, Parking(MISSING_REFERENCE, tuple(sorted(set(chain.missing)))))
    if line is None or engagement is None:  # nothing is missing, so the project is internal
        return _result(_item(expense, chain, NON_CHARGEABLE, ZERO, expense.work_date), chain)
    if not engagement.is_active_on(expense.work_date):
        return _parked(expense, chain, Parking(INACTIVE_CONTRACT, (f"engagement:{engagement.id}",)))
    chain.dependencies.append(f"period:{engagement.legal_entity_id}")
    booked_on = ref.periods.accounting_date(
        engagement.legal_entity_id, expense.work_date, expense.approved_at
    )
    if line.method == NON_BILLABLE or not line.expenses_billed:
        return _result(_item(expense, chain, NON_CHARGEABLE, ZERO, booked_on), chain)
    refused = approval_refused(expense, engagement.legal_entity_id, chain.dependencies, ref)
    if refused is not None:
        return _parked(expense, chain, refused)
    if expense.net < 0:
        return _parked(expense, chain, Parking(INVALID_VALUE, (f"tax_amount:{expense.id}",)))
    return _priced(expense, chain, line, engagement, booked_on, ref, known_at)


def at_stake(item: Item) -> tuple[Decimal | None, str | None]:
    """What a parked expense is about, in its own currency, with the markup as far as it is known; else no amount."""
    if item.item_kind != EXPENSE or item.price is None or item.rate_currency is None:
        return None, item.currency
    marked_up = EXACT.multiply(item.price, item.multiplier or _ONE)
    return round_money(marked_up, item.rate_currency), item.rate_currency


def _priced(
    expense: Expense,
    chain: Chain,
    line: ContractLine,
    engagement: Engagement,
    booked_on: date,
    ref: BillingReference,
    known_at: datetime | None,
) -> RatedResult:
    fx, divides, moments = _ONE, False, set[datetime]()
    if expense.currency != engagement.currency:
        rule, pair = engagement.fx_rule, (expense.currency, engagement.currency)
        chain.dependencies.append(rule.dependency(*pair))
        found = ref.fx.convert(rule, *pair, expense.work_date, known_at)
        moments = ref.fx.moments(rule, *pair, expense.work_date, expense.approved_at or LONG_AGO)
        if found is None:
            parking = Parking(MISSING_FX, (rule.missing_key(*pair, expense.work_date),))
            return _parked(expense, chain, parking, moments)
        fx, divides = found, rule.inverse
    multiplier = _multiplier(expense, line)
    amount = price_seconds(
        0,
        expense.net,
        engagement.currency,
        multiplier=multiplier,
        fx=fx,
        fx_divides=divides,
        rounding=line.rounding,
        unit_seconds=FIXED,
    )
    item = _item(expense, chain, PRICED, amount, booked_on)
    item = _with_price(item, expense, line)._replace(fx_rate=fx, fx_divides=divides or None)
    return _result(item, chain, moments=moments)


def _multiplier(expense: Expense, line: ContractLine | None) -> Decimal:
    """1.1 at a markup of 10%."""
    of_line = None if line is None else line.expense_markup
    markup = expense.markup if expense.markup is not None else of_line
    return _ONE if markup is None else _ONE + EXACT.divide(markup, _PERCENT)


def _with_price(item: Item, expense: Expense, line: ContractLine | None) -> Item:
    """The net cost as the price of the whole, and the markup as its multiplier."""
    return item._replace(
        price=expense.net,
        price_unit_seconds=FIXED,
        rate_currency=expense.currency,
        multiplier=_multiplier(expense, line),
    )


def _result(
    item: Item, chain: Chain, parking: Parking | None = None, moments: Collection[datetime] = ()
) -> RatedResult:
    return RatedResult(item, parking, None, tuple(chain.dependencies), frozenset(moments))


def _parked(
    expense: Expense, chain: Chain, parking: Parking, moments: Collection[datetime] = ()
) -> RatedResult:
    item = _item(expense, chain, PARKED, None, expense.work_date, parking)
    return _result(_with_price(item, expense, chain.line), chain, parking, moments)


def _item(
    expense: Expense,
    chain: Chain,
    disposition: str,
    amount: Decimal | None,
    accounting_date: date,
    parking: Parking | None = None,
) -> Item:
    """An item without a price. Line, client and currency show once line and engagement are both known."""
    line, engagement = chain.line, chain.engagement
    return Item(
        root_id=f"entry:{expense.id}" if engagement is None else engagement.id,
        entry_id=expense.id,
        item_kind=EXPENSE,
        consultant_id=expense.consultant_id,
        project_id=expense.project_id,
        task_id=None,
        client_id=None if engagement is None else engagement.client_id,
        contract_line_id=None if engagement is None or line is None else line.id,
        legal_entity_id=None if engagement is None else engagement.legal_entity_id,
        work_date=expense.work_date,
        accounting_date=accounting_date,
        version=expense.version,
        method=None if line is None else line.method,
        disposition=disposition,
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
        amount=amount,
        rounding_amount=None,
        applies_to_invoiced=False,
        exception_class=None if parking is None else parking.exception_class,
        missing_keys=None if parking is None else parking.missing_keys,
        decided_at=expense.approved_at,
        cap_scope=expense.cap_scope,
    )
