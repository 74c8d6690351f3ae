"""One Faust application per flow, with chunk delivery into its lane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import faust
from faust.serializers.codecs import Codec
from faust.types import StreamT
from yarl import URL

from streams.faustapp.assignor import LaneAssignor
from streams.faustapp.consumer import ChunkTransport
from streams.faustapp.lanes import Assignment, FlowLane, StageInputs
from streams.lanes.lane import Lane
from streams.settings import Settings

# Opening lanes happens inside Faust's "perform seek", which it bounds by the request timeout.
REQUEST_TIMEOUT_SECONDS = 300.0
# How often offsets are committed: a hint for lag monitors only.
COMMIT_INTERVAL_SECONDS = 1.0
# Chunks between Faust and an agent; lanes have their own backlog.
STREAM_BUFFER = 2


class _ChunkCodec(Codec):
    """The value of a message is the chunk itself: nothing to decode."""

    def _loads(self, s: Any) -> Any:
        return s

    def _dumps(self, s: Any) -> Any:
        return s


class FlowApp(faust.App):
    """A Faust application whose consumer delivers chunks to the lane of one flow."""

    lane: FlowLane
    gather_seconds: float
    lane_assignor: LaneAssignor

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self, self.loop)

    def _new_consumer(self) -> Any:
        consumer = super()._new_consumer()
        consumer.open_lanes = self.lane.open
        consumer.pause_lanes = self.lane.pause
        consumer.close_lanes = self.lane.close
        consumer.behind = self.lane.behind
        consumer.background = self.lane.background
        consumer.on_failure = self.lane.on_failure
        consumer.gather_seconds = self.gather_seconds
        self.lane.consumer = consumer
        return consumer


def group_of(flow: str) -> str:
    """The consumer group of a flow."""
    return f"tallystream-{flow}"


def flow_app(
    flow: str,
    stages: Sequence[StageInputs],
    open_lane: Callable[[Assignment], Lane],
    settings: Settings,
    assignor: LaneAssignor,
    *,
    gather_seconds: float = 0.0,
    on_counts: Callable[[str, Mapping[str, int]], None],
    on_failure: Callable[[Exception], None],
) -> FlowApp:
    """Build the application of a flow: one agent per input topic, each feeding the flow's lane."""
    folder = Path(settings.data_dir) / settings.worker_id / "faust"
    folder.mkdir(parents=True, exist_ok=True)
    session = settings.session_timeout_s
    app = FlowApp(
        group_of(flow),
        broker=[URL(f"kafka://{host}") for host in settings.kafka_bootstrap.split(",")],
        store="memory://",
        datadir=str(folder / flow),
        autodiscover=False,
        origin=None,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_buffer_maxsize=STREAM_BUFFER,
        stream_recovery_delay=0.0,
        broker_commit_interval=COMMIT_INTERVAL_SECONDS,
        broker_request_timeout=REQUEST_TIMEOUT_SECONDS,
        broker_session_timeout=session,
        broker_heartbeat_interval=session / 5,
        broker_rebalance_timeout=max(30.0, 2 * session),
        consumer_group_instance_id=f"{settings.worker_id}-{flow}",
    )
    app.gather_seconds = gather_seconds
    app.lane_assignor = assignor
    app.lane = FlowLane(flow, stages, open_lane, on_counts=on_counts, on_failure=on_failure)
    for stage in stages:
        for topic in stage.inputs:
            _add_agent(app, stage.name, topic)
    return app


def _add_agent(app: FlowApp, stage: str, topic: str) -> None:
    codec = _ChunkCodec()
    channel = app.topic(
        topic,
        acks=False,  # tickets instead: see streams.lanes.tickets
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer=codec,
    )

    async def feed(stream: StreamT[Any]) -> None:
        async for chunk, ticket in stream:
            await app.lane.deliver(chunk, ticket)

    app.agent(channel, name=f"{stage}.{topic}")(feed)
