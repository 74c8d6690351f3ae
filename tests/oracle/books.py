"""Look-ups by date: the price list, published exchange rates, accounting periods."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Final, NamedTuple

from .rows import Consultant, ContractLine, Engagement, FxRate, Period, Rate, Rows, TimeEntry

# An exchange rate older than this on the work date is no rate.
FX_MAX_AGE: Final = timedelta(days=5)


class Scope(NamedTuple):
    """What a rate applies to: the fields that are set, and no others, must match."""

    task: str | None = None
    project: str | None = None
    line: str | None = None
    client: str | None = None
    consultant: str | None = None
    role: str | None = None
    grade: str | None = None
    region: str | None = None


def scope_levels(
    entry: TimeEntry, line: ContractLine, engagement: Engagement, consultant: Consultant
) -> list[list[Scope]]:
    """The scopes whose rates fit an entry, most specific level first.

    Task and consultant; project and consultant; project and role; contract line and role; the
    client's card with three, two, one or none of the consultant's role, grade and region; the
    default card with three, two, one or none of them. Rates of one level are equally specific.
    """
    levels: list[list[Scope]] = []
    if entry.task_id is not None:
        levels.append([Scope(task=entry.task_id, consultant=consultant.id)])
    levels.append([Scope(project=entry.project_id, consultant=consultant.id)])
    levels.append([Scope(project=entry.project_id, role=consultant.role)])
    levels.append([Scope(line=line.id, role=consultant.role)])
    attributes = {"role": consultant.role, "grade": consultant.grade, "region": consultant.region}
    for client in (engagement.client_id, None):
        for how_many in (3, 2, 1, 0):
            chosen = [dict(some) for some in combinations(attributes.items(), how_many)]
            levels.append([Scope(client=client, **some) for some in chosen])
    return levels


def _scope_of(rate: Rate) -> Scope:
    return Scope(
        rate.task_id,
        rate.project_id,
        rate.contract_line_id,
        rate.client_id,
        rate.consultant_id,
        rate.role,
        rate.grade,
        rate.region,
    )


class Books:
    """The rates, exchange rates and periods of `Rows`, filed for look-up."""

    def __init__(self, rows: Rows) -> None:
        self._rates: dict[Scope, list[Rate]] = defaultdict(list)
        for rate in rows.rates.values():
            self._rates[_scope_of(rate)].append(rate)
        self._fx: dict[tuple[str, str, str | None], list[FxRate]] = defaultdict(list)
        for fx in rows.fx_rates.values():
            self._fx[fx.from_currency, fx.to_currency, fx.rate_type].append(fx)
        self._periods: dict[str, list[Period]] = defaultdict(list)
        for period in sorted(rows.periods.values(), key=lambda p: (p.starts_on, p.id)):
            self._periods[period.legal_entity_id].append(period)
        self._by_right = {entity.id for entity in rows.legal_entities.values() if entity.by_right}
        self._rights = list(rows.period_rights.values())

    def rates_for(
        self, entry: TimeEntry, line: ContractLine, engagement: Engagement, consultant: Consultant
    ) -> list[Rate]:
        """The rates effective on the work date at the first level that has any.

        One is the price, several are a tie, none is a miss.
        """
        for level in scope_levels(entry, line, engagement, consultant):
            found = [
                rate
                for scope in level
                for rate in self._rates.get(scope, ())
                if rate.effective_from <= entry.work_date
                and (rate.effective_to is None or entry.work_date < rate.effective_to)
            ]
            if found:
                return found
        return []

    def fx(self, from_currency: str, engagement: Engagement, day: date) -> Decimal | None:
        """What converts an amount into the engagement's currency; None where no rate serves.

        The last rate of the contract's type published on the day or at most five days before it; published
        twice for a day, the one with the greatest id. Inverse: one unit of the contract's currency is worth so
        many of the rate's, so amounts are divided by it; not by a millionth or less.
        """
        if from_currency == engagement.currency:
            return Decimal(1)
        pair = from_currency, engagement.currency
        if engagement.fx_inverse:
            pair = engagement.currency, from_currency
        of_pair = self._fx.get((*pair, engagement.fx_rate_type), ())
        published = [fx for fx in of_pair if day - FX_MAX_AGE <= fx.day <= day]
        if not published:
            return None
        rate = max(published, key=lambda fx: (fx.day, fx.id)).rate
        return None if engagement.fx_inverse and rate <= Decimal("0.000001") else rate

    def _period_of(self, legal_entity_id: str, day: date) -> Period | None:
        """The period that a day is in: of those that overlap, the one that begins last, then that of the greatest id."""
        containing = [p for p in self._periods.get(legal_entity_id, []) if p.starts_on <= day < p.ends_on]
        return max(containing, key=lambda p: (p.starts_on, p.id), default=None)

    def closed_to(
        self, legal_entity_id: str, person: str | None, work_date: date, decided_at: datetime | None
    ) -> Period | None:
        """The period of the work date, where it was closed to this person at the decision.

        Closed softly or hard, in an entity where late acts need a right, and the person had none then.
        """
        if legal_entity_id not in self._by_right or decided_at is None:
            return None
        own = self._period_of(legal_entity_id, work_date)
        closes = [] if own is None else [own.soft_closed_at, own.closed_at]
        if not any(close is not None and close <= decided_at for close in closes):
            return None
        for right in self._rights:
            if (
                (right.legal_entity_id, right.person_id) == (legal_entity_id, person)
                and right.granted_at <= decided_at
                and (right.revoked_at is None or decided_at < right.revoked_at)
            ):
                return None
        return own

    def accounting_date(self, legal_entity_id: str, work_date: date, decided_at: datetime | None) -> date:
        """The day that an act is booked on.

        It is the work date, unless the act was decided at or after the close of that period: then the
        first day of the first later period still open at the decision, or, when none is known, the
        day after the entity's last known period. Without a period or a decision it is the work date.

        Example: work of 30 March, March closed on 3 April 18:00. Decided on 2 April, it is booked on
        30 March whenever it arrives; decided on 4 April, on 1 April.
        """
        periods = self._periods.get(legal_entity_id, [])
        own = self._period_of(legal_entity_id, work_date)
        if own is None or own.closed_at is None or decided_at is None or decided_at < own.closed_at:
            return work_date
        for later in periods:
            is_open = later.closed_at is None or later.closed_at > decided_at
            if later.starts_on > work_date and is_open:
                return later.starts_on
        return max(p.ends_on for p in periods)
