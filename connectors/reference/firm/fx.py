"""Exchange rates: one publication each banking day, for every pair the contracts need.

Nothing is published on weekends and bank holidays, so that rating has to look back. One pair also has
two long gaps: the first is filled in later, the second never is.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from connectors.reference.firm.catalogue import CORPORATE
from connectors.reference.firm.days import days_between, is_banking_day, month_of
from connectors.reference.firm.world import Draft, World, utc

# Pair -> rate in units of 10^-6 at the beginning.
_PAIRS: Final = {
    ("EUR", "USD"): 1_083_700,
    ("EUR", "GBP"): 853_100,
    ("USD", "EUR"): 922_800,
    ("USD", "GBP"): 787_200,
    ("GBP", "EUR"): 1_172_200,
    ("GBP", "USD"): 1_270_300,
    ("CHF", "EUR"): 1_041_500,
}
GAP_PAIR: Final = ("CHF", "EUR")
CORPORATE_PAIR: Final = ("USD", "EUR")
LOOK_BACK_DAYS: Final = 5
BACKLOG_DAYS: Final = 20  # published before the history starts
_PUBLICATION_HOUR: Final = 15
_GAP_DAYS: Final = LOOK_BACK_DAYS + 8  # the last week or so of a gap has no rate to look back to


class Fx:
    """The daily publication and its gaps."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng("fx")
        self._level = dict(_PAIRS)
        settings = world.settings
        self._filled = self._gap(settings.day_at(8))
        self._never = self._gap(settings.day_at(66))

    @staticmethod
    def _gap(start: date) -> tuple[date, date]:
        return start, start + timedelta(days=_GAP_DAYS)

    def seed(self, tx: Draft) -> None:
        """Insert what was published before; schedule each day's publication and the filling of the gap."""
        settings = self._world.settings
        for day in days_between(
            settings.history_start - timedelta(days=BACKLOG_DAYS), settings.history_start
        ):
            self._publish(tx, day)
        for day in days_between(settings.history_start, settings.horizon.date()):
            self._world.at(utc(day, _PUBLICATION_HOUR), self._publication, day)
        self._world.at(utc(self._filled[1] + timedelta(days=2), 11), self._fill)
        today = settings.day_at(40)
        self._world.at(utc(today, 10, 20), self._correct, today - timedelta(days=1))
        after_close = settings.day_at(49)  # last month's books are closed, or will be soon
        last_of_month = month_of(after_close) - timedelta(days=1)
        self._world.at(utc(after_close, 10, 25), self._correct, last_of_month)

    def _publication(self, day: date) -> None:
        with self._world.transaction("erp", "fx") as tx:
            self._publish(tx, day)

    def _publish(self, tx: Draft, day: date) -> None:
        if not is_banking_day(day):
            return
        for pair in _PAIRS:
            self._level[pair] += self._level[pair] * self._rng.randrange(-40, 41) // 10_000
            gap = next((gap for gap in (self._filled, self._never) if gap[0] <= day < gap[1]), None)
            if pair == GAP_PAIR and gap is not None:
                kind = "fx_gap_filled" if gap is self._filled else "fx_gap_never"
                self._world.trouble[kind] += 1
            else:
                self._insert(tx, pair, day)
            if pair == CORPORATE_PAIR:
                self._insert_corporate(tx, day)

    def _insert_corporate(self, tx: Draft, day: date) -> None:
        """The rate that finance uses inside: to the cent."""
        tx.insert(
            "fx_rate",
            id=f"FXC-{day:%Y%m%d}",
            from_currency=CORPORATE_PAIR[0],
            to_currency=CORPORATE_PAIR[1],
            day=day,
            rate=Decimal(self._level[CORPORATE_PAIR] // 10_000).scaleb(-2),
            rate_type=CORPORATE,
            decided_at=self._world.decided_at,
        )

    def _insert(self, tx: Draft, pair: tuple[str, str], day: date) -> None:
        tx.insert(
            "fx_rate",
            id=f"FX-{pair[0]}{pair[1]}-{day:%Y%m%d}",
            from_currency=pair[0],
            to_currency=pair[1],
            day=day,
            rate=Decimal(self._level[pair]).scaleb(-6),
            decided_at=self._world.decided_at,
        )

    def _fill(self) -> None:
        with self._world.transaction("erp", "trouble:fx_gap_filled") as tx:
            for day in days_between(*self._filled):
                if is_banking_day(day):
                    self._insert(tx, GAP_PAIR, day)

    def _correct(self, day: date) -> None:
        """The dollar rate of a day, or of the last banking day before it, was typed wrong."""
        while not is_banking_day(day):
            day -= timedelta(days=1)
        key = f"FX-USDEUR-{day:%Y%m%d}"
        rate = self._world.rows["fx_rate"][key]["rate"]
        with self._world.transaction("erp", "fx_correction") as tx:
            tx.decide("fx_rate", key, rate=rate + Decimal("0.0011"))
        self._world.features["fx_correction"] += 1
