"""What management sees: bookings, effort, billing, revenue, cost and margin by client, practice and month.

A practice is that of the person who did the work, on the day of the work. Money of a contract line that is nobody's
work (a fee, a milestone) is spread over the line's practices by their hours of the month; without any in it, by their
hours before it; without those it is of no practice. A deal's practice is the one that sells its service line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from .exact import ZERO, round_money
from .expected import Expected, FoldKey
from .expenses import net_cost
from .positions import consultant_on
from .rows import Opportunity, Rows


class ExecutiveKey(NamedTuple):
    """``client`` None: internal or of nobody known; ``month`` is its first day."""

    client: str | None
    practice: str | None
    month: date | None
    currency: str | None


@dataclass(slots=True)
class Executive:
    """Figures of a key: effort by work date, billing by the ledger's, revenue by its month, deals by closing day.

    An expense costs its net amount in the month in which it was incurred, of the practice of who paid it.
    ``recognised`` None: the terms of a line in it are missing. ``cost`` None: of some hours (``uncosted``) it is
    not known what they cost. ``margin`` is recognised less cost, None where either is.
    """

    booked: Decimal = ZERO
    delivered: int = 0
    billed_seconds: int = 0
    billed: Decimal = ZERO
    recognised: Decimal | None = ZERO
    cost: Decimal | None = ZERO
    uncosted: int = 0

    @property
    def margin(self) -> Decimal | None:
        """Recognised less cost."""
        return None if self.recognised is None or self.cost is None else self.recognised - self.cost


class _Line(NamedTuple):
    root: str
    line: str


def executive(
    expected: Expected, rows: Rows, practice_of_service_line: Mapping[str, str] | None = None
) -> dict[ExecutiveKey, Executive]:
    """All keys in which there is anything.

    Example: 8 h at 150 of a person of practice data who costs 60 an hour: delivered 28,800 s, recognised 1,200,
    cost 480, margin 720; without a cost rate 28,800 s are uncosted, and the margin is unknown.
    """
    return _Pass(expected, rows, practice_of_service_line or {}).all()


class _Pass:
    def __init__(self, expected: Expected, rows: Rows, sells: Mapping[str, str]) -> None:
        self.expected = expected
        self.rows = rows
        self.sells = sells
        self.out: dict[ExecutiveKey, Executive] = defaultdict(Executive)
        self.hours: dict[_Line, dict[tuple[date, str | None], int]] = defaultdict(lambda: defaultdict(int))

    def all(self) -> dict[ExecutiveKey, Executive]:
        for deal in self.rows.opportunities.values():
            if deal.stage == "won":
                month = None if deal.closed_on is None else _first(deal.closed_on)
                practice = self.sells.get(deal.service_line or "")
                key = ExecutiveKey(self._client_of(deal), practice, month, deal.currency)
                self.out[key].booked += deal.amount
        self._work()
        self._bill()
        self._recognise()
        self._cost()
        self._cost_of_expenses()
        return {key: figures for key, figures in self.out.items() if figures != Executive()}

    def _client_of(self, deal: Opportunity) -> str | None:
        """Of the contracts it became, else of its account; None unless that is one client."""
        signed = {one.client_id for one in self.rows.engagements.values() if one.opportunity_id == deal.id}
        known = signed or {one.id for one in self.rows.clients.values() if one.account_id == deal.account_id}
        return next(iter(known)) if len(known) == 1 else None

    def _practice(self, key: FoldKey) -> str | None:
        return self._practice_of(key.consultant, key.day)

    def _practice_of(self, consultant: str | None, day: date | None) -> str | None:
        """On the day of the work; of work of no day it is that of the person's own row."""
        person = self.rows.consultants.get(consultant or "")
        if person is not None and day is not None:
            person = consultant_on(person.id, day, self.rows)
        return None if person is None else person.practice

    def _work(self) -> None:
        for key, fold in self.expected.billing.items():
            month = None if key.day is None else _first(key.day)
            at = ExecutiveKey(key.client, self._practice(key), month, key.currency)
            self.out[at].delivered += fold.seconds
            if key.consultant is not None and key.line is not None and month is not None:
                self.hours[_Line(key.root, key.line)][month, self._practice(key)] += fold.seconds

    def _bill(self) -> None:
        """What the ledger says was billed: a closed month of it does not move."""
        pots: dict[tuple[_Line, ExecutiveKey], Decimal] = defaultdict(lambda: ZERO)
        for key, fold in self.expected.booked.items():
            if key.bucket != "billed":
                continue
            assert key.month is not None
            assert key.line is not None
            assert fold.amount is not None
            month = date.fromisoformat(f"{key.month}-01")
            at = ExecutiveKey(key.client, self._practice(key), month, key.currency)
            self.out[at].billed_seconds += fold.seconds
            if key.consultant is None:
                pots[_Line(key.root, key.line), at] += fold.amount
            else:
                self.out[at].billed += fold.amount
        for (line, at), money in pots.items():
            for practice, part in self._spread(line, at.month, money, at.currency).items():
                self.out[at._replace(practice=practice)].billed += part

    def _recognise(self) -> None:
        """What a person's work is worth, in the month in which it is earned, is their practice's; the rest is spread."""
        of_line: dict[_Line, dict[date, Decimal | None]] = defaultdict(dict)
        by_progress = set()
        for key, revenue in self.expected.revenue.items():
            line = _Line(key.root, key.line)
            total = None
            if revenue.recognised is not None and revenue.breakage is not None:
                total = revenue.recognised + revenue.breakage
            of_line[line][key.month] = total
            if revenue.method == "percent_complete":
                by_progress.add(line)
        worth: dict[_Line, dict[date, dict[str | None, Decimal]]] = defaultdict(lambda: defaultdict(dict))
        for (root, of, month), by_person in self.expected.delivered.items():
            line = _Line(root, of)
            if line not in of_line or line in by_progress:
                continue
            for (person, day), money in by_person.items():
                practice = self._practice_of(person, day)
                worth[line][month][practice] = worth[line][month].get(practice, ZERO) + money
        for line, months in of_line.items():
            engagement = self.rows.engagements.get(line.root)
            client = None if engagement is None else engagement.client_id
            currency = None if engagement is None else engagement.currency
            for month in {*months, *worth[line]}:
                total = months.get(month, ZERO)
                own = worth[line][month]
                for practice, money in own.items():
                    self._earn(ExecutiveKey(client, practice, month, currency), money)
                rest = None if total is None else total - sum(own.values(), ZERO)
                for practice, part in self._spread(line, month, rest, currency).items():
                    self._earn(ExecutiveKey(client, practice, month, currency), part)

    def _earn(self, at: ExecutiveKey, money: Decimal | None) -> None:
        figures = self.out[at]
        figures.recognised = (
            None if money is None or figures.recognised is None else figures.recognised + money
        )

    def _spread(
        self, line: _Line, month: date | None, money: Decimal | None, currency: str | None
    ) -> Mapping[str | None, Decimal | None]:
        """By hours; each practice gets what is due to it and those before it, less what those got."""
        worked = {at: seconds for at, seconds in self.hours[line].items() if seconds > 0}
        weights: dict[str | None, int] = defaultdict(int)
        has_own = any(of == month for of, _ in worked)
        for (of, practice), seconds in worked.items():
            if of == month or (not has_own and month is not None and of < month):
                weights[practice] += seconds
        if not weights:
            return {None: money}
        if money is None:
            return dict.fromkeys(weights)
        out: dict[str | None, Decimal | None] = {}
        whole, upto, given = sum(weights.values()), 0, ZERO
        for practice in sorted(weights, key=lambda name: (name is None, name or "")):
            upto += weights[practice]
            due = money
            if upto < whole:
                due = round_money(Fraction(money) * Fraction(upto, whole), currency or "")
            out[practice], given = due - given, due
        return out

    def _cost(self) -> None:
        """Seconds x cost x exchange rate, rounded once for each entry; internal work in the currency of its cost."""
        seconds: dict[tuple[str, ExecutiveKey, str, date], int] = defaultdict(int)
        for key, fold in self.expected.billing.items():
            if key.consultant is not None and key.day is not None:
                at = ExecutiveKey(key.client, self._practice(key), _first(key.day), key.currency)
                seconds[key.entry, at, key.consultant, key.day] += fold.seconds
        for (_, at, person, day), worked in seconds.items():
            if worked == 0:
                continue
            rates = [
                rate
                for rate in self.rows.cost_rates.values()
                if rate.consultant_id == person
                and rate.effective_from <= day
                and (rate.effective_to is None or day < rate.effective_to)
            ]
            fx = None
            if len(rates) == 1:
                at = at._replace(currency=at.currency or rates[0].currency)
                fx = spot(rates[0].currency, at.currency or "", day, self.rows)
            figures = self.out[at]
            if fx is None:
                figures.uncosted += worked
                figures.cost = None
            elif figures.cost is not None:
                exact = Fraction(worked, 3600) * Fraction(rates[0].cost) * fx
                figures.cost += round_money(exact, at.currency or "")

    def _cost_of_expenses(self) -> None:
        """At the spot rate of the day into the currency of the contract; without a contract in its own."""
        for one in self.rows.expenses.values():
            if one.status != "approved":
                continue
            project = self.rows.projects.get(one.project_id)
            line = engagement = None
            if project is not None and project.engagement_id is not None:
                line = self.rows.contract_lines.get(project.contract_line_id or "")
            if line is not None:
                engagement = self.rows.engagements.get(line.engagement_id)
            client, currency = None, one.currency
            if engagement is not None:
                client, currency = engagement.client_id, engagement.currency
            practice = self._practice_of(one.consultant_id, one.incurred_on)
            figures = self.out[ExecutiveKey(client, practice, _first(one.incurred_on), currency)]
            fx = spot(one.currency, currency, one.incurred_on, self.rows)
            if fx is None:
                figures.cost = None
            elif figures.cost is not None:
                figures.cost += round_money(Fraction(net_cost(one)) * fx, currency)


def spot(from_currency: str, to_currency: str, day: date, rows: Rows) -> Fraction | None:
    """The last spot rate of the day or at most five days before it; without one 1 over that of the reverse pair."""
    if from_currency == to_currency:
        return Fraction(1)
    direct = _published(from_currency, to_currency, day, rows)
    reverse = _published(to_currency, from_currency, day, rows)
    if direct is not None:
        return Fraction(direct)
    return None if reverse is None else 1 / Fraction(reverse)


def _published(from_currency: str, to_currency: str, day: date, rows: Rows) -> Decimal | None:
    published = [
        fx
        for fx in rows.fx_rates.values()
        if (fx.from_currency, fx.to_currency, fx.rate_type) == (from_currency, to_currency, None)
        and 0 <= (day - fx.day).days <= 5
        and fx.rate > 0
    ]
    return max(published, key=lambda fx: (fx.day, fx.id)).rate if published else None


def _first(day: date) -> date:
    return day.replace(day=1)
