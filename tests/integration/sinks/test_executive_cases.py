"""Management's views over rows made by hand, on a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, text

from connectors.sinks.warehouse.tables import Mode, warehouse
from tests.unit.sinks.sink_builders import record_of

HOUR = 3600
WORKED = date(2026, 3, 5)


def put(connection: Connection, topic: str, **values: Any) -> None:
    """A row of a topic's table; a dimension's is its current state unless it says otherwise."""
    load = warehouse().loads[topic]
    validity = {"valid_from": datetime(2026, 1, 1, tzinfo=UTC), "is_current": True}
    validity = {name: values.pop(name, given) for name, given in validity.items()}
    row = {load.columns[name]: value for name, value in record_of(topic, **values).items()}
    if load.mode is Mode.HISTORY:
        row |= validity
    connection.execute(load.table.insert().values(row))


def segment(connection: Connection, entry: str, bucket: str, hours: int, amount: int, **values: Any) -> None:
    """A segment of an entry of 5 March, EUR, client C."""
    row = {
        "root_id": "R",
        "contract_line_id": "L",
        "client_id": "C",
        "consultant_id": "A",
        "work_date": WORKED,
        "accounting_date": WORKED,
        "currency": "EUR",
        "segment": f"{bucket}{hours}",
    }
    put(
        connection,
        "billing.current",
        **(
            row
            | {"entry_id": entry, "bucket": bucket, "seconds": hours * HOUR, "amount": Decimal(amount)}
            | values
        ),
    )


def rows(engine: Engine, query: str) -> list[Any]:
    """Ask the warehouse."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_leakage_is_net_and_as_old_as_the_first_approval(bi: Engine) -> None:
    """E9 posted 8 h corrected to 6 h leaks nothing; to 9 h it leaks 150; approved in March, again in May, it is of March."""
    with bi.begin() as connection:
        for entry, hours in (("time:1", 6), ("time:2", 9)):
            segment(connection, entry, "billed", 8, 1200)
            segment(connection, entry, "unbilled", -8, -1200)
            segment(connection, entry, "unbilled", hours, hours * 150)
        again = datetime(2026, 5, 20, tzinfo=UTC)
        first = datetime(2026, 3, 7, tzinfo=UTC)
        put(connection, "canonical.time_entry", id="time:2", approved_at=first, is_current=False)
        put(connection, "canonical.time_entry", id="time:2", approved_at=again, valid_from=again)
    found = rows(
        bi,
        "SELECT entry_id, sum(seconds), sum(amount), min(could_bill_on), max(could_bill_on) "
        "FROM leakage('2026-06-01') GROUP BY 1",
    )
    assert found == [("time:2", HOUR, Decimal("150.0000"), first.date(), first.date())]


def test_costs_convert_at_the_reverse_pair_where_there_is_no_other(bi: Engine) -> None:
    """3 h at 100 USD, EUR to USD is 1.1: 272.73; a rate of USD to EUR goes before it."""
    cost = "SELECT cost, exception_class FROM v_cost_of_work"
    with bi.begin() as connection:
        segment(connection, "time:1", "unbilled", 3, 450)
        start = date(2026, 1, 1)
        of_person = {"consultant_id": "A", "currency": "USD", "cost": Decimal(100), "effective_from": start}
        put(connection, "canonical.cost_rate", id="erp:1", **of_person)
    assert rows(bi, cost) == [(None, "MISSING_FX")]
    for name, pair, rate, wanted in (
        ("F", ("EUR", "USD"), "1.1", "272.73"),
        ("G", ("USD", "EUR"), "0.9", "270.00"),
    ):
        of_pair = {"from_currency": pair[0], "to_currency": pair[1], "day": WORKED, "rate": Decimal(rate)}
        with bi.begin() as connection:
            put(connection, "canonical.fx_rate", id=name, **of_pair)
        assert rows(bi, cost) == [(Decimal(wanted), None)]


def realization(engine: Engine) -> dict[tuple[str, date], tuple[Any, ...]]:
    """By client and month of the work."""
    found = rows(
        engine,
        "SELECT client_id, month, list_value, billed_listed, realization, unlisted_seconds, billed_seconds "
        "FROM v_realization_month WHERE billed <> 0 OR list_value <> 0 OR unlisted_seconds <> 0",
    )
    return {(row[0], row[1]): row[2:] for row in found}


def card(connection: Connection) -> None:
    """150 EUR an hour for everybody."""
    of_hour = {"currency": "EUR", "unit": "hour", "price": Decimal(150), "effective_from": date(2026, 1, 1)}
    put(connection, "canonical.rate", id="R0", **of_hour)


def test_hours_of_a_milestone_count_once_whoever_pays(bi: Engine) -> None:
    """400 h of client C, billed 60,000 to X and 40,000 to Y: 100,000 of 60,000 at list for C, and 400 h paid."""
    with bi.begin() as connection:
        card(connection)
        segment(connection, "time:1", "fixed_fee", 400, 0)
        for payer, amount in (("X", 60_000), ("Y", 40_000)):
            segment(connection, f"erp:{payer}", "billed", 0, amount, client_id=payer, consultant_id=None)
    assert realization(bi) == {("C", date(2026, 3, 1)): (60_000, 100_000, Decimal("1.666667"), 0, 400 * HOUR)}


