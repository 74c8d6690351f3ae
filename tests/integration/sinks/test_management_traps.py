"""Traps of real systems in management's figures, for both judges: the view and the oracle, with their numbers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from oracle import Rows, compute_from_rows
from oracle.executive import ExecutiveKey, executive
from oracle.rows import Client
from sqlalchemy import Connection, Engine

from connectors.sinks.warehouse.history import State, fold
from connectors.sinks.warehouse.tables import warehouse
from tests.integration.sinks.test_executive_cases import put, rows, segment
from tests.unit.oracle.builders import HOUR, D, cost_rate, deal, entry, firm, rate
from tests.unit.oracle.builders import put as put_row
from tests.unit.sinks.sink_builders import record_of

MARCH = date(2026, 3, 1)
COMMITTED = datetime(2026, 3, 2, 9, tzinfo=UTC)
SELLS = {"advisory": "data"}
OF_CLIENT = ExecutiveKey("erp:A", "data", MARCH, "EUR")


def load(connection: Connection, topic: str, batches: list[list[dict[str, Any]]]) -> None:
    """Load records of one id as the sink does, batch by batch."""
    table = warehouse().loads[topic].table
    current: dict[str, State] = {}
    for batch in batches:
        for state in fold(current, batch).states:
            connection.execute(
                table.delete().where(table.c.id == state["id"], table.c.valid_from == state["valid_from"])
            )
            connection.execute(table.insert().values(state))
            if state["is_current"]:
                current[state["id"]] = state


def test_a_deal_that_is_un_won_is_booked_no_more(bi: Engine) -> None:
    """Won for 250,000 on 10 March: booked 250,000; back in negotiation on 20 March, it is booked nowhere."""
    won = record_of(
        "canonical.opportunity",
        id="crm:D",
        account_id="crm:A",
        stage="won",
        amount=Decimal(250_000),
        currency="EUR",
        service_line="advisory",
        closed_on=date(2026, 3, 10),
        occurred_at=COMMITTED,
        source_lsn=1,
    )
    back = {"stage": "negotiation", "occurred_at": COMMITTED + timedelta(days=10), "source_lsn": 2}
    query = "SELECT client_id, practice, month, booked FROM v_executive_month WHERE booked <> 0"
    of_oracle = firm(deal("D", "250000", service_line="advisory"))
    of_oracle.clients["erp:A"] = Client("erp:A", account_id="crm:A")

    with bi.begin() as connection:
        connection.exec_driver_sql("INSERT INTO practice_of_service_line VALUES ('advisory', 'data')")
        put(connection, "canonical.client", id="erp:A", account_id="crm:A")
        load(connection, "canonical.opportunity", [[won]])
    assert rows(bi, query) == [("erp:A", "data", MARCH, 250_000)]
    assert judged(of_oracle)[OF_CLIENT].booked == 250_000

    with bi.begin() as connection:
        connection.exec_driver_sql("DELETE FROM dim_opportunity")
        load(connection, "canonical.opportunity", [[won], [won | back]])
    put_row(of_oracle, deal("D", "250000", None, service_line="advisory"))
    assert rows(bi, query) == []
    assert OF_CLIENT not in judged(of_oracle)


@pytest.mark.parametrize("together", [True, False])
def test_a_cost_of_0_that_its_own_transaction_corrects_costs_nobody_0(bi: Engine, *, together: bool) -> None:
    """8 h at 150 of a person inserted at 0 and updated to 60 an hour in one transaction: cost 480, margin 720.

    Whether the sink reads the two changes in one batch or in two; no state of 0 is left, in the past neither.
    """
    first = record_of(
        "canonical.cost_rate",
        id="erp:X",
        consultant_id="erp:C",
        currency="EUR",
        cost=Decimal(0),
        effective_from=date(2020, 1, 1),
        occurred_at=COMMITTED,
        source_lsn=1,
        source_ordinal=1,
    )
    second = first | {"cost": Decimal(60), "source_ordinal": 2}
    with bi.begin() as connection:
        put(connection, "canonical.consultant", id="erp:C", practice="data")
        of_line = {"root_id": "erp:E", "contract_line_id": "erp:L", "client_id": "erp:A"}
        segment(connection, "time:1", "unbilled", 8, 1200, consultant_id="erp:C", **of_line)
        earned = {"recognised": Decimal(1200), "breakage": Decimal(0), "revenue_method": "as_delivered"}
        put(connection, "revenue.current", period_start=MARCH, currency="EUR", **of_line, **earned)
        load(connection, "canonical.cost_rate", [[first, second]] if together else [[first], [second]])
    assert rows(bi, "SELECT cost FROM dim_cost_rate") == [(60,)]
    assert rows(
        bi,
        "SELECT client_id, practice, month, recognised, cost, margin, uncosted_seconds FROM v_margin_month",
    ) == [("erp:A", "data", MARCH, 1200, 480, 720, 0)]

    figures = judged(firm(rate("R0", "150"), entry(1, "03-05", 8 * HOUR), cost_rate("X", "60")))[OF_CLIENT]
    assert (figures.recognised, figures.cost, figures.margin) == (D(1200), D(480), D(720))


def judged(of: Rows) -> dict[ExecutiveKey, Any]:
    """What the oracle says."""
    return dict(executive(compute_from_rows(of), of, SELLS))
