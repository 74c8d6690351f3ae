"""The utilization stage: contributions and assignments in, daily facts and windows out, keyed by consultant.

What its groups need of a window goes on to the stage of groups.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from agents.rejects import RAISED, Rejects
from agents.utilization.contributions import ConsultantState, Contribution, piece_key
from agents.utilization.facts import RULES, Facts, Lineage, recompute, recompute_touch
from agents.utilization.group_stage import INPUTS as MEMBERS
from agents.utilization.group_stage import GroupStage
from agents.utilization.plans import Assignment
from agents.utilization.touches import ProjectTouch
from agents.utilization.touches import Touch as Days
from agents.utilization.view import EVERYBODY, UtilizationView
from streams.errors import RecordError
from streams.lanes.records import InputRecord
from streams.lanes.stage import Cause, SliceContext, Touch, in_order
from streams.lanes.state import Overlay
from streams.worker.flow import FlowDefinition, StageDefinition, StageEnvironment

FLOW = "utilization"
CONTRIBUTION, ASSIGNMENT = "utilization.contribution", "canonical.assignment"
INPUTS = (CONTRIBUTION, ASSIGNMENT)
PREFIX = b"c\0"
# Who was ever planned on a project: <project>\0<consultant>.
PLANNED = b"p\0"
# Consultants held decoded in memory (a year of entries is about 100 kB).
CACHED_CONSULTANTS = 500


@dataclass(slots=True)
class _Changed:
    """What a slice changed of a consultant: days, ranges of days in the plan; and the last cause."""

    days: set[date] = field(default_factory=set)
    planned: list[tuple[date, date]] = field(default_factory=list)
    lineage: Lineage | None = None


class UtilizationStage:
    """Computes the utilization of one partition's consultants."""

    inputs: Sequence[str] = INPUTS
    rules = RULES

    def __init__(self, environment: StageEnvironment) -> None:
        self._reference = environment.view.reference
        self._decode = environment.decoder.decode
        self._daily = environment.publisher("utilization.daily")
        self._windows = environment.publisher("utilization.windows")
        self._plans = environment.publisher("utilization.plan")
        (members,) = MEMBERS
        self._members = environment.publisher(members)
        self._raised = environment.publisher(RAISED)
        self._rejects = Rejects(environment, FLOW)
        self._states: OrderedDict[str, ConsultantState] = OrderedDict()
        self._dirty: dict[str, _Changed] = {}

    def open(self, state: Overlay, now: datetime) -> None:
        """Consultants are read when they are touched."""

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Apply a contribution or an assignment; its days are computed once, at the end of the slice."""
        if record.value is None:
            return
        row = self._decode(record.value)
        consultant_id = row["consultant_id"]
        state = self._state(context.state, consultant_id)
        changed = self._dirty.setdefault(consultant_id, _Changed())
        if record.topic == CONTRIBUTION:
            changed.days |= state.apply(row["entry_id"], Contribution.from_record(row))
            changed.lineage = Lineage.of_contribution(row)
            return
        assignment = Assignment.from_record(row)
        changed.planned += state.assign(row["id"], assignment)
        changed.lineage = Lineage.of_reference(row["occurred_at"], row["captured_at"], row["published_at"])
        if assignment.project_id is not None:
            key = PLANNED + f"{assignment.project_id}\0{consultant_id}".encode()
            if context.state.get(key) is None:
                context.state.put(key, b"")

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Compute the touched days of consultants again."""
        lineage = Lineage.of_reference(cause.occurred_at, cause.captured_at, cause.published_at)
        for key in keys:
            consultant_id, first, last = key.decode().split("\0")
            touch = Days(consultant_id, _day(first), _day(last))
            state = self._state(context.state, consultant_id)
            self._publish(recompute_touch(state, self._reference, touch, lineage, context.now), context)
            self._store(context.state, state)

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Consultants of this lane that the touches reach, each with a range of days.

        The consultant of ``after`` comes again: after a restart the ranges of days are others.
        """
        found: set[Days] = set()
        for touch in self._by_person(touches, state):
            if touch.consultant_id == EVERYBODY:
                found |= {Days(consultant_id) for consultant_id in self._consultants(state)}
            elif self._known(state, touch.consultant_id):
                found.add(touch)
        done = after.split(b"\0", 1)[0]
        return in_order(key for key in map(_key, found) if key.split(b"\0", 1)[0] >= done)

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """All days of all consultants of this lane."""
        return self.affected([Days(EVERYBODY)], state, after)

    def finish(self, context: SliceContext) -> None:
        """Compute and publish what the slice touched."""
        for consultant_id, changed in self._dirty.items():
            state = self._state(context.state, consultant_id)
            assert changed.lineage is not None
            facts = recompute(
                state, self._reference, changed.days, changed.lineage, context.now, changed.planned
            )
            self._publish(facts, context)
            self._store(context.state, state)
        self._dirty.clear()
        while len(self._states) > CACHED_CONSULTANTS:
            self._states.popitem(last=False)

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters and exceptions."""
        self._rejects.reject(record, error, context)

    def tick(self, context: SliceContext) -> None:
        """No timers."""

    def _by_person(self, touches: Sequence[Touch], state: Overlay) -> Iterator[Days]:
        """Touches of people; of a project, of those who were ever planned on it."""
        for touch in touches:
            if isinstance(touch, ProjectTouch):
                prefix = PLANNED + f"{touch.project_id}\0".encode()
                for key, _ in list(state.scan(prefix)):
                    yield Days(key[len(prefix) :].decode())
            else:
                assert isinstance(touch, Days)
                yield touch

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
        for row in facts.plans:
            self._plans.emit(context, row)
        for row in facts.members:
            self._members.emit(context, row)
        for report in facts.reports:
            self._raised.emit(context, report)
        context.count("utilization_daily", len(facts.daily))


def _key(days: Days) -> bytes:
    first, last = (day.isoformat() if day else "" for day in (days.first_day, days.last_day))
    return f"{days.consultant_id}\0{first}\0{last}".encode()


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


UTILIZATION = FlowDefinition(
    "utilization",
    (
        StageDefinition("utilization", INPUTS, UtilizationStage, "consultant", passes_on=MEMBERS),
        StageDefinition("utilization-groups", MEMBERS, GroupStage, "utilization_group"),
    ),
    UtilizationView,
    gather_seconds=0.5,  # float: a wait
)
