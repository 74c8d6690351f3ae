"""The stage of group windows: members in, sums out, keyed by the group's window.

State of each group's window, in pieces:

    m<group window>\\0<consultant>  revision and figures of a member; a removed one keeps its revision
    i<group window>\\0<consultant>  capacity of somebody who is idle in it
    s<group window>                what it is of, its sums, and the revision and figures last published

Who is idle follows from the reference tables: a group's window looks through all people once, when it begins,
and from then on at those whose rows change or who become a member, or cease to be one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from agents.rejects import Rejects
from agents.utilization.capacity import UtilizationReference
from agents.utilization.facts import DEFINITION, Lineage
from agents.utilization.groups import Figures, GroupSum, figures_of
from agents.utilization.idle import Place, belongs, idle
from agents.utilization.touches import Touch as Days
from agents.utilization.view import EVERYBODY
from streams.errors import RecordError
from streams.lanes.records import InputRecord, decoded
from streams.lanes.stage import Cause, SliceContext, Touch
from streams.lanes.state import Overlay
from streams.packing import packed
from streams.worker.flow import StageEnvironment

FLOW: Final = "utilization"
INPUTS: Final = ("utilization.member",)
OUTPUT: Final = "utilization.groups"
_MEMBER, _IDLE, _SUM = b"m", b"i", b"s"


@dataclass(slots=True)
class _Group:
    """A group's window while a slice works on it. ``published`` is what was last published of it, None: none."""

    place: Place
    sums: GroupSum
    revision: int
    published: tuple[int | str | None, ...] | None
    lineage: Lineage | None = None

    def packed(self) -> bytes:
        return packed([[*map(str, self.place)], self.sums.values(), self.revision, self.published])

    @classmethod
    def unpacked(cls, data: bytes) -> _Group:
        place, sums, revision, published = json.loads(data)
        dimension, value, window, starts_on, ends_on = place
        days = date.fromisoformat(starts_on), date.fromisoformat(ends_on)
        return cls(
            Place(dimension, value, window, *days),
            GroupSum(*sums),
            revision,
            None if published is None else tuple(published),
        )


