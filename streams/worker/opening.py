"""Opens the lanes of a flow: fence earlier owners, restore the stages, subscribe to references."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from streams.contracts import Contracts
from streams.lanes.core import LaneCore
from streams.lanes.lane import Lane
from streams.lanes.locking import ReadWriteLock
from streams.lanes.restore import restore
from streams.lanes.rocks import RocksStore
from streams.lanes.transaction import TransactionalLog
from streams.metrics import RESTORE_SECONDS, RESTORED
from streams.references.views import ReferenceState, Subscription
from streams.serde import Decoder
from streams.settings import Settings
from streams.worker.flow import FlowDefinition, StageDefinition, StageEnvironment

log = structlog.get_logger("worker")


class LaneOpener:
    """Opens lanes of one flow. Any thread may call `open`, each for another partition."""

    def __init__(
        self,
        flow: FlowDefinition,
        settings: Settings,
        contracts: Contracts,
        decoder: Decoder,
        schema_ids: Mapping[str, int],
        compute: ReadWriteLock,
        references: ReferenceState | None,
    ) -> None:
        self._flow = flow
        self._settings = settings
        self._contracts = contracts
        self._decoder = decoder
        self._schema_ids = dict(schema_ids)
        self._compute = compute
        self._references = references

    def open(self, partition: int, stages: Collection[str]) -> Lane:
        """The lane of a partition with the named stages; what was opened is closed again on an error."""
        name = f"{self._flow.name}-{partition}"
        with ExitStack() as opened:
            slice_log = TransactionalLog(self._settings.kafka_bootstrap, name, partition)
            opened.callback(slice_log.release)
            definitions = [stage for stage in self._flow.stages if stage.name in stages]
            cores = {
                stage.name: self._open_stage(stage, partition, slice_log, opened) for stage in definitions
            }
            opened.pop_all()
        return Lane(cores, slice_log, frozenset(stage.name for stage in definitions if stage.ticks))

    def _open_stage(
        self, stage: StageDefinition, partition: int, lane: TransactionalLog, opened: ExitStack
    ) -> LaneCore:
        settings = self._settings
        topic = f"state.{stage.name}"
        stage_log = lane.stage(topic)
        folder = Path(settings.data_dir) / settings.worker_id / stage.name / str(partition)
        store = RocksStore(folder, identity=f"{settings.kafka_bootstrap}/{topic}")
        opened.callback(store.close, None)
        progress = restore(settings.kafka_bootstrap, topic, partition, store, store.offset)
        stage_log.begin_at(progress.end)
        RESTORED.labels(stage.name).inc(progress.records)
        RESTORE_SECONDS.labels(stage.name).observe(progress.seconds)
        if progress.records:
            log.info("lane_restored", lane=f"{stage.name}-{partition}", records=progress.records)
        references = self._references if stage.looks_up else None
        subscription = None
        if references is not None:
            with self._compute.write:
                subscription = references.subscribe()
        unsubscribe = partial(self._unsubscribe, subscription)
        opened.callback(unsubscribe)
        environment = StageEnvironment(
            partition,
            settings,
            self._contracts,
            self._decoder,
            self._schema_ids,
            references.view if references else None,
        )
        return LaneCore(
            stage.build(environment),
            store,
            stage_log,
            subscription,
            clock=partial(datetime.now, UTC),
            compute=self._compute.read,
            on_close=unsubscribe,
        )

    def _unsubscribe(self, subscription: Subscription | None) -> None:
        if subscription is not None and self._references is not None:
            with self._compute.write:
                self._references.unsubscribe(subscription)
