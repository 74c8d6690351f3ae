"""What is contracted and not delivered yet: fees and milestones less what is earned, caps less what counts against them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from .exact import ZERO
from .expected import Expected, FoldKey
from .rows import ContractLine, Rows


@dataclass(frozen=True, slots=True)
class Backlog:
    """``contracted`` None: no value is agreed, or not known; then ``backlog`` is None, and so for the seconds."""

    contracted: Decimal | None
    delivered: Decimal | None
    contracted_seconds: int | None
    delivered_seconds: int | None

    @property
    def backlog(self) -> Decimal | None:
        """Money to be delivered yet."""
        if self.contracted is None or self.delivered is None:
            return None
        return self.contracted - self.delivered

    @property
    def backlog_seconds(self) -> int | None:
        """Time to be delivered yet."""
        if self.contracted_seconds is None or self.delivered_seconds is None:
            return None
        return self.contracted_seconds - self.delivered_seconds


def backlog(expected: Expected, rows: Rows) -> dict[tuple[str, str | None], Backlog]:
    """By engagement and contract line; line None: the caps of the engagement, where it has some.

    Example: a cap of 10,000, 3,000 billed and 1,200 unbilled: 5,800 to go.
    """
    out: dict[tuple[str, str | None], Backlog] = {}
    for line in rows.contract_lines.values():
        out[line.engagement_id, line.id] = _of_line(line, expected, rows)
    for one in rows.engagements.values():
        if one.cap_money is not None or one.cap_seconds is not None:
            money, seconds = _used(expected, rows, one.id, None)
            out[one.id, None] = Backlog(one.cap_money, money, one.cap_seconds, seconds)
    return out


def _of_line(line: ContractLine, expected: Expected, rows: Rows) -> Backlog:
    root = line.engagement_id
    months = [key.month for key in expected.revenue if (key.root, key.line) == (root, line.id)]
    last = None
    if months:
        last = next(
            one
            for key, one in expected.revenue.items()
            if (key.root, key.line, key.month) == (root, line.id, max(months))
        )
    by_fee = sum(
        fold.seconds
        for key, fold in expected.billing.items()
        if (key.root, key.line) == (root, line.id) and key.bucket in ("covered", "fixed_fee")
    )
    method = None if last is None else last.method
    if last is not None and method in ("percent_complete", "as_consumed"):
        return Backlog(last.price, last.to_date, last.planned, last.progress)
    if last is not None and method == "straight_line":
        return Backlog(last.price, last.to_date, _included(line), by_fee)
    if last is not None and method == "milestone":
        return Backlog(last.price, last.to_date, None, by_fee)
    money, seconds = _used(expected, rows, root, line.id)
    return Backlog(line.cap_money, money, line.cap_seconds, seconds)


def _included(line: ContractLine) -> int | None:
    """The hours of all months of a retainer."""
    if line.included_seconds is None or line.starts_on is None or line.ends_on is None:
        return None
    months: set[date] = set()
    day = line.starts_on
    while day < line.ends_on:
        months.add(day.replace(day=1))
        day += timedelta(days=1)
    return line.included_seconds * len(months) if months else None


def _used(expected: Expected, rows: Rows, root: str, line: str | None) -> tuple[Decimal, int]:
    money, seconds = ZERO, 0
    for key, fold in expected.billing.items():
        if key.root == root and (line is None or key.line == line) and _counts(key, rows, line):
            money += fold.amount or ZERO
            seconds += fold.seconds
    return money, seconds


def _counts(key: FoldKey, rows: Rows, line: str | None) -> bool:
    """Against the cap of a line, or of the engagement."""
    expense = rows.expenses.get(key.entry)
    scope = "line" if expense is None else expense.cap_scope
    if scope not in (("line",) if line is not None else ("line", "engagement")):
        return False
    if key.bucket == "billed":
        return True
    is_work = key.consultant is not None and not key.entry.startswith("day:")
    return is_work and key.bucket in ("on_draft", "unbilled", "on_hold")
