"""A warehouse of another version: its views are replaced, with who may read them and what reads them, on PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from connectors.sinks.warehouse.schema import create_schema
from connectors.sinks.warehouse.views import VIEWS
from streams.errors import ContractViolation

OLDER = "COMMENT ON VIEW v_client IS 'tallystream older'"
# As a version had it whose view had one column more.
OTHER_COLUMNS = f"CREATE OR REPLACE VIEW v_client AS SELECT *, 1 AS more FROM ({VIEWS['v_client']}) AS client"


def do(bi: Engine, *statements: str) -> None:
    """Change the warehouse."""
    with bi.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def upgrade(bi: Engine) -> None:
    """The sink starts."""
    with bi.begin() as connection:
        create_schema(connection)


def may(bi: Engine, role: str, name: str, privilege: str = "SELECT") -> bool:
    """Whether a role may read a view."""
    with bi.connect() as connection:
        return bool(
            connection.scalar(
                text("SELECT has_table_privilege(:role, :name, :privilege)"),
                {"role": role, "name": name, "privilege": privilege},
            )
        )


@pytest.mark.parametrize("older", [(OLDER,), (OTHER_COLUMNS, OLDER)], ids=["same columns", "other columns"])
def test_who_may_read_a_view_may_read_it_when_it_is_replaced(bi: Engine, older: tuple[str, ...]) -> None:
    """Grants on it, on views that read it, and on a column; nobody else gains any, whatever default privileges say."""
    do(
        bi,
        "CREATE ROLE analyst",
        "CREATE ROLE lead",
        "CREATE ROLE other",
        *older,
        "GRANT SELECT ON v_client, v_executive_month TO analyst",
        "GRANT SELECT ON v_client TO lead WITH GRANT OPTION",
        "GRANT SELECT (client_name) ON v_client TO other",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO other",
    )
    upgrade(bi)
    assert may(bi, "analyst", "v_client")
    assert may(bi, "analyst", "v_executive_month")
    assert may(bi, "lead", "v_client", "SELECT WITH GRANT OPTION")
    assert not may(bi, "analyst", "v_client", "SELECT WITH GRANT OPTION")
    assert not any(may(bi, "other", view) for view in ("v_client", "v_executive_month"))
    with bi.connect() as connection:
        connection.exec_driver_sql("SET ROLE other")
        assert connection.exec_driver_sql("SELECT client_name FROM v_client").all() == []


def test_a_view_of_the_firms_own_stays_where_columns_are_the_same(bi: Engine) -> None:
    """It reads the new one."""
    do(bi, "CREATE VIEW our_clients AS SELECT client_name FROM v_client", OLDER)
    upgrade(bi)
    with bi.connect() as connection:
        assert connection.exec_driver_sql("SELECT * FROM our_clients").all() == []


def test_a_view_of_the_firms_own_that_is_in_the_way_is_named(bi: Engine) -> None:
    """Where columns change it has to be dropped first; nothing is half replaced."""
    do(bi, "CREATE VIEW our_clients AS SELECT client_name FROM v_client", OTHER_COLUMNS, OLDER)
    with pytest.raises(
        ContractViolation, match="view our_clients depends on view v_client; drop that, start the sink"
    ):
        upgrade(bi)
    with bi.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM v_executive_month")) == 0
    do(bi, "DROP VIEW our_clients")
    upgrade(bi)
    with bi.connect() as connection:
        assert "more" not in list(connection.exec_driver_sql("SELECT * FROM v_client").keys())


def test_a_function_whose_result_changed_is_replaced(bi: Engine) -> None:
    """Its parameters and columns may be others."""
    do(
        bi,
        "DROP FUNCTION leakage",
        "CREATE FUNCTION leakage(on_day date) RETURNS TABLE (client_id text) LANGUAGE sql AS $$ SELECT 'x' $$",
    )
    upgrade(bi)
    with bi.connect() as connection:
        assert connection.exec_driver_sql("SELECT amount FROM leakage('2026-04-30', 30)").all() == []
