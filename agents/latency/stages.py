"""The latency flow: samples from every partition of the ledger, then windows over all of them.

The first stage only re-keys, a record a slice, so that one lane can hold one watermark over all partitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from agents.latency.hops import hop_samples
from agents.latency.windows import latency_windows, window_record
from agents.rejects import Rejects
from streams.errors import RecordError
from streams.lanes.records import InputRecord
from streams.lanes.stage import Cause, SliceContext, Touch
from streams.lanes.state import Overlay
from streams.metrics import LATENCY, LATENCY_WINDOW
from streams.worker.flow import FlowDefinition, StageDefinition, StageEnvironment

FLOW = "latency"
RULES = "latency/1"
PREFIX = b"w\0"
MICROS = 1_000_000


class _Stage:
    """What both stages have in common: no references, rejects to the dead letters."""

    rules = RULES

    def __init__(self, environment: StageEnvironment) -> None:
        self._decode = environment.decoder.decode
        self._rejects = Rejects(environment, FLOW)

    def open(self, state: Overlay, now: datetime) -> None:
        """Nothing is cached."""

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters and exceptions."""
        self._rejects.reject(record, error, context)

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Looks nothing up."""
        return iter(())

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Windows stay as they were measured."""
        return iter(())

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Looks nothing up."""

    def finish(self, context: SliceContext) -> None:
        """Nothing is put off to the end of a slice."""

    def tick(self, context: SliceContext) -> None:
        """No timers."""


class SampleStage(_Stage):
    """Ledger lines of one partition to samples."""

    inputs: Sequence[str] = ("billing.events",)

    def __init__(self, environment: StageEnvironment) -> None:
        super().__init__(environment)
        self._publisher = environment.publisher("latency.samples")
        self._partition = str(environment.partition)
        self._samples: list[dict[str, Any]] = []

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Take the samples of one ledger line."""
        if record.value is None:
            return
        for sample in hop_samples(self._decode(record.value)):
            self._samples.append(sample._asdict())
            LATENCY.labels(sample.hop).observe(sample.micros / MICROS)

    def finish(self, context: SliceContext) -> None:
        """Publish the slice's samples."""
        if self._samples:
            self._publisher.emit(context, {"partition": self._partition, "samples": self._samples})
            self._samples = []


class WindowStage(_Stage):
    """Samples of all partitions to windows."""

    inputs: Sequence[str] = ("latency.samples",)

    def __init__(self, environment: StageEnvironment) -> None:
        super().__init__(environment)
        self._publisher = environment.publisher("latency.windows")
        self._windows = latency_windows()
        count = environment.contracts.partitions("billing.events", environment.settings.partitions)
        self._partitions = [str(partition) for partition in range(count)]

    def open(self, state: Overlay, now: datetime) -> None:
        """Take over the open windows; a partition that has not spoken yet holds the watermark."""
        pieces = ((key[len(PREFIX) :].decode(), value) for key, value in state.scan(PREFIX))
        self._windows.restore(pieces, now)
        self._windows.watermark.assign(self._partitions, now)

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Add samples to their windows."""
        if record.value is None:
            return
        batch = self._decode(record.value)
        for sample in batch["samples"]:
            self._windows.add(
                batch["partition"], sample["hop"], sample["event_time"], sample["micros"], context.now
            )

    def finish(self, context: SliceContext) -> None:
        """Close what the watermark has passed, and store what changed."""
        for closed in self._windows.close(context.now):
            record = window_record(closed, context.now)
            self._publisher.emit(context, record)
            for quantile in ("p50", "p95", "p99"):
                LATENCY_WINDOW.labels(closed.name, quantile).set(record[f"{quantile}_us"] / MICROS)
        for name, value in self._windows.take_writes().items():
            if value is None:
                context.state.delete(PREFIX + name.encode())
            else:
                context.state.put(PREFIX + name.encode(), value)


LATENCY_FLOW = FlowDefinition(
    FLOW,
    (
        StageDefinition(
            "latency-sample", SampleStage.inputs, SampleStage, "root", passes_on=WindowStage.inputs
        ),
        StageDefinition("latency-window", WindowStage.inputs, WindowStage, "single", ticks=True),
    ),
    gather_seconds=1.0,
)
