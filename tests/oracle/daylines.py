"""Lines of a day: the uplift to a day's minimum, and per diems.

Both belong to a (consultant, contract line, work date), not to an entry: they are items of their
own, with no time and an amount, under the id ``day:<consultant>:<line>:<YYYY-MM-DD>``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from .exact import ZERO, round_money
from .rating import Item, price_of
from .rows import ContractLine, Rows


def day_items(items: Sequence[Item], rows: Rows) -> list[Item]:
    """The day lines that a root's items, in item order, give rise to, in the order of their first item.

    Example: a minimum of 4 h at 100 an hour with entries of 1 h and 2 h gives an uplift of 100.
    Example: a per diem of 900 with entries of 3 h and 5 h gives one line of 900.
    """
    days: dict[tuple[str, str, date], list[Item]] = defaultdict(list)
    for item in items:
        if item.kind == "entry" and item.consultant_id is not None and item.line_id is not None:
            days[item.consultant_id, item.line_id, item.work_date].append(item)
    lines = []
    for (_, line_id, _), of_day in days.items():
        line = rows.contract_lines.get(line_id)
        found = None if line is None else _day_line(line, of_day)
        if found is not None:
            lines.append(found)
    return lines


def _day_line(line: ContractLine, of_day: Sequence[Item]) -> Item | None:
    if line.billing_method == "per_diem":
        return _per_diem(line, [item for item in of_day if item.disposition == "fixed_fee"])
    if line.billing_method == "tm" and line.day_minimum_seconds is not None:
        priced = [item for item in of_day if item.disposition == "priced" and not item.fixed_price]
        return _uplift(line.day_minimum_seconds, priced)
    return None


def _per_diem(line: ContractLine, fixed_fee: Sequence[Item]) -> Item | None:
    """One amount for a day with any time on it."""
    if not fixed_fee:
        return None
    amount = ZERO if line.per_diem_amount is None else line.per_diem_amount
    return _item(fixed_fee[0], amount)


def _uplift(minimum: int, priced: Sequence[Item]) -> Item | None:
    """What is missing to the minimum, at the price and exchange rate of the day's first item, rounded as its line says.

    What has a fixed price is not paid by its time: it neither counts nor gives a price.
    """
    total = sum(item.quantity for item in priced)
    if not priced or total >= minimum:
        return None
    first = priced[0]
    assert first.price is not None
    assert first.currency is not None
    exact = price_of(minimum - total, first.price, first.price_seconds, first.fx, first.fx_divides)
    how = (*first.how[:1], first.price, first.price_seconds, first.fx, first.fx_divides)
    return _item(first, round_money(exact, first.currency, first.rounding), how)


def _item(first: Item, amount: Decimal, how: tuple[object, ...] = ()) -> Item:
    """The day line, dated and dimensioned as the day's first item."""
    return Item(
        kind="day",
        entry_id=f"day:{first.consultant_id}:{first.line_id}:{first.work_date}",
        root=first.root,
        work_date=first.work_date,
        accounting_date=first.accounting_date,
        version=1,
        disposition="priced",
        seconds=0,
        quantity=0,
        amount=amount,
        consultant_id=first.consultant_id,
        line_id=first.line_id,
        currency=first.currency,
        method=first.method,
        rounding=first.rounding,
        how=how,
    )
