"""The accounting date: the work date, unless the act was decided at or after its period's close.

Example: work of 30 March, March closed on 3 April 18:00. Approved on 2 April: 30 March, whenever the
approval arrives. Approved on 4 April: 1 April, the first day of the first period open at the decision.

A legal entity may ask for a right to late acts. Who has none at the decision finds a period closed from its soft
close on; who has it still books into a softly closed period, and into the first open one after the hard close.
"""

from __future__ import annotations

from bisect import insort
from datetime import UTC, date, datetime
from typing import Final

from agents.billing.entities import Period
from agents.billing.touches import DAY, Touch

# No decision is as late as this.
NEVER: Final = datetime.max.replace(tzinfo=UTC)


class PeriodTable:
    """Periods of each legal entity, by their first day."""

    def __init__(self) -> None:
        self.by_id: dict[str, Period] = {}
        self._entities: dict[str, list[Period]] = {}
        self._closes: dict[str, tuple[datetime, ...]] = {}

    def replace(self, period_id: str, new: Period | None) -> list[Touch]:
        """Put, change or (None) take away a period; the touches of the items whose date could move.

        A late act falls through closed periods to the first open one, so a period can date items of
        any earlier day, but none of a later day. And only items decided at or after some close are
        moved at all: closing March reaches the acts decided since the close, not the whole past. While
        the entity has closed nothing, the touch names the dependency and reaches no item.
        """
        old = self.by_id.get(period_id)
        if old == new:
            return []
        self._closes.clear()
        entity = (old or new).legal_entity_id  # type: ignore[union-attr]  # they differ
        before = list(self._entities.get(entity, ()))
        if old is not None:
            del self.by_id[period_id]
            self._entities[old.legal_entity_id].remove(old)
        if new is not None:
            self.by_id[period_id] = new
            insort(self._entities.setdefault(new.legal_entity_id, []), new, key=_order)
        if old is not None and new is not None and _same_but_close(old, new):
            return [_touch(new, min(old.closes + new.closes))]
        touches = []
        if old is not None:
            touches.append(_touch(old, _first_close(before)))
        if new is not None and old is None and before and new.starts_on >= max(p.ends_on for p in before):
            # Behind all others: it dates what was decided when the last of them was closed.
            touches.append(_touch(new, _first_close([before[-1], new])))
        elif new is not None:
            touches.append(_touch(new, _first_close([*before, *self._entities[new.legal_entity_id]])))
        return touches

    def accounting_date(self, legal_entity_id: str, work_date: date, decided_at: datetime | None) -> date:
        """The accounting date of work decided (approved, accepted) at a time.

        The period of the work date is closed to the act when it closed at or before the decision; then
        it is the first day of the first later period that was not, and where all known periods were,
        the day after the last of them. Without a period, or a decision, it is the work date.
        """
        if decided_at is None:
            return work_date
        periods = self._entities.get(legal_entity_id)
        if not periods:
            return work_date
        own = _period_of(periods, work_date)
        if own is None or own.closed_at is None or decided_at < own.closed_at:
            return work_date
        for period in periods:
            if period.starts_on > work_date and (period.closed_at is None or decided_at < period.closed_at):
                return period.starts_on
        return max(period.ends_on for period in periods)

    def hard_closes(self, legal_entity_id: str) -> tuple[datetime, ...]:
        """When a legal entity closed periods for good, in order."""
        found = self._closes.get(legal_entity_id)
        if found is None:
            periods = self._entities.get(legal_entity_id, ())
            closes = {period.closed_at for period in periods if period.closed_at is not None}
            found = self._closes[legal_entity_id] = tuple(sorted(closes))
        return found

    def closed_at_decision(
        self, legal_entity_id: str, work_date: date, decided_at: datetime
    ) -> Period | None:
        """The period of the work date, where it was closed, softly or hard, when the act was decided."""
        own = _period_of(self._entities.get(legal_entity_id, []), work_date)
        if own is None or not any(close <= decided_at for close in own.closes):
            return None
        return own


def _period_of(periods: list[Period], work_date: date) -> Period | None:
    """The period of a day: of those that overlap, the one that begins last, then that of the greatest id."""
    for period in reversed(periods):
        if period.starts_on <= work_date < period.ends_on:
            return period
    return None


def _order(period: Period) -> tuple[date, str]:
    return (period.starts_on, period.id)


def _same_but_close(old: Period, new: Period) -> bool:
    return (old.legal_entity_id, old.starts_on, old.ends_on) == (
        new.legal_entity_id,
        new.starts_on,
        new.ends_on,
    )


def _first_close(periods: list[Period]) -> datetime:
    return min((close for period in periods for close in period.closes), default=NEVER)


def _touch(period: Period, decided_from: datetime) -> Touch:
    last_day = max(period.starts_on, period.ends_on) - DAY
    return Touch(f"period:{period.legal_entity_id}", None, last_day, decided_from)
