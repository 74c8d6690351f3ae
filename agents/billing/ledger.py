"""The ledger: what it takes to get from the live segments to the target ones, by adding lines only.

A segment that changes is reversed as it stood, then charged as it is. The revision of a segment counts its
changes from 1, its end among them, and never starts again, also when it was gone in between; a reversal has
the revision of the charge that it takes back. Ids are ``<root>:<entry>:<segment>:<revision>:<kind>``, so
that the same change computed twice gives the same lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from agents.billing.entities import Record
from agents.billing.segments import ROUNDING_SEGMENT, UPLIFT_SEGMENT, Key, Segment

CHARGE: Final = "CHARGE"
REVERSAL: Final = "REVERSAL"
UPLIFT: Final = "UPLIFT"
ROUNDING: Final = "ROUNDING"

_KINDS: Final = {UPLIFT_SEGMENT: UPLIFT, ROUNDING_SEGMENT: ROUNDING}  # all others: CHARGE


class LiveSegment(NamedTuple):
    """A segment as it was last charged; ``segment`` is None once that was reversed and nothing followed.

    ``event_id`` is the last line's. Gone segments are kept for their revision, so that ids are never used
    twice. ``earned`` is what it adds to the months of revenue, where its entry is in the books of several.
    """

    segment: Segment | None
    revision: int
    event_id: str
    earned: tuple[str, ...] | None = None

    @classmethod
    def from_record(cls, record: Record) -> LiveSegment:
        """The state that a decoded ``billing.current`` record, ``deleted`` or not, stands for."""
        segment = None if record["deleted"] else Segment.from_record(record)
        earned = record["earned"]
        return cls(segment, record["revision"], record["event_id"], None if earned is None else tuple(earned))


class LedgerLine(NamedTuple):
    """A line of ``billing.events``; ``segment`` is its content, negated in a reversal."""

    event_id: str
    kind: str
    reverses: str | None
    revision: int
    segment: Segment

    @classmethod
    def from_record(cls, record: Record) -> LedgerLine:
        """The line of a decoded ``billing.events`` record."""
        segment = Segment.from_record(record)
        return cls(record["event_id"], record["kind"], record["reverses"], record["revision"], segment)

    def fields(self) -> dict[str, Any]:
        """The business fields of the ``billing.events`` record, by name."""
        return {
            "event_id": self.event_id,
            "kind": self.kind,
            "reverses": self.reverses,
            "revision": self.revision,
            **self.segment.fields(),
        }


class LedgerDiff(NamedTuple):
    """``lines`` to append, in order, and ``changed``: the new state of each segment that they move."""

    lines: tuple[LedgerLine, ...]
    changed: dict[Key, LiveSegment]

    def live(self, previous: Mapping[Key, LiveSegment]) -> dict[Key, LiveSegment]:
        """All live segments after the lines."""
        return {**previous, **self.changed}


def diff(previous: Mapping[Key, LiveSegment], target: Mapping[Key, Segment]) -> LedgerDiff:
    """The lines that turn ``previous`` into ``target``; none where the business content is the same.

    Both cover the same entries: all of a root, or only those that were allocated anew. Lines are ordered by
    entry and segment, each reversal right before its replacement. Example: 8 h/1,200 corrected to 6 h/900
    gives a reversal of -8 h/-1,200 and a charge of 6 h/900.
    """
    lines: list[LedgerLine] = []
    changed: dict[Key, LiveSegment] = {}
    for key in _moved(previous, target):
        live, wanted = previous.get(key), target.get(key)
        current = None if live is None else live.segment
        if live is not None and current is not None:
            lines.append(reversal(live, current))
        revision = 1 if live is None else live.revision + 1
        if wanted is not None:
            lines.append(charge(wanted, revision))
        changed[key] = LiveSegment(wanted, revision, lines[-1].event_id)
    return LedgerDiff(tuple(lines), changed)


def _moved(previous: Mapping[Key, LiveSegment], target: Mapping[Key, Segment]) -> Iterable[Key]:
    """The keys whose content differs, sorted; most of a root's don't, and are never sorted."""
    keys = [key for key, live in previous.items() if live.segment != target.get(key)]
    keys.extend(key for key in target if key not in previous)
    keys.sort()
    return keys


def kind_of(segment: Segment) -> str:
    """The kind of a segment's lines, apart from reversals."""
    return _KINDS.get(segment.segment, CHARGE)


def negated(segment: Segment) -> Segment:
    """A segment with the opposite quantity and amounts."""
    amount = None if segment.amount is None else -segment.amount
    functional = None if segment.functional_amount is None else -segment.functional_amount
    return segment._replace(seconds=-segment.seconds, amount=amount, functional_amount=functional)


def charge(segment: Segment, revision: int) -> LedgerLine:
    """The line that charges a segment, under a revision of its own."""
    kind = kind_of(segment)
    return LedgerLine(event_id_of(segment, revision, kind), kind, None, revision, segment)


def reversal(of: LiveSegment | LedgerLine, segment: Segment) -> LedgerLine:
    """The line that takes back what ``segment`` was charged with, under the revision of the charge."""
    event_id = event_id_of(segment, of.revision, REVERSAL)
    return LedgerLine(event_id, REVERSAL, of.event_id, of.revision, negated(segment))


def event_id_of(segment: Segment, revision: int, kind: str) -> str:
    """The id of a line."""
    return f"{segment.root_id}:{segment.entry_id}:{segment.segment}:{revision}:{kind}"
