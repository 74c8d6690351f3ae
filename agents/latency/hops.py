"""How long each hop took, from the times that a billing event carries.

    occurred_at   the change was committed in its source
    captured_at   read from the source's log
    published_at  mapped to a canonical record
    rated_at      priced
    allocated_at  written to the ledger

A sample a ledger line: that is what a reader of the ledger waits for. Lines caused by an initial
snapshot or by a reference change are left out, for they answer no live entry. The time that people took
(submitted to approved) lies before the commit and is in none of the hops. A negative duration means
that clocks disagree and is kept, so that it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

# (hop, its beginning, its end)
HOPS: Final = (
    ("commit_to_capture", "occurred_at", "captured_at"),
    ("capture_to_canonical", "captured_at", "published_at"),
    ("canonical_to_rated", "published_at", "rated_at"),
    ("rated_to_billing", "rated_at", "allocated_at"),
    ("commit_to_billing", "occurred_at", "allocated_at"),
)
_MICRO: Final = timedelta(microseconds=1)


class HopSample(NamedTuple):
    """A hop's duration in microseconds, at the commit time of the change."""

    hop: str
    event_time: datetime
    micros: int


def hop_samples(event: Mapping[str, Any]) -> list[HopSample]:
    """The samples of a decoded ``billing.events`` record; none for a snapshot or a reference change."""
    if event["snapshot"]:
        return []
    occurred = event["occurred_at"]
    return [HopSample(hop, occurred, (event[end] - event[start]) // _MICRO) for hop, start, end in HOPS]
