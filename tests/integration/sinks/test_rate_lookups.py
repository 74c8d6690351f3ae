"""What the views look up for each entry is found by an index, on a real PostgreSQL."""

from __future__ import annotations

from sqlalchemy import Engine

from connectors.sinks.warehouse.schema import create_schema
from tests.unit.sinks.sink_builders import DAY, T0, record_of

INDEXES = {
    "v_cost_of_work": ("ix_dim_fx_rate_pair_day", "ix_dim_cost_rate_consultant"),
    "v_value_at_list": ("ix_dim_fx_rate_pair_day", "ix_dim_rate_default_card"),
}


def fill(engine: Engine, table: str, topic: str, count: int, **values: str) -> None:
    """So many rows of a record of the topic, each column as given in terms of the row's number ``g``."""
    record = record_of(topic)
    plain = {name: "NULL" if value is None else f"'{value}'" for name, value in record.items()}
    columns = plain | values
    into, row = ", ".join(columns), ", ".join(columns.values())
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO {table} ({into}) SELECT {row} FROM generate_series(1, {count}) AS g"
        )


def plan(engine: Engine, view: str) -> str:
    """How a view is read."""
    with engine.connect() as connection:
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN SELECT * FROM {view}").scalars())


def test_a_rate_is_found_without_reading_all_rates(bi: Engine) -> None:
    """7,300 exchange rates, 1,500 cost rates, 3,000 prices; a warehouse of before gets the indexes at the next start."""
    state = {"valid_from": f"'{T0}'", "is_current": "true", "deleted": "false"}
    fill(
        bi,
        "dim_fx_rate",
        "canonical.fx_rate",
        7300,
        **state,
        id="'f' || g",
        from_currency="'EUR'",
        to_currency="'C' || mod(g, 20)",
        day=f"'{DAY}'::date + g / 20",
    )
    fill(
        bi,
        "dim_cost_rate",
        "canonical.cost_rate",
        1500,
        **state,
        id="'c' || g",
        consultant_id="'k' || mod(g, 500)",
    )
    fill(
        bi,
        "dim_rate",
        "canonical.rate",
        3000,
        **state,
        id="'r' || g",
        project_id="CASE WHEN mod(g, 100) > 0 THEN 'p' || g END",
    )
    fill(
        bi,
        "billing_current",
        "billing.current",
        500,
        entry_id="'e' || g",
        consultant_id="'k' || g",
        work_date=f"'{DAY}'::date + mod(g, 300)",
        currency="'C' || mod(g, 20)",
        deleted="false",
    )
    for _ in range(2):
        with bi.begin() as connection:
            connection.exec_driver_sql("ANALYZE")
        for view, indexes in INDEXES.items():
            found = plan(bi, view)
            assert [index for index in indexes if index not in found] == [], found
        with bi.begin() as connection:
            for index in {index for indexes in INDEXES.values() for index in indexes}:
                connection.exec_driver_sql(f"DROP INDEX {index}")
        assert "ix_dim_fx_rate_pair_day" not in plan(bi, "v_cost_of_work")
        with bi.begin() as connection:
            create_schema(connection)
