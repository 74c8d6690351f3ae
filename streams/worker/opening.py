"""Opens the lane of a flow: fence earlier owners, restore the stages, subscribe to references."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

import structlog

from streams.contracts import Contracts
from streams.lanes.catchup import catch_up
from streams.lanes.claims import claim
from streams.lanes.core import LaneCore
from streams.lanes.lane import CoreKey, Lane
from streams.lanes.locking import ReadWriteLock
from streams.lanes.transaction import TransactionalLog
from streams.lanes.watermarks import end_offsets
from streams.references.views import ReferenceState, Subscription
from streams.serde import Decoder
from streams.settings import Settings
from streams.worker.flow import FlowDefinition, StageDefinition, StageEnvironment
from streams.worker.inputs import InputCheck
from streams.worker.stores import LaneStores

log = structlog.get_logger("worker")

# Stages restored at the same time: restore is mostly waiting for the broker.
OPENING_THREADS = 4


class LaneOpener:
    """Opens the lane of one flow."""

    def __init__(
        self,
        flow: FlowDefinition,
        settings: Settings,
        contracts: Contracts,
        decoder: Decoder,
        schema_ids: Mapping[str, int],
        compute: ReadWriteLock,
        references: ReferenceState | None,
        stores: LaneStores,
        inputs: InputCheck,
    ) -> None:
        self._flow = flow
        self._settings = settings
        self._contracts = contracts
        self._decoder = decoder
        self._schema_ids = dict(schema_ids)
        self._compute = compute
        self._references = references
        self._stores = stores
        self._inputs = inputs

    def open(self, assignment: Mapping[int, Collection[str]]) -> Lane:
        """The lane with the named stages of each partition; what was opened is closed again on an error."""
        bootstrap, flow = self._settings.kafka_bootstrap, self._flow
        # Another one each time: who claims a partition of ours fences what we were, not what we become.
        transactional_id = f"{flow.name}-{self._settings.worker_id}-{secrets.token_hex(4)}"
        keys = [(stage, partition) for partition, stages in assignment.items() for stage in stages]
        with ExitStack() as opened:
            slice_log = TransactionalLog(bootstrap, transactional_id)
            opened.callback(slice_log.release)
            # After the producer was started: who fences it later is later than it.
            claim(bootstrap, flow.name, sorted(assignment), transactional_id)
            cores = self._open_stages(keys, slice_log, opened)
            self._inputs.place((partition, core) for (_, partition), core in cores.items())
            opened.pop_all()
        ticking = frozenset(stage.name for stage in flow.stages if stage.ticks)
        own = flow.handed_over(self._contracts, self._settings.partitions)
        lane = Lane(cores, slice_log, ticking, own)
        try:
            # As they are now that nobody else writes to them for the lane's keys.
            ends = end_offsets(bootstrap, [place for place in lane.inputs() if place[0] in own])
            lane.overtake(ends)
            # Where inputs begin is durable before anything of them can be committed.
            lane.flush()
            if not catch_up(bootstrap, lane, ends, reversed(own)):
                log.info("lane_behind", flow=flow.name, inputs=len(lane.behind()))
        except BaseException:
            lane.abandon()
            raise
        return lane

    def _open_stages(
        self, keys: Collection[CoreKey], lane: TransactionalLog, opened: ExitStack
    ) -> dict[CoreKey, LaneCore]:
        definitions = {stage.name: stage for stage in self._flow.stages}
        with ThreadPoolExecutor(OPENING_THREADS, "lane-open") as pool:
            opening = {
                (name, partition): pool.submit(self._open_stage, definitions[name], partition, lane, opened)
                for name, partition in sorted(keys)
            }
        return {key: core.result() for key, core in opening.items()}

    def _open_stage(
        self, stage: StageDefinition, partition: int, lane: TransactionalLog, opened: ExitStack
    ) -> LaneCore:
        settings = self._settings
        stage_log = lane.stage(f"state.{stage.name}", partition)
        store, position = self._stores.open(stage.name, partition)
        opened.callback(self._stores.abandon, store, stage.name, partition)
        stage_log.begin_at(position)
        references = self._references if stage.looks_up else None
        subscription = None
        if references is not None:
            with self._compute.write:
                subscription = references.subscribe()
        opened.callback(self._unsubscribe, subscription)
        environment = StageEnvironment(
            partition,
            settings,
            self._contracts,
            self._decoder,
            self._schema_ids,
            references.view if references else None,
            self._flow.own_topics,
        )

        def on_close() -> None:
            self._unsubscribe(subscription)
            self._stores.copies.give_back(stage.name, partition)

        return LaneCore(
            stage.build(environment),
            store,
            stage_log,
            subscription,
            clock=partial(datetime.now, UTC),
            compute=self._compute.read,
            on_close=on_close,
        )

    def _unsubscribe(self, subscription: Subscription | None) -> None:
        if subscription is not None and self._references is not None:
            with self._compute.write:
                self._references.unsubscribe(subscription)
