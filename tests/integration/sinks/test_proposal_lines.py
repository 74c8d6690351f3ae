"""The lines of invoice proposals in the warehouse, of contracts with one payer and with several: they add up."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from support.changes import ChangeLog

from agents.flows import select_flows
from connectors.reference.firm import FirmSettings, plan
from connectors.sinks.warehouse import warehouse
from connectors.sinks.warehouse.tables import Mode
from streams.testing import TopologyDriver

Record = dict[str, Any]

# Of each proposal: what it says, and what its lines come to.
DIFFERENT = text("""
WITH lines AS (
    SELECT root_id, month, payer_id, currency, kind, count(*) AS lines, sum(seconds) AS seconds,
           sum(amount) AS amount, count(*) FILTER (WHERE is_stale) AS stale
    FROM v_invoice_proposal_line
    GROUP BY 1, 2, 3, 4, 5
),
said AS (
    SELECT root_id, month, payer_id, currency, said.*
    FROM invoice_proposal,
         LATERAL (VALUES ('unbilled', unbilled_lines, unbilled_seconds, unbilled_amount, 0),
                         ('on_draft', draft_lines, draft_seconds, draft_amount, stale_drafts),
                         ('credit', credit_lines, credit_seconds, credit_amount, 0),
                         ('billed', billed_lines, billed_seconds, billed_amount, 0)
         ) AS said (kind, lines, seconds, amount, stale)
    WHERE NOT deleted AND said.lines > 0
)
SELECT * FROM (
    (SELECT * FROM lines EXCEPT SELECT * FROM said) UNION ALL (SELECT * FROM said EXCEPT SELECT * FROM lines)
) AS different ORDER BY 1, 2, 3, 4, 5""")
# Contracts of which several clients are billed, or are to be.
SHARED = text("""
SELECT count(*) FROM (SELECT root_id FROM invoice_proposal WHERE NOT deleted AND unbilled_lines > 0 AND billed_lines > 0
                      GROUP BY 1 HAVING count(DISTINCT payer_id) > 2) AS shared""")


def load(connection: Connection, topic: str, records: Iterable[Record]) -> None:
    """The latest record of each key, as the sink leaves it."""
    of = warehouse().loads[topic]
    latest: dict[tuple[Any, ...], Record] = {}
    for record in records:
        row = {column: record[field] for field, column in of.columns.items()}
        if of.mode is Mode.HISTORY:
            row |= {"valid_from": record["occurred_at"], "valid_to": None, "is_current": True}
        latest[tuple(row[name] for name in of.key)] = row
    if latest:
        connection.execute(of.table.insert(), list(latest.values()))


@pytest.mark.parametrize("seed", [5, 6])
def test_lines_add_up_to_their_proposal(bi: Engine, seed: int) -> None:
    """Lines, seconds, money and stale drafts of every proposal of a firm, to the second and the cent."""
    made = plan(FirmSettings(seed=seed, consultants=20, days=28, start=date(2026, 3, 2)))
    driver = TopologyDriver(select_flows("billing,posting"))
    log = ChangeLog(driver.registry)
    for transaction in (*made.seed, *made.transactions):
        for change in log.changes(transaction):
            driver.produce(change.topic, change.key, change.value, change.headers)
    driver.run(random.Random(seed), chunk=200)
    with bi.begin() as connection:
        for topic in (
            "canonical.client",
            "canonical.payer_split",
            "billing.current",
            "billing.invoice_event",
        ):
            load(connection, topic, driver.records(topic))
        assert connection.execute(DIFFERENT).all() == []
        assert connection.scalar(SHARED)
        some = "SELECT count(*) FROM v_payer_part WHERE kind = "
        assert connection.scalar(text(f"{some} 'unbilled' AND segment = 'base'"))
