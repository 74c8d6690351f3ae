"""Which incidents of billing must be open: what is not as it should stay, entry by entry.

RATE_CHANGED_AFTER_POSTING: the posted part of an entry has another price than its rate says now, which does not apply
to invoiced time: its seconds, and what the price of now would make more of them (less, if negative).

CREDIT_DUE: something goes back to the client: what is posted of a version that is no more, and whatever else is to be
billed with less than no time or money.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from .segments import Segment

# Those that are judged; others are told of segments, which are judged themselves.
CLASSES: Final = ("CREDIT_DUE", "RATE_CHANGED_AFTER_POSTING")


class Incident(NamedTuple):
    """What is at stake; None is not known."""

    exception_class: str
    seconds: int | None
    amount: Decimal | None
    currency: str | None


def credits_due(segments: Iterable[Segment]) -> dict[str, Incident]:
    """Each unbilled segment that is less than nothing, by subject."""
    return {
        f"{one.root}:{one.entry_id}:{one.segment}": Incident(
            "CREDIT_DUE", one.seconds, one.amount, one.currency
        )
        for one in segments
        if one.bucket == "unbilled"
        and (one.segment.startswith("due:") or one.seconds < 0 or (one.amount or 0) < 0)
    }


def open_incidents(records: Iterable[Mapping[str, Any]]) -> dict[str, Incident]:
    """Those of the judged classes that are not resolved, of decoded records of ``exceptions`` in topic order."""
    latest = {record["exception_id"]: record for record in records if record["flow"] == "allocation"}
    return {
        record["subject"]: Incident(
            record["exception_class"], record["seconds"], record["amount"], record["currency"]
        )
        for record in latest.values()
        if record["state"] != "resolved" and record["exception_class"] in CLASSES
    }
