"""The stage of group windows: members in, sums out, keyed by the group's window.

State of each group's window, in pieces:

    m<group window>\\0<consultant>  revision and figures of a member; a removed one keeps its revision
    s<group window>                what it is of, its sums, and the revision and sums last published
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from agents.rejects import Rejects
from agents.utilization.facts import DEFINITION, Lineage
from agents.utilization.groups import Figures, GroupSum, figures_of
from streams.errors import RecordError
from streams.lanes.records import InputRecord, decoded
from streams.lanes.stage import Cause, SliceContext, Touch
from streams.lanes.state import Overlay
from streams.packing import packed
from streams.worker.flow import StageEnvironment

FLOW: Final = "utilization"
INPUTS: Final = ("utilization.member",)
OUTPUT: Final = "utilization.groups"
_MEMBER, _SUM = b"m", b"s"
_PLACE: Final = ("dimension", "value", "window", "starts_on", "ends_on")


@dataclass(slots=True)
class _Group:
    """A group's window while a slice works on it. ``published`` are the sums last published, None: none."""

    place: dict[str, Any]
    sums: GroupSum
    revision: int
    published: tuple[int, ...] | None
    lineage: Lineage | None = None

    def packed(self) -> bytes:
        place = [str(self.place[name]) for name in _PLACE]
        return packed([place, self.sums.values(), self.revision, self.published])

    @classmethod
    def unpacked(cls, data: bytes) -> _Group:
        place, sums, revision, published = json.loads(data)
        named: dict[str, Any] = dict(zip(_PLACE, place, strict=True))
        named |= {name: date.fromisoformat(named[name]) for name in ("starts_on", "ends_on")}
        return cls(named, GroupSum(*sums), revision, None if published is None else tuple(published))


class GroupStage:
    """Sums up the group windows of one partition."""

    inputs: Sequence[str] = INPUTS
    rules = DEFINITION

    def __init__(self, environment: StageEnvironment) -> None:
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
        key = row["group_window"]
        name = _MEMBER + f"{key}\0{row['consultant_id']}".encode()
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
        group.lineage = Lineage.of_contribution(row)

    def finish(self, context: SliceContext) -> None:
        """Publish the groups whose sums changed."""
        for key, group in self._dirty.items():
            sums = group.sums.values() if group.sums.consultants else None
            if sums != group.published and group.lineage is not None:
                group.revision += 1
                group.published = sums
                self._publish(group, group.lineage, context)
            context.state.put(_SUM + key.encode(), group.packed())
        self._dirty.clear()

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """None: a reference change comes by the members."""
        return iter(())

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """None: a new definition comes by the members, too."""
        return iter(())

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Nothing to look up."""

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters and exceptions."""
        self._rejects.reject(record, error, context)

    def tick(self, context: SliceContext) -> None:
        """No timers."""

    def _group(self, key: str, row: dict[str, Any], state: Overlay) -> _Group:
        group = self._dirty.get(key)
        if group is None:
            stored = state.get(_SUM + key.encode())
            if stored is None:
                group = _Group({name: row[name] for name in _PLACE}, GroupSum(), 0, None)
            else:
                group = _Group.unpacked(stored)
            self._dirty[key] = group
        return group

    def _publish(self, group: _Group, lineage: Lineage, context: SliceContext) -> None:
        row = group.place | group.sums.fields() | lineage.fields()
        row |= {"revision": group.revision, "deleted": group.published is None}
        self._groups.emit(context, row | {"definition": DEFINITION, "computed_at": context.now})
        context.count("utilization_groups")
