"""Legal entities with their accounting periods, and working calendars with their holidays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from connectors.reference.firm.days import is_weekend, month_of, next_month, public_holidays
from connectors.reference.firm.world import Draft, World, utc

PERIODS_BEFORE: Final = 3  # months known before the history starts
PERIODS_AFTER: Final = 2  # months known after the run: late acts find an open period


@dataclass(frozen=True, slots=True)
class Entity:
    """A company of the group; its books close on a day of the next month at an hour UTC.

    Where late acts need a right, they are closed a day before to those who have none.
    """

    id: str
    name: str
    currency: str
    time_zone: str
    region: str
    close_day: int
    close_hour: int
    by_right: bool = False


ENTITIES: Final = (
    Entity("LE-DE", "Tally Beratung GmbH", "EUR", "Europe/Berlin", "emea", 3, 18),
    Entity("LE-US", "Tally Consulting Inc.", "USD", "America/New_York", "americas", 3, 22),
    Entity("LE-UK", "Tally Advisory Ltd", "GBP", "Europe/London", "emea", 5, 17, by_right=True),
)
ENTITY_BY_ID: Final = {entity.id: entity for entity in ENTITIES}

# Hours of a working day; weekends are free in every calendar.
CALENDARS: Final = {"CAL-40": Decimal(8), "CAL-375": Decimal("7.5"), "CAL-PAC": Decimal(8)}
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday")
# The Pacific calendar keeps neither Easter nor the second day of Christmas.
_NOT_IN_THE_PACIFIC: Final = frozenset({"Easter Monday", "Second day of Christmas"})
COMPANY_DAY_HOURS: Final = Decimal(4)  # half a day off: a holiday that is not the whole day


def company_day(start: date) -> date:
    """The half holiday of the first calendar: the Friday of the second week of the run."""
    return start - timedelta(days=start.weekday()) + timedelta(days=11)


def first_close(day: date) -> datetime:
    """When the first legal entity closes the month of a day."""
    month = next_month(day)
    return min(utc(month + timedelta(days=e.close_day - 1), e.close_hour) for e in ENTITIES)


def seed_entities(world: World, tx: Draft) -> None:
    """Insert legal entities and all accounting periods; past ones are closed, the others will be."""
    settings = world.settings
    first = month_of(settings.history_start)
    for _ in range(PERIODS_BEFORE):
        first = month_of(first - timedelta(days=1))
    last = month_of(settings.end)
    for _ in range(PERIODS_AFTER):
        last = next_month(last)
    for entity in ENTITIES:
        tx.insert(
            "legal_entity",
            id=entity.id,
            name=entity.name,
            currency=entity.currency,
            time_zone=entity.time_zone,
            region=entity.region,
            late_acts="by_right" if entity.by_right else None,
        )
        month = first
        while month <= last:
            _seed_period(world, tx, entity, month)
            month = next_month(month)


def _seed_period(world: World, tx: Draft, entity: Entity, month: date) -> None:
    ends_on = next_month(month)
    closes_at = utc(ends_on + timedelta(days=entity.close_day - 1), entity.close_hour)
    closed = closes_at < world.now
    softly = closes_at - timedelta(days=1) if entity.by_right else None
    soft_closed = softly is not None and softly < world.now
    period = tx.insert(
        "accounting_period",
        id=f"AP-{entity.id[3:]}-{month:%Y%m}",
        legal_entity_id=entity.id,
        starts_on=month,
        ends_on=ends_on,
        status="closed" if closed else "soft_closed" if soft_closed else "open",
        closed_at=closes_at if closed else None,
        soft_closed_at=softly if soft_closed else None,
    )
    if softly is not None and not soft_closed:
        world.at(softly, _soft_close_period, world, period)
    if not closed:
        world.at(closes_at, _close_period, world, period)


def _soft_close_period(world: World, period: str) -> None:
    with world.transaction("erp", "soft_close_period") as tx:
        tx.update("accounting_period", period, status="soft_closed", soft_closed_at=world.now)
    world.features["period_soft_closed"] += 1


def _close_period(world: World, period: str) -> None:
    with world.transaction("erp", "close_period") as tx:
        tx.update("accounting_period", period, status="closed", closed_at=world.now)
    world.features["period_closed"] += 1


def seed_calendars(world: World, tx: Draft) -> None:
    """Insert calendars, the holidays of all years of the run and the company's half day."""
    settings = world.settings
    for calendar, hours in CALENDARS.items():
        working = dict.fromkeys(_WEEKDAYS, hours)
        tx.insert("calendar", id=calendar, name=calendar, saturday=Decimal(0), sunday=Decimal(0), **working)
    for year in range(settings.history_start.year, settings.end.year + 1):
        for calendar in CALENDARS:
            for day, name in holidays_of(calendar, year).items():
                tx.insert(
                    "holiday", id=f"H-{calendar[4:]}-{day:%Y%m%d}", calendar_id=calendar, day=day, name=name
                )
    day = company_day(settings.start)
    tx.insert(
        "holiday",
        id=f"H-40-company-{day:%Y%m%d}",
        calendar_id="CAL-40",
        day=day,
        name="Company day",
        hours=COMPANY_DAY_HOURS,
    )


def holidays_of(calendar: str, year: int) -> dict[date, str]:
    """Whole days off of a calendar in a year."""
    skipped = _NOT_IN_THE_PACIFIC if calendar == "CAL-PAC" else frozenset()
    return {day: name for day, name in public_holidays(year).items() if name not in skipped}


def working_seconds(calendar: str, day: date, start: date) -> int:
    """Seconds that a full-time person of a calendar works on a day, holidays taken off."""
    if is_weekend(day) or day in holidays_of(calendar, day.year):
        return 0
    hours = CALENDARS[calendar]
    if calendar == "CAL-40" and day == company_day(start):
        hours -= COMPANY_DAY_HOURS
    return int(hours * 3600)
