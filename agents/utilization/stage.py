"""The utilization stage: contributions in, daily facts and windows out, keyed by consultant.

What its groups need of a window goes on to the stage of groups.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

from agents.rejects import RAISED, Rejects
from agents.utilization.contributions import ConsultantState, Contribution, piece_key
from agents.utilization.facts import DEFINITION, Facts, Lineage, recompute, recompute_touch
from agents.utilization.group_stage import INPUTS as MEMBERS
from agents.utilization.group_stage import GroupStage
from agents.utilization.touches import Touch as Days
from agents.utilization.view import EVERYBODY, UtilizationView
from streams.errors import RecordError
from streams.lanes.records import InputRecord
from streams.lanes.stage import Cause, SliceContext, Touch
from streams.lanes.state import Overlay
from streams.worker.flow import FlowDefinition, StageDefinition, StageEnvironment

FLOW = "utilization"
INPUTS = ("utilization.contribution",)
PREFIX = b"c\0"
# Consultants held decoded in memory (a year of entries is about 100 kB).
CACHED_CONSULTANTS = 500


class UtilizationStage:
    """Computes the utilization of one partition's consultants."""

    inputs: Sequence[str] = INPUTS
    rules = DEFINITION

    def __init__(self, environment: StageEnvironment) -> None:
        self._reference = environment.view.reference
        self._decode = environment.decoder.decode
        self._daily = environment.publisher("utilization.daily")
        self._windows = environment.publisher("utilization.windows")
        (members,) = MEMBERS
        self._members = environment.publisher(members)
        self._raised = environment.publisher(RAISED)
        self._rejects = Rejects(environment, FLOW)
        self._states: OrderedDict[str, ConsultantState] = OrderedDict()
        self._dirty: dict[str, tuple[set[date], Lineage]] = {}

    def open(self, state: Overlay, now: datetime) -> None:
        """Consultants are read when they are touched."""

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Apply one contribution; its days are computed once, at the end of the slice."""
        if record.value is None:
            return
        row = self._decode(record.value)
        consultant_id = row["consultant_id"]
        days = self._state(context.state, consultant_id).apply(row["entry_id"], Contribution.from_record(row))
        earlier = self._dirty[consultant_id][0] if consultant_id in self._dirty else set()
        self._dirty[consultant_id] = (earlier | days, Lineage.of_contribution(row))

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Compute the touched days of consultants again."""
        lineage = Lineage.of_reference(cause.occurred_at, cause.captured_at, cause.published_at)
        for key in keys:
            consultant_id, first, last = key.decode().split("\0")
            touch = Days(consultant_id, _day(first), _day(last))
            state = self._state(context.state, consultant_id)
            self._publish(recompute_touch(state, self._reference, touch, lineage, context.now), context)
            self._store(context.state, state)

    def affected(self, touches: Sequence[Touch], state: Overlay) -> Iterator[bytes]:
        """Consultants of this lane that the touches reach, each with a range of days."""
        seen: set[Days] = set()
        for touch in touches:
            assert isinstance(touch, Days)
            everybody = touch.consultant_id == EVERYBODY
            for one in [Days(c) for c in self._consultants(state)] if everybody else [touch]:
                if one not in seen and (everybody or self._known(state, one.consultant_id)):
                    seen.add(one)
                    first = one.first_day.isoformat() if one.first_day else ""
                    last = one.last_day.isoformat() if one.last_day else ""
                    yield f"{one.consultant_id}\0{first}\0{last}".encode()

    def everything(self, state: Overlay) -> Iterator[bytes]:
        """All days of all consultants of this lane."""
        return self.affected([Days(EVERYBODY)], state)

    def finish(self, context: SliceContext) -> None:
        """Compute and publish what the slice touched."""
        for consultant_id, (days, lineage) in self._dirty.items():
            state = self._state(context.state, consultant_id)
            self._publish(recompute(state, self._reference, days, lineage, context.now), context)
            self._store(context.state, state)
        self._dirty.clear()
        while len(self._states) > CACHED_CONSULTANTS:
            self._states.popitem(last=False)

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters and exceptions."""
        self._rejects.reject(record, error, context)

    def tick(self, context: SliceContext) -> None:
        """No timers."""

    def _known(self, state: Overlay, consultant_id: str) -> bool:
        return next(iter(state.scan(PREFIX + piece_key(consultant_id))), None) is not None

    def _consultants(self, state: Overlay) -> list[str]:
        found: dict[str, None] = {}
        for key, _ in state.scan(PREFIX):
            found[key[len(PREFIX) :].split(b"\0", 1)[0].decode()] = None
        return list(found)

    def _state(self, state: Overlay, consultant_id: str) -> ConsultantState:
        cached = self._states.get(consultant_id)
        if cached is None:
            prefix = PREFIX + piece_key(consultant_id)
            pieces = ((key[len(prefix) :].decode(), value) for key, value in state.scan(prefix))
            cached = self._states[consultant_id] = ConsultantState.restore(consultant_id, pieces)
        self._states.move_to_end(consultant_id)
        return cached

    def _store(self, state: Overlay, consultant: ConsultantState) -> None:
        for name, value in consultant.take_writes().items():
            state.put(PREFIX + piece_key(consultant.consultant_id, name), value)

    def _publish(self, facts: Facts, context: SliceContext) -> None:
        for row in facts.daily:
            self._daily.emit(context, row)
        for row in facts.windows:
            self._windows.emit(context, row)
        for row in facts.members:
            self._members.emit(context, row)
        for report in facts.reports:
            self._raised.emit(context, report)
        context.count("utilization_daily", len(facts.daily))


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


UTILIZATION = FlowDefinition(
    "utilization",
    (
        StageDefinition("utilization", INPUTS, UtilizationStage, "consultant", passes_on=MEMBERS),
        StageDefinition("utilization-groups", MEMBERS, GroupStage, "utilization_group", looks_up=False),
    ),
    UtilizationView,
    gather_seconds=0.5,
)
