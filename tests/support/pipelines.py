"""A whole pipeline over a stack, for acceptance and fault tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, make_url, text

from connectors.bench.history import TABLE as HISTORY_OF
from connectors.bench.history import write_history
from connectors.demo.pipeline import Pipeline
from connectors.proof.judge import Judge
from connectors.reference.firm import Firm, FirmSettings, connect, plan
from streams.serde import Decoder, Registry
from streams.stack import Stack

PARTITIONS = 2


@dataclass
class RunningFirm:
    """A firm at work over a pipeline."""

    stack: Stack
    pipeline: Pipeline
    firm: Firm
    judge: Judge
    warehouse: Engine
    environment: dict[str, str]

    def work(self, meanwhile: Callable[[], None], pace: float | None = None) -> None:
        """Write all the firm's changes while ``meanwhile`` runs; raises what either of them raises."""
        failures: list[BaseException] = []

        def write() -> None:
            try:
                self.firm.run(pace=pace)
            except BaseException as error:
                failures.append(error)

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        meanwhile()
        writer.join(timeout=240)
        assert not writer.is_alive(), "the firm did not finish"
        if failures:
            raise failures[0]

    def settle(self, patience_s: float = 45.0) -> tuple[Any, Any]:
        """Comparisons of the warehouse and of the topics with the oracle, once nothing moves any more."""
        expected = self.judge.expect()
        warehouse = self.judge.wait(expected, self.pipeline.check, patience_s=patience_s)
        registry = Registry(self.environment["TALLYSTREAM_REGISTRY_URL"])
        try:
            topics = self.judge.compare_topics(expected, self.stack.broker.bootstrap, Decoder(registry))
        finally:
            registry.close()
        return warehouse, topics

    def assert_exact(self, more_than: int, told: str) -> None:
        """Once nothing moves: over so many rows, warehouse and topics are the oracle's, and no line of the ledger is
        there twice. ``told`` is what a failure says to repeat it."""
        for comparison in self.settle():
            assert comparison.rows_compared > more_than
            assert comparison.equal, f"{told}: " + "\n".join(map(str, comparison.differences))
        with self.warehouse.connect() as connection:
            lines, distinct = connection.execute(
                text("SELECT count(*), count(DISTINCT event_id) FROM fact_billing_event")
            ).one()
        assert lines == distinct


@contextmanager
def running_firm(
    folder: Path,
    broker: str,
    settings: FirmSettings,
    sinks: tuple[str, ...] = ("warehouse",),
    history: int = 0,
) -> Iterator[RunningFirm]:
    """Stack, seeded firm and started pipeline; everything is stopped at the end.

    With a ``history`` the firm has lived before, and so many entries more come by a backfill.
    """
    with Stack(folder / "stack", broker=broker) as stack:
        environment = {
            **stack.settings_environment(),
            "TALLYSTREAM_PARTITIONS": str(PARTITIONS),
            "TALLYSTREAM_DATA_DIR": str(folder / "state"),
            "TALLYSTREAM_EXCEPTION_GRACE_S": "1",
        }
        engines = connect({s: environment[f"TALLYSTREAM_{s.upper()}_DSN"] for s in ("erp", "crm", "time")})
        warehouse = create_engine(
            make_url(environment["TALLYSTREAM_BI_DSN"]).set(drivername="postgresql+psycopg2")
        )
        firm = Firm(plan(settings), engines)
        firm.seed()
        if history:
            firm.run()
            write_history({s: environment[f"TALLYSTREAM_{s.upper()}_DSN"] for s in ("erp", "time")}, history)
        backfill = {"time": [HISTORY_OF]} if history else {}
        pipeline = Pipeline(folder, environment, sinks=sinks, backfill=backfill)
        try:
            pipeline.start()
            pipeline.wait_worker_ready()
            yield RunningFirm(stack, pipeline, firm, Judge(engines, warehouse), warehouse, environment)
        finally:
            pipeline.stop()
            for engine in (*engines.values(), warehouse):
                engine.dispose()
