"""One worker process: Faust applications of its flows on one event loop, lanes on their threads."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from aiokafka.errors import KafkaConnectionError

from streams.contracts import Contracts, load_contracts
from streams.errors import DependencyUnavailable, TallystreamError
from streams.faustapp.app import FlowApp, flow_app, group_of
from streams.faustapp.assignor import LaneAssignor
from streams.faustapp.lanes import StageInputs
from streams.lanes.locking import ReadWriteLock
from streams.metrics import LANE_EVENTS, LANES_OPEN, REFERENCE_ROWS
from streams.references.feed import ReferenceFeed
from streams.references.views import ReferenceState
from streams.serde import Decoder, Registry
from streams.settings import Settings
from streams.worker.flow import FlowDefinition
from streams.worker.http import serve_http
from streams.worker.inputs import InputCheck, TopicState, check_same, describe_topics
from streams.worker.opening import LaneOpener
from streams.worker.preparation import prepare
from streams.worker.stores import LaneStores

log = structlog.get_logger("worker")

# Reference tables of a large firm (some hundred thousand rows) load in well under this.
REFERENCE_SECONDS = 300.0
WATCH_SECONDS = 0.05
# Between two looks at whether the inputs are still the same topics: a request each.
TOPICS_SECONDS = 5.0
# A clean stop takes a second or two; Kubernetes kills after 30.
STOP_SECONDS = 15.0
STOP_AFTER_FAILURE_SECONDS = 5.0  # nothing that is open still counts as clean


class WorkerProcess:
    """Runs ``flows`` until told to stop; `run` raises what made it fail.

    ``from_earliest`` names input topics that are read from their beginning where their position was lost.
    """

    def __init__(
        self, settings: Settings, flows: Sequence[FlowDefinition], from_earliest: Collection[str] = ()
    ) -> None:
        self._settings = settings
        self._flows = flows
        self._contracts: Contracts = load_contracts()
        self._registry = Registry(settings.registry_url)
        self._decoder = Decoder(self._registry)
        self._compute = ReadWriteLock()
        self._references = {
            flow.name: ReferenceState(flow.view(), self._decoder.decode)
            for flow in flows
            if flow.view is not None
        }
        self._stores = LaneStores(settings)
        self._from_earliest = from_earliest
        self._apps: dict[str, FlowApp] = {}
        self._schema_ids: dict[str, int] = {}
        self._failure: Exception | None = None
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Prepare, load, process; returns after SIGTERM or SIGINT, raises on failure."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stopping.set)
        self._schema_ids = await asyncio.to_thread(
            prepare, self._settings, self._contracts, self._registry, self._flows
        )
        http = await serve_http(self._settings.http_host, self._settings.http_port, self._why_not_ready)
        feed = ReferenceFeed(
            self._settings.kafka_bootstrap,
            self._decoder,
            list(self._references.values()),
            self._compute.write,
            self._poke,
            self._fail_from_thread,
        )
        REFERENCE_ROWS.set_function(lambda: feed.rows)
        try:
            feed.start()
            if not await asyncio.to_thread(self._wait_loaded, feed):
                raise self._failure or DependencyUnavailable(
                    f"reference topics did not load within {REFERENCE_SECONDS:.0f} s; is the broker overloaded?"
                )
            spare_the_collector()
            for flow in self._flows:
                self._apps[flow.name] = self._app(flow)
                LANES_OPEN.labels(flow.name).set_function(self._apps[flow.name].lane.count)
            await self._start_apps()
            watches = [asyncio.create_task(watch) for watch in (self._watch(on_ready), self._watch_topics())]
            await self._stopping.wait()
            for watch in watches:
                watch.cancel()
        finally:
            log.info("worker_stopping")
            await self._stop_apps()
            await asyncio.to_thread(self._stores.copies.stop)
            await asyncio.to_thread(feed.stop)
            await http.cleanup()
        if self._failure is not None:
            raise self._failure

    async def _start_apps(self) -> None:
        """Start all applications, or as far as they come until the worker is told to stop: one whose brokers
        have gone away starts for ever."""
        starting: asyncio.Future[Any] = asyncio.gather(*(app.start() for app in self._apps.values()))
        stopping: asyncio.Future[Any] = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            return
        try:
            starting.result()
        except KafkaConnectionError:
            raise DependencyUnavailable(
                f"no Kafka broker answers at {self._settings.kafka_bootstrap} any more; start it or set "
                "TALLYSTREAM_KAFKA_BOOTSTRAP"
            ) from None

    async def _stop_apps(self) -> None:
        """Stop all applications, or the process: clients that wait for a dead broker wait for minutes, and
        a consumer that was put out of its group waits to be let in again.

        Ending at once is safe, as a kill is: stores that were not closed are restored.
        """
        stopped = asyncio.gather(*(app.stop() for app in self._apps.values()), return_exceptions=True)
        patience = STOP_SECONDS if self._failure is None else STOP_AFTER_FAILURE_SECONDS
        done, _ = await asyncio.wait({stopped}, timeout=patience)
        if not done:
            error = self._failure or DependencyUnavailable(
                f"the worker did not stop within {patience:.0f} s and was ended; "
                f"do the brokers at {self._settings.kafka_bootstrap} answer?"
            )
            print(f"error: {error}", file=sys.stderr, flush=True)
            # Not by an exception: threads that wait for the broker would hold up the interpreter's end.
            os._exit(error.exit_code if isinstance(error, TallystreamError) else 1)

    def _wait_loaded(self, feed: ReferenceFeed) -> bool:
        waited = 0.0
        while waited < REFERENCE_SECONDS and self._failure is None:
            if feed.loaded.wait(0.05):
                return True
            waited += 0.05
        return False

    async def _watch(self, on_ready: Callable[[], None]) -> None:
        """Announce readiness once; fail if an application of Faust's crashed on its own."""
        announced = False
        while True:
            if not announced and self._why_not_ready() is None:
                announced = True
                log.info("worker_ready", flows=[flow.name for flow in self._flows])
                on_ready()
            for name, app in self._apps.items():
                if app.crashed:
                    self._fail(app.crash_reason or DependencyUnavailable(f"flow {name} crashed; see the log"))
            await asyncio.sleep(WATCH_SECONDS)

    async def _watch_topics(self) -> None:
        """Fail if an input is deleted, created anew or repartitioned under the running lanes.

        A fetch notices only what lies behind the end of the new topic.
        """
        bootstrap = self._settings.kafka_bootstrap
        topics = [topic for flow in self._flows for stage in flow.stages for topic in stage.inputs]
        before: Mapping[str, TopicState] = {}
        doubted = False
        while True:
            try:
                now = await asyncio.to_thread(describe_topics, bootstrap, topics)
                check_same(before, now)
                before, doubted = now, False
            except DependencyUnavailable as error:
                log.warning("topics_not_checked", error=str(error))  # the lanes find out what that means
            except TallystreamError as error:
                if doubted:
                    self._fail(error)
                doubted = True  # a broker that has only just started may not know yet
            await asyncio.sleep(TOPICS_SECONDS)

    def _why_not_ready(self) -> str | None:
        if len(self._apps) < len(self._flows):
            return "reference tables are loading"
        waiting = [name for name, app in self._apps.items() if not app.lane.ready]
        if not waiting:
            return None
        return self._stores.describe() or f"no lanes yet: {', '.join(waiting)}"

    def _app(self, flow: FlowDefinition) -> FlowApp:
        opener = LaneOpener(
            flow,
            self._settings,
            self._contracts,
            self._decoder,
            self._schema_ids,
            self._compute,
            self._references.get(flow.name),
            self._stores,
            InputCheck(self._settings.kafka_bootstrap, group_of(flow.name), self._from_earliest),
        )
        return flow_app(
            flow.name,
            [StageInputs(stage.name, stage.inputs, stage.background) for stage in flow.stages],
            opener.open,
            self._settings,
            self._assignor(flow),
            gather_seconds=flow.gather_seconds,
            on_counts=self._count,
            on_failure=self._fail,
        )

    def _assignor(self, flow: FlowDefinition) -> LaneAssignor:
        """Lanes go where their state is; standby copies where the others are not."""
        stages = {
            stage.name: self._contracts.group_partitions(stage.group, self._settings.partitions)
            for stage in flow.stages
        }
        copies = self._stores.copies
        return LaneAssignor(
            self._settings.worker_id,
            max(stages.values()),
            self._settings.standbys,
            partial(copies.held, stages),
            partial(copies.follow, stages),
        )

    def _poke(self) -> None:
        for app in list(self._apps.values()):
            app.lane.poke()

    def _count(self, stage: str, counts: Mapping[str, int]) -> None:
        for kind, amount in counts.items():
            LANE_EVENTS.labels(stage, kind).inc(amount)

    def _fail_from_thread(self, error: Exception) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(partial(self._fail, error))

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self._stopping.set()


def spare_the_collector() -> None:
    """Records make millions of short-lived objects and no cycles, and what is loaded by now stays.

    Python's default of a pass every 700 allocations costs a twentieth of the throughput.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
