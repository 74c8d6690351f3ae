"""What each approved entry and accepted milestone is worth, and whose it is.

The result is one `Item` each. An item that can't be rated is *parked*: it keeps its seconds, has no
amount (unknown, not 0), and says what is missing. The first step that fails decides the class:
references, contract dates, who approved it, whether they might, rate, exchange rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final

from .books import Books
from .exact import HALF_UP, ZERO, round_money, whole
from .positions import consultant_on
from .rows import ContractLine, Engagement, Milestone, Project, Rate, Rows, Task, TimeEntry

ONE: Final = Decimal(1)
SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Item:
    """A rated entry, milestone or expense, or a line of a day (``kind`` entry, milestone, expense or day).

    ``cap_scope`` says which caps it counts against: none, that of the engagement, or (line) those of both.

    ``disposition`` is priced, fixed_fee, non_chargeable or parked. ``quantity`` is ``seconds`` after
    quantity rounding; ``amount`` is the document amount of ``quantity`` in ``currency``, and
    ``rounding_amount`` what the amount of ``seconds`` is more than that.
    """

    kind: str
    entry_id: str
    root: str
    work_date: date
    accounting_date: date
    version: int
    disposition: str
    seconds: int
    quantity: int
    amount: Decimal | None
    consultant_id: str | None = None
    line_id: str | None = None
    currency: str | None = None
    method: str | None = None
    price: Decimal | None = None
    price_seconds: int = 3600  # that the price is for
    fixed_price: bool = False
    fx: Decimal = ONE
    fx_divides: bool = False
    rounding_amount: Decimal = ZERO
    applies_to_invoiced: bool = False
    rounding: str = HALF_UP  # of its contract line, for every amount that is computed of it
    exception_class: str | None = None
    missing_keys: tuple[str, ...] = ()
    cap_scope: str = "line"
    how: tuple[object, ...] = ()  # rate, price, what that is for, multiplier, exchange rate


def rate_entry(entry: TimeEntry, rows: Rows, books: Books) -> Item:
    """Rate one approved entry. Example: 1200 s at 1,234.56 an hour is 411.52."""
    missing: list[str] = []
    if entry.consultant_id not in rows.consultants:
        missing.append(f"consultant:{entry.consultant_id}")
    task = task_of(entry, rows)
    if entry.task_id is not None and task is None:
        missing.append(f"task:{entry.task_id}")
    project = rows.projects.get(entry.project_id)
    if project is None:
        missing.append(f"project:{entry.project_id}")
        return _on_own_root(entry, missing)
    if project.engagement_id is None:
        return _on_own_root(entry, missing)

    # A task that is unknown can't name a line; the project's is then as far as we can resolve.
    line_id = line_id_of(project, task)
    if line_id is None:
        return _on_own_root(entry, [*missing, f"line-of:{project.id}"])
    line = rows.contract_lines.get(line_id)
    if line is None:
        return _on_own_root(entry, [*missing, f"line:{line_id}"])
    engagement = rows.engagements.get(line.engagement_id)
    if engagement is None:
        return _on_own_root(entry, [*missing, f"engagement:{line.engagement_id}"])

    # From here on the item belongs to the engagement, parked or not.
    missing += missing_parties(engagement, rows)
    if missing:
        return _parked(entry, line, engagement, "MISSING_REFERENCE", missing)
    if not is_active(engagement, entry.work_date):
        return _parked(entry, line, engagement, "INACTIVE_CONTRACT", [f"engagement:{engagement.id}"])

    if line.billing_method == "non_billable" or (task is not None and task.billing_class == "non_billable"):
        return _unpriced(entry, line, engagement, "non_chargeable", books)
    if entry.approved_by == entry.consultant_id:
        return _parked(entry, line, engagement, "SELF_APPROVAL", [f"approver:{entry.approved_by}"])
    entity, person = engagement.legal_entity_id, entry.approved_by
    closed = books.closed_to(entity, person, entry.work_date, entry.approved_at)
    if closed is not None:
        keys = [f"period:{closed.id}", f"right:{entity}/{person}"]
        return _parked(entry, line, engagement, "CLOSED_PERIOD", keys)
    if line.billing_method in ("milestone", "per_diem"):
        return _unpriced(entry, line, engagement, "fixed_fee", books)

    consultant = consultant_on(entry.consultant_id, entry.work_date, rows)
    assert consultant is not None  # who is not there was parked above
    rates = books.rates_for(entry, line, engagement, consultant)
    if len(rates) > 1:
        tied = [f"rate:{rate.id}" for rate in rates]
        return _parked(entry, line, engagement, "AMBIGUOUS_RATE", tied)
    if not rates:
        return _parked(entry, line, engagement, "MISSING_RATE", [f"rate:{line.id}/{consultant.id}"])
    rate = rates[0]
    fx = books.fx(rate.currency, engagement, entry.work_date)
    if fx is None:
        currencies = [rate.currency, engagement.currency]
        if engagement.fx_inverse:
            currencies.reverse()
        if engagement.fx_rate_type is not None:
            currencies.insert(0, engagement.fx_rate_type)
        pair = f"fx:{':'.join(currencies)}:{entry.work_date}"
        return _parked(entry, line, engagement, "MISSING_FX", [pair])
    return _priced(entry, line, engagement, rate, fx, books)


def rate_milestone(milestone: Milestone, rows: Rows, books: Books) -> Item:
    """The item of an accepted milestone: its amount, no time, billable from its acceptance."""
    assert milestone.accepted_on is not None
    line = rows.contract_lines.get(milestone.contract_line_id)
    engagement = rows.engagements.get(milestone.engagement_id)
    missing = [] if line is not None else [f"line:{milestone.contract_line_id}"]
    if engagement is None:
        missing.append(f"engagement:{milestone.engagement_id}")
    else:
        missing += missing_parties(engagement, rows)
    if missing or line is None or engagement is None:
        return Item(
            kind="milestone",
            entry_id=milestone.id,
            root=f"entry:{milestone.id}" if engagement is None else engagement.id,
            work_date=milestone.accepted_on,
            accounting_date=milestone.accepted_on,
            version=1,
            disposition="parked",
            seconds=0,
            quantity=0,
            amount=None,
            line_id=line.id if line is not None and engagement is not None else None,
            currency=None if engagement is None else engagement.currency,
            method="milestone",
            exception_class="MISSING_REFERENCE",
            missing_keys=tuple(sorted(missing)),
        )
    entity = engagement.legal_entity_id
    return Item(
        kind="milestone",
        entry_id=milestone.id,
        root=engagement.id,
        work_date=milestone.accepted_on,
        accounting_date=books.accounting_date(entity, milestone.accepted_on, milestone.accepted_at),
        version=1,
        disposition="priced",
        seconds=0,
        quantity=0,
        amount=milestone.amount,
        line_id=line.id,
        currency=engagement.currency,
        method="milestone",
    )


def task_of(entry: TimeEntry, rows: Rows) -> Task | None:
    """The entry's task, if it has one that exists and belongs to the entry's project."""
    task = None if entry.task_id is None else rows.tasks.get(entry.task_id)
    return task if task is not None and task.project_id == entry.project_id else None


def line_id_of(project: Project, task: Task | None) -> str | None:
    """The contract line of work on a project: the task's own, else the project's."""
    if task is not None and task.contract_line_id is not None:
        return task.contract_line_id
    return project.contract_line_id


def rounded_quantity(seconds: int, line: ContractLine) -> int:
    """What is billed of an entry's time.

    A multiple of the line's increment: the nearest, of a half the greater, or (``up``) every one that was started;
    then at least the line's minimum. An entry without time has none.

    Example: 61 min at 15 min are 60 min, or 75 min ``up``; 10 min with a minimum of 30 min are 30 min.
    """
    if seconds == 0:
        return 0
    increment = line.quantity_increment_seconds
    if increment is not None:
        steps = Fraction(seconds, increment)
        seconds = (ceil(steps) if line.quantity_rounding == "up" else whole(steps)) * increment
    return max(seconds, line.minimum_quantity_seconds or 0)


def multiplier_of(kind: str, work_date: date, rate: Rate) -> Decimal:
    """Overtime and weekend: the higher applies, not the product. Overtime on a weekend is both."""
    if kind == "weekend":
        return rate.weekend_multiplier
    if kind == "overtime":
        if work_date.weekday() >= SATURDAY:
            return max(rate.overtime_multiplier, rate.weekend_multiplier)
        return rate.overtime_multiplier
    return ONE


def price_of(
    seconds: int, price: Decimal, unit_seconds: int, fx: Decimal, fx_divides: bool, multiplier: Decimal = ONE
) -> Fraction:
    """Time x price x multiplier x exchange rate, exactly; the price is for ``unit_seconds``."""
    conversion = 1 / Fraction(fx) if fx_divides else Fraction(fx)
    return Fraction(seconds, unit_seconds) * Fraction(price) * Fraction(multiplier) * conversion


def rate_seconds(rate: Rate) -> int:
    """The time that a price is for: an hour unless it is of a day. (Of a fixed one it is not used.)"""
    return rate.day_seconds if rate.unit == "day" and rate.day_seconds is not None else 3600


def missing_parties(engagement: Engagement, rows: Rows) -> list[str]:
    missing = []
    if engagement.client_id not in rows.clients:
        missing.append(f"client:{engagement.client_id}")
    if engagement.legal_entity_id not in rows.legal_entities:
        missing.append(f"legal_entity:{engagement.legal_entity_id}")
    return missing


def is_active(engagement: Engagement, day: date) -> bool:
    return engagement.starts_on <= day and (engagement.ends_on is None or day < engagement.ends_on)


def _on_own_root(entry: TimeEntry, missing: list[str]) -> Item:
    """Under a root of its own: parked before its engagement is known, or else internal work.

    Internal work has no client, no contract line and no currency, and is worth 0.
    """
    return Item(
        kind="entry",
        entry_id=entry.id,
        root=f"entry:{entry.id}",
        work_date=entry.work_date,
        accounting_date=entry.work_date,
        version=entry.version,
        disposition="parked" if missing else "non_chargeable",
        seconds=entry.seconds,
        quantity=entry.seconds,
        amount=None if missing else ZERO,
        consultant_id=entry.consultant_id,
        exception_class="MISSING_REFERENCE" if missing else None,
        missing_keys=tuple(sorted(missing)),
    )


def _parked(
    entry: TimeEntry, line: ContractLine, engagement: Engagement, exception_class: str, keys: list[str]
) -> Item:
    """Parked on its engagement, dated by its work date."""
    return Item(
        kind="entry",
        entry_id=entry.id,
        root=engagement.id,
        work_date=entry.work_date,
        accounting_date=entry.work_date,
        version=entry.version,
        disposition="parked",
        seconds=entry.seconds,
        quantity=entry.seconds,
        amount=None,
        consultant_id=entry.consultant_id,
        line_id=line.id,
        currency=engagement.currency,
        method=line.billing_method,
        exception_class=exception_class,
        missing_keys=tuple(sorted(keys)),
    )


def _unpriced(
    entry: TimeEntry, line: ContractLine, engagement: Engagement, disposition: str, books: Books
) -> Item:
    """Time that is not billed by the hour: no rate, no quantity rounding, worth 0."""
    return Item(
        kind="entry",
        entry_id=entry.id,
        root=engagement.id,
        work_date=entry.work_date,
        accounting_date=books.accounting_date(engagement.legal_entity_id, entry.work_date, entry.approved_at),
        version=entry.version,
        disposition=disposition,
        seconds=entry.seconds,
        quantity=entry.seconds,
        amount=ZERO,
        consultant_id=entry.consultant_id,
        line_id=line.id,
        currency=engagement.currency,
        method=line.billing_method,
    )


def _priced(
    entry: TimeEntry, line: ContractLine, engagement: Engagement, rate: Rate, fx: Decimal, books: Books
) -> Item:
    """Quantity first, then one rounding of quantity x price x multiplier x FX.

    The price is of an hour or of a day. A fixed one is of the entry: no multiplier, no quantity to round.
    """
    fixed = rate.unit == "fixed"
    multiplier = ONE if fixed else multiplier_of(entry.kind, entry.work_date, rate)
    unit_seconds = rate_seconds(rate)
    divides = engagement.fx_inverse and rate.currency != engagement.currency

    def worth(seconds: int) -> Decimal:
        units, of = (1, 1) if fixed else (seconds, unit_seconds)
        exact = price_of(units, rate.price, of, fx, divides, multiplier)
        return round_money(exact, engagement.currency, line.rounding)

    quantity = entry.seconds if fixed else rounded_quantity(entry.seconds, line)
    return Item(
        kind="entry",
        entry_id=entry.id,
        root=engagement.id,
        work_date=entry.work_date,
        accounting_date=books.accounting_date(engagement.legal_entity_id, entry.work_date, entry.approved_at),
        version=entry.version,
        disposition="priced",
        seconds=entry.seconds,
        quantity=quantity,
        amount=worth(quantity),
        consultant_id=entry.consultant_id,
        line_id=line.id,
        currency=engagement.currency,
        method=line.billing_method,
        price=rate.price,
        price_seconds=unit_seconds,
        fixed_price=fixed,
        fx=fx,
        fx_divides=divides,
        rounding_amount=worth(entry.seconds) - worth(quantity),
        applies_to_invoiced=rate.applies_to_invoiced,
        rounding=line.rounding,
        how=(rate.id, rate.price, None if fixed else unit_seconds, multiplier, fx, divides),
    )
