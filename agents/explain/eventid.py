"""What the id of a ledger line says: ``<root>:<entry>:<segment>:<revision>:<kind>``.

Root, entry and what a segment stands for are ids with colons themselves, so an id can have several
readings; they are given with the likeliest first. Example: ``erp:E1:time:5:base:1:CHARGE`` has one, root
``erp:E1``, entry ``time:5``, segment ``base``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from agents.billing.segments import (
    ADJUSTMENT_SEGMENT,
    BASE,
    COVERED_SEGMENT,
    DRAFT_SEGMENT,
    DUE_SEGMENT,
    LOT_SEGMENT,
    OVER_ENGAGEMENT,
    OVER_LINE,
    PER_DIEM_SEGMENT,
    POSTED_SEGMENT,
    ROUNDING_SEGMENT,
    UPLIFT_SEGMENT,
)
from streams.errors import UsageError

FORM: Final = "<root>:<entry>:<segment>:<revision>:<kind>, as erp:E1:time:5:base:1:CHARGE"
DAY: Final = "day"
# A parked item that leads to no engagement is a root of its own, ``entry:<entry>``.
PARKED_ROOT: Final = "entry"

_PLAIN: Final = {
    *(BASE, ROUNDING_SEGMENT, COVERED_SEGMENT, OVER_LINE, OVER_ENGAGEMENT, UPLIFT_SEGMENT, PER_DIEM_SEGMENT)
}
_PREFIXES: Final = {
    prefix.removesuffix(":")
    for prefix in (POSTED_SEGMENT, DUE_SEGMENT, DRAFT_SEGMENT, LOT_SEGMENT, ADJUSTMENT_SEGMENT)
}
_TAIL: Final = re.compile(r"(?P<key>.+):(?P<revision>[1-9][0-9]{0,9}):(?P<kind>[A-Z][A-Z_]*)", re.ASCII)


class EventId(NamedTuple):
    """One reading of a ledger line's id."""

    text: str
    root_id: str
    entry_id: str
    segment: str
    revision: int
    kind: str

    @property
    def is_day_line(self) -> bool:
        """Whether it is a line of a consultant's day rather than of an entry."""
        return self.entry_id.startswith(f"{DAY}:")


def read_event_id(text: str) -> tuple[EventId, ...]:
    """All readings of an id; raises UsageError for a text that is none."""
    text = text.strip()
    found = _TAIL.fullmatch(text)
    keys = () if found is None else tuple(_keys(found["key"].split(":")))
    if found is None or not keys:
        raise UsageError(f"{text!r} is no event id; give {FORM}")
    return tuple(EventId(text, *key, int(found["revision"]), found["kind"]) for key in keys)


def _keys(parts: list[str]) -> Iterator[tuple[str, str, str]]:
    """Every (root, entry, segment) that the parts can be: known segments, and roots of fewest parts, first."""
    if not all(parts):
        return
    known = [at for at in range(4, len(parts)) if _is_segment(parts[at:])]
    for at in known or ([len(parts) - 1] if len(parts) > 4 else []):
        segment = ":".join(parts[at:])
        if parts[0] == PARKED_ROOT:
            half, odd = divmod(at - 1, 2)
            if not odd and half >= 2 and parts[1 : 1 + half] == parts[1 + half : at]:
                yield ":".join(parts[: 1 + half]), ":".join(parts[1 + half : at]), segment
            continue
        days = [cut for cut in range(2, at - 2) if parts[cut] == DAY]
        for cut in days or range(2, at - 1):
            yield ":".join(parts[:cut]), ":".join(parts[cut:at]), segment


def _is_segment(parts: list[str]) -> bool:
    return parts[0] in (_PLAIN if len(parts) == 1 else _PREFIXES)
