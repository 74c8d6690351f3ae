"""Says of each accounting period when it is final, on ``billing.period_state``; one instance at a time.

It reads what sources, lanes and the ledger have written, and holds up nobody. What it has to remember is in its own
topic: a restarted one goes on from there, and reads again what was decided and booked since the first month that is
final. A state, and the exceptions that follow from it, are one transaction.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import structlog

from agents.canonical.loader import load_mappings
from agents.finality.late import FACTS, LEDGER, FinalBooks
from agents.finality.looking import Following, Marker, Sources, Stages, steps_of
from agents.finality.records import from_record, period_of, reports, to_record
from agents.finality.states import (
    FINAL,
    Period,
    PeriodState,
    Place,
    Progress,
    is_settled,
    judge,
    with_late,
)
from agents.flows import all_flows
from streams.contracts import load_contracts
from streams.contracts.registration import register_schemas
from streams.contracts.topics import contract_topics, create_topics
from streams.lanes.stage import SliceContext
from streams.lanes.state import MemoryStore, Overlay
from streams.lanes.transaction import TransactionalLog
from streams.lanes.watermarks import end_offsets
from streams.metrics import PERIOD_FINAL_SECONDS, PERIODS
from streams.serde import Decoder, Registry
from streams.settings import Settings
from streams.topicreader import TopicReader
from streams.worker.flow import Publisher

log = structlog.get_logger("periods")

STATES, PERIOD, RAISED = "billing.period_state", "canonical.period", "exceptions.raised"
# Through which a fact becomes billing and revenue.
FLOWS = ("billing", "revenue")
# A source tells its watermark every ten seconds: asking much more often finds nothing new.
LOOK_SECONDS = 5.0  # float: a wait
# While no close waits nobody asks how far anything is.
NOTHING = Progress({}, {})


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


class PeriodWorker:
    """Made once a process; to be closed."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        bootstrap = settings.kafka_bootstrap
        contracts = load_contracts()
        self._registry = registry = Registry(settings.registry_url)
        self._bootstrap = bootstrap
        self._clock = clock
        self._decode = Decoder(registry).decode
        self._systems = tuple(load_mappings())
        # Whoever ran before is fenced.
        self._log = TransactionalLog(bootstrap, "tallystream-periods")
        create_topics(bootstrap, contract_topics(contracts, settings.partitions), settings.replication_factor)
        ids = register_schemas(registry, contracts)
        self._publishers = {
            topic: Publisher(topic, contracts, ids[topic], contracts.partitions(topic, settings.partitions))
            for topic in (STATES, RAISED)
        }
        flows = all_flows()
        of_flows = [flows[name] for name in FLOWS]
        counts = {
            stage.name: contracts.group_partitions(stage.group, settings.partitions)
            for flow in of_flows
            for stage in flow.stages
        }
        references = {topic: contracts.partitions(topic, settings.partitions) for topic in contracts.topics}
        self._topics = TopicReader(bootstrap, "tallystream-periods")
        self._sources = Sources(bootstrap, self._systems)
        self._marker = Marker(self._sources, Stages(bootstrap, steps_of(of_flows, counts), references))
        self._decisions = Following(bootstrap, "tallystream-decisions")
        self._places = [
            (topic, partition)
            for topic in (*FACTS, LEDGER)
            for partition in range(contracts.partitions(topic, settings.partitions))
        ]
        self._books = FinalBooks()
        self.states: dict[str, PeriodState] = {
            state.period.id: state for state in read_states(self._topics, self._decode)
        }
        for state in self.states.values():
            self._books.follow(state)

    def close(self) -> None:
        """Leave the brokers."""
        self._log.release()
        self._sources.close()
        self._decisions.close()
        self._registry.close()
        self._topics.__exit__(None, None, None)

    def run(self, stop: threading.Event, every: float = LOOK_SECONDS) -> None:  # float: a wait
        """Look until told to stop."""
        while not stop.is_set():
            self.look()
            stop.wait(every)

    def look(self) -> int:
        """Look once, and publish what changed; how many states did."""
        now = self._clock()
        periods = self._periods()
        closes = {
            (period.id, period.closed_at)
            for period in periods.values()
            if period.closed_at is not None and not is_settled(period, self.states.get(period.id))
        }
        progress, ends = NOTHING, dict[Place, int]()
        if closes:
            progress = self._marker.look(closes)
            ends = end_offsets(self._bootstrap, self._places)
        new = {
            period.id: judge(period, self.states.get(period.id), progress, self._systems, ends, now)
            for period in periods.values()
        }
        for state in new.values():
            self._books.follow(state)
        self._read_decisions()
        for period_id, state in new.items():
            if state.state == FINAL:
                new[period_id] = with_late(state, self._books.late(period_id))
        changed = {key: state for key, state in new.items() if state is not self.states.get(key)}
        self._publish(changed, now)
        self.states |= changed
        for name in {state.state for state in self.states.values()}:
            PERIODS.labels(name).set(sum(state.state == name for state in self.states.values()))
        return len(changed)

    def _periods(self) -> Mapping[str, Period]:
        found: dict[str, Period] = {}
        for record in self._topics.read(PERIOD):
            if record.value is not None:
                row = self._decode(record.value)
                period = period_of(row)
                if period is None:
                    found.pop(row["id"], None)
                else:
                    found[period.id] = period
        return found

    def _read_decisions(self) -> None:
        for place, start in self._books.starts().items():
            self._decisions.begin(place, start)
        for message in self._decisions.read():
            if message.value() is not None:
                place = message.topic(), message.partition()
                self._books.take(place, message.offset(), self._decode(message.value()))

    def _publish(self, changed: Mapping[str, PeriodState], now: datetime) -> None:
        context = SliceContext(Overlay(MemoryStore()), now)
        for period_id, state in changed.items():
            before = self.states.get(period_id)
            self._publishers[STATES].emit(context, to_record(state, now))
            for report in reports(before, state, now):
                self._publishers[RAISED].emit(context, report)
            if before is None or before.state != state.state:
                log.info("period", period=period_id, state=state.state, waits_for=list(state.waits_for))
                if state.state == FINAL and state.period.closed_at is not None:
                    took = max(now - state.period.closed_at, timedelta())
                    PERIOD_FINAL_SECONDS.observe(took.total_seconds())
        if context.outputs:
            self._log.add(context.outputs)
            self._log.flush()


def read_states(topics: TopicReader, decode: Callable[[bytes], dict[str, object]]) -> list[PeriodState]:
    """The latest state of each period, by entity and first day."""
    latest: dict[bytes, PeriodState] = {}
    for record in topics.read(STATES):
        if record.value is not None:
            latest[record.key or b""] = from_record(decode(record.value))
    return sorted(latest.values(), key=lambda state: (state.period.legal_entity_id, state.period.starts_on))
