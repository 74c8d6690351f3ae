"""One worker process: Faust applications of its flows on one event loop, lanes on their threads."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from streams.contracts import Contracts, load_contracts
from streams.errors import DependencyUnavailable
from streams.faustapp.app import FlowApp, flow_app
from streams.faustapp.lanes import StageInputs
from streams.lanes.locking import ReadWriteLock
from streams.metrics import LANE_EVENTS, LANES_OPEN, REFERENCE_ROWS
from streams.references.feed import ReferenceFeed
from streams.references.views import ReferenceState
from streams.serde import Decoder, Registry
from streams.settings import Settings
from streams.worker.flow import FlowDefinition
from streams.worker.http import serve_http
from streams.worker.opening import LaneOpener
from streams.worker.preparation import prepare

log = structlog.get_logger("worker")

# Reference tables of a large firm (some hundred thousand rows) load in well under this.
REFERENCE_SECONDS = 300.0
WATCH_SECONDS = 0.05
# A clean stop takes a second or two; Kubernetes kills after 30.
STOP_SECONDS = 15.0


class WorkerProcess:
    """Runs ``flows`` until told to stop; `run` raises what made it fail."""

    def __init__(self, settings: Settings, flows: Sequence[FlowDefinition]) -> None:
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
            for flow in self._flows:
                self._apps[flow.name] = self._app(flow)
                LANES_OPEN.labels(flow.name).set_function(self._apps[flow.name].lanes.count)
            await asyncio.gather(*(app.start() for app in self._apps.values()))
            watch = asyncio.create_task(self._watch(on_ready))
            await self._stopping.wait()
            watch.cancel()
        finally:
            log.info("worker_stopping")
            await self._stop_apps()
            await asyncio.to_thread(feed.stop)
            await http.cleanup()
        if self._failure is not None:
            raise self._failure

    async def _stop_apps(self) -> None:
        """Stop all applications, or the process: clients that wait for a dead broker wait for minutes.

        Ending at once is safe, as a kill is: stores that were not closed are restored.
        """
        stopped = asyncio.gather(*(app.stop() for app in self._apps.values()), return_exceptions=True)
        done, _ = await asyncio.wait({stopped}, timeout=STOP_SECONDS)
        if not done:
            print(
                f"error: the worker did not stop within {STOP_SECONDS:.0f} s and was ended; "
                f"do the brokers at {self._settings.kafka_bootstrap} answer?",
                file=sys.stderr,
                flush=True,
            )
            # Not by an exception: threads that wait for the broker would hold up the interpreter's end.
            os._exit(DependencyUnavailable.exit_code)

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

    def _why_not_ready(self) -> str | None:
        if len(self._apps) < len(self._flows):
            return "reference tables are loading"
        waiting = [name for name, app in self._apps.items() if not app.lanes.ready]
        return f"no lanes yet: {', '.join(waiting)}" if waiting else None

    def _app(self, flow: FlowDefinition) -> FlowApp:
        opener = LaneOpener(
            flow,
            self._settings,
            self._contracts,
            self._decoder,
            self._schema_ids,
            self._compute,
            self._references.get(flow.name),
        )
        return flow_app(
            flow.name,
            [StageInputs(stage.name, stage.inputs) for stage in flow.stages],
            opener.open,
            self._settings,
            gather_seconds=flow.gather_seconds,
            on_counts=self._count,
            on_failure=self._fail,
        )

    def _poke(self) -> None:
        for app in list(self._apps.values()):
            app.lanes.poke()

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
