"""The agents on Debezium's topics: nothing of ours is told that another source writes them."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from connectors.demo.pipeline import Pipeline
from connectors.proof.judge import Judge
from connectors.proof.topics import read_topic
from connectors.reference.firm import Firm, FirmSettings, Plan, connect, plan
from connectors.reference.schema import SYSTEMS
from streams.serde import Decoder, Registry
from streams.stack import Stack
from streams.stack.connect import Connect, debezium_postgres
from streams.stack.connect_jars import connect_available
from streams.stack.ports import free_port

PARTITIONS = 2


def assert_whole_transactions(planned: Plan, bootstrap: str, decoder: Decoder) -> None:
    """Of a transaction that changed a row twice only the last state was published."""
    touched: Counter[tuple[str, str]] = Counter()  # transactions of a row
    twice = set()
    for one in (*planned.seed, *planned.transactions):
        changes = Counter((change.table, str(change.key)) for change in one.statements)
        touched.update(changes.keys())
        twice |= {row for row, count in changes.items() if count > 1}
    published: Counter[tuple[str, str]] = Counter()
    for table in ("cost_rate", "invoice_line", "time_entry"):
        for record in read_topic(bootstrap, f"canonical.{table}", decoder):
            published[table, record["id"].partition(":")[2]] += 1
    seen = [row for row in twice if published[row]]
    assert len(seen) > 1
    for row in seen:
        assert published[row] <= touched[row], row


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.skipif(not connect_available(), reason="needs Java and Maven")
@pytest.mark.timeout(400)
def test_the_agents_come_to_the_oracles_rows(tmp_path: Path) -> None:
    """A firm at work, captured by Debezium only: warehouse and topics as the oracle computes them."""
    with Stack(tmp_path / "stack", broker="kafka") as stack:
        environment = {
            **stack.settings_environment(),
            "TALLYSTREAM_PARTITIONS": str(PARTITIONS),
            "TALLYSTREAM_DATA_DIR": str(tmp_path / "state"),
            "TALLYSTREAM_EXCEPTION_GRACE_S": "5",
        }
        planned = plan(FirmSettings(seed=1, consultants=10, days=21))
        engines = connect({system: environment[f"TALLYSTREAM_{system.upper()}_DSN"] for system in SYSTEMS})
        dsn = make_url(environment["TALLYSTREAM_BI_DSN"]).set(drivername="postgresql+psycopg2")
        warehouse = create_engine(dsn)
        judge = Judge(engines, warehouse)
        firm = Firm(planned, engines)
        firm.seed()
        log = tmp_path / "connect.log"
        connect_worker = Connect(tmp_path / "connect", free_port(), stack.broker.bootstrap, log)
        pipeline = Pipeline(tmp_path, environment, sinks=("warehouse",))
        registry = Registry(stack.registry.url)

        def check() -> None:
            pipeline.check()
            for system in SYSTEMS:
                connect_worker.check(system)

        try:
            connect_worker.start()
            for system in SYSTEMS:
                config = debezium_postgres(
                    stack.postgres, system, f"cdc.{system}", "public.*", f"dbz_{system}", stack.registry.url
                )
                more = {
                    "topic.creation.default.partitions": str(PARTITIONS),
                    "provide.transaction.metadata": "true",
                }
                connect_worker.create(system, {**config, **more})
            pipeline.start("worker", "sink-warehouse")
            pipeline.wait_worker_ready()
            firm.run(lambda _: None, None, threading.Event())
            expected = judge.expect()
            comparison = judge.wait(expected, check)
            assert comparison.rows_different == 0, "\n".join(map(str, comparison.differences))
            topics = judge.compare_topics(expected, stack.broker.bootstrap, Decoder(registry))
            assert topics.rows_different == 0, "\n".join(map(str, topics.differences))
            assert topics.money_difference == 0
            assert min(comparison.rows_compared, topics.rows_compared) > 500
            assert_whole_transactions(planned, stack.broker.bootstrap, Decoder(registry))
        finally:
            registry.close()
            pipeline.stop()
            connect_worker.stop()
            for engine in (*engines.values(), warehouse):
                engine.dispose()
