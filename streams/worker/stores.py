"""The stores of a worker's lanes: opened, restored, and how far that is for whoever asks."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import structlog

from streams.lanes.copies import Place, StateCopies
from streams.lanes.restore import RestoreProgress, restore
from streams.lanes.rocks import RocksStore
from streams.metrics import RESTORE_SECONDS, RESTORED, RESTORING_RECORDS
from streams.settings import Settings

log = structlog.get_logger("worker")

# Between two log lines of one restore: most are over before the first.
LOG_SECONDS = 5.0


class LaneStores:
    """Opens the stores that lanes work on. Methods may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._bootstrap = settings.kafka_bootstrap
        root = Path(settings.data_dir) / settings.worker_id
        self.copies = StateCopies(self._bootstrap, root, lambda stage: f"{self._bootstrap}/state.{stage}")
        self._lock = threading.Lock()
        self._under_way: dict[Place, RestoreProgress] = {}

    def open(self, stage: str, partition: int) -> tuple[RocksStore, int]:
        """A store with the state as it is now, and the state topic's position that it corresponds to.

        The caller has fenced earlier owners. Raises what `restore` raises.
        """
        store = self.copies.take(stage, partition)
        start = store.offset
        logged = time.monotonic()
        counted = 0

        def note(state: RestoreProgress) -> None:
            nonlocal logged, counted
            with self._lock:
                self._under_way[stage, partition] = state
            RESTORED.labels(stage).inc(state.records - counted)
            counted = state.records
            self._measure(stage)
            if time.monotonic() - logged >= LOG_SECONDS:
                logged = time.monotonic()
                log.info("lane_restoring", lane=f"{stage}-{partition}", **_figures(state))

        try:
            done = restore(self._bootstrap, f"state.{stage}", partition, store, start, note)
        except BaseException:
            self.abandon(store, stage, partition)
            raise
        finally:
            with self._lock:
                self._under_way.pop((stage, partition), None)
            self._measure(stage)
        RESTORE_SECONDS.labels(stage).observe(done.seconds)
        if done.records:
            log.info(
                "lane_restored",
                start=start,
                seconds=round(done.seconds, 2),
                lane=f"{stage}-{partition}",
                records=done.records,
            )
        return store, done.end

    def abandon(self, store: RocksStore, stage: str, partition: int) -> None:
        """Close a store that no lane came to work on; it counts as dirty."""
        store.close(None)
        self.copies.give_back(stage, partition)

    def _measure(self, stage: str) -> None:
        with self._lock:
            left = sum(s.end - s.position for (name, _), s in self._under_way.items() if name == stage)
        RESTORING_RECORDS.labels(stage).set(left)

    def describe(self) -> str | None:
        """One line: which restores are how far, and how long they will go on; None if there are none."""
        with self._lock:
            states = sorted(self._under_way.items())
        if not states:
            return None
        parts = [f"{stage}-{partition} {state.share:.0%}" for (stage, partition), state in states]
        left = max(state.seconds_left or 0.0 for _, state in states)
        records = sum(state.records for _, state in states)
        return f"restoring {', '.join(parts)}: {records} records so far, about {left:.0f} s left"


def _figures(state: RestoreProgress) -> dict[str, int]:
    return {
        "percent": int(100 * state.share),
        "records": state.records,
        "records_per_s": round(state.records / max(state.seconds, 1e-3)),
        "seconds_left": round(state.seconds_left or 0.0),
    }