class GroupStage:
    """Sums up the group windows of one partition."""

    inputs: Sequence[str] = INPUTS
    rules = DEFINITION

    def __init__(self, environment: StageEnvironment) -> None:
        self._reference: UtilizationReference = environment.view.reference
        self._decode = environment.decoder.decode
        self._groups = environment.publisher(OUTPUT)
        self._rejects = Rejects(environment, FLOW)
        self._dirty: dict[str, _Group] = {}

    def open(self, state: Overlay, now: datetime) -> None:
        """Groups are read when they are touched."""

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Apply one member; its group is published once, at the end of the slice."""
        if record.value is None:
            return
        row = decoded(record, self._decode, record.value)
        key, consultant_id = row["group_window"], row["consultant_id"]
        name = _piece(_MEMBER, key, consultant_id)
        stored = context.state.get(name)
        revision, *values = json.loads(stored) if stored else (0,)
        if row["revision"] <= revision:
            context.count("stale_revisions")
            return
        group = self._group(key, row, context.state)
        if values:
            group.sums.add(Figures(*values), -1)
        figures = figures_of(row)
        if figures is not None:
            group.sums.add(figures, 1)
        context.state.put(name, packed([row["revision"], *(figures or ())]))
        if bool(values) != (figures is not None):
            self._settle_idle(key, group, consultant_id, context.state)
        group.lineage = Lineage.of_contribution(row)

    def finish(self, context: SliceContext) -> None:
        """Publish the groups whose sums changed."""
        for key, group in self._dirty.items():
            content = group.sums.content() if group.sums.consultants else None
            if content != group.published and group.lineage is not None:
                group.revision += 1
                group.published = content
                self._publish(group, group.lineage, context)
            context.state.put(_SUM + key.encode(), group.packed())
        self._dirty.clear()

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Group windows, each with somebody whose capacity or place in it may have changed, or with everybody.

        The group window of ``after`` comes again: after a restart it may be asked for everybody.
        """
        # A holiday touches all the staff of a calendar: by days, the windows that they reach are looked for once.
        people: dict[tuple[date | None, date | None], set[str]] = {}
        for touch in touches:
            if isinstance(touch, Days):
                people.setdefault((touch.first_day, touch.last_day), set()).add(touch.consultant_id)
        days = [(Days("", *between), who) for between, who in people.items()]
        for key, place in self._places(state, after.partition(b"\0")[0]):
            reached = [who for one, who in days if one.reaches(place.starts_on, place.ends_on)]
            for consultant_id in sorted(set().union(*reached)):
                if self._may_be_idle(key, place, consultant_id, state):
                    yield _piece(b"", key, consultant_id)

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """All group windows, each with everybody."""
        return self.affected([Days(EVERYBODY)], state, after)

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Look at who is idle with the references as they are now."""
        lineage = Lineage.of_reference(cause.occurred_at, cause.captured_at, cause.published_at)
        for name in keys:
            key, consultant_id = name.decode().split("\0")
            group = self._known(key, context.state)
            if group is None:
                continue
            group.lineage = lineage
            if consultant_id == EVERYBODY:
                self._settle_all(key, group, context.state)
            else:
                self._settle_idle(key, group, consultant_id, context.state)

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters and exceptions."""
        self._rejects.reject(record, error, context)

    def tick(self, context: SliceContext) -> None:
        """No timers."""

    def _group(self, key: str, row: dict[str, Any], state: Overlay) -> _Group:
        group = self._known(key, state)
        if group is None:
            group = _Group(Place(*(row[name] for name in Place._fields)), GroupSum(), 0, None)
            self._settle_all(key, group, state)
            self._dirty[key] = group
        return group

    def _known(self, key: str, state: Overlay) -> _Group | None:
        """A group's window, one object a slice; None if there is none yet."""
        group = self._dirty.get(key)
        if group is None and (stored := state.get(_SUM + key.encode())) is not None:
            group = self._dirty[key] = _Group.unpacked(stored)
        return group

    def _places(self, state: Overlay, first: bytes) -> Iterator[tuple[str, Place]]:
        """Group windows from a key on."""
        for name, stored in state.scan(_SUM, _SUM + first):
            yield name[len(_SUM) :].decode(), _Group.unpacked(stored).place

    def _may_be_idle(self, key: str, place: Place, consultant_id: str, state: Overlay) -> bool:
        """Whether somebody is idle in a group's window, or was; everybody may be."""
        if consultant_id == EVERYBODY or belongs(place, consultant_id, self._reference):
            return True
        return state.get(_piece(_IDLE, key, consultant_id)) is not None

    def _settle_all(self, key: str, group: _Group, state: Overlay) -> None:
        """Everybody who is known, and who was idle and is not known any more."""
        prefix = _piece(_IDLE, key, "")
        gone = {name[len(prefix) :].decode() for name, _ in state.scan(prefix)}
        for consultant_id in sorted(gone.union(self._reference.consultants())):
            self._settle_idle(key, group, consultant_id, state)

    def _settle_idle(self, key: str, group: _Group, consultant_id: str, state: Overlay) -> None:
        """Bring what somebody adds by being idle up to date."""
        member = state.get(_piece(_MEMBER, key, consultant_id))
        is_member = member is not None and len(json.loads(member)) > 1
        found = None if is_member else idle(group.place, consultant_id, self._reference)
        name = _piece(_IDLE, key, consultant_id)
        stored = state.get(name)
        if stored is not None:
            group.sums.add_idle(json.loads(stored), -1)
            state.delete(name)
        if found is not None:
            group.sums.add_idle(found.capacity, 1)
            state.put(name, packed(found.capacity))

    def _publish(self, group: _Group, lineage: Lineage, context: SliceContext) -> None:
        row: dict[str, Any] = group.place._asdict() | group.sums.fields() | lineage.fields()
        row |= {"revision": group.revision, "deleted": group.published is None}
        self._groups.emit(context, row | {"definition": DEFINITION, "computed_at": context.now})
        context.count("utilization_groups")


def _piece(kind: bytes, key: str, consultant_id: str) -> bytes:
    return kind + f"{key}\0{consultant_id}".encode()
