"""Revenue that is not loaded yet is unknown, not zero, on a real PostgreSQL."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, text

from connectors.sinks.warehouse.tables import warehouse
from tests.unit.sinks.sink_builders import DAY, T0, record_of, segment

MARCH = date(2026, 3, 1)
EXECUTIVE = (
    "SELECT practice, month, recognised, unknown_revenue, delivered_seconds FROM v_executive_month ORDER BY 1"
)
MARGIN = "SELECT practice, recognised, cost, margin FROM v_margin_month ORDER BY 1"


def put(connection: Connection, topic: str, *records: dict[str, Any], **state: Any) -> None:
    """Rows of a topic's table."""
    for record in records:
        connection.execute(warehouse().loads[topic].table.insert().values(**record, **state))


def test_work_of_a_line_without_revenue_has_no_known_revenue(bi: Engine) -> None:
    """10 h at 150 by data, 4 h by cloud on a line of known revenue: 600 there, unknown here; 1,500 once it is loaded."""
    state = {"valid_from": T0, "is_current": True}
    with bi.begin() as connection:
        for person, practice in (("erp:k1", "data"), ("erp:k2", "cloud")):
            one = record_of("canonical.consultant", id=person, practice=practice)
            put(connection, "canonical.consultant", one, **state)
            rate = {"id": person, "consultant_id": person, "currency": "EUR", "cost": Decimal(60)}
            since = {"effective_from": DAY, "effective_to": None}
            put(connection, "canonical.cost_rate", record_of("canonical.cost_rate", **rate, **since), **state)
        first = {"consultant_id": "erp:k1", "contract_line_id": "erp:L1"}
        second = {"consultant_id": "erp:k2", "contract_line_id": "erp:L2"}
        put(
            connection,
            "billing.current",
            segment(1, seconds=36_000, amount=Decimal(1500), **first),
            segment(2, seconds=14_400, amount=Decimal(600), **second),
            segment(3, bucket="non_chargeable", seconds=3600, amount=Decimal(0), **second),
        )
        put(connection, "revenue.current", revenue("erp:L2", Decimal(600)))
    assert found(bi, EXECUTIVE) == [
        ("cloud", MARCH, Decimal(600), 0, 18_000),
        ("data", MARCH, None, 1, 36_000),
    ]
    assert found(bi, MARGIN) == [
        ("cloud", Decimal(600), Decimal(300), Decimal(300)),
        ("data", None, Decimal(600), None),
    ]
    with bi.begin() as connection:
        put(connection, "revenue.current", revenue("erp:L1", Decimal(1500)))
    assert found(bi, EXECUTIVE)[1] == ("data", MARCH, Decimal(1500), 0, 36_000)
    assert found(bi, MARGIN)[1] == ("data", Decimal(1500), Decimal(600), Decimal(900))


def revenue(line: str, amount: Decimal) -> dict[str, Any]:
    """A line's month, as delivered."""
    values = {"root_id": "erp:1", "contract_line_id": line, "client_id": "erp:2", "currency": "EUR"}
    month = {
        "period_start": MARCH,
        "revenue_method": "as_delivered",
        "recognised": amount,
        "breakage": Decimal(0),
    }
    return record_of("revenue.current", **values, **month, deleted=False)


def found(bi: Engine, query: str) -> list[tuple[Any, ...]]:
    """Rows of a view."""
    with bi.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]
