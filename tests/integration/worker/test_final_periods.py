"""When a closed month is final, over a running pipeline: sources, lanes and revenue as they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from agents.finality.states import PeriodState
from agents.finality.worker import PeriodWorker
from connectors.reference.firm import FirmSettings
from streams.serde import Decoder, Registry
from streams.settings import load_settings
from streams.topicreader import TopicReader
from tests.support.pipelines import PARTITIONS, RunningFirm, running_firm

PATIENCE_S = 90.0


class Firm:
    """A firm whose work is done, and who watches its periods."""

    def __init__(self, running: RunningFirm) -> None:
        self.running = running
        environment = running.environment
        self.settings = load_settings(
            kafka_bootstrap=environment["TALLYSTREAM_KAFKA_BOOTSTRAP"],
            registry_url=environment["TALLYSTREAM_REGISTRY_URL"],
            partitions=PARTITIONS,
        )
        self.registry = Registry(self.settings.registry_url)
        self.decoder = Decoder(self.registry)
        self.periods = PeriodWorker(self.settings)

    def close(self) -> None:
        self.periods.close()
        self.registry.close()

    def do(self, system: str, statement: str, **parameters: Any) -> Any:
        """A statement in a database, and its first result, if any."""
        with self.running.judge.engines[system].begin() as connection:
            done = connection.execute(text(statement), parameters)
            return done.first() if done.returns_rows else None

    def close_period(self, *states: str) -> str:
        """Hard close, now, the first period that is in one of these states; its id."""
        state = next(
            state
            for state in sorted(self.periods.states.values(), key=lambda one: one.period.starts_on)
            if state.state in states
        )
        native = state.period.id.removeprefix("erp:")
        self.do(
            "erp",
            "UPDATE accounting_period SET status = 'closed', closed_at = now() WHERE id = :id",
            id=native,
        )
        return state.period.id

    def until(self, what: Callable[[dict[str, PeriodState]], bool]) -> dict[str, PeriodState]:
        """Look until it holds."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.periods.look()
            self.running.pipeline.check()
            if what(self.periods.states):
                return self.periods.states
            assert time.monotonic() < deadline, self.periods.states
            time.sleep(0.2)

    def exceptions(self) -> list[dict[str, Any]]:
        """What is raised of late facts."""
        with TopicReader(self.settings.kafka_bootstrap, "test-late") as topics:
            rows = [
                self.decoder.decode(r.value) for r in topics.read("exceptions.raised") if r.value is not None
            ]
        return [row for row in rows if row["exception_class"] == "LATE_FACT"]


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """Ten people over six weeks, some months closed."""
    settings = FirmSettings(seed=3, consultants=10, days=42)
    with running_firm(tmp_path_factory.mktemp("final"), "embedded", settings, sinks=()) as running:
        running.firm.run()
        made = Firm(running)
        try:
            yield made
        finally:
            made.close()


def is_final(period_id: str) -> Callable[[dict[str, PeriodState]], bool]:
    """Whether a period is."""
    return lambda states: period_id in states and states[period_id].state == "final"


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_month_is_final_when_all_before_its_close_is_applied(firm: Firm) -> None:
    """As soon as it is said the topics are the oracle's; a source that is down holds it; what comes late is raised.

    The firm's own closes are of simulated days, long before all that was committed: they become final as well.
    """
    periods = firm.periods
    firm.until(lambda states: bool(states) and all(state.state != "closing" for state in states.values()))
    assert {state.state for state in periods.states.values()} >= {"final", "open"}
    closed = firm.close_period("open", "soft_closed")
    states = firm.until(is_final(closed))
    expected = firm.running.judge.expect()
    comparison = firm.running.judge.compare_topics(expected, firm.settings.kafka_bootstrap, firm.decoder)
    assert comparison.equal, "\n".join(map(str, comparison.differences))
    state = states[closed]
    assert state.watermarks is not None
    assert state.period.closed_at is not None
    assert set(state.watermarks) == {"erp", "crm", "time"}
    assert all(at > state.period.closed_at for at in state.watermarks.values())
    assert firm.exceptions() == []

    pipeline = firm.running.pipeline
    pipeline.processes["source-time"].stop()
    waiting = firm.close_period("open", "soft_closed")
    firm.until(lambda states: states[waiting].waits_for == ("source time",))
    deadline = time.monotonic() + 15  # the other sources' next watermarks come meanwhile
    while time.monotonic() < deadline:
        periods.look()
        assert periods.states[waiting].state == "closing"
        time.sleep(0.5)
    pipeline.start("source-time")
    firm.until(is_final(waiting))

    # One like it, approved before the close and entered after it.
    period = state.period
    with firm.running.judge.engines["erp"].connect() as connection:
        of_entity = (
            "SELECT project.id FROM project JOIN engagement ON engagement.id = project.engagement_id "
            "WHERE engagement.legal_entity_id = :entity"
        )
        entity = {"entity": period.legal_entity_id.removeprefix("erp:")}
        projects = list(connection.execute(text(of_entity), entity).scalars())
    like = firm.do(
        "time",
        "SELECT max(id) AS id FROM time_entry WHERE status = 'approved' AND work_date >= :first "
        "AND work_date < :next AND approved_at < :close AND project_code = ANY(:projects)",
        first=period.starts_on,
        next=period.ends_on,
        close=period.closed_at,
        projects=projects,
    )
    columns = "consultant_code, project_code, task_code, work_date, hours, kind, status, version, approved_at, approved_by"
    firm.do(
        "time",
        f"INSERT INTO time_entry (id, {columns}) SELECT 900001, {columns} FROM time_entry WHERE id = :id",
        id=like.id,
    )
    found = firm.until(lambda states: states[closed].late != ())[closed]
    assert [one.entry_id for one in found.late] == ["time:900001"]
    (raised,) = firm.exceptions()
    assert (raised["subject"].split(":time:")[0], raised["flow"]) == (closed, "close")
    assert raised["seconds"] == found.late[0].seconds > 0

    # Another instance takes over where this one is, and puts an end to it.
    with_memory = PeriodWorker(firm.settings)
    try:
        assert with_memory.states == periods.states
        with_memory.look()
        assert with_memory.states[closed].late == found.late
        assert len(firm.exceptions()) == 1
    finally:
        with_memory.close()
