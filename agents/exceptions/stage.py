"""The exceptions stage: reports of all flows in, the current state of each exception out.

Keyed by subject. Time comes in by the lane's tick: a grace period ends whether or not records arrive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from agents.exceptions.catalogue import Catalogue, load_catalogue
from agents.exceptions.incident import Incident
from agents.exceptions.state_machine import State, apply, due
from agents.exceptions.timers import GraceTimers
from agents.rejects import DEAD_LETTERS
from streams.errors import RecordError
from streams.lanes.records import InputRecord
from streams.lanes.stage import Cause, SliceContext, Touch
from streams.lanes.state import Overlay
from streams.metrics import EXCEPTIONS_OPEN
from streams.worker.flow import FlowDefinition, StageDefinition, StageEnvironment

INPUTS = ("exceptions.raised",)
PREFIX = b"x\0"


class ExceptionsStage:
    """Keeps the exceptions of one partition's subjects."""

    inputs: Sequence[str] = INPUTS
    rules = "exceptions/1"

    def __init__(self, environment: StageEnvironment) -> None:
        self._decode = environment.decoder.decode
        self._exceptions = environment.publisher("exceptions")
        grace = timedelta(seconds=environment.settings.exception_grace_s)
        self._catalogue: Catalogue = load_catalogue(grace)
        self._timers = GraceTimers()
        self._states: Counter[str] = Counter()
        for state in State:
            gauge = EXCEPTIONS_OPEN.labels(str(environment.partition), state.value)
            gauge.set_function(lambda value=state.value: self._states[value])  # type: ignore[misc]

    def open(self, state: Overlay, now: datetime) -> None:
        """Watch the grace periods that are running."""
        for _, stored in state.scan(PREFIX):
            incident = Incident.from_bytes(stored)
            self._timers.watch(incident)
            self._states[incident.state] += 1

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Apply one report."""
        if record.value is None:
            return
        report = self._decode(record.value)
        key = PREFIX + f"{report['flow']}|{report['subject']}".encode()
        stored = context.state.get(key)
        before = Incident.from_bytes(stored) if stored else None
        self._settle(key, before, apply(before, report, context.now, self._catalogue), context)

    def tick(self, context: SliceContext) -> None:
        """Show the exceptions whose grace period is over."""
        for exception_id in self._timers.take_due(context.now):
            key = PREFIX + exception_id.encode()
            stored = context.state.get(key)
            if stored is not None:
                before = Incident.from_bytes(stored)
                self._settle(key, before, due(before, context.now), context)

    def _settle(
        self, key: bytes, before: Incident | None, after: Incident | None, context: SliceContext
    ) -> None:
        if after is None or after is before:
            return
        self._timers.watch(after)
        if before is not None:
            self._states[before.state] -= 1
        self._states[after.state] += 1
        context.state.put(key, after.to_bytes())
        self._exceptions.emit(context, after.to_record())
        context.count(f"exceptions_{after.state}")

    def finish(self, context: SliceContext) -> None:
        """Everything was emitted report by report."""

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """A report that can't be read goes to the dead letters only: reporting it here would loop."""
        headers = [
            ("__connect.errors.topic", record.topic.encode()),
            ("__connect.errors.partition", str(record.partition).encode()),
            ("__connect.errors.offset", str(record.offset).encode()),
            ("__connect.errors.stage", b"exceptions"),
            ("__connect.errors.exception.class.name", type(error).__name__.encode()),
            ("__connect.errors.exception.message", str(error).encode()),
        ]
        context.emit(DEAD_LETTERS, record.key, record.value, 0, headers)
        context.count("dead_letters")

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Looks nothing up."""
        return iter(())

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Incidents stay as they were settled."""
        return iter(())

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Looks nothing up."""


EXCEPTIONS = FlowDefinition(
    "exceptions",
    (StageDefinition("exceptions", INPUTS, ExceptionsStage, "subject", ticks=True),),
    gather_seconds=0.5,  # float: a wait
)
