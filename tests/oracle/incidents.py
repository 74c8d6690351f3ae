"""Which incidents of billing must be open: what is not as it should stay, entry by entry.

RATE_CHANGED_AFTER_POSTING: the posted part of an entry has another price than its rate says now, which does not apply
to invoiced time: its seconds, and what the price of now would make more of them (less, if negative).

CAP_BELOW_BILLED: more is posted than a cap lets pass, which is not to be billed anyway: by how much, of what it is of.

OVER_CAP: all that passed a cap and is not posted, one for all entries; with what is posted beyond a cap that is billed
anyway.

CREDIT_DUE: something goes back to the client: what is posted of a version that is no more, and whatever else is to be
billed with less than no time or money.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from .segments import Segment

# Those that are judged; others are told of segments, which are judged themselves.
CLASSES: Final = ("CREDIT_DUE", "RATE_CHANGED_AFTER_POSTING", "CAP_BELOW_BILLED", "OVER_CAP")


class Incident(NamedTuple):
    """What is at stake; None is not known."""

    exception_class: str
    seconds: int | None
    amount: Decimal | None
    currency: str | None


class CapState(NamedTuple):
    """A cap of an engagement or a contract line: its action, what is posted beyond it, and what passed it."""

    of: str
    action: str
    beyond_seconds: int
    beyond_money: Decimal
    over_seconds: int
    over_money: Decimal


def of_caps(root: str, currency: str | None, caps: Iterable[CapState]) -> dict[str, Incident]:
    """What is to be said of caps, by subject."""
    found = {}
    for cap in caps:
        seconds, money = cap.over_seconds, cap.over_money
        if cap.action == "bill":
            seconds, money = seconds + cap.beyond_seconds, money + cap.beyond_money
        elif cap.beyond_seconds or cap.beyond_money:
            found[f"{root}:below-billed:{cap.of}"] = Incident(
                "CAP_BELOW_BILLED", cap.beyond_seconds or None, cap.beyond_money or None, currency
            )
        if seconds or money:
            found[f"{root}:over-cap:{cap.of}"] = Incident("OVER_CAP", seconds, money, currency)
    return found


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
