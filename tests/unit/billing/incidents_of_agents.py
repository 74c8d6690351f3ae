"""Which incidents the agents' pure code says must be open of a root, in the oracle's words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from oracle import Incident

from agents.billing import Adjustment, DraftLine, Item, PostedLine, Segment
from agents.billing.allocation import Segments
from agents.billing.incidents import Incident as Standing
from agents.billing.incidents import of_entry
from agents.billing.segments import CREDIT_DUE, DUE_SEGMENT
from agents.billing.terms import Terms

Facts = tuple[Sequence[Item], Sequence[PostedLine], Sequence[Adjustment], Sequence[DraftLine]]


def incidents_of(
    terms: Terms, facts: Facts, segments: Segments, caps: Mapping[str, Standing]
) -> dict[str, Incident]:
    """By subject: what stands of entries that something was posted of, and the credits that segments say."""
    root, (items, lines, adjustments, _) = terms.root_id, facts
    own: dict[str, list[Segment]] = defaultdict(list)
    for (entry_id, _), segment in segments.items():
        own[entry_id].append(segment)
    entries = {item.entry_id: item for item in items}
    charges = {line.id: line.entry_id for line in lines}
    found = {
        f"{root}:{one.entry_id}:{one.segment}": Incident(CREDIT_DUE, one.seconds, one.amount, one.currency)
        for one in segments.values()
        if one.segment.startswith(DUE_SEGMENT)
    }
    for entry_id in {line.entry_id for line in lines}:
        standing = of_entry(
            entries.get(entry_id),
            [line for line in lines if charges.get(line.credits_line_id or "", line.entry_id) == entry_id],
            [one for one in adjustments if one.entry_id == entry_id],
            own[entry_id],
            terms,
        )
        for name, one in standing.items():
            found[f"{root}:{entry_id}:{name}"] = _in_words(one)
    return found | {f"{root}:{name}": _in_words(one) for name, one in caps.items()}


def _in_words(one: Standing) -> Incident:
    return Incident(one.exception_class, one.seconds, one.amount, one.currency)