def test_fees_are_billed_of_the_hours_that_they_cover(bi: Engine) -> None:
    """20 h covered: unlisted until the fee of 3,000 is posted, then 3,000 of 3,000 at list."""
    with bi.begin() as connection:
        card(connection)
        segment(connection, "time:1", "covered", 20, 0)
    march = "C", date(2026, 3, 1)
    assert realization(bi) == {march: (0, 0, None, 20 * HOUR, 0)}
    with bi.begin() as connection:
        segment(connection, "erp:F", "billed", 0, 3000, consultant_id=None)
    assert realization(bi) == {march: (3000, 3000, Decimal(1), 0, 20 * HOUR)}


def test_work_approved_after_the_close_is_earned_in_the_next_month(bi: Engine) -> None:
    """Of 30 March, approved on 4 April after the close: April's and its own practice's, unposted and posted."""
    late, end = datetime(2026, 4, 4, tzinfo=UTC), date(2026, 3, 30)
    with bi.begin() as connection:
        for person, practice in (("A", "audit"), ("B", "build")):
            put(connection, "canonical.consultant", id=person, practice=practice)
            segment(connection, f"time:{person}", "unbilled", 10, 1500, consultant_id=person)
        of_b = {"consultant_id": "B", "work_date": end, "accounting_date": date(2026, 4, 1)}
        segment(connection, "time:1", "unbilled", 10, 1500, **of_b)
        posted = of_b | {"accounting_date": date(2026, 5, 20), "legal_entity_id": "LE"}
        segment(connection, "time:2", "billed", 2, 300, **posted)
        put(connection, "canonical.time_entry", id="time:2", approved_at=late)
        told = ["2026-03 2026-05 3600 150.00 billed L", "2026-04 2026-05 -1800 -75.00 billed L"]
        segment(connection, "time:3", "billed", 0, 75, **posted, earned=told)
        for month, closed_at in ((3, datetime(2026, 4, 3, 18, tzinfo=UTC)), (4, None), (5, None)):
            span = {"starts_on": date(2026, month, 1), "ends_on": date(2026, month + 1, 1)}
            of_month = {"id": f"P{month}", "legal_entity_id": "LE", "closed_at": closed_at} | span
            put(connection, "canonical.period", **of_month)
            recognised = {3: 3150, 4: 1725, 5: 0}[month]
            put(
                connection,
                "revenue.current",
                root_id="R",
                contract_line_id="L",
                client_id="C",
                currency="EUR",
                period_start=span["starts_on"],
                revenue_method="as_billed",
                recognised=Decimal(recognised),
                breakage=Decimal(0),
            )
    assert rows(
        bi,
        "SELECT month, practice, recognised FROM v_executive_month WHERE recognised <> 0 ORDER BY 1, 2",
    ) == [
        (date(2026, 3, 1), "audit", 1500),
        (date(2026, 3, 1), "build", 1650),
        (date(2026, 4, 1), "build", 1725),
    ]


def test_work_is_of_the_practice_and_at_the_list_rate_of_its_day(bi: Engine) -> None:
    """A dev of data (120 an hour) who is a senior of cloud (150) from Monday 9 March on, and of data again in April.

    Thursday's 8 h stay with data at 960, Tuesday's 8 h are cloud's at 1,200; what has no day is of the own row.
    """
    since, until = date(2026, 3, 9), date(2026, 4, 1)
    with bi.begin() as connection:
        put(connection, "canonical.consultant", id="A", practice="data", role="dev")
        row = {"consultant_id": "A", "effective_from": since, "practice": "cloud"}
        put(connection, "canonical.consultant_position", id="Q1", **row, effective_to=until, role="lead")
        put(connection, "canonical.consultant_position", id="Q2", **row, effective_to=until, role="senior")
        put(connection, "canonical.consultant_position", id="Q3", **row, deleted=True)
        for role, price in (("dev", 120), ("senior", 150)):
            of_role = {"role": role, "price": Decimal(price), "effective_from": date(2026, 1, 1)}
            put(connection, "canonical.rate", id=role, currency="EUR", unit="hour", **of_role)
        segment(connection, "time:1", "billed", 8, 960)
        segment(connection, "time:2", "billed", 8, 1100, work_date=date(2026, 3, 10))
        segment(connection, "time:3", "unbilled", 1, 120, work_date=until)
        segment(connection, "time:4", "unbilled", 1, 120, work_date=None)
    work = "SELECT entry_id, practice FROM v_work ORDER BY 1"
    assert rows(bi, work) == [("time:1", "data"), ("time:2", "cloud"), ("time:3", "data"), ("time:4", "data")]
    listed = "SELECT practice, month, list_value, billed_listed FROM v_realization_month ORDER BY 2, 1"
    assert rows(bi, listed) == [
        ("cloud", date(2026, 3, 1), 1200, 1100),
        ("data", date(2026, 3, 1), 960, 960),
        ("data", date(2026, 4, 1), 120, 0),
    ]
