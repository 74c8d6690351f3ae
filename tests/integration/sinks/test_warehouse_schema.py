"""The warehouse's schema on a database of an older version, and among the grants of others."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from connectors.sinks.warehouse.permissions import COST_READERS
from connectors.sinks.warehouse.schema import create_schema
from connectors.sinks.warehouse.tables import warehouse
from streams.errors import ContractViolation
from tests.unit.sinks.sink_builders import group


def do(engine: Engine, *statements: str) -> None:
    """Change the warehouse."""
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def start(engine: Engine) -> None:
    """What the sink does first."""
    with engine.begin() as connection:
        create_schema(connection)


def test_a_new_field_with_a_default_is_added_to_rows_that_are_there(bi: Engine) -> None:
    """Groups of before the bench have none idle; a field without a default can't be made up."""
    load = warehouse().loads["utilization.groups"]
    with bi.begin() as connection:
        connection.execute(load.table.insert().values({load.columns[k]: v for k, v in group().items()}))
    do(bi, "ALTER TABLE utilization_group DROP COLUMN idle_consultants CASCADE")
    start(bi)
    with bi.connect() as connection:
        found = connection.execute(
            text("SELECT consultants, idle_consultants FROM v_utilization_by_practice")
        )
        assert found.all() == [(3, 0)]
    do(bi, "ALTER TABLE utilization_group DROP COLUMN consultants CASCADE")
    with pytest.raises(
        ContractViolation, match="utilization_group of the warehouse lacks column consultants"
    ):
        start(bi)


def test_costs_are_taken_back_however_they_were_granted(bi: Engine) -> None:
    """Single columns, what a grantee passed on, and a role whose name has a percent sign; the readers keep theirs."""
    holders = ["analyst", "lead", "pupil", '"50%staff"', COST_READERS]
    do(
        bi,
        *(f"CREATE ROLE {name}" for name in holders),
        "GRANT SELECT (consultant_id, cost) ON dim_cost_rate TO analyst",
        'GRANT SELECT ON dim_cost_rate, v_margin_month TO "50%staff"',
        "GRANT SELECT ON dim_cost_rate TO lead WITH GRANT OPTION",
        "SET LOCAL ROLE lead",
        f"GRANT SELECT ON dim_cost_rate TO pupil, {COST_READERS}",
    )
    start(bi)
    for holder in holders:
        with bi.connect() as connection:
            connection.execute(text(f"SET ROLE {holder}"))
            query = text("SELECT consultant_id, cost FROM dim_cost_rate")
            if holder == COST_READERS:
                assert connection.execute(query).all() == []
            else:
                with pytest.raises(ProgrammingError, match="permission denied"):
                    connection.execute(query)
