"""What each approved expense is to be billed for: its net cost with a markup, in the contract's currency.

The net cost is without recoverable tax: of basis gross it is the amount less its tax, of basis net the amount. The
markup is the expense's own, else the contract line's, else none. Money is net x (1 + markup/100) x FX, rounded once,
as the contract line rounds. What fails first decides why it is parked: references, contract dates, who approved it,
whether they might, a tax that is more than the amount, the exchange rate. On an internal project, a non-billable
line, or a line that bills no expenses it is non-chargeable; of every other method it is billed beside the fee.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from .books import Books
from .exact import ZERO, round_money
from .rating import Item, is_active, missing_parties
from .rows import ContractLine, Engagement, Expense, Rows


def net_cost(expense: Expense) -> Decimal:
    """Without recoverable tax: 238.00 gross with 38.00 tax are 200.00."""
    return expense.amount - (expense.tax_amount or ZERO) if expense.tax_basis == "gross" else expense.amount


def rate_expense(expense: Expense, rows: Rows, books: Books) -> Item:
    """Rate one approved expense. Example: EUR 200.00 net, 10% markup, at 1.0837 are USD 238.41."""
    missing = [] if expense.consultant_id in rows.consultants else [f"consultant:{expense.consultant_id}"]
    project = rows.projects.get(expense.project_id)
    line: ContractLine | None = None
    engagement: Engagement | None = None
    if project is None:
        missing.append(f"project:{expense.project_id}")
    elif project.engagement_id is not None:
        line = rows.contract_lines.get(project.contract_line_id or "")
        engagement = None if line is None else rows.engagements.get(line.engagement_id)
        if project.contract_line_id is None:
            missing.append(f"line-of:{project.id}")
        elif line is None:
            missing.append(f"line:{project.contract_line_id}")
        elif engagement is None:
            missing.append(f"engagement:{line.engagement_id}")
        else:
            missing += missing_parties(engagement, rows)
    if line is None or engagement is None:  # unknown, or internal
        return Item(
            kind="expense",
            entry_id=expense.id,
            root=f"entry:{expense.id}",
            work_date=expense.incurred_on,
            accounting_date=expense.incurred_on,
            version=expense.version,
            disposition="parked" if missing else "non_chargeable",
            seconds=0,
            quantity=0,
            amount=None if missing else ZERO,
            consultant_id=expense.consultant_id,
            exception_class="MISSING_REFERENCE" if missing else None,
            missing_keys=tuple(sorted(missing)),
            cap_scope=expense.cap_scope,
        )

    def parked(exception_class: str, *keys: str) -> Item:
        return _item(expense, line, engagement, "parked", None, exception_class, *keys)

    if missing:
        return parked("MISSING_REFERENCE", *missing)
    if not is_active(engagement, expense.incurred_on):
        return parked("INACTIVE_CONTRACT", f"engagement:{engagement.id}")
    entity, person = engagement.legal_entity_id, expense.approved_by
    day = books.accounting_date(entity, expense.incurred_on, expense.approved_at)
    if line.billing_method == "non_billable" or line.expenses_billed is False:
        return _item(expense, line, engagement, "non_chargeable", ZERO, day=day)
    if person == expense.consultant_id:
        return parked("SELF_APPROVAL", f"approver:{person}")
    closed = books.closed_to(entity, person, expense.incurred_on, expense.approved_at)
    if closed is not None:
        return parked("CLOSED_PERIOD", f"period:{closed.id}", f"right:{entity}/{person}")
    net = net_cost(expense)
    if net < 0:
        return parked("INVALID_VALUE", f"tax_amount:{expense.id}")
    fx = books.fx(expense.currency, engagement, expense.incurred_on)
    if fx is None:
        currencies = [expense.currency, engagement.currency]
        if engagement.fx_inverse:
            currencies.reverse()
        if engagement.fx_rate_type is not None:
            currencies.insert(0, engagement.fx_rate_type)
        return parked("MISSING_FX", f"fx:{':'.join(currencies)}:{expense.incurred_on}")
    markup = expense.markup if expense.markup is not None else line.expense_markup or ZERO
    divides = engagement.fx_inverse and expense.currency != engagement.currency
    exact = Fraction(net) * (1 + Fraction(markup) / 100) * (1 / Fraction(fx) if divides else Fraction(fx))
    money = round_money(exact, engagement.currency, line.rounding)
    item = _item(expense, line, engagement, "priced", money, day=day)
    return replace(item, how=(*item.how, fx, divides))


def _item(
    expense: Expense,
    line: ContractLine,
    engagement: Engagement,
    disposition: str,
    amount: Decimal | None,
    exception_class: str | None = None,
    *keys: str,
    day: date | None = None,
) -> Item:
    """On its engagement; what is parked is dated by the day on which it was incurred."""
    return Item(
        kind="expense",
        entry_id=expense.id,
        root=engagement.id,
        work_date=expense.incurred_on,
        accounting_date=day or expense.incurred_on,
        version=expense.version,
        disposition=disposition,
        seconds=0,
        quantity=0,
        amount=amount,
        consultant_id=expense.consultant_id,
        line_id=line.id,
        currency=engagement.currency,
        method=line.billing_method,
        rounding=line.rounding,
        exception_class=exception_class,
        missing_keys=tuple(sorted(keys)),
        cap_scope=expense.cap_scope,
        how=(net_cost(expense), expense.markup if expense.markup is not None else line.expense_markup),
    )
